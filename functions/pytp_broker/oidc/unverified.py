"""Take an identity token apart and check its form; nothing in it is believed yet.

A token has one spelling here: unpadded base64url, and JSON with unique members. So every later
check reads the same values, and the same token cannot be written in another way.
"""

import binascii
from collections.abc import Mapping
from typing import Any, Final

from pytp_broker.errors import InvalidPayload, InvalidToken
from pytp_broker.redaction import Hidden
from pytp_broker.strict_json import parse_json_object

MAX_IDENTITY_TOKEN_BYTES: Final = 16 * 1024
MAX_KEY_ID_CHARACTERS: Final = 256
MAX_ISSUER_CHARACTERS: Final = 2048

# An identity token has neither of these headers. `cty` means another token inside it (RFC 7519
# §5.2). `b64` means a payload that is not base64url (RFC 7797).
_FOREIGN_HEADERS: Final = ("cty", "b64")
# The digits of base64url as those of base64 (RFC 4648 §5), whose own two become no digits at all.
_TO_BASE64: Final = bytes.maketrans(b"-_+/", b"+/!!")


class UnverifiedToken(Hidden):
    """An identity token in its parts, whose signature nobody has checked yet.

    The issuer and the key id are non-empty strings.
    """

    __slots__ = ("signature", "signing_input", "unverified_claims", "unverified_header")

    def __init__(
        self, text: str, header: Mapping[str, Any], claims: Mapping[str, Any], signature: bytes
    ) -> None:
        super().__init__(text)
        # What the signature covers: the token's text without its last part (RFC 7515 §5.2).
        self.signing_input = text.rpartition(".")[0].encode()
        self.unverified_header = header
        self.unverified_claims = claims
        self.signature = signature

    @property
    def unverified_issuer(self) -> str:
        """Return the URL of the issuer that the token names."""
        return str(self.unverified_claims["iss"])

    @property
    def unverified_key_id(self) -> str:
        """Return the id of the key that the token names."""
        return str(self.unverified_header["kid"])


def read_unverified(text: str) -> UnverifiedToken:
    """Take an identity token apart, checking its form only.

    Raises InvalidPayload, or InvalidToken for a signature that cannot be one.
    """
    if len(text) > MAX_IDENTITY_TOKEN_BYTES:
        raise InvalidPayload("the identity token is longer than 16 KiB")
    header_segment, payload_segment, signature_segment = _segments(text)
    header = _parse_segment(header_segment, "header")
    claims = _parse_segment(payload_segment, "payload")
    signature = _decode_signature(signature_segment)
    _check_extensions(header)
    _check_text(claims, "iss", MAX_ISSUER_CHARACTERS)
    _check_text(header, "kid", MAX_KEY_ID_CHARACTERS)
    return UnverifiedToken(text, header, claims, signature)


def _segments(text: str) -> tuple[str, str, str]:
    segments = text.split(".", 3)
    if len(segments) != 3 or not all(segments[:2]):  # noqa: PLR2004 - header, payload, signature
        raise InvalidPayload("malformed JWT: it does not have three segments")
    if text != text.strip():
        raise InvalidPayload("malformed JWT: there is white space around the token")
    return segments[0], segments[1], segments[2]


def _parse_segment(segment: str, name: str) -> dict[str, Any]:
    try:
        return parse_json_object(decode_base64url(segment))
    except (ValueError, InvalidPayload):
        raise InvalidPayload(
            f"malformed JWT: its {name} is not base64url of a JSON object with unique members"
        ) from None


def _decode_signature(segment: str) -> bytes:
    try:
        return decode_base64url(segment)
    except ValueError:
        raise InvalidToken("the identity token's signature is not base64url") from None


def decode_base64url(segment: str) -> bytes:
    """Decode unpadded base64url (RFC 7515 §2); raise ValueError for anything else.

    A last digit with unused bits that are not zero is refused too, so that the same bytes have one
    spelling.
    """
    digits = segment.encode("ascii").translate(_TO_BASE64)
    decoded = binascii.a2b_base64(digits + b"=" * (-len(digits) % 4), strict_mode=True)
    if binascii.b2a_base64(decoded, newline=False).rstrip(b"=") != digits:
        raise ValueError("not unpadded base64url")
    return decoded


def _check_extensions(header: Mapping[str, Any]) -> None:
    if "crit" in header:
        raise InvalidPayload(
            "the identity token requires an extension (`crit`), and the broker supports none"
        )
    for name in _FOREIGN_HEADERS:
        if name in header:
            raise InvalidPayload(f"the identity token's header has a `{name}`; none is supported")


def _check_text(members: Mapping[str, Any], name: str, limit: int) -> None:
    value = members.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= limit:
        raise InvalidPayload(f"malformed JWT: `{name}` must be a non-empty string")
