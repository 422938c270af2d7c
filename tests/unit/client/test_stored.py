"""A person's token: checked with a broker, and kept in a keyring."""

from collections.abc import Iterator

import keyring
import pytest
from keyring.backend import KeyringBackend
from keyring.backends import fail, null

from pytp_broker.client import stored
from pytp_broker.client.locations import Location
from pytp_broker.client.registry import RefusedError
from pytp_broker.client.transport import Answer, Call, UnreachableError
from pytp_broker.redaction import Hidden
from tests.support.keyrings import MemoryKeyring
from tests.support.remote import BASE, INDEX, UPLOAD, Remote

TOKEN = Hidden("secret")


def use(backend: KeyringBackend) -> None:
    keyring.set_keyring(backend)


@pytest.fixture
def system() -> Iterator[MemoryKeyring]:
    before = keyring.get_keyring()
    backend = MemoryKeyring()
    use(backend)
    yield backend
    use(before)


def at(url: str) -> Location:
    found = Location.parse(url)
    assert found is not None
    return found


# --- keeping ------------------------------------------------------------------------------------


def test_a_token_is_kept_under_both_spellings_of_the_index(system: MemoryKeyring) -> None:
    stored.keep(at(INDEX), TOKEN)

    user = "__token__"
    assert system.kept == {(f"{BASE}/simple/", user): "secret", (f"{BASE}/simple", user): "secret"}


def test_a_token_for_uploads_is_kept_under_the_upload_url(system: MemoryKeyring) -> None:
    stored.keep(at(UPLOAD), TOKEN)

    assert {service for service, _ in system.kept} == {UPLOAD, UPLOAD.removesuffix("/")}


def test_what_was_kept_is_forgotten(system: MemoryKeyring) -> None:
    stored.keep(at(INDEX), TOKEN)

    assert stored.forget(at(INDEX))
    assert not system.kept
    assert not stored.forget(at(INDEX))


def test_a_keyring_that_refuses_says_why(system: MemoryKeyring) -> None:
    system.is_locked = True

    with pytest.raises(stored.NoKeyringError, match="does not keep it: it is locked"):
        stored.keep(at(INDEX), TOKEN)


@pytest.mark.usefixtures("system")
def test_a_keyring_that_keeps_nothing_is_noticed() -> None:
    use(null.Keyring())  # type: ignore[no-untyped-call]

    with pytest.raises(stored.NoKeyringError, match="keeps nothing"):
        stored.keep(at(INDEX), TOKEN)


def test_a_system_without_a_keyring_says_what_to_do_instead(system: MemoryKeyring) -> None:
    stored.check_keyring()
    use(fail.Keyring())  # type: ignore[no-untyped-call]

    with pytest.raises(stored.NoKeyringError, match=r"put the token into ~/\.netrc"):
        stored.check_keyring()


# --- checking -----------------------------------------------------------------------------------


class Private:
    """A private registry that knows one token, and lists what it was asked."""

    def __init__(self, status: int = 401) -> None:
        self.status = status
        self.asked: list[Call] = []

    def send(self, call: Call) -> Answer:
        self.asked.append(call)
        if call.authorization == "Basic X190b2tlbl9fOnNlY3JldA==":
            return Answer(200, {})
        reason = {"detail": "no", "errors": [{"code": "unauthorized", "description": "no"}]}
        return Answer(self.status, {} if call.method == "HEAD" else reason)


@pytest.mark.parametrize("url", [INDEX, UPLOAD])
def test_a_good_token_is_taken(url: str) -> None:
    stored.check_token(at(url), TOKEN, Private().send)


@pytest.mark.parametrize("url", [INDEX, UPLOAD])
def test_a_bad_token_is_refused_with_the_brokers_reason(url: str) -> None:
    with pytest.raises(RefusedError, match="unauthorized: no"):
        stored.check_token(at(url), Hidden("other"), Private().send)


def test_a_public_index_needs_no_token() -> None:
    with pytest.raises(RefusedError, match="is public"):
        stored.check_token(at(INDEX), TOKEN, Private(200).send)


def test_an_address_that_is_no_index_gets_no_token() -> None:
    elsewhere = Private(404)

    with pytest.raises(RefusedError, match="is not a registry: its index answered 404"):
        stored.check_token(at(INDEX), TOKEN, elsewhere.send)

    assert not any(call.authorization for call in elsewhere.asked)


def test_a_registry_that_is_not_reached_is_said() -> None:
    def unreachable(_: Call) -> Answer:
        raise UnreachableError("it did not answer")

    with pytest.raises(RefusedError, match="it did not answer"):
        stored.check_token(at(INDEX), TOKEN, unreachable)


def test_an_answer_without_a_reason_has_its_status() -> None:
    def broken(call: Call) -> Answer:
        return Answer(502 if call.authorization else 401, {})

    with pytest.raises(RefusedError, match="it answered 502"):
        stored.check_token(at(INDEX), TOKEN, broken)


def test_a_broker_takes_the_token_that_it_has_minted() -> None:
    remote = Remote()
    answer = remote.mint(remote.identity())
    token = Hidden(answer.json["token"])

    stored.check_token(at(UPLOAD), token, remote.send)
    with pytest.raises(RefusedError, match="unauthorized"):
        stored.check_token(at(UPLOAD), Hidden("pytp_x"), remote.send)
