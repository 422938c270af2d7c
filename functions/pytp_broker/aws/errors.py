"""What may be told of a call to AWS that failed.

AWS's own messages name the table, the account and the role, and may quote what was sent: nothing
for a caller or a log. The call and its code are enough to tell a missing permission from a slow
table.
"""

from botocore.exceptions import BotoCoreError, ClientError


def code_of(error: ClientError | BotoCoreError) -> str:
    """Return AWS's code of what went wrong; of a failure on the way, the kind of failure."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else _kind(error)


def cause_of(error: ClientError | BotoCoreError) -> str:
    """Return what the operator may know: which call failed, and how."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {code_of(error)}"
    return _kind(error)


def _kind(error: BotoCoreError) -> str:
    return type(error).__name__
