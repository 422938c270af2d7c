"""Say in one sentence why a backup or a restore has failed."""

from collections.abc import Iterator
from contextlib import contextmanager

from pytp_broker.cli.command import CommandError
from pytp_broker.cli.listening import words_of
from pytp_broker.errors import StoreUnavailable


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
