"""The parts of a configuration file that tests write: issuers, registries and their publishers."""

import json
from collections.abc import Mapping


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


def _lines(settings: Mapping[str, object]) -> str:
    # TOML writes text, numbers, truth and lists as JSON does.
    return "".join(f"{name} = {json.dumps(value)}\n" for name, value in settings.items())
