"""Registries in memory, with every function of the deployment, for tests of tokens."""

import tomllib

from pytp_broker import config
from pytp_broker.tokens import UploadToken
from tests.support import distributions
from tests.support.audit import Records
from tests.support.deployment import Answer, Clock, Deployment, basic
from tests.support.distributions import Distribution
from tests.support.fakes import MemoryFiles, MemoryStore
from tests.support.scanner import SecretScanner
from tests.support.signing import Issuer


class Registries(Deployment, Clock):
    """What a configuration describes: `records` and `store` show what a request causes."""

    store: MemoryStore

    def __init__(self, configuration: str) -> None:
        self.records = Records()
        self.scanner = SecretScanner()
        self.issuer = Issuer()
        super().__init__(
            MemoryStore(),
            MemoryFiles(),
            clock=self,
            audit=self.records.append,
            fetch=self.issuer.fetch,
            scanner=self.scanner,
        )
        self.configure(configuration)

    def configure(self, text: str) -> None:
        loaded = config.parse(tomllib.loads(text), allow_loopback=False)
        self.store.apply(loaded.configuration, loaded.publishers)

    def upload(
        self,
        token: UploadToken,
        path: str = "/acme/legacy/",
        file: Distribution | None = None,
    ) -> Answer:
        headers = {
            "authorization": basic("__token__", token.reveal()),
            "content-type": distributions.CONTENT_TYPE,
        }
        return self.call("POST", path, distributions.form(file or distributions.wheel()), headers)
