"""Errors of calls to AWS, as a store meets them."""

from pytp_broker.aws.api.errors import RefusedError


def refused(operation: str, code: str, message: str = "", status: int = 400) -> RefusedError:
    """Return the error of a call that a service has refused."""
    return RefusedError(operation, status, code, {"message": message})
