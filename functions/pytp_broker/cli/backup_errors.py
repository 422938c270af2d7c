"""Say why a backup or a restore has failed, or what it lacks."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

from pytp_broker.cli.command import CommandError, say
from pytp_broker.cli.listening import words_of
from pytp_broker.errors import StoreUnavailable

# Nobody reads more sentences than this.
_MAX_FAULTS: Final = 20


def tell_faults(faults: Sequence[str]) -> None:
    """Print the faults of a backup, or the first of very many."""
    say(*faults[:_MAX_FAULTS])
    if len(faults) > _MAX_FAULTS:
        say(f"and {len(faults) - _MAX_FAULTS:,} more faults")


@contextmanager
def backup_failures_told() -> Iterator[None]:
    """Raise CommandError for everything that may stop a backup or a restore."""
    from pytp_broker.local.backups.manifest import BackupError
    from pytp_broker.local.lock import FolderTakenError

    try:
        yield
    except (BackupError, FolderTakenError) as error:
        raise CommandError(str(error)) from None
    except StoreUnavailable as problem:
        reason = problem.operator_detail or problem.detail
        raise CommandError(f"the database cannot be restored: {reason}") from None
    except OSError as error:
        place = error.filename or "the folder"
        raise CommandError(f"cannot use {place}: {words_of(error)}") from None
