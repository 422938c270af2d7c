"""What no answer of a run may be: the findings in the journal alone."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from tests.soak.journal import Entry
from tests.soak.site import CHANGING
from tests.soak.story import YANKS, Story, wholly_within, within
from tests.soak.visits import CUT

# A loss is a promise that was broken; an oddity is an answer that nothing explains.
LOSS: Final = "loss"
ODDITY: Final = "oddity"

# The statuses that each kind of request may get, beside 503 while the issuer is not well.
_EXPECTED: Final = {
    "announce": {202, 403, 409},
    "burn": {202},
    "bytes": {204, 403, 404, 409},
    "cancel": {204, 403, 404, 409},
    "complete": {201, 202, 400, 403, 404, 409},
    "exchange": {200, 422},
    "exchange-bad": {422},
    "exchange-read": {200, 422},
    "file": {200, 401},
    "introspect": {200},
    "look": {200},
    "page": {200, 304, 401, 404},
    "page-bad": {401, 404},
    "publish": {200, 201, 403, 409},
    "put": {200, 403, 409, 412},
    "receipt": {200, 401},
    "session": {200, 201, 403, 409},
    "staged-file": {200, 403},
    "upload": {200, 400, 403, 409},
    "upload-dead": {401},
}
_EXCHANGES: Final = frozenset({"exchange", "exchange-bad", "exchange-read"})


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong: which check found it, and what it saw."""

    kind: str
    check: str
    seen: str


def findings(story: Story) -> Iterator[Finding]:
    """Yield everything that the answers show."""
    yield from _minted_twice(story)
    yield from _dead_tokens_that_worked(story)
    yield from _single_uses(story)
    yield from _removed_publishers_that_uploaded(story)
    yield from _wrong_pages(story)
    yield from _wrong_introspections(story)
    yield from _unexpected_answers(story)
    yield from _unexplained_silence(story)
    yield from _failed_commands(story)


def _minted_twice(story: Story) -> Iterator[Finding]:
    minted = Counter(e.facts["jti"] for e in story.of("exchange") if e.status == 200)
    for jti, count in minted.items():
        if count > 1:
            yield Finding(LOSS, "an identity token is minted once", f"{jti}: {count} times")


def _dead_tokens_that_worked(story: Story) -> Iterator[Finding]:
    for entry in story.of("upload", "upload-dead"):
        since = story.burned.get(entry.facts["token"])
        if entry.status == 200 and since is not None and entry.begin > since:
            yield Finding(LOSS, "a burned token uploads nothing", entry.facts["filename"])


def _single_uses(story: Story) -> Iterator[Finding]:
    used: defaultdict[str, set[str]] = defaultdict(set)
    for entry in story.of("upload"):
        if entry.facts["single"] and entry.status == 200:
            used[entry.facts["token"]].add(entry.facts["filename"])
    for names in used.values():
        if len(names) > 1:
            yield Finding(LOSS, "a single-use token is used once", ", ".join(sorted(names)))


def _removed_publishers_that_uploaded(story: Story) -> Iterator[Finding]:
    for entry in story.of("upload", "publish", "exchange"):
        is_taken = entry.status in {200, 201} and entry.facts.get("project") == CHANGING
        if is_taken and wholly_within(entry, story.untrusted):
            yield Finding(LOSS, "a removed publisher publishes nothing", _shown(entry))


def _wrong_pages(story: Story) -> Iterator[Finding]:
    for entry in story.of("missing"):
        if (entry.facts["filename"], entry.facts["sha256"]) not in story.maybe_deleted:
            yield Finding(LOSS, "a file that was taken is on the next page", _shown(entry))
    for entry in story.of("corrupt"):
        yield Finding(LOSS, "a file has the bytes that were sent", _shown(entry))
    for entry in story.of("file", "receipt"):
        is_gone = entry.status in {404, 410}
        if is_gone and (entry.facts["filename"], entry.facts["sha256"]) in story.must_be_there:
            yield Finding(LOSS, "a file that was taken can be fetched", _shown(entry))


def _wrong_introspections(story: Story) -> Iterator[Finding]:
    for entry in story.of("active"):
        if entry.begin > story.burned.get(entry.facts["token"], float("inf")):
            yield Finding(LOSS, "a burned token is not active", entry.facts["token"][:12])
    for entry in story.of("inactive"):
        if entry.facts["token"] in story.must_live:
            yield Finding(LOSS, "a token that was minted is active", entry.facts["token"][:12])


def _unexpected_answers(story: Story) -> Iterator[Finding]:
    for entry in story.requests:
        if entry.status is not None and not _is_expected(entry, story):
            yield Finding(ODDITY, "each answer is one that is documented", _shown(entry))


def _is_expected(entry: Entry, story: Story) -> bool:
    if entry.status == 503:
        waits = entry.facts.get("retry_after") is not None
        return waits and entry.kind in _EXCHANGES and within(entry, story.moods)
    special = _SPECIAL.get((entry.kind, entry.status or 0))
    if special is not None:
        return special(entry, story)
    return entry.status in _EXPECTED[entry.kind]


def _has_ended(entry: Entry, story: Story) -> bool:
    """Say whether the token of an upload may be used up or burned."""
    return bool(entry.facts["single"]) or entry.facts["token"] in story.maybe_burned


def _is_deleted(entry: Entry, story: Story) -> bool:
    return (entry.facts["filename"], entry.facts["sha256"]) in story.maybe_deleted


def _is_changing(entry: Entry, _: Story) -> bool:
    """Say whether the operator may have removed the publisher of the token."""
    return bool(entry.facts["project"] == CHANGING)


def _is_maybe_alive(entry: Entry, story: Story) -> bool:
    """Say whether the answer to the burn of a token was lost."""
    return entry.facts["token"] not in story.burned


def _may_be_refused(entry: Entry, story: Story) -> bool:
    """Say whether a refusal of a good identity has a reason: its use, its age, or missing keys."""
    code = entry.facts["code"]
    if code == "invalid-reuse-token":
        return True
    if code == "invalid-publisher":
        return entry.facts["project"] in {"", CHANGING}
    return entry.facts["project"] == "" or within(entry, story.moods)


# Answers that need a reason.
_SPECIAL: Final[Mapping[tuple[str, int], Callable[[Entry, Story], bool]]] = {
    ("exchange", 422): _may_be_refused,
    ("file", 404): _is_deleted,
    ("file", 410): _is_deleted,
    ("look", 401): _is_changing,
    ("look", 403): _is_changing,
    ("receipt", 404): _is_deleted,
    ("upload", 401): _has_ended,
    ("upload-dead", 200): _is_maybe_alive,
    ("upload-dead", 403): _is_maybe_alive,
}


def _unexplained_silence(story: Story) -> Iterator[Finding]:
    for entry in story.requests:
        was_cut = CUT in entry.facts.get("error", "")
        if entry.status is None and not was_cut and not within(entry, story.kills):
            yield Finding(ODDITY, "each request is answered while the server lives", _shown(entry))


def _failed_commands(story: Story) -> Iterator[Finding]:
    for entry in story.of("broken"):
        yield Finding(ODDITY, "the soak itself works", entry.facts["said"])
    for kind in [kind for kind in story.by_kind if kind.startswith("operator ")]:
        for entry in story.of(kind):
            was_killed = entry.status is None and entry.facts.get("killed")
            if entry.status != 0 and not was_killed and not _has_no_files(entry, story):
                yield Finding(ODDITY, "each command succeeds", _shown(entry))
    for entry in story.of("tool uv", "tool twine"):
        if entry.status != 0 and not within(entry, [*story.kills, *story.moods]):
            yield Finding(ODDITY, "uv and twine publish", _shown(entry))


def _has_no_files(entry: Entry, story: Story) -> bool:
    """Say whether a release may have lost its files before it was yanked."""
    place = (entry.facts.get("project"), entry.facts.get("version"))
    deleted = story.of("operator file delete")
    return entry.kind in YANKS and any(
        (each.facts["project"], each.facts["version"]) == place for each in deleted
    )


def _shown(entry: Entry) -> str:
    hidden = {"token", "identity", "files"}
    facts = {name: value for name, value in entry.facts.items() if name not in hidden}
    took = f"at {entry.begin:.2f} for {entry.end - entry.begin:.2f} s"
    return f"{entry.kind} {took}: {entry.status} {facts}"
