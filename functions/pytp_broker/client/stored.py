"""A person's token: checked with its registry, and kept in the keyring of the person's system."""

import base64
from contextlib import suppress

import keyring
from keyring.backends import fail
from keyring.errors import KeyringError

from pytp_broker.client.locations import Location
from pytp_broker.client.registry import (
    OK,
    UNAUTHORIZED,
    USER_NAME,
    RefusedError,
    ask_index,
    reason_in,
)
from pytp_broker.client.transport import Answer, Call, Send, UnreachableError
from pytp_broker.redaction import Hidden


class NoKeyringError(Exception):
    """The system has no keyring that keeps a password; the text says what to do instead."""


def check_keyring() -> None:
    """Raise NoKeyringError if the system has no keyring."""
    if isinstance(keyring.get_keyring(), fail.Keyring):
        raise NoKeyringError(
            "this system has no keyring: put the token into ~/.netrc, as the password of the login "
            f"{USER_NAME}, or into the variables that your client reads"
        )


def check_token(location: Location, token: Hidden, send: Send) -> None:
    """Ask the registry whether a token is good there; raise RefusedError with its reason."""
    named = base64.b64encode(f"{USER_NAME}:{token.reveal()}".encode()).decode()
    try:
        answer = _ask(location, f"Basic {named}", send)
    except UnreachableError as error:
        raise RefusedError(f"{location.base_url}: {error}") from None
    if answer.status != OK:
        reason = reason_in(answer) or f"it answered {answer.status}"
        raise RefusedError(f"{location.base_url}: {reason}")


def _ask(location: Location, authorization: str, send: Send) -> Answer:
    if location.is_for_upload:
        url = f"{location.base_url}/_/token/verify"
        return send(Call(url, authorization=authorization))
    status = ask_index(location, send).status
    if status == OK:
        raise RefusedError(f"{location.base_url} is public: everybody may read it without a token")
    if status != UNAUTHORIZED:
        raise RefusedError(f"{location.base_url} is not a registry: its index answered {status}")
    return ask_index(location, send, authorization)


def keep(location: Location, token: Hidden) -> None:
    """Keep a token under each spelling of the URL; raise NoKeyringError if it is not kept."""
    try:
        for service in _services(location):
            keyring.set_password(service, USER_NAME, token.reveal())
        kept = keyring.get_password(_services(location)[0], USER_NAME)
    except (KeyringError, RuntimeError) as error:
        raise NoKeyringError(f"the keyring does not keep it: {error}") from None
    if kept != token.reveal():
        raise NoKeyringError("the keyring keeps nothing; `keyring diagnose` says which one it is")


def find(location: Location) -> Hidden | None:
    """Return the token that is kept for a URL; None if there is none, or no keyring."""
    for service in _services(location):
        with suppress(KeyringError, RuntimeError):
            if found := keyring.get_password(service, USER_NAME):
                return Hidden(found)
    return None


def forget(location: Location) -> bool:
    """Remove what was kept for a URL, and say whether there was something."""
    found = False
    for service in _services(location):
        with suppress(KeyringError, RuntimeError):
            keyring.delete_password(service, USER_NAME)
            found = True
    return found


def _services(location: Location) -> tuple[str, str]:
    """Return the names under which clients ask: the URL that their user wrote, as it stands."""
    url = f"{location.base_url}/{'legacy' if location.is_for_upload else 'simple'}"
    return f"{url}/", url
