"""The answer of a guard that refuses: the project's one error object, and its sentence.

twine, hatch, pdm and poetry print the first line of an answer and nothing of its body, so that line
has the sentence too.
"""

from dataclasses import dataclass
from typing import Final

from pytp_broker.errors import Problem
from pytp_broker.guards.introspection import LOG
from pytp_broker.http.messages import problem_response
from pytp_broker.redaction import legible

# This fits into a line or two of a terminal.
_MAX_REASON_CHARACTERS: Final = 200


@dataclass(frozen=True, slots=True)
class Refusal:
    """A status line without its version, the headers and the body."""

    status: str
    headers: list[tuple[str, str]]
    body: bytes


def refuse(problem: Problem, path: str) -> Refusal:
    """Return the answer to a refused request, and log what only the operator can change."""
    if problem.operator_detail:
        LOG.warning("the registry: %s", legible(problem.operator_detail))
    response = problem_response(problem, path)
    headers = [*response.headers.items(), ("Content-Length", str(len(response.body)))]
    return Refusal(f"{response.status} {_reason(problem.detail)}", headers, response.body)


def _reason(detail: str) -> str:
    """Return a sentence as one line of printable ASCII (RFC 9112 §4)."""
    shown = legible(detail, _MAX_REASON_CHARACTERS - len("...")).replace("…", "...")
    return shown.encode("ascii", "replace").decode()
