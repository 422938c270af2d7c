"""`pytp-broker token create`: the token alone on stdout, what it is on stderr, and the record."""

import shlex
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.cli import main
from pytp_broker.cli.operator import Operator
from pytp_broker.errors import StoreUnavailable
from pytp_broker.grants import Grant, Permission
from pytp_broker.making import Making
from pytp_broker.tokens import TokenRecord, UploadToken
from tests.support.audit import check
from tests.support.desk import NOW, Desk
from tests.support.samples import ACME, configuration, file, publisher

SECOND = timedelta(seconds=1)
READ = "token create --registry acme --read --for 'Dana, data team'"
UPLOAD = "token create --registry acme --upload Widgets --reason 'the CI is down'"


# What a command line says is read before any store is asked.
ON_ONE_ENGINE = pytest.mark.parametrize("desk", ["sqlite"], indirect=True)


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """Return a desk whose broker has a registry with a file and its publisher."""
    desk.store.apply(configuration(), [publisher()])
    desk.store.add_file(file())
    desk.type("token burn --all")
    return desk


def run(shop: Desk, line: str) -> tuple[int, str, str]:
    status = main([*shlex.split(line), *shlex.split(shop.options)])
    seen = shop.capsys.readouterr()
    return status, seen.out, seen.err


def create(shop: Desk, line: str) -> tuple[UploadToken, TokenRecord, str]:
    """Run the command, and return the token, its record and what stderr has."""
    status, out, err = run(shop, line)
    assert status == 0
    token = UploadToken.parse(out.removesuffix("\n"))
    found = shop.store.find_token(token.lookup_id, None)
    assert found is not None
    assert found[0].is_live(token, NOW)
    return token, found[0], err


def made(shop: Desk) -> list[TokenRecord]:
    return [each for each in shop.store.list_tokens(NOW) if each.made_by is not None]


@pytest.mark.promise("no-secret-written")
def test_stdout_has_the_token_alone_and_stderr_says_what_it_is(shop: Desk) -> None:
    token, _, err = create(shop, READ)

    assert err == (
        "a token for Dana, data team, to read the registry acme\n"
        "it expires at 2027-02-20 12:00 UTC; to end it earlier, run `pytp-broker token burn "
        f"--prefix {token.hash[:12]}` on the same broker\n"
    )


def test_a_read_token_is_good_for_90_days(shop: Desk) -> None:
    _, kept, _ = create(shop, READ)

    assert kept.grants == (Grant("acme", None, Permission.READ, {}),)
    assert kept.made_by == Making(shop.operator, person="Dana, data team")
    assert kept.expires_at - kept.issued_at == timedelta(days=90)
    assert kept.kept_until > kept.expires_at


@ON_ONE_ENGINE
@pytest.mark.parametrize("days", [1, 365])
def test_a_read_token_is_good_for_as_many_days_as_asked(shop: Desk, days: int) -> None:
    _, kept, _ = create(shop, f"{READ} --days {days}")

    assert kept.expires_at - kept.issued_at == timedelta(days=days)


def test_an_upload_token_is_good_for_one_project_for_15_minutes(shop: Desk) -> None:
    _, kept, err = create(shop, UPLOAD)

    assert kept.grants == (Grant("acme", "widgets", Permission.UPLOAD, {}),)
    assert kept.made_by == Making(shop.operator, reason="the CI is down")
    assert kept.expires_at - kept.issued_at == timedelta(minutes=15)
    assert err.startswith("a token to upload to acme/widgets, because: the CI is down\n")


@ON_ONE_ENGINE
@pytest.mark.parametrize("minutes", [1, 360])
def test_an_upload_token_is_good_for_as_many_minutes_as_asked(shop: Desk, minutes: int) -> None:
    _, kept, _ = create(shop, f"{UPLOAD} --minutes {minutes}")

    assert kept.expires_at - kept.issued_at == timedelta(minutes=minutes)


@ON_ONE_ENGINE
@pytest.mark.parametrize(
    "line",
    [
        *(f"{READ} --days {days}" for days in ("0", "366", "-1", "1.5", "²", "9" * 5000)),
        *(f"{UPLOAD} --minutes {minutes}" for minutes in ("0", "361", "x")),
        "token create --registry acme --for Dana",
        "token create --read --for Dana",
        f"{READ} --upload widgets",
    ],
)
def test_what_the_options_do_not_allow_makes_no_token(shop: Desk, line: str) -> None:
    with pytest.raises(SystemExit) as ended:
        run(shop, line)

    assert ended.value.code == 2
    assert made(shop) == []


@ON_ONE_ENGINE
@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("--read", "say who gets the token with --for NAME"),
        ("--upload widgets", "say why no job publishes with --reason TEXT"),
        ("--read --for Dana --reason why", "--reason does not go with --read"),
        ("--read --for Dana --minutes 5", "--minutes does not go with --read"),
        ("--upload widgets --reason why --for Dana", "--for does not go with --upload"),
        ("--upload widgets --reason why --days 5", "--days does not go with --upload"),
        (
            f"--upload pytp_{'a1' * 36} --reason why",
            "--upload must be a project's name, and must not contain a token",
        ),
        ("--upload a/b --reason why", "the project `a/b` must be a project name"),
    ],
)
def test_options_that_do_not_go_together_make_no_token(shop: Desk, line: str, said: str) -> None:
    status, out, err = run(shop, f"token create --registry acme {line}")

    assert (status, out) == (2, "")
    assert err.startswith(said)
    assert made(shop) == []


@ON_ONE_ENGINE
@pytest.mark.parametrize("line", [READ, UPLOAD])
def test_an_unknown_registry_is_answered_with_near_names(shop: Desk, line: str) -> None:
    status, out, err = run(shop, line.replace("acme", "acmee"))

    assert (status, out) == (1, "")
    assert err == "there is no registry `acmee`; did you mean `acme`?\n"
    assert made(shop) == []


@ON_ONE_ENGINE
@pytest.mark.parametrize(
    "text",
    ["", "  ", "two\nlines", "\x1b[31mred", "a\u202eb", "x" * 201, f"pytp_{'a1' * 36}"],
    ids=["none", "blank", "lines", "terminal", "right to left", "too long", "token"],
)
@pytest.mark.parametrize(
    ("option", "line"),
    [
        ("--for", "token create --registry acme --read --for"),
        ("--reason", "token create --registry acme --upload widgets --reason"),
    ],
)
def test_a_text_that_must_not_be_shown_makes_no_token(
    shop: Desk, option: str, line: str, text: str
) -> None:
    status, out, err = run(shop, f"{line} {shlex.quote(text)}")

    assert (status, out) == (2, "")
    assert err.startswith(f"`{option}` must be one line of 1 to 200 visible characters")
    assert "a1a1" not in err
    assert made(shop) == []


def test_a_new_project_may_be_uploaded_to_and_is_noted(shop: Desk) -> None:
    _, kept, err = create(shop, UPLOAD.replace("Widgets", "novel"))

    assert kept.places == ["acme/novel"]
    assert "note: acme/novel has no file yet; check the name\n" in err
    assert "note: acme/novel trusts no publisher, so no job can publish it\n" in err


@ON_ONE_ENGINE
def test_a_read_token_of_a_public_registry_is_noted(shop: Desk) -> None:
    shop.store.apply(configuration(replace(ACME, access="public")), [])

    _, _, err = create(shop, READ)

    assert err.startswith("note: the registry acme is public, so nobody needs a token to read it\n")


@pytest.mark.parametrize(
    ("line", "what"),
    [
        (READ, {"permission": "read", "person": "Dana, data team"}),
        (UPLOAD, {"permission": "upload", "project": "widgets", "why": "the CI is down"}),
    ],
)
def test_who_made_a_token_is_recorded(shop: Desk, line: str, what: dict[str, str]) -> None:
    token, kept, _ = create(shop, line)

    recorded = shop.records()[-1]
    check(recorded)
    assert recorded.pop("time").startswith("2026-11-22T12:00:")
    assert recorded == {
        "event": "token-creation",
        "outcome": "accepted",
        "reason": "",
        "by": shop.operator,
        "registry": "acme",
        "token_hash": token.hash[:12],
        "expires_at": kept.expires_at.isoformat(),
        **what,
    }
    assert token.reveal() not in repr(shop.store.list_operator_records())


def test_a_token_is_listed_and_shown_with_its_maker(shop: Desk) -> None:
    token, _, _ = create(shop, READ)

    shown = shop.read(f"token show {token.hash[:12]}")

    assert {name: shown[name] for name in ("state", "made_by", "person", "reason", "issuer")} == {
        "state": "live",
        "made_by": shop.operator,
        "person": "Dana, data team",
        "reason": None,
        "issuer": None,
    }
    assert "Dana, data team" in shop.type("token list")


def test_a_token_is_burned_as_any_other(shop: Desk) -> None:
    token, _, _ = create(shop, READ)

    seen = shop.type(f"token burn --prefix {token.hash[:12]}")

    assert seen == f"burned {token.hash[:12]} for acme\n"
    assert shop.read(f"token show {token.hash[:12]}")["state"] == "burned"


def test_a_registry_that_is_removed_meanwhile_gets_no_token(
    shop: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(shop.store), "add_operators_token", lambda *_: False)
    before = shop.records()

    status, out, err = run(shop, READ)

    assert (status, out, err) == (1, "", "the registry `acme` was removed meanwhile\n")
    assert shop.records() == before


@ON_ONE_ENGINE
def test_a_token_whose_record_cannot_be_kept_is_given_to_nobody(
    shop: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise StoreUnavailable("the store does not answer")

    monkeypatch.setattr(Operator, "record", fail)

    status, out, _ = run(shop, READ)

    assert (status, out) == (1, "")
    (lost,) = made(shop)
    assert lost.made_by == Making(shop.operator, person="Dana, data team")
