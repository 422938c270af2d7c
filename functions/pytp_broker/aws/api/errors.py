"""The errors of calls to AWS.

- ``CallError``: a call has failed.
    - ``RefusedError``: the service has answered with an error.
    - ``UnansweredError``: there is no answer that we can believe.
"""

from collections.abc import Mapping
from typing import Any


class CallError(Exception):
    """A call to AWS has failed.

    Its text may have AWS's own message, which is for the operator's eyes: it names the table, the
    account and the role, and may quote what was sent. ``cause`` is fit for a log.
    """

    def __init__(self, operation: str, code: str, message: str) -> None:
        super().__init__(message)
        self.operation = operation
        self.code = code

    @property
    def cause(self) -> str:
        """Return which call has failed, and how: it tells a missing right from a slow table."""
        return f"{self.operation}: {self.code}"


class RefusedError(CallError):
    """The service has answered with an error; ``document`` is all of its answer."""

    def __init__(self, operation: str, status: int, code: str, document: Mapping[str, Any]) -> None:
        super().__init__(operation, code, str(document.get("message", document.get("Message", ""))))
        self.status = status
        self.document = document

    @property
    def item(self) -> Mapping[str, Any]:
        """Return the stored item that breaks a condition, if the call has asked for it."""
        item: Mapping[str, Any] = self.document.get("Item", {})
        return item


class UnansweredError(CallError):
    """There is no answer, or none that we can believe; ``code`` is the kind of failure."""
