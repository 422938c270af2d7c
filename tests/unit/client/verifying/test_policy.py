"""What the user expects of publishers: deny by default, and every mistake has its path."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.client.verifying import policy
from pytp_broker.client.verifying.attestations import NONE, Finding, Status
from pytp_broker.client.verifying.outcome import VerifyError
from pytp_broker.client.verifying.policy import Policy, read_policy
from pytp_broker.client.verifying.policy_members import MEMBERS
from pytp_broker.names import normalize
from pytp_broker.provenance.receipts import Kind, Publication, Receipt
from tests.support.distributions import wheel
from tests.support.proofs import ISSUER, JOB, SigningRegistry

FULL = f"""
[projects.widgets]
registry = "packages.example.com/acme"
issuer = "{ISSUER}"
repository = "octo-org/widgets"
workflow = "release.yml"
environment = "release"
ref = "refs/tags/v*"
"""


@pytest.fixture
def receipt(registry: SigningRegistry) -> Receipt:
    return registry.receipt(wheel())


def read(folder: Path, text: str) -> Policy:
    path = folder / "policy.toml"
    path.write_text(text)
    return read_policy(path)


def mistakes(folder: Path, text: str) -> list[str]:
    with pytest.raises(VerifyError) as caught:
        read(folder, text)
    assert caught.value.is_misused
    begin = f"--policy {folder / 'policy.toml'}: "
    assert all(line.startswith(begin) for line in caught.value.lines)
    return [line.removeprefix(begin) for line in caught.value.lines]


def compare(policy: Policy, receipt: Receipt, finding: Finding = NONE) -> str | None:
    error = policy.compare(normalize(receipt.project), receipt, finding)
    return None if error is None else str(error)


def claims(receipt: Receipt, **changes: str) -> Receipt:
    changed = {n: c for n, c in {**receipt.publication.claims, **changes}.items() if c}
    return replace(receipt, publication=replace(receipt.publication, claims=changed))


def rule(text: str) -> str:
    return f'[projects.widgets]\nissuer = "{ISSUER}"\n{text}\n'


def test_a_publisher_who_is_as_expected_is_accepted(tmp_path: Path, receipt: Receipt) -> None:
    assert compare(read(tmp_path, FULL), receipt) is None


@pytest.mark.promise("nothing-by-default")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("registry", lambda r: replace(r, registry="other")),
        ("registry", lambda r: replace(r, host="evil.example.com")),
        ("issuer", lambda r: replace(r, publication=replace(JOB, issuer="https://x.example"))),
        ("repository", lambda r: claims(r, repository="octo-org/widgets-evil")),
        ("workflow", lambda r: claims(r, workflow="octo-org/widgets/.github/workflows/x.yml@r")),
        ("environment", lambda r: claims(r, environment="")),
        ("ref", lambda r: claims(r, ref="refs/heads/main")),
    ],
)
def test_one_member_that_differs_is_enough(
    tmp_path: Path, receipt: Receipt, name: str, change: Any
) -> None:
    said = compare(read(tmp_path, FULL), change(receipt))

    assert said is not None
    assert f"{name} is " in said


def test_a_missing_member_is_said_to_be_missing(tmp_path: Path, receipt: Receipt) -> None:
    said = compare(read(tmp_path, FULL), claims(receipt, environment=""))

    assert said == "environment is missing, and the policy expects `release`"


@pytest.mark.parametrize("kind", [Kind.OPERATOR, Kind.IMPORT])
def test_an_operators_file_must_be_expected_by_its_kind(
    tmp_path: Path, receipt: Receipt, kind: Kind
) -> None:
    file = replace(receipt, publication=Publication(kind=kind))
    registry = 'registry = "packages.example.com/acme"'

    plain = read(tmp_path, f"[projects.widgets]\n{registry}\n")
    named = read(tmp_path, f'[projects.widgets]\n{registry}\nkind = "{kind.value}"\n')

    assert compare(plain, file) == f"kind is `{kind.value}`, and the policy expects `job`"
    assert compare(named, file) is None


def test_one_of_several_rules_is_enough(tmp_path: Path, receipt: Receipt) -> None:
    text = f"""
[[projects.widgets]]
kind = "import"
[[projects.widgets]]
issuer = "{ISSUER}"
repository = "octo-org/widgets"
"""
    both = read(tmp_path, text)

    assert compare(both, receipt) is None
    assert compare(both, replace(receipt, publication=Publication(kind=Kind.IMPORT))) is None


def test_the_rule_for_files_of_this_kind_says_what_is_wrong(
    tmp_path: Path, receipt: Receipt
) -> None:
    text = FULL.replace("[projects", "[[projects").replace("s]", "s]]")
    both = read(tmp_path, f'[[projects.widgets]]\nkind = "import"\n{text}')

    said = compare(both, claims(receipt, repository="octo-org/gadgets", environment="x"))

    assert said is not None
    assert said.startswith("repository is `octo-org/gadgets`, and the policy expects `octo-org/w")


@pytest.mark.promise("nothing-by-default")
def test_a_project_without_an_entry_is_refused(tmp_path: Path, receipt: Receipt) -> None:
    said = compare(read(tmp_path, FULL), replace(receipt, project="gadgets"))

    assert said == "the policy has no entry for `gadgets`"


def test_a_star_is_the_entry_of_projects_without_one(tmp_path: Path, receipt: Receipt) -> None:
    star = f'[projects."*"]\nissuer = "{ISSUER}"\nrepository = "octo-org/*"\n'
    strict = read(tmp_path, f'{star}[projects.Widgets]\nkind = "import"\n')

    assert compare(strict, replace(receipt, project="gadgets")) is None
    assert compare(strict, receipt) is not None


# --- attestations ----------------------------------------------------------------------------


@pytest.mark.parametrize("status", Status)
def test_only_verified_attestations_are_verified(
    tmp_path: Path, receipt: Receipt, status: Status
) -> None:
    wanting = read(tmp_path, rule("require_attestations = true"))

    said = compare(wanting, receipt, Finding(status))

    assert (said is None) is (status is Status.VERIFIED)


# --- workflows -------------------------------------------------------------------------------


def gitlab(receipt: Receipt) -> Receipt:
    publication = replace(
        JOB,
        issuer="https://gitlab.example.com",
        claims={
            "repository": "group/sub/widgets",
            "workflow": "gitlab.example.com/group/sub/widgets//ci/.gitlab-ci.yml@refs/tags/v1",
            "ref": "refs/tags/v1",
        },
    )
    return replace(receipt, publication=publication)


@pytest.mark.parametrize(
    ("text", "is_met"),
    [
        ("release.yml", True),
        ("*.yml", True),
        ("octo-org/widgets/.github/workflows/release.yml@refs/tags/v1.0", True),
        ("octo-org/widgets/.github/workflows/release.yml@refs/tags/*", True),
        ("octo-org/widgets/.github/workflows/release.yml@refs/heads/*", False),
        ("release.yaml", False),
        ("workflows/release.yml", False),
        ("release", False),
    ],
)
def test_a_workflow_is_its_file_or_the_whole_claim(
    tmp_path: Path, receipt: Receipt, text: str, is_met: bool
) -> None:
    said = compare(read(tmp_path, rule(f'workflow = "{text}"')), receipt)

    assert (said is None) is is_met


def test_a_workflow_of_gitlab_is_its_path(tmp_path: Path, receipt: Receipt) -> None:
    text = rule('workflow = "ci/.gitlab-ci.yml"').replace(ISSUER, "https://gitlab.example.com")

    assert compare(read(tmp_path, text), gitlab(receipt)) is None


BEGIN = "octo-org/widgets/.github/workflows"
HOSTILE_REF = "refs/heads/release.yml@refs/tags/v1"


@pytest.mark.parametrize(
    ("workflow", "ref"),
    [
        # A branch may be called like a workflow's file.
        (
            f"{BEGIN}/evil.yml@refs/heads/release.yml@refs/tags/v1",
            "refs/heads/release.yml@refs/tags/v1",
        ),
        (f"{BEGIN}/evil.yml@refs/heads/x/{BEGIN}/release.yml@refs/tags/v1", "refs/tags/v1"),
        (f"{BEGIN}/release.yml@evil.yml@refs/tags/v1", "refs/tags/v1"),
        (f"{BEGIN}/release.yml@evil.yml@refs/tags/v1", "evil.yml@refs/tags/v1"),
        (f"{BEGIN}/x/release.yml@refs/tags/v1", "refs/tags/v1"),
        ("other/repository/.github/workflows/release.yml@refs/tags/v1", "refs/tags/v1"),
        (f"{BEGIN}/release.yml@refs/tags/v1", "refs/tags/v2"),
        (f"{BEGIN}/release.yml@", ""),
        ("release.yml@refs/tags/v1", ""),
        ("", "refs/tags/v1"),
    ],
)
def test_a_name_that_looks_like_the_workflow_is_not_it(
    tmp_path: Path, receipt: Receipt, workflow: str, ref: str
) -> None:
    hostile = claims(receipt, workflow=workflow, ref=ref)

    assert compare(read(tmp_path, rule('workflow = "release.yml"')), hostile) is not None


# --- mistakes --------------------------------------------------------------------------------


KNOWN = ", ".join((*MEMBERS, "require_attestations"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("repositry", '"a/b"', "is an unknown key; did you mean `repository`?"),
        ("zzz", "1", f"is an unknown key: it is one of {KNOWN}"),
        ("repository", "1", "must be a text"),
        ("repository", '""', "must be a text of printable characters, and not empty"),
        ("repository", '"a\\u001b"', "must be a text of printable characters, and not empty"),
        ("repository", '"*"', "must have other characters besides `*`, and one `*` at a time"),
        ("repository", '"o/**"', "must have other characters besides `*`, and one `*` at a time"),
        ("repository", '"octo*"', "a `*` must follow one of / : @ #, or begin the text"),
        ("kind", '"robot"', "must be one of job, operator, import"),
        ("registry", '"acme"', "must be a host and a registry, as in packages.example.com/acme"),
        ("require_attestations", "1", "must be true or false"),
    ],
)
def test_a_wrong_member_is_named_with_its_path(
    tmp_path: Path, name: str, value: str, said: str
) -> None:
    found = mistakes(tmp_path, rule(f"{name} = {value}"))

    assert found == [f"projects.widgets.{name}: {said}"]


def test_an_issuer_is_exact(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "[projects.widgets]\nissuer = 'https://*'")

    assert found.startswith("projects.widgets.issuer: must be the URL of an issuer, without `*`")


NEEDS = 'projects: needs an entry, such as [projects.widgets] or [projects."*"]'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", NEEDS),
        ("projects = 1", NEEDS),
        ("project = 1", "project: is an unknown key; did you mean `projects`?"),
        (
            "[projects.widgets]\nrepository = 'a/b'",
            "projects.widgets: needs `issuer`: another issuer may have the same `repository`",
        ),
        (
            "[projects.widgets]",
            "projects.widgets: expects nothing: name at least an `issuer` and a `repository`",
        ),
        ("[projects]\nwidgets = 1", "projects.widgets: must be a table"),
        ("[projects]\nwidgets = []", "projects.widgets: is an empty list"),
        ("[projects]\nwidgets = [1]", "projects.widgets[0]: must be a table"),
    ],
)
def test_a_mistake_is_named_with_its_path(tmp_path: Path, text: str, said: str) -> None:
    assert said in mistakes(tmp_path, text)


def test_a_project_must_have_a_name_that_it_can_have(tmp_path: Path) -> None:
    (found,) = mistakes(tmp_path, "[projects.'a b']\nissuer = 'https://x.example'")

    assert found.startswith("projects.a b: must be a project name")


def test_a_project_is_named_once(tmp_path: Path) -> None:
    text = rule("") + rule("").replace("widgets", "Widgets")

    assert mistakes(tmp_path, text) == [
        "projects.Widgets: is the same project as another entry, `widgets`"
    ]


def test_what_is_not_toml_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="is not TOML"):
        read(tmp_path, "[[")


def test_a_policy_that_is_not_there_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(VerifyError, match="cannot be read: No such file"):
        read_policy(tmp_path / "policy.toml")


def test_a_policy_that_is_too_long_is_a_mistake(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(policy, "MAX_POLICY_BYTES", 10)

    with pytest.raises(VerifyError, match="has more than"):
        read(tmp_path, FULL)
