"""An index in memory: two public registries, publishers, tokens, and a clock that stands still."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any, ClassVar
from urllib.parse import unquote

from pytp_broker.audit.record import AuditRecord
from pytp_broker.content import Content
from pytp_broker.grants import Grant, Permission
from pytp_broker.registries import PUBLIC, Configuration, Issuer, Registry
from pytp_broker.tokens import MULTI_USE, Listing, TokenRecord, UploadToken
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher
from tests.support import distributions
from tests.support.audit import Records
from tests.support.deployment import HOST, Answer, Clock, Deployment, basic
from tests.support.distributions import Distribution, Fields
from tests.support.fakes import MemoryFiles, MemoryStore
from tests.support.scanner import SecretScanner
from tests.support.signing import GITHUB

IDENTITY = {"repository": "octo-org/widgets", "sha": "f00d"}


class Shelf(Deployment, Clock):
    """An index: ``call`` sends a request; ``store``, ``files``, ``records`` show its effects."""

    FUNCTIONS: ClassVar[tuple[str, ...]] = ("upload", "read")
    store: MemoryStore
    files: MemoryFiles

    def __init__(self) -> None:
        self.records = Records()
        super().__init__(
            MemoryStore(),
            MemoryFiles(),
            clock=self,
            audit=self.records.append,
            fetch=_fetch_nothing,
            scanner=SecretScanner(),
        )
        self.configuration = Configuration(
            issuers={GITHUB: Issuer(GITHUB, "github", ("RS256",))},
            registries={
                "acme": Registry("acme", (GITHUB,), access=PUBLIC),
                "other": Registry("other", (GITHUB,), hosts=("other.example.com",), access=PUBLIC),
            },
        )
        self.publishers = [
            shelf_publisher("p-widgets", "acme", "widgets"),
            shelf_publisher("p-my", "acme", "my-widgets"),
            shelf_publisher("p-secret", "other", "secret-project"),
        ]
        self.apply()
        self.token = self.mint()
        self.store.calls.clear()

    def apply(self) -> None:
        self.store.apply(self.configuration, self.publishers)
        self.ticks += 10

    def change(self, **changes: Any) -> None:
        """Change the registry `acme`."""
        acme = replace(self.configuration.registries["acme"], **changes)
        registries = {**self.configuration.registries, "acme": acme}
        self.configuration = replace(self.configuration, registries=registries)
        self.apply()

    def switch_off(self) -> None:
        """Switch everything off."""
        self.configuration = replace(self.configuration, enabled=False)
        self.apply()

    def switch_issuer_off(self) -> None:
        issuer = replace(self.configuration.issuers[GITHUB], enabled=False)
        self.configuration = replace(self.configuration, issuers={GITHUB: issuer})
        self.apply()

    def mint(
        self,
        *scope: tuple[str, str, str],
        feature: str = MULTI_USE,
        lookup_id: str = "0" * 31 + "1",
        age_seconds: int = 0,
    ) -> UploadToken:
        """Return a token for (registry, project, publisher id), stored as the exchange does."""
        token = UploadToken.mint(lookup_id)
        scope = scope or (
            ("acme", "widgets", "p-widgets"),
            ("acme", "my-widgets", "p-my"),
            ("other", "secret-project", "p-secret"),
        )
        issued_at = self.now - timedelta(seconds=age_seconds)
        record = TokenRecord(
            lookup_id=token.lookup_id,
            token_hash=token.hash,
            issuer=GITHUB,
            identity=IDENTITY,
            grants=tuple(
                Grant(name, None, Permission.UPLOAD, {i: 0 for r, _, i in scope if r == name})
                for name in dict.fromkeys(registry for registry, _, _ in scope)
            ),
            projects={
                name: Listing(projects, len(projects))
                for name in dict.fromkeys(registry for registry, _, _ in scope)
                if (projects := tuple(p for r, p, _ in scope if r == name))
            },
            features=(feature,),
            issued_at=issued_at,
            expires_at=issued_at + timedelta(seconds=900),
            kept_until=issued_at + timedelta(seconds=1000),
            identity_key=self.publishers[0].identity_key,
        )
        self.store.tokens.pop(token.lookup_id, None)
        self.store.add_token(record)
        return token

    def call(
        self,
        method: str,
        path: str,
        body: bytes | Mapping[str, Any] = b"",
        headers: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Answer:
        """Send a request, whose path the gateway decodes."""
        return super().call(method, unquote(path), body, headers, **options)

    def get(self, path: str, accept: str | None = None, **headers: str) -> Answer:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.call(
            "GET", path, headers=sent if accept is None else {**sent, "accept": accept}
        )

    def post(
        self,
        body: bytes,
        authorization: str | None = None,
        path: str = "/acme/legacy/",
        content_type: str | None = distributions.CONTENT_TYPE,
        host: str = HOST,
    ) -> Answer:
        """Post a body with the good token, or with another header; empty for none."""
        value = self.basic() if authorization is None else authorization
        headers = {"authorization": value} if value else {}
        if content_type is not None:
            headers["content-type"] = content_type
        return self.call("POST", path, body, headers, host=host)

    def publish(self, distribution: Distribution, sent: Fields | None = None) -> Answer:
        return self.post(distributions.form(distribution, sent))

    def basic(self, token: UploadToken | None = None) -> str:
        return basic("__token__", (token or self.token).reveal())

    def between(self, act: Callable[[], object]) -> None:
        """Call a function after all checks of an upload, while its bytes are being stored."""

        class InterruptedFiles(MemoryFiles):
            def save(self, key: str, content: Content, sha256: str) -> None:
                super().save(key, content, sha256)
                if not self.calls[1:]:
                    act()

        self.index = replace(self.index, files=InterruptedFiles())

    @property
    def filenames(self) -> list[str]:
        """Return the names of the published files."""
        return [filename for _, filename in self.store.files]

    @property
    def record(self) -> AuditRecord:
        """Return the one audit record."""
        (record,) = self.records
        return record


def assert_upload_refused(shelf: Shelf, distribution: Distribution, words: str = "") -> None:
    answer = shelf.publish(distribution)

    assert answer.status == 400
    assert words in answer.detail
    assert not shelf.store.files
    assert not shelf.files.contents


def _fetch_nothing(url: str) -> bytes:
    raise AssertionError(f"unexpected fetch of {url}")


def shelf_publisher(publisher_id: str, registry: str, *projects: str) -> TrustedPublisher:
    return TrustedPublisher(
        publisher_id=publisher_id,
        registry=registry,
        issuer=GITHUB,
        provider=PROVIDERS["github"],
        projects=projects,
        fields={"repository": "octo-org/widgets", "workflow": f"{projects[0]}.yml"},
    )
