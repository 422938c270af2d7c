"""Read a distribution's file name, and check that form and metadata name the same project.

The form, the file name and the metadata inside each name the project and the version. All three
must agree; otherwise a token for one project could publish a file that installers use for another
project.
"""

from dataclasses import dataclass
from typing import Final

from packaging.utils import parse_sdist_filename, parse_wheel_filename
from packaging.version import Version

from pytp_broker.errors import InvalidUpload
from pytp_broker.names import (
    MAX_FILE_NAME_CHARACTERS,
    SDIST_SUFFIX,
    NormalizedName,
    is_file_name,
    is_wheel,
    normalize,
    project_in_filenames,
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
    distribution = parse_published_filename(filename)
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


def parse_published_filename(filename: str) -> Distribution:
    """Return what a file name says that any index may have published; raise InvalidUpload.

    It may be older than PEP 625: `My.Package-1.0.tar.gz`, or an sdist that is a zip archive.
    Installers still take such a file, and lock files name it.
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
        return _parse(filename)
    except ValueError:
        raise InvalidUpload(
            f"`{filename}` is neither the name of a wheel (.whl) nor of an sdist (.tar.gz, or .zip "
            "if another index published it)"
        ) from None


def _parse(filename: str) -> Distribution:
    if is_wheel(filename):
        name, version, _, _ = parse_wheel_filename(filename)
        filetype = WHEEL
    else:
        name, version = parse_sdist_filename(filename)
        filetype = SDIST
    return Distribution(filename, filetype, normalize(name), version, version_in(filename))


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
