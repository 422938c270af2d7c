"""`probe` of a base install against a real server."""

import json

import pytest

from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.jobs import Job

pytestmark = pytest.mark.e2e

CONFIGURATION = github_issuer("{issuer}") + registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    issuers=["{issuer}"],
)


def test_a_job_probes_with_its_identity_and_anybody_without_one(job: Job) -> None:
    with_identity = job.run(job.program, "probe", "--url", job.upload_url, "--json")
    job.variables = {}
    without = job.run(job.program, "probe", "--url", job.upload_url)

    assert with_identity.returncode == 0, with_identity.stdout + with_identity.stderr
    names = [check["name"] for check in json.loads(with_identity.stdout)["checks"]]
    assert names == ["health", "index", "discovery", "refusal", "exchange", "burn"]
    assert without.returncode == 0, without.stdout + without.stderr
    assert "SKIP exchange" in without.stdout
    (burn,) = job.server.events("burn")
    assert burn["burned"] is True
