"""An operator at work on a broker: what a command changes there, and the records that it keeps."""

import getpass
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from textwrap import wrap
from typing import TYPE_CHECKING

from packaging.version import Version

from pytp_broker.audit.operations import Apply, ConfigurationChange, StatusChange, Yank
from pytp_broker.audit.record import AuditRecord
from pytp_broker.cli.command import CommandError
from pytp_broker.errors import StoreUnavailable
from pytp_broker.index.releases import key_of
from pytp_broker.provenance.signing import KeyMaker, NoSigner, Signer
from pytp_broker.redaction import MAX_SENTENCE_CHARACTERS
from pytp_broker.storage.file_store import Bin
from pytp_broker.storage.plan import Plan, Step
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import Place, Store

if TYPE_CHECKING:
    from pytp_broker.config import Loaded


class RemovalError(CommandError):
    """A configuration would remove registries, publishers or readers without the option."""

    def __init__(self, losses: Sequence[str]) -> None:
        super().__init__(
            [
                "nothing was changed, because this configuration would remove:",
                *losses,
                "to remove them, run the command again with --prune",
            ]
        )


@dataclass(frozen=True, slots=True)
class Operator:
    """An operator at work on a broker's store; the name is an ARN, or this system's user.

    ``host`` is the host that the broker's registries share, if we know it. ``bin`` takes the bytes
    of deleted files; on one machine there is none, because the server removes them itself.
    ``signer`` signs receipts for a command that publishes files, and ``key_maker`` makes keys for
    it.
    """

    store: Store
    name: str
    host: str | None = None
    bin: Bin | None = None
    signer: Signer = field(default_factory=NoSigner)
    key_maker: KeyMaker | None = None

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

    def plan(self, loaded: "Loaded") -> Plan:
        """Return the plan that ``apply`` would execute; write nothing."""
        return self.store.apply(loaded.configuration, loaded.publishers, lambda _: False)

    def apply(self, loaded: "Loaded", *, prune: bool) -> Plan:
        """Bring the store to a configuration, and store records of the changes.

        The first record says that the change begins, and the last one how it ended. If the command
        is interrupted, the records still name the operator of each change, but the last record is
        missing. Without ``prune``, a configuration that removes a registry, a publisher or a reader
        changes nothing and raises RemovalError.
        """
        event = Apply(by=self.name, configuration_sha256=loaded.sources.sha256)
        self.record(event.begun())
        try:
            plan = self._apply(loaded, prune=prune)
        except RemovalError as error:
            self.record(event.needs_prune(" ".join(error.lines)))
            raise
        except StoreUnavailable as problem:
            with suppress(StoreUnavailable):  # then only the first record exists
                self.record(event.refused(problem))
            raise
        self.record(event.accepted())
        return plan

    def _apply(self, loaded: "Loaded", *, prune: bool) -> Plan:
        plan = self.store.apply(
            loaded.configuration, loaded.publishers, lambda plan: prune or not plan.losses
        )
        if plan.losses and not prune:
            raise RemovalError([step.line for step in plan.losses])
        for step in plan.steps:
            for part in wrap(step.line, MAX_SENTENCE_CHARACTERS):
                self.record(_describe_change(step, part, self.name))
        return plan


def _describe_change(step: Step, line: str, by: str) -> AuditRecord:
    """Return the record of a change; it keeps all about a publisher, whose id others name."""
    event = ConfigurationChange(by=by, change=line)
    if step.publisher is not None:
        event.publisher = step.publisher.publisher_id
        event.rules = step.publisher.list_rules()
    return event.accepted()


def local_user() -> str:
    """Return the user of this process: a name, or a number if the system knows no name."""
    try:
        return f"user {getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return f"user {os.getuid()}"
