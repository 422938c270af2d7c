"""Ask the CI to hide a token in the job's log, in the way that this CI offers.

GitLab, Bitbucket, CircleCI and others hide only what was stored with them before the job began, so
there nothing is printed.
"""

import subprocess
import sys
from shutil import which
from typing import Final

from pytp_broker.client.ambient import Environment
from pytp_broker.redaction import Hidden

_AGENT_SECONDS: Final = 10
NOT_MASKED: Final = "pytp-broker: Buildkite's agent does not hide the upload token in the log"


def mask(token: Hidden, environment: Environment) -> None:
    """Let the CI hide a token; it reads its commands in what the job prints to stderr.

    Only its log reads them: stdout may be read by the command that waits for the token.
    """
    if environment.get("GITHUB_ACTIONS"):
        print(f"::add-mask::{token.reveal()}", file=sys.stderr, flush=True)
    elif environment.get("TF_BUILD"):
        print(f"##vso[task.setsecret]{token.reveal()}", file=sys.stderr, flush=True)
    elif environment.get("BUILDKITE"):
        _tell_agent(token, environment)


def _tell_agent(token: Hidden, environment: Environment) -> None:
    """Give the token to Buildkite's agent on its standard input; others could read an argument."""
    agent = which("buildkite-agent", path=environment.get("PATH"))
    command = (agent or "buildkite-agent", "redactor", "add")
    try:
        subprocess.run(  # noqa: S603 - the agent that runs this job
            command,
            input=token.reveal().encode(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=dict(environment),
            timeout=_AGENT_SECONDS,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        print(NOT_MASKED, file=sys.stderr)
