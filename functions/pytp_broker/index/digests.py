"""Digests of a file's content, all of them in one pass over it."""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Final

from pytp_broker.content import Content, read_pieces

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


def compute_digests(content: Content, algorithms: Iterable[str]) -> dict[str, str]:
    """Return the digests of the content in hex, by algorithm."""
    hashes = {algorithm: _ALL[algorithm]() for algorithm in algorithms}
    for piece in read_pieces(content):
        for each in hashes.values():
            each.update(piece)
    return {algorithm: each.hexdigest() for algorithm, each in hashes.items()}
