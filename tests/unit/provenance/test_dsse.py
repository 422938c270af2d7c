"""Envelopes (DSSE): what is signed, what is written, and which bytes are not an envelope."""

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.provenance.dsse import (
    MAX_ENVELOPE_BYTES,
    Envelope,
    MalformedEnvelopeError,
    Signature,
    canonical,
    encode_signed,
)

ENVELOPE = Envelope(b'{"a":1}', Signature("key-1", b"signature"))


def document(**changes: Any) -> dict[str, Any]:
    """Return the envelope as JSON, with changes; None leaves a member out."""
    members = {**json.loads(ENVELOPE.write()), **changes}
    return {name: member for name, member in members.items() if member is not None}


def test_what_is_signed_is_that_of_the_specification() -> None:
    """The example of https://github.com/secure-systems-lab/dsse/blob/master/protocol.md."""
    signed = encode_signed(b"hello world", "http://example.com/HelloWorld")

    assert signed == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"


def test_the_signature_covers_the_type_too() -> None:
    other = replace(ENVELOPE, payload_type="text/plain")

    assert ENVELOPE.signed_bytes != other.signed_bytes
    assert ENVELOPE.signed_bytes == encode_signed(ENVELOPE.payload)


@pytest.mark.parametrize("envelope", [ENVELOPE, replace(ENVELOPE, timestamp=b"a reply")])
def test_an_envelope_is_read_as_it_was_written(envelope: Envelope) -> None:
    assert Envelope.read(envelope.write()) == envelope


def test_an_envelope_has_the_members_of_the_specification() -> None:
    assert json.loads(ENVELOPE.write()) == {
        "payload": base64.b64encode(ENVELOPE.payload).decode(),
        "payloadType": "application/vnd.in-toto+json",
        "signatures": [{"keyid": "key-1", "sig": base64.b64encode(b"signature").decode()}],
    }


def test_members_of_later_versions_are_ignored() -> None:
    assert Envelope.read(json.dumps(document(novel={"a": 1})).encode()) == ENVELOPE


def test_a_document_has_one_form() -> None:
    one, other = {"b": [1, "é"], "a": None}, {"a": None, "b": [1, "é"]}

    assert canonical(one) == canonical(other) == '{"a":null,"b":[1,"é"]}'.encode()


def signature(**changes: Any) -> list[dict[str, Any]]:
    return [{**document()["signatures"][0], **changes}]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: b"", "not strict JSON"),
        (lambda: b"\xff", "not strict JSON"),
        (lambda: ENVELOPE.write()[:-1], "not strict JSON"),
        (lambda: ENVELOPE.write() * 2, "not strict JSON"),
        (lambda: b'{"payload":"","payload":"YQ=="}', "not strict JSON"),
        (lambda: b'{"payload":NaN}', "not strict JSON"),
        (lambda: b"[" * 60_000, "not strict JSON"),
        (lambda: b"9" * 60_000, "not strict JSON"),
        (lambda: b"[]", "not a JSON object"),
        (lambda: b"null", "not a JSON object"),
        (lambda: b" " * (MAX_ENVELOPE_BYTES + 1), "more than 65536 bytes"),
        (lambda: json.dumps(document(payload=None)).encode(), "`payload` is not a text"),
        (lambda: json.dumps(document(payload="")).encode(), "`payload` is not a text"),
        (lambda: json.dumps(document(payload=["YQ=="])).encode(), "`payload` is not a text"),
        (lambda: json.dumps(document(payload="a-b_")).encode(), "`payload` is not base64"),
        (lambda: json.dumps(document(payload="YQ")).encode(), "`payload` is not base64"),
        (lambda: json.dumps(document(payload="YQ=\n=")).encode(), "`payload` is not base64"),
        (lambda: json.dumps(document(payload="YR==")).encode(), "in its one form"),
        (lambda: json.dumps(document(payload="é")).encode(), "`payload` is not base64"),
        (lambda: json.dumps(document(payloadType=None)).encode(), "`payloadType` is not a text"),
        (lambda: json.dumps(document(payloadType=1)).encode(), "`payloadType` is not a text"),
        (lambda: json.dumps(document(timestamp=1)).encode(), "`timestamp` is not a text"),
        (lambda: json.dumps(document(timestamp="?")).encode(), "`timestamp` is not base64"),
        (lambda: json.dumps(document(signatures=None)).encode(), "exactly one signature"),
        (lambda: json.dumps(document(signatures=[])).encode(), "exactly one signature"),
        (lambda: json.dumps(document(signatures={})).encode(), "exactly one signature"),
        (lambda: json.dumps(document(signatures=signature() * 2)).encode(), "exactly one sig"),
        (lambda: json.dumps(document(signatures=["x"])).encode(), "signature is not an object"),
        (lambda: json.dumps(document(signatures=signature(sig=""))).encode(), "`sig` is not"),
        (lambda: json.dumps(document(signatures=signature(sig="!"))).encode(), "`sig` is not"),
        (lambda: json.dumps(document(signatures=signature(keyid=1))).encode(), "`keyid` is not"),
        (lambda: json.dumps(document(signatures=signature(keyid=""))).encode(), "`keyid` is not"),
    ],
)
def test_other_bytes_are_not_an_envelope(make: Callable[[], bytes], words: str) -> None:
    with pytest.raises(MalformedEnvelopeError, match=words):
        Envelope.read(make())


def test_the_largest_envelope_is_read() -> None:
    room = MAX_ENVELOPE_BYTES - len(ENVELOPE.write())
    large = replace(ENVELOPE, payload=ENVELOPE.payload + b" " * (room // 4 * 3))

    assert MAX_ENVELOPE_BYTES - 4 < len(large.write()) <= MAX_ENVELOPE_BYTES
    assert Envelope.read(large.write()) == large
