"""Make the DynamoDB table of a broker, and write nothing into a table that is not a broker's."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from botocore.exceptions import ClientError

from pytp_broker.aws.failed_calls import code_of
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_NAMES: Final = ("pk", "sk")
# The keys as DynamoDB describes them: kind, name, and type (S is a text).
_KEYS: Final = [("HASH", "pk", "S"), ("RANGE", "sk", "S")]
# How the keys of each row begin; the docstring of aws/dynamodb lists the rows.
_ROWS: Final = (
    ("CONFIGURATION", "MAIN"),
    ("CONFIGURATION", "ISSUER#"),
    ("CONFIGURATION", "REGISTRY#"),
    ("CONFIGURATION", "TIMESTAMPING"),
    ("CONFIGURATION", "IDENTITYTOKENS"),
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
)
_ADVICE: Final = (
    "name the broker's stack with --stack, or the stack's output `Table`; if a newer pytp-broker"
    " uses this table, use that one"
)


class ForeignTableError(ValueError):
    """The table is not a broker's; the text says why, and what to do."""


def ensure_table(client: "DynamoDBClient", name: str) -> None:
    """Make a table with a broker's keys if there is no table of this name."""
    keys: Any = [{"AttributeName": key, "KeyType": kind} for kind, key, _ in _KEYS]
    types: Any = [{"AttributeName": key, "AttributeType": of_type} for _, key, of_type in _KEYS]
    try:
        client.create_table(
            TableName=name,
            BillingMode="PAY_PER_REQUEST",
            KeySchema=keys,
            AttributeDefinitions=types,
        )
    except client.exceptions.ResourceInUseException:
        return
    client.get_waiter("table_exists").wait(TableName=name, WaiterConfig={"Delay": 1})


def check_table(client: "DynamoDBClient", name: str, *, is_for_writing: bool = True) -> None:
    """Check that a table is a broker's, or that it is empty and has a broker's keys.

    Raises ForeignTableError, and what boto3 raises. A command that only reads does not need the
    right to check.
    """
    _check_schema(client, name)
    try:
        page = client.scan(TableName=name, ConsistentRead=True, ProjectionExpression="pk, sk")
    except ClientError as error:
        if is_for_writing or code_of(error) != "AccessDeniedException":
            raise
        return
    for row in page["Items"]:
        _check_row(name, row)


def _check_schema(client: "DynamoDBClient", name: str) -> None:
    try:
        table = client.describe_table(TableName=name)["Table"]
    except ClientError as error:
        if code_of(error) != "AccessDeniedException":
            raise
        return  # its rows show that it is a broker's
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


def _describe(keys: Sequence[tuple[str, str, str]]) -> str:
    return ", ".join(f"{name} ({kind}, {of_type})" for kind, name, of_type in keys)


def _check_row(name: str, row: dict[str, Any]) -> None:
    pk, sk = (str(row.get(key, {}).get("S", "")) for key in _NAMES)
    if not is_known(pk, sk):
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
