"""The legacy form, as the client sends it."""

from pathlib import Path

import pytest

from pytp_broker.client.uploads.api import Clock
from pytp_broker.client.uploads.legacy import LegacyApi, fields_of
from pytp_broker.client.uploads.local_files import FileError, read_local
from pytp_broker.client.uploads.refusals import UploadError
from pytp_broker.client.uploads.wire import Reply
from pytp_broker.redaction import Hidden
from tests.support.distributions import WHEEL_NAME, metadata, sdist, wheel
from tests.support.upload_server import AUTHORIZATION, LEGACY, LOST, ORIGIN, Drop, problem
from tests.unit.client.uploads.conftest import Client

TEXT = metadata(
    "widgets",
    "1.0",
    "Summary: what it is",
    "Platform: any",
    "Keywords: a,b",
    "Classifier: Private :: Do Not Upload",
    "Classifier: Typing :: Typed",
    "Project-URL: Source, https://example.com",
    "Requires-Dist: x",
    "Requires-Dist: y",
    "License-File: LICENSE",
    "Requires-Python: >=3.9",
)


def legacy(client: Client) -> LegacyApi:
    clock = Clock(client.server.seconds, client.server.wait)
    return LegacyApi(LEGACY, ORIGIN, client.server.send, lambda: Hidden(AUTHORIZATION), clock)


def test_a_wheel_is_a_form(client: Client) -> None:
    legacy(client).upload(client.file(wheel(text=TEXT)), client.progress)

    (form,) = client.server.forms
    digest = form.pop("sha256_digest")
    assert len(digest[0]) == 64
    assert form == {
        ":action": ["file_upload"],
        "protocol_version": ["1"],
        "filetype": ["bdist_wheel"],
        "pyversion": ["py3"],
        "metadata_version": ["2.1"],
        "name": ["widgets"],
        "version": ["1.0"],
        "summary": ["what it is"],
        "platform": ["any"],
        "keywords": ["a, b"],
        "classifiers": ["Private :: Do Not Upload", "Typing :: Typed"],
        "project_urls": ["Source, https://example.com"],
        "requires_dist": ["x", "y"],
        "license_file": ["LICENSE"],
        "requires_python": [">=3.9"],
        "description": ["A description.\n"],
    }


def test_an_sdist_says_that_it_is_source(client: Client) -> None:
    fields = dict(fields_of(client.file(sdist())))

    assert (fields["filetype"], fields["pyversion"]) == ("sdist", "source")


def test_attestations_are_a_field(client: Client) -> None:
    file = client.file()
    (client.folder / f"{WHEEL_NAME}.publish.attestation").write_text("[]")

    assert ("attestations", "[]") in fields_of(file)


@pytest.mark.parametrize("text", ["", "Name: widgets\n\n", "Metadata-Version: 2.1\nName: w\n\n"])
def test_metadata_without_what_every_form_needs_is_said(client: Client, text: str) -> None:
    with pytest.raises(FileError, match="has metadata without"):
        fields_of(client.file(wheel(text=text)))


@pytest.mark.parametrize("broken", [Drop(0.5), Drop(0.99), LOST, Reply(503)])
def test_a_form_is_sent_again_after_a_break(client: Client, broken: object) -> None:
    client.server.plan("POST form", broken, broken)

    legacy(client).upload(client.file(), client.progress)

    assert client.server.published == {WHEEL_NAME: wheel().content}
    assert client.progress.attempts[-1] == client.file().size


def test_a_refused_form_is_said_with_the_whole_reason(client: Client) -> None:
    client.server.plan("POST form", problem(400, "the wheel has no RECORD"))

    with pytest.raises(UploadError, match=r"^the index does not take it: the wheel has no RECORD$"):
        legacy(client).upload(client.file(), client.progress)


def test_a_form_is_sent_to_its_origin_alone(quick_path: Path, client: Client) -> None:
    api = LegacyApi(
        "https://evil.example/legacy/", ORIGIN, client.server.send, lambda: Hidden(AUTHORIZATION)
    )
    path = quick_path / WHEEL_NAME
    path.write_bytes(wheel().content)

    with pytest.raises(UploadError, match="a token is sent nowhere else"):
        api.upload(read_local(path), client.progress)
    assert not client.server.log
