"""Faults that we put into the code on purpose, one or more for each invariant.

Each is a change that a person could make by mistake, and for each there is a scenario in which the
search must find what it breaks.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import Any, Final

import pytest

from pytp_broker import exchange, minting
from pytp_broker.errors import ReusedToken, StoreUnavailable
from pytp_broker.grants import Grant, Trust
from pytp_broker.index import preparing, publishing, receipts, storing
from pytp_broker.index.releases import _Rules
from pytp_broker.index.sessions import publishing as session_publishing
from pytp_broker.storage.cache import ConfigurationCache
from pytp_broker.storage.file_records import PublishedFile, Release
from pytp_broker.storage.protocols import AlreadyExchangedError
from pytp_broker.storage.sessions import Session
from pytp_broker.storage.withdrawals import Tombstone
from pytp_broker.tokens import TokenRecord, UploadToken
from pytp_broker.trust.publishers import TrustedPublisher, unpinned
from tests.model import desk, scenarios, system
from tests.model.system import Scenario
from tests.support.fakes import MemoryStore

Patch = pytest.MonkeyPatch


@dataclass(frozen=True)
class Mutant:
    """A fault, the invariant that it breaks, and where the search finds that."""

    name: str
    invariant: str
    scenario: Scenario
    install: Callable[[Patch], None]


MUTANTS: Final[list[Mutant]] = []


Install = Callable[[Patch], None]


def mutant(invariant: str, *found_in: Scenario) -> Callable[[Install], Install]:
    """Add a mutant, whose docstring is its name, for each scenario."""

    def add(install: Install) -> Install:
        assert install.__doc__
        MUTANTS.extend(Mutant(install.__doc__, invariant, each, install) for each in found_in)
        return install

    return add


# Of the exchange


@mutant("one token", scenarios.STOLEN_IDENTITY)
def _unconditional_token(patch: Patch) -> None:
    """add_token writes without its condition"""

    def add_token(self: MemoryStore, record: TokenRecord) -> None:
        self.tokens[record.lookup_id] = record

    patch.setattr(MemoryStore, "add_token", add_token)


@mutant("one token", scenarios.EXPIRY)
def _forgotten_early(patch: Patch) -> None:
    """the row of a token is kept until the token expires, and not until its identity token does"""

    def mint(*arguments: Any) -> minting.Minted:
        minted = minting.mint(*arguments)
        record = replace(minted.record, kept_until=minted.record.expires_at)
        return replace(minted, record=record)

    patch.setattr(exchange, "mint", mint)


@mutant("told truly", scenarios.STOLEN_IDENTITY)
def _blamed(patch: Patch) -> None:
    """an exchange whose write fails says that the identity token was used"""

    def store(record: TokenRecord, broker: Any) -> None:
        try:
            broker.store.add_token(record)
        except (AlreadyExchangedError, StoreUnavailable):
            raise ReusedToken("used") from None

    patch.setattr(exchange, "store", store)


@mutant("pins", scenarios.FIRST_USE)
def _last_pins(patch: Patch) -> None:
    """the last of two first uses pins its ids"""

    def pin_publisher(
        self: MemoryStore, publisher: TrustedPublisher, pins: Mapping[str, str]
    ) -> Mapping[str, str] | None:
        stored = self.publishers[publisher.publisher_id]
        self.publishers[publisher.publisher_id] = stored.with_pins({**stored.pins, **pins})
        return {**stored.pins, **pins}

    patch.setattr(MemoryStore, "pin_publisher", pin_publisher)


@mutant("owner", scenarios.FIRST_USE)
def _own_pins(patch: Patch) -> None:
    """an exchange goes on with its own ids, although others were pinned first"""

    def pin(publishers: Sequence[TrustedPublisher], job: Any, broker: Any) -> Any:
        missing = [unpinned(publisher, job.claims) for publisher in publishers]
        for publisher, pins in zip(publishers, missing, strict=True):
            if pins:
                broker.store.pin_publisher(publisher, pins)
        pairs = zip(publishers, missing, strict=True)
        return tuple(publisher.with_pins({**publisher.pins, **pins}) for publisher, pins in pairs)

    patch.setattr(exchange, "pin", pin)


@mutant("refused exchange", scenarios.USED_BEFORE)
def _replay_pins(patch: Patch) -> None:
    """ids are pinned before anybody looks whether the identity token was used"""
    patch.setattr(exchange, "check_unused", lambda *_: None)


# Of what a token may do


def _live_if(patch: Patch, is_live: Callable[[TokenRecord, datetime], bool]) -> None:
    def live(self: TokenRecord, token: UploadToken, now: datetime) -> bool:
        return self.token_hash == token.hash and is_live(self, now)

    patch.setattr(TokenRecord, "is_live", live)


@mutant("expired token", scenarios.EXPIRY)
def _no_expiry(patch: Patch) -> None:
    """nobody looks at the expiry of a token"""
    _live_if(patch, lambda record, _now: record.burned_at is None)


@mutant("burned token", scenarios.STOLEN_TOKEN)
def _no_burn(patch: Patch) -> None:
    """nobody looks whether a token is burned"""
    _live_if(patch, lambda record, now: now < record.expires_at)


@mutant("removed publisher", scenarios.REMOVED)
def _any_publisher(patch: Patch) -> None:
    """a token is good although its publisher is not trusted any more"""

    def among(self: Grant, trusted: Trust) -> tuple[str, ...]:
        return tuple(self.publisher_ids)

    patch.setattr(Grant, "publishers_among", among)


@mutant("removed publisher", scenarios.REMOVED)
def _revived(patch: Patch) -> None:
    """a publisher that is added again has the id that it had before"""
    apply = MemoryStore.apply

    def with_known_ids(self: MemoryStore, configuration: Any, publishers: Any) -> Any:
        named = [replace(each, publisher_id=each.rules_hash) for each in publishers]
        return apply(self, configuration, named)

    patch.setattr(MemoryStore, "apply", with_known_ids)


@mutant("scope", scenarios.WIDENED)
def _no_generation(patch: Patch) -> None:
    """a token is good for projects that its publisher got later"""

    def among(self: Grant, trusted: Trust) -> tuple[str, ...]:
        return tuple(i for i in self.publisher_ids if i in trusted)

    patch.setattr(Grant, "publishers_among", among)


@mutant("switch", scenarios.ALL_OFF, scenarios.REGISTRY_OFF, scenarios.ISSUER_OFF)
def _old_configuration(patch: Patch) -> None:
    """a process remembers the configuration for an hour"""
    patch.setattr(desk, "ConfigurationCache", partial(ConfigurationCache, max_age_seconds=3600))
    patch.setattr(system, "MAX_AGE", 3600)


@mutant("switch", scenarios.SLOW_UPLOAD)
@mutant("right that ends meanwhile", scenarios.SLOW_BURN)
def _no_confirmation(patch: Patch) -> None:
    """an upload does not confirm its right before the file becomes visible"""
    patch.setattr(publishing, "confirm", lambda *_: None)


@mutant("right that ends meanwhile", scenarios.SESSION_RIGHTS)
def _no_confirmation_of_a_publish(patch: Patch) -> None:
    """a publish does not confirm its right before the files become visible"""
    patch.setattr(session_publishing, "confirm", lambda *_: None)


@mutant("single use", scenarios.SINGLE_USE)
def _used_twice(patch: Patch) -> None:
    """use_token writes without its condition"""

    def use_token(self: MemoryStore, record: TokenRecord, file: str) -> bool:
        stored = self.tokens[record.lookup_id]
        self.tokens[record.lookup_id] = replace(stored, used_for=file)
        return True

    patch.setattr(MemoryStore, "use_token", use_token)


@mutant("single use", scenarios.SINGLE_USE)
def _used_late(patch: Patch) -> None:
    """a single-use token is looked at when an upload begins, and not again"""
    patch.setattr(preparing, "use_up", lambda *_: None)


# Of files


@mutant("one content", scenarios.SAME_NAME)
def _replaced(patch: Patch) -> None:
    """add_file writes without its condition"""

    def add_file(self: MemoryStore, file: PublishedFile, _announcement: Any = None) -> None:
        self.files[file.registry, file.filename] = file

    patch.setattr(MemoryStore, "add_file", add_file)


@mutant("deleted name", scenarios.SAME_NAME)
def _no_tombstone(patch: Patch) -> None:
    """the record of a deleted file is removed instead of getting a tombstone"""

    def delete_file(
        self: MemoryStore, registry: str, project: str, filename: str, tombstone: Tombstone
    ) -> Tombstone:
        self.files.pop((registry, filename), None)
        return tombstone

    patch.setattr(MemoryStore, "delete_file", delete_file)


@mutant("kept", scenarios.SAME_NAME)
def _told_too_early(patch: Patch) -> None:
    """an upload succeeds although its last write has failed"""

    def make_visible(file: PublishedFile, store: Any, announcement: Any) -> None:
        with suppress(StoreUnavailable):
            storing.make_visible(file, store, announcement)

    patch.setattr(publishing, "make_visible", make_visible)


@mutant("refused upload", scenarios.SINGLE_USE)
def _visible_too_early(patch: Patch) -> None:
    """a file becomes visible before its single-use token is used up"""
    announce = preparing.announce

    def announce_and_show(file: PublishedFile, index: Any) -> Any:
        storing.make_visible(file, index.store)
        return announce(file, index)

    patch.setattr(preparing, "announce", announce_and_show)


@mutant("receipt", scenarios.STOLEN_IDENTITY)
def _late_receipt(patch: Patch) -> None:
    """a receipt is stored after the file's record"""
    late: list[Callable[[], None]] = []

    class Later:
        def __init__(self, files: Any) -> None:
            self._files = files

        def save(self, *arguments: Any) -> None:
            late[:] = [partial(self._files.save, *arguments)]

    def certify(file: PublishedFile, audit_sha256: str, notary: Any) -> PublishedFile:
        return receipts.certify(file, audit_sha256, replace(notary, files=Later(notary.files)))

    def make_visible(file: PublishedFile, store: Any, announcement: Any) -> None:
        storing.make_visible(file, store, announcement)
        late[0]()

    patch.setattr(preparing, "certify", certify)
    patch.setattr(publishing, "make_visible", make_visible)


# Of releases and sessions


@mutant("closed release", scenarios.CLOSING)
def _never_closed(patch: Patch) -> None:
    """nobody looks whether a release has closed"""
    patch.setattr(_Rules, "closure", lambda *_: None)


@mutant("one spelling", scenarios.SPELLINGS)
def _lost_claim(patch: Patch) -> None:
    """save_release writes without its condition"""

    def save_release(self: MemoryStore, release: Release, present: Release | None) -> bool:
        self.releases[release.registry, release.project, release.key] = release
        return True

    patch.setattr(MemoryStore, "save_release", save_release)


@mutant("whole release", scenarios.PUBLISHING)
def _half_a_release(patch: Patch) -> None:
    """a file becomes visible when a session reserves its name"""
    reserve = MemoryStore.reserve

    def reserve_and_show(
        self: MemoryStore, session: Session, files: Sequence[PublishedFile]
    ) -> Sequence[str]:
        taken = reserve(self, session, files)
        if not taken:
            self.files.update({(f.registry, f.filename): f for f in files[:1]})
        return taken

    patch.setattr(MemoryStore, "reserve", reserve_and_show)


@mutant("staged file", scenarios.TWO_CLIENTS)
def _lost_update(patch: Patch) -> None:
    """save_session writes without its condition"""

    def save_session(self: MemoryStore, session: Session, present: Session) -> bool:
        self.sessions[session.token] = session
        return True

    patch.setattr(MemoryStore, "save_session", save_session)
