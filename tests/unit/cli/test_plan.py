"""`pytp-broker plan` and `apply`: what is shown, what is asked, and which plan is executed."""

import hashlib
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from pytp_broker.audit.operations import Apply, Yank
from pytp_broker.cli import main, plan_document
from pytp_broker.cli.applying import Unfinished, apply, find_unfinished, plan_for
from pytp_broker.cli.command import CommandError
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.waiting import shown_waiting
from pytp_broker.config import Loaded, load
from pytp_broker.storage.plan import Plan
from pytp_broker.storage.protocols import Store
from tests.support.audit import check
from tests.support.configurations import github_publisher, github_reader, registry
from tests.support.desk import NOW, Desk
from tests.support.fakes import MemoryStore
from tests.support.samples import operation

WIDGETS = registry("acme", github_publisher("widgets", "tools", repository_owner_id="9919"))
GADGETS = registry("umbrella", github_publisher("gadgets", repository_owner_id="9919"))
PINS = {"repository_id": "1"}


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def write_configuration(text: str) -> Path:
        path = tmp_path / "broker.toml"
        path.write_text(text)
        return path

    return write_configuration


@pytest.fixture
def before(desk: Desk, write: Callable[[str], Path]) -> Desk:
    """Return a desk whose broker has one registry with one publisher, and pinned ids."""
    desk.type(f"apply --yes --config {write(WIDGETS)}")
    (present,) = desk.store.load_setup().publishers.values()
    desk.store.pin_publisher(present, PINS)
    return desk


class Terminal(io.StringIO):
    """What somebody types at a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def answer(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    return lambda text: monkeypatch.setattr(sys, "stdin", Terminal(text))


# --- what a plan shows ----------------------------------------------------------------------------


def test_a_plan_shows_what_is_added_and_exits_with_2(
    desk: Desk, write: Callable[[str], Path]
) -> None:
    path = write(WIDGETS.replace('"acme"', '"acme"\naccess = "public"'))

    assert desk.type(f"plan --config {path}") == (
        "# registry acme\n"
        "+ registry acme (public: everybody may read it)\n"
        '    access = "public"\n'
        "+ publisher acme github octo-org/widgets -> widgets, tools\n"
        '    issuer = "https://token.actions.githubusercontent.com"\n'
        '    repository = "octo-org/widgets"\n'
        '    repository_owner_id = "9919"\n'
        '    workflow = "release.yml"\n'
        "\n"
        "Plan: 2 to add, 0 to change, 0 to remove.\n"
        "exit 2\n"
    )


def test_a_plan_shows_which_members_change_and_who_gains_or_loses_what(
    before: Desk, write: Callable[[str], Path]
) -> None:
    changed = WIDGETS.replace('"tools"', '"more"').replace("release.yml", "publish.yml")
    path = write(f"enabled = false\n{changed}{GADGETS}")

    assert before.type(f"plan --config {path}") == (
        "# all registries\n"
        "~ trusted publishing: off\n"
        "    enabled: true → false\n"
        "\n"
        "# registry acme\n"
        "~ publisher acme github octo-org/widgets -> widgets, more\n"
        '    workflow: "release.yml" → "publish.yml"\n'
        "    gains more\n"
        "    loses tools (needs --prune)\n"
        '    pinned ids carry over: repository_id = "1"\n'
        "\n"
        "# registry umbrella\n"
        "+ registry umbrella\n"
        "+ publisher umbrella github octo-org/widgets -> gadgets\n"
        '    issuer = "https://token.actions.githubusercontent.com"\n'
        '    repository = "octo-org/widgets"\n'
        '    repository_owner_id = "9919"\n'
        '    workflow = "release.yml"\n'
        "\n"
        "Plan: 2 to add, 2 to change, 0 to remove.\n"
        "1 of them takes away a registry, or somebody's right to publish or read, and needs "
        "--prune.\n"
        "exit 2\n"
    )


def test_a_plan_shows_what_is_removed_and_that_pins_are_forgotten(
    before: Desk, write: Callable[[str], Path]
) -> None:
    seen = before.type(f"plan --config {write(GADGETS)}")

    assert seen.startswith(
        "# registry acme\n"
        "- registry acme\n"
        "    the tokens that operators made for it end; its files stay (needs --prune)\n"
        "- publisher acme github octo-org/widgets -> widgets, tools\n"
        "    loses tools, widgets (needs --prune)\n"
        '    pinned ids are forgotten: repository_id = "1"\n'
    )
    assert "2 to add, 0 to change, 2 to remove.\n2 of them take away a registry" in seen


def test_a_plan_shows_that_a_reader_loses_its_right(
    desk: Desk, write: Callable[[str], Path]
) -> None:
    desk.type(f"apply --yes --config {write(WIDGETS + github_reader())}")

    seen = desk.type(f"plan --config {write(WIDGETS)}")

    assert seen.startswith(
        "# registry acme\n"
        "- reader acme github octo-org\n"
        "    loses the right to read the registry (needs --prune)\n"
        "\n"
        "Plan: 0 to add, 0 to change, 1 to remove.\n"
    )


def test_a_plan_shows_how_an_issuer_is_reached_and_not_its_certificates(
    desk: Desk, write: Callable[[str], Path], tmp_path: Path
) -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    (tmp_path / "ca.pem").write_text(pem)
    issuer = 'url = "https://gitlab.example.com"\nprovider = "gitlab"\nca_file = "ca.pem"\n'

    seen = desk.type(f"plan --config {write(f'[[issuers]]{chr(10)}{issuer}{WIDGETS}')}")

    assert seen.startswith(
        "# all registries\n"
        "+ issuer https://gitlab.example.com\n"
        '    provider = "gitlab"\n'
        "    ca_certificates = 1\n"
        f'    ca_sha256 = "{hashlib.sha256(pem.encode()).hexdigest()}"\n'
    )


def test_a_plan_names_the_owner_of_a_registry(desk: Desk, write: Callable[[str], Path]) -> None:
    text = WIDGETS.replace('"acme"', '"acme"\nowner = "data"')
    path = write(f'[[teams]]\nname = "data"\n{text}')

    assert desk.type(f"plan --config {path}").startswith("# registry acme (owner: data)\n")
    main(["plan", "--json", "--config", str(path), *desk.options.split()])
    steps = json.loads(desk.capsys.readouterr().out)["steps"]
    assert [(step["registry"], step["owner"]) for step in steps] == [("acme", "data")] * 2


def test_two_publishers_of_one_identity_are_not_taken_for_one_change(
    desk: Desk, write: Callable[[str], Path]
) -> None:
    """It is not clear which of the old ones a new one takes the place of."""
    two = registry("acme", *(github_publisher(name, environment=name) for name in ("a", "b")))
    desk.type(f"apply --yes --config {write(two)}")

    seen = desk.type(f"plan --config {write(registry('acme', github_publisher('a', 'b')))}")

    assert "Plan: 1 to add, 0 to change, 2 to remove.\n" in seen
    assert "--prune" not in seen


def test_a_plan_without_changes_exits_with_0_and_writes_nothing(
    before: Desk, write: Callable[[str], Path]
) -> None:
    records = before.records()

    assert before.type(f"plan --config {write(WIDGETS)}") == "no changes\n"
    assert before.records() == records


def test_a_plan_as_markdown_is_a_block_that_a_claim_cannot_end(
    desk: Desk, write: Callable[[str], Path]
) -> None:
    path = write(WIDGETS + '[registries.publishers.claims]\nactor = "```"\n')

    lines = desk.type(f"plan --markdown --config {path}").splitlines()

    assert lines[0] == "**Plan: 2 to add, 0 to change, 0 to remove.**"
    assert lines[2] == "````diff"
    assert '    claims.actor = "```"' in lines
    assert lines[-2:] == ["````", "exit 2"]


def test_a_plan_without_changes_as_markdown_says_so(
    before: Desk, write: Callable[[str], Path]
) -> None:
    seen = before.type(f"plan --markdown --config {write(WIDGETS)}")

    assert seen == "**Plan: no changes.**\n\n```diff\nno changes\n```\n"


def test_a_plan_as_json_has_every_step(before: Desk, write: Callable[[str], Path]) -> None:
    changed = WIDGETS.replace('"tools"', '"more"').replace("release.yml", "publish.yml")
    write(changed)

    status = main(["plan", "--json", "--config", str(write(changed)), *before.options.split()])
    document = json.loads(before.capsys.readouterr().out)

    (step,) = document.pop("steps")
    shared = {
        "issuer": "https://token.actions.githubusercontent.com",
        "provider": "github",
        "repository": "octo-org/widgets",
        "repository_owner_id": "9919",
    }
    assert status == 2
    assert len(step.pop("key")) == 64
    assert step == {
        "verb": "change",
        "kind": "publisher",
        "title": "publisher acme github octo-org/widgets -> widgets, more",
        "registry": "acme",
        "owner": None,
        "before": {**shared, "workflow": "release.yml", "projects": ["tools", "widgets"]},
        "after": {**shared, "workflow": "publish.yml", "projects": ["more", "widgets"]},
        "gains": ["more"],
        "losses": ["tools"],
        "needs_prune": True,
        "pins": PINS,
    }
    for name in ("state_sha256", "configuration_sha256"):
        assert len(document.pop(name)) == 64
    assert document.pop("broker")
    assert document.pop("made_at").startswith("2026-11-22T12:00:")
    assert document == {
        "format": 1,
        "made_by": document["made_by"],
        "needs_prune": True,
        "summary": {"add": 0, "change": 1, "remove": 0},
    }


def test_no_plan_shows_the_secret_of_an_index(
    desk: Desk, write: Callable[[str], Path], tmp_path: Path
) -> None:
    secret = "0123456789ab" + "c" * 52
    path = write(
        '[[registries]]\nname = "acme"\n[[registries.introspection_clients]]\nid = "devpi"\n'
        f'secret_sha256 = "{secret}"\n'
    )

    seen = desk.type(f"plan --config {path} --out {tmp_path}/plan.json")

    assert 'introspection_clients = {"devpi": "0123456789ab"}' in seen
    assert secret not in seen + (tmp_path / "plan.json").read_text()


@pytest.mark.parametrize(
    "line",
    ["plan --config none.toml", "plan --config {path} --host a.b.c/d", "plan --config {bad}"],
)
def test_a_mistake_does_not_look_like_a_change(
    desk: Desk, write: Callable[[str], Path], tmp_path: Path, line: str
) -> None:
    (tmp_path / "bad.toml").write_text("typo = 1")

    seen = desk.type(line.format(path=write(WIDGETS), bad=tmp_path / "bad.toml"))

    assert seen.endswith("exit 1\n")


@pytest.mark.parametrize("line", ["plan", "plan --config x --data d --typo", "plan x"])
def test_a_misspelt_command_line_does_not_look_like_a_change(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="1"):
        main(line.split())

    assert "pytp-broker plan: error: " in capsys.readouterr().err


# --- what apply asks ------------------------------------------------------------------------------


def test_apply_changes_nothing_without_a_terminal_to_ask_at(
    desk: Desk, write: Callable[[str], Path]
) -> None:
    seen = desk.type(f"apply --config {write(WIDGETS)}")

    assert seen.endswith(
        "nothing was changed: `apply` asks before it changes anything, and there is no terminal to "
        "ask at; give --yes if this plan is right\nexit 1\n"
    )
    assert "+ registry acme" in seen
    assert desk.records() == []
    assert desk.store.load_setup().publishers == {}


@pytest.mark.parametrize("typed", ["", "\n", "y\n", "YES\n", "no\n", "yes please\n"])
def test_apply_takes_only_a_yes(
    desk: Desk, write: Callable[[str], Path], answer: Callable[[str], None], typed: str
) -> None:
    answer(typed)

    seen = desk.type(f"apply --config {write(WIDGETS)}")

    assert seen.endswith("`yes` is accepted: nothing was changed\nexit 1\n")
    assert desk.store.load_setup().publishers == {}
    assert desk.records() == []


def test_apply_does_what_was_said_yes_to(
    desk: Desk, write: Callable[[str], Path], answer: Callable[[str], None]
) -> None:
    answer("yes\n")

    seen = desk.type(f"apply --config {write(WIDGETS)}")

    assert "applied\n" in seen
    assert set(desk.store.load_configuration().registries) == {"acme"}


def test_apply_asks_nothing_if_nothing_changes(before: Desk, write: Callable[[str], Path]) -> None:
    seen = before.type(f"apply --config {write(WIDGETS)}")

    assert seen.startswith("no changes\n")
    assert "applied" not in seen
    assert "exit" not in seen


def test_the_records_have_the_fingerprint_of_the_plan(
    desk: Desk, write: Callable[[str], Path]
) -> None:
    desk.type(f"apply --yes --config {write(WIDGETS)}")

    begun, *_, ended = desk.records()
    check(begun)
    assert len(begun["plan_sha256"]) == 64
    assert begun["plan_sha256"] == ended["plan_sha256"]


# --- the plan that is executed --------------------------------------------------------------------


def loaded(path: Path) -> Loaded:
    return load(path, allow_loopback=False)


@pytest.mark.promise("approved-plan")
def test_a_plan_that_the_operator_has_not_seen_is_not_executed(
    before: Desk, write: Callable[[str], Path]
) -> None:
    """Another operator changes the store while the first one reads the plan."""
    operator = Operator(before.store, before.operator)
    wanted = loaded(write(WIDGETS + GADGETS))
    seen = plan_for(operator, wanted)
    apply(operator, loaded(write(WIDGETS.replace("release.yml", "other.yml"))), prune=True)
    present = before.store.load_setup()

    with pytest.raises(CommandError, match="has changed since this plan was made"):
        apply(operator, wanted, prune=True, approved=seen)

    assert before.store.load_setup() == present
    last = before.records()[-1]
    check(last)
    assert (last["outcome"], last["reason"]) == ("refused", "plan-outdated")


def test_a_pin_that_a_job_makes_meanwhile_does_not_make_a_plan_old(
    before: Desk, write: Callable[[str], Path]
) -> None:
    operator = Operator(before.store, before.operator)
    wanted = loaded(write(WIDGETS + GADGETS))
    seen = plan_for(operator, wanted)
    (present,) = before.store.load_setup().publishers.values()
    before.store.pin_publisher(present, {"repository_id": "1", "job": "2"})

    apply(operator, wanted, prune=False, approved=seen)

    assert set(before.store.load_configuration().registries) == {"acme", "umbrella"}


@pytest.mark.parametrize("is_part", [True, False])
def test_what_is_left_to_do_after_an_interference_must_be_a_part_of_the_approved_plan(
    monkeypatch: pytest.MonkeyPatch, write: Callable[[str], Path], is_part: bool
) -> None:
    store = MemoryStore()
    operator = Operator(store, "user olive")
    both, one = loaded(write(WIDGETS + GADGETS)), loaded(write(WIDGETS))
    whole, part = plan_for(operator, both), plan_for(operator, one)
    first, second = (whole, part) if is_part else (part, whole)
    answers = []

    def ask_twice(_self: Store, *arguments: Any) -> Plan:
        answers.extend([arguments[2](first), arguments[2](second)])
        return first

    monkeypatch.setattr(MemoryStore, "apply", ask_twice)
    wanted = both if is_part else one
    if is_part:
        apply(operator, wanted, prune=False, approved=first)
    else:
        with pytest.raises(CommandError):
            apply(operator, wanted, prune=False, approved=first)

    assert answers == [True, is_part]


# --- a saved plan ---------------------------------------------------------------------------------


@pytest.fixture
def saved(before: Desk, write: Callable[[str], Path], tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    before.type(f"plan --config {write(WIDGETS + GADGETS)} --out {path}")
    return path


def apply_saved(desk: Desk, plan: Path, options: str = "") -> str:
    return desk.type(f"apply --yes --config {plan.parent}/broker.toml --plan {plan} {options}")


def test_a_saved_plan_is_executed(before: Desk, saved: Path) -> None:
    assert "applied\n" in apply_saved(before, saved)
    assert set(before.store.load_configuration().registries) == {"acme", "umbrella"}


def test_a_saved_plan_is_its_owners_alone(saved: Path) -> None:
    assert saved.stat().st_mode & 0o077 == 0


def test_a_saved_plan_with_a_pin_that_was_made_meanwhile_is_executed(
    before: Desk, write: Callable[[str], Path], tmp_path: Path
) -> None:
    path = tmp_path / "plan.json"
    before.type(f"plan --config {write(WIDGETS.replace('release', 'publish'))} --out {path}")
    (present,) = before.store.load_setup().publishers.values()
    before.store.pin_publisher(present, {**PINS, "job": "2"})

    assert "applied\n" in apply_saved(before, path)


def refused(desk: Desk, plan: Path, why: str) -> None:
    present, records = desk.store.load_setup(), desk.records()

    seen = apply_saved(desk, plan)

    assert why in seen
    assert "run `plan` again" in seen
    assert seen.endswith("exit 1\n")
    assert desk.store.load_setup() == present
    assert desk.records() == records


def test_a_saved_plan_is_refused_for_another_state(
    before: Desk, write: Callable[[str], Path], saved: Path
) -> None:
    off = write(f"enabled = false\n{WIDGETS}")
    before.type(f"apply --yes --config {off}")
    write(WIDGETS + GADGETS)

    refused(before, saved, "has changed since the plan, which is less than a minute old")


def test_a_saved_plan_is_refused_for_another_configuration(
    before: Desk, write: Callable[[str], Path], saved: Path
) -> None:
    write(WIDGETS)

    refused(before, saved, "less than a minute old, was made for another configuration than")


def changed(plan: Path, **members: Any) -> None:
    plan.write_text(json.dumps(json.loads(plan.read_text()) | members))


def test_a_saved_plan_is_refused_for_another_broker(before: Desk, saved: Path) -> None:
    changed(saved, broker="account 1, region eu-west-1, table other")

    refused(before, saved, "the plan was made for account 1, region eu-west-1, table other, and")


@pytest.mark.parametrize(
    "members",
    [
        {"steps": []},
        {"steps": None},
        {"steps": [1]},
        {"summary": {"add": 0, "change": 0, "remove": 0}},
        {"needs_prune": True},
        {"note": "added"},
    ],
)
def test_a_saved_plan_that_shows_something_else_is_refused(
    before: Desk, saved: Path, members: dict[str, Any]
) -> None:
    changed(saved, **members)

    refused(before, saved, "the plan in the file is not what this configuration changes here")


@pytest.mark.parametrize(
    "made_at", [None, 7, "yesterday", "2026-11-22T11:59:00+00:00", "2026-11-22"]
)
def test_the_time_of_a_saved_plan_is_only_told(
    before: Desk, write: Callable[[str], Path], saved: Path, made_at: Any
) -> None:
    changed(saved, made_at=made_at)
    write(WIDGETS)

    refused(before, saved, "was made for another configuration")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is not a plan that `plan --out` has saved"),
        (b"\x00\xff" * 99, "is not a plan that `plan --out` has saved"),
        (b"[" * 100_000, "is not a plan that `plan --out` has saved"),
        (b'{"format": "1"}', "is not a plan that `plan --out` has saved"),
        (b'{"format": true}', "is not a plan that `plan --out` has saved"),
        (b'{"format": 1, "format": 1}', "is not a plan that `plan --out` has saved"),
        (b"[1]", "is not a plan that `plan --out` has saved"),
        (b'{"format": 2, "made_by": "pytp-broker 9.0"}', "is a plan in format 2, by pytp-broker 9"),
    ],
)
def test_a_file_that_is_not_a_plan_is_refused(
    before: Desk, saved: Path, content: bytes, why: str
) -> None:
    saved.write_bytes(content)

    refused(before, saved, why)


def test_a_file_that_is_too_large_for_a_plan_is_refused(
    before: Desk, saved: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plan_document, "MAX_PLAN_BYTES", 100)

    refused(before, saved, "so it is not a plan")


def test_a_plan_that_cannot_be_read_or_written_is_told(before: Desk, saved: Path) -> None:
    missing = saved.parent / "none" / "plan.json"

    assert "cannot read the plan: No such file or directory" in apply_saved(before, missing)
    assert "cannot write the plan: No such file or directory" in before.type(
        f"plan --config {saved.parent}/broker.toml --out {missing}"
    )


def test_a_name_with_a_nul_is_not_a_plans(tmp_path: Path) -> None:
    path = tmp_path / "a\x00b"

    with pytest.raises(CommandError, match="cannot read the plan: embedded null byte"):
        plan_document.read(path)
    with pytest.raises(CommandError, match="cannot write the plan: embedded null byte"):
        plan_document.save({}, path)


# --- an apply that did not finish -----------------------------------------------------------------


def test_the_next_one_says_that_the_last_apply_did_not_finish(
    desk: Desk, write: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(WIDGETS)

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(desk.store), "apply", crash)
        desk.type(f"apply --yes --config {path}")
    told = f"note: the last `apply`, by {desk.operator} at 2026-11-22 12:00 UTC, did not finish, or"

    assert f"{told} is still running; `apply` finishes what it left" in desk.type(
        f"plan --config {path}"
    )
    assert f"{told} is still running; this one finishes what it left" in desk.type(
        f"apply --yes --config {path}"
    )
    assert "did not finish" not in desk.type(f"plan --config {path}")


def test_a_record_of_something_else_does_not_hide_that_an_apply_did_not_finish() -> None:
    store = MemoryStore()
    begun = Apply(by="olive", configuration_sha256="0" * 64).begun()
    yank = Yank(by="me", registry="a", project="b", version="1", yanked=True, why="breaks")
    store.add_operator_record(begun, NOW)
    store.add_operator_record(yank.accepted(), NOW)

    assert find_unfinished(Operator(store, "me")) == Unfinished("olive", NOW)
    assert find_unfinished(Operator(MemoryStore(), "me")) is None


def test_so_many_records_of_changes_that_their_apply_is_not_found_say_that_it_did_not_finish() -> (
    None
):
    store = MemoryStore()
    store.add_operator_record(Apply(by="olive", configuration_sha256="0" * 64).begun(), NOW)
    for number in range(600):
        store.add_operator_record(operation(f"+ registry r-{number}", by="olive"), NOW)

    assert find_unfinished(Operator(store, "me")) == Unfinished("olive", NOW)


# --- progress -------------------------------------------------------------------------------------


def test_a_long_apply_shows_on_a_terminal_that_it_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr("pytp_broker.cli.waiting._TICK_SECONDS", 0.001)

    with shown_waiting("applying") as progress:
        progress(1_200, 100_000)
        while "recorded" not in screen.getvalue():
            pass

    assert "applying, 0 s, recorded 1,200 of 100,000 changes" in screen.getvalue()
    assert screen.getvalue().endswith("\r\x1b[K")


def test_a_short_apply_shows_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)

    with shown_waiting("applying"):
        pass

    assert screen.getvalue() == ""
