"""The keyring backend: in a CI job it gives twine, poetry, hatch, uv and pip a token.

It is there only in a job. Elsewhere `keyring` behaves as if it were not installed.
"""

import atexit
import os
import sys
from functools import cached_property
from typing import Final

from keyring.backend import KeyringBackend
from keyring.compat import properties
from keyring.credentials import Credential, SimpleCredential

from pytp_broker.client import ambient
from pytp_broker.client.ambient import NoIdentityError
from pytp_broker.client.job_tokens import NOT_BURNED, JobTokens
from pytp_broker.client.log_masks import mask
from pytp_broker.client.registry import USER_NAME, RefusedError
from pytp_broker.redaction import legible

# Above the keyrings of a desktop, which a job does not have, and below the chain of all keyrings.
_IN_A_JOB: Final = 9.0
# A machine of Google Cloud may also be a person's, whose own keyring comes first.
_ON_A_MACHINE: Final = 0.5


class JobKeyring(KeyringBackend):
    """A keyring that fetches the password which is asked for, and stores none."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._told: set[str] = set()

    @properties.classproperty
    def priority(cls) -> float:  # noqa: N805 - of the class, as keyring wants it
        """Return how early this keyring is asked; raise RuntimeError where it is of no use."""
        if ambient.is_job(os.environ):
            return _IN_A_JOB
        if ambient.is_on_google():
            return _ON_A_MACHINE
        raise RuntimeError("this is not a CI job that can have an identity token")

    def get_password(self, service: str, username: str) -> str | None:
        """Return a token for the URL ``service``, or None."""
        return self._find(service) if username == USER_NAME else None

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Return the user name and a token for the URL ``service``, or None."""
        token = self._find(service) if username in {None, USER_NAME} else None
        return None if token is None else SimpleCredential(USER_NAME, token)

    def set_password(self, service: str, username: str, password: str) -> None:
        """Store nothing: the chain of keyrings goes on to one that does."""
        raise NotImplementedError("tokens of a job are fetched, and not stored")

    def delete_password(self, service: str, username: str) -> None:
        """Delete nothing, as ``set_password`` stores nothing."""
        raise NotImplementedError("tokens of a job are fetched, and not stored")

    def _find(self, url: str) -> str | None:
        """Return a token, or tell the user why there is none; raise nothing into the program."""
        try:
            token = self._tokens.find(url)
        except (RefusedError, NoIdentityError) as refusal:
            self._tell(str(refusal))
            return None
        except Exception as error:  # noqa: BLE001 - the program that asks us must go on without us
            # Its text, or the URL, may hold a password.
            self._tell(f"no token: an unexpected {type(error).__name__}")
            return None
        return None if token is None else token.reveal()

    @cached_property
    def _tokens(self) -> JobTokens:
        tokens = JobTokens(os.environ, mask=lambda token: mask(token, os.environ))
        # `keyring` as a program gives the token to another program and ends before that uses it.
        if "keyring.cli" not in sys.modules:
            atexit.register(self._burn, tokens, os.getpid())
        return tokens

    def _burn(self, tokens: JobTokens, process: int) -> None:
        """Burn what this process has minted; a copy of it (`fork`) has minted nothing."""
        if os.getpid() != process:
            return
        try:
            is_burned = tokens.burn() == 0
        except Exception:  # noqa: BLE001 - the program ends well without us
            is_burned = False
        if not is_burned:
            self._tell(NOT_BURNED)

    def _tell(self, sentence: str) -> None:
        """Print a sentence to stderr, once: stdout may be where the token is printed."""
        if sentence not in self._told:
            self._told.add(sentence)
            print(f"pytp-broker: {legible(sentence)}", file=sys.stderr)
