"""A deployed broker, as a CI job, an installer and its operator see it."""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import requests

from pytp_broker.aws.boto import Client
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.http.upload_api import MEDIA_TYPE, META
from pytp_broker.oidc.keycache import StoredKeySet
from tests.support.cloud import ROOT, TIMEOUT, Cloud
from tests.support.configurations import github_issuer, github_publisher, registry
from tests.support.distributions import wheel


def configuration_for(issuer_url: str) -> str:
    """Return a configuration whose public registry trusts octo-org/widgets with `widgets`."""
    return github_issuer(issuer_url) + registry(
        "acme",
        github_publisher("widgets", issuer=issuer_url, environment="release"),
        access="public",
        audience="acme",
        issuers=[issuer_url],
    )


class Signing(Protocol):
    """An issuer that signs identity tokens."""

    @property
    def url(self) -> str:
        """Return the URL of the issuer."""

    def token(self, **changes: Any) -> str:
        """Return an identity token with these claims changed."""


@dataclass(frozen=True)
class DeployedBroker:
    """The deployed stack, as a CI job and an installer see it."""

    cloud: Cloud
    outputs: Mapping[str, str]
    issuer: Signing
    stack: str

    @property
    def store(self) -> DynamoStore:
        client: Any = Client(self.cloud.client("dynamodb"))
        return DynamoStore(client, self.outputs["Table"])

    def call(self, method: str, path: str, **request: Any) -> requests.Response:
        port = self.cloud.url.rpartition(":")[2]
        host = f"{self.outputs['ApiId']}.execute-api.localhost:{port}"
        headers = {"Host": host, **request.pop("headers", {})}
        return requests.request(
            method,
            self.cloud.url + path,
            headers=headers,
            timeout=TIMEOUT,
            allow_redirects=False,
            verify=str(self.cloud.ca_file),
            **request,
        )

    def read(
        self, path: str, token: str, headers: Mapping[str, str] | None = None
    ) -> requests.Response:
        """Read something of the private registry."""
        return self.call("GET", path, headers=headers or {}, auth=("__token__", token))

    def ask(self, method: str, link: str, token: str, **members: Any) -> requests.Response:
        """Send a request of Upload API 2.0; a link names the host of AWS, which is not here."""
        body = json.dumps({"meta": META, **members})
        headers, auth = {"Content-Type": MEDIA_TYPE}, ("__token__", token)
        return self.call(method, path_of(link), data=body, headers=headers, auth=auth)

    def mint(self, identity_token: str, prefix: str = "/acme") -> requests.Response:
        return self.call("POST", f"{prefix}/_/oidc/mint-token", json={"token": identity_token})

    def know_keys(self, keys: Sequence[Mapping[str, Any]]) -> None:
        """Store the keys of the issuer as fetched: deployed functions fetch nothing from here."""
        self.store.save_key_set(self.issuer.url, StoredKeySet(list(keys), datetime.now(UTC)))

    def new_token(self, **changes: Any) -> str:
        answer = self.mint(self.issuer.token(**changes))
        assert answer.status_code == 200, answer.text
        return str(answer.json()["token"])

    def upload(self, token: str, version: str, slash: str = "/") -> requests.Response:
        content = wheel("widgets", version).content
        form = {
            ":action": "file_upload",
            "protocol_version": "1",
            "metadata_version": "2.1",
            "name": "widgets",
            "version": version,
            "filetype": "bdist_wheel",
            "pyversion": "py3",
            "sha256_digest": hashlib.sha256(content).hexdigest(),
        }
        files = {"content": (f"widgets-{version}-py3-none-any.whl", content)}
        auth = ("__token__", token)
        return self.call("POST", f"/acme/legacy{slash}", data=form, files=files, auth=auth)


def path_of(link: str) -> str:
    return urlsplit(link).path


def problem_code(answer: requests.Response) -> str:
    """Return the code of the one error object."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    document = answer.json()
    assert document["status"] == answer.status_code
    return str(document["errors"][0]["code"])


def operate(broker: DeployedBroker, *arguments: str) -> str:
    """Run a command of the operator on the stack; return what it prints."""
    environment = {"PATH": os.environ["PATH"], **broker.cloud.environment}
    done = subprocess.run(
        [sys.executable, "-m", "pytp_broker.cli", *arguments, "--stack", broker.stack],
        env={**environment, "PYTHONPATH": str(ROOT / "functions")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def physical_id(broker: DeployedBroker, logical_id: str) -> str:
    answer = broker.cloud.client("cloudformation").describe_stack_resource(
        StackName=broker.stack, LogicalResourceId=logical_id
    )
    return str(answer["StackResourceDetail"]["PhysicalResourceId"])
