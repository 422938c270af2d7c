"""Attestations: good ones are verified, and each wrong one is refused with its own reason."""

import base64
import json
import os
from collections.abc import Callable, Mapping
from copy import deepcopy
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA256, SHA512
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import (
    AttestationQuestion,
    AttestationState,
    AttestationStatus,
)
from pytp_broker.provenance.judgement import Reason
from pytp_broker.provenance.sigstore_checks import SigstoreAttester
from tests.support.claims import captured
from tests.support.shared_sigstore import attester, sigstore
from tests.support.sigstores import (
    NOW,
    SLSA,
    Authority,
    Identity,
    Leaf,
    Sigstore,
    TransparencyLog,
    circleci,
    github,
    gitlab,
    google,
    sign,
    statement,
)
from tests.support.work import count_calls

CAPTURED: Final = json.loads((Path(__file__).parents[2] / "cases/attestations.json").read_text())
WHEEL: Final = "widgets-1.0-py3-none-any.whl"
HASH: Final = "ab" * 32
# A good attestation takes 1,700 calls.
MOST_CALLS: Final = 10_000
JOB: Final = github(captured("github"))
PUBLISHER: Final = {"kind": "GitHub", "repository": "octo-org/widgets", "workflow": "release.yml"}
MANY_TAGS: Final = "-".join([".".join(f"py{number}" for number in range(100))] * 3)
PAYLOAD: Final = statement(WHEEL, HASH)


def ask(attestations: str, **changes: Any) -> AttestationState:
    question = AttestationQuestion(attestations, WHEEL, HASH, PUBLISHER)
    return attester().verify(replace(question, **changes))


def made(payload: bytes = PAYLOAD, identity: Identity = JOB) -> dict[str, Any]:
    return sigstore().attestation(payload, identity)


def recorded(leaf: Leaf, payload: bytes = PAYLOAD, **changes: Any) -> dict[str, Any]:
    at = changes.pop("at", NOW + timedelta(seconds=1))
    return sigstore().record(leaf, payload, sign(leaf, payload), at=at, **changes)


# --- Good ones ----------------------------------------------------------------------------------


@pytest.mark.parametrize("case", CAPTURED, ids=lambda case: case["what"])
def test_real_attestations_are_what_they_are(case: Mapping[str, Any]) -> None:
    question = AttestationQuestion(
        json.dumps(case["attestations"]), case["filename"], case["sha256"], case["publisher"]
    )

    state = SigstoreAttester().verify(question)

    assert state.status.value == case["status"], state.reason


def test_a_claim_of_any_length_is_read() -> None:
    long = made(identity=JOB.but(_20="x" * 300))

    assert ask(json.dumps([long])).status is AttestationStatus.VERIFIED


@pytest.mark.parametrize(
    ("identity", "publisher"),
    [
        (JOB, PUBLISHER),
        (JOB, {**PUBLISHER, "environment": "release"}),
        (
            gitlab(captured("gitlab")),
            {
                "kind": "GitLab",
                "repository": "group/sub/gadgets",
                "workflow_filepath": ".gitlab-ci.yml",
            },
        ),
        (google("ci@example.com"), {"kind": "Google", "email": "ci@example.com"}),
        (
            circleci("project", "pipeline", vcs_ref="refs/heads/main"),
            {
                "kind": "CircleCI",
                "project_id": "project",
                "pipeline_definition_id": "pipeline",
                "vcs_ref": "refs/heads/main",
            },
        ),
    ],
    ids=["github", "github-environment", "gitlab", "google", "circleci"],
)
def test_an_attestation_of_the_publishers_job_is_verified(
    identity: Identity, publisher: Mapping[str, Any]
) -> None:
    state = ask(json.dumps([made(identity=identity)]), publisher=publisher)

    assert state == AttestationState(AttestationStatus.VERIFIED)


GHES: Final = "https://github.acme.example.com"
GITLAB: Final = "https://gitlab.acme.example.com"
# The issuers inside a company, what their certificates say, and what we keep of their jobs.
OWN: Final[Mapping[str, tuple[Identity, dict[str, Any]]]] = {
    "github-server": (
        github({**captured("github"), "iss": f"{GHES}/_services/token"}, GHES),
        {"kind": "pytp:github", "issuer": f"{GHES}/_services/token"},
    ),
    "github-subdomain": (
        github(
            {**captured("github"), "iss": "https://token.actions.acme.ghe.com"},
            "https://acme.ghe.com",
        ),
        {"kind": "pytp:github", "issuer": "https://token.actions.acme.ghe.com"},
    ),
    "github-enterprise": (
        github({**captured("github"), "iss": f"{captured('github')['iss']}/acme"}),
        {"kind": "pytp:github", "issuer": f"{captured('github')['iss']}/acme"},
    ),
    "gitlab": (
        gitlab(
            {
                **captured("gitlab"),
                "iss": GITLAB,
                "ci_config_ref_uri": captured("gitlab")["ci_config_ref_uri"].replace(
                    "gitlab.com", "gitlab.acme.example.com"
                ),
            }
        ),
        {"kind": "pytp:gitlab", "issuer": GITLAB},
    ),
}


def own(name: str, **changes: str) -> tuple[Identity, dict[str, Any]]:
    """Return the identity of a job, and its publisher with these claims changed."""
    identity, publisher = OWN[name]
    workflow = identity.claims[18].removeprefix("https://")
    if publisher["kind"] == "pytp:github":
        workflow = workflow.partition("/")[2]
    claims = {"workflow": workflow, "sha": identity.claims[13], **changes}
    return identity, {**publisher, "claims": claims}


@pytest.mark.parametrize("name", OWN)
def test_an_attestation_of_a_company_is_verified_with_its_own_sigstore(name: str) -> None:
    identity, publisher = own(name)

    state = ask(json.dumps([made(identity=identity)]), publisher=publisher)

    assert state == AttestationState(AttestationStatus.VERIFIED)


@pytest.mark.parametrize("name", OWN)
@pytest.mark.parametrize(
    "change",
    [{"_8": "https://issuer.example.com"}, {"_13": "0" * 40}, {"_18": "https://x.example.com/y"}],
    ids=["issuer", "commit", "workflow"],
)
def test_an_attestation_of_another_job_of_a_company_is_refused(
    name: str, change: Mapping[str, str]
) -> None:
    identity, publisher = own(name)

    state = ask(json.dumps([made(identity=identity.but(**change))]), publisher=publisher)

    assert state.status is AttestationStatus.REFUSED
    assert state.reason.startswith("wrong-identity: ")


def test_a_job_whose_commit_is_not_recorded_cannot_be_verified() -> None:
    identity, publisher = own("gitlab")
    del publisher["claims"]["sha"]

    state = ask(json.dumps([made(identity=identity)]), publisher=publisher)

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason.startswith("unknown-publisher: ")


def test_two_attestations_of_different_kinds_are_verified() -> None:
    provenance = made(statement(WHEEL, HASH, SLSA, {"buildDefinition": {}}))

    state = ask(json.dumps([made(), provenance]))

    assert state.status is AttestationStatus.VERIFIED


def test_members_of_a_later_version_of_the_format_do_not_matter() -> None:
    attested = {**made(), "signed_time": "now"}
    attested["verification_material"]["timestamps"] = []

    assert ask(json.dumps([attested])).status is AttestationStatus.VERIFIED


def test_a_name_may_be_spelled_differently() -> None:
    attested = made(statement("Widgets-1.0.tar.gz", HASH))

    state = ask(json.dumps([attested]), filename="widgets-1.0.tar.gz")

    assert state.status is AttestationStatus.VERIFIED


def test_an_attestation_with_broken_lines_is_verified() -> None:
    attested = made()
    text = attested["envelope"]["signature"]
    attested["envelope"]["signature"] = f"{text[:76]}\n{text[76:]}\n"

    assert ask(json.dumps([attested])).status is AttestationStatus.VERIFIED


# --- Wrong ones ---------------------------------------------------------------------------------


def with_envelope(**members: Any) -> dict[str, Any]:
    attested = made()
    attested["envelope"] = {**attested["envelope"], **members}
    return attested


def with_material(**members: Any) -> dict[str, Any]:
    attested = made()
    attested["verification_material"] = {**attested["verification_material"], **members}
    return attested


def with_entry(change: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
    attested = made()
    change(attested["verification_material"]["transparency_entries"][0])
    return attested


def with_proof(**members: Any) -> dict[str, Any]:
    return with_entry(lambda entry: entry["inclusionProof"].update(members))


def entry_of(attested: Mapping[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = attested["verification_material"]["transparency_entries"][0]
    return entry


def other_content() -> dict[str, Any]:
    return made(statement(WHEEL, "cd" * 32))


def signed_by(sign_it: Callable[[bytes], bytes], key: Any) -> dict[str, Any]:
    leaf = sigstore().issue(JOB, key=key)
    return sigstore().record(leaf, PAYLOAD, sign_it(encoded(PAYLOAD)))


def encoded(payload: bytes) -> bytes:
    return b"DSSEv1 28 application/vnd.in-toto+json %d %s" % (len(payload), payload)


def by_rsa() -> dict[str, Any]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return signed_by(lambda message: key.sign(message, PKCS1v15(), SHA256()), key)


def by_ed25519() -> dict[str, Any]:
    key = ed25519.Ed25519PrivateKey.generate()
    return signed_by(key.sign, key)


def by_another_hash() -> dict[str, Any]:
    key = ec.generate_private_key(ec.SECP256R1())
    return signed_by(lambda message: key.sign(message, ec.ECDSA(SHA512())), key)


def by_a_forger() -> dict[str, Any]:
    """Return one with a certificate of an authority of the same name."""
    forger = Authority(sigstore().organization)
    return recorded(forger.issue(JOB, sigstore().certificates, NOW))


def promised_by_another() -> dict[str, Any]:
    """Return one whose certificate another log has promised to list, under our log's id."""
    ours = sigstore()
    forged = ec.generate_private_key(ec.SECP256R1())
    honest, ours.certificates.key = ours.certificates.key, forged
    pretended = type("Pretended", (type(ours.certificates),), {"log_id": log_id_of(honest)})()
    pretended.key = forged
    ours.certificates.key = honest
    return recorded(ours.authority.issue(JOB, pretended, NOW))


def log_id_of(key: Any) -> bytes:
    log = TransparencyLog("unused")
    log.key = key
    return log.log_id


def headed_by_another() -> dict[str, Any]:
    """Return one whose log's head is signed by another log of the same name."""
    attested = made()
    proof = entry_of(attested)["inclusionProof"]
    other = TransparencyLog(sigstore().log.origin)
    lines = other.sign_head(int(proof["treeSize"]), b"\0" * 32).splitlines()
    note = proof["checkpoint"]["envelope"].splitlines()
    proof["checkpoint"]["envelope"] = "\n".join([*note[:-1], lines[-1]]) + "\n"
    return attested


def swapped_entries() -> dict[str, Any]:
    attested, other = made(), other_content()
    attested["verification_material"]["transparency_entries"] = [entry_of(other)]
    return attested


def swapped_certificates() -> dict[str, Any]:
    attested, other = made(), other_content()
    attested["verification_material"]["certificate"] = other["verification_material"]["certificate"]
    return attested


def replayed_body() -> dict[str, Any]:
    """Return one whose log entry is that of another signature of the same certificate."""
    leaf = sigstore().issue(JOB)
    other = statement(WHEEL, "cd" * 32)
    attested = recorded(leaf)
    entries = attested["verification_material"]
    entries["transparency_entries"] = [entry_of(recorded(leaf, other))]
    return attested


WRONG: Final[Mapping[str, tuple[Callable[[], Any], Reason]]] = {
    "not-an-object": (lambda: "attestation", Reason.MALFORMED),
    "of-version-2": (lambda: {**made(), "version": 2}, Reason.MALFORMED),
    "of-version-true": (lambda: {**made(), "version": True}, Reason.MALFORMED),
    "without-an-envelope": (lambda: {"version": 1}, Reason.MALFORMED),
    "with-an-extra-signature": (lambda: with_envelope(signatures=[{}]), Reason.MALFORMED),
    "with-a-signature-that-is-a-number": (lambda: with_envelope(signature=1), Reason.MALFORMED),
    "with-an-empty-signature": (lambda: with_envelope(signature=""), Reason.MALFORMED),
    "with-a-signature-not-in-base64": (lambda: with_envelope(signature="*"), Reason.MALFORMED),
    "with-a-statement-not-in-json": (lambda: made(b"hello"), Reason.MALFORMED),
    "with-a-member-twice": (
        lambda: made(PAYLOAD.replace(b'{"_type"', b'{"_type":"x","_type"')),
        Reason.MALFORMED,
    ),
    "with-an-entry-without-a-log": (
        lambda: with_entry(lambda entry: entry.pop("logId")),
        Reason.MALFORMED,
    ),
    "with-an-entry-without-a-proof": (
        lambda: with_entry(lambda entry: entry.pop("inclusionProof")),
        Reason.MALFORMED,
    ),
    "with-an-entry-without-a-head": (
        lambda: with_entry(lambda entry: entry["inclusionProof"].pop("checkpoint")),
        Reason.MALFORMED,
    ),
    "with-an-entry-with-a-further-member": (
        lambda: with_entry(lambda entry: entry.update(extra=1)),
        Reason.MALFORMED,
    ),
    "with-entries-that-are-no-list": (
        lambda: with_material(transparency_entries={}),
        Reason.MALFORMED,
    ),
    "with-two-entries": (
        lambda: with_material(transparency_entries=[entry_of(made()), entry_of(made())]),
        Reason.SEVERAL_ENTRIES,
    ),
    "of-an-older-statement": (
        lambda: made(statement(WHEEL, HASH, _type="https://in-toto.io/Statement/v0.1")),
        Reason.FOREIGN_STATEMENT,
    ),
    "whose-statement-is-a-list": (lambda: made(b"[]"), Reason.FOREIGN_STATEMENT),
    "of-a-foreign-predicate": (
        lambda: made(statement(WHEEL, HASH, "https://example.com/other/v1")),
        Reason.FOREIGN_PREDICATE,
    ),
    "whose-predicate-type-is-a-list": (
        lambda: made(statement(WHEEL, HASH, predicateType=[])),
        Reason.FOREIGN_PREDICATE,
    ),
    "of-two-subjects": (
        lambda: made(
            statement(WHEEL, HASH, subject=[{"name": WHEEL, "digest": {"sha256": HASH}}] * 2)
        ),
        Reason.WRONG_SUBJECT,
    ),
    "without-a-subject": (lambda: made(statement(WHEEL, HASH, subject=[])), Reason.WRONG_SUBJECT),
    "of-another-file": (
        lambda: made(statement("widgets-1.1-py3-none-any.whl", HASH)),
        Reason.WRONG_SUBJECT,
    ),
    "of-no-distribution": (lambda: made(statement("notes.txt", HASH)), Reason.WRONG_SUBJECT),
    "of-a-name-with-a-million-tags": (
        lambda: made(statement(f"widgets-1.0-{MANY_TAGS}.whl", HASH)),
        Reason.WRONG_SUBJECT,
    ),
    "of-another-content": (other_content, Reason.WRONG_DIGEST),
    "of-another-hash": (
        lambda: made(
            statement(WHEEL, HASH, subject=[{"name": WHEEL, "digest": {"sha512": HASH * 2}}])
        ),
        Reason.WRONG_DIGEST,
    ),
    "with-the-envelope-of-another-file": (
        lambda: with_envelope(**other_content()["envelope"]),
        Reason.WRONG_DIGEST,
    ),
    "with-a-garbled-certificate": (
        lambda: with_material(certificate="AAAA"),
        Reason.MALFORMED_CERTIFICATE,
    ),
    "with-a-truncated-certificate": (
        lambda: with_material(certificate=made()["verification_material"]["certificate"][:400]),
        Reason.MALFORMED_CERTIFICATE,
    ),
    "with-a-forged-certificate": (by_a_forger, Reason.BAD_CERTIFICATE),
    "with-an-expired-certificate": (
        lambda: recorded(sigstore().issue(JOB), at=NOW + timedelta(minutes=11)),
        Reason.BAD_CERTIFICATE,
    ),
    "with-a-future-certificate": (
        lambda: recorded(sigstore().issue(JOB), at=NOW - timedelta(minutes=1)),
        Reason.BAD_CERTIFICATE,
    ),
    "with-a-certificate-for-servers": (
        lambda: recorded(sigstore().issue(JOB, usage=ExtendedKeyUsageOID.SERVER_AUTH)),
        Reason.BAD_EVIDENCE,
    ),
    "with-an-unlisted-certificate": (
        lambda: recorded(sigstore().issue(JOB, has_timestamp=False)),
        Reason.BAD_EVIDENCE,
    ),
    "with-a-promise-of-another-log": (promised_by_another, Reason.BAD_EVIDENCE),
    "with-the-certificate-of-another": (swapped_certificates, Reason.BAD_EVIDENCE),
    "with-the-entry-of-another": (swapped_entries, Reason.BAD_EVIDENCE),
    "with-another-entry-of-the-same-job": (replayed_body, Reason.BAD_EVIDENCE),
    "with-the-signature-of-another": (
        lambda: with_envelope(signature=made()["envelope"]["signature"]),
        Reason.BAD_EVIDENCE,
    ),
    "without-a-time": (
        lambda: with_entry(lambda entry: entry.pop("integratedTime")),
        Reason.BAD_EVIDENCE,
    ),
    "without-a-promise-of-the-time": (
        lambda: with_entry(lambda entry: entry.pop("inclusionPromise")),
        Reason.BAD_EVIDENCE,
    ),
    "with-another-time": (
        lambda: with_entry(
            lambda entry: entry.update(integratedTime=str(int(NOW.timestamp()) + 9))
        ),
        Reason.BAD_EVIDENCE,
    ),
    "with-another-index": (
        lambda: with_entry(lambda entry: entry.update(logIndex="0")),
        Reason.BAD_EVIDENCE,
    ),
    "with-an-entry-of-another-kind": (
        lambda: with_entry(lambda entry: entry["kindVersion"].update(kind="hashedrekord")),
        Reason.BAD_EVIDENCE,
    ),
    "with-an-entry-of-a-newer-kind": (
        lambda: with_entry(lambda entry: entry["kindVersion"].update(version="0.0.2")),
        Reason.BAD_EVIDENCE,
    ),
    "with-a-proof-that-is-too-short": (lambda: with_proof(hashes=[]), Reason.BAD_EVIDENCE),
    "with-a-proof-of-another-root": (
        lambda: with_proof(rootHash="AA" * 20),
        Reason.BAD_EVIDENCE,
    ),
    "with-a-proof-of-another-place": (lambda: with_proof(logIndex="0"), Reason.BAD_EVIDENCE),
    "with-a-proof-beyond-the-tree": (
        lambda: with_proof(logIndex="99999"),
        Reason.MALFORMED,
    ),
    "with-a-head-of-another-log": (headed_by_another, Reason.BAD_EVIDENCE),
    "with-a-head-that-is-no-note": (
        lambda: with_proof(checkpoint={"envelope": "hello"}),
        Reason.BAD_EVIDENCE,
    ),
    "with-a-head-whose-signature-is-not-base64": (
        lambda: with_proof(checkpoint={"envelope": "a\n1\nAA==\n\n\N{EM DASH} a AAA\n"}),
        Reason.UNREADABLE,
    ),
    "with-another-body": (
        lambda: recorded(
            sigstore().issue(JOB), change=lambda body: {**body, "spec": {"signatures": []}}
        ),
        Reason.BAD_EVIDENCE,
    ),
    "signed-by-rsa": (by_rsa, Reason.UNREADABLE),
    "signed-by-ed25519": (by_ed25519, Reason.UNREADABLE),
    "signed-over-another-hash": (by_another_hash, Reason.BAD_EVIDENCE),
    "of-another-repository": (
        lambda: made(identity=JOB.but(_12="https://github.com/octo-org/gadgets")),
        Reason.WRONG_IDENTITY,
    ),
    "of-a-repository-in-other-case": (
        lambda: made(identity=JOB.but(_12="https://github.com/octo-org/Widgets")),
        Reason.WRONG_IDENTITY,
    ),
    "of-another-workflow": (
        lambda: made(
            identity=JOB.but(
                _18="https://github.com/octo-org/widgets/.github/workflows/x.yml@refs/tags/v1.2.0"
            )
        ),
        Reason.WRONG_IDENTITY,
    ),
    "of-another-issuer": (
        lambda: made(identity=JOB.but(_8="https://issuer.example.com")),
        Reason.WRONG_IDENTITY,
    ),
    "of-no-issuer": (lambda: made(identity=JOB.without(8)), Reason.WRONG_IDENTITY),
    "of-no-workflow": (lambda: made(identity=JOB.without(18)), Reason.WRONG_IDENTITY),
    "of-no-commit": (lambda: made(identity=JOB.without(13, 14)), Reason.WRONG_IDENTITY),
    "of-another-provider": (
        lambda: made(identity=gitlab(captured("gitlab"))),
        Reason.WRONG_IDENTITY,
    ),
}


@pytest.mark.promise("verified-attestation")
@pytest.mark.promise("bounded-attestation")
@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_attestation_is_refused_with_its_own_reason(name: str) -> None:
    make, reason = WRONG[name]
    text = json.dumps([make()])
    attester()

    state, calls = count_calls(lambda: ask(text))

    assert state.status is AttestationStatus.REFUSED
    assert state.reason.startswith(f"{reason.value}: "), state.reason
    assert calls < MOST_CALLS


def _nested() -> str:
    return "[" * 100_000


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", Reason.MALFORMED),
        ("{}", Reason.MALFORMED),
        ("[]", Reason.MALFORMED),
        ("null", Reason.MALFORMED),
        ("[1, 2, 3]", Reason.MALFORMED),
        ("[NaN]", Reason.MALFORMED),
        ('["\\ud800"]', Reason.MALFORMED),
        ("\ud800", Reason.MALFORMED),
        ('[{"version": 1, "version": 1}]', Reason.MALFORMED),
        (_nested(), Reason.MALFORMED),
        ("[" + " " * 600_000 + "]", Reason.TOO_LARGE),
    ],
    ids=[
        "empty",
        "object",
        "none",
        "null",
        "three",
        "nan",
        "half-a-character",
        "half-a-byte",
        "repeated-member",
        "deep",
        "huge",
    ],
)
def test_what_is_not_an_array_of_attestations_is_refused(text: str, reason: Reason) -> None:
    state = ask(text)

    assert state.status is AttestationStatus.REFUSED
    assert state.reason.startswith(f"{reason.value}: ")


def test_a_truncated_array_is_refused_wherever_it_ends() -> None:
    text = json.dumps([made()])

    states = {ask(text[:length]).status for length in range(0, len(text), 97)}

    assert states == {AttestationStatus.REFUSED}


def test_two_attestations_of_one_kind_are_refused() -> None:
    state = ask(json.dumps([made(), made()]))

    assert state.status is AttestationStatus.REFUSED
    assert state.reason.startswith("duplicate: ")


def test_one_wrong_attestation_of_two_is_refused() -> None:
    provenance = made(statement(WHEEL, HASH, SLSA), JOB.without(8))

    state = ask(json.dumps([made(), provenance]))

    assert state.reason.startswith("wrong-identity: ")


# The first entry of the log, so that the proof has always as many hashes.
UNCHANGED: Final = made()
JUNK: Final[tuple[Any, ...]] = (
    None,
    True,
    0,
    -1,
    1e300,
    10**30,
    "",
    "x",
    "*",
    "\0",
    [],
    [[]],
    {},
    {"a": {}},
)


def _paths(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where a document has values of any kind."""
    items: Any = ()
    if isinstance(document, list | dict):
        items = enumerate(document) if isinstance(document, list) else document.items()
    return [path, *(found for key, value in items for found in _paths(value, (*path, key)))]


@pytest.mark.parametrize("junk", JUNK, ids=repr)
def test_no_value_of_an_attestation_can_be_anything_else(junk: Any) -> None:
    for path in _paths(UNCHANGED):
        document: Any = {"attestation": deepcopy(UNCHANGED)}
        *parents, name = ("attestation", *path)
        part = document
        for parent in parents:
            part = part[parent]
        part[name] = junk

        state = ask(json.dumps([document["attestation"]]))

        assert state.status is not AttestationStatus.VERIFIED, path


def _texts(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return where a document has texts."""
    items = enumerate(document) if isinstance(document, list) else document.items()
    found: list[tuple[Any, ...]] = []
    for key, value in items:
        if isinstance(value, str):
            found.append((*path, key))
        elif isinstance(value, list | dict):
            found += _texts(value, (*path, key))
    return found


@pytest.mark.promise("verified-attestation")
@pytest.mark.parametrize("path", _texts(UNCHANGED), ids=lambda path: "-".join(map(str, path)))
def test_no_character_of_an_attestation_can_be_changed(path: tuple[Any, ...]) -> None:
    *parents, name = path
    for place in range(3):
        changed = deepcopy(UNCHANGED)
        part = changed
        for parent in parents:
            part = part[parent]
        text = part[name]
        index = place * (len(text) - 1) // 3
        other = "B" if text[index] != "B" else "C"
        part[name] = text[:index] + other + text[index + 1 :]

        assert ask(json.dumps([changed])).status is not AttestationStatus.VERIFIED


# --- Those that nobody here can verify ----------------------------------------------------------


def test_those_of_a_private_sigstore_are_unverified() -> None:
    private = Sigstore("fulcio.githubapp.com")

    state = ask(private.attest(WHEEL, HASH, JOB))

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason.startswith("foreign-authority: ")
    assert "fulcio.githubapp.com" in state.reason


def test_a_reason_is_short_and_safe_to_show_whatever_a_certificate_says() -> None:
    # The reason is kept with the file, and every listing of the project repeats it.
    issuer = x509.Name(
        [x509.NameAttribute(NameOID.COMMON_NAME, "\x1b[31m\u202e" + "a" * 50)] * 1000
    )
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW)
        .sign(key, SHA256())
    )
    encoded_certificate = base64.b64encode(certificate.public_bytes(Encoding.DER)).decode()

    state = ask(json.dumps([with_material(certificate=encoded_certificate)]))

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason.startswith("foreign-authority: ")
    assert len(state.reason) < 1000
    assert state.reason.isprintable()


def test_those_of_a_private_repository_have_no_entry_and_are_unverified() -> None:
    private = Sigstore("fulcio.githubapp.com").attestation(PAYLOAD, JOB)
    private["verification_material"]["transparency_entries"] = []

    state = ask(json.dumps([private]))

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason.startswith("foreign-authority: ")


def test_those_of_a_known_authority_without_an_entry_are_unverified() -> None:
    state = ask(json.dumps([with_material(transparency_entries=[])]))

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason.startswith("no-log-entry: ")


def test_those_in_an_unknown_transparency_log_are_unverified() -> None:
    other = Sigstore(authority_of=sigstore())

    state = ask(other.attest(WHEEL, HASH, JOB))

    assert state.status is AttestationStatus.UNVERIFIED
    assert (
        state.reason == "unknown-log: the transparency log of the entry is not in the trusted root"
    )


def test_those_with_a_certificate_in_an_unknown_log_are_unverified() -> None:
    other = Sigstore()
    leaf = sigstore().authority.issue(JOB, other.certificates, NOW)

    state = ask(json.dumps([recorded(leaf)]))

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason == "unknown-log: the log of the certificate is not in the trusted root"


@pytest.mark.parametrize(
    "publisher",
    [
        {"kind": "pytp:buildkite", "issuer": "https://agent.buildkite.com", "claims": {}},
        {"kind": "pytp:github"},
        {"kind": "pytp:github", "issuer": 1, "claims": []},
        {"kind": "GitHub"},
        {"kind": ["GitHub"]},
        {},
    ],
)
def test_those_of_a_publisher_without_an_identity_are_unverified(
    publisher: Mapping[str, Any],
) -> None:
    state = ask(json.dumps([made()]), publisher=publisher)

    assert state.status is AttestationStatus.UNVERIFIED
    assert state.reason.startswith("unknown-publisher: ")


def test_a_wrong_one_counts_more_than_an_unverified_one() -> None:
    private = Sigstore("fulcio.githubapp.com").attestation(PAYLOAD, JOB)
    wrong = made(statement(WHEEL, HASH, SLSA), JOB.without(8))

    state = ask(json.dumps([private, wrong]))

    assert state.reason.startswith("wrong-identity: ")


# --- The trusted root ---------------------------------------------------------------------------


@pytest.mark.promise("sigstores-word")
def test_who_has_the_keys_of_the_trusted_root_can_attest_anything(tmp_path: Path) -> None:
    stolen = Sigstore()
    text = stolen.attest(WHEEL, HASH, JOB)  # nobody has asked the job

    attester = SigstoreAttester(stolen.write_trusted_root(tmp_path / "trusted_root.json"))

    state = attester.verify(AttestationQuestion(text, WHEEL, HASH, PUBLISHER))
    assert state.status is AttestationStatus.VERIFIED


def test_a_new_trusted_root_takes_effect_at_once(tmp_path: Path) -> None:
    old, new = Sigstore(), Sigstore("new.example.com")
    ours = SigstoreAttester(old.write_trusted_root(tmp_path / "trusted_root.json"))
    question = AttestationQuestion(new.attest(WHEEL, HASH, JOB), WHEEL, HASH, PUBLISHER)
    before = ours.verify(question)

    new.write_trusted_root(tmp_path / "trusted_root.json")
    os.utime(tmp_path / "trusted_root.json", (1, 1))

    assert before.status is AttestationStatus.UNVERIFIED
    assert ours.verify(question).status is AttestationStatus.VERIFIED


@pytest.mark.parametrize(
    "content",
    [
        None,
        "",
        "{}",
        '{"mediaType": "application/other"}',
        json.dumps({**Sigstore().trusted_root(), "tlogs": []}),
        json.dumps({**Sigstore().trusted_root(), "ctlogs": [{}]}),
        json.dumps({**Sigstore().trusted_root(), "certificateAuthorities": []}),
    ],
    ids=["missing", "empty", "object", "other-type", "no-log", "log-without-id", "no-authority"],
)
def test_nobody_can_say_without_a_trusted_root(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "trusted_root.json"
    if content is not None:
        file.write_text(content)

    with pytest.raises(StoreUnavailable) as refusal:
        SigstoreAttester(file).verify(AttestationQuestion("[]", WHEEL, HASH, PUBLISHER))

    assert str(file) not in refusal.value.detail
    assert str(file) in refusal.value.operator_detail
