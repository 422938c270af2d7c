"""``python -m pytp_broker.cli``: the same as ``pytp-broker``."""

import sys

from pytp_broker.cli import main

sys.exit(main())
