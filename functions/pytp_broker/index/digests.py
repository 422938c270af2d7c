"""Digests of a file's content, all of them in one pass over it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from pytp_broker.content import Content, file_beginning, read_pieces

SHA256: Final = "sha256"
_FIXED_LENGTH: Final = sorted(
    name for name in hashlib.algorithms_guaranteed if not name.startswith("shake_")
)
# The algorithms that every Python has, by the names of hashlib, and one that only a form names.
ALGORITHMS: Final[Mapping[str, Callable[[], Any]]] = {
    name: partial(hashlib.new, name, usedforsecurity=False) for name in _FIXED_LENGTH
}
_ALL: Final[Mapping[str, Callable[[], Any]]] = {
    **ALGORITHMS,
    "blake2_256": partial(hashlib.blake2b, digest_size=32),
}


def begin_hashes(algorithms: Iterable[str]) -> dict[str, Any]:
    """Return the hashes of nothing, by algorithm."""
    return {algorithm: _ALL[algorithm]() for algorithm in algorithms}


def compute_digests(content: Content, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the digests of the content in hex, by algorithm."""
    wanted = {*algorithms}
    hashes, done = _find_begun(content, wanted) or (begin_hashes(wanted), 0)
    for piece in read_pieces(content, done):
        for each in hashes.values():
            each.update(piece)
    return {algorithm: each.hexdigest() for algorithm, each in hashes.items()}


def _find_begun(content: Content, algorithms: set[str]) -> tuple[dict[str, Any], int] | None:
    """Return the hashes of the first bytes of content, and how many these are, if anybody began.

    They are of use only if they do not go beyond the end of the content.
    """
    file = file_beginning(content)
    hashed = None if file is None else file.hashed
    if hashed is None or hashed.size > content.size or not algorithms <= hashed.hashes.keys():
        return None
    return {algorithm: hashed.hashes[algorithm].copy() for algorithm in algorithms}, hashed.size
