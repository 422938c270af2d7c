"""`pytp-broker token` and `audit`: what an operator sees and does, and the records."""

import getpass
import hashlib
import os
import shlex
import tomllib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pytp_broker import config
from pytp_broker.cli import main
from pytp_broker.cli.applying import RemovalError
from pytp_broker.cli.applying import apply as apply_to
from pytp_broker.cli.operator import Operator, local_user
from pytp_broker.cli.token_burning import end_all_tokens
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.project_status import ACTIVE, STATUSES, ProjectStatus
from pytp_broker.storage.protocols import Store
from tests.support.audit import check
from tests.support.configurations import github_publisher, registry
from tests.support.desk import NOW, Desk
from tests.support.samples import ACME, configuration, file, publisher

SECOND = timedelta(seconds=1)
TOMORROW = NOW.replace(microsecond=0) + timedelta(days=1)
CONFIGURATION = '[[registries]]\nname = "acme"\n'


# --- burn -----------------------------------------------------------------------------------------


def test_burn_ends_the_selected_tokens_and_says_so(desk: Desk) -> None:
    assert desk.type("token burn --prefix ab") == "burned abb000000000 for other/gizmos\n"

    assert not desk.is_burned("aaa")
    assert desk.is_burned("abb")
    assert desk.type("token burn --prefix ab") == "no tokens to burn\n"


def test_burn_all_ends_every_token(desk: Desk) -> None:
    desk.type("token burn --all")

    assert desk.is_burned("aaa")
    assert desk.is_burned("abb")


def test_a_dry_run_burns_nothing(desk: Desk) -> None:
    seen = desk.type("token burn --registry acme --dry-run")

    assert seen == "would burn aaa000000000 for acme/widgets, acme/gadgets, other/gizmos\n"
    assert not desk.is_burned("aaa")
    assert desk.records() == []


def test_a_dry_run_says_that_no_token_is_live(desk: Desk) -> None:
    desk.type("token burn --all")

    assert desk.type("token burn --all --dry-run") == "no tokens to burn\n"


def test_burn_all_can_also_refuse_the_identity_tokens_from_before(desk: Desk) -> None:
    before = datetime.now(UTC)

    seen = desk.type("token burn --all --identity-tokens")

    since = desk.store.load_configuration().identity_tokens_from
    assert since is not None
    # An issuer's clock may be ahead of ours by half a minute.
    assert before + 29 * SECOND <= since <= datetime.now(UTC) + 30 * SECOND
    first, *burned = seen.splitlines()
    assert first == f"identity tokens that were issued before {since:%FT%TZ} are refused now"
    assert len(burned) == 2
    assert desk.is_burned("aaa")
    assert desk.records()[0]["issued_before"] == since.isoformat()


def test_a_dry_run_refuses_no_identity_token(desk: Desk) -> None:
    seen = desk.type("token burn --all --identity-tokens --dry-run")

    assert seen.startswith("would refuse identity tokens that were issued before now\nwould burn ")
    assert desk.store.load_configuration().identity_tokens_from is None
    assert not desk.is_burned("aaa")


def test_identity_tokens_are_refused_only_with_all_tokens(desk: Desk) -> None:
    seen = desk.type("token burn --prefix ab --identity-tokens")

    assert seen == "--identity-tokens goes with --all\nexit 2\n"
    assert desk.store.load_configuration().identity_tokens_from is None
    assert not desk.is_burned("abb")


def test_an_ended_store_has_no_live_token(desk: Desk) -> None:
    end_all_tokens(Operator(desk.store, "user olive"))

    assert desk.is_burned("aaa")
    assert desk.is_burned("abb")
    assert desk.store.load_configuration().identity_tokens_from is not None


def test_a_token_that_another_has_burned_meanwhile_is_said_to_be(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    burn_first = type(desk.store).burn_token

    def burn_twice(store: Store, *which: Any) -> bool:
        burn_first(store, *which)
        return burn_first(store, *which)

    monkeypatch.setattr(type(desk.store), "burn_token", burn_twice)

    assert desk.type("token burn --prefix ab") == "already burned abb000000000 for other/gizmos\n"
    assert desk.is_burned("abb")
    assert desk.records() == []


def test_burn_wants_to_know_which(desk: Desk) -> None:
    assert desk.type("token burn") == (
        "name the tokens to burn: with --prefix, --publisher, --registry or --all\nexit 2\n"
    )
    assert not desk.is_burned("aaa")


def test_who_burned_a_token_is_recorded(desk: Desk) -> None:
    desk.type("token burn --prefix ab")

    (kept,) = desk.records()
    check(kept)
    assert kept.pop("time").startswith("2026-11-22T12:00:")
    assert kept == {
        "event": "burn",
        "outcome": "accepted",
        "reason": "",
        "by": desk.operator,
        "token_hash": "abb000000000",
        "burned": True,
        "projects": ["other/gizmos"],
        "project_count": 1,
    }


def test_a_folder_without_a_broker_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["token", "list", "--data", str(tmp_path)]) == 1

    assert "is not the data folder of a broker" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_cannot_be_read_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broker.sqlite3").write_text("no database" * 100)

    assert main(["token", "list", "--data", str(tmp_path)]) == 1

    assert capsys.readouterr().err == "cannot read the tokens: file is not a database\n"


# --- release --------------------------------------------------------------------------------------


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """Return a desk whose broker has two releases of a project, one of them closed."""
    desk.store.apply(configuration(), [publisher()])
    desk.store.add_file(file(uploaded_at=NOW - timedelta(days=14)))
    desk.store.add_file(file("widgets-2.0.tar.gz", version="2.0", uploaded_at=NOW))
    return desk


def reopened_until(desk: Desk) -> datetime | None:
    return desk.store.find_release("acme", "widgets", "1")[1]


@pytest.mark.parametrize("spelling", ["widgets 1.0", "Widgets 1", "widgets v1.0.0"])
def test_a_closed_release_is_opened_for_a_day(shop: Desk, spelling: str) -> None:
    seen = shop.type(f"release reopen acme {spelling}")

    until = reopened_until(shop)
    assert until is not None
    assert seen == f"acme widgets 1.0 takes files until {until.isoformat()}\n"
    assert TOMORROW <= until < TOMORROW + timedelta(minutes=1)


def test_who_opened_a_release_is_recorded(shop: Desk) -> None:
    shop.type("release reopen acme widgets 1.0")

    (kept,) = shop.records()
    check(kept)
    assert kept["by"] == shop.operator
    assert kept["event"] == "reopen"
    assert (kept["registry"], kept["project"], kept["version"]) == ("acme", "widgets", "1.0")
    assert kept["until"].startswith("2026-11-23T12:00:")


def test_a_release_that_stays_open_for_longer_is_left_alone(shop: Desk) -> None:
    closes = (NOW + timedelta(days=14)).isoformat(timespec="seconds")

    assert shop.type("release reopen acme widgets 2.0") == (
        f"acme widgets 2.0 is open until {closes}\n"
    )
    assert shop.records() == []


def test_a_release_that_never_closes_is_left_alone(shop: Desk) -> None:
    shop.store.apply(configuration(replace(ACME, release_open_days=None)), [publisher()])

    assert "never closes" in shop.type("release reopen acme widgets 1.0")
    assert reopened_until(shop) is None


def test_a_release_is_opened_again_for_a_day_from_then_on(shop: Desk) -> None:
    shop.store.reopen_release("acme", "widgets", "1", NOW + timedelta(hours=1))

    assert "takes files until" in shop.type("release reopen acme widgets 1.0")

    until = reopened_until(shop)
    assert until is not None
    assert until >= TOMORROW


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        (
            "acmee widgets 1.0",
            "there is no registry `acmee`; did you mean `acme`?\nexit 1\n",
        ),
        (
            "acme gadgets 1.0",
            "the registry `acme` has no project `gadgets`; its projects are: `widgets`\nexit 1\n",
        ),
        pytest.param(
            "acme wid\udcffgets 1.0",
            "the registry `acme` has no project `wid\ufffdgets`; did you mean `widgets`?\nexit 1\n",
            id="no Unicode",
        ),
        ("acme widgets 3", "`widgets` has no release `3`; it has `2.0`, `1.0`\nexit 1\n"),
        ("acme widgets one", "`one` is not a version (PEP 440)\nexit 2\n"),
        pytest.param(
            f"acme widgets {'1' * 5000}",
            f"`{'1' * 200}…` is not a version (PEP 440)\nexit 2\n",
            id="a number of too many digits",
        ),
    ],
)
def test_what_is_not_there_is_not_opened(shop: Desk, named: str, seen: str) -> None:
    assert shop.type(f"release reopen {named}") == seen

    assert reopened_until(shop) is None
    assert shop.records() == []


def test_a_broker_without_registries_has_nothing_to_open(desk: Desk) -> None:
    assert "the registries are: none" in desk.type("release reopen acme widgets 1.0")


YANK = "release yank acme widgets 1.0 --reason"
UNYANK = "release unyank acme widgets 1.0 --reason"


def test_a_release_is_yanked_and_unyanked(shop: Desk) -> None:
    assert shop.type(f"{YANK} 'loses data'") == "acme widgets 1.0 is yanked: loses data\n"
    assert shop.store.list_withdrawn("acme", "widgets").yanked == {"1": "loses data"}

    assert shop.type(f"{UNYANK} mistake") == "acme widgets 1.0 is not yanked any more\n"
    assert shop.store.list_withdrawn("acme", "widgets").yanked == {}


def test_who_yanked_and_unyanked_a_release_is_recorded_with_the_reason(shop: Desk) -> None:
    shop.type(f"{YANK} 'loses data'")
    shop.type(f"{UNYANK} mistake")

    kept = shop.records()
    for each in kept:
        check(each)
        assert (each["event"], each["by"]) == ("yank", shop.operator)
        assert (each["registry"], each["project"], each["version"]) == ("acme", "widgets", "1.0")
    assert [(each["yanked"], each["why"]) for each in kept] == [
        (True, "loses data"),
        (False, "mistake"),
    ]


def test_a_yanked_release_may_get_another_reason(shop: Desk) -> None:
    shop.type(f"{YANK} breaks")

    assert shop.type(f"{YANK} breaks") == "acme widgets 1.0 is yanked already for this reason\n"
    assert len(shop.records()) == 1
    shop.type(f"{YANK} 'loses data'")
    assert shop.store.list_withdrawn("acme", "widgets").yanked == {"1": "loses data"}
    assert len(shop.records()) == 2


def test_a_release_that_is_not_yanked_is_left_alone(shop: Desk) -> None:
    assert shop.type(f"{UNYANK} mistake") == "acme widgets 1.0 is not yanked\n"
    assert shop.records() == []


@pytest.mark.parametrize("action", ["yank", "unyank"])
@pytest.mark.parametrize("named", ["acmee widgets 1.0", "acme gadgets 1.0", "acme widgets 3"])
def test_what_is_not_there_is_not_yanked(shop: Desk, action: str, named: str) -> None:
    assert "exit 1" in shop.type(f"release {action} {named} --reason breaks")

    assert shop.records() == []


@pytest.mark.parametrize("action", [YANK, UNYANK])
@pytest.mark.parametrize(
    "reason",
    ["", "  ", "two\nlines", "\x1b[31mred", "x" * 201, f"pytp_{'a1' * 36}"],
    ids=["none", "blank", "two lines", "terminal", "too long", "token"],
)
def test_a_reason_that_clients_must_not_show_is_refused(
    shop: Desk, action: str, reason: str
) -> None:
    seen = shop.type(f"{action} {shlex.quote(reason)}")

    assert seen.startswith("`--reason` must be one line of 1 to 200 visible characters")
    assert seen.endswith("exit 2\n")
    assert "a1a1" not in seen
    assert shop.store.list_withdrawn("acme", "widgets").yanked == {}
    assert shop.records() == []


# --- project ------------------------------------------------------------------------------------


STATUS = "project status acme widgets"


@pytest.mark.parametrize("status", ["archived", "deprecated", "quarantined"])
def test_a_project_gets_a_status_and_is_made_active_again(shop: Desk, status: str) -> None:
    seen = shop.type(f"{STATUS} {status} --reason 'use gadgets'")
    assert seen == f"acme widgets is {status} (use gadgets) now\n"
    assert shop.store.find_status("acme", "widgets") == ProjectStatus(status, "use gadgets")

    assert shop.type(f"{STATUS} active --reason mistake") == "acme widgets is active now\n"
    assert shop.store.find_status("acme", "widgets") == ACTIVE


def test_who_changed_a_status_is_recorded_with_the_reason(shop: Desk) -> None:
    shop.type("project status acme Widgets archived --reason 'use gadgets'")
    shop.type(f"{STATUS} active --reason mistake")

    kept = shop.records()
    for each in kept:
        check(each)
        assert (each["event"], each["by"]) == ("project-status", shop.operator)
        assert (each["registry"], each["project"]) == ("acme", "widgets")
    assert [(each["status"], each["why"]) for each in kept] == [
        ("archived", "use gadgets"),
        ("active", "mistake"),
    ]


def test_a_status_may_get_another_reason(shop: Desk) -> None:
    shop.type(f"{STATUS} archived --reason old")

    seen = shop.type(f"{STATUS} archived --reason old")

    assert seen == "acme widgets is archived (old) already\n"
    assert len(shop.records()) == 1
    shop.type(f"{STATUS} archived --reason moved")
    assert shop.store.find_status("acme", "widgets") == ProjectStatus("archived", "moved")
    assert len(shop.records()) == 2


def test_a_project_that_is_active_is_left_alone(shop: Desk) -> None:
    assert shop.type(f"{STATUS} active --reason why") == "acme widgets is active already\n"
    assert shop.records() == []


@pytest.mark.parametrize(
    ("named", "seen"),
    [
        ("acmee widgets", "there is no registry `acmee`; did you mean `acme`?\n"),
        (
            "acme gadgets",
            "the registry `acme` has no project `gadgets`; its projects are: `widgets`\n",
        ),
    ],
)
def test_a_project_that_is_not_there_gets_no_status(shop: Desk, named: str, seen: str) -> None:
    assert shop.type(f"project status {named} archived --reason old") == f"{seen}exit 1\n"

    assert shop.records() == []


@pytest.mark.parametrize("status", STATUSES)
@pytest.mark.parametrize(
    ("reason", "seen"),
    [
        ("", "must be one line of 1 to 200 visible characters"),
        ("two\nlines", "must be one line of 1 to 200 visible characters"),
        (f"pytp_{'a1' * 36}", "must be one line of 1 to 200 visible characters"),
        ("its files Already exist on PyPI", 'must not contain "already exist"'),
    ],
    ids=["none", "two lines", "token", "skipped by clients"],
)
def test_a_reason_for_a_status_that_clients_must_not_show_is_refused(
    shop: Desk, status: str, reason: str, seen: str
) -> None:
    shown = shop.type(f"{STATUS} {status} --reason {shlex.quote(reason)}")

    assert shown.startswith(f"`--reason` {seen}")
    assert shown.endswith("exit 2\n")
    assert "a1a1" not in shown
    assert shop.store.find_status("acme", "widgets") == ACTIVE
    assert shop.records() == []


# --- apply ----------------------------------------------------------------------------------------


@pytest.mark.promise("recorded")
def test_every_change_of_configuration_is_recorded_with_who_and_when(
    desk: Desk, tmp_path: Path
) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(CONFIGURATION)

    for _ in range(2):
        desk.type(f"apply --yes --config {file}")

    begun, *changes, ended, begun_again, ended_again = desk.records()
    for kept in (begun, *changes, ended, begun_again, ended_again):
        check(kept)
        assert kept["by"] == desk.operator
        assert kept["time"].startswith("2026-11-22T12:00:")
    for kept in (begun, ended, begun_again, ended_again):
        assert kept["event"] == "apply"
        assert kept["configuration_sha256"] == hashlib.sha256(CONFIGURATION.encode()).hexdigest()
    assert begun["outcome"] == begun_again["outcome"] == "begun"
    assert ended["outcome"] == ended_again["outcome"] == "accepted"
    assert {kept["event"] for kept in changes} == {"configuration"}
    assert "+ registry acme" in [kept["change"] for kept in changes]


def test_the_record_of_a_publisher_has_its_id_and_its_rules(desk: Desk, tmp_path: Path) -> None:
    publisher = github_publisher("widgets", environment="release", events=["push", "release"])
    rules = ["repository = octo-org/widgets", "workflow = release.yml", "environment = release"]
    apply(desk, tmp_path, registry("acme", publisher))
    (added,) = desk.store.load_setup().publishers.values()
    desk.store.pin_publisher(added, {"repository_owner_id": "9919"})

    apply(desk, tmp_path, CONFIGURATION, "--prune")

    kept = [kept for kept in desk.records() if "publisher" in kept]
    for each in kept:
        check(each)
        assert each["publisher"] == added.publisher_id
    assert [each["change"][0] for each in kept] == ["+", "-"]
    assert kept[0]["rules"] == [*rules, "events = push, release"]
    assert kept[1]["rules"] == [*kept[0]["rules"], "repository_owner_id = 9919 (pinned)"]


def test_a_publisher_of_many_projects_is_shown_and_recorded_with_all_of_them(
    desk: Desk, tmp_path: Path
) -> None:
    projects = [f"package-number-{number}-of-many" for number in range(250)]
    file = tmp_path / "broker.toml"
    file.write_text(registry("acme", github_publisher(*projects, repository_owner_id="9919")))

    shown = desk.type(f"apply --yes --config {file}")

    recorded = " ".join(kept.get("change", "") for kept in desk.records())
    for text in (shown, recorded):
        assert all(project in text for project in projects)
        assert "…" not in text


def test_an_apply_that_is_cut_off_has_a_record(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(CONFIGURATION)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(type(desk.store), "apply", crash)
    assert desk.type(f"apply --yes --config {file}").endswith(" to remove.\nexit 130\n")

    assert [kept["outcome"] for kept in desk.records()] == ["begun"]


def test_an_apply_that_failed_is_recorded_as_refused(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(CONFIGURATION)

    def fail(*_: object) -> None:
        raise StoreUnavailable("the store does not answer", operator_detail="Scan: AccessDenied")

    monkeypatch.setattr(type(desk.store), "apply", fail)
    seen = desk.type(f"apply --yes --config {file}")

    assert seen.endswith(" to remove.\ncannot apply: the store does not answer\nexit 1\n")
    records = desk.records()
    for kept in records:
        check(kept)
    assert [(kept["outcome"], kept["reason"]) for kept in records] == [
        ("begun", ""),
        ("refused", "store-unavailable"),
    ]


def test_an_apply_whose_end_cannot_be_recorded_says_why_it_failed(
    desk: Desk, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "broker.toml"
    file.write_text(CONFIGURATION)
    add = type(desk.store).add_operator_record

    def add_begin_only(store: Store, record: Any, at: datetime) -> None:
        if record.outcome != "begun":
            raise StoreUnavailable("no record either")
        add(store, record, at)

    def fail(*_: object) -> None:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(type(desk.store), "add_operator_record", add_begin_only)
    monkeypatch.setattr(type(desk.store), "apply", fail)

    assert "\ncannot apply: the store does not" in desk.type(f"apply --yes --config {file}")
    assert [kept["outcome"] for kept in desk.records()] == ["begun"]


WIDGETS = registry("acme", github_publisher("widgets", repository_owner_id="9919"))
GADGETS = WIDGETS.replace("acme", "umbrella").replace("widgets", "gadgets")


def apply(desk: Desk, folder: Path, text: str, options: str = "") -> str:
    (folder / "broker.toml").write_text(text)
    return desk.type(f"apply --yes --config {folder}/broker.toml {options}")


@pytest.mark.promise("no-silent-removal")
def test_nothing_is_removed_without_prune(desk: Desk, tmp_path: Path) -> None:
    apply(desk, tmp_path, WIDGETS + GADGETS)
    before = desk.store.load_configuration()

    seen = apply(desk, tmp_path, GADGETS)

    assert seen.endswith(
        "\nnothing was changed, because this configuration would remove:\n"
        "- publisher acme github octo-org/widgets -> widgets\n"
        "- registry acme\n"
        "to remove them, run the command again with --prune\n"
        "exit 1\n"
    )
    assert desk.store.load_configuration() == before
    last = desk.records()[-1]
    check(last)
    assert (last["event"], last["outcome"], last["reason"]) == ("apply", "refused", "needs-prune")


def test_prune_removes_what_the_configuration_no_longer_has(desk: Desk, tmp_path: Path) -> None:
    apply(desk, tmp_path, WIDGETS + GADGETS)

    seen = apply(desk, tmp_path, GADGETS, "--prune")

    assert "- registry acme\n" in seen
    assert set(desk.store.load_configuration().registries) == {"umbrella"}


@pytest.mark.parametrize(
    "text",
    [
        WIDGETS + 'environment = "release"',
        WIDGETS.replace("release.yml", "publish.yml"),
        WIDGETS.replace('["widgets"]', '["widgets", "more"]'),
        WIDGETS.replace('"acme"', '"acme"\nenabled = false'),
    ],
)
def test_a_change_that_takes_no_project_away_needs_no_prune(
    desk: Desk, tmp_path: Path, text: str
) -> None:
    apply(desk, tmp_path, WIDGETS)

    assert "exit" not in apply(desk, tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        '[[registries]]\nname = "acme"',
        WIDGETS.replace('["widgets"]', '["more"]') + 'environment = "release"',
        WIDGETS.replace("octo-org/widgets", "octo-org/renamed"),
    ],
)
def test_a_publisher_that_is_lost_needs_prune(desk: Desk, tmp_path: Path, text: str) -> None:
    apply(desk, tmp_path, WIDGETS)

    assert "- publisher acme github octo-org/widgets" in apply(desk, tmp_path, text)
    assert desk.records()[-1]["outcome"] == "refused"


@pytest.mark.parametrize("name", ["sqlite", "dynamodb"])
def test_each_engine_keeps_how_an_apply_ended(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    _, _, store = request.getfixturevalue(f"{name}_broker")
    operator = Operator(store, "user olive")
    apply_to(operator, config.parse(tomllib.loads(WIDGETS), allow_loopback=False), prune=False)
    empty = config.parse({}, allow_loopback=False)

    with pytest.raises(RemovalError):
        apply_to(operator, empty, prune=False)
    monkeypatch.setattr(type(store), "apply", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        apply_to(operator, empty, prune=True)

    records = [r for r in store.list_operator_records() if r["event"] == "apply"]
    for kept in records:
        check(kept)
    assert [(kept["outcome"], kept["reason"]) for kept in records] == [
        *(("begun", ""), ("accepted", "")),
        *(("begun", ""), ("refused", "needs-prune")),
        ("begun", ""),
    ]
    assert set(store.load_configuration().registries) == {"acme"}


def test_a_user_without_a_name_is_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> str:
        raise KeyError

    monkeypatch.setattr(getpass, "getuser", fail)

    assert local_user() == f"user {os.getuid()}"
