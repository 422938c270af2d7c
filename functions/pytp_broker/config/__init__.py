"""The configuration: its model, what it refuses, and what it becomes.

TOML files describe issuers, registries and publishers. The commands and the local server read
them; a function of the deployment never does: those read what ``apply`` stored. Each mistake is
named with its line and its dotted path, and unknown keys are mistakes.

``values`` says what a text must look like, ``tables`` which keys there are, ``issuers`` how an
issuer's URL is written, ``resolve`` what the entries must be to each other. ``sources`` reads the
files, ``positions`` finds their lines, ``mistakes`` and ``sentences`` say what is wrong, and
``load`` does all of it.
"""

from pytp_broker.config.load import json_schema, load, parse
from pytp_broker.config.mistakes import ConfigurationError
from pytp_broker.config.resolve import Loaded

__all__ = ["ConfigurationError", "Loaded", "json_schema", "load", "parse"]
