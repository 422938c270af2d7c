"""Every URL path of the product, declared once: we match requests and make links with it.

A path is below the root of a host, or below the prefix of a registry: ``/legacy/`` and
``/acme/legacy/`` are one path.
"""

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

_PLAIN: Final = re.compile(r"[A-Za-z0-9_.~-]*")


@dataclass(frozen=True, slots=True)
class Path:
    """A path with variables, such as ``/simple/{project}/``.

    A variable takes one segment, which may be empty; ``{name+}`` at the end takes all that is left.
    A path that ends in a slash also matches without the slash.
    """

    pattern: str

    def __str__(self) -> str:
        """Return the path as it is declared."""
        return self.pattern

    @property
    def has_variables(self) -> bool:
        """Say whether the path has variables."""
        return "{" in self.pattern

    def match(self, path: str) -> dict[str, str] | None:
        """Return the variables of a decoded path, or None if it is another path."""
        if self.pattern.endswith("/") and not path.endswith("/"):
            path += "/"
        if not path.startswith(self.pattern.partition("{")[0]):  # most paths begin with other words
            return None
        if not self.has_variables:
            return {} if path == self.pattern else None
        expected = self.pattern.split("/")
        segments = path.split("/", len(expected) - 1)
        if len(segments) != len(expected):
            return None
        variables = {}
        for name, segment in zip(expected, segments, strict=True):
            if not _is_match(name, segment):
                return None
            if _is_variable(name):
                variables[name.strip("{+}")] = segment
        return variables

    def url(self, base: str, **variables: str) -> str:
        """Return the URL below a base URL or a base path; the variables are quoted."""
        quoted = {name: _quote(value) for name, value in variables.items()}
        return base + self.pattern.replace("+}", "}").format(**quoted)


def _quote(value: str) -> str:
    # A page makes thousands of URLs, and nearly every name in them is plain.
    return value if _PLAIN.fullmatch(value) else quote(value, safe="")


def below_prefix(path: str) -> str:
    """Return a path without its first segment, which may be a registry's prefix."""
    return "/" + path.removeprefix("/").partition("/")[2]


def _is_match(name: str, segment: str) -> bool:
    if _is_variable(name):
        return name.endswith("+}") or "/" not in segment
    return name == segment


def _is_variable(name: str) -> bool:
    return name.startswith("{")


WELL_KNOWN: Final = Path("/.well-known/pytp")
RECEIPT_KEYS: Final = Path("/.well-known/pytp-receipt-keys")
DISCOVER: Final = Path("/_/oidc/discover")
AUDIENCE: Final = Path("/_/oidc/audience")
MINT: Final = Path("/_/oidc/mint-token")
# maturin and old versions of the publish action use only this path.
GITHUB_MINT: Final = Path("/_/oidc/github/mint-token")
# A job that only installs; our own, because PEP 807 is about uploads.
MINT_READ: Final = Path("/_/oidc/mint-read-token")
BURN: Final = Path("/_/oidc/burn-token")
DISCLOSE: Final = Path("/_/secrets/disclose-token")
HEALTH: Final = Path("/_/health")

LEGACY: Final = Path("/legacy/")

# Upload API 2.0 (PEP 694). A session's path has its token, and nobody can guess that.
UPLOAD_ROOT: Final = Path("/upload/")
SESSION: Final = Path("/upload/{session}")
PUBLISH: Final = Path(f"{SESSION}/publish")
EXTEND: Final = Path(f"{SESSION}/extend")
STAGED_FILES: Final = Path(f"{SESSION}/files")
STAGED_FILE: Final = Path(f"{STAGED_FILES}/{{filename}}/{{upload}}")
STAGED_ATTESTATIONS: Final = Path(f"{STAGED_FILE}/attestations")
STAGED_BYTES: Final = Path(f"{STAGED_FILE}/bytes")
COMPLETE: Final = Path(f"{STAGED_FILE}/complete")
EXTEND_FILE: Final = Path(f"{STAGED_FILE}/extend")

PROJECTS: Final = Path("/simple/")
PROJECT: Final = Path("/simple/{project}/")
FILE: Final = Path("/files/{sha256}/{filename}")

# PyPI's addresses of what is known about a file, and the receipt among it.
PROVENANCE: Final = Path("/integrity/{project}/{version}/{filename}/provenance")
RECEIPT: Final = Path("/integrity/{project}/{version}/{filename}/receipt")

# A release before it is published. Below it the pages are those of `PROJECTS` and what follows it.
STAGE: Final = Path("/stage/{session}")
STAGE_PROJECTS: Final = Path(f"{STAGE}{PROJECTS}")
STAGE_PROJECT: Final = Path(f"{STAGE}{PROJECT}")
STAGE_FILE: Final = Path(f"{STAGE}{FILE}")

HOME: Final = Path("/")
PROJECT_PAGE: Final = Path("/project/{project}/")
RELEASE_PAGE: Final = Path("/project/{project}/{version}/")
STYLE: Final = Path("/_/style/{name}")

INTROSPECT: Final = Path("/_/token/introspect")
VERIFY: Final = Path("/_/token/verify")
VERIFY_READER: Final = Path("/_/token/verify-reader")
VERIFY_PROJECT: Final = Path("/_/token/verify/{project+}")

ALL: Final = (
    *(WELL_KNOWN, RECEIPT_KEYS, DISCOVER, AUDIENCE, MINT, GITHUB_MINT, MINT_READ, BURN),
    *(DISCLOSE, HEALTH),
    *(LEGACY, PROJECTS, PROJECT, FILE, INTROSPECT, VERIFY, VERIFY_PROJECT, VERIFY_READER),
    *(RECEIPT, PROVENANCE, STAGE_PROJECTS, STAGE_PROJECT, STAGE_FILE),
    *(UPLOAD_ROOT, SESSION, PUBLISH, EXTEND, STAGED_FILES),
    *(STAGED_FILE, STAGED_ATTESTATIONS, STAGED_BYTES, COMPLETE, EXTEND_FILE),
    *(HOME, PROJECT_PAGE, RELEASE_PAGE, STYLE),
)
# The paths of requests with large bodies, of which a server on one machine reads none before it
# knows that the token is good for an upload.
UPLOADS: Final = (LEGACY, STAGED_BYTES)
# No registry can have these names, because a path at the root of a host begins with each of them.
RESERVED_NAMES: Final = frozenset(path.pattern.split("/")[1] for path in ALL)


def is_upload_api(path: str) -> bool:
    """Say whether a path is one of Upload API 2.0, at a root or below a registry's prefix."""
    begin = f"{UPLOAD_ROOT}"
    first = path.removeprefix("/").partition("/")[0]
    is_at_root = f"{path}/".startswith(begin)
    return is_at_root or (
        first not in RESERVED_NAMES and f"{below_prefix(path)}/".startswith(begin)
    )
