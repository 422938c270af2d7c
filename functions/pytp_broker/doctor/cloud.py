"""A broker on AWS as the checks see it: what its stack consists of, and questions about that."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from pytp_broker.doctor.findings import NotCheckedError

if TYPE_CHECKING:
    from pytp_broker.aws.inspection import Described, Inspection


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource of a stack: its name in the template, its type, and its name at AWS."""

    logical_id: str
    kind: str
    physical_id: str


@dataclass(frozen=True, slots=True)
class Stack:
    """A stack: its resources by their names in the template, and what it was deployed with."""

    name: str
    status: str
    resources: Mapping[str, Resource]
    parameters: Mapping[str, str]
    outputs: Mapping[str, str]
    drift: Mapping[str, Any]
    updated_at: datetime | None = None

    def of_kind(self, kind: str) -> Sequence[Resource]:
        """Return the resources of a type."""
        return [each for each in self.resources.values() if each.kind == kind]

    def physical_id(self, logical_id: str) -> str | None:
        """Return the name at AWS of a resource; None if the stack has none of this name."""
        found = self.resources.get(logical_id)
        return found.physical_id if found else None


@dataclass(frozen=True, slots=True)
class Cloud:
    """A broker on AWS; ``stack`` is None if its table was named."""

    inspection: "Inspection"
    table: str
    bucket: str | None = None
    stack: Stack | None = None

    def ask(
        self,
        service: str,
        operation: str,
        *,
        absent: Sequence[str] = (),
        **parameters: Any,  # noqa: ANN401 - of any call
    ) -> Mapping[str, Any]:
        """Return AWS's answer; raise NotCheckedError.

        It is empty if AWS answers with one of the error codes of ``absent``.
        """
        described = self.inspection.describe(service, operation, **parameters)
        return _read(described, f"{service} {operation}", absent)

    def ask_all(self, service: str, operation: str, **parameters: Any) -> Mapping[str, Any]:  # noqa: ANN401
        """Return the answer to a call that comes in pages; raise NotCheckedError."""
        described = self.inspection.describe_all(service, operation, **parameters)
        return _read(described, f"{service} {operation}", ())

    def physical_id(self, logical_id: str) -> str:
        """Return the name at AWS of a resource; raise NotCheckedError."""
        found = self.stack.physical_id(logical_id) if self.stack else None
        if found is None:
            raise NotCheckedError(f"the stack has no {logical_id}")
        return found


def _read(described: "Described", call: str, absent: Sequence[str]) -> Mapping[str, Any]:
    if not described.code:
        return described.document
    if described.code in absent:
        return {}
    if described.right:
        raise NotCheckedError(f"the right {described.right} is missing")
    raise NotCheckedError(f"{call} answered {described.code}")


def read_stack(name: str, inspection: "Inspection") -> Stack:
    """Return a stack of this name; raise NotCheckedError."""
    described = inspection.describe("cloudformation", "describe_stacks", StackName=name)
    (stack,) = _read(described, "cloudformation describe_stacks", ())["Stacks"]
    listed = inspection.describe_all("cloudformation", "list_stack_resources", StackName=name)
    summaries = _read(listed, "cloudformation list_stack_resources", ())["StackResourceSummaries"]
    resources = {
        each["LogicalResourceId"]: Resource(
            each["LogicalResourceId"], each["ResourceType"], each.get("PhysicalResourceId", "")
        )
        for each in summaries
    }
    return Stack(
        name=name,
        status=stack["StackStatus"],
        resources=resources,
        parameters={p["ParameterKey"]: p["ParameterValue"] for p in stack.get("Parameters", ())},
        outputs={o["OutputKey"]: o["OutputValue"] for o in stack.get("Outputs", ())},
        drift=stack.get("DriftInformation", {}),
        updated_at=stack.get("LastUpdatedTime", stack.get("CreationTime")),
    )
