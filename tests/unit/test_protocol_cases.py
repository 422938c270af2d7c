"""The protocol, held against cases observed from PyPI's implementation.

``tests/cases/protocol.json`` holds one case a line and the id of every case of its levels; what
has no meaning here is in ``protocol_left_out.json`` with the reason. Each level has one adapter
that turns a case into a call. Where we differ on purpose, ``OURS`` says what is expected and why.
"""

import base64
import json
import re
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import pytest
from jwt.algorithms import get_default_algorithms

from pytp_broker import config
from pytp_broker.config import ConfigurationError
from pytp_broker.oidc.documents import FetchError
from pytp_broker.tokens import SINGLE_USE, TokenRecord, UploadToken
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import TrustedPublisher
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import Answer
from tests.support.distributions import form, wheel
from tests.support.shelf import Shelf
from tests.support.signing import GITHUB, Issuer, ec_key, public_jwk, rsa_key, segment
from tests.support.world import World

FOLDER = Path(__file__).parents[1] / "cases"
DATA: Final = json.loads((FOLDER / "protocol.json").read_text("utf-8"))
LEFT_OUT: Final[dict[str, str]] = json.loads((FOLDER / "protocol_left_out.json").read_text("utf-8"))
AUDIENCE: Final = DATA["audience"]

ACCEPTED: Final = "accepted"
REFUSED: Final = "refused"
INVALID_PAYLOAD: Final = "422 invalid-payload"
INVALID_TOKEN: Final = "422 invalid-token"
UNAUTHORIZED: Final = "401 unauthorized"
ISSUER_UNAVAILABLE: Final = "503 issuer-unavailable"

# Where a case names no answer: a good token without the right, no good token, a wrong entry.
REFUSALS: Final = {"upload": "403 forbidden", "auth": UNAUTHORIZED, "form": REFUSED}

OURS: Final[dict[str, tuple[str, str]]] = {
    "jwt-010": (INVALID_TOKEN, "an RSA key below 2048 bits verifies nothing"),
    "jwt-018": (INVALID_TOKEN, "exp before iat: no token ends before it begins"),
    "jwt-026": (INVALID_TOKEN, "a lifetime is at most 25 hours, so iat cannot be years ago"),
    "jwt-027": (INVALID_TOKEN, "a lifetime is at most 25 hours, so exp cannot be years ahead"),
    "jwt-065": (INVALID_TOKEN, "an empty jti would stop no replay"),
    "jwt-066": (INVALID_TOKEN, "an access token is no identity token"),
    "payload-002": (INVALID_PAYLOAD, "a repeated member means different things to two parsers"),
    "payload-024": (INVALID_TOKEN, "padding makes other bytes of the same token"),
    "jwks-002": (ISSUER_UNAVAILABLE, "an issuer that is down is no fault of the caller"),
    "jwks-003": (ISSUER_UNAVAILABLE, "an issuer that is slow is no fault of the caller"),
    "jwks-006": (ISSUER_UNAVAILABLE, "a jwks_uri on a foreign host is not followed"),
    "jwks-007": (ISSUER_UNAVAILABLE, "a discovery document of another issuer is not used"),
    "jwks-009": (ISSUER_UNAVAILABLE, "a jwks_uri over plain http is not followed"),
    "jwks-010": (ISSUER_UNAVAILABLE, "a key set that cannot be had is no fault of the caller"),
    "jwks-012": (ISSUER_UNAVAILABLE, "an empty key set is the issuer's mistake"),
    "jwks-017": (INVALID_TOKEN, "a key for encryption verifies nothing"),
    "flow-014": (ACCEPTED, "another registry's publisher never widens a token of this one"),
    "flow-016": (ACCEPTED, "the owner's id is a part of the identity"),
    "upload-004": (UNAUTHORIZED, "no good token is 401, a good one without the right is 403"),
    "upload-005": (UNAUTHORIZED, "no good token is 401: another prefix"),
    "upload-010": (UNAUTHORIZED, "no good token is 401: another secret with a known id"),
    "upload-011": (UNAUTHORIZED, "no good token is 401: an unknown id"),
    "upload-014": (ACCEPTED, "a clock that is seconds behind the mint's refuses nobody"),
    "upload-021": (UNAUTHORIZED, "no good token is 401: the record is gone"),
    "form-012": (ACCEPTED, "owners of Enterprise Managed Users have an underscore"),
    "form-032": (ACCEPTED, "blanks before a text are stripped everywhere"),
    "form-033": (ACCEPTED, "blanks after a text are stripped everywhere"),
    **dict.fromkeys(
        (*(f"form-{number:03}" for number in range(44, 49)), "form-055", "form-056"),
        (REFUSED, "an environment of white space only is a mistake, never an absent rule"),
    ),
    "form-050": (REFUSED, "no token can match a workflow '.yml'"),
    "form-051": (ACCEPTED, "owners of Enterprise Managed Users have an underscore: user_shortcode"),
    "form-069": (ACCEPTED, "a namespace of one letter is one"),
    "form-078": (ACCEPTED, "a project of one letter is one"),
    "form-085": (ACCEPTED, "GitLab allows a dot in the name of an environment"),
    "form-091": (ACCEPTED, "the issuer need not be named where only one is known"),
}
# What ours must do besides is in a test of its own, below.
FURTHER: Final = {"jwt-007", "payload-022", "upload-020"}


def cases(level: str) -> list[Any]:
    found = [c for c in DATA["cases"] if c["level"] == level]
    return [pytest.param(case, id=f"{case['id']} {reason(case)}") for case in found]


def the_case(case_id: str) -> dict[str, Any]:
    return next(case for case in DATA["cases"] if case["id"] == case_id)


def reason(case: Mapping[str, Any]) -> str:
    return OURS[case["id"]][1] if case["id"] in OURS else str(case["why"])


def expected(case: Mapping[str, Any]) -> str:
    """Return what we expect: what was observed, or where we differ on purpose, what we want."""
    if case["id"] in OURS:
        return OURS[case["id"]][0]
    if case["expect"] == "accept":
        return ACCEPTED
    error = case.get("error")
    return f"{error['status']} {error['code']}" if error else REFUSALS[case["level"]]


def outcome(answer: Answer) -> str:
    if answer.status < 300:
        return ACCEPTED
    (error,) = answer.json["errors"]
    return f"{answer.status} {error['code']}"


def test_every_case_runs_or_says_why_not() -> None:
    every = [case_id for ids in DATA["ids"].values() for case_id in ids]
    run = Counter(case["level"] for case in DATA["cases"])

    assert len(every) == 238
    assert sorted([*LEFT_OUT, *(case["id"] for case in DATA["cases"])]) == sorted(every)
    assert all(LEFT_OUT.values())
    assert run.keys() == DATA["ids"].keys()
    assert all(case["id"] in DATA["ids"][case["level"]] for case in DATA["cases"])


def test_what_we_do_better_is_done() -> None:
    better = {case["id"] for case in DATA["cases"] if "surpass" in case}

    assert better <= OURS.keys() | FURTHER
    assert OURS.keys() | FURTHER <= {case["id"] for case in DATA["cases"]}


# --- a broker for the cases -----------------------------------------------------------------------


def publisher(project: str, **changes: str) -> str:
    """Return the publisher of the cases in our words."""
    theirs = {**DATA["publisher"], **changes}
    fields = {
        "repository": f"{theirs['repository_owner']}/{theirs['repository_name']}",
        "repository_owner_id": theirs["repository_owner_id"],
        "workflow": theirs["workflow_filename"],
        "environment": theirs["environment"],
    }
    return github_publisher(project, **{name: text for name, text in fields.items() if text})


def broker() -> World:
    return World(registry(AUDIENCE, publisher("pkg0"), audience=AUDIENCE))


def claims_of(world: World, case: Mapping[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the claims of the cases with those of this case, their placeholders filled in."""
    claims = {**DATA["claims"], **case.get("claims", {}), **changes}
    now = int(world.now.timestamp())
    return {name: fill(value, now) for name, value in claims.items() if value != "@absent"}


def fill(value: Any, now: int) -> Any:
    if value == "@uuid":
        return str(uuid4())
    time = re.fullmatch(r"@(str\()?now([+-]\d+)?\)?", value) if isinstance(value, str) else None
    if time is None:
        return value
    seconds = now + int(time[2] or 0)
    return str(seconds) if time[1] else seconds


def mint(world: World, token: str) -> Answer:
    return world.mint(token, f"/{AUDIENCE}")


# --- jwt: one identity token ----------------------------------------------------------------------

KEYS: Final[dict[str, Callable[[], Any]]] = {
    "issuer-rsa2048": lambda: rsa_key("key-1"),
    "issuer-rsa1024": lambda: rsa_key("short", 1024),
    "issuer-ec-p256": lambda: ec_key("issuer"),
    "other-rsa2048": lambda: rsa_key("other"),
    "hmac:secret": lambda: b"secret",
}
ALGORITHMS: Final = get_default_algorithms()


def key_set() -> list[dict[str, Any]]:
    keys = []
    for entry in DATA["key_set"]:
        jwk = public_jwk(KEYS[entry["key"]](), entry["kid"])
        members = {name: value for name, value in entry.items() if name != "key"}
        keys.append({name: value for name, value in jwk.items() if name != "use"} | members)
    return keys


def sign(header: Mapping[str, Any], payload: bytes, signed_by: str) -> str:
    """Return a token with exactly this header, which a library would mend or refuse."""
    signing_input = f"{segment(json.dumps(header).encode())}.{segment(payload)}"
    if signed_by == "nobody":
        return signing_input + "."
    key = KEYS[signed_by]()
    return f"{signing_input}.{segment(ALGORITHMS[header['alg']].sign(signing_input.encode(), key))}"


def token_of(case: Mapping[str, Any], world: World) -> str:
    claims = claims_of(world, case)
    payload = case.get("payload", json.dumps(claims)).encode()
    token = sign(case["header"], payload, case["signed_by"])
    if "changed_after_signing" not in case:
        return token
    header, _, signature = token.split(".")
    changed = {**claims, **case["changed_after_signing"]}
    return f"{header}.{segment(json.dumps(changed).encode())}.{signature}"


@pytest.mark.parametrize("case", cases("jwt"))
def test_an_identity_token(case: dict[str, Any]) -> None:
    world = broker()
    world.issuer.serve(key_set())

    assert outcome(mint(world, token_of(case, world))) == expected(case)
    assert bool(world.store.tokens) is (expected(case) == ACCEPTED)


def test_the_leeway_is_for_a_token_that_has_begun() -> None:
    """jwt-018, whose iat is behind its exp."""
    world = broker()
    world.issuer.serve(key_set())
    case = the_case("jwt-018")
    earlier = {**case, "claims": {**case["claims"], "iat": "@now-300"}}

    assert outcome(mint(world, token_of(earlier, world))) == ACCEPTED


def test_an_issuer_may_sign_with_es256_where_it_is_listed() -> None:
    """jwt-007."""
    entry = f'[[issuers]]\nurl = "{GITHUB}"\nprovider = "github"\nalgorithms = ["ES256"]\n'
    world = World(entry + registry(AUDIENCE, publisher("pkg0"), audience=AUDIENCE))
    world.issuer.serve(key_set())

    assert outcome(mint(world, token_of(the_case("jwt-007"), world))) == ACCEPTED
    assert outcome(mint(world, token_of(the_case("jwt-000"), world))) == INVALID_TOKEN


# --- payload: one body ----------------------------------------------------------------------------


def post(world: World, case: Mapping[str, Any]) -> Answer:
    """Post the body of the case; in JSON a replacement character stands for what is not UTF-8."""
    text = case["body"].replace("@jwt", world.issuer.sign(claims_of(world, case)))
    body = text.encode().replace("\N{REPLACEMENT CHARACTER}".encode(), b"\xff")
    return world.call("POST", f"/{AUDIENCE}/_/oidc/mint-token", body)


@pytest.mark.parametrize("case", cases("payload"))
def test_a_payload(case: dict[str, Any]) -> None:
    world = broker()

    assert outcome(post(world, case)) == expected(case)
    assert bool(world.store.tokens) is (expected(case) == ACCEPTED)


def test_white_space_around_a_token_is_named() -> None:
    """payload-022."""
    assert "white space around the token" in post(broker(), the_case("payload-022")).detail


def test_features_are_not_ignored() -> None:
    """payload-001."""
    world = broker()
    post(world, the_case("payload-001"))

    (record,) = world.store.tokens.values()
    assert record.features == (SINGLE_USE,)


# --- jwks and flow: steps -------------------------------------------------------------------------


@dataclass
class Story:
    """A broker, what was said to it, and what it answered last."""

    case: Mapping[str, Any]
    world: World = field(default_factory=lambda: World(""))
    head: str = ""
    publishers: dict[str, list[str]] = field(default_factory=lambda: {AUDIENCE: []})
    token: str = ""
    answer: Answer | None = None

    def trust(self, project: str, name: str = AUDIENCE, **changes: str) -> None:
        changes = {"environment": self.case.get("environment", ""), **changes}
        self.publishers.setdefault(name, []).append(publisher(project, **changes))
        self.configure()

    def trust_by_first_use(self) -> None:
        self.trust("pkg0", repository_owner_id="")
        self.mint(repository_owner_id="1111")
        assert self.scope == [f"{AUDIENCE}/pkg0"]

    def configure(self, head: str = "") -> None:
        registries = [
            registry(name, *each, audience=name) for name, each in self.publishers.items()
        ]
        self.world.configure(head + "".join(registries))
        self.world.advance(seconds=10)

    def mint(self, key_id: str = "k1", **changes: Any) -> None:
        claims = claims_of(self.world, self.case, **changes)
        self.exchange(self.world.issuer.sign(claims, key_id=key_id, key=rsa_key(key_id)))

    def mint_with_the_same_jti(self) -> None:
        payload = json.loads(base64.urlsafe_b64decode(self.token.split(".")[1] + "=="))
        self.world.advance(seconds=1)
        self.mint(jti=payload["jti"])

    def exchange(self, token: str) -> None:
        self.token = token
        self.answer = mint(self.world, token)

    def play(self) -> str:
        for step in self.case["steps"]:
            STEPS[step](self)
        assert self.answer is not None
        return outcome(self.answer)

    @property
    def scope(self) -> list[str]:
        """Return what the token in the last answer is for."""
        assert self.answer is not None
        record = self.world.store.tokens[UploadToken.parse(self.answer.json["token"]).lookup_id]
        return record.places


def replace_k1_by_k9(story: Story) -> None:
    story.world.issuer.keys = {"k9": rsa_key("k9")}


def take_the_issuer_down(story: Story) -> None:
    story.world.issuer.down = True


ISSUER_OFF: Final = f'[[issuers]]\nurl = "{GITHUB}"\nprovider = "github"\nenabled = false\n'
STEPS: Final[dict[str, Callable[[Story], None]]] = {
    "publisher for pkg0": lambda story: story.trust("pkg0"),
    "publisher for pkg1": lambda story: story.trust("pkg1"),
    "publisher for newpkg": lambda story: story.trust("newpkg"),
    "publisher for pkg0 that owner 1111 has used": Story.trust_by_first_use,
    "publisher of another registry for strangers-pkg": lambda s: s.trust("strangers-pkg", "other"),
    "switch everything off": lambda story: story.configure("enabled = false\n"),
    "switch the issuer off": lambda story: story.configure(ISSUER_OFF),
    "mint": lambda story: story.mint(),
    "mint with the same JWT": lambda story: story.exchange(story.token),
    "mint with a new JWT of the same jti": Story.mint_with_the_same_jti,
    "mint with k1": lambda story: story.mint("k1"),
    "mint with k9": lambda story: story.mint("k9"),
    "issuer replaces k1 by k9": replace_k1_by_k9,
    "issuer goes down": take_the_issuer_down,
    "61 s later": lambda story: story.world.advance(seconds=61),
}


def story_of(case: Mapping[str, Any]) -> Story:
    story = Story(case)
    story.world.issuer.keys = {"k1": rsa_key("k1")}
    return story


@pytest.mark.parametrize("case", cases("flow"))
def test_a_flow(case: dict[str, Any]) -> None:
    story = story_of(case)

    assert story.play() == expected(case)
    if expected(case) == ACCEPTED:
        assert story.scope == [f"{AUDIENCE}/{project}" for project in case["projects"]]


def answers(issuer: Issuer) -> dict[str, dict[str, bytes | Exception]]:
    """Return what the issuer's two documents may be, by the words of the cases."""

    def discovery(**changes: str) -> bytes:
        return json.dumps({"issuer": issuer.url, "jwks_uri": issuer.jwks_url, **changes}).encode()

    def keys(*keys: dict[str, Any]) -> bytes:
        return json.dumps({"keys": keys}).encode()

    return {
        "discovery": {
            "connection error": FetchError("connection refused"),
            "timeout": FetchError("timed out"),
            "200": discovery(),
            "200 foreign jwks_uri": discovery(jwks_uri="https://keys.example.net/jwks"),
            "200 http jwks_uri": discovery(jwks_uri=issuer.jwks_url.replace("https", "http")),
            "200 issuer mismatch": discovery(issuer="https://evil.example"),
        },
        "key_set": {
            "-": AssertionError("fetched for nothing"),
            "200": keys(public_jwk(rsa_key("k1"), "k1")),
            "200 empty": keys(),
            "200 oct key": keys({"kty": "oct", "kid": "k1", "k": "c2VjcmV0"}),
            "200 use=enc": keys(public_jwk(rsa_key("k1"), "k1", use="enc")),
            "404": FetchError("404"),
            "503": FetchError("503"),
        },
    }


@pytest.mark.parametrize("case", [c for c in cases("jwks") if "steps" not in c.values[0]])
def test_a_key_set_of_a_cold_start(case: dict[str, Any]) -> None:
    story = story_of(case)
    story.trust("pkg0")
    issuer = story.world.issuer
    issuer.documents[issuer.discovery_url] = answers(issuer)["discovery"][case["discovery"]]
    issuer.documents[issuer.jwks_url] = answers(issuer)["key_set"][case["key_set"]]

    assert outcome_of_a_mint(story) == expected(case)
    assert len(issuer.fetched) <= case["requests"]

    issuer.fetched.clear()
    assert outcome_of_a_mint(story) == expected(case)
    assert issuer.fetched == []  # a failure starts the cooldown too


def outcome_of_a_mint(story: Story) -> str:
    story.mint()
    assert story.answer is not None
    return outcome(story.answer)


@pytest.mark.parametrize("case", [c for c in cases("jwks") if "steps" in c.values[0]])
def test_a_key_set_in_the_course_of_time(case: dict[str, Any]) -> None:
    story = story_of(case)
    story.trust("pkg0")
    story.mint()
    story.world.issuer.fetched.clear()

    assert story.play() == expected(case)
    assert len(story.world.issuer.fetched) == case["requests"]


# --- upload and auth: one upload token ------------------------------------------------------------


@dataclass
class Desk:
    """An index, the text that is presented to it as a token, and what it answered last."""

    shelf: Shelf = field(default_factory=Shelf)
    text: str = ""
    answer: Answer | None = None

    def __post_init__(self) -> None:
        self.shelf.token = self.shelf.mint(("acme", "widgets", "p-widgets"))
        self.text = self.shelf.token.reveal()

    def upload(self, project: str) -> None:
        body = form(wheel(project, version=f"{len(self.shelf.store.files)}.0"))
        self.answer = self.shelf.post(body, f"Bearer {self.text}")

    def wait(self, seconds: int) -> None:
        self.shelf.now += timedelta(seconds=seconds)

    def present(self, text: str) -> None:
        self.text = text

    def trust(self, *publishers: TrustedPublisher) -> None:
        self.shelf.publishers = list(publishers)
        self.shelf.apply()

    @property
    def widgets(self) -> TrustedPublisher:
        return self.shelf.publishers[0]


UPLOAD_STEPS: Final[dict[str, Callable[[Desk], None]]] = {
    "upload to widgets": lambda desk: desk.upload("widgets"),
    "upload to my-widgets": lambda desk: desk.upload("my-widgets"),
    "upload to newpkg": lambda desk: desk.upload("newpkg"),
    "take the prefix off": lambda desk: desk.present(desk.text.removeprefix("pytp_")),
    "change the prefix": lambda desk: desk.present(desk.text.replace("pytp_", "pypi_")),
    "forge the secret": lambda d: d.present(UploadToken.mint(d.shelf.token.lookup_id).reveal()),
    "forge the id": lambda desk: desk.present(UploadToken.mint("f" * 32).reveal()),
    "899 s later": lambda desk: desk.wait(899),
    "5 s earlier": lambda desk: desk.wait(-5),
    "remove the publisher": lambda desk: desk.trust(),
    "give the publisher my-widgets": lambda desk: desk.trust(
        replace(desk.widgets, projects=("widgets", "my-widgets"))
    ),
    "remove the record": lambda desk: desk.shelf.store.tokens.clear(),
}


@pytest.mark.parametrize("case", cases("upload"))
def test_an_upload_token(case: dict[str, Any]) -> None:
    desk = Desk()
    for step in case["steps"]:
        UPLOAD_STEPS[step](desk)

    assert desk.answer is not None
    assert outcome(desk.answer) == expected(case)


def test_a_single_use_token_is_for_one_file() -> None:
    """upload-020."""
    desk = Desk()
    single = desk.shelf.mint(("acme", "widgets", "p-widgets"), feature=SINGLE_USE)
    desk.present(single.reveal())

    desk.upload("widgets")
    assert desk.answer is not None
    assert outcome(desk.answer) == ACCEPTED
    desk.upload("widgets")
    assert outcome(desk.answer) == UNAUTHORIZED


def authorization(text: str | None, token: UploadToken) -> str:
    filled = (text or "").replace("@token", token.reveal())
    return re.sub(
        r"@base64\((.*)\)",
        lambda found: base64.b64encode(found[1].encode()).decode(),
        filled,
        flags=re.DOTALL,
    )


@pytest.mark.parametrize("case", cases("auth"))
@pytest.mark.parametrize("spell", [str, str.title, str.upper])
def test_the_credentials(case: dict[str, Any], spell: Callable[[str], str]) -> None:
    shelf = Shelf()
    scheme, blank, rest = authorization(case["authorization"], shelf.token).partition(" ")

    assert outcome(shelf.post(form(wheel()), f"{spell(scheme)}{blank}{rest}")) == expected(case)


# --- burn -----------------------------------------------------------------------------------------


def minted(world: World) -> tuple[UploadToken, Callable[[], TokenRecord]]:
    """Return a token, and what is stored of it by then."""
    token = UploadToken.parse(mint(world, world.issuer.sign(claims_of(world, {}))).json["token"])
    return token, lambda: world.store.tokens[token.lookup_id]


@pytest.mark.parametrize("case", cases("burn"))
def test_a_burn_tells_nothing(case: dict[str, Any]) -> None:
    world = broker()
    token, stored = minted(world)
    text = token.reveal()
    body = case["body"].replace("@token", text).replace("@unprefixed", text.partition("_")[2])
    world.advance(seconds=case.get("age_seconds", 0))

    for _ in range(case.get("times", 1)):
        answer = world.call("POST", f"/{AUDIENCE}/_/oidc/burn-token", body.encode())
        assert (answer.status, answer.json) == (202, {"message": "Accepted", "errors": []})

    assert (stored().burned_at is not None) is case["is_burned"]


# --- form: one publisher of the configuration -----------------------------------------------------

# Two of theirs that are one of ours are joined by a slash.
FIELDS: Final = {
    "github": {
        "owner": "repository",
        "repository": "repository",
        "workflow_filename": "workflow",
        "environment": "environment",
    },
    "gitlab": {
        "namespace": "project_path",
        "project": "project_path",
        "workflow_filepath": "workflow",
        "environment": "environment",
    },
    "google": {"email": "email", "sub": "sub"},
    "activestate": {"organization": "organization", "project": "project"},
}


def fields_of(provider: str, theirs: Mapping[str, str | None]) -> dict[str, str]:
    fields: dict[str, str] = {}
    for name, ours in FIELDS[provider].items():
        text = theirs[name]
        if text == "" and name == "environment":  # a field of a form that is left empty
            continue
        if text is not None:
            fields[ours] = f"{fields[ours]}/{text}" if ours in fields else text
    return fields


def register(case: Mapping[str, Any]) -> TrustedPublisher:
    """Return the publisher of the form; raise ConfigurationError."""
    name, theirs = case["provider"], case["form"]
    entry: dict[str, Any] = {"projects": ["pkg0"], name: fields_of(name, theirs)}
    if theirs.get("issuer_url") is not None:
        entry["issuer"] = theirs["issuer_url"]
    document = {
        "issuers": [{"url": url, "provider": name} for url in case.get("issuers", ())],
        "registries": [{"name": "acme", "publishers": [entry]}],
    }
    (publisher,) = config.parse(document, allow_loopback=False).publishers
    return publisher


@pytest.mark.parametrize("case", [c for c in cases("form") if expected(c.values[0]) == ACCEPTED])
def test_a_publisher_is_registered_as_it_is_written(case: dict[str, Any]) -> None:
    """What was stored, ours has too, or what its comparison takes for the same."""
    publisher = register(case)
    stored = fields_of(case["provider"], {**case["form"], **case.get("stored", {})})

    assert publisher.issuer == (case["form"].get("issuer_url") or publisher.issuer)
    for rule in PROVIDERS[case["provider"]].fields:
        text, ours = stored.get(rule.name, "").strip(), publisher.fields.get(rule.name, "")
        assert isinstance(ours, str)
        assert text == ours or rule.compare(text, ours)


@pytest.mark.parametrize("case", [c for c in cases("form") if expected(c.values[0]) == REFUSED])
def test_a_publisher_that_nobody_can_be_is_refused(case: dict[str, Any]) -> None:
    """The mistake is named with the path of our field."""
    is_blank = (case["form"].get("environment") or "x").isspace()
    named = "environment" if is_blank else case.get("names", "")
    name = FIELDS[case["provider"]].get(named, "")
    path = "issuer" if case.get("names") == "issuer_url" else f"{case['provider']}.{name}"

    with pytest.raises(ConfigurationError) as caught:
        register(case)

    assert all(f"registries[1].publishers[1].{path}" in line for line in caught.value.lines)


def test_the_issuer_must_be_named_where_two_are_known() -> None:
    """form-091."""
    case = {**the_case("form-091"), "issuers": ["https://gitlab.example.com"]}

    with pytest.raises(ConfigurationError, match="issuer: must name an issuer"):
        register(case)
