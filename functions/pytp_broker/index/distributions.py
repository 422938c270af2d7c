"""Read a distribution's file name, and check that form and metadata name the same project.

The form, the file name and the metadata inside each name the project and the version. All three
must agree; otherwise a token for one project could publish a file that installers use for another
project.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from packaging.utils import parse_wheel_filename
from packaging.version import Version

from pytp_broker.errors import InvalidUpload
from pytp_broker.names import (
    MAX_FILE_NAME_CHARACTERS,
    SDIST_SUFFIX,
    ZIP_SUFFIX,
    NormalizedName,
    is_file_name,
    is_wheel,
    normalize,
    project_in_filenames,
    sdist_stem,
    version_in,
)
from pytp_broker.redaction import printable
from pytp_broker.tokens import holds_token

WHEEL: Final = "bdist_wheel"
SDIST: Final = "sdist"


@dataclass(frozen=True, slots=True)
class Distribution:
    """A well-formed file name, and what it says.

    ``spelling`` is the version as the file name spells it.
    """

    filename: str
    filetype: str
    project: NormalizedName
    version: Version
    spelling: str


def parse_filename(filename: str) -> Distribution:
    """Return what the file name of an upload says; raise InvalidUpload.

    This is stricter than installers are: the project's part must be normalised (PEP 427, PEP 625),
    so that one file has one name.
    """
    distribution = read_filename(filename)[0]
    project = project_in_filenames(distribution.project)
    if distribution.filetype == WHEEL:
        seen = filename.partition("-")[0]
        if seen != project:
            raise InvalidUpload(
                f"the file name must begin with `{project}-`, not `{seen}-` (PEP 427)"
            )
        return distribution
    expected = f"{project}-{distribution.version}{SDIST_SUFFIX}"
    if filename != expected:
        raise InvalidUpload(f"the file name must be `{expected}`, not `{filename}` (PEP 625)")
    return distribution


def read_filename(filename: str) -> list[Distribution]:
    """Return what a file name may say that any index has published; raise InvalidUpload.

    It may be older than PEP 625: `My.Package-1.0.tar.gz`, or an sdist that is a zip archive.
    Installers still take such a file, and lock files name it. Nearly every name has one reading;
    `widgets-1.0-1.tar.gz` is 1 of `widgets-1-0`, or 1.0.post1 of `widgets`.
    """
    if not is_file_name(filename):
        raise InvalidUpload(
            f"`{printable(filename)}` is not the name of a distribution of at most "
            f"{MAX_FILE_NAME_CHARACTERS} characters"
        )
    if holds_token(filename):
        raise InvalidUpload(
            "the file name contains an upload token, and file names are public: burn the token"
        )
    try:
        return _parse_wheel(filename) if is_wheel(filename) else _parse_sdist(filename)
    except ValueError:
        raise InvalidUpload(
            f"`{filename}` is neither the name of a wheel (.whl) nor of an sdist (.tar.gz, or .zip "
            "if another index published it)"
        ) from None


def _parse_wheel(filename: str) -> list[Distribution]:
    name, version, _, _ = parse_wheel_filename(filename)
    project = normalize(name)
    return [Distribution(filename, WHEEL, project, version, version_in(filename, project))]


def _parse_sdist(filename: str) -> list[Distribution]:
    """Return a reading for each dash that a version follows, the last dash first."""
    if not filename.endswith((SDIST_SUFFIX, ZIP_SUFFIX)):
        raise ValueError(filename)
    parts = sdist_stem(filename).split("-")
    readings = []
    for at in range(len(parts) - 1, 0, -1):
        spelling = "-".join(parts[at:])
        with suppress(ValueError):  # InvalidVersion, or a number of too many digits
            project, version = normalize("-".join(parts[:at])), Version(spelling)
            readings.append(Distribution(filename, SDIST, project, version, spelling))
    if not readings:
        raise ValueError(filename)
    return readings


def read_as(filename: str, project: NormalizedName) -> Distribution | None:
    """Return what a file name says if it is of this project, else None; raise InvalidUpload."""
    return next((each for each in read_filename(filename) if each.project == project), None)


def check_same(
    distribution: Distribution, project: NormalizedName, version: Version, place: str
) -> None:
    """Check that ``place`` names the same project and version; raise InvalidUpload."""
    if project != distribution.project:
        raise InvalidUpload(
            f"the file name is for the project `{distribution.project}`, "
            f"the {place} is for `{printable(project)}`"
        )
    if version != distribution.version:
        raise InvalidUpload(
            f"the file name has the version `{distribution.version}`, "
            f"the {place} has `{printable(str(version))}`"
        )
