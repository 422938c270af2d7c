"""Tables as version 0.1.0 left them."""

import json
from typing import Any

from tests.support.samples import Table

# What version 0.2.0 has added.
_NEW_PARTITIONS = ("APPLIED", "OPERATORSTOKENS", "TRUST#")


def make_old(table: Table) -> None:
    """Turn a table into one that version 0.1.0 wrote."""
    for item in table.dump():
        key = {name: item[name] for name in ("pk", "sk")}
        if item["pk"]["S"] in _NEW_PARTITIONS:
            table.client.delete_item(TableName=table.name, Key=key)
            continue
        table.client.put_item(TableName=table.name, Item=_as_of_old(item))


def _as_of_old(item: dict[str, Any]) -> dict[str, Any]:
    old = {name: value for name, value in item.items() if name not in {"listed", "format"}}
    if item["sk"]["S"] == "MAIN":
        document = json.loads(item["document"]["S"])
        old["document"] = {"S": json.dumps({"enabled": document["enabled"]})}
    return old


def drop_index(table: Table) -> None:
    """Turn a table into one whose stack was never deployed by this version."""
    table.client.update_table(
        TableName=table.name,
        GlobalSecondaryIndexUpdates=[{"Delete": {"IndexName": "Listed"}}],
    )
