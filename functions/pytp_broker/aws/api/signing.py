"""Sign requests to AWS: Signature Version 4, in headers or in a URL.

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html

Every header of a request is signed, so headers that a proxy may change are added afterwards. The
tests compare both forms with botocore's signer, on thousands of requests.
"""

import hashlib
import hmac
import re
from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Final
from urllib.parse import quote

from pytp_broker.aws.api.credentials import Credentials
from pytp_broker.aws.api.endpoints import Endpoint
from pytp_broker.aws.api.messages import Request, encode_query

# The digest of a request that is signed without its body.
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
# The segments of a path that services other than S3 resolve before they verify a signature.
_CHANGED: Final = re.compile(r"//|/\.\.?(/|$)")
_ALGORITHM: Final = "AWS4-HMAC-SHA256"


def sign(
    request: Request, endpoint: Endpoint, credentials: Credentials, now: datetime
) -> dict[str, str]:
    """Return the headers of the signed request: its own, and those that sign it."""
    moment = f"{now:%Y%m%dT%H%M%SZ}"
    digest = request.digest or hashlib.sha256(request.body).hexdigest()
    headers = {**request.headers, "x-amz-date": moment}
    if credentials.session_token:
        headers["x-amz-security-token"] = credentials.session_token
    if endpoint.service == "s3":
        headers["x-amz-content-sha256"] = digest
    names, lines = _canonical_headers({**headers, "host": endpoint.authority})
    query = encode_query(request.query)
    canonical = "\n".join((_first_lines(request, endpoint), query, lines, names, digest))
    signature = _signature(canonical, endpoint, credentials, moment)
    headers["authorization"] = (
        f"{_ALGORITHM} Credential={_credential(endpoint, credentials, moment)}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return headers


def presign(
    request: Request, endpoint: Endpoint, credentials: Credentials, now: datetime, seconds: int
) -> str:
    """Return the target of a URL that stands for the request, for so many seconds.

    The URL does not fix the body, unless the request has a ``digest``. It fixes the headers: the
    client must send them as they are.
    """
    moment = f"{now:%Y%m%dT%H%M%SZ}"
    names, lines = _canonical_headers({**request.headers, "host": endpoint.authority})
    pairs = [
        *request.query,
        ("X-Amz-Algorithm", _ALGORITHM),
        ("X-Amz-Credential", _credential(endpoint, credentials, moment)),
        ("X-Amz-Date", moment),
        ("X-Amz-Expires", str(seconds)),
        ("X-Amz-SignedHeaders", names),
    ]
    if credentials.session_token:
        pairs.append(("X-Amz-Security-Token", credentials.session_token))
    query, digest = encode_query(pairs), request.digest or UNSIGNED
    canonical = "\n".join((_first_lines(request, endpoint), query, lines, names, digest))
    signature = _signature(canonical, endpoint, credentials, moment)
    return f"{request.path}?{query}&X-Amz-Signature={signature}"


def _first_lines(request: Request, endpoint: Endpoint) -> str:
    """Return the method and the path as they are signed: encoded once more, except for S3."""
    if endpoint.service == "s3":
        return f"{request.method}\n{request.path}"
    if _CHANGED.search(request.path):
        raise ValueError(f"a path with dots or empty segments: {request.path!r}")
    return f"{request.method}\n{quote(request.path, safe='/~')}"


def _canonical_headers(headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the names of the headers, and their lines."""
    found = sorted((name.lower(), " ".join(text.split())) for name, text in headers.items())
    names = ";".join(name for name, _ in found)
    return names, "".join(f"{name}:{text}\n" for name, text in found)


def _credential(endpoint: Endpoint, credentials: Credentials, moment: str) -> str:
    return f"{credentials.access_key_id}/{_scope(endpoint, moment)}"


def _scope(endpoint: Endpoint, moment: str) -> str:
    """Return what a signature is good for: a service in a region, on a day."""
    return f"{moment[:8]}/{endpoint.region}/{endpoint.service}/aws4_request"


def _signature(canonical: str, endpoint: Endpoint, credentials: Credentials, moment: str) -> str:
    digest = hashlib.sha256(canonical.encode()).hexdigest()
    scope = _scope(endpoint, moment)
    key = _signing_key(credentials.secret_access_key, scope)
    text = f"{_ALGORITHM}\n{moment}\n{scope}\n{digest}"
    return hmac.digest(key, text.encode(), "sha256").hex()


# A function asks up to four services, and its credentials change a few times a day.
@lru_cache(maxsize=16)
def _signing_key(secret_access_key: str, scope: str) -> bytes:
    key = f"AWS4{secret_access_key}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
