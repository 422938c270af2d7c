"""Reading the form of an upload: its parts are found where they are, and copied nowhere."""

import hashlib

import pytest

from pytp_broker.index.forms import FilePart, Form, check_digests, compute_sent_digests, read_form
from tests.support.distributions import (
    BOUNDARY,
    CONTENT_TYPE,
    Distribution,
    fields,
    form,
    noise,
    wheel,
)
from tests.support.ranges import Ranged

BLOCK = 64 * 1024
MAX = 1 << 20
WHEEL = wheel()
DELIMITER = b"\r\n--" + BOUNDARY.encode()


def content_of(body: bytes) -> bytes:
    content = read_form(body, CONTENT_TYPE, MAX).file.content
    return bytes(content.read_at(0, content.size))


# The parser gets the body in blocks: their ends pass through all that stands around the content.
@pytest.mark.parametrize("shift", range(-100, 101, 3))
@pytest.mark.parametrize("ending", [b"", b"\r", b"\r\n", b"\r\n--", DELIMITER[:-1]])
def test_content_of_any_length_is_found(shift: int, ending: bytes) -> None:
    around = len(form(Distribution(WHEEL.filename, b"")))
    content = noise(2 * BLOCK - around + shift - len(ending)) + ending

    assert content_of(form(Distribution(WHEEL.filename, content))) == content


@pytest.mark.parametrize("epilogue", [b"", b"\r\n", b"\n", b"x" * (2 * BLOCK)])
def test_what_follows_a_form_does_not_matter(epilogue: bytes) -> None:
    body = form(WHEEL).removesuffix(b"\r\n") + epilogue

    assert content_of(body) == WHEEL.content


def test_a_preamble_does_not_shift_the_content() -> None:
    assert content_of(b"--preamble\r\n\r\nwith an empty line\r\n" + form(WHEEL)) == WHEEL.content


def test_the_content_is_a_view_of_the_body() -> None:
    body = form(WHEEL)

    content = read_form(body, CONTENT_TYPE, MAX).file.content

    assert content.read_at(0, 1).obj is body


def test_all_digests_are_computed_in_one_pass() -> None:
    octets = noise(3 * BLOCK)
    file = Distribution(WHEEL.filename, octets)
    digests = {
        "md5_digest": hashlib.md5(octets, usedforsecurity=False).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(octets, digest_size=32).hexdigest(),
    }
    read = read_form(form(file, fields(file, **digests)), CONTENT_TYPE, MAX)
    content = Ranged(octets)
    sent = Form(read.project, read.texts, (FilePart(file.filename, content),))

    computed = compute_sent_digests(sent)

    check_digests(sent, computed)
    assert computed == {
        "sha256": file.sha256,
        "md5": digests["md5_digest"],
        "blake2_256": digests["blake2_256_digest"],
    }
    assert sum(content.lengths) == content.size


def test_a_digest_that_was_not_sent_is_not_computed() -> None:
    sent = read_form(form(WHEEL, fields(WHEEL, md5_digest="")), CONTENT_TYPE, MAX)

    assert compute_sent_digests(sent) == {"sha256": WHEEL.sha256}
