"""Signature Version 4, beside botocore's signer."""

import hashlib
import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest.mock import patch
from urllib.parse import parse_qsl, quote, urlsplit

import botocore.auth
import pytest
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials as BotoCredentials

from pytp_broker.aws.api.credentials import Credentials
from pytp_broker.aws.api.endpoints import Endpoint
from pytp_broker.aws.api.messages import Request, encode_query
from pytp_broker.aws.api.signing import UNSIGNED, presign, sign

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
# So many requests for each of these numbers.
EACH = 125
SEEDS = range(8)
S3_ENDPOINTS = [
    Endpoint("s3", "eu-west-1", "bucket.s3.eu-west-1.amazonaws.com"),
    Endpoint("s3", "us-east-1", "127.0.0.1", 4566, is_tls=False),
]
ENDPOINTS = [
    Endpoint("dynamodb", "us-east-1", "dynamodb.us-east-1.amazonaws.com"),
    Endpoint("lambda", "cn-north-1", "lambda.cn-north-1.amazonaws.com.cn"),
    Endpoint("kms", "eu-west-1", "::1", 8080),
]
PRINTABLE = [chr(code) for code in range(0x20, 0x7F)]
# Among them are blanks, what a path or a query sets off, and letters of one to four bytes.
TEXTS = [
    *"  ab~-_.+%/?&=;:,@!*'()\"<>[]{}|^`\\\0\n\t",
    *PRINTABLE,
    *"äéßÖ中文字🎉\u200b\ufeff\u0301",
]
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"


class Making:
    """Makes odd requests; the same ones for a seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - not for secrets
        self.choose = self._random.choice

    def text(self, letters: Sequence[str], most: int, least: int = 0) -> str:
        return "".join(self._random.choices(letters, k=self._random.randint(least, most)))

    def path(self) -> str:
        segments = [self.text(TEXTS, 8, 1) for _ in range(self._random.randint(0, 4))]
        return "/" + "/".join(quote(each, safe="~") for each in segments if each.strip("."))

    def s3_path(self) -> str:
        """Return the path of a key, which may have empty segments and dots."""
        segments = [self.choose(["", ".", "..", self.text(TEXTS, 8)]) for _ in range(4)]
        return "/" + "/".join(quote(each, safe="~") for each in segments)

    def headers(self) -> dict[str, str]:
        """Return headers, some with blanks at the ends and within."""
        names = {f"x-AMZ-{self.text(LETTERS, 6, 1)}" for _ in range(self._random.randint(0, 5))}
        return {name: self.text([*PRINTABLE, *"      "], 30) for name in names}

    def query(self) -> list[tuple[str, str]]:
        """Return parameters in any order, some of them without a value and some twice."""
        names = [self.text(TEXTS, 5, 1) for _ in range(self._random.randint(0, 4))]
        return [(name, self.text(TEXTS, 10)) for name in [*names, *names[:1]]]

    def request(self, path: str) -> Request:
        method = self.choose(["GET", "PUT", "POST", "HEAD", "DELETE"])
        body = self._random.randbytes(self.choose([0, 1, 1000]))
        return Request(method, path, self.headers(), body, self.query())

    def credentials(self) -> Credentials:
        token = self.choose(["", self.text(LETTERS, 400, 1)])
        return Credentials(self.text(LETTERS, 20, 16), self.text(PRINTABLE[1:], 44, 1), token)

    def now(self) -> datetime:
        """Return a moment of this century: often a second before or after midnight."""
        day = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(days=self._random.randrange(36500))
        return day + timedelta(seconds=self.choose([-1, -0.000001, 0, 1, 43210.5]))


def target_of(request: Request) -> str:
    return f"{request.path}?{encode_query(request.query)}" if request.query else request.path


def other(request: Request, endpoint: Endpoint) -> AWSRequest:
    """Return the request as botocore has it."""
    return AWSRequest(
        request.method,
        f"{endpoint.url}{target_of(request)}",
        headers=dict(request.headers),
        data=request.body,
    )


def signed_by_botocore(signer: Any, request: AWSRequest, now: datetime) -> AWSRequest:
    with patch.object(botocore.auth, "get_current_datetime", lambda: now.replace(tzinfo=None)):
        signer.add_auth(request)
    return request


def boto_credentials(found: Credentials) -> BotoCredentials:
    token = found.session_token or None
    return BotoCredentials(found.access_key_id, found.secret_access_key, token)


def lowered(found: Any) -> dict[str, str]:
    return {name.lower(): value for name, value in dict(found).items()}


@pytest.mark.parametrize("seed", SEEDS)
def test_the_headers_are_those_of_botocore(seed: int) -> None:
    making = Making(seed)
    for _ in range(EACH):
        request, endpoint = making.request(making.path()), making.choose(ENDPOINTS)
        found, now = making.credentials(), making.now()
        signer = botocore.auth.SigV4Auth(boto_credentials(found), endpoint.service, endpoint.region)

        expected = signed_by_botocore(signer, other(request, endpoint), now)

        assert lowered(sign(request, endpoint, found, now)) == lowered(expected.headers)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_headers_for_s3_are_those_of_botocore(seed: int) -> None:
    making = Making(seed)
    for _ in range(EACH):
        request, endpoint = making.request(making.s3_path()), making.choose(S3_ENDPOINTS)
        found, now = making.credentials(), making.now()
        signer = botocore.auth.S3SigV4Auth(boto_credentials(found), "s3", endpoint.region)
        asked = other(request, endpoint)
        asked.context["payload_signing_enabled"] = True

        expected = signed_by_botocore(signer, asked, now)

        assert lowered(sign(request, endpoint, found, now)) == lowered(expected.headers)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_presigned_url_is_that_of_botocore(seed: int) -> None:
    making = Making(seed)
    for _ in range(EACH):
        made, endpoint = making.request(making.s3_path()), making.choose(S3_ENDPOINTS)
        found, now, seconds = making.credentials(), making.now(), making.choose([1, 300, 604800])
        # botocore takes each name once here.
        query = [*dict(made.query).items()]
        request = Request(made.method, made.path, made.headers, query=query)
        signer = botocore.auth.S3SigV4QueryAuth(
            boto_credentials(found), "s3", endpoint.region, expires=seconds
        )
        asked = other(Request(made.method, made.path, made.headers), endpoint)
        asked.params = dict(query)

        expected = urlsplit(signed_by_botocore(signer, asked, now).url)

        target = urlsplit(endpoint.url + presign(request, endpoint, found, now, seconds))
        assert target.path == expected.path
        assert parameters(target.query) == parameters(expected.query)


def parameters(query: str) -> list[tuple[str, str]]:
    """Return what a query says; botocore's is in another order than the one that it signs."""
    return sorted(parse_qsl(query, keep_blank_values=True, strict_parsing=True))


def test_the_digest_of_a_body_may_be_known_already() -> None:
    endpoint, now = Endpoint("s3", "us-east-1", "localhost"), datetime(2026, 1, 1, tzinfo=UTC)
    found = Credentials("AKIA", SECRET)
    whole = Request("PUT", "/key", body=b"content")
    digest = hashlib.sha256(b"content").hexdigest()

    assert sign(Request("PUT", "/key", digest=digest), endpoint, found, now) == sign(
        whole, endpoint, found, now
    )
    unsigned = sign(Request("PUT", "/key", body=b"content", digest=UNSIGNED), endpoint, found, now)
    assert unsigned["x-amz-content-sha256"] == UNSIGNED


@pytest.mark.parametrize("path", ["/a//b", "/a/./b", "/../b", "/a/..", "/a/."])
def test_a_path_that_other_services_than_s3_would_change_is_not_signed(path: str) -> None:
    endpoint = Endpoint("lambda", "us-east-1", "localhost")

    with pytest.raises(ValueError, match="dots or empty segments"):
        sign(Request("GET", path), endpoint, Credentials("A", "B"), datetime.now(UTC))


def test_a_secret_is_not_shown() -> None:
    found = Credentials("AKIA", "the secret", "the token")

    assert "AKIA" in repr(found)
    assert "the secret" not in repr(found)
    assert "the token" not in repr(found)
