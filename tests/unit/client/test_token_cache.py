"""Tokens on disk: for one identity, for one user, for their life."""

import json
import os
import stat
from pathlib import Path
from threading import Thread

import pytest

from pytp_broker.client.registry import Minted
from pytp_broker.client.token_cache import TokenCache
from pytp_broker.redaction import Hidden
from tests.support.remote import BASE, unsigned_token

MINT_URL = f"{BASE}/_/oidc/mint-token"
IDENTITY = Hidden(unsigned_token())
NOW = 1000.0
MINTED = Minted(Hidden("secret"), 1900)


@pytest.fixture
def folder(quick_path: Path) -> Path:
    return quick_path / "cache"


@pytest.fixture
def cache(folder: Path) -> TokenCache:
    return TokenCache(folder)


def keep(cache: TokenCache, minted: Minted = MINTED) -> None:
    cache.keep(IDENTITY, MINT_URL, minted, NOW)


def test_a_token_is_found_again_in_its_life(folder: Path) -> None:
    keep(TokenCache(folder))

    found = TokenCache(folder).find(IDENTITY, MINT_URL, 1899)
    assert found is not None
    assert found.token.reveal() == "secret"
    assert found.expires == 1900


def test_an_expired_token_is_not_found(cache: TokenCache) -> None:
    keep(cache)

    assert cache.find(IDENTITY, MINT_URL, 1900) is None


@pytest.mark.parametrize(
    ("identity", "mint_url"),
    [(unsigned_token("other"), MINT_URL), (IDENTITY.reveal(), f"{BASE}/_/oidc/mint-read-token")],
)
def test_another_job_or_right_does_not_find_it(
    cache: TokenCache, identity: str, mint_url: str
) -> None:
    keep(cache)

    assert cache.find(Hidden(identity), mint_url, NOW) is None


@pytest.mark.promise("cache-of-a-job")
def test_nobody_else_can_read_it(cache: TokenCache, folder: Path) -> None:
    keep(cache)

    (entry,) = folder.glob("*.json")
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert IDENTITY.reveal() not in entry.name + entry.read_text()


@pytest.mark.promise("cache-of-a-job")
def test_another_job_of_the_same_user_cannot_read_it(cache: TokenCache, folder: Path) -> None:
    keep(cache)
    (entry,) = folder.glob("*.json")
    other = Hidden(unsigned_token("other"))

    assert "secret" not in entry.read_text()
    entry.rename(cache._path(other, MINT_URL))
    found = cache.find(other, MINT_URL, NOW)
    assert found is None or found.token.reveal() != "secret"


@pytest.mark.promise("cache-of-a-job")
def test_two_entries_for_one_identity_are_sealed_differently(
    cache: TokenCache, folder: Path
) -> None:
    keep(cache)
    (entry,) = folder.glob("*.json")
    first = entry.read_text()

    keep(cache)

    assert json.loads(first)["sealed"] != json.loads(entry.read_text())["sealed"]


@pytest.mark.promise("cache-of-a-job")
@pytest.mark.parametrize("mode", [0o755, 0o770, 0o701])
def test_a_folder_that_others_may_enter_is_not_used(
    cache: TokenCache, folder: Path, mode: int
) -> None:
    keep(cache)
    folder.chmod(mode)

    assert cache.find(IDENTITY, MINT_URL, NOW) is None
    cache.keep(Hidden("other"), MINT_URL, MINTED, NOW)
    with cache.locked():
        assert len(list(folder.iterdir())) == 1


def test_a_folder_of_somebody_else_is_not_used(
    cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(cache)
    monkeypatch.setattr(os, "getuid", lambda: os.geteuid() + 1)

    assert cache.find(IDENTITY, MINT_URL, NOW) is None


def test_a_link_in_the_place_of_the_folder_is_not_followed(folder: Path) -> None:
    elsewhere = folder.with_name("elsewhere")
    elsewhere.mkdir(mode=0o700)
    folder.symlink_to(elsewhere)

    keep(TokenCache(folder))

    assert not list(elsewhere.iterdir())


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{}",
        "[]",
        '{"sealed": "00", "nonce": "x", "expires": "soon"}',
        '{"sealed": "no hex", "nonce": "x", "expires": 1900}',
        '{"sealed": 7, "nonce": "x", "expires": 1900}',
    ],
)
def test_a_broken_entry_is_no_token(cache: TokenCache, folder: Path, content: str) -> None:
    keep(cache)
    (entry,) = folder.glob("*.json")
    entry.write_text(content)

    assert cache.find(IDENTITY, MINT_URL, NOW) is None
    keep(cache)
    assert cache.find(IDENTITY, MINT_URL, NOW) is not None


def test_expired_tokens_are_removed_with_the_next_one(cache: TokenCache, folder: Path) -> None:
    keep(cache, Minted(Hidden("old"), 1001))

    cache.keep(Hidden("other"), MINT_URL, MINTED, 1002)

    (entry,) = folder.glob("*.json")
    assert "old" not in entry.read_text()


def test_a_burned_token_leaves_it(cache: TokenCache) -> None:
    keep(cache)

    cache.forget(IDENTITY, MINT_URL)

    assert cache.find(IDENTITY, MINT_URL, NOW) is None
    cache.forget(IDENTITY, MINT_URL)


def test_a_full_disk_costs_the_cache_alone(
    cache: TokenCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError

    monkeypatch.setattr("tempfile.mkstemp", full)

    keep(cache)

    assert cache.find(IDENTITY, MINT_URL, NOW) is None


def test_a_place_where_no_folder_can_be_made_costs_the_cache_alone(quick_path: Path) -> None:
    cache = TokenCache(quick_path / "missing" / "cache")

    keep(cache)

    assert cache.find(IDENTITY, MINT_URL, NOW) is None


def test_each_user_has_a_folder_in_the_jobs_temporary_one(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.gettempdir", lambda: str(quick_path))

    keep(TokenCache())

    assert (quick_path / f"pytp-broker-{os.getuid()}").is_dir()


def test_a_lock_that_cannot_be_had_costs_the_lock_alone(cache: TokenCache, folder: Path) -> None:
    folder.mkdir(mode=0o700)
    (folder / "lock").mkdir()

    with cache.locked():
        keep(cache)

    assert cache.find(IDENTITY, MINT_URL, NOW) is not None


def test_one_at_a_time_looks_and_mints(folder: Path) -> None:
    seen: list[str] = []

    def enter() -> None:
        with TokenCache(folder).locked():
            seen.append("second")

    with TokenCache(folder).locked():
        second = Thread(target=enter)
        second.start()
        second.join(0.05)
        seen.append("first")
    second.join(10)

    assert seen == ["first", "second"]
