"""The local deployment: every function of the template behind the local gateway."""

import asyncio
import os
import socket
from collections.abc import Mapping
from functools import partial
from typing import Final

from pytp_broker.endpoints import broker, introspect, read, upload, web
from pytp_broker.endpoints.admission import MAX_FIELDS_BYTES, max_body_bytes
from pytp_broker.endpoints.events import Event, handle_here
from pytp_broker.errors import DEFAULT_TYPE_BASE
from pytp_broker.index.web.website import build_website
from pytp_broker.leaks import GITHUB_KEYS_URL
from pytp_broker.local.at_once import AtOnce, NeverAtOnce
from pytp_broker.local.background_verifier import BackgroundVerifier
from pytp_broker.local.gateway import Function, Gateway
from pytp_broker.local.log import Log
from pytp_broker.local.measures import (
    UNMEASURED,
    MeasuredSigner,
    Measures,
    Watched,
    audited,
    measured_reach,
)
from pytp_broker.local.objects import Objects
from pytp_broker.local.proxies import Proxies
from pytp_broker.local.routes import RouteTable, find_template, load_template
from pytp_broker.local.uploads import Admit, Uploads
from pytp_broker.oidc.fetch import HttpFetch
from pytp_broker.provenance.attester import Attester
from pytp_broker.provenance.signing import Signer
from pytp_broker.registries import LARGEST_FILE_SIZE, Access
from pytp_broker.services import Broker, Clock, Index, build, build_broker, build_index
from pytp_broker.settings import environment_proxy
from pytp_broker.stamping import make_stamper
from pytp_broker.storage.cache import ConfigurationCache
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import FileStore
from pytp_broker.storage.protocols import Storage
from pytp_broker.storage.sqlite import SqliteStore

# The registry decides how large a file may be.
MAX_UPLOAD_BYTES: Final = LARGEST_FILE_SIZE + MAX_FIELDS_BYTES
# A signal must take effect within ten seconds, which includes reading and applying the file.
_CONFIGURATION_SECONDS: Final = 5
# A disk gives a file of this size within a second, and a client that must ask for the result asks a
# second later.
IMMEDIATE_BYTES: Final = 128 * 1024 * 1024


def build_gateway(  # noqa: PLR0913 - the last six are settings with a default
    storage: Storage,
    shared_host: str,
    log: Log,
    disclosure_keys_url: str = GITHUB_KEYS_URL,
    error_type_base: str = DEFAULT_TYPE_BASE,
    *,
    verifier: BackgroundVerifier,
    signer: Signer | None = None,
    attester: Attester | None = None,
    proxies: Proxies = Proxies(),  # noqa: B008 - it never changes
    measures: Measures = UNMEASURED,
) -> Gateway:
    """Return the gateway with every function behind it; raise TemplateError, OSError."""
    configurations = ConfigurationCache(
        storage.store.load_configuration, max_age_seconds=_CONFIGURATION_SECONDS
    )
    services = build(
        storage.store,
        shared_host=shared_host,
        audit=audited(log, measures),
        configurations=configurations,
        error_type_base=error_type_base,
    )
    fetch = HttpFetch(only_public=False, environment_proxy=environment_proxy(os.environ))
    exchange = build_broker(
        services,
        reach=measured_reach(fetch.reach, measures),
        disclosure_keys_url=disclosure_keys_url,
        # The operator gives this URL, which may lead to a copy of the list inside the private
        # network.
        fetch_disclosure_keys=fetch.reach(Access(is_private=True)),
    )
    index = build_index(
        services,
        files=storage.files,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        verifier=verifier,
        signer=signer and MeasuredSigner(signer, measures),
        stamper=make_stamper(services.now, only_public=False),
        attester=attester,
        immediate_bytes=IMMEDIATE_BYTES,
        side_by_side=storage.side_by_side,
    )
    verifier.attach(storage.store, index)

    async def admit(event: Event) -> int:
        return await asyncio.to_thread(max_body_bytes, event, index)

    gateway = Gateway(
        RouteTable.from_template(load_template(find_template())),
        _functions(exchange, index),
        log,
        error_type_base,
        uploads=_uploads(admit, storage.files, services.now),
        proxies=proxies,
        measures=measures,
        at_once=_at_once(storage, exchange, index),
    )
    measures.watch(_watch(gateway, exchange, verifier))
    return gateway


def _watch(gateway: Gateway, exchange: Broker, verifier: BackgroundVerifier) -> Watched:
    return Watched(
        lanes=gateway.lanes,
        connections=lambda: gateway.count_connections(),  # noqa: PLW0108 - the server sets it later
        waiting_files=verifier.count_waiting,
        refusing_sources=exchange.budget.count_sources,
        key_set_ages=lambda: [
            (issuer.provider, age.total_seconds())
            for issuer, age in exchange.key_sets.ages(exchange.now())
        ],
        configuration_age=exchange.configurations.age,
        registries=lambda: getattr(exchange.configurations.peek(), "registries", ()),
    )


def _uploads(admit: Admit, files: FileStore, now: Clock) -> Uploads:
    """Return what the gateway needs to know about uploads; raise OSError.

    Large bodies wait beside the files: a system's folder for temporary files may be in memory.
    """
    if isinstance(files, FolderFiles):
        return Uploads(admit, files.make_incoming(), Objects(files, now))
    return Uploads(admit)


def _at_once(storage: Storage, exchange: Broker, index: Index) -> NeverAtOnce:
    if isinstance(storage.store, SqliteStore):
        return AtOnce(storage.store, exchange, index)
    return NeverAtOnce()


def _functions(exchange: Broker, index: Index) -> Mapping[str, Function]:
    """Return the functions by their names in the template."""
    return {
        "BrokerFunction": partial(handle_here, routes=broker.ROUTES, services=exchange),
        "UploadFunction": partial(handle_here, routes=upload.ROUTES, services=index),
        "ReadFunction": partial(handle_here, routes=read.ROUTES, services=index),
        "WebFunction": partial(handle_here, routes=web.ROUTES, services=build_website(index)),
        "IntrospectFunction": partial(handle_here, routes=introspect.ROUTES, services=index),
    }


def listen(host: str, port: int) -> socket.socket:
    """Return a socket bound to the address; port 0 means any free port. Raises OSError."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family)
