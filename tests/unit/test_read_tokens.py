"""What a read token that a job got may do, until when, and what it never may."""

import json

import pytest

from pytp_broker.tokens import UploadToken
from tests.support import distributions
from tests.support.configurations import github_issuer, github_publisher, github_reader, registry
from tests.support.deployment import basic
from tests.support.registries import Registries
from tests.support.scanner import match
from tests.support.signing import GITHUB

PUBLISHER = github_publisher("widgets", repository_owner_id="9919")
READER = github_reader(repository_owner_id="9919")
BOTH = registry("acme", PUBLISHER, READER, audience="acme") + registry(
    "other", PUBLISHER, READER, audience="other"
)
PAGE = "/acme/simple/widgets/"


class Published(Registries):
    """Two private registries that trust the same owner; `widgets` is published in both."""

    def __init__(self) -> None:
        super().__init__(BOTH)
        for name in ("acme", "other"):
            assert self.upload(self.token(name, "mint-token"), f"/{name}/legacy/").status == 200

    def token(self, name: str = "acme", mint: str = "mint-read-token") -> UploadToken:
        identity = self.issuer.token(self.now, aud=name)
        answer = self.call("POST", f"/{name}/_/oidc/{mint}", {"token": identity})
        return UploadToken.parse(answer.json["token"])

    def read(self, token: UploadToken, path: str = PAGE) -> int:
        headers = {"authorization": basic("__token__", token.reveal())}
        return self.call("GET", path, headers=headers).status


@pytest.fixture
def registries() -> Published:
    return Published()


def test_it_reads_its_registry(registries: Published) -> None:
    token = registries.token()
    wheel = distributions.wheel()

    assert registries.read(token, "/acme/simple/") == 200
    assert registries.read(token) == 200
    assert registries.read(token, f"/acme/files/{wheel.sha256}/{wheel.filename}") == 200


@pytest.mark.promise("read-only")
def test_it_never_uploads_although_its_job_could_publish(registries: Published) -> None:
    answer = registries.upload(registries.token())

    assert (answer.status, answer.code) == (403, "forbidden")
    assert "this token may only read" in answer.detail


@pytest.mark.promise("read-only")
def test_it_uploads_nothing_in_another_registry_either(registries: Published) -> None:
    assert registries.upload(registries.token(), "/other/legacy/").status == 403


@pytest.mark.promise("own-registry")
def test_it_reads_no_other_registry(registries: Published) -> None:
    token = registries.token()

    assert registries.read(token, "/other/simple/widgets/") == 401
    assert registries.read(token, "/other/simple/nothing/") == 401


def test_no_proxy_or_index_takes_it_for_an_upload_token(registries: Published) -> None:
    token = registries.token()

    assert registries.read(token, "/acme/_/token/verify/widgets") == 403


def test_it_ends_when_it_expires(registries: Published) -> None:
    token = registries.token()

    registries.advance(minutes=59, seconds=59)
    assert registries.read(token) == 200
    registries.advance(seconds=1)
    assert registries.read(token) == 401


def test_it_ends_within_ten_seconds_when_it_is_burned(registries: Published) -> None:
    token = registries.token()
    assert registries.read(token) == 200

    registries.call("POST", "/acme/_/oidc/burn-token", {"token": token.reveal()})
    registries.advance(seconds=10)

    assert registries.read(token) == 401


def test_it_ends_when_secret_scanning_finds_it(registries: Published) -> None:
    token = registries.token()
    body = json.dumps([match(token.reveal())]).encode()

    registries.call("POST", "/_/secrets/disclose-token", body, registries.scanner.sign(body))

    assert registries.read(token) == 401


@pytest.mark.promise("removed-publisher")
def test_it_ends_within_ten_seconds_when_its_reader_is_removed(registries: Published) -> None:
    token = registries.token()
    assert registries.read(token) == 200
    registries.configure(BOTH.replace(READER, "", 1))
    registries.advance(seconds=10)

    assert registries.read(token) in {401, 403}
    assert registries.read(registries.token("other"), "/other/simple/widgets/") == 200


@pytest.mark.promise("removed-publisher")
def test_it_ends_when_its_reader_gets_another_rule(registries: Published) -> None:
    token = registries.token()
    registries.configure(BOTH.replace(READER, f'{READER}environment = "release"\n', 1))

    assert registries.read(token) in {401, 403}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('name = "acme"', 'name = "acme"\nenabled = false'),
        ("[[registries]]", "enabled = false\n[[registries]]"),
        ("[[registries]]", f"{github_issuer(GITHUB, enabled=False)}[[registries]]"),
    ],
)
@pytest.mark.promise("switched-off")
def test_it_ends_within_ten_seconds_when_it_is_switched_off(
    registries: Published, before: str, after: str
) -> None:
    token = registries.token()
    assert registries.read(token) == 200
    registries.configure(BOTH.replace(before, after, 1))

    registries.advance(seconds=10)

    assert registries.read(token) in {401, 403}
