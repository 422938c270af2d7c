"""On AWS, attestations are verified with the trusted root that another function has fetched."""

import json
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from moto import mock_aws

from pytp_broker.aws.deployed_attester import LOOK_AGAIN, DeployedAttester, refresh_deployed
from pytp_broker.aws.s3_trust_roots import PREFIX, S3TrustRoots
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import AttestationQuestion, AttestationStatus
from tests.support.claims import captured
from tests.support.emulator import create_bucket, make_client
from tests.support.refusals import refused
from tests.support.sigstores import NOW, Sigstore, github
from tests.support.tuf_repositories import URL, Repository

FILE = "widgets-1.0-py3-none-any.whl"
HASH = "ab" * 32
PUBLISHER = {"kind": "GitHub", "repository": "octo-org/widgets", "workflow": "release.yml"}


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        client = make_client("s3")
        yield client
        client.close()


@pytest.fixture
def bucket(s3: Any) -> str:
    return create_bucket(s3)


@pytest.fixture
def roots(s3: Any, bucket: str) -> S3TrustRoots:
    return S3TrustRoots(s3, bucket)


class Timer:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def publish(repository: Repository, sigstore: Sigstore) -> None:
    repository.publish(json.dumps(sigstore.trusted_root()).encode())


def refresh(roots: S3TrustRoots, repository: Repository) -> None:
    refresh_deployed(roots, URL, repository.root, repository)


def keys(s3: Any, bucket: str) -> list[str]:
    return [each["Key"] for each in s3.list_objects_v2(Bucket=bucket).get("Contents", [])]


def question(sigstore: Sigstore) -> AttestationQuestion:
    text = sigstore.attest(FILE, HASH, github(captured("github")))
    return AttestationQuestion(text, FILE, HASH, PUBLISHER)


def test_attestations_are_verified_with_the_root_of_the_bucket(
    roots: S3TrustRoots, tmp_path: Path
) -> None:
    sigstore, repository = Sigstore(), Repository()
    publish(repository, sigstore)
    refresh(roots, repository)

    state = DeployedAttester(roots, tmp_path, Timer()).verify(question(sigstore))

    assert state.status is AttestationStatus.VERIFIED


def test_a_new_root_is_found_within_an_hour(roots: S3TrustRoots, tmp_path: Path) -> None:
    first, second, repository, timer = Sigstore(), Sigstore(), Repository(), Timer()
    attester = DeployedAttester(roots, tmp_path, timer)
    publish(repository, first)
    refresh(roots, repository)
    assert attester.verify(question(first)).status is AttestationStatus.VERIFIED
    publish(repository, second)
    refresh(roots, repository)

    timer.now += LOOK_AGAIN - timedelta(seconds=1)
    before = attester.verify(question(second))
    timer.now += timedelta(seconds=1)
    after = attester.verify(question(second))

    assert before.status is not AttestationStatus.VERIFIED
    assert after.status is AttestationStatus.VERIFIED


def test_a_root_that_has_not_changed_is_not_read_again(
    roots: S3TrustRoots, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sigstore, repository, timer = Sigstore(), Repository(), Timer()
    publish(repository, sigstore)
    refresh(roots, repository)
    attester = DeployedAttester(roots, tmp_path, timer)
    attester.verify(question(sigstore))
    read: list[str] = []
    monkeypatch.setattr(roots, "read", read.append)

    timer.now += LOOK_AGAIN
    attester.verify(question(sigstore))

    assert read == []


def test_without_a_root_in_the_bucket_the_packages_is_used(
    roots: S3TrustRoots, tmp_path: Path
) -> None:
    cases = json.loads((Path(__file__).parents[2] / "cases/attestations.json").read_text())
    case = cases[0]
    asked = AttestationQuestion(
        json.dumps(case["attestations"]), case["filename"], case["sha256"], case["publisher"]
    )

    state = DeployedAttester(roots, tmp_path, Timer()).verify(asked)

    assert state.status is AttestationStatus.VERIFIED


def test_each_version_of_the_metadata_is_kept_once(
    roots: S3TrustRoots, s3: Any, bucket: str
) -> None:
    repository = Repository()
    publish(repository, Sigstore())
    refresh(roots, repository)
    refresh(roots, repository)
    assert len(keys(s3, bucket)) == 1

    publish(repository, Sigstore())
    refresh(roots, repository)

    assert len(keys(s3, bucket)) == 2
    assert roots.find_newest() == max(keys(s3, bucket))
    assert all(key.startswith(PREFIX) for key in keys(s3, bucket))


def test_the_newest_is_that_of_the_largest_version(roots: S3TrustRoots) -> None:
    for version in (9, 10, 8):
        roots.save(version, b"%d" % version)

    newest = roots.find_newest()

    assert newest is not None
    assert roots.read(newest) == b"10"


def test_a_root_that_is_there_already_is_kept(roots: S3TrustRoots, s3: Any, bucket: str) -> None:
    for _ in range(2):
        roots.save(1, b"{}")

    assert len(keys(s3, bucket)) == 1


def test_a_refresh_that_fails_keeps_the_last_root(
    roots: S3TrustRoots, s3: Any, bucket: str
) -> None:
    repository = Repository()
    publish(repository, Sigstore())
    refresh(roots, repository)
    before = keys(s3, bucket)
    repository.down = True

    with pytest.raises(StoreUnavailable) as refused:
        refresh(roots, repository)

    assert "cannot be refreshed" in refused.value.operator_detail
    assert keys(s3, bucket) == before


def test_an_older_repository_is_refused_because_of_what_the_bucket_has(
    roots: S3TrustRoots,
) -> None:
    repository = Repository(version=5)
    publish(repository, Sigstore())
    refresh(roots, repository)
    repository.version = 1
    publish(repository, Sigstore())

    with pytest.raises(StoreUnavailable):
        refresh(roots, repository)


class Refusing:
    """A client of S3 that refuses everything."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(**_: Any) -> Any:
            raise refused(name, "AccessDenied")

        return refuse


@pytest.mark.parametrize(
    "call",
    [
        lambda roots: roots.find_newest(),
        lambda roots: roots.read("trust-root/1.json"),
        lambda roots: roots.save(1, b"{}"),
    ],
    ids=["find", "read", "save"],
)
def test_a_bucket_that_refuses_is_told_with_the_call(call: Callable[[Any], Any]) -> None:
    with pytest.raises(StoreUnavailable) as failed:
        call(S3TrustRoots(Refusing(), "files"))  # type: ignore[arg-type]

    assert failed.value.operator_detail.endswith(": AccessDenied")


def test_a_bucket_that_refuses_leaves_the_question_open(tmp_path: Path) -> None:
    attester = DeployedAttester(S3TrustRoots(Refusing(), "files"), tmp_path, Timer())  # type: ignore[arg-type]

    with pytest.raises(StoreUnavailable):
        attester.verify(question(Sigstore()))
