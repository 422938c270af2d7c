"""`pytp-broker publish`, as somebody types it, at a server of either API."""

import re
import sys
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest

from pytp_broker.client.transport import Answer, UnreachableError
from pytp_broker.client.uploads.wire import Reply, Request, Wire
from tests.support.distributions import (
    SDIST_NAME,
    WHEEL_NAME,
    metadata,
    noise,
    sdist,
    wheel,
    wheel_members,
)
from tests.support.upload_server import LEGACY, LOST, ORIGIN, ROOT, Drop, problem
from tests.unit.client.publishing.conftest import DISCOVERY, DOWN, Person

BUSY = Reply(503, "Service Unavailable")
BYTES = {WHEEL_NAME: wheel().content, SDIST_NAME: sdist().content}


@pytest.fixture(params=["2.0", "legacy"])
def api(request: pytest.FixtureRequest, person: Person) -> str:
    if request.param == "legacy":
        person.offer_legacy_alone()
    name: str = request.param
    return name


@pytest.mark.usefixtures("api")
def test_everything_in_dist_is_published(person: Person) -> None:
    assert person.publish() == 0

    assert person.server.published == BYTES
    assert re.match(r"published widgets 1\.0: 2 files sent \(.* kB\)\n", person.out)


def test_the_registry_is_asked_once_what_it_offers(person: Person) -> None:
    person.publish()

    assert person.asked == [DISCOVERY]


def test_a_log_has_a_line_for_each_step(person: Person) -> None:
    person.publish("--jobs", "1")

    assert person.err.splitlines() == [
        f"Upload API 2.0 at {LEGACY}",
        f"{WHEEL_NAME}: {_size(WHEEL_NAME)}",
        f"{WHEEL_NAME}: staged",
        f"{SDIST_NAME}: {_size(SDIST_NAME)}",
        f"{SDIST_NAME}: staged",
    ]


def _size(name: str) -> str:
    return (
        f"{len(BYTES[name])} bytes"
        if len(BYTES[name]) < 1000
        else f"{len(BYTES[name]) / 1000:.1f} kB"
    )


def test_a_log_shows_how_a_large_file_goes_on(person: Person) -> None:
    person.monkeypatch.setattr("pytp_broker.client.publishing.progress._LARGE", 500)
    person.put(wheel("large", members=wheel_members("large") | {"x": noise(1_000_000)}))
    person.server.plan("PUT object", Drop(0.3))

    assert person.publish("dist/large*") == 0

    name = "large-1.0-py3-none-any.whl"
    assert [line for line in person.err.splitlines() if " of " in line or "again" in line] == [
        f"{name}: 262.1 kB of 1.0 MB",
        f"{name}: sent again, from the beginning",
        f"{name}: 262.1 kB of 1.0 MB",
        f"{name}: 524.3 kB of 1.0 MB",
        f"{name}: 786.4 kB of 1.0 MB",
    ]


def test_a_terminal_has_bars(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(StringIO):
        def isatty(self) -> bool:
            return True

    person.server.plan("PUT object", Drop(0.5))
    person.server.published[SDIST_NAME] = BYTES[SDIST_NAME]
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)

    assert person.publish() == 0

    assert f"{WHEEL_NAME}: staged" in terminal.getvalue()
    assert "all files" in terminal.getvalue()


# --- which files ----------------------------------------------------------------------------------


def test_files_that_are_named_go_in_that_order(person: Person) -> None:
    person.offer_legacy_alone()

    person.publish(f"dist/{SDIST_NAME}", f"dist/{WHEEL_NAME}")

    assert list(person.server.published) == [SDIST_NAME, WHEEL_NAME]


@pytest.mark.parametrize("pattern", ["dist/*", "dist", "d*/w*"])
def test_of_a_pattern_wheels_go_first(person: Person, pattern: str) -> None:
    person.offer_legacy_alone()
    (person.folder / "dist/notes.txt").write_text("not a distribution")

    assert person.publish(pattern) == 0

    assert list(person.server.published) == [WHEEL_NAME, SDIST_NAME]


@pytest.mark.parametrize("words", [["elsewhere/*"], ["dist", "elsewhere/*"]])
def test_a_pattern_without_a_file_is_said(person: Person, words: list[str]) -> None:
    assert person.publish(*words) == 1

    assert person.err == "elsewhere/*: no file; build the distributions first\n"


def test_attestations_alone_are_nothing_to_publish(person: Person) -> None:
    assert person.publish("dist/x.whl.publish.attestation") == 1

    assert person.err == "there is no file to publish\n"


def test_all_problems_of_all_files_are_said_before_anybody_is_asked(person: Person) -> None:
    other = metadata("gadgets", "2.0")
    person.put(
        wheel("alpha", text=metadata("gadgets")),
        wheel("beta", text=metadata("beta", "2.0")),
        wheel("gamma", text=metadata("gamma", "x")),
        replace(sdist("delta"), content=b""),
        sdist("epsilon", text=other),
    )
    (person.folder / "more").mkdir()
    (person.folder / "more" / WHEEL_NAME).write_bytes(wheel().content)

    assert person.publish("dist", f"more/{WHEEL_NAME}", "missing.whl") == 1

    assert person.err.splitlines() == [
        "alpha-1.0-py3-none-any.whl has metadata of the project `gadgets`: build it again",
        "beta-1.0-py3-none-any.whl has metadata of the version `2.0`: build it again",
        "gamma-1.0-py3-none-any.whl has metadata of the version `x`: build it again",
        "delta-1.0.tar.gz is empty",
        "epsilon-1.0.tar.gz has metadata of the project `gadgets`: build it again",
        "missing.whl cannot be read: No such file or directory",
        f"{WHEEL_NAME} is given twice, from two folders",
    ]
    assert not person.asked


# --- what is published already --------------------------------------------------------------------


@pytest.mark.usefixtures("api")
def test_what_is_published_is_not_sent_again(person: Person) -> None:
    person.publish()
    sent = person.server.received

    assert person.publish() == 0

    assert person.server.received == sent
    assert person.out == "published widgets 1.0: 0 files sent (0 bytes), 2 files published before\n"
    assert f"{WHEEL_NAME}: is published already, with the same contents" in person.err


@pytest.mark.usefixtures("api")
def test_another_file_of_a_published_name_is_refused_before_a_byte_is_sent(person: Person) -> None:
    person.server.published[WHEEL_NAME] = b"other"

    assert person.publish() == 1

    assert person.err == (
        f"{WHEEL_NAME} is published already with other contents, and a published file never "
        "changes: publish a new version\n"
    )
    assert person.server.log == ["GET page"]


def test_an_index_elsewhere_gets_no_token(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Request] = []

    def send(_: Wire, request: Request) -> Reply:
        seen.append(request)
        return Reply(404)

    monkeypatch.setattr(Wire, "send", send)
    person.publish("--index", "https://elsewhere.example/simple", "--dry-run")

    assert [(each.url, each.authorization.reveal()) for each in seen] == [
        ("https://elsewhere.example/simple/widgets/", "")
    ]


def test_an_index_at_the_registry_gets_the_token(
    person: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Request] = []

    def send(_: Wire, request: Request) -> Reply:
        seen.append(request)
        return Reply(404)

    monkeypatch.setattr(Wire, "send", send)
    person.publish("--dry-run")

    assert seen[0].url == f"{ORIGIN}/acme/simple/widgets/"
    assert seen[0].authorization.reveal().startswith("Basic ")


def test_an_upload_url_of_another_form_has_no_index_beside_it(person: Person) -> None:
    person.discovery = [Answer(200, {"upload-api": ROOT})]

    assert person.publish(url=f"{ORIGIN}/team/dev/") == 0

    assert "GET page" not in person.server.log


def test_an_index_that_does_not_answer_is_said(person: Person) -> None:
    person.server.plan("GET page", *[Drop(0)] * 9)

    assert person.publish() == 3
    assert "the connection failed" in person.err


# --- several releases -----------------------------------------------------------------------------


def test_each_release_has_a_session_and_all_are_staged_before_one_is_published(
    person: Person,
) -> None:
    person.put(wheel("gadgets"), wheel("widgets", "2.0"))

    assert person.publish() == 0

    assert person.server.count("POST root") == 3
    last = max(at for at, what in enumerate(person.server.log) if what == "POST file complete")
    assert person.server.log.index("POST publish") > last
    assert len(person.server.published) == 4


def test_nothing_is_published_if_one_file_is_refused(person: Person) -> None:
    person.put(wheel("gadgets"))
    person.server.refusals[SDIST_NAME] = "the sdist has a link"

    assert person.publish() == 1

    assert not person.server.published
    assert f"error: {SDIST_NAME}: the file is refused: the sdist has a link" in person.err
    assert "nothing is published; the same command goes on with what is staged" in person.err
    assert f"discard: pytp-broker session discard --url {LEGACY} {ROOT}stage_" in person.err


def test_a_session_that_has_nothing_can_only_be_discarded(person: Person) -> None:
    person.server.refusals[WHEEL_NAME] = person.server.refusals[SDIST_NAME] = "too new"

    assert person.publish() == 1

    assert "preview: " not in person.err
    assert " publish: " not in person.err
    assert f"discard: pytp-broker session discard --url {LEGACY} {ROOT}stage_" in person.err
    assert person.err.endswith("\nnothing is published\n")


def test_a_release_that_may_not_be_made_is_said(person: Person) -> None:
    person.server.plan("POST root", problem(403, "the token is for gadgets"))

    assert person.publish() == 1

    assert (
        "error: widgets 1.0: the registry opens no session: the token is for gadgets" in person.err
    )
    assert person.err.endswith("nothing is published\n")


def test_what_was_published_before_a_failure_is_said(person: Person) -> None:
    person.put(wheel("gadgets"))
    person.server.plan("POST publish", None, problem(400, "closed"))

    assert person.publish() == 1

    assert "published widgets 1.0: 2 files" in person.err or "published gadgets 1.0" in person.err
    assert "run the same command again for the others" in person.err


def test_the_first_refused_form_ends_a_publication(person: Person) -> None:
    person.offer_legacy_alone()
    person.server.refusals[WHEEL_NAME] = "no RECORD"

    assert person.publish() == 1

    assert f"error: {WHEEL_NAME}: the index does not take it: no RECORD" in person.err
    assert not person.server.published


# --- a network that breaks ------------------------------------------------------------------------


@pytest.mark.usefixtures("api")
@pytest.mark.parametrize("outcome", [Drop(0.5), Drop(0.99), BUSY, LOST])
@pytest.mark.parametrize("step", ["POST root", "PUT object", "POST form", "POST publish"])
def test_a_break_is_overcome(person: Person, step: str, outcome: object) -> None:
    person.server.plan(step, outcome)

    assert person.publish() == 0
    assert person.server.published == BYTES


@pytest.mark.parametrize(
    "step", ["POST root", "POST files", "PUT object", "POST file complete", "POST publish"]
)
def test_a_run_that_failed_is_continued_by_the_same_command(person: Person, step: str) -> None:
    person.server.plan(step, *[BUSY] * 50)
    assert person.publish() == 3
    person.server.plan(step)

    assert person.publish() == 0

    assert person.server.published == BYTES
    assert len(person.server.sessions) == 1


def test_a_second_run_sends_only_what_is_missing(person: Person) -> None:
    person.server.plan("POST publish", *[BUSY] * 9)
    person.publish()
    sent = person.server.received
    person.server.plan("POST publish")
    person.put(wheel("widgets", "1.0", filename="widgets-1.0-1-py3-none-any.whl"))

    person.publish()

    assert person.server.received == sent + len(wheel().content)
    assert "1 file sent" in person.out
    assert "2 files staged before" in person.out


@pytest.mark.parametrize("answer", [DOWN, Answer(503, {})])
def test_a_registry_that_is_down_is_said(person: Person, answer: Any) -> None:
    person.discovery = [answer]

    assert person.publish() == 3
    assert person.err.startswith(f"{ORIGIN}")
    assert len(person.asked) == 5


def test_a_registry_whose_certificate_is_not_trusted_is_not_asked_again(person: Person) -> None:
    person.discovery = [UnreachableError("name the authority", may_pass=False)]

    assert person.publish() == 1

    assert person.err == f"{ORIGIN}: name the authority\n"
    assert person.asked == [DISCOVERY]


def test_a_registry_that_is_back_is_asked_again(person: Person) -> None:
    person.discovery = [DOWN, Answer(502, {}), Answer(200, {"upload-api": ROOT})]

    assert person.publish() == 0


def test_a_form_that_is_never_taken_is_said(person: Person) -> None:
    person.offer_legacy_alone()
    person.server.plan("POST form", *[Drop(0.5)] * 9)

    assert person.publish() == 3


# --- servers --------------------------------------------------------------------------------------


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_a_server_that_takes_one_file_at_a_time_gets_one(person: Person, jobs: str) -> None:
    person.put(wheel("widgets", "1.0", filename="widgets-1.0-1-py3-none-any.whl"))
    person.server.takes_one_at_a_time = True

    assert person.publish("--jobs", jobs) == 0
    assert len(person.server.published) == 3


def test_a_conflict_of_a_single_file_is_final(person: Person) -> None:
    person.server.plan("POST files", problem(409, "never"))

    assert person.publish(f"dist/{WHEEL_NAME}") == 1
    assert person.server.count("POST files") == 1


def test_a_conflict_that_stays_without_other_files_is_final(person: Person) -> None:
    never = problem(409, "never")
    person.server.plan("POST files", never, None, never)

    assert person.publish("--jobs", "1") == 1
    assert f"error: {WHEEL_NAME}: the registry does not take it: never" in person.err
    assert person.server.received == 0


def publish_meanwhile(person: Person, name: str, content: bytes) -> None:
    """Let another run publish a file after the client has looked at the index."""
    answer = person.server.send

    def send(_: Wire, request: Request) -> Reply:
        if request.url == ROOT:
            person.server.published[name] = content
        return answer(request)

    person.monkeypatch.setattr(Wire, "send", send)


def test_what_another_run_has_just_published_is_there(person: Person) -> None:
    publish_meanwhile(person, WHEEL_NAME, BYTES[WHEEL_NAME])

    assert person.publish() == 0
    assert "1 file sent" in person.out
    assert "1 file published before" in person.out


def test_a_session_that_nobody_needs_is_discarded(person: Person) -> None:
    publish_meanwhile(person, WHEEL_NAME, BYTES[WHEEL_NAME])

    assert person.publish(f"dist/{WHEEL_NAME}") == 0
    assert person.server.session.status == "canceled"
    assert person.out.startswith("published widgets 1.0: 0 files sent")


def test_a_session_with_files_of_another_run_is_left_to_it(person: Person) -> None:
    person.publish("--stage", f"dist/{SDIST_NAME}")
    publish_meanwhile(person, WHEEL_NAME, BYTES[WHEEL_NAME])

    assert person.publish(f"dist/{WHEEL_NAME}") == 0
    assert person.server.session.status == "open"


def test_another_file_that_another_run_has_just_published_is_refused(person: Person) -> None:
    publish_meanwhile(person, WHEEL_NAME, b"other")

    assert person.publish() == 1
    assert (
        f"error: {WHEEL_NAME}: the registry does not take it: {WHEEL_NAME} is published"
        in person.err
    )


def test_a_conflict_is_said_also_if_the_index_does_not_answer(person: Person) -> None:
    publish_meanwhile(person, WHEEL_NAME, BYTES[WHEEL_NAME])
    person.server.plan("GET page", None, *[Drop(0)] * 20)

    assert person.publish("--jobs", "1") == 1


def test_a_session_that_was_published_meanwhile_is_followed_by_a_new_one(person: Person) -> None:
    person.publish("--stage", f"dist/{WHEEL_NAME}")
    person.server.session.status = "processing"

    assert person.publish(f"dist/{SDIST_NAME}") == 0

    assert person.server.published == BYTES
    assert len(person.server.sessions) == 2


def test_files_of_another_run_are_told(person: Person) -> None:
    person.publish("--stage", f"dist/{WHEEL_NAME}")
    person.server.session.notices.append("the release closes tomorrow")

    person.publish(f"dist/{SDIST_NAME}")

    assert f"widgets 1.0: the session also has {WHEEL_NAME}, of another run" in person.err
    assert "widgets 1.0: the registry says: the release closes tomorrow" in person.err
    assert person.server.published == BYTES


@pytest.mark.parametrize("url", ["https://evil.example/upload/", "http://packages.example.com/u/"])
def test_an_upload_api_elsewhere_gets_no_token(person: Person, url: str) -> None:
    person.discovery = [Answer(200, {"upload-api": url})]

    assert person.publish() == 1

    assert f"the Upload API leads to {url}" in person.err
    assert not person.server.log


@pytest.mark.parametrize("document", [{}, {"upload-api": 5}, {"upload-api": ""}])
def test_a_registry_without_an_upload_api_gets_forms(
    person: Person, document: dict[str, Any]
) -> None:
    person.discovery = [Answer(200, document)]

    assert person.publish() == 0
    assert len(person.server.forms) == 2


@pytest.mark.parametrize(
    "url",
    [
        "http://packages.example.com/acme/legacy/",
        "packages.example.com/acme/legacy/",
        "https://user:secret@packages.example.com/acme/legacy/",
        "https://[::1/legacy/",
        "https://a b/legacy/",
        "https://packages.example.com\\@evil.example/legacy/",
    ],
)
def test_what_is_not_an_upload_url_is_said(person: Person, url: str) -> None:
    assert person.publish(url=url) == 2

    assert "is not an upload URL" in person.err
    assert not person.asked


def test_the_url_of_an_index_is_said_with_the_right_one(person: Person) -> None:
    assert person.publish(url=f"{ORIGIN}/acme/simple/") == 2

    assert f"uploads go to {LEGACY}\n" in person.err


def test_a_registry_on_this_machine_needs_no_tls(person: Person) -> None:
    person.discovery = [DOWN]

    assert person.publish(url="http://127.0.0.1:8080/acme/legacy/") == 3


# --- options --------------------------------------------------------------------------------------


@pytest.mark.usefixtures("api")
def test_a_dry_run_says_what_would_happen_and_sends_nothing(person: Person) -> None:
    person.server.published[SDIST_NAME] = BYTES[SDIST_NAME]

    assert person.publish("--dry-run") == 0

    assert person.out == f"{WHEEL_NAME}: would be sent\n{SDIST_NAME}: is published already\n"
    assert person.server.log == ["GET page"]


def test_a_report_can_be_read_by_a_program(person: Person) -> None:
    person.server.published[SDIST_NAME] = BYTES[SDIST_NAME]

    report = person.read()

    (release,) = report["releases"]
    assert (report["url"], report["api"]) == (LEGACY, "Upload API 2.0")
    assert (release["project"], release["version"], release["published"]) == (
        "widgets",
        "1.0",
        True,
    )
    assert release["session"].startswith(ROOT)
    assert {file["filename"]: file["result"] for file in release["files"]} == {
        WHEEL_NAME: "sent",
        SDIST_NAME: "present",
    }
    assert "published widgets 1.0" in person.err


def test_a_report_has_the_address_of_a_preview_only_while_there_is_one(person: Person) -> None:
    (staged,) = person.read("--stage")["releases"]
    (published,) = person.read()["releases"]

    assert staged["stage"].startswith(f"{ORIGIN}/acme/stage/")
    assert published["stage"] is None


@pytest.mark.parametrize("jobs", ["0", "33", "many", "-1", "٣"])
def test_a_number_of_jobs_that_is_none_is_said(person: Person, jobs: str) -> None:
    with pytest.raises(SystemExit) as ended:
        person.publish("--jobs", jobs)

    assert ended.value.code == 2


def test_nothing_is_staged_where_there_is_only_the_legacy_api(person: Person) -> None:
    person.offer_legacy_alone()

    assert person.publish("--stage") == 1

    assert "offers no Upload API 2.0, so nothing can be staged there" in person.err
    assert not person.server.log
