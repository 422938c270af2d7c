"""Names of projects (PEP 503), of distributions' files (PEP 427, PEP 625) and of hosts (RFC 1123).

Nothing here imports ``packaging``, which would make every function start more slowly; a test holds
the two together.
"""

import re
from typing import Final, NewType

# A name that `normalize` returned: all spellings of one project have the same.
NormalizedName = NewType("NormalizedName", str)

# Stores limit the length of a key.
MAX_PROJECT_CHARACTERS: Final = 200
WHEEL_SUFFIX: Final = ".whl"
SDIST_SUFFIX: Final = ".tar.gz"
# Sdists were zip archives too, until PEP 625.
ZIP_SUFFIX: Final = ".zip"
# The metadata beside a file has the file's name and this suffix.
METADATA_SUFFIX: Final = ".metadata"
# File systems allow 255 bytes, and the name of the metadata must fit too.
MAX_FILE_NAME_CHARACTERS: Final = 240

_PROJECT: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
_FILE_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+!-]*")

_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# A host name in lower case, as a pattern for `re.fullmatch`. The dot between labels is required. If
# it were optional, a long name with a mistake would take hours.
HOST_NAME: Final = rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*"
LOOPBACK_HOSTS: Final = ("127.0.0.1", "localhost", "::1")
# A request may be sent to any such host. Between two dots are at most 63 characters, so that our
# URLs never repeat a token that somebody sends as a host.
_SENT_NAME: Final = r"(?=[^:]{1,253}(:|\Z))[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})*\.?"
_SENT_HOST: Final = re.compile(rf"({_SENT_NAME}|\[[0-9A-Fa-f:.]{{2,45}}\])(:[0-9]{{1,5}})?")
_PORT: Final = re.compile(r":[0-9]+\Z")


class InvalidNameError(ValueError):
    """The text is not the name of a project; the message says what it must be."""


def normalize(name: str) -> NormalizedName:
    """Return the form that all spellings of a project's name share (PEP 503)."""
    return NormalizedName(re.sub(r"[-_.]+", "-", name).lower())


def read_project(text: str) -> NormalizedName:
    """Return the normalised name of a project; raise InvalidNameError."""
    if not _PROJECT.fullmatch(text):
        raise InvalidNameError(
            "must be a project name: letters and digits, and `.`, `_` and `-` between them"
        )
    project = normalize(text)
    if not may_be_project(project):
        raise InvalidNameError(f"must have at most {MAX_PROJECT_CHARACTERS} characters")
    return project


def may_be_project(name: str) -> bool:
    """Say whether a project could have this normalised name, as far as stores are concerned."""
    return name.isascii() and 0 < len(name) <= MAX_PROJECT_CHARACTERS


def project_in_filenames(project: NormalizedName) -> str:
    """Return the project's name as it is spelled in file names and in directories of wheels."""
    return project.replace("-", "_")


def is_file_name(text: str) -> bool:
    """Say whether a distribution could have this name: no path, no control character, ASCII."""
    return len(text) <= MAX_FILE_NAME_CHARACTERS and _FILE_NAME.fullmatch(text) is not None


def is_wheel(filename: str) -> bool:
    """Say whether the file of this name is a wheel; else it is an sdist."""
    return filename.endswith(WHEEL_SUFFIX)


def version_in(filename: str, project: str) -> str:
    """Return how the well-formed name of a project's distribution spells the version."""
    if is_wheel(filename):
        return filename.split("-")[1]
    stem = sdist_stem(filename)
    # An old version may have a dash, and so may a project: only together do they fit.
    dashes = (found.start() for found in re.finditer("-", stem))
    return next(stem[at + 1 :] for at in dashes if normalize(stem[:at]) == project)


def sdist_stem(filename: str) -> str:
    """Return the name of an sdist without its ending: the project and the version."""
    return filename.removesuffix(SDIST_SUFFIX).removesuffix(ZIP_SUFFIX)


def is_host_name(text: str) -> bool:
    """Say whether the text is a host name in lower case, or an IPv4 address."""
    return re.fullmatch(HOST_NAME, text) is not None


def is_public_host_name(text: str) -> bool:
    """Say whether the text is a fully qualified host name in lower case, and not an address."""
    # A resolver takes 0x7f.1 and 2130706433 for addresses: their last label begins with a digit.
    last_label = text.rpartition(".")[2]
    return is_host_name(text) and "." in text and not last_label[0].isdigit()


def is_sent_host(text: str) -> bool:
    """Say whether a request may be sent to this host: a name or an address, perhaps with a port."""
    return _SENT_HOST.fullmatch(text) is not None


def without_port(host: str) -> str:
    """Return the host without the port that may follow it."""
    return _PORT.sub("", host)
