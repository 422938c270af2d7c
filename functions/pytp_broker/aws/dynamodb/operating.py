"""The DynamoDB store of an operator's commands; no function imports it."""

import time
from collections.abc import Callable

from pytp_broker.aws.api.dynamodb import DynamoDB
from pytp_broker.aws.dynamodb import RuntimeDynamoStore
from pytp_broker.aws.dynamodb.applying import Applying
from pytp_broker.aws.dynamodb.listing_rows import ListingObjects
from pytp_broker.aws.dynamodb.operator_rows import OperatorRows
from pytp_broker.aws.dynamodb.receipt_key_rows import WrittenReceiptKeyRows
from pytp_broker.aws.dynamodb.survey_rows import SurveyRows
from pytp_broker.side_by_side import SideBySide, in_order
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.withdrawals import Tombstone


class DynamoStore(Applying, RuntimeDynamoStore, OperatorRows, SurveyRows, WrittenReceiptKeyRows):
    """A complete Store: what the functions call, and what only an operator may do.

    ``operator`` says who works with it, for others who are told why they have to wait.
    """

    def __init__(  # noqa: PLR0913 - the last ones have defaults
        self,
        client: DynamoDB,
        table_name: str,
        objects: ListingObjects | None = None,
        now: Callable[[], float] = time.time,
        operator: str | None = None,
        *,
        side_by_side: SideBySide = in_order,
    ) -> None:
        super().__init__(client, table_name, objects, now, side_by_side=side_by_side)
        self._operator = operator or "another operator"

    def yank_release(self, registry: str, project: str, key: str, reason: str | None) -> None:
        """Yank a release; without a reason, unyank it."""
        with self._announced((registry, project)):
            super().yank_release(registry, project, key, reason)

    def delete_file(
        self, registry: str, project: str, filename: str, tombstone: Tombstone
    ) -> Tombstone:
        """Give a published file a tombstone; return the one that is in force now."""
        with self._announced((registry, project)):
            return super().delete_file(registry, project, filename, tombstone)

    def set_status(self, registry: str, project: str, status: ProjectStatus) -> None:
        """Give a project a status; an active one needs no row.

        First we note it beside the listing, where a reader that has the page already looks.
        """
        self._note_status((registry, project))
        super().set_status(registry, project, status)
