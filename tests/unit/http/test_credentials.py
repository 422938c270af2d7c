"""The credentials of a request: what is read, and what is refused."""

import pytest

from pytp_broker.errors import Unauthorized
from pytp_broker.http.credentials import read_client, read_token
from pytp_broker.tokens import UploadToken
from tests.support.deployment import basic

TOKEN = UploadToken.mint("00112233445566778899aabbccddeeff").reveal()


@pytest.mark.parametrize(
    "header",
    [
        f"Bearer {TOKEN}",
        f"bearer {TOKEN}",
        f"token {TOKEN}",
        basic(f"__token__:{TOKEN}"),
        basic(f"__token__:{TOKEN}\n"),
    ],
    ids=["bearer", "lower case", "token", "basic", "a line's end"],
)
def test_a_token_is_read(header: str) -> None:
    assert read_token({"authorization": header}).reveal() == TOKEN


@pytest.mark.parametrize(
    "header",
    [
        "",
        TOKEN,
        f"Digest {TOKEN}",
        "Bearer",
        f"Bearer {TOKEN}x",
        f"Bearer  {TOKEN}",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        f"Basic {TOKEN}",
        basic(f"someone:{TOKEN}"),
        basic(f"__token__{TOKEN}"),
        basic(b"__token__:\xff"),
        f"{basic(f'__token__:{TOKEN}')}, {basic(f'__token__:{TOKEN}')}",
        "Basic \N{LATIN SMALL LETTER E WITH ACUTE}",
    ],
    ids=[
        *("none", "no scheme", "another scheme", "no token", "a character more", "two blanks"),
        *("two bearers", "not base64", "another user", "no colon", "not utf-8", "two basics"),
        "not ascii",
    ],
)
def test_anything_else_is_refused_and_not_repeated(header: str) -> None:
    with pytest.raises(Unauthorized) as refused:
        read_token({"authorization": header})

    assert "password of the user __token__" in refused.value.detail
    assert TOKEN not in refused.value.detail


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({}, "send a token as the password"),
        ({"authorization": f"Bearer {TOKEN[:-1]}"}, "does not hold one whole token: send a token"),
        ({"authorization": f"Bearer {TOKEN}, Bearer {TOKEN}"}, "does not hold one whole token"),
        ({"authorization": basic(f"someone:{TOKEN}")}, "the user name is not __token__: send"),
    ],
    ids=["no token", "a character less", "twice", "another user"],
)
def test_a_refusal_says_what_was_sent_and_what_to_send(headers: dict[str, str], said: str) -> None:
    with pytest.raises(Unauthorized, match=said) as refused:
        read_token(headers)

    assert "an upload token to publish, a read token to install" in refused.value.detail


def test_a_request_without_credentials_is_refused() -> None:
    with pytest.raises(Unauthorized):
        read_token({})
    with pytest.raises(Unauthorized):
        read_client({})


def test_a_client_is_read_with_its_secret() -> None:
    assert read_client({"authorization": basic("devpi:s:e c")}) == ("devpi", "s:e c")


@pytest.mark.parametrize(
    "header", ["Bearer devpi:secret", basic("devpi"), "Basic devpi:secret", basic(b"\xff:")]
)
def test_a_client_without_basic_credentials_is_refused(header: str) -> None:
    with pytest.raises(Unauthorized, match="id and secret as Basic credentials"):
        read_client({"authorization": header})
