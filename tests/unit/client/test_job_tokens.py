"""The tokens of a job, against a broker: minted for a URL, found again, and burned."""

from pathlib import Path

import id as id_library
import pytest

from pytp_broker.client.ambient import NoIdentityError
from pytp_broker.client.job_tokens import JobTokens
from pytp_broker.client.registry import RefusedError
from pytp_broker.client.token_cache import TokenCache
from pytp_broker.client.transport import Answer, UnreachableError
from pytp_broker.redaction import Hidden
from tests.support.configurations import registry
from tests.support.remote import AUDIENCE, BASE, INDEX, UPLOAD, Remote

MINT_URL = f"{BASE}/_/oidc/mint-token"
READ_URL = f"{BASE}/_/oidc/mint-read-token"


class Job:
    """A job of the registry's publisher; each `process` of it has a memory of its own."""

    def __init__(self, folder: Path, remote: Remote) -> None:
        self.remote = remote
        self.folder = folder
        self.variables = {"PYTP_IDENTITY_TOKEN": remote.identity()}
        self.masked: list[str] = []

    def process(self) -> JobTokens:
        return JobTokens(
            self.variables,
            TokenCache(self.folder),
            self.remote.send,
            self.remote.seconds,
            lambda token: self.masked.append(token.reveal()),
        )

    @property
    def minted(self) -> int:
        return len(self.remote.store.tokens)

    @property
    def live(self) -> int:
        return sum(record.burned_at is None for record in self.remote.store.tokens.values())


@pytest.fixture
def job(quick_path: Path) -> Job:
    return Job(quick_path / "cache", Remote())


@pytest.fixture
def fresh(job: Job, monkeypatch: pytest.MonkeyPatch) -> Job:
    """Return a job whose CI signs a new identity token each time that it is asked."""
    job.variables = {}
    monkeypatch.setattr(id_library, "detect_credential", lambda _: job.remote.identity())
    return job


def found(tokens: JobTokens, url: str = UPLOAD) -> str:
    token = tokens.find(url)
    assert token is not None
    return token.reveal()


# --- finding -------------------------------------------------------------------------------------


def test_a_url_gets_one_token_in_a_process(fresh: Job) -> None:
    tokens = fresh.process()

    assert found(tokens) == found(tokens, UPLOAD.removesuffix("/"))
    assert fresh.minted == 1


def test_a_process_exchanges_an_identity_of_its_own(fresh: Job) -> None:
    assert found(fresh.process()) != found(fresh.process())
    assert not fresh.folder.exists()


@pytest.mark.parametrize("url", ["poetry-repository-acme", "https://packages.example.com/", ""])
def test_nobody_is_asked_about_what_is_not_a_registrys_url(job: Job, url: str) -> None:
    assert job.process().find(url) is None
    assert not job.remote.calls


def test_a_host_without_a_registry_has_no_token(job: Job) -> None:
    assert job.process().find("https://elsewhere.example/simple/") is None


@pytest.mark.promise("audience-of-an-address")
def test_an_index_that_names_anothers_audience_gets_no_identity_token(job: Job) -> None:
    evil = "https://evil.example/simple"
    job.remote.answers[f"{evil.removesuffix('/simple')}/_/oidc/audience"] = Answer(
        200, {"audience": AUDIENCE}
    )

    with pytest.raises(RefusedError, match="Another registry may have that audience"):
        job.process().find(evil)

    assert all(call.body is None for call in job.remote.sent)


@pytest.mark.promise("trusted-address")
def test_a_trusted_address_may_name_any_audience(job: Job) -> None:
    job.remote.answers[f"{BASE}/_/oidc/audience"] = Answer(200, {"audience": "acme"})
    job.variables["PYTP_TRUSTED_URLS"] = f"https://other.example/, {BASE}/"

    with pytest.raises(NoIdentityError, match="for the audience"):
        job.process().find(UPLOAD)


def test_a_token_about_to_expire_is_replaced(fresh: Job) -> None:
    tokens = fresh.process()
    first = found(tokens)
    fresh.remote.advance(seconds=900 - 60)

    assert found(tokens) != first


def test_a_new_token_is_masked_before_it_is_returned(job: Job) -> None:
    token = found(job.process())

    assert job.masked == [token]
    assert found(job.process()) == token
    assert job.masked == [token, token]


def test_a_public_index_needs_no_token_and_no_identity(job: Job) -> None:
    job.remote = Remote(registry("acme", access="public"))
    job.variables = {}

    assert job.process().find(INDEX) is None
    assert all(call.body is None for call in job.remote.sent)


def test_an_index_that_does_not_answer_is_not_taken_for_a_public_one(job: Job) -> None:
    job.remote.answers[INDEX] = UnreachableError("down")
    job.remote.answers[READ_URL] = Answer(200, {"token": "t-for-reading-only", "expires": 1 << 40})

    assert found(job.process(), INDEX) == "t-for-reading-only"


# --- a job with one identity token ---------------------------------------------------------------


def test_the_only_identity_token_of_a_job_is_exchanged_once(job: Job) -> None:
    assert found(job.process()) == found(job.process())
    assert job.minted == 1


def test_a_refused_exchange_is_not_remembered(job: Job) -> None:
    job.remote.answers[MINT_URL] = Answer(503, {})
    with pytest.raises(RefusedError):
        job.process().find(UPLOAD)
    job.remote.answers.clear()

    assert found(job.process())


def test_an_index_and_uploads_have_tokens_of_their_own(job: Job) -> None:
    expires = int(job.remote.seconds()) + 3600
    job.remote.answers[READ_URL] = Answer(200, {"token": "t-for-reading-only", "expires": expires})

    assert found(job.process(), INDEX) == "t-for-reading-only"
    assert found(job.process()) != "t-for-reading-only"
    assert found(job.process(), f"{INDEX}widgets/") == "t-for-reading-only"
    assert job.remote.calls.count(READ_URL) == 1


# --- burning -------------------------------------------------------------------------------------


def test_upload_tokens_of_a_process_are_burned(fresh: Job) -> None:
    tokens = fresh.process()
    first = found(tokens)

    assert tokens.burn() == 0
    assert fresh.live == 0
    assert found(tokens) != first
    assert tokens.burn() == 0


def test_a_read_token_is_not_burned(fresh: Job) -> None:
    expires = int(fresh.remote.seconds()) + 3600
    fresh.remote.answers[READ_URL] = Answer(
        200, {"token": "t-for-reading-only", "expires": expires}
    )
    tokens = fresh.process()
    found(tokens, INDEX)

    tokens.burn()

    assert f"{BASE}/_/oidc/burn-token" not in fresh.remote.calls


def test_a_token_that_could_not_be_burned_is_counted(fresh: Job) -> None:
    tokens = fresh.process()
    found(tokens)
    fresh.remote.answers[f"{BASE}/_/oidc/burn-token"] = Answer(503, {})

    assert tokens.burn() == 1


def test_the_only_token_of_a_job_outlives_a_process(job: Job) -> None:
    tokens = job.process()
    found(tokens)

    tokens.burn()

    assert job.live == 1


def test_the_only_token_of_a_job_is_burned_when_the_job_says_so(job: Job) -> None:
    found(job.process())

    assert job.process().end(UPLOAD)
    assert job.live == 0
    assert not job.process().end(UPLOAD)


def test_a_token_that_a_job_cannot_burn_is_still_forgotten(job: Job) -> None:
    found(job.process())
    job.remote.answers[f"{BASE}/_/oidc/burn-token"] = Answer(503, {})

    with pytest.raises(RefusedError, match="could not be burned; it expires by itself"):
        job.process().end(UPLOAD)
    assert not job.process().end(UPLOAD)


@pytest.mark.parametrize("url", ["poetry-repository-acme", "https://elsewhere.example/simple/"])
def test_nothing_is_kept_for_what_is_not_a_registrys_url(job: Job, url: str) -> None:
    assert not job.process().end(url)


def test_tokens_hide_in_what_holds_them(job: Job) -> None:
    tokens = job.process()
    token = Hidden(found(tokens))

    assert token.reveal() not in repr(tokens._found)
