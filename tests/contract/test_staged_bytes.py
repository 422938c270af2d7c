"""The bytes of uploads to a publishing session, until they are published or given up."""

import base64
import hashlib
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from moto import mock_aws

from pytp_broker.aws.s3 import STATE, S3Files
from pytp_broker.content import Held
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.file_folder import FolderFiles
from pytp_broker.storage.file_store import FileStore, Stored, Target
from pytp_broker.storage.signed_puts import PREFIX, PutSigner, RefusedPutError, SignedPut
from tests.support.emulator import Emulator, create_bucket, make_client
from tests.support.fakes import stored_bytes
from tests.support.samples import NOW

KEY = f"staged/acme/{'0' * 32}/widgets-1!1.0+local-py3-none-any.whl"
METADATA = f"{KEY}.metadata"
WHEEL = b"PK wheel"
SHA256 = hashlib.sha256(WHEEL).hexdigest()


def save(files: FileStore, key: str = KEY, octets: bytes = WHEEL) -> None:
    files.save(key, Held(octets), hashlib.sha256(octets).hexdigest())


def put(target: Target, octets: bytes = WHEEL, **headers: str) -> int:
    """Send bytes as a client does, with exactly the headers of the target; return the status."""
    sent = {**target.headers, **headers}
    return requests.put(target.url, data=octets, headers=sent, timeout=10).status_code


def target_of(files: FileStore, key: str = KEY) -> Target:
    return files.upload_target(key, len(WHEEL), SHA256, NOW)


# --- what both stores do --------------------------------------------------------------------------


def test_what_is_saved_is_found_with_its_size(files: FileStore) -> None:
    save(files)

    found = files.find(KEY)

    assert found is not None
    assert found.size == len(WHEEL)
    assert found.sha256 in {None, SHA256}


@pytest.mark.parametrize("key", [METADATA, f"{KEY}/below", "staged/acme"])
def test_nothing_is_found_where_nothing_was_saved(files: FileStore, key: str) -> None:
    save(files)

    assert files.find(key) is None


def test_kept_bytes_are_still_there_and_may_be_kept_again(files: FileStore) -> None:
    save(files)
    save(files, METADATA, b"Metadata-Version: 2.4\n")

    for _ in range(2):
        files.keep(KEY)
        files.keep(METADATA)

    assert stored_bytes(files, KEY) == WHEEL
    assert stored_bytes(files, METADATA) == b"Metadata-Version: 2.4\n"


def test_only_what_is_there_can_be_kept(files: FileStore) -> None:
    with pytest.raises(KeyError):
        files.keep(KEY)


def test_there_need_be_nothing_to_drop(files: FileStore) -> None:
    files.drop(KEY)

    assert files.find(KEY) is None


@pytest.mark.parametrize("key", ["files/acme/0/x.whl", "stagedx", "", "x/staged/acme/0/x.whl"])
def test_no_other_key_is_staged_kept_or_dropped(files: FileStore, key: str) -> None:
    for call in (files.keep, files.drop, lambda key: target_of(files, key)):
        with pytest.raises(ValueError, match="not the key of a staged upload"):
            call(key)


def test_a_target_shows_no_signature_when_it_is_printed(files: FileStore) -> None:
    assert repr(target_of(files)) == "Target()"


# --- the folder -----------------------------------------------------------------------------------


def test_a_folder_removes_what_is_dropped_and_the_folders_that_are_empty(
    folder_files: FolderFiles, tmp_path: Path
) -> None:
    save(folder_files)
    save(folder_files, METADATA, b"Metadata-Version: 2.4\n")

    folder_files.drop(KEY)
    assert stored_bytes(folder_files, METADATA) == b"Metadata-Version: 2.4\n"
    folder_files.drop(METADATA)

    assert [path.name for path in (tmp_path / "outside/files/staged/acme").iterdir()] == []


def test_a_folder_that_cannot_be_looked_at_is_unavailable(
    folder_files: FolderFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: Path) -> bool:
        raise PermissionError

    monkeypatch.setattr(Path, "is_file", fail)

    with pytest.raises(StoreUnavailable):
        folder_files.find(KEY)


def test_the_target_of_a_folder_is_an_address_of_the_server(folder_files: FolderFiles) -> None:
    target = target_of(folder_files)

    assert target.url.startswith(f"{PREFIX}staged/acme/")
    assert target.headers == {"Content-Length": str(len(WHEEL)), "If-None-Match": "*"}


# --- the signature of the local server ------------------------------------------------------------


SIGNER = PutSigner(b"secret")
PUT = SignedPut(KEY, len(WHEEL), SHA256)


def query_of(target: Target) -> dict[str, str]:
    return dict(parse_qsl(urlsplit(target.url).query))


def test_the_server_knows_what_it_has_signed() -> None:
    assert SIGNER.read(KEY, query_of(SIGNER.sign(PUT, NOW)), NOW) == PUT


@pytest.mark.parametrize(
    "change",
    [
        {"size": "9"},
        {"sha256": "0" * 64},
        {"expires": "99999999999"},
        {"signature": "0" * 64},
        {"signature": ""},
        {"signature": "\ud800"},
        {"expires": "soon"},
        {"size": "-1"},
        {"size": "\u0661"},
    ],
    ids=str,
)
def test_an_address_that_was_changed_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(RefusedPutError, match="not signed by this server"):
        SIGNER.read(KEY, query_of(SIGNER.sign(PUT, NOW)) | change, NOW)


@pytest.mark.parametrize("key", [METADATA, "\ud800", ""], ids=repr)
def test_an_address_is_good_for_one_key(key: str) -> None:
    with pytest.raises(RefusedPutError, match="not signed by this server"):
        SIGNER.read(key, query_of(SIGNER.sign(PUT, NOW)), NOW)


def test_an_address_of_another_process_is_refused() -> None:
    with pytest.raises(RefusedPutError, match="not signed by this server"):
        PutSigner(b"other").read(KEY, query_of(SIGNER.sign(PUT, NOW)), NOW)


def test_an_address_is_good_for_fifteen_minutes() -> None:
    query = query_of(SIGNER.sign(PUT, NOW))

    assert SIGNER.read(KEY, query, NOW + timedelta(minutes=14, seconds=59)) == PUT
    with pytest.raises(RefusedPutError, match="has expired"):
        SIGNER.read(KEY, query, NOW + timedelta(minutes=15))


# --- the bucket -----------------------------------------------------------------------------------


def tags(client: Any, files: S3Files, key: str = KEY) -> dict[str, str]:
    found = client.get_object_tagging(Bucket=files._bucket, Key=key)["TagSet"]
    return {tag["Key"]: tag["Value"] for tag in found}


def test_a_bucket_takes_the_signed_bytes_and_marks_them(moto_s3: Any, moto_files: S3Files) -> None:
    assert put(target_of(moto_files)) == 200

    assert stored_bytes(moto_files, KEY) == WHEEL
    assert tags(moto_s3, moto_files) == {STATE: "staged"}


def test_a_second_put_is_refused(moto_files: S3Files) -> None:
    put(target_of(moto_files))

    assert put(target_of(moto_files), b"PK other") == 412

    assert stored_bytes(moto_files, KEY) == WHEEL


@pytest.mark.promise("signed-put")
def test_everything_that_a_bucket_must_compare_is_signed(moto_files: S3Files) -> None:
    """The emulators compare no signature, length or checksum; so completion must compare them."""
    target = target_of(moto_files)
    query = query_of(target)

    assert query["X-Amz-SignedHeaders"].split(";") == [
        "content-length",
        "host",
        "if-none-match",
        "x-amz-checksum-sha256",
        "x-amz-tagging",
    ]
    assert query["X-Amz-Expires"] == "900"
    checksum = base64.b64encode(bytes.fromhex(SHA256)).decode()
    assert target.headers == {
        "Content-Length": str(len(WHEEL)),
        "If-None-Match": "*",
        "x-amz-checksum-sha256": checksum,
        "x-amz-tagging": "state=staged",
    }


def test_the_tag_says_what_becomes_of_an_object(moto_s3: Any, moto_files: S3Files) -> None:
    save(moto_files)
    assert tags(moto_s3, moto_files) == {STATE: "staged"}

    moto_files.drop(KEY)
    assert tags(moto_s3, moto_files) == {STATE: "dropped"}

    moto_files.keep(KEY)
    assert tags(moto_s3, moto_files) == {STATE: "kept"}


def test_published_files_that_were_not_staged_have_no_tag(
    moto_s3: Any, moto_files: S3Files
) -> None:
    save(moto_files, "files/acme/0/widgets-1.0.tar.gz")

    assert tags(moto_s3, moto_files, "files/acme/0/widgets-1.0.tar.gz") == {}


@pytest.mark.parametrize(
    ("checksum", "sha256"),
    [
        (base64.b64encode(bytes.fromhex(SHA256)).decode(), SHA256),
        ("c2hhMjU2IG9mIGhhc2hlcw==-3", None),  # of an object that was put in three parts
        (None, None),
    ],
)
def test_only_the_hash_of_the_whole_object_counts(
    moto_s3: Any, moto_files: S3Files, checksum: str | None, sha256: str | None
) -> None:
    save(moto_files)

    def state(parsed: dict[str, Any], **_: Any) -> None:
        parsed.pop("ChecksumSHA256", None)
        parsed |= {"ChecksumSHA256": checksum} if checksum else {}

    moto_s3.meta.events.register("after-call.s3.HeadObject", state)

    assert moto_files.find(KEY) == Stored(len(WHEEL), sha256)


@pytest.mark.ministack
def test_the_bucket_knows_the_hash(emulator: Emulator) -> None:
    client = emulator.client("s3")
    files = S3Files(client, create_bucket(client))
    save(files)

    assert files.find(KEY) in {Stored(len(WHEEL), SHA256), Stored(len(WHEEL), None)}


def test_a_bucket_that_is_not_there_is_unavailable(moto_s3: Any) -> None:
    files = S3Files(moto_s3, "no-such-bucket")

    for call in (files.keep, files.drop):
        with pytest.raises(StoreUnavailable):
            call(KEY)


def test_a_refused_look_is_unavailable(moto_s3: Any, moto_files: S3Files) -> None:
    """S3 answers 403 to a role without `s3:ListBucket`, even if there is no object."""
    error = {"Error": {"Code": "403", "Message": "Forbidden"}}
    refused = (type("Answer", (), {"status_code": 403})(), error)
    moto_s3.meta.events.register("before-call.s3.HeadObject", lambda **_: refused)

    with pytest.raises(StoreUnavailable) as unavailable:
        moto_files.find(KEY)

    assert unavailable.value.operator_detail == "HeadObject: 403"


def test_without_credentials_there_is_no_target() -> None:
    with mock_aws():
        client = make_client("s3")
        client._request_signer._credentials = None
        with pytest.raises(StoreUnavailable):
            target_of(S3Files(client, "bucket"))
        client.close()
