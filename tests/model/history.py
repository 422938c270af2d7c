"""What has happened so far, as facts that the invariants need.

``rights_in`` is the written model of who may upload: a dozen lines that share nothing with
``access``. A right that has ended by a burn, or because its publisher was removed, has ended for
all time; one that a switch has taken away may come back.
"""

from collections.abc import Iterator
from typing import Any

from pytp_broker.audit.record import hash_prefix
from tests.model.contents import Contents
from tests.model.operations import Operation
from tests.support.deployment import Answer

# Its name first.
Fact = tuple[Any, ...]
# The prefix of a token's hash, and the project.
Right = tuple[str, str]


def rights_in(contents: Contents) -> dict[Right, str]:
    """Return the rights that tokens have by what is stored, whatever the switches and the time."""
    found: dict[Right, str] = {}
    for record in contents.rows["tokens"].values():
        for grant in record.grants:
            for (registry, project), trusted in contents.rows["trust"].items():
                if registry != grant.registry or not project:
                    continue
                ids = grant.publisher_ids
                if any(i in trusted and trusted[i] <= since for i, since in ids.items()):
                    state = "live" if record.burned_at is None else "burned"
                    found[hash_prefix(record.token_hash), project] = state
    return found


def switched_off(contents: Contents) -> frozenset[str]:
    """Return what is switched off: everything, a registry or an issuer."""
    main = contents.rows["configuration"]
    off = ["everything"] if not main.enabled else []
    off += [name for name, registry in main.registries.items() if not registry.enabled]
    off += [url for url, issuer in main.issuers.items() if not issuer.enabled]
    return frozenset(off)


def changed(
    history: frozenset[Fact], before: Contents, after: Contents, seconds: int
) -> frozenset[Fact]:
    """Return the history after a change of what is stored."""
    facts = {*history, *_ended(before, after, seconds), *_seen(after)}
    facts |= {("gone", name) for name in before.visible.keys() - after.visible.keys()}
    off, was_off = switched_off(after), switched_off(before)
    facts = {fact for fact in facts if fact[0] != "off" or fact[1] in off}
    return frozenset(facts | {("off", what, seconds) for what in off - was_off})


def _ended(before: Contents, after: Contents, seconds: int) -> Iterator[Fact]:
    had, has = rights_in(before), rights_in(after)
    tokens = {hash_prefix(each.token_hash) for each in after.rows["tokens"].values()}
    for (token, project), state in had.items():
        if has.get((token, project), "removed") != state and token in tokens:
            yield ("ended", token, project, has.get((token, project), "removed"), seconds)


def _seen(contents: Contents) -> Iterator[Fact]:
    for name, file in contents.visible.items():
        by = str(file.published_by.get("token_hash", ""))
        yield ("shown", name, file.sha256, by, file.project)
    for names in contents.rows["deleted"].values():
        yield from (("deleted", name) for name in names)


def answered(
    history: frozenset[Fact], operation: Operation, answer: Answer, contents: Contents
) -> frozenset[Fact]:
    """Return the history after an answer has left, even if nobody receives it."""
    facts: list[Fact] = []
    about: dict[str, Any] = dict(operation.facts)
    if answer.status == 200 and operation.kind == "mint":
        facts.append(("minted", about["identity"], answer.json["token"]))
    if answer.status in {200, 201} and operation.kind in {"upload", "publish"}:
        facts += [("told", name, sha256) for name, sha256 in about["files"]]
    if answer.status in {201, 202} and operation.kind == "announce":
        facts.append(("staged", about["session"], about["filename"]))
    return history.union(facts) if facts else history
