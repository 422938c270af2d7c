"""Lambda entry point of the introspect function; all of this runs once, while it starts."""

import os

import boto3

from pytp_broker.aws.dynamodb import DynamoStore
from pytp_broker.aws.edge import CLIENT_CONFIG, Edge, utc_now
from pytp_broker.endpoints.introspect import ROUTES
from pytp_broker.services import Services
from pytp_broker.settings import Settings
from pytp_broker.storage.cache import ConfigurationCache

settings = Settings.from_environment(os.environ)
edge = Edge("introspect")
store = DynamoStore(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.table)
handler = edge.handler(
    ROUTES,
    Services(
        store=store,
        configurations=ConfigurationCache(store.load_configuration),
        shared_host=settings.shared_host,
        now=utc_now,
        audit=edge.audit,
        error_type_base=settings.error_type_base,
    ),
)
