"""Tokens on disk, for a job that gets one identity token and can exchange it only once.

uv and pip start ``keyring`` as a process of its own each time, and it must find there what an
earlier one has minted. The name of an entry is a hash that contains the identity token, so another
job of the same user, who has another identity token, does not find it. The entry is sealed with the
identity token, because a runner may run the jobs of many repositories as one user, one after the
other, and the next job could read every file.
"""

import hashlib
import json
import os
import secrets
import stat
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Final

from pytp_broker.client.registry import Minted
from pytp_broker.redaction import Hidden

_PRIVATE: Final = 0o077


class TokenCache:
    """Tokens in files that only this user can read; ``folder`` is made when it is needed.

    A folder that somebody else owns or may read is not used: then nothing is remembered.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or _default_folder()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Let one process at a time look and mint, so that the others find what it has minted."""
        with ExitStack() as stack:
            if self._is_usable():
                with suppress(OSError):
                    lock = stack.enter_context((self._folder / "lock").open("a"))
                    _lock(lock.fileno())
            yield

    def find(self, identity_token: Hidden, mint_url: str, now: float) -> Minted | None:
        """Return the token that was minted for this identity token, if it still lives then."""
        if not self._is_usable():
            return None
        try:
            document = json.loads(self._path(identity_token, mint_url).read_text())
            token = _unseal(document["sealed"], document["nonce"], identity_token)
            minted = Minted(token, int(document["expires"]))
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return minted if minted.expires > now else None

    def keep(self, identity_token: Hidden, mint_url: str, minted: Minted, now: float) -> None:
        """Remember a token for its life; forget those that have expired."""
        if not self._is_usable():
            return
        self._forget_expired(now)
        nonce = secrets.token_hex()
        sealed = _seal(minted.token, nonce, identity_token)
        document = json.dumps({"sealed": sealed, "nonce": nonce, "expires": minted.expires})
        with suppress(OSError):
            # The file is private from its beginning, and appears under its name when it is whole.
            descriptor, name = tempfile.mkstemp(dir=self._folder, prefix="new-")
            with os.fdopen(descriptor, "w") as file:
                file.write(document)
            Path(name).replace(self._path(identity_token, mint_url))

    def forget(self, identity_token: Hidden, mint_url: str) -> None:
        """Remove a token that was burned; nobody may find it any more."""
        with suppress(OSError):
            self._path(identity_token, mint_url).unlink()

    def _path(self, identity_token: Hidden, mint_url: str) -> Path:
        named = f"{mint_url}\n{identity_token.reveal()}"
        return self._folder / f"{hashlib.sha256(named.encode()).hexdigest()}.json"

    def _forget_expired(self, now: float) -> None:
        for path in self._folder.glob("*.json"):
            with suppress(OSError, ValueError, KeyError, TypeError):
                if json.loads(path.read_text())["expires"] <= now:
                    path.unlink()

    def _is_usable(self) -> bool:
        """Say whether the folder is ours alone; make it if it is missing."""
        try:
            self._folder.mkdir(mode=0o700, exist_ok=True)
            found = self._folder.lstat()
        except OSError:
            return False
        # Somebody else may have made it: /tmp is everybody's.
        return stat.S_ISDIR(found.st_mode) and (
            not hasattr(os, "getuid")
            or (found.st_uid == os.getuid() and not found.st_mode & _PRIVATE)
        )


def _seal(token: Hidden, nonce: str, identity_token: Hidden) -> str:
    """Return a token as hex that nobody can read without the identity token."""
    return _combine(token.reveal().encode(), nonce, identity_token).hex()


def _unseal(sealed: str, nonce: str, identity_token: Hidden) -> Hidden:
    """Return the token that was sealed; raise ValueError if the hex is not of a token."""
    return Hidden(_combine(bytes.fromhex(sealed), nonce, identity_token).decode("ascii"))


def _combine(octets: bytes, nonce: str, identity_token: Hidden) -> bytes:
    """Combine octets with a stream that follows from the identity token, whose signature is secret.

    The nonce is new for each entry, so no two have the same stream.
    """
    key = f"{nonce}\n{identity_token.reveal()}".encode()
    stream = hashlib.shake_256(key).digest(len(octets))
    return bytes(octet ^ mask for octet, mask in zip(octets, stream, strict=True))


def _default_folder() -> Path:
    user = os.getuid() if hasattr(os, "getuid") else "user"
    return Path(tempfile.gettempdir()) / f"pytp-broker-{user}"


def _lock(descriptor: int) -> None:
    """Wait for the lock; it ends with the process, and whoever holds it has a deadline."""
    try:
        import fcntl
    except ImportError:  # pragma: no cover - Windows; there, two at once may both mint
        return
    fcntl.flock(descriptor, fcntl.LOCK_EX)
