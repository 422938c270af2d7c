"""The format of a table: what its rows mean to an operator's commands, and which version wrote it.

The row of the main switch has both, because functions and commands of every version read it. The
functions of an earlier version may read a table of a later format, because each format keeps the
rows that functions read. Commands may not: they would leave something undone.

- Format 1, of version 0.1.0, had no mark. Commands found publishers and tokens by a scan.
- Format 2 has the catalogue, and an index of tokens and sessions.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from pytp_broker import __version__
from pytp_broker.aws.dynamodb.configuration_rows import IDENTITY_TOKENS, MAIN
from pytp_broker.aws.dynamodb.table import Table, attributes
from pytp_broker.errors import StoreUnavailable
from pytp_broker.redaction import printable

FORMAT: Final = 2
# The format of a table whose rows do not say it.
_UNMARKED: Final = 1
OPERATOR: Final = "OPERATOR"


class NewerFormatError(Exception):
    """A later version has written the table; the text says which one to use."""


def marked(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the document of the main switch with this version's format."""
    return {**document, "format": FORMAT, "written_by": __version__}


def is_marked(configuration: Iterable[Mapping[str, Any]]) -> bool:
    """Say whether a table has this version's format, from the rows of its configuration.

    Raises NewerFormatError.
    """
    documents = [json.loads(row["document"]) for row in configuration if row["sk"] == MAIN]
    document = documents[0] if documents else {}
    found = document.get("format", _UNMARKED)
    if found not in (_UNMARKED, FORMAT):
        version = printable(str(document.get("written_by", "of a later version")))
        raise NewerFormatError(
            f"pytp-broker {version} has written the table, in the format {printable(str(found))},"
            f" and this is {__version__}, which knows the format {FORMAT}: use pytp-broker"
            f" {version} or later; nothing was changed"
        )
    return bool(found == FORMAT)


class FormatRows(Table):
    """What says which version has worked on the table."""

    def _is_marked(self, configuration: Iterable[Mapping[str, Any]]) -> bool:
        """Say whether the table has this version's format; raise StoreUnavailable."""
        try:
            return is_marked(configuration)
        except NewerFormatError as error:
            raise StoreUnavailable(str(error)) from None

    def _is_old(self, configuration: Sequence[Mapping[str, Any]]) -> bool:
        """Say whether version 0.1.0 has worked on the table, and no `apply` has upgraded it.

        Raises StoreUnavailable if a later version has.
        """
        if self._is_marked(configuration):
            return False
        # Since when identity tokens are good is no part of what an `apply` writes.
        is_applied = any(row["sk"] != IDENTITY_TOKENS for row in configuration)
        return is_applied or self._has_old_records()

    def _has_old_records(self) -> bool:
        # The records of later versions say their format. The first record comes before any write.
        answer = self._call(
            self._client.query,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=attributes(**{":pk": OPERATOR}),
            Limit=1,
        )
        return any("format" not in row for row in answer["Items"])
