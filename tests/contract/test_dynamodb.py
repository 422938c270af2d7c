"""What only the DynamoDB store promises: few calls, crashes that can be resumed, its layout."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from pytp_broker.aws.dynamodb import applying
from pytp_broker.aws.dynamodb.catalogue import make_runs
from pytp_broker.aws.dynamodb.listed import INDEX
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.dynamodb.table import attributes
from pytp_broker.errors import StoreUnavailable
from pytp_broker.oidc.keysets import COOLDOWN
from pytp_broker.registries import Configuration
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.protocols import WHOLE_REGISTRY, Store
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.trust.publishers import TrustedPublisher
from tests.support.calls import CALLS, EVERY_CALL
from tests.support.emulator import create_table, make_client
from tests.support.samples import (
    ACME,
    ISSUER,
    NOW,
    OTHER,
    Table,
    configuration,
    file,
    for_repository,
    publisher,
    receipt_key,
    record,
    release,
    session,
    tombstone,
    without_permissions,
)

WRITES = ("put_item", "update_item", "delete_item", "batch_write_item")
OWNER = {"repository_owner_id": "9919"}


class CrashError(Exception):
    """The process ends here."""


class Watched:
    """A client that calls ``before`` and ``after`` with the number of each write, and its request.

    It watches writes only, and changes nothing else about the client.
    """

    def __init__(
        self,
        client: Any,
        before: Callable[[int], None] = lambda _: None,
        after: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._client = client
        self._before = before
        self._after = after
        self.writes: list[tuple[str, dict[str, Any]]] = []

    def __getattr__(self, name: str) -> Any:
        operation = getattr(self._client, name)
        return self._watched(name, operation) if name in WRITES else operation

    def _watched(self, name: str, operation: Any) -> Any:
        def call(**request: Any) -> Any:
            number = len(self.writes)
            self.writes.append((name, request))
            self._before(number)
            answer = operation(**request)
            self._after(number)
            return answer

        return call


def crash_at(number: int) -> Callable[[int], None]:
    def check(write: int) -> None:
        if write == number:
            raise CrashError

    return check


def leave_a_run(table: Table, *keys: tuple[str, str]) -> None:
    """Store what an `apply` that dies stores before it writes the rows with these keys."""
    (run,) = make_runs("dead", 0, "Dana", (int(time.time()),) * 2, keys)
    table.client.put_item(TableName=table.name, Item=attributes(**run.item()))


def watch(table: Table, **hooks: Callable[[int], None]) -> Any:
    return Watched(table.client, **hooks)


@pytest.fixture
def dynamo(table: Table) -> DynamoStore:
    return DynamoStore(table.client, table.name)


@pytest.fixture
def calls(table: Table) -> list[str]:
    """Return the list in which the name of every call is noted."""
    noted: list[str] = []

    def note(model: Any, **_: Any) -> None:
        noted.append(model.name)

    table.client.meta.events.register("before-call.dynamodb.*", note)
    return noted


# Round trips

# The configuration and the catalogue; the publishers, and who trusts them.
SETUP = ["Query", "Query", "BatchGetItem", "BatchGetItem"]
# The index of tokens and sessions, at each digit.
LISTING = ["Query"] * 16
# A change of a project's files begins and ends with the marks of its listing.
MARKS = "UpdateItem"


def withdrawing(write: str) -> list[str]:
    """Return the calls of a change after which the listing is made anew from the rows."""
    return [MARKS, write, *("BatchGetItem", "Query", "Query", "PutItem"), MARKS]


@pytest.mark.parametrize(
    ("call", "expected"),
    [
        (lambda s: s.list_publishers(publisher().identity_key), ["Query"]),
        (lambda s: s.pin_publisher(publisher(), OWNER), ["UpdateItem"]),
        (lambda s: s.add_token(record(lookup_id="f" * 32)), ["PutItem"]),
        (lambda s: s.find_token(record().lookup_id, ("acme", "widgets")), ["BatchGetItem"]),
        (lambda s: s.find_token("f" * 32, ("acme", "widgets")), ["BatchGetItem"]),
        (lambda s: s.find_token(record().lookup_id, None), ["BatchGetItem"]),
        (lambda s: s.find_token(record().lookup_id, ("acme", WHOLE_REGISTRY)), ["BatchGetItem"]),
        (lambda s: s.burn_token(record().lookup_id, "hash", None, NOW), ["UpdateItem"]),
        (lambda s: s.load_configuration(), ["Query"]),
        (lambda s: s.find_key_set(ISSUER.url), ["GetItem"]),
        (lambda s: s.claim_key_set_refresh(ISSUER.url, NOW, COOLDOWN), ["PutItem"]),
        (lambda s: s.find_entry("acme", "widgets", "widgets-1.0.tar.gz"), ["BatchGetItem"]),
        (lambda s: s.list_files("acme", "widgets"), ["Query"]),
        (lambda s: s.list_projects("acme"), ["Query"]),
        (lambda s: s.find_release("acme", "widgets", "1"), ["BatchGetItem"]),
        (lambda s: s.save_release(release(), None), ["PutItem"]),
        (lambda s: s.reopen_release("acme", "widgets", "1", NOW), ["PutItem"]),
        (lambda s: s.yank_release("acme", "widgets", "1", "breaks"), withdrawing("PutItem")),
        (lambda s: s.yank_release("acme", "widgets", "1", None), withdrawing("DeleteItem")),
        (lambda s: s.list_withdrawn("acme", "widgets"), ["Query"]),
        (
            lambda s: s.delete_file("acme", "widgets", "x", tombstone()),
            withdrawing("PutItem"),
        ),
        (lambda s: s.find_files("acme", "widgets"), ["BatchGetItem"]),
        (lambda s: s.find_edition("acme", "widgets"), ["GetItem"]),
        (lambda s: s.set_status("acme", "widgets", ProjectStatus("archived")), [MARKS, "PutItem"]),
        (lambda s: s.set_status("acme", "widgets", ACTIVE), [MARKS, "DeleteItem"]),
        (lambda s: s.find_status("acme", "widgets"), ["GetItem"]),
        (
            lambda s: s.add_file(file("widgets-2.0.tar.gz")),
            [MARKS, "PutItem", "PutItem", *("BatchGetItem", "BatchGetItem", "PutItem"), MARKS],
        ),
        (lambda s: s.load_setup(), SETUP),
        (lambda s: s.apply(configuration(), [publisher()]), ["Query"] * 3),
        (lambda s: list(s.survey("acme")), [*SETUP, "Query", "BatchGetItem", "Query", "Query"]),
        (lambda s: s.list_tokens(NOW), ["Query", *LISTING, "BatchGetItem"]),
        (lambda s: s.list_sessions(NOW), ["Query", *LISTING]),
    ],
)
def test_a_call_is_as_few_round_trips_as_it_says(
    dynamo: DynamoStore, calls: list[str], call: Callable[[Store], Any], expected: list[str]
) -> None:
    dynamo.apply(configuration(), [publisher()])
    dynamo.add_token(record())
    dynamo.add_file(file())
    calls.clear()

    call(dynamo)

    assert calls == expected


def test_every_read_but_that_of_the_index_is_strongly_consistent(
    dynamo: DynamoStore, table: Table
) -> None:
    reads: set[tuple[str, bool]] = set()

    def note(params: dict[str, Any], model: Any, **_: Any) -> None:
        if model.name == "BatchGetItem":
            (params,) = params["RequestItems"].values()
        if model.name in {"Query", "GetItem", "Scan", "BatchGetItem"}:
            kind = params.get("IndexName", model.name)
            reads.add((kind, params.get("ConsistentRead", False)))

    table.client.meta.events.register("provide-client-params.dynamodb.*", note)
    for call in CALLS.values():
        call(dynamo)

    assert reads == {("Query", True), ("GetItem", True), ("BatchGetItem", True), (INDEX, False)}


def test_a_mint_is_one_write_though_it_is_listed(dynamo: DynamoStore, calls: list[str]) -> None:
    dynamo.add_token(record())
    assert calls == ["PutItem"]

    assert dynamo.list_tokens(NOW) == [record()]


# Failure


@pytest.mark.parametrize("call", EVERY_CALL)
def test_a_refusal_by_dynamodb_is_unavailable_and_says_nothing_of_the_table(
    table: Table, call: Callable[[Store], Any]
) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        call(DynamoStore(table.client, "no-such-table"))

    assert "no-such-table" not in refused.value.detail + refused.value.operator_detail
    assert refused.value.operator_detail.endswith(": ResourceNotFoundException")


@pytest.mark.parametrize("call", EVERY_CALL)
def test_no_connection_is_unavailable(call: Callable[[Store], Any]) -> None:
    def fail(**_: Any) -> None:
        raise EndpointConnectionError(endpoint_url="https://dynamodb.example.com")

    client = make_client("dynamodb")
    client.meta.events.register("before-call.dynamodb.*", fail)

    with pytest.raises(StoreUnavailable) as refused:
        call(DynamoStore(client, "table"))

    assert refused.value.detail == "the store did not answer"
    assert refused.value.operator_detail.endswith(": EndpointConnectionError")
    client.close()


def test_half_an_answer_is_no_answer(dynamo: DynamoStore, table: Table) -> None:
    dynamo.add_token(record())
    key = {"pk": {"S": "TRUST#acme#widgets"}, "sk": {"S": "TRUST"}}
    token = next(item for item in table.dump() if item["sk"]["S"] == "TOKEN")
    answer = {
        "Responses": {table.name: [token]},
        "UnprocessedKeys": {table.name: {"Keys": [key]}},
    }
    table.client.meta.events.register(
        "before-call.dynamodb.BatchGetItem", lambda **_: (SimpleNamespace(status_code=200), answer)
    )

    with pytest.raises(StoreUnavailable):
        dynamo.find_token(record().lookup_id, ("acme", "widgets"))


def test_a_token_that_was_stored_without_permissions_may_upload(
    dynamo: DynamoStore, table: Table
) -> None:
    dynamo.add_token(record())
    table.client.update_item(
        TableName=table.name,
        Key={"pk": {"S": f"TOKEN#{record().lookup_id}"}, "sk": {"S": "TOKEN"}},
        UpdateExpression="SET document = :document",
        ExpressionAttributeValues={":document": {"S": without_permissions(record())}},
    )

    assert dynamo.find_token(record().lookup_id, None) == (record(), {})


@pytest.mark.parametrize(
    ("operation", "call"),
    [
        ("PutItem", lambda s: s.add_token(record(lookup_id="f" * 32))),
        ("PutItem", lambda s: s.add_file(file())),
        ("PutItem", lambda s: s.save_release(release(), None)),
        ("UpdateItem", lambda s: s.pin_publisher(publisher(), OWNER)),
        ("UpdateItem", lambda s: s.apply(configuration(), [publisher(projects=("gizmos",))])),
        ("DeleteItem", lambda s: s.apply(configuration(), [])),
    ],
)
def test_a_write_that_is_sent_twice_recognises_itself(
    dynamo: DynamoStore, table: Table, operation: str, call: Callable[[Store], Any]
) -> None:
    """The connection breaks after DynamoDB has written: boto3 sends the request again."""
    dynamo.apply(configuration(), [publisher()])
    resent: list[str] = []

    def resend(attempts: int, **_: Any) -> int | None:
        resent.append(operation)
        return 0 if attempts == 1 else None

    table.client.meta.events.register_first(f"needs-retry.dynamodb.{operation}", resend)

    call(dynamo)

    assert len(resent) >= 2


def test_of_a_publisher_that_is_trusted_twice_the_later_generation_counts(
    dynamo: DynamoStore, table: Table
) -> None:
    """Two `apply` commands at the same time may leave this; the next one repairs it."""
    dynamo.apply(configuration(), [publisher()])
    leave_a_run(table, ("TRUST#acme#widgets", "TRUST"))
    table.client.update_item(
        TableName=table.name,
        Key={"pk": {"S": "TRUST#acme#widgets"}, "sk": {"S": "TRUST"}},
        UpdateExpression="ADD publisher_ids :ids",
        ExpressionAttributeValues={":ids": {"SS": ["id-1@2", "id-1@1"]}},
    )
    assert dynamo.list_trust([("acme", "widgets")]) == {("acme", "widgets"): {"id-1": 2}}

    dynamo.apply(configuration(), [publisher()])

    (row,) = [item for item in table.dump() if item["pk"]["S"] == "TRUST#acme#widgets"]
    assert row["publisher_ids"] == {"SS": ["id-1@2"]}


def test_a_page_that_another_publisher_left_is_not_read(dynamo: DynamoStore, table: Table) -> None:
    """An apply was interrupted between a publisher's own row and its pages."""
    dynamo.apply(configuration(), [publisher()])
    (row,) = [item for item in table.dump() if item["pk"]["S"].startswith("PUBLISHER#")]
    page = {
        "pk": row["pk"],
        "sk": {"S": f"{row['sk']['S']}#0001"},
        "publisher_id": {"S": "id-0"},
        "projects": {"S": '["gadgets"]'},
    }
    leave_a_run(table, (page["pk"]["S"], page["sk"]["S"]))
    table.client.put_item(TableName=table.name, Item=page)

    (found,) = dynamo.list_publishers(publisher().identity_key)
    assert found.projects == ("widgets",)

    dynamo.apply(configuration(), [publisher()])
    assert page not in table.dump()


def test_a_claim_that_is_sent_twice_is_granted(dynamo: DynamoStore, table: Table) -> None:
    table.client.meta.events.register_first(
        "needs-retry.dynamodb.PutItem", lambda attempts, **_: 0 if attempts == 1 else None
    )

    assert dynamo.claim_key_set_refresh(ISSUER.url, NOW, COOLDOWN)


# Sizes


def too_many_clients() -> tuple[Configuration, list[TrustedPublisher]]:
    clients = {f"client-{number:050}": "0" * 64 for number in range(4000)}
    return configuration(replace(ACME, introspection_clients=clients)), []


def too_many_rules() -> tuple[Configuration, list[TrustedPublisher]]:
    claims = {f"claim-{number}": "x" * 250 for number in range(2000)}
    return configuration(), [publisher(claims=claims)]


def too_many_trusted() -> tuple[Configuration, list[TrustedPublisher]]:
    return configuration(), [
        for_repository(f"octo-org/{number}", f"id-of-{number:026}", projects=("widgets",))
        for number in range(13_000)
    ]


def too_many_publishers() -> tuple[Configuration, list[TrustedPublisher]]:
    return configuration(), [
        publisher(f"id-{number}", projects=(f"project-{number}",), claims={"actor": str(number)})
        for number in range(13_000)
    ]


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        (too_many_clients, "the configuration of `REGISTRY#acme`"),
        (too_many_rules, "a publisher of the registry `acme`"),
        (too_many_trusted, "`acme` trusts"),
        (too_many_publishers, "a token"),
    ],
)
def test_what_does_not_fit_into_an_item_is_refused_before_anything_is_written(
    table: Table, wanted: Callable[[], tuple[Configuration, list[TrustedPublisher]]], words: str
) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        DynamoStore(table.client, table.name).apply(*wanted())

    assert words in refused.value.detail
    assert refused.value.detail.endswith("nothing was changed")
    assert table.dump() == []


# Applying, interrupted

BEFORE = (
    configuration(ACME, OTHER),
    [
        publisher("id-1", projects=("widgets", "gadgets")),
        for_repository("octo-org/removed", "id-2"),
        for_repository("octo-org/kept", "id-3"),
    ],
)
AFTER = (
    configuration(
        replace(ACME, enabled=False),
        replace(OTHER, name="new"),
        issuers={ISSUER.url: replace(ISSUER, algorithms=("ES256",))},
        enabled=False,
    ),
    [
        publisher("id-11", projects=("gadgets", "gizmos")),
        for_repository("octo-org/kept", "id-13"),
        for_repository("octo-org/added", "id-14"),
    ],
)
EVERYONE = [*BEFORE[1], *AFTER[1]]
WRITES_OF_AFTER = 17


def rights(store: Store, publishers: Iterable[TrustedPublisher] = EVERYONE) -> set[tuple[Any, ...]]:
    """Return who may upload what: publishers by their rules, with the projects that trust them."""
    listed = {
        p.rules_hash: p for key in publishers for p in store.list_publishers(key.identity_key)
    }
    store.add_token(record())
    found = set()
    for project in ("widgets", "gadgets", "gizmos", WHOLE_REGISTRY):
        token = store.find_token(record().lookup_id, ("acme", project))
        assert token is not None
        names = {p.publisher_id: p.fields["repository"] for p in listed.values()}
        found |= {(names.get(i), project) for i in token[1]}
        trusting = (p for p in listed.values() if project in (*p.projects, WHOLE_REGISTRY))
        assert {p.publisher_id for p in trusting} == set(token[1])
    return found


RIGHTS_BEFORE = {
    ("octo-org/widgets", "widgets"),
    ("octo-org/widgets", "gadgets"),
    ("octo-org/removed", "widgets"),
    ("octo-org/kept", "widgets"),
    ("octo-org/widgets", WHOLE_REGISTRY),
    ("octo-org/removed", WHOLE_REGISTRY),
    ("octo-org/kept", WHOLE_REGISTRY),
}
RIGHTS_AFTER = {
    ("octo-org/widgets", "gadgets"),
    ("octo-org/widgets", "gizmos"),
    ("octo-org/kept", "widgets"),
    ("octo-org/added", "widgets"),
    ("octo-org/widgets", WHOLE_REGISTRY),
    ("octo-org/kept", WHOLE_REGISTRY),
    ("octo-org/added", WHOLE_REGISTRY),
}


def test_what_is_applied_uninterrupted(dynamo: DynamoStore, table: Table) -> None:
    """The clean case that the interrupted ones are compared with."""
    dynamo.apply(*BEFORE)
    assert rights(dynamo) == RIGHTS_BEFORE
    client = watch(table)

    DynamoStore(client, table.name).apply(*AFTER)

    assert len(client.writes) == WRITES_OF_AFTER
    assert rights(dynamo) == RIGHTS_AFTER
    assert dynamo.load_configuration() == with_built_in(AFTER[0])


@pytest.mark.parametrize("applied", [False, True], ids=["before it", "after it"])
@pytest.mark.parametrize("number", range(WRITES_OF_AFTER))
def test_an_apply_that_crashed_at_a_write_is_resumed(
    dynamo: DynamoStore, table: Table, number: int, applied: bool
) -> None:
    dynamo.apply(*BEFORE)
    dynamo.pin_publisher(BEFORE[1][0], OWNER)
    crash = {"after" if applied else "before": crash_at(number)}
    with pytest.raises(CrashError):
        DynamoStore(watch(table, **crash), table.name).apply(*AFTER)
    main, publishers = AFTER
    resumed = [replace(p, publisher_id=f"resumed {p.publisher_id}") for p in publishers]

    dynamo.apply(main, resumed)

    assert dynamo.load_configuration() == with_built_in(main)
    assert rights(dynamo) == RIGHTS_AFTER
    (pinned,) = dynamo.list_publishers(publisher().identity_key)
    assert (pinned.publisher_id, pinned.pins) == ("id-1", OWNER)
    assert dynamo.apply(main, resumed).lines == ()


# The last two writes, the entries of the catalogue and the end of the run, change no right.
@pytest.mark.parametrize("number", range(WRITES_OF_AFTER - 2))
def test_an_interrupted_apply_says_on_resuming_what_is_still_changed(
    dynamo: DynamoStore, table: Table, number: int
) -> None:
    dynamo.apply(*BEFORE)
    with pytest.raises(CrashError):
        DynamoStore(watch(table, before=crash_at(number)), table.name).apply(*AFTER)

    assert dynamo.apply(*AFTER).lines != ()


def test_rights_are_taken_away_before_new_ones_are_given(dynamo: DynamoStore, table: Table) -> None:
    dynamo.apply(*BEFORE)
    seen: list[set[tuple[str, str]]] = []

    def look(_: int) -> None:
        names = {p.publisher_id: p.fields["repository"] for p in EVERYONE}
        seen.append(
            {
                (str(names[trusted.partition("@")[0]]), item["pk"]["S"].rpartition("#")[2])
                for item in table.dump()
                if item["sk"]["S"] == "TRUST"
                for trusted in item.get("publisher_ids", {"SS": []})["SS"]
            }
        )

    DynamoStore(watch(table, after=look), table.name).apply(*AFTER)

    gone, new = RIGHTS_BEFORE - RIGHTS_AFTER, RIGHTS_AFTER - RIGHTS_BEFORE
    assert not [rights for rights in seen if rights & gone and rights & new]
    assert all(rights >= RIGHTS_BEFORE & RIGHTS_AFTER for rights in seen)


def test_trusted_publishing_is_switched_off_first_and_on_last(
    dynamo: DynamoStore, table: Table
) -> None:
    dynamo.apply(*BEFORE)
    client = watch(table)
    store = DynamoStore(client, table.name)

    store.apply(*AFTER)
    store.apply(*BEFORE)

    sort_keys = [request.get("Item", {}).get("sk", {}).get("S", "") for _, request in client.writes]
    written = [sk for sk in sort_keys if not sk.startswith("RUN#")]
    assert written[0] == "MAIN"
    # The catalogue, and the end of the run, give and take nothing.
    assert [sk for sk in written if sk][-1] == "MAIN"


# Before the last write, the end of its run, the apply has seen that all is as it wants it.
@pytest.mark.parametrize("number", range(WRITES_OF_AFTER - 1))
def test_an_apply_within_another_leaves_what_the_last_one_wanted(
    dynamo: DynamoStore, table: Table, number: int
) -> None:
    between: tuple[Configuration, list[TrustedPublisher]] = (
        configuration(OTHER),
        [
            publisher("id-21", projects=("widgets",)),
            for_repository("octo-org/added", "id-24", projects=("gizmos",)),
        ],
    )
    dynamo.apply(*BEFORE)

    def intrude(write: int) -> None:
        if write == number:
            dynamo.apply(*between)

    DynamoStore(watch(table, before=intrude), table.name).apply(*AFTER)

    assert dynamo.load_configuration() == with_built_in(AFTER[0])
    assert rights(dynamo) == RIGHTS_AFTER


def test_an_apply_removes_nothing_of_another_that_was_not_approved(
    dynamo: DynamoStore, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(applying, "_back_off", lambda _: None)

    def intrude(write: int) -> None:
        if write == 0:
            dynamo.apply(configuration(ACME, OTHER), [])

    store = DynamoStore(watch(table, before=intrude), table.name)

    with pytest.raises(StoreUnavailable, match="another `apply`"):
        store.apply(configuration(ACME), [], lambda plan: not plan.losses)

    assert OTHER.name in dynamo.load_configuration().registries


def test_an_apply_that_is_disturbed_for_ever_says_so(
    dynamo: DynamoStore, table: Table, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(applying, "_back_off", waited.append)
    monkeypatch.setattr(applying, "MAX_APPLY_ROUNDS", 3)

    def intrude(_: int) -> None:
        dynamo.apply(*BEFORE)

    with pytest.raises(StoreUnavailable, match="another `apply`"):
        DynamoStore(watch(table, after=intrude), table.name).apply(*AFTER)

    assert len(waited) == 3


# Layout


def test_trust_without_a_publisher_is_swept_up_by_the_next_apply(
    dynamo: DynamoStore, table: Table
) -> None:
    dynamo.apply(*BEFORE)
    leave_a_run(table, ("TRUST#acme#widgets", "TRUST"))
    dynamo._trust(("acme", "widgets"), {"id of nobody"})

    dynamo.apply(*BEFORE)

    assert rights(dynamo) == RIGHTS_BEFORE


def test_a_row_without_a_document_is_no_publisher(dynamo: DynamoStore, table: Table) -> None:
    mine = publisher()
    row = {
        "pk": {"S": f"PUBLISHER#{mine.identity_key}"},
        "sk": {"S": f"acme#{mine.rules_hash}"},
        "pins": {"M": {}},
    }
    table.client.put_item(TableName=table.name, Item=row)
    assert list(dynamo.list_publishers(mine.identity_key)) == []
    assert dynamo.pin_publisher(mine, OWNER) is None

    dynamo.apply(configuration(), [mine])

    assert list(dynamo.list_publishers(mine.identity_key)) == [mine]


def test_the_layout_is_the_documented_one(dynamo: DynamoStore, table: Table) -> None:
    for call in CALLS.values():
        call(dynamo)
    dynamo.apply(configuration(enabled=False), [publisher()])

    layout = {(i["pk"]["S"], i["sk"]["S"]): sorted(i.keys() - {"pk", "sk"}) for i in table.dump()}

    mine = publisher()
    (operator_row,) = [key for key in layout if key[0] == "OPERATOR"]
    assert layout.pop(operator_row) == ["document", "format"]
    assert layout == {
        ("CONFIGURATION", "MAIN"): ["document"],
        **{("CONFIGURATION", f"ISSUER#{url}"): ["document"] for url in configuration().issuers},
        ("CONFIGURATION", "REGISTRY#acme"): ["document"],
        ("CONFIGURATION", "REGISTRY#other"): ["document"],
        ("CONFIGURATION", "IDENTITYTOKENS"): ["document", "refused_before"],
        (f"PUBLISHER#{mine.identity_key}", f"acme#{mine.rules_hash}"): [
            "document",
            "pins",
            "publisher_id",
        ],
        ("TRUST#acme#widgets", "TRUST"): ["publisher_ids"],
        ("TRUST#acme#", "TRUST"): ["publisher_ids"],
        ("TRUST#", "TRUST"): [],
        ("APPLIED", f"PUBLISHER#acme#{mine.rules_hash}"): ["document", "pages", "projects_hash"],
        ("PROJECT#acme#widgets", "FILE#widgets-1.0.tar.gz"): ["attestation_state", "document"],
        ("PROJECT#acme#widgets", "RELEASE#1"): ["document"],
        ("REOPENED#acme#widgets", "REOPENED#1"): ["ttl", "until"],
        ("YANKED#acme#widgets", "YANKED#1"): ["reason"],
        ("YANKED#acme#widgets", "DELETED#x.whl"): ["deleted_at", "deleted_by", "reason"],
        ("STATUS#acme#widgets", "STATUS"): ["reason", "status"],
        ("REGISTRY#acme", "PROJECT#widgets"): [],
        (f"SESSION#{session().token}", "SESSION"): [
            "document",
            "expires_at",
            "listed",
            "revision",
            "status",
            "ttl",
        ],
        ("LIVE#acme#widgets", "VERSION#1"): ["session_token", "ttl"],
        (f"TOKEN#{record().lookup_id}", "TOKEN"): [
            "document",
            "listed",
            "registries",
            "token_hash",
            "ttl",
        ],
        ("LISTING#acme#widgets", "MARKS"): ["floor", "has_status", "settled"],
        ("LISTING#acme#widgets", "CONTENT"): ["content", "revision"],
        (f"KEYSET#{ISSUER.url}", "KEYSET"): ["document"],
        (f"KEYSET#{ISSUER.url}", "REFRESH"): ["claimed_at", "claimed_by"],
        ("RECEIPTKEYS", f"KEY#{receipt_key().key_id}"): ["document"],
    }


def test_a_token_row_ends_by_its_time_to_live(dynamo: DynamoStore, table: Table) -> None:
    dynamo.add_token(record())

    (row,) = table.dump()

    assert row["ttl"] == {"N": str(int(record().kept_until.timestamp()))}


def test_configurations_of_many_pages_are_loaded_whole(table: Table) -> None:
    name = create_table(table.client)
    many = configuration(*(replace(OTHER, name=f"r-{n}", hosts=("h" * 30_000,)) for n in range(40)))
    store = DynamoStore(table.client, name)

    store.apply(many, [])

    assert store.load_configuration() == with_built_in(many)
    assert store.apply(many, []).lines == ()


# Keys of receipts


@pytest.mark.parametrize(("theirs", "is_stored"), [("the same", True), ("another", False)])
def test_a_key_that_another_writer_has_stored_meanwhile_is_not_replaced(
    table: Table, theirs: str, is_stored: bool
) -> None:
    mine = receipt_key()
    stored = mine if theirs == "the same" else mine.ended(NOW)
    other = DynamoStore(table.client, table.name)

    def overtake(_: int) -> None:
        other.save_receipt_key(stored, None)

    slow = watch(table, before=overtake)

    assert DynamoStore(slow, table.name).save_receipt_key(mine, None) is is_stored

    assert list(other.list_receipt_keys()) == [stored]
