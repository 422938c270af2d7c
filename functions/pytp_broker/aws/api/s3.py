"""A client of S3, with the methods of boto3's that the file store calls while it runs.

A redirect is never followed: it is an error with its own code. Where S3 says the checksum of an
object, the bytes that came are compared with it. The tests compare requests, answers and signed
URLs with boto3's.
"""

# ruff: noqa: N803 - the arguments have boto3's names

import base64
import hashlib
import io
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Final, Protocol
from urllib.parse import quote

from pytp_broker.aws.api.answers import Answer, BrokenAnswerError
from pytp_broker.aws.api.calls import Calls
from pytp_broker.aws.api.connections import Limits
from pytp_broker.aws.api.endpoints import Endpoint
from pytp_broker.aws.api.errors import RefusedError
from pytp_broker.aws.api.messages import Request

# A range of an object has at most 8 MiB. No function waits longer than half a minute in all.
LIMITS: Final = Limits(call_seconds=20, max_answer_bytes=64 * 1024 * 1024)

# How boto3 names what S3 has as a header.
_HEADERS: Final = {
    "ChecksumMode": "x-amz-checksum-mode",
    "ChecksumSHA256": "x-amz-checksum-sha256",
    "ContentLength": "content-length",
    "IfMatch": "if-match",
    "IfNoneMatch": "if-none-match",
    "Range": "range",
    "Tagging": "x-amz-tagging",
}
_METHODS: Final = {"get_object": "GET", "put_object": "PUT"}
_OK: Final = 200
_PARTIAL: Final = 206


class Readable(Protocol):
    """An open file, as much of it as is needed here."""

    def read(self) -> bytes:
        """Return all bytes."""


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a bucket is: who makes its calls, and what comes before the key in a path."""

    calls: Calls
    path: str


class S3:
    """Calls S3; threads may share it. Every method raises CallError.

    ``open_calls`` makes the calls of an endpoint: at AWS each bucket has its own.
    """

    def __init__(self, endpoint: Endpoint, open_calls: Callable[[Endpoint], Calls]) -> None:
        self._endpoint = endpoint
        self._open_calls = open_calls
        self._places: dict[str, _Place] = {}

    def get_object(self, **parameters: str) -> dict[str, Any]:
        """Return an object or a range of one: ``Body`` has its bytes."""
        headers = _headers_of({"ChecksumMode": "ENABLED", **parameters})
        return self._make("GetObject", "GET", parameters, _read_object, headers=headers)

    def head_object(self, **parameters: str) -> dict[str, Any]:
        """Return what S3 knows of an object."""
        headers = _headers_of(parameters)
        return self._make("HeadObject", "HEAD", parameters, _read_members, headers=headers)

    def put_object(self, Body: "bytes | Readable", **parameters: str) -> dict[str, Any]:
        """Store an object, whose checksum S3 compares before it does."""
        wanted = {
            "headers": _headers_of(parameters),
            "body": Body if isinstance(Body, bytes) else Body.read(),
            "digest": base64.b64decode(parameters["ChecksumSHA256"]).hex(),
        }
        return self._make("PutObject", "PUT", parameters, _read_members, **wanted)

    def put_object_tagging(self, Tagging: Mapping[str, Any], **parameters: str) -> dict[str, Any]:
        """Replace the tags of an object."""
        from pytp_broker.aws.api.xml_documents import write_tagging

        body = write_tagging([(tag["Key"], tag["Value"]) for tag in Tagging["TagSet"]])
        wanted = {
            "headers": {"x-amz-checksum-crc32": _crc32(body)},
            "body": body,
            "query": (("tagging", ""),),
        }
        return self._make("PutObjectTagging", "PUT", parameters, _read_members, **wanted)

    def list_objects_v2(self, Prefix: str, **parameters: str) -> dict[str, Any]:
        """Return the first thousand keys that begin with a prefix."""
        query = (("list-type", "2"), ("prefix", Prefix))
        bucket = {"Key": "", **parameters}
        return self._make("ListObjectsV2", "GET", bucket, _read_keys, query=query)

    def generate_presigned_url(self, method: str, Params: Mapping[str, Any], ExpiresIn: int) -> str:
        """Return a URL that stands for a call, for so many seconds."""
        place = self._place_of(Params["Bucket"])
        request = Request(_METHODS[method], _path(place, Params["Key"]), _headers_of(Params))
        return place.calls.presigned_url(method, request, ExpiresIn)

    def _make(
        self,
        operation: str,
        method: str,
        parameters: Mapping[str, Any],
        read: Callable[[str, Answer], dict[str, Any]],
        **members: Any,  # noqa: ANN401 - of a Request
    ) -> dict[str, Any]:
        place = self._place_of(parameters["Bucket"])
        request = Request(method, _path(place, parameters["Key"]), **members)
        return place.calls.make(operation, request, read)

    def _place_of(self, bucket: str) -> _Place:
        place = self._places.get(bucket)
        if place is None:
            place = self._open(bucket)
        # Two threads may come here together. Both take the one that is there first.
        return self._places.setdefault(bucket, place)

    def _open(self, bucket: str) -> _Place:
        """Return a bucket's place: a host of its own at AWS, else a path.

        A certificate of AWS covers one label before its name, so it covers no bucket with a dot.
        """
        endpoint = self._endpoint
        has_host = endpoint.host.startswith(f"s3.{endpoint.region}.") and "." not in bucket
        if has_host:
            own = replace(endpoint, host=f"{bucket}.{endpoint.host}")
            return _Place(self._open_calls(own), "/")
        return _Place(self._open_calls(endpoint), f"/{bucket}/")


def _path(place: _Place, key: str) -> str:
    return place.path + quote(key, safe="/~")


def _headers_of(parameters: Mapping[str, Any]) -> dict[str, str]:
    return {_HEADERS[name]: str(parameters[name]) for name in _HEADERS if name in parameters}


def _crc32(octets: bytes) -> str:
    return base64.b64encode(zlib.crc32(octets).to_bytes(4, "big")).decode()


def _read_members(operation: str, answer: Answer) -> dict[str, Any]:
    """Return what the headers say; raise RefusedError."""
    if answer.status not in {_OK, _PARTIAL}:
        raise _refusal(operation, answer)
    length = answer.headers.get("content-length", "0")
    if not length.isdecimal():
        raise BrokenAnswerError("the answer does not say how long the object is")
    return {
        "ContentLength": int(length),
        "ContentRange": answer.headers.get("content-range", ""),
        "ChecksumSHA256": answer.headers.get("x-amz-checksum-sha256", ""),
        "ETag": answer.headers.get("etag", ""),
    }


def _read_object(operation: str, answer: Answer) -> dict[str, Any]:
    members = _read_members(operation, answer)
    if _is_whole(answer.status, members["ContentRange"], len(answer.body)):
        _check(answer)
    return {**members, "Body": io.BytesIO(answer.body)}


def _is_whole(status: int, content_range: str, length: int) -> bool:
    return status == _OK or content_range == f"bytes 0-{length - 1}/{length}"


def _check(answer: Answer) -> None:
    """Compare the bytes of a whole object with its checksum; one of an object in parts is none."""
    sha256 = answer.headers.get("x-amz-checksum-sha256", "-")
    if (
        "-" not in sha256
        and sha256 != base64.b64encode(hashlib.sha256(answer.body).digest()).decode()
    ):
        raise BrokenAnswerError("the object has another checksum than S3 says")
    crc32 = answer.headers.get("x-amz-checksum-crc32", "-")
    if "-" not in crc32 and crc32 != _crc32(answer.body):
        raise BrokenAnswerError("the object has another checksum than S3 says")


def _read_keys(operation: str, answer: Answer) -> dict[str, Any]:
    from pytp_broker.aws.api.xml_documents import read_leaves, texts_at

    if answer.status != _OK:
        raise _refusal(operation, answer)
    keys = texts_at("ListBucketResult/Contents/Key", read_leaves(answer.body))
    return {"Contents": [{"Key": key} for key in keys]}


def _refusal(operation: str, answer: Answer) -> RefusedError:
    """Return the error that an answer tells of; without a code it has the status for one."""
    from pytp_broker.aws.api.xml_documents import read_leaves

    try:
        leaves = dict(read_leaves(answer.body))
    except BrokenAnswerError:
        leaves = {}
    error = {place.removeprefix("Error/"): text for place, text in leaves.items()}
    code = leaves.get("Error/Code") or str(answer.status)
    return RefusedError(operation, answer.status, code, error)
