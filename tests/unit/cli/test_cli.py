"""The commands, as a terminal shows them."""

import argparse
import hashlib
import json
import re
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import boto3
import jsonschema
import pytest
from moto import mock_aws

from pytp_broker.aws.deployments import StandIns, find_host, open_stand_ins
from pytp_broker.cli import _COMMANDS, main
from pytp_broker.content import Held
from pytp_broker.local import deployment
from pytp_broker.local.routes import TemplateError
from tests.support.configurations import github_publisher, registry
from tests.support.emulator import Emulator
from tests.support.fakes import stored_bytes
from tests.support.scanner import LEAKED
from tests.support.signing import github_claims

REGION = "eu-central-1"
CONFIGURATION = registry("acme", github_publisher("widgets", repository_owner_id="9919"))
TABLE: dict[str, Any] = {
    "AttributeDefinitions": [
        {"AttributeName": "pk", "AttributeType": "S"},
        {"AttributeName": "sk", "AttributeType": "S"},
    ],
    "KeySchema": [
        {"AttributeName": "pk", "KeyType": "HASH"},
        {"AttributeName": "sk", "KeyType": "RANGE"},
    ],
    "BillingMode": "PAY_PER_REQUEST",
}


@dataclass
class Terminal:
    """A terminal in a folder of its own."""

    folder: Path
    capsys: pytest.CaptureFixture[str]

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def type(self, line: str) -> str:
        """Run `pytp-broker …` and return both streams, and the status if it is not 0."""
        name, *arguments = shlex.split(line)
        assert name == "pytp-broker"
        try:
            status: int | str | None = main(arguments)
        except SystemExit as left:
            status = left.code
        seen = self.capsys.readouterr()
        return seen.out + seen.err + (f"exit {status}\n" if status else "")


@pytest.fixture
def terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Terminal:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "100")
    opened = Terminal(tmp_path, capsys)
    opened.write("broker.toml", CONFIGURATION)
    return opened


# --- validate, schema, help ---------------------------------------------------------------------


def test_validate_says_ok(terminal: Terminal) -> None:
    assert terminal.type("pytp-broker validate --config broker.toml") == "ok\n"


def test_validate_names_every_mistake_by_its_path(terminal: Terminal) -> None:
    terminal.write(
        "broker.toml", 'colour = "red"\n[[registries]]\nname = "acme"\ntoken_lifetime = 1\n'
    )

    seen = terminal.type("pytp-broker validate --config broker.toml").splitlines()

    assert sorted(line.partition(" ")[0] + line.split()[1] for line in seen[:-1]) == [
        "broker.toml:1:colour:",
        "broker.toml:4:registries[1].token_lifetime:",
    ]
    assert seen[-1] == "exit 2"


def test_validate_allows_an_issuer_on_this_machine_when_told_to(terminal: Terminal) -> None:
    terminal.write("broker.toml", '[[issuers]]\nurl = "http://127.0.0.1:1"\nprovider = "github"\n')

    assert "issuers[1].url: `http://127.0.0.1:1` must be https" in terminal.type(
        "pytp-broker validate --config broker.toml"
    )
    assert terminal.type("pytp-broker validate --local --config broker.toml") == (
        "ok\nnote: broker.toml: registries: there is no registry in this configuration\n"
    )


def test_schema_prints_a_json_schema(terminal: Terminal) -> None:
    schema = json.loads(terminal.type("pytp-broker schema"))

    jsonschema.Draft202012Validator.check_schema(schema)


def test_ids_that_will_be_pinned_are_noted(terminal: Terminal) -> None:
    terminal.write("broker.toml", CONFIGURATION.replace('repository_owner_id = "9919"', ""))

    assert terminal.type("pytp-broker validate --config broker.toml") == (
        "ok\nnote: broker.toml:5: registries[1].publishers[1].github: `repository_owner_id`, "
        "`repository_id` will be pinned on first use (publisher 1 of registry `acme`: widgets)\n"
    )


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - it is refused
def test_a_server_that_listens_everywhere_must_be_told_its_name(
    terminal: Terminal, host: str
) -> None:
    seen = terminal.type(f"pytp-broker serve --config broker.toml --host {host}")

    assert "--public-host" in seen
    assert seen.endswith("exit 2\n")


def test_help_lists_the_commands(terminal: Terminal) -> None:
    seen = terminal.type("pytp-broker --help")

    assert re.findall(r"^    ([\w-]+)(?: |$)", seen, re.MULTILINE) == [
        *("serve", "plan", "apply", "export", "doctor", "validate", "explain", "registry"),
        *("publisher", "reader", "issuer", "token", "project", "file", "release"),
        *("receipt-key", "backup", "restore", "import", "trust-root", "audit", "schema"),
        *("secret", "login", "logout", "publish", "session", "run", "proxy", "verify"),
        *("probe", "demo"),
    ]


def test_help_says_what_each_command_does_and_shows_no_code(terminal: Terminal) -> None:
    seen = " ".join(terminal.type("pytp-broker --help").split())

    said = "Move in: import the files of another index, or of a folder, into a registry. "
    assert f"import {said}" in seen
    assert '"' not in seen
    assert "#" not in seen


@pytest.mark.parametrize("command", ["file delete", "import"])
def test_the_help_has_the_bucket_among_the_options_that_name_the_broker(
    terminal: Terminal, command: str
) -> None:
    _, _, group = terminal.type(f"pytp-broker {command} --help").partition("\nthe broker:\n")

    assert re.findall(r"^  (--[a-z-]+)", group, re.MULTILINE) == [*TARGET, "--bucket"]


TARGET = ("--data", "--stack", "--table", "--region", "--endpoint-url")
# These work on files, on a server of their own, or on another index.
WITHOUT_A_BROKER = {
    "serve",
    "validate",
    "schema",
    "secret",
    "demo",
    "login",
    "logout",
    "run",
    "proxy",
}
WITHOUT_A_BROKER |= {"probe", "publish", "session", "trust-root", "verify"}
# It makes a data folder, and nothing on AWS.
WITHOUT_A_BROKER |= {"restore"}


def declared(name: str) -> Iterator[dict[str, str | None]]:
    """Yield the options, with their help, of each action of a command, or of the command itself."""
    parser = argparse.ArgumentParser()
    import_module(f"pytp_broker.cli.{name.replace('-', '_')}").add_arguments(parser)
    nested = [a.choices for a in parser._actions if isinstance(a, argparse._SubParsersAction)]
    for leaf in nested[0].values() if nested else [parser]:
        yield {option: a.help for a in leaf._actions for option in a.option_strings}


@pytest.mark.parametrize("name", sorted({*_COMMANDS} - WITHOUT_A_BROKER))
def test_every_command_names_the_broker_in_the_same_words(name: str) -> None:
    (words,) = declared("audit")

    for options in declared(name):
        assert {option: options[option] for option in TARGET} == {o: words[o] for o in TARGET}


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("pytp-broker", "usage: pytp-broker [-h] [--version] COMMAND"),
        ("pytp-broker serve", "give --config: "),
        ("pytp-broker serve --config x --port 65536", "65536 is not between 0 and 65535"),
        ("pytp-broker serve --config x --port abc", "abc is not between 0 and 65535"),
        ("pytp-broker serve --config x --port -1", "-1 is not between 0 and 65535"),
        (
            "pytp-broker serve --config x --public-host https://packages.example.com/",
            "`https://packages.example.com/` is not a host name; write it without scheme",
        ),
        (
            "pytp-broker serve --config x --public-host packages.example.com:8443",
            "`packages.example.com:8443` is not a host name",
        ),
        ("pytp-broker serve --config x --public-host 'pack ages'", "is not a host name"),
        ("pytp-broker serve --config x --public-host ''", "is not a host name"),
        ("pytp-broker serve --config none --public-host ::1", "none: No such file"),
        ("pytp-broker serve --config none --public-host P.example", "none: No such file"),
        (
            "pytp-broker serve --config x --error-type-base javascript:x",
            "javascript:x is neither an https URL nor a URN",
        ),
        ("pytp-broker apply --config x", "one of the arguments --data --stack --table is required"),
    ],
)
def test_a_misused_command_says_how_it_is_used(terminal: Terminal, line: str, said: str) -> None:
    seen = terminal.type(line)

    assert said in seen
    assert seen.endswith("exit 2\n")


@pytest.mark.parametrize(
    "line",
    [
        *(f"token burn {LEAKED}", f"token {LEAKED}", f"validate --config broker.toml {LEAKED}"),
        *(f"serve --config x --port {LEAKED}", f"validate --config {LEAKED}", f"secret {LEAKED}"),
        *(f"release reopen {LEAKED} {LEAKED} {LEAKED} --data .", f"release {LEAKED}"),
        f"release yank acme {LEAKED} {LEAKED} --reason {LEAKED} --data .",
        f"project status acme {LEAKED} archived --reason {LEAKED} --data .",
        f"project status acme {LEAKED} {LEAKED} --reason x --data .",
        f"file delete acme {LEAKED} --reason {LEAKED} --data .",
        f"file delete {LEAKED} {LEAKED} --reason x --data .",
        *(f"token list --data {LEAKED}", f"explain --config broker.toml --registry {LEAKED} {{}}"),
    ],
)
def test_a_token_among_the_arguments_is_not_said_again(terminal: Terminal, line: str) -> None:
    seen = terminal.type(f"pytp-broker {line}")

    assert "exit" in seen
    assert LEAKED[:40] not in seen


def test_a_configuration_is_quoted_as_a_terminal_may_show_it(terminal: Terminal) -> None:
    terminal.write(
        "broker.toml", f'"\\u001b[31m{LEAKED}" = "x"\n[[registries]]\nname = "\\u202e"\n'
    )

    seen = terminal.type("pytp-broker validate --config broker.toml")

    assert seen.endswith("exit 2\n")
    assert not {"\x1b", "\u202e"} & {*seen}
    assert LEAKED not in seen


def test_a_project_that_is_a_token_is_not_said_again(terminal: Terminal, table: str) -> None:
    terminal.write("broker.toml", CONFIGURATION.replace("widgets", LEAKED, 1))

    seen = terminal.type(f"pytp-broker apply --yes --config broker.toml --table {table}")

    assert "[a token]" in seen
    assert LEAKED[5:40].lower() not in seen.lower()


@pytest.mark.parametrize("name", ['devpi"', "de vpi", "\x1b[31m", "x" * 65])
def test_a_client_is_called_what_a_configuration_may_call_it(terminal: Terminal, name: str) -> None:
    seen = terminal.type(f"pytp-broker secret {shlex.quote(name)}")

    assert "must be 1 to 64 letters" in seen
    assert seen.endswith("exit 2\n")


def test_a_missing_extra_is_named(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydantic", None)
    for name in [name for name in sys.modules if name.startswith("pytp_broker.config")]:
        monkeypatch.delitem(sys.modules, name)

    assert terminal.type("pytp-broker validate --config broker.toml") == (
        "`validate` needs pydantic: pip install 'pytp-broker[cli]'\nexit 1\n"
    )


# --- several files, and the host ------------------------------------------------------------------


def test_several_files_are_validated_as_one(terminal: Terminal) -> None:
    terminal.write("team.toml", CONFIGURATION)

    assert terminal.type("pytp-broker validate --config broker.toml --config team.toml") == (
        "team.toml:2: registries[1].name: `acme` was given before, at broker.toml:2 "
        "(registry `acme`)\nexit 2\n"
    )


def test_what_two_files_say_is_applied_together(terminal: Terminal, table: str) -> None:
    terminal.write("team.toml", CONFIGURATION.replace("acme", "umbrella"))

    seen = terminal.type(
        f"pytp-broker apply --yes --config broker.toml --config team.toml --table {table}"
    )

    assert "+ registry acme\n" in seen
    assert "+ registry umbrella\n" in seen


def test_a_host_of_all_registries_is_not_one_registrys(terminal: Terminal) -> None:
    terminal.write(
        "broker.toml", CONFIGURATION.replace('"acme"', '"acme"\nhosts = ["packages.example.com"]')
    )
    command = "pytp-broker validate --config broker.toml"

    assert terminal.type(command) == (
        "ok\nnote: without --host, `hosts` and `audience` are not compared with the deployment's "
        "host\n"
    )
    assert terminal.type(f"{command} --host other.example.com") == "ok\n"
    assert terminal.type(f"{command} --host packages.example.com").startswith(
        "broker.toml:3: registries[1].hosts[1]: `packages.example.com` is the host that all"
    )


def test_a_host_is_compared_as_the_broker_compares_it(terminal: Terminal) -> None:
    text = CONFIGURATION.replace('"acme"', '"acme"\nhosts = ["packages.example.com"]')
    terminal.write("broker.toml", text)

    seen = terminal.type("pytp-broker validate --config broker.toml --host Packages.Example.COM")

    assert "`packages.example.com` is the host that all registries share" in seen


@pytest.mark.parametrize("command", ["validate", "apply --table x", "explain claims.json"])
@pytest.mark.parametrize(
    "host", ["https://packages.example.com", "packages.example.com:443", "packages.example.com/x"]
)
def test_a_host_that_is_not_a_name_is_refused(terminal: Terminal, command: str, host: str) -> None:
    terminal.write("broker.toml", CONFIGURATION)
    terminal.write("claims.json", json.dumps(github_claims()))

    seen = terminal.type(f"pytp-broker {command} --config broker.toml --host {host}")

    assert seen.startswith(f"--host: `{host}` is not a host name")
    assert seen.endswith("packages.example.com\nexit 2\n")


def test_apply_checks_the_host_before_it_writes(terminal: Terminal, table: str) -> None:
    terminal.write(
        "broker.toml", CONFIGURATION.replace('"acme"', '"acme"\naudience = "packages.example.com"')
    )

    seen = terminal.type(
        f"pytp-broker apply --yes --config broker.toml --table {table} --host packages.example.com"
    )

    assert "is the default audience of the shared host" in seen
    assert seen.endswith("exit 2\n")
    assert terminal.type(f"pytp-broker audit --table {table}") == ""


def test_serve_checks_its_own_host(terminal: Terminal) -> None:
    terminal.write(
        "broker.toml", CONFIGURATION.replace('"acme"', '"acme"\naudience = "packages.example.com"')
    )

    seen = terminal.type(
        "pytp-broker serve --config broker.toml --public-host packages.example.com"
    )

    assert "is the default audience of the shared host" in seen
    assert seen.endswith("exit 2\n")


def test_a_missing_module_of_ours_is_a_bug(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pytp_broker.config", None)

    with pytest.raises(ModuleNotFoundError):
        terminal.type("pytp-broker validate --config broker.toml")


# --- apply --------------------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in ("AWS_PROFILE", "AWS_REGION"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield


@pytest.fixture
def table(aws: None) -> str:
    client = boto3.client("dynamodb")
    client.create_table(TableName="broker", **TABLE)
    client.close()
    return "broker"


def test_what_a_library_says_in_several_lines_stays_so(terminal: Terminal, aws: None) -> None:
    seen = terminal.type("pytp-broker apply --yes --config broker.toml --table ''").splitlines()

    assert seen[0] == "cannot apply: Parameter validation failed:"
    assert seen[1].startswith("Invalid length for parameter TableName")
    assert seen[-1] == "exit 1"


def test_apply_prints_what_it_changes_and_then_nothing_more(terminal: Terminal, table: str) -> None:
    first = terminal.type(f"pytp-broker apply --yes --config broker.toml --table {table}")
    second = terminal.type(f"pytp-broker apply --yes --config broker.toml --table {table}")

    assert "acme" in first
    assert "octo-org/widgets" in first
    assert second.splitlines()[0] == "no changes"


@pytest.mark.ministack
def test_apply_finds_the_table_of_a_stack(
    terminal: Terminal, emulator: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in (("AWS_ACCESS_KEY_ID", "test"), ("AWS_SECRET_ACCESS_KEY", "test")):
        monkeypatch.setenv(name, value)
    resource = {"Type": "AWS::DynamoDB::Table", "Properties": TABLE}
    create_stack(emulator, "one-table", {"Table": resource})
    create_stack(emulator, "two-tables", {"Table": resource, "Other": resource})
    url = {"Url": {"Value": "https://abc.execute-api.us-east-1.amazonaws.com"}}
    create_stack(emulator, "with-a-url", {"Table": resource}, Outputs=url)
    terminal.write(
        "shadow.toml",
        CONFIGURATION.replace(
            '"acme"', '"acme"\naudience = "abc.execute-api.us-east-1.amazonaws.com/other"'
        )
        + '[[registries]]\nname = "other"\n',
    )
    options = f"--config broker.toml --endpoint-url {emulator.endpoint_url} --region us-east-1"

    assert "acme" in terminal.type(f"pytp-broker apply {options} --stack one-table")
    assert terminal.type(f"pytp-broker apply {options} --stack two-tables") == (
        "the stack two-tables has 2 tables, not one: name it with --table\nexit 1\n"
    )
    assert "is the default audience of registry `other`" in terminal.type(
        f"pytp-broker apply {options.replace('broker', 'shadow')} --stack with-a-url"
    )


def create_stack(
    emulator: Emulator, name: str, resources: dict[str, Any], **more: dict[str, Any]
) -> None:
    client = emulator.client("cloudformation")
    client.create_stack(StackName=name, TemplateBody=json.dumps({"Resources": resources, **more}))
    client.get_waiter("stack_create_complete").wait(StackName=name, WaiterConfig={"Delay": 0.2})


@pytest.mark.parametrize(
    ("stack", "host"),
    [
        ({}, None),
        (
            {"Outputs": [{"OutputKey": "Url", "OutputValue": "https://abc.example"}]},
            "abc.example",
        ),
        (
            {
                "Parameters": [{"ParameterKey": "HostName", "ParameterValue": "packages.example"}],
                "Outputs": [{"OutputKey": "Url", "OutputValue": "https://abc.example"}],
            },
            "packages.example",
        ),
    ],
)
def test_the_host_of_a_stack_is_its_domain_or_else_its_own(
    stack: dict[str, Any], host: str | None
) -> None:
    assert find_host(stack) == host


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("--table none", "cannot apply: An error occurred (ResourceNotFoundException)"),
        (
            "--stack none --endpoint-url http://127.0.0.1:1",
            'cannot reach the deployment: Could not connect to the endpoint URL: "http://127.',
        ),
        (
            "--table none --endpoint-url garbage",
            "cannot reach the deployment: Invalid endpoint: garbage\n",
        ),
        (
            "--table none --endpoint-url http://127.0.0.1:65536",
            "cannot reach the deployment: Port out of range 0-65535\n",
        ),
    ],
)
def test_apply_says_what_aws_says(terminal: Terminal, aws: None, options: str, said: str) -> None:
    seen = terminal.type(f"pytp-broker apply --yes --config broker.toml {options}")

    assert seen.startswith(said)
    assert seen.endswith("exit 1\n")


def test_a_command_says_where_it_has_looked(terminal: Terminal, aws: None) -> None:
    by_table = terminal.type("pytp-broker apply --yes --config broker.toml --table none")
    by_stack = terminal.type(
        "pytp-broker apply --yes --config broker.toml --stack none --region eu-west-3"
        " --endpoint-url http://127.0.0.1:1"
    )

    assert by_table.splitlines()[-2] == (
        f"asked for the table none in the region {REGION}, with the profile default"
    )
    assert by_stack.splitlines()[-2] == (
        "asked for the stack none in the region eu-west-3 at http://127.0.0.1:1,"
        " with the profile default"
    )


def test_a_command_says_that_it_knows_no_region(
    terminal: Terminal, aws: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")

    seen = terminal.type("pytp-broker apply --yes --config broker.toml --table none")

    assert "without a region (give --region)" in seen


def test_apply_refuses_an_issuer_on_this_machine(terminal: Terminal) -> None:
    terminal.write("broker.toml", '[[issuers]]\nurl = "http://127.0.0.1:1"\nprovider = "github"\n')

    seen = terminal.type("pytp-broker apply --yes --config broker.toml --table none")

    assert seen.startswith("broker.toml:2: issuers[1].url: `http://127.0.0.1:1` must be https")


# --- serve, as far as it gets -------------------------------------------------------------------


def test_serve_says_what_is_wrong_with_the_template(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise TemplateError("template.yaml has routes to unknown X")

    monkeypatch.setattr(deployment, "build_gateway", fail)
    for name in ("SIGINT", "SIGTERM"):
        monkeypatch.setattr(signal, name, signal.SIGUSR1)  # those of this process stay

    assert terminal.type("pytp-broker serve --config broker.toml") == (
        "template.yaml has routes to unknown X\nexit 1\n"
    )


def test_serve_makes_the_table_and_the_bucket_once(aws: None) -> None:
    # moto answers AWS's own endpoints.
    places = StandIns(
        dynamodb_url=f"https://dynamodb.{REGION}.amazonaws.com",
        s3_url=f"https://s3.{REGION}.amazonaws.com",
        table="local-table",
        bucket="local-bucket",
    )

    open_stand_ins(places)
    storage = open_stand_ins(places)

    assert storage.store.load_configuration().registries == {}
    storage.files.save("files/x", Held(b"bytes"), hashlib.sha256(b"bytes").hexdigest())
    assert stored_bytes(storage.files, "files/x") == b"bytes"
