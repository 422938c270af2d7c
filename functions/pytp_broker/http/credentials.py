"""Read the credentials of a request: Basic (RFC 7617) or Bearer (RFC 6750)."""

import base64
from collections.abc import Mapping
from typing import Final

from pytp_broker.errors import Unauthorized
from pytp_broker.tokens import UploadToken

USER_NAME: Final = "__token__"

_TOKEN_SCHEMES: Final = ("bearer", "token")
_NO_TOKEN: Final = (
    f"send a token as the password of the user {USER_NAME} (Basic), or as a Bearer token: "
    "an upload token to publish, a read token to install"
)
_NOT_WHOLE: Final = f"the Authorization header does not hold one whole token: {_NO_TOKEN}"
# We do not repeat the name, because some people put the token there.
_OTHER_USER: Final = f"the user name is not {USER_NAME}: {_NO_TOKEN}"
_NO_CLIENT: Final = "send the client's id and secret as Basic credentials"


def read_token(headers: Mapping[str, str]) -> UploadToken:
    """Return the token of a request; raise Unauthorized.

    Nothing is looked up: a well-formed token may still be unknown.
    """
    try:
        return UploadToken.parse(_read_token_text(headers))
    except ValueError:
        raise Unauthorized(_NOT_WHOLE if headers.get("authorization") else _NO_TOKEN) from None


def read_client(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the id and the secret of a client (RFC 6749 §2.3.1); raise Unauthorized."""
    try:
        return _read_basic(*_split(headers))
    except ValueError:
        raise Unauthorized(_NO_CLIENT) from None


def _read_token_text(headers: Mapping[str, str]) -> str:
    scheme, credentials = _split(headers)
    if scheme in _TOKEN_SCHEMES:
        return credentials
    user, password = _read_basic(scheme, credentials)
    if user != USER_NAME:
        raise Unauthorized(_OTHER_USER)
    return password.strip()


def _split(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the scheme in lower case, and the credentials after it.

    Two Authorization headers arrive joined by a comma, which neither form of credentials holds.
    """
    scheme, _, credentials = headers.get("authorization", "").partition(" ")
    return scheme.lower(), credentials


def _read_basic(scheme: str, credentials: str) -> tuple[str, str]:
    if scheme != "basic":
        raise ValueError("another scheme")
    user, colon, password = base64.b64decode(credentials, validate=True).decode().partition(":")
    if not colon:
        raise ValueError("no password")
    return user, password
