"""A verdict on each file: verified only by a good receipt, and never by default."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.client.verifying.attestations import AttestationChecks
from pytp_broker.client.verifying.evidence import Trusted
from pytp_broker.client.verifying.index_evidence import Network, open_index
from pytp_broker.client.verifying.kept_evidence import KeptEvidence
from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.client.verifying.selection import find_meant
from pytp_broker.client.verifying.verifier import Verdict, Verifier
from pytp_broker.names import normalize
from pytp_broker.provenance.dsse import canonical
from pytp_broker.provenance.receipts import Kind, Publication
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.proofs import INDEX, NOW, SigningRegistry, put, url_of
from tests.support.receipt_signing import TestSigner

CHECKS = AttestationChecks(lambda: None)
Change = Callable[[SigningRegistry, Distribution], bytes]


def verify(registry: SigningRegistry, *paths: Path) -> list[Verdict]:
    network = Network(registry.send, lambda _: None, {})
    evidence = open_index(INDEX, None, network)
    return Verifier(evidence, CHECKS, None, lambda: NOW).verify(find_meant(paths))


def verify_kept(registry: SigningRegistry, path: Path, receipt: bytes) -> Verdict:
    (path.parent / f"{path.name}.receipt").write_bytes(receipt)
    evidence = KeptEvidence(Trusted(registry.keys()), None)
    (verdict,) = Verifier(evidence, CHECKS, None, lambda: NOW).verify(find_meant([path]))
    return verdict


def reason(verdict: Verdict) -> str | None:
    return None if verdict.error is None else verdict.error.reason


def test_a_file_with_its_receipt_is_verified(registry: SigningRegistry, tmp_path: Path) -> None:
    registry.publish(wheel())

    (verdict,) = verify(registry, put(tmp_path, wheel()))

    assert verdict.is_verified
    assert verdict.receipt == registry.receipt(wheel())


def test_a_receipt_beside_the_file_verifies_it(registry: SigningRegistry, tmp_path: Path) -> None:
    verdict = verify_kept(
        registry, put(tmp_path, wheel()), registry.sign(registry.receipt(wheel()))
    )

    assert verdict.is_verified
    assert registry.asked == []


@pytest.mark.promise("nothing-by-default")
def test_a_file_without_a_receipt_is_not_verified(
    registry: SigningRegistry, tmp_path: Path
) -> None:
    (verdict,) = verify(registry, put(tmp_path, wheel()))

    assert not verdict.is_verified
    assert reason(verdict) == "no-receipt"


def test_a_verdict_without_a_receipt_and_without_an_error_is_no_yes() -> None:
    assert not Verdict("widgets-1.0.tar.gz", "here").is_verified


def test_files_keep_their_order(registry: SigningRegistry, tmp_path: Path) -> None:
    registry.publish(sdist())
    files = [put(tmp_path, sdist()), put(tmp_path, wheel()), tmp_path / "x.whl"]

    found = verify(registry, *files)

    assert [verdict.filename for verdict in found] == [file.name for file in files]
    assert [verdict.is_verified for verdict in found] == [True, False, False]


def changed(**changes: Any) -> Change:
    return lambda registry, file: registry.sign(registry.receipt(file, **changes))


def edited(edit: Callable[[dict[str, Any]], object]) -> Change:
    """Return an envelope whose document was edited after the signature."""

    def make(registry: SigningRegistry, file: Distribution) -> bytes:
        document = json.loads(registry.sign(registry.receipt(file)))
        edit(document)
        return canonical(document)

    return make


def stranger(registry: SigningRegistry, file: Distribution) -> bytes:
    """Sign with a key that the registry does not have."""
    return SigningRegistry(TestSigner("stranger")).sign(registry.receipt(file))


REFUSED: dict[str, tuple[str, Change]] = {
    "of another file": ("wrong-digest", changed(sha256="a" * 64)),
    "of another name": ("wrong-name", changed(filename="gadgets-1.0.tar.gz")),
    "of another size": ("wrong-size", changed(size=1)),
    "of another project": ("wrong-release", changed(project="gadgets")),
    "of another version": ("wrong-release", changed(version="2.0")),
    "of no version": ("wrong-release", changed(version="latest")),
    "of another registry": ("other-registry", changed(registry="other")),
    "of another deployment": ("other-deployment", changed(host="evil.example.com")),
    "from the future": ("from-the-future", changed(signed_at=NOW.replace(year=2027))),
    "before the key": ("key-not-yet-valid", changed(signed_at=NOW.replace(year=2025))),
    "by a stranger": ("unknown-key", stranger),
    "changed": ("wrong-signature", edited(lambda d: d.update(payload="e30="))),
    "without a signature": ("malformed-envelope", edited(lambda d: d.update(signatures=[]))),
    "signed twice": ("malformed-envelope", edited(lambda d: d["signatures"].append({}))),
    "of another type": ("foreign-payload", edited(lambda d: d.update(payloadType="text/plain"))),
    "not JSON": ("malformed-envelope", lambda *_: b"<html>"),
    "huge": ("malformed-envelope", lambda *_: b" " * 70_000),
}


@pytest.mark.promise("nothing-by-default")
@pytest.mark.parametrize("name", REFUSED)
def test_a_receipt_that_is_wrong_verifies_nothing(
    registry: SigningRegistry, tmp_path: Path, name: str
) -> None:
    expected, make = REFUSED[name]
    registry.serve(url_of(wheel(), "receipt"), make(registry, wheel()))

    (verdict,) = verify(registry, put(tmp_path, wheel()))

    assert reason(verdict) == expected
    assert verdict.receipt is None


@pytest.mark.promise("nothing-by-default")
@pytest.mark.parametrize("name", sorted(REFUSED.keys() - {"of another registry"}))
def test_a_kept_receipt_that_is_wrong_verifies_nothing(
    registry: SigningRegistry, tmp_path: Path, name: str
) -> None:
    expected, make = REFUSED[name]

    verdict = verify_kept(registry, put(tmp_path, wheel()), make(registry, wheel()))

    assert reason(verdict) == expected


def test_the_keys_of_one_registry_verify_no_other(
    registry: SigningRegistry, tmp_path: Path
) -> None:
    path = put(tmp_path, wheel())
    receipt = tmp_path / "receipt.json"
    receipt.write_bytes(registry.sign(registry.receipt(wheel(), registry="other")))
    evidence = KeptEvidence(Trusted(registry.keys(registry="acme"), "acme"), receipt)

    (verdict,) = Verifier(evidence, CHECKS, None, lambda: NOW).verify(find_meant([path]))

    assert reason(verdict) == "other-registry"


@pytest.mark.promise("registrys-word")
def test_whatever_the_registry_has_signed_is_its_word(
    registry: SigningRegistry, tmp_path: Path
) -> None:
    lie = Publication(kind=Kind.JOB, issuer="https://x.example", claims={"repository": "not/true"})
    registry.publish(wheel(), publication=lie)

    (verdict,) = verify(registry, put(tmp_path, wheel()))

    assert verdict.is_verified


def test_a_changed_file_is_not_verified(registry: SigningRegistry, tmp_path: Path) -> None:
    registry.publish(wheel())
    changed_file = replace(wheel(), content=wheel().content + b"x")

    (verdict,) = verify(registry, put(tmp_path, changed_file))

    assert reason(verdict) == "wrong-digest"


# --- lists -----------------------------------------------------------------------------------


def test_each_hash_of_a_requirement_is_verified(registry: SigningRegistry, tmp_path: Path) -> None:
    registry.publish(wheel())
    registry.publish(sdist())
    registry.show("widgets", wheel(), sdist())
    path = tmp_path / "requirements.txt"
    path.write_text(f"widgets==1.0 --hash=sha256:{wheel().sha256} --hash=sha256:{sdist().sha256}\n")

    found = verify(registry, path)

    assert [v.filename for v in found if v.is_verified] == [wheel().filename, sdist().filename]


def test_a_hash_that_the_registry_does_not_have_is_not_verified(
    registry: SigningRegistry, tmp_path: Path
) -> None:
    registry.show("widgets", wheel())
    path = tmp_path / "requirements.txt"
    path.write_text(f"widgets==1.0 --hash=sha256:{'a' * 64}\n")

    (verdict,) = verify(registry, path)

    assert reason(verdict) == "not-in-registry"


@pytest.mark.promise("whole-list")
def test_a_page_cannot_give_a_hash_to_another_project(
    registry: SigningRegistry, tmp_path: Path
) -> None:
    # The policy of the other project would count, and its receipt is good.
    other = wheel("gadgets")
    registry.show("widgets", other)
    path = tmp_path / "requirements.txt"
    path.write_text(f"widgets==1.0 --hash=sha256:{other.sha256}\n")

    (verdict,) = verify(registry, path)

    assert reason(verdict) == "not-in-registry"
    assert "as a file of gadgets" in str(verdict.error)


def test_a_requirement_of_a_project_that_the_registry_lacks_is_not_verified(
    registry: SigningRegistry, tmp_path: Path
) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"gadgets==1.0 --hash=sha256:{'a' * 64}\n")

    (verdict,) = verify(registry, path)

    assert reason(verdict) == "not-in-registry"


def test_a_page_that_is_refused_verifies_nothing(registry: SigningRegistry, tmp_path: Path) -> None:
    registry.serve(f"{INDEX}widgets/", b'{"detail": "not for you"}', 403)
    path = tmp_path / "requirements.txt"
    path.write_text(f"widgets==1.0 --hash=sha256:{'a' * 64}\n")

    (verdict,) = verify(registry, path)

    assert reason(verdict) == "unauthorized"
    assert "not for you" in str(verdict.error)


def test_kept_receipts_do_not_say_which_files_there_are(registry: SigningRegistry) -> None:
    with pytest.raises(NotVerifiedError, match="only the index knows all files of widgets"):
        KeptEvidence(Trusted(registry.keys()), None).list_files(normalize("widgets"))


def test_a_requirement_needs_an_index(registry: SigningRegistry, tmp_path: Path) -> None:
    path = tmp_path / "requirements.txt"
    path.write_text(f"widgets==1.0 --hash=sha256:{'a' * 64}\n")
    evidence = KeptEvidence(Trusted(registry.keys()), None)

    (verdict,) = Verifier(evidence, CHECKS, None, lambda: NOW).verify(find_meant([path]))

    assert reason(verdict) == "no-index"
