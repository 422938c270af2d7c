"""Read which hashes a requirements file allows for which project.

What pip and uv could read differently is not verified. So is every line that may allow a file that
is not listed.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from packaging.requirements import InvalidRequirement, Requirement

from pytp_broker.client.verifying.outcome import NotVerifiedError
from pytp_broker.client.verifying.targets import (
    HashedRequirement,
    Meant,
    Unverifiable,
    read_list,
    unreadable,
)
from pytp_broker.names import normalize

# Options that let pip install no file whose hash is not in the list: alone, and with one value.
_ALONE: Final = frozenset(("--no-index", "--prefer-binary", "--require-hashes", "--pre"))
_WITH_VALUE: Final = frozenset(
    (
        *("-i", "--index-url", "--extra-index-url", "-f", "--find-links", "--trusted-host"),
        *("--no-binary", "--only-binary", "--use-feature"),
    )
)
_HASH: Final = "--hash"
_SHA256: Final = re.compile("sha256:([0-9a-fA-F]{64})")
# As pip reads a file: a comment begins at a `#` at the beginning of a line or after a blank.
_COMMENT: Final = re.compile(r"(^|\s)#.*$")
_CONTINUES: Final = "\\"
# As pip looks for the encoding of a file: in a comment of one of its first two lines.
_ENCODING: Final = re.compile(rb"^#.*?coding[:=]\s*([-\w.]+)")
_UTF_8: Final = frozenset((b"utf-8", b"utf8"))


def read_requirements(path: Path) -> Iterator[Meant]:
    """Yield what each line of a requirements file allows; raise NotVerifiedError."""
    octets = read_list(path)
    _check_encoding(octets)
    try:
        text = octets.decode()
    except UnicodeDecodeError:
        raise unreadable("is not UTF-8") from None
    meant = [each for line in _lines(text) if (each := _read_line(line, path)) is not None]
    if not meant:
        raise NotVerifiedError("empty-list", "it allows no file")
    yield from meant


def _check_encoding(octets: bytes) -> None:
    """Refuse a file with an encoding of its own, by which pip finds lines in our comments."""
    for line in octets.split(b"\n")[:2]:
        found = _ENCODING.search(line)
        if found is not None and found[1].lower() not in _UTF_8:
            raise NotVerifiedError(
                "ambiguous", "a comment in it names an encoding, and installers disagree about that"
            )


def _lines(text: str) -> Iterator[str]:
    """Yield the lines without comments, each with those that continue it."""
    begun = ""
    for line in text.splitlines():
        plain = _COMMENT.sub("", line)
        if line.endswith(_CONTINUES) and plain == line:
            begun += line.removesuffix(_CONTINUES) + " "
            continue
        if line.endswith(_CONTINUES) and plain.strip():
            # pip takes the next line for a part of the comment, and uv does not.
            raise NotVerifiedError(
                "ambiguous", "a comment in it ends in a backslash, and installers disagree there"
            )
        if whole := (begun + plain).strip():
            yield whole
        begun = ""
    if begun.strip():
        yield begun.strip()


def _read_line(line: str, path: Path) -> Meant | None:
    """Return what a line allows; None for options that allow nothing."""
    words = line.split()
    begin = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    if begin == 0:
        return _read_options(line, words, path)
    try:
        requirement = Requirement(" ".join(words[:begin]))
    except InvalidRequirement:
        return _refuse(line, path, "not-a-requirement", "this line is not a requirement by name")
    return _with_hashes(requirement, words[begin:], path)


def _read_options(line: str, words: Sequence[str], path: Path) -> Unverifiable | None:
    if _are_harmless(words):
        return None
    why = "this line may allow other files; a list that it includes is verified if you name it too"
    return _refuse(line, path, "not-followed", why)


def _are_harmless(words: Sequence[str]) -> bool:
    """Say whether a line has harmless options and nothing else.

    pip ignores what follows an option, and uv installs `evil` for `--no-index evil`.
    """
    left = iter(words)
    for word in left:
        option, sign, _ = word.partition("=")
        if option in _WITH_VALUE:
            if not sign and next(left, "-").startswith("-"):
                return False
        elif word not in _ALONE:
            return False
    return True


def _with_hashes(requirement: Requirement, options: Sequence[str], path: Path) -> Meant:
    hashes, others = _read_hashes(options)
    project = normalize(requirement.name)
    if requirement.url is not None:
        reason, why = "not-from-an-index", "it comes from a URL, and not from a registry"
    elif others:
        reason, why = "unknown-option", "its line has something else than hashes by sha256"
    elif not hashes:
        reason, why = "no-hash", "its line has no `--hash`: any file of this name may be installed"
    else:
        return HashedRequirement(project, tuple(hashes), str(path), path.parent)
    return Unverifiable(requirement.name, str(path), NotVerifiedError(reason, why), project)


def _read_hashes(options: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the hashes of a line, each once, and what else it has."""
    joined = " ".join(options).replace(f"{_HASH} ", f"{_HASH}=").split()
    found = [(word, _SHA256.fullmatch(word.removeprefix(f"{_HASH}="))) for word in joined]
    hashes = dict.fromkeys(match[1].lower() for _, match in found if match)
    return list(hashes), [word for word, match in found if not match]


def _refuse(line: str, path: Path, reason: str, why: str) -> Unverifiable:
    return Unverifiable(line, str(path), NotVerifiedError(reason, why))
