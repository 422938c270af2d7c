"""Uploads whose form is on the disk: whatever a client sends, every check is made of the file."""

import errno
import hashlib
import json
import os
from pathlib import Path

import pytest

from pytp_broker.content import Content
from pytp_broker.storage import file_folder
from pytp_broker.storage.file_store import content_key
from tests.support.deployment import HOST
from tests.support.distributions import (
    BOUNDARY,
    CONTENT_TYPE,
    Distribution,
    body,
    fields,
    file_part,
    form,
    text_part,
    texts,
    wheel,
    wheel_members,
)
from tests.support.serving import Served
from tests.support.uploading import Uploader

NOISE = hashlib.shake_128(b"noise").digest(700_000)


def large(noise: bytes) -> Distribution:
    return wheel(members={"widgets/lib.so": noise, **wheel_members()})


WHEEL = large(NOISE)
OTHER = large(NOISE[::-1])
DIGESTS = {
    "sha256_digest": WHEEL.sha256,
    "md5_digest": hashlib.md5(WHEEL.content, usedforsecurity=False).hexdigest(),
    "blake2_256_digest": hashlib.blake2b(WHEEL.content, digest_size=32).hexdigest(),
}
SENT = texts(fields(WHEEL, **DIGESTS))
FILE = file_part(WHEEL.filename, WHEEL.content)
SECOND = file_part(OTHER.filename, OTHER.content)
LONG = text_part("description", b"x" * 300_000)
LOOKS_LIKE_A_FILE = text_part("description", b'name="content"\r\n\r\nnot the file')


@pytest.fixture
def served(tmp_path: Path) -> Served:
    return Served(tmp_path / "files")


def answer(served: Served, sent: bytes) -> tuple[int, str]:
    """Return the status of an answer, and what it says."""
    request = served.request(sent)
    served.gateway.answer(request)
    said = json.loads(request.body)["errors"][0]["description"] if request.body else ""
    return request.status, said


def names(served: Served) -> set[str]:
    return {path.name for path in served.folder.rglob("*") if path.is_file()}


def stored(served: Served, file: Distribution) -> bytes:
    return (served.folder / content_key("acme", file.sha256, file.filename)).read_bytes()


def is_untouched(served: Served) -> bool:
    """Say whether nothing is visible, and nothing is stored or left of a body."""
    return not served.shelf.store.files and not names(served)


@pytest.mark.parametrize(
    "parts",
    [
        [*SENT, FILE],
        [FILE, *SENT],
        [*SENT[:3], FILE, *SENT[3:]],
        [*SENT, FILE, LONG],
        [LONG, *SENT, FILE],
        [LOOKS_LIKE_A_FILE, *SENT, FILE],
        [*SENT, FILE, LOOKS_LIKE_A_FILE],
    ],
    ids=["last", "first", "between", "long end", "far away", "decoy before", "decoy after"],
)
def test_the_file_is_stored_wherever_it_is_in_the_form(served: Served, parts: list[bytes]) -> None:
    assert answer(served, body(parts)) == (200, "")
    assert stored(served, WHEEL) == WHEEL.content


def test_only_small_files_are_copied(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    copy = file_folder._copy

    def note(path: Path, content: Content, incoming: Path) -> None:
        sizes.append(content.size)
        copy(path, content, incoming)

    monkeypatch.setattr(file_folder, "_copy", note)

    answer(served, form(WHEEL))

    assert sizes
    assert max(sizes) < 10_000


def test_a_file_that_cannot_get_a_name_is_copied(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "another disk")

    monkeypatch.setattr(os, "link", fail)

    assert answer(served, form(WHEEL)) == (200, "")
    assert stored(served, WHEEL) == WHEEL.content


@pytest.mark.parametrize("name", DIGESTS)
def test_a_wrong_digest_of_any_kind_is_refused(served: Served, name: str) -> None:
    wrong = {**DIGESTS, name: DIGESTS[name][::-1]}

    status, said = answer(served, form(WHEEL, fields(WHEEL, **wrong)))

    assert status == 400
    assert said == f"the form's `{name}` is not the digest of the file that we received"
    assert is_untouched(served)


@pytest.mark.parametrize(
    "parts",
    [[*SENT, FILE, SECOND], [*SENT, SECOND, FILE], [FILE, *SENT, FILE], [*SENT, LONG], [LONG] * 3],
    ids=["another", "another before", "twice", "none", "no field"],
)
def test_a_form_without_one_file_is_refused(served: Served, parts: list[bytes]) -> None:
    assert answer(served, body(parts))[0] == 400
    assert is_untouched(served)


@pytest.mark.parametrize("end", ["", "--"], ids=["a part", "the end"])
def test_a_boundary_in_the_file_ends_it_there(served: Served, end: str) -> None:
    decoy = large(NOISE + f"\r\n--{BOUNDARY}{end}\r\n".encode() + NOISE)

    status, _ = answer(served, form(decoy))

    assert status == 400
    assert is_untouched(served)


def test_a_record_that_is_wrong_is_refused(served: Served) -> None:
    changed = Distribution(WHEEL.filename, WHEEL.content.replace(NOISE[:9], NOISE[1:10]))

    status, said = answer(served, form(changed))

    assert status == 400
    assert "CRC-32" in said
    assert is_untouched(served)


def test_a_body_that_breaks_off_leaves_nothing(served: Served) -> None:
    status, said = answer(served, form(WHEEL)[:-100])

    assert status == 400
    assert "the form is malformed" in said
    assert is_untouched(served)


def test_a_full_disk_leaves_nothing(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)

    assert answer(served, form(WHEEL))[0] == 503
    assert is_untouched(served)


def written_back(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return a list of the files that are sent to the disk before they are stored."""
    seen: list[int] = []
    monkeypatch.setattr(os, "fdatasync", lambda file: seen.append(os.fstat(file).st_ino))
    return seen


def test_the_disk_takes_a_file_while_it_is_checked(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = written_back(monkeypatch)

    answer(served, form(WHEEL))

    path = served.folder / content_key("acme", WHEEL.sha256, WHEEL.filename)
    assert seen == [path.stat().st_ino]


def test_a_body_whose_file_must_be_copied_is_not_sent_to_the_disk(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = written_back(monkeypatch)

    assert answer(served, body([LONG, LONG, *SENT, FILE])) == (200, "")
    assert seen == []


def test_a_disk_that_fails_early_is_asked_again_when_the_file_is_stored(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: int) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)

    assert answer(served, form(WHEEL)) == (200, "")
    assert stored(served, WHEEL) == WHEEL.content


# --- raw bytes of the Upload API ------------------------------------------------------------------


FORM_OF_ANOTHER = body([LONG, LONG, file_part("other.whl", b"OTHER")])
# What the digest would be if the hash of the part went on with the rest of the body.
FALSE = hashlib.sha256(b"OTHER" + FORM_OF_ANOTHER[5:]).hexdigest()
TRUE = hashlib.sha256(FORM_OF_ANOTHER).hexdigest()


@pytest.mark.parametrize("content_type", ["application/octet-stream", CONTENT_TYPE])
@pytest.mark.parametrize(
    ("announced", "status"), [(TRUE, 204), (FALSE, 400)], ids=["true", "false"]
)
def test_the_digest_of_raw_bytes_is_theirs_whatever_type_they_have(
    served: Served, content_type: str, announced: str, status: int
) -> None:
    client = Uploader(served.shelf)
    sent, hashes = len(FORM_OF_ANOTHER), {"sha256": announced}
    upload = client.announce(client.begin(), WHEEL, size=sent, hashes=hashes).json
    served.headers["content_type"] = content_type
    path = upload["mechanism"]["file_url"].removeprefix(f"https://{HOST}")

    request = served.request(FORM_OF_ANOTHER, path)
    served.gateway.answer(request)

    assert request.status == status
    assert len(names(served)) == (status == 204)
