"""The size limit of an upload is that of the deployment."""

from dataclasses import replace
from pathlib import Path

from pytp_broker.aws import edge
from tests.support.distributions import wheel
from tests.support.shelf import Shelf

README = (Path(__file__).parents[3] / "README.md").read_text()
ON_AWS = edge.MAX_UPLOAD_BYTES


def test_an_upload_that_is_too_large_is_told_the_limit() -> None:
    shelf = Shelf()
    shelf.index = replace(shelf.index, max_upload_bytes=ON_AWS)

    answer = shelf.post(b"x" * (ON_AWS + 200_000))

    assert answer.status == 413
    assert "an upload takes at most 4.5 MiB here" in answer.detail
    assert "`pytp-broker publish`, or with your client through `pytp-broker proxy`" in answer.detail
    assert shelf.post(b"x" * ON_AWS).status == 400


def test_a_file_that_is_too_large_for_its_registry_is_told_the_limit(shelf: Shelf) -> None:
    file = wheel()
    shelf.change(max_file_size=len(file.content) - 1)

    answer = shelf.publish(file)

    assert (answer.status, answer.code) == (413, "payload-too-large")
    assert "the registry `acme` takes files of 857 bytes at most" in answer.detail
    assert "a larger `max_file_size`" in answer.detail
    assert not shelf.filenames


def test_a_file_may_be_as_large_as_its_registry_allows(shelf: Shelf) -> None:
    file = wheel()
    shelf.change(max_file_size=len(file.content))

    assert shelf.publish(file).status == 200


def test_the_functions_limit_is_what_lambda_can_be_called_with() -> None:
    base64_characters = ON_AWS * 4 // 3

    assert base64_characters == 6 * 1024 * 1024
    assert "files up to about 4.4 MiB" in README
