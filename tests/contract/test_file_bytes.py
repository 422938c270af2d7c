"""Where the bytes of distributions are: FolderFiles and S3Files."""

import errno
import hashlib
import io
import os
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from botocore.exceptions import ResponseStreamingError
from moto import mock_aws

from pytp_broker.aws.s3 import S3Files
from pytp_broker.content import Held, read_pieces
from pytp_broker.errors import StoreUnavailable
from pytp_broker.names import MAX_FILE_NAME_CHARACTERS
from pytp_broker.storage import file_folder
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import FileStore, content_key, metadata_key, receipt_key
from tests.support.emulator import Emulator, create_bucket, make_client
from tests.support.fakes import stored_bytes

FILENAME = "widgets-1!1.0+local-py3-none-any.whl"
KEY = content_key("acme", "0" * 64, FILENAME)
HOSTILE_KEYS = [
    "../escaped",
    "files/../../escaped",
    "files/..",
    "..",
    ".",
    "",
    "/escaped",
    "//escaped",
    "files//escaped",
    "./escaped",
    "files/.hidden",
    "files\\..\\..\\escaped",
    "C:escaped",
    "escaped\x00",
    "escaped\n",
    "\ud800",
]


def save(files: FileStore, key: str, octets: bytes) -> None:
    files.save(key, Held(octets), hashlib.sha256(octets).hexdigest())


def test_saved_bytes_are_read_back(files: FileStore) -> None:
    save(files, KEY, b"\x00wheel\xff")
    save(files, metadata_key("acme", "0" * 64, FILENAME), b"Metadata-Version: 2.4\n")

    assert stored_bytes(files, KEY) == b"\x00wheel\xff"
    assert stored_bytes(files, KEY + ".metadata") == b"Metadata-Version: 2.4\n"


def test_the_longest_file_name_leaves_room_for_its_metadata(files: FileStore) -> None:
    longest = FILENAME.rjust(MAX_FILE_NAME_CHARACTERS, "w")

    save(files, metadata_key("acme", "0" * 64, longest), b"Metadata-Version: 2.4\n")

    assert (
        stored_bytes(files, metadata_key("acme", "0" * 64, longest)) == b"Metadata-Version: 2.4\n"
    )


def test_the_longest_file_name_has_room_for_its_receipt(files: FileStore) -> None:
    longest = FILENAME.rjust(MAX_FILE_NAME_CHARACTERS, "w")
    key = receipt_key("a" * 63, "0" * 64, longest)

    save(files, key, b"a receipt")
    save(files, key, b"a receipt")

    assert stored_bytes(files, key) == b"a receipt"


def test_many_bytes_are_saved_and_read_back(files: FileStore) -> None:
    octets = bytes(range(256)) * 24_000

    save(files, KEY, octets)

    assert stored_bytes(files, KEY) == octets


def test_removed_bytes_are_gone_and_may_be_saved_again(folder_files: FolderFiles) -> None:
    save(folder_files, KEY, b"wheel")
    save(folder_files, f"{KEY}.metadata", b"metadata")

    assert folder_files.remove(KEY)

    with pytest.raises(KeyError):
        stored_bytes(folder_files, KEY)
    assert stored_bytes(folder_files, f"{KEY}.metadata") == b"metadata"
    assert not folder_files.remove(KEY)
    save(folder_files, KEY, b"wheel")
    assert stored_bytes(folder_files, KEY) == b"wheel"


@pytest.mark.parametrize("key", HOSTILE_KEYS, ids=repr)
def test_a_hostile_key_removes_nothing(folder_files: FolderFiles, tmp_path: Path, key: str) -> None:
    for name in ("escaped", "outside/escaped", "outside/files/x"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")

    assert not folder_files.remove(key)

    assert len([each for each in tmp_path.rglob("*") if each.is_file()]) == 3


def test_saving_again_is_no_error(files: FileStore) -> None:
    save(files, KEY, b"wheel")

    save(files, KEY, b"wheel")

    assert stored_bytes(files, KEY) == b"wheel"


def test_no_bytes_can_be_saved(files: FileStore) -> None:
    save(files, KEY, b"")

    assert stored_bytes(files, KEY) == b""


@pytest.mark.parametrize("key", ["files/other", "files", KEY + "/below"])
def test_a_key_without_bytes_is_a_key_error(files: FileStore, key: str) -> None:
    save(files, KEY, b"wheel")

    with pytest.raises(KeyError):
        stored_bytes(files, key)


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_hostile_key_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    secret = tmp_path / "escaped"
    secret.write_bytes(b"secret")
    files = FolderFiles(tmp_path / "files")
    save(files, KEY, b"wheel")

    with pytest.raises(ValueError, match="not a key"):
        save(files, key, b"hostile")
    with pytest.raises(KeyError):
        stored_bytes(files, key)

    assert secret.read_bytes() == b"secret"
    assert {path.name for path in tmp_path.iterdir()} == {"escaped", "files"}


@pytest.mark.parametrize("key", ["../escaped", "/escaped", "files/../../neighbour/escaped"])
def test_a_hostile_key_cannot_leave_the_bucket(moto_s3: Any, key: str) -> None:
    bucket, neighbour = create_bucket(moto_s3), create_bucket(moto_s3)
    moto_s3.put_object(Bucket=neighbour, Key="escaped", Body=b"secret")

    with suppress(StoreUnavailable):
        save(S3Files(moto_s3, bucket), key.replace("neighbour", neighbour), b"hostile")

    (found,) = moto_s3.list_objects_v2(Bucket=neighbour)["Contents"]
    assert found["Size"] == len(b"secret")


def test_a_folder_has_no_download_urls(folder_files: FolderFiles) -> None:
    assert folder_files.download_url(KEY, FILENAME) is None


def test_a_folder_keeps_nothing_of_a_write_that_failed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(descriptor)

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StoreUnavailable) as refused:
        save(FolderFiles(tmp_path), KEY, b"wheel")

    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert str(tmp_path) not in refused.value.detail + refused.value.operator_detail


@pytest.mark.parametrize(("age", "is_left"), [(3_500, True), (3_700, False)])
def test_what_a_killed_process_left_half_written_is_removed_at_the_next_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: int, *, is_left: bool
) -> None:
    def killing(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(Path, "replace", killing)
        killed.setattr(Path, "unlink", lambda *_, **__: None)
        with pytest.raises(KeyboardInterrupt):
            save(FolderFiles(tmp_path), KEY, b"wheel")
    (left,) = [path for path in tmp_path.rglob("*") if path.is_file()]
    os.utime(left, (time.time() - age,) * 2)

    files = FolderFiles(tmp_path)

    assert left.exists() is is_left
    save(files, KEY, b"wheel")
    assert stored_bytes(files, KEY) == b"wheel"


def test_a_folder_that_cannot_be_read_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path, _: str) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(StoreUnavailable) as refused:
        stored_bytes(FolderFiles(tmp_path), KEY)

    assert str(tmp_path) not in refused.value.detail
    assert refused.value.operator_detail == "Permission denied"


def test_every_folder_on_the_way_is_made_durable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[Path] = []
    monkeypatch.setattr(file_folder, "_sync", synced.extend)

    save(FolderFiles(tmp_path), "files/acme/name", b"wheel")

    assert synced == [tmp_path / "files/acme", tmp_path / "files", tmp_path]


def test_no_folder_is_opened_where_that_cannot_be_done(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "name", "nt")

    file_folder._sync([tmp_path / "not there"])


def test_a_download_url_is_good_for_five_minutes(moto_s3: Any) -> None:
    url = S3Files(moto_s3, "bucket").download_url(KEY, FILENAME)

    assert url is not None
    assert "X-Amz-Expires=300" in url
    assert "/bucket/files/acme/" in url


@pytest.mark.ministack
def test_a_download_url_leads_to_the_bytes(emulator: Emulator) -> None:
    client = emulator.client("s3")
    files = S3Files(client, create_bucket(client))
    save(files, KEY, b"wheel")

    url = files.download_url(KEY, FILENAME)

    assert url is not None
    with urllib.request.urlopen(url) as answer:  # noqa: S310 - the emulator's own
        assert answer.read() == b"wheel"


@pytest.mark.ministack
def test_saved_bytes_never_change(emulator: Emulator) -> None:
    client = emulator.client("s3")
    files = S3Files(client, create_bucket(client))
    save(files, KEY, b"wheel")

    save(files, KEY, b"other")

    assert stored_bytes(files, KEY) == b"wheel"


def test_a_bucket_that_does_not_answer_is_unavailable(moto_s3: Any) -> None:
    files = S3Files(moto_s3, "no-such-bucket")

    with pytest.raises(StoreUnavailable) as refused:
        save(files, KEY, b"wheel")
    assert refused.value.detail == "the stored files cannot be written now; try again"
    assert refused.value.operator_detail == "PutObject: NoSuchBucket"
    with pytest.raises(StoreUnavailable):
        stored_bytes(files, KEY)


def meet_others(client: Any, *, times: int) -> None:
    """Let S3 answer this many times that another write of the same key is in progress."""
    error = {"Code": "ConditionalRequestConflict", "Message": "try again"}
    answers = [(SimpleNamespace(status_code=409), {"Error": error})] * times
    client.meta.events.register(
        "before-call.s3.PutObject", lambda **_: answers.pop() if answers else None
    )


@pytest.mark.parametrize("octets", [b"wheel", b"wheel" * 1_200_000], ids=["few", "many"])
def test_a_write_that_meets_another_of_the_same_bytes_is_tried_again(
    moto_s3: Any, octets: bytes
) -> None:
    files = S3Files(moto_s3, create_bucket(moto_s3))
    meet_others(moto_s3, times=1)

    save(files, KEY, octets)

    assert stored_bytes(files, KEY) == octets


def test_a_write_that_meets_others_again_and_again_is_unavailable(moto_s3: Any) -> None:
    files = S3Files(moto_s3, create_bucket(moto_s3))
    meet_others(moto_s3, times=2)

    with pytest.raises(StoreUnavailable) as refused:
        save(files, KEY, b"wheel")

    assert refused.value.operator_detail == "PutObject: ConditionalRequestConflict"


def test_without_credentials_there_is_no_download_url() -> None:
    with mock_aws():
        client = make_client("s3")
        client._request_signer._credentials = None
        with pytest.raises(StoreUnavailable):
            S3Files(client, "bucket").download_url(KEY, FILENAME)
        client.close()


# --- ranges ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 1), (0, 70_000), (65_535, 2), (65_536, 10), (199_990, 10), (199_999, 9), (200_000, 1)],
)
def test_any_range_is_read(files: FileStore, offset: int, length: int) -> None:
    octets = b"".join(number.to_bytes(4, "big") for number in range(50_000))
    save(files, KEY, octets)

    with files.open(KEY) as content:
        assert content.size == 200_000
        assert content.read_at(offset, length) == octets[offset : offset + length]
        assert content.read_at(0, 4) == octets[:4]
        assert b"".join(read_pieces(content)) == octets


def requested(client: Any) -> list[str]:
    """Return a list to which the range of each request for bytes is added."""
    ranges: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        ranges.append(params["headers"]["Range"].removeprefix("bytes="))

    client.meta.events.register("before-call.s3.GetObject", note)
    return ranges


def test_a_small_object_takes_one_request(moto_s3: Any, moto_files: S3Files) -> None:
    save(moto_files, KEY, b"Metadata-Version: 2.4\n")
    ranges = requested(moto_s3)

    assert stored_bytes(moto_files, KEY) == b"Metadata-Version: 2.4\n"

    assert ranges == ["0-65535"]


def test_reading_on_takes_few_and_large_requests(moto_s3: Any, moto_files: S3Files) -> None:
    save(moto_files, KEY, bytes(30_000_000))
    ranges = requested(moto_s3)

    with moto_files.open(KEY) as content:
        assert sum(map(len, read_pieces(content))) == 30_000_000

    sizes = [int(end) + 1 - int(start) for start, end in (each.split("-") for each in ranges)]
    assert len(sizes) == 10
    assert max(sizes) == 8 * 2**20


def test_jumping_takes_small_requests(moto_s3: Any, moto_files: S3Files) -> None:
    save(moto_files, KEY, bytes(30_000_000))
    ranges = requested(moto_s3)

    with moto_files.open(KEY) as content:
        for offset in (29_999_000, 15_000_000, 15_000_100, 5_000_000):
            assert content.read_at(offset, 50) == bytes(50)

    assert ranges == ["0-65535", "29999000-29999999", "15000000-15065535", "5000000-5065535"]


def test_an_object_that_is_replaced_while_it_is_read_is_noticed(
    moto_s3: Any, moto_files: S3Files
) -> None:
    save(moto_files, KEY, bytes(200_000))

    with moto_files.open(KEY) as content:
        moto_s3.put_object(Bucket=moto_files._bucket, Key=KEY, Body=b"x" * 200_000)
        with pytest.raises(StoreUnavailable) as refused:
            content.read_at(100_000, 10)

    assert refused.value.operator_detail == "GetObject: PreconditionFailed"


def break_off(client: Any, *, times: int) -> None:
    """Let the connection end within the bytes of this many answers."""
    left = [None] * times

    def break_one(parsed: dict[str, Any], **_: Any) -> None:
        if left:
            left.pop()
            parsed["Body"] = SimpleNamespace(read=fail)

    def fail() -> bytes:
        raise ResponseStreamingError(error="reset")

    client.meta.events.register("after-call.s3.GetObject", break_one)


def test_an_answer_that_breaks_off_is_asked_for_again(moto_s3: Any, moto_files: S3Files) -> None:
    save(moto_files, KEY, b"wheel")
    break_off(moto_s3, times=1)

    assert stored_bytes(moto_files, KEY) == b"wheel"


def test_answers_that_break_off_again_and_again_are_unavailable(
    moto_s3: Any, moto_files: S3Files
) -> None:
    save(moto_files, KEY, b"wheel")
    break_off(moto_s3, times=2)

    with pytest.raises(StoreUnavailable):
        stored_bytes(moto_files, KEY)


def test_an_answer_of_another_length_is_unavailable(moto_s3: Any, moto_files: S3Files) -> None:
    save(moto_files, KEY, bytes(200_000))

    with moto_files.open(KEY) as content:
        moto_s3.meta.events.register(
            "after-call.s3.GetObject",
            lambda parsed, **_: parsed.update(Body=SimpleNamespace(read=lambda: b"short")),
        )
        with pytest.raises(StoreUnavailable) as refused:
            content.read_at(100_000, 10)

    assert refused.value.operator_detail == "GetObject: another length"


def test_a_disk_that_fails_while_a_file_is_read_is_unavailable(
    folder_files: FolderFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a reader of archives would take it for a broken archive."""

    class Broken(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise OSError(errno.EIO, "Input/output error")

        def fileno(self) -> int:
            return 0

    monkeypatch.setattr(file_folder, "_open", lambda _: Broken())

    with folder_files.open(KEY) as content, pytest.raises(StoreUnavailable) as refused:
        content.read_at(0, 1)

    assert refused.value.operator_detail == "Input/output error"
