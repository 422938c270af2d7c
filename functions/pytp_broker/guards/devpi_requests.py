"""The requests that reach devpi-server: which bring a token, and what that may do.

devpi's own parser has read the form that is judged here, so devpi stores what was judged.
"""

import base64
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import IO, Any, Final

from pytp_broker.content import Opened
from pytp_broker.errors import Forbidden, InvalidUpload, Unauthorized
from pytp_broker.guards.judging import Guard
from pytp_broker.http.credentials import USER_NAME
from pytp_broker.index.forms import TEXT_FIELDS, FilePart, Form, make_form

# The group of every token, for `acl_upload=:pytp`.
GROUP: Final = "pytp"

_KEY: Final = "pytp_broker.identity"
_READING: Final = ("GET", "HEAD")
_READ: Final = frozenset({"pkg_read"})
_UPLOAD: Final = frozenset({"pkg_read", "upload", "pypi_submit"})
# devpi-client asks these before it logs in, and they show no project.
_OPEN_ROUTES: Final = frozenset(
    {"/+login", "/+api", "/{user}/+api", "/{user}/{index}/+api", "/+authcheck"}
)
_NOTHING_ELSE: Final = "a token reads and uploads files here, and does nothing else"
_NO_IDENTITY: Final = f"send a token as the password of the user {USER_NAME}, or log in"
_MALFORMED: Final = "the form of the upload cannot be read"
_VOLATILE: Final = (
    "this index is volatile, so an upload could replace a file: the operator must set "
    "`volatile=False`"
)


@dataclass(frozen=True)
class TokenIdentity:
    """Who brings a token. devpi reads ``username`` and ``groups``."""

    may_upload: bool
    username: str = USER_NAME
    groups: list[str] = field(default_factory=lambda: [GROUP])


@dataclass(frozen=True)
class Desk:
    """Judges the requests to the guarded indexes of a devpi-server."""

    guard: Guard
    is_public: bool
    indexes: frozenset[str]

    def find_token(self, request: Any) -> Mapping[str, str]:  # noqa: ANN401 - of Pyramid
        """Return the header with the token of a request; nothing if it brings none."""
        devpis = request.headers.get("X-Devpi-Auth", "")
        sent = (request.headers.get("Authorization", ""), f"Basic {devpis.strip()}")
        found = next(filter(_is_token, sent), None)
        return {} if found is None else {"authorization": found}

    def judge(self, request: Any) -> None:  # noqa: ANN401 - of Pyramid
        """Refuse a request whose token may not do what it asks; others are devpi's business.

        Raises Unauthorized, Forbidden, InvalidUpload or Unavailable.
        """
        headers = self.find_token(request)
        if not headers:
            return
        if request.method in _READING:
            self.guard.check_reader(headers)
        else:
            self._check_upload(request, headers)
        request.environ[_KEY] = TokenIdentity(may_upload=request.method not in _READING)

    def _check_upload(self, request: Any, headers: Mapping[str, str]) -> None:  # noqa: ANN401
        uploader = self.guard.check_uploader(headers)
        place = request.environ.get("PATH_INFO", "").strip("/")
        if request.method != "POST" or place not in self.indexes:
            raise Forbidden(_NOTHING_ELSE)
        form = _read(request)
        self.guard.check_upload(uploader, form)
        for part in request.POST.getall("content"):
            part.file.seek(0)

    def identify(self, request: Any) -> TokenIdentity | None:  # noqa: ANN401 - of Pyramid
        """Return who brings the token of a request; raise as ``judge`` does.

        `/+authcheck` makes a request of its own from the headers of another one, to read.
        """
        headers = self.find_token(request)
        if headers and _KEY not in request.environ:
            self.guard.check_reader(headers)
            request.environ[_KEY] = TokenIdentity(may_upload=False)
        found: TokenIdentity | None = request.environ.get(_KEY)
        return found

    def allowed(self, identity: TokenIdentity, stage: Any) -> frozenset[str]:  # noqa: ANN401
        """Return what a token may do in an index, by devpi's names; raise Forbidden.

        An index whose files may be replaced takes none with a token.
        """
        if stage is None or not identity.may_upload or stage.name not in self.indexes:
            return _READ
        if stage.ixconfig.get("volatile"):
            raise Forbidden(_VOLATILE)
        return _UPLOAD

    def check_view(self, request: Any) -> None:  # noqa: ANN401 - of Pyramid
        """Refuse a request to see something private; raise Unauthorized or Forbidden."""
        route = getattr(request, "matched_route", None)
        if self.is_public or (route is not None and route.name in _OPEN_ROUTES):
            return
        identity = request.identity
        if identity is None:
            raise Unauthorized(_NO_IDENTITY)
        if isinstance(identity, TokenIdentity):
            self._check_index(request)

    def _check_index(self, request: Any) -> None:  # noqa: ANN401 - of Pyramid
        """Check that a request is about a guarded index, or about one that it inherits from."""
        asked = request.matchdict or {}
        name = "/".join(asked.get(key, "").rstrip("/") for key in ("user", "index"))
        model = request.registry["xom"].model
        stages = (model.getstage(*each.split("/")) for each in self.indexes)
        if name not in {base.name for stage in stages if stage for base in stage.sro()}:
            raise Forbidden(_NOTHING_ELSE)


def _is_token(authorization: str) -> bool:
    """Say whether credentials are meant for the guard: a Bearer token, or the user `__token__`."""
    scheme, _, credentials = authorization.partition(" ")
    if scheme.lower() != "basic":
        return scheme.lower() in {"bearer", "token"}
    try:
        user = base64.b64decode(credentials).decode("latin-1").partition(":")[0]
    except ValueError:
        return False
    return user == USER_NAME


def _read(request: Any) -> Form:  # noqa: ANN401 - of Pyramid
    """Return the form of an upload, as devpi has parsed it; raise InvalidUpload."""
    try:
        post = request.POST
        texts = {name: tuple(post.getall(name)) for name in TEXT_FIELDS if name in post}
        content = post.getall("content")
    except (ValueError, OSError, AttributeError):  # a body that is not a form has no `getall`
        raise InvalidUpload(_MALFORMED) from None
    if not all(isinstance(text, str) for values in texts.values() for text in values):
        raise InvalidUpload(_MALFORMED)
    return make_form(texts, tuple(_files(content)))


def _files(content: Iterable[Any]) -> Iterable[FilePart]:
    for part in content:
        if isinstance(part, str):
            raise InvalidUpload("the form's `content` must be a file")
        yield FilePart(part.filename, Opened(part.file, _size(part.file)))


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)
