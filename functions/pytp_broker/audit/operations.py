"""The events of operators' commands. The store keeps their records, and no function writes any."""

from dataclasses import dataclass

from pytp_broker.audit import facts
from pytp_broker.audit.record import AuditRecord, Event


@dataclass(slots=True, kw_only=True)
class Operation(Event):
    """Base of the events that an operator's command causes."""

    by: facts.By


@dataclass(slots=True, kw_only=True)
class Apply(Operation):
    """An operator began to apply a configuration file to a broker, or this ended."""

    name = "apply"
    outcomes = ("begun", "accepted", "refused")

    configuration_sha256: facts.ConfigurationSha256
    plan_sha256: facts.PlanSha256 | None = None

    def begun(self) -> AuditRecord:
        """Return the record that is stored before anything is changed."""
        return self.record("begun")

    def needs_prune(self, detail: str) -> AuditRecord:
        """Return the record of a configuration that would remove something unasked."""
        return self.record("refused", "needs-prune", detail)

    def outdated(self, detail: str) -> AuditRecord:
        """Return the record of a plan that somebody approved on another state of the store."""
        return self.record("refused", "plan-outdated", detail)


@dataclass(slots=True, kw_only=True)
class ConfigurationChange(Operation):
    """An operator changed one thing in the configuration."""

    name = "configuration"

    change: facts.Change
    publisher: facts.PublisherId | None = None
    rules: facts.Rules | None = None


@dataclass(slots=True, kw_only=True)
class Reopening(Operation):
    """An operator let a closed release take files for a day."""

    name = "reopen"

    registry: facts.Registry
    project: facts.Project
    version: facts.Version
    until: facts.Until


@dataclass(slots=True, kw_only=True)
class Yank(Operation):
    """An operator yanked a release, or unyanked it."""

    name = "yank"

    registry: facts.Registry
    project: facts.Project
    version: facts.Version
    yanked: facts.Yanked
    why: facts.Why


@dataclass(slots=True, kw_only=True)
class StatusChange(Operation):
    """An operator gave a project a status."""

    name = "project-status"

    registry: facts.Registry
    project: facts.Project
    status: facts.Status
    why: facts.Why


@dataclass(slots=True, kw_only=True)
class FileDeletion(Operation):
    """An operator deleted a published file."""

    name = "file-deletion"

    registry: facts.Registry
    project: facts.Project
    filename: facts.Filename
    sha256: facts.Sha256
    why: facts.Why


@dataclass(slots=True, kw_only=True)
class Import(Operation):
    """An operator began to import files into a registry, or this ended."""

    name = "import"
    outcomes = ("begun", "accepted", "refused")

    registry: facts.Registry
    import_source: facts.ImportSource
    imported: facts.Imported | None = None
    not_imported: facts.NotImported | None = None
    nonce: facts.Nonce | None = None

    def begun(self) -> AuditRecord:
        """Return the record that is stored before the first file; receipts have its hash."""
        return self.record("begun")


@dataclass(slots=True, kw_only=True)
class TokenCreation(Operation):
    """An operator made a token for a person, to read a registry or to publish one project."""

    name = "token-creation"

    registry: facts.Registry
    permission: facts.PermissionName
    project: facts.Project | None = None
    person: facts.Person | None = None
    why: facts.Why | None = None
    token_hash: facts.TokenHash
    expires_at: facts.ExpiresAt


@dataclass(slots=True, kw_only=True)
class ReceiptKeyChange(Operation):
    """An operator registered, ended or revoked a key of receipts."""

    name = "receipt-key"

    key_id: facts.ReceiptKeyId
    key_change: facts.KeyChange
    key_time: facts.KeyTime
    why: facts.Why | None = None


@dataclass(slots=True, kw_only=True)
class IdentityTokensEnd(Operation):
    """An operator ended the identity tokens that were issued before a time."""

    name = "identity-tokens"

    issued_before: facts.IssuedBefore


@dataclass(slots=True, kw_only=True)
class OperatorBurn(Operation):
    """An operator burned an upload token; then the record has `by`."""

    name = "burn"

    token_hash: facts.TokenHash
    burned: facts.Burned
    projects: facts.Projects
    project_count: facts.ProjectCount


@dataclass(slots=True, kw_only=True)
class Restoration(Operation):
    """An operator made the data folder of one machine from a backup."""

    name = "restoration"

    backup_time: facts.BackupTime
