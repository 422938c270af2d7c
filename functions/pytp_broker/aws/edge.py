"""The edge of every Lambda function: its log, its metrics and its last error handler.

Nothing that a caller sends is logged as it is: no event, header, body or token. The audit record of
a request holds what may be known about it.
"""

import traceback
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import boto3
from aws_lambda_powertools import Logger
from aws_lambda_powertools.metrics import MetricUnit, single_metric
from aws_lambda_powertools.utilities.typing import LambdaContext
from botocore.config import Config

from pytp_broker.audit.record import Audit, AuditRecord
from pytp_broker.aws.dynamodb import DynamoStore
from pytp_broker.aws.s3 import S3Files
from pytp_broker.endpoints import events as gateway
from pytp_broker.endpoints.routing import Routes, S
from pytp_broker.errors import Unexpected
from pytp_broker.http.messages import problem_response
from pytp_broker.services import Index
from pytp_broker.settings import IndexSettings
from pytp_broker.storage.cache import ConfigurationCache

NAMESPACE: Final = "pytp-broker"

# Clients wait 5 s for an exchange. DynamoDB and S3 answer in milliseconds, so a second attempt on
# another connection helps more than a longer wait for the first.
CLIENT_CONFIG: Final = Config(
    connect_timeout=1, read_timeout=2, retries={"mode": "standard", "total_max_attempts": 2}
)
# For download URLs. Without this, boto3 signs them with the old version 2, for a host that
# redirects to the bucket's region.
S3_CONFIG: Final = CLIENT_CONFIG.merge(
    Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
)

# A function receives at most 6 MiB, with the body in base64: 4 characters for 3 bytes. API Gateway
# itself refuses a larger request, with its own 413.
MAX_UPLOAD_BYTES: Final = 6 * 1024 * 1024 * 3 // 4

LambdaHandler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]


def utc_now() -> datetime:
    """Return the time; the whole deployment uses this clock."""
    return datetime.now(UTC)


class Edge:
    """One function's edge, made once while the function starts."""

    def __init__(self, function: str) -> None:
        # The level is not a setting, because we log nothing but audit records and failures, and
        # nobody may switch audit records off.
        self._logger = Logger(service=function, level="INFO")

    def audit(self, record: AuditRecord) -> None:
        """Log an audit record as one line and count it as one metric."""
        self._logger.info(record.message, audit=record.document())
        _count("AuditRecords", record.labels)

    def handler(self, routes: Routes[S], services: S) -> LambdaHandler:
        """Return the function's Lambda handler, which answers every event even after an error."""

        # log_event=False is written out on purpose: otherwise an environment variable could turn it
        # on.
        @self._logger.inject_lambda_context(log_event=False)
        def handle(event: dict[str, Any], _context: LambdaContext) -> dict[str, Any]:
            try:
                return gateway.handle(event, routes, services)
            except Exception as error:  # noqa: BLE001 - the outermost edge
                failure = error
            # We report after the `except` block. If the report failed inside it, Python would print
            # both errors, and the first one's message may hold a token.
            self._report(failure)
            path = event.get("rawPath", "")
            problem = problem_response(Unexpected(), path, services.error_type_base)
            return gateway.write_result(problem)

        return handle

    def _report(self, error: Exception) -> None:
        # Log types and places only, because a message or a local variable may quote the request.
        self._logger.error("unexpected error", error=[*_describe(error)])
        _count("UnexpectedErrors", {})


def open_index(settings: IndexSettings, audit: Audit) -> Index:
    """Return the services of the functions that handle files, with new AWS clients."""
    store = DynamoStore(boto3.client("dynamodb", config=CLIENT_CONFIG), settings.table)
    return Index(
        store=store,
        configurations=ConfigurationCache(store.load_configuration),
        shared_host=settings.shared_host,
        now=utc_now,
        audit=audit,
        error_type_base=settings.error_type_base,
        max_upload_bytes=MAX_UPLOAD_BYTES,
        files=S3Files(boto3.client("s3", config=S3_CONFIG), settings.bucket),
    )


def _describe(error: BaseException | None) -> Iterator[dict[str, Any]]:
    while error is not None:
        frames = traceback.StackSummary.extract(
            traceback.walk_tb(error.__traceback__), lookup_lines=False
        )
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        yield {"type": type(error).__qualname__, "frames": places}
        error = error.__cause__ or error.__context__


def _count(name: str, labels: dict[str, str]) -> None:
    # Labels must have few values: each label is a dimension, and each combination a separate
    # metric.
    with single_metric(name=name, unit=MetricUnit.Count, value=1, namespace=NAMESPACE) as metric:
        for label, value in labels.items():
            metric.add_dimension(label, value or "none")
