"""Small real wheels and sdists, built in memory, and the forms that clients send them in."""

import base64
import csv
import gzip
import hashlib
import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

BOUNDARY = "a0b1c2d3e4f5"
CONTENT_TYPE = f"multipart/form-data; boundary={BOUNDARY}"

WHEEL_NAME = "widgets-1.0-py3-none-any.whl"
SDIST_NAME = "widgets-1.0.tar.gz"

UNSAFE_NAMES = [
    "/etc/passwd",
    "../x",
    "a/../../x",
    "a/..",
    "..",
    "a//b",
    "./a",
    "a/./b",
    "a\\b",
    "..\\a",
    "C:/a",
    "c:a",
    "a\nb",
    "a\x7fb",
    "/",
]

Fields = Sequence[tuple[str, str]]
Member = tuple[str | zipfile.ZipInfo, str | bytes]


@dataclass(frozen=True)
class Distribution:
    filename: str
    content: bytes

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()


def metadata(name: str = "widgets", version: str = "1.0", *more: str) -> str:
    lines = ("Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}", *more)
    return "".join(f"{line}\n" for line in lines) + "\nA description.\n"


def noise(length: int) -> bytes:
    """Return bytes that deflate cannot shorten."""
    return hashlib.shake_128(b"").digest(length)


def wheel_members(
    name: str = "widgets", version: str = "1.0", text: str | None = None
) -> dict[str, str | bytes]:
    """Return the members of a wheel without RECORD, which ``recorded`` adds."""
    text = metadata(name, version) if text is None else text
    directory = f"{name.replace('-', '_')}-{version}.dist-info"
    return {
        f"{name}/__init__.py": "",
        f"{directory}/METADATA": text,
        f"{directory}/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }


def recorded(members: Iterable[Member]) -> list[Member]:
    """Return the members of a wheel, and a RECORD that lists them."""
    members = list(members)
    names = [name_of(member) for member, _ in members]
    directory = next(name.partition("/")[0] for name in names if ".dist-info/" in name)
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    for name, (_, content) in zip(names, members, strict=True):
        if not name.endswith("/"):
            octets = content.encode() if isinstance(content, str) else content
            lines.writerow((name, hash_of(octets), len(octets)))
    lines.writerow((f"{directory}/RECORD", "", ""))
    return [*members, (f"{directory}/RECORD", text.getvalue())]


def name_of(member: str | zipfile.ZipInfo) -> str:
    return member if isinstance(member, str) else member.filename


def hash_of(octets: bytes, algorithm: str = "sha256") -> str:
    """Return a hash as RECORD has it."""
    digest = hashlib.new(algorithm, octets).digest()
    return f"{algorithm}={base64.urlsafe_b64encode(digest).decode().rstrip('=')}"


def zipped(members: Iterable[Member], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in members:
            # A member made here is dated 1980, so that the same wheel is the same bytes.
            member = zipfile.ZipInfo(name) if isinstance(name, str) else name
            archive.writestr(member, content, method)
    return buffer.getvalue()


def wheel(
    name: str = "widgets",
    version: str = "1.0",
    *,
    text: str | None = None,
    members: Mapping[str, str | bytes] | None = None,
    filename: str | None = None,
) -> Distribution:
    members = wheel_members(name, version, text) if members is None else members
    filename = filename or f"{name.replace('-', '_')}-{version}-py3-none-any.whl"
    return Distribution(filename, zipped(recorded(members.items())))


def tarred(
    members: Iterable[tuple[tarfile.TarInfo | str, bytes]], style: int = tarfile.PAX_FORMAT
) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=style) as archive:
        for name, content in members:
            member = tarfile.TarInfo(name) if isinstance(name, str) else name
            member.size = member.size or len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def sdist_members(
    name: str = "widgets", version: str = "1.0", text: str | None = None
) -> dict[str, bytes]:
    text = metadata(name, version) if text is None else text
    top = f"{name.replace('-', '_')}-{version}"
    return {
        f"{top}/pyproject.toml": b"[project]\n",
        f"{top}/PKG-INFO": text.encode(),
        f"{top}/src/widgets.py": b"x = 1\n" * 500,
    }


def sdist(
    name: str = "widgets",
    version: str = "1.0",
    *,
    text: str | None = None,
    members: Iterable[tuple[tarfile.TarInfo | str, bytes]] | None = None,
    filename: str | None = None,
) -> Distribution:
    members = sdist_members(name, version, text).items() if members is None else members
    filename = filename or f"{name.replace('-', '_')}-{version}.tar.gz"
    return Distribution(filename, gzip.compress(tarred(members), mtime=0))


def texts(sent: Fields) -> list[bytes]:
    """Return the parts of a form for these fields."""
    return [text_part(name, value) for name, value in sent]


def fields(distribution: Distribution, **changes: str | None) -> Fields:
    """Return the fields of a correct form with these changes; None leaves a field out."""
    stem = distribution.filename.removesuffix(".tar.gz").split("-")
    values: dict[str, str | None] = {
        ":action": "file_upload",
        "protocol_version": "1",
        "filetype": "bdist_wheel" if distribution.filename.endswith(".whl") else "sdist",
        "metadata_version": "2.1",
        "name": stem[0].replace("_", "-"),
        "version": stem[1] if len(stem) > 1 else "",
        "sha256_digest": distribution.sha256,
        **changes,
    }
    return [(name, value) for name, value in values.items() if value is not None]


def text_part(name: str, value: str | bytes) -> bytes:
    octets = value.encode() if isinstance(value, str) else value
    return part(f'form-data; name="{name}"', octets)


def file_part(
    filename: str, content: bytes, name: str = "content", kind: str | None = None
) -> bytes:
    return part(f'form-data; name="{name}"; filename="{filename}"', content, kind)


def part(disposition: str, content: bytes, kind: str | None = None) -> bytes:
    headers = f"Content-Disposition: {disposition}\r\n"
    if kind is not None:
        headers += f"Content-Type: {kind}\r\n"
    return headers.encode() + b"\r\n" + content


def body(parts: Iterable[bytes]) -> bytes:
    opening = f"--{BOUNDARY}\r\n".encode()
    return b"".join(opening + p + b"\r\n" for p in parts) + f"--{BOUNDARY}--\r\n".encode()


def form(distribution: Distribution, sent: Fields | None = None) -> bytes:
    """Return the body of an upload: the fields, then the file."""
    texts = fields(distribution) if sent is None else sent
    content = file_part(distribution.filename, distribution.content)
    return body([*(text_part(name, value) for name, value in texts), content])
