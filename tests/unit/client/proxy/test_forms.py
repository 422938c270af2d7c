"""A form of the legacy upload API: its file is on the disk, and nothing of it is lost."""

import io
from pathlib import Path

import pytest

from pytp_broker.client.proxy import forms
from pytp_broker.client.proxy.forms import Form, FormError, receive

KIND = 'multipart/form-data; boundary="xx"'
CONTENT = b"PK\x03\x04 \r\n--x \r\n--xy\r\n" * 50


def part(name: str, value: bytes, more: str = "") -> bytes:
    disposition = f'Content-Disposition: form-data; name="{name}"{more}\r\n'
    return b"--xx\r\n" + disposition.encode() + b"\r\n" + value + b"\r\n"


def form(*, name: str = "w-1.0-py3-none-any.whl", content: bytes = CONTENT) -> bytes:
    return (
        part(":action", b"file_upload")
        + part("summary", b'a "content" part')
        + part("content", content, f'; filename="{name}"\r\nContent-Type: application/zip')
        + part("attestations", b"[1]")
        + b"--xx--\r\n"
    )


class Trickle(io.BytesIO):
    """A stream that gives a few bytes at a time, as a slow client does."""

    def __init__(self, octets: bytes, most: int) -> None:
        super().__init__(octets)
        self.most = most

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(min(size or 0, self.most))


def read(folder: Path, octets: bytes, *, most: int = 1 << 20, length: int | None = None) -> Form:
    size = len(octets) if length is None else length
    return receive(Trickle(octets, most), size, KIND, folder)


@pytest.mark.parametrize("most", [1, 3, 7, 1 << 20])
def test_the_file_is_on_the_disk_and_the_form_can_be_sent_on(quick_path: Path, most: int) -> None:
    octets = form()

    received = read(quick_path, octets, most=most)

    assert received.file == quick_path / "w-1.0-py3-none-any.whl"
    assert received.file.read_bytes() == CONTENT
    assert received.size == len(CONTENT)
    assert received.head + CONTENT + received.tail == octets


def test_fields_before_and_after_the_file_are_read(quick_path: Path) -> None:
    fields = read(quick_path, form()).fields

    assert fields[":action"] == "file_upload"
    assert fields["summary"] == 'a "content" part'
    assert fields["attestations"] == "[1]"


@pytest.mark.parametrize(
    "name", ["../../etc/passwd", "/etc/passwd", "a\0b.whl", "..", "", "x" * 300]
)
def test_a_name_that_is_not_one_of_a_file_leads_nowhere(quick_path: Path, name: str) -> None:
    received = read(quick_path, form(name=name))

    assert received.file == quick_path / "content"
    assert [*quick_path.iterdir()] == [received.file]


def test_what_follows_the_form_is_left_to_the_next_request(quick_path: Path) -> None:
    octets = form()
    stream = Trickle(octets + b"GET /", 1 << 20)

    receive(stream, len(octets), KIND, quick_path)

    assert io.BytesIO.read(stream) == b"GET /"


@pytest.mark.parametrize(
    ("octets", "more", "reason"),
    [
        (part(":action", b"submit") + b"--xx--\r\n", 0, "no part is named `content`"),
        (b"", 0, "no part is named `content`"),
        (form()[:-100], 100, "ends in the middle of its file"),
        (form()[:-4], 100, "shorter than its length says"),
    ],
    ids=["no-file", "nothing", "cut", "short"],
)
def test_a_form_that_is_not_whole_is_refused(
    quick_path: Path, octets: bytes, more: int, reason: str
) -> None:
    with pytest.raises(FormError, match=reason):
        read(quick_path, octets, length=len(octets) + more)


@pytest.mark.parametrize("place", ["before", "after"])
def test_text_around_the_file_is_limited(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(forms, "MAX_TEXT_BYTES", 500)
    long = part("description", b"x" * 1000)
    octets = long + form() if place == "before" else form()[:-8] + long + b"--xx--\r\n"

    with pytest.raises(FormError, match=f"too much text {place} its file"):
        read(quick_path, octets, most=100)


@pytest.mark.parametrize("kind", ["application/json", "multipart/form-data", ""])
def test_what_is_not_a_form_is_refused(quick_path: Path, kind: str) -> None:
    with pytest.raises(FormError, match="is not a form"):
        receive(io.BytesIO(b"{}"), 2, kind, quick_path)
