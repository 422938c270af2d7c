"""The soak itself: a short one loses nothing, and its judgement finds what is lost on purpose."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import pytest

from pytp_broker.tokens import UploadToken
from tests.soak.__main__ import is_ours
from tests.soak.backups import BACKUP, inspect_backup
from tests.soak.driver import JOURNAL, run
from tests.soak.faults import Plan
from tests.soak.issuer import MoodyIssuer
from tests.soak.journal import Entry, Journal, read
from tests.soak.judgement import judge
from tests.soak.rules import LOSS, ODDITY, findings
from tests.soak.site import CHANGING, Site
from tests.soak.story import Story
from tests.soak.summary import Summary
from tests.support.figures import SOAK

Facts = dict[str, Any]
PLAN: Final = Plan(seconds=8, kills=3, acts_per_second=6, seed=7)
BURNED: Final = "pytp_burned"
FILE: Final[dict[str, Any]] = {
    "filename": "widgets-1.0.tar.gz",
    "sha256": "0" * 64,
    "project": "widgets",
}
UPLOAD: Final[dict[str, Any]] = {**FILE, "version": "1.0", "token": "pytp_x", "single": False}


@dataclass
class Soaked:
    """A run that has ended, and its server, which still runs."""

    folder: Path
    site: Site
    issuer: MoodyIssuer

    @property
    def story(self) -> Story:
        return Story(list(read(self.folder / JOURNAL)))

    def judge(self) -> Summary:
        return judge(self.folder, self.site, self.issuer, PLAN.seed)

    def execute(self, statement: str, *values: str) -> None:
        """Change the database behind the server's back."""
        with closing(sqlite3.connect(self.site.database)) as connection, connection:
            assert connection.execute(statement, values).rowcount == 1


@pytest.fixture(scope="module")
def soaked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Soaked]:
    folder = tmp_path_factory.mktemp("soak") / "run"
    with MoodyIssuer() as issuer:
        site = run(folder, PLAN, issuer)
        yield Soaked(folder, site, issuer)
        site.stop()


def figures_of(summary: Summary) -> Facts:
    """Return what the summary of the tests says of a run."""
    return {
        "requests": sum(summary.requests.values()),
        "kills": summary.faults["kill"],
        "files and tokens checked": sum(
            summary.checks[what] for what in ("files answered 200", "burned tokens")
        ),
        "losses": len(summary.losses),
    }


@pytest.mark.e2e
def test_a_short_soak_with_kills_loses_nothing(soaked: Soaked) -> None:
    summary = soaked.judge()
    SOAK.update(figures_of(summary))

    assert "\n".join(summary.lines()).endswith("losses: 0; answers that nothing explains: 0")
    assert summary.faults["kill"] == PLAN.kills + 1
    assert summary.checks["files answered 200"]
    assert summary.checks["burned tokens"]
    assert summary.checks["receipts verified"] == summary.checks["files fetched"]


@pytest.mark.e2e
def test_the_judgement_finds_each_loss_behind_the_servers_back(soaked: Soaked) -> None:
    story = soaked.story
    vanished, changed, *_ = sorted(story.must_be_there)
    revived = min(story.burned)
    soaked.execute("DELETE FROM files WHERE filename = ?", vanished[0])
    lookup_id = UploadToken.parse(revived).lookup_id
    soaked.execute("UPDATE tokens SET burned_at = NULL WHERE lookup_id = ?", lookup_id)
    for kind in ("files", "staged"):
        for stored in (soaked.site.data / "files" / kind).rglob(changed[0]):
            stored.write_bytes(b"other bytes")

    found = {(loss.check, loss.seen) for loss in soaked.judge().losses}

    assert found >= {
        ("a file that was answered 200 is listed", " ".join(vanished)),
        ("a burned token uploads nothing", revived[:12]),
        ("a listed file can be fetched whole", changed[0]),
    }


def test_only_the_folder_of_a_soak_is_removed(tmp_path: Path) -> None:
    assert is_ours(tmp_path / "new")
    assert is_ours(tmp_path)
    (tmp_path / "thesis.txt").touch()
    assert not is_ours(tmp_path)
    (tmp_path / JOURNAL).touch()
    assert is_ours(tmp_path)


def act(kind: str, at: float, status: int | None = None, **facts: Any) -> Entry:
    return Entry(kind, at, at + 0.5, status, facts)


def test_a_backup_that_cannot_be_restored_is_a_loss(tmp_path: Path) -> None:
    with MoodyIssuer() as issuer, Journal(tmp_path / JOURNAL) as journal:
        site = Site(tmp_path, issuer.url, journal)
    found = inspect_backup(site, Story([act(BACKUP, 1, 0)]))

    assert [each.check for each in found] == ["a backup has what was answered before it"]
    assert not list(inspect_backup(site, Story([act(BACKUP, 1, 1)])))


BURN: Final = act("burn", 10, 202, token=BURNED)
UPLOADED: Final = act("upload", 20, 200, **UPLOAD)
APPLIED: Final = act("operator apply", 10, 0, is_there=False)
EXCHANGED: Final = act("exchange", 20, 200, jti="1", project="widgets", identity="x")
REFUSED: Final = act("exchange", 20, 422, jti="1", project="widgets", code="invalid-token")


@pytest.mark.parametrize(
    ("entries", "check"),
    [
        pytest.param([EXCHANGED, EXCHANGED], "an identity token is minted once", id="twice"),
        pytest.param(
            [BURN, act("upload", 20, 200, **UPLOAD | {"token": BURNED})],
            "a burned token uploads nothing",
            id="burned",
        ),
        pytest.param(
            [BURN, act("active", 20, token=BURNED, project="widgets")],
            "a burned token is not active",
            id="active",
        ),
        pytest.param(
            [
                act("minted", 1, token="pytp_x", project="widgets", features=[]),
                act("inactive", 20, token="pytp_x", project="widgets"),
            ],
            "a token that was minted is active",
            id="inactive",
        ),
        pytest.param(
            [
                act("upload", 1, 200, **UPLOAD | {"single": True}),
                act("upload", 2, 200, **UPLOAD | {"single": True, "filename": "other.whl"}),
            ],
            "a single-use token is used once",
            id="single",
        ),
        pytest.param(
            [APPLIED, act("upload", 30, 200, **UPLOAD | {"project": CHANGING})],
            "a removed publisher publishes nothing",
            id="removed",
        ),
        pytest.param(
            [act("missing", 20, **FILE)], "a file that was taken is on the next page", id="missing"
        ),
        pytest.param(
            [act("corrupt", 20, **FILE)], "a file has the bytes that were sent", id="corrupt"
        ),
        pytest.param(
            [UPLOADED, act("file", 20, 404, code="not-found", **FILE)],
            "a file that was taken can be fetched",
            id="gone",
        ),
    ],
)
def test_a_broken_promise_in_the_journal_is_a_loss(entries: list[Entry], check: str) -> None:
    losses = [each.check for each in findings(Story(entries)) if each.kind == LOSS]

    assert losses == [check]


@pytest.mark.parametrize(
    ("entry", "check"),
    [
        pytest.param(
            act("page", 20, 500, code="unexpected"),
            "each answer is one that is documented",
            id="500",
        ),
        pytest.param(
            act("upload", 20, 503, retry_after="5", **UPLOAD),
            "each answer is one that is documented",
            id="503 of an upload",
        ),
        pytest.param(REFUSED, "each answer is one that is documented", id="a good identity"),
        pytest.param(
            act("page", 20, None, error="ConnectionResetError: x"),
            "each request is answered while the server lives",
            id="silence",
        ),
        pytest.param(
            act("operator file delete", 20, 1, **FILE), "each command succeeds", id="command"
        ),
        pytest.param(
            act("tool uv", 20, 2, files={}, project="widgets"), "uv and twine publish", id="uv"
        ),
        pytest.param(act("broken", 20, said="KeyError"), "the soak itself works", id="soak"),
    ],
)
def test_an_answer_that_nothing_explains_is_told(entry: Entry, check: str) -> None:
    assert [each.check for each in findings(Story([entry])) if each.kind == ODDITY] == [check]


@pytest.mark.parametrize(
    "entries",
    [
        pytest.param([act("kill", 19), act("page", 20, None, error="x")], id="a kill"),
        pytest.param([act("mood", 1, mood="down"), REFUSED], id="an issuer that is down"),
        pytest.param(
            [act("mood", 1, mood="down"), replace(REFUSED, status=503, facts={"retry_after": "9"})],
            id="503 while the issuer is down",
        ),
        pytest.param(
            [act("operator file delete", 1, 0, **FILE), act("missing", 20, **FILE)],
            id="a deletion",
        ),
        pytest.param(
            [
                replace(APPLIED, status=None),
                act("upload", 30, 200, **UPLOAD | {"project": CHANGING}),
            ],
            id="a command without an end",
        ),
        pytest.param(
            [replace(BURN, status=None), act("upload", 20, 200, **UPLOAD | {"token": BURNED})],
            id="a burn without an answer",
        ),
    ],
)
def test_what_a_fault_explains_is_no_finding(entries: list[Entry]) -> None:
    commands = {"each command succeeds"}  # one that was killed would say so

    assert {each.check for each in findings(Story(entries))} <= commands
