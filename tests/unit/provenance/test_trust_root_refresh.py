"""The trusted root: the newest one is fetched, and nothing that is not signed is taken."""

import json
from datetime import UTC, datetime, time, timedelta
from functools import cache
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import time_machine
from sigstore._utils import read_embedded

from pytp_broker.provenance import trust_root_refresh
from pytp_broker.provenance.attester import AttestationQuestion, AttestationStatus
from pytp_broker.provenance.sigstore_checks import SigstoreAttester
from pytp_broker.provenance.trust_root_refresh import (
    SIGSTORE_URL,
    Refreshed,
    RefreshFailedError,
    pack,
    unpack,
)
from pytp_broker.provenance.trusted_roots import SHIPPED_ON, SHIPPED_ROOT
from tests.support.claims import captured
from tests.support.sigstores import Sigstore, github
from tests.support.tuf_repositories import URL, Repository

FILE = "widgets-1.0-py3-none-any.whl"
HASH = "ab" * 32


@cache
def root_of(name: str) -> bytes:
    return json.dumps(Sigstore(name).trusted_root()).encode()


@pytest.fixture
def repository() -> Repository:
    repository = Repository()
    repository.publish(root_of("first.example.com"))
    return repository


def refresh(folder: Path, repository: Repository) -> Refreshed:
    return trust_root_refresh.refresh(folder, URL, repository.root, repository)


def test_the_shipped_root_is_that_of_the_library() -> None:
    assert SHIPPED_ROOT.read_bytes() == read_embedded("trusted_root.json", SIGSTORE_URL)


def test_the_newest_trusted_root_is_fetched(tmp_path: Path, repository: Repository) -> None:
    first = refresh(tmp_path, repository)
    repository.publish(root_of("second.example.com"))

    second = refresh(tmp_path, repository)

    assert (first.has_changed, second.has_changed) == (True, True)
    assert (first.version, second.version) == (1, 2)
    assert (tmp_path / "trusted_root.json").read_bytes() == root_of("second.example.com")


def test_without_another_beginning_only_sigstores_own_keys_count(
    tmp_path: Path, repository: Repository
) -> None:
    # The library's metadata expires some months after this day.
    day = datetime.combine(SHIPPED_ON, time(), UTC)

    with time_machine.travel(day), pytest.raises(RefreshFailedError, match="was signed by 0/"):
        trust_root_refresh.refresh(tmp_path, URL, fetcher=repository)

    assert not (tmp_path / "trusted_root.json").exists()


def test_a_root_that_has_not_changed_is_not_fetched_again(
    tmp_path: Path, repository: Repository
) -> None:
    refresh(tmp_path, repository)
    repository.asked.clear()

    again = refresh(tmp_path, repository)

    assert not again.has_changed
    assert not [url for url in repository.asked if "/targets/" in urlsplit(url).path]


def test_attestations_are_verified_with_the_root_that_was_fetched(tmp_path: Path) -> None:
    sigstore, repository = Sigstore(), Repository()
    repository.publish(json.dumps(sigstore.trusted_root()).encode())
    text = sigstore.attest(FILE, HASH, github(captured("github")))
    publisher = {"kind": "GitHub", "repository": "octo-org/widgets", "workflow": "release.yml"}

    refresh(tmp_path, repository)

    attester = SigstoreAttester(tmp_path / "trusted_root.json", SHIPPED_ROOT)
    state = attester.verify(AttestationQuestion(text, FILE, HASH, publisher))
    assert state.status is AttestationStatus.VERIFIED


def _is_down(repository: Repository) -> None:
    repository.down = True


def _is_signed_by_another(repository: Repository) -> None:
    other = Repository(version=repository.version)
    other.publish(root_of("second.example.com"))
    repository.documents = other.documents


def _is_expired(repository: Repository) -> None:
    repository.lifetime = timedelta(days=-1)
    repository.publish(root_of("second.example.com"))


def _is_older(repository: Repository) -> None:
    repository.version = 0
    repository.publish(root_of("second.example.com"))


def _is_tampered(repository: Repository) -> None:
    repository.publish(root_of("second.example.com"))
    for name in repository.documents:
        if name.startswith("targets/"):
            repository.documents[name] = root_of("first.example.com")[:-1] + b" "


def _is_garbage(repository: Repository) -> None:
    repository.documents["timestamp.json"] = b"hello"


def _has_no_root(repository: Repository) -> None:
    repository.publish(None)


def _has_a_huge_root(repository: Repository) -> None:
    repository.publish(b" " * (1 << 20) + b"{}")


def _has_a_root_of_nobody(repository: Repository) -> None:
    repository.publish(b"{}")


def _has_a_root_without_logs(repository: Repository) -> None:
    repository.publish(json.dumps({**Sigstore().trusted_root(), "tlogs": []}).encode())


@pytest.mark.promise("signed-trust-root")
@pytest.mark.parametrize(
    "spoil",
    [
        _is_down,
        _is_signed_by_another,
        _is_expired,
        _is_older,
        _is_tampered,
        _is_garbage,
        _has_no_root,
        _has_a_huge_root,
        _has_a_root_of_nobody,
        _has_a_root_without_logs,
    ],
    ids=lambda spoil: spoil.__name__.strip("_"),
)
def test_a_refresh_that_fails_keeps_the_last_root(
    tmp_path: Path, repository: Repository, spoil: object
) -> None:
    repository.version = 3
    repository.publish(root_of("first.example.com"))
    refresh(tmp_path, repository)
    assert callable(spoil)
    spoil(repository)

    with pytest.raises(RefreshFailedError, match=r"the trusted root cannot be refreshed: ."):
        refresh(tmp_path, repository)

    assert (tmp_path / "trusted_root.json").read_bytes() == root_of("first.example.com")
    assert not [*tmp_path.glob("incoming-*")]


def test_what_was_fetched_can_be_packed_and_unpacked(
    tmp_path: Path, repository: Repository
) -> None:
    refresh(tmp_path / "one", repository)

    unpack(pack(tmp_path / "one"), tmp_path / "two")

    assert not refresh(tmp_path / "two", repository).has_changed
    assert (tmp_path / "two/trusted_root.json").read_bytes() == root_of("first.example.com")


def test_an_older_repository_is_refused_after_unpacking(
    tmp_path: Path, repository: Repository
) -> None:
    repository.publish(root_of("second.example.com"))
    refresh(tmp_path / "one", repository)
    unpack(pack(tmp_path / "one"), tmp_path / "two")
    _is_older(repository)

    with pytest.raises(RefreshFailedError):
        refresh(tmp_path / "two", repository)


@pytest.mark.parametrize("name", ["../outside.json", "/outside.json", "tuf/../../outside.json"])
def test_nothing_is_unpacked_outside_the_folder(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "inside"
    folder.mkdir()
    target = name if name[0] != "/" else str(tmp_path / "outside.json")

    with pytest.raises(ValueError, match="outside the folder"):
        unpack(json.dumps({target: "{}"}).encode(), folder)

    assert [*tmp_path.iterdir()] == [folder]
