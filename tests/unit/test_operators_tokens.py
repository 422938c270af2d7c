"""What a token that an operator made may do, until when, and what can never be one."""

import hashlib
import json
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import pytest

from pytp_broker.making import Making
from pytp_broker.minting import Minted, make_to_read, make_to_upload
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.tokens import TokenRecord, UploadToken
from pytp_broker.trust.providers import PROVIDERS
from tests.support import distributions
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.deployment import Answer, Clock, basic
from tests.support.registries import Registries
from tests.support.scanner import match
from tests.support.signing import GITHUB

SECRET = "a-long-random-secret"
WIDGETS = github_publisher("widgets", repository_owner_id="9919")
DEVPI = f"""
[[registries.introspection_clients]]
id = "devpi"
secret_sha256 = "{hashlib.sha256(SECRET.encode()).hexdigest()}"
"""
BOTH = registry("acme", WIDGETS, DEVPI) + registry("other", WIDGETS)
PAGE = "/acme/simple/widgets/"
OLIVE = "user olive"
WHY = "the CI is down"
QUARTER = timedelta(minutes=15)


class Operated(Registries):
    """Two private registries, and an operator who makes tokens."""

    def add(self, made: Minted) -> UploadToken:
        assert self.store.add_operators_token(made.record)
        return made.token

    def reader(self, days: int = 90) -> UploadToken:
        making = Making(OLIVE, person="Dana")
        return self.add(make_to_read("acme", making, timedelta(days=days), self.now))

    def uploader(self, project: str = "widgets") -> UploadToken:
        making = Making(OLIVE, reason=WHY)
        return self.add(make_to_upload("acme", project, making, QUARTER, self.now))

    def read(self, token: UploadToken, path: str = PAGE) -> Answer:
        return self.call("GET", path, headers={"authorization": basic("__token__", token.reveal())})

    def introspect(self, token: UploadToken, **question: str) -> Any:
        body = urlencode({"token": token.reveal(), **question}).encode()
        headers = {"authorization": basic("devpi", SECRET)}
        return self.call("POST", "/acme/_/token/introspect", body, headers).json

    def alarms(self) -> list[dict[str, Any]]:
        return [r.document() for r in self.records if r.event == "operators-token"]


@pytest.fixture
def registries() -> Operated:
    return Operated(BOTH)


# --- to read --------------------------------------------------------------------------------------


def test_a_read_token_reads_its_registry_until_it_expires(registries: Operated) -> None:
    assert registries.upload(registries.uploader()).status == 200
    token = registries.reader(days=365)

    registries.advance(days=365, seconds=-1)
    assert registries.read(token).status == 200
    assert registries.read(token, "/acme/simple/").status == 200
    registries.advance(seconds=1)
    assert registries.read(token).status == 401


@pytest.mark.promise("read-only")
def test_a_read_token_uploads_nothing(registries: Operated) -> None:
    answer = registries.upload(registries.reader())

    assert (answer.status, answer.code) == (403, "forbidden")


@pytest.mark.promise("own-registry")
@pytest.mark.parametrize("kind", ["reader", "uploader"])
def test_neither_kind_reads_another_registry(registries: Operated, kind: str) -> None:
    token = getattr(registries, kind)()

    assert registries.read(token, "/other/simple/").status == 401


def test_a_read_token_is_remembered_for_ten_seconds(registries: Operated) -> None:
    token = registries.reader()
    registries.read(token)
    before = registries.store.calls.count("find_token")

    registries.read(token)

    assert registries.store.calls.count("find_token") == before


# --- to upload ------------------------------------------------------------------------------------


def test_an_upload_token_publishes_its_project_and_reads_it(registries: Operated) -> None:
    token = registries.uploader()

    assert registries.upload(token).status == 200
    assert b"widgets-1.0" in registries.read(token).body


def test_an_upload_token_publishes_a_project_that_nobody_could(registries: Operated) -> None:
    file = distributions.wheel("novel", text=distributions.metadata("novel"))

    assert registries.upload(registries.uploader("novel"), file=file).status == 200


@pytest.mark.promise("made-by-an-operator")
def test_an_upload_token_publishes_no_other_project(registries: Operated) -> None:
    answer = registries.upload(registries.uploader("gadgets"))

    assert (answer.status, answer.code) == (403, "forbidden")
    assert "this upload token is for `gadgets`" in answer.detail


@pytest.mark.promise("own-registry")
def test_an_upload_token_publishes_nowhere_else(registries: Operated) -> None:
    assert registries.upload(registries.uploader(), path="/other/legacy/").status == 403


def test_an_archived_project_refuses_it(registries: Operated) -> None:
    registries.store.set_status("acme", "widgets", ProjectStatus("archived", "moved"))

    assert registries.upload(registries.uploader()).code == "project-closed"


def test_an_upload_token_ends_when_it_expires(registries: Operated) -> None:
    token = registries.uploader()

    registries.advance(minutes=15)

    assert registries.upload(token).status == 401


@pytest.mark.promise("shown-as-the-operators")
def test_what_it_publishes_is_recorded_as_the_operators(registries: Operated) -> None:
    token = registries.uploader()
    registries.upload(token)

    (file,) = registries.store.files.values()

    assert file.published_by == {
        "operator": OLIVE,
        "reason": WHY,
        "token_hash": token.hash[:12],
    }


@pytest.mark.promise("shown-as-the-operators")
def test_the_page_says_that_the_operator_published_it_and_why(registries: Operated) -> None:
    token = registries.uploader()
    registries.upload(token)

    page = registries.read(token, "/acme/project/widgets/").body.decode()

    assert "Published by the operator of this registry, not by a trusted publisher" in page
    assert OLIVE in page
    assert WHY in page
    assert "The rule that trusts this publisher" not in page
    assert "a job of" not in page


def test_a_stranger_learns_why_and_not_who(registries: Operated) -> None:
    registries.upload(registries.uploader())
    registries.configure(BOTH.replace('name = "acme"', 'name = "acme"\naccess = "public"', 1))
    registries.advance(seconds=10)

    page = registries.call("GET", "/acme/project/widgets/").body.decode()

    assert "Published by the operator of this registry, not by a trusted publisher" in page
    assert WHY in page
    assert OLIVE not in page


@pytest.mark.promise("shown-as-the-operators")
def test_an_upload_with_it_leaves_the_record_of_an_alarm(registries: Operated) -> None:
    token = registries.uploader()
    registries.upload(token)

    assert registries.alarms() == [
        {
            "event": "operators-token",
            "outcome": "accepted",
            "reason": "",
            "registry": "acme",
            "projects": ["acme/widgets"],
            "made_by": OLIVE,
            "why": WHY,
            "token_hash": token.hash[:12],
        }
    ]


def test_an_upload_that_is_refused_for_its_form_leaves_it_too(registries: Operated) -> None:
    bad = distributions.wheel(text=distributions.metadata("gadgets"))

    assert registries.upload(registries.uploader(), file=bad).status == 400
    assert len(registries.alarms()) == 1


def test_reading_leaves_no_alarm(registries: Operated) -> None:
    registries.read(registries.uploader())
    registries.read(registries.reader())

    assert registries.alarms() == []


def test_a_jobs_upload_leaves_no_alarm(registries: Operated) -> None:
    token = registries.issuer.token(registries.now, aud="packages.example.com/acme")
    minted = registries.call("POST", "/acme/_/oidc/mint-token", {"token": token})

    assert registries.upload(UploadToken.parse(minted.json["token"])).status == 200
    assert registries.alarms() == []


# --- other indexes and proxies --------------------------------------------------------------------


def test_another_index_learns_the_operator_and_no_publisher(registries: Operated) -> None:
    answer = registries.introspect(registries.uploader(), project="widgets")

    assert (answer["active"], answer["scope"], answer["projects"]) == (True, "upload", ["widgets"])
    assert answer["made_by"] == {"operator": OLIVE, "person": "", "reason": WHY}
    assert "publisher" not in answer
    assert len(registries.alarms()) == 1


def test_a_question_that_names_nothing_leaves_no_alarm(registries: Operated) -> None:
    assert registries.introspect(registries.uploader())["projects"] == ["widgets"]
    assert registries.alarms() == []


def test_another_index_learns_that_a_read_token_only_reads(registries: Operated) -> None:
    token = registries.reader()

    answer = registries.introspect(token)

    assert (answer["active"], answer["scope"], answer["projects"]) == (True, "read", [])
    assert answer["made_by"] == {"operator": OLIVE, "person": "Dana", "reason": ""}
    assert registries.introspect(token, project="widgets") == {"active": False}


def test_a_proxy_learns_that_an_operator_made_it(registries: Operated) -> None:
    answer = registries.read(registries.uploader(), "/acme/_/token/verify/widgets")

    assert answer.status == 200
    assert answer.headers["X-Pytp-Made-By"] == "operator"
    assert "X-Pytp-Issuer" not in answer.headers
    assert len(registries.alarms()) == 1


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["reader", "uploader"])
@pytest.mark.promise("switched-off")
@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('name = "acme"', 'name = "acme"\nenabled = false'),
        ("[[registries]]", "enabled = false\n[[registries]]"),
    ],
)
def test_it_ends_within_ten_seconds_when_it_is_switched_off(
    registries: Operated, kind: str, before: str, after: str
) -> None:
    token = getattr(registries, kind)()
    assert registries.read(token, "/acme/simple/").status == 200
    registries.configure(BOTH.replace(before, after, 1))

    registries.advance(seconds=10)

    assert registries.read(token, "/acme/simple/").status == 403
    assert registries.upload(token).status == 403


@pytest.mark.promise("made-by-an-operator")
@pytest.mark.parametrize("kind", ["reader", "uploader"])
def test_it_does_not_come_back_with_a_registry_of_the_same_name(
    registries: Operated, kind: str
) -> None:
    token = getattr(registries, kind)()
    assert registries.read(token, "/acme/simple/").status == 200
    registries.configure(registry("other", WIDGETS))
    registries.advance(seconds=10)
    assert registries.read(token, "/acme/simple/").status == 404

    registries.configure(BOTH)
    registries.advance(seconds=10)

    assert registries.read(token, "/acme/simple/").status == 401
    assert registries.upload(token).status == 401


def test_an_issuers_switch_does_not_concern_it(registries: Operated) -> None:
    token = registries.uploader()
    off = github_issuer(GITHUB, enabled=False)
    registries.configure(BOTH.replace("[[registries]]", f"{off}[[registries]]", 1))
    registries.advance(seconds=10)

    assert registries.upload(token).status == 200
    assert registries.read(registries.reader()).status == 200


@pytest.mark.parametrize("kind", ["reader", "uploader"])
def test_it_ends_within_ten_seconds_when_its_holder_burns_it(
    registries: Operated, kind: str
) -> None:
    token = getattr(registries, kind)()
    assert registries.read(token, "/acme/simple/").status == 200

    registries.call("POST", "/acme/_/oidc/burn-token", {"token": token.reveal()})
    registries.advance(seconds=10)

    assert registries.read(token, "/acme/simple/").status == 401
    assert registries.upload(token).status == 401


@pytest.mark.promise("leaked-token")
@pytest.mark.parametrize("kind", ["reader", "uploader"])
def test_it_ends_when_secret_scanning_finds_it(registries: Operated, kind: str) -> None:
    token = getattr(registries, kind)()
    body = json.dumps([match(token.reveal())]).encode()

    registries.call("POST", "/_/secrets/disclose-token", body, registries.scanner.sign(body))

    assert registries.read(token).status == 401
    assert registries.upload(token).status == 401


# --- what is never one ----------------------------------------------------------------------------


def without_operator(kept: TokenRecord, **changes: Any) -> TokenRecord:
    document = {**kept.document(), **changes}
    del document["made_by"]
    return TokenRecord.from_document(document, None, None)


@pytest.mark.promise("made-by-an-operator")
@pytest.mark.parametrize("issuer", ["", GITHUB])
@pytest.mark.parametrize(
    "identity", [{}, {"made_by": "user olive", "operator": "user olive", "reason": WHY}]
)
@pytest.mark.parametrize("kind", ["reader", "uploader"])
def test_a_record_without_the_operators_mark_is_good_for_nothing(
    registries: Operated, kind: str, issuer: str, identity: dict[str, str]
) -> None:
    """Neither what an earlier version stored nor signed claims can be such a record."""
    token = getattr(registries, kind)()
    kept = registries.store.tokens[token.lookup_id]
    registries.store.tokens[token.lookup_id] = without_operator(
        kept, issuer=issuer, identity=identity
    )

    assert registries.read(token).status == 403
    assert registries.upload(token).status == 403


@pytest.mark.promise("made-by-an-operator")
def test_an_exchange_marks_no_record_as_an_operators(registries: Operated) -> None:
    claims = {"operator": OLIVE, "made_by": {"operator": OLIVE}, "reason": WHY}
    token = registries.issuer.token(registries.now, aud="packages.example.com/acme", **claims)

    minted = registries.call("POST", "/acme/_/oidc/mint-token", {"token": token})

    assert minted.status == 200
    (kept,) = registries.store.tokens.values()
    assert kept.made_by is None
    assert not kept.identity.keys() & {"operator", "reason", "made_by"}


@pytest.mark.promise("shown-as-the-operators")
def test_no_signed_claim_is_recorded_under_a_name_of_the_operators_publications() -> None:
    ours = {"operator", "reason", "issuer", "publishers", "token_hash"}

    assert all(ours.isdisjoint(provider.recorded) for provider in PROVIDERS.values())


def test_a_version_that_does_not_know_the_mark_finds_no_issuer_and_no_publisher() -> None:
    making = Making(OLIVE, reason=WHY)
    made = make_to_upload("acme", "widgets", making, QUARTER, Clock.now)

    document = made.record.document()

    assert document["issuer"] == ""
    assert document["scope"] == [("acme", "widgets", [])]
    assert [right["publisher_ids"] for right in document["rights"]] == [{}]
