"""Our checks of a token beside PyJWT's ``jwt.decode``: what it refuses, we refuse.

Each token has a good signature, because we compare the checks of form and claims.
"""

import base64
import json
from datetime import timedelta
from typing import Any, Final

import jwt
import pytest
import time_machine
from hypothesis import given, settings
from hypothesis import strategies as st

from pytp_broker.errors import Problem
from pytp_broker.oidc.identity import verify
from pytp_broker.oidc.jwks import VerificationKey
from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS, PLAIN, SignedClaims, TokenForm
from pytp_broker.oidc.unverified import decode_base64url, read_unverified
from pytp_broker.registries import Issuer
from tests.support.signing import ABSENT, GITHUB, NOW, github_claims, rsa_key, segment
from tests.support.signing import sign_segments as sign

AUDIENCE: Final = "acme"
SECONDS: Final = int(NOW.timestamp())
KEY: Final = VerificationKey(rsa_key("key-1").public_key(), ("RS256",))
ISSUER: Final = Issuer(GITHUB, "github", ("RS256",))
LISTS: Final = TokenForm(may_list_audience=True)
HEADER: Final = {"alg": "RS256", "typ": "JWT", "kid": "key-1"}

texts = st.text(max_size=8)
numbers = (
    st.integers()
    | st.floats()
    | st.sampled_from([10**400, -(10**400), 1 << 33, 1 << 63, 0, -0.0, 1e308, 5e-324])
)
anything = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=2),
    max_leaves=4,
)
# Most are near a limit: the leeway, and the longest lifetime.
moments = st.sampled_from([0, 30, -30, 300, -300, 25 * 3600, 31, -31]).flatmap(
    lambda offset: st.integers(-2, 2).map(lambda near: SECONDS + offset + near)
)
times = (
    moments
    | st.tuples(moments, st.sampled_from([0.1, 0.5, 0.999_999])).map(sum)
    | moments.map(str)
    | moments.map(float)
    | st.just("\N{ARABIC-INDIC DIGIT ONE}790000000")
    | st.booleans()
    | anything
    | st.just(ABSENT)
)
audiences = (
    st.sampled_from([AUDIENCE, "other", "", "ACME", "acme ", "acm\N{CYRILLIC SMALL LETTER IE}"])
    | st.lists(st.sampled_from([AUDIENCE, "other", "", 5, None]), max_size=3)
    | anything
    | st.just(ABSENT)
)
issuers = st.sampled_from([GITHUB, GITHUB + "/", GITHUB.upper(), f" {GITHUB}"]) | anything
names = texts | st.sampled_from(["x" * 1024, "x" * 1025, ABSENT]) | anything
changed_claims = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(("exp", "iat", "nbf"), times),
        "aud": audiences,
        "iss": issuers | st.just(ABSENT),
        "sub": names,
        "jti": names,
    },
)
changed_headers = st.fixed_dictionaries(
    {},
    optional={
        "alg": st.sampled_from(["none", "None", "HS256", "RS384", "rs256", "", ABSENT]) | anything,
        "typ": st.sampled_from(["JWT", "jwt", "at+jwt", "logout+jwt", ABSENT]) | anything,
        "kid": st.sampled_from(["key-1", "", ABSENT]) | anything,
        "crit": st.sampled_from([["b64"], [], ["exp"], "b64"]) | anything,
        "b64": st.booleans() | anything,
        **dict.fromkeys(("zip", "cty", "jku", "x5u"), st.sampled_from(["DEF", "JWT"]) | anything),
        **dict.fromkeys(("x5c", "jwk"), anything),
    },
)


def ours(token: str, form: TokenForm = PLAIN) -> SignedClaims | None:
    """Return what we make of a token; None if we refuse it."""
    try:
        return verify(read_unverified(token), KEY, ISSUER, AUDIENCE, NOW, form=form)
    except Problem:
        return None


def theirs(token: str, leeway_seconds: float = LEEWAY_SECONDS) -> dict[str, Any] | None:
    """Return what PyJWT makes of a token, at the same time; None if it refuses it."""
    try:
        with time_machine.travel(NOW, tick=False):
            return jwt.decode(
                token,
                KEY.public_key,
                algorithms=["RS256"],
                issuer=GITHUB,
                audience=AUDIENCE,
                leeway=timedelta(seconds=leeway_seconds),
                options={"require": ["exp", "iat", "aud", "iss"]},
            )
    except jwt.PyJWTError:
        return None


def signed(claims: dict[str, Any], header: dict[str, Any]) -> str:
    present = {name: value for name, value in header.items() if value is not ABSENT}
    return sign(segment({**present}), segment(claims))


def assert_ours_is_a_part_of_theirs(token: str) -> None:
    for form in (PLAIN, LISTS):
        taken = ours(token, form)
        if taken is not None:
            # PyJWT cuts off the fraction of `exp`: what ends at 0.9 seconds ends for it at 0.
            is_whole = float(taken.claims["exp"]).is_integer()
            claims = theirs(token, LEEWAY_SECONDS if is_whole else LEEWAY_SECONDS + 1)
            assert claims == taken.claims


@settings(max_examples=300)
@given(changed_claims, changed_headers)
def test_any_claims_and_any_header(claims: dict[str, Any], header: dict[str, Any]) -> None:
    assert_ours_is_a_part_of_theirs(signed(github_claims(**claims), {**HEADER, **header}))


@settings(max_examples=600)
@given(changed_claims)
def test_any_claims(claims: dict[str, Any]) -> None:
    assert_ours_is_a_part_of_theirs(signed(github_claims(**claims), HEADER))


@given(times, times, times)
def test_any_times(issued_at: Any, expires_at: Any, begins_at: Any) -> None:
    claims = github_claims(iat=issued_at, exp=expires_at, nbf=begins_at)

    assert_ours_is_a_part_of_theirs(signed(claims, HEADER))


@settings(max_examples=300)
@given(st.integers(-29, 300), st.integers(1, 25 * 3600), st.integers(0, 30), audiences)
def test_what_pyjwt_takes_and_our_limits_allow_is_taken(
    left: int, lifetime: int, early: int, audience: Any
) -> None:
    """The other direction: within the limits that are our own, we refuse nothing besides."""
    exp, nbf = SECONDS + left, SECONDS + early
    token = signed(github_claims(exp=exp, iat=exp - lifetime, nbf=nbf, aud=audience), HEADER)

    is_ours = exp - lifetime <= SECONDS + LEEWAY_SECONDS and audience in (AUDIENCE, [AUDIENCE])

    assert (ours(token, LISTS) is not None) is (theirs(token) is not None and is_ours)


ALPHABET: Final = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
marks = st.sampled_from([*"=+/.\n\t \r\0", *"Az09-_", "\u0661", "\u200b", "\ufeff", "=="])


@settings(max_examples=300)
@given(st.sampled_from([0, 1, 2]), st.data())
def test_any_spelling_of_a_segment(index: int, data: st.DataObject) -> None:
    """White space, padding, other digits and unused bits: one token has one spelling."""
    segments = signed(github_claims(jti="x"), HEADER).split(".")
    plain = segments[index]
    at = data.draw(st.sampled_from([0, len(plain) // 2, len(plain) - 1, len(plain)]))
    cut = data.draw(st.integers(0, 2))
    segments[index] = plain[:at] + data.draw(marks | st.just("")) + plain[at + cut :]
    if index < 2:  # signed as it is spelt now
        try:
            segments = sign(segments[0], segments[1]).split(".")
        except UnicodeError:
            return
    token = ".".join(segments)

    assert_ours_is_a_part_of_theirs(token)
    if ours(token) is not None:
        assert [decoded(each) for each in segments] == segments


@given(st.text(st.sampled_from([*ALPHABET, *"=+/ \n.!\0", "\u0661"]), max_size=12))
def test_base64url_is_what_the_standard_library_reads_and_writes_alike(segment: str) -> None:
    try:
        found: bytes | None = decode_base64url(segment)
    except ValueError:
        found = None

    assert found == standard_library(segment)


def standard_library(segment: str) -> bytes | None:
    padded = segment + "=" * (-len(segment) % 4)
    try:
        octets = base64.b64decode(padded, altchars=b"-_", validate=True)
    except ValueError:
        return None
    return octets if base64.urlsafe_b64encode(octets).rstrip(b"=").decode() == segment else None


def decoded(text: str) -> str:
    """Return the one spelling of the bytes that a segment has."""
    octets = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


@pytest.mark.parametrize("last", ALPHABET)
def test_the_unused_bits_of_the_last_digit_are_zero(last: str) -> None:
    whole = signed(github_claims(), HEADER)
    token = whole[:-1] + last

    assert (ours(token) is not None) is (theirs(token) is not None) is (token == whole)


@given(st.dictionaries(st.sampled_from(["exp", "iat", "aud", "sub", "iss"]), anything, max_size=3))
def test_members_that_are_repeated(second: dict[str, Any]) -> None:
    first = json.dumps(github_claims())
    payload = first[:-1] + "".join(f", {json.dumps(k)}: {json.dumps(v)}" for k, v in second.items())
    token = sign(segment(HEADER), segment(f"{payload}}}".encode()))

    assert_ours_is_a_part_of_theirs(token)
    assert not second or ours(token) is None
