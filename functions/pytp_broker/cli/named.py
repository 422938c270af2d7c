"""What an operator names in a command: a registry, a project, and the reason for a change."""

from collections.abc import Sequence

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.cli.operator import Operator
from pytp_broker.redaction import MAX_VALUE_CHARACTERS, and_more, legible, printable
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import PublishedFile


def find_registry(name: str, operator: Operator) -> Registry:
    """Return the registry of this name; raise CommandError."""
    registries = operator.store.load_configuration().registries
    if name not in registries:
        known = and_more([f"`{each}`" for each in sorted(registries)], len(registries)) or "none"
        raise CommandError(f"there is no registry `{printable(name)}`; the registries are: {known}")
    return registries[name]


def find_files(registry: Registry, project: str, operator: Operator) -> Sequence[PublishedFile]:
    """Return the files of a project, named as normalised; raise CommandError if there is none."""
    files = operator.store.list_files(registry.name, project)
    if not files:
        raise CommandError(f"the registry `{registry.name}` has no project `{printable(project)}`")
    return files


def read_reason(text: str) -> str:
    """Return a reason that every client may show; raise CommandError."""
    if not text.strip() or legible(text, MAX_VALUE_CHARACTERS) != text:
        raise CommandError(
            f"`--reason` must be one line of 1 to {MAX_VALUE_CHARACTERS} visible characters, "
            "and must not contain a token: everybody who installs the project can read it",
            MISUSED,
        )
    return text
