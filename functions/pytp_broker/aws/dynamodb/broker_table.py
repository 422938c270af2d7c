"""Make the DynamoDB table of a broker, and write nothing into a table that is not a broker's."""

from collections.abc import Sequence
from typing import Any, Final

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.dynamodb.configuration_rows import CONFIGURATION
from pytp_broker.aws.dynamodb.formats import NewerFormatError, is_marked
from pytp_broker.aws.dynamodb.listed import INDEX, LISTED
from pytp_broker.aws.dynamodb.table import attributes, values_of
from pytp_broker.redaction import printable

_NAMES: Final = ("pk", "sk")
# The keys as DynamoDB describes them: kind, name, and type (S is a text, N a number).
_KEYS: Final = [("HASH", "pk", "S"), ("RANGE", "sk", "S")]
# The keys of the index, which has what an operator's commands list: tokens and sessions.
_INDEX_KEYS: Final = [("HASH", LISTED, "S"), ("RANGE", "ttl", "N")]
# How the keys of each row begin; the docstring of aws/dynamodb lists the rows.
_ROWS: Final = (
    ("CONFIGURATION", "MAIN"),
    ("CONFIGURATION", "ISSUER#"),
    ("CONFIGURATION", "REGISTRY#"),
    ("CONFIGURATION", "TIMESTAMPING"),
    ("CONFIGURATION", "IDENTITYTOKENS"),
    ("APPLIED", "PUBLISHER#"),
    ("APPLIED", "RUN#"),
    ("PUBLISHER#", ""),
    ("TRUST#", "TRUST"),
    ("PROJECT#", "FILE#"),
    ("PROJECT#", "RELEASE#"),
    ("REOPENED#", "REOPENED#"),
    ("YANKED#", "YANKED#"),
    ("YANKED#", "DELETED#"),
    ("STATUS#", "STATUS"),
    ("LISTING#", "MARKS"),
    ("LISTING#", "CONTENT"),
    ("REGISTRY#", "PROJECT#"),
    ("TOKEN#", "TOKEN"),
    ("USE#", "USE"),
    ("KEYSET#", "KEYSET"),
    ("KEYSET#", "REFRESH"),
    ("SESSION#", "SESSION"),
    ("LIVE#", "VERSION#"),
    ("RECEIPTKEYS", "KEY#"),
    ("OPERATOR", ""),
    ("OPERATORSTOKENS", "TOKEN#"),
)
_ADVICE: Final = (
    "name the broker's stack with --stack, or the stack's output `Table`; if a newer pytp-broker"
    " uses this table, use that one"
)


def _key_schema(keys: Sequence[tuple[str, str, str]]) -> list[dict[str, str]]:
    return [{"AttributeName": name, "KeyType": kind} for kind, name, _ in keys]


# What a new table has beside its name, as CreateTable takes it.
_DESCRIPTION: Final[Any] = {
    "KeySchema": _key_schema(_KEYS),
    "AttributeDefinitions": [
        {"AttributeName": name, "AttributeType": of_type}
        for _, name, of_type in (*_KEYS, *_INDEX_KEYS)
    ],
    "GlobalSecondaryIndexes": [
        {
            "IndexName": INDEX,
            "KeySchema": _key_schema(_INDEX_KEYS),
            "Projection": {"ProjectionType": "KEYS_ONLY"},
        }
    ],
}


class ForeignTableError(ValueError):
    """The table is not a broker's; the text says why, and what to do."""


def ensure_table(client: Any, name: str) -> None:  # noqa: ANN401 - a client of boto3
    """Make a table with a broker's keys if there is no table of this name."""
    try:
        client.create_table(TableName=name, BillingMode="PAY_PER_REQUEST", **_DESCRIPTION)
    except CallError as error:
        if error.code != "ResourceInUseException":
            raise
        return
    client.wait_until("table_exists", TableName=name, WaiterConfig={"Delay": 1})


def check_table(client: Any, name: str, *, is_for_writing: bool = True) -> None:  # noqa: ANN401 - a client of boto3
    """Check that a table is a broker's, or that it is empty and has a broker's keys.

    Raises ForeignTableError, even if a later version has written the table, and CallError.

    A broker's table has its index, or a configuration. Another one must be empty, which only a scan
    shows. A command that only reads does not need the right to check.
    """
    has_index = _check_schema(client, name)
    try:
        rows = _find_configuration(client, name)
        if not rows and not has_index:
            rows = client.scan(TableName=name, ConsistentRead=True, Limit=1)["Items"]
    except CallError as error:
        if is_for_writing or error.code != "AccessDeniedException":
            raise
        return
    for row in rows:
        _check_row(name, row)
    try:
        is_marked(map(values_of, rows))
    except NewerFormatError as error:
        raise ForeignTableError(f"this version cannot use the table {name}: {error}") from None


def _find_configuration(client: Any, name: str) -> Sequence[dict[str, Any]]:  # noqa: ANN401 - a client of boto3
    try:
        # One page has the main switch, unless there are hundreds of issuers with certificates.
        answer = client.query(
            TableName=name,
            ConsistentRead=True,
            KeyConditionExpression="pk = :pk",
            ExpressionAttributeValues=attributes(**{":pk": CONFIGURATION}),
        )
    except CallError as error:
        if error.code != "ValidationException":
            raise
        return []  # it has other keys, as its rows show
    rows: Sequence[dict[str, Any]] = answer["Items"]
    return rows


def _check_schema(client: Any, name: str) -> bool:  # noqa: ANN401 - a client of boto3
    """Check the keys of a table; say whether it has a broker's index."""
    try:
        table = client.describe_table(TableName=name)["Table"]
    except CallError as error:
        if error.code != "AccessDeniedException":
            raise
        return False  # its rows show that it is a broker's
    types = {a["AttributeName"]: a["AttributeType"] for a in table["AttributeDefinitions"]}
    keys = [
        (key["KeyType"], key["AttributeName"], types[key["AttributeName"]])
        for key in table["KeySchema"]
    ]
    if sorted(keys) != _KEYS:
        raise ForeignTableError(
            f"the table {name} is not a broker's: its key is {_describe(keys)}, and a broker's is"
            f" {_describe(_KEYS)}; {_ADVICE}"
        )
    return any(index["IndexName"] == INDEX for index in table.get("GlobalSecondaryIndexes", []))


def _describe(keys: Sequence[tuple[str, str, str]]) -> str:
    return ", ".join(f"{name} ({kind}, {of_type})" for kind, name, of_type in keys)


def _check_row(name: str, row: dict[str, Any]) -> None:
    pk, sk = (str(row.get(key, {}).get("S", "")) for key in _NAMES)
    is_without_document = pk == CONFIGURATION and "document" not in row
    if is_without_document or not is_known(pk, sk):
        shown = f"pk {printable(pk)}, sk {printable(sk)}"
        raise ForeignTableError(
            f"the table {name} is not a broker's: it has a row that no broker writes ({shown});"
            f" {_ADVICE}"
        )


def is_known(pk: str, sk: str) -> bool:
    """Say whether a broker of this version writes rows with such keys."""
    return any(_begins(pk, a) and _begins(sk, b) for a, b in _ROWS)


def _begins(key: str, beginning: str) -> bool:
    is_whole = beginning and not beginning.endswith("#")
    return key == beginning if is_whole else key.startswith(beginning)
