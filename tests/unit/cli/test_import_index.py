"""`pytp-broker import --from-index`: pages of other indexes, good and bad, and what is kept."""

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import requests

from pytp_broker.cli.sources import downloads, html_pages, patience
from pytp_broker.cli.sources.page_links import UnreadablePageError
from pytp_broker.cli.sources.patience import patiently
from pytp_broker.cli.sources.source import SourceError
from pytp_broker.file_sizes import write_size
from pytp_broker.names import normalize
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from tests.support.audit import check
from tests.support.deployment import basic
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.fake_web import HTML, INDEX, JSON, Reply, Web, links
from tests.support.importing import SOURCE, Move, move

__all__ = ["move"]

FILES = "https://old.example.com/files/"
CDN = "https://cdn.example.net/"
NETRC = "machine old.example.com login nina password from-netrc\n"


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Web:
    """Return a web in place of the network, in which nobody waits for a second attempt."""
    web = Web()
    monkeypatch.setattr(downloads, "PacedAdapter", web.adapter)
    monkeypatch.setattr(patience, "PAUSES", (0, 0))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    return web


def listed(web: Web, file: Distribution, **changes: Any) -> dict[str, Any]:
    """Put a file on the web; return its entry on a JSON page."""
    url = f"{FILES}{file.filename}"
    web.add(url, Reply(file.content))
    entry = {"filename": file.filename, "url": url, "hashes": {"sha256": file.sha256}}
    return {**entry, **changes}


def offer(web: Web, *entries: dict[str, Any], **more: Any) -> None:
    """Let the index have one project with these files."""
    web.projects("Widgets")
    web.project("widgets", *entries, **more)


def of_html(web: Web, href: str, head: str = "", file: Distribution | None = None) -> None:
    """Let the index have one project whose HTML page has one link."""
    file = file or wheel()
    web.page(INDEX, links([("widgets/", "<b>Wid</b>&#103;ets")]))
    web.page(f"{INDEX}widgets/", links([(href, file.filename)], head))
    web.add(f"{FILES}{file.filename}", Reply(file.content))


# --- good pages -----------------------------------------------------------------------------------


def test_an_index_is_imported_by_its_json_pages(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()), listed(web, sdist()))

    size = write_size(len(wheel().content) + len(sdist().content))
    assert move.type(SOURCE) == f"imported 2 files ({size}) into acme from {INDEX}\n"
    assert move.files().keys() == {wheel().filename, sdist().filename}


def test_an_index_is_named_with_or_without_the_last_slash(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))

    assert "imported 1 file" in move.type(SOURCE.rstrip("/"))


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("2019-03-04T05:06:07.891234Z", datetime(2019, 3, 4, 5, 6, 7, 891234, UTC)),
        ("2019-03-04T05:06:07+02:00", datetime(2019, 3, 4, 3, 6, 7, tzinfo=UTC)),
        ("2019-03-04T05:06:07", datetime(2019, 3, 4, 5, 6, 7, tzinfo=UTC)),
    ],
)
def test_a_file_keeps_the_upload_time_of_the_source(
    move: Move, web: Web, sent: str, kept: datetime
) -> None:
    offer(web, listed(web, wheel(), **{"upload-time": sent}))

    move.type(SOURCE)

    (file,) = move.files().values()
    assert file.uploaded_at == kept


@pytest.mark.parametrize("sent", ["yesterday", "0001-01-01T00:00:00+14:00", 5, None])
def test_without_an_upload_time_the_time_of_the_last_change_counts(
    move: Move, web: Web, sent: object
) -> None:
    offer(web, listed(web, wheel(), **{"upload-time": sent}))
    changed = {"Last-Modified": "Fri, 14 Jul 2017 02:40:00 GMT"}
    web.add(f"{FILES}{wheel().filename}", Reply(wheel().content, headers=changed))

    move.type(SOURCE)

    (file,) = move.files().values()
    assert file.uploaded_at == datetime(2017, 7, 14, 2, 40, tzinfo=UTC)


@pytest.mark.parametrize(
    ("href", "head"),
    [
        (f"../../files/{wheel().filename}", ""),
        (f"/files/{wheel().filename}", ""),
        (f"{FILES}{wheel().filename}", ""),
        (f"'//old.example.com/files/{wheel().filename}'", ""),
        (wheel().filename, f"<base href='{FILES}'>"),
        (wheel().filename, "<base href='/files/'><base href='/other/'>"),
        (f"../../files/{wheel().filename.replace('1.0', '1%2E0')}", ""),
        (f"'{FILES}{wheel().filename}' data-requires-python='&gt;=3.9' rel=internal", ""),
    ],
)
def test_a_link_of_an_html_page_is_followed(move: Move, web: Web, href: str, head: str) -> None:
    link = href if href.startswith("'") else f"'{href}#sha256={wheel().sha256}'"
    of_html(web, link, head)
    web.add(f"{FILES}widgets-1%2E0-py3-none-any.whl", Reply(wheel().content))

    assert "imported 1 file" in move.type(SOURCE)


def test_an_html_page_in_another_encoding_is_read(move: Move, web: Web) -> None:
    of_html(web, f"{FILES}{wheel().filename}#sha256={wheel().sha256}")
    for url in (INDEX, f"{INDEX}widgets/"):
        (reply,) = web.replies[url]
        assert isinstance(reply, Reply)
        text = reply.body.decode().encode("utf-16")
        web.add(url, Reply(text, headers={"Content-Type": "text/html; charset=UTF-16"}))

    assert "imported 1 file" in move.type(SOURCE)


@pytest.mark.parametrize("charset", ["klingon", "hex", "idna"])
def test_an_unknown_encoding_is_taken_for_utf_8(move: Move, web: Web, charset: str) -> None:
    of_html(web, f"{FILES}{wheel().filename}#sha256={wheel().sha256}")
    (reply,) = web.replies[INDEX]
    assert isinstance(reply, Reply)
    web.add(INDEX, Reply(reply.body, headers={"Content-Type": f"text/html; charset={charset}"}))

    assert "imported 1 file" in move.type(SOURCE)


def test_a_page_without_a_type_is_html(move: Move, web: Web) -> None:
    of_html(web, f"{FILES}{wheel().filename}#sha256={wheel().sha256}")
    (reply,) = web.replies[INDEX]
    assert isinstance(reply, Reply)
    web.add(INDEX, Reply(reply.body))

    assert "imported 1 file" in move.type(SOURCE)


def test_links_to_what_is_no_distribution_are_left_out(move: Move, web: Web) -> None:
    web.page(INDEX, links([("widgets/", "widgets"), ("#top", ""), ("x", "  ")]))
    page = links(
        [
            (f"{FILES}{wheel().filename}", wheel().filename),
            ("https://example.com/", "home"),
            ("mailto:olive@example.com", "mail"),
            (f"{FILES}{wheel().filename}.asc", "signature"),
            ("", "nothing"),
            ("'https://[1/'", "malformed"),
        ]
    )
    web.page(f"{INDEX}widgets/", page)
    web.add(f"{FILES}{wheel().filename}", Reply(wheel().content))

    seen = move.type(SOURCE)

    assert "imported 1 file" in seen
    assert "4 files were left out: not a distribution\n" in seen


@pytest.mark.parametrize(
    "unit", ["<", "<!", "<!-- -->", "<a ", "<a x=", "&", "</a", "<![CDATA[", "<b>"]
)
def test_the_time_for_a_page_grows_with_its_length_alone(unit: str) -> None:
    page = (unit * (100_000 // len(unit)) + "></a>").encode()
    began = time.process_time()

    with suppress(UnreadablePageError):
        html_pages.read_project(page, HTML, INDEX, normalize("widgets"))

    assert time.process_time() - began < 1


def test_links_in_comments_are_not_links(move: Move, web: Web) -> None:
    comment = f"<!-- <a href='{FILES}{wheel('gadgets').filename}'>x</a> --><!DOCTYPE x><![A\x00"
    of_html(web, f"'{FILES}{wheel().filename}#sha256={wheel().sha256}'", comment)

    assert "imported 1 file" in move.type(SOURCE)


def test_only_the_pages_of_the_named_projects_are_asked_for(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))

    assert "imported 1 file" in move.type(f"{SOURCE} --project widgets")
    assert INDEX not in web.asked


# --- digests --------------------------------------------------------------------------------------


def test_what_is_here_is_not_downloaded_if_the_page_has_its_sha256(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))
    move.type(SOURCE)
    web.asked.clear()

    assert "1 file was here already" in move.type(SOURCE)
    assert web.asked == [INDEX, f"{INDEX}widgets/"]


def test_a_page_with_another_sha256_of_what_is_here_is_refused(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))
    move.type(SOURCE)
    offer(web, listed(web, wheel(), hashes={"sha256": "0" * 64}))

    assert "is published here with the sha256" in move.refusal()


def test_what_is_here_is_compared_after_a_download_if_the_page_has_no_sha256(
    move: Move, web: Web
) -> None:
    offer(web, listed(web, wheel()))
    move.type(SOURCE)
    offer(web, listed(web, wheel(), hashes={}))
    web.asked.clear()

    assert "1 file was here already" in move.type(SOURCE)
    assert f"{FILES}{wheel().filename}" in web.asked


@pytest.mark.promise("import-verified")
@pytest.mark.parametrize("algorithm", ["sha256", "sha512", "md5", "sha1", "blake2b"])
def test_content_that_is_not_as_the_page_says_is_refused(
    move: Move, web: Web, algorithm: str
) -> None:
    wrong = hashlib.new(algorithm, b"other").hexdigest()
    offer(web, listed(web, wheel(), hashes={algorithm: wrong}))

    assert f"and the source says {wrong}" in move.refusal()
    assert move.files() == {}


def test_every_digest_of_the_page_must_be_right(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel(), hashes={"sha256": wheel().sha256, "md5": "0" * 32}))

    assert "the md5" in move.refusal()


def test_a_digest_in_capitals_is_right(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel(), hashes={"sha256": wheel().sha256.upper()}))

    assert "imported 1 file" in move.type(SOURCE)


@pytest.mark.promise("imported-content")
@pytest.mark.parametrize(
    ("hashes", "given"),
    [
        ({"md5": hashlib.md5(wheel().content).hexdigest()}, "md5"),  # noqa: S324 - an old index
        ({"sha1": hashlib.sha1(wheel().content).hexdigest()}, "sha1"),  # noqa: S324 - as above
        ({}, "no digest at all"),
        (None, "no digest at all"),
        ({"shake_128": "00", "crc": "00", "sha256": 5}, "no digest at all"),
    ],
)
def test_a_file_without_a_strong_digest_is_imported_and_the_report_says_so(
    move: Move, web: Web, hashes: object, given: str
) -> None:
    offer(web, listed(web, wheel(), hashes=hashes))

    assert move.type(SOURCE).splitlines()[1] == (
        f"not verified by a sha256, because the source gives {given}: {wheel().filename}"
    )


def test_a_fragment_that_is_no_digest_is_ignored(move: Move, web: Web) -> None:
    of_html(web, f"{FILES}{wheel().filename}#egg=widgets")

    assert "no digest at all" in move.type(SOURCE)


# --- yanks and status -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("yanked", "reason"),
    [
        ("loses data", "loses data"),
        (True, ""),
        ("", ""),
        ("two\nlines\x1b", "two lines\ufffd"),
        ("its files Already exist elsewhere", ""),
        ("it cannot be updated", ""),
    ],
)
def test_a_release_that_is_yanked_at_the_source_is_yanked(
    move: Move, web: Web, yanked: object, reason: str
) -> None:
    offer(
        web,
        listed(web, wheel(), yanked=yanked),
        listed(web, sdist(version="1.0.0"), yanked=yanked),
        listed(web, wheel(version="2.0"), yanked=False),
    )

    move.type(SOURCE)

    assert move.store.list_withdrawn("acme", "widgets").yanked == {"1": reason}
    (record,) = move.records("yank")
    check(record)
    assert (record["by"], record["why"]) == ("user olive", reason)


def test_a_file_that_is_refused_says_nothing_about_a_release(move: Move, web: Web) -> None:
    egg = Distribution("widgets-1.0-py2.7.egg", b"x")
    offer(web, listed(web, egg), listed(web, wheel(), yanked="broken"))

    assert move.report()["imported"] == 1
    assert move.store.list_withdrawn("acme", "widgets").yanked == {"1": "broken"}


def test_an_html_page_yanks_too(move: Move, web: Web) -> None:
    of_html(web, f"{FILES}{wheel().filename}#sha256={wheel().sha256} data-yanked='a reason'")

    move.type(SOURCE)

    assert move.store.list_withdrawn("acme", "widgets").yanked == {"1": "a reason"}


def test_a_release_that_is_yanked_in_part_is_not_yanked_and_the_report_says_so(
    move: Move, web: Web
) -> None:
    offer(web, listed(web, wheel(), yanked="broken"), listed(web, sdist()))

    assert f"not yanked here: {wheel().filename}\n" in move.type(SOURCE)
    assert move.store.list_withdrawn("acme", "widgets").yanked == {}


def test_a_release_that_is_yanked_here_keeps_its_reason(move: Move, web: Web) -> None:
    move.store.yank_release("acme", "widgets", "1", "ours")
    offer(web, listed(web, wheel(), yanked="theirs"))

    move.type(SOURCE)

    assert move.store.list_withdrawn("acme", "widgets").yanked == {"1": "ours"}


def test_an_unyanked_release_stays_so_when_the_same_files_are_imported_again(
    move: Move, web: Web
) -> None:
    offer(web, listed(web, wheel(), yanked="theirs"))
    move.type(SOURCE)
    move.store.yank_release("acme", "widgets", "1", None)

    move.type(SOURCE)

    assert move.store.list_withdrawn("acme", "widgets").yanked == {}


@pytest.mark.parametrize(
    ("status", "kept"),
    [
        ({"status": "archived", "reason": "use gadgets"}, ProjectStatus("archived", "use gadgets")),
        ({"status": "deprecated"}, ProjectStatus("deprecated")),
        ({"status": "archived", "reason": "Already  exists"}, ProjectStatus("archived")),
        ({"status": "active", "reason": "x"}, ACTIVE),
        ({"status": "on holiday"}, ACTIVE),
        ("archived", ACTIVE),
    ],
)
def test_a_project_keeps_its_status(
    move: Move, web: Web, status: object, kept: ProjectStatus
) -> None:
    offer(web, listed(web, wheel()), listed(web, sdist()), **{"project-status": status})

    assert "imported 2 files" in move.type(SOURCE)
    assert move.store.find_status("acme", "widgets") == kept
    records = move.records("project-status")
    assert len(records) == (kept != ACTIVE)
    for record in records:
        check(record)


def test_an_html_page_has_a_status_too(move: Move, web: Web) -> None:
    head = (
        "<meta name=pypi:project-status content=archived>"
        "<meta name=pypi:project-status-reason content='use gadgets'><meta charset=utf-8>"
    )
    of_html(web, f"{FILES}{wheel().filename}#sha256={wheel().sha256}", head)

    move.type(SOURCE)

    assert move.store.find_status("acme", "widgets") == ProjectStatus("archived", "use gadgets")


def test_a_status_that_an_operator_has_set_stays(move: Move, web: Web) -> None:
    ours = ProjectStatus("quarantined", "malware")
    move.store.set_status("acme", "widgets", ours)
    offer(web, listed(web, wheel()), **{"project-status": {"status": "archived"}})

    move.type(SOURCE)

    assert move.store.find_status("acme", "widgets") == ours


# --- bad pages ------------------------------------------------------------------------------------


def test_a_file_of_another_project_is_refused(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel("gadgets")))

    assert move.refusal() == (
        "the file name is for the project `gadgets`, but the source offers it for `widgets`"
    )
    assert f"{FILES}{wheel('gadgets').filename}" not in web.asked


@pytest.mark.parametrize("url", ["ftp://old.example.com/x", "file:///etc/passwd", "https://[1/"])
def test_a_file_that_is_elsewhere_than_on_the_web_is_refused(
    move: Move, web: Web, url: str
) -> None:
    offer(web, listed(web, wheel(), url=url))

    assert move.refusal() == "the source gives no http or https URL for it"


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("<html>", JSON, "is not JSON"),
        ("[" * 100_000, JSON, "is not JSON"),
        ('{"meta": {"api-version": "1.0"}, "meta": {}}', JSON, "is not JSON"),
        ("[]", JSON, "not a page of the simple API"),
        ("{}", JSON, "not a page of the simple API"),
        ('{"meta": 5}', JSON, "not a page of the simple API"),
        ('{"meta": {"api-version": "2.0"}}', JSON, "another version of the simple API"),
        ('{"meta": {"api-version": "1.0"}}', JSON, "has no list `projects`"),
        ('{"meta": {"api-version": "1.0"}, "projects": 5}', JSON, "has no list `projects`"),
        ('{"meta": {"api-version": "1.0"}, "projects": [5]}', JSON, "has no list `projects`"),
        ('{"meta": {"api-version": "1.0"}, "projects": [{}]}', JSON, "entry without `name`"),
        (
            "<meta name=pypi:repository-version content=2.0>",
            HTML,
            "another version of the simple API",
        ),
        ("<a href='x", HTML, "ends inside a tag or a comment"),
        ("<!-- <a href=x>", HTML, "ends inside a tag or a comment"),
        (f"<a href='{'x' * 70_000}'>", HTML, "has a tag that is too long"),
        ("%PDF", "application/pdf", "has the type `application/pdf`"),
    ],
)
def test_a_list_of_projects_that_is_nonsense_ends_the_import(
    move: Move, web: Web, text: str, kind: str, words: str
) -> None:
    web.page(INDEX, text, kind)

    assert move.run(SOURCE) == 1
    error = move.capsys.readouterr().err
    assert words in error
    assert INDEX in error
    assert move.records() == []


@pytest.mark.parametrize(
    ("text", "kind", "words"),
    [
        ("<html>", JSON, "is not JSON"),
        ('{"meta": {"api-version": "1.0"}, "files": [{}]}', JSON, "without `filename`"),
        ('{"meta": {"api-version": "1.0"}, "files": [{"filename": ""}]}', JSON, "without `url`"),
        ("<meta name=pypi:repository-version content=2.0>", HTML, "another version"),
        ("x", "text/plain", "has the type `text/plain`"),
    ],
)
def test_a_projects_page_that_is_nonsense_is_refused_and_the_others_are_imported(
    move: Move, web: Web, text: str, kind: str, words: str
) -> None:
    web.projects("broken", "widgets")
    web.page(f"{INDEX}broken/", text, kind)
    web.project("widgets", listed(web, wheel()))

    report = move.report()

    assert report["imported"] == 1
    (refused,) = report["refused"]
    assert (refused["project"], refused["filename"]) == ("broken", "")
    assert words in refused["why"]


def test_names_that_no_project_has_are_refused(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))
    web.projects("widgets", "Widgets", "../x", "")

    report = move.report()

    assert report["imported"] == 1
    assert {refused["filename"] for refused in report["refused"]} == {"../x", ""}


def test_an_index_that_shows_another_index_as_its_own_is_refused(
    move: Move, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytp_broker.cli.sources.simple_index.MAX_PROJECTS", 2)
    web.projects("one", "two", "three")

    assert move.run(SOURCE) == 1
    assert "lists 3 projects" in move.capsys.readouterr().err


def test_a_page_that_is_too_long_is_refused(
    move: Move, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "MAX_PAGE_BYTES", 1000)
    web.page(INDEX, " " * 1001)

    assert move.run(SOURCE) == 1
    assert "is a page of more than 64 MiB" in move.capsys.readouterr().err


def test_a_page_that_is_compressed_unasked_is_refused(move: Move, web: Web) -> None:
    web.add(INDEX, Reply(b"x", headers={"Content-Type": HTML, "Content-Encoding": "gzip"}))

    assert move.run(SOURCE) == 1
    assert "is compressed, and we did not ask for that" in move.capsys.readouterr().err


@pytest.mark.parametrize(
    "url",
    [
        "old.example.com/simple/",
        "ftp://old.example.com/",
        "https://",
        "https://old.example.com/simple/?token=x",
        "https://old.example.com/simple/#x",
        "https://old.example.com:port/",
        "https://[1/",
    ],
)
def test_a_url_that_is_not_of_a_simple_api_is_a_mistake(move: Move, url: str) -> None:
    assert move.run(f"--from-index '{url}'") == 2
    assert "--from-index must be the URL" in move.capsys.readouterr().err


# --- a source that does not answer ----------------------------------------------------------------


def test_a_source_that_answers_at_the_third_attempt_is_good(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))
    page = web.replies[f"{INDEX}widgets/"][0]
    web.add(f"{INDEX}widgets/", Reply(status=503), Reply(status=429), page)
    web.add(
        f"{FILES}{wheel().filename}",
        _raising(ConnectionResetError(104, "Connection reset by peer")),
        Reply(status=502, headers={"Retry-After": "0"}),
        Reply(wheel().content),
    )

    assert "imported 1 file" in move.type(SOURCE)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ConnectionResetError(104, "Connection reset by peer"), "(Connection reset by peer)"),
        (requests.ReadTimeout("https://user:secret@x/"), "(ReadTimeout)"),
        (UnicodeError("label too long"), "(UnicodeError)"),
        (
            requests.exceptions.SSLError("https://user:secret@x/"),
            "(SSLError); --ca-bundle names the authorities of an index inside your company",
        ),
    ],
)
def test_a_file_that_does_not_arrive_is_refused_with_the_systems_reason(
    move: Move, web: Web, error: Exception, words: str
) -> None:
    offer(web, listed(web, wheel()))
    web.add(f"{FILES}{wheel().filename}", _raising(error))

    why = move.refusal()

    assert why == f"{FILES}{wheel().filename} cannot be reached {words}"


def _raising(error: Exception) -> Callable[[], Reply]:
    def answer() -> Reply:
        raise error

    return answer


def test_a_file_that_is_not_there_is_refused_at_the_first_attempt(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))
    web.add(f"{FILES}{wheel().filename}", Reply(status=404))

    assert move.refusal() == f"{FILES}{wheel().filename} answers 404"
    assert web.asked.count(f"{FILES}{wheel().filename}") == 1


def test_a_file_that_ends_early_is_refused(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel(), hashes={}))
    length = {"Content-Length": str(len(wheel().content))}
    web.add(f"{FILES}{wheel().filename}", Reply(wheel().content[:100], headers=length))

    assert "cannot be reached (ProtocolError)" in move.refusal()


def test_a_source_that_has_gone_away_ends_the_import(move: Move, web: Web) -> None:
    names = [f"gone-{number:02}" for number in range(30)]
    web.projects(*names)
    for name in names:
        web.add(f"{INDEX}{name}/", Reply(status=503))

    report = move.report()

    assert len(report["refused"]) == 10
    assert report["stopped"] == (
        "stopped, because the source has not answered 10 times in a row: "
        "run the same command again to go on"
    )
    assert len(web.asked) < 90


def test_a_refusal_between_two_answers_does_not_count_as_gone_away(move: Move, web: Web) -> None:
    names = [f"some-{number:02}" for number in range(18)]
    web.projects(*names)
    for number, name in enumerate(names):
        web.add(f"{INDEX}{name}/", Reply(status=404 if number == 9 else 503))

    report = move.report()

    assert (len(report["refused"]), report["stopped"]) == (18, "")


def test_the_source_says_how_long_to_wait() -> None:
    waited: list[float] = []
    answers = iter(
        [
            SourceError("429", may_pass=True, wait_seconds=30),
            SourceError("503", may_pass=True),
        ]
    )

    def ask() -> str:
        for error in answers:
            raise error
        return "good"

    assert patiently(ask, waited.append) == "good"
    assert waited == [30, 4]


@pytest.mark.parametrize(
    "error", [SourceError("404"), SourceError("429", may_pass=True, wait_seconds=3600)]
)
def test_nobody_waits_for_what_will_not_come_soon(error: SourceError) -> None:
    def ask() -> None:
        raise error

    with pytest.raises(SourceError, match=str(error)):
        patiently(ask, lambda _: pytest.fail("waited"))


@pytest.mark.parametrize(
    ("header", "at_least", "at_most"),
    [
        ("", 0, 0),
        ("120", 120, 120),
        ("Fri, 14 Jul 2017 02:40:00 GMT", 0, 0),
        ("Fri, 14 Jul 2199 02:40:00 GMT", 10**9, 10**11),
        ("soon", 0, 0),
        ("9" * 5000, 999_999, 999_999),
        ("\u0663", 0, 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, at_least: float, at_most: float) -> None:
    assert at_least <= downloads._read_wait(header) <= at_most


def test_an_interrupt_ends_the_import_and_says_how_to_go_on(move: Move, web: Web) -> None:
    web.projects("widgets", "gadgets")
    web.project("widgets", listed(web, wheel()))

    def interrupt() -> Reply:
        raise KeyboardInterrupt

    web.add(f"{INDEX}gadgets/", interrupt)

    assert move.run(SOURCE) == 130
    assert move.capsys.readouterr().err.endswith(
        "interrupted: run the same command again to go on\n"
    )
    assert [record["outcome"] for record in move.records()] == ["begun"]


# --- redirects and credentials --------------------------------------------------------------------


@pytest.mark.promise("source-credentials")
def test_a_redirect_to_another_host_is_followed_without_the_credentials(
    move: Move, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTP_SOURCE_PASSWORD", "secret")
    offer(web, listed(web, wheel()))
    target = f"{CDN}{wheel().filename}?signature=f00"
    web.add(f"{FILES}{wheel().filename}", Reply(status=302, headers={"Location": target}))
    web.add(target, Reply(wheel().content))

    assert "imported 1 file" in move.type(SOURCE)
    assert web.credentials[f"{FILES}{wheel().filename}"] == basic("__token__", "secret")
    assert web.credentials[target] is None


@pytest.mark.parametrize(
    ("source", "environment", "expected"),
    [
        ("https://ulla:p%40ss@old.example.com/simple/", {}, basic("ulla", "p@ss")),
        ("https://ulla@old.example.com/simple/", {}, basic("ulla", "")),
        ("https://:pass@old.example.com/simple/", {}, basic("", "pass")),
        (INDEX, {"PYTP_SOURCE_PASSWORD": "s\u00e9cret"}, basic("__token__", "s\u00e9cret")),
        (
            INDEX,
            {"PYTP_SOURCE_PASSWORD": "secret", "PYTP_SOURCE_USERNAME": "ulla"},
            basic("ulla", "secret"),
        ),
        (INDEX, {"NETRC": NETRC}, basic("nina", "from-netrc")),
        (INDEX, {"NETRC": NETRC.replace("old", "other")}, None),
        (INDEX, {"NETRC": "default login nina password from-netrc"}, None),
        (INDEX, {"NETRC": "nonsense"}, None),
        (INDEX, {"PYTP_SOURCE_USERNAME": "ulla"}, None),
        (INDEX, {}, None),
    ],
)
def test_the_credentials_come_from_the_url_the_environment_or_netrc(
    move: Move,
    web: Web,
    monkeypatch: pytest.MonkeyPatch,
    *,
    source: str,
    environment: dict[str, str],
    expected: str | None,
) -> None:
    netrc = move.data / "netrc"
    netrc.write_text(environment.get("NETRC", ""))
    for name, value in environment.items():
        monkeypatch.setenv(name, str(netrc) if name == "NETRC" else value)
    offer(web, listed(web, wheel()))

    assert "imported 1 file" in move.type(f"--from-index '{source}'")
    assert web.credentials[INDEX] == expected


def test_without_a_name_netrc_is_looked_for_at_home(
    move: Move, web: Web, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / ".netrc").write_text(NETRC)
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("HOME", str(tmp_path))
    offer(web, listed(web, wheel()))

    move.type(SOURCE)

    assert web.credentials[INDEX] == basic("nina", "from-netrc")


@pytest.mark.promise("source-credentials")
def test_a_file_at_another_host_or_port_is_fetched_without_the_credentials(
    move: Move, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTP_SOURCE_PASSWORD", "secret")
    elsewhere = (
        f"https://cdn.example.net/{wheel().filename}",
        f"https://old.example.com:8443/{sdist().filename}",
        f"http://old.example.com/{wheel(version='2.0').filename}",
    )
    files = (wheel(), sdist(), wheel(version="2.0"))
    offer(web, *(listed(web, f, url=url) for f, url in zip(files, elsewhere, strict=True)))
    for file, url in zip(files, elsewhere, strict=True):
        web.add(url, Reply(file.content))

    assert "imported 3 files" in move.type(SOURCE)
    assert [web.credentials[url] for url in elsewhere] == [None, None, None]


def test_credentials_in_a_link_are_not_sent(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel(), url=f"https://x:y@old.example.com/files/{wheel().filename}"))

    assert "imported 1 file" in move.type(SOURCE)
    assert web.credentials[f"{FILES}{wheel().filename}"] is None


@pytest.mark.promise("source-credentials")
@pytest.mark.promise("no-secret-written")
def test_a_password_in_the_url_is_neither_shown_nor_kept(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()), listed(web, sdist(), hashes={"sha256": "0" * 64}))
    web.add(f"{FILES}{wheel().filename}", Reply(status=401))

    assert move.run("--from-index https://ulla:hunter2@old.example.com/simple/") == 1
    seen = "".join(move.capsys.readouterr())
    kept = b"".join(path.read_bytes() for path in move.data.rglob("*") if path.is_file())
    assert "hunter2" not in seen
    assert "ulla" not in seen
    assert b"hunter2" not in kept
    assert "note: other users of this machine can see the password" in seen
    assert INDEX in seen


def test_an_index_that_asks_for_credentials_is_told_where_they_go(move: Move, web: Web) -> None:
    web.add(INDEX, Reply(status=401, headers={"WWW-Authenticate": "Basic realm=x"}))

    assert move.run(SOURCE) == 1
    error = move.capsys.readouterr().err
    assert f"{INDEX} answers 401: give a user and a password in PYTP_SOURCE_USERNAME" in error
    assert "for the machine old.example.com" in error


def test_an_index_that_refuses_the_credentials_is_said_to_refuse_them(
    move: Move, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTP_SOURCE_PASSWORD", "secret")
    web.add(INDEX, Reply(status=401, headers={"WWW-Authenticate": "Basic realm=x"}))

    assert move.run(SOURCE) == 1
    assert f"{INDEX} answers 401: check the user and the password" in move.capsys.readouterr().err


@pytest.mark.parametrize(
    ("target", "words"),
    [
        (INDEX, "redirects more than 5 times"),
        ("ftp://old.example.com/x", "redirects to ftp://old.example.com/x, which is not http"),
        ("file:///etc/passwd", "which is not http or https"),
        ("http:///x", "which is not http or https"),
        ("http://old.example.com/simple/", "redirects from https to http://old.example.com/simple"),
        ("https://[1/", "redirects to something that is not a URL"),
        ("https://old.example.com:x/", "redirects to something that is not a URL"),
    ],
)
def test_a_redirect_that_leads_nowhere_good_ends_the_import(
    move: Move, web: Web, target: str, words: str
) -> None:
    web.add(INDEX, Reply(status=302, headers={"Location": target}))

    assert move.run(SOURCE) == 1
    assert words in move.capsys.readouterr().err


@pytest.mark.promise("own-pages")
def test_a_page_of_another_host_is_not_taken_for_one_of_the_source(move: Move, web: Web) -> None:
    web.projects("widgets")
    elsewhere = "https://pypi.example.org/simple/widgets/"
    web.add(f"{INDEX}widgets/", Reply(status=302, headers={"Location": elsewhere}))

    assert "redirects to another index, https://pypi.example.org/simple/widgets/" in move.refusal()
    assert elsewhere not in web.asked


def test_a_page_may_redirect_within_its_host(move: Move, web: Web) -> None:
    offer(web, listed(web, wheel()))
    for path in ("", "widgets/"):
        secure = Reply(status=301, headers={"Location": f"{INDEX}{path}"})
        web.add(f"http://old.example.com/simple/{path}", secure)

    assert "imported 1 file" in move.type("--from-index http://old.example.com/simple/")


def test_a_redirect_without_a_target_is_an_answer(move: Move, web: Web) -> None:
    web.add(INDEX, Reply(status=302))

    assert move.run(SOURCE) == 1
    assert "answers 302" in move.capsys.readouterr().err


def test_authorities_that_are_not_there_are_a_mistake(move: Move) -> None:
    assert move.run(f"{SOURCE} --ca-bundle {os.devnull}x") == 2
    assert "--ca-bundle: there is no file" in move.capsys.readouterr().err
