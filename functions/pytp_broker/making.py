"""How an operator made a token, which no identity token was exchanged for."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Making:
    """Who made a token, for whom if it is to read, and why if it is to upload.

    Only an operator's command writes it into a token's record. An exchange never does, because a
    record that has it is good without a publisher.
    """

    operator: str
    person: str = ""
    reason: str = ""

    def document(self) -> dict[str, str]:
        """Return the making as JSON types."""
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the making that ``document()`` described."""
        return cls(document["operator"], document["person"], document["reason"])
