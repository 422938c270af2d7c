"""The stand-in for Sigstore, and identities of CIs that the demo does not show.

sigstore = Sigstore()
text = sigstore.attest("widgets-1.0-py3-none-any.whl", sha256, github(captured("github")))
"""

from collections.abc import Mapping
from typing import Any, Final

from cryptography import x509

from pytp_broker.demo.sigstore import MOMENT, PUBLISH, Sigstore, sign, statement
from pytp_broker.demo.sigstore_authority import Authority, Identity, Leaf, github
from pytp_broker.demo.sigstore_logs import TransparencyLog

__all__ = [
    "NOW",
    "PUBLISH",
    "SLSA",
    "Authority",
    "Identity",
    "Leaf",
    "Sigstore",
    "TransparencyLog",
    "circleci",
    "github",
    "gitlab",
    "google",
    "sign",
    "statement",
]

NOW: Final = MOMENT
SLSA: Final = "https://slsa.dev/provenance/v1"


def gitlab(claims: Mapping[str, Any]) -> Identity:
    """Return the identity that Fulcio takes from an identity token of GitLab."""
    server, config = claims["iss"], f"https://{claims['ci_config_ref_uri']}"
    return Identity(
        x509.UniformResourceIdentifier(config),
        {
            8: server,
            9: config,
            10: claims["ci_config_sha"],
            11: claims["runner_environment"],
            12: f"{server}/{claims['project_path']}",
            13: claims["sha"],
            14: claims["ref_path"],
            15: claims["project_id"],
            16: f"{server}/{claims['namespace_path']}",
            17: claims["namespace_id"],
            18: config,
            19: claims["ci_config_sha"],
            20: claims["pipeline_source"],
            21: f"{server}/{claims['project_path']}/-/jobs/{claims['job_id']}",
            22: claims["project_visibility"],
        },
    )


def google(email: str) -> Identity:
    """Return the identity that Fulcio takes from an identity token of Google."""
    issuer = "https://accounts.google.com"
    return Identity(x509.RFC822Name(email), {1: issuer, 8: issuer})


def circleci(project_id: str, pipeline_definition_id: str, **claims: str) -> Identity:
    """Return the identity that Fulcio takes from an identity token of CircleCI."""
    job = (
        f"https://circleci.com/api/v2/projects/{project_id}/"
        f"pipeline-definitions/{pipeline_definition_id}"
    )
    named = {"vcs_origin": 12, "vcs_ref": 14}
    return Identity(
        x509.UniformResourceIdentifier(job),
        {8: "https://oidc.circleci.com", 9: job, **{named[n]: c for n, c in claims.items()}},
    )
