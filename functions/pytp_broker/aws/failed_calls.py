"""Describe a failed call to AWS without AWS's own message.

AWS's messages name the table, the account and the role, and may quote what was sent. A caller or a
log must not see that. The call and its code are enough to tell a missing permission from a slow
table.
"""

from botocore.exceptions import BotoCoreError, ClientError


def code_of(error: ClientError | BotoCoreError) -> str:
    """Return AWS's error code, or the kind of failure if AWS did not answer."""
    return error.response["Error"]["Code"] if isinstance(error, ClientError) else _kind(error)


def cause_of(error: ClientError | BotoCoreError) -> str:
    """Return the cause for the operator: which call failed, and how."""
    if isinstance(error, ClientError):
        return f"{error.operation_name}: {code_of(error)}"
    return _kind(error)


def _kind(error: BotoCoreError) -> str:
    return type(error).__name__
