"""How an upload shows its token: in which headers, and what is refused before any token is read."""

import pytest

from pytp_broker.tokens import UploadToken
from tests.support.deployment import basic
from tests.support.distributions import form, wheel
from tests.support.shelf import Shelf


def fill(template: str, token: UploadToken) -> str:
    text = token.reveal()
    values = {
        "token": text,
        "basic": f"__token__:{text}",
        "blanks": f"__token__: {text} \n",
        "no_colon": "notarealtoken",
        "bad_user": f"@baduser:{text}",
        "upper": f"__TOKEN__:{text}",
        "no_user": f":{text}",
        "not_ascii": f"__token__:{text[:-1]}é",
        "other_digit": f"__token__:{text[:-1]}\u0660",
        "no_prefix": text.removeprefix("pytp_"),
        "altered": text[:40] + ("a" if text[40] != "a" else "b") + text[41:],
        "checksum": text[:-1] + ("A" if text[-1] != "A" else "B"),
        "truncated": text[:-1],
        "long": text * 130,
    }
    if template.startswith(("Basic", "basic")):
        values = {name: basic(value).removeprefix("Basic ") for name, value in values.items()}
    return template.format(**values)


@pytest.mark.promise("proxys-log")
@pytest.mark.parametrize(
    "template",
    [
        pytest.param("Basic {basic}", id="auth-006 Basic with the user __token__"),
        pytest.param("basic {basic}", id="auth-006 basic in lower case"),
        pytest.param("token {token}", id="auth-003 scheme token"),
        pytest.param("Token {token}", id="auth-003 scheme Token"),
        pytest.param("bearer {token}", id="auth-004 scheme bearer"),
        pytest.param("BEARER {token}", id="auth-004 scheme BEARER"),
        pytest.param("Basic {blanks}", id="auth-010 white space around the password"),
    ],
)
def test_a_token_is_accepted_as(shelf: Shelf, template: str) -> None:
    assert shelf.post(form(wheel()), fill(template, shelf.token)).status == 200


@pytest.mark.parametrize(
    "template",
    [
        pytest.param("", id="auth-000 no header"),
        pytest.param("notarealtoken", id="auth-001 no scheme"),
        pytest.param("{token}", id="auth-001 only the token"),
        pytest.param("maybeafuturemethod {token}", id="auth-002 unknown scheme"),
        pytest.param("Bearer  {token}", id="auth-005 two blanks"),
        pytest.param("Bearer {token} ", id="a blank behind"),
        pytest.param("Bearer\t{token}", id="a tab for a blank"),
        pytest.param("Bearer", id="nothing behind the scheme"),
        pytest.param("Basic notbase64", id="auth-007 not base64"),
        pytest.param("Basic notb\xe4se64", id="credentials that are not ASCII"),
        pytest.param("Basic /w==", id="not UTF-8"),
        pytest.param("Basic {no_colon}", id="auth-008 no colon"),
        pytest.param("Basic {bad_user}", id="auth-009 another user"),
        pytest.param("Basic {upper}", id="auth-011 the user in upper case"),
        pytest.param("Basic {no_user}", id="no user"),
        pytest.param("Basic ***", id="not base64 at all"),
        pytest.param("Basic", id="nothing behind Basic"),
        pytest.param("Digest {token}", id="another scheme of HTTP"),
        # Two headers, as API Gateway joins them.
        pytest.param(
            "Basic {basic},Basic {basic}", id="two headers", marks=pytest.mark.row("A098")
        ),
        pytest.param("Basic {basic}, Basic {basic}", id="two headers with a blank"),
        pytest.param("Bearer {token}, Bearer {token}", id="two tokens"),
        pytest.param("Bearer {token}, Basic eDp5", id="two schemes"),
        pytest.param("Bearer {token},{token}", id="a list", marks=pytest.mark.row("A098")),
        pytest.param("Bearer {token} {token}", id="a list with a blank"),
        pytest.param("Bearer pypi-{token}", id="upload-005 another prefix"),
        pytest.param("Bearer {no_prefix}", id="upload-004 no prefix"),
        pytest.param("Bearer {altered}", id="altered", marks=pytest.mark.row("A099")),
        pytest.param("Bearer {checksum}", id="another checksum"),
        pytest.param("Bearer PYTP_{no_prefix}", id="the prefix in upper case"),
        pytest.param("Bearer {token}A", id="a character more"),
        pytest.param("Bearer {truncated}", id="truncated"),
        pytest.param("Bearer {long}", id="10 KB"),
        pytest.param("Bearer pytp_" + "z" * 71, id="the right length"),
        pytest.param("Basic {not_ascii}", id="a character that is not ASCII"),
        pytest.param("Basic {other_digit}", id="a digit that is not ASCII"),
        pytest.param("Bearer pytp_" + "\N{SNOWMAN}" * 71, id="the right length, not ASCII"),
        pytest.param("Bearer pytp_" + "\ud800" * 71, id="a lone surrogate"),
    ],
)
def test_credentials_of_another_form_are_refused_without_a_read(
    shelf: Shelf, template: str
) -> None:
    answer = shelf.post(form(wheel()), fill(template, shelf.token))

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert shelf.store.calls == ["load_configuration"]  # to know the registry
    assert shelf.store.files == {}


def test_an_unknown_token_is_refused_after_one_read(shelf: Shelf) -> None:
    """upload-011."""
    unknown = UploadToken.mint("f" * 32)

    assert shelf.post(form(wheel()), shelf.basic(unknown)).status == 401
    assert shelf.store.calls.count("find_token") == 1


@pytest.mark.row("A116")
@pytest.mark.parametrize("user", ["__token__", "admin", "alice"])
@pytest.mark.parametrize("password", ["hunter2", "pypi-AgEIcHlwaS5vcmc", ""])
def test_a_password_is_no_upload_token(shelf: Shelf, user: str, password: str) -> None:
    # No setting makes trusted publishing compulsory, because nothing else may upload anyway.
    answer = shelf.post(form(wheel()), basic(user, password))

    assert answer.status == 401
    assert "upload token" in answer.detail
