"""What must hold in every state and at every step, each with the sentence that promises it.

``promise`` is the name of a sentence of docs/security-model.md. An invariant returns what is wrong,
or None.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final

from packaging.version import Version

from pytp_broker.audit.record import hash_prefix
from pytp_broker.index.releases import key_of
from pytp_broker.names import version_in
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import keys_of, receipt_key
from pytp_broker.storage.sessions import SessionStatus, UploadStatus
from tests.model.contents import Contents
from tests.model.history import Fact
from tests.model.system import Transition
from tests.support.fakes import MemoryFiles
from tests.support.receipts import read_receipt
from tests.support.signing import GITHUB, NOW

# Every kill switch works within this time.
BOUND_SECONDS: Final = 10
# Our clock may be so wrong, and DynamoDB's is right.
CLOCK_SECONDS: Final = 30


REUSED: Final = "invalid-reuse-token"


@dataclass(frozen=True)
class Invariant:
    """What must hold, and the promise that it stands for."""

    name: str
    promise: str
    sentence: str
    check: Callable[[Transition], str | None]


INVARIANTS: Final[dict[str, Invariant]] = {}


def invariant(name: str, promise: str) -> Callable[[Callable[[Transition], str | None]], None]:
    """Add an invariant, whose docstring is its sentence."""

    def add(check: Callable[[Transition], str | None]) -> None:
        assert check.__doc__
        INVARIANTS[name] = Invariant(name, promise, check.__doc__, check)

    return add


def _facts(step: Transition, name: str) -> Iterator[Any]:
    """Yield what this step has added to the facts of a name."""
    if step.after.history is not step.before.history:
        yield from (fact for fact in step.new_facts if fact[0] == name)


def _all(step: Transition, name: str) -> list[Any]:
    return [fact for fact in step.after.history if fact[0] == name]


def _decided_at(step: Transition) -> int:
    """Return when the operation last looked at anything before this step.

    What follows is a write that has begun (`begun-write`).
    """
    actor = step.actor
    assert actor is not None
    assert actor.point is not None
    return actor.point.since.seconds


def _began_at(step: Transition) -> int:
    """Return when the operation of this step began."""
    assert step.actor is not None
    assert step.actor.point is not None
    return step.actor.point.begin().seconds


def _known(step: Transition) -> frozenset[Fact]:
    """Return what was so before the operation of this step began."""
    assert step.actor is not None
    return step.actor.knew


# Tokens


@invariant("one token", "exchanged-once")
def _one_token(step: Transition) -> str | None:
    """One identity token gives one upload token."""
    for _, identity, token in _facts(step, "minted"):
        others = {each[2] for each in _all(step, "minted") if each[1] == identity} - {token}
        if others:
            return f"the identity token {identity} gave two upload tokens"
    return None


@invariant("expired token", "dead-token")
def _expired(step: Transition) -> str | None:
    """A token that has expired publishes nothing, if our clock is at most half a minute wrong."""
    for _, name, _, by, _ in _facts(step, "shown"):
        for record in step.before.contents.rows["tokens"].values():
            at = NOW + timedelta(seconds=_decided_at(step) - CLOCK_SECONDS)
            if hash_prefix(record.token_hash) == by and at >= record.expires_at:
                return f"`{name}` was published with a token that has expired"
    return None


@invariant("burned token", "dead-token")
def _burned(step: Transition) -> str | None:
    """An upload that begins after a token was burned publishes nothing with it."""
    return _with_dead(step, "burned")


@invariant("removed publisher", "removed-publisher")
def _removed(step: Transition) -> str | None:
    """An upload that begins after a publisher was removed publishes nothing with its tokens.

    They stay dead if the publisher is added again.
    """
    return _with_dead(step, "removed")


def _with_dead(step: Transition, how: str) -> str | None:
    for _, name, _, by, project in _facts(step, "shown"):
        if any(fact[:4] == ("ended", by, project, how) for fact in _known(step)):
            return f"`{name}` was published with a right that had ended before: {how}"
    return None


@invariant("right that ends meanwhile", "slow-upload")
def _meanwhile(step: Transition) -> str | None:
    """A right that ends while an upload is slow is gone within ten seconds."""
    for _, name, _, by, project in _facts(step, "shown"):
        for fact in step.before.history:
            if fact[:3] == ("ended", by, project) and _is_late(step, fact[4]):
                return f"`{name}` was published ten seconds after its right had ended: {fact[3]}"
    return None


@invariant("switch", "switched-off")
def _switch(step: Transition) -> str | None:
    """Ten seconds after something was switched off, nothing of it publishes, or begins to mint."""
    for _, name, *_ in _facts(step, "shown"):
        for fact in step.before.history:
            if fact[0] == "off" and _is_late(step, fact[2]):
                return f"`{name}` was published ten seconds after {fact[1]} was switched off"
    for _, name, *_ in _facts(step, "minted"):
        for fact in _known(step) & step.before.history:
            if fact[0] == "off" and _began_at(step) - int(fact[2]) >= BOUND_SECONDS:
                return f"{name} was exchanged ten seconds after {fact[1]} was switched off"
    return None


def _is_late(step: Transition, since: Any) -> bool:
    return _decided_at(step) - int(since) >= BOUND_SECONDS


@invariant("scope", "scope")
def _scope(step: Transition) -> str | None:
    """A token publishes into the projects that trusted its identity at the exchange."""
    for _, name, _, by, project in _facts(step, "shown"):
        for record in step.before.contents.rows["tokens"].values():
            minted_for = {p for listing in record.projects.values() for p in listing.names}
            if hash_prefix(record.token_hash) == by and project not in minted_for:
                return f"`{name}` is of {project}, and the token was for {sorted(minted_for)}"
    return None


@invariant("single use", "single-use")
def _single_use(step: Transition) -> str | None:
    """A single-use token publishes one file or one session."""
    for record in step.after.contents.rows["tokens"].values() if _is_new(step) else ():
        if record.is_single_use:
            by = hash_prefix(record.token_hash)
            shown = sorted(fact[1] for fact in _all(step, "shown") if fact[3] == by)
            if len(shown) > 1:
                return f"one single-use token has published {shown}"
    return None


def _is_new(step: Transition) -> bool:
    return any(_facts(step, "shown"))


@invariant("pins", "renamed-owner")
def _pins(step: Transition) -> str | None:
    """The immutable ids of a publisher are pinned once and never change."""
    if step.after.contents is step.before.contents:
        return None
    after = step.after.contents.rows["publishers"]
    for publisher_id, publisher in step.before.contents.rows["publishers"].items():
        now = after.get(publisher_id)
        if now is not None and not publisher.pins.items() <= now.pins.items():
            return f"the pins {dict(publisher.pins)} have become {dict(now.pins)}"
    return None


@invariant("owner", "renamed-owner")
def _owner(step: Transition) -> str | None:
    """A token is minted for the ids that are pinned, and for no other holder of the name."""
    if step.after.contents is step.before.contents:
        return None
    publishers = step.after.contents.rows["publishers"]
    before = step.before.contents.rows["tokens"]
    for lookup_id, record in step.after.contents.rows["tokens"].items():
        found = (publishers.get(i) for i in record.publisher_ids)
        pinned = [each.expected_ids for each in found if each is not None]
        if lookup_id not in before and any(ids != record.pins for ids in pinned):
            return f"a token was minted for {dict(record.pins)}, and {pinned} are pinned"
    return None


@invariant("refused exchange", "failed-store")
def _refused(step: Transition) -> str | None:
    """A refused exchange stores no token, and pins nothing.

    Of two exchanges of one identity token at one time, both pin the same ids, and one is refused.
    """
    rows = {"tokens", "publishers", "files"}
    if step.answer is not None and step.operation is not None and step.operation.kind == "mint":
        identity = step.operation.facts["identity"]
        was_used = any(fact[:2] == ("minted", identity) for fact in _known(step))
        if step.answer.status == 422 and step.answer.code == REUSED and not was_used:
            rows -= {"publishers"}
    return _refusal_that_wrote(step, "mint", rows)


@invariant("refused upload", "all-or-none")
def _refused_upload(step: Transition) -> str | None:
    """A refused upload or publish makes nothing visible."""
    return _refusal_that_wrote(step, "upload", {"files"}) or _refusal_that_wrote(
        step, "publish", {"files"}
    )


def _refusal_that_wrote(step: Transition, kind: str, rows: set[str]) -> str | None:
    if step.answer is None or not 400 <= step.answer.status < 500:
        return None
    assert step.actor is not None
    assert step.operation is not None
    wrote, is_kind = step.actor.wrote & rows, step.operation.kind == kind
    return f"{kind} was refused, and has written {sorted(wrote)}" if is_kind and wrote else None


@invariant("told truly", "failed-store")
def _told_truly(step: Transition) -> str | None:
    """An identity token is called used only if a token is stored for it: else a retry succeeds."""
    operation = step.operation
    if step.answer is None or step.answer.status != 422 or operation is None:
        return None
    if operation.kind != "mint" or step.answer.code != REUSED:
        return None
    name = f"{GITHUB}\njti:{operation.facts['identity']}"
    lookup_id = hashlib.sha256(name.encode()).hexdigest()[:32]
    is_stored = lookup_id in step.before.contents.rows["tokens"]
    return None if is_stored else "an identity token is called used, and no token is stored for it"


# Files


@invariant("one content", "immutable-file")
def _one_content(step: Transition) -> str | None:
    """A file name has one content for all time."""
    for _, name, sha256, _, _ in _facts(step, "shown"):
        if any(fact[1] == name and fact[2] != sha256 for fact in _all(step, "shown")):
            return f"`{name}` has another content than before"
    return None


@invariant("deleted name", "deleted-file")
def _deleted(step: Transition) -> str | None:
    """The name of a deleted file never comes back."""
    gone = {fact[1] for fact in step.before.history if fact[0] == "gone"}
    back = gone & _visible(step.after.contents).keys() if gone else set()
    return f"{sorted(back)} was deleted, and is back" if back else None


@invariant("kept", "immutable-file")
def _kept(step: Transition) -> str | None:
    """What was answered 200 is visible from then on, until an operator deletes it."""
    told = _all(step, "told")
    if not told:
        return None
    visible = {(f.filename, f.sha256) for f in _visible(step.after.contents).values()}
    deleted = {fact[1] for fact in _all(step, "deleted")}
    for _, name, sha256 in told:
        if name not in deleted and (name, sha256) not in visible:
            return f"`{name}` was answered 200, and is not there"
    return None


@invariant("receipt", "no-file-without-receipt")
def _receipt(step: Transition) -> str | None:
    """Every visible file has its bytes, and a receipt that names its publisher."""
    if step.after.contents is step.before.contents:
        return None
    for file in _visible(step.after.contents).values():
        said = _lacks(file, step.after.contents)
        if said is not None:
            return f"`{file.filename}` {said}"
    return None


def _lacks(file: PublishedFile, contents: Contents) -> str | None:
    octets = contents.octets["contents"]
    if not octets.keys() >= set(keys_of(file)):
        return "is visible without its bytes"
    key = receipt_key(file.registry, file.receipt_sha256 or "", file.filename)
    if key not in octets:
        return "is visible without its receipt"
    by = _publisher_in(file, octets[key])
    expected = file.published_by["publishers"], file.published_by["token_hash"]
    return None if by == expected else f"has a receipt of {by}, and was published by {expected}"


_RECEIPTS: Final[dict[tuple[str, bytes], tuple[str, str]]] = {}


def _publisher_in(file: PublishedFile, octets: bytes) -> tuple[str, str]:
    known = _RECEIPTS.get((file.filename, octets))
    if known is None:
        files = MemoryFiles()
        files.contents[receipt_key(file.registry, file.receipt_sha256 or "", file.filename)] = (
            octets
        )
        publication = read_receipt(file, files, file.uploaded_at).publication
        known = ", ".join(publication.publishers), publication.token_hash or ""
        _RECEIPTS[file.filename, octets] = known
    return known


@cache
def _visible(contents: Contents) -> dict[str, PublishedFile]:
    return contents.visible


# Releases and sessions


@invariant("closed release", "closed-release")
def _closed(step: Transition) -> str | None:
    """A closed release takes no file, unless an operator has opened it again."""
    new = {fact[1] for fact in _facts(step, "shown")}
    if not new:
        return None
    at, days = NOW + timedelta(seconds=_decided_at(step)), timedelta(days=14)
    files = step.after.contents.rows["files"].values()
    for file in (each for each in files if each.filename in new):
        mine = [f.uploaded_at for f in files if f.version == file.version and f is not file]
        key = (file.registry, file.project, key_of(Version(file.version)))
        until = step.before.contents.rows["reopened"].get(key, NOW)
        if mine and at >= max(min(mine) + days, until) + timedelta(seconds=CLOCK_SECONDS):
            return f"`{file.filename}` was added to a release that had closed"
    return None


@invariant("one spelling", "closed-release")
def _one_spelling(step: Transition) -> str | None:
    """A release has one spelling of its version."""
    if step.after.contents is step.before.contents:
        return None
    spelled: dict[str, set[str]] = {}
    for file in step.after.contents.rows["files"].values():
        key = key_of(Version(file.version))
        spelled.setdefault(key, set()).add(version_in(file.filename, file.project))
    twice = [sorted(each) for each in spelled.values() if len(each) > 1]
    return f"one version is spelled {twice[0]}" if twice else None


@invariant("whole release", "all-or-none")
def _whole(step: Transition) -> str | None:
    """The files of a publishing session become visible together or not at all."""
    if step.after.contents is step.before.contents:
        return None
    stored = step.after.contents.rows["files"].values()
    visible = {file.upload_id for file in stored}
    for session in step.after.contents.rows["sessions"].values():
        live = [f for f in session.files.values() if f.status is not UploadStatus.CANCELED]
        shown = [f.filename for f in live if f.upload_id in visible]
        is_published = session.status is SessionStatus.PUBLISHED
        if len(shown) != (len(live) if is_published else 0):
            return f"of a session that is {session.status.value}, {shown} is visible"
    return None


@invariant("staged file", "all-or-none")
def _staged(step: Transition) -> str | None:
    """A file that a session has taken stays in it: two requests at a time lose none."""
    for _, token, name in _all(step, "staged"):
        session = step.after.contents.rows["sessions"].get(token)
        if session is not None and name not in session.files:
            return f"`{name}` was taken into a session, and is not in it"
    return None
