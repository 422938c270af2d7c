"""An issuer that answers well, slowly, with nonsense or not at all, as the soak tells it to."""

import time
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, Final, Self

from pytp_broker.demo.issuer import Issuer

# Longer than the broker waits for a document.
SLOW_SECONDS: Final = 7
MOODS: Final = ("down", "slow", "nonsense", "empty")
_NONSENSE: Final[Mapping[str, Any]] = {"issuer": 7, "keys": ["none", {"kty": "RSA", "n": "AQAB"}]}


class MoodyIssuer(Issuer):
    """Signs as always, and answers the broker in its ``mood``; CI jobs are answered well."""

    def __init__(self) -> None:
        self.mood = ""
        super().__init__()

    def __enter__(self) -> Self:
        super().__enter__()
        # The broker hangs up on a slow issuer, and that is no error of ours.
        self._server.handle_error = lambda *_: None  # type: ignore[union-attr, method-assign]
        return self

    def answer(self, target: str, authorization: str) -> tuple[HTTPStatus, Mapping[str, Any]]:
        self.issued.clear()  # nobody looks at them, and an hour's worth is much
        self.requests.clear()
        if not target.startswith("/.well-known/"):
            return super().answer(target, authorization)
        if self.mood == "slow":
            time.sleep(SLOW_SECONDS)
        if self.mood == "down":
            return HTTPStatus.SERVICE_UNAVAILABLE, {}
        if self.mood == "nonsense":
            return HTTPStatus.OK, _NONSENSE
        if self.mood == "empty" and target.endswith("/jwks"):
            return HTTPStatus.OK, {"keys": []}
        return super().answer(target, authorization)
