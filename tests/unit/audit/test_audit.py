"""Audit records: the documented schema, every event, and labels that no caller can multiply."""

import hashlib
import json
import re
from argparse import Namespace
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn, get_args
from urllib.parse import urlencode

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.audit_docs import DOCS, write_page, write_schema
from pytp_broker.audit.findings import KeySetReason
from pytp_broker.audit.operations import Restoration
from pytp_broker.audit.record import MAX_MESSAGE_CHARACTERS, AuditRecord
from pytp_broker.audit.requests import Upload
from pytp_broker.aws.edge import Edge
from pytp_broker.cli.applying import OutdatedPlanError, RemovalError, apply, plan_for
from pytp_broker.cli.file import delete
from pytp_broker.cli.import_report import Report
from pytp_broker.cli.importer import recorded
from pytp_broker.cli.key_changes import revoke
from pytp_broker.cli.operator import Operator
from pytp_broker.cli.project import set_status
from pytp_broker.cli.release import reopen, yank
from pytp_broker.cli.token_burning import end_all_tokens
from pytp_broker.cli.token_create import create
from pytp_broker.config import Loaded
from pytp_broker.content import Held
from pytp_broker.endpoints import introspect
from pytp_broker.endpoints.routing import respond
from pytp_broker.errors import InvalidToken, Problem, StoreUnavailable
from pytp_broker.http.messages import Request
from pytp_broker.local.log import Log
from pytp_broker.making import Making
from pytp_broker.minting import make_to_upload
from pytp_broker.registries import Configuration, Registry
from pytp_broker.tokens import UploadToken
from pytp_broker.trust.providers import PROVIDERS
from tests.support import distributions
from tests.support.attesting import REFUSED, VERIFIED, attest
from tests.support.audit import SCHEMA, check
from tests.support.configurations import github_reader, registry
from tests.support.deployment import HOST, basic
from tests.support.fakes import MemoryStore
from tests.support.processing import Bench
from tests.support.samples import NOW, file, receipt_key
from tests.support.scanner import match
from tests.support.shelf import Shelf
from tests.support.time_authority import AUTHORITY
from tests.support.uploading import Uploader
from tests.support.world import World

PAGE = (DOCS / "audit.md").read_text()
EVENTS: dict[str, dict[str, Any]] = {
    each["if"]["properties"]["event"]["const"]: each["then"] for each in SCHEMA["allOf"]
}
FIELDS: dict[str, dict[str, Any]] = SCHEMA["$defs"]
REASONS: set[str] = set(FIELDS["reason"]["enum"])
SECRET = "a-long-random-secret"
COMMON = {"time", "message", "event", "outcome", "reason", "detail", "operator_detail"}


# --- the schema and its page ----------------------------------------------------------------------


def section(event: str) -> str:
    found = re.search(rf"^## {event}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    assert found, event
    return found[1]


def rows(text: str) -> dict[str, str]:
    return dict(re.findall(r"^\| (?:\*\*)?`(.+?)`(?:\*\*)? \| (.+) \|$", text, re.MULTILINE))


def test_the_schema_is_one() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)

    assert SCHEMA["properties"]["event"]["enum"] == list(EVENTS)


@pytest.mark.parametrize("event", EVENTS)
def test_the_pages_examples_are_good_records(event: str) -> None:
    (example,) = re.findall(r"```json\n(.*?)```", section(event), re.DOTALL)

    check(json.loads(example))
    assert json.loads(example)["event"] == event


def test_the_page_and_the_schema_are_what_the_classes_say() -> None:
    assert write_page(PAGE) == PAGE, "run: make audit-docs"
    assert write_schema() == (DOCS / "audit.schema.json").read_text(), "run: make audit-docs"


def test_every_reason_has_its_meaning_on_the_page() -> None:
    codes = {problem.code for problem in all_problems()}

    assert rows(section("Fields of every record")).keys() - COMMON == REASONS - codes - {""}
    assert set(get_args(KeySetReason)) <= REASONS


def test_the_schema_knows_every_claim_that_is_recorded() -> None:
    recorded = {name for provider in PROVIDERS.values() for name in provider.recorded}

    assert recorded <= EVENTS["exchange"]["properties"].keys()
    assert recorded <= EVENTS["read-exchange"]["properties"].keys()


# --- every event ----------------------------------------------------------------------------------


def exchanges() -> Iterator[AuditRecord]:
    world = World()
    token = world.mint(world.token()).json["token"]
    world.mint(world.token(environment="staging"))
    world.mint("nonsense")
    world.call("POST", "/acme/_/oidc/burn-token", {"token": token})
    world.store.fail_next("burn_token")
    world.call("POST", "/acme/_/oidc/burn-token", {"token": token})
    body = json.dumps([match(token), match("x")]).encode()
    world.call("POST", "/_/secrets/disclose-token", body, headers=world.scanner.sign(body))
    world.call("POST", "/_/secrets/disclose-token", body)
    world.store.fail_next("burn_token")
    world.call("POST", "/_/secrets/disclose-token", body, headers=world.scanner.sign(body))
    world.call("POST", "/acmee/legacy/")
    world.issuer.down = True
    world.advance(hours=2)
    world.mint(world.token())
    yield from world.records
    reading = World(registry("acme", github_reader(), audience="acme"))
    reading.mint_to_read(reading.token())
    reading.mint_to_read("nonsense")
    yield from reading.records


def uploads() -> Iterator[AuditRecord]:
    shelf = Shelf()
    for _ in range(2):
        shelf.publish(distributions.wheel())
    shelf.post(b"", basic("__token__:x"))
    yield from shelf.records


def operators_uploads() -> Iterator[AuditRecord]:
    shelf = Shelf()
    making = Making("user olive", reason="the CI is down")
    made = make_to_upload("acme", "widgets", making, timedelta(minutes=15), shelf.now)
    shelf.store.tokens[made.token.lookup_id] = made.record
    shelf.post(distributions.form(distributions.wheel()), shelf.basic(made.token))
    yield from shelf.records


def losses() -> Iterator[AuditRecord]:
    shelf = Shelf()
    shelf.publish(distributions.wheel())
    shelf.advance(days=1)
    making = Making("user olive", reason="the CI is down")
    made = make_to_upload("acme", "widgets", making, timedelta(minutes=15), shelf.now)
    shelf.store.tokens[made.token.lookup_id] = made.record
    shelf.post(distributions.form(distributions.wheel(version="2.0")), shelf.basic(made.token))
    yield from shelf.records


def sessions() -> Iterator[AuditRecord]:
    client = Uploader(Shelf())
    session = client.begin()
    upload = client.add(session, distributions.wheel())
    client.complete(upload)
    client.delete_file(upload)
    client.stage(session, distributions.wheel())
    client.send("POST", session["links"]["extend"], {"extend-for": 60})
    client.publish(session)
    client.cancel(session)
    yield from client.shelf.records


def verifications() -> Iterator[AuditRecord]:
    good, bad = Bench(), Bench()
    bad.files.contents.clear()
    for bench in (good, bad):
        bench.verify_now()
        yield from bench.records


def timestamps() -> Iterator[AuditRecord]:
    shelf = Shelf()
    shelf.configuration = replace(shelf.configuration, timestamping=AUTHORITY)
    shelf.apply()
    shelf.publish(distributions.wheel())  # nothing asks the authority here
    yield from shelf.records


def attestations() -> Iterator[AuditRecord]:
    for said in (VERIFIED, REFUSED):
        shelf, wheel = Shelf(), distributions.wheel()
        shelf.attester.state = said
        shelf.publish(wheel, distributions.fields(wheel, attestations=attest(wheel)))
        shelf.verify()
        yield from shelf.records


def introspections() -> Iterator[AuditRecord]:
    shelf = Shelf()
    shelf.change(introspection_clients={"devpi": hashlib.sha256(SECRET.encode()).hexdigest()})
    good = {"authorization": basic(f"devpi:{SECRET}")}
    for text, headers in ((shelf.token.reveal(), good), ("x", good), ("x", {})):
        body = urlencode({"token": text, "project": "widgets"}).encode()
        ask(shelf, "POST", "/acme/_/token/introspect", headers, body)
    ask(shelf, "GET", "/acme/_/token/verify/widgets", {"authorization": shelf.basic()})
    ask(shelf, "GET", "/acme/_/token/verify", {})
    ask(shelf, "GET", "/_/token/verify", {"authorization": shelf.basic()})
    yield from shelf.records


def ask(shelf: Shelf, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> int:
    request = Request(method, HOST, path, {}, headers, Held(body))
    return respond(request, introspect.ROUTES, shelf.index).status


def operations() -> Iterator[Mapping[str, Any]]:
    store = MemoryStore()
    operator = Operator(store, "user olive")
    configuration = Configuration(registries={"acme": Registry("acme", ())})
    outdated = plan_for(operator, Loaded(configuration, ()))
    apply(operator, Loaded(configuration, ()), prune=False)
    with pytest.raises(RemovalError):
        apply(operator, Loaded(Configuration(), ()), prune=False)
    with pytest.raises(OutdatedPlanError):
        apply(operator, Loaded(configuration, ()), prune=False, approved=outdated)
    store.add_file(file(uploaded_at=datetime(2020, 1, 1, tzinfo=UTC)))
    reopen(Namespace(registry="acme", project="widgets", version="1.0"), operator)
    yank(Namespace(registry="acme", project="widgets", version="1.0", reason="breaks"), operator)
    archived = {"status": "archived", "reason": "moved"}
    set_status(Namespace(registry="acme", project="widgets", **archived), operator)
    delete(Namespace(registry="acme", filename=file().filename, reason="leaks"), operator)
    making = {"read": True, "person": "Dana", "upload": None, "reason": None}
    create(Namespace(registry="acme", **making, days=None, minutes=None), operator)
    end_all_tokens(operator)
    operator.store.save_receipt_key(receipt_key(), None)
    revoke(receipt_key(), NOW, "lost", operator)
    with recorded(Report("acme", "https://old.example.com/simple/"), operator):
        pass
    operator.record(Restoration(by="olive", backup_time=NOW.isoformat()).accepted())
    yield from store.operator_records


@pytest.mark.promise("recorded")
def test_every_event_is_recorded_as_the_schema_says() -> None:
    records = [
        *(*exchanges(), *uploads(), *operators_uploads(), *losses()),
        *(*sessions(), *verifications(), *introspections(), *timestamps(), *attestations()),
    ]
    documents = [*(r.document() for r in records), *operations()]

    for document in documents:
        check(document)
    assert {document["event"] for document in documents} == EVENTS.keys()
    both = {d["event"] for d in documents if d["outcome"] == "refused"} & {
        d["event"] for d in documents if d["outcome"] == "accepted"
    }
    asked = {"exchange", "read-exchange", "upload", "burn", "introspection", "disclosure", "leak"}
    asked |= {"session", "session-file", "verification", "attestation"}
    assert both == {*asked, "apply"}


def test_an_upload_and_its_exchange_are_linked_by_the_tokens_hash() -> None:
    shelf = Shelf()
    shelf.publish(distributions.wheel())

    assert shelf.record.facts["token_hash"] == shelf.token.hash[:12]


def test_an_upload_with_an_operators_token_is_one_record_more() -> None:
    found = [(record.event, record.message) for record in operators_uploads()]

    assert [event for event, _ in found] == ["operators-token", "upload"]
    assert found[0][1] == (
        "operators-token accepted: acme/widgets: made by user olive, because: the CI is down"
    )


def test_one_request_is_one_record() -> None:
    assert [record.event for record in uploads()] == ["upload"] * 3
    assert [record.event for record in introspections()] == ["introspection"] * 6


MINT = "/acme/_/oidc/mint-token"


@pytest.mark.promise("recorded")
@pytest.mark.parametrize(
    ("method", "path", "event", "reason"),
    [
        ("GET", MINT, "exchange", "method-not-allowed"),
        ("PUT", "/acme/_/oidc/burn-token", "burn", "method-not-allowed"),
        ("GET", "/_/secrets/disclose-token", "disclosure", "method-not-allowed"),
        ("POST", "/acme/_/oidc/audience", "request", "method-not-allowed"),
        ("POST", "/acme/_/oidc/mint", "request", "not-found"),
        ("DELETE", "/x", "request", "not-found"),
        ("OPTIONS", "/x", "request", "not-found"),
        ("POST", "/nobody/_/oidc/mint-token", "exchange", "not-found"),
    ],
)
def test_a_request_that_reaches_no_endpoint_is_recorded(
    method: str, path: str, event: str, reason: str
) -> None:
    world = World()

    world.call(method, path)

    (record,) = world.records
    assert (record.event, record.outcome, record.reason) == (event, "refused", reason)
    assert record.facts["path"] == path


def test_a_request_whose_registry_the_store_cannot_tell_is_recorded() -> None:
    world = World()
    world.store.fail_next("load_configuration")

    assert world.mint(world.token()).status == 503

    (record,) = world.records
    assert (record.event, record.reason) == ("exchange", "store-unavailable")
    assert record.facts["path"] == MINT


@pytest.mark.parametrize("path", ["/acme/_/token/verify", "/nobody/_/token/verify/widgets"])
def test_a_question_that_is_asked_with_get_is_recorded_also_when_the_store_is_down(
    path: str,
) -> None:
    shelf = Shelf()
    shelf.ticks += 10
    shelf.store.fail_next("load_configuration")

    assert ask(shelf, "GET", path, {"authorization": shelf.basic()}) == 503

    assert (shelf.record.event, shelf.record.reason) == ("introspection", "store-unavailable")


def test_only_a_token_that_there_is_has_a_hash_in_the_record() -> None:
    world = World()
    identity = world.token()
    given = UploadToken.parse(world.mint(identity).json["token"])
    world.mint(identity)
    for token in ("garbage", given.reveal()):
        world.call("POST", "/acme/_/oidc/burn-token", {"token": token})

    exchanged, replayed, nothing, burned = (r.facts.get("token_hash") for r in world.records)
    assert (replayed, nothing) == (None, None)
    assert exchanged == burned == given.hash[:12]


def test_a_request_that_meets_a_mistake_of_ours_is_recorded() -> None:
    world = World()
    world.store.list_publishers = None  # type: ignore[assignment,method-assign]

    with pytest.raises(TypeError):
        world.mint(world.token())

    (record,) = world.records
    assert (record.event, record.outcome, record.reason) == (
        "exchange",
        "refused",
        "internal-error",
    )
    assert record.facts["issuer"] == world.issuer.url


@pytest.mark.parametrize("path", ["/acme/_/oidc/audience", "/acme/_/oidc/discover", "/x"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_leaves_no_record(method: str, path: str) -> None:
    world = World()

    world.call(method, path)

    assert not world.records


@pytest.mark.parametrize("path", ["/acme/_/oidc/audience", "/acme/_/oidc/discover", "/x"])
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_reading_that_we_fail_to_answer_leaves_a_record(method: str, path: str) -> None:
    world = World()
    world.store.fail_next("load_configuration")

    assert world.call(method, path).status == 503

    (record,) = world.records
    assert (record.event, record.reason) == ("request", "store-unavailable")
    assert record.facts["path"] == path


def test_a_record_says_which_call_to_the_store_failed_and_its_answer_does_not() -> None:
    world = World()
    cause = "Query: AccessDeniedException"

    def refuse() -> NoReturn:
        raise StoreUnavailable("the store did not answer", operator_detail=cause)

    world.store.load_configuration = refuse  # type: ignore[method-assign]
    world.start()

    answer = world.call("GET", "/acme/_/oidc/audience")

    (record,) = world.records
    assert record.facts["operator_detail"] == cause
    assert "AccessDenied" not in answer.body.decode()


# --- what is written ------------------------------------------------------------------------------


def hostile_record(detail: str = "see `\u202e`") -> AuditRecord:
    event = Upload(host="a\nb\x1b[2J", path="/", source_ip="192.0.2.1")
    event.filename = UploadToken.mint("0" * 32).reveal()
    return event.refused(InvalidToken(detail))


def test_no_event_has_a_fact_that_could_take_the_place_of_a_label() -> None:
    labels = hostile_record().labels.keys()

    for event in EVENTS.values():
        assert not (event["properties"].keys() - COMMON) & labels


def test_what_is_written_is_safe_to_show(capsys: pytest.CaptureFixture[str]) -> None:
    Edge("a log of its own").audit(hostile_record())
    log, _metric = map(json.loads, capsys.readouterr().out.splitlines())

    shown = log["audit"]
    assert (shown["event"], shown["outcome"], shown["reason"]) == (
        "upload",
        "refused",
        "invalid-token",
    )
    assert shown["host"] == "a\ufffdb\ufffd[2J"
    assert shown["filename"] == "[a token]"
    assert shown["detail"] == "see `\ufffd`"


def test_the_local_log_writes_the_same_record(capsys: pytest.CaptureFixture[str]) -> None:
    import sys

    Log(sys.stdout).audit(hostile_record())
    written = json.loads(capsys.readouterr().out)

    assert written.pop("time")
    assert written == {**hostile_record().document(), "message": hostile_record().message}


MALFORMED = (
    "the Authorization header does not hold one whole token: send a token as the password of the "
    "user __token__ (Basic), or as a Bearer token: an upload token to publish, a read token to "
    "install"
)


def test_the_message_says_what_happened_to_what_and_why() -> None:
    assert [record.message for record in uploads()] == [
        "upload accepted: widgets-1.0-py3-none-any.whl in acme",
        "upload accepted: widgets-1.0-py3-none-any.whl in acme",
        f"upload refused: unauthorized: acme: {MALFORMED}",
    ]


@pytest.mark.parametrize("sink", ["aws", "serve"])
def test_the_message_is_one_safe_line_of_bounded_length(
    sink: str, capsys: pytest.CaptureFixture[str]
) -> None:
    import sys

    token = UploadToken.mint("0" * 32).reveal()
    record = hostile_record(f"%s {{}} \n\u2028 {token} " + "long " * 2000)
    audit = Edge("another log").audit if sink == "aws" else Log(sys.stdout).audit
    audit(record)
    line = capsys.readouterr().out.splitlines()[0]

    message = json.loads(line)["message"]
    assert message == record.message
    assert message.startswith("upload refused: invalid-token: [a token]: %s {} \ufffd\ufffd [a tok")
    assert len(message) <= MAX_MESSAGE_CHARACTERS + 1
    assert message.isprintable()
    assert token not in line


# --- labels ---------------------------------------------------------------------------------------


def all_problems(kind: type[Problem] = Problem) -> Iterator[type[Problem]]:
    for child in kind.__subclasses__():
        yield child
        yield from all_problems(child)


def dimensions(output: str) -> set[tuple[str, str, str]]:
    found = set()
    for line in map(json.loads, output.splitlines()):
        if "AuditRecords" in line:
            (metric,) = line["_aws"]["CloudWatchMetrics"]
            assert sorted(metric["Dimensions"][0]) == ["event", "outcome", "reason"]
            found.add((line["event"], line["outcome"], line["reason"]))
    return found


TEXTS = st.text(max_size=40)
HEADERS = st.dictionaries(st.sampled_from(["host", "user-agent", "authorization"]), TEXTS)
BODIES = st.one_of(
    st.binary(max_size=60),
    st.builds(lambda token, more: {"token": token, **more}, TEXTS, st.dictionaries(TEXTS, TEXTS)),
)


@pytest.mark.promise("bounded-metrics")
@settings(max_examples=30)
@given(st.lists(st.tuples(TEXTS, HEADERS, BODIES, TEXTS), min_size=1, max_size=5))
def test_labels_are_bounded_whatever_the_caller_sends(
    capsys: pytest.CaptureFixture[str], calls: list[tuple[str, Any, Any, str]]
) -> None:
    world = World()
    world.broker = replace(world.broker, audit=Edge("broker").audit)
    for host, headers, body, claim in calls:
        for path in ("/acme/_/oidc/mint-token", "/_/oidc/burn-token", "/_/secrets/disclose-token"):
            world.call("POST", path, body, host=host, headers=headers)
        world.mint(world.token(repository=claim or "x", iss=claim or "x", jti=claim or "x"))
        world.mint(world.token(repository=claim or "x", environment=claim or "x"))

    for event, outcome, reason in dimensions(capsys.readouterr().out):
        assert event in EVENTS
        assert outcome in {"accepted", "refused"}
        assert reason in (REASONS - {""}) | {"none"}


def test_the_reasons_are_the_codes_and_a_few_narrower_ones() -> None:
    codes = {problem.code for problem in all_problems()}

    assert len(REASONS - codes) <= 13
    # Operators' records count in no metric.
    operations = {
        *("apply", "configuration", "reopen", "yank", "project-status", "file-deletion"),
        *("import", "token-creation", "receipt-key"),
        *("identity-tokens", "restoration"),
    }
    # A verification succeeds, or fails for the file, for the session or for the store.
    # Attestations are verified, unverified or refused, or the store fails. The others are only
    # found.
    fewer = {"verification": 4, "timestamp": 1, "provenance": 1, "operators-token": 1}
    fewer["attestation"] = 4
    alone = {"no-timestamp", "attestations-unverified", "attestations-refused"}  # reasons of these
    # A record of a success has no reason, so each event has one set of labels for each reason.
    asked = EVENTS.keys() - operations - fewer.keys()
    assert len(asked) * len(REASONS - alone) + sum(fewer.values()) <= 410
