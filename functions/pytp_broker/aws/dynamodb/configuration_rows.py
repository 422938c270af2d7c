"""Rows of DynamoDB for the configuration: the main switch, issuers, registries and timestamps."""

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from pytp_broker.aws.dynamodb.table import Table
from pytp_broker.registries import Configuration, Issuer, Registry, Timestamping
from pytp_broker.trust.built_in import with_built_in

CONFIGURATION: Final = "CONFIGURATION"
MAIN: Final = "MAIN"
_TIMESTAMPING: Final = "TIMESTAMPING"
# No part of what `apply` writes or removes; version 0.1.0 ignores it.
IDENTITY_TOKENS: Final = "IDENTITYTOKENS"


class ConfigurationRows(Table):
    """The configuration, as functions read it."""

    def load_configuration(self) -> Configuration:
        """Return the configuration that is in force now."""
        return with_built_in(read_configuration(self._query(CONFIGURATION)))


def parts_of(configuration: Configuration) -> dict[str, Any]:
    """Return the documents of a configuration by their sort keys."""
    authority = configuration.timestamping
    return {
        MAIN: {"enabled": configuration.enabled},
        **({} if authority is None else {_TIMESTAMPING: authority.document()}),
        **{f"ISSUER#{i.url}": i.document() for i in configuration.issuers.values()},
        **{registry_key(r.name): r.document() for r in configuration.registries.values()},
    }


def registry_key(name: str) -> str:
    """Return the sort key of a registry's document."""
    return f"REGISTRY#{name}"


def read_configuration(rows: Iterable[Mapping[str, Any]]) -> Configuration:
    """Return what the operator has written, from the documents that ``parts_of`` makes."""
    parts = {row["sk"]: json.loads(row["document"]) for row in rows}
    issuers = [Issuer.from_document(d) for sk, d in parts.items() if sk.startswith("ISSUER#")]
    registries = [
        Registry.from_document(d) for sk, d in parts.items() if sk.startswith("REGISTRY#")
    ]
    return Configuration(
        {issuer.url: issuer for issuer in issuers},
        {registry.name: registry for registry in registries},
        parts.get(MAIN, {"enabled": True})["enabled"],
        Timestamping.from_document(parts[_TIMESTAMPING]) if _TIMESTAMPING in parts else None,
        _read_time(parts.get(IDENTITY_TOKENS)),
    )


def _read_time(document: Mapping[str, int] | None) -> datetime | None:
    return None if document is None else datetime.fromtimestamp(document["from"], UTC)
