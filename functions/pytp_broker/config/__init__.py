"""The configuration: its files, its rules, and the types that it becomes.

TOML files describe issuers, registries and publishers. The commands and the local server read them.
A deployed function never does; it reads what ``apply`` stored. Each mistake is named with its line
and its dotted path, and unknown keys are mistakes.

``values`` checks single texts, ``tables`` lists the keys, ``issuers`` checks how an issuer's URL is
written, and ``resolve`` checks the entries against each other. ``sources`` reads the files,
``positions`` finds their lines, ``mistakes`` and ``sentences`` say what is wrong, and ``load`` does
all of it.
"""

from pytp_broker.config.load import json_schema, load, parse
from pytp_broker.config.mistakes import ConfigurationError
from pytp_broker.config.resolve import Loaded

__all__ = ["ConfigurationError", "Loaded", "json_schema", "load", "parse"]
