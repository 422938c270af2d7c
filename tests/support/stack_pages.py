"""What CloudFormation says of a stack's resources, in its pages."""

from collections.abc import Sequence
from typing import Any


class StackPages:
    """Stands in for the paginator of `list_stack_resources`."""

    def __init__(self, resources: Sequence[dict[str, str]]) -> None:
        self._resources = resources

    def paginate(self, **_: Any) -> "StackPages":
        return self

    def build_full_result(self) -> dict[str, Any]:
        return {"StackResourceSummaries": list(self._resources)}
