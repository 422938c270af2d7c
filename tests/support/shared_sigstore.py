"""One Sigstore for all tests of a process, and what verifies its attestations.

Making its keys is slow.
"""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from pytp_broker.provenance.sigstore_checks import SigstoreAttester
from tests.support.sigstores import Sigstore


@cache
def sigstore() -> Sigstore:
    """Return the Sigstore."""
    return Sigstore()


@cache
def attester() -> SigstoreAttester:
    """Return what trusts this Sigstore alone."""
    root = Path(_folder().name) / "trusted_root.json"
    return SigstoreAttester(sigstore().write_trusted_root(root))


@cache
def _folder() -> TemporaryDirectory[str]:
    """Return a folder that lasts as long as the process."""
    return TemporaryDirectory(prefix="sigstore-")
