"""What the checks look at: each part is None if it was not named, or cannot be reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.doctor.checks import Need
from pytp_broker.doctor.web import Web
from pytp_broker.registries import Registry, default_audience

if TYPE_CHECKING:
    from pytp_broker.config import Loaded
    from pytp_broker.doctor.cloud import Cloud
    from pytp_broker.storage.plan import Setup
    from pytp_broker.storage.protocols import Store

# A check asks this many registries at most; `--thorough` asks all.
_MAX_SEATS: Final = 20


@dataclass(frozen=True, slots=True)
class Seat:
    """A registry on the web: its name, and the path of its own that leads to it.

    ``registry`` is what the operator has configured, if we know that.
    """

    name: str
    prefix: str
    registry: Registry | None


@dataclass(frozen=True, slots=True)
class Visit:
    """What one run looks at.

    ``setup`` is what operators have written, as the store has it; without a store it is what the
    files of ``loaded`` say. ``names`` fills the placeholders of cures, and ``absent`` says why a
    part is not there, if the operator may want to know.
    """

    web: Web | None = None
    store: "Store | None" = None
    setup: "Setup | None" = None
    folder: Path | None = None
    has_database: bool = False
    cloud: "Cloud | None" = None
    loaded: "Loaded | None" = None
    names: Mapping[str, str] = field(default_factory=dict)
    absent: Mapping[Need, str] = field(default_factory=dict)
    thorough: bool = False

    def has(self, need: Need) -> bool:
        """Say whether what a check needs is there."""
        cloud = self.cloud
        there = {
            Need.WEB: self.web,
            Need.STORE: self.store,
            Need.SETUP: self.setup,
            Need.FOLDER: self.folder,
            Need.DATABASE: self.has_database or None,
            Need.CLOUD: cloud,
            Need.STACK: cloud and cloud.stack,
            Need.BUCKET: cloud and cloud.bucket,
            Need.CONFIG: self.loaded,
        }
        return there[need] is not None

    @property
    def own_registry(self) -> Registry | None:
        """Return the registry whose own host name the URL has; None on a shared host."""
        registries = self.setup.configuration.registries.values() if self.setup else ()
        host = self.web.host_name if self.web else ""
        return next((each for each in registries if host in each.hosts), None)

    @property
    def seats(self) -> Sequence[Seat]:
        """Return the registries that the URL leads to and that we know of."""
        prefix = self.web.prefix if self.web else ""
        if self.setup is None:
            return [Seat(prefix.strip("/"), prefix, None)] if prefix else []
        own = self.own_registry
        if own is not None:
            return [Seat(own.name, "", own)]
        known = self.setup.configuration.registries.values()
        found = [Seat(r.name, f"/{r.name}", r) for r in known if r.enabled]
        wanted = [seat for seat in found if prefix in {"", seat.prefix}]
        return wanted if self.thorough else wanted[:_MAX_SEATS]

    @property
    def root_audience(self) -> str:
        """Return the audience that the root of the host must ask for."""
        host = self.web.host_name if self.web else ""
        own = self.own_registry
        return default_audience(host) if own is None else own.audience_on(host)
