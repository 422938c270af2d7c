"""Measure the most memory that a process has had.

`ru_maxrss` is not enough: on Linux it begins with what the parent had when it made the process, and
a process that runs tests has more than most programs that it starts.
"""

import re
import resource
import sys
from pathlib import Path
from typing import Final

_STATUS: Final = Path("/proc/self/status")

# Runs a command from a process that has little itself, and prints the most memory in kibibytes.
MEASURED: Final = """
import resource, subprocess, sys
status = subprocess.run(sys.argv[1:], stdout=sys.stderr).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def peak_memory() -> int:
    """Return the most memory that this process has had, in bytes."""
    if _STATUS.exists():
        (kibibytes,) = re.findall(r"^VmHWM:\s+(\d+) kB$", _STATUS.read_text(), re.MULTILINE)
        return int(kibibytes) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
