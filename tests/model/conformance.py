"""The calls of a search, made again on a real store: it must return what the store in memory did.

A search makes each call once in each content. Here a real store is brought to each of these
contents by the calls that led there, and each call is made in it. So if both stores agree on every
call, whatever the search proves on one of them holds on the other.
"""

import random
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final, NamedTuple

from pytp_broker.storage.project_files import Announcement
from pytp_broker.storage.sqlite import SqliteStore
from tests.model.contents import Contents, Keys
from tests.model.desk import Desk
from tests.model.operations import STORE, Call, Reply


class Edge(NamedTuple):
    """A call in some contents: its reply, and the contents after it."""

    call: Call
    reply: Reply
    after: Contents


Edges = dict[Contents, list[Edge]]


def edges_of(desk: Desk) -> Edges:
    """Return the calls that a search has made in each content."""
    found: Edges = {}
    for (contents, key), (reply, after) in desk.edges.items():
        found.setdefault(contents, []).append(Edge(desk.calls[contents, key], reply, after))
    return found


def differences_of(store: Any, edge: Edge, keys: Keys) -> Iterator[str]:
    """Make a call on a real store; yield how its reply differs."""
    if edge.call.target != STORE:
        return
    try:
        result, error = getattr(store, edge.call.name)(*edge.call.arguments), ""
    except Exception as raised:  # noqa: BLE001 - compared with that of the other store
        result, error = None, type(raised).__name__
    expected = "" if edge.reply.error is None else type(edge.reply.error).__name__
    if edge.call.name == "apply":  # it returns its plan, in which the order is the store's
        return
    found, wanted = (_promised(edge.call.name, each) for each in (result, edge.reply.result))
    if error != expected or (not error and keys.of(found) != keys.of(wanted)):
        yield f"{edge.call.name}{edge.call.arguments}: {error or found}, not {wanted}"


def _promised(name: str, result: Any) -> Any:
    """Return of a reply what every store promises: some return more than that."""
    if isinstance(result, Announcement):  # a store keeps more in it for itself
        return Announcement(result.files)
    if name == "find_token" and result is not None:  # publishers that the token is not from
        record, trust = result
        return record, {each: trust[each] for each in record.publisher_ids if each in trust}
    return result


class OnSqlite:
    """Makes every call of a search on SQLite, with a copy of the file for each content."""

    def __init__(self, desk: Desk, begin: Any, folder: Path) -> None:
        self._keys, self._edges = desk.keys, edges_of(desk)
        self._folder, self._begin = folder, begin
        self.compared = 0

    def differences(self, first: Contents) -> list[str]:
        """Return how the replies differ; none if the stores agree."""
        path = self._folder / f"{first.number}.db"
        with closing(SqliteStore(path)) as store:
            self._begin(store)
        reached, waiting, found = {first}, [first], list[str]()
        while waiting:
            contents = waiting.pop()
            for edge in self._edges.get(contents, []):
                is_new = edge.after not in reached
                found += self._compare(contents, edge)
                if is_new:
                    reached.add(edge.after)
                    waiting.append(edge.after)
            self._path(contents).unlink()
        return found

    def _path(self, contents: Contents) -> Path:
        return self._folder / f"{contents.number}.db"

    def _compare(self, contents: Contents, edge: Edge) -> list[str]:
        mine = self._path(contents)
        path = mine
        if edge.after is not contents:
            path = self._folder / "changed.db"
            shutil.copy(mine, path)
        with closing(SqliteStore(path)) as store:
            found = list(differences_of(store, edge, self._keys))
        self.compared += edge.call.target == STORE
        if edge.after is not contents:
            kept = self._path(edge.after)
            path.unlink() if kept.exists() else path.rename(kept)
        return found


# How many ways through a search are tried on DynamoDB.
WAYS: Final = 2


def walk(desk: Desk, first: Contents, store: Any, seed: int) -> tuple[int, list[str]]:
    """Go one way through a search on a real store; return how many calls it made, and what differs.

    In each content every call that changes nothing is made, and one of the others.
    """
    edges, contents, found, calls = edges_of(desk), first, list[str](), 0
    chance = random.Random(seed)  # noqa: S311 - the same way in every run
    while here := edges.get(contents):
        changing = [edge for edge in here if edge.after is not contents]
        chosen = [edge for edge in here if edge.after is contents]
        chosen += [chance.choice(changing)] if changing else []
        for edge in chosen:
            found += differences_of(store, edge, desk.keys)
            calls += edge.call.target == STORE
        if not changing:
            break
        contents = chosen[-1].after
    return calls, found
