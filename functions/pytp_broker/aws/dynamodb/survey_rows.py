"""A survey of a registry in DynamoDB: one scan of the table.

A scan reads 1 MB in a round trip, whatever it is for. Queries would take three round trips for each
project.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytp_broker.aws.dynamodb.file_rows import read_file, read_status, read_tombstone
from pytp_broker.aws.dynamodb.publisher_rows import NOBODY, read_trust
from pytp_broker.aws.dynamodb.table import Table, attributes
from pytp_broker.storage.protocols import WHOLE_REGISTRY
from pytp_broker.storage.survey import (
    DeletedFile,
    GivenStatus,
    Piece,
    TrustedBy,
    YankedRelease,
)

# The partitions that say something of a project; further ones hold what only an upload needs.
_KINDS: Final = ("PROJECT", "TRUST", "STATUS", "YANKED")


class SurveyRows(Table):
    """All projects of a registry at once."""

    def survey(self, registry: str) -> Iterator[Piece]:
        """Yield all that is known of a registry's projects, in any order."""
        values = {f":{kind.lower()}": f"{kind}#{registry}#" for kind in _KINDS}
        rows = self._pages(
            self._client.scan,
            ConsistentRead=True,
            FilterExpression=" OR ".join(f"begins_with(pk, {value})" for value in values),
            ExpressionAttributeValues=attributes(**values),
        )
        for row in rows:
            yield from _read_pieces(row)


def _read_pieces(row: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield the pieces in a row, if there are any."""
    kind, _, project = row["pk"].split("#", 2)
    part, _, name = row["sk"].partition("#")
    match kind, part:
        case "PROJECT", "FILE":
            yield read_file(row)
        case "YANKED", "YANKED":
            yield YankedRelease(project, name, row["reason"])
        case "YANKED", "DELETED":
            yield DeletedFile(project, name, read_tombstone(row))
        case "STATUS", _:
            yield GivenStatus(project, read_status(row))
        case "TRUST", _ if project != WHOLE_REGISTRY:
            for publisher_id in read_trust(row.get("publisher_ids", NOBODY)):
                yield TrustedBy(project, publisher_id)
