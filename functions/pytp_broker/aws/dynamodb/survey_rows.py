"""A survey of a registry in DynamoDB: one scan of the table.

A scan reads 1 MB in a round trip, whatever it is for. Queries would take three round trips for each
project.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pytp_broker.aws.dynamodb.file_rows import FileRows, read_file, read_status, read_tombstone
from pytp_broker.aws.dynamodb.publisher_rows import NOBODY, read_trust
from pytp_broker.aws.dynamodb.reservations import Row, has_all
from pytp_broker.aws.dynamodb.table import attributes
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


class SurveyRows(FileRows):
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
        # What was published together is held back until the scan has found all of it.
        batches: dict[tuple[str, str], list[Row]] = {}
        for row in rows:
            if "batch" not in row:
                yield from _read_pieces(row)
                continue
            place = row["pk"], row["batch"]
            batches.setdefault(place, []).append(row)
            if has_all(batches[place]):
                yield from map(read_file, self._visible(batches.pop(place)))
        for pk, batch in batches:
            _, _, project = pk.split("#", 2)
            missed = self._list_rows(registry, project)
            yield from (read_file(row) for row in missed if row.get("batch") == batch)


def _read_pieces(row: Mapping[str, Any]) -> Iterator[Piece]:
    """Yield the pieces in a row, if there are any."""
    kind, _, project = row["pk"].split("#", 2)
    part, _, name = row["sk"].partition("#")
    match kind, part:
        case "PROJECT", "FILE" if "document" in row:
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
