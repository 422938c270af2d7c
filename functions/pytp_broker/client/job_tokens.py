"""The tokens of one job: found by the URL that they are for, and burned when the process ends."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from pytp_broker.client.ambient import Environment, Identity, find_identity
from pytp_broker.client.locations import Location
from pytp_broker.client.registry import (
    OK,
    Exchange,
    Minted,
    RefusedError,
    ask_index,
    burn,
    discover,
    mint,
    read_trusted_urls,
)
from pytp_broker.client.token_cache import TokenCache
from pytp_broker.client.transport import Send, UnreachableError, send
from pytp_broker.redaction import Hidden

# A token that expires sooner is of no use: an upload takes a while.
MIN_SECONDS: Final = 60
NOT_BURNED: Final = "an upload token could not be burned; it expires by itself"


@dataclass(slots=True)
class JobTokens:
    """Tokens for the URLs that a program asks about.

    Each URL gets one token a process, or one a job where the job's identity can be exchanged only
    once. Unless ``is_shared``, other processes of the job find nothing of it, and it is burned with
    the others. ``mask`` is called with each new token.
    """

    environment: Environment
    cache: TokenCache = field(default_factory=TokenCache)
    send: Send = send
    now: Callable[[], float] = time.time
    mask: Callable[[Hidden], None] = lambda _: None
    is_shared: bool = True
    _found: dict[Location, Minted] = field(default_factory=dict)
    _to_burn: list[tuple[str, Hidden]] = field(default_factory=list)

    def find(self, url: str) -> Hidden | None:
        """Return a token for a URL; None if it is not a registry's.

        Raises RefusedError or NoIdentityError.
        """
        location = Location.parse(url)
        if location is None:
            return None
        found = self._found.get(location)
        if found is None or not self._is_good(found):
            found = self._exchange(location)
        if found is None:
            return None
        self._found[location] = found
        return found.token

    def burn(self) -> int:
        """End the upload tokens of this process; return how many could not be ended.

        A token that the job shares lives on: the job's next process could not get another one.
        """
        tokens, self._to_burn = self._to_burn, []
        self._found.clear()
        return sum(not burn(burn_url, token, self.send) for burn_url, token in tokens)

    def end(self, url: str) -> bool:
        """Burn the token that is kept on disk for a URL, and say whether there was one.

        Raises NoIdentityError, or RefusedError if the registry does not burn it.
        """
        location = Location.parse(url)
        exchange = location and self._discover(location)
        if not exchange:
            return False
        identity = find_identity(exchange.audience, self.environment, self.send)
        kept = self.cache.find(identity.token, exchange.mint_url, self.now())
        self.cache.forget(identity.token, exchange.mint_url)
        if kept is not None and not burn(exchange.burn_url, kept.token, self.send):
            raise RefusedError(f"{exchange.burn_url}: {NOT_BURNED}")
        return kept is not None

    def _exchange(self, location: Location) -> Minted | None:
        exchange = self._discover(location)
        if exchange is None or self._is_public(location):
            return None
        identity = find_identity(exchange.audience, self.environment, self.send)
        is_once = identity.is_only_one
        minted = (self._exchange_once if is_once else self._mint)(exchange, identity)
        if location.is_for_upload and not (is_once and self.is_shared):
            self._to_burn.append((exchange.burn_url, minted.token))
        return minted

    def _discover(self, location: Location) -> Exchange | None:
        return discover(location, read_trusted_urls(self.environment), self.send)

    def _is_public(self, location: Location) -> bool:
        """Say whether this is an index that needs no token, so that no identity is needed."""
        try:
            return not location.is_for_upload and ask_index(location, self.send).status == OK
        except UnreachableError:
            return False

    def _exchange_once(self, exchange: Exchange, identity: Identity) -> Minted:
        with self.cache.locked():
            found = self.cache.find(identity.token, exchange.mint_url, self.now())
            if found is not None and self._is_good(found):
                self.mask(found.token)
            else:
                found = self._mint(exchange, identity)
                if self.is_shared:
                    self.cache.keep(identity.token, exchange.mint_url, found, self.now())
            if not self.is_shared:
                self.cache.forget(identity.token, exchange.mint_url)
            return found

    def _mint(self, exchange: Exchange, identity: Identity) -> Minted:
        minted = mint(exchange, identity.token.reveal(), self.send, self.now())
        self.mask(minted.token)
        return minted

    def _is_good(self, minted: Minted) -> bool:
        return minted.expires - self.now() > MIN_SECONDS
