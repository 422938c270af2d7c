"""A token that is lent to a command: burned at the end, whatever happened."""

from pathlib import Path

import pytest

from pytp_broker.client.job_tokens import NOT_BURNED, JobTokens
from pytp_broker.client.lent_tokens import lend, tokens_to_lend
from pytp_broker.client.locations import Location
from pytp_broker.client.registry import RefusedError
from pytp_broker.client.token_cache import TokenCache
from pytp_broker.client.transport import Answer, UnreachableError
from tests.support.remote import BASE, UPLOAD, Remote

AUDIENCE_URL = f"{BASE}/_/oidc/audience"


class Job:
    """A job with one identity token, and the registry that it publishes to."""

    def __init__(self, folder: Path) -> None:
        self.remote = Remote()
        self.folder = folder
        self.told: list[str] = []
        location = Location.parse(UPLOAD)
        assert location is not None
        self.location = location
        self.variables = {"PYTP_IDENTITY_TOKEN": self.remote.identity()}

    def tokens(self, *, is_shared: bool = False) -> JobTokens:
        cache, remote = TokenCache(self.folder), self.remote
        return JobTokens(self.variables, cache, remote.send, remote.seconds, is_shared=is_shared)

    def publish(self) -> str:
        with lend(self.location, self.tokens(), self.told.append) as token:
            assert self.live == 1
            return token.reveal()

    @property
    def live(self) -> int:
        return sum(record.burned_at is None for record in self.remote.store.tokens.values())


@pytest.fixture
def job(quick_path: Path) -> Job:
    return Job(quick_path / "cache")


def test_a_token_lives_as_long_as_it_is_lent(job: Job) -> None:
    assert job.publish().startswith("pytp_")

    assert job.live == 0
    assert job.told == []


@pytest.mark.promise("lent-token")
@pytest.mark.parametrize("ended", [RuntimeError, SystemExit, KeyboardInterrupt])
def test_a_token_is_burned_whatever_happened(job: Job, ended: type[BaseException]) -> None:
    with pytest.raises(ended), lend(job.location, job.tokens(), job.told.append):
        raise ended

    assert job.live == 0


def test_nothing_of_it_is_kept_on_disk(job: Job) -> None:
    with lend(job.location, job.tokens(), job.told.append):
        assert not [*job.folder.glob("*.json")]


def test_a_token_that_the_job_shared_before_is_used_and_then_burned(job: Job) -> None:
    shared = job.tokens(is_shared=True).find(UPLOAD)
    assert shared is not None

    assert job.publish() == shared.reveal()

    assert job.live == 0
    assert not [*job.folder.glob("*.json")]


def test_a_second_command_of_a_job_with_one_identity_token_reads_why_there_is_no_token(
    job: Job,
) -> None:
    job.publish()

    with pytest.raises(RefusedError, match="invalid-reuse-token"):
        job.publish()


def test_a_token_that_could_not_be_burned_is_told(job: Job) -> None:
    job.remote.answers[f"{BASE}/_/oidc/burn-token"] = Answer(503, {})

    job.publish()

    assert job.told == [NOT_BURNED]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (UnreachableError("it cannot be reached"), "it cannot be reached"),
        (Answer(404, {}), "is not a registry that exchanges identity tokens: .* answered 404"),
    ],
    ids=["down", "other"],
)
def test_a_url_without_a_registry_says_what_was_found_there(
    job: Job, answer: Answer | Exception, reason: str
) -> None:
    job.remote.answers[AUDIENCE_URL] = answer

    with pytest.raises(RefusedError, match=reason):
        job.publish()


def test_the_log_is_asked_to_hide_a_token_that_is_lent(
    job: Job, capsys: pytest.CaptureFixture[str]
) -> None:
    tokens = tokens_to_lend({**job.variables, "GITHUB_ACTIONS": "true"})
    tokens.send, tokens.cache, tokens.now = (
        job.remote.send,
        TokenCache(job.folder),
        job.remote.seconds,
    )

    with lend(job.location, tokens, job.told.append) as token:
        assert capsys.readouterr().err == f"::add-mask::{token.reveal()}\n"
