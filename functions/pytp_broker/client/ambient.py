"""The identity token of the CI job that this process runs in, for one audience.

The library ``id`` knows GitHub (and what speaks its protocol, such as Forgejo), Google Cloud,
Buildkite, GitLab and CircleCI. Here are the others, and every way in which a job can be told its
token: by a variable or by a file.
"""

import base64
import json
import re
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from shutil import which
from typing import Final

from pytp_broker.client.transport import Call, Send, UnreachableError
from pytp_broker.redaction import Hidden

Environment = Mapping[str, str]

# Variables of our own: the token, or a file that has it. A job of any CI may set one.
TOKEN: Final = "PYTP_IDENTITY_TOKEN"  # noqa: S105 - the name of a variable
TOKEN_FILE: Final = "PYTP_IDENTITY_TOKEN_FILE"  # noqa: S105 - as above
# Where docs/providers/kubernetes.md mounts a projected token.
PROJECTED: Final = Path("/var/run/secrets/pytp/token")
# Each of these marks a job of a CI that gives identity tokens.
_MARKS: Final = (
    *(TOKEN, TOKEN_FILE, "GITHUB_ACTIONS", "GITLAB_CI", "BUILDKITE", "CIRCLECI"),
    *("BITBUCKET_STEP_OIDC_TOKEN", "SEMAPHORE_OIDC_TOKEN", "SYSTEM_OIDCREQUESTURI"),
    *("CODEBUILD_BUILD_ID", "GOOGLE_SERVICE_ACCOUNT_NAME"),
)
_PRODUCT: Final = Path("/sys/class/dmi/id/product_name")
_GOOGLE: Final = frozenset({"Google", "Google Compute Engine"})
_AZURE_VERSION: Final = "7.1-preview.1"
_TOOL_SECONDS: Final = 20


class NoIdentityError(Exception):
    """The job cannot get an identity token; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """An identity token; ``is_only_one`` if the job gets the same one each time that it asks."""

    token: Hidden
    is_only_one: bool


def is_job(environment: Environment) -> bool:
    """Say whether this process runs in a job that can have an identity token; ask nobody."""
    return any(environment.get(name) for name in _MARKS) or PROJECTED.is_file()


def is_on_google() -> bool:
    """Say whether this machine is one of Google Cloud, whose own account it may speak for."""
    try:
        return _PRODUCT.read_text().strip() in _GOOGLE
    except (OSError, ValueError):
        return False


def find_identity(audience: str, environment: Environment, send: Send) -> Identity:
    """Return the job's identity token for an audience; raise NoIdentityError.

    It passes over a token for another audience, because the registry that received it could use it
    elsewhere. Then it asks the next source: a runner may have tokens for several registries.
    """
    job = _Job(audience, environment, send)
    failed: list[NoIdentityError] = []
    for find, is_only_one in _SOURCES:
        try:
            token = find(job)
            if token:
                _check_audience(token, audience)
                return Identity(Hidden(token), is_only_one)
        except NoIdentityError as error:
            failed.append(error)
    if failed:
        raise failed[0]
    raise NoIdentityError(
        f"this job has no identity token for the audience `{audience}`; set {TOKEN} to one, or "
        f"{TOKEN_FILE} to a file that has one"
    )


def read_identity(path: Path, audience: str) -> Identity:
    """Return the identity token in a file, if it is for this audience; raise NoIdentityError."""
    token = _read_file(path)
    _check_audience(token, audience)
    return Identity(Hidden(token), is_only_one=True)


@dataclass(frozen=True, slots=True)
class _Job:
    """What a source of identity tokens works with."""

    audience: str
    environment: Environment
    send: Send

    def variable(self, name: str) -> str:
        return self.environment.get(name, "").strip()


def _find_named(job: _Job) -> str:
    """Return the variable that is named after the audience, as GitLab's documentation names it.

    Clients disagree about an audience that begins with a digit, so there may be two names.
    """
    folded = re.sub("[^A-Z0-9]", "_", job.audience.upper())
    names = (folded, re.sub("^[0-9]", "_", folded))
    return next(filter(None, (job.variable(f"{name}_ID_TOKEN") for name in names)), "")


def _find_told(job: _Job) -> str:
    """Return the token that a variable of ours has, or the file that it names."""
    if token := job.variable(TOKEN):
        return token
    named = job.variable(TOKEN_FILE)
    if not named and not PROJECTED.is_file():
        return ""
    return _read_file(Path(named) if named else PROJECTED)


def _read_file(path: Path) -> str:
    try:
        return path.read_text().strip()
    except (OSError, ValueError) as error:
        raise NoIdentityError(
            f"cannot read the identity token in {path}: {type(error).__name__}"
        ) from None


def _find_services(job: _Job) -> str:
    """Return the variable of a service that gives every job one token: Bitbucket or Semaphore."""
    return job.variable("BITBUCKET_STEP_OIDC_TOKEN") or job.variable("SEMAPHORE_OIDC_TOKEN")


def _ask_azure(job: _Job) -> str:
    uri, access_token = job.variable("SYSTEM_OIDCREQUESTURI"), job.variable("SYSTEM_ACCESSTOKEN")
    if not uri:
        return ""
    if not access_token:
        raise NoIdentityError(
            "Azure DevOps: give the step the variable SYSTEM_ACCESSTOKEN: $(System.AccessToken)"
        )
    url = f"{uri}?api-version={_AZURE_VERSION}"
    try:
        answer = job.send(Call(url, method="POST", authorization=f"Bearer {access_token}"))
    except UnreachableError as error:
        raise NoIdentityError(f"Azure DevOps: {error}") from None
    token = answer.text("oidcToken")
    if not token:
        raise NoIdentityError(f"Azure DevOps answered {answer.status} without an identity token")
    return token


def _ask_aws(job: _Job) -> str:
    """Return the token of the role that a build of CodeBuild has, from the AWS CLI."""
    tool = which("aws", path=job.environment.get("PATH"))
    if not job.variable("CODEBUILD_BUILD_ID") or tool is None:
        return ""
    options = ("--signing-algorithm", "ES384", "--duration-seconds", "300")
    form = ("--query", "WebIdentityToken", "--output", "text")
    command = (tool, "sts", "get-web-identity-token", "--audience", job.audience, *options, *form)
    try:
        ended = subprocess.run(  # noqa: S603 - the AWS CLI of the job
            command, capture_output=True, text=True, timeout=_TOOL_SECONDS, check=True
        )
    except subprocess.CalledProcessError as error:
        raise NoIdentityError(f"aws sts get-web-identity-token: {error.stderr.strip()}") from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise NoIdentityError(f"aws sts get-web-identity-token: {type(error).__name__}") from None
    return ended.stdout.strip()


def _ask_id(job: _Job) -> str:
    from id import GitHubOidcPermissionCredentialError, IdentityError, detect_credential
    from urllib3.exceptions import HTTPError

    try:
        return detect_credential(job.audience) or ""
    except GitHubOidcPermissionCredentialError:
        raise NoIdentityError(
            "GitHub gives this job no identity token: add `id-token: write` to its `permissions`"
        ) from None
    except (IdentityError, HTTPError, OSError, ValueError) as error:
        raise NoIdentityError(str(error)) from None


# Where to look, in this order; and whether a job finds the same token there each time.
_SOURCES: Final[tuple[tuple[Callable[[_Job], str], bool], ...]] = (
    (_find_named, True),
    (_find_told, True),
    (_find_services, True),
    (_ask_azure, False),
    (_ask_aws, False),
    (_ask_id, False),
)


def _check_audience(token: str, audience: str) -> None:
    """Raise NoIdentityError unless the token is for this audience alone."""
    seen = _read_audience(token)
    if seen not in (audience, [audience]):
        raise NoIdentityError(
            f"the identity token of this job is for the audience {json.dumps(seen)}, and not for "
            f"`{audience}`"
        )


def _read_audience(token: str) -> object:
    try:
        payload = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return claims.get("aud")
    except (IndexError, AttributeError, ValueError, RecursionError):
        raise NoIdentityError("what the job has as its identity token is not a JWT") from None
