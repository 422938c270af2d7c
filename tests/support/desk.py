"""An operator at a broker of each engine, who types commands."""

import hashlib
import json
import re
import shlex
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.cli import main
from pytp_broker.grants import Grant, Permission
from pytp_broker.storage.protocols import Store
from pytp_broker.tokens import SINGLE_USE, Listing, TokenRecord
from tests.support.samples import record

PAGE = (Path(__file__).parents[2] / "docs/listing.md").read_text()
NOW = datetime(2026, 11, 22, 12, 0, 0, 500, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def token(name: str, **changes: Any) -> TokenRecord:
    """Return the record of a token whose hash begins with the name."""
    token_hash = (name + "0" * 64)[:64]
    lookup_id = hashlib.sha256(name.encode()).hexdigest()[:32]
    return replace(record(), lookup_id=lookup_id, token_hash=token_hash, **changes)


TOKENS = (
    token("aaa", identity={"repository": "octo-org/widgets\u202e", "run": "17"}),
    token(
        "abb",
        grants=(Grant("other", None, Permission.UPLOAD, {"id-9": 0}),),
        projects={"other": Listing(("gizmos",), 1)},
        features=(SINGLE_USE,),
        issued_at=record().issued_at + SECOND,
    ),
    token("ccc", expires_at=NOW - SECOND),
)


@dataclass
class Desk:
    """An operator at a broker: `store` is the broker's, `type` runs a command on it."""

    store: Store
    options: str
    operator: str
    capsys: pytest.CaptureFixture[str]

    def type(self, line: str) -> str:
        """Run `pytp-broker …` and return both streams, and the status if it is not 0."""
        status = main([*shlex.split(line), *shlex.split(self.options)])
        seen = self.capsys.readouterr()
        return seen.out + seen.err + (f"exit {status}\n" if status else "")

    def is_burned(self, name: str) -> bool:
        kept = {each.token_hash[:3]: each for each in self.store.list_tokens(NOW)}
        return kept[name].burned_at is not None

    def read(self, line: str) -> Any:
        """Run a command that prints JSON, and return it."""
        return json.loads(self.type(f"{line} --json"))

    def records(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.type("audit").splitlines()]


def documented_members(title: str, page: str = PAGE) -> set[str]:
    """Return the members that a page lists under a title."""
    section = page.partition(f"\n### {title}\n")[2].partition("\n##")[0]
    rows = re.findall(r"^\| (`.+?) \| ", section, re.MULTILINE)
    return {name for row in rows for name in re.findall("`(.+?)`", row)}
