"""The identity token of a job: where each CI has it, and what the client does not send."""

from pathlib import Path

import id as id_library
import pytest
from urllib3.exceptions import HTTPError

from pytp_broker.client import ambient
from pytp_broker.client.ambient import NoIdentityError, find_identity, is_job, is_on_google
from pytp_broker.client.transport import Answer, Call, UnreachableError
from tests.support.remote import AUDIENCE, unsigned_token

TOKEN = unsigned_token()
AZURE_URI = "https://dev.azure.example/oidctoken"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Let no test find an identity of the machine that it runs on."""
    monkeypatch.setattr(ambient, "PROJECTED", tmp_path / "projected")
    monkeypatch.setattr(ambient, "_PRODUCT", tmp_path / "product")
    monkeypatch.setattr(id_library, "detect_credential", lambda _audience: None)


def unreachable(call: Call) -> Answer:
    raise UnreachableError(f"nobody should ask {call.url}")


def refusal(environment: dict[str, str]) -> str:
    with pytest.raises(NoIdentityError) as raised:
        find_identity(AUDIENCE, environment, unreachable)
    return str(raised.value)


# --- where a token is ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "variable",
    [
        "PACKAGES_EXAMPLE_COM_ACME_ID_TOKEN",
        "PYTP_IDENTITY_TOKEN",
        "BITBUCKET_STEP_OIDC_TOKEN",
        "SEMAPHORE_OIDC_TOKEN",
    ],
)
def test_a_variable_may_have_the_only_token_of_a_job(variable: str) -> None:
    found = find_identity(AUDIENCE, {variable: f"{TOKEN}\n"}, unreachable)

    assert found.token.reveal() == TOKEN
    assert found.is_only_one


@pytest.mark.parametrize("variable", ["1PASSWORD_ID_TOKEN", "_PASSWORD_ID_TOKEN"])
def test_an_audience_that_begins_with_a_digit_has_two_names(variable: str) -> None:
    token = unsigned_token("1password")

    assert find_identity("1password", {variable: token}, unreachable).token.reveal() == token


def test_a_file_may_have_the_token(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")

    found = find_identity(
        AUDIENCE, {"PYTP_IDENTITY_TOKEN_FILE": str(tmp_path / "token")}, unreachable
    )

    assert found.token.reveal() == TOKEN
    assert found.is_only_one


def test_kubernetes_projects_a_token_for_a_list_of_one_audience() -> None:
    token = unsigned_token([AUDIENCE])
    ambient.PROJECTED.write_text(token)

    assert find_identity(AUDIENCE, {}, unreachable).token.reveal() == token


@pytest.mark.parametrize("content", [None, b"\xff"], ids=["missing", "binary"])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "token"
    if content is not None:
        path.write_bytes(content)

    said = refusal({"PYTP_IDENTITY_TOKEN_FILE": str(path)})

    assert f"cannot read the identity token in {path}" in said


def test_azure_is_asked_for_a_token_each_time() -> None:
    asked: list[Call] = []

    def answer(call: Call) -> Answer:
        asked.append(call)
        return Answer(200, {"oidcToken": TOKEN})

    environment = {"SYSTEM_OIDCREQUESTURI": AZURE_URI, "SYSTEM_ACCESSTOKEN": "secret"}

    found = find_identity(AUDIENCE, environment, answer)

    assert not found.is_only_one
    (call,) = asked
    assert (call.url, call.method) == (f"{AZURE_URI}?api-version=7.1-preview.1", "POST")
    assert call.authorization == "Bearer secret"


def test_azure_needs_the_access_token_of_the_step() -> None:
    assert "SYSTEM_ACCESSTOKEN: $(System.AccessToken)" in refusal(
        {"SYSTEM_OIDCREQUESTURI": AZURE_URI}
    )


def test_what_azure_refuses_is_said() -> None:
    environment = {"SYSTEM_OIDCREQUESTURI": AZURE_URI, "SYSTEM_ACCESSTOKEN": "secret"}

    assert (
        refusal(environment)
        == f"Azure DevOps: nobody should ask {AZURE_URI}?api-version=7.1-preview.1"
    )
    with pytest.raises(NoIdentityError, match="answered 401 without an identity token"):
        find_identity(AUDIENCE, environment, lambda _: Answer(401, {}))


def test_the_other_services_are_those_of_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(id_library, "detect_credential", lambda _audience: TOKEN)

    found = find_identity(AUDIENCE, {}, unreachable)

    assert found.token.reveal() == TOKEN
    assert not found.is_only_one


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (id_library.GitHubOidcPermissionCredentialError("x"), "add `id-token: write`"),
        (id_library.AmbientCredentialError("GitLab: X not found"), "GitLab: X not found"),
        (HTTPError("reset"), "reset"),
        (ValueError("not JSON"), "not JSON"),
    ],
    ids=repr,
)
def test_what_the_library_cannot_get_is_said(
    monkeypatch: pytest.MonkeyPatch, error: Exception, said: str
) -> None:
    def detect(_audience: str) -> str:
        raise error

    monkeypatch.setattr(id_library, "detect_credential", detect)

    assert said in refusal({})


# --- what is not sent ----------------------------------------------------------------------------


@pytest.mark.promise("audience-of-an-address")
@pytest.mark.parametrize("audience", ["pypi", [AUDIENCE, "pypi"], [], None, 7], ids=repr)
def test_a_token_for_another_audience_is_not_used(audience: object) -> None:
    said = refusal({"PYTP_IDENTITY_TOKEN": unsigned_token(audience)})

    assert "the identity token of this job is for the audience" in said


def test_a_token_for_another_audience_hides_no_other() -> None:
    ambient.PROJECTED.write_text(unsigned_token("other"))

    found = find_identity(AUDIENCE, {"BITBUCKET_STEP_OIDC_TOKEN": TOKEN}, unreachable)

    assert found.token.reveal() == TOKEN


@pytest.mark.parametrize("text", ["secret", "a.b.c", "a.e30.c.", "a.W10.c", "a.é.c"])
def test_what_is_not_an_identity_token_is_not_sent(text: str) -> None:
    said = refusal({"PYTP_IDENTITY_TOKEN": text})

    assert said.endswith("is not a JWT") or "null" in said
    assert "secret" not in said


def test_a_job_without_a_token_says_how_to_give_it_one() -> None:
    assert "set PYTP_IDENTITY_TOKEN to one" in refusal({})


# --- whether this is a job -----------------------------------------------------------------------


def test_a_laptop_is_no_job() -> None:
    assert not is_job({"HOME": "/home/me", "PATH": "/usr/bin"})


@pytest.mark.parametrize("mark", ["GITHUB_ACTIONS", "GITLAB_CI", "PYTP_IDENTITY_TOKEN"])
def test_a_job_is_known_by_its_variables(mark: str) -> None:
    assert is_job({mark: "x"})


def test_a_job_is_known_by_its_projected_token() -> None:
    ambient.PROJECTED.write_text(TOKEN)

    assert is_job({})


def test_a_machine_of_google_cloud_is_known_by_its_product_name() -> None:
    assert not is_on_google()
    ambient._PRODUCT.write_text("Google Compute Engine\n")
    assert is_on_google()
