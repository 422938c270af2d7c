"""What an operator names in a command: a registry, a project, and the reason for a change."""

from collections.abc import Sequence
from typing import Final

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.cli.operator import Operator
from pytp_broker.names import may_be_project
from pytp_broker.redaction import MAX_VALUE_CHARACTERS, and_more, legible, printable
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import PublishedFile

# With these, clients recognise that a file is published already: twine, PDM, maturin and Poetry.
_SKIPPED: Final = (
    "already exist",
    "already been taken",
    "updating asset",
    "cannot be updated",
    "overwrite artifact",
    "was ever registered",
)


def find_registry(name: str, operator: Operator) -> Registry:
    """Return the registry of this name; raise CommandError."""
    registries = operator.store.load_configuration().registries
    if name not in registries:
        known = and_more([f"`{each}`" for each in sorted(registries)], len(registries)) or "none"
        raise CommandError(f"there is no registry `{printable(name)}`; the registries are: {known}")
    return registries[name]


def find_files(registry: Registry, project: str, operator: Operator) -> Sequence[PublishedFile]:
    """Return the files of a project, named as normalised; raise CommandError if there is none."""
    # A store cannot take every text: one that is not Unicode, for example.
    files = operator.store.list_files(registry.name, project) if may_be_project(project) else []
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


def read_refusal(text: str) -> str:
    """Return a reason that a refused upload may show; raise CommandError."""
    for phrase in _SKIPPED:
        if phrase in text.lower():
            raise CommandError(
                f'`--reason` must not contain "{phrase}": clients that skip published files would '
                "take a refused upload for a success",
                MISUSED,
            )
    return read_reason(text)
