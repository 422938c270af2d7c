"""Find the files that a user means: by name, by pattern, or all of a folder."""

import glob
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final

from pytp_broker.client.publishing.outcome import PublishError
from pytp_broker.client.uploads.local_files import ANY_ATTESTATION_SUFFIX
from pytp_broker.names import SDIST_SUFFIX, ZIP_SUFFIX, is_wheel
from pytp_broker.redaction import printable

DEFAULT: Final = "dist/*"


def select(patterns: Sequence[str]) -> list[Path]:
    """Return the files of all patterns, each once; raise PublishError if a pattern has none.

    What a pattern or a folder matches goes wheels first, so that no installer builds an sdist for
    want of a wheel. Files that are named go in the order in which they are named.
    """
    found: dict[Path, None] = {}
    missing = []
    for pattern in patterns or (DEFAULT,):
        paths = list(_match(pattern))
        found |= dict.fromkeys(paths)
        if not paths and not pattern.endswith(ANY_ATTESTATION_SUFFIX):
            missing.append(f"{printable(pattern)}: no file; build the distributions first")
    if missing or not found:
        raise PublishError(missing or ["there is no file to publish"])
    return list(found)


def _match(pattern: str) -> Iterator[Path]:
    """Yield what a pattern means; attestations go with the file that they are for."""
    if pattern.endswith(ANY_ATTESTATION_SUFFIX):
        return
    path = Path(pattern)
    if path.is_dir():
        yield from _wheels_first(path.iterdir())
    elif path.exists() or not glob.has_magic(pattern):
        yield path
    else:
        yield from _wheels_first(map(Path, glob.glob(pattern)))  # noqa: PTH207 - of any folder


def _wheels_first(paths: Iterable[Path]) -> list[Path]:
    """Return the distributions among some files; others may lie beside them in `dist/`."""
    kept = [path for path in paths if is_wheel(path.name) or _is_sdist(path.name)]
    return sorted(kept, key=lambda path: (not is_wheel(path.name), path.name))


def _is_sdist(name: str) -> bool:
    return name.endswith((SDIST_SUFFIX, ZIP_SUFFIX))
