"""What authorises a publication: a token that is given, one of the job, or one of a keyring."""

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Lock
from typing import Protocol

from pytp_broker.client.ambient import Environment, NoIdentityError, is_job, is_on_google
from pytp_broker.client.job_tokens import JobTokens
from pytp_broker.client.lent_tokens import take
from pytp_broker.client.locations import Location
from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.registry import USER_NAME, RefusedError
from pytp_broker.client.uploads.api import Clock, patiently
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.redaction import Hidden

TOKEN_VARIABLE = "PYTP_UPLOAD_TOKEN"  # noqa: S105 - its name


class Credentials(Protocol):
    """Authorises requests to one upload URL."""

    def authorize(self) -> Hidden:
        """Return the value of an `Authorization` header; raise UploadError."""

    def end(self) -> bool:
        """Burn what was minted, and say whether nothing is left; it may be called twice."""


@dataclass(frozen=True, slots=True)
class GivenToken:
    """A token that somebody else made, and that nobody burns here."""

    token: Hidden

    def authorize(self) -> Hidden:
        """Return the header."""
        return basic(self.token)

    def end(self) -> bool:
        """Leave the token alone."""
        return True


@dataclass(slots=True)
class JobCredentials:
    """The tokens of a job: a long upload gets a new one before its token expires."""

    location: Location
    tokens: JobTokens
    clock: Clock
    _lock: Lock = field(default_factory=Lock)
    _is_over: bool = False
    _had_token: bool = False

    def authorize(self) -> Hidden:
        """Return the header with a token that lives; raise UploadError.

        An exchange that fails is tried again for a minute at most, and identity tokens live longer
        than that.
        """
        with self._lock:
            return basic(patiently(self._find, self.clock.wait))

    def end(self) -> bool:
        """Burn the tokens, and mint none for a thread that still works."""
        self._is_over = True
        with self._lock:
            return self.tokens.burn() == 0

    def _find(self) -> Hidden:
        if self._is_over:
            raise UploadError("the command has ended")
        try:
            token = take(self.location, self.tokens)
        except RefusedError as refusal:
            raise self._none(str(refusal), may_pass=refusal.may_pass) from None
        except NoIdentityError as error:
            raise self._none(str(error)) from None
        self._had_token = True
        return token

    def _none(self, why: str, *, may_pass: bool = False) -> UploadError:
        """Return the error of a job without a token; one that had a token says how to go on."""
        if self._had_token:
            why = (
                f"the upload token has expired, and the job gets no other one ({why}): run the job "
                "again to go on, and let `token_lifetime` of the registry be longer"
            )
        return UploadError(why, may_pass=may_pass)


def basic(token: Hidden) -> Hidden:
    """Return the header that every index takes."""
    named = f"{USER_NAME}:{token.reveal()}".encode()
    return Hidden(f"Basic {base64.b64encode(named).decode()}")


def find_credentials(
    url: str,
    given: Hidden | None,
    environment: Environment,
    lend: Callable[[], JobTokens],
    clock: Clock,
) -> Credentials:
    """Return what authorises uploads to a URL; raise PublishError if there is nothing.

    A token that the user gives comes first, then the identity of the job, then a keyring.
    """
    token = given or Hidden(environment.get(TOKEN_VARIABLE, "").strip())
    if token.reveal():
        return GivenToken(token)
    location = Location.parse(url)
    if location is not None and (is_job(environment) or is_on_google()):
        return JobCredentials(location, lend(), clock)
    kept = None if location is None else _find_in_keyring(location)
    if kept is not None:
        return GivenToken(kept)
    raise PublishError(
        f"there is no token for {url}: run this in a CI job that has an identity token, give a "
        f"token in {TOKEN_VARIABLE} or with --token-stdin, or keep one with `pytp-broker login`"
    )


def _find_in_keyring(location: Location) -> Hidden | None:
    try:
        from pytp_broker.client import stored
    except ImportError:
        return None
    return stored.find(location)
