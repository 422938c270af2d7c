"""The reason phrase of a refusal: its detail, for clients that show nothing of the body.

twine, hatch, pdm and poetry print the phrase in an answer's first line. API Gateway does not let us
choose it, and HTTP/2 has none, so only the local server can do this.
"""

import json
from collections.abc import Mapping
from typing import Final

from pytp_broker.content import Content, read_all
from pytp_broker.redaction import legible

# This fits into a line or two of a terminal.
MAX_REASON_CHARACTERS: Final = 200


def read_reason(headers: Mapping[str, str], content: Content) -> bytes:
    """Return the phrase for an answer; it is empty if the answer is not our error object."""
    if headers.get("content-type") != "application/problem+json":
        return b""
    return write_reason(json.loads(read_all(content))["detail"])


def write_reason(detail: str) -> bytes:
    """Return a sentence as one line of printable ASCII, masked and cut (RFC 9112 §4)."""
    shown = legible(detail, MAX_REASON_CHARACTERS - len("...")).replace("…", "...")
    return shown.encode("ascii", "replace")
