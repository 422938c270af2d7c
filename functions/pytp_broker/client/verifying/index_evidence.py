"""Receipts and keys of a registry, fetched from its index."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote

from pytp_broker.client.locations import Location
from pytp_broker.client.uploads.pages import MAX_BYTES, digests_in
from pytp_broker.client.uploads.refusals import reason_in
from pytp_broker.client.uploads.wire import Reply, Send
from pytp_broker.client.verifying.evidence import (
    MAX_KEYS_BYTES,
    MAX_PROVENANCE_BYTES,
    Trusted,
    read_keys,
)
from pytp_broker.client.verifying.offers import Offered, read_offers
from pytp_broker.client.verifying.outcome import NotVerifiedError, VerifyError
from pytp_broker.client.verifying.reading import UNAUTHORIZED, Reading, find_authorization
from pytp_broker.client.verifying.targets import (
    HashedRequirement,
    Target,
    Unverifiable,
    target_named,
)
from pytp_broker.names import NormalizedName, is_sent_host, without_port
from pytp_broker.provenance.dsse import MAX_ENVELOPE_BYTES
from pytp_broker.provenance.receipt_keys import KeyDocument
from pytp_broker.redaction import printable

# The variable that names the index, and those of uv and pip that may name it.
INDEX_VARIABLE: Final = "PYTP_INDEX_URL"
USUAL_VARIABLES: Final = (
    *("UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL"),
    *("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"),
)
_KEYS_PATH: Final = "/.well-known/pytp-receipt-keys"
_KEYS: Final = "application/jwk-set+json, application/json"
_RECEIPT: Final = "application/vnd.dsse.envelope.v1+json, application/json;q=0.9"
_PROVENANCE: Final = "application/vnd.pypi.integrity.v1+json, application/json;q=0.9"
_PAGE: Final = "application/vnd.pypi.simple.v1+json"
_FORBIDDEN: Final = 403
_NOT_FOUND: Final = 404


@dataclass(frozen=True, slots=True)
class IndexEvidence:
    """The receipts of one registry, asked for over the network."""

    location: Location
    trusted: Trusted
    reading: Reading

    def find_receipt(self, target: Target) -> bytes:
        """Return the receipt of a file; raise NotVerifiedError."""
        # A longer answer is refused as an envelope, and one without an end here.
        reply = self.reading.get(self._url(target, "receipt"), _RECEIPT, 2 * MAX_ENVELOPE_BYTES)
        if reply.status == _NOT_FOUND:
            said = reason_in(reply)
            raise NotVerifiedError("no-receipt", f"the registry has no receipt of it: {said}")
        return self._read(reply, "receipt")

    def find_provenance(self, target: Target) -> bytes | None:
        """Return the provenance object of a file; None if there is none."""
        url = self._url(target, "provenance")
        reply = self.reading.get(url, _PROVENANCE, MAX_PROVENANCE_BYTES)
        return None if reply.status == _NOT_FOUND else self._read(reply, "provenance")

    def find_files(self, requirement: HashedRequirement) -> Iterator[Target | Unverifiable]:
        """Yield the file of each hash of a requirement, as the project's page names them."""
        names = self._names(requirement)
        for sha256 in requirement.hashes:
            found = names.get(sha256)
            if found is None:
                error = NotVerifiedError(
                    "not-in-registry", f"the registry has no file with the sha256 {sha256}"
                )
                project = requirement.project
                yield Unverifiable(project, requirement.source, error, project)
            else:
                yield _of_project(found, sha256, requirement)

    def list_files(self, project: NormalizedName) -> Sequence[Offered]:
        """Return all files of a project; raise NotVerifiedError."""
        return tuple(read_offers(self._page_of(project).document))

    def _names(self, requirement: HashedRequirement) -> Mapping[str, str]:
        """Return the name of each file of a project, by its hash."""
        digests = digests_in(self._page_of(requirement.project))
        return {digest: name for name, digest in digests.items()}

    def _page_of(self, project: NormalizedName) -> Reply:
        url = f"{self.location.base_url}/simple/{project}/"
        reply = self.reading.get(url, _PAGE, MAX_BYTES)
        if reply.status != _NOT_FOUND:
            self._read(reply, "page")
        return reply

    def _url(self, target: Target, what: str) -> str:
        parts = (target.project, str(target.version), target.filename, what)
        path = "/".join(quote(part, safe="") for part in parts)
        return f"{self.location.base_url}/integrity/{path}"

    def _read(self, reply: Reply, what: str) -> bytes:
        if reply.is_success:
            return reply.body
        said = reason_in(reply) or f"it answered {reply.status}"
        if reply.status in {UNAUTHORIZED, _FORBIDDEN}:
            said = (
                f"{said}. The credentials for {self.location.base_url} are those of its URL, of a "
                "netrc file, of the job, or of the keyring: `pytp-broker login` keeps a token there"
            )
            raise NotVerifiedError("unauthorized", f"the registry gives no {what}: {said}")
        raise NotVerifiedError("no-answer", f"the registry gives no {what}: {said}")


def _of_project(
    filename: str, sha256: str, requirement: HashedRequirement
) -> Target | Unverifiable:
    """Return the file of a requirement, if its name is one of the project that is required.

    A policy is by project, and a page must not choose which one counts.
    """
    source, project = requirement.source, requirement.project
    target = target_named(filename, sha256, None, source, requirement.folder)
    if target.project in {None, project}:
        return target
    why = f"the registry has the sha256 {sha256} as a file of {target.project}"
    return Unverifiable(project, source, NotVerifiedError("not-in-registry", why), project)


@dataclass(frozen=True, slots=True)
class Network:
    """What asking a registry works with."""

    send: Send
    wait: Callable[[float], object]
    environment: Mapping[str, str]


def open_index(url: str, pinned: KeyDocument | None, network: Network) -> IndexEvidence:
    """Return the receipts of the registry whose index is at a URL; raise VerifyError.

    ``pinned`` are keys that the user has: then the registry is not asked for its own.
    """
    location = _read_location(url)
    trusted = (
        _fetch_trusted(location, network) if pinned is None else _pin(location, pinned, network)
    )
    reading = Reading(
        network.send, network.wait, lambda: find_authorization(url, location, network.environment)
    )
    return IndexEvidence(location, trusted, reading)


def find_index(pinned: KeyDocument | None, network: Network) -> IndexEvidence:
    """Return the receipts of the registry that the environment names; raise VerifyError."""
    if own := network.environment.get(INDEX_VARIABLE):
        return open_index(own, pinned, network)
    seen = []
    for url in _usual_urls(network.environment):
        try:
            return open_index(url, pinned, network)
        except VerifyError as error:
            seen.append(error)
    advice = (
        f"name the index of the registry with --index or in {INDEX_VARIABLE}, or give the keys "
        "and the receipts with --keys and --receipt"
    )
    may_pass = any(error.may_pass for error in seen)
    lines = [*(line for error in seen for line in error.lines), advice]
    raise VerifyError(lines, is_misused=not may_pass, may_pass=may_pass)


def _usual_urls(environment: Mapping[str, str]) -> Iterator[str]:
    """Yield the URLs of the variables of uv and pip; uv may write a name before one."""
    for name in USUAL_VARIABLES:
        for word in environment.get(name, "").split():
            begin, sign, url = word.partition("=")
            yield url if sign and "/" not in begin else word


def _read_location(url: str) -> Location:
    location = Location.parse(url)
    if location is None or location.is_for_upload:
        raise VerifyError(
            f"{_shown(url)} is not the URL of a registry's index; it looks like "
            "https://packages.example.com/acme/simple/"
        )
    return location


def _shown(url: str) -> str:
    return printable(url.rpartition("@")[2])


def _pin(location: Location, keys: KeyDocument, network: Network) -> Trusted:
    """Return keys that the user has, and the registry: a host of its own says which one it is."""
    named = location.prefix.removeprefix("/") or keys.registry
    registry = named or _fetch_keys(location.origin, network).registry
    return Trusted(keys, _checked(registry, location))


def _checked(registry: str | None, location: Location) -> str:
    if registry is None:
        raise VerifyError(f"{location.origin} has no registry at its root: add the registry's name")
    return registry


def _fetch_trusted(location: Location, network: Network) -> Trusted:
    """Return the keys of the deployment to which a registry belongs, and the registry's name.

    A receipt names the deployment by its own host, and only that host may say which keys it has. A
    registry with a host of its own names the deployment, and we ask there.
    """
    here = _fetch_keys(location.origin, network)
    registry = _checked(location.prefix.removeprefix("/") or here.registry, location)
    if here.host == _host_of(location.origin):
        return Trusted(here, registry)
    return Trusted(_fetch_from_deployment(here.host, location.origin, network), registry)


def _fetch_from_deployment(host: str, origin: str, network: Network) -> KeyDocument:
    named = _in_url(host)
    if not is_sent_host(named) or without_port(named) != named:
        raise VerifyError(
            f"{origin} says that it belongs to {printable(host)}, which is not a host",
            is_misused=False,
        )
    keys = _fetch_keys(f"https://{named}{_port_of(origin)}", network)
    if keys.host != host:
        raise VerifyError(
            f"{origin} says that it belongs to {host}, and that is {printable(keys.host)}",
            is_misused=False,
        )
    # The deployment's own host may be that of another registry, and its keys are the same ones.
    return replace(keys, registry=None)


def _in_url(host: str) -> str:
    """Return a host as a URL has it: an IPv6 address in brackets."""
    try:
        return f"[{IPv6Address(host)}]"
    except ValueError:
        return host


def _fetch_keys(origin: str, network: Network) -> KeyDocument:
    url = f"{origin}{_KEYS_PATH}"
    try:
        reply = Reading(network.send, network.wait).get(url, _KEYS, MAX_KEYS_BYTES)
    except NotVerifiedError as error:
        raise VerifyError(
            f"there are no keys: {error}", is_misused=False, may_pass=error.may_pass
        ) from None
    if not reply.is_success:
        raise VerifyError(
            f"{url} answered {reply.status}: this is not a registry that signs receipts",
            is_misused=False,
        )
    return read_keys(reply.body, url)


def _host_of(origin: str) -> str:
    return without_port(origin.removeprefix("https://")).strip("[]")


def _port_of(origin: str) -> str:
    host = origin.removeprefix("https://")
    return host[len(without_port(host)) :]
