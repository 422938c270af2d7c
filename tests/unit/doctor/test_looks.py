"""What single checks say of what they see: faults that no running broker shows."""

import shutil
from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest
import trustme

from pytp_broker.doctor import exchanges, folder, inside, outside, passage, routes, shipped
from pytp_broker.doctor.cloud import Cloud
from pytp_broker.doctor.findings import Finding, NotCheckedError, Outcome
from pytp_broker.doctor.visit import Visit
from pytp_broker.doctor.web import BadUrlError, Line, NoAnswerError, Seen, Web
from pytp_broker.errors import StoreUnavailable
from pytp_broker.local.routes import TemplateError
from pytp_broker.oidc.documents import FetchError
from pytp_broker.provenance.receipt_keys import ReceiptKey
from pytp_broker.registries import Configuration, Registry
from pytp_broker.storage.data_folder import DATABASE
from pytp_broker.storage.plan import Setup
from pytp_broker.storage.sqlite import SqliteStore
from tests.support import samples
from tests.support.fakes import MemoryStore

NOW = datetime.now(UTC)
HOST = "packages.example.com"


def seen(status: int, document: str = "{}", **headers: str) -> Seen:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return Seen(status, names, document.encode(), NOW, NOW)


@dataclass(frozen=True)
class Scripted(Web):
    """A host that gives these answers, by method and path; anything else is an error."""

    answers: Mapping[str, Seen] = field(default_factory=dict)
    default: Seen | None = None

    @contextmanager
    def line(self) -> Iterator[Line]:
        yield cast("Line", self)

    def ask(self, method: str, path: str, *_: object, **__: object) -> Seen:
        found = self.answers.get(f"{method} {path}", self.default)
        if found is None:
            raise NoAnswerError(f"{method} {path}")
        return found


def host(answers: Mapping[str, Seen] | None = None, **changes: Any) -> Scripted:
    return Scripted("https", HOST, answers=answers or {}, **changes)


def only(findings: Any) -> Finding:
    (finding,) = findings
    return cast("Finding", finding)


def setup(*registries: Registry) -> Setup:
    return Setup(Configuration(registries={each.name: each for each in registries}), {})


# --- the web --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "name"),
    [
        (seen(200, '{"audience": "x"}'), "plain-http"),
        (seen(301, location="https://packages.example.com/"), ""),
        (seen(404), ""),
    ],
)
def test_a_broker_on_port_80_is_a_warning(answer: Seen, name: str) -> None:
    found = outside.plain_http(host({"GET /_/oidc/audience": answer}))

    assert found.name == name


def test_nobody_at_port_80_is_well() -> None:
    assert outside.plain_http(host()).outcome is Outcome.OK


def test_an_answer_without_a_date_tells_no_time() -> None:
    at = Visit(web=host({"GET /_/health": seen(200)}))

    with pytest.raises(NotCheckedError, match="no Date"):
        only(outside.look_at_clock(at))


def test_a_date_without_a_zone_is_universal_time() -> None:
    text = f"{NOW:%a, %d %b %Y %H:%M:%S} -0000"
    at = Visit(web=host({"GET /_/health": seen(200, date=text)}))

    assert only(outside.look_at_clock(at)).outcome is Outcome.OK


def test_an_audience_that_may_be_meant_is_a_warning() -> None:
    at = Visit(web=host({"GET /_/oidc/audience": seen(200, '{"audience": "acme"}')}))

    found = only(exchanges.look_at_audiences(at))

    assert found.name == "audience-strange"
    assert found.outcome is Outcome.WARNING


def test_a_registry_on_a_host_of_its_own_is_asked_at_the_root() -> None:
    own = Registry("acme", (), audience="acme", hosts=(HOST,))
    answers = {"GET /_/oidc/audience": seen(200, '{"audience": "acme"}')}
    at = Visit(web=host(answers), setup=setup(own, Registry("other", ())))

    assert [seat.prefix for seat in at.seats] == [""]
    assert only(exchanges.look_at_audiences(at)).outcome is Outcome.OK


def test_a_token_that_a_refused_mint_has_left_is_found() -> None:
    class Writing(MemoryStore):
        def find_token(self, lookup_id: str, place: Any) -> Any:
            return samples.record(), ()

    refusal = '{"message": "m", "detail": "d", "errors": [{"code": "invalid-payload"}]}'
    answer = seen(422, refusal, content_type="application/problem+json")
    at = Visit(web=host(default=answer), store=Writing())

    assert only(exchanges.look_at_mints(at)).name == "mint-wrote"


def test_a_store_that_does_not_answer_leaves_the_mint_open() -> None:
    class Down(MemoryStore):
        def find_token(self, lookup_id: str, place: Any) -> Any:
            raise StoreUnavailable("down")

    refusal = '{"message": "m", "detail": "d", "errors": [{"code": "invalid-payload"}]}'
    answer = seen(422, refusal, content_type="application/problem+json")
    at = Visit(web=host(default=answer), store=Down())

    with pytest.raises(NotCheckedError, match="whether it wrote is unknown: down"):
        only(exchanges.look_at_mints(at))


@pytest.mark.parametrize(
    "look",
    [exchanges.look_at_mints, routes.look_at_root_routes],
    ids=["mints", "routes"],
)
def test_a_throttled_check_can_be_made_later(look: Callable[[Visit], Any]) -> None:
    with pytest.raises(NotCheckedError, match="try again in a minute"):
        [*look(Visit(web=host(default=seen(429))))]


@pytest.mark.parametrize(
    "look",
    [
        exchanges.look_at_discovery,
        passage.look_at_questions,
        passage.look_at_credentials,
        passage.look_at_strangers,
        passage.look_at_bodies,
        routes.look_at_prefixed_routes,
    ],
    ids=lambda look: look.__name__,
)
def test_without_a_registry_some_checks_cannot_be_made(look: Callable[[Visit], Any]) -> None:
    with pytest.raises(NotCheckedError, match="--url"):
        [*look(Visit(web=host()))]


def acme(**changes: Any) -> Visit:
    return Visit(web=replace(host(**changes), prefix="/acme"))


def test_a_page_that_fails_says_nothing_of_strangers() -> None:
    with pytest.raises(NotCheckedError, match="answered 500"):
        only(passage.look_at_strangers(acme(default=seen(500))))


def test_an_open_registry_is_told_where_nothing_is_known_of_it() -> None:
    found = only(passage.look_at_strangers(acme(default=seen(200))))

    assert found.seen.endswith("open to everybody")


def test_discovery_that_does_not_answer_says_nothing_of_queries() -> None:
    with pytest.raises(NotCheckedError, match="nothing can be compared"):
        only(passage.look_at_questions(acme(default=seen(404))))


def test_a_refused_upload_whose_answer_is_lost_is_not_judged() -> None:
    with pytest.raises(NotCheckedError, match="POST /acme/legacy/"):
        only(passage.look_at_bodies(acme()))


def test_a_host_that_is_not_a_broker_has_a_few_missing_routes() -> None:
    found = [*routes.look_at_root_routes(Visit(web=host(default=seen(200))))]

    assert [each.name for each in found] == ["route-missing"] * 5


POSTS = {
    "a gateway's own answer": (seen(200, "[]"), "route-missing"),
    "another method": (seen(405, '{"errors": [{"code": "x"}]}'), "route-swallowed"),
    "no such address": (
        seen(
            404, '{"detail": "there is nothing at this address", "errors": [{"code": "not-found"}]}'
        ),
        "route-missing",
    ),
    "a registry's own 404": (
        seen(404, '{"detail": "there is no registry", "errors": [{"code": "not-found"}]}'),
        None,
    ),
}


@pytest.mark.parametrize(("answer", "name"), POSTS.values(), ids=POSTS)
def test_an_empty_post_shows_where_it_came_to(answer: Seen, name: str | None) -> None:
    found = routes._judge_post("/_/oidc/burn-token", answer)

    assert (found.name if found else None) == name


@pytest.mark.parametrize(
    "url",
    [
        *("packages.example.com", "ftp://packages.example.com", "https://", "https://a b/"),
        *("https://host:99999/", "https://[::1", "https://user@host/"),
    ],
)
def test_what_is_not_the_url_of_a_broker_is_refused(url: str) -> None:
    with pytest.raises(BadUrlError):
        Web.parse(url, (), None)


@pytest.mark.parametrize(
    ("url", "prefix"),
    [
        ("https://packages.example.com", ""),
        ("https://packages.example.com/legacy/", ""),
        ("https://packages.example.com/acme/legacy/", "/acme"),
        ("https://packages.example.com/acme/simple/widgets/", "/acme"),
    ],
)
def test_a_url_may_name_a_registry(url: str, prefix: str) -> None:
    assert Web.parse(url, (), None).prefix == prefix


@pytest.mark.parametrize("body", ["[]", "no JSON", '{"errors": []}', '{"errors": [{"code": 1}]}'])
def test_what_is_not_an_error_object_has_no_code(body: str) -> None:
    assert seen(400, body).code == ""


def test_an_answer_is_told_in_a_few_words() -> None:
    assert str(seen(502)) == "502 (no Content-Type)"


# --- the store ------------------------------------------------------------------------------------


def test_a_broker_without_a_registry_is_a_warning() -> None:
    found = only(inside.look_at_configuration(Visit(setup=setup())))

    assert found.name == "configuration-empty"


def test_only_a_store_can_be_compared_with_files() -> None:
    with pytest.raises(NotCheckedError, match="--data or --stack"):
        only(inside.look_at_drift(Visit()))


def keys_of(*keys: ReceiptKey) -> Visit:
    store = MemoryStore()
    for each in keys:
        store.save_receipt_key(each, None)
    return Visit(store=store)


def test_a_key_that_ends_without_a_next_one_is_a_warning() -> None:
    began, end = NOW - timedelta(days=9), NOW + timedelta(days=2)
    key = replace(samples.receipt_key(), not_before=began, not_after=end)

    found = only(inside.look_at_receipt_keys(keys_of(key)))

    assert found.name == "receipt-key-ends"


def test_a_key_without_an_end_is_well() -> None:
    key = replace(samples.receipt_key(), not_before=NOW - timedelta(days=9), not_after=None)

    assert only(inside.look_at_receipt_keys(keys_of(key))).outcome is Outcome.OK


def test_a_page_that_shows_other_files_than_were_published_is_found() -> None:
    class Stale(MemoryStore):
        def find_files(self, registry: str, project: str) -> None:
            return None

    store = Stale()
    store.add_file(samples.file(registry="acme"))
    at = Visit(store=store, setup=setup(Registry("acme", ())))

    found = only(inside.look_at_listings(at))

    assert found.name == "listing-differs"
    assert "the page of acme/widgets shows 0 files, and 1 are published" in found.seen


def test_a_page_is_compared_without_its_deleted_files() -> None:
    store = MemoryStore()
    file = samples.file(registry="acme")
    store.add_file(file)
    store.delete_file("acme", file.project, file.filename, samples.tombstone())
    at = Visit(store=store, setup=setup(Registry("acme", ())), thorough=True)

    assert only(inside.look_at_listings(at)).outcome is Outcome.OK


def test_without_an_issuer_none_is_asked() -> None:
    with pytest.raises(NotCheckedError, match="no publisher, reader or issuer"):
        [*inside.look_at_issuers(Visit(setup=setup()))]


def test_keys_that_an_operator_may_not_read_have_no_age() -> None:
    class Closed(MemoryStore):
        def find_key_set(self, issuer_url: str) -> None:
            raise StoreUnavailable("denied")

    assert inside._age_of_keys(Visit(store=Closed()), samples.ISSUER) is None


@pytest.mark.parametrize(
    ("age", "words"),
    [
        (timedelta(0), "0 minutes ago"),
        (timedelta(hours=1), "60 minutes ago"),
        (timedelta(hours=26), "26 hours ago"),
    ],
)
def test_an_age_is_told_in_minutes_or_hours(age: timedelta, words: str) -> None:
    assert inside._hours(age) == words


# --- a data folder --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("free", "name"),
    [(1024**2, "disk-full"), (1024**3, "disk-low"), (100 * 1024**3, "")],
)
def test_a_disk_without_room_is_found(
    free: int, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = namedtuple("usage", "free")  # noqa: PYI024 - as shutil's
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(free))

    assert only(folder.look_at_disk(Visit(folder=tmp_path))).name == name


def test_a_large_log_is_a_warning(tmp_path: Path) -> None:
    with (tmp_path / f"{DATABASE}-wal").open("wb") as log:
        log.truncate(300 * 1024**2)

    assert only(folder.look_at_log(Visit(folder=tmp_path))).name == "wal-large"


def test_a_folder_that_no_server_has_held_is_not_served(tmp_path: Path) -> None:
    assert only(folder.look_at_server(Visit(folder=tmp_path))).name == "not-served"


def test_a_file_that_is_not_a_database_is_broken(tmp_path: Path) -> None:
    (tmp_path / DATABASE).write_bytes(b"x" * 5000)

    found = only(folder.look_at_database(Visit(folder=tmp_path)))

    assert found.name == "database-broken"
    assert not folder.may_be_opened(tmp_path / DATABASE)


@pytest.mark.parametrize(("error", "is_alive"), [(PermissionError, True), (OSError, False)])
def test_a_process_of_another_user_is_alive(
    error: type[OSError], is_alive: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def kill(_pid: int, _signal: int) -> None:
        raise error

    monkeypatch.setattr("os.kill", kill)

    assert folder._is_alive(1) is is_alive


def test_where_there_are_no_modes_none_is_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytp_broker.doctor.folder.os.name", "nt")

    with pytest.raises(NotCheckedError, match="no such permissions"):
        only(folder.look_at_permissions(Visit(folder=tmp_path)))


def test_a_context_trusts_every_file_that_is_named(tmp_path: Path) -> None:
    files = []
    for name in ("one", "two"):
        path = tmp_path / name
        trustme.CA().cert_pem.write_to_path(str(path))
        files.append(str(path))

    assert len(Web("https", HOST, ca_files=tuple(files)).context().get_ca_certs()) == 2


def test_what_sqlite_says_of_a_broken_database_is_told(tmp_path: Path) -> None:
    path = tmp_path / DATABASE
    SqliteStore(path).close()
    with path.open("r+b") as file:  # the header's count of unused pages
        file.seek(36)
        file.write((7).to_bytes(4, "big"))

    found = only(folder.look_at_database(Visit(folder=tmp_path)))

    assert found.name == "database-broken"
    assert "is broken: " in found.seen


def test_the_first_of_many_lost_files_are_named(tmp_path: Path) -> None:
    store = MemoryStore()
    for number in range(8):
        store.add_file(samples.file(f"widgets-{number}.0.tar.gz", registry="acme"))
    at = Visit(store=store, setup=setup(Registry("acme", ())), folder=tmp_path)

    found = [*folder.look_at_files(at)]

    assert [each.name for each in found] == ["file-lost"] * 5


def test_an_issuer_that_only_the_brokers_network_reaches_is_left_out() -> None:
    def reach(_: object) -> Any:
        def fetch(_: str) -> bytes:
            raise FetchError("it cannot be reached")

        return fetch

    at = Visit(cloud=cast("Cloud", object()))

    found = only(inside._look_at_issuer(at, reach, samples.OTHER_ISSUER))

    assert found.outcome is Outcome.OK
    assert "is private" in found.seen


def test_port_80_is_asked_beside_port_443(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Web] = []
    monkeypatch.setattr(outside, "plain_http", asked.append)

    [*outside.look_at_plain_http(Visit(web=Web("https", HOST)))]

    assert asked == [Web("http", HOST)]


def test_without_the_template_of_alarms_its_places_are_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipped, "find_template", lambda: tmp_path / "template.yaml")

    with pytest.raises(TemplateError, match=r"no alarms\.yaml at "):
        shipped.alarms_template.__wrapped__()


def test_only_alarms_of_the_template_are_alarms(monkeypatch: pytest.MonkeyPatch) -> None:
    topic = {"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}}
    monkeypatch.setattr(shipped, "alarms_template", lambda: topic)

    assert [*shipped.alarms({})] == []
