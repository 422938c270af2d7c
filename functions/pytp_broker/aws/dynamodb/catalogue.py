"""The catalogue of publishers, by which an operator's commands find them with a query.

``APPLIED`` has an entry for each publisher: what its own rows say, with a digest in place of the
names of its projects. Entries are written after the rows that they stand for.

Before a run of ``apply`` writes such rows, it stores their keys in a row of its own, and removes it
when its writes are done and seen. So whenever a row may differ from what its entry says, a run has
its key: an ``apply`` that died, or that works at the same time. Such rows are read; all others are
what their entries say.
"""

import hashlib
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

from pytp_broker.aws.dynamodb.publisher_rows import (
    PageKey,
    page_key,
    pages_of,
    publisher_key,
)
from pytp_broker.aws.dynamodb.table import dump
from pytp_broker.trust.publishers import TrustedPublisher

CATALOGUE: Final = "APPLIED"
# After this time a run has ended: it says anew every five minutes that it goes on, and AWS refuses
# a call that was signed five minutes ago.
ABANDONED_SECONDS: Final = 15 * 60
# What the row of a run holds before it is compressed; an item has 400 KB.
_MAX_RUN_CHARACTERS: Final = 300_000
_ENTRY: Final = "PUBLISHER#"
_RUN: Final = "RUN#"

Key = tuple[str, str]


class Entry(NamedTuple):
    """What the rows of a publisher say: all but the names of its projects, and its pins."""

    document: str
    projects_hash: str
    pages: int


@dataclass(frozen=True, slots=True)
class Run:
    """A row of a run: by whom, since when, when it last said that it goes on, and its keys."""

    sk: str
    by: str
    began_at: int
    seen_at: int
    keys: tuple[Key, ...]

    def is_abandoned(self, now: float) -> bool:
        """Say whether the run has ended without removing the row."""
        return now - self.seen_at > ABANDONED_SECONDS

    def item(self) -> dict[str, Any]:
        """Return the row."""
        return {
            "pk": CATALOGUE,
            "sk": self.sk,
            "by": self.by,
            "began_at": self.began_at,
            "seen_at": self.seen_at,
            "keys": zlib.compress(json.dumps(self.keys).encode()),
        }


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The entries, by their sort keys, and the runs that are not done."""

    entries: Mapping[str, Entry]
    runs: Sequence[Run]

    @classmethod
    def read(cls, rows: Iterable[Mapping[str, Any]]) -> Self:
        """Return what these rows hold."""
        entries, runs = {}, []
        for row in rows:
            if row["sk"].startswith(_RUN):
                runs.append(_read_run(row))
            else:
                entries[row["sk"]] = Entry(row["document"], row["projects_hash"], row["pages"])
        return cls(entries, runs)

    def keys_under_way(self) -> set[Key]:
        """Return the keys of the rows that may differ from what their entries say."""
        return {key for run in self.runs for key in run.keys}

    def of_registry(self, registry: str) -> Self:
        """Return the entries of one registry, and all runs."""
        prefix = f"{_ENTRY}{registry}#"
        of_it = {sk: entry for sk, entry in self.entries.items() if sk.startswith(prefix)}
        return type(self)(of_it, self.runs)


def _read_run(row: Mapping[str, Any]) -> Run:
    keys = tuple((pk, sk) for pk, sk in json.loads(zlib.decompress(row["keys"])))
    return Run(row["sk"], row["by"], row["began_at"], row["seen_at"], keys)


def make_runs(
    token: str, number: int, by: str, times: tuple[int, int], keys: Iterable[Key]
) -> list[Run]:
    """Return the rows of a run that hold these keys, numbered from ``number``."""
    parts = enumerate(_divide(keys), number)
    return [Run(f"{_RUN}{token}#{n:05}", by, *times, tuple(part)) for n, part in parts]


def _divide(keys: Iterable[Key]) -> Iterator[list[Key]]:
    part: list[Key] = []
    size = 0
    for key in keys:
        length = len(key[0]) + len(key[1]) + 8  # quotation marks, brackets, commas and blanks
        if part and size + length > _MAX_RUN_CHARACTERS:
            yield part
            part, size = [], 0
        part.append(key)
        size += length
    if part:
        yield part


def entry_key(publisher: TrustedPublisher) -> str:
    """Return the sort key of a publisher's entry."""
    return f"{_ENTRY}{publisher_key(publisher)['sk']}"


def entry_of(publisher: TrustedPublisher) -> Entry:
    """Return the entry of a publisher."""
    document = {**publisher.document(), "projects": []}
    return Entry(dump(document), hash_of(publisher.projects), len(pages_of([publisher])))


def hash_of(projects: Iterable[str]) -> str:
    """Return a digest of a publisher's projects, whose order says nothing."""
    return hashlib.sha256(json.dumps(sorted(set(projects))).encode()).hexdigest()


def publisher_in(entry: Entry) -> TrustedPublisher:
    """Return the publisher of an entry, without its projects and pins."""
    return TrustedPublisher.from_document(json.loads(entry.document), {})


def keys_of(publisher: TrustedPublisher, pages: int) -> list[Key]:
    """Return the keys of a publisher's own rows: the first one, and its pages."""
    key = publisher_key(publisher)
    first = PageKey(**key)
    return [first, *(page_key(first, number) for number in range(1, pages + 1))]
