"""A runner of CI jobs on this machine: it executes what docs/ci.md and infra/ci/ show, in a shell.

Where a snippet asks for a tool of the CI, or for uv, a script of the test stands in for it.
"""

import os
import re
import shlex
import subprocess
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import certifi
import yaml

from tests.support.jobs import Job
from tests.support.released import ROOT

PAGE: Final = (ROOT / "docs/ci.md").read_text()
ACTION: Final = ROOT / "infra/ci/github"
COMPONENT: Final = ROOT / "infra/ci/gitlab/templates/publish.yml"
ADDRESS: Final = "https://packages.example.com/acme"
_COMMANDS: Final = ("run", "script", "commands")


def snippet(name: str) -> str:
    """Return a snippet of the page."""
    found = re.search(rf"<!-- ci: {name} -->\n```\w+\n(.*?)```", PAGE, re.DOTALL)
    assert found, name
    return found[1]


def steps_of(text: str) -> Any:
    """Return a snippet as data; a script is one line of its own."""
    if not re.match(r"[\w-]+:", text):
        return {"run": text}
    return yaml.load(text, yaml.BaseLoader)  # noqa: S506 - makes texts, and nothing else


def lines_of(text: str) -> list[str]:
    """Return the shell lines of a snippet, in their order."""
    return [*_lines_in(steps_of(text))]


def _lines_in(value: Any) -> Iterator[str]:
    members = value.items() if isinstance(value, dict) else ()
    for name, member in members:
        if name in _COMMANDS and isinstance(member, str):
            yield member
        elif name in _COMMANDS and all(isinstance(each, str) for each in member):
            yield from member
        else:
            yield from _lines_in(member)
    for each in value if isinstance(value, list) else ():
        yield from _lines_in(each)


def variables_of(text: str) -> dict[str, str]:
    """Return the variables that the steps of a snippet set."""
    return dict(_variables_in(steps_of(text)))


def _variables_in(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        yield from value.get("env", {}).items()
        yield from ((each["name"], each["value"]) for each in value.get("env_vars", ()))
        for member in value.values():
            yield from _variables_in(member)
    for each in value if isinstance(value, list) else ():
        yield from _variables_in(each)


@dataclass
class Runner:
    """Runs the steps of one job; ``log`` is what its user sees, with the masked texts hidden."""

    job: Job
    log: str = ""
    masked: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        program, clients = self.job.program, self.job.released.clients / "bin"
        self.give(
            "uvx",
            f'tool=$1; shift\ncase $tool in pytp-broker*) exec {program} "$@";; '
            f'*) exec {clients}/"$tool" "$@";; esac',
        )
        for tool in ("uv", "pipx", "pip", "checkout"):
            self.give(tool, "exit 0")

    @property
    def tools(self) -> Path:
        return self.job.folder / "tools"

    def give(self, name: str, script: str) -> None:
        """Put a tool on the job's PATH."""
        self.tools.mkdir(exist_ok=True)
        (self.tools / name).write_text(f"#!/bin/sh\n{script}\n")
        (self.tools / name).chmod(0o755)

    def place(self, text: str) -> str:
        """Return a text with the registry of the test in it."""
        return text.replace(ADDRESS, f"{self.job.server.url}/{self.job.registry}")

    def shell(self, *lines: str, **variables: str) -> int:
        """Run lines in a shell as a CI does, and stop at the first that fails."""
        script = "\n".join(map(self.place, lines))
        return self.command("bash", "-e", "-o", "pipefail", "-c", script, **variables)

    def command(self, *words: str | Path, **variables: str) -> int:
        path = f"{self.tools}:{os.environ['PATH']}"
        ended = subprocess.run(
            words,
            env=self.job.environment(PATH=path, **variables),
            cwd=self.job.folder,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        self._show(ended.stderr)
        self._show(ended.stdout)
        return ended.returncode

    def _show(self, text: str) -> None:
        """Add a text to the log, as a CI that reads commands in it does."""
        command = r"^(?:::add-mask::|##vso\[task\.setsecret\])(.+)\n"
        self.masked += re.findall(command, text, re.MULTILINE)
        text = re.sub(command, "", text, flags=re.MULTILINE)
        for secret in self.masked:
            text = text.replace(secret, "***")
        self.log += text
        self.job.log += text


@dataclass
class GitHubRunner(Runner):
    """Runs the steps of a workflow's job, with the action of this project.

    ``temporary`` is the runner's folder, in which the action keeps its libraries.
    """

    temporary: Path = Path()
    outputs: dict[str, Mapping[str, str]] = field(default_factory=dict)
    exported: dict[str, str] = field(default_factory=dict)
    _ends: list[dict[str, str]] = field(default_factory=list)

    def run(self, workflow: Mapping[str, Any]) -> int:
        """Run the steps until one fails, then the ends of actions; return the worst status."""
        (job,) = workflow["jobs"].values()
        status = 0
        for step in job["steps"]:
            status = status or self._step(step)
        for end in reversed(self._ends):
            status = self.command("node", ACTION / self._runs["post"], **end) or status
        return status

    @property
    def _runs(self) -> Mapping[str, str]:
        runs: Mapping[str, str] = yaml.safe_load((ACTION / "action.yml").read_text())["runs"]
        return runs

    def _step(self, step: Mapping[str, Any]) -> int:
        if "run" in step:
            given = {name: self._expand(value) for name, value in step.get("env", {}).items()}
            return self.shell(step["run"], **{**self.exported, **given})
        if step["uses"].startswith("pytp-broker/pytp-broker/infra/ci/github@"):
            return self._use(step)
        return 0

    def _use(self, step: Mapping[str, Any]) -> int:
        inputs: Mapping[str, Any] = yaml.safe_load((ACTION / "action.yml").read_text())["inputs"]
        values = {name: str(each.get("default", "")) for name, each in inputs.items()}
        values |= {name: self.place(str(value)) for name, value in step["with"].items()}
        assert values.keys() == inputs.keys()
        variables = {f"INPUT_{name.upper()}": value for name, value in values.items()}
        variables["RUNNER_TEMP"] = str(self.temporary)
        files = {name: self.job.folder / name for name in ("OUTPUT", "STATE", "ENV")}
        for path in files.values():
            path.write_text("")
        given = {f"GITHUB_{name}": str(path) for name, path in files.items()}
        authorities = self._all_authorities()
        own = {"PIP_CERT": authorities, "REQUESTS_CA_BUNDLE": authorities}
        status = self.command("node", ACTION / self._runs["main"], **variables, **given, **own)
        self.outputs[step.get("id", "")] = _assigned(files["OUTPUT"])
        self.exported |= _assigned(files["ENV"])
        state = {f"STATE_{name}": value for name, value in _assigned(files["STATE"]).items()}
        self._ends.append({**variables, **state})
        for path in files.values():
            path.unlink()  # as the runner does when it has read them
        return status

    def _all_authorities(self) -> str:
        """Return a file with the server's authority, and those of the index that pip asks."""
        path = self.job.folder / "authorities.pem"
        public = Path(os.environ.get("PIP_CERT") or certifi.where())
        path.write_text(Path(str(self.job.server.ca_file)).read_text() + public.read_text())
        return str(path)

    def _expand(self, text: str) -> str:
        return re.sub(
            r"\$\{\{ steps\.(\w+)\.outputs\.(\w+) \}\}",
            lambda found: self.outputs[found[1]][found[2]],
            text,
        )


def _assigned(path: Path) -> dict[str, str]:
    pairs = (line.partition("=") for line in path.read_text().splitlines())
    return {name: value for name, _, value in pairs}


class GitLabRunner(Runner):
    """Runs the job of the component, with the identity tokens that the job asks for."""

    def run(self, identify: Any, **inputs: str) -> int:
        """Fill in the inputs and run the job; ``identify`` signs a token for an audience."""
        (job,) = component(**inputs).values()
        variables = {name: identify(each["aud"]) for name, each in job["id_tokens"].items()}
        return self.shell(*job["script"], **variables)


def component(**inputs: str) -> Mapping[str, Any]:
    """Return the jobs of the component with these inputs, as GitLab makes them."""
    head, body = COMPONENT.read_text().split("\n---\n")
    declared = yaml.safe_load(head)["spec"]["inputs"]
    values = {name: each.get("default") for name, each in declared.items()} | inputs
    assert values.keys() == declared.keys()
    assert None not in values.values(), "an input without a default is missing"
    jobs: Mapping[str, Any] = yaml.safe_load(
        re.sub(
            r"\$\[\[ inputs\.(\w+) \]\]",
            lambda found: _inserted(values[found[1]]),
            body,
        )
    )
    return jobs


def _inserted(value: Any) -> str:
    return (
        value if isinstance(value, str) else yaml.safe_dump(value, default_flow_style=True).strip()
    )


def quoted(text: str) -> str:
    """Return a text as one word of a shell."""
    return shlex.quote(text)
