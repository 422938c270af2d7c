"""Bodies that arrive piece by piece: what is in memory, what is on the disk, what is hashed."""

import errno
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytp_broker.content import Arrived, Content, Held, Part, file_beginning, read_all
from pytp_broker.errors import InvalidUpload
from pytp_broker.http.form_data import FIRST_BYTES
from pytp_broker.index.arriving_forms import ArrivingForm
from pytp_broker.index.digests import compute_digests
from pytp_broker.index.forms import compute_sent_digests, read_form
from pytp_broker.local.arrivals import Arrival, arrival
from pytp_broker.local.gateway_events import MAX_ENCODED_BYTES
from tests.support.distributions import (
    BOUNDARY,
    CONTENT_TYPE,
    Distribution,
    fields,
    file_part,
    form,
    text_part,
)
from tests.support.distributions import body as form_body

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


def pieces(body: bytes, length: int) -> Iterator[bytes]:
    return (body[start : start + length] for start in range(0, len(body), length))


def arrived(
    body: bytes, piece: int = 256 * 1024, content_type: str = CONTENT_TYPE
) -> tuple[Content, Counting]:
    file = Counting()
    arriving = Arrival(lambda: file, ArrivingForm.of(content_type))
    for each in pieces(body, piece):
        arriving.write(each)
    return arriving.content, file


def digests_of(octets: bytes) -> dict[str, str]:
    return {
        "sha256": hashlib.sha256(octets).hexdigest(),
        "md5": hashlib.md5(octets, usedforsecurity=False).hexdigest(),
        "blake2_256": hashlib.blake2b(octets, digest_size=32).hexdigest(),
    }


@pytest.mark.parametrize("piece", [60_000, 256 * 1024, 599_999])
def test_a_form_and_its_file_are_not_read_again(piece: int) -> None:
    body, file = arrived(form(FILE, fields(FILE, **THREE)), piece)

    read = read_form(body, CONTENT_TYPE, 10**6)

    assert compute_sent_digests(read) == digests_of(NOISE)
    assert file.count == 0


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


@pytest.mark.parametrize(
    "content_type", ["", "application/json", "multipart/form-data", "multipart/form-data; boundary"]
)
def test_a_body_of_another_type_is_only_kept(content_type: str) -> None:
    whole = form(FILE, fields(FILE))
    content, file = arrived(whole, content_type=content_type)

    assert file.getvalue() == whole
    assert compute_digests(content, ["sha256"]) == {"sha256": hashlib.sha256(whole).hexdigest()}


@pytest.mark.parametrize(
    "broken",
    [
        NOISE,
        form(FILE, fields(FILE))[:-20],
        form(FILE, fields(FILE)).replace(b"Disposition:", b"Disposition", 1),
        form(FILE, [("name", "x" * 300_000)]).replace(BOUNDARY.encode(), b"x", 2),
    ],
    ids=["no form", "cut short", "a bad header", "no delimiter in the beginning"],
)
@pytest.mark.parametrize("piece", [100_000, 300_000])
def test_a_malformed_form_is_refused_as_in_memory(broken: bytes, piece: int) -> None:
    body, _ = arrived(broken, piece)

    assert refusal(body) == refusal(Held(broken))


def refusal(body: Content) -> str:
    with pytest.raises(InvalidUpload) as caught:
        read_form(body, CONTENT_TYPE, 10**6)
    return str(caught.value)


@pytest.mark.parametrize("piece", [1_000, 100_000, 256 * 1024])
def test_a_small_body_needs_no_file(piece: int) -> None:
    content, file = arrived(bytes(256 * 1024), piece)

    assert content == Held(bytes(256 * 1024))
    assert not file.getvalue()


@pytest.mark.parametrize("piece", [1_000, 100_000, 300_000])
@pytest.mark.parametrize("body", [NOISE, form(FILE, fields(FILE))], ids=["noise", "form"])
def test_a_large_body_is_read_as_it_came(piece: int, body: bytes) -> None:
    content, _ = arrived(body, piece)

    assert isinstance(content, Arrived)
    assert read_all(content) == body


def test_what_begins_with_the_file_is_on_the_disk() -> None:
    body, file = arrived(form(FILE, fields(FILE)))

    assert isinstance(body, Arrived)
    assert body.head.endswith(b"\r\n\r\n")
    assert file.getvalue().startswith(NOISE)


def test_a_full_disk_is_told() -> None:
    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        Arrival(Full, None).write(NOISE)


def test_nothing_is_left_of_a_body_when_its_context_ends(tmp_path: Path) -> None:
    with arrival(tmp_path, None) as body:
        body.write(NOISE)
        assert read_all(body.content) == NOISE
        content = body.content

    assert list(tmp_path.iterdir()) == []
    with pytest.raises(ValueError, match="closed file"):
        content.read_at(0, 1)


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


def test_text_that_looks_like_a_file_is_none() -> None:
    decoy = ("description", 'name="content"\r\n\r\nnot the file')
    body, file = arrived(form(FILE, [*fields(FILE), decoy]))

    assert compute_sent_digests(read_form(body, CONTENT_TYPE, 10**6)) == {
        "sha256": digests_of(NOISE)["sha256"]
    }
    assert file.count == 0


def test_a_file_that_begins_late_is_hashed_and_copied_later() -> None:
    late = ("description", "x" * 600_000)
    body, _ = arrived(form(FILE, [*fields(FILE), late]))
    read = read_form(body, CONTENT_TYPE, 2 * 10**6)

    assert file_beginning(read.file.content) is None
    assert compute_sent_digests(read) == {"sha256": digests_of(NOISE)["sha256"]}


@pytest.mark.parametrize("piece", [100_000, MAX_ENCODED_BYTES + 1])
def test_a_whole_body_has_no_hash_of_a_part_that_begins_late(piece: int) -> None:
    """Raw bytes may say that they are a form: their digest is never that of a part in them."""
    whole = form_body([text_part("x", "y" * 600_000), file_part("other.whl", b"other")])
    content, _ = arrived(whole, piece)

    assert compute_digests(content, ["sha256"]) == {"sha256": hashlib.sha256(whole).hexdigest()}


def test_a_whole_body_has_no_hash_of_its_first_file() -> None:
    whole = form(FILE, fields(FILE))
    content, _ = arrived(whole)

    assert compute_digests(content, ["sha256"]) == {"sha256": hashlib.sha256(whole).hexdigest()}


def test_the_first_bytes_are_enough_to_find_where_a_form_begins() -> None:
    assert MAX_ENCODED_BYTES >= FIRST_BYTES


def test_a_second_file_changes_no_hash_of_the_first() -> None:
    other = file_part("other.whl", b"other")
    whole = form(FILE, fields(FILE)).removesuffix(b"--" + BOUNDARY.encode() + b"--\r\n")
    body, _ = arrived(whole + form_body([other]))
    first, second = read_form(body, CONTENT_TYPE, 10**6).files

    assert compute_digests(first.content, ["sha256"])["sha256"] == digests_of(NOISE)["sha256"]
    assert compute_digests(second.content, ["sha256"]) == {
        "sha256": hashlib.sha256(b"other").hexdigest()
    }


def test_hashes_of_more_than_the_part_are_of_no_use() -> None:
    body, _ = arrived(form(FILE, fields(FILE)))
    assert isinstance(body, Arrived)
    part = Part(body, len(body.head), 10)

    assert compute_digests(part, ["sha256"]) == {"sha256": digests_of(NOISE[:10])["sha256"]}
