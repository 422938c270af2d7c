"""Lambda entry point of the upload function; all of this runs once, while the function starts."""

import os

import boto3

from pytp_broker.aws.dynamodb import DynamoStore
from pytp_broker.aws.edge import CLIENT_CONFIG, S3_CONFIG, Edge, utc_now
from pytp_broker.aws.s3 import S3Files
from pytp_broker.handlers.upload import ROUTES
from pytp_broker.registries import ConfigurationCache
from pytp_broker.services import Index
from pytp_broker.settings import IndexSettings

settings = IndexSettings.from_environment(os.environ)
edge = Edge("upload")
store = DynamoStore(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.table)
handler = edge.handler(
    ROUTES,
    Index(
        store=store,
        configurations=ConfigurationCache(store.load_configuration),
        shared_host=settings.shared_host,
        now=utc_now,
        audit=edge.audit,
        files=S3Files(boto3.client("s3", config=S3_CONFIG), settings.bucket),
    ),
)
