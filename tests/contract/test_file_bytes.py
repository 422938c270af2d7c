"""Where the bytes of distributions are: FolderFiles and S3Files."""

import errno
import hashlib
import os
import time
import urllib.request
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from pytp_broker.aws.s3 import S3Files
from pytp_broker.errors import StoreUnavailable
from pytp_broker.names import MAX_FILE_NAME_CHARACTERS
from pytp_broker.storage import file_folder
from pytp_broker.storage.content import Held
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import FileStore, content_key, metadata_key
from tests.support.emulator import Emulator, create_bucket, make_client

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

    assert files.read(KEY) == b"\x00wheel\xff"
    assert files.read(KEY + ".metadata") == b"Metadata-Version: 2.4\n"


def test_the_longest_file_name_leaves_room_for_its_metadata(files: FileStore) -> None:
    longest = FILENAME.rjust(MAX_FILE_NAME_CHARACTERS, "w")

    save(files, metadata_key("acme", "0" * 64, longest), b"Metadata-Version: 2.4\n")

    assert files.read(metadata_key("acme", "0" * 64, longest)) == b"Metadata-Version: 2.4\n"


def test_many_bytes_are_saved_and_read_back(files: FileStore) -> None:
    octets = bytes(range(256)) * 24_000

    save(files, KEY, octets)

    assert files.read(KEY) == octets


def test_removed_bytes_are_gone_and_may_be_saved_again(folder_files: FolderFiles) -> None:
    save(folder_files, KEY, b"wheel")
    save(folder_files, f"{KEY}.metadata", b"metadata")

    assert folder_files.remove(KEY)

    with pytest.raises(KeyError):
        folder_files.read(KEY)
    assert folder_files.read(f"{KEY}.metadata") == b"metadata"
    assert not folder_files.remove(KEY)
    save(folder_files, KEY, b"wheel")
    assert folder_files.read(KEY) == b"wheel"


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

    assert files.read(KEY) == b"wheel"


def test_no_bytes_can_be_saved(files: FileStore) -> None:
    save(files, KEY, b"")

    assert files.read(KEY) == b""


@pytest.mark.parametrize("key", ["files/other", "files", KEY + "/below"])
def test_a_key_without_bytes_is_a_key_error(files: FileStore, key: str) -> None:
    save(files, KEY, b"wheel")

    with pytest.raises(KeyError):
        files.read(key)


@pytest.mark.parametrize("key", HOSTILE_KEYS)
def test_a_hostile_key_cannot_leave_the_folder(tmp_path: Path, key: str) -> None:
    secret = tmp_path / "escaped"
    secret.write_bytes(b"secret")
    files = FolderFiles(tmp_path / "files")
    save(files, KEY, b"wheel")

    with pytest.raises(ValueError, match="not a key"):
        save(files, key, b"hostile")
    with pytest.raises(KeyError):
        files.read(key)

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
    assert files.read(KEY) == b"wheel"


def test_a_folder_that_cannot_be_read_is_unavailable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> bytes:
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr(Path, "read_bytes", fail)
    with pytest.raises(StoreUnavailable) as refused:
        FolderFiles(tmp_path).read(KEY)

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

    assert files.read(KEY) == b"wheel"


def test_a_bucket_that_does_not_answer_is_unavailable(moto_s3: Any) -> None:
    files = S3Files(moto_s3, "no-such-bucket")

    with pytest.raises(StoreUnavailable) as refused:
        save(files, KEY, b"wheel")
    assert refused.value.detail == "the stored files cannot be written now; try again"
    assert refused.value.operator_detail == "PutObject: NoSuchBucket"
    with pytest.raises(StoreUnavailable):
        files.read(KEY)


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

    assert files.read(KEY) == octets


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
