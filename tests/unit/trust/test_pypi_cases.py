"""Cases observed from PyPI's implementation; where ours differs on purpose, the case says so."""

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from pytp_broker.trust.comparisons import fold, starts_with_segment
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import FieldValue, Role
from pytp_broker.trust.publishers import TrustedPublisher, unpinned
from tests.support.claims import captured
from tests.support.providers import TESTS, accepted, accepts, publisher_of, signed

LEFT_OUT: dict[str, str] = json.loads((TESTS / "cases" / "left_out.json").read_text("utf-8"))
CASES: list[dict[str, Any]] = json.loads((TESTS / "cases" / "claims.json").read_text("utf-8"))


def cases(level: str) -> list[Any]:
    found = [c for c in CASES if c["level"] == level and c["id"] not in LEFT_OUT]
    return [pytest.param(case, id=case["id"]) for case in found]


def is_accepted(case: Mapping[str, Any]) -> bool:
    """Say what we expect: what was observed, or where we differ on purpose, what we want."""
    return bool(case.get("ours", case)["expect"] == "accept")


def adapt(case: Mapping[str, Any], theirs: Mapping[str, Any]) -> TrustedPublisher:
    """Return a publisher of the case in our words."""
    name = case["provider"]
    given = {**_fields[name](theirs), **_variant_fields(case)}
    fields = {name: value for name, value in given.items() if value}
    issuer = {
        "gitlab": theirs.get("issuer_url"),
        "semaphore": f"https://{theirs.get('organization')}.semaphoreci.com",
    }.get(name, PROVIDERS[name].issuer)
    issuer = case.get("ours", {}).get("issuer", issuer)
    provider = PROVIDERS[name]
    return TrustedPublisher(str(theirs), "acme", issuer or "", provider, ("widgets",), fields)


def _variant_fields(case: Mapping[str, Any]) -> dict[str, FieldValue]:
    # At PyPI the publisher trusts its caller with any workflow that it calls. Ours names the
    # workflows.
    called = case["claims"].get("job_workflow_ref") or "octo-org/widgets/.github/workflows/x.yml@"
    return {"reusable_workflow": called.partition("@")[0]} if "variant" in case else {}


_fields: dict[str, Any] = {
    "github": lambda p: {
        "repository": f"{p['repository_owner']}/{p['repository_name']}",
        "repository_owner_id": p["repository_owner_id"],
        "workflow": p["workflow_filename"],
        "environment": p["environment"],
    },
    "gitlab": lambda p: {
        "project_path": f"{p['namespace']}/{p['project']}",
        "workflow": p["workflow_filepath"],
        "environment": p["environment"],
    },
    "google": lambda p: {"email": p["email"], "sub": p["sub"]},
    "activestate": lambda p: {
        "organization": p["organization"],
        "project": p["activestate_project_name"],
        "actor_id": p["actor_id"],
    },
    "circleci": lambda p: {
        "organization_id": p["circleci_org_id"],
        "project_id": p["circleci_project_id"],
        "pipeline_definition_id": p["pipeline_definition_id"],
        "context_ids": tuple(filter(None, [p["context_id"]])),
        "vcs_ref": p["vcs_ref"],
        "vcs_origin": p["vcs_origin"],
    },
    "semaphore": lambda p: {
        "organization": p["organization"],
        "organization_id": p["semaphore_organization_id"],
        "project": p["project"],
        "project_id": p["semaphore_project_id"],
        "repository": p["repo_slug"],
    },
}


@pytest.mark.parametrize("case", cases("find_publisher"))
def test_claims_find_the_publisher_or_are_refused(case: dict[str, Any]) -> None:
    publisher = adapt(case, case["publisher"])
    others = [adapt(case, theirs) for theirs in case.get("other_publishers", ())]
    claims = signed(case["claims"])

    assert (publisher in accepted([*others, publisher], claims)) is is_accepted(case)


@pytest.mark.parametrize(
    "case", [c for c in cases("find_publisher") if "unless" in c.values[0].get("ours", {})]
)
def test_a_publisher_may_decide_otherwise(case: dict[str, Any]) -> None:
    publisher = adapt(case, case["publisher"])
    further = {
        name: value if isinstance(value, str) else tuple(value)
        for name, value in case["ours"]["unless"].items()
    }
    publisher = replace(publisher, fields={**publisher.fields, **further})

    assert accepts(publisher, case["claims"]) is not is_accepted(case)


@pytest.mark.parametrize(
    "case", [c for c in cases("find_publisher") if "pins" in c.values[0].get("ours", {})]
)
def test_an_id_is_pinned_instead(case: dict[str, Any]) -> None:
    publisher = adapt(case, case["publisher"])

    assert unpinned(publisher, signed(case["claims"])) == case["ours"]["pins"]


@pytest.mark.parametrize("case", cases("check"))
def test_one_rule_alone(case: dict[str, Any]) -> None:
    name, claims = case["check"], signed({"iss": "https://ci.example.com", **case["claims"]})
    expected = case["publisher"][name]
    if name == "sub":  # ours is built from the claims beside it; the comparison is the same
        outcome = starts_with_segment(fold(expected), fold(claims.text("sub") or ""))
    else:
        field = next(f for f in PROVIDERS[case["provider"]].fields if f.name == name)
        is_asked = expected or field.role is Role.IDENTITY
        texts = field.texts(claims, field.claim)
        outcome = not is_asked or any(field.matches(expected, text, claims) for text in texts)

    assert outcome is is_accepted(case)


@pytest.mark.parametrize("case", cases("extract"))
def test_the_file_that_a_workflow_claim_may_mean(case: dict[str, Any]) -> None:
    """The file that was extracted there is one that a publisher can name here, and the others not.

    We extract nothing: the claim is compared with what the publisher's file would read like.
    """
    (uri,) = case["claims"].values()
    name = case["provider"]
    field = next(f for f in PROVIDERS[name].fields if f.name == "workflow")
    file_part = uri.partition("//" if name == "gitlab" else "/workflows/")[2]

    files = set()
    for at in re.finditer("@", file_part):
        file, point = file_part[: at.start()], file_part[at.end() :]
        claims = _workflow_claims(name, uri, point)
        repository = {"gitlab": "project_path", "github": "repository"}[name]
        publisher = replace(
            publisher_of(name),
            issuer=claims["iss"],
            fields={repository: "foo/bar", "workflow": file},
        )
        if re.fullmatch(field.pattern, file) and accepts(publisher, claims):
            files.add(file)

    assert (case["extracted"] in files) is is_accepted(case)
    assert is_accepted(case) or not files


def _workflow_claims(name: str, uri: str, point: str) -> dict[str, Any]:
    claims = captured(name)
    if name == "github":
        claims |= {"repository": "foo/bar", "repository_owner": "foo"}
        return claims | {"job_workflow_ref": uri, "ref": point}
    claims |= {"iss": f"https://{uri.partition('/')[0]}", "sub": "project_path:foo/bar"}
    return claims | {"project_path": "foo/bar", "ci_config_ref_uri": uri, "ref_path": point}


def test_every_case_runs_or_says_why_not() -> None:
    levels = {"find_publisher", "check", "extract"}
    run = {case.id for level in levels for case in cases(level)}
    every = {case["id"] for case in CASES}

    assert len(every) == len(CASES) == 370
    assert {case["level"] for case in CASES} == levels
    assert run | LEFT_OUT.keys() == every
    assert all(LEFT_OUT.values())


def test_what_we_do_better_says_what_that_is() -> None:
    assert all(case["ours"]["why"] for case in CASES if "surpass" in case or "ours" in case)
