"""The events of requests: each request that decides or changes something leaves one record."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from pytp_broker.audit import facts
from pytp_broker.audit.record import Event
from pytp_broker.redaction import Legible, and_more

# A message names this many projects; the record's field has more.
_SHOWN_PROJECTS: Final = 3


@dataclass(slots=True, kw_only=True)
class RequestEvent(Event):
    """Base of the events that a request to one of our endpoints causes."""

    host: facts.Host
    path: facts.Path
    source_ip: facts.SourceIp


@dataclass(slots=True, kw_only=True)
class RegistryEvent(RequestEvent):
    """Base of the events of requests to one registry; the dispatcher adds the registry."""

    registry: facts.Registry | None = None


@dataclass(slots=True, kw_only=True)
class JobEvent(RequestEvent):
    """Base of the events of a job that sends its identity token."""

    issuer: facts.Issuer | None = None
    provider: facts.Provider | None = None
    repository: facts.Repository | None = None
    project_id: facts.ProjectId | None = None
    workflow: facts.Workflow | None = None
    environment: facts.Environment | None = None
    ref: facts.Ref | None = None
    sha: facts.Sha | None = None
    run: facts.Run | None = None
    actor: facts.Actor | None = None
    publishers: facts.Publishers | None = None
    token_hash: facts.TokenHash | None = None

    def identify(self, identity: Mapping[str, Legible]) -> None:
        """Add the signed claims that tell whose job it is, under our own names for them."""
        for name, claim in identity.items():
            setattr(self, name, claim)

    def subject(self) -> str:
        """Return who asked."""
        return self.repository or self.actor or self.issuer or ""


@dataclass(slots=True, kw_only=True)
class Exchange(JobEvent):
    """A job asked to exchange an identity token for an upload token."""

    name = "exchange"

    projects: facts.Projects | None = None
    project_count: facts.ProjectCount | None = None

    def subject(self) -> str:
        """Return who asked, and for which projects."""
        who = JobEvent.subject(self)
        if self.projects is None or self.project_count is None:
            return who
        return f"{who} for {and_more(self.projects[:_SHOWN_PROJECTS], self.project_count)}"


@dataclass(slots=True, kw_only=True)
class ReadExchange(JobEvent):
    """A job asked to exchange an identity token for a token that reads a registry."""

    name = "read-exchange"

    registry: facts.Registry | None = None

    def subject(self) -> str:
        """Return who asked, and for which registry."""
        return " for ".join(filter(None, (JobEvent.subject(self), self.registry)))


@dataclass(slots=True, kw_only=True)
class Upload(RegistryEvent):
    """A client asked to publish a file."""

    name = "upload"

    project: facts.Project | None = None
    publishers: facts.Publishers | None = None
    token_hash: facts.TokenHash | None = None
    filename: facts.Filename | None = None
    sha256: facts.Sha256 | None = None
    session: facts.SessionHash | None = None
    unchanged: facts.Unchanged | None = None
    nonce: facts.Nonce | None = None

    def subject(self) -> str:
        """Return the file, or as much of its place as is known."""
        return " in ".join(filter(None, (self.filename or self.project, self.registry)))


@dataclass(slots=True, kw_only=True)
class SessionEvent(RegistryEvent):
    """Base of the events of Upload API 2.0: somebody changes a publishing session."""

    action: facts.SessionAction
    project: facts.Project | None = None
    version: facts.Version | None = None
    session: facts.SessionHash | None = None
    publishers: facts.Publishers | None = None
    token_hash: facts.TokenHash | None = None

    def subject(self) -> str:
        """Return what is done to the release, or to as much of its place as is known."""
        release = " ".join(filter(None, (self.action, self.project, self.version)))
        return " in ".join(filter(None, (release, self.registry)))


@dataclass(slots=True, kw_only=True)
class SessionCreation(SessionEvent):
    """A client asked to begin a publishing session."""

    name = "session"

    action: facts.SessionAction = "create"


@dataclass(slots=True, kw_only=True)
class SessionExtension(SessionEvent):
    """A client asked for more time for a publishing session."""

    name = "session"

    action: facts.SessionAction = "extend"


@dataclass(slots=True, kw_only=True)
class SessionCancellation(SessionEvent):
    """A client asked to cancel a publishing session and to remove its files."""

    name = "session"

    action: facts.SessionAction = "cancel"


@dataclass(slots=True, kw_only=True)
class SessionPublication(SessionEvent):
    """A client asked to publish all files of a publishing session at once."""

    name = "session"

    action: facts.SessionAction = "publish"
    filenames: facts.Filenames | None = None
    file_count: facts.FileCount | None = None
    nonce: facts.Nonce | None = None


@dataclass(slots=True, kw_only=True)
class StagedFileEvent(SessionEvent):
    """Base of the events about one file of a publishing session."""

    filename: facts.Filename | None = None
    sha256: facts.Sha256 | None = None

    def subject(self) -> str:
        """Return what is done to the file, or to as much of its place as is known."""
        file = " ".join(filter(None, (self.action, self.filename or self.project)))
        return " in ".join(filter(None, (file, self.registry)))


@dataclass(slots=True, kw_only=True)
class FileAnnouncement(StagedFileEvent):
    """A client asked to begin the upload of a file to a publishing session."""

    name = "session-file"

    action: facts.SessionAction = "announce"


@dataclass(slots=True, kw_only=True)
class FileDelivery(StagedFileEvent):
    """A client sent the bytes of a file of a publishing session."""

    name = "session-file"

    action: facts.SessionAction = "deliver"


@dataclass(slots=True, kw_only=True)
class AttestationDelivery(StagedFileEvent):
    """A client sent the attestations of a file of a publishing session."""

    name = "session-file"

    action: facts.SessionAction = "attest"


@dataclass(slots=True, kw_only=True)
class FileCompletion(StagedFileEvent):
    """A client asked to complete the upload of a file, whose bytes we then check."""

    name = "session-file"

    action: facts.SessionAction = "complete"


@dataclass(slots=True, kw_only=True)
class FileCancellation(StagedFileEvent):
    """A client asked to cancel the upload of a file, or to delete it from a publishing session."""

    name = "session-file"

    action: facts.SessionAction = "delete"


@dataclass(slots=True, kw_only=True)
class Burn(RequestEvent):
    """The holder of an upload token asked to burn it."""

    name = "burn"

    token_hash: facts.TokenHash | None = None
    burned: facts.Burned | None = None

    def subject(self) -> str:
        """Return the token."""
        return f"token {self.token_hash}" if self.token_hash else ""


@dataclass(slots=True, kw_only=True)
class Introspection(RegistryEvent):
    """Another index or a proxy asked whether a token is good."""

    name = "introspection"

    client: facts.Client | None = None
    project: facts.Project | None = None
    filename: facts.Filename | None = None
    token_hash: facts.TokenHash | None = None
    active: facts.Active | None = None

    def subject(self) -> str:
        """Return the answer, and the project and the registry that the question was about."""
        answer = {None: "", True: "active", False: "inactive"}[self.active]
        return " in ".join(filter(None, (answer, self.project, self.registry)))


@dataclass(slots=True, kw_only=True)
class Disclosure(RequestEvent):
    """Secret scanning sent a list of texts that look like tokens; each text leaves a `leak`."""

    name = "disclosure"

    matches: facts.Matches | None = None

    def subject(self) -> str:
        """Return how long the list is."""
        return "" if self.matches is None else f"{self.matches} texts"


@dataclass(slots=True, kw_only=True)
class Other(RequestEvent):
    """A request found no endpoint, or it only reads and we failed to answer it."""

    name = "request"

    def subject(self) -> str:
        """Return the address."""
        return f"{self.host}{self.path}"
