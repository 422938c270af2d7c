"""How long a function takes to start: the processor time until it asks for its first event.

Each built function runs under AWS's own runtime interface client, as on Lambda, interleaved with
three others of `artifacts/`: one that does nothing, a naive one as plain `sam build` ships it, and
the leanest that we know. The figures are multiples of the one that does nothing. The broker also
answers a mint: what that costs beyond the start is the price of the first one.

The build is kept in `build/cold_start`, for as long as what it is made of stays the same.
"""

import hashlib
import json
import shutil
import subprocess
import tomllib
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final

import pytest

from pytp_broker import config
from pytp_broker.aws.boto import Client
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.oidc.keycache import StoredKeySet
from tests.benchmarks.goals import Goals
from tests.support.cloud import ARCHITECTURE, PYTHON, ROOT, Cloud, need_tools, run_cloud, run_sam
from tests.support.configurations import github_publisher, registry
from tests.support.emulator import create_table
from tests.support.lambda_runtime import Runtime
from tests.support.signing import Issuer, public_jwk

ARTIFACTS: Final = Path(__file__).parent / "artifacts"
REQUIREMENTS: Final = ARTIFACTS / "requirements.txt"
KEPT: Final = ROOT / "build/cold_start"
HOST: Final = "a1b2c3d4.execute-api.us-east-1.amazonaws.com"
ENVIRONMENT: Final = {
    "PYTP_SHARED_HOST": HOST,
    "PYTP_BUCKET": "pytp-broker-bucket",
    "PYTP_VERIFY_FUNCTION": "pytp-broker-VerifyFunction",
    "PYTP_ATTEST_FUNCTION": "pytp-broker-AttestFunction",
    "PYTP_DISCLOSURE_KEYS_URL": "https://keys.example.com/",
    # As on Lambda, where nothing can be written beside the code.
    "PYTHONDONTWRITEBYTECODE": "1",
}
CONFIGURATION: Final = registry(
    "acme", github_publisher("widgets", repository_owner_id="9919"), audience="acme"
)
# Of which the naive one takes a second.
ROUNDS: Final = 9
# Of the start of the function that does nothing.
GOALS: Final = {"broker": 5, "introspect": 5, "read": 5, "upload": 7, "web": 7}
FIRST_MINT: Final = 1.5


@dataclass(frozen=True)
class Artifact:
    """Code on Lambda: its handler, the folders where it is imported from, and one event for it."""

    handler: str
    folders: tuple[Path, ...]
    event: Mapping[str, Any] | None = None


@pytest.fixture(scope="module")
def built() -> Path:
    """Return a folder with our function as `make build` makes it, and the libraries of others.

    `plain` is as an installer leaves them, without byte-code, and `compiled` is finished as ours.
    """
    need_tools()
    folder = KEPT / _digest()
    if not folder.is_dir():
        shutil.rmtree(KEPT, ignore_errors=True)
        half = KEPT / "half"
        _build(half / "ours")
        _install(half / "plain")
        _compile(shutil.copytree(half / "plain", half / "compiled"))
        half.rename(folder)
    return folder


def _build(folder: Path) -> None:
    options = ("--no-cached", "--build-dir", str(folder))
    architecture = ("--parameter-overrides", f"Architecture={ARCHITECTURE}")
    run_sam({}, "build", "BrokerFunction", *options, *architecture)
    finish = [PYTHON, ROOT / "infra/finish_build.py", folder]
    subprocess.run(finish, check=True, stdout=subprocess.DEVNULL)


def _install(folder: Path) -> None:
    # Three times quiet: what these need does not agree with the emulator, which is not asked.
    options = ("-qqq", "--no-compile", "--target", folder, "--requirement", REQUIREMENTS)
    subprocess.run([PYTHON, "-m", "pip", "install", *options], check=True)


def _compile(folder: Path) -> Path:
    options = ("-q", "--invalidation-mode", "unchecked-hash")
    subprocess.run([PYTHON, "-m", "compileall", *options, folder], check=True)
    return folder


def _digest() -> str:
    sources = [*(ROOT / "functions").rglob("*"), *(ROOT / "infra").glob("*.py"), REQUIREMENTS]
    files = sorted(p for p in sources if p.is_file() and "__pycache__" not in p.parts)
    hashes = (hashlib.sha256(path.read_bytes()).hexdigest() for path in files)
    return hashlib.sha256("".join(hashes).encode()).hexdigest()[:16]


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    with run_cloud(tmp_path_factory.mktemp("cloud")) as running:
        yield running


@pytest.fixture(scope="module")
def environment(cloud: Cloud) -> Mapping[str, str]:
    """Return the environment of a function beside a table that knows a publisher and its keys."""
    client: Any = Client(cloud.client("dynamodb"))
    table = create_table(client)
    store, issuer = DynamoStore(client, table), Issuer()
    loaded = config.parse(tomllib.loads(CONFIGURATION), allow_loopback=False)
    store.apply(loaded.configuration, loaded.publishers)
    keys = [public_jwk(key, key_id) for key_id, key in issuer.keys.items()]
    store.save_key_set(issuer.url, StoredKeySet(keys, datetime.now(UTC)))
    return {**ENVIRONMENT, **cloud.environment, "PYTP_TABLE": table}


def test_how_long_a_function_takes_to_start(
    built: Path, environment: Mapping[str, str], goals: Goals, tmp_path: Path
) -> None:
    others = _compile(shutil.copytree(ARTIFACTS, tmp_path / "others"))
    used = measure(artifacts(built, others), environment, tmp_path)

    bare = used["bare"]
    print()
    for name, seconds in used.items():
        print(f"{name:12} {seconds * 1000:7.1f} ms  {seconds / bare:6.2f} of bare")
    for name, bound in GOALS.items():
        goals.at_most("cold start", name, bound, used[name] / bare, "of an empty handler")
    first = (used["first mint"] - used["broker"]) / bare
    goals.at_most("cold start", "first mint", FIRST_MINT, first, "of an empty handler")


def artifacts(built: Path, others: Path) -> dict[str, Artifact]:
    """Return all artifacts; ``others`` has those that are not ours, with byte-code."""
    ours = {
        name: Artifact(f"pytp_broker.aws.{name}.handler", (built / "ours/BrokerFunction",))
        for name in (*GOALS, "verify")
    }
    return {
        "bare": Artifact("bare.handler", (others,)),
        "lean": Artifact("lean.handler", (others, built / "compiled")),
        "naive": Artifact("naive.handler", (ARTIFACTS, built / "plain")),
        **ours,
        "first mint": Artifact(ours["broker"].handler, ours["broker"].folders, mint_event()),
    }


def measure(
    artifacts: Mapping[str, Artifact], environment: Mapping[str, str], folder: Path
) -> dict[str, float]:
    """Return each one's processor time until it waits for an event: the median of all rounds."""
    used = defaultdict[str, list[float]](list)
    for _ in range(ROUNDS):
        for name, artifact in artifacts.items():
            path = ":".join(map(str, artifact.folders))
            event = artifact.event and mint_event()  # each token is good for one mint
            with Runtime(artifact.handler, folder, {**environment, "PYTHONPATH": path}) as runtime:
                if event:
                    posted = runtime.invoke(event)
                    assert posted.document["statusCode"] == 200, runtime.log
            used[name].append(runtime.cpu_seconds)
    return {name: median(seconds) for name, seconds in used.items()}


def mint_event() -> dict[str, Any]:
    """Return API Gateway's event of a mint."""
    body = json.dumps({"token": Issuer().token(datetime.now(UTC), environment="release")})
    path = "/acme/_/oidc/mint-token"
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": {"host": HOST, "content-type": "application/json"},
        "requestContext": {
            "domainName": HOST,
            "http": {"method": "POST", "path": path, "sourceIp": "192.0.2.1"},
            "requestId": "request-1",
        },
        "body": body,
        "isBase64Encoded": False,
    }
