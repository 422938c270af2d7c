"""Fetch the newest trusted root of Sigstore by The Update Framework (TUF).

The fetching begins with metadata that comes with the library, which is installed by its hash. So no
server is trusted. What was fetched is kept beside the root: a server cannot offer something older
later. A refresh that fails changes nothing.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from sigstore._utils import read_embedded
from tuf.api.exceptions import DownloadError, RepositoryError
from tuf.ngclient.fetcher import FetcherInterface
from tuf.ngclient.updater import Updater
from tuf.ngclient.urllib3_fetcher import Urllib3Fetcher

from pytp_broker.provenance.sigstore_checks import check_trusted_root
from pytp_broker.provenance.trusted_roots import FETCHED

SIGSTORE_URL: Final = "https://tuf-repo-cdn.sigstore.dev"
_METADATA: Final = "tuf"
# A root has 7 KB, and the metadata 30 KB.
_MAX_ROOT_BYTES: Final = 1024 * 1024
_SOCKET_SECONDS: Final = 10


class RefreshFailedError(Exception):
    """No newer root can be had now, or the one that is offered is not good."""


@dataclass(frozen=True, slots=True)
class Refreshed:
    """Whether the trusted root has changed, and until when its metadata says that it is current."""

    has_changed: bool
    version: int
    expires: datetime


def refresh(
    folder: Path,
    url: str = SIGSTORE_URL,
    tuf_root: bytes | None = None,
    fetcher: FetcherInterface | None = None,
) -> Refreshed:
    """Bring the folder's trusted root up to date; raise RefreshFailedError.

    ``tuf_root`` is the metadata to begin with, by default that of the public Sigstore.
    """
    try:
        (folder / _METADATA).mkdir(mode=0o700, parents=True, exist_ok=True)
        updater = Updater(
            metadata_dir=str(folder / _METADATA),
            metadata_base_url=url,
            target_base_url=f"{url.rstrip('/')}/targets/",
            fetcher=fetcher or Urllib3Fetcher(socket_timeout=_SOCKET_SECONDS),
            bootstrap=tuf_root or read_embedded("root.json", SIGSTORE_URL),
        )
        updater.refresh()
        has_changed = _replace(updater, folder)
        return _describe(folder, has_changed=has_changed)
    except (DownloadError, RepositoryError, OSError, ValueError) as error:
        why = str(error) or type(error).__name__
        raise RefreshFailedError(f"the trusted root cannot be refreshed: {why}") from None


def _replace(updater: Updater, folder: Path) -> bool:
    """Put the newest root into the folder; say whether it is another one than before."""
    target = updater.get_targetinfo(FETCHED)
    if target is None or target.length > _MAX_ROOT_BYTES:
        raise ValueError("the repository has no trusted root of a sensible size")
    if updater.find_cached_target(target, str(folder / FETCHED)) is not None:
        return False
    with TemporaryDirectory(dir=folder, prefix="incoming-") as incoming:
        file = Path(updater.download_target(target, f"{incoming}/{FETCHED}"))
        check_trusted_root(file)
        file.replace(folder / FETCHED)
    return True


def _describe(folder: Path, *, has_changed: bool) -> Refreshed:
    signed: Mapping[str, Any] = json.loads((folder / _METADATA / "timestamp.json").read_bytes())[
        "signed"
    ]
    return Refreshed(has_changed, signed["version"], datetime.fromisoformat(signed["expires"]))


def pack(folder: Path) -> bytes:
    """Return what a refresh has left in the folder, as one document."""
    files = sorted(path for path in folder.rglob("*.json") if not path.is_symlink())
    texts = {path.relative_to(folder).as_posix(): path.read_text() for path in files}
    return json.dumps(texts, separators=(",", ":")).encode()


def unpack(document: bytes, folder: Path) -> None:
    """Put back into an empty folder what ``pack`` returned; raise ValueError."""
    for name, text in json.loads(document).items():
        path = (folder / name).resolve()
        if not path.is_relative_to(folder.resolve()):
            raise ValueError("a file of the document would be outside the folder")
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(text)
