"""A project's page that a client, or we, have already: 304, kept pages, and when neither may be."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

import pytest

from pytp_broker.endpoints.project_pages import Wanted
from pytp_broker.http.negotiation import PLAIN_HTML
from pytp_broker.index import pages
from pytp_broker.index.listings import FileState, ListedFile, ProjectListing
from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.storage.project_files import ProjectFiles
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from tests.support.deployment import Answer
from tests.support.distributions import wheel
from tests.support.samples import file, tombstone
from tests.support.shelf import Shelf
from tests.support.stock import HTML, JSON, WHEEL, stocked_shelf

PAGE: Final = "/acme/simple/widgets/"
QUARANTINED: Final = ProjectStatus("quarantined", "malware")


@pytest.fixture
def shelf() -> Shelf:
    return stocked_shelf()


def ask(shelf: Shelf, tag: str = "", method: str = "GET", **headers: str) -> Answer:
    """Ask for the page as a client that takes gzip, and has a page with this tag."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    condition = {"if-none-match": tag} if tag else {}
    base = {"accept": JSON, "accept-encoding": "gzip"}
    return shelf.call(method, PAGE, headers={**base, **condition, **named})


def restart(shelf: Shelf) -> Shelf:
    """Forget all that a process has in memory; the store stays."""
    object.__setattr__(shelf.index, "kept_pages", type(shelf.index.kept_pages)())
    shelf.store.calls.clear()
    return shelf


CHANGES: Final[dict[str, Callable[[Shelf], Any]]] = {
    "file": lambda shelf: shelf.publish(wheel(version="2.0")),
    "yank": lambda shelf: shelf.store.yank_release("acme", "widgets", "1", "breaks"),
    "deletion": lambda shelf: shelf.store.delete_file(
        "acme", "widgets", WHEEL.filename, tombstone()
    ),
    "status": lambda shelf: shelf.store.set_status("acme", "widgets", QUARANTINED),
    "attestations": lambda shelf: shelf.store.save_attestation_state(
        "acme", "widgets", WHEEL.filename, AttestationState(AttestationStatus.VERIFIED)
    ),
}


@pytest.mark.parametrize("accept", [JSON, HTML, PLAIN_HTML])
@pytest.mark.parametrize("encoding", ["gzip", "identity"])
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "after a restart"])
def test_a_client_that_has_the_page_costs_one_small_read(
    shelf: Shelf, accept: str, encoding: str, is_kept: bool
) -> None:
    headers = {"accept": accept, "accept_encoding": encoding}
    first = ask(shelf, **headers)
    shelf.store.calls.clear()
    if not is_kept:
        restart(shelf)

    again = ask(shelf, first.headers["ETag"], **headers)

    assert (again.status, again.body) == (304, b"")
    assert shelf.store.calls == ["find_edition"]
    described = {"Content-Type", "Content-Length", "Content-Encoding"}
    assert again.headers == {n: v for n, v in first.headers.items() if n not in described}


def test_a_short_page_is_not_compressed_and_has_one_tag_for_all_clients(shelf: Shelf) -> None:
    shelf.store.delete_file("acme", "widgets", WHEEL.filename, tombstone())
    short, plain = ask(shelf), ask(shelf, accept_encoding="identity")

    assert short.headers["ETag"] == plain.headers["ETag"]
    assert "Content-Encoding" not in short.headers
    for encoding in ("gzip", "identity"):
        answer = ask(restart(shelf), short.headers["ETag"], accept_encoding=encoding)
        assert (answer.status, shelf.store.calls) == (304, ["find_edition"])


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "after a restart"])
def test_each_representation_has_its_own_tag(shelf: Shelf, is_kept: bool) -> None:
    for number in range(8):
        shelf.publish(wheel(version=f"3.{number}"))
    asked = [
        {"accept": accept, "accept_encoding": encoding}
        for accept in (JSON, HTML, PLAIN_HTML)
        for encoding in ("gzip", "identity")
    ]
    tags = [ask(shelf, **headers).headers["ETag"] for headers in asked]

    assert len({*tags}) == len(asked)
    for headers, own in zip(asked, tags, strict=True):
        for tag in tags:
            if not is_kept:
                restart(shelf)
            assert ask(shelf, tag, **headers).status == (304 if tag == own else 200)


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "after a restart"])
def test_no_client_keeps_a_page_that_has_changed(
    shelf: Shelf, change: Callable[[Shelf], Any], is_kept: bool
) -> None:
    before = ask(shelf)

    change(shelf)
    if not is_kept:
        restart(shelf)
    after = ask(shelf, before.headers["ETag"])

    assert after.status == 200
    assert after.headers["ETag"] != before.headers["ETag"]


def test_a_kept_page_takes_one_small_read(shelf: Shelf) -> None:
    first = ask(shelf)
    shelf.store.calls.clear()

    again = ask(shelf)

    assert (again.status, again.body, again.headers) == (200, first.body, first.headers)
    assert shelf.store.calls == ["find_edition"]


def test_a_page_that_nobody_has_takes_one_read(shelf: Shelf) -> None:
    ask(restart(shelf))

    assert shelf.store.calls == ["find_files"]


def test_a_page_that_has_changed_takes_a_small_read_and_a_read(shelf: Shelf) -> None:
    ask(shelf)
    shelf.store.yank_release("acme", "widgets", "1", "breaks")
    shelf.store.calls.clear()

    ask(shelf)

    assert shelf.store.calls == ["find_edition", "find_files"]


def test_head_of_a_kept_page_has_no_body_and_leaves_it_for_get(shelf: Shelf) -> None:
    head, get, again = ask(shelf, method="HEAD"), ask(shelf), ask(shelf, method="HEAD")

    assert head.body == again.body == b""
    assert head.headers == get.headers == again.headers
    assert int(get.headers["Content-Length"]) == len(get.body) > 0


def test_a_star_needs_a_page(shelf: Shelf) -> None:
    answer = ask(restart(shelf), "*")

    assert answer.status == 304
    assert answer.headers["ETag"] == ask(shelf).headers["ETag"]
    assert ask(shelf, " * ").status == 304
    assert shelf.call("GET", "/acme/simple/gadgets/", headers={"if-none-match": "*"}).status == 404


def test_a_weak_tag_of_a_proxy_names_the_page_too(shelf: Shelf) -> None:
    tag = ask(shelf).headers["ETag"]

    assert ask(restart(shelf), f'"other", W/{tag}').status == 304


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "after a restart"])
def test_while_somebody_changes_the_project_the_page_is_made_anew(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, is_kept: bool
) -> None:
    first = ask(shelf)
    found = shelf.store.find_files("acme", "widgets")
    assert found is not None
    monkeypatch.setattr(shelf.store, "find_edition", lambda *_: None)
    if not is_kept:
        restart(shelf)
    changed = ProjectFiles(found.files, {"1": "breaks"}, found.status)
    monkeypatch.setattr(shelf.store, "find_files", lambda *_: changed)

    answer = ask(shelf, first.headers["ETag"])

    assert answer.status == 200
    assert b'"yanked":"breaks"' in answer.body or answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["ETag"] != first.headers["ETag"]
    # Without an edition the tag is that of the bytes, and it serves as long as they are the same.
    assert ask(shelf, answer.headers["ETag"]).status == 304


def test_a_page_without_an_edition_is_not_kept(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = shelf.store.find_files("acme", "widgets")
    assert found is not None
    monkeypatch.setattr(shelf.store, "find_files", lambda *_: replace(found, edition=None))
    ask(restart(shelf))
    shelf.store.calls.clear()

    ask(shelf)

    assert shelf.store.calls == []


def test_what_was_quarantined_is_not_taken_from_memory(shelf: Shelf) -> None:
    before = ask(shelf, accept_encoding="identity")
    shelf.store.set_status("acme", "widgets", QUARANTINED)

    after = ask(shelf, before.headers["ETag"], accept_encoding="identity")

    assert after.status == 200
    assert after.json["files"] == []
    shelf.store.set_status("acme", "widgets", ACTIVE)
    assert ask(shelf, accept_encoding="identity").body == before.body


@pytest.mark.parametrize("is_kept", [True, False], ids=["kept", "after a restart"])
def test_nobody_without_a_right_gets_a_page_that_is_kept_or_a_304(
    shelf: Shelf, is_kept: bool
) -> None:
    shelf.change(access="private")
    good = ask(shelf, authorization=shelf.basic())
    assert good.status == 200
    if not is_kept:
        restart(shelf)
    shelf.store.calls.clear()

    for credentials in ({}, {"authorization": "Bearer pytp-nothing"}, other_registrys(shelf)):
        assert ask(shelf, **credentials).status == 401
        assert ask(shelf, good.headers["ETag"], **credentials).status == 401
    assert not {"find_edition", "find_files"} & {*shelf.store.calls}
    assert good.headers["Cache-Control"].startswith("private")


def other_registrys(shelf: Shelf) -> dict[str, str]:
    """Return the credentials of a token that reads another registry alone."""
    token = shelf.mint(("other", "secret-project", "p-secret"), lookup_id="0" * 31 + "2")
    return {"authorization": shelf.basic(token)}


def test_a_registry_that_becomes_private_answers_with_no_public_page(shelf: Shelf) -> None:
    assert ask(shelf).headers["Cache-Control"].startswith("public")

    shelf.change(access="private")

    assert ask(shelf).status == 401


@pytest.mark.parametrize("method", ["find_edition", "find_files"])
def test_a_store_that_is_down_answers_with_nothing_from_memory(shelf: Shelf, method: str) -> None:
    tag = ask(shelf).headers["ETag"]
    if method == "find_files":
        shelf.store.yank_release("acme", "widgets", "1", "breaks")
    shelf.store.fail_next(method)

    assert ask(shelf, tag).status == 503


WANTED: Final = Wanted("acme", "widgets", JSON, "/acme", "https://x/acme", True, True)


@pytest.mark.parametrize(
    "change",
    [
        {"registry": "other"},
        {"project": "gadgets"},
        {"content_type": HTML},
        {"base_path": ""},
        {"secure_base": None},
        {"is_public": False},
    ],
    ids=lambda change: next(iter(change)),
)
def test_all_that_shapes_a_page_is_in_its_tag(change: dict[str, Any]) -> None:
    assert replace(WANTED, **change).tag("e") != WANTED.tag("e")


def test_the_versions_of_ours_and_the_edition_are_in_a_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    tags = {WANTED.tag("e"), WANTED.tag("f")}
    for place, name in (
        ("pytp_broker.index.pages", "RENDERING"),
        ("pytp_broker.index.pages", "API_VERSION"),
        ("pytp_broker.endpoints.project_pages", "__version__"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(f"{place}.{name}", "another")
            tags.add(WANTED.tag("e"))

    assert len(tags) == 5
    assert replace(WANTED, takes_gzip=False).tag("e") == WANTED.tag("e")


def test_the_bytes_of_this_rendering_are_known() -> None:
    """If this fails, pages have other bytes than before: change `RENDERING` and both hashes."""
    attested = AttestationState(AttestationStatus.VERIFIED)
    files = (
        ListedFile(file(), FileState()),
        ListedFile(file("widgets-2.0.tar.gz", version="2.0"), FileState("breaks <it>")),
        ListedFile(
            file(
                "widgets-1.0-py3-none-any.whl", requires_python=">=3.9", attestation_state=attested
            ),
            FileState(""),
        ),
    )
    listing = ProjectListing("widgets", files, ProjectStatus("archived", "use gadgets"))

    rendered = [
        render(listing, "/acme", "https://pypi.example.com/acme")
        for render in (pages.project_json, pages.project_html)
    ]

    hashes = [hashlib.sha256(page).hexdigest()[:16] for page in rendered]
    assert (pages.RENDERING, *hashes) == (1, "acd6de9a86890b4e", "29b783868c70f46d")
