"""Readers: what identifies them, what they may read with, and what they are told."""

import json
import re
import tomllib
from dataclasses import replace
from typing import Any

import pytest

from pytp_broker import config
from pytp_broker.errors import ChangedIdentity, InvalidPublisher
from pytp_broker.grants import Permission
from pytp_broker.trust.comparisons import is_exact, is_same_ignoring_case
from pytp_broker.trust.matching import find_matching
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import FieldValue, Provider, Role
from pytp_broker.trust.publishers import TrustedPublisher, entry_for, identity_keys, unpinned
from pytp_broker.trust.readers import READERS, NoIdentityError
from tests.support.claims import captured
from tests.support.providers import NAMES, TESTS, accepts, changed, page, reader_of, signed

READER_CASES = json.loads((TESTS / "cases" / "readers.json").read_text(encoding="utf-8"))
FORMS = [
    pytest.param(form, id=f"{name}-{number}")
    for name, readers in READERS.items()
    for number, form in enumerate(readers.forms)
]


def claims_of(case: dict[str, Any]) -> dict[str, Any]:
    claims = captured(case["provider"])
    for path, value in case["changes"].items():
        claims = changed(claims, path, value)
    return claims


def reader_in(case: dict[str, Any]) -> TrustedPublisher:
    fields: dict[str, FieldValue] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in case["fields"].items()
    }
    return reader_of(case["provider"], **fields)


@pytest.mark.parametrize("case", READER_CASES, ids=lambda case: case["id"])
def test_a_reader_accepts_its_own_jobs_and_no_others(case: dict[str, Any]) -> None:
    assert accepts(reader_in(case), claims_of(case)) is (case["expect"] == "accept"), case["why"]


def test_there_are_cases_of_every_identity_of_every_provider() -> None:
    seen = {(c["provider"], _identity_of(reader_in(c).provider)) for c in READER_CASES}

    assert seen == {(name, _identity_of(f)) for name, r in READERS.items() for f in r.forms}


def _identity_of(form: Provider) -> tuple[str, ...]:
    return tuple(f.name for f in form.fields_of(Role.IDENTITY))


@pytest.mark.parametrize("form", FORMS)
def test_a_form_fits_what_relies_on_it(form: Provider) -> None:
    identifying = form.fields_of(Role.IDENTITY)

    assert bool(identifying) is not form.is_generic
    assert not any(f.required or f.advise for f in form.fields)
    assert all(not f.any_of and not f.expand and f.example for f in identifying)
    assert all(re.fullmatch(f.pattern, f.example) for f in form.fields)
    # Compared without case at the lookup, so no comparison may be wider than that.
    assert all(f.compare in {is_exact, is_same_ignoring_case} for f in identifying)


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_has_the_identity_of_a_publisher_or_one_of_at_most_two_wider_ones(
    name: str,
) -> None:
    # Each identity costs the exchange of a read token one query.
    own, *wider = READERS[name].forms

    assert _identity_of(own) == _identity_of(PROVIDERS[name])
    assert len(wider) <= 2
    assert bool(wider) is (name != "generic")


@pytest.mark.parametrize("name", NAMES)
def test_a_readers_table_has_every_field_of_a_publishers(name: str) -> None:
    fields = {f.name for f in READERS[name].entry.fields}

    assert {f.name for f in PROVIDERS[name].fields} <= fields
    assert fields == {f.name for form in READERS[name].forms for f in form.fields}


@pytest.mark.parametrize(
    ("name", "fields", "says"),
    [
        ("github", {}, "needs what identifies a reader: `repository`, or `owner`"),
        ("github", {"workflow": "x.yml"}, "needs what identifies a reader: "),
        ("github", {"owner": "a", "repository": "a/b"}, "has `owner` beside `repository`"),
        ("aws", {"account": "1", "role_arn": "x"}, "has `account` beside `role_arn`"),
        (
            "azure-devops",
            {"project_id": "1"},
            "`organization_id`, `project_id` and `definition_id`",
        ),
        (
            "azure-devops",
            {"organization_id": "1", "definition_id": "2"},
            "has `definition_id` beside `organization_id`; a reader is identified by",
        ),
        ("kubernetes", {"service_account": "x"}, "or `namespace`"),
    ],
)
def test_fields_that_do_not_identify_a_reader_are_refused(
    name: str, fields: dict[str, str], says: str
) -> None:
    with pytest.raises(NoIdentityError) as caught:
        READERS[name].form_for(fields)

    assert says in str(caught.value)


@pytest.mark.parametrize("name", NAMES)
def test_no_key_of_a_reader_is_a_publishers(name: str) -> None:
    claims = signed({**captured(name), "hd": "acme.example.com"})
    of_readers = identity_keys(claims, READERS[name].entry, Permission.READ)
    of_publishers = identity_keys(claims, PROVIDERS[name], Permission.UPLOAD)

    assert len({*of_readers, *of_publishers}) == len(READERS[name].forms) + 1


def test_a_project_and_a_group_of_the_same_name_have_different_keys() -> None:
    # Their `namespace_id` means two groups, and a plan hands pins on by the key.
    project = reader_of("gitlab", project_path="group/sub")
    group = reader_of("gitlab", namespace="group/sub")

    assert project.identity_key != group.identity_key


def test_a_reader_and_a_publisher_with_the_same_rules_are_two() -> None:
    reader = reader_of("github", repository="octo-org/widgets")
    publisher = replace(reader, permission=Permission.UPLOAD, provider=PROVIDERS["github"])

    assert reader.rules_hash != publisher.rules_hash


@pytest.mark.parametrize(
    ("name", "fields", "pinned"),
    [
        (
            "github",
            {"repository": "octo-org/widgets"},
            {"repository_owner_id": "9919", "repository_id": "70107786"},
        ),
        ("github", {"owner": "octo-org"}, {"repository_owner_id": "9919"}),
        ("gitlab", {"namespace": "group/sub"}, {"namespace_id": "72"}),
        ("google", {"domain": "acme.example.com"}, {}),
        (
            "activestate",
            {"organization": "acme-org"},
            {"organization_id": "5e7c3f1a-0000-4000-8000-000000000004"},
        ),
        ("kubernetes", {"namespace": "ci"}, {}),
        ("aws", {"account": "123456789012"}, {}),
    ],
)
def test_the_first_use_pins_the_ids_of_the_identity_and_of_nothing_narrower(
    name: str, fields: dict[str, str], pinned: dict[str, str]
) -> None:
    assert unpinned(reader_of(name, **fields), signed(captured(name))) == pinned


@pytest.mark.parametrize("name", NAMES)
def test_a_reader_is_read_back_from_its_document(name: str) -> None:
    for form in READERS[name].forms:
        fields = {f.name: f.example for f in form.fields_of(Role.IDENTITY)}
        reader = reader_of(name, **fields)
        again = TrustedPublisher.from_document(reader.document(), {})

        assert again == reader
        assert again.identity_key == reader.identity_key


def test_a_document_of_a_version_without_readers_is_a_publishers() -> None:
    publisher = replace(
        reader_of("github", repository="octo-org/widgets"),
        permission=Permission.UPLOAD,
        provider=PROVIDERS["github"],
    )
    document = publisher.document()
    del document["permission"]

    assert TrustedPublisher.from_document(document, {}) == publisher


# --- the page of each provider -------------------------------------------------------------------


def section(name: str) -> str:
    return page(name).partition("\n## Readers\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize("name", NAMES)
def test_the_documented_reader_accepts_the_captured_claims(name: str) -> None:
    (block,) = re.findall(r"^```toml\n(.*?)^```$", section(name), re.MULTILINE | re.DOTALL)
    readers = config.parse(tomllib.loads(block), allow_loopback=False).publishers
    claims = {**captured(name), **DOCUMENTED.get(name, {})}

    assert all(reader.is_reader for reader in readers)
    assert {reader.issuer for reader in readers} == {claims["iss"]}
    assert any(accepts(reader, claims) for reader in readers)


# The page has another account than the captured claims, which are a publisher's.
DOCUMENTED = {"google": {"email": "builder@acme.iam.gserviceaccount.com"}}


@pytest.mark.promise("untold-strangers")
@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_what_identifies_a_reader_and_what_a_stranger_gets(name: str) -> None:
    text = section(name)
    fields = {f.name for form in READERS[name].forms for f in form.fields_of(Role.IDENTITY)}
    own = {f.name for f in PROVIDERS[name].fields_of(Role.IDENTITY)}

    assert {n for n in fields - own if f"`{n}`" not in text and f"{n} = " not in text} == set()
    assert any(word in text for word in ("stranger", "fork", "Every build"))
    for rule in PROVIDERS[name].jobs:
        assert f"`{rule.field}" in text


# --- what a refused job is told -------------------------------------------------------------------


def refused(reader: TrustedPublisher, **changes: Any) -> InvalidPublisher:
    name = reader.provider.name
    claims = signed({**captured(name), **changes})
    with pytest.raises(InvalidPublisher) as caught:
        find_matching([reader], claims, entry_for(name, Permission.READ))
    return caught.value


def test_a_stranger_learns_nothing_of_a_reader() -> None:
    reader = reader_of("github", owner="octo-org", repository_owner_id="9919", environment="ci")
    problem = refused(reader, repository="evil/x", repository_owner="evil")

    assert problem.detail.startswith(
        "valid token, but no trusted reader here matches repository `evil/x`, owner `evil`. "
    )
    assert "ci" not in re.findall("[a-z]+", problem.detail)
    assert problem.detail.endswith("can see every rule with `pytp-broker explain --read`")


def test_a_job_of_the_reader_learns_which_rule_failed() -> None:
    reader = reader_of("github", owner="octo-org", repository_owner_id="9919", environment="ci")

    assert refused(reader).detail == (
        "valid token, but no corresponding reader: claim `environment` is `release`; the reader's "
        "`environment` expects `ci`"
    )


def test_before_the_first_use_a_rule_is_not_told() -> None:
    problem = refused(reader_of("github", owner="octo-org", environment="ci"))

    assert "expects" not in problem.detail
    assert "the reader's `environment` expects `ci`" in problem.operator_detail


def test_an_account_that_nobody_else_can_get_is_told_the_rule() -> None:
    reader = reader_of("aws", account="123456789012", organization_id="o-0000000000")

    assert "the reader's `organization_id` expects `o-0000000000`" in refused(reader).detail


def test_a_domain_has_no_id_so_its_rules_are_not_told() -> None:
    reader = reader_of("google", domain="acme.example.com", sub="1")

    assert "expects" not in refused(reader, hd="acme.example.com").detail


def test_the_new_holder_of_an_owners_name_is_told_that_the_ids_differ() -> None:
    problem = refused(reader_of("github", owner="octo-org", repository_owner_id="1"))

    assert isinstance(problem, ChangedIdentity)
    assert "a reader has this name, but claim `repository_owner_id` is `9919`" in problem.detail
    assert "set the new id in the reader" in problem.detail


def test_a_malformed_id_is_never_pinned() -> None:
    problem = refused(reader_of("activestate", organization="acme-org"), organization_id="a b")

    assert "claim `organization_id` does not look like an immutable id" in problem.detail
