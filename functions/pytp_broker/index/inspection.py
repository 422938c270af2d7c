"""Inspect a distribution: a file name and content go in, checked facts come out.

Nothing here knows where the file comes from, who sends it or where it will be stored.
"""

from dataclasses import dataclass

from pytp_broker.content import Content
from pytp_broker.index.archives import read_metadata_file
from pytp_broker.index.distributions import Distribution, check_same
from pytp_broker.index.metadata import CoreMetadata, parse_metadata


@dataclass(frozen=True, slots=True)
class Candidate:
    """A file whose name is right; what is inside is not checked yet.

    ``attestations`` came with it, and their form is right.
    """

    distribution: Distribution
    content: Content
    sha256: str
    attestations: bytes | None = None


@dataclass(frozen=True, slots=True)
class Facts:
    """A file that may be published, with its METADATA or PKG-INFO and what that says."""

    candidate: Candidate
    metadata_file: bytes
    metadata: CoreMetadata


def inspect(candidate: Candidate) -> Facts:
    """Check what is inside a distribution; raise InvalidUpload."""
    octets = read_metadata_file(candidate.distribution, candidate.content)
    metadata = parse_metadata(octets)
    check_same(candidate.distribution, metadata.project, metadata.version, "metadata inside")
    return Facts(candidate, octets, metadata)
