"""Uploads, as the wire shows them: a request goes in, an answer and a published file come out."""

import gzip
import hashlib
import io
import stat
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.storage.content import Content
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.tokens import SINGLE_USE, UploadToken
from tests.support import distributions
from tests.support.deployment import HOST, Answer, basic
from tests.support.distributions import (
    BOUNDARY,
    SDIST_NAME,
    UNSAFE_NAMES,
    WHEEL_NAME,
    Distribution,
    fields,
    file_part,
    form,
    metadata,
    noise,
    part,
    recorded,
    sdist,
    tarred,
    text_part,
    wheel,
    wheel_members,
    zipped,
)
from tests.support.fakes import MemoryFiles
from tests.support.scanner import LEAKED
from tests.support.shelf import IDENTITY, Shelf, assert_refused
from tests.support.signing import GITHUB, NOW

TWO_NAMES = 'form-data; name="x"\r\nContent-Disposition: form-data; name="name"'


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


def names(shelf: Shelf) -> list[str]:
    return [filename for _, filename in shelf.store.files]


# What is published


@pytest.mark.parametrize("distribution", [wheel(), sdist()], ids=["wheel", "sdist"])
def test_a_file_is_published(shelf: Shelf, distribution: Distribution) -> None:
    answer = shelf.publish(distribution)

    assert answer.status == 200
    assert names(shelf) == [distribution.filename]


def test_success_is_an_empty_answer(shelf: Shelf) -> None:
    answer = shelf.publish(wheel())

    assert answer.body == b""
    assert answer.headers["Content-Length"] == "0"


def test_the_record_keeps_what_is_in_the_file_and_who_published_it(shelf: Shelf) -> None:
    distribution = wheel(text=metadata("Widgets", "1.0", "Requires-Python: >=3.9,\n <4"))

    shelf.publish(distribution)

    assert shelf.store.files["acme", WHEEL_NAME] == PublishedFile(
        registry="acme",
        project="widgets",
        version="1.0",
        filename=WHEEL_NAME,
        sha256=distribution.sha256,
        size=len(distribution.content),
        metadata_sha256=hashlib.sha256(
            metadata("Widgets", "1.0", "Requires-Python: >=3.9,\n <4").encode()
        ).hexdigest(),
        requires_python=">=3.9, <4",
        uploaded_at=NOW,
        published_by={"issuer": GITHUB, **IDENTITY},
    )


@pytest.mark.parametrize("distribution", [wheel(), sdist()], ids=["wheel", "sdist"])
def test_content_and_metadata_are_kept_under_the_hash(
    shelf: Shelf, distribution: Distribution
) -> None:
    shelf.publish(distribution)

    key = f"files/acme/{distribution.sha256}/{distribution.filename}"
    assert shelf.files.contents == {
        key: distribution.content,
        f"{key}.metadata": metadata().encode(),
    }


def asked_by(shelf: Shelf, distribution: Distribution) -> list[str]:
    """Return what an upload asks the store."""
    shelf.store.calls.clear()
    assert shelf.publish(distribution).status == 200
    return [call for call in shelf.store.calls if call != "load_configuration"]


def test_an_upload_asks_the_store_four_times(shelf: Shelf) -> None:
    shelf.publish(wheel())

    asked = asked_by(shelf, sdist())

    assert asked == ["find_token", "find_file", "find_release", "add_file"]


def test_the_first_file_of_a_release_begins_its_record(shelf: Shelf) -> None:
    asked = asked_by(shelf, wheel())

    release = ["find_release", "list_files", "save_release"]
    assert asked == ["find_token", "find_file", *release, "add_file"]


@pytest.mark.parametrize(
    ("path", "host", "status"),
    [
        ("/acme/legacy/", HOST, 200),
        ("/acme/legacy", HOST, 200),
        ("/legacy/", "acme.example.com", 200),
        ("/legacy/", HOST, 404),
        ("/nobody/legacy/", HOST, 404),
    ],
)
def test_the_upload_url_works_with_and_without_its_last_slash(
    shelf: Shelf, path: str, host: str, status: int
) -> None:
    shelf.change(hosts=("acme.example.com",))

    assert shelf.post(form(wheel()), path=path, host=host).status == status


def test_the_upload_url_takes_nothing_but_post(shelf: Shelf) -> None:
    answer = shelf.call("GET", "/acme/legacy/")

    assert answer.status == 405
    assert answer.headers["Allow"] == "POST"


def test_bytes_that_cannot_be_stored_make_nothing_visible(shelf: Shelf) -> None:
    shelf.files.fail_next("save")

    answer = shelf.publish(wheel())

    assert answer.status == 503
    assert names(shelf) == []


def test_an_upload_whose_last_write_failed_may_be_repeated(shelf: Shelf) -> None:
    shelf.store.fail_next("add_file")

    statuses = [shelf.publish(wheel()).status for _ in range(2)]

    assert statuses == [503, 200]
    assert names(shelf) == [WHEEL_NAME]


@pytest.mark.parametrize("method", ["find_token", "find_file", "add_file"])
def test_a_store_that_is_down_is_our_fault(shelf: Shelf, method: str) -> None:
    shelf.store.fail_next(method)

    answer = shelf.publish(wheel())

    assert answer.status == 503
    assert answer.headers["Retry-After"] == "5"


# Credentials


def accepted_credentials() -> list[object]:
    return [
        pytest.param("Basic {basic}", id="auth-006 Basic with the user __token__"),
        pytest.param("basic {basic}", id="auth-006 basic in lower case"),
        pytest.param("token {token}", id="auth-003 scheme token"),
        pytest.param("Token {token}", id="auth-003 scheme Token"),
        pytest.param("bearer {token}", id="auth-004 scheme bearer"),
        pytest.param("BEARER {token}", id="auth-004 scheme BEARER"),
        pytest.param("Basic {blanks}", id="auth-010 white space around the password"),
    ]


def refused_credentials() -> list[object]:
    return [
        pytest.param("", id="auth-000 no header"),
        pytest.param("notarealtoken", id="auth-001 no scheme"),
        pytest.param("{token}", id="auth-001 only the token"),
        pytest.param("maybeafuturemethod {token}", id="auth-002 unknown scheme"),
        pytest.param("Bearer  {token}", id="auth-005 two blanks"),
        pytest.param("Bearer {token} ", id="a blank behind"),
        pytest.param("Bearer\t{token}", id="a tab for a blank"),
        pytest.param("Bearer", id="nothing behind the scheme"),
        pytest.param("Basic notbase64", id="auth-007 not base64"),
        pytest.param("Basic notb\xe4se64", id="A099 not ASCII"),
        pytest.param("Basic /w==", id="not UTF-8"),
        pytest.param("Basic {no_colon}", id="auth-008 no colon"),
        pytest.param("Basic {bad_user}", id="auth-009 another user"),
        pytest.param("Basic {upper}", id="auth-011 the user in upper case"),
        pytest.param("Basic {no_user}", id="no user"),
        pytest.param("Basic {basic}, Basic {basic}", id="A098 two headers"),
        pytest.param("Bearer {token}, Bearer {token}", id="A098 two tokens"),
        pytest.param("Bearer {token},{token}", id="A098 a list"),
        pytest.param("Bearer pypi-{token}", id="upload-005 another prefix"),
        pytest.param("Bearer {no_prefix}", id="upload-004 no prefix"),
        pytest.param("Bearer {altered}", id="A099 altered in one character"),
        pytest.param("Bearer {truncated}", id="A099 truncated"),
        pytest.param("Bearer {long}", id="A099 10 KB"),
        pytest.param("Bearer pytp_" + "\N{SNOWMAN}" * 71, id="A099 the right length, not ASCII"),
        pytest.param("Bearer pytp_" + "\ud800" * 71, id="A099 a lone surrogate"),
    ]


def fill(template: str, token: UploadToken) -> str:
    text = token.reveal()
    values = {
        "token": text,
        "basic": f"__token__:{text}",
        "blanks": f"__token__: {text} \n",
        "no_colon": "notarealtoken",
        "bad_user": f"@baduser:{text}",
        "upper": f"__TOKEN__:{text}",
        "no_user": f":{text}",
        "no_prefix": text.removeprefix("pytp_"),
        "altered": text[:40] + ("a" if text[40] != "a" else "b") + text[41:],
        "truncated": text[:-1],
        "long": text * 130,
    }
    if template.startswith(("Basic", "basic")):
        values = {name: basic(value).removeprefix("Basic ") for name, value in values.items()}
    return template.format(**values)


@pytest.mark.promise("proxys-log")
@pytest.mark.parametrize("template", accepted_credentials())
def test_a_token_is_accepted_as(shelf: Shelf, template: str) -> None:
    assert shelf.post(form(wheel()), fill(template, shelf.token)).status == 200


@pytest.mark.parametrize("template", refused_credentials())
def test_credentials_of_another_form_are_refused_without_a_read(
    shelf: Shelf, template: str
) -> None:
    answer = shelf.post(form(wheel()), fill(template, shelf.token))

    assert answer.status == 401
    assert answer.headers["WWW-Authenticate"].startswith("Basic realm=")
    assert shelf.store.calls == ["load_configuration"]  # to know the registry


def test_an_unknown_token_is_refused(shelf: Shelf) -> None:
    """upload-011."""
    unknown = UploadToken.mint("f" * 32)

    assert shelf.post(form(wheel()), shelf.basic(unknown)).status == 401


def test_a_token_with_a_known_id_and_another_secret_is_refused(shelf: Shelf) -> None:
    """upload-010."""
    forged = UploadToken.mint(shelf.token.lookup_id)

    assert shelf.post(form(wheel()), shelf.basic(forged)).status == 401


@pytest.mark.promise("dead-token")
def test_a_burned_token_is_refused(shelf: Shelf) -> None:
    """upload-021."""
    shelf.store.burn_token(shelf.token.lookup_id, shelf.token.hash, None, shelf.now)

    assert shelf.publish(wheel()).status == 401


@pytest.mark.promise("dead-token")
@pytest.mark.promise("stolen-token")
@pytest.mark.parametrize(
    ("age", "status"),
    [(0, 200), (899, 200), (900, 401), (901, 401), (-5, 200)],
    ids=["new", "upload-012", "at its expiry", "A100", "upload-014 clocks 5 s apart"],
)
def test_a_token_lives_until_it_expires(shelf: Shelf, age: int, status: int) -> None:
    shelf.now += timedelta(seconds=age)

    assert shelf.publish(wheel()).status == status


def test_why_a_token_is_not_good_is_not_said(shelf: Shelf) -> None:
    unknown = shelf.post(form(wheel()), shelf.basic(UploadToken.mint("f" * 32)))
    shelf.now += timedelta(seconds=900)
    expired = shelf.publish(wheel())

    assert unknown.detail == expired.detail


@pytest.mark.promise("stolen-token")
def test_a_token_is_good_for_many_uploads(shelf: Shelf) -> None:
    """upload-020."""
    statuses = [shelf.publish(d).status for d in (wheel(), sdist(), wheel("my-widgets", "2"))]

    assert statuses == [200, 200, 200]


# The right


@pytest.mark.promise("scope")
def test_a_project_outside_the_scope_is_forbidden(shelf: Shelf) -> None:
    """upload-001, upload-002."""
    answer = shelf.publish(wheel("gadgets"))

    assert answer.status == 403
    assert "WWW-Authenticate" not in answer.headers


def test_who_is_forbidden_hears_both_projects_but_none_of_another_registry(shelf: Shelf) -> None:
    """A104."""
    detail = shelf.publish(wheel("gadgets")).detail

    assert "`gadgets`" in detail
    assert "`widgets`, `my-widgets`" in detail
    assert "secret-project" not in detail


@pytest.mark.promise("own-registry")
def test_a_token_of_another_registry_is_forbidden(shelf: Shelf) -> None:
    """A093."""
    token = shelf.mint(("other", "widgets", "p-secret"))

    answer = shelf.post(form(wheel()), shelf.basic(token))

    assert answer.status == 403
    assert "no project of this registry" in answer.detail


def test_a_project_is_known_by_its_normalised_name(shelf: Shelf) -> None:
    distribution = wheel("my-widgets")
    sent = fields(distribution, name="My._Widgets")

    assert shelf.publish(distribution, sent).status == 200


@pytest.mark.promise("removed-publisher")
def test_a_publisher_removed_after_the_exchange_is_forbidden_at_once(shelf: Shelf) -> None:
    """upload-017, A105."""
    del shelf.publishers[0]
    shelf.apply()

    answer = shelf.publish(wheel())

    assert answer.status == 403
    assert "no longer trusts" in answer.detail


def test_a_publisher_that_lost_the_project_is_forbidden(shelf: Shelf) -> None:
    shelf.publishers[0] = replace(shelf.publishers[0], projects=("gadgets",))
    shelf.apply()

    assert shelf.publish(wheel()).status == 403


@pytest.mark.promise("scope")
def test_a_project_given_to_the_publisher_after_the_exchange_is_not_covered(shelf: Shelf) -> None:
    """upload-019."""
    shelf.publishers[0] = replace(shelf.publishers[0], projects=("widgets", "gadgets"))
    shelf.apply()

    assert shelf.publish(wheel("gadgets")).status == 403


@pytest.mark.promise("removed-publisher")
def test_a_publisher_added_again_does_not_revive_a_token(shelf: Shelf) -> None:
    removed = shelf.publishers.pop(0)
    shelf.apply()
    shelf.publishers.append(replace(removed, publisher_id="p-new"))
    shelf.apply()

    assert shelf.publish(wheel()).status == 403


@pytest.mark.promise("switched-off")
@pytest.mark.parametrize(
    "switch_off",
    [
        lambda shelf: shelf.change(enabled=False),
        lambda shelf: shelf.change(issuers=()),
        lambda shelf: shelf.switch_off(),
        lambda shelf: shelf.switch_issuer_off(),
    ],
    ids=["A105 the registry", "the issuer in the registry", "everything", "the issuer"],
)
def test_what_is_switched_off_after_the_exchange_is_forbidden(
    shelf: Shelf, switch_off: Callable[[Shelf], None]
) -> None:
    switch_off(shelf)

    assert shelf.publish(wheel()).status == 403


# The right comes first


@pytest.mark.parametrize(
    "body",
    [b"", b"junk", form(wheel(), fields(wheel(), name=None)), b"x" * 10_000_001],
    ids=["empty", "no form", "no name", "too large"],
)
def test_who_has_no_good_token_hears_nothing_about_the_form(shelf: Shelf, body: bytes) -> None:
    shelf.now += timedelta(seconds=900)

    assert shelf.post(body).status == 401


def test_who_has_no_right_hears_nothing_about_the_form(shelf: Shelf) -> None:
    sent = [("name", "gadgets"), (":action", "doc_upload")]

    assert shelf.publish(wheel(), sent).status == 403


def test_who_has_no_right_hears_nothing_about_files(shelf: Shelf) -> None:
    shelf.publish(wheel())
    token = shelf.mint(("acme", "my-widgets", "p-my"))

    assert shelf.post(form(wheel()), shelf.basic(token)).status == 403


@pytest.mark.parametrize("body", [b"", form(wheel(), fields(wheel(), name=None))])
def test_a_form_without_a_name_costs_one_read(shelf: Shelf, body: bytes) -> None:
    answer = shelf.post(body)

    assert answer.status == 400
    assert shelf.store.calls.count("find_token") == 1


def test_a_body_over_the_limit_is_too_large(shelf: Shelf) -> None:
    assert shelf.post(b"x" * 10_000_001).status == 413


# Single use


@pytest.mark.promise("stolen-token")
def test_a_single_use_token_is_good_for_one_file(shelf: Shelf) -> None:
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))

    statuses = [shelf.post(form(d), token).status for d in (wheel(), sdist(), wheel())]

    assert statuses == [200, 401, 200]  # the same file again, for whom the answer was lost
    assert names(shelf) == [WHEEL_NAME]


@pytest.mark.parametrize("method", ["find_file", "use_token", "add_file"])
def test_a_single_use_token_outlives_an_upload_that_came_to_nothing(
    shelf: Shelf, method: str
) -> None:
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))
    refused = shelf.post(form(wheel(), fields(wheel(), version="2")), token)
    shelf.store.fail_next(method)
    failed = shelf.post(form(wheel()), token)

    assert (refused.status, failed.status) == (400, 503)
    assert shelf.post(form(wheel()), token).status == 200


@pytest.mark.parametrize("other", [sdist(), wheel("my-widgets", "2")])
def test_a_token_that_has_been_used_writes_nothing_more(shelf: Shelf, other: Distribution) -> None:
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))
    shelf.post(form(wheel()), token)
    kept = dict(shelf.files.contents)
    shelf.files.calls.clear()

    answer = shelf.post(form(other), token)

    assert answer.status == 401
    assert shelf.files.calls == []
    assert shelf.files.contents == kept


def test_a_file_that_is_there_already_does_not_use_the_token_up(shelf: Shelf) -> None:
    shelf.publish(wheel())
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))

    statuses = [shelf.post(form(d), token).status for d in (wheel(), sdist())]

    assert statuses == [200, 200]


def test_of_two_uploads_at_once_with_a_single_use_token_one_loses(shelf: Shelf) -> None:
    token = shelf.mint(feature=SINGLE_USE)
    record = shelf.store.tokens[token.lookup_id]
    between(shelf, lambda: shelf.store.use_token(record, "another file"))

    answer = shelf.post(form(wheel()), shelf.basic(token))

    assert answer.status == 401
    assert names(shelf) == []


def between(shelf: Shelf, act: Callable[[], object]) -> None:
    """Let something happen after all checks, when the bytes are being stored."""

    class InterruptedFiles(MemoryFiles):
        def save(self, key: str, content: Content, sha256: str) -> None:
            super().save(key, content, sha256)
            if not self.calls[1:]:
                act()

    shelf.index = replace(shelf.index, files=InterruptedFiles())


# What real clients send


UV_EXTRAS = [
    ("description", "# Widgets\n"),
    ("requires_python", ""),
    ("classifiers", "Private :: Do Not Upload"),
    ("classifiers", "Typing :: Typed"),
    ("import_names", "widgets"),
    ("dynamic", "license-file"),
    ("license_file", "LICENSE"),
]
PDM_EXTRAS = [("summary", ""), ("home_page", ""), ("requires_python", ""), ("provides_extras", "x")]
HATCH_EXTRAS = [
    ("metadata_version", "2.4"),
    ("author_email", "A <a@example.com>"),
    ("project_url", "Home, https://example.com"),
    ("requires_dist", "packaging>=26"),
    ("description_content_type", "text/markdown"),
]


def texts(sent: distributions.Fields) -> list[bytes]:
    return [text_part(name, value) for name, value in sent]


def blake2(distribution: Distribution) -> str:
    return hashlib.blake2b(distribution.content, digest_size=32).hexdigest()


def md5(distribution: Distribution) -> str:
    return hashlib.md5(distribution.content, usedforsecurity=False).hexdigest()


def uv(d: Distribution) -> list[bytes]:
    """Attestations after the content, which has no content type."""
    sent = [*fields(d, blake2_256_digest=blake2(d), pyversion="py3"), *UV_EXTRAS]
    content = file_part(d.filename, d.content)
    return [*texts(sent), content, text_part("attestations", '[{"version": 1}]' * 1000)]


def twine(d: Distribution) -> list[bytes]:
    sent = fields(d, blake2_256_digest=blake2(d), pyversion="py3", keywords="a, b")
    return [*texts(sent), file_part(d.filename, d.content, kind="application/octet-stream")]


def pdm(d: Distribution) -> list[bytes]:
    """Empty strings for what is not set, and `provides_extras`."""
    sent = [*fields(d, md5_digest=md5(d), blake2_256_digest=blake2(d)), *PDM_EXTRAS]
    return [*texts(sent), file_part(d.filename, d.content, kind="application/octet-stream")]


def maturin(d: Distribution) -> list[bytes]:
    return [*texts(fields(d)), file_part(d.filename, d.content, kind="application/gzip")]


def hatch(d: Distribution) -> list[bytes]:
    """Every header of the metadata."""
    sent = fields(d, metadata_version=None, md5_digest=md5(d), blake2_256_digest=blake2(d))
    return [*texts([*sent, *HATCH_EXTRAS]), file_part(d.filename, d.content)]


def flit(d: Distribution) -> list[bytes]:
    """No `pyversion` for an sdist, and the fields in an order of its own."""
    sent = fields(d, md5_digest=md5(d), provides="widgets")
    return [*texts(sent[::-1]), file_part(d.filename, d.content)]


def content_first(d: Distribution) -> list[bytes]:
    return [file_part(d.filename, d.content, kind="image/png"), *texts(fields(d))]


@pytest.mark.parametrize("distribution", [wheel(), sdist()], ids=["wheel", "sdist"])
@pytest.mark.parametrize("client", [uv, twine, pdm, maturin, hatch, flit, content_first])
def test_a_form_is_accepted_as_sent_by(
    shelf: Shelf, client: Callable[[Distribution], list[bytes]], distribution: Distribution
) -> None:
    body = distributions.body(client(distribution))

    assert shelf.post(body).status == 200


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("md5_digest", md5(wheel())),
        ("sha256_digest", wheel().sha256),
        ("sha256_digest", wheel().sha256.upper()),
        ("blake2_256_digest", blake2(wheel())),
    ],
)
def test_any_one_digest_is_enough(shelf: Shelf, name: str, digest: str) -> None:
    sent = fields(wheel(), sha256_digest=None)

    assert shelf.publish(wheel(), [*sent, (name, digest)]).status == 200


def test_a_thousand_fields_are_accepted(shelf: Shelf) -> None:
    sent = [*fields(wheel()), *[("requires_dist", f"p{i}") for i in range(1000)]]

    assert shelf.publish(wheel(), sent).status == 200


# Forms that are refused


@pytest.mark.parametrize(
    "changes",
    [
        {":action": None},
        {":action": "submit"},
        {":action": "remove_pkg"},
        {"protocol_version": "2"},
        {"filetype": None},
        {"filetype": "sdist"},
        {"filetype": "bdist_egg"},
        {"name": ""},
        {"name": "-widgets"},
        {"name": "widgets\n"},
        {"name": "wid gets"},
        {"name": "../widgets"},
        {"name": "w\N{LATIN SMALL LETTER DOTLESS I}dgets"},
        {"name": "w" * 201},
        {"name": "w" * 1025},
        {"version": None},
        {"version": "1.1"},
        {"version": "one"},
        {"version": "9" * 1000 + ".0"},
        {"sha256_digest": None},
        {"sha256_digest": ""},
        {"sha256_digest": "0" * 64},
        {"sha256_digest": wheel().sha256[:-1]},
        {"sha256_digest": f" {wheel().sha256}"},
        {"md5_digest": "0" * 32},
        {"blake2_256_digest": "0" * 64},
        {"description": "x" * (1024 * 1024 + 1)},
    ],
    ids=repr,
)
def test_a_field_is_refused(shelf: Shelf, changes: dict[str, str | None]) -> None:
    answer = shelf.publish(wheel(), fields(wheel(), **changes))

    assert answer.status == 400
    assert names(shelf) == []


@pytest.mark.parametrize(
    "name", [":action", "protocol_version", "filetype", "name", "version", "sha256_digest"]
)
def test_a_repeated_field_is_refused(shelf: Shelf, name: str) -> None:
    sent = fields(wheel())
    again = [(field, value) for field, value in sent if field == name]

    assert shelf.publish(wheel(), [*sent, *again]).status == 400


@pytest.mark.promise("one-project")
def test_a_second_name_does_not_move_an_upload_to_another_project(shelf: Shelf) -> None:
    distribution = wheel("gadgets")
    sent = [("name", "widgets"), *fields(distribution)]

    assert shelf.publish(distribution, sent).status == 400


@pytest.mark.parametrize(
    "parts",
    [
        [],
        [file_part(WHEEL_NAME, wheel().content)] * 2,
        [text_part("content", wheel().content)],
        [file_part("", wheel().content)],
        [file_part(WHEEL_NAME, b"")],
        [file_part(WHEEL_NAME, wheel().content), file_part("x", b"widgets", name="filetype")],
        [file_part(WHEEL_NAME, wheel().content), text_part("md5_digest", b"\xff")],
        [file_part(WHEEL_NAME, wheel().content), part('form-data; filename="x"', b"")],
        [file_part(WHEEL_NAME, wheel().content), part("form-data", b"")],
        [file_part(WHEEL_NAME, wheel().content), part(TWO_NAMES, b"")],
        [file_part(WHEEL_NAME, wheel().content), part('attachment; name="x"', b"")],
        [file_part(WHEEL_NAME, wheel().content), text_part("x" * 600, b"")],
        [file_part(WHEEL_NAME, wheel().content), *[text_part("x", b"")] * 4096],
    ],
    ids=[
        "no file",
        "two files",
        "content without a file name",
        "empty file name",
        "empty file",
        "a file for a text field",
        "not UTF-8",
        "a part without a name",
        "a part without parameters",
        "a part with two names",
        "a part of another disposition",
        "a long header",
        "too many parts",
    ],
)
def test_a_form_is_refused(shelf: Shelf, parts: list[bytes]) -> None:
    answer = shelf.post(distributions.body([*texts(fields(wheel())), *parts]))

    assert answer.status == 400
    assert names(shelf) == []


@pytest.mark.parametrize(
    "content_type",
    [
        None,
        "",
        "application/json",
        "multipart/form-data",
        "multipart/form-data; boundary=",
        "multipart/form-data; boundary=other",
        f"multipart/mixed; boundary={BOUNDARY}",
        'multipart/form-data; boundary="\n"',
        "multipart/form-data; boundary=" + "x" * 2000,
        'multipart/form-data; boundary="\ud800"',
    ],
)
def test_a_body_of_another_type_is_refused(shelf: Shelf, content_type: str | None) -> None:
    assert shelf.post(form(wheel()), content_type=content_type).status == 400


def test_a_truncated_form_is_refused(shelf: Shelf) -> None:
    assert shelf.post(form(wheel())[:-10]).status == 400


# File names


def named(length: int) -> str:
    """Return a wheel's file name of this many characters."""
    return f"widgets-1.0-py3-none-{'a' * (length - 25)}.whl"


def test_a_file_name_of_240_characters_is_the_longest(shelf: Shelf) -> None:
    longest = wheel(filename=named(240))
    too_long = wheel(filename=named(241))

    assert shelf.publish(longest).status == 200
    assert "at most 240 characters" in shelf.publish(too_long).detail


@pytest.mark.parametrize(
    "filename",
    [
        "gadgets-1.0-py3-none-any.whl",
        "widgets-1.1-py3-none-any.whl",
        "Widgets-1.0-py3-none-any.whl",
        "widgets-1.0-py3-none.whl",
        "widgets-1.0.whl",
        "widgets-one-py3-none-any.whl",
        "widgets-1.0-py3-none-any.WHL",
        "widgets-1.0-py3-none-any.whl.exe",
        "widgets-1.0-py3-none-any.egg",
        "../widgets-1.0-py3-none-any.whl",
        "a/widgets-1.0-py3-none-any.whl",
        "a\\widgets-1.0-py3-none-any.whl",
        "..\\widgets-1.0-py3-none-any.whl",
        "/widgets-1.0-py3-none-any.whl",
        "C:\\widgets-1.0-py3-none-any.whl",
        "\\\\server\\widgets-1.0-py3-none-any.whl",
        "widgets-1.0-py3-none-any.whl/",
        "widgets-1.0-py3-none-any.whl%0D%0AX: y",
        "widgets-1.0-py3-none-any\N{SNOWMAN}.whl",
        "widgets-1.0-py3-none-any\x00.whl",
        "widgets-1.0-py3-none-any\x7f.whl",
        "widgets-1.0-1 x-py3-none-any.whl",
        " widgets-1.0-py3-none-any.whl",
        f"widgets-1.0-{LEAKED}-none-any.whl",
        named(241),
        ".whl",
        "-1.0-py3-none-any.whl",
        "_-1.0-py3-none-any.whl",
        "CON",
    ],
)
def test_a_wheel_is_refused_by_the_name(shelf: Shelf, filename: str) -> None:
    d = wheel()
    sent = fields(d, name="widgets", version="1.0")
    body = distributions.body([*texts(sent), file_part(filename, d.content)])

    assert shelf.post(body).status == 400
    assert names(shelf) == []


@pytest.mark.parametrize(
    "filename",
    [
        "widgets-1.0.zip",
        "widgets-1.0.tgz",
        "widgets-1.0.tar.bz2",
        "widgets-1.0.tar",
        "Widgets-1.0.tar.gz",
        "widgets-v1.0.tar.gz",
        "widgets-1.0-1.tar.gz",
        "widgets-01.0.tar.gz",
        "widgets.tar.gz",
        "widgets-.tar.gz",
        "-1.0.tar.gz",
        "gadgets-1.0.tar.gz",
    ],
)
def test_an_sdist_is_refused_by_the_name(shelf: Shelf, filename: str) -> None:
    d = sdist()
    sent = fields(d, name="widgets", version="1.0", filetype="sdist")
    body = distributions.body([*texts(sent), file_part(filename, d.content)])

    assert shelf.post(body).status == 400
    assert names(shelf) == []


@pytest.mark.parametrize(
    "filename", ["my-widgets-1.0.tar.gz", "my.widgets-1.0.tar.gz", "My_Widgets-1.0.tar.gz"]
)
def test_an_sdist_has_one_name(shelf: Shelf, filename: str) -> None:
    """PEP 625."""
    d = sdist("my-widgets", filename=filename)
    sent = fields(d, name="my-widgets", version="1.0")

    assert "`my_widgets-1.0.tar.gz`" in shelf.publish(d, sent).detail


@pytest.mark.parametrize(
    "version", ["1.0", "1", "1.0.dev3", "1!2.0", "1.0+local.1", "2.0rc1.post4"]
)
def test_a_version_is_accepted(shelf: Shelf, version: str) -> None:
    assert shelf.publish(wheel(version=version)).status == 200
    assert shelf.publish(sdist(version=version)).status == 200


def test_versions_are_compared_as_versions(shelf: Shelf) -> None:
    d = wheel(text=metadata(version="1.0.0"))

    assert shelf.publish(d, fields(d, version="1")).status == 200


# Duplicates


def test_the_same_file_again_is_a_success_that_writes_nothing(shelf: Shelf) -> None:
    shelf.publish(wheel())
    stored = dict(shelf.store.files)
    shelf.now += timedelta(seconds=60)
    shelf.store.calls.clear()
    shelf.files.calls.clear()

    answer = shelf.publish(wheel())

    assert answer.status == 200
    assert shelf.store.files == stored
    assert "add_file" not in shelf.store.calls
    assert shelf.files.calls == []


def other_wheel() -> Distribution:
    return wheel(text=metadata("widgets", "1.0", "Summary: other"))


@pytest.mark.promise("immutable-file")
def test_other_content_under_a_name_that_is_taken_is_refused(shelf: Shelf) -> None:
    shelf.publish(wheel())

    answer = shelf.publish(other_wheel())

    assert answer.status == 400
    assert answer.detail.startswith("`widgets-1.0-py3-none-any.whl` is published")
    assert answer.text.count("already exist") == 2  # once in each of `title` and `message`
    assert answer.json["type"].endswith("#file-exists")
    assert shelf.store.files["acme", WHEEL_NAME].sha256 == wheel().sha256


def test_poetry_is_not_told_to_register_the_project(shelf: Shelf) -> None:
    shelf.publish(wheel())

    assert "was ever registered" not in shelf.publish(other_wheel()).text


def test_registries_do_not_share_names(shelf: Shelf) -> None:
    shelf.publish(wheel())
    shelf.publishers.append(replace(shelf.publishers[0], publisher_id="p-o", registry="other"))
    shelf.apply()
    token = shelf.mint(("other", "widgets", "p-o"))

    answer = shelf.post(form(other_wheel()), shelf.basic(token), path="/other/legacy/")

    assert answer.status == 200


@pytest.mark.parametrize(
    ("first", "status"), [(wheel(), 200), (other_wheel(), 400)], ids=["the same", "another"]
)
def test_of_two_uploads_at_once_the_second_meets_the_first(
    shelf: Shelf, first: Distribution, status: int
) -> None:
    published = published_file(shelf, first)
    between(shelf, lambda: shelf.store.add_file(published))

    answer = shelf.publish(wheel())

    assert answer.status == status
    assert shelf.store.files["acme", WHEEL_NAME] == published


def published_file(shelf: Shelf, distribution: Distribution) -> PublishedFile:
    elsewhere = Shelf()
    elsewhere.publish(distribution)
    return elsewhere.store.files["acme", distribution.filename]


# What is inside a wheel


def zip_member(name: str, **attributes: int) -> zipfile.ZipInfo:
    member = zipfile.ZipInfo(name)
    for attribute, value in attributes.items():
        setattr(member, attribute, value)
    return member


def with_member(name: str | zipfile.ZipInfo, content: str = "") -> bytes:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns about a name that is there already
        return zipped(recorded([*wheel_members().items(), (name, content)]))


def patched(content: bytes, old: bytes, new: bytes) -> bytes:
    assert len(old) == len(new)
    assert old in content
    return content.replace(old, new)


def poked(content: bytes, offset_in_header: int, value: bytes) -> bytes:
    """Change the first member's own header, and the directory's entry likewise."""
    changed = poked_directory(content, offset_in_header + 2, value)
    return changed[:offset_in_header] + value + changed[offset_in_header + len(value) :]


def poked_directory(content: bytes, offset_in_entry: int, value: bytes) -> bytes:
    """Change the first entry of the zip's central directory, and that alone."""
    start = content.index(b"PK\x01\x02") + offset_in_entry
    return content[:start] + value + content[start + len(value) :]


def with_inserted(content: bytes, position: int, octets: bytes) -> bytes:
    """Insert something before the zip's directory; the end record knows where that is now."""
    changed = content[:position] + octets + content[position:]
    (offset,) = struct.unpack("<L", content[-6:-2])
    return end_record(changed, offset=offset + len(octets))


def local_entry(name: str) -> bytes:
    """Return a member with its own header, as it stands before a zip's directory."""
    return zipped([(name, "evil = True\n")]).partition(b"PK\x01\x02")[0]


def with_hidden_member() -> bytes:
    content = wheel().content
    return with_inserted(content, content.index(b"PK\x01\x02"), local_entry("evil.py"))


def with_hidden_member_between() -> bytes:
    """The directory knows where the members after it are."""
    hidden = local_entry("evil.py")
    content = with_inserted(wheel().content, wheel().content.index(b"PK\x03\x04", 1), hidden)
    moved = content.index(b"PK\x01\x02")
    while (moved := content.find(b"PK\x01\x02", moved + 1)) > 0:
        (offset,) = struct.unpack_from("<L", content, moved + 42)
        content = (
            content[: moved + 42] + struct.pack("<L", offset + len(hidden)) + content[moved + 46 :]
        )
    return content


def with_another_local_name() -> bytes:
    content = wheel().content
    return content[:30] + b"evil" + content[34:]


def with_a_member_listed_twice() -> bytes:
    """Two entries of the directory for one member."""
    content = wheel().content
    start = content.index(b"PK\x01\x02")
    entry = content[start : content.index(b"PK\x01\x02", start + 1)]
    again = entry.replace(b"widgets/__init__.py", b"widgets/__main__.py")
    size, total = struct.unpack("<L", content[-10:-6])[0] + len(again), 5
    changed = content[:-22] + again + content[-22:]
    return end_record(changed, size=size, here=total, total=total)


def with_comment() -> bytes:
    """The last entry of the directory has a comment."""
    content = wheel().content
    start = content.rindex(b"PK\x01\x02") + 32
    (size,) = struct.unpack("<L", content[-10:-6])
    commented = content[:start] + b"\x01" + content[start + 1 : -22] + b"x"
    return end_record(commented + content[-22:], size=size + 1)


def streamed() -> bytes:
    """A zip written to what cannot be sought: sizes come after the content."""

    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

        tell = seek

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in wheel_members().items():
            archive.writestr(name, content)
    return pipe.getvalue()


def with_extra(extra: bytes) -> bytes:
    member = zip_member("widgets/aaaa")
    member.extra = extra
    return zipped(recorded([*wheel_members().items(), (member, "")]))


def begun_with(name: str) -> bytes:
    """Return a wheel whose first member has this name."""
    return zipped(recorded([(name, ""), *wheel_members().items()]))


def with_flag(flag: int, wheel: bytes) -> bytes:
    """Return a wheel whose first member has this flag, in both of its headers."""
    content = bytearray(wheel)
    for place in (6, content.index(b"PK\x01\x02") + 8):
        content[place : place + 2] = struct.pack("<H", flag)
    return bytes(content)


def with_attributes(name: str, attributes: int) -> bytes:
    member = zip_member(name)
    member.external_attr = attributes
    return zipped(recorded([*wheel_members().items(), (member, "")]))


def with_members(*names: str) -> bytes:
    return zipped(recorded([*wheel_members().items(), *((name, "") for name in names)]))


def end_record(content: bytes, **changes: int) -> bytes:
    keys = ("disk", "first", "here", "total", "size", "offset", "comment")
    values = dict(zip(keys, struct.unpack("<4H2LH", content[-18:]), strict=True)) | changes
    return content[:-18] + struct.pack("<4H2LH", *values.values())


def zip64() -> bytes:
    """A zip whose directory's tail is the locator of another directory."""
    content = with_member("widgets/x")
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 1)
    size = struct.unpack("<L", content[-10:-6])[0]
    return end_record(content[:-22] + locator + content[-22:], size=size + len(locator))


def with_zip64_directory_in_a_comment() -> bytes:
    """A zip with an unsafe name for unzip, and a safe one for Python, which heeds the locator."""
    content = zipped([("../evil", ""), *wheel_members().items()])
    count, size, start = struct.unpack("<HLL", content[-12:-2])
    directory = content[start:-22]
    second = directory.replace(b"../evil", b"widgets")
    counts = (0, 0, count, count, size, start + size)
    record = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, *counts)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, start + 2 * size, 1)
    comment = second + record + locator
    last = content.rindex(b"PK\x01\x02") + 32
    commented = content[:last] + struct.pack("<H", len(comment)) + content[last + 2 : -22]
    return end_record(commented + comment + content[-22:], size=size + len(comment))


def unicode_path(path: bytes) -> bytes:
    """Return the extra field with another name, which only newer versions of Python read."""
    return struct.pack("<HHBL", 0x7075, 5 + len(path), 1, zlib.crc32(b"widgets/aaaa")) + path


def asi_unix(mode: int) -> bytes:
    """Return the extra field with another file mode, which unzip reads where there is none."""
    values = struct.pack("<HLHH", mode, 0, 0, 0)
    return struct.pack("<HHL", 0x756E, 4 + len(values), zlib.crc32(values)) + values


def zip_bomb() -> bytes:
    return with_member("widgets/zeros", "\0" * (80 * 1024 * 1024))


def lying_metadata() -> bytes:
    """A METADATA that inflates to 50 MiB, and says that it has ten bytes, as RECORD does."""
    bomb = "x" * (50 * 1024 * 1024)
    return lying("widgets-1.0.dist-info/METADATA", bomb)


def lying_bomb() -> bytes:
    """A member that inflates to 80 MB, and says that it has ten bytes, as RECORD does."""
    return lying("widgets/zeros", "\0" * 80_000_001)


def lying(name: str, bomb: str) -> bytes:
    members = dict(recorded({**wheel_members(), name: bomb[:10]}.items()))
    content = zipped({**members, name: bomb}.items())
    return patched(content, struct.pack("<L", len(bomb)), struct.pack("<L", 10))


def stating(packed: bytes, content: bytes, method: int = zipfile.ZIP_DEFLATED) -> Distribution:
    """Return a wheel whose first member is these bytes, and states that they are that content."""
    _, *others = recorded([("widgets/x", content), *wheel_members().items()])
    made = zipped([("widgets/x", packed), *others], zipfile.ZIP_STORED)
    made = poked(made, 8, struct.pack("<H", method))
    made = poked(made, 14, struct.pack("<L", zlib.crc32(content)))
    return Distribution(WHEEL_NAME, poked(made, 22, struct.pack("<L", len(content))))


def deflated(content: bytes) -> bytes:
    return zlib.compress(content, wbits=-15)


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize("name", UNSAFE_NAMES, ids=repr)
def test_a_wheel_with_an_unsafe_member_is_refused(shelf: Shelf, name: str) -> None:
    assert_refused(shelf, Distribution(WHEEL_NAME, with_member(name)))


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"x", "not a zip"),
        (b"PK\x03\x04" + b"x" * 100, "in parts"),
        (sdist().content, "not a zip"),
        (b"#!/bin/sh\n" + wheel().content, "not a zip"),
        (wheel().content[:-1], "in parts"),
        (wheel().content + b"x", "in parts"),
        (end_record(wheel().content, comment=1), "in parts"),
        (end_record(wheel().content, disk=1), "in parts"),
        (end_record(wheel().content, first=1), "in parts"),
        (end_record(wheel().content, here=1), "in parts"),
        (end_record(wheel().content, here=3, total=3), "the number of members that it states"),
        (end_record(wheel().content, offset=0), "directory"),
        (zip64(), "second directory"),
        (with_zip64_directory_in_a_comment(), "second directory"),
        (with_member("widgets/__init__.py"), "two members"),
        (with_member("widgets/__init__.py/"), "two members"),
        (with_member("widgets/d/", "x"), "directory with content"),
        (patched(with_member("widgets/x\x1fy"), b"x\x1fy", b"x\x00y"), "unsafe"),
        (poked(wheel().content, 8, b"\x0e\x00"), "deflate"),
        (poked(wheel().content, 6, b"\x01\x00"), "encrypted"),
        (poked(wheel().content, 18, b"\x00\x00\x00\x01"), "that its directory does not list"),
        (poked(wheel().content, 22, b"\x00\x00\x00\x10"), "too many bytes"),
        (poked_directory(wheel().content, 8, b"\x02\x00"), "contradicts"),
        (poked_directory(wheel().content, 10, b"\x00\x00"), "contradicts"),
        (poked_directory(wheel().content, 16, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 20, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 24, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 42, b"\x01"), "contradicts"),
        (poked_directory(wheel().content, 28, b"\x01"), "directory is not at its end"),
        (with_comment(), "comment on a member"),
        (with_another_local_name(), "contradicts"),
        (with_hidden_member(), "that its directory does not list"),
        (with_hidden_member_between(), "that its directory does not list"),
        (
            with_inserted(wheel().content, wheel().content.index(b"PK\x01"), b"x"),
            "its directory does not list",
        ),
        (with_a_member_listed_twice(), "the number of members that it states"),
        (streamed(), "data descriptor"),
        (with_extra(unicode_path(b"evil.py")), "`widgets/aaaa` has a second name"),
        (with_extra(asi_unix(stat.S_IFLNK | 0o777)), "`widgets/aaaa` has a second type"),
        (with_extra(struct.pack("<HH", 0x6375, 0)), "`widgets/aaaa` has a second comment"),
        (with_extra(struct.pack("<HHH", 0x000D, 2, 0)), "`widgets/aaaa` has a second type"),
        (with_extra(struct.pack("<HHH", 0x6C78, 2, 0)), "`widgets/aaaa` has a second type"),
        (with_extra(struct.pack("<HHQQ", 1, 16, 0, 0)), "`widgets/aaaa` has two sizes"),
        *(
            (with_flag(flag, wheel().content), "not all tools know")
            for flag in (0x1, 0x10, 0x20, 0x40, 0x2000)
        ),
        (with_flag(0, begun_with("widgets/\u00e4")), "marked as UTF-8"),
        (with_attributes("widgets/x.py", stat.S_IFDIR << 16), "for some tools"),
        (with_attributes("widgets/x.py", 0x10), "for some tools"),
        (with_attributes("widgets/x/", stat.S_IFREG << 16), "for some tools"),
        (with_members("widgets/x", "widgets/x/y"), "below the file `widgets/x`"),
        (with_extra(struct.pack("<HHQ", 1, 8, 0)), "`widgets/aaaa` has two sizes"),
        (with_extra(struct.pack("<HH", 1, 0)), "`widgets/aaaa` has two sizes"),
        (with_extra(struct.pack("<HH", 0xCAFE, 1)), "malformed extra"),
        (zip_bomb(), "too many bytes"),
        (lying_metadata(), "not as stated"),
        (lying_bomb(), "not as stated"),
        (zipped([("widgets/__init__.py", "")]), "exactly one .dist-info directory"),
        (
            zipped([(f"x/{n}", c) for n, c in wheel_members().items()]),
            "exactly one .dist-info directory",
        ),
        (with_member("gadgets-1.0.dist-info/METADATA"), "exactly one .dist-info directory"),
        (with_member("Widgets-1.0.DIST-INFO/METADATA"), "exactly one .dist-info directory"),
        (zipped(wheel_members("gadgets").items()), "exactly one .dist-info directory"),
        (zipped(wheel_members(version="1.1").items()), "exactly one .dist-info directory"),
        (
            zipped([("widgets-1.0.DIST-INFO/METADATA", metadata())]),
            "exactly one .dist-info directory",
        ),
        (zipped([("widgets.dist-info/METADATA", metadata())]), "it has `widgets.dist-info`"),
        (zipped([("widgets-1.0.dist-info/WHEEL", "")]), "METADATA"),
        (zipped([("widgets-1.0.dist-info/a/METADATA", metadata())]), "METADATA"),
        (wheel(text="x" * (1024 * 1024 + 1)).content, "1 MiB"),
        (zipped([(str(i), "") for i in range(20_001)]), "20000 members"),
    ],
)
def test_a_wheel_is_refused_that_is(shelf: Shelf, content: bytes, words: str) -> None:
    assert_refused(shelf, Distribution(WHEEL_NAME, content), words)


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    ("packed", "content"),
    [
        (deflated(b"x" * 100), b"x" * 99),
        (deflated(b"x" * 100), b"x" * 101),
        (deflated(b"x" * 100), b""),
        (deflated(noise(200_000)), noise(200_000)[:100_000]),
        (deflated(noise(100_000) * 2), noise(100_000)),
    ],
    ids=["less", "more", "nothing", "half", "once"],
)
def test_a_wheel_that_states_another_size_than_a_member_has_is_refused(
    shelf: Shelf, packed: bytes, content: bytes
) -> None:
    assert_refused(shelf, stating(packed, content), "not as stated")


@pytest.mark.parametrize("content", [b"x", b"xxx"], ids=["less", "more"])
def test_a_wheel_that_states_another_size_than_a_stored_member_has_is_refused(
    shelf: Shelf, content: bytes
) -> None:
    assert_refused(shelf, stating(b"xx", content, zipfile.ZIP_STORED), "not as stated")


@pytest.mark.parametrize(
    "distribution",
    [
        stating(b"xx", b"xy", zipfile.ZIP_STORED),
        stating(deflated(b"xx"), b"xy"),
        stating(deflated(noise(100_000)), noise(100_000)[::-1]),
    ],
    ids=["stored", "deflated", "in pieces"],
)
def test_a_wheel_with_a_member_of_another_checksum_is_refused(
    shelf: Shelf, distribution: Distribution
) -> None:
    assert_refused(shelf, distribution, "CRC-32")


def test_a_wheel_whose_metadata_has_another_checksum_is_refused(shelf: Shelf) -> None:
    members = {"widgets-1.0.dist-info/METADATA": metadata(), **wheel_members()}
    made = wheel(members=members).content

    assert_refused(shelf, Distribution(WHEEL_NAME, poked(made, 14, b"\0\0\0\0")), "CRC-32")


@pytest.mark.parametrize(
    "packed",
    [
        deflated(b"x" * 100) + b"y",
        deflated(b"x" * 100) + deflated(b"y"),
        deflated(b"x" * 100) + b"y" * 100_000,
        deflated(b"x" * 100)[:-1],
        b"",
    ],
    ids=["a byte more", "a second stream", "much more", "a byte less", "nothing"],
)
def test_a_wheel_whose_member_is_more_or_less_than_one_stream_is_refused(
    shelf: Shelf, packed: bytes
) -> None:
    assert_refused(
        shelf, stating(packed, b"x" * 100), "the compressed data in the archive is cut short, or"
    )


def test_a_wheel_whose_member_is_not_deflated_is_refused(shelf: Shelf) -> None:
    assert_refused(shelf, stating(b"\xff" * 9, b"x" * 9), "not a valid archive")


@pytest.mark.parametrize("content", [lying_bomb(), lying_metadata()], ids=["member", "METADATA"])
def test_no_more_of_a_member_is_unpacked_than_a_piece_beyond_its_stated_size(
    shelf: Shelf, content: bytes
) -> None:
    body = form(Distribution(WHEEL_NAME, content))
    tracemalloc.start()

    answer = shelf.post(body)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert answer.status == 400
    assert peak < 4 * len(body) + 512 * 1024


@pytest.mark.parametrize("size", [1, 16_384, 65_535, 65_536, 65_537, 1_000_000])
@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_a_wheel_may_have_members_of_any_size(shelf: Shelf, method: int, size: int) -> None:
    members = [("widgets/noise", noise(size)), ("widgets/zeros", bytes(size))]
    content = zipped(recorded([*members, *wheel_members().items()]), method)

    assert shelf.publish(Distribution(WHEEL_NAME, content)).status == 200


SPECIAL_TYPES = [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK, 0o150000]


@pytest.mark.promise("unpacked-inside")
@pytest.mark.parametrize("system", [0, 3, 19], ids=["DOS", "Unix", "macOS"])
@pytest.mark.parametrize("kind", SPECIAL_TYPES, ids=oct)
def test_a_wheel_with_a_link_or_a_special_file_is_refused(
    shelf: Shelf, kind: int, system: int
) -> None:
    member = zip_member("widgets/l", create_system=system, external_attr=(kind | 0o777) << 16)

    assert_refused(
        shelf, Distribution(WHEEL_NAME, with_member(member, "/etc/passwd")), "only plain"
    )


@pytest.mark.parametrize(
    ("name", "mode"),
    [
        ("widgets/f", stat.S_IFREG | 0o644),
        ("widgets/f", stat.S_IFREG | 0o4755),
        ("widgets/f", 0o644),
        ("widgets/f", 0),
        ("widgets/d/", stat.S_IFDIR | 0o755),
    ],
)
def test_a_wheel_may_have_files_and_directories_of_any_permissions(
    shelf: Shelf, name: str, mode: int
) -> None:
    member = zip_member(name, create_system=3, external_attr=mode << 16)

    assert shelf.publish(Distribution(WHEEL_NAME, with_member(member))).status == 200


@pytest.mark.promise("unpacked-alike")
@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.0.dist-info/metadata",
        "widgets-1.0.dist-info/Metadata",
        "widgets-1.0.dist-info/metadata/",
        "widgets-1.0.dist-info/METADATA.",
        "widgets-1.0.dist-info/METADATA ",
        "widgets-1.0.dist-info/METADATA::$DATA",
        "Widgets-1.0.dist-info/METADATA",
        "widgets-1.0.Dist-Info/METADATA",
        "widgets-1.0.dist-info./METADATA",
        "widgets-1.0.dist-info /METADATA",
        "widgets-1.0.dist-info::$INDEX_ALLOCATION/METADATA",
        "widgets-1.0.di\ufb06-info/METADATA",
        "widgets-1.0.data/purelib/widgets-1.0.dist-info/METADATA",
        "widgets-1.0.data/purelib/gadgets-9.9.dist-info/METADATA",
        "widgets-1.0.data/platlib/Widgets-1.0.DIST-INFO/METADATA",
        "widgets-1.0.DATA/purelib/gadgets-9.9.dist-info",
    ],
)
def test_a_wheel_has_one_metadata_file_on_every_file_system(shelf: Shelf, name: str) -> None:
    assert_refused(shelf, Distribution(WHEEL_NAME, with_member(name, metadata("gadgets"))))


@pytest.mark.parametrize(
    "name",
    [
        "widgets-1.0.data/scripts/widgets",
        "widgets-1.0.data/data/share/x.dist-information/y",
        "widgets/a.data/purelib/x.dist-info/METADATA",
    ],
)
def test_a_wheel_may_have_data(shelf: Shelf, name: str) -> None:
    assert shelf.publish(Distribution(WHEEL_NAME, with_member(name))).status == 200


@pytest.mark.parametrize(
    "name", ["widgets/metadata", "widgets-1.0.dist-info/licenses/metadata", "WIDGETS/init.py"]
)
def test_other_members_of_a_wheel_may_be_spelt_as_they_like(shelf: Shelf, name: str) -> None:
    assert shelf.publish(Distribution(WHEEL_NAME, with_member(name))).status == 200


@pytest.mark.parametrize(
    "extra",
    [
        struct.pack("<HHLL", 0x5455, 8, 1, 1),
        struct.pack("<HH", 0xCAFE, 0),
        b"",
    ],
    ids=["times", "an empty field", "none"],
)
def test_a_wheel_may_have_extra_fields(shelf: Shelf, extra: bytes) -> None:
    assert shelf.publish(Distribution(WHEEL_NAME, with_extra(extra))).status == 200


def test_the_members_of_a_wheel_may_be_listed_in_any_order(shelf: Shelf) -> None:
    first, *others, end = wheel().content.partition(b"PK\x01\x02")[2].split(b"PK\x01\x02")
    *others, end = [*others, *end.split(b"PK\x05\x06")]
    directory = b"".join(b"PK\x01\x02" + entry for entry in [*others, first])
    content = wheel().content.partition(b"PK\x01\x02")[0] + directory + b"PK\x05\x06" + end

    assert shelf.publish(Distribution(WHEEL_NAME, content)).status == 200


def test_directories_and_differently_written_names_in_a_wheel_are_fine(shelf: Shelf) -> None:
    members = {
        "My.Widgets-1.0.0.dist-info/METADATA": metadata("my.widgets"),
        "My.Widgets-1.0.0.dist-info/WHEEL": "Wheel-Version: 1.0\n",
        "my_widgets/": "",
    }
    d = wheel("my-widgets", members=members)

    assert shelf.publish(d).status == 200


# Metadata


def described(*lines: str) -> str:
    return "".join(f"{line}\n" for line in lines)


NO_REQUIREMENTS = [
    "Requires-Dist: foo bar baz",
    "Requires-Dist: ",
    "requires-dist: foo bar",
    "Requires-Dist: -foo",
    "Requires-Dist: f\u00f6\u00f6",
    "Requires-Dist: foo>=",
    "Requires-Dist: foo ~=1",
    "Requires-Dist: foo>=1.0.*",
    "Requires-Dist: foo (>dev)",
    "Requires-Dist: foo===x",
    "Requires-Dist: foo>=1,===1.0-x-y",
    "Requires-Dist: foo==" + "9" * 5000,
    "Requires-Dist: foo==" + "9" * 20,
    "Requires-Dist: foo[bar",
    "Requires-Dist: foo[bar baz]",
    "Requires-Dist: foo; unknown == '1'",
    "Requires-Dist: foo; os_name == 'posix' # a comment",
    "Requires-Dist: foo\n bar",
    "Requires-Dist: foo\n >=1",
    "Requires-Dist: foo\xa0>=1",
    "Requires-Dist: https://example.com/foo.whl",
    "Requires-Dist: foo; " + "(" * 100_000,
    "Requires-Dist: foo\nRequires-Dist: foo bar",
]
ENCODED_WORDS = [
    "Requires-Dist: =?utf-8?q?evil?=",
    "Requires-Dist: =?UTF-8?B?ZXZpbA==?=",
    "Requires-Dist: foo; extra == '=?utf-8?q?x?='",
    "Requires-Dist: foo @ https://example.com/=?utf-8?q?evil?=.whl",
    "Requires-Dist: foo\nRequires-Dist: =?utf-8?q?evil?=",
    "Provides-Extra: =?utf-8?q?x?=",
    "Dynamic: =?utf-8?q?Requires-Dist?=",
    "Requires-Python: ====?utf-8?q?3?=",
]


@pytest.mark.promise("one-project")
@pytest.mark.parametrize("build", [wheel, sdist], ids=["wheel", "sdist"])
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "metadata-version"),
        ("junk", "metadata-version"),
        (described("Name: widgets", "Version: 1.0"), "metadata-version"),
        (described("Metadata-Version: 9.0", "Name: widgets", "Version: 1.0"), "metadata-version"),
        (described("Metadata-Version: 2.1", "Version: 1.0"), "`name`"),
        (described("Metadata-Version: 2.1", "Name: widgets"), "`version`"),
        (metadata("gadgets"), "the project `widgets`, the metadata inside is for `gadgets`"),
        (metadata(version="1.1"), "the version `1.0`, the metadata inside has `1.1`"),
        (metadata("widgets", "one"), "`version`"),
        (metadata("widgets", "9" * 5000), "`version`"),
        (metadata("-widgets-"), "`name`"),
        (metadata("widgets", "1.0", "Name: gadgets"), "repeats"),
        (metadata("widgets", "1.0", "version: 1.0"), "repeats"),
        (metadata("widgets", "1.0", "Requires-Python: >=3", "Requires-Python: <3"), "repeats"),
        (metadata("widgets", "1.0", "Requires-Python: 3"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: <script>"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: ===\x1b[2J"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: ===\u202e"), "`requires-python`"),
        (metadata("widgets", "1.0", f"Requires-Python: ==={LEAKED}"), "`requires-python`"),
        (metadata("widgets", "1.0", "Requires-Python: " + ">=3," * 500), "too long"),
        *((metadata("widgets", "1.0", line), "not a requirement") for line in NO_REQUIREMENTS),
        *((metadata("widgets", "1.0", line), "an encoded word") for line in ENCODED_WORDS),
        (metadata("widgets", "1.0", "Requires-Dist: x" + ",>1" * 10_001), "many requirements"),
        (metadata("widgets", "1.0", *["Requires-Dist: " + "x" * 99] * 2650), "many requirements"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ ./x"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ /x.whl"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ ://x"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ https://"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ https:///x.whl"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ file://"), "another machine"),
        (metadata("widgets", "1.0", "Requires-Dist: x; os_name == '\x1b[2J'"), "be printed"),
        (metadata("widgets", "1.0", "Requires-Dist: x; os_name == '\u202e'"), "be printed"),
        (metadata("widgets", "1.0", "Requires-Dist: x @ https://x/\x1b[2J"), "be printed"),
        (metadata("widgets", "1.0", *(f"X-{i}: x" for i in range(100))), "too many fields"),
        (metadata("widgets", "1.0", *["Classifier: x"] * 10_001), "too many fields"),
        (metadata("widgets", "1.0", "Summary: \udcff"), "UTF-8"),
    ],
)
def test_metadata_is_refused(
    shelf: Shelf, build: Callable[..., Distribution], text: str, words: str
) -> None:
    octets = text.encode(errors="surrogateescape")
    member = "PKG-INFO" if build is sdist else "METADATA"

    assert_refused(shelf, rebuilt(build, member, octets), words)


def rebuilt(build: Callable[..., Distribution], member: str, octets: bytes) -> Distribution:
    if build is sdist:
        content = gzip.compress(tarred([(f"widgets-1.0/{member}", octets)]))
        return Distribution(SDIST_NAME, content)
    return wheel(members={**wheel_members(), f"widgets-1.0.dist-info/{member}": octets})


@pytest.mark.parametrize(
    "text",
    [
        metadata("WIDGETS", "1.0.0"),
        metadata("widgets", "1.0", "License-File: LICENSE", "Dynamic: license-file"),
        metadata("widgets", "1.0", "X-Unknown: x", "Requires-Python: "),
        metadata("widgets", "1.0", "Content-Type: multipart/mixed; boundary=x"),
        metadata("widgets", "1.0", "Author: =?utf-8?q?J=C3=B6rg?=", "Summary: a =?b?c?= d"),
        metadata("widgets", "1.0", "Provides-Extra: .none", "Requires-External: C compiler"),
        metadata().replace("2.1", "2.0"),
        metadata("widgets", "1.0", "Requires-Dist: foo (>=1.0)").replace("2.1", "1.1"),
        metadata("widgets", "1.0", "Requires-Dist: foo[a,b]>=1,<2;\tos_name=='posix'"),
        metadata("widgets", "1.0", "Requires-Dist: foo; platform.machine == 'x'"),
        metadata("widgets", "1.0", "Requires-Dist: foo @ git+https://example.com/foo@main"),
        metadata("widgets", "1.0", "Requires-Dist: foo @ file:///srv/foo.whl"),
        metadata("widgets", "1.0", "Requires-Dist: foo===1.0", "Requires-Dist: bar==1.*"),
        metadata().replace("\n", "\r\n"),
        metadata().replace("\n", "\r"),
        metadata() + "Name: gadgets\n\nVersion: 2\n" + "\N{SNOWMAN}",
    ],
    ids=[
        "other spelling",
        "fields ahead of the version",
        "unknown and empty fields",
        "a MIME type",
        "encoded words for people",
        "an extra that cannot be asked for",
        "a draft's version",
        "a requirement ahead of the version",
        "a requirement with everything",
        "an old marker",
        "a direct reference",
        "a direct reference to a file",
        "a version as it is written, and a prefix",
        "CRLF",
        "CR",
        "a description like fields",
    ],
)
def test_metadata_is_accepted(shelf: Shelf, text: str) -> None:
    assert shelf.publish(wheel(text=text)).status == 200
    assert shelf.store.files["acme", WHEEL_NAME].requires_python is None


# Audit


def test_an_accepted_upload_leaves_one_audit_record(shelf: Shelf) -> None:
    shelf.publish(wheel())

    assert shelf.record.event == "upload"
    assert shelf.record.outcome == "accepted"
    assert shelf.record.facts == {
        "host": HOST,
        "path": "/acme/legacy/",
        "source_ip": "192.0.2.1",
        "registry": "acme",
        "project": "widgets",
        "filename": WHEEL_NAME,
        "sha256": wheel().sha256,
        "token_hash": shelf.token.hash[:12],
        "publishers": ["p-widgets"],
    }


def test_an_upload_of_what_is_there_says_so_in_its_audit_record(shelf: Shelf) -> None:
    shelf.publish(wheel())
    shelf.publish(wheel())

    assert shelf.records[-1].outcome == "accepted"
    assert shelf.records[-1].facts["unchanged"] is True


@pytest.mark.parametrize(
    ("send", "reason"),
    [
        (lambda shelf: shelf.post(b"", ""), "unauthorized"),
        (lambda shelf: shelf.publish(wheel("gadgets")), "forbidden"),
        (lambda shelf: shelf.post(b""), "invalid-upload"),
        (lambda shelf: shelf.post(b"x" * 10_000_001), "payload-too-large"),
        (lambda shelf: shelf.post(b"", path="/legacy/"), "not-found"),
    ],
)
def test_a_refused_upload_leaves_one_audit_record(
    shelf: Shelf, send: Callable[[Shelf], Answer], reason: str
) -> None:
    answer = send(shelf)

    assert shelf.record.outcome == "refused"
    assert shelf.record.reason == reason
    assert shelf.record.facts["detail"] == answer.detail


def test_no_audit_record_holds_a_token(shelf: Shelf) -> None:
    shelf.publish(wheel())
    shelf.publish(wheel("gadgets"))
    shelf.post(b"")

    assert shelf.token.reveal() not in repr(shelf.records)


def test_text_from_outside_is_made_printable(shelf: Shelf) -> None:
    body = distributions.body([*texts(fields(wheel())), file_part("a\x1b[2J`b", b"x")])

    answer = shelf.post(body)

    shown = "a\N{REPLACEMENT CHARACTER}[2J\N{REPLACEMENT CHARACTER}b"
    assert shelf.record.facts["filename"] == shown
    assert shown in answer.detail


# Hostile bodies


FORM = form(wheel())


@given(st.one_of(st.binary(max_size=2000), st.binary(max_size=200).map(lambda b: FORM[:300] + b)))
def test_a_hostile_body_is_a_problem_of_the_caller(body: bytes) -> None:
    shelf = Shelf()

    answer = shelf.post(body)

    assert answer.status == 400
    assert answer.detail


@given(st.data())
def test_a_form_with_changed_bytes_never_breaks_us(data: st.DataObject) -> None:
    shelf = Shelf()
    position = data.draw(st.integers(0, len(FORM) - 1))
    octets = data.draw(st.binary(min_size=1, max_size=4))

    answer = shelf.post(FORM[:position] + octets + FORM[position + len(octets) :])

    assert answer.status in {200, 400, 401, 403}


@given(st.sampled_from([wheel(), sdist()]), st.data())
def test_an_archive_with_changed_bytes_never_breaks_us(
    d: Distribution, data: st.DataObject
) -> None:
    shelf = Shelf()
    raw = gzip.decompress(d.content) if d.filename == SDIST_NAME else d.content
    position = data.draw(st.integers(0, len(raw) - 1))
    octets = data.draw(st.binary(min_size=1, max_size=4))
    changed = raw[:position] + octets + raw[position + len(octets) :]
    content = gzip.compress(changed) if d.filename == SDIST_NAME else changed

    assert shelf.publish(Distribution(d.filename, content)).status in {200, 400}
