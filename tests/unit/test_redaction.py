"""Text from outside, made safe to show, and secrets that hide themselves."""

import base64
import copy
import dataclasses
import json
import logging
import pickle
import sys
import traceback
import unicodedata
from collections.abc import Callable
from functools import partial
from typing import Any
from urllib.parse import urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.aws.cloudwatch import CloudWatch
from pytp_broker.content import Held
from pytp_broker.http.messages import Request
from pytp_broker.local.gateway_events import HttpRequest
from pytp_broker.minting import Minted
from pytp_broker.oidc.unverified import read_unverified
from pytp_broker.redaction import Hidden, _find_plain, legible, printable
from pytp_broker.tokens import UploadToken
from tests.support import distributions
from tests.support.deployment import basic
from tests.support.scanner import LEAKED
from tests.support.shelf import Shelf
from tests.support.signing import Issuer
from tests.support.world import World
from tests.unit.endpoints.test_introspection import call as introspect

MARK = "\N{REPLACEMENT CHARACTER}"
UPLOAD_TOKEN = UploadToken.mint("0123456789abcdef" * 2)
IDENTITY_TOKEN = Issuer().token()


def encoded(document: object) -> str:
    """Return a document as a part of a JWT."""
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def encoded_text(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def begun_with(blank: str) -> str:
    """Return a JWT whose header has this blank after its brace."""
    header = f'{{{blank}"alg": "RS256", "kid": "key-1"}}'.encode()
    return ".".join([base64.urlsafe_b64encode(header).rstrip(b"=").decode(), "e30", "c2ln"])


# Fixed texts: a random one looks like a name once in some thousand times.
SIGNATURE = "MEUCIQDk9v_7Xz2Rj-Qm4tYw8L_b3NcE5sHf0U-gZaP6xKd1V_oiW2yB7rTnJ-qG9hMuF4lAeDkS3vC_pX"
CLIENT_SECRET = "Zk3vT9qLx2Wm7RbN5cYh8JdP4sFg6KaQ1uEoXwVtIyM"
FIVE_NUMBERS = "1{0}1{0}1AA1z".format("z" * 30)
HEADER = encoded({"alg": "ES256", "kid": "e8d32c96003a4f459d356a9f0ef80b16", "typ": "JWT"})
CLAIMS = encoded({"jti": "0b2c7d54-9f0e-4c1b-8f7a-6f4b6d1d2c3e", "sub": "repo:octo-org/widgets"})


# --- values ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "character",
    [
        *("\x00", "\x07", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\x9b", "\u2028", "\u2029"),
        *("\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u200f", "\u061c"),
        *("\u200b", "\u200c", "\u200d", "\u2060", "\ufeff", "\u00ad", "\u180e"),
        *("\u034f", "\u115f", "\u1160", "\u2800", "\u3164", "\uffa0", "\ufe0f", "\U000e0101"),
        *("\ufffc", "\U00016fe4", "\U0001d159"),
        *("\u00a0", "\u3000", "\U000e0041", "\ue000", "\ud800", "\uffff", "`"),
    ],
)
def test_what_cannot_be_seen_or_misleads_is_replaced(character: str) -> None:
    assert printable(f"a{character}b") == f"a{MARK}b"


@pytest.mark.parametrize(
    "text", ["", "octo-org/widgets", "a b", "Grüße", "名前", "<b>&amp;", "$(x)"]
)
def test_what_can_be_seen_stays(text: str) -> None:
    assert printable(text) == text


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (
            "x ##vso[task.setvariable variable=PATH]/tmp",
            "x # #vso[task.setvariable variable=PATH]/tmp",
        ),
        ("##[set-output name=x;]y", "# #[set-output name=x;]y"),
        ("###VSO[x]", "## #VSO[x]"),
        ("## Title", "## Title"),
        ("C##", "C##"),
    ],
)
def test_no_ci_finds_a_command_in_what_is_logged(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert legible(shown) == shown


def test_a_text_that_is_safe_as_it_is_is_looked_at_once() -> None:
    _find_plain.cache_clear()

    assert legible("octo-org/widgets") is legible("octo-org/widgets")

    assert _find_plain.cache_info().hits == 1


@pytest.mark.parametrize("text", [UPLOAD_TOKEN.reveal(), IDENTITY_TOKEN, "\x1b[2J"])
def test_a_text_that_is_not_safe_is_not_remembered(text: str) -> None:
    _find_plain.cache_clear()

    assert legible(text) != text

    assert _find_plain.cache_info().currsize == 0


def test_a_text_that_was_remembered_is_cut_for_a_smaller_place() -> None:
    assert printable("octo-org/widgets") == "octo-org/widgets"
    assert printable("octo-org/widgets", 4) == "octo…"


def test_a_long_value_is_cut() -> None:
    assert printable("x" * 200) == "x" * 200
    assert printable("x" * 201) == "x" * 200 + "…"
    assert len(legible("x" * 100_000)) == 4001


@pytest.mark.promise("unmasked-text")
@pytest.mark.parametrize(
    "text",
    [
        UPLOAD_TOKEN.reveal(),
        UPLOAD_TOKEN.reveal().lower().replace("_", "-"),
        "stage_" + "nhqhbLErvqvU4gkRLgZeVLH9Vyzi13aYLnBURBWFE5y",
        "stage%5F" + "nhqhbLErvqvU4gkRLgZeVLH9Vyzi13aYLnBURBWFE5y",
        "STAGE_" + "NHQHBLERVQVU4GKRLGZEVLH9VYZI13AYLNBURBWFE5Y",
        IDENTITY_TOKEN,
        *IDENTITY_TOKEN.split(".")[:2],
        "." + IDENTITY_TOKEN,
        *(begun_with(blank) for blank in ("\n", "\r\n", "\t", " ")),
    ],
)
def test_a_token_in_the_wrong_place_is_masked(text: str) -> None:
    assert printable(f"<{text}>").replace("<.", "<") in {"<[a token]>", "<[a token]…"}
    assert "[a token]" in printable("x" * 180 + text)
    assert text[:40] not in printable("x" * 180 + text, 200)


@pytest.mark.parametrize("key_id", ["1", "e8d32c96003a4f459d356a9f0ef80b16", "k" * 200])
@pytest.mark.parametrize("signature", ["c2ln", "Ab-" * 100, "Ab_" * 30, "Ab1" * 100])
def test_a_masked_identity_token_takes_its_signature_with_it(key_id: str, signature: str) -> None:
    header, claims = {"alg": "RS256", "kid": key_id, "typ": "JWT"}, {"sub": "octo-org" * 20}
    token = ".".join([*map(encoded, (header, claims)), signature])

    assert legible(f"/acme/simple/{token}/") == "/acme/simple/[a token]/"


@pytest.mark.promise("unmasked-text")
@pytest.mark.parametrize(
    "text",
    [
        *(SIGNATURE, SIGNATURE.lower(), f"e30.e30.{SIGNATURE}"),
        *(CLAIMS, CLAIMS.lower(), f"{HEADER}.{CLAIMS}".lower(), f"{HEADER}-{CLAIMS}".lower()),
        *(LEAKED[5:].lower(), LEAKED.lower().replace("_", "%255f")),
        *(basic(f"devpi:{CLIENT_SECRET}")[6:], basic(f"__token__:{LEAKED}")[6:].lower()),
        *(encoded_text(blank + '{"alg": "RS256", "kid": "1"}') for blank in (" ", "\n", "\r\n")),
        *(encoded_text("{" + blank + '"sub": "octo-org"}') for blank in ("  ", " \n", " \t")),
        # Each of these is known by one mark only.
        *("pytp%5F" + "a" * 24, encoded({"alg": "RS256"}).lower(), "Aa" * 36, FIVE_NUMBERS),
    ],
)
def test_what_is_random_or_folded_or_begins_with_a_blank_is_masked_too(text: str) -> None:
    assert "[a token]" in legible(f"/acme/simple/{text}/")
    assert not any(text[i : i + 40] in legible(text) for i in range(len(text) - 39))


def test_the_beginning_of_a_token_is_not_shown_where_the_rest_is_cut_off() -> None:
    # A masked token is shorter, so text that was cut off moves into view.
    text = "/acme/eyJ".ljust(1200 - 25, "a") + "/" + LEAKED

    assert LEAKED[:10] not in printable(text)
    assert printable("x" * 2000) == "x" * 200 + "…"


@pytest.mark.parametrize("underscore", ["%5F", "%255F", "\u00ad_", "\\u005f"])
def test_an_upload_token_is_known_without_its_prefix(underscore: str) -> None:
    secret = UPLOAD_TOKEN.reveal().partition("_")[2]

    assert secret[-60:] not in printable(f"/acme/pytp{underscore}{secret}/")


@pytest.mark.parametrize(
    "text",
    [
        *("0a" * 64, "A" * 100, "some-long-name-of-a-project" * 4),
        *("robotframework-seleniumlibrary", "pyobjc-framework-automaticassessmentconfiguration"),
        *("agent-framework-azure-ai-search-preview", "refs/heads/framework-migration-2026"),
        *("refs/heads/monkeyApiClientRefactoring", "octo-org/homeworkgrader-exercise-templates"),
        FIVE_NUMBERS[:-1],
        "JIRA-1234-upgrade-python3-to-k8s-v2-with-s3-and-ec2-and-h2-database-support-x86",
        "chore-bump-node18-to-node20-and-php7-to-php8-and-mysql5-to-mysql8-and-log4j2",
        f"sha512-{'0a' * 64}",
        *("refs/heads/keyJwtAuthenticationFilter", "octo-org/HoneyJar-Kubernetes-Operator"),
        *("monkeyJavaClient-library-rewrite", "octo-org/turkeyJenkinsPipelineLibrary"),
        "system:serviceaccount:ci-builds:release-publisher-7d9f8b6c5d-x2x4z",
        f"/acme/files/{'0a' * 32}/nvidia_cublas_cu12-12.4.5.8-py3-none-manylinux2014_x86_64.whl",
        "google-cloud-aiplatform-1-25-dev20230413-language-models-py2-py3-none-any-whl",
        *("refs/heads/keyAgreementProtocolMigration", "viewObjectSerializerAndDeserializer"),
    ],
)
def test_what_is_only_long_is_no_token(text: str) -> None:
    assert printable(text) == text


def test_a_sentence_keeps_the_backticks_around_values() -> None:
    assert legible("`a`\n") == f"`a`{MARK}"


@given(st.text())
def test_whatever_comes_is_shown_in_one_visible_line(text: str) -> None:
    shown = printable(text)

    assert len(shown) <= 201
    assert shown.isprintable()
    assert not any(unicodedata.category(c) in {"Cc", "Cf", "Zl", "Zp", "Cs"} for c in shown)
    assert printable(shown, 300) == shown


# --- everywhere -----------------------------------------------------------------------------------

HOSTILE = "x\x1b[31m\u202e\u200b`\r\nSet-Cookie: a=b" + "y" * 5000
CALLS: dict[str, Callable[[World], Any]] = {
    "path": lambda world: world.call("GET", f"/{HOSTILE}"),
    "method": lambda world: world.call(HOSTILE, "/acme/_/oidc/mint-token"),
    "host": lambda world: world.call("POST", "/_/oidc/mint-token", b"{", host=HOSTILE),
    "issuer": lambda world: world.mint(world.token(iss=HOSTILE[:2000])),
    "audience": lambda world: world.mint(world.token(aud=HOSTILE)),
    "key id": lambda world: world.mint(world.issuer.sign({}, header={"kid": HOSTILE[:200]})),
    "repository": lambda world: world.mint(world.token(repository=HOSTILE)),
    "environment": lambda world: world.mint(world.token(environment=HOSTILE)),
    "event": lambda world: world.mint(world.token(event_name=HOSTILE)),
    "actor": lambda world: world.mint(world.token(actor=HOSTILE)),
    "run": lambda world: world.mint(world.token(run_id=HOSTILE)),
    "token": lambda world: world.mint(HOSTILE),
    "features": lambda world: world.mint(world.token(), features=[HOSTILE]),
    "burn": lambda world: world.call("POST", "/_/oidc/burn-token", {"token": HOSTILE}),
    "discover": lambda world: world.call("GET", "/.well-known/pytp", query={"discover": HOSTILE}),
    "accept": lambda world: world.call("GET", "/acme/_/oidc/discover", headers={"accept": HOSTILE}),
    "signature": lambda world: world.call(
        "POST",
        "/_/secrets/disclose-token",
        b"[]",
        headers={f"github-public-key-{n}": HOSTILE[:200] for n in ("identifier", "signature")},
    ),
}


@pytest.mark.promise("plain-text")
@pytest.mark.parametrize("place", CALLS)
def test_hostile_text_is_never_shown_as_it_came_by_the_broker(place: str) -> None:
    world = World()

    answer = CALLS[place](world)

    check_shown(answer, world.records)


def publish_with(shelf: Shelf, name: str) -> Any:
    wheel = distributions.wheel()
    return shelf.publish(wheel, distributions.fields(wheel, **{name: HOSTILE[:900]}))


UPLOADS: dict[str, Callable[[Shelf], Any]] = {
    "path": lambda shelf: shelf.post(b"", path=f"/acme/legacy/{HOSTILE}"),
    "host": lambda shelf: shelf.post(b"", host=HOSTILE),
    "authorization": lambda shelf: shelf.post(b"", HOSTILE),
    "password": lambda shelf: shelf.post(b"", basic(f"__token__:{HOSTILE}")),
    "content type": lambda shelf: shelf.post(b"", content_type=HOSTILE),
    "boundary": lambda shelf: shelf.post(
        b"", content_type=f"multipart/form-data; boundary={HOSTILE}"
    ),
    **{
        f"field {name}": partial(publish_with, name=name)
        for name in ("name", "version", "filetype", "sha256_digest", "protocol_version")
    },
    "project": lambda shelf: shelf.publish(
        distributions.wheel(), distributions.fields(distributions.wheel(), name="x" * 1000)
    ),
    "file name": lambda shelf: shelf.publish(
        dataclasses.replace(distributions.wheel(), filename=f"{HOSTILE[:100]}.whl")
    ),
    "page": lambda shelf: shelf.get(f"/acme/simple/{HOSTILE}/"),
    "long page": lambda shelf: shelf.get(f"/acme/simple/{'x' * 5000}/"),
    "file": lambda shelf: shelf.get(f"/acme/files/{HOSTILE}/{HOSTILE}"),
    "verify": lambda shelf: introspect(
        shelf, "GET", f"/acme/_/token/verify/{HOSTILE}", shelf.basic()
    ),
    "introspect": lambda shelf: introspect(
        shelf,
        "POST",
        "/acme/_/token/introspect",
        basic(f"{HOSTILE}:{HOSTILE}"),
        urlencode({"token": HOSTILE, "project": HOSTILE}).encode(),
    ),
}


@pytest.mark.promise("plain-text")
@pytest.mark.parametrize("place", UPLOADS)
def test_hostile_text_is_never_shown_as_it_came_by_the_index(place: str) -> None:
    shelf = Shelf()

    answer = UPLOADS[place](shelf)

    check_shown(answer, shelf.records)


def check_shown(answer: Any, records: Any) -> None:
    for text in (*answer.headers.keys(), *answer.headers.values()):
        assert text.isprintable()
        assert len(text) < 500
    if answer.headers.get("Content-Type", "").endswith("json"):
        check_legible(json.loads(answer.body))
    for record in records:
        check_legible(record.document())


def check_legible(value: Any) -> None:
    if isinstance(value, dict):
        for each in value.values():
            check_legible(each)
    elif isinstance(value, list):
        for each in value:
            check_legible(each)
    elif isinstance(value, str):
        assert value.isprintable(), value
        assert "\u200b" not in value
        assert len(value) <= 4001


# --- secrets --------------------------------------------------------------------------------------


@dataclasses.dataclass
class Holder:
    secret: Any
    more: list[Any]


SECRETS = {
    "upload token": (UPLOAD_TOKEN, UPLOAD_TOKEN.reveal()),
    "hidden": (Hidden("correct horse"), "correct horse"),
    "identity token": (read_unverified(IDENTITY_TOKEN), IDENTITY_TOKEN.split(".")[1]),
}


def raised(secret: Any) -> str:
    local = secret  # where a traceback with local variables finds it
    try:
        raise ValueError(local)
    except ValueError as error:
        return "".join(
            traceback.TracebackException.from_exception(error, capture_locals=True).format()
        )


WAYS: dict[str, Callable[[Any], str]] = {
    "repr": repr,
    "str": str,
    "format": lambda secret: f"{secret} {secret!r} {secret!s:>80} {[secret]} { ({'a': secret}) }",
    "percent": lambda secret: f"{'%s %r'}" % (secret, secret),
    "traceback": raised,
    "json": lambda secret: json.dumps(Holder(secret, [secret]).__dict__, default=str),
    "json repr": lambda secret: json.dumps([secret], default=repr),
    "asdict": lambda secret: str(dataclasses.asdict(Holder(secret, [secret]))),
    "astuple": lambda secret: str(dataclasses.astuple(Holder(secret, [secret]))),
    "copy": lambda secret: repr(copy.copy(secret)),
    "deepcopy": lambda secret: repr(copy.deepcopy(Holder(secret, [secret]))),
}


@pytest.mark.promise("hidden-tokens")
@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("way", WAYS)
def test_a_secret_hides_itself(kind: str, way: str) -> None:
    secret, text = SECRETS[kind]

    assert text not in WAYS[way](secret)


@pytest.mark.promise("hidden-tokens")
@pytest.mark.parametrize("kind", SECRETS)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_secret_is_not_pickled(kind: str, protocol: int) -> None:
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(Holder(SECRETS[kind][0], []), protocol)


@pytest.mark.promise("hidden-tokens")
@pytest.mark.parametrize("kind", SECRETS)
def test_no_log_shows_a_secret(kind: str, capsys: pytest.CaptureFixture[str]) -> None:
    secret, text = SECRETS[kind]
    with pytest.raises(TypeError, match="is not JSON serializable") as refused:
        CloudWatch("broker").log("INFO", "a message", held=[secret])
    logger = logging.getLogger(f"secrets-{kind}")
    logger.addHandler(logging.StreamHandler(sys.stdout))

    logger.warning(secret)
    try:
        raise ValueError(secret)
    except ValueError:
        logger.exception("failed with %s", secret)

    assert text not in "".join([*capsys.readouterr(), str(refused.value)])


def test_what_was_minted_hides_its_token() -> None:
    minted = Minted(UPLOAD_TOKEN, None)  # type: ignore[arg-type]

    assert UPLOAD_TOKEN.reveal() not in f"{minted} {dataclasses.asdict(minted)}"


def test_a_copy_of_a_secret_is_the_secret() -> None:
    assert copy.copy(UPLOAD_TOKEN) is UPLOAD_TOKEN
    assert copy.deepcopy([UPLOAD_TOKEN]) == [UPLOAD_TOKEN]


def test_a_request_shows_nothing_that_may_hold_a_secret() -> None:
    headers = {"authorization": "Bearer s3cret"}
    query, body = {"token": "s3cret"}, b"s3cret"

    shown = repr(Request("POST", "h", "/p", query, headers, Held(body)))
    wire = repr(HttpRequest("POST", "/p", "token=s3cret", [*headers.items()], Held(body)))

    assert "s3cret" not in shown + wire
