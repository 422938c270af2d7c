"""A whole deployment on one engine, the acts of its operator and users, and the invariants.

``faulty`` is the deployment under test, with a line that can be broken; ``honest`` is another
container of the same deployment, whose line never breaks. Both work on the same store.
"""

import hashlib
import json
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any, ClassVar, NamedTuple
from urllib.parse import urlencode, urlsplit

from packaging.version import Version

from pytp_broker import config
from pytp_broker.access import Caller, verify
from pytp_broker.audit.record import AuditRecord
from pytp_broker.cli.import_progress import Lines
from pytp_broker.cli.import_report import Report
from pytp_broker.cli.importer import Importer
from pytp_broker.cli.key_changes import revoke, rotate
from pytp_broker.cli.operator import Operator
from pytp_broker.config import Loaded
from pytp_broker.content import Held
from pytp_broker.errors import FileExists, Forbidden, StoreUnavailable, Unauthorized
from pytp_broker.grants import Permission
from pytp_broker.http.messages import problem_response
from pytp_broker.index.importing import Transfer
from pytp_broker.index.inventory import take_inventory
from pytp_broker.index.receipts import Notary
from pytp_broker.index.releases import key_of
from pytp_broker.index.sessions.verifying import place_of
from pytp_broker.index.verifying import verify as verify_place
from pytp_broker.minting import Minted
from pytp_broker.names import normalize, version_in
from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.provenance.signing import Signer
from pytp_broker.registries import Registry
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import FileStore, attestations_key, keys_of, staged_key
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import Store
from pytp_broker.storage.sessions import UploadStatus
from pytp_broker.storage.withdrawals import Tombstone
from pytp_broker.tokens import UploadToken
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.verifier import Place, UploadPlace
from tests.faults.injection import Line
from tests.support import distributions, samples
from tests.support.deployment import HOST, Answer, Clock, Deployment, answer_of, basic
from tests.support.distributions import Distribution
from tests.support.fakes import stored_bytes
from tests.support.figures import FAULTS
from tests.support.importing import OneFile
from tests.support.receipt_signing import TestSigner, make_private_key, receipt_key_of
from tests.support.receipts import read_receipt
from tests.support.scanner import SecretScanner, match
from tests.support.signing import Issuer

SECRET = "a-long-random-secret"
CLIENT = f"""
[[registries.introspection_clients]]
id = "devpi"
secret_sha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"
"""

# `widgets` has given ids; those of `gadgets` are pinned on first use, in two registries.
WIDGETS = """
[registries.publishers.github]
repository = "octo-org/widgets"
repository_owner_id = "9919"
repository_id = "70107786"
workflow = "release.yml"
"""
GADGETS = """
[registries.publishers.github]
repository = "octo-org/gadgets"
workflow = "release.yml"
"""
CONFIGURATION = f"""
[[registries]]
name = "acme"
audience = "acme"
access = "public"
{CLIENT}
[[registries.publishers]]
projects = ["widgets", "old"]
{WIDGETS}
[[registries.publishers]]
projects = ["gadgets"]
{GADGETS}
[[registries.readers]]
[registries.readers.github]
owner = "octo-org"
[[registries]]
name = "other"
audience = "other"
[[registries.publishers]]
projects = ["gizmos"]
{GADGETS}
"""
# Takes away a project, a publisher and a registry; gives a project, a publisher and a registry.
CHANGED = f"""
[[registries]]
name = "acme"
audience = "acme"
access = "public"
token_lifetime = 1800
{CLIENT}
[[registries.publishers]]
projects = ["widgets", "new"]
{WIDGETS}
[[registries.publishers]]
projects = ["gadgets"]
{GADGETS}
ref = "refs/tags/*"
[[registries]]
name = "third"
audience = "third"
[[registries.publishers]]
projects = ["gizmos"]
{GADGETS}
"""
# As the first, but nobody may upload `widgets`.
WITHOUT_WIDGETS = CONFIGURATION.replace('["widgets", "old"]', '["old"]')
PROJECTS = ("widgets", "old", "new", "gadgets", "gizmos")
PLACES = [(registry, name) for registry in ("acme", "other", "third") for name in PROJECTS]
STRICT = CONFIGURATION.replace(
    'audience = "acme"', 'audience = "acme"\nrequire_attestations = true'
)
SWITCHED_OFF = CONFIGURATION.replace('audience = "acme"', 'audience = "acme"\nenabled = false')

# How long a publishing session lives.
WEEK = timedelta(days=7)

Right = tuple[str, str, str]  # repository, registry, project


@cache
def load(text: str) -> Loaded:
    """Return a configuration file as ``apply`` takes it."""
    return config.parse(tomllib.loads(text), allow_loopback=False)


def wheel(project: str = "widgets", version: str = "1.0", extra: str = "") -> Distribution:
    """Return a small wheel; ``extra`` makes other bytes of the same name."""
    text = distributions.metadata(project, version, *([f"Summary: {extra}"] if extra else []))
    return distributions.wheel(project, version, text=text)


class Picture(NamedTuple):
    """What is stored at one moment: every row but the cached key sets, and a store to read it."""

    rows: list[str]
    store: Store


@dataclass(frozen=True)
class Engine:
    """Empty storage, how to apply a first configuration to it, and how to look at all of it.

    ``address`` is where another process finds the same.
    """

    store: Store
    files: FileStore
    look: Callable[[], Picture]
    fill: Callable[[Loaded], object]
    line: Line = field(default_factory=Line)  # laid through the engine itself, if at all
    signer: Signer = field(default_factory=TestSigner)
    address: Mapping[str, str] = field(default_factory=dict)

    def dump(self) -> list[str]:
        """Return every row but the cached key sets."""
        return self.look().rows


@dataclass(frozen=True)
class Keys:
    """A KeyMaker, whose private keys are nowhere: each has a number."""

    number: int
    delay: ClassVar[timedelta] = timedelta(0)
    lead: ClassVar[timedelta] = timedelta(0)

    def make(self, not_before: datetime) -> ReceiptKey:
        return receipt_key_of(make_private_key(f"key {self.number}"), not_before)

    def make_first(self, not_before: datetime) -> ReceiptKey:
        return self.make(not_before)


class Clients(Deployment):
    """The functions, in one container each, all caches empty; and the clients' requests to them."""

    def __init__(self, store: Store, files: FileStore, stage: "Stage") -> None:
        super().__init__(
            store,
            files,
            clock=stage,
            audit=stage.records.append,
            fetch=stage.issuer.fetch,
            scanner=stage.scanner,
        )
        self._stage = stage

    def sign_with(self, signer: Signer) -> None:
        """Let another signer make the receipts."""
        self.index = replace(self.index, signer=signer)

    def mint(self, identity_token: str, prefix: str = "/acme", *, single: bool = False) -> Answer:
        members: dict[str, Any] = {"features": ["single-use-token"]} if single else {}
        body = json.dumps({"token": identity_token, **members}).encode()
        answer = self.call("POST", f"{prefix}/_/oidc/mint-token", body)
        if answer.status == 200:
            given = Given(
                identity_token, UploadToken.parse(answer.json["token"]), answer.json["expires"]
            )
            self._stage.given.append(given)
        return answer

    def mint_to_read(self, identity_token: str, prefix: str = "/acme") -> Answer:
        body = json.dumps({"token": identity_token}).encode()
        return self.call("POST", f"{prefix}/_/oidc/mint-read-token", body)

    def burn(self, token: UploadToken, prefix: str = "/acme") -> Answer:
        body = json.dumps({"token": token.reveal()}).encode()
        return self.call("POST", f"{prefix}/_/oidc/burn-token", body)

    def disclose(self, *tokens: UploadToken) -> Answer:
        body = json.dumps([match(token.reveal()) for token in tokens]).encode()
        headers = self._stage.scanner.sign(body)
        return self.call("POST", "/_/secrets/disclose-token", body, headers)

    def upload(
        self, token: UploadToken, file: Distribution, prefix: str = "/acme", **fields: str
    ) -> Answer:
        headers = {
            "authorization": basic("__token__", token.reveal()),
            "content-type": distributions.CONTENT_TYPE,
        }
        body = distributions.form(file, distributions.fields(file, **fields))
        return self.call("POST", f"{prefix}/legacy/", body, headers)

    def publish_session(self, token: UploadToken, staged: Answer) -> Answer:
        """Publish the session that a staged upload was answered with."""
        headers = {
            "authorization": basic("__token__", token.reveal()),
            "content-type": "application/vnd.pypi.upload.v2+json",
        }
        body = json.dumps({"meta": {"api-version": "2.0"}}).encode()
        path = urlsplit(staged.json["links"]["publish"]).path
        return self.call("POST", path, body, headers)

    def introspect(self, token: UploadToken, **question: str) -> Answer:
        headers = {"authorization": basic("devpi", SECRET)}
        body = urlencode({"token": token.reveal(), **question}).encode()
        path = "/acme/_/token/introspect"
        return self.call("POST", path, body, headers)

    def download(self, file: PublishedFile) -> Answer:
        path = f"/{file.registry}/files/{file.sha256}/{file.filename}"
        return self.call("GET", path)

    def apply(self, loaded: Loaded) -> Answer:
        """Apply a configuration as the command does; return the result as an HTTP answer."""
        try:
            plan = self.store.apply(loaded.configuration, loaded.publishers)
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="apply"))
        return Answer(200, {}, json.dumps(plan.lines).encode())

    def yank(self, reason: str | None) -> Answer:
        """Yank the release 1.0 of `widgets`, as the command does."""
        try:
            self.store.yank_release("acme", "widgets", "1", reason)
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="yank"))
        return Answer(200, {}, b"")

    def delete(self, file: PublishedFile, reason: str = "contains a password") -> Answer:
        """Delete a file, as the command does; the answer is the reason that stands."""
        tombstone = Tombstone(reason, "user olive", self._stage.now)
        try:
            in_force = self.store.delete_file(file.registry, file.project, file.filename, tombstone)
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="delete"))
        return Answer(200, {}, in_force.reason.encode())

    def move_in(self, file: Distribution, yanked: str | None = None) -> Answer:
        """Import a file of `widgets` from another index, as the command does."""
        source = OneFile(normalize("widgets"), file, yanked)
        report = Report("acme", source.name)
        operator = Operator(self.store, "user olive")
        transfer = Transfer(report.registry, report.source, operator.name, "a" * 64)
        notary = Notary(HOST, self.index.signer, self.files, lambda: self._stage.now)
        try:
            made = Importer((operator, notary), source, transfer, report, Lines())
            made.run(source.list_projects())
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="import"))
        for refused in report.refused:
            return answer_of(problem_response(FileExists(refused.why), instance="import"))
        return Answer(200, {}, b"")

    def make_token(self, made: Minted) -> Answer:
        """Store a token that an operator made, as the command does."""
        try:
            is_there = self.store.add_operators_token(made.record)
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="token"))
        return Answer(200 if is_there else 404, {}, b"")

    def rotate_key(self) -> Answer:
        """Make a new key of receipts, as the command does."""
        self._stage.rotations += 1
        number = self._stage.rotations
        operator = Operator(self.store, "user olive", key_maker=Keys(number))
        try:
            rotate(operator, self._stage.now + timedelta(seconds=number))
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="receipt-key"))
        return Answer(200, {}, b"")

    def revoke_key(self, key: ReceiptKey) -> Answer:
        """Revoke a key of receipts, as the command does."""
        try:
            revoke(key, self._stage.now, "lost", Operator(self.store, "user olive"))
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="receipt-key"))
        return Answer(200, {}, b"")

    def set_status(self, status: ProjectStatus) -> Answer:
        """Give `widgets` a status, as the command does."""
        try:
            self.store.set_status("acme", "widgets", status)
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="status"))
        return Answer(200, {}, b"")

    def refuse_identity_tokens(self, before: datetime) -> Answer:
        """Refuse identity tokens from before a time, as the command does."""
        try:
            self.store.refuse_identity_tokens(before)
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="identity-tokens"))
        return Answer(200, {}, b"")

    def list_all(self) -> Answer:
        """List the projects of `acme` and all publishers, as the commands do."""
        try:
            projects = take_inventory(self.store.survey("acme"))
            publishers = self.store.load_setup().publishers.values()
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="list"))
        found = {
            "projects": {each.name: each.latest_version for each in projects},
            "publishers": sorted(each.rules_hash for each in publishers),
        }
        return Answer(200, {}, json.dumps(found).encode())

    def verify_place(self, place: Place) -> Answer:
        """Verify what is at a place, as the verify function does."""
        try:
            verify_place(place, self.index)
        except StoreUnavailable as problem:
            return answer_of(problem_response(problem, instance="verify"))
        return Answer(200, {}, b"")

    def receipt(self, file: PublishedFile) -> Answer:
        """Return the receipt of a file."""
        place = f"{file.project}/{file.version}/{file.filename}"
        return self.call("GET", f"/{file.registry}/integrity/{place}/receipt")

    def page(self) -> Answer:
        """Return the page of `widgets`."""
        return self.call("GET", "/acme/simple/widgets/")

    def visit(self) -> Answer:
        """Return the page for people of `widgets`."""
        return self.call("GET", "/acme/project/widgets/")

    def private_page(self, token: UploadToken) -> Answer:
        """Return the page of `gizmos` in `other`, which is private."""
        headers = {"authorization": basic("__token__", token.reveal())}
        return self.call("GET", "/other/simple/gizmos/", b"", headers)

    def rights_of(self, token: UploadToken) -> set[tuple[str, str]]:
        """Return where the token may upload now, as the upload function sees it."""

        configuration = self.index.configurations.current()

        def caller_of(registry: str) -> Caller:
            return Caller(token, Permission.UPLOAD, Registry(registry, ()), configuration)

        def has(registry: str, project: str) -> bool:
            try:
                return bool(verify(caller_of(registry), project, self.index))
            except (Unauthorized, Forbidden):
                return False

        return {place for place in PLACES if has(*place)}


class Given(NamedTuple):
    """An upload token that was returned for an identity token, until when (seconds)."""

    identity_token: str
    token: UploadToken
    expires: int


class Stage(Clock):
    """The engine, both containers, and every token that anybody ever received."""

    def __init__(
        self, engine: Engine, faulty: Engine | None = None, configuration: str = CONFIGURATION
    ) -> None:
        self.engine = engine
        self.issuer = Issuer()
        self.scanner = SecretScanner()
        self.records: list[AuditRecord] = []
        self.given: list[Given] = []
        self.repositories: dict[str, str] = {}  # whose each identity token is
        self.honest = Clients(engine.store, engine.files, self)
        self.configured: list[Loaded] = []
        self.rotations = 0
        if configuration:
            self.configured.append(load(configuration))
            engine.fill(self.configured[-1])
        end = faulty or engine
        self.faulty = Clients(end.store, end.files, self)
        self.faulty.sign_with(end.signer)
        self.line = end.line
        self.line.delay = self.let_a_call_be_slow

    def configure(self, text: str) -> None:
        """Apply honestly, as the operator does elsewhere at the same time."""
        self.configured.append(load(text))
        assert self.honest.apply(self.configured[-1]).status == 200

    def let_a_call_be_slow(self) -> None:
        """Let half of a slow call's time pass.

        A call takes six seconds, as long as our clients of AWS wait; a statement of SQLite two.
        """
        self.advance(seconds=self.line.seconds)

    def let_caches_end(self) -> None:
        """Let the ten seconds pass for which a configuration is cached."""
        self.advance(seconds=10)

    def let_a_refresh_be_due(self) -> None:
        """Let a minute pass: an instance that lost the key set it fetched may fetch it again."""
        self.advance(seconds=60)

    def identity_token(self, repository: str = "octo-org/widgets", **changes: Any) -> str:
        workflow = f"{repository}/.github/workflows/release.yml@refs/tags/v1.2.0"
        claims = {"job_workflow_ref": workflow, "workflow_ref": workflow, **changes}
        token = self.issuer.token(self.now, repository=repository, **claims)
        self.repositories[token] = repository
        return token

    def upload_token(self, repository: str = "octo-org/widgets", **options: Any) -> UploadToken:
        answer = self.honest.mint(self.identity_token(repository), **options)
        assert answer.status == 200, answer.body
        return UploadToken.parse(answer.json["token"])

    def stage_a_large_file(
        self, file: Distribution, sent: Distribution | None = None
    ) -> UploadPlace:
        """Let a file of a publishing session wait for its verification."""
        content = Held((sent or file).content)
        staged = replace(
            samples.staged(file.filename),
            size=content.size,
            hashes={"sha256": file.sha256},
            status=UploadStatus.PROCESSING,
            processing_since=self.now,
            attempts=0,
            file=None,
        )
        session = samples.session(staged, created_at=self.now, expires_at=self.now + WEEK)
        session = self.engine.store.add_session(session)
        key = staged_key(session.registry, staged.upload_id, file.filename)
        self.engine.files.save(key, content, (sent or file).sha256)
        return place_of(session, staged)

    def is_visible(self, file: Distribution) -> bool:
        """Say whether these very bytes can be downloaded under their name."""
        return (file.filename, file.sha256) in {
            (f.filename, f.sha256) for f in self.visible_files()
        }

    def visible_files(self) -> Iterator[PublishedFile]:
        return files_in(self.engine.look().store)

    # What must always hold

    def check(self) -> None:
        """Check every invariant that does not depend on what was just done."""
        rows, store = self.engine.look()
        self._check_no_token_is_lost_or_doubled(store)
        self._check_nothing_is_visible_without_its_bytes(store)
        self._check_nothing_is_visible_without_its_receipt(store)
        self._check_nothing_is_visible_without_its_attestations(store)
        self._check_a_release_has_one_spelling(store)
        self._check_no_right_is_given_that_is_not_configured(store)
        self._check_no_secret_is_recorded(rows)
        FAULTS["checks of all invariants"] += 1

    def _check_no_token_is_lost_or_doubled(self, store: Store) -> None:
        identities = [given.identity_token for given in self.given]
        assert len(set(identities)) == len(identities), "one identity token gave two"
        for given in self.given:
            found = store.find_token(given.token.lookup_id, None)
            if found is None:
                assert given.expires <= self.now.timestamp(), "returned, but not stored"
            else:
                assert found[0].token_hash == given.token.hash

    def _check_nothing_is_visible_without_its_bytes(self, store: Store) -> None:
        for file in files_in(store):
            content, octets = (stored_bytes(self.engine.files, key) for key in keys_of(file))
            assert hashlib.sha256(content).hexdigest() == file.sha256
            assert hashlib.sha256(octets).hexdigest() == file.metadata_sha256

    def _check_nothing_is_visible_without_its_receipt(self, store: Store) -> None:
        for file in files_in(store):
            assert read_receipt(file, self.engine.files, self.now).project == file.project

    def _check_nothing_is_visible_without_its_attestations(self, store: Store) -> None:
        for file in files_in(store):
            if (digest := file.attestations_sha256) is not None:
                key = attestations_key(file.registry, digest, file.filename)
                octets = stored_bytes(self.engine.files, key)
                assert hashlib.sha256(octets).hexdigest() == digest
                assert file.attestation_state is not None

    def _check_a_release_has_one_spelling(self, store: Store) -> None:
        spellings: dict[tuple[str, str, str], set[str]] = {}
        for file in files_in(store):
            place = (file.registry, file.project, key_of(Version(file.version)))
            spellings.setdefault(place, set()).add(version_in(file.filename, file.project))
        assert all(len(each) == 1 for each in spellings.values()), "two spellings of one version"

    def _check_no_right_is_given_that_is_not_configured(self, store: Store) -> None:
        fresh = Clients(store, self.engine.files, self)
        allowed = set().union(*(configured_rights(c) for c in self.configured))
        for given in self.given:
            repository = self.repositories[given.identity_token]
            rights = {(repository, *place) for place in fresh.rights_of(given.token)}
            assert rights <= allowed, "a right that no configuration gives"

    def _check_no_secret_is_recorded(self, rows: list[str]) -> None:
        written = repr(self.records) + "".join(rows)
        for given in self.given:
            assert given.token.reveal() not in written
            assert given.identity_token.rpartition(".")[2] not in written

    def check_answer(self, answer: Answer) -> None:
        """Check that a refusal is the error object, says when to try again, and holds no secret."""
        if answer.status < 400:
            return
        assert answer.code
        assert answer.status < 500 or (answer.status, "Retry-After" in answer.headers) == (
            503,
            True,
        )
        text = answer.body.decode()
        assert "pytp_" not in text
        assert not any(identity.rpartition(".")[2] in text for identity in self.repositories)


def files_in(store: Store) -> Iterator[PublishedFile]:
    """Yield the files that anybody can see."""
    for registry in ("acme", "other", "third"):
        for project in store.list_projects(registry):
            deleted = store.list_withdrawn(registry, project).deleted
            for file in store.list_files(registry, project):
                if file.filename not in deleted:
                    yield file


def configured_rights(loaded: Loaded) -> set[Right]:
    """Return the rights that a configuration gives: who may upload which project, and where."""
    in_force = with_built_in(loaded.configuration)
    return {
        (str(publisher.fields["repository"]), publisher.registry, project)
        for publisher in loaded.publishers
        for project in publisher.projects  # a reader has none
        if in_force.is_enabled(publisher.registry, publisher.issuer)
    }
