"""The keyring of a system, for tests: in memory, or in a file that other processes read too."""

import json
import os
from pathlib import Path

from keyring.backend import KeyringBackend
from keyring.credentials import Credential, SimpleCredential
from keyring.errors import PasswordDeleteError, PasswordSetError


class MemoryKeyring(KeyringBackend):
    """A keyring of a system, in memory; ``is_locked`` lets it refuse."""

    priority = 1

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kept: dict[tuple[str, str], str] = {}
        self.is_locked = False

    def get_password(self, service: str, username: str) -> str | None:
        return self.kept.get((service, username))

    def set_password(self, service: str, username: str, password: str) -> None:
        if self.is_locked:
            raise PasswordSetError("it is locked")
        self.kept[service, username] = password

    def delete_password(self, service: str, username: str) -> None:
        if (service, username) not in self.kept:
            raise PasswordDeleteError("not found")
        del self.kept[service, username]


class FileKeyring(KeyringBackend):
    """A keyring in the file that the variable ``TEST_KEYRING`` names."""

    priority = 1

    def get_password(self, service: str, username: str) -> str | None:
        kept: dict[str, str] = self._read()
        return kept.get(f"{username}@{service}")

    def get_credential(self, service: str, username: str | None) -> Credential | None:
        """Return the first user of a service, as the keyrings of Linux and Windows do."""
        named = (name.split("@", 1) for name in self._read())
        users = [user for user, kept in named if kept == service and username in {None, user}]
        password = self.get_password(service, users[0]) if users else None
        return SimpleCredential(users[0], password) if password else None

    def set_password(self, service: str, username: str, password: str) -> None:
        self._path.write_text(json.dumps(self._read() | {f"{username}@{service}": password}))

    def delete_password(self, service: str, username: str) -> None:
        kept = self._read()
        if kept.pop(f"{username}@{service}", None) is None:
            raise PasswordDeleteError("not found")
        self._path.write_text(json.dumps(kept))

    def _read(self) -> dict[str, str]:
        kept: dict[str, str] = json.loads(self._path.read_text()) if self._path.exists() else {}
        return kept

    @property
    def _path(self) -> Path:
        return Path(os.environ["TEST_KEYRING"])
