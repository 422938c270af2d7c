"""An operator at work on a broker: what a command changes there, and the records that it keeps."""

import getpass
import os
from dataclasses import dataclass, field
from datetime import UTC, datetime

from packaging.version import Version

from pytp_broker.audit.operations import StatusChange, Yank
from pytp_broker.audit.record import AuditRecord
from pytp_broker.index.releases import key_of
from pytp_broker.provenance.signing import KeyMaker, NoSigner, Signer
from pytp_broker.storage.file_store import Bin
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import Place, Store


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator at work on a broker's store; the name is an ARN, or this system's user.

    ``host`` is the host that the broker's registries share, if we know it. ``bin`` takes the bytes
    of deleted files; on one machine there is none, because the server removes them itself.
    ``place`` is the broker's own: a folder, or the account, the region and the table on AWS.
    ``signer`` signs receipts for a command that publishes files, and ``key_maker`` makes keys for
    it.
    """

    store: Store
    name: str
    host: str | None = None
    bin: Bin | None = None
    signer: Signer = field(default_factory=NoSigner)
    key_maker: KeyMaker | None = None
    place: str = ""

    def record(self, record: AuditRecord) -> None:
        """Store a record of what the operator does."""
        self.store.add_operator_record(record, datetime.now(UTC))

    def set_status(self, place: Place, status: ProjectStatus, why: str) -> None:
        """Keep a record, then give the project at this place a status."""
        registry, project = place
        event = StatusChange(
            by=self.name, registry=registry, project=project, status=status.status, why=why
        )
        self.record(event.accepted())
        self.store.set_status(registry, project, status)

    def set_yank(self, place: Place, version: str, why: str, *, yanked: bool) -> None:
        """Keep a record, then yank a release of the project at this place, or unyank it."""
        registry, project = place
        event = Yank(
            by=self.name,
            registry=registry,
            project=project,
            version=version,
            yanked=yanked,
            why=why,
        )
        self.record(event.accepted())
        key = key_of(Version(version))
        self.store.yank_release(registry, project, key, why if yanked else None)


def local_user() -> str:
    """Return the user of this process: a name, or a number if the system knows no name."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"
