"""What a server says when it refuses, as a sentence for the user."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytp_broker.client.uploads.wire import Reply
from pytp_broker.redaction import legible

# A server that answers one of these may answer otherwise in a moment.
TRANSIENT: Final = frozenset({408, 425, 429, 500, 502, 503, 504})
_MAX_TEXT_CHARACTERS: Final = 2000


class UploadError(Exception):
    """An upload does not go on; the text says why, and may be shown.

    ``may_pass`` says that the same request may succeed later. ``status`` is what the server
    answered, or 0.
    """

    def __init__(self, text: str, *, may_pass: bool = False, status: int = 0) -> None:
        super().__init__(legible(text))
        self.may_pass = may_pass
        self.status = status


def refused(what: str, reply: Reply) -> UploadError:
    """Return the error of an answer that is a refusal; ``what`` names the subject."""
    said = reason_in(reply)
    if not said or reply.status in TRANSIENT:
        said = f"the server answered {reply.status}{f' ({said})' if said else ''}"
    if 300 <= reply.status < 400:  # noqa: PLR2004 - the class of the status
        said = "it redirects, and a token is sent to no other address: check the URL"
    return UploadError(
        f"{what}: {said}",
        may_pass=reply.status in TRANSIENT,
        status=reply.status,
    )


def reason_in(reply: Reply) -> str:
    """Return the whole reason that a server gives; nothing if it gives none.

    RFC 9457's members, then each of PEP 694's or of PyPI's errors that says something else; a text
    for people, or the reason phrase, where there is no JSON.
    """
    sentences: list[str] = []
    for source, said in _sentences(reply.document):
        if said and not any(said in known for known in sentences):
            sentences.append(f"{source}: {said}" if source else said)
    return legible("; ".join(sentences) or _plain_text(reply), _MAX_TEXT_CHARACTERS)


def _sentences(document: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the source of each error, which may be empty, and what is said of it."""
    main = (document.get(name) for name in ("detail", "message", "title"))
    yield "", next(filter(None, map(_text, main)), "")
    errors = document.get("errors")
    for error in errors if isinstance(errors, list) else ():
        if isinstance(error, dict):
            said = _text(error.get("message")) or _text(error.get("description"))
            yield _text(error.get("source")), said


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _plain_text(reply: Reply) -> str:
    """Return what PyPI, devpi and others say without JSON."""
    text = reply.body.decode(errors="replace").strip()
    kind = reply.headers.get("content-type", "").partition(";")[0]
    is_readable = kind in {"", "text/plain"} and "<" not in text
    return (text if is_readable else "") or reply.phrase
