"""Read the claims of a token or a file, as an operator gives them on the command line."""

from codecs import BOM_UTF8
from datetime import UTC, datetime
from pathlib import Path

from pytp_broker.cli.command import CommandError
from pytp_broker.errors import InvalidPayload
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.oidc.unverified import decode_base64url
from pytp_broker.redaction import printable
from pytp_broker.strict_json import parse_json_object


def read_claims(text: str) -> SignedClaims:
    """Return the claims of a token or a file as if they were signed; raise CommandError.

    Nobody has verified them. They are good for an explanation on the operator's own machine, and
    for nothing else.
    """
    try:
        if text.count(".") == 2 and not Path(text[:255]).exists():  # noqa: PLR2004 - a JWT
            claims = parse_json_object(decode_base64url(text.strip().split(".")[1]))
        else:
            claims = parse_json_object(Path(text).read_bytes().removeprefix(BOM_UTF8))
    except (InvalidPayload, ValueError):
        raise CommandError(
            "the argument is neither a JWT nor the name of a file with a JSON object"
        ) from None
    except OSError as error:
        raise CommandError(f"{printable(text)}: {error.strerror}") from None
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise CommandError("the claims have no `iss`, which names the issuer")
    return SignedClaims(issuer, "", datetime.max.replace(tzinfo=UTC), claims)
