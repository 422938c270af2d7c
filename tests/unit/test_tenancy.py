"""Two registries and two issuers attack each other: tokens of one are useless at the other.

``acme`` and ``other`` share a host; each has a host of its own as well, publishers of its own at
its own issuer (GitHub, and a GitHub Enterprise Server that signs whatever claims it likes), and its
own introspection client. One attack a row: it is refused, and nothing is written.
"""

import base64
import hashlib
import json
import tomllib
from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from pytp_broker import config
from pytp_broker.cli.file import delete
from pytp_broker.cli.import_progress import Lines
from pytp_broker.cli.import_report import Report
from pytp_broker.cli.importer import Importer
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.project import set_status
from pytp_broker.cli.release import unyank, yank
from pytp_broker.index.importing import Transfer
from pytp_broker.index.inventory import ProjectInventory, take_inventory
from pytp_broker.making import Making
from pytp_broker.minting import make_to_read, make_to_upload
from pytp_broker.names import normalize
from pytp_broker.tokens import UploadToken
from tests.support import distributions, samples
from tests.support.deployment import HOST, Answer, Clock, Deployment, basic
from tests.support.fakes import MemoryFiles, MemoryStore
from tests.support.importing import OneFile
from tests.support.receipts import AUDIT, notary
from tests.support.scanner import SecretScanner
from tests.support.signing import GITHUB, Issuer, rsa_key
from tests.support.uploading import UploadClient

ENTERPRISE = "https://ghes.example.com/_services/token"
SECRETS = {"acme": "the-secret-of-acmes-client", "other": "the-secret-of-others-client"}


def registry(name: str, issuer: str, project: str, audience: str | None = None) -> str:
    """Return a registry that trusts octo-org/widgets at one issuer; `shared` trusts it as well."""
    client_hash = hashlib.sha256(SECRETS[name].encode()).hexdigest()
    audience_line = f'audience = "{audience}"' if audience else ""
    publishers = "".join(
        f"""
[[registries.publishers]]
projects = ["{trusted}"]
[registries.publishers.github]
repository = "octo-org/{repository}"
repository_owner_id = "9919"
repository_id = "70107786"
workflow = "release.yml"
"""
        for trusted, repository in ((project, "widgets"), ("shared", "shared"))
    )
    return f"""
[[registries]]
name = "{name}"
hosts = ["{name}.example.com"]
issuers = ["{issuer}"]
{audience_line}
[[registries.introspection_clients]]
id = "devpi"
secret_sha256 = "{client_hash}"
[[registries.readers]]
[registries.readers.github]
owner = "octo-org"
repository_owner_id = "9919"
{publishers}
"""


def configuration(
    other_issuer: str = ENTERPRISE, audiences: tuple[str, str] = ("acme", "other")
) -> str:
    return f"""
[[issuers]]
url = "{ENTERPRISE}"
provider = "github"
{registry("acme", GITHUB, "widgets", audiences[0])}
{registry("other", other_issuer, "gadgets", audiences[1])}
"""


class Tenants(Deployment):
    """Both registries, both issuers, and what an attacker can send."""

    store: MemoryStore
    files: MemoryFiles

    def __init__(self, text: str = "") -> None:
        self.github = Issuer()
        # The same key id as the other issuer, and another key.
        self.enterprise = Issuer(ENTERPRISE, {"key-1": rsa_key("enterprise")})
        super().__init__(
            MemoryStore(),
            MemoryFiles(),
            clock=Clock(),
            audit=lambda _record: None,
            fetch=self._ask_issuer,
            scanner=SecretScanner(),
        )
        loaded = config.parse(tomllib.loads(text or configuration()), allow_loopback=False)
        self.store.apply(loaded.configuration, loaded.publishers)

    def _ask_issuer(self, url: str) -> bytes:
        return (self.enterprise if url.startswith(ENTERPRISE) else self.github).fetch(url)

    def send(
        self,
        function: str,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        host: str = HOST,
    ) -> Answer:
        """Send a request to one function, as the gateway does."""
        event = {
            "rawPath": path,
            "headers": {"host": host, **(headers or {})},
            "requestContext": {"domainName": HOST, "http": {"method": method, "path": path}},
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        return self.hand(function, event)

    def mint(self, token: str, path: str = "/acme/_/oidc/mint-token", **options: Any) -> Answer:
        return self.send("broker", "POST", path, json.dumps({"token": token}).encode(), **options)

    def acmes_token(self) -> UploadToken:
        return UploadToken.parse(self.mint(self.github.token()).json["token"])

    def others_token(self) -> UploadToken:
        token = self.enterprise.token(aud="other")
        return UploadToken.parse(self.mint(token, "/other/_/oidc/mint-token").json["token"])

    def upload(
        self, token: UploadToken, project: str, path: str = "/acme/legacy/", **options: Any
    ) -> Answer:
        headers = {
            "authorization": basic("__token__", token.reveal()),
            "content-type": distributions.CONTENT_TYPE,
            **options.pop("headers", {}),
        }
        file = distributions.wheel(project)
        form = distributions.form(
            file, distributions.fields(file, staged=options.pop("staged", None))
        )
        return self.send("upload", "POST", path, form, headers, **options)

    def burn(self, token: UploadToken, path: str, **options: Any) -> Answer:
        body = json.dumps({"token": token.reveal()}).encode()
        return self.send("broker", "POST", path, body, **options)

    def introspect(self, token: UploadToken, name: str, client_of: str) -> Answer:
        body = urlencode({"token": token.reveal()}).encode()
        headers = {"authorization": basic("devpi", SECRETS[client_of])}
        return self.send("introspect", "POST", f"/{name}/_/token/introspect", body, headers)

    def written(self) -> object:
        return dict(self.store.tokens), dict(self.store.files), dict(self.store.publishers)


@pytest.fixture
def deployment() -> Tenants:
    return Tenants()


@pytest.fixture
def shared_issuer() -> Tenants:
    """Return a deployment in which both registries trust the same issuer and repository."""
    return Tenants(configuration(other_issuer=GITHUB))


def test_a_staged_upload_of_another_registry_is_refused_and_begins_no_session(
    deployment: Tenants,
) -> None:
    ours, theirs = deployment.acmes_token(), deployment.others_token()

    at_theirs = deployment.upload(ours, "gadgets", "/other/legacy/", staged="true")
    with_theirs = deployment.upload(theirs, "widgets", staged="true")

    assert {at_theirs.status, with_theirs.status} == {403}
    assert not deployment.store.list_sessions(deployment.clock.now)
    assert deployment.upload(ours, "widgets", staged="true").status == 200


# The same without an attack. If the broker refused everything, the tests below would pass too.


def test_each_works_alone(deployment: Tenants) -> None:
    assert deployment.upload(deployment.acmes_token(), "widgets").status == 200
    assert deployment.upload(deployment.others_token(), "gadgets", "/other/legacy/").status == 200
    assert {place[0] for place in deployment.store.files} == {"acme", "other"}


# Identity tokens


@dataclass(frozen=True)
class Exchange:
    """An identity token at the wrong place, and the refusal."""

    token: Callable[[Tenants], str]
    code: str
    path: str = "/acme/_/oidc/mint-token"
    host: str = HOST


EXCHANGES = {
    "the-others-audience": Exchange(lambda d: d.github.token(aud="other"), "invalid-token"),
    "the-others-audience-at-the-shared-root": Exchange(
        lambda d: d.github.token(aud="acme"), "invalid-token", "/_/oidc/mint-token"
    ),
    "the-shared-audience-at-a-prefix": Exchange(
        lambda d: d.github.token(aud=HOST), "invalid-token"
    ),
    "the-shared-audience-at-an-own-host": Exchange(
        lambda d: d.github.token(aud=HOST),
        "invalid-token",
        "/_/oidc/mint-token",
        "acme.example.com",
    ),
    "both-audiences": Exchange(lambda d: d.github.token(aud=["acme", "other"]), "invalid-token"),
    "the-others-issuer": Exchange(lambda d: d.enterprise.token(aud="acme"), "invalid-payload"),
    "the-others-issuer-with-ours-in-the-claims": Exchange(
        lambda d: d.enterprise.token(aud="acme", iss=GITHUB), "invalid-token"
    ),
    "our-issuer-there": Exchange(
        lambda d: d.github.token(aud="other"), "invalid-payload", "/other/_/oidc/mint-token"
    ),
    "the-others-host-for-our-token": Exchange(
        lambda d: d.github.token(), "invalid-payload", "/_/oidc/mint-token", "other.example.com"
    ),
    "the-others-prefix-on-our-host": Exchange(
        lambda d: d.github.token(), "not-found", "/other/_/oidc/mint-token", "acme.example.com"
    ),
}


@pytest.mark.parametrize("attack", EXCHANGES.values(), ids=EXCHANGES)
def test_an_identity_token_is_of_no_use_where_it_does_not_belong(
    deployment: Tenants, attack: Exchange
) -> None:
    before = deployment.written()

    answer = deployment.mint(attack.token(deployment), attack.path, host=attack.host)

    assert answer.code == attack.code
    assert deployment.written() == before


@pytest.mark.parametrize("attack", EXCHANGES.values(), ids=EXCHANGES)
def test_an_identity_token_gives_no_read_token_where_it_does_not_belong(
    deployment: Tenants, attack: Exchange
) -> None:
    before = deployment.written()
    path = attack.path.replace("mint-token", "mint-read-token")
    is_at_shared_root = path.startswith("/_") and attack.host == HOST

    answer = deployment.mint(attack.token(deployment), path, host=attack.host)

    assert answer.code == ("not-found" if is_at_shared_root else attack.code)
    assert deployment.written() == before


def test_a_read_token_of_one_registry_reads_and_uploads_nothing_in_the_other(
    shared_issuer: Tenants,
) -> None:
    """Both registries trust the owner, by the same issuer."""
    minted = shared_issuer.mint(shared_issuer.github.token(), "/acme/_/oidc/mint-read-token")
    token = UploadToken.parse(minted.json["token"])
    headers = {"authorization": basic("__token__", token.reveal())}

    assert shared_issuer.send("read", "GET", "/acme/simple/", headers=headers).status == 200
    assert shared_issuer.send("read", "GET", "/other/simple/", headers=headers).status == 401
    assert shared_issuer.upload(token, "gadgets", "/other/legacy/").status == 403
    assert shared_issuer.upload(token, "widgets").status == 403


def test_the_same_claims_of_another_issuer_match_nobody_at_the_shared_root(
    deployment: Tenants,
) -> None:
    """The enterprise signs the very claims of acme's publisher: they are good in `other` alone."""
    token = deployment.enterprise.token(aud=HOST)

    minted = deployment.mint(token, "/_/oidc/mint-token")

    upload_token = UploadToken.parse(minted.json["token"])
    assert deployment.store.tokens[upload_token.lookup_id].places == ["other/gadgets"]
    assert deployment.upload(upload_token, "widgets").status == 403


def test_a_token_id_of_one_issuer_does_not_use_up_the_others(deployment: Tenants) -> None:
    theirs = deployment.enterprise.token(aud="other", jti="the-same")
    assert deployment.mint(theirs, "/other/_/oidc/mint-token").status == 200

    assert deployment.mint(deployment.github.token(jti="the-same")).status == 200


@pytest.mark.row("A050")
def test_one_identity_token_is_exchanged_in_one_registry_only() -> None:
    """Both were given the same audience by mistake: the first exchange uses the token up."""
    deployment = Tenants(configuration(GITHUB, ("same", "same")))
    token = deployment.github.token(aud="same")

    minted = deployment.mint(token)

    assert minted.status == 200
    again = deployment.mint(token, "/other/_/oidc/mint-token")
    assert (again.status, again.code) == (422, "invalid-reuse-token")
    assert "token" not in again.json
    assert len(deployment.store.tokens) == 1
    upload_token = UploadToken.parse(minted.json["token"])
    assert deployment.upload(upload_token, "gadgets", "/other/legacy/").status == 403
    assert deployment.upload(upload_token, "widgets").status == 200


# Upload tokens: a repository that both trust, so that nothing but the registry tells them apart


@dataclass(frozen=True)
class Upload:
    """An upload with acme's token at another place, and the refusal."""

    project: str
    path: str
    host: str = HOST
    status: int = 403


UPLOADS = {
    "the-others-prefix": Upload("gadgets", "/other/legacy/"),
    "the-others-host": Upload("gadgets", "/legacy/", "other.example.com"),
    "the-others-host-with-a-port": Upload("gadgets", "/legacy/", "other.example.com:443"),
    "the-others-host-in-capitals": Upload("gadgets", "/legacy/", "OTHER.EXAMPLE.COM"),
    "a-project-that-both-have": Upload("shared", "/other/legacy/"),
    "our-project-there": Upload("widgets", "/other/legacy/"),
    "their-project-here": Upload("gadgets", "/acme/legacy/"),
    "the-shared-root": Upload("widgets", "/legacy/", status=404),
    "an-unknown-host": Upload("widgets", "/legacy/", "evil.example.com", 404),
    "a-host-that-ends-like-ours": Upload("widgets", "/legacy/", "x.acme.example.com", 404),
    "a-host-with-a-dot-at-the-end": Upload("widgets", "/legacy/", "acme.example.com.", 404),
    "our-prefix-on-their-host": Upload("widgets", "/acme/legacy/", "other.example.com", 404),
}


@pytest.mark.parametrize("attack", UPLOADS.values(), ids=UPLOADS)
def test_an_upload_token_is_of_no_use_elsewhere(shared_issuer: Tenants, attack: Upload) -> None:
    token = shared_issuer.acmes_token()
    before = shared_issuer.written()

    answer = shared_issuer.upload(token, attack.project, attack.path, host=attack.host)

    assert answer.status == attack.status
    assert answer.code
    assert shared_issuer.written() == before
    assert shared_issuer.files.contents == {}


PATHS = [
    "/acme/../other/legacy/",
    "/acme/legacy/../../other/legacy/",
    "/acme/%2e%2e/other/legacy/",
    "/acme/..%2fother/legacy/",
    "/acme%2f..%2fother/legacy/",
    "//other/legacy/",
    "/acme//legacy/",
    "/./other/legacy/",
    "/OTHER/legacy/",
    "/Acme/legacy/",
    "/acme/LEGACY/",
    "/other;x=acme/legacy/",
    "/acme;/legacy/",
    "/acme/;other/legacy/",
    "/acme\x00/legacy/",
    "/acme/legacy/\x00",
    "/acme\\..\\other\\legacy\\",
    "/acme /legacy/",
    "/acme\t/legacy/",
    "/acme\n/legacy/",
    "/ot\u0125er/legacy/",
    "/\uff4fther/legacy/",
    "/acme/legacy//",
    "/acme/legacy/x",
    "/acme/legacy/?x",
    "/acme/legacy#",
    "/acmelegacy/",
    "acme/../other/legacy/",
    "https://other.example.com/legacy/",
    "//other.example.com/legacy/",
    "",
    "/",
]


@pytest.mark.parametrize("path", PATHS, ids=repr)
def test_a_trick_with_the_path_leads_nowhere(shared_issuer: Tenants, path: str) -> None:
    """Paths are compared as they are, decoded once by the gateway: no dot segments, no folding."""
    token = shared_issuer.acmes_token()
    before = shared_issuer.written()

    for project in ("widgets", "gadgets"):
        assert shared_issuer.upload(token, project, path).status in {403, 404}
    identity = shared_issuer.github.token(aud="other")
    minted = shared_issuer.mint(identity, path.replace("legacy/", "_/oidc/mint-token"))
    assert minted.status in {404, 422}

    assert shared_issuer.written() == before


SPOOFS = [
    {"x-forwarded-host": "other.example.com"},
    {"forwarded": "host=other.example.com;proto=https"},
    {"x-original-url": "/other/legacy/"},
    {"x-rewrite-url": "/other/legacy/"},
    {"x-original-host": "other.example.com"},
    {"x-forwarded-prefix": "/other"},
    {"x-http-method-override": "GET"},
    {":authority": "other.example.com"},
]


@pytest.mark.parametrize("spoof", SPOOFS, ids=lambda spoof: next(iter(spoof)))
def test_no_header_but_host_says_where_a_request_goes(
    shared_issuer: Tenants, spoof: dict[str, str]
) -> None:
    token = shared_issuer.acmes_token()

    theirs = shared_issuer.upload(token, "gadgets", headers=spoof)
    ours = shared_issuer.upload(token, "widgets", headers=spoof)
    at_the_root = shared_issuer.upload(token, "gadgets", "/legacy/", headers=spoof)

    assert (theirs.status, ours.status, at_the_root.status) == (403, 200, 404)
    assert {place[0] for place in shared_issuer.store.files} == {"acme"}


@pytest.mark.parametrize("spoof", SPOOFS, ids=lambda spoof: next(iter(spoof)))
def test_no_header_but_host_says_for_whom_a_token_must_be(
    deployment: Tenants, spoof: dict[str, str]
) -> None:
    answer = deployment.send("broker", "GET", "/_/oidc/audience", headers=spoof)

    assert answer.json == {"audience": HOST}


@pytest.mark.promise("tls-and-dns")
def test_a_made_up_host_gets_the_audience_of_the_deployment(deployment: Tenants) -> None:
    """Otherwise the sender of a request would choose the audience of identity tokens."""
    answer = deployment.send("broker", "GET", "/_/oidc/audience", host="evil.example.com")

    assert answer.json == {"audience": HOST}


def test_a_repository_that_both_trust_gets_the_rights_of_one(shared_issuer: Tenants) -> None:
    minted = shared_issuer.mint(shared_issuer.github.token())

    (record,) = shared_issuer.store.tokens.values()
    assert minted.status == 200
    assert record.registries == ("acme",)


def test_a_registry_that_stays_out_of_the_shared_host_is_left_out_of_its_tokens() -> None:
    text = configuration(GITHUB).replace(
        'hosts = ["other', 'shared_host_exchange = false\nhosts = ["other'
    )
    deployment = Tenants(text)

    minted = deployment.mint(deployment.github.token(aud=HOST), "/_/oidc/mint-token")

    (record,) = deployment.store.tokens.values()
    assert minted.status == 200
    assert record.registries == ("acme",)


# Publishing sessions


SESSION_REQUESTS = [
    ("GET", "", b""),
    ("DELETE", "", b""),
    ("POST", "/publish", b"{}"),
    ("POST", "/extend", b"{}"),
    ("POST", "/files", b"{}"),
    ("GET", f"/files/widgets-1.0.tar.gz/{'0' * 32}", b""),
    ("DELETE", f"/files/widgets-1.0.tar.gz/{'0' * 32}", b""),
    ("POST", f"/files/widgets-1.0.tar.gz/{'0' * 32}/attestations", b"[]"),
    ("POST", f"/files/widgets-1.0.tar.gz/{'0' * 32}/bytes", b"x"),
    ("POST", f"/files/widgets-1.0.tar.gz/{'0' * 32}/complete", b"{}"),
    ("POST", f"/files/widgets-1.0.tar.gz/{'0' * 32}/extend", b"{}"),
]


def session_of_acme(deployment: Tenants) -> tuple[UploadToken, str]:
    """Return a token of acme, and the token of a session for its `widgets`."""
    token = deployment.acmes_token()
    client = UploadClient(deployment, basic("__token__", token.reveal()))
    session = client.begin()
    client.stage(session, distributions.wheel())
    return token, session["session-token"]


@pytest.mark.promise("own-registry")
@pytest.mark.parametrize("request_", SESSION_REQUESTS, ids=lambda r: f"{r[0]} {r[1]}")
@pytest.mark.parametrize("host", [HOST, "other.example.com"])
def test_a_session_of_one_registry_is_not_there_in_the_other(
    shared_issuer: Tenants, request_: tuple[str, str, bytes], host: str
) -> None:
    token, session = session_of_acme(shared_issuer)
    method, path, body = request_
    theirs = shared_issuer.mint(
        shared_issuer.github.token(aud="other"), "/other/_/oidc/mint-token"
    ).json["token"]
    before = (shared_issuer.written(), dict(shared_issuer.store.sessions))
    prefix = "/other" if host == HOST else ""

    for sent in (token.reveal(), theirs):
        headers = {
            "authorization": basic("__token__", sent),
            "content-type": "application/vnd.pypi.upload.v2+json",
        }
        url = f"{prefix}/upload/{session}{path}"
        answer = shared_issuer.send("upload", method, url, body, headers, host=host)
        assert answer.status in {400, 403, 404}
        at_home = f"/acme/upload/{session}{path}"
        if sent == theirs:
            refused = shared_issuer.send("upload", method, at_home, body, headers)
            assert refused.status in {400, 403}

    assert (shared_issuer.written(), dict(shared_issuer.store.sessions)) == before


# Burn


@pytest.mark.parametrize(
    ("path", "host"),
    [
        ("/acme/_/oidc/burn-token", HOST),
        ("/_/oidc/burn-token", "acme.example.com"),
    ],
)
def test_a_token_is_not_burned_at_another_registry(
    deployment: Tenants, path: str, host: str
) -> None:
    token = deployment.others_token()

    answer = deployment.burn(token, path, host=host)
    nothing = deployment.burn(UploadToken.mint("0" * 32), path, host=host)

    assert (answer.status, answer.body) == (nothing.status, nothing.body) == (202, answer.body)
    assert deployment.upload(token, "gadgets", "/other/legacy/").status == 200


def test_a_token_with_a_guessed_secret_is_not_burned(deployment: Tenants) -> None:
    token = deployment.acmes_token()

    for path in ("/acme/_/oidc/burn-token", "/_/oidc/burn-token"):
        assert deployment.burn(UploadToken.mint(token.lookup_id), path).status == 202

    assert deployment.upload(token, "widgets").status == 200


# Introspection


def test_a_client_learns_of_its_own_registrys_tokens(deployment: Tenants) -> None:
    answer = deployment.introspect(deployment.acmes_token(), "acme", client_of="acme")

    assert answer.json["projects"] == ["widgets"]


def test_a_token_of_another_registry_is_inactive(deployment: Tenants) -> None:
    token = deployment.others_token()

    answer = deployment.introspect(token, "acme", client_of="acme")

    assert answer.json == {"active": False}


@pytest.mark.parametrize("token_of", ["acme", "other"])
def test_a_client_of_one_registry_is_unknown_to_the_other(
    deployment: Tenants, token_of: str
) -> None:
    """Both clients have the same id."""
    tokens = {"acme": deployment.acmes_token(), "other": deployment.others_token()}

    answer = deployment.introspect(tokens[token_of], "other", client_of="acme")

    assert answer.status == 401
    assert answer.code == "unauthorized"


def test_of_a_token_for_both_each_client_learns_its_own_half(shared_issuer: Tenants) -> None:
    identity = shared_issuer.github.token(aud=HOST)
    token = UploadToken.parse(shared_issuer.mint(identity, "/_/oidc/mint-token").json["token"])

    ours = shared_issuer.introspect(token, "acme", client_of="acme")
    theirs = shared_issuer.introspect(token, "other", client_of="other")

    assert ours.json["projects"] == ["widgets"]
    assert theirs.json["projects"] == ["gadgets"]
    assert "gadgets" not in ours.body.decode()
    assert "widgets" not in json.dumps(theirs.json["projects"])


def test_a_refusal_tells_nothing_of_the_other_registrys_projects(
    shared_issuer: Tenants,
) -> None:
    identity = shared_issuer.github.token(aud=HOST)
    token = UploadToken.parse(shared_issuer.mint(identity, "/_/oidc/mint-token").json["token"])

    answer = shared_issuer.upload(token, "shared")

    assert answer.status == 403
    assert "gadgets" not in answer.body.decode()


# Reading


def bearer(token: UploadToken) -> dict[str, str]:
    return {"authorization": f"Bearer {token.reveal()}"}


def test_a_file_of_one_registry_is_not_found_in_the_other(deployment: Tenants) -> None:
    assert deployment.upload(deployment.acmes_token(), "widgets").status == 200
    (file,) = deployment.store.files.values()
    path = f"files/{file.sha256}/{file.filename}"

    acmes, others = bearer(deployment.acmes_token()), bearer(deployment.others_token())

    statuses = {
        where: deployment.send("read", "GET", where, headers=reader, host=host).status
        for where, host, reader in (
            (f"/acme/{path}", HOST, acmes),
            (f"/other/{path}", HOST, others),
            (f"/other/../acme/{path}", HOST, others),
            (f"/{path}", "other.example.com", others),
            ("/other/simple/widgets/", HOST, others),
        )
    }

    assert list(statuses.values()) == [200, 404, 404, 404, 404]


@pytest.mark.parametrize(
    ("prefix", "host"), [("/other", HOST), ("", "other.example.com"), ("", HOST)]
)
def test_a_staged_release_of_one_registry_is_not_there_in_the_other(
    deployment: Tenants, prefix: str, host: str
) -> None:
    session = deployment.store.add_session(samples.session(samples.staged()))
    stage = f"/stage/{session.token}/simple/widgets/"

    assert deployment.send("read", "GET", f"/acme{stage}").status == 200
    assert deployment.send("read", "GET", f"{prefix}{stage}", host=host).code == "not-found"


@pytest.mark.promise("own-registry")
def test_a_receipt_of_one_registry_is_not_found_in_the_other(deployment: Tenants) -> None:
    assert deployment.upload(deployment.acmes_token(), "widgets").status == 200
    (file,) = deployment.store.files.values()
    path = f"/integrity/widgets/1.0/{file.filename}/receipt"
    acmes, others = bearer(deployment.acmes_token()), bearer(deployment.others_token())

    at_home = deployment.send("read", "GET", f"/acme{path}", headers=acmes)
    elsewhere = deployment.send("read", "GET", f"/other{path}", headers=others)
    at_its_host = deployment.send("read", "GET", path, headers=others, host="other.example.com")

    assert (at_home.status, elsewhere.status, at_its_host.status) == (200, 404, 404)


@pytest.mark.parametrize(
    "path",
    [
        *("/simple/", "/simple/gadgets/", "/simple/nothing/", "{file}"),
        *("/integrity/gadgets/1.0/{name}/receipt", "/integrity/gadgets/1.0/{name}/provenance"),
    ],
)
def test_a_token_of_one_registry_reads_nothing_in_the_other(deployment: Tenants, path: str) -> None:
    assert deployment.upload(deployment.others_token(), "gadgets", "/other/legacy/").status == 200
    (file,) = deployment.store.files.values()
    at = path.format(file=f"/files/{file.sha256}/{file.filename}", name=file.filename)

    with_prefix = deployment.send(
        "read", "GET", f"/other{at}", headers=bearer(deployment.acmes_token())
    )
    at_its_host = deployment.send(
        "read", "GET", at, headers=bearer(deployment.acmes_token()), host="other.example.com"
    )

    assert [with_prefix.status, at_its_host.status] == [401, 401]
    assert with_prefix.detail == at_its_host.detail
    assert "gadgets" not in with_prefix.detail


@pytest.mark.parametrize("path", ["/", "/project/gadgets/", "/project/gadgets/1.0/"])
def test_a_token_of_one_registry_opens_no_page_of_the_other(deployment: Tenants, path: str) -> None:
    assert deployment.upload(deployment.others_token(), "gadgets", "/other/legacy/").status == 200
    acmes, others = bearer(deployment.acmes_token()), bearer(deployment.others_token())

    assert deployment.send("web", "GET", f"/other{path}", headers=others).status == 200
    assert deployment.send("web", "GET", f"/other{path}", headers=acmes).status == 401
    assert (
        deployment.send("web", "GET", path, headers=acmes, host="other.example.com").status == 401
    )
    assert b"gadgets" not in deployment.send("web", "GET", "/acme/", headers=acmes).body


def test_a_page_shows_no_publisher_of_the_other_registry(shared_issuer: Tenants) -> None:
    assert upload_to_shared(shared_issuer, "acme").status == 200
    for name, publisher in list(shared_issuer.store.publishers.items()):
        if publisher.registry == "other":
            hidden = replace(publisher, fields={**publisher.fields, "environment": "hidden"})
            shared_issuer.store.publishers[name] = hidden

    reader = bearer(token_for_shared(shared_issuer, "acme"))
    page = shared_issuer.send("web", "GET", "/acme/project/shared/", headers=reader)

    assert b"[[registries.publishers]]" in page.body
    assert b"hidden" not in page.body


# Tokens that an operator made


def made_for_acme(deployment: Tenants, project: str | None) -> UploadToken:
    """Return a token for acme: to upload to a project, or to read."""
    making, now = Making("user olive", person="Dana", reason="no CI"), deployment.index.now()
    lifetime = timedelta(hours=1)
    made = (
        make_to_read("acme", making, lifetime, now)
        if project is None
        else make_to_upload("acme", project, making, lifetime, now)
    )
    assert deployment.store.add_operators_token(made.record)
    return made.token


@pytest.mark.promise("own-registry")
@pytest.mark.parametrize("project", [None, "shared", "widgets", "gadgets"])
def test_a_token_that_an_operator_made_for_one_registry_is_nothing_in_the_other(
    deployment: Tenants, project: str | None
) -> None:
    token = made_for_acme(deployment, project)
    before = deployment.written()

    for path, host in (("/other", HOST), ("", "other.example.com")):
        read = deployment.send(
            "read", "GET", f"{path}/simple/", headers=bearer(token), host=host
        ).status
        page = deployment.send("web", "GET", f"{path}/", headers=bearer(token), host=host).status
        assert (read, page) == (401, 401)
        for asked in ("shared", "gadgets"):
            assert deployment.upload(token, asked, f"{path}/legacy/", host=host).status == 403
    assert deployment.introspect(token, "other", "other").json == {"active": False}
    deployment.burn(token, "/other/_/oidc/burn-token")

    assert deployment.written() == before


# What an operator does to a project of one registry, and a project of the same name in the other


@pytest.fixture
def same_name(shared_issuer: Tenants) -> Tenants:
    """Return a deployment in which both registries have the project `shared`, with a file."""
    for name in ("acme", "other"):
        assert upload_to_shared(shared_issuer, name).status == 200
    return shared_issuer


def token_for_shared(deployment: Tenants, name: str) -> UploadToken:
    workflow = "octo-org/shared/.github/workflows/release.yml@refs/tags/v1.2.0"
    identity = deployment.github.token(
        repository="octo-org/shared", workflow_ref=workflow, job_workflow_ref=workflow, aud=name
    )
    minted = deployment.mint(identity, f"/{name}/_/oidc/mint-token")
    return UploadToken.parse(minted.json["token"])


def upload_to_shared(deployment: Tenants, name: str) -> Answer:
    return deployment.upload(token_for_shared(deployment, name), "shared", f"/{name}/legacy/")


def shown(deployment: Tenants, name: str) -> list[tuple[int, bytes]]:
    """Return what a reader gets of `shared`: the pages, the file, and its metadata."""
    file, *_ = deployment.store.list_files(name, "shared")
    path = f"/{name}/files/{file.sha256}/{file.filename}"
    reader = bearer(token_for_shared(deployment, name))
    json_page = {"accept": "application/vnd.pypi.simple.v1+json", **reader}
    answers = [
        deployment.send("web", "GET", f"/{name}/", headers=reader),
        deployment.send("web", "GET", f"/{name}/project/shared/", headers=reader),
        deployment.send("read", "GET", f"/{name}/simple/", headers=reader),
        deployment.send("read", "GET", f"/{name}/simple/shared/", headers=reader),
        deployment.send("read", "GET", f"/{name}/simple/shared/", headers=json_page),
        deployment.send("read", "GET", path, headers=reader),
        deployment.send("read", "GET", f"{path}.metadata", headers=reader),
    ]
    return [(answer.status, answer.body) for answer in answers]


def move_in(deployment: Tenants, operator: Operator) -> None:
    """Import a yanked file into the project `shared` of acme."""
    file = distributions.wheel("shared", "2.0")
    source = OneFile(normalize("shared"), file, yanked="breaks")
    report = Report("acme", source.name)
    transfer = Transfer("acme", source.name, operator.name, AUDIT)
    storage = (operator, notary(deployment.files))
    made = Importer(storage, source, transfer, report, Lines())
    made.run(source.list_projects())
    assert report.imported == 1


def operate(deployment: Tenants, action: str) -> None:
    """Run an operator's command on the project `shared` of acme."""
    operator = Operator(deployment.store, "operator")
    if action == "import":
        move_in(deployment, operator)
        return
    named = Namespace(
        registry="acme",
        project="shared",
        reason="malware",
        version="1.0",
        filename=distributions.wheel("shared").filename,
        status=action,
    )
    {"yank": yank, "unyank": unyank, "delete": delete}.get(action, set_status)(named, operator)


@pytest.mark.parametrize(
    "action", ["archived", "deprecated", "quarantined", "yank", "delete", "import"]
)
def test_what_an_operator_does_to_a_project_changes_nothing_of_its_namesake(
    same_name: Tenants, action: str
) -> None:
    ours, theirs = shown(same_name, "acme"), shown(same_name, "other")
    assert {status for status, _ in theirs} == {200}

    operate(same_name, action)

    assert shown(same_name, "acme") != ours
    assert shown(same_name, "other") == theirs
    assert upload_to_shared(same_name, "other").status == 200


def test_a_release_that_is_unyanked_in_one_registry_stays_yanked_in_the_other(
    same_name: Tenants,
) -> None:
    for name in ("acme", "other"):
        same_name.store.yank_release(name, "shared", "1", "breaks")
    ours, theirs = shown(same_name, "acme"), shown(same_name, "other")

    operate(same_name, "unyank")

    assert shown(same_name, "acme") != ours
    assert shown(same_name, "other") == theirs


@pytest.mark.parametrize("action", ["archived", "yank", "delete", "import"])
def test_what_is_listed_of_a_registry_is_its_own_alone(same_name: Tenants, action: str) -> None:
    def listed(registry: str) -> list[ProjectInventory]:
        return take_inventory(same_name.store.survey(registry))

    ours, theirs = listed("acme"), listed("other")

    operate(same_name, action)

    assert listed("acme") != ours
    assert listed("other") == theirs
    assert all(file.registry == "other" for project in theirs for file in project.files)


def test_a_file_that_is_deleted_in_one_registry_is_published_in_the_other(
    same_name: Tenants,
) -> None:
    operate(same_name, "delete")

    assert upload_to_shared(same_name, "acme").code == "file-deleted"
    assert upload_to_shared(same_name, "other").status == 200


def test_a_project_that_is_closed_in_one_registry_takes_files_in_the_other(
    same_name: Tenants,
) -> None:
    operate(same_name, "quarantined")

    assert upload_to_shared(same_name, "acme").code == "project-closed"
    assert upload_to_shared(same_name, "other").status == 200
