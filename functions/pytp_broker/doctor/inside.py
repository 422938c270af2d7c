"""Checks of what the store says: issuers' keys, keys of receipts, listings, the configuration."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, Final

from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, warning, well
from pytp_broker.errors import StoreUnavailable
from pytp_broker.http import paths
from pytp_broker.oidc.discovery import fetch_key_set
from pytp_broker.oidc.documents import FetchError, Reach
from pytp_broker.oidc.jwks import read_key_set
from pytp_broker.provenance.receipt_keys import ReceiptKey, signing_key
from pytp_broker.redaction import and_more, printable
from pytp_broker.registries import Issuer
from pytp_broker.storage.plan import make_plan
from pytp_broker.trust.built_in import with_built_in

if TYPE_CHECKING:
    from pytp_broker.doctor.visit import Visit
    from pytp_broker.storage.protocols import Store

_OK: Final = 200
_MAX_ISSUERS: Final = 50
_MAX_PROJECTS: Final = 100
_NAMED: Final = 5
# An operator who learns of it today can still rotate in time.
_SOON: Final = timedelta(days=7)

ISSUER_UNREACHABLE: Final = Flaw(
    "issuer-unreachable",
    "ask the issuer's operators, and look at the network between; docs/operate.md says what each "
    "reason means",
)
ISSUER_NO_KEYS: Final = Flaw(
    "issuer-no-keys",
    "ask the issuer's operators: none of its keys is an asymmetric one for {algorithms}",
)
NO_RECEIPT_KEY: Final = Flaw(
    "receipt-key-missing",
    "run pytp-broker apply --config FILE {target}, which registers the first key, or pytp-broker "
    "receipt-key rotate {target}: uploads fail without one",
)
RECEIPT_KEY_ENDS: Final = warning(
    "receipt-key-ends", "make the next key: pytp-broker receipt-key rotate {target}"
)
RECEIPT_KEY_UNUSABLE: Final = Flaw(
    "receipt-key-unusable",
    "restore the private key of {key}, or make a new one: pytp-broker receipt-key rotate {target}",
)
RECEIPT_KEYS_UNPUBLISHED: Final = Flaw(
    "receipt-keys-unpublished",
    "let no cache keep {host}/.well-known/pytp-receipt-keys, and check that the host is this "
    "broker's",
)
LISTING_DIFFERS: Final = Flaw(
    "listing-differs",
    "publish or yank something of {project}, which writes its page anew; a rollback to a version "
    "without listings leaves this",
)
CONFIGURATION_DIFFERS: Final = Flaw(
    "configuration-differs",
    "look with pytp-broker plan --config FILE {target}, then apply, or change the file",
)
NO_CONFIGURATION: Final = warning(
    "configuration-empty", "run pytp-broker apply --config FILE {target}: there is no registry"
)


def look_at_configuration(visit: "Visit") -> Iterator[Finding]:
    """Count what operators have configured."""
    setup = visit.setup
    assert setup is not None  # noqa: S101 - the check needs it
    registries = setup.configuration.registries
    if registries:
        rules = len(setup.publishers)
        yield well(f"registries: {len(registries)}; publishers and readers: {rules}")
    else:
        yield NO_CONFIGURATION.found("no registry is configured")


def look_at_drift(visit: "Visit") -> Iterator[Finding]:
    """Compare the store with the files of --config."""
    if visit.store is None:
        raise NotCheckedError("give --data or --stack too: only a store can be compared with FILE")
    setup, loaded = visit.setup, visit.loaded
    assert setup is not None  # noqa: S101 - it comes with the store
    assert loaded is not None  # noqa: S101 - the check needs it
    lines = make_plan(setup, loaded.configuration, loaded.publishers).lines
    if lines:
        shown = and_more([f"`{line}`" for line in lines[:_NAMED]], len(lines))
        yield CONFIGURATION_DIFFERS.found(f"{len(lines)} changes would apply: {shown}")
    else:
        yield well("the store is as the files say")


def look_at_issuers(visit: "Visit") -> Iterator[Finding]:
    """Fetch the keys of every issuer in use, as the broker does."""
    issuers = list(islice(_issuers(visit), _MAX_ISSUERS))
    if not issuers:
        raise NotCheckedError("no publisher, reader or issuer is configured")
    reach = _reach(visit)
    with ThreadPoolExecutor(8, "issuer") as workers:
        for findings in workers.map(partial(_look_at_issuer, visit, reach), issuers):
            yield from findings


def _issuers(visit: "Visit") -> Iterable[Issuer]:
    """Return the issuers that publishers and readers have, and those with a table of their own."""
    setup = visit.setup
    assert setup is not None  # noqa: S101 - the check needs it
    known = with_built_in(setup.configuration).issuers
    used = [*setup.configuration.issuers, *(p.issuer for p in setup.publishers.values())]
    found = (known.get(url) for url in dict.fromkeys(used))
    return (issuer for issuer in found if issuer is not None and issuer.enabled)


def _reach(visit: "Visit") -> Reach:
    import os

    from pytp_broker.oidc.fetch import HttpFetch
    from pytp_broker.settings import environment_proxy

    only_public = visit.cloud is not None
    proxy = environment_proxy(os.environ)
    return HttpFetch(only_public=only_public, environment_proxy=proxy, max_threads=16).reach


def _look_at_issuer(visit: "Visit", reach: Reach, issuer: Issuer) -> Sequence[Finding]:
    age = _age_of_keys(visit, issuer)
    kept = f"; the store has keys of {_hours(age)}" if age else ""
    try:
        raw_keys = fetch_key_set(issuer, reach(issuer.access))
    except FetchError as error:
        if visit.cloud is not None and issuer.access.is_private:
            return [
                well(f"{issuer.url} is private: only the broker's own network reaches it{kept}")
            ]
        said = printable(error.explanation)
        return [ISSUER_UNREACHABLE.found(f"{printable(issuer.url)}: {said}{kept}")]
    keys = read_key_set(raw_keys, issuer)
    if not keys:
        algorithms = ", ".join(issuer.algorithms)
        count = f"{printable(issuer.url)} publishes {len(raw_keys)} keys, and none is usable"
        return [ISSUER_NO_KEYS.found(f"{count}{kept}", algorithms=algorithms)]
    return [well(f"{printable(issuer.url)} publishes {len(keys)} usable keys{kept}")]


def _age_of_keys(visit: "Visit", issuer: Issuer) -> timedelta | None:
    """Return how long ago the broker fetched an issuer's keys, if the store says it."""
    try:
        stored = visit.store.find_key_set(issuer.url) if visit.store else None
    except StoreUnavailable:  # an operator may read the rest, and not this
        return None
    return datetime.now(UTC) - stored.fetched_at if stored else None


def _hours(age: timedelta) -> str:
    minutes = int(age.total_seconds()) // 60
    if minutes < 120:  # noqa: PLR2004 - two hours
        return f"{max(minutes, 0)} minutes ago"
    return f"{minutes // 60} hours ago"


def look_at_receipt_keys(visit: "Visit") -> Iterator[Finding]:
    """Ask for the key that signs receipts now, and for how long it will."""
    store = visit.store
    assert store is not None  # noqa: S101 - the check needs it
    keys, now = store.list_receipt_keys(), datetime.now(UTC)
    key = signing_key(keys, now)
    if key is None:
        yield NO_RECEIPT_KEY.found(f"none of {len(keys)} keys signs receipts now")
        return
    end = key.not_after
    is_followed = any(each.signs_at(end) and each != key for each in keys) if end else True
    if end and end - now < _SOON and not is_followed:
        yield RECEIPT_KEY_ENDS.found(f"the key {key.key_id} ends on {end:%Y-%m-%d}, without a next")
        return
    unusable = _why_unusable(key, visit)
    if unusable is not None:
        yield RECEIPT_KEY_UNUSABLE.found(unusable, key=key.key_id)
    else:
        yield well(f"the key {key.key_id} signs receipts since {key.not_before:%Y-%m-%d}")


def _why_unusable(key: ReceiptKey, visit: "Visit") -> str | None:
    """Return why the private key of a public one cannot sign, or None."""
    if visit.folder is not None:
        from pytp_broker.local.key_folder import KeyFileError, KeyFolder

        try:
            KeyFolder(visit.folder).load(key)
        except KeyFileError as error:
            return str(error).partition(";")[0]
        return None
    if visit.cloud is None or not key.location:
        return None
    asked = visit.cloud.ask("kms", "describe_key", KeyId=key.location)
    state = printable(str(asked["KeyMetadata"]["KeyState"]))
    return None if state == "Enabled" else f"the state of {key.location} in KMS is {state}"


def look_at_published_keys(visit: "Visit") -> Iterator[Finding]:
    """Compare the published keys of receipts with the store's."""
    web, store = visit.web, visit.store
    assert web is not None  # noqa: S101 - the check needs it
    assert store is not None  # noqa: S101 - the check needs it
    with web.line() as line:
        seen = line.ask("GET", str(paths.RECEIPT_KEYS))
    listed = seen.document.get("keys")
    published = _ids(listed if isinstance(listed, list) else [])
    missing = {key.key_id for key in store.list_receipt_keys()} - published
    if seen.status != _OK or missing:
        what = f"{paths.RECEIPT_KEYS} answered {seen}, without {len(missing)} keys of the store"
        yield RECEIPT_KEYS_UNPUBLISHED.found(what, host=web.host)
    else:
        yield well(f"all public keys of receipts are published ({len(published)})")


def _ids(keys: Iterable[object]) -> set[str]:
    return {str(key.get("kid")) for key in keys if isinstance(key, Mapping)}


def look_at_listings(visit: "Visit") -> Iterator[Finding]:
    """Compare what pages show with the records of files."""
    store, setup = visit.store, visit.setup
    assert store is not None  # noqa: S101 - the check needs it
    assert setup is not None  # noqa: S101 - it comes with the store
    count, bad = 0, 0
    for registry in setup.configuration.registries:
        projects = store.list_projects(registry)
        for project in projects if visit.thorough else islice(projects, _MAX_PROJECTS):
            count += 1
            # Somebody may publish between the two reads, so a difference must be seen twice.
            differs = _difference(store, registry, project) and _difference(
                store, registry, project
            )
            if differs and bad < _NAMED:
                bad += 1
                yield LISTING_DIFFERS.found(differs, project=project)
    if not bad:
        yield well(f"the pages of {count} projects show what their records say")


def _difference(store: "Store", registry: str, project: str) -> str:
    shown = store.find_files(registry, project)
    deleted = store.list_withdrawn(registry, project).deleted
    records = {f.filename: f.sha256 for f in store.list_files(registry, project)}
    expected = {name: sha for name, sha in records.items() if name not in deleted}
    found = {f.filename: f.sha256 for f in shown.files} if shown else {}
    if found == expected:
        return ""
    place = f"the page of {registry}/{project}"
    return f"{place} shows {len(found)} files, and {len(expected)} are published"
