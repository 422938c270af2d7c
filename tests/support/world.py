"""A whole broker in memory: an issuer that signs, a store, a clock that stands still."""

import tomllib
from dataclasses import replace
from typing import Any, ClassVar

from pytp_broker import config
from pytp_broker.audit.record import AuditRecord
from pytp_broker.budgets import RefusalBudget
from tests.support.audit import Records
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import HOST, SOURCE_IP, Answer, Clock, Deployment
from tests.support.fakes import MemoryFiles, MemoryStore
from tests.support.scanner import SecretScanner
from tests.support.signing import Issuer

CONFIGURATION = registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    audience="acme",
) + registry(
    "other",
    github_publisher("gadgets", "gizmos", repository_owner_id="9919"),
    audience="other",
    hosts=["other.example.com"],
)


class World(Deployment, Clock):
    """A broker for a test: `call` sends a request; `store` and `records` show its effects."""

    FUNCTIONS: ClassVar[tuple[str, ...]] = ("broker",)
    store: MemoryStore

    def __init__(self, configuration: str = CONFIGURATION) -> None:
        self.issuer = Issuer()
        self.scanner = SecretScanner()
        self.records = Records()
        self.waits: list[float] = []
        super().__init__(
            MemoryStore(),
            MemoryFiles(),
            clock=self,
            audit=self.records.append,
            fetch=self.ask_issuer,
            scanner=self.scanner,
            wait=self.waits.append,
        )
        self.configure(configuration)

    def budget(self, budget: RefusalBudget) -> None:
        """Give the broker another budget of refusals."""
        self.broker = replace(self.broker, budget=budget)

    def ask_issuer(self, url: str) -> bytes:
        return self.issuer.fetch(url)  # a test may put another issuer in its place

    def configure(self, text: str) -> None:
        """Bring the store to a configuration file; caches notice after ten seconds."""
        loaded = config.parse(tomllib.loads(text), allow_loopback=False)
        self.store.apply(loaded.configuration, loaded.publishers)

    def alarms(self) -> list[AuditRecord]:
        """Return the records about the key sets of issuers."""
        return [record for record in self.records if record.event == "key-set"]

    @property
    def reasons(self) -> list[str]:
        return [alarm.reason for alarm in self.alarms()]

    def token(self, **changes: Any) -> str:
        return self.issuer.token(self.now, **changes)

    def mint(
        self,
        token: str,
        prefix: str = "/acme",
        *,
        host: str = HOST,
        source_ip: str = SOURCE_IP,
        **members: Any,
    ) -> Answer:
        body = {"token": token, **members}
        path = f"{prefix}/_/oidc/mint-token"
        return self.call("POST", path, body, host=host, source_ip=source_ip)

    def mint_to_read(
        self, token: str, prefix: str = "/acme", *, host: str = HOST, **members: Any
    ) -> Answer:
        path = f"{prefix}/_/oidc/mint-read-token"
        return self.call("POST", path, {"token": token, **members}, host=host)


def assert_refused(world: World, token: str, *codes: str, prefix: str = "/acme") -> Answer:
    """Check that the broker refuses the token, has stored nothing, and said so in the audit."""
    before = dict(world.store.tokens)
    answer = world.mint(token, prefix)
    status = 503 if codes == ("issuer-unavailable",) else 422
    assert answer.status == status, answer.body
    assert answer.code in (codes or ("invalid-token",))
    assert "token" not in answer.json
    assert world.store.tokens == before
    assert world.records[-1].outcome == "refused"
    return answer
