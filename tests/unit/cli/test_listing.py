"""`list` and `show`: what an operator sees of what is there."""

import json
import re
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from pytp_broker.grants import Grant, Permission
from pytp_broker.registries import Access
from tests.support.desk import NOW, TOKENS, Desk, documented_members
from tests.support.samples import (
    ACME,
    GITHUB,
    ISSUER,
    OTHER,
    OTHER_ISSUER,
    configuration,
    publisher,
    reader,
)

PINS = {"repository_owner_id": "9919"}
CLIENTS = {"devpi": "5" * 64}


@pytest.fixture
def shop(desk: Desk) -> Desk:
    """Return a desk whose broker has two registries, each with a publisher."""
    acme = replace(ACME, introspection_clients=CLIENTS)
    desk.store.apply(
        configuration(acme, OTHER),
        [
            publisher(),
            publisher("id-9", registry="other", projects=("gizmos", "gadgets")),
            reader(),
            reader("reader-2", registry="other"),
        ],
    )
    desk.store.pin_publisher(publisher(), PINS)
    desk.store.pin_publisher(reader(), PINS)
    return desk


@pytest.mark.parametrize(
    ("title", "line"),
    [
        ("Registry", "registry list"),
        ("Issuer", "issuer list"),
        ("Publisher", "publisher list"),
        ("Reader", "reader list"),
        ("Token", "token list"),
    ],
)
def test_the_page_lists_the_members_of_every_object(shop: Desk, title: str, line: str) -> None:
    found = shop.read(line)

    assert found
    assert all(set(each) == documented_members(title) for each in found)


# --- registries -----------------------------------------------------------------------------------


def test_registries_are_listed(shop: Desk) -> None:
    assert shop.type("registry list").splitlines() == [
        "registry  owner  enabled  access   audience  hosts             issuers",
        "acme             yes      private  acme      acme.example.com  2",
        "other            yes      private                              1",
    ]


@pytest.mark.promise("short-hashes")
def test_a_registry_is_shown_with_its_settings(shop: Desk) -> None:
    assert shop.read("registry show acme") == {
        "owner": None,
        "name": "acme",
        "enabled": True,
        "audience": "acme",
        "hosts": ["acme.example.com"],
        "issuers": [GITHUB, OTHER_ISSUER.url],
        "access": "private",
        "token_lifetime_seconds": 1800,
        "read_token_lifetime_seconds": 3600,
        "shared_host_exchange": False,
        "release_open_days": 14,
        "max_file_size": 1_073_741_824,
        "require_attestations": False,
        "refusals_per_minute": 300,
        "introspection_clients": [{"id": "devpi", "secret_sha256_prefix": "5" * 12}],
    }


def test_a_registry_with_a_host_has_an_audience(shop: Desk) -> None:
    shop.store.apply(configuration(replace(ACME, audience=None)), [])

    assert shop.read("registry show acme")["audience"] == "acme.example.com"


def test_what_is_switched_off_is_not_enabled(shop: Desk) -> None:
    shop.store.apply(configuration(replace(ACME, enabled=False), OTHER), [])
    assert [each["enabled"] for each in shop.read("registry list")] == [False, True]

    shop.store.apply(configuration(enabled=False), [])
    assert [each["enabled"] for each in shop.read("registry list")] == [False, False]


# --- issuers --------------------------------------------------------------------------------------


def test_issuers_are_listed_those_that_are_built_in_too(shop: Desk) -> None:
    seen = shop.type("issuer list")

    assert re.search(r"^https://gitlab.com +gitlab +yes +yes +0$", seen, re.MULTILINE)
    assert re.search(rf"^{OTHER_ISSUER.url} +github +yes +no +1$", seen, re.MULTILINE)


def test_an_issuer_is_shown_with_its_settings(shop: Desk) -> None:
    pem = trustme.CA().cert_pem.bytes().decode()
    fingerprint = x509.load_pem_x509_certificate(pem.encode()).fingerprint(SHA256()).hex()
    access = Access(is_private=True, ca_pem=pem * 2, proxy="http://proxy.example.com:3128")
    private = replace(OTHER_ISSUER, access=access)
    written = configuration()
    shop.store.apply(replace(written, issuers={**written.issuers, private.url: private}), [])

    assert shop.read(f"issuer show {private.url}") == {
        "url": private.url,
        "provider": "github",
        "enabled": True,
        "built_in": False,
        "algorithms": ["RS256", "ES256"],
        "jwks_hosts": [],
        "private": True,
        "proxy": "http://proxy.example.com:3128",
        "ca_sha256": [fingerprint, fingerprint],
        "registries": ["acme"],
    }


def test_an_issuer_that_an_operator_has_changed_is_not_built_in(shop: Desk) -> None:
    assert ISSUER.url == GITHUB
    assert shop.read(f"issuer show {GITHUB}")["built_in"] is False


# --- publishers -----------------------------------------------------------------------------------


def test_publishers_are_listed(shop: Desk) -> None:
    assert shop.type("publisher list").splitlines() == [
        "id    registry  provider  identity          projects",
        "id-1  acme      github    octo-org/widgets  widgets",
        "id-9  other     github    octo-org/widgets  gizmos, gadgets",
    ]


def test_publishers_of_one_registry_are_listed(shop: Desk) -> None:
    assert [each["id"] for each in shop.read("publisher list --registry other")] == ["id-9"]


def test_a_publisher_is_shown_with_its_rules_and_pins(shop: Desk) -> None:
    assert shop.read("publisher show id-1") == {
        "id": "id-1",
        "removed": False,
        "registry": "acme",
        "enabled": True,
        "provider": "github",
        "issuer": GITHUB,
        "identity": "octo-org/widgets",
        "fields": {
            "repository": "octo-org/widgets",
            "workflow": "release.yml",
            "events": ["push", "release"],
        },
        "claims": {"actor": "octo*"},
        "pins": PINS,
        "projects": ["widgets"],
        "history": [],
    }


def test_a_publisher_whose_registry_is_switched_off_is_not_enabled(shop: Desk) -> None:
    shop.store.apply(configuration(replace(ACME, enabled=False)), [publisher()])

    assert shop.read("publisher show id-1")["enabled"] is False


def test_a_generic_publisher_is_identified_by_its_claims(desk: Desk, tmp_path: Path) -> None:
    (tmp_path / "broker.toml").write_text(
        '[[issuers]]\nurl = "https://ci.example.com"\nprovider = "generic"\n'
        '[[registries]]\nname = "acme"\n[[registries.publishers]]\nprojects = ["gizmos"]\n'
        'issuer = "https://ci.example.com"\n[registries.publishers.generic]\n'
        'claims = { sub = "project:gizmos", protected = "true" }\n'
    )
    desk.type(f"apply --yes --config {tmp_path}/broker.toml")

    (found,) = desk.read("publisher list")

    assert found["identity"] == "protected=true sub=project:gizmos"


def test_a_removed_publisher_is_shown_as_operators_records_know_it(
    desk: Desk, tmp_path: Path
) -> None:
    text = (
        '[[registries]]\nname = "acme"\n[[registries.publishers]]\nprojects = ["widgets"]\n'
        '[registries.publishers.github]\nrepository = "octo-org/widgets"\n'
        'workflow = "release.yml"\n'
    )
    config = tmp_path / "broker.toml"
    config.write_text(text)
    desk.type(f"apply --yes --config {config}")
    (publisher_id,) = (each["id"] for each in desk.read("publisher list"))
    config.write_text('[[registries]]\nname = "acme"\n')
    desk.type(f"apply --yes --config {config} --prune")

    seen = desk.read(f"publisher show {publisher_id}")

    assert (seen["id"], seen["removed"], len(seen)) == (publisher_id, True, 3)
    added, removed = seen["history"]
    assert added["change"] == "+ publisher acme github octo-org/widgets -> widgets"
    assert removed["change"] == "- publisher acme github octo-org/widgets -> widgets"
    for each in (added, removed):
        assert each["by"] == desk.operator
        assert each["time"].startswith("2026-11-22T12:00:")
        assert each["rules"] == ["repository = octo-org/widgets", "workflow = release.yml"]


# --- readers --------------------------------------------------------------------------------------


def test_readers_are_listed(shop: Desk) -> None:
    assert shop.type("reader list").splitlines() == [
        "id        registry  provider  identity",
        "reader-1  acme      github    octo-org",
        "reader-2  other     github    octo-org",
    ]
    assert [each["id"] for each in shop.read("reader list --registry other")] == ["reader-2"]


def test_a_reader_is_shown_with_its_rules_and_pins(shop: Desk) -> None:
    assert shop.read("reader show reader-1") == {
        "id": "reader-1",
        "removed": False,
        "registry": "acme",
        "enabled": True,
        "provider": "github",
        "issuer": GITHUB,
        "identity": "octo-org",
        "fields": {"owner": "octo-org", "events": ["push", "pull_request"]},
        "claims": {"actor": "octo*"},
        "pins": PINS,
        "history": [],
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("publisher show reader-1", "`reader-1` is the id of a reader: `reader show` shows it"),
        ("reader show id-1", "`id-1` is the id of a publisher: `publisher show` shows it"),
        ("reader show reader-3", "no reader has the id `reader-3`, and no operator's record"),
    ],
)
def test_a_reader_is_not_a_publisher(shop: Desk, line: str, said: str) -> None:
    seen = shop.type(line)

    assert seen.startswith(said)
    assert seen.endswith("exit 1\n")


def test_a_removed_reader_is_shown_as_operators_records_know_it(desk: Desk, tmp_path: Path) -> None:
    config = tmp_path / "broker.toml"
    config.write_text(
        '[[registries]]\nname = "acme"\n[[registries.readers]]\n'
        '[registries.readers.github]\nowner = "octo-org"\n'
    )
    desk.type(f"apply --yes --config {config}")
    (reader_id,) = (each["id"] for each in desk.read("reader list"))
    config.write_text('[[registries]]\nname = "acme"\n')
    desk.type(f"apply --yes --config {config} --prune")

    seen = desk.read(f"reader show {reader_id}")

    assert seen["removed"] is True
    assert [each["change"] for each in seen["history"]] == [
        "+ reader acme github octo-org",
        "- reader acme github octo-org",
    ]
    assert seen["history"][0]["rules"] == ["owner = octo-org"]


# --- tokens ---------------------------------------------------------------------------------------


def test_tokens_that_have_not_expired_are_listed(desk: Desk) -> None:
    assert desk.type("token list") == (
        "token         state  for     expires            publishers        person  where\n"
        "aaa000000000  live   upload  2026-11-22 12:15Z  id-1, id-2, id-3          "
        "acme/widgets, acme/gadgets, other/gizmos\n"
        "abb000000000  live   upload  2026-11-22 12:15Z  id-9                      other/gizmos\n"
    )


def test_a_token_that_reads_is_listed_with_its_registry(desk: Desk) -> None:
    grant = Grant("other", None, Permission.READ, {"id-1": 1})
    token = replace(
        TOKENS[0], lookup_id="c" * 32, token_hash="c" * 64, grants=(grant,), projects={}
    )
    desk.store.add_token(token)

    _, row = desk.type("token list --prefix ccc").splitlines()

    assert row.split()[2] == "read"
    assert row.split()[-1] == "other"


@pytest.mark.parametrize(
    ("selection", "found"),
    [
        ("--prefix a", ["aaa", "abb"]),
        ("--prefix AB", ["abb"]),
        ("--prefix aaa000000000", ["aaa"]),
        ("--prefix x", []),
        ("--prefix cc", []),
        ("--publisher id-9", ["abb"]),
        ("--publisher id-2", ["aaa"]),
        ("--publisher id", []),
        ("--registry acme", ["aaa"]),
        ("--registry other", ["aaa", "abb"]),
        ("--registry other --publisher id-9", ["abb"]),
        ("--registry acme --publisher id-9", []),
    ],
)
def test_tokens_are_selected(shop: Desk, selection: str, found: list[str]) -> None:
    assert [each["hash"][:3] for each in shop.read(f"token list {selection}")] == found


def test_a_misspelt_registry_burns_nothing_and_says_so(shop: Desk) -> None:
    assert shop.type("token burn --registry acmee") == (
        "there is no registry `acmee`; did you mean `acme`?\nexit 1\n"
    )


def test_tokens_of_a_removed_registry_are_found(shop: Desk) -> None:
    shop.store.apply(configuration(OTHER), [])

    assert [each["hash"][:3] for each in shop.read("token list --registry acme")] == ["aaa"]


@pytest.mark.promise("short-hashes")
def test_a_token_is_shown_with_its_origin(desk: Desk) -> None:
    assert desk.read("token show aaa") == {
        "hash": "aaa000000000",
        "state": "live",
        "permissions": ["upload"],
        "registries": ["acme", "other"],
        "projects": ["acme/widgets", "acme/gadgets", "other/gizmos"],
        "project_count": 3,
        "publishers": ["id-1", "id-2", "id-3"],
        "issuer": GITHUB,
        "identity": {"repository": "octo-org/widgets\ufffd", "run": "17"},
        "made_by": None,
        "person": None,
        "reason": None,
        "single_use": False,
        "issued_at": "2026-11-22T12:00:00+00:00",
        "expires_at": "2026-11-22T12:15:00+00:00",
        "burned_at": None,
        "used_for": None,
    }


def test_what_became_of_a_token_is_shown(desk: Desk) -> None:
    first, second, _ = TOKENS
    desk.store.burn_token(first.lookup_id, first.token_hash, None, NOW)
    desk.store.use_token(second, "other/gizmos-1.0.tar.gz#00")

    burned, used = desk.read("token list")

    assert (burned["state"], burned["burned_at"]) == ("burned", "2026-11-22T12:00:00+00:00")
    assert (used["state"], used["used_for"]) == ("used", "other/gizmos-1.0.tar.gz#00")


# --- what is not there ----------------------------------------------------------------------------


EXPIRED = "`token list` has those that have not expired"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("registry show acmee", "there is no registry `acmee`; did you mean `acme`?"),
        ("registry show acmee --json", "there is no registry `acmee`; did you mean `acme`?"),
        ("registry show ACME", "there is no registry `ACME`; did you mean `acme`?"),
        ("registry show x", "there is no registry `x`; the registries are: `acme`, `other`"),
        ("registry show '\x1b[31m'", "there is no registry `\ufffd[31m`; the registries are:"),
        ("issuer show https://gitlab.con", "there is no issuer `https://gitlab.con`; did you mean"),
        ("publisher show id-8", "no publisher has the id `id-8`, and no operator's record names"),
        ("publisher list --registry acmee", "there is no registry `acmee`; did you mean `acme`?"),
        ("token list --registry acmee", "there is no registry `acmee`; did you mean `acme`?"),
        ("token show b", f"the hash of no token begins with `b`; {EXPIRED}"),
        ("token show a", f"the hash of more than one token begins with `a`; {EXPIRED}"),
    ],
)
def test_what_is_not_there_is_said_to_be(shop: Desk, line: str, said: str) -> None:
    seen = shop.type(line)

    assert seen.startswith(said)
    assert seen.endswith("\nexit 1\n")


def test_an_empty_list_says_so_and_is_an_empty_list_in_json(desk: Desk) -> None:
    assert desk.type("registry list") == (
        "registry  owner  enabled  access  audience  hosts  issuers\n"
        "note: there is nothing to list\n"
    )
    assert desk.type("registry list --json") == "[]\n"


def test_a_list_in_json_has_an_object_on_each_line(shop: Desk) -> None:
    lines = shop.type("publisher list --json").splitlines()

    objects = [json.loads(line.strip("[], ")) for line in lines]
    assert [each["id"] for each in objects] == ["id-1", "id-9"]


HOSTILE: Any = "\x1b]0;owned\x07\x1b[2J\u202eevil\u200b\x9b[bold]red[/bold]:smile:\n\r\x7f"


@pytest.mark.promise("plain-text")
@pytest.mark.parametrize("form", ["", " --json"])
@pytest.mark.parametrize("command", ["token list", "token show d", "publisher list"])
def test_what_others_chose_cannot_control_a_terminal(desk: Desk, command: str, form: str) -> None:
    kept = replace(
        TOKENS[0],
        lookup_id="d" * 32,
        token_hash="d" * 64,
        identity={"repository": HOSTILE, "run": HOSTILE},
        expires_at=NOW + timedelta(minutes=15),
    )
    desk.store.add_token(kept)
    rules = {"repository": "octo-org/widgets", "workflow": HOSTILE}
    desk.store.apply(configuration(), [publisher(fields=rules, claims={HOSTILE: HOSTILE})])

    seen = desk.type(command + form)

    assert not re.search(r"[^\n\ufffd -~]", seen)
    if "show" in command:
        assert "[bold]red[/bold]:smile:" in seen
