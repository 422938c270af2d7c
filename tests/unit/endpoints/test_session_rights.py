"""Who may do what in a publishing session: each request is checked against the project, as it is.

The tables have every address of Upload API 2.0, so a new one cannot be forgotten.
"""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.access import MAX_AGE
from pytp_broker.endpoints import sessions
from pytp_broker.http import paths
from pytp_broker.making import Making
from pytp_broker.minting import make_to_upload
from pytp_broker.names import normalize
from pytp_broker.registries import PRIVATE
from pytp_broker.tokens import UploadToken
from tests.support.attesting import attest
from tests.support.deployment import HOST, Answer
from tests.support.distributions import sdist, wheel
from tests.support.shelf import Shelf, shelf_publisher
from tests.support.signing import NOW
from tests.support.stock import JSON
from tests.support.uploading import ROOT, Document, Uploader, problem_of

UNKNOWN = "stage_" + "0" * 43
OTHERS = ("acme", "my-widgets", "p-my")

# Each request about a session with one pending file.
REQUESTS: dict[str, Callable[[Uploader, Document, Document], Answer]] = {
    "see": lambda c, s, _: c.send("GET", s["links"]["session"]),
    "cancel": lambda c, s, _: c.cancel(s),
    "publish": lambda c, s, _: c.publish(s),
    "extend": lambda c, s, _: c.send("POST", s["links"]["extend"], {"extend-for": 60}),
    "announce": lambda c, s, _: c.announce(s, sdist()),
    "see file": lambda c, _, f: c.send("GET", f["links"]["file-upload-session"]),
    "delete file": lambda c, _, f: c.delete_file(f),
    "deliver": lambda c, _, f: c.deliver(f, wheel().content),
    "attest": lambda c, _, f: c.send(
        "POST", f"{f['links']['file-upload-session']}/attestations", body=attest(wheel()).encode()
    ),
    "complete": lambda c, _, f: c.complete(f),
    "extend file": lambda c, _, f: c.send("POST", f["links"]["extend"], {"extend-for": 60}),
}
every_request = pytest.mark.parametrize("request_name", REQUESTS)


def begun(client: Uploader) -> tuple[Document, Document]:
    session = client.begin()
    return session, client.add(session, wheel())


def ask(client: Uploader, name: str, session: Document, file: Document) -> Answer:
    return REQUESTS[name](client, session, file)


def written(shelf: Shelf) -> object:
    return dict(shelf.store.sessions), dict(shelf.store.files), dict(shelf.files.contents)


def test_the_table_has_every_address() -> None:
    methods = [m for route in sessions.ROUTES for m in route.methods]

    assert len(methods) == len(REQUESTS) + 1  # the creation is tried beside it


@pytest.mark.pep694("authentication")
@every_request
@pytest.mark.parametrize("authorization", ["", "Basic x", "Bearer pytp_x"])
def test_a_request_without_a_token_is_refused(
    client: Uploader, request_name: str, authorization: str
) -> None:
    session, file = begun(client)
    before = written(client.shelf)
    stranger = Uploader(client.shelf, authorization=authorization)

    answer = ask(stranger, request_name, session, file)

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"] == 'Basic realm="acme"'
    assert problem_of(answer)
    assert written(client.shelf) == before


@pytest.mark.pep694("authorisation")
@pytest.mark.pep694("each-request")
@pytest.mark.promise("each-request")
@pytest.mark.promise("scope")
@every_request
def test_a_token_for_another_project_is_refused(client: Uploader, request_name: str) -> None:
    session, file = begun(client)
    before = written(client.shelf)
    other = Uploader(client.shelf, client.shelf.mint(OTHERS, lookup_id="0" * 31 + "2"))

    answer = ask(other, request_name, session, file)

    assert answer.status == 403
    assert session["session-token"] not in answer.text
    assert problem_of(answer)
    assert written(client.shelf) == before


@pytest.mark.pep694("revoked")
@pytest.mark.promise("removed-publisher")
@every_request
def test_who_has_lost_the_right_is_refused_in_a_session_of_their_own(
    client: Uploader, request_name: str
) -> None:
    session, file = begun(client)
    client.shelf.publishers = client.shelf.publishers[1:]
    client.shelf.apply()

    assert ask(client, request_name, session, file).status == 403


@pytest.mark.promise("dead-token")
@every_request
@pytest.mark.parametrize("end", ["burned", "expired"])
def test_a_token_that_has_ended_is_refused(client: Uploader, request_name: str, end: str) -> None:
    session, file = begun(client)
    token = client.shelf.token
    if end == "burned":
        client.shelf.store.burn_token(token.lookup_id, token.hash, None, NOW)
    else:
        client.shelf.now += timedelta(seconds=900)

    assert ask(client, request_name, session, file).status == 401


@pytest.mark.promise("switched-off")
@every_request
def test_a_switch_ends_every_request(client: Uploader, request_name: str) -> None:
    session, file = begun(client)
    client.shelf.switch_off()

    assert ask(client, request_name, session, file).status == 403


@pytest.mark.promise("own-registry")
@every_request
def test_a_session_of_another_registry_is_not_there(client: Uploader, request_name: str) -> None:
    session, file = begun(client)
    before = written(client.shelf)
    moved = [
        {**d, "links": {k: u.replace("/acme/", "/other/") for k, u in d["links"].items()}}
        for d in (session, file)
    ]
    url = file["mechanism"]["file_url"].replace("/acme/", "/other/")
    moved[1]["mechanism"] = {"file_url": url}

    answer = ask(client, request_name, moved[0], moved[1])

    assert answer.status == 404
    assert written(client.shelf) == before


@every_request
@pytest.mark.parametrize("token", [UNKNOWN, "stage_", "x" * 3000, "%00", ".."])
def test_a_token_that_was_made_up_leads_nowhere(
    client: Uploader, request_name: str, token: str
) -> None:
    session, file = begun(client)
    real = session["session-token"]
    guessed = [
        {**d, "links": {k: u.replace(real, token) for k, u in d["links"].items()}}
        for d in (session, file)
    ]
    guessed[1]["mechanism"] = {"file_url": file["mechanism"]["file_url"].replace(real, token)}

    assert ask(client, request_name, guessed[0], guessed[1]).status == 404


def test_a_token_of_another_registry_learns_nothing_of_sessions(client: Uploader) -> None:
    other = client.shelf.mint(("other", "secret-project", "p-secret"), lookup_id="0" * 31 + "3")
    stranger = Uploader(client.shelf, other)
    session = client.begin()
    unknown = {"links": {"session": f"{ROOT}{UNKNOWN}"}}

    answers = [stranger.send("GET", each["links"]["session"]) for each in (session, unknown)]

    assert [answer.status for answer in answers] == [403, 403]


@pytest.mark.pep694("undisclosed-session")
def test_who_may_not_upload_does_not_learn_whether_a_session_is_there(client: Uploader) -> None:
    other = Uploader(client.shelf, client.shelf.mint(OTHERS, lookup_id="0" * 31 + "2"))
    without = other.create()
    client.begin()

    answers = [without, other.create()]

    assert [answer.status for answer in answers] == [403, 403]
    assert answers[0].body == answers[1].body
    assert all("Location" not in answer.headers for answer in answers)


@pytest.mark.parametrize("body", [b"{", b"{}", b"x" * 70_000])
def test_only_the_holder_of_a_live_token_is_told_what_is_wrong(
    client: Uploader, body: bytes
) -> None:
    stranger = Uploader(client.shelf, UploadToken.mint("f" * 32))

    assert stranger.send("POST", ROOT, body=body).status == 401
    assert stranger.send("GET", f"{ROOT}x", accept="text/plain").status == 401


@pytest.mark.pep694("joined")
@pytest.mark.pep694("not-sticky")
def test_several_publishers_work_in_one_session(client: Uploader) -> None:
    shelf = client.shelf
    session, _ = begun(client)
    joining = Uploader(shelf, shelf.mint(("acme", "widgets", "p-second"), lookup_id="0" * 31 + "4"))
    assert joining.send("GET", session["links"]["session"]).status == 403

    second = shelf_publisher("p-second", "acme", "widgets")
    fields = {**second.fields, "workflow": "second.yml"}
    shelf.publishers.append(replace(second, fields=fields))
    shelf.apply()

    assert joining.create().headers["Location"] == session["links"]["session"]
    joining.stage(session, sdist())
    link = client.see(session)["files"][wheel().filename]["link"]
    assert joining.send("DELETE", link).status == 204
    assert client.publish(session).status == 201
    record = shelf.store.files["acme", sdist().filename]
    assert record.published_by["publishers"] == "p-second"


@pytest.mark.pep694("not-sticky")
def test_who_gets_the_right_back_may_go_on(client: Uploader) -> None:
    session, _ = begun(client)
    publishers = client.shelf.publishers
    client.shelf.publishers = publishers[1:]
    client.shelf.apply()
    assert client.publish(session).status == 403

    client.shelf.publishers = publishers
    client.shelf.apply()

    assert client.see(session)["status"] == "open"


@pytest.mark.pep694("name-reserved")
@pytest.mark.pep694("not-navigable")
def test_a_new_project_belongs_to_its_publishers_and_is_not_seen(client: Uploader) -> None:
    session = client.begin()
    client.stage(session, wheel())
    other = Uploader(client.shelf, client.shelf.mint(OTHERS, lookup_id="0" * 31 + "2"))

    assert other.create("2.0").status == 403
    assert client.shelf.get("/acme/simple/widgets/", JSON).status == 404
    assert client.shelf.get("/acme/simple/", JSON).json["projects"] == []
    client.cancel(session)
    assert client.shelf.get("/acme/simple/widgets/", JSON).status == 404


def test_a_stage_is_read_without_an_upload_token(client: Uploader) -> None:
    client.shelf.change(access=PRIVATE)
    session = client.begin()
    client.stage(session, wheel())

    stage = session["links"]["stage"].removeprefix(f"https://{HOST}")

    assert client.shelf.get(stage, JSON).json["projects"] == [{"name": "widgets"}]


def test_a_token_that_an_operator_made_works_and_is_reported(client: Uploader) -> None:
    shelf = client.shelf
    making = Making(operator="olive", reason="the CI is down")
    made = make_to_upload("acme", normalize("widgets"), making, timedelta(hours=1), shelf.now)
    assert shelf.store.add_operators_token(made.record)
    shelf.records.clear()
    olive = Uploader(shelf, made.token)

    session = olive.begin()
    olive.stage(session, wheel())
    olive.see(session)
    assert olive.publish(session).status == 201

    events = [record.event for record in shelf.records]
    assert events.count("operators-token") == 5
    assert events.index("operators-token") < events.index("session")
    record = shelf.store.files["acme", wheel().filename]
    assert record.published_by["operator"] == "olive"


def test_a_right_is_checked_again_before_a_slow_completion_counts(
    client: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    session, file = begun(client)
    client.deliver(file, wheel().content)
    find = client.shelf.files.find

    def find_slowly(key: str) -> object:
        client.shelf.publishers = client.shelf.publishers[1:]
        client.shelf.apply()
        client.shelf.advance(seconds=MAX_AGE.total_seconds())
        return find(key)

    monkeypatch.setattr(client.shelf.files, "find", find_slowly)

    assert client.complete(file).status == 403
    (staged,) = client.shelf.store.sessions[session["session-token"]].files.values()
    assert staged.file is None


@pytest.mark.parametrize("path", [str(path) for path in paths.ALL if "/upload" in str(path)])
def test_no_record_and_no_error_has_the_token_of_a_session(client: Uploader, path: str) -> None:
    session, file = begun(client)
    client.stage(session, sdist())
    token = session["session-token"]
    url = path.format(session=token, filename="widgets-1.0.tar.gz", upload="0" * 32)

    answers = [client.send(method, f"/acme{url}") for method in ("POST", "PUT", "DELETE", "GET")]

    refused = [answer for answer in answers if answer.status >= 400]
    assert refused
    assert not [answer for answer in refused if token in answer.text]
    assert token not in repr([*client.shelf.records])
    assert token not in repr(client.shelf.store.sessions[token])
    assert file
