"""The client of S3, beside boto3's: signed URLs, requests, answers and faults."""

import base64
import hashlib
import io
import random
import socket
import zlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from threading import Thread
from typing import Any, Self
from unittest.mock import patch
from urllib.parse import parse_qs, urlsplit

import boto3
import botocore.auth
import pytest
from botocore.config import Config

from pytp_broker.aws.api.calls import Calls, Clock
from pytp_broker.aws.api.connections import Connections, Limits
from pytp_broker.aws.api.credentials import EnvironmentCredentials
from pytp_broker.aws.api.endpoints import Endpoint, find_endpoint
from pytp_broker.aws.api.errors import RefusedError, UnansweredError
from pytp_broker.aws.api.s3 import S3
from tests.support.emulator import REGION, Emulator, create_bucket

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
KEYS = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
CONTENT = b"what is in the object"
SHA256 = base64.b64encode(hashlib.sha256(CONTENT).digest()).decode()
LIMITS = Limits(connect_seconds=2, read_seconds=0.5, call_seconds=5, max_answer_bytes=1 << 20)
OPENED: list[Connections] = []
LETTERS = [*"abcXYZ019-_.~/ !+'()*&$@=;:,?%#[]{}|\\^`\"<>", *"äß中🎉"]


def client(endpoint: Endpoint, limits: Limits = LIMITS, **environ: str) -> S3:
    """Return our client, whose clock stands still and which never pauses."""
    credentials = EnvironmentCredentials({**KEYS, **environ})
    clock = Clock(now=lambda: NOW, pause=lambda _: None)

    def open_calls(place: Endpoint) -> Calls:
        OPENED.append(Connections(place, limits))
        return Calls(OPENED[-1], credentials, clock)

    return S3(endpoint, open_calls)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """Close what a test leaves open."""
    yield
    while OPENED:
        OPENED.pop().close()


# --- signed URLs ----------------------------------------------------------------------------------


def boto_client(region: str, style: str, url: str | None, token: str) -> Any:
    options: Any = {"addressing_style": style, "us_east_1_regional_endpoint": "regional"}
    config = Config(signature_version="s3v4", s3=options)
    make: Any = boto3.client
    return make(
        "s3",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id="test",
        aws_secret_access_key="test",
        aws_session_token=token or None,
        config=config,
    )


@pytest.mark.parametrize("token", ["", "a-token/of+a=session"])
@pytest.mark.parametrize(
    ("region", "url", "bucket"),
    [
        ("eu-west-1", None, "bucket"),
        ("us-east-1", None, "bucket"),
        ("cn-north-1", None, "bucket-1"),
        ("eu-west-1", None, "bucket.with.dots"),
        ("us-east-1", "http://127.0.0.1:4566", "bucket"),
        ("us-east-1", "https://localhost:4566", "bucket"),
    ],
)
def test_a_signed_url_is_that_of_boto3(
    region: str, url: str | None, bucket: str, token: str
) -> None:
    environ = {"AWS_REGION": region, "AWS_ENDPOINT_URL": url or ""}
    ours = client(find_endpoint("s3", environ), AWS_SESSION_TOKEN=token)
    boto = boto_client(region, "path" if url else "virtual", url, token)
    choose = random.Random(f"{region}{url}{bucket}")  # noqa: S311 - not for secrets

    with patch.object(botocore.auth, "get_current_datetime", lambda: NOW.replace(tzinfo=None)):
        for _ in range(200):
            method, params = any_call(choose, bucket)
            seconds = choose.randint(1, 604800)
            signed = ours.generate_presigned_url(method, params, seconds)
            expected = boto.generate_presigned_url(method, Params=params, ExpiresIn=seconds)

            assert read_url(signed) == read_url(expected)
    boto.close()


def any_call(choose: random.Random, bucket: str) -> tuple[str, dict[str, Any]]:
    key = "".join(choose.choices(LETTERS, k=choose.randint(1, 60))).lstrip("/") or "k"
    params: dict[str, Any] = {"Bucket": bucket, "Key": key}
    if choose.random() < 0.5:
        return "get_object", params
    sha256 = base64.b64encode(choose.randbytes(32)).decode()
    more = {"ContentLength": choose.randrange(1 << 40), "ChecksumSHA256": sha256}
    return "put_object", {**params, **more, "IfNoneMatch": "*", "Tagging": "state=staged"}


def read_url(url: str) -> tuple[str, str, dict[str, list[str]]]:
    """Return what a URL says, whatever the order of its parameters: the signature is of all."""
    parts = urlsplit(url)
    query = parse_qs(parts.query, keep_blank_values=True, strict_parsing=True)
    return f"{parts.scheme}://{parts.netloc}", parts.path, query


def test_a_url_of_an_unknown_method_is_not_signed() -> None:
    ours = client(Endpoint("s3", REGION, "127.0.0.1", 4566, is_tls=False))

    with pytest.raises(KeyError):
        ours.generate_presigned_url("delete_object", {"Bucket": "bucket", "Key": "k"}, 60)


# --- the emulator, asked by both ------------------------------------------------------------------


@pytest.fixture
def both(emulator: Emulator) -> tuple[S3, Any, str]:
    endpoint = find_endpoint(
        "s3", {"AWS_REGION": REGION, "AWS_ENDPOINT_URL": emulator.endpoint_url}
    )
    boto = emulator.client("s3")
    return client(endpoint, Limits()), boto, create_bucket(boto)


ODD_KEYS = ["plain", "a/b/c.whl", "ä 中+%/~!'()*&=@:,;", "..", "a//b", " "]


@pytest.mark.ministack
@pytest.mark.parametrize("key", ODD_KEYS, ids=range(len(ODD_KEYS)))
def test_each_reads_what_the_other_has_stored(both: tuple[S3, Any, str], key: str) -> None:
    ours, boto, bucket = both
    for writer, suffix in ((ours, "1"), (boto, "2")):
        writer.put_object(
            Bucket=bucket, Key=key + suffix, Body=CONTENT, ChecksumSHA256=SHA256, IfNoneMatch="*"
        )

    for suffix in "12":
        where = {"Bucket": bucket, "Key": key + suffix}
        assert ours.get_object(**where)["Body"].read() == CONTENT
        assert boto.get_object(**where)["Body"].read() == CONTENT
        theirs = boto.head_object(**where, ChecksumMode="ENABLED")
        found = ours.head_object(**where, ChecksumMode="ENABLED")
        assert found["ContentLength"] == theirs["ContentLength"] == len(CONTENT)
        assert found["ChecksumSHA256"] == theirs.get("ChecksumSHA256", "")
        assert found["ETag"] == theirs["ETag"]


@pytest.mark.ministack
@pytest.mark.parametrize("wanted", ["bytes=0-3", "bytes=5-", "bytes=-4", "bytes=3-1000"])
def test_a_range_is_that_of_boto3(both: tuple[S3, Any, str], wanted: str) -> None:
    ours, boto, bucket = both
    where = {"Bucket": bucket, "Key": "k"}
    ours.put_object(**where, Body=CONTENT, ChecksumSHA256=SHA256)

    theirs = boto.get_object(**where, Range=wanted)
    found = ours.get_object(**where, Range=wanted, IfMatch=theirs["ETag"])

    assert found["Body"].read() == theirs["Body"].read()
    assert found["ContentRange"] == theirs["ContentRange"]


@pytest.mark.ministack
def test_tags_and_lists_are_those_of_boto3(both: tuple[S3, Any, str]) -> None:
    ours, boto, bucket = both
    keys = ["trust-root/1.json", "trust-root/2&<>.json", "other"]
    for key in keys:
        ours.put_object(
            Bucket=bucket, Key=key, Body=CONTENT, ChecksumSHA256=SHA256, Tagging="state=staged"
        )

    tags = [{"Key": "state", "Value": '<kept> & "good"'}, {"Key": "two", "Value": ""}]
    ours.put_object_tagging(Bucket=bucket, Key="other", Tagging={"TagSet": tags})

    assert boto.get_object_tagging(Bucket=bucket, Key="other")["TagSet"] == tags
    assert boto.get_object_tagging(Bucket=bucket, Key=keys[0])["TagSet"] == [
        {"Key": "state", "Value": "staged"}
    ]
    listed = ours.list_objects_v2(Bucket=bucket, Prefix="trust-root/")
    expected = boto.list_objects_v2(Bucket=bucket, Prefix="trust-root/")
    assert [e["Key"] for e in listed["Contents"]] == [e["Key"] for e in expected["Contents"]]
    assert ours.list_objects_v2(Bucket=bucket, Prefix="nothing/")["Contents"] == []


REFUSED: list[Callable[[Any, str], Any]] = [
    lambda s3, bucket: s3.get_object(Bucket=bucket, Key="nothing"),
    lambda s3, bucket: s3.head_object(Bucket=bucket, Key="nothing"),
    lambda s3, bucket: s3.get_object(Bucket=bucket, Key="there", Range="bytes=999-1000"),
    lambda s3, bucket: s3.get_object(Bucket=bucket, Key="there", IfMatch='"another"'),
    lambda s3, bucket: s3.put_object(
        Bucket=bucket, Key="there", Body=CONTENT, ChecksumSHA256=SHA256, IfNoneMatch="*"
    ),
    lambda s3, bucket: s3.put_object_tagging(
        Bucket=bucket, Key="nothing", Tagging={"TagSet": [{"Key": "k", "Value": "v"}]}
    ),
    lambda s3, _: s3.list_objects_v2(Bucket="no-such-bucket", Prefix=""),
]


@pytest.mark.ministack
@pytest.mark.parametrize("ask", REFUSED, ids=range(len(REFUSED)))
def test_a_refusal_has_the_code_of_boto3(both: tuple[S3, Any, str], ask: Any) -> None:
    ours, boto, bucket = both
    ours.put_object(Bucket=bucket, Key="there", Body=CONTENT, ChecksumSHA256=SHA256)

    with pytest.raises(RefusedError) as theirs:
        ask(boto, bucket)
    with pytest.raises(RefusedError) as refused:
        ask(ours, bucket)

    assert refused.value.cause == theirs.value.cause
    assert refused.value.status == theirs.value.status


# --- faults ---------------------------------------------------------------------------------------


class Script:
    """A server that answers each request with the next of its answers, whatever was asked."""

    def __init__(self, *answers: bytes) -> None:
        self._answers = list(answers)
        self.asked: list[bytes] = []
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.endpoint = Endpoint(
            "s3", REGION, "127.0.0.1", self._listening.getsockname()[1], is_tls=False
        )

    def __enter__(self) -> Self:
        Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.close()

    def _serve(self) -> None:
        while self._answers:
            try:
                connection, _ = self._listening.accept()
            except OSError:
                return
            with connection:
                self._talk(connection)

    def _talk(self, connection: socket.socket) -> None:
        """Answer on one connection until an answer says that it is the last one, or is broken."""
        while self._answers and (asked := connection.recv(1 << 20)):
            self.asked.append(asked)
            answer = self._answers.pop(0)
            connection.sendall(answer)
            if b"Connection: keep-alive" not in answer:
                return


def http(status: str, body: bytes = b"", **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}"]
    headers = {"Connection": "close", **headers}
    lines += [f"{name.replace('_', '-')}: {text}" for name, text in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body


def error(code: str) -> bytes:
    return f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>m</Message></Error>".encode()


def get(script: Script, limits: Limits = LIMITS) -> bytes:
    with script:
        body = client(script.endpoint, limits).get_object(Bucket="b", Key="k")["Body"]
    octets: bytes = body.read()
    return octets


GOOD = http("200 OK", CONTENT)
HTML = b"<html><body>Bad <br> gateway & more</body></html>"
ENTITIES = b"""<?xml version="1.0"?><!DOCTYPE e [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;">]>
<Error><Code>&b;</Code></Error>"""


@pytest.mark.parametrize(
    ("first", "status", "code"),
    [
        pytest.param(http("403 Forbidden", HTML), 403, "403", id="html"),
        pytest.param(http("403 Forbidden", error("AccessDenied")[:-9]), 403, "403", id="cut"),
        pytest.param(http("403 Forbidden", ENTITIES), 403, "403", id="entities"),
        pytest.param(http("403 Forbidden", b"<a>" * 40), 403, "403", id="deep"),
        pytest.param(http("403 Forbidden"), 403, "403", id="empty"),
        pytest.param(http("404 Not Found", error("NoSuchKey")), 404, "NoSuchKey", id="no key"),
        pytest.param(
            http("301 Moved Permanently", error("PermanentRedirect"), Location="http://127.0.0.1/"),
            *(301, "PermanentRedirect"),
            id="301",
        ),
        pytest.param(
            http("307 Temporary Redirect", b"", Location="http://127.0.0.1:1/"),
            307,
            "307",
            id="307",
        ),
    ],
)
def test_a_refusal_is_not_repeated_and_a_redirect_not_followed(
    first: bytes, status: int, code: str
) -> None:
    script = Script(first, GOOD)

    with pytest.raises(RefusedError) as refused:
        get(script)

    assert (refused.value.status, refused.value.code) == (status, code)
    assert len(script.asked) == 1


@pytest.mark.parametrize(
    "first",
    [
        pytest.param(http("503 Slow Down", error("SlowDown")), id="slow down"),
        pytest.param(http("500 Internal Server Error", HTML), id="html"),
        pytest.param(http("400 Bad Request", error("RequestTimeout")), id="request timeout"),
        pytest.param(GOOD[:-3], id="shorter than it says"),
        pytest.param(GOOD[:20], id="cut in its head"),
        pytest.param(b"<html>" + HTML, id="not HTTP"),
        pytest.param(b"", id="closed"),
        pytest.param(http("200 OK", CONTENT, x_amz_checksum_sha256="AAAA"), id="sha256"),
        pytest.param(http("200 OK", CONTENT, x_amz_checksum_crc32="AAAA"), id="crc32"),
    ],
)
def test_what_may_have_been_an_accident_is_asked_again(first: bytes) -> None:
    assert get(Script(first, GOOD)) == CONTENT


def test_two_accidents_are_an_error() -> None:
    with pytest.raises(UnansweredError) as unanswered:
        get(Script(GOOD[:-3], GOOD[:-3]))
    assert unanswered.value.cause == "GetObject: BrokenAnswerError"


def test_a_kept_connection_that_has_ended_is_replaced() -> None:
    """Whether its end was announced, or the server has said that it keeps the connection."""
    kept = http("200 OK", CONTENT, Connection="keep-alive")
    broken_off = http("200 OK", CONTENT, Connection="Keep-Alive")  # the script takes this as an end
    with Script(kept, broken_off, GOOD, GOOD) as script:
        ours = client(script.endpoint)
        bodies = [ours.get_object(Bucket="b", Key="k")["Body"].read() for _ in range(4)]

    assert bodies == [CONTENT] * 4


def test_an_answer_that_does_not_come_is_not_awaited_for_long() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        endpoint = Endpoint("s3", REGION, "127.0.0.1", port, is_tls=False)
        quick = Limits(connect_seconds=0.1, read_seconds=0.05, call_seconds=0.2)

        with pytest.raises(UnansweredError) as unanswered:
            client(endpoint, quick).head_object(Bucket="b", Key="k")
        assert unanswered.value.cause == "HeadObject: TimeoutError"


def test_an_object_that_is_too_large_is_refused() -> None:
    small = Limits(read_seconds=0.5, max_answer_bytes=4)

    with pytest.raises(UnansweredError):
        get(Script(GOOD, GOOD), small)


@pytest.mark.parametrize(
    "headers",
    [
        {"x_amz_checksum_sha256": SHA256},
        {"x_amz_checksum_crc32": base64.b64encode(zlib.crc32(CONTENT).to_bytes(4)).decode()},
        {"x_amz_checksum_sha256": "AAAA-2"},
        {"x_amz_checksum_crc32": "AAAA-2"},
    ],
    ids=["sha256", "crc32", "sha256 of parts", "crc32 of parts"],
)
def test_the_bytes_of_a_whole_object_are_compared(headers: dict[str, str]) -> None:
    assert get(Script(http("200 OK", CONTENT, **headers))) == CONTENT


@pytest.mark.parametrize(("size", "is_good"), [(100, True), (len(CONTENT), False)])
def test_a_checksum_is_not_that_of_a_part(size: int, is_good: bool) -> None:
    last = len(CONTENT) - 1
    partial = http(
        "206 Partial Content",
        CONTENT,
        Content_Range=f"bytes 0-{last}/{size}",
        x_amz_checksum_sha256="AAAA",
    )

    if is_good:
        assert get(Script(partial, partial)) == CONTENT
    else:
        with pytest.raises(UnansweredError):
            get(Script(partial, partial))


def test_the_length_of_an_object_must_be_a_number() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"
    with Script(head, head) as script, pytest.raises(UnansweredError):
        client(script.endpoint).head_object(Bucket="b", Key="k")


def test_a_refused_list_and_one_that_is_not_xml() -> None:
    for answer, kind in ((http("403 F", error("AccessDenied")), RefusedError),):
        with Script(answer) as script, pytest.raises(kind):
            client(script.endpoint).list_objects_v2(Bucket="b", Prefix="p")
    with (
        Script(http("200 OK", HTML), http("200 OK", HTML)) as script,
        pytest.raises(UnansweredError, match="not XML"),
    ):
        client(script.endpoint).list_objects_v2(Bucket="b", Prefix="p")


# --- requests -------------------------------------------------------------------------------------


@pytest.fixture
def sent() -> Iterator[Script]:
    with Script(http("200 OK")) as script:
        yield script


def test_a_put_is_signed_with_its_hash_and_waits_for_nothing(sent: Script) -> None:
    client(sent.endpoint).put_object(
        Bucket="b", Key="a b", Body=CONTENT, ChecksumSHA256=SHA256, IfNoneMatch="*", Tagging="s=k"
    )

    (asked,) = sent.asked
    head, _, body = asked.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    assert lines[0] == "put /b/a%20b http/1.1"
    assert {f"x-amz-content-sha256: {hashlib.sha256(CONTENT).hexdigest()}"} <= {*lines}
    assert f"x-amz-checksum-sha256: {SHA256}".lower() in lines
    assert "if-none-match: *" in lines
    assert "x-amz-tagging: s=k" in lines
    assert not any(line.startswith("expect") for line in lines)
    assert body == CONTENT


def test_the_body_of_a_put_may_be_a_file(sent: Script) -> None:
    client(sent.endpoint).put_object(
        Bucket="b", Key="k", Body=io.BytesIO(CONTENT), ChecksumSHA256=SHA256
    )

    assert sent.asked[0].endswith(b"\r\n\r\n" + CONTENT)


def test_a_bucket_has_a_host_of_its_own_at_aws() -> None:
    opened: list[Endpoint] = []

    def open_calls(endpoint: Endpoint) -> Calls:
        opened.append(endpoint)
        credentials = EnvironmentCredentials(KEYS)
        return Calls(Connections(endpoint, LIMITS), credentials, Clock())

    ours = S3(find_endpoint("s3", {"AWS_REGION": "eu-west-1"}), open_calls)
    for bucket in ("one", "one", "two.three"):
        ours.generate_presigned_url("get_object", {"Bucket": bucket, "Key": "k"}, 60)

    assert [endpoint.host for endpoint in opened] == [
        "one.s3.eu-west-1.amazonaws.com",
        "s3.eu-west-1.amazonaws.com",
    ]
