"""The broker that ``serve`` runs: its store, its configuration file, and the names it serves."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytp_broker.cli.applying import apply
from pytp_broker.cli.command import CommandError, check_host, load_configuration
from pytp_broker.cli.operator import Operator, local_user
from pytp_broker.cli.target import reason_of
from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.attester import Attester, NoAttester
from pytp_broker.provenance.signing import NoSigner, Signer
from pytp_broker.registries import Configuration
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.protocols import Storage
from pytp_broker.storage.sqlite import SqliteStore

if TYPE_CHECKING:
    from pytp_broker.config import Loaded
    from pytp_broker.local.certificates import OwnCertificate
    from pytp_broker.local.gateway import Gateway
    from pytp_broker.local.log import Log
    from pytp_broker.local.measures import Measures


def hosts_of(configuration: Configuration) -> list[str]:
    """Return the registries' own host names."""
    return [name for registry in configuration.registries.values() for name in registry.hosts]


class Site:
    """A broker on this machine, while it runs."""

    def __init__(  # noqa: PLR0913 - the last four have a default
        self,
        storage: Storage,
        host: str,
        config: Sequence[Path] | None,
        signer: Signer | None = None,
        attester: Attester | None = None,
        *,
        log: "Log | None" = None,
    ) -> None:
        """Raise StoreUnavailable; ``config`` are the files to read again, if there are any.

        ``signer`` signs receipts; without one nothing can be published. ``attester`` verifies
        attestations. ``log`` is JSON on stderr if none is given.
        """
        from pytp_broker.local.background_verifier import BackgroundVerifier
        from pytp_broker.local.deleted_files import DeletedFiles
        from pytp_broker.local.log import Log
        from pytp_broker.local.over_sessions import OverSessions
        from pytp_broker.local.upkeep import OperatorRecords

        self.log = log or Log()
        self.verifier = BackgroundVerifier(self.log)
        self._storage = storage
        self._host = host
        self._config = config
        self._signer = signer or NoSigner()
        self._attester = attester or NoAttester()
        store, files = storage.store, storage.files
        self._records = OperatorRecords(store) if isinstance(store, SqliteStore) else None
        self._deleted, self._over = None, None  # another store removes the bytes itself
        if isinstance(store, SqliteStore) and isinstance(files, FolderFiles):
            self._deleted, self._over = DeletedFiles(store, files), OverSessions(store, files)

    def bring_up(self, loaded: "Loaded | None", *, is_kept: bool) -> None:
        """Apply the configuration, if there is one; raise StoreUnavailable.

        It logs the changes, except for a store that was empty before.
        """
        if loaded is not None:
            self._apply(loaded)
        if self._records is not None and (self._records.was_empty or not is_kept):
            self._records.skip()

    def build_gateway(
        self, disclosure_keys_url: str, error_type_base: str, proxies: int, measures: "Measures"
    ) -> "Gateway":
        """Return the gateway behind so many proxies; raise TemplateError."""
        from pytp_broker.local.deployment import build_gateway
        from pytp_broker.local.proxies import Proxies

        return build_gateway(
            self._storage,
            self._host,
            self.log,
            disclosure_keys_url,
            error_type_base,
            verifier=self.verifier,
            signer=self._signer,
            attester=self._attester,
            proxies=Proxies(proxies),
            measures=measures,
        )

    def check_signer(self) -> None:
        """Sign something, so that the log says at once if nothing can be published."""
        try:
            self._signer.sign(b"the server starts")
        except StoreUnavailable as problem:
            message = f"nothing can be published: {problem.operator_detail}"
            self.log.write("warning", by="receipt-key", message=message)

    def certify(self, folder: Path) -> "OwnCertificate":
        """Return our own certificate for the names served; raise StoreUnavailable, OSError."""
        from pytp_broker.local.certificates import OwnCertificate

        return OwnCertificate(folder, self.names(), datetime.now(UTC))

    def names(self) -> Sequence[str]:
        """Return the host names that are served now; raise StoreUnavailable."""
        return [self._host, *hosts_of(self._storage.store.load_configuration())]

    def records(self) -> Sequence[Mapping[str, Any]]:
        """Return what operators have done since the last call; raise StoreUnavailable."""
        return self._records() if self._records is not None else []

    def remove_bytes(self) -> None:
        """Remove the bytes that nobody needs any more; raise StoreUnavailable.

        These are the bytes of files that were deleted some time ago, and of publishing sessions.
        """
        now = datetime.now(UTC)
        if self._over is not None:
            self._over.remove_bytes(now)
        removed = self._deleted.remove_bytes(now) if self._deleted else []
        for file in removed:
            name = f"{file.registry} {file.filename}"
            self.log.write("note", message=f"the bytes of the deleted file {name} are removed")

    def reload(self) -> None:
        """Read the configuration file again and apply it; log what is wrong with it."""
        if self._config is None:
            return
        try:
            loaded = load_configuration(self._config, allow_loopback=True)
            check_host(loaded, self._host)
            self._apply(loaded)
        except CommandError as error:
            self._tell_refusal(error.lines)
        except StoreUnavailable as problem:
            self._tell_refusal(reason_of(problem).splitlines())

    def _tell_refusal(self, lines: Sequence[str]) -> None:
        self.log.write(
            "warning",
            by="reload",
            message=f"the configuration stays as it was: {'; '.join(lines)}",
        )

    def _apply(self, loaded: "Loaded") -> None:
        # A signal cannot carry an option such as --prune, so what is not in the file is removed.
        apply(Operator(self._storage.store, local_user()), loaded, prune=True)
