"""An upload token for as long as a command needs it: burned at the end, whatever happened."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from pytp_broker.client.ambient import Environment
from pytp_broker.client.job_tokens import NOT_BURNED, JobTokens
from pytp_broker.client.locations import Location
from pytp_broker.client.log_masks import mask
from pytp_broker.client.registry import RefusedError
from pytp_broker.client.transport import Call, Send, UnreachableError
from pytp_broker.redaction import Hidden


def tokens_to_lend(environment: Environment) -> JobTokens:
    """Return tokens that no other process of the job finds, so that all of them can be burned."""
    return JobTokens(environment, mask=lambda token: mask(token, environment), is_shared=False)


@contextmanager
def lend(location: Location, tokens: JobTokens, tell: Callable[[str], None]) -> Iterator[Hidden]:
    """Lend an upload token for a registry; raise RefusedError or NoIdentityError if there is none.

    ``tell`` is called with a sentence if the token cannot be burned.
    """
    try:
        yield take(location, tokens)
    finally:
        if tokens.burn():
            tell(NOT_BURNED)


def take(location: Location, tokens: JobTokens) -> Hidden:
    """Return an upload token for a registry; raise RefusedError or NoIdentityError."""
    token = tokens.find(location.upload_url)
    if token is None:
        raise RefusedError(_why_none(location, tokens.send))
    return token


def _why_none(location: Location, send: Send) -> str:
    """Return why a registry gives no token: the exchange itself does not say."""
    audience_url = f"{location.base_url}/_/oidc/audience"
    try:
        answer = send(Call(audience_url))
    except UnreachableError as error:
        return f"{location.base_url}: {error}"
    return (
        f"{location.base_url} is not a registry that exchanges identity tokens: {audience_url} "
        f"answered {answer.status}"
    )
