"""The time-stamping authorities that the user trusts: certificates in a file."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pytp_broker.client.verifying.outcome import VerifyError
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    from cryptography.x509 import Certificate

# All public authorities together have 220 KB.
_MAX_BYTES: Final = 1024 * 1024


def read_timestamp_roots(path: Path | None) -> Sequence["Certificate"]:
    """Return the certificates in a file, or none without a file.

    Raises VerifyError, and ModuleNotFoundError without the library that reads timestamps.
    """
    from pytp_broker.provenance.timestamps import check_library, read_roots

    if path is None:
        return ()
    check_library()
    shown = f"--timestamp-roots {printable(str(path))}"
    try:
        with path.open("rb") as file:
            return read_roots(file.read(_MAX_BYTES))
    except OSError as error:
        raise VerifyError(f"{shown}: {error.strerror}") from None
    except ValueError as error:
        raise VerifyError(f"{shown}: {error}") from None
