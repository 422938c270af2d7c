"""Lambda entry point of the broker function; all of this runs once, while the function starts."""

import os

import boto3

from pytp_broker.aws.dynamodb import DynamoStore
from pytp_broker.aws.edge import CLIENT_CONFIG, Edge, utc_now
from pytp_broker.endpoints.broker import ROUTES
from pytp_broker.leaks import DisclosureKeys
from pytp_broker.oidc.documents import Fetch
from pytp_broker.oidc.fetch import HttpFetch
from pytp_broker.oidc.keysets import KeySets
from pytp_broker.registries import Access
from pytp_broker.services import Broker
from pytp_broker.settings import BrokerSettings, environment_proxy
from pytp_broker.storage.cache import ConfigurationCache

settings = BrokerSettings.from_environment(os.environ)
edge = Edge("broker")
fetch = HttpFetch(only_public=True)
store = DynamoStore(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.table)


def reach(access: Access) -> Fetch:
    """Return the fetch for an issuer; ``access`` says how to reach it."""
    return fetch.reach(access, environment_proxy(os.environ))


handler = edge.handler(
    ROUTES,
    Broker(
        store=store,
        configurations=ConfigurationCache(store.load_configuration),
        shared_host=settings.shared_host,
        now=utc_now,
        audit=edge.audit,
        error_type_base=settings.error_type_base,
        key_sets=KeySets(fetch, store, edge.audit, reach=reach),
        disclosure_keys=DisclosureKeys(settings.disclosure_keys_url, fetch, store, edge.audit),
    ),
)
