"""Read configuration files; return what they say, or name every mistake in them."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from pytp_broker.config.mistakes import ConfigurationError
from pytp_broker.config.resolve import Loaded, Resolver
from pytp_broker.config.sentences import explain_error
from pytp_broker.config.sources import Source, Sources, read_source
from pytp_broker.config.tables import BrokerModel
from pytp_broker.config.team_files import join_team_files
from pytp_broker.config.values import ALLOW_LOOPBACK


def load(*paths: Path, allow_loopback: bool) -> Loaded:
    """Return what the files say together; raise ConfigurationError.

    ``allow_loopback`` allows plain http for issuers on this machine. It is for local use only.
    """
    return _resolve(Sources(*_read_all(paths)), allow_loopback=allow_loopback)


def parse(document: dict[str, Any], *, allow_loopback: bool) -> Loaded:
    """Return what a parsed document says; raise ConfigurationError."""
    return _resolve(Sources(Source("", document)), allow_loopback=allow_loopback)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file, for editors."""
    return BrokerModel.model_json_schema()


def _read_all(paths: Sequence[Path]) -> list[Source]:
    sources: list[Source] = []
    lines: list[str] = []
    for path in paths:
        try:
            sources.append(read_source(path))
        except ConfigurationError as error:
            lines += error.lines
    if lines:
        raise ConfigurationError(lines)
    return sources


def _resolve(sources: Sources, *, allow_loopback: bool) -> Loaded:
    if sources.conflicts:
        raise ConfigurationError(sources.conflicts)
    join_team_files(sources)
    context = {ALLOW_LOOPBACK: allow_loopback}
    try:
        model = BrokerModel.model_validate(sources.document, context=context)
    except ValidationError as error:
        mistakes = [explain_error(each, sources.document) for each in error.errors()]
        raise ConfigurationError(sources.write(mistakes)) from None
    return Resolver(model, sources).resolve()
