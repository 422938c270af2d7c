"""What a wheel says about itself: RECORD lists files with their hashes, WHEEL names the format.

All that they say must be true; otherwise an installer that verifies them and one that does not see
two different wheels. They may be incomplete: PyPI accepts a RECORD that leaves out files or their
hashes.
"""

import base64
import csv
import hashlib
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from email.parser import HeaderParser
from typing import Final

from pytp_broker.errors import InvalidUpload
from pytp_broker.redaction import printable

# For as many files as a wheel may have, with 160 bytes each.
MAX_RECORD_BYTES: Final = 16 * 1024 * 1024
# A path on Linux has at most half of this.
MAX_LINE_BYTES: Final = 8 * 1024
# A real WHEEL has a few hundred bytes, with a line for each tag.
MAX_WHEEL_BYTES: Final = 64 * 1024

# "sha256 or better": those that Python always has.
_ALGORITHMS: Final = frozenset(
    {
        "sha256",
        "sha384",
        "sha512",
        "sha3_256",
        "sha3_384",
        "sha3_512",
        "blake2b",
        "blake2s",
    }
)
_FIELDS: Final = 3
_KNOWN_FORMAT: Final = re.compile(r"1(?:\.[0-9]+)*")


def check_format(octets: bytes) -> None:
    """Check that WHEEL names a version of the format that installers know; they must refuse 2.

    They also refuse a wheel without a version. Raises InvalidUpload.
    """
    try:
        header = HeaderParser().parsestr(octets.decode())
    except UnicodeDecodeError:
        raise InvalidUpload("the wheel's WHEEL is not UTF-8") from None
    versions = header.get_all("Wheel-Version", [])
    if not versions:
        raise InvalidUpload(
            "the wheel's WHEEL has no `Wheel-Version`, which installers need; write "
            "`Wheel-Version: 1.0` in its first line"
        )
    for version in versions:
        if not _KNOWN_FORMAT.fullmatch(version.strip()):
            raise InvalidUpload(
                f"the wheel's WHEEL says `Wheel-Version: {printable(version.strip())}`; "
                "installers know 1.0"
            )


def read_record(octets: bytes, path: str, sizes: Mapping[str, int]) -> dict[str, str]:
    """Return the hashes that RECORD gives, by file; raise InvalidUpload.

    Every file that it lists must be in the wheel, have the listed size, and be listed once. RECORD
    cannot hold its own hash (binary distribution format, "The .dist-info directory").
    """
    hashes: dict[str, str] = {}
    for written, stated, size in _read_fields(octets):
        # Some tools wrote backslashes on Windows, and PyPI accepts them. No member's name has one.
        name = written.replace("\\", "/")
        if name not in sizes:
            raise InvalidUpload(
                f"the wheel's RECORD lists `{printable(name)}`, which the wheel does not have"
            )
        if name in hashes:
            raise InvalidUpload(f"the wheel's RECORD lists `{printable(name)}` twice")
        if name == path:  # RECORD's line about itself is not checked
            hashes[name] = ""
        else:
            _check_line(name, stated, size, sizes[name])
            hashes[name] = stated
    return hashes


def _read_fields(octets: bytes) -> Iterator[list[str]]:
    """Yield the path, the hash and the size that are in each line.

    No line may contain a character that Unicode calls an end of line, because some tools end a line
    there.
    """
    lines = csv.reader(_read_lines(octets), strict=True)
    try:
        for fields in lines:
            if not fields:  # an empty line
                continue
            text = "".join(fields)
            if len(fields) != _FIELDS or text.splitlines() != [text]:
                raise InvalidUpload(
                    f"line {lines.line_num} of the wheel's RECORD is not a path, a hash and a size"
                )
            yield fields
    except (csv.Error, UnicodeDecodeError):
        raise InvalidUpload("the wheel's RECORD is not CSV in UTF-8") from None


def _read_lines(octets: bytes) -> Iterator[str]:
    """Yield one line at a time: all lines as text or fields could take many times their octets."""
    stream = io.BytesIO(octets)
    while line := stream.readline(MAX_LINE_BYTES + 1):
        if len(line) > MAX_LINE_BYTES:
            raise InvalidUpload("the wheel's RECORD has a line of more than 8 KiB")
        yield line.decode()


def _check_line(name: str, stated: str, size: str, actual: int) -> None:
    """Check a line, except the hash's value, which is compared when the file is read."""
    if size not in ("", str(actual)):
        raise InvalidUpload(f"the wheel's RECORD gives a wrong size for `{printable(name)}`")
    if stated and stated.partition("=")[0] not in _ALGORITHMS:
        raise InvalidUpload(
            f"the wheel's RECORD gives a hash of `{printable(name)}` that is weaker than sha256"
        )


def verify_file(name: str, pieces: Iterable[bytes | memoryview], stated: str) -> None:
    """Read a file to its end, and check the hash that RECORD gives, if it gives one.

    Raises InvalidUpload.
    """
    algorithm, _, digest = stated.partition("=")
    actual = hashlib.new(algorithm or "sha256")
    for piece in pieces:
        actual.update(piece)
    if stated and digest not in _spellings(actual.digest()):
        raise InvalidUpload(
            f"the wheel's RECORD gives a wrong hash for `{printable(name)}`: "
            "the file was changed after it was listed"
        )


def _spellings(digest: bytes) -> tuple[str, str]:
    """Return a hash as RECORD should write it, and in hex, as one tool on PyPI writes it."""
    return base64.urlsafe_b64encode(digest).decode().rstrip("="), digest.hex()
