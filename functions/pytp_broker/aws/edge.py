"""The edge of every Lambda function: its log, its metrics and its last error handler.

Nothing that a caller sends is logged as it is: no event, header, body or token. The audit record of
a request holds what may be known about it.
"""

import traceback
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, Final, TypeVar

from pytp_broker.audit.record import AuditRecord
from pytp_broker.aws.clients import function_clients
from pytp_broker.aws.cloudwatch import CloudWatch, LambdaContext
from pytp_broker.aws.dynamodb import RuntimeDynamoStore
from pytp_broker.aws.dynamodb.listing_rows import ListingObjects
from pytp_broker.aws.lambda_attester import LambdaAttester
from pytp_broker.aws.s3 import S3Files
from pytp_broker.aws.s3_listings import S3Listings
from pytp_broker.endpoints import events as gateway
from pytp_broker.endpoints.routing import Routes, S
from pytp_broker.errors import Problem, Unexpected
from pytp_broker.http.kept_pages import KeptPages
from pytp_broker.http.messages import problem_response
from pytp_broker.provenance.attester import Attester
from pytp_broker.provenance.signing import Signer
from pytp_broker.provenance.timestamps import Stamper
from pytp_broker.services import Index, Services, build, build_index
from pytp_broker.settings import IndexSettings, Settings
from pytp_broker.side_by_side import SideBySide, in_order
from pytp_broker.verifier import NoVerifier, Verifier

# A function receives at most 6 MiB, with the body in base64: 4 characters for 3 bytes. API Gateway
# itself refuses a larger request, with its own 413.
MAX_UPLOAD_BYTES: Final = 6 * 1024 * 1024 * 3 // 4

# An instance answers one request at a time, and lives for minutes: it keeps fewer pages.
_KEPT_PAGES_BYTES: Final = 8 * 1024 * 1024

# The function answers in milliseconds, but takes seconds to start.
ATTEST_SECONDS: Final = 15

A = TypeVar("A")
LambdaHandler = Callable[[dict[str, Any], LambdaContext], dict[str, Any]]
TaskHandler = Callable[[Mapping[str, Any], LambdaContext], A]


class TaskFailedError(Exception):
    """A task could not be done now; the log of the function says why."""


class Edge:
    """One function's edge, made once while the function starts."""

    def __init__(self, function: str) -> None:
        self._cloudwatch = CloudWatch(function)
        self.clients = function_clients()

    def audit(self, record: AuditRecord) -> None:
        """Log an audit record as one line and count it as one metric."""
        self._cloudwatch.log("INFO", record.message, audit=record.document())
        self._cloudwatch.count("AuditRecords", record.labels)

    def services(
        self,
        settings: Settings,
        listings: ListingObjects | None = None,
        side_by_side: SideBySide = in_order,
    ) -> Services:
        """Return the services that every function has."""
        client = self.clients.dynamodb()
        return build(
            RuntimeDynamoStore(client, settings.table, listings, side_by_side=side_by_side),
            shared_host=settings.shared_host,
            audit=self.audit,
            error_type_base=settings.error_type_base,
        )

    def index(  # noqa: PLR0913 - the last ones have defaults
        self,
        settings: IndexSettings,
        verifier: Verifier | None = None,
        stamper: Stamper | None = None,
        make_signer: Callable[[Services], Signer] | None = None,
        *,
        attester: Attester | None = None,
        side_by_side: SideBySide = in_order,
    ) -> Index:
        """Return the services of the functions that handle files."""
        s3 = self.clients.s3()
        files, listings = S3Files(s3, settings.bucket), S3Listings(lambda: s3, settings.bucket)
        services = self.services(settings, listings, side_by_side)
        return build_index(
            services,
            files=files,
            max_upload_bytes=MAX_UPLOAD_BYTES,
            verifier=verifier or NoVerifier(),
            stamper=stamper,
            signer=make_signer(services) if make_signer else None,
            attester=attester,
            kept_pages=KeptPages(_KEPT_PAGES_BYTES),
            side_by_side=side_by_side,
        )

    def attester(self, function: str) -> Attester:
        """Return what lets the attest function verify attestations."""
        return LambdaAttester(partial(self.clients.waiting_lambdas, ATTEST_SECONDS), function)

    def handler(self, routes: Routes[S], services: S) -> LambdaHandler:
        """Return the function's Lambda handler, which answers every event even after an error."""

        def handle(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
            self._cloudwatch.begin(context)
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

    def task(self, run: Callable[[Mapping[str, Any]], A]) -> TaskHandler[A]:
        """Return the handler of a function that no gateway calls: it runs a task.

        Lambda runs a task again that has failed. It logs the error and keeps it, so the error is
        always the same and quotes nothing.
        """

        def handle(event: Mapping[str, Any], context: LambdaContext) -> A:
            self._cloudwatch.begin(context)
            try:
                return run(event)
            except Exception as error:  # noqa: BLE001 - the outermost edge
                failure = error
            if not isinstance(failure, Problem):  # a Problem has left an audit record
                self._report(failure)
            raise TaskFailedError

        return handle

    def unaudited_task(self, run: Callable[[Mapping[str, Any]], A]) -> TaskHandler[A]:
        """Return the handler of a task that keeps no audit records: the log says why it failed."""

        def run_and_tell(event: Mapping[str, Any]) -> A:
            try:
                return run(event)
            except Problem as problem:
                self._cloudwatch.log("WARNING", problem.detail, why=problem.operator_detail)
                raise

        return self.task(run_and_tell)

    def _report(self, error: Exception) -> None:
        # Log types and places only, because a message or a local variable may quote the request.
        self._cloudwatch.log("ERROR", "unexpected error", error=[*_describe(error)])
        self._cloudwatch.count("UnexpectedErrors", {})


def _describe(error: BaseException | None) -> Iterator[dict[str, Any]]:
    while error is not None:
        frames = traceback.StackSummary.extract(
            traceback.walk_tb(error.__traceback__), lookup_lines=False
        )
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        yield {"type": type(error).__qualname__, "frames": places}
        error = error.__cause__ or error.__context__
