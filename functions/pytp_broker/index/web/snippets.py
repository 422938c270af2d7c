"""The blocks to copy: how to install from a registry, and what an operator writes to publish."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from pytp_broker.trust.providers.model import FieldValue
from pytp_broker.trust.publishers import TrustedPublisher


@dataclass(frozen=True, slots=True)
class Snippet:
    """A block to copy: for which tool, what it is, and what to know about it."""

    tool: str
    text: str
    note: str = ""


@dataclass(frozen=True, slots=True)
class Install:
    """What to install: a project, one version of it or any, and the index that has it."""

    registry: str
    project: str
    version: str
    index_url: str

    @property
    def snippets(self) -> tuple[Snippet, ...]:
        """Return how each installer takes the project from this index, and from no other."""
        return (self._pip, self._uv, self._poetry)

    @property
    def _pip(self) -> Snippet:
        text = f"pip install --index-url {self.index_url} {self.project}=={self.version}"
        note = (
            "pip then asks this index alone, also for what the project depends on. It cannot bind "
            "a project to an index: with --extra-index-url, anybody could publish a higher version "
            "of the name elsewhere."
        )
        return Snippet("pip", text, note)

    @property
    def _uv(self) -> Snippet:
        lines = (
            "[project]",
            f'dependencies = ["{self.project}=={self.version}"]',
            "",
            "[[tool.uv.index]]",
            f'name = "{self.registry}"',
            f'url = "{self.index_url}"',
            "explicit = true",
            "",
            "[tool.uv.sources]",
            f'{self.project} = {{ index = "{self.registry}" }}',
        )
        note = "In pyproject.toml. uv takes this project from here, and all others from PyPI."
        return Snippet("uv", "\n".join(lines), note)

    @property
    def _poetry(self) -> Snippet:
        lines = (
            f"poetry source add --priority=explicit {self.registry} {self.index_url}",
            f"poetry add --source {self.registry} {self.project}=={self.version}",
        )
        note = "poetry takes this project from here, and all others from PyPI."
        return Snippet("poetry", "\n".join(lines), note)


def stanza(publisher: TrustedPublisher, project: str) -> str:
    """Return a publisher of a project as the configuration has it, with the ids that are pinned."""
    provider = publisher.provider
    lines = ["[[registries.publishers]]", f"projects = [{_quote(project)}]"]
    if publisher.issuer != provider.issuer:
        lines.append(f"issuer = {_quote(publisher.issuer)}")
    claims = [f"claims = {{ {_pairs(publisher.claims)} }}"] if publisher.claims else []
    table = f"[registries.publishers.{provider.name}]"
    # A publisher of the generic provider has all its rules in the provider's own table.
    head = (table, *claims) if provider.is_generic else (*claims, table)
    values = {**publisher.fields, **publisher.pins}
    names = (f.name for f in provider.fields if f.name in values)
    return "\n".join((*lines, *head, *(f"{name} = {_value(values[name])}" for name in names)))


def _pairs(claims: Mapping[str, str]) -> str:
    return ", ".join(f"{_quote(name)} = {_quote(value)}" for name, value in claims.items())


def _value(value: FieldValue) -> str:
    return _quote(value) if isinstance(value, str) else f"[{', '.join(map(_quote, value))}]"


def _quote(text: str) -> str:
    # A string of JSON is one of TOML, if no character outside of ASCII is escaped in halves.
    return json.dumps(text, ensure_ascii=False)
