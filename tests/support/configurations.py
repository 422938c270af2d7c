"""The parts of a configuration file that tests write: issuers, registries and their publishers."""

import json
import tomllib
from collections.abc import Mapping
from functools import cache

import jsonschema
import pytest

from pytp_broker import config


def github_issuer(url: str, **settings: object) -> str:
    """Return an issuer that signs as GitHub does."""
    return f"[[issuers]]\n{_lines({'url': url, 'provider': 'github', **settings})}"


def registry(name: str, *publishers: str, **settings: object) -> str:
    """Return a registry with these settings, which trusts these publishers."""
    return f"[[registries]]\n{_lines({'name': name, **settings})}{''.join(publishers)}"


def github_publisher(*projects: str, issuer: str = "", **fields: object) -> str:
    """Return a publisher of these projects: octo-org/widgets, where no field says otherwise."""
    trusted = {"projects": projects, **({"issuer": issuer} if issuer else {})}
    job = {"repository": "octo-org/widgets", "workflow": "release.yml", **fields}
    return (
        f"[[registries.publishers]]\n{_lines(trusted)}[registries.publishers.github]\n{_lines(job)}"
    )


def github_reader(*, issuer: str = "", **fields: object) -> str:
    """Return a reader: every repository of octo-org, where no field says otherwise."""
    trusted = {"issuer": issuer} if issuer else {}
    job = fields if "repository" in fields else {"owner": "octo-org", **fields}
    return f"[[registries.readers]]\n{_lines(trusted)}[registries.readers.github]\n{_lines(job)}"


def generic_registry(claims: str) -> str:
    """Return a registry with one publisher that is known by claims alone: of a TOML table."""
    return f"""
    [[issuers]]
    url = "https://ci.example.com"
    provider = "generic"
    [[registries]]
    name = "acme"
    audience = "acme"
    [[registries.publishers]]
    projects = ["widgets"]
    issuer = "https://ci.example.com"
    [registries.publishers.generic]
    claims = {{ {claims} }}
    """


def mistakes(text: str, *, allow_loopback: bool = False) -> tuple[str, ...]:
    """Return the lines with which a configuration is refused."""
    with pytest.raises(config.ConfigurationError) as refused:
        config.parse(tomllib.loads(text), allow_loopback=allow_loopback)
    return refused.value.lines


def fits_the_schema(text: str) -> bool:
    """Say whether the schema for editors accepts a configuration."""
    return _schema().is_valid(tomllib.loads(text))


@cache
def _schema() -> jsonschema.Draft202012Validator:
    schema = config.json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def _lines(settings: Mapping[str, object]) -> str:
    # TOML writes text, numbers, truth and lists as JSON does.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
