"""Forms whose file is hashed while it arrives: the digests are those of the file, or none."""

import hashlib
import io

import pytest

from pytp_broker.content import Opened, Part
from pytp_broker.index.digests import compute_digests
from pytp_broker.index.forms import compute_sent_digests, read_form
from pytp_broker.local.form_hashing import FormHasher
from tests.support.distributions import CONTENT_TYPE, Distribution, fields, form

NOISE = hashlib.shake_128(b"noise").digest(600_000)
FILE = Distribution("widgets-1.0-py3-none-any.whl", NOISE)
THREE = {"md5_digest": "0" * 32, "blake2_256_digest": "0" * 64}


class Counting(io.BytesIO):
    """A file that counts what is read of it."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        octets = super().read(size)
        self.count += len(octets)
        return octets


def arrived(body: bytes, piece: int = 256 * 1024) -> tuple[Opened, Counting]:
    hasher, file = FormHasher(), Counting(body)
    for start in range(0, len(body), piece):
        hasher.write(body[start : start + piece])
    return Opened(file, len(body), hasher.hashed), file


def digests_of(octets: bytes) -> dict[str, str]:
    return {
        "sha256": hashlib.sha256(octets).hexdigest(),
        "md5": hashlib.md5(octets, usedforsecurity=False).hexdigest(),
        "blake2_256": hashlib.blake2b(octets, digest_size=32).hexdigest(),
    }


@pytest.mark.parametrize("piece", [60_000, 256 * 1024, 599_999])
def test_the_file_of_a_form_is_hashed_but_for_its_end(piece: int) -> None:
    body, file = arrived(form(FILE, fields(FILE, **THREE)), piece)
    read = read_form(body, CONTENT_TYPE, 10**6)
    file.count = 0

    assert compute_sent_digests(read) == digests_of(NOISE)
    assert file.count <= 64 * 1024


def test_it_may_be_asked_twice() -> None:
    body, _ = arrived(form(FILE, fields(FILE)))
    read = read_form(body, CONTENT_TYPE, 10**6)

    assert compute_sent_digests(read) == compute_sent_digests(read)
    assert compute_sent_digests(read) == {"sha256": digests_of(NOISE)["sha256"]}


def test_a_digest_that_nobody_began_is_computed_of_the_whole_file() -> None:
    body, file = arrived(form(FILE, fields(FILE)))
    content = read_form(body, CONTENT_TYPE, 10**6).file.content
    file.count = 0

    assert compute_digests(content, ["md5"]) == {"md5": digests_of(NOISE)["md5"]}
    assert file.count == len(NOISE)


def test_a_body_in_one_piece_is_not_hashed() -> None:
    assert arrived(form(FILE, fields(FILE)), 10**6)[0].hashed is None


@pytest.mark.parametrize("head", [b"no field at all", b'name="content" and no end of the headers'])
def test_a_body_without_a_file_in_its_first_piece_is_not_hashed(head: bytes) -> None:
    body = head + NOISE.replace(b"\r\n\r\n", b"")

    assert arrived(body, 100_000)[0].hashed is None


@pytest.mark.parametrize("length", [0, 1, 70_000, 200_000])
def test_fields_after_the_file_change_no_digest(length: int) -> None:
    description = b"x" * length
    whole = form(FILE, fields(FILE))
    boundary = whole[: whole.index(b"\r\n")]
    rest = b'\r\nContent-Disposition: form-data; name="description"\r\n\r\n'
    ended = whole.removesuffix(b"\r\n").removesuffix(b"--")
    body, _ = arrived(ended + rest + description + b"\r\n" + boundary + b"--\r\n")

    assert compute_sent_digests(read_form(body, CONTENT_TYPE, 10**6)) == {
        "sha256": digests_of(NOISE)["sha256"]
    }


def test_a_file_that_only_seems_to_begin_earlier_is_hashed_anew() -> None:
    decoy = ("description", 'name="content"\r\n\r\nnot the file')
    body, file = arrived(form(FILE, [*fields(FILE), decoy]))
    read = read_form(body, CONTENT_TYPE, 10**6)
    assert body.hashed is not None
    assert body.hashed.start != read.file.content.start  # type: ignore[attr-defined]
    file.count = 0

    assert compute_sent_digests(read) == {"sha256": digests_of(NOISE)["sha256"]}
    assert file.count == len(NOISE)


def test_hashes_of_more_than_the_part_are_of_no_use() -> None:
    body, _ = arrived(form(FILE, fields(FILE)))
    assert body.hashed is not None
    part = Part(body, body.hashed.start, 10)

    assert compute_digests(part, ["sha256"]) == {"sha256": digests_of(NOISE[:10])["sha256"]}
