"""Read a configuration file, and return what it says or name every mistake in it."""

import hashlib
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError  # noqa: TID251 - the TOML model is pydantic's

from pytp_broker.config.resolve import ConfigurationError, Loaded, Resolver
from pytp_broker.config.tables import BrokerModel
from pytp_broker.config.values import ALLOW_LOOPBACK


def load(path: Path, *, allow_loopback: bool) -> Loaded:
    """Return what the file says; raise ConfigurationError.

    ``allow_loopback`` lets issuers on this machine be plain http: for local use only.
    """
    try:
        content = path.read_bytes()
        document = tomllib.loads(content.decode())
    except OSError as error:
        raise ConfigurationError([f"{path}: {error.strerror}"]) from None
    except (ValueError, RecursionError) as error:  # also for numbers and nesting without end
        raise ConfigurationError([f"{path}: not TOML: {error}"]) from None
    _anchor(document, path.parent)
    loaded = parse(document, allow_loopback=allow_loopback)
    return replace(loaded, sha256=hashlib.sha256(content).hexdigest())


def _anchor(document: dict[str, Any], folder: Path) -> None:
    """Make the paths in a document relative to its own folder, not to where the command runs."""
    issuers = document.get("issuers")
    for issuer in issuers if isinstance(issuers, list) else []:
        if isinstance(issuer, dict) and isinstance(issuer.get("ca_file"), str):
            issuer["ca_file"] = str(folder / issuer["ca_file"].strip())


def parse(document: dict[str, Any], *, allow_loopback: bool) -> Loaded:
    """Return what a parsed document says; raise ConfigurationError."""
    try:
        model = BrokerModel.model_validate(document, context={ALLOW_LOOPBACK: allow_loopback})
    except ValidationError as error:
        raise ConfigurationError([_line(e["loc"], e["msg"]) for e in error.errors()]) from None
    return Resolver(model).resolve()


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file, for editors."""
    return BrokerModel.model_json_schema()


def _line(location: Sequence[str | int], message: str) -> str:
    path = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return f"{path.removeprefix('.') or 'configuration'}: {message.removeprefix('Value error, ')}"
