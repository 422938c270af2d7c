"""Getting an issuer's documents over the network, within hard limits.

``requests`` is imported when the first document is fetched: most requests fetch none, and its
import costs more than all else in the function.
"""

import time
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from threading import Thread
from typing import TYPE_CHECKING, Final

from pytp_broker.keysets import FetchError

if TYPE_CHECKING:
    import requests

# Clients give the exchange 5 s, and a key set takes two documents.
DEADLINE_SECONDS: Final = 2.5
# GitHub's key set is 5 KiB, Google's 1 KiB.
MAX_DOCUMENT_BYTES: Final = 100 * 1024
_CHUNK_BYTES: Final = 8 * 1024


def fetch(url: str) -> bytes:
    """Return the body of a 200 answer of at most 100 KiB, within 2.5 s; raise FetchError.

    Redirects are not followed. The deadline holds against an issuer that sends a byte a second.
    """
    answer: Future[bytes] = Future()
    Thread(target=_fetch_into, args=(answer, url), daemon=True).start()
    try:
        return answer.result(DEADLINE_SECONDS)
    except FutureTimeoutError:
        raise FetchError("the issuer did not answer in time") from None


def _fetch_into(answer: "Future[bytes]", url: str) -> None:
    try:
        answer.set_result(_get(url))
    except Exception as error:  # noqa: BLE001 - crosses a thread; it is raised again over there
        answer.set_exception(error)


def _get(url: str) -> bytes:
    import requests

    try:
        with requests.get(
            url,
            timeout=DEADLINE_SECONDS,
            allow_redirects=False,
            stream=True,
            headers={"Accept": "application/json", "User-Agent": "pytp-broker"},
        ) as response:
            if response.status_code != requests.codes.ok:
                raise FetchError(f"the issuer answered {response.status_code}")
            return _read_at_most(response, MAX_DOCUMENT_BYTES)
    except requests.RequestException as error:
        raise FetchError(f"the issuer cannot be reached ({type(error).__name__})") from None


def _read_at_most(response: "requests.Response", limit: int) -> bytes:
    body = b""
    give_up_at = time.monotonic() + DEADLINE_SECONDS
    for chunk in response.iter_content(_CHUNK_BYTES):
        body += chunk
        if len(body) > limit or time.monotonic() > give_up_at:
            raise FetchError("the issuer's document is too large or too slow")
    return body
