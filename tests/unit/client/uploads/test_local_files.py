"""A distribution on the disk: what its name says, and what is inside."""

from pathlib import Path

import pytest

from pytp_broker.client.uploads.bodies import Body, BytesPart, FilePart
from pytp_broker.client.uploads.local_files import FileError, read_local
from tests.support.distributions import Distribution, sdist, wheel, zipped


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("made", [wheel("my-widgets"), sdist("my-widgets")], ids=["wheel", "sdist"])
def test_a_name_says_project_and_version(quick_path: Path, made: Distribution) -> None:
    file = read_local(put(quick_path, made.filename, made.content))

    assert (file.project, str(file.version), file.size) == ("my-widgets", "1.0", len(made.content))
    assert b"Name: my-widgets" in file.metadata
    assert file.attestations == b""


def test_an_old_sdist_that_is_a_zip_archive_is_read(quick_path: Path) -> None:
    octets = zipped([("widgets-1.0/PKG-INFO", "Name: widgets\n")])
    file = read_local(put(quick_path, "widgets-1.0.zip", octets))

    assert file.metadata == b"Name: widgets\n"


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("widgets-1.0-py3-none-any.whl", b"", "is empty"),
        ("widgets.whl", b"x", "has a name that installers do not read"),
        ("widgets.tar.gz", b"x", "has a name that installers do not read"),
        ("widgets-x.tar.gz", b"x", "has a name that installers do not read"),
        ("README.md", b"x", "is not a wheel"),
        ("widgets 1.0.tar.gz", b"x", "is not a wheel"),
    ],
)
def test_what_is_not_a_distribution_is_said(
    quick_path: Path, name: str, content: bytes, why: str
) -> None:
    with pytest.raises(FileError, match=why):
        read_local(put(quick_path, name, content))


def test_a_file_that_is_not_there_is_said(quick_path: Path) -> None:
    with pytest.raises(FileError, match="cannot be read: No such file"):
        read_local(quick_path / "widgets-1.0.tar.gz")
    with pytest.raises(FileError, match="is not a file"):
        read_local(quick_path)


@pytest.mark.parametrize("name", ["widgets-1.0-py3-none-any.whl", "widgets-1.0.tar.gz"])
def test_a_broken_archive_is_said(quick_path: Path, name: str) -> None:
    file = read_local(put(quick_path, name, b"not an archive"))

    with pytest.raises(FileError, match="is not a whole archive"):
        _ = file.metadata


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("widgets-1.0-py3-none-any.whl", zipped([("widgets/METADATA", "")])),
        ("widgets-1.0.zip", zipped([("PKG-INFO", "")])),
        ("widgets-1.0.tar.gz", sdist(members=[("widgets-1.0/src/PKG-INFO", b"")]).content),
    ],
)
def test_an_archive_without_metadata_is_said(quick_path: Path, name: str, content: bytes) -> None:
    file = read_local(put(quick_path, name, content))

    with pytest.raises(FileError, match=r"build the (wheel|sdist) again"):
        _ = file.metadata


def test_an_sdist_of_very_many_members_is_not_searched_for_ever(
    quick_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytp_broker.client.uploads.local_files._MAX_MEMBERS", 2)
    members = [(f"widgets-1.0/{n}", b"") for n in range(9)]
    made = sdist(members=[*members, ("widgets-1.0/PKG-INFO", b"x")])
    file = read_local(put(quick_path, made.filename, made.content))

    with pytest.raises(FileError, match="build the sdist again"):
        _ = file.metadata


def test_a_file_that_vanishes_is_said(quick_path: Path) -> None:
    path = put(quick_path, "widgets-1.0.tar.gz", b"x")
    file = read_local(path)
    path.unlink()

    with pytest.raises(FileError, match="cannot be read: No such file"):
        _ = file.sha256


@pytest.mark.parametrize(
    ("text", "seen"), [('{"a": 1}\n', b'[{"a": 1}]'), ('[{"a": 1}]', b'[{"a": 1}]')]
)
def test_attestations_beside_a_file_are_an_array(quick_path: Path, text: str, seen: bytes) -> None:
    file = read_local(put(quick_path, "widgets-1.0.tar.gz", b"x"))
    put(quick_path, "widgets-1.0.tar.gz.publish.attestation", text.encode())

    assert file.attestations == seen


def test_the_attestations_of_every_tool_are_one_array(quick_path: Path) -> None:
    file = read_local(put(quick_path, "widgets-1.0.tar.gz", b"x"))
    put(quick_path, "widgets-1.0.tar.gz.slsa.attestation", b'[ {"b": 2} ]\n')
    put(quick_path, "widgets-1.0.tar.gz.publish.attestation", b'{"a": 1}')

    assert file.attestations == b'[{"a": 1},{"b": 2}]'


def test_the_attestations_of_another_file_are_left_alone(quick_path: Path) -> None:
    file = read_local(put(quick_path, "widgets-1.0.tar.gz", b"x"))
    for name in ("widgets-1.0.zip.publish", "widgets-1.0.tar.gz", "widgets-1.0.tar.gz.a.b", "x"):
        put(quick_path, f"{name}.attestation", b"{}")
    (quick_path / "widgets-1.0.tar.gz.folder.attestation").mkdir()

    assert file.attestations == b""


@pytest.mark.parametrize("octets", [b"hello", b"", b"[", b"[" * (1024 * 1024 + 1)])
def test_attestations_of_another_form_are_said(quick_path: Path, octets: bytes) -> None:
    file = read_local(put(quick_path, "widgets-1.0.tar.gz", b"x"))
    put(quick_path, "widgets-1.0.tar.gz.publish.attestation", octets)

    with pytest.raises(FileError, match="is not a JSON object or array"):
        _ = file.attestations


# --- bodies ---------------------------------------------------------------------------------------


def test_a_body_is_its_parts_in_their_order(quick_path: Path) -> None:
    path = put(quick_path, "x", b"0123456789")
    counted: list[int] = []
    body = Body([BytesPart(b"<"), FilePart(path, 10), BytesPart(b">")], counted.append)

    assert len(body) == 12
    assert list(body) == [b"<", b"0123456789", b">"]
    assert sum(counted) == 10


def test_a_body_gives_no_more_than_is_asked_for(quick_path: Path) -> None:
    body = Body([FilePart(put(quick_path, "x", b"0123456789"), 10)])

    assert [body.read(4), body.read(4), body.read(4), body.read(4)] == [
        b"0123",
        b"4567",
        b"89",
        b"",
    ]


def test_a_file_that_shrinks_while_it_is_sent_ends_the_request(quick_path: Path) -> None:
    path = put(quick_path, "x", b"0123456789")
    body = Body([FilePart(path, 11)])
    body.read(11)

    with pytest.raises(OSError, match="shorter than it was"):
        body.read(11)


def test_a_body_that_nobody_waits_for_is_not_read(quick_path: Path) -> None:
    body = Body([BytesPart(b"x")])
    body.abandon()

    with pytest.raises(OSError, match="nobody waits"):
        body.read()
