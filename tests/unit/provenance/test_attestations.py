"""The form of attestations: what is refused at once, each with a reason of its own."""

import json
from typing import Any

import pytest

from pytp_broker.provenance.attestations import (
    MAX_BYTES,
    MalformedAttestationsError,
    check_form,
)
from tests.support.attesting import attestation, attestation_of, changed, without
from tests.support.sigstores import PUBLISH, SLSA, Sigstore, google, statement
from tests.support.work import count_calls

NAME = "widgets-1.0-py3-none-any.whl"
SHA256 = "5" * 64
GOOD = attestation(NAME, SHA256)


def check(*attestations: Any, filename: str = NAME) -> None:
    check_form(json.dumps(attestations).encode(), filename, SHA256)


def refusal(*attestations: Any, filename: str = NAME) -> str:
    with pytest.raises(MalformedAttestationsError) as caught:
        check(*attestations, filename=filename)
    return str(caught.value)


def about(**changes: Any) -> dict[str, Any]:
    """Return an attestation whose statement has other members."""
    return attestation_of(statement(NAME, SHA256, **changes))


def test_an_attestation_of_the_file_is_taken() -> None:
    check(GOOD)


def test_both_kinds_together_are_taken() -> None:
    check(GOOD, attestation(NAME, SHA256, SLSA))


def test_what_a_sigstore_makes_is_taken() -> None:
    text = Sigstore().attest(NAME, SHA256, google("robot@acme.example.com"))

    check_form(text.encode(), NAME, SHA256)


def test_members_that_nobody_knows_are_taken() -> None:
    check({**GOOD, "signed_time": "now"})


def test_an_attestation_without_a_transparency_log_is_taken() -> None:
    check(changed(GOOD, "verification_material.transparency_entries", []))


def test_another_spelling_of_the_same_wheel_is_the_same_file() -> None:
    check(attestation("Widgets-1.0-py3-none-any.whl", SHA256))


def test_another_spelling_of_the_same_sdist_is_the_same_file() -> None:
    check(attestation("Wid.gets-1.0.tar.gz", SHA256), filename="wid_gets-1.0.tar.gz")


@pytest.mark.parametrize(
    ("octets", "reason"),
    [
        (b"", "they are not strict JSON"),
        (b"hello", "they are not strict JSON"),
        (b'[{"version": 1, "version": 1}]', "they are not strict JSON"),
        (b"[NaN]", "they are not strict JSON"),
        (b"\xff", "they are not strict JSON"),
        (b"[" * 100_000, "they are not strict JSON"),
        (json.dumps([GOOD]).encode()[:-2], "they are not strict JSON"),
        (b"[" + b" " * MAX_BYTES + b"]", "they have more than 256 KiB"),
        (b"{}", "they must be a JSON array of attestation objects"),
        (b'"x"', "they must be a JSON array of attestation objects"),
        (b"[]", "one or two attestations, not 0"),
        (json.dumps([GOOD] * 3).encode(), "one or two attestations, not 3"),
    ],
)
def test_what_is_not_an_array_of_one_or_two_is_refused(octets: bytes, reason: str) -> None:
    with pytest.raises(MalformedAttestationsError, match=reason):
        check_form(octets, NAME, SHA256)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        ("version", 2, "its `version` must be 1"),
        ("version", "1", "its `version` must be 1"),
        ("version", True, "its `version` must be 1"),
        ("verification_material", [], "its `verification_material` must be a JSON object"),
        ("verification_material.certificate", "", "its `certificate` must be base64"),
        ("verification_material.certificate", "a", "its `certificate` must be base64"),
        ("verification_material.certificate", "YQ==\n", "its `certificate` must be base64"),
        ("verification_material.certificate", 7, "its `certificate` must be base64"),
        ("verification_material.transparency_entries", {}, "must be a list of at most 4 objects"),
        ("verification_material.transparency_entries", [{}] * 5, "a list of at most 4 objects"),
        ("verification_material.transparency_entries", ["x"], "an entry of its"),
        ("envelope", None, "its `envelope` must be a JSON object"),
        ("envelope.signature", "*", "its `signature` must be base64"),
        ("envelope.statement", "é", "its `statement` must be base64"),
        ("envelope.statement", "aGVsbG8=", "its statement is not strict JSON"),
        ("envelope.statement", "W10=", "its statement must be a JSON object"),
    ],
)
def test_a_member_of_another_form_is_refused(path: str, value: Any, reason: str) -> None:
    assert reason in refusal(changed(GOOD, path, value))


@pytest.mark.parametrize(
    "path",
    [
        *("version", "verification_material", "verification_material.certificate", "envelope"),
        *("verification_material.transparency_entries", "envelope.signature"),
        "envelope.statement",
    ],
)
def test_a_missing_member_is_refused_by_its_name(path: str) -> None:
    assert f"`{path.rpartition('.')[2]}`" in refusal(without(GOOD, path))


def test_what_is_not_an_object_is_refused() -> None:
    assert refusal("x") == "attestation 1 of 1: the attestation must be a JSON object"


def test_the_place_of_the_mistake_is_named() -> None:
    assert refusal(GOOD, {}).startswith("attestation 2 of 2: ")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"_type": "https://in-toto.io/Statement/v0.1"}, "the `_type` https://in-toto.io/"),
        ({"kind": "https://example.com/other/v1"}, "not `https://example.com/other/v1`"),
        ({"kind": None}, "not `none`"),
        ({"subject": []}, "exactly one subject"),
        ({"subject": {}}, "exactly one subject"),
        ({"subject": [{}, {}]}, "exactly one subject"),
        ({"subject": ["x"]}, "its subject must be a JSON object"),
        ({"subject": [{"digest": {"sha256": SHA256}}]}, "it is about `nothing`"),
        ({"subject": [{"name": "x", "digest": {"sha256": SHA256}}]}, "it is about `x`"),
        ({"subject": [{"name": NAME}]}, "the `digest` of its subject must be a JSON object"),
        ({"subject": [{"name": NAME, "digest": {}}]}, "a file of another sha256"),
        ({"subject": [{"name": NAME, "digest": {"sha256": "6" * 64}}]}, "of another sha256"),
        ({"subject": [{"name": NAME, "digest": {"sha256": "A" * 64}}]}, "of another sha256"),
    ],
)
def test_a_statement_about_something_else_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert reason in refusal(about(**changes))


@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.1-py3-none-any.whl",
        "widgets-1.0-1-py3-none-any.whl",
        "widgets-1.0-py3-none-win32.whl",
        "gadgets-1.0-py3-none-any.whl",
        "widgets-1.0.tar.gz",
        "widgets.whl",
    ],
)
def test_an_attestation_of_another_file_is_refused(name: str) -> None:
    assert f"it is about `{name}`, and the file is" in refusal(attestation(name, SHA256))


def test_the_tags_of_a_name_are_not_multiplied_into_a_million() -> None:
    tags = "-".join([".".join(f"py{number}" for number in range(100))] * 3)
    sent = attestation(f"widgets-1.0-{tags}.whl", SHA256)

    told, calls = count_calls(lambda: refusal(sent))

    assert "and the file is" in told
    assert calls < 10_000


def test_two_of_one_kind_are_refused() -> None:
    assert refusal(GOOD, GOOD) == f"two attestations have the predicate type {PUBLISH}"


def test_a_refusal_shows_no_control_character_and_no_long_text() -> None:
    told = refusal(attestation("\x1b[2J" + "x" * 10_000, SHA256))

    assert "\x1b" not in told
    assert len(told) < 500
