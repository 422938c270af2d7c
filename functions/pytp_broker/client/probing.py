"""Ask a registry what its clients ask, for a monitor: one exchange must fail, and one succeed.

A forged identity token must be refused, in the way in which the broker refuses one: an answer that
only looks like a refusal, such as one of a proxy, does not count. A good one is exchanged for a
token, which is burned at once. Nothing is published.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Final

from pytp_broker.client.ambient import Identity, NoIdentityError
from pytp_broker.client.locations import Location
from pytp_broker.client.registry import (
    OK,
    UNAUTHORIZED,
    Exchange,
    RefusedError,
    ask_index,
    burn,
    code_in,
    discover,
    mint,
    reason_in,
)
from pytp_broker.client.transport import Call, Send, UnreachableError
from pytp_broker.redaction import Hidden

_UNPROCESSABLE: Final = 422
# How the broker refuses a token that nobody has signed: it knows no such issuer, or no such
# signature.
_FORGED: Final = frozenset({"invalid-payload", "invalid-token"})
# Nobody can have this name (RFC 6761 §6.4).
_NOBODY: Final = "https://probe.invalid"
_SIGNATURE_BYTES: Final = 256

# Returns the identity token of this job for an audience; raises NoIdentityError.
FindIdentity = Callable[[str], Identity]


class _FailedError(Exception):
    """A check has failed; the text says why."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was asked, and whether the answer is as it must be."""

    name: str
    is_good: bool
    detail: str
    milliseconds: int


@dataclass(frozen=True, slots=True)
class Probe:
    """A registry to ask. Without ``find_identity`` no exchange can succeed, so none is tried."""

    location: Location
    send: Send
    find_identity: FindIdentity | None = None
    trusted_urls: Collection[str] = ()
    clock: Callable[[], float] = time.monotonic

    def run(self) -> Iterator[Check]:
        """Yield each check when it is done."""
        yield self._check("health", self._ask_health)
        yield self._check("index", self._ask_index)
        found: list[Exchange] = []
        yield self._check("discovery", lambda: self._discover(found))
        if found:
            yield from self._exchange(found[0])

    def _exchange(self, exchange: Exchange) -> Iterator[Check]:
        identity: Identity | None = None
        if self.find_identity is not None:
            try:
                identity = self.find_identity(exchange.audience)
            except NoIdentityError as error:
                yield Check("identity", is_good=False, detail=str(error), milliseconds=0)
        yield self._check("refusal", lambda: self._ask_refusal(exchange, identity))
        if identity is not None:
            yield from self._mint_and_burn(exchange, identity)

    def _mint_and_burn(self, exchange: Exchange, identity: Identity) -> Iterator[Check]:
        minted: list[Hidden] = []

        def ask() -> str:
            text = identity.token.reveal()
            minted.append(mint(exchange, text, self.send, time.time()).token)
            return ""

        yield self._check("exchange", ask)
        for token in minted:
            yield self._check("burn", lambda token=token: self._burn(exchange, token))  # type: ignore[misc]

    def _check(self, name: str, ask: Callable[[], str]) -> Check:
        began = self.clock()
        try:
            detail, is_good = ask(), True
        except (_FailedError, RefusedError, UnreachableError) as error:
            detail, is_good = str(error), False
        return Check(name, is_good, detail, round((self.clock() - began) * 1000))

    def _ask_health(self) -> str:
        status = self.send(Call(f"{self.location.origin}/_/health")).status
        if status != OK:
            raise _FailedError(f"/_/health answered {status}")
        return ""

    def _ask_index(self) -> str:
        status = ask_index(self.location, self.send).status
        if status not in {OK, UNAUTHORIZED}:
            raise _FailedError(f"the index answered {status}")
        return "public" if status == OK else "private"

    def _discover(self, found: list[Exchange]) -> str:
        # An index could name the audience of another one. Without an identity we send it nothing.
        own = [self.location.base_url] if self.find_identity is None else []
        exchange = discover(self.location, [*own, *self.trusted_urls], self.send)
        if exchange is None:
            # If nobody answers there, this raises the reason.
            self.send(Call(f"{self.location.base_url}/_/oidc/audience"))
            raise _FailedError("there is no registry that exchanges identity tokens")
        found.append(exchange)
        return exchange.audience

    def _ask_refusal(self, exchange: Exchange, identity: Identity | None) -> str:
        forged = forge(exchange.audience, identity)
        answer = self.send(Call(exchange.mint_url, {"token": forged}))
        if answer.status == OK:
            token = Hidden(answer.text("token"))
            burn(exchange.burn_url, token, self.send)
            raise _FailedError("a forged identity token was exchanged")
        code = code_in(answer)
        if answer.status != _UNPROCESSABLE or code not in _FORGED:
            said = reason_in(answer) or "without the broker's error"
            raise _FailedError(f"a forged identity token was answered {answer.status}: {said}")
        return code

    def _burn(self, exchange: Exchange, token: Hidden) -> str:
        if not burn(exchange.burn_url, token, self.send):
            raise _FailedError("the token could not be burned; it expires by itself")
        return ""


def forge(audience: str, identity: Identity | None) -> str:
    """Return an identity token that nobody has signed: a good one with another signature, or none.

    Nobody who sees the good one can use it, because its signature is missing.
    """
    if identity is not None:
        signed, _, _ = identity.token.reveal().rpartition(".")
        return f"{signed}.{_encode(secrets.token_bytes(_SIGNATURE_BYTES))}"
    now = int(time.time())
    claims = {"iss": _NOBODY, "sub": "probe", "aud": audience, "iat": now, "exp": now + 60}
    parts = ({"alg": "RS256", "typ": "JWT", "kid": "probe"}, {**claims, "jti": secrets.token_hex()})
    encoded = [_encode(json.dumps(part).encode()) for part in parts]
    return ".".join([*encoded, _encode(secrets.token_bytes(_SIGNATURE_BYTES))])


def _encode(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()
