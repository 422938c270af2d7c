"""An upgrade from the last release to this tree and back, with clients that publish meanwhile.

The story is told once, in ``story``; each test looks at one thing of it. docs/upgrade.md says what
they show.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import pytest
import requests
from uv import find_uv_bin

from pytp_broker.demo.issuer import Issuer
from tests.support.cloud import (
    ARCHITECTURE,
    ROOT,
    Cloud,
    deploy,
    need_tools,
    package,
    run_cloud,
    shared_build,
    write_template,
)
from tests.support.configurations import registry
from tests.support.deployed import DeployedBroker, configuration_for, physical_id, problem_code
from tests.support.distributions import wheel
from tests.support.host_relay import relayed
from tests.support.last_release import build_release, take_out
from tests.support.live_client import LiveClient

pytestmark = [pytest.mark.e2e, pytest.mark.deploy, pytest.mark.ministack]

STACK = "pytp-broker-upgraded"
PHASES = ("before", "upgrading", "upgraded", "applied", "rolling back", "rolled back")
# Functions fetch nothing from this machine: they find the keys that were fetched before.
APPLY = """
import sys, tomllib
from datetime import UTC, datetime
import boto3, json
from urllib.request import urlopen
from pytp_broker import config
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.oidc.keycache import StoredKeySet
table, issuer, path = sys.argv[1:]
store = DynamoStore(boto3.client("dynamodb"), table)
loaded = config.parse(tomllib.loads(open(path).read()), allow_loopback=True)
store.apply(loaded.configuration, loaded.publishers)
keys = json.load(urlopen(issuer + "/.well-known/jwks"))["keys"]
store.save_key_set(issuer, StoredKeySet(keys, datetime.now(UTC)))
"""


@dataclass(frozen=True)
class Story:
    """What happened: the client's publishes, and what was there at the end of each part."""

    client: LiveClient
    outputs: Mapping[str, Mapping[str, str]]
    code: Mapping[str, str]
    replayed: Mapping[str, str]
    broker: DeployedBroker
    source: Path
    folder: Path


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    need_tools()
    folder = tmp_path_factory.mktemp("upgrade")
    source = take_out(folder / "release")
    built = shared_build(tmp_path_factory)
    old_template = build_release(source, built, folder / "old")
    with Issuer() as issuer, run_cloud(folder) as cloud:
        issuer.audience = "acme"
        old = package(cloud, old_template)
        new = package(cloud, write_template(ROOT / "template.yaml", built))
        yield tell(Teller(cloud, issuer, folder, source), old, new)


@dataclass(frozen=True)
class Teller:
    """The operator of the story."""

    cloud: Cloud
    issuer: Issuer
    folder: Path
    source: Path

    def deploy(self, template: Path) -> dict[str, str]:
        return deploy(self.cloud, STACK, template, f"Architecture={ARCHITECTURE}")

    def broker(self, outputs: Mapping[str, str]) -> DeployedBroker:
        return DeployedBroker(self.cloud, outputs, self.issuer, STACK)

    def apply(self, tree: Path, table: str) -> None:
        """Apply the configuration with the code of a tree, as its command does."""
        path = self.folder / "broker.toml"
        path.write_text(registry("acme", access="public"))
        sure = () if tree == self.source else ("--yes",)  # 0.1.0 does not ask
        done = run_command(self.cloud, tree, "apply", *sure, "--config", str(path))
        assert done.returncode in {0, 1}, done.stderr  # 1: it would remove the publisher
        path.write_text(configuration_for(self.issuer.url))
        subprocess.run(
            [sys.executable, "-c", APPLY, table, self.issuer.url, str(path)],
            env={**environment_of(self.cloud, tree)},
            check=True,
            timeout=60,
        )


def environment_of(cloud: Cloud, tree: Path) -> dict[str, str]:
    base = {"PATH": os.environ["PATH"], "PYTHONPATH": str(tree / "functions")}
    return {**base, **cloud.environment}


def run_command(cloud: Cloud, tree: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a command of an operator, with the code of a tree."""
    return subprocess.run(
        [sys.executable, "-m", "pytp_broker.cli", *arguments, "--stack", STACK],
        env=environment_of(cloud, tree),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def tell(teller: Teller, old: Path, new: Path) -> Story:
    outputs = {"before": teller.deploy(old)}
    broker = teller.broker(outputs["before"])
    teller.apply(teller.source, broker.outputs["Table"])
    exchanged = teller.issuer.token()
    assert broker.mint(exchanged).status_code == 200
    code, replayed = {"before": code_of(broker)}, {}
    with relayed(broker.call, teller.folder / "server.pem") as url:
        client = LiveClient(publisher_of(broker), uv_of(url, teller), "before")
        client.publish_once()
        client.publish_once()
        with client.publishing():
            client.enter("upgrading")
            outputs["upgraded"] = teller.deploy(new)
        client.enter("upgraded")
        client.publish_once()
        code["upgraded"] = code_of(broker)
        replayed["upgraded"] = problem_code(broker.mint(exchanged))
        with client.publishing():
            client.enter("applied")
            teller.apply(ROOT, broker.outputs["Table"])
        client.publish_once()
        with client.publishing():
            client.enter("rolling back")
            outputs["rolled back"] = teller.deploy(old)
        client.enter("rolled back")
        client.publish_once()
        client.publish_once()
    code["rolled back"] = code_of(broker)
    replayed["rolled back"] = problem_code(broker.mint(exchanged))
    return Story(client, outputs, code, replayed, broker, teller.source, teller.folder)


def publisher_of(broker: DeployedBroker) -> Callable[[str], str]:
    """Return what publishes a version as a small client does: mint, upload, burn."""

    def publish(version: str) -> str:
        try:
            minted = patiently(lambda: broker.mint(broker.issuer.token()))
            if minted.status_code != 200:
                return f"mint {minted.status_code} {minted.text}"
            token = minted.json()["token"]
            uploaded = patiently(lambda: broker.upload(token, version))
            burned = patiently(
                lambda: broker.call("POST", "/acme/_/oidc/burn-token", json={"token": token})
            )
        except requests.RequestException as error:
            return f"{error}"
        answers = (uploaded.status_code, burned.status_code)
        return "" if answers == (200, 202) else f"{answers} {uploaded.text}"

    return publish


def patiently(send: Callable[[], requests.Response]) -> requests.Response:
    """Send a request again that was answered 502 or 503, as uv does; return the last answer.

    The emulator ends a function in the middle of a request when its code changes. Lambda does not.
    And while the emulator changes the stack, its table may be slow to answer.
    """
    answer = send()
    for _ in range(4):
        if answer.status_code not in {HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE}:
            break
        answer = send()
    return answer


def uv_of(url: str, teller: Teller) -> Callable[[str], str]:
    """Return what publishes a version with `uv publish` as a job of GitHub."""

    def publish(version: str) -> str:
        built = wheel("widgets", version)
        path = teller.folder / built.filename
        path.write_bytes(built.content)
        done = subprocess.run(
            [
                *(find_uv_bin(), "publish", "--trusted-publishing", "always"),
                *("--publish-url", f"{url}/acme/legacy/", str(path)),
            ],
            env={
                "PATH": os.defpath,
                "HOME": str(teller.folder),
                "SSL_CERT_FILE": str(teller.cloud.ca_file),
                "UV_NO_CONFIG": "1",
                **teller.issuer.start_job(),
            },
            cwd=teller.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return "" if done.returncode == 0 else done.stderr

    return publish


def code_of(broker: DeployedBroker) -> str:
    """Return the hash of the code that the broker function runs."""
    function = broker.cloud.client("lambda").get_function(
        FunctionName=physical_id(broker, "BrokerFunction")
    )
    return str(function["Configuration"]["CodeSha256"])


def test_no_publish_fails_in_an_upgrade_nor_in_a_rollback(story: Story) -> None:
    assert story.client.failures == []
    assert story.client.published.keys() == set(PHASES)


def test_the_functions_ran_the_new_code_and_then_the_old_code_again(story: Story) -> None:
    assert story.code["upgraded"] != story.code["before"]
    assert story.code["rolled back"] == story.code["before"]


def test_clients_keep_their_address_and_the_data_its_place(story: Story) -> None:
    for name in ("Url", "ApiId", "Table", "Bucket"):
        assert len({outputs[name] for outputs in story.outputs.values()}) == 1


def test_every_published_version_is_there_at_the_end(story: Story) -> None:
    page = story.broker.call("GET", "/acme/simple/widgets/").text

    published = [version for versions in story.client.published.values() for version in versions]
    assert [v for v in published if f"widgets-{v}-py3-none-any.whl" not in page] == []


@pytest.mark.parametrize("when", ["upgraded", "rolled back"])
def test_an_identity_token_that_was_exchanged_before_is_not_exchanged_again(
    story: Story, when: str
) -> None:
    assert story.replayed[when] == "invalid-reuse-token"


def test_a_file_of_the_last_release_has_a_receipt_that_is_still_signed_by_a_known_key(
    story: Story,
) -> None:
    keys = story.broker.call("GET", "/.well-known/pytp-receipt-keys").json()["keys"]
    version = story.client.published["before"][0]
    path = f"/acme/integrity/widgets/{version}/widgets-{version}-py3-none-any.whl/receipt"

    receipt = story.broker.call("GET", path)

    assert receipt.status_code == 200
    assert any(key["kid"] in receipt.text for key in keys)


def test_the_commands_of_this_version_still_work_after_the_rollback(story: Story) -> None:
    done = run_command(story.broker.cloud, ROOT, "project", "list", "acme", "--json")

    assert done.returncode == 0, done.stderr
    assert "widgets" in done.stdout


def test_the_commands_of_the_last_release_change_nothing_after_the_rollback(story: Story) -> None:
    path = story.folder / "empty.toml"
    path.write_text(registry("acme", access="public"))

    done = run_command(story.broker.cloud, story.source, "apply", "--prune", "--config", str(path))

    assert done.returncode != 0
    assert story.broker.mint(story.broker.issuer.token()).status_code == 200
