"""Lambda entry point of the broker function; all of this runs once, while the function starts."""

import os
from functools import partial

import boto3

from pytp_broker.aws.dynamodb import DynamoStore
from pytp_broker.aws.edge import CLIENT_CONFIG, Edge, utc_now
from pytp_broker.disclosure import DisclosureKeys
from pytp_broker.fetch import HttpFetch
from pytp_broker.handlers.broker import ROUTES
from pytp_broker.keysets import KeySets
from pytp_broker.registries import ConfigurationCache
from pytp_broker.services import Broker
from pytp_broker.settings import BrokerSettings, environment_proxy

settings = BrokerSettings.from_environment(os.environ)
edge = Edge("broker")
fetch = HttpFetch(only_public=True)
reach = partial(fetch.reach, environment_proxy=environment_proxy(os.environ))
store = DynamoStore(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.table)
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
