"""Every way in which a request can be refused, as one tree.

    Problem
    ├── MalformedRequest 400  invalid-request      the HTTP request itself makes no sense
    ├── InvalidPayload   422  invalid-payload      the body, or the shape of the identity token
    │   └── UnknownIssuer                          … whose issuer this registry does not know
    ├── InvalidToken     422  invalid-token        signature, time, audience of the identity token
    ├── ReusedToken      422  invalid-reuse-token  the identity token was exchanged before
    ├── InvalidPublisher 422  invalid-publisher    no trusted publisher matches
    │   └── ChangedIdentity                        … because a name has another holder now
    ├── NotEnabled       422  not-enabled          switched off by the operator
    │   └── AudienceNotEnabled  403             … as clients know it from the audience endpoint
    ├── Unauthorized     401  unauthorized         no good token
    ├── Forbidden        403  forbidden            a good token without this right
    │   └── MayOnlyRead                            … because it is for reading alone
    ├── InvalidUpload    400  invalid-upload       the file or its form
    │   ├── FileExists   400  file-exists          the name is taken by other content
    │   ├── FileReserved 409  file-reserved        a session publishes a file of this name now
    │   ├── FileDeleted  400  file-deleted         the name is a deleted file's
    │   ├── InvalidRelease  400  invalid-release   the release does not take this file
    │   └── ProjectClosed   400  project-closed    the project takes no files
    ├── NotFound         404  not-found
    │   └── Withheld                               … because an operator has withdrawn it
    ├── MethodNotAllowed 405  method-not-allowed
    ├── NotAcceptable    406  not-acceptable
    ├── Conflict         409  conflict             what is there does not allow it now
    ├── AlreadyStored    412  already-stored       the bytes of this upload are there
    ├── PayloadTooLarge  413  payload-too-large
    ├── UnsupportedMediaType 415  unsupported-media-type
    ├── RangeNotSatisfiable 416  range-not-satisfiable
    ├── UnsupportedMechanism 422  unsupported-mechanism
    ├── TooManyRequests  429  too-many-requests
    ├── Unexpected       500  internal-error       a mistake of ours; only the edge makes it
    └── Unavailable      503  unavailable          ours to fix; try again
        ├── IssuerUnavailable  issuer-unavailable  … the issuer's keys cannot be fetched
        └── StoreUnavailable   store-unavailable   … the store does not answer
            ├── RefusedCallError                   … it does not take a call as it is
            └── ReceiptUnsigned                    … nothing signs receipts now

A class names the kind of refusal. The code that raises it adds ``detail``: what was seen and what
to do next, and nothing secret. A code that PyPI also uses has PyPI's meaning.
"""

from collections.abc import Mapping
from typing import Any, ClassVar, Final

from pytp_broker.redaction import legible, printable

# What an error's `type` begins with; the error's code follows. A URN does not lead to a web site,
# so nobody can register a site to which our users would be sent. A deployment that publishes
# docs/errors.md names its own page instead.
DEFAULT_TYPE_BASE: Final = "urn:pytp-broker:errors#"
TYPE_BASE: Final = r"(urn:[!-~]+|https://[a-z0-9.-]+(:[0-9]{1,5})?/[!-~]*)"


class Problem(Exception):  # noqa: N818 - RFC 9457 calls it a problem
    """A refusal that the caller is told about (RFC 9457)."""

    status: ClassVar[int]
    code: ClassVar[str]
    title: ClassVar[str]

    def __init__(
        self, detail: str, *, operator_detail: str = "", headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.operator_detail = operator_detail
        self.headers = dict(headers or {})

    @property
    def reason(self) -> str:
        """Return the name for audit records and metrics: the code, or something narrower."""
        return self.code

    def advise(self, advice: str) -> None:
        """Add a sentence to the detail."""
        self.detail = f"{self.detail}. {advice}"

    def say_first(self, sentence: str) -> None:
        """Put a sentence before the detail."""
        self.detail = f"{sentence}: {self.detail}"

    @property
    def is_callers(self) -> bool:
        """Say whether the caller must fix it, and not the operator."""
        return self.status < 500  # noqa: PLR2004 - RFC 9110 §15

    def document(self, instance: str, type_base: str = DEFAULT_TYPE_BASE) -> dict[str, Any]:
        """Return the one error object: RFC 9457's members and PyPI's in the same place.

        twine and the PyPA publish action read ``errors`` and crash without it, uv prints
        ``title`` and ``detail``, PEP 807 asks for RFC 9457. ``title`` and ``detail`` are made safe
        to show, because they may quote the request and terminals print them.
        """
        detail = legible(self.detail)
        return {
            "type": type_base + self.code,
            "title": self.title,
            "status": self.status,
            "detail": detail,
            "instance": printable(instance),
            "message": self.title,
            "errors": self._errors(detail),
        }

    def _errors(self, detail: str) -> list[dict[str, str]]:
        """Return one entry for each thing that is wrong."""
        return [{"code": self.code, "description": detail}]


class MalformedRequest(Problem):
    """The HTTP request itself makes no sense."""

    status, code, title = 400, "invalid-request", "The request is malformed"


class InvalidPayload(Problem):
    """The body of the exchange, or the shape of its identity token, is not what it must be."""

    status, code, title = 422, "invalid-payload", "Token request failed"


class UnknownIssuer(InvalidPayload):
    """The identity token names an issuer that this registry does not accept."""


class InvalidToken(Problem):
    """The identity token's signature, times, audience or type are not acceptable."""

    status, code, title = 422, "invalid-token", "Token request failed"


class ReusedToken(Problem):
    """The identity token has been exchanged already."""

    status, code, title = 422, "invalid-reuse-token", "Token request failed"


class InvalidPublisher(Problem):
    """The identity token is good, but no trusted publisher matches it."""

    status, code, title = 422, "invalid-publisher", "Token request failed"


class ChangedIdentity(InvalidPublisher):
    """No publisher matches, because an immutable id differs from the one given or pinned.

    The caller may be the name's new holder, so we say that the id differs, but not what we expect.
    """

    @property
    def reason(self) -> str:
        """Return the name for audit records and metrics."""
        return "immutable-id-changed"


class NotEnabled(Problem):
    """Trusted publishing is switched off here by the operator."""

    status, code, title = 422, "not-enabled", "Trusted publishing is not enabled"


class AudienceNotEnabled(NotEnabled):
    """Trusted publishing is switched off: 403, which clients expect of the audience endpoint."""

    status = 403


class Unauthorized(Problem):
    """The request carries no token that is good now (RFC 9110 §15.5.2)."""

    status, code, title = 401, "unauthorized", "Invalid or missing token"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.ask_for("pytp-broker")

    def ask_for(self, realm: str) -> None:
        """Ask the client for credentials of this realm, such as a registry."""
        self.headers["WWW-Authenticate"] = f'Basic realm="{realm}"'


class Forbidden(Problem):
    """The token is good but may not do this."""

    status, code, title = 403, "forbidden", "Not allowed"


class MayOnlyRead(Forbidden):
    """The token is good for reading alone."""


class InvalidUpload(Problem):
    """The uploaded file or its form is refused.

    twine, pdm, maturin and poetry can skip a file whose refusal says "already exist". Only
    FileExists has these words, because a release that lacks a file must not look like a success.
    """

    status, code, title = 400, "invalid-upload", "Invalid distribution file"


class FileExists(InvalidUpload):
    """The file name is taken by other content; files never change."""

    code, title = "file-exists", "File already exists"


class FileReserved(InvalidUpload):
    """A publishing session has reserved the file name, and publishes it right now (PEP 694)."""

    status, code, title = 409, "file-reserved", "The file name is reserved"


class FileDeleted(InvalidUpload):
    """The file of this name was deleted, and its name is never used again."""

    code, title = "file-deleted", "The file was deleted"


class InvalidRelease(InvalidUpload):
    """The release takes no further file, no other sdist, or no other spelling of its version."""

    code, title = "invalid-release", "The release does not take this file"


class ProjectClosed(InvalidUpload):
    """The operator has archived or quarantined the project, so it takes no files."""

    code, title = "project-closed", "The project is closed"


class NotFound(Problem):
    """There is nothing at this address."""

    status, code, title = 404, "not-found", "Not found"


class Withheld(NotFound):
    """The address is right, and what it is for is not served: the detail says why."""

    def advise(self, advice: str) -> None:
        """Leave the detail as it is: no other address is right."""


class MethodNotAllowed(Problem):
    """The address exists, but not for this method."""

    status, code, title = 405, "method-not-allowed", "Method not allowed"

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        allow = ", ".join(allowed)
        super().__init__(f"use {allow} instead of {method}", headers={"Allow": allow})


class NotAcceptable(Problem):
    """The caller accepts no form of the answer that we have."""

    status, code, title = 406, "not-acceptable", "Not acceptable"


class Conflict(Problem):
    """The state of what the request is about does not allow it now (RFC 9110 §15.5.10).

    ``sources`` says of each file that is in the way why it is.
    """

    status, code, title = 409, "conflict", "Not possible in this state"

    def __init__(
        self,
        detail: str,
        *,
        sources: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail, headers=headers)
        self.sources = dict(sources or {})

    def _errors(self, detail: str) -> list[dict[str, str]]:
        """Return one entry for each file that is in the way, if the problem is about files."""
        if not self.sources:
            return super()._errors(detail)
        return [
            {"code": self.code, "description": legible(text), "source": printable(source)}
            for source, text in self.sources.items()
        ]


class AlreadyStored(Problem):
    """The bytes of this upload are stored already, and they never change."""

    status, code, title = 412, "already-stored", "The bytes are stored already"


class PayloadTooLarge(Problem):
    """The body is larger than this endpoint reads."""

    status, code, title = 413, "payload-too-large", "Payload too large"


class UnsupportedMediaType(Problem):
    """The body has another type than this endpoint reads (RFC 9110 §15.5.16)."""

    status, code, title = 415, "unsupported-media-type", "Unsupported media type"


class RangeNotSatisfiable(Problem):
    """The file has no such part (RFC 9110 §15.5.17)."""

    status, code, title = 416, "range-not-satisfiable", "Range not satisfiable"

    def __init__(self, size: int) -> None:
        headers = {"Content-Range": f"bytes */{size}"}
        super().__init__(f"the file has only {size} bytes", headers=headers)


class UnsupportedMechanism(Problem):
    """The client wants to send a file in a way that we do not offer (PEP 694)."""

    status, code, title = 422, "unsupported-mechanism", "Unknown file upload mechanism"


class Unexpected(Problem):
    """Any error that we did not foresee: never raised, the edge makes it from another exception."""

    status, code, title = 500, "internal-error", "Internal error"

    def __init__(self) -> None:
        # The error's own message may quote the request and its tokens, so we do not show it.
        super().__init__(
            "the broker met an unexpected error; the operator finds the cause in the log"
        )


class TooManyRequests(Problem):
    """The source has caused too many refusals; it must wait (RFC 6585 §4)."""

    status, code, title = 429, "too-many-requests", "Too many requests"

    def __init__(self, detail: str, *, retry_after_seconds: int) -> None:
        super().__init__(detail, headers={"Retry-After": str(retry_after_seconds)})


class Unavailable(Problem):
    """We cannot answer now, through no fault of the caller."""

    status, code, title = 503, "unavailable", "Temporarily unavailable"

    def __init__(
        self, detail: str, *, retry_after_seconds: int = 5, operator_detail: str = ""
    ) -> None:
        headers = {"Retry-After": str(retry_after_seconds)}
        super().__init__(detail, operator_detail=operator_detail, headers=headers)


class IssuerUnavailable(Unavailable):
    """The issuer's keys cannot be fetched, so its tokens cannot be verified."""

    code, title = "issuer-unavailable", "The identity token cannot be verified now"


class StoreUnavailable(Unavailable):
    """The store did not answer."""

    code, title = "store-unavailable", "The store does not answer"


class ReceiptUnsigned(StoreUnavailable):
    """No receipt can be signed now, so no file can become visible.

    The caller learns no more; ``cause`` is for the operator.
    """

    def __init__(self, cause: str) -> None:
        super().__init__(
            "the registry cannot sign a receipt now; try again later", operator_detail=cause
        )

    @property
    def reason(self) -> str:
        """Return the name for audit records and metrics."""
        return "receipt-unsigned"
