"""What an operator names in a command: a registry, a project, and the reason for a change."""

from collections.abc import Iterable, Sequence

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.cli.misread import find_misread
from pytp_broker.cli.operator import Operator
from pytp_broker.index.inventory import ProjectInventory
from pytp_broker.names import may_be_project
from pytp_broker.nearest import closest
from pytp_broker.redaction import MAX_VALUE_CHARACTERS, and_more, legible, printable
from pytp_broker.registries import Configuration, Registry
from pytp_broker.storage.file_records import PublishedFile


def find_registry(name: str, operator: Operator) -> Registry:
    """Return the registry of this name; raise CommandError."""
    return choose_registry(name, operator.store.load_configuration())


def choose_registry(name: str, configuration: Configuration) -> Registry:
    """Return the registry of this name; raise CommandError."""
    registries = configuration.registries
    if name not in registries:
        advice = advise(name, registries, "the registries are")
        raise CommandError(f"there is no registry `{printable(name)}`; {advice}")
    return registries[name]


def advise(name: str, known: Iterable[str], title: str) -> str:
    """Return the name that was probably meant, or else the first names that there are."""
    names = sorted(known)
    meant = closest(name, names)
    if meant is not None:
        return f"did you mean `{meant}`?"
    return f"{title}: {and_more([f'`{each}`' for each in names], len(names)) or 'none'}"


def find_files(registry: Registry, project: str, operator: Operator) -> Sequence[PublishedFile]:
    """Return the files of a project, named as normalised; raise CommandError if there is none."""
    files = _list_files(registry, project, operator)
    if not files:
        raise no_project(registry, project, operator)
    return files


def _list_files(registry: Registry, project: str, operator: Operator) -> Sequence[PublishedFile]:
    # A store cannot take every text: one that is not Unicode, for example.
    return operator.store.list_files(registry.name, project) if may_be_project(project) else []


def no_project(registry: Registry, project: str, operator: Operator) -> CommandError:
    """Return the error that there is no such project, with the name that was probably meant."""
    advice = advise(project, operator.store.list_projects(registry.name), "its projects are")
    return CommandError(
        f"the registry `{registry.name}` has no project `{printable(project)}`; {advice}"
    )


def read_inventory(registry: Registry, project: str, operator: Operator) -> ProjectInventory:
    """Return what there is of a project, without the publishers that it trusts."""
    files = _list_files(registry, project, operator)
    if not files:
        return ProjectInventory(project)
    withdrawn = operator.store.list_withdrawn(registry.name, project)
    yanked, deleted = dict(withdrawn.yanked), dict(withdrawn.deleted)
    status = operator.store.find_status(registry.name, project)
    return ProjectInventory(project, list(files), yanked, deleted, status)


def find_project(registry: Registry, project: str, operator: Operator) -> ProjectInventory:
    """Return a project that has a file; raise CommandError."""
    found = read_inventory(registry, project, operator)
    if not found.files:
        raise no_project(registry, project, operator)
    return found


def read_reason(text: str) -> str:
    """Return a reason that every client may show; raise CommandError."""
    return _read_line("--reason", text, "everybody who installs the project can read it")


def read_key_reason(text: str) -> str:
    """Return why a key is revoked; raise CommandError."""
    return _read_line("--reason", text, "everybody who verifies receipts can read it")


def read_person(text: str) -> str:
    """Return for whom a token is, as audit records keep it; raise CommandError."""
    return _read_line("--for", text, "audit records keep it")


def _read_line(option: str, text: str, why: str) -> str:
    if not text.strip() or legible(text, MAX_VALUE_CHARACTERS) != text:
        raise CommandError(
            f"`{option}` must be one line of 1 to {MAX_VALUE_CHARACTERS} visible characters, "
            f"and must not contain a token: {why}",
            MISUSED,
        )
    return text


def read_refusal(text: str) -> str:
    """Return a reason that a refused upload may show; raise CommandError."""
    if phrase := find_misread(text):
        raise CommandError(
            f'`--reason` must not contain "{phrase}": clients that skip published files would '
            "take a refused upload for a success",
            MISUSED,
        )
    return read_reason(text)
