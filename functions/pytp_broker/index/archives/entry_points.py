"""Entry points of a wheel: the scripts that installers write for it.

Installers disagree about how to read `entry_points.txt`. configparser continues a value on an
indented line and skips what follows a semicolon; pip (by importlib.metadata) and uv read each line
by itself. So we read the file both ways, and both must find the same scripts.
"""

import configparser
import re
from collections.abc import Iterator
from typing import Final

from pytp_broker.errors import InvalidUpload
from pytp_broker.index.archives.members import MAX_SEGMENT_BYTES, has_device, has_long_segment
from pytp_broker.redaction import printable

# Fifty times the largest file in three hundred real wheels.
MAX_ENTRY_POINTS_BYTES: Final = 256 * 1024

# Installers write a file for each entry of these groups. In other groups a name is not a file name,
# and real ones have slashes (`material/blog`).
_SCRIPT_GROUPS: Final = frozenset({"console_scripts", "gui_scripts"})
# As the specification of entry points and PyPI define it.
_SCRIPT_NAME: Final = re.compile(r"[\w.-]+")
# A module and what to call in it, then perhaps extras. No installer writes a script if one of the
# two is missing, and uv writes none if a comment follows.
_CALLABLE: Final = re.compile(r"[\w.-]+\s*:\s*[\w.-]+\s*(?:\[[^\]]*\]\s*)?")
# Names of the interpreter in an environment. uv does not install a script over it.
_INTERPRETER: Final = re.compile(r"(?:python|pypy|graalpy)[0-9.]*[tw]?(?:\.exe)?", re.IGNORECASE)
_CURE: Final = "correct the entry points in your project's configuration"

Script = tuple[str, str, str]


def check_entry_points(octets: bytes) -> None:
    """Check the scripts of a wheel; raise InvalidUpload for an unsafe or impossible one."""
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise InvalidUpload("the wheel's entry_points.txt is not UTF-8") from None
    scripts = set(_read_file(text))
    for group, name, value in sorted(scripts):
        _check_script(group, name, value)
    if scripts != set(_read_lines(text)):
        raise InvalidUpload(
            "installers do not agree on the scripts in the wheel's entry_points.txt: write each "
            "one on one line, `name = module:function`, and each comment on a line with `#` first"
        )


def _check_script(group: str, name: str, value: str) -> None:
    """Check that installers on every platform can write a script, inside the scripts' folder."""
    shown = f"`{printable(name)}` in the group `{group}`"
    if not _SCRIPT_NAME.fullmatch(name) or not name.strip(".") or has_device(name):
        raise InvalidUpload(
            f"the wheel's entry_points.txt has a script {shown}, which is not a file name that "
            f"consists of letters, digits, `_`, `-` and `.`; {_CURE}"
        )
    if has_long_segment(name):
        raise InvalidUpload(
            f"the wheel's entry_points.txt has a script {shown}, and file systems take names of at "
            f"most {MAX_SEGMENT_BYTES} bytes; {_CURE}"
        )
    if is_interpreter(name):
        raise InvalidUpload(
            f"the wheel's entry_points.txt has a script {shown}, which would replace "
            f"Python's own interpreter; {_CURE}"
        )
    if not _CALLABLE.fullmatch(value):
        raise InvalidUpload(
            f"the wheel's entry_points.txt has a script {shown} that is `{printable(value)}` and "
            f"not `module:function`; {_CURE}"
        )


def is_interpreter(name: str) -> bool:
    """Say whether a script of this name would take the place of an environment's interpreter."""
    return _INTERPRETER.fullmatch(name) is not None


def _read_file(text: str) -> Iterator[Script]:
    """Yield the scripts that configparser finds with the options of PyPI and ``installer``."""
    parser = configparser.RawConfigParser(delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment, method-assign]  # case matters in names
    try:
        parser.read_string(text)
    except configparser.Error:
        raise InvalidUpload(
            "the wheel's entry_points.txt is not an INI file of groups with entries, each once: "
            f"`name = value`; {_CURE}"
        ) from None
    for section in parser.sections():
        for name, value in parser.items(section):
            if (group := _group(section)) in _SCRIPT_GROUPS:
                yield group, name, value


def _read_lines(text: str) -> Iterator[Script]:
    """Yield the scripts on separate lines; a line ends wherever any tool ends one."""
    group = ""
    for line in map(str.strip, text.splitlines()):
        if line.startswith("[") and line.endswith("]"):
            group = _group(line)
        elif line and not line.startswith("#") and group in _SCRIPT_GROUPS:
            name, _, value = line.partition("=")
            yield group, name.rstrip(), value.lstrip()


def _group(section: str) -> str:
    """Return the name of a group without brackets and blanks, which some installers remove."""
    return section.strip("[] \t")
