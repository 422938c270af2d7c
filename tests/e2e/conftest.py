"""The issuer, the server and the CI job that most end-to-end tests need.

A module says what its server is configured with: ``CONFIGURATION``, in which ``{issuer}`` stands
for the address of the issuer.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from pytp_broker.demo.issuer import Issuer
from pytp_broker.demo.process import ServerProcess
from tests.support.jobs import Job
from tests.support.released import Released


@pytest.fixture(scope="module")
def issuer() -> Iterator[Issuer]:
    with Issuer() as running:
        yield running


@pytest.fixture(scope="module")
def config(
    request: pytest.FixtureRequest, issuer: Issuer, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """Return the file of the module's configuration, in a folder of its own."""
    path = tmp_path_factory.mktemp("server") / "broker.toml"
    path.write_text(request.module.CONFIGURATION.format(issuer=issuer.url))
    return path


@pytest.fixture(scope="module")
def server(config: Path) -> Iterator[ServerProcess]:
    with ServerProcess(config, config.parent / "server.log") as running:
        yield running


@pytest.fixture
def job(tmp_path: Path, released: Released, server: ServerProcess, issuer: Issuer) -> Job:
    """Return a job whose CI signs a new identity token each time, as GitHub's does."""
    return Job(tmp_path, released, server, issuer.start_job())
