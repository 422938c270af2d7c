"""An AWS account on this machine that enforces IAM, and the broker's stack, built and deployed.

The build takes half a minute, so that a run of the tests makes it once, whatever the number of
processes: ``shared_build`` returns it. A deployment of it takes a few seconds.
"""

import fcntl
import os
import platform
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZIP_DEFLATED, ZipFile

import boto3
import pytest
import requests
import trustme
from botocore.config import Config

from tests.support.emulator import START_SECONDS
from tests.support.ports import free_port

ROOT: Final = Path(__file__).parents[2]
# The emulator runs the functions with its own interpreter; sam builds with the same one.
PYTHON: Final = ROOT / ".venv-emulator/bin/python3.13"
MINISTACK: Final = ROOT / ".venv-emulator/bin/ministack"
SAM: Final = ROOT / ".venv-sam/bin/sam"
REGION: Final = "us-east-1"
TIMEOUT: Final = 60
# The functions run on this machine: compiled dependencies for another would not import.
ARCHITECTURE: Final = "arm64" if platform.machine() in {"aarch64", "arm64"} else "x86_64"

# What `sam build` makes of the template, as far as the code of the functions is concerned.
_BUILT: Final = {
    "CodeUri: functions/": "CodeUri: BrokerFunction.zip",
    "ContentUri: infra/attestations/": "ContentUri: AttestationLibraries.zip",
}


@dataclass(frozen=True)
class Cloud:
    """The emulator: an AWS account at `url`, over TLS because the bucket demands it."""

    url: str
    ca_file: Path

    @property
    def environment(self) -> dict[str, str]:
        return {
            "AWS_ENDPOINT_URL": self.url,
            "AWS_CA_BUNDLE": str(self.ca_file),
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
        }

    def client(self, service: Any, key_id: str = "test", secret: str = "test") -> Any:
        return boto3.client(
            service,
            endpoint_url=self.url,
            verify=str(self.ca_file),
            region_name=REGION,
            aws_access_key_id=key_id,
            aws_secret_access_key=secret,
            config=Config(connect_timeout=2, read_timeout=TIMEOUT, retries={"mode": "standard"}),
        )


def need(path: Path, remedy: str) -> None:
    """Skip the test without a file, or fail it where everything must run."""
    if path.exists():
        return
    reason = f"{path.relative_to(ROOT)} is not there: {remedy}"
    if os.environ.get("PYTP_REQUIRE_ALL") == "1":
        pytest.fail(reason)
    pytest.skip(reason)


def need_tools() -> None:
    """Skip the test without what builds and deploys."""
    need(PYTHON, "`make emulator`, with Python 3.13 on PATH or under pyenv")
    need(MINISTACK, "`make emulator`")
    need(SAM, "`make sam`")


@contextmanager
def run_cloud(folder: Path) -> Iterator[Cloud]:
    """Run ministack with IAM enforced, on loopback only."""
    cloud = Cloud(f"https://127.0.0.1:{free_port()}", folder / "ca.pem")
    authority = trustme.CA()
    authority.cert_pem.write_to_path(cloud.ca_file)
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "server.pem")
    # The functions inherit this, so there is nothing of this process's own environment in it.
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "GATEWAY_PORT": cloud.url.rpartition(":")[2],
        "BIND_HOST": "127.0.0.1",
        "IOT_MTLS_ENABLED": "0",
        "SFTP_ENABLED": "0",
        "AUTH": "true",
        "USE_SSL": "1",
        "MINISTACK_SSL_CERT": str(folder / "server.pem"),
        "MINISTACK_SSL_KEY": str(folder / "server.pem"),
        "AWS_CA_BUNDLE": str(cloud.ca_file),
    }
    with (folder / "emulator.log").open("wb") as log:
        process = subprocess.Popen(
            [MINISTACK],
            env=environment,
            cwd=folder,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its workers, the functions, are ended with it
        )
        try:
            wait_until_ready(cloud, process)
            yield cloud
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def wait_until_ready(cloud: Cloud, process: subprocess.Popen[bytes]) -> None:
    give_up_at = time.monotonic() + START_SECONDS
    while time.monotonic() < give_up_at:
        assert process.poll() is None, "the emulator has ended"
        try:
            requests.get(f"{cloud.url}/_ministack/health", timeout=1, verify=str(cloud.ca_file))
        except (requests.ConnectionError, requests.Timeout):  # or it listens, and is not there yet
            time.sleep(0.1)
        else:
            return
    pytest.fail("the emulator does not answer")


def shared_build(factory: pytest.TempPathFactory) -> Path:
    """Return what `make build` makes of this tree; the processes of one run share it."""
    own = factory.getbasetemp()
    root = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    built = root / "built"
    with (root / "built.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (built / "done").exists():
            _build(built)
            (built / "done").touch()
    return built


def _build(built: Path) -> None:
    parameters = ("--parameter-overrides", f"Architecture={ARCHITECTURE}")
    run_sam({}, "build", "--no-cached", "--build-dir", str(built), *parameters)
    subprocess.run([PYTHON, ROOT / "infra" / "finish_build.py", built], check=True)


def write_template(source: Path, built: Path) -> Path:
    """Write a template beside its build in which all functions share one archive.

    `sam build` makes a copy of one folder for each function, and packing each copy takes seconds.
    """
    for folder in ("BrokerFunction", "AttestationLibraries"):
        if not (built / f"{folder}.zip").exists():
            _pack(built / folder)
    for name in ("LICENSE", "README.md"):  # the template's metadata names them
        shutil.copy(source.parent / name, built / name)
    text = source.read_text()
    for before, after in _BUILT.items():
        assert text.count(before) == 1, f"{source} does not have `{before}` once"
        text = text.replace(before, after)
    path = built / "shared.yaml"
    path.write_text(text)
    return path


def _pack(folder: Path) -> None:
    # A half-written archive must not be taken for a whole one.
    half = folder.with_suffix(f".{os.getpid()}")
    with ZipFile(half, "w", ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder))
    half.rename(folder.with_suffix(".zip"))


def package(cloud: Cloud, template: Path) -> Path:
    """Put the code of a template into a bucket; return the template that names it there."""
    # Not beside the template: another process may package the same build for its own cloud.
    packaged = cloud.ca_file.parent / f"{template.parent.name}.packaged.yaml"
    sam(
        cloud,
        *("package", "--template-file", str(template), "--resolve-s3"),
        *("--output-template-file", str(packaged)),
    )
    return packaged


def deploy(cloud: Cloud, stack: str, template: Path, *parameters: str) -> dict[str, str]:
    """Deploy a template as an operator does; return the outputs of the stack."""
    overrides = ("--parameter-overrides", *parameters) if parameters else ()
    sam(
        cloud,
        *("deploy", "--template-file", str(template), "--stack-name", stack),
        *("--resolve-s3", "--capabilities", "CAPABILITY_IAM", "--no-confirm-changeset"),
        *("--no-fail-on-empty-changeset", *overrides),
    )
    (found,) = cloud.client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    assert found["StackStatus"] in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}
    return {output["OutputKey"]: output["OutputValue"] for output in found.get("Outputs", ())}


def sam(cloud: Cloud, *arguments: str) -> None:
    """Run the command of SAM on a cloud."""
    run_sam(cloud.environment, *arguments)


def run_sam(more: Mapping[str, str], *arguments: str) -> None:
    environment = {
        **os.environ,
        **more,
        "PATH": f"{PYTHON.parent}{os.pathsep}{os.environ['PATH']}",
        "SAM_CLI_TELEMETRY": "0",
    }
    for name in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "AWS_PROFILE", "AWS_SESSION_TOKEN"):
        environment.pop(name, None)
    done = subprocess.run(
        [SAM, *arguments],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout
