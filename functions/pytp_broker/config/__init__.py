"""The configuration file: its model, what it refuses, and what it becomes.

One TOML file describes issuers, registries and publishers. The commands and the local server read
it; a function of the deployment never does: those read what ``apply`` stored. Each mistake is
named with its dotted path, and unknown keys are mistakes.

``values`` says what a text must look like, ``tables`` which keys there are, ``resolve`` what the
entries must be to each other, and ``load`` reads a file.
"""

from pytp_broker.config.load import json_schema, load, parse
from pytp_broker.config.resolve import ConfigurationError, Loaded

__all__ = ["ConfigurationError", "Loaded", "json_schema", "load", "parse"]
