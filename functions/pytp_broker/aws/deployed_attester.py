"""Verify attestations with the trusted root of the bucket, and refresh it.

The function that verifies asks nobody but the bucket. Another function fetches the trusted root,
once a day, and may neither read files nor write anything else.
"""

from datetime import datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tuf.ngclient.fetcher import FetcherInterface

from pytp_broker.aws.s3_trust_roots import S3TrustRoots
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import AttestationQuestion, AttestationState
from pytp_broker.provenance.sigstore_checks import SigstoreAttester
from pytp_broker.provenance.trust_root_refresh import (
    SIGSTORE_URL,
    RefreshFailedError,
    pack,
    refresh,
    unpack,
)
from pytp_broker.provenance.trusted_roots import FETCHED, SHIPPED_ROOT
from pytp_broker.services import Clock

# A new log signs weeks after it is announced, so this may be long.
LOOK_AGAIN: Final = timedelta(hours=1)


class DeployedAttester:
    """An Attester with the newest trusted root of the bucket, or the package's if it has none."""

    def __init__(self, roots: S3TrustRoots, folder: Path, now: Clock) -> None:
        self._roots = roots
        self._folder = folder
        self._now = now
        self._key: str | None = None
        self._look_at = datetime.min.replace(tzinfo=now().tzinfo)
        self._attester = SigstoreAttester(folder / FETCHED, SHIPPED_ROOT)

    def verify(self, question: AttestationQuestion) -> AttestationState:
        """Return what is known of the attestations; raise StoreUnavailable."""
        if self._now() >= self._look_at:
            self._look()
            self._look_at = self._now() + LOOK_AGAIN
        return self._attester.verify(question)

    def _look(self) -> None:
        key = self._roots.find_newest()
        if key is not None and key != self._key:
            unpack(self._roots.read(key), self._folder)
            self._key = key


def refresh_deployed(
    roots: S3TrustRoots,
    url: str = SIGSTORE_URL,
    tuf_root: bytes | None = None,
    fetcher: FetcherInterface | None = None,
) -> None:
    """Fetch the newest trusted root, and put it into the bucket if its metadata is new.

    Raises StoreUnavailable; then the last one stays.
    """
    with TemporaryDirectory(prefix="trust-root-") as name:
        folder = Path(name)
        newest = roots.find_newest()
        if newest is not None:
            unpack(roots.read(newest), folder)
        before = pack(folder)
        try:
            refreshed = refresh(folder, url, tuf_root, fetcher)
        except RefreshFailedError as error:
            raise StoreUnavailable(
                "the trusted root stays as it was", operator_detail=str(error)
            ) from None
        if pack(folder) != before:
            roots.save(refreshed.version, pack(folder))
