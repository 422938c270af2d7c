"""A broker at the other end of the client: what the client sends is a call in this process."""

from urllib.parse import parse_qsl, urlsplit

from pytp_broker.client.transport import Answer, Call, UnreachableError, _parse
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST
from tests.support.signing import segment
from tests.support.world import World

CONFIGURATION = registry(
    "acme", github_publisher("widgets", repository_owner_id="9919", environment="release")
)
BASE = f"https://{HOST}/acme"
UPLOAD = f"{BASE}/legacy/"
INDEX = f"{BASE}/simple/"
AUDIENCE = f"{HOST}/acme"


def unsigned_token(audience: object = AUDIENCE) -> str:
    """Return what has the form of an identity token, for tests that send none."""
    return ".".join([segment({"alg": "RS256"}), segment({"aud": audience}), "c2ln"])


class Remote(World):
    """A broker whose `send` takes the client's calls.

    `calls` lists their URLs, and `answers` has what a URL answers instead of the broker.
    """

    FUNCTIONS = ("broker", "introspect", "read")

    def __init__(self, configuration: str = CONFIGURATION) -> None:
        super().__init__(configuration)
        self.calls: list[str] = []
        self.sent: list[Call] = []
        self.answers: dict[str, Answer | Exception] = {}

    def send(self, call: Call) -> Answer:
        self.calls.append(call.url)
        self.sent.append(call)
        planned = self.answers.get(call.url)
        if isinstance(planned, Exception):
            raise planned
        return planned or self._ask(call)

    def _ask(self, call: Call) -> Answer:
        url = urlsplit(call.url)
        if url.netloc != HOST:
            raise UnreachableError("it cannot be reached")
        answer = self.call(
            call.method if call.body is None else "POST",
            url.path,
            b"" if call.body is None else call.body,
            {"accept": call.accept, "authorization": call.authorization},
            query=dict(parse_qsl(url.query)),
        )
        return Answer(answer.status, _parse(answer.body))

    def seconds(self) -> float:
        """Return the time, as `time.time` does."""
        return self.now.timestamp()

    def identity(self) -> str:
        """Return a signed identity token of a release job, for the registry `acme`."""
        return self.token(aud=AUDIENCE)
