"""Where `publish` gets its token, and that it is burned whatever happens and shown nowhere."""

import os
import signal
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from pathlib import Path
from threading import Event

import keyring
import pytest

from pytp_broker.client.job_tokens import JobTokens
from pytp_broker.client.locations import Location
from pytp_broker.client.publishing import credentials, opening
from pytp_broker.client.token_cache import TokenCache
from pytp_broker.client.transport import Answer, UnreachableError
from pytp_broker.client.uploads.api import Clock
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.wire import Reply, Request, Wire
from pytp_broker.redaction import Hidden
from tests.support.distributions import WHEEL_NAME, wheel
from tests.support.keyrings import MemoryKeyring
from tests.support.remote import BASE, UPLOAD, Remote
from tests.support.upload_server import LEGACY, ROOT, problem
from tests.unit.client.publishing.conftest import Person

MINT = f"{BASE}/_/oidc/mint-token"
BURN = f"{BASE}/_/oidc/burn-token"


def basic(token: str) -> str:
    return f"Basic {b64encode(f'__token__:{token}'.encode()).decode()}"


@pytest.fixture
def remote(person: Person, monkeypatch: pytest.MonkeyPatch) -> Remote:
    """Return the broker of a job that publishes."""
    remote = Remote()
    monkeypatch.delenv("PYTP_UPLOAD_TOKEN")
    monkeypatch.setenv("PYTP_IDENTITY_TOKEN", remote.identity())
    person.server.authorization = None

    def lend(environment: dict[str, str]) -> JobTokens:
        cache = TokenCache(person.folder / "cache")
        return JobTokens(environment, cache, remote.send, remote.seconds, is_shared=False)

    monkeypatch.setattr(opening, "tokens_to_lend", lend)
    return remote


def live(remote: Remote) -> int:
    return sum(record.burned_at is None for record in remote.store.tokens.values())


def test_a_token_in_the_environment_is_used(person: Person) -> None:
    assert person.publish() == 0

    assert set(person.server.authorized) == {basic("secret")}


def test_a_token_on_the_standard_input_comes_first(person: Person) -> None:
    person.server.authorization = basic("typed")

    assert person.publish("--token-stdin", stdin="typed\n") == 0


def test_an_empty_standard_input_is_a_mistake(person: Person) -> None:
    assert person.publish("--token-stdin", stdin="\n") == 2

    assert person.err == "there is no token on the standard input\n"


def test_a_job_exchanges_its_identity_once_and_burns_the_token(
    person: Person, remote: Remote
) -> None:
    assert person.publish() == 0

    assert len(remote.store.tokens) == 1
    assert live(remote) == 0
    assert len(set(person.server.authorized)) == 1


@pytest.mark.parametrize("answer", [UnreachableError("down"), Answer(503, {}), Answer(429, {})])
def test_an_exchange_that_fails_for_a_moment_is_tried_again(
    person: Person, remote: Remote, answer: Answer | Exception
) -> None:
    remote.answers[MINT] = answer
    waits = person.server.waits.append

    def wait(seconds: float) -> None:
        waits(seconds)
        remote.answers.clear()

    person.set_wait(wait)

    assert person.publish() == 0


def test_a_refused_exchange_is_said_with_its_cure(person: Person, remote: Remote) -> None:
    person.monkeypatch.setenv(
        "PYTP_IDENTITY_TOKEN", remote.token(aud="packages.example.com/acme", environment=None)
    )

    assert person.publish() == 1
    assert "add `environment: release` to the job" in person.err
    assert not person.server.authorized


def test_an_exchange_that_keeps_failing_is_tried_for_less_than_an_identity_lives(
    person: Person, remote: Remote
) -> None:
    remote.answers[MINT] = Answer(503, {})

    assert person.publish() == 3
    assert sum(person.server.waits) < 60


def test_a_job_without_an_identity_for_this_registry_is_said(
    person: Person, remote: Remote
) -> None:
    person.monkeypatch.setenv("PYTP_IDENTITY_TOKEN", remote.token(aud="elsewhere"))

    assert person.publish() == 1
    assert "the identity token of this job is for the audience" in person.err


def test_a_host_that_exchanges_nothing_is_said(person: Person, remote: Remote) -> None:
    remote.answers[f"{BASE}/_/oidc/audience"] = Answer(404, {})

    assert person.publish() == 1
    assert "is not a registry that exchanges identity tokens" in person.err


@pytest.mark.promise("burned-publication")
def test_the_token_is_burned_after_a_refusal(person: Person, remote: Remote) -> None:
    person.server.plan("POST root", problem(403, "no"))

    assert person.publish() == 1
    assert (len(remote.store.tokens), live(remote)) == (1, 0)


def test_a_job_whose_token_expires_and_that_gets_no_other_is_told_how_to_go_on(
    person: Person, remote: Remote
) -> None:
    def expire(_: Wire, request: Request) -> Reply:
        if request.url.endswith("/complete"):
            remote.advance(seconds=900)
        return person.server.send(request)

    person.monkeypatch.setattr(Wire, "send", expire)

    assert person.publish("--jobs", "1") == 1
    assert "the upload token has expired, and the job gets no other one (" in person.err
    assert "run the job again to go on" in person.err


def test_a_token_that_cannot_be_burned_is_said(person: Person, remote: Remote) -> None:
    remote.answers[BURN] = Answer(503, {})

    assert person.publish() == 0
    assert "an upload token could not be burned; it expires by itself" in person.err


def test_a_token_that_a_session_cannot_burn_is_said(person: Person, remote: Remote) -> None:
    person.publish("--stage")
    person.monkeypatch.setenv("PYTP_IDENTITY_TOKEN", remote.identity())
    remote.answers[BURN] = Answer(503, {})

    assert person.type("session", "status", "--url", UPLOAD, f"{ROOT}stage_1") == 0
    assert "an upload token could not be burned; it expires by itself" in person.err


@pytest.mark.promise("burned-publication")
@pytest.mark.parametrize(
    ("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["INT", "TERM"]
)
def test_the_token_is_burned_after_an_interrupt(
    person: Person, remote: Remote, number: int, status: int
) -> None:
    is_over = Event()

    def send(_: Wire, request: Request) -> Reply:
        if request.url.endswith("/files"):
            os.kill(os.getpid(), number)
            is_over.wait(5)
            raise RuntimeError("nobody waits for this thread any more")
        return person.server.send(request)

    person.monkeypatch.setattr(Wire, "send", send)

    assert person.publish(f"dist/{WHEEL_NAME}") == status
    is_over.set()
    assert (len(remote.store.tokens), live(remote)) == (1, 0)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_the_token_is_burned_after_an_error_of_our_own(person: Person, remote: Remote) -> None:
    def send(_: Wire, request: Request) -> Reply:
        if "/files" in request.url:
            raise RuntimeError("a bug")
        return person.server.send(request)

    person.monkeypatch.setattr(Wire, "send", send)

    with pytest.raises(RuntimeError, match="a bug"):
        person.publish()
    assert live(remote) == 0


@pytest.mark.promise("burned-publication")
def test_a_thread_that_still_works_gets_no_new_token(person: Person, remote: Remote) -> None:
    location = Location.parse(UPLOAD)
    assert location is not None
    cache = TokenCache(person.folder / "cache")
    tokens = JobTokens(os.environ, cache, remote.send, remote.seconds, is_shared=False)
    job = credentials.JobCredentials(location, tokens, Clock())
    job.end()

    with pytest.raises(UploadError, match="the command has ended"):
        job.authorize()
    assert not remote.store.tokens


# --- without a job --------------------------------------------------------------------------------


@pytest.fixture
def kept(person: Person) -> Iterator[MemoryKeyring]:
    person.monkeypatch.delenv("PYTP_UPLOAD_TOKEN")
    before, memory = keyring.get_keyring(), MemoryKeyring()
    keyring.set_keyring(memory)
    yield memory
    keyring.set_keyring(before)


def test_a_person_publishes_with_the_token_that_login_has_kept(
    person: Person, kept: MemoryKeyring
) -> None:
    kept.kept[LEGACY, "__token__"] = "secret"

    assert person.publish() == 0


@pytest.mark.usefixtures("kept")
def test_without_any_token_the_ways_to_one_are_said(person: Person) -> None:
    assert person.publish() == 1

    assert person.err == (
        f"there is no token for {LEGACY}: run this in a CI job that has an identity token, give a "
        "token in PYTP_UPLOAD_TOKEN or with --token-stdin, or keep one with `pytp-broker login`\n"
    )


def test_an_install_without_a_keyring_asks_none(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PYTP_UPLOAD_TOKEN")
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.delitem(sys.modules, "pytp_broker.client.stored", raising=False)
    monkeypatch.delattr("pytp_broker.client.stored", raising=False)

    assert person.publish() == 1


def test_an_index_of_another_form_gets_no_identity(person: Person) -> None:
    person.monkeypatch.delenv("PYTP_UPLOAD_TOKEN")
    person.monkeypatch.setenv("PYTP_IDENTITY_TOKEN", "x.y.z")

    assert person.publish(url="https://packages.example.com/team/dev/") == 1
    assert "there is no token" in person.err


# --- secrets --------------------------------------------------------------------------------------


@pytest.mark.promise("no-secret-of-a-job-in-a-log")
def test_no_token_is_printed_or_written(person: Person, remote: Remote) -> None:
    person.put(wheel("gadgets"))
    person.server.plan("PUT object", Reply(400, "Bad Request"))
    person.publish("--json")
    shown = person.out + person.err

    tokens = {each.split()[1] for each in person.server.authorized}
    files = [path.read_bytes() for path in Path(person.folder).rglob("*") if path.is_file()]
    identity = os.environ["PYTP_IDENTITY_TOKEN"]
    assert tokens
    for secret in (*tokens, *map(_decoded, tokens), identity):
        assert secret not in shown
        assert not any(secret.encode() in content for content in files)
    assert UPLOAD in shown
    assert remote.calls


def _decoded(header: str) -> str:
    return b64decode(header).decode().removeprefix("__token__:")


def test_credentials_hide_their_token() -> None:
    assert "secret" not in repr(credentials.GivenToken(Hidden("secret")))
