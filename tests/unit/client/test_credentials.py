"""The variables by which clients take their URL and their token; tests/e2e runs the clients."""

import pytest

from pytp_broker.client.credentials import (
    VARIABLES,
    variables_for,
    with_credentials,
    with_proxy,
)
from tests.support.remote import UPLOAD


@pytest.mark.parametrize("client", VARIABLES)
def test_every_client_gets_the_url_and_the_token(client: str) -> None:
    values = [variables_for(UPLOAD, "secret")[name] for name in VARIABLES[client]]

    assert values.count(UPLOAD) == 1
    assert values.count("secret") == 1
    assert {*values} <= {UPLOAD, "secret", "__token__"}


def test_what_a_client_refuses_beside_a_token_is_left_out() -> None:
    before = {"PATH": "/bin", "UV_PUBLISH_USERNAME": "me", "UV_PUBLISH_INDEX": "acme"}

    after = with_credentials(before, UPLOAD, "secret")

    assert after == {"PATH": "/bin", **variables_for(UPLOAD, "secret")}


def test_an_older_password_gives_way_to_the_token() -> None:
    assert with_credentials({"TWINE_PASSWORD": "old"}, UPLOAD, "new")["TWINE_PASSWORD"] == "new"


def test_behind_a_proxy_no_token_of_the_user_is_left() -> None:
    before = {"PYTP_UPLOAD_TOKEN": "given", "NO_PROXY": "internal"}

    after = with_proxy(before, "http://127.0.0.1:1/legacy/", "password")

    assert "given" not in after.values()
    assert (after["NO_PROXY"], after["no_proxy"]) == ("internal,127.0.0.1", "127.0.0.1")


@pytest.mark.parametrize("name", ["PYTP_IDENTITY_TOKEN", "PYTP_IDENTITY_TOKEN_FILE"])
def test_beside_a_proxy_no_client_gets_the_identity_of_the_job(name: str) -> None:
    assert name not in with_proxy({name: "secret"}, "http://127.0.0.1:1/legacy/", "password")


def test_the_variable_in_which_a_user_gives_a_token_is_not_passed_on() -> None:
    assert "PYTP_UPLOAD_TOKEN" not in with_credentials({"PYTP_UPLOAD_TOKEN": "x"}, UPLOAD, "x")
