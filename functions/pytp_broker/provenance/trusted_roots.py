"""The trusted root of Sigstore: the authorities and logs by which attestations are verified.

The package ships the one of the public Sigstore. Its operators change it once or twice a year;
`trust_root_refresh` fetches the newer ones by The Update Framework (TUF), which trusts no server.
"""

import base64
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any, Final

# The name of the trusted root in Sigstore's repository, and in the folder of a refresh.
FETCHED: Final = "trusted_root.json"
SHIPPED_ROOT: Final = Path(__file__).parent / "roots" / FETCHED
# When Sigstore published it; docs/trust-root.md says it too.
SHIPPED_ON: Final = date(2026, 6, 1)


def folder_of(data: Path) -> Path:
    """Return where a data folder keeps the trusted root that was fetched."""
    return data / "trust-root"


def read_log_ids(document: Mapping[str, Any], name: str) -> frozenset[bytes]:
    """Return the ids of the logs in a trusted root that is well-formed: `tlogs` or `ctlogs`."""
    return frozenset(base64.b64decode(log["logId"]["keyId"]) for log in document[name])
