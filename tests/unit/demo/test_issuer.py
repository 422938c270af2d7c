"""The stand-in issuer of the demo."""

from typing import Any

import jwt
import pytest
import requests

from pytp_broker.demo.issuer import Issuer, github_job


def get(url: str, authorization: str = "") -> requests.Response:
    with requests.Session() as session:
        session.trust_env = False
        return session.get(url, headers={"Authorization": authorization}, timeout=5)


def verified(issuer: Issuer, token: str) -> dict[str, Any]:
    keys = jwt.PyJWKSet.from_dict(get(f"{issuer.url}/.well-known/jwks").json())
    key = keys[jwt.get_unverified_header(token)["kid"]]
    claims: dict[str, Any] = jwt.decode(token, key, algorithms=["RS256"], audience="pytp")
    return claims


def test_the_issuers_tokens_verify_by_what_it_publishes() -> None:
    with Issuer() as issuer:
        discovery = get(f"{issuer.url}/.well-known/openid-configuration").json()
        claims = verified(issuer, issuer.token(repository="octo-org/other", actor=None))

    assert discovery["issuer"] == claims["iss"] == issuer.url
    assert discovery["jwks_uri"] == f"{issuer.url}/.well-known/jwks"
    assert claims["repository"] == "octo-org/other"
    assert "actor" not in claims


def test_a_job_gets_its_own_token_and_nobody_else_does() -> None:
    with Issuer() as issuer:
        job = issuer.start_job(run_id="7")
        url = job["ACTIONS_ID_TOKEN_REQUEST_URL"] + "&audience=pytp"

        granted = get(url, f"bearer {job['ACTIONS_ID_TOKEN_REQUEST_TOKEN']}")
        refused = [get(url, other) for other in ("", "bearer x", "basic x")]

        assert verified(issuer, granted.json()["value"])["run_id"] == "7"
        assert {answer.status_code for answer in refused} == {401}
        assert get(f"{issuer.url}/nothing").status_code == 404
    assert issuer.requests[0] == "GET /actions/idtoken?api-version=2.0&audience=pytp"


def test_a_rotated_key_stays_published_for_a_while() -> None:
    with Issuer() as issuer:
        old = issuer.token()
        issuer.rotate()
        verified(issuer, old)
        verified(issuer, issuer.token())
        issuer.rotate(keep=0)
        with pytest.raises(KeyError):
            verified(issuer, old)


def test_an_issuer_has_no_url_before_it_listens() -> None:
    with pytest.raises(RuntimeError, match="use it inside `with Issuer"):
        _ = Issuer().url


def test_a_branchs_job_says_so() -> None:
    claims = github_job(environment=None, ref="refs/heads/main")

    assert claims["sub"] == "repo:octo-org/widgets:ref:refs/heads/main"
    assert claims["ref_type"] == "branch"
    assert "environment" not in claims
