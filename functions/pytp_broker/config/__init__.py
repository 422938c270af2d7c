"""What did the operator write? This room reads the TOML files and names each mistake with its line.

The files describe issuers, registries, publishers and readers. Commands and the local server read
them; a deployed function reads what ``apply`` stored.

``values`` checks single texts, ``tables`` lists the keys, ``issuers`` checks how an issuer's URL is
written, and ``resolve`` checks the entries against each other. ``sources`` reads the files,
``team_files`` adds those of teams, ``export`` writes a file of what a store holds, ``positions``
finds their lines, ``mistakes`` and ``sentences`` say what is wrong, and ``load`` does
all of it.
"""

from pytp_broker.config.load import json_schema, load, parse
from pytp_broker.config.mistakes import ConfigurationError
from pytp_broker.config.resolve import Loaded

__all__ = ["ConfigurationError", "Loaded", "json_schema", "load", "parse"]
