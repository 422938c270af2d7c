"""Check what is in a wheel, and where installers put it."""

import re
from collections.abc import Collection, Iterable, Mapping
from itertools import groupby, pairwise, starmap
from typing import Final

from packaging.version import InvalidVersion, Version

from pytp_broker.content import Content
from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.entry_points import (
    MAX_ENTRY_POINTS_BYTES,
    check_entry_points,
    is_interpreter,
)
from pytp_broker.index.archives.members import (
    MAX_METADATA_BYTES,
    check_metadata_size,
    check_places,
    check_short_names,
    check_spelling,
    folded,
    has_device,
    is_visible,
)
from pytp_broker.index.archives.wheel_record import (
    MAX_RECORD_BYTES,
    MAX_WHEEL_BYTES,
    check_format,
    read_record,
    verify_file,
)
from pytp_broker.index.archives.zips import Member, read_zip
from pytp_broker.index.distributions import Distribution
from pytp_broker.names import WHEEL_SUFFIX, normalize, project_in_filenames
from pytp_broker.redaction import printable

# The files in a wheel's `.dist-info` directory that we read and that must be there.
_REQUIRED: Final = ("METADATA", "RECORD", "WHEEL")
_ENTRY_POINTS: Final = "entry_points.txt"
# The files that we read, and their largest sizes.
_READ: Final = {
    "METADATA": MAX_METADATA_BYTES,
    "WHEEL": MAX_WHEEL_BYTES,
    _ENTRY_POINTS: MAX_ENTRY_POINTS_BYTES,
    "RECORD": MAX_RECORD_BYTES,
}
# Endings of a directory that tools take for the record of an installed project.
_PROJECT_RECORDS: Final = (".dist-info", ".egg-info")
# Endings that lead pip to such a record, where Python looks for modules: an egg contains one, and a
# link to an egg names a directory that contains one.
_EGGS: Final = (".egg", ".egg-link")
_MODULE_FOLDERS: Final = ("purelib", "platlib", "site-packages", "dist-packages")
# The directories that a wheel's `.data` directory may have; pip and uv know no others.
_SCHEMES: Final = ("data", "headers", "platlib", "purelib", "scripts")
# Installers put the content of these beside the rest of the wheel, each in a different order.
_MODULES: Final = re.compile(r"\A[^/]+\.data/(?:purelib|platlib)(?:/|\Z)")
# unzip removes a version number in the style of VMS from a name, and overwrites the file that has
# the name without it.
_VMS_VERSION: Final = re.compile(r";[0-9]*\Z")


def read_wheel(distribution: Distribution, content: Content) -> bytes:
    """Return a wheel's METADATA; raise InvalidUpload, struct.error or InflateError."""
    members = read_zip(content)
    dist_info = _find_dist_info(members, distribution)
    _check_files(members, dist_info)
    _check_names(members, distribution)
    _check_places(members, dist_info)
    _check_modules(members)
    files = _read_files(members, dist_info)
    check_format(files[f"{dist_info}/WHEEL"])
    check_entry_points(files.get(f"{dist_info}/{_ENTRY_POINTS}", b""))
    _check_record(members, files, f"{dist_info}/RECORD")
    return files[f"{dist_info}/METADATA"]


def _read_files(members: Mapping[str, Member], dist_info: str) -> dict[str, bytes]:
    """Return the content of the files that we read, by path; none of them may be too large."""
    check_metadata_size(members[f"{dist_info}/METADATA"].size)
    paths = {f"{dist_info}/{file}": limit for file, limit in _READ.items()}
    return {path: _read(members[path], limit) for path, limit in paths.items() if path in members}


def _read(member: Member, limit: int) -> bytes:
    """Return a member's content, if it is not too large."""
    if member.size > limit:
        file = member.name.rpartition("/")[2]
        raise InvalidUpload(f"the wheel's {file} is larger than {limit // 1024} KiB")
    return b"".join(member.unpack())


def _check_record(members: Mapping[str, Member], files: Mapping[str, bytes], path: str) -> None:
    """Check all members against RECORD, and against the size and CRC-32 that the archive states.

    The files that we have read are not unpacked again.
    """
    sizes = {name: member.size for name, member in members.items() if member.is_file}
    hashes = read_record(files[path], path, sizes)
    # In their order in the archive, so that content that is fetched in ranges is read once through.
    for name, member in sorted(members.items(), key=lambda item: item[1].start):
        pieces = [files[name]] if name in files else member.unpack()
        verify_file(name, pieces, hashes.get(name, ""))


def _find_dist_info(names: Iterable[str], distribution: Distribution) -> str:
    """Return the name of the wheel's one `.dist-info`, which tells installers the project."""
    tops = sorted({name.partition("/")[0] for name in names})
    found = [top for top in tops if folded(top).endswith(".dist-info")]
    if len(found) != 1 or not _is_dist_info(found[0], distribution):
        seen = ", ".join(f"`{printable(top)}`" for top in found[:3]) or "none"
        expected = f"{project_in_filenames(distribution.project)}-{distribution.version}.dist-info"
        raise InvalidUpload(
            f"the wheel must have exactly one .dist-info directory, `{expected}`; it has {seen}"
        )
    return found[0]


def _is_dist_info(directory: str, distribution: Distribution) -> bool:
    stem, _, suffix = directory.rpartition(".")
    name, _, version = stem.partition("-")
    if suffix != "dist-info" or normalize(name) != distribution.project:
        return False
    try:
        return Version(version) == distribution.version
    except InvalidVersion:
        return False


def _check_names(members: Mapping[str, Member], distribution: Distribution) -> None:
    """Check that all tools read the names alike, and that the wheel's platforms allow them."""
    platforms = distribution.filename.removesuffix(WHEEL_SUFFIX).rpartition("-")[2].split(".")
    is_for_windows = any(p == "any" or p.startswith("win") for p in platforms)
    for name in members:
        if _VMS_VERSION.search(name) or not is_visible(name):
            raise InvalidUpload(
                f"the archive has a member with the name `{printable(name)}`, which some tools "
                "refuse or change; rename it"
            )
        if is_for_windows and has_device(name):
            raise InvalidUpload(
                f"the archive has `{printable(name)}`, which is a device on Windows; rename it, or "
                "build the wheel for other platforms only"
            )
    check_short_names(members)
    check_places((folded(name.rstrip("/")), name, m.is_file) for name, m in members.items())
    # unzip reads a name by the system that wrote the archive: for DOS, it takes `\u0718` for `_`.
    check_places((m.unzip_path, name, m.is_file) for name, m in members.items())


def _check_places(names: Iterable[str], dist_info: str) -> None:
    """Check that all installers put each member in one place, and none into another project.

    Files in `X.data/purelib/` and its like are installed as if they were at the top. pip does so
    for every such directory, and uv for the one that belongs to `.dist-info`.
    """
    expected = f"{dist_info.removesuffix('.dist-info')}.data"
    for top, group in groupby(sorted(names), key=lambda name: name.partition("/")[0]):
        suffix = f".{folded(top).rpartition('.')[2]}"
        for name in group if suffix in (".data", ".egg-info", *_EGGS) else ():
            if suffix == ".data":
                _check_data(name, expected)
            else:
                raise InvalidUpload(
                    f"the wheel has `{printable(name)}`, which is the record of an installed "
                    f"project; only `{dist_info}` may be one"
                )


def _check_data(name: str, expected: str) -> None:
    """Check the place of a member in a `.data` directory; its last segment may be empty."""
    top, scheme, *inner = name.split("/") if "/" in name else (expected, "")
    if top != expected or (scheme and (scheme not in _SCHEMES or not inner)):
        raise InvalidUpload(
            f"the wheel has `{printable(name)}`, and installers do not know where to put it: data "
            f"must be below `{expected}/` in one of {', '.join(_SCHEMES)}"
        )
    if any(starmap(_is_record, pairwise([scheme, *inner]))):
        raise InvalidUpload(
            f"the wheel has `{printable(name)}`, which installers would take for the record of "
            "another project; leave it out"
        )
    if scheme == "scripts":
        _check_script(name, inner)


def _check_modules(members: Mapping[str, Member]) -> None:
    """Check that no module of the wheel is installed over another one."""
    if any(map(_MODULES.match, members)):
        installed = ((_MODULES.sub("", name.rstrip("/")), name) for name in members)
        places = ((folded(path), name, members[name].is_file) for path, name in installed)
        check_places(places, "where they are installed")


def _is_record(folder: str, segment: str) -> bool:
    """Say whether tools take a segment of a path for the record of an installed project."""
    segment = folded(segment)
    is_egg = segment.endswith(_EGGS) and folded(folder) in _MODULE_FOLDERS
    return is_egg or segment.endswith(_PROJECT_RECORDS)


def _check_script(name: str, inner: list[str]) -> None:
    """Check that a member in `scripts` is a file directly in it, and does not replace Python."""
    if inner[1:]:
        raise InvalidUpload(
            f"the wheel has `{printable(name)}`, and uv does not install a wheel with a "
            "directory in `scripts`; put the script itself there"
        )
    if is_interpreter(inner[0]):
        raise InvalidUpload(
            f"the wheel has `{printable(name)}`, which would replace Python's own interpreter; "
            "rename it"
        )


def _check_files(names: Collection[str], dist_info: str) -> None:
    """Check that a wheel has each file that it must have, and has it once."""
    inside = [name for name in names if name.startswith(f"{dist_info}/")]
    for file in (*_REQUIRED, _ENTRY_POINTS):
        path = f"{dist_info}/{file}"
        if file in _REQUIRED and path not in names:
            raise InvalidUpload(
                f"the wheel has no `{path}`, which installers need; build the wheel with a build "
                "backend, and not with a tool for zip archives"
            )
        for name in inside:
            check_spelling(name.removesuffix("/"), path)
            if name.startswith(f"{path}/"):
                raise InvalidUpload(f"the wheel's `{path}` must be a file, not a directory")
