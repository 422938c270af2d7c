"""What a registry is asked, which keys it may have, and with which credentials it is asked."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import pytest

from pytp_broker.client.job_tokens import JobTokens
from pytp_broker.client.registry import RefusedError
from pytp_broker.client.transport import UnreachableError
from pytp_broker.client.uploads.api import PAUSES
from pytp_broker.client.uploads.wire import Reply
from pytp_broker.client.verifying import reading
from pytp_broker.client.verifying.index_evidence import (
    IndexEvidence,
    Network,
    find_index,
    open_index,
)
from pytp_broker.client.verifying.outcome import NotVerifiedError, VerifyError
from pytp_broker.client.verifying.reading import MOST_FAILURES
from pytp_broker.client.verifying.targets import Target, target_named
from pytp_broker.redaction import Hidden
from tests.support.distributions import Distribution, wheel
from tests.support.proofs import HOST, INDEX, KEYS_URL, SigningRegistry, url_of
from tests.support.receipt_signing import TestSigner

OWN: Final = "https://acme.example.com"
OWN_INDEX: Final = f"{OWN}/simple/"
OWN_KEYS: Final = f"{OWN}/.well-known/pytp-receipt-keys"
BASIC: Final = "Basic X190b2tlbl9fOnNlY3JldA=="


def network(registry: SigningRegistry, environment: Mapping[str, str] | None = None) -> Network:
    return Network(registry.send, lambda _: None, environment or {})


def opened(registry: SigningRegistry, url: str = INDEX) -> IndexEvidence:
    return open_index(url, None, network(registry))


def target(file: Distribution) -> Target:
    found = target_named(file.filename, file.sha256, None, "here", Path())
    assert isinstance(found, Target)
    return found


# --- whose keys ------------------------------------------------------------------------------


def test_the_keys_are_those_of_the_host_of_the_index(registry: SigningRegistry) -> None:
    trusted = opened(registry).trusted

    assert trusted.keys == registry.keys()
    assert trusted.registry == "acme"
    assert registry.urls == [KEYS_URL]


def test_a_registry_with_a_host_of_its_own_has_the_keys_of_its_deployment(
    registry: SigningRegistry,
) -> None:
    own = registry.keys(HOST, "acme").document()
    registry.serve(OWN_KEYS, json.dumps(own).encode())

    trusted = opened(registry, OWN_INDEX).trusted

    assert trusted.registry == "acme"
    assert trusted.keys == registry.keys()
    assert registry.urls == [OWN_KEYS, KEYS_URL]


@pytest.mark.promise("own-keys")
def test_a_host_cannot_give_keys_for_another_one(registry: SigningRegistry) -> None:
    """A stranger's registry says that it belongs to ours, with a key of its own."""
    stranger = TestSigner("stranger")
    registry.serve(OWN_KEYS, json.dumps(stranger.published(HOST, "acme").document()).encode())

    trusted = opened(registry, OWN_INDEX).trusted

    assert trusted.keys == registry.keys()
    assert stranger.key.key_id not in trusted.keys.keys


def test_a_document_without_a_key_that_can_be_used_is_refused(registry: SigningRegistry) -> None:
    (key,) = registry.keys().document()["keys"]
    document = {"host": HOST, "keys": [{**key, "x": "A" * 43}]}
    registry.serve(KEYS_URL, json.dumps(document).encode())

    with pytest.raises(VerifyError, match="has no key that we can use"):
        opened(registry)


@pytest.mark.promise("own-keys")
def test_a_deployment_must_say_that_it_is_what_the_registry_says(
    registry: SigningRegistry,
) -> None:
    registry.serve(OWN_KEYS, json.dumps(registry.keys("x.example.com", "acme").document()).encode())
    url = "https://x.example.com/.well-known/pytp-receipt-keys"
    registry.serve(url, json.dumps(registry.keys("y.example.com").document()).encode())

    with pytest.raises(VerifyError, match=r"belongs to x\.example\.com, and that is y\.example"):
        opened(registry, OWN_INDEX)


@pytest.mark.parametrize(
    "host",
    [
        *("x.example.com:99", "127.0.0.1:80", "0.0:0", "::1%eth0", "[::1]:80"),
        *("x.example.com/a", "user@x.example.com", ""),
    ],
)
def test_a_deployment_must_be_a_host(registry: SigningRegistry, host: str) -> None:
    registry.serve(OWN_KEYS, json.dumps(registry.keys(host, "acme").document()).encode())

    with pytest.raises(VerifyError, match="which is not a host"):
        opened(registry, OWN_INDEX)


def test_a_deployment_is_asked_at_the_port_of_the_index(registry: SigningRegistry) -> None:
    index = "https://acme.example.com:8443/simple/"
    own = json.dumps(registry.keys("::1", "acme").document()).encode()
    registry.serve("https://acme.example.com:8443/.well-known/pytp-receipt-keys", own)
    there = "https://[::1]:8443/.well-known/pytp-receipt-keys"
    registry.serve(there, json.dumps(registry.keys("::1").document()).encode())

    assert opened(registry, index).trusted.keys.host == "::1"
    assert registry.urls[-1] == there


def test_a_host_may_have_a_port(registry: SigningRegistry) -> None:
    url = "https://127.0.0.1:8443/.well-known/pytp-receipt-keys"
    registry.serve(url, json.dumps(registry.keys("127.0.0.1").document()).encode())

    assert opened(registry, "https://127.0.0.1:8443/acme/simple/").trusted.registry == "acme"


def test_the_root_of_a_shared_host_is_no_registry(registry: SigningRegistry) -> None:
    with pytest.raises(VerifyError, match="has no registry at its root"):
        opened(registry, f"https://{HOST}/simple/")


def test_pinned_keys_are_not_asked_for(registry: SigningRegistry) -> None:
    evidence = open_index(INDEX, registry.keys(), network(registry))

    assert evidence.trusted.registry == "acme"
    assert registry.asked == []


def test_with_pinned_keys_a_host_says_which_registry_it_is(registry: SigningRegistry) -> None:
    registry.serve(OWN_KEYS, json.dumps(registry.keys(HOST, "acme").document()).encode())

    evidence = open_index(OWN_INDEX, registry.keys(), network(registry))

    assert evidence.trusted.registry == "acme"


@pytest.mark.parametrize(
    "body",
    [
        b"<html>",
        b"[]",
        b"{}",
        b'{"host": "packages.example.com", "keys": 1}',
        b'{"host": "a", "host": "packages.example.com", "keys": []}',
    ],
)
def test_what_is_not_a_document_of_keys_is_refused(registry: SigningRegistry, body: bytes) -> None:
    registry.serve(KEYS_URL, body)

    with pytest.raises(VerifyError, match="is not a document with the keys of receipts") as caught:
        opened(registry)
    assert not caught.value.is_misused


def test_a_host_without_keys_does_not_sign_receipts(registry: SigningRegistry) -> None:
    registry.serve(KEYS_URL, status=404)

    with pytest.raises(VerifyError, match="not a registry that signs receipts") as caught:
        opened(registry)
    assert not caught.value.may_pass


@pytest.mark.parametrize(
    "url",
    [
        "https://packages.example.com/acme/legacy/",
        "http://packages.example.com/acme/simple/",
        "https://packages.example.com/acme/",
        "nonsense",
    ],
)
def test_an_index_has_a_url_of_its_form(registry: SigningRegistry, url: str) -> None:
    with pytest.raises(VerifyError, match="is not the URL of a registry's index") as caught:
        opened(registry, url)
    assert caught.value.is_misused


def test_a_password_in_a_wrong_url_is_not_shown(registry: SigningRegistry) -> None:
    with pytest.raises(VerifyError) as caught:
        opened(registry, "https://user:secret@packages.example.com/")
    assert "secret" not in str(caught.value)


# --- answers ---------------------------------------------------------------------------------


def test_a_registry_that_does_not_answer_is_asked_again(registry: SigningRegistry) -> None:
    evidence = opened(registry)
    waited: list[float] = []
    evidence.reading.wait = waited.append
    registry.replies[url_of(wheel(), "receipt")] = UnreachableError("it cannot be reached")

    with pytest.raises(NotVerifiedError, match="cannot be reached") as caught:
        evidence.find_receipt(target(wheel()))

    assert caught.value.may_pass
    assert waited == [*PAUSES]


def test_a_registry_that_is_down_is_not_asked_for_every_file(registry: SigningRegistry) -> None:
    evidence = opened(registry)
    registry.replies[url_of(wheel(), "receipt")] = UnreachableError("it cannot be reached")

    for _ in range(MOST_FAILURES):
        with pytest.raises(NotVerifiedError, match="cannot be reached"):
            evidence.find_receipt(target(wheel()))
    before = len(registry.asked)
    with pytest.raises(NotVerifiedError, match="did not answer for other files") as caught:
        evidence.find_receipt(target(wheel()))

    assert caught.value.may_pass
    assert len(registry.asked) == before


def test_a_registry_that_is_busy_is_asked_again(registry: SigningRegistry) -> None:
    registry.serve(KEYS_URL, b'{"detail": "later"}', 503)

    with pytest.raises(VerifyError, match="answered 503: later") as caught:
        opened(registry)
    assert caught.value.may_pass


def test_an_answer_that_is_too_long_is_not_asked_for_again(registry: SigningRegistry) -> None:
    evidence = opened(registry)
    url = url_of(wheel(), "receipt")
    registry.replies[url] = UnreachableError("its answer is longer", may_pass=False)

    with pytest.raises(NotVerifiedError) as caught:
        evidence.find_receipt(target(wheel()))

    assert not caught.value.may_pass
    assert registry.urls.count(url) == 1


def test_a_strange_answer_is_not_a_receipt(registry: SigningRegistry) -> None:
    registry.serve(url_of(wheel(), "receipt"), b"", 302)

    with pytest.raises(NotVerifiedError, match="gives no receipt: it answered 302"):
        opened(registry).find_receipt(target(wheel()))


def test_names_are_quoted_in_the_url(registry: SigningRegistry) -> None:
    file = wheel(filename="widgets-1.0+local-py3-none-any.whl")
    url = url_of(file, "receipt", "1.0+local").replace("+", "%2B")
    registry.serve(url, b"receipt")

    assert opened(registry).find_receipt(target(file)) == b"receipt"


def test_a_file_may_have_no_provenance(registry: SigningRegistry) -> None:
    assert opened(registry).find_provenance(target(wheel())) is None


def test_the_provenance_is_that_of_the_index(registry: SigningRegistry) -> None:
    registry.serve(url_of(wheel(), "provenance"), b"{}")

    assert opened(registry).find_provenance(target(wheel())) == b"{}"


# --- credentials -----------------------------------------------------------------------------


@pytest.fixture
def private(registry: SigningRegistry, monkeypatch: pytest.MonkeyPatch) -> SigningRegistry:
    monkeypatch.setattr(reading, "is_on_google", lambda: False)
    registry.publish(wheel())
    registry.needs = BASIC
    return registry


def ask(
    registry: SigningRegistry, url: str = INDEX, environment: Mapping[str, str] | None = None
) -> bytes:
    nothing = {"NETRC": "/nowhere"}
    evidence = open_index(url, None, network(registry, nothing | dict(environment or {})))
    return evidence.find_receipt(target(wheel()))


@pytest.mark.promise("token-to-one-host")
def test_nothing_is_sent_before_the_registry_asks_for_it(private: SigningRegistry) -> None:
    ask(private, INDEX.replace("https://", "https://__token__:secret@"))

    assert [request.authorization.reveal() for request in private.asked] == ["", "", BASIC]


def test_credentials_are_kept_for_the_next_file(private: SigningRegistry) -> None:
    evidence = open_index(
        INDEX.replace("https://", "https://__token__:secret@"), None, network(private)
    )
    evidence.find_receipt(target(wheel()))
    evidence.find_receipt(target(wheel()))

    assert [request.authorization.reveal() for request in private.asked][2:] == [BASIC, BASIC]


def test_credentials_may_be_in_a_netrc_file(private: SigningRegistry, tmp_path: Path) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text(f"machine {HOST} login __token__ password secret\n")

    assert ask(private, environment={"NETRC": str(netrc)})


def test_credentials_may_be_those_of_the_job(
    private: SigningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def find(tokens: JobTokens, url: str) -> Hidden:
        asked.append(url)
        return Hidden("secret")

    monkeypatch.setattr(JobTokens, "find", find)

    assert ask(private, environment={"GITHUB_ACTIONS": "true"})
    assert asked == [INDEX]


def test_a_job_that_gets_no_token_is_told_why_and_asks_once(
    private: SigningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def find(tokens: JobTokens, url: str) -> Hidden:
        asked.append(url)
        raise RefusedError("not a reader")

    monkeypatch.setattr(JobTokens, "find", find)
    jobs = network(private, {"GITHUB_ACTIONS": "true", "NETRC": "/nowhere"})
    evidence = open_index(INDEX, None, jobs)

    for _ in range(2):
        with pytest.raises(NotVerifiedError, match="not a reader"):
            evidence.find_receipt(target(wheel()))

    assert asked == [INDEX]


def test_credentials_may_be_in_the_keyring(
    private: SigningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytp_broker.client.stored.find", lambda _: Hidden("secret"))

    assert ask(private)


def test_without_the_library_of_keyrings_there_is_no_token(
    private: SigningRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pytp_broker.client.stored", None)
    monkeypatch.delattr("pytp_broker.client.stored", raising=False)

    with pytest.raises(NotVerifiedError) as caught:
        ask(private)
    assert caught.value.reason == "unauthorized"
    assert "pytp-broker login" in str(caught.value)


# --- the index of the environment ------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("PYTP_INDEX_URL", INDEX),
        ("PIP_INDEX_URL", INDEX),
        ("PIP_EXTRA_INDEX_URL", f"https://public.example.com/simple/ {INDEX}"),
        ("UV_INDEX", f"acme={INDEX}"),
        ("UV_DEFAULT_INDEX", INDEX),
        ("UV_INDEX_URL", f"{INDEX}?a=b"),
    ],
)
def test_the_index_may_be_that_of_the_environment(
    registry: SigningRegistry, name: str, value: str
) -> None:
    registry.replies["https://public.example.com/.well-known/pytp-receipt-keys"] = Reply(404)

    evidence = find_index(None, network(registry, {name: value}))

    assert evidence.location.base_url == f"https://{HOST}/acme"


def test_our_own_variable_is_meant_even_if_it_is_wrong(registry: SigningRegistry) -> None:
    environment = {"PYTP_INDEX_URL": "https://packages.example.com/", "PIP_INDEX_URL": INDEX}

    with pytest.raises(VerifyError, match="is not the URL of a registry's index"):
        find_index(None, network(registry, environment))


def test_without_an_index_and_keys_there_is_nothing_to_go_by(registry: SigningRegistry) -> None:
    with pytest.raises(VerifyError, match="--index or in PYTP_INDEX_URL") as caught:
        find_index(None, network(registry))
    assert caught.value.is_misused


def test_an_index_that_does_not_answer_may_answer_later(registry: SigningRegistry) -> None:
    environment = {"PIP_INDEX_URL": "https://down.example.com/simple/"}

    with pytest.raises(VerifyError, match="cannot be reached") as caught:
        find_index(None, network(registry, environment))
    assert caught.value.may_pass
    assert not caught.value.is_misused
