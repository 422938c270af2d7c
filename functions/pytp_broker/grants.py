"""Grants: what a token may do, where, and which publishers or readers give it that right."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, Final, Self, TypeAlias

# The publishers that a project trusts: each one's id, and the publisher's generation in which the
# project was added to it.
Trust: TypeAlias = Mapping[str, int]


class Permission(Enum):
    """What a grant permits; the value is the word in stored records and in ``scope`` (RFC 7662)."""

    UPLOAD = "upload"
    READ = "read"


_PERMISSIONS: Final = frozenset(permission.value for permission in Permission)


@dataclass(frozen=True, slots=True)
class Grant:
    """A permission for the projects of one registry that trust one of these publishers.

    ``publisher_ids`` maps each publisher's id to its generation at the exchange. A project that was
    added to the publisher later is not covered. The grant does not list projects, so it does not
    grow with their number. A ``project`` limits the grant to that one project, whenever it was
    added.
    """

    registry: str
    project: str | None
    permission: Permission
    publisher_ids: Trust

    def permits(self, permission: Permission) -> bool:
        """Say whether the grant includes a permission; every grant includes reading.

        Clients that publish also read, to compare with what is published.
        """
        return permission in {self.permission, Permission.READ}

    def publishers_among(self, trusted: Trust) -> tuple[str, ...]:
        """Return the ids of those of the trusted publishers that give the right to the project."""
        return tuple(
            publisher_id
            for publisher_id, generation in self.publisher_ids.items()
            if publisher_id in trusted
            and (self.project is not None or trusted[publisher_id] <= generation)
        )

    def document(self) -> dict[str, Any]:
        """Return the grant as JSON types."""
        return {
            "registry": self.registry,
            "project": self.project,
            "permission": self.permission.value,
            "publisher_ids": dict(self.publisher_ids),
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """Return the grant that ``document()`` described."""
        return cls(
            document["registry"],
            document["project"],
            Permission(document["permission"]),
            document["publisher_ids"],
        )


def read_grants(document: Mapping[str, Any]) -> tuple[Grant, ...]:
    """Return the grants of a stored token record, of this version or of another one.

    A permission that this version does not know gives no right here. Earlier versions stored no
    permission, because all their tokens were for uploads.
    """
    if "rights" in document:
        known = (each for each in document["rights"] if each["permission"] in _PERMISSIONS)
        return tuple(Grant.from_document(each) for each in known)
    # `grants` of the version before, or `scope` of the one before that.
    earlier = document.get("grants", document["scope"])
    return tuple(
        Grant(registry, project, Permission.UPLOAD, _read_publishers(publishers))
        for registry, project, publishers in earlier
    )


def _read_publishers(publishers: Trust | Sequence[str]) -> Trust:
    return publishers if isinstance(publishers, Mapping) else dict.fromkeys(publishers, 0)
