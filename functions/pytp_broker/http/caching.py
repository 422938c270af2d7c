"""Say who may keep an answer of the index, and for how long."""

from collections.abc import Sequence
from typing import Final

# A page changes with every upload and every yank, so a cache asks each time whether it is current.
PAGE: Final = "max-age=0, must-revalidate"
# A cache that many readers share may answer for these seconds without asking, so that readers of a
# public registry do not use up what its uploads need. Within them it may still list a file that was
# deleted, so they are few. There is no `stale-while-revalidate`: `s-maxage` forbids stale answers
# (RFC 9111 §5.2.2.10), and so the bound is exact.
SHARED_SECONDS: Final = 5
# The hash is in a file's path, so the content at a path never changes.
FILE: Final = "max-age=31536000, immutable"


def page_caching(*, is_public: bool, varies_by: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of a page.

    A cache that several people share may keep the page of a public registry. That of a private one
    is for the reader who was authenticated, and no other.
    """
    if is_public:
        return {"Cache-Control": f"public, s-maxage={SHARED_SECONDS}, {PAGE}", **_vary(*varies_by)}
    return {"Cache-Control": f"private, {PAGE}", **_vary(*varies_by, "Authorization")}


def file_caching(*, is_public: bool, varies_by: Sequence[str] = ()) -> dict[str, str]:
    """Return the headers of a file.

    Only the client may keep it: a shared cache would go on to offer a file that the operator has
    quarantined or deleted.
    """
    authorized = () if is_public else ("Authorization",)
    return {"Cache-Control": f"private, {FILE}", **_vary(*varies_by, *authorized)}


def _vary(*names: str) -> dict[str, str]:
    return {"Vary": ", ".join(names)} if names else {}
