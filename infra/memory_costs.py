"""What an exchange takes and costs by the memory of the functions: a table of docs/cost.md.

Lambda bills memory times time, and gives a share of a processor by the memory. So what the
processor does costs the same with any memory, and what waits costs more with more of it.
"""

import sys
from typing import Final

from infra.costs import MILLION, PRICES

SIZES_MB: Final = (128, 256, 512, 1024, 1769)
# What template.yaml gives the functions that answer requests.
CHOSEN_MB: Final = 512

# AWS: with this much memory, a function has one whole processor.
_WHOLE_PROCESSOR_MB: Final = 1769
# Processor time of the broker function, rounded up from what `make bench` measures: its start, how
# much more the first mint takes than later ones, and an audience, a mint and a burn in a function
# that is warm.
START_CPU: Final = 0.16
FIRST_CPU: Final = 0.02
EXCHANGE_CPU: Final = 0.002
# Three calls of DynamoDB, which is assumed to answer in 4 ms; the first mint makes two more.
_CALL_SECONDS: Final = 0.004
_CALLS: Final = 3
_FIRST_CALLS: Final = 2


def share(megabytes: int) -> float:
    """Return the share of a processor that a function has."""
    return min(1.0, megabytes / _WHOLE_PROCESSOR_MB)


def warm_seconds(megabytes: int) -> float:
    """Return how long the three requests of an exchange take in functions that are warm."""
    return _CALLS * _CALL_SECONDS + EXCHANGE_CPU / share(megabytes)


def cold_seconds(megabytes: int) -> float:
    """Return how long they take if the function must start for them.

    While a function starts it has a whole processor, whatever its memory is.
    """
    first = _FIRST_CALLS * _CALL_SECONDS + FIRST_CPU / share(megabytes)
    return START_CPU + first + warm_seconds(megabytes)


def dollars(megabytes: int, seconds: float) -> float:
    """Return what a function costs that runs for so long."""
    return megabytes / 1024 * seconds * PRICES["gb_s"].dollars


def memory_table() -> str:
    """Return the time and the price of an exchange for each size."""
    rows = [_row(size) for size in SIZES_MB]
    head = (
        "| Memory | Share of a processor | Warm: time | Warm: a million cost "
        "| Cold: time | Cold: a million cost |"
    )
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _row(megabytes: int) -> str:
    warm, cold = warm_seconds(megabytes), cold_seconds(megabytes)
    name = f"**{megabytes:,} MB**" if megabytes == CHOSEN_MB else f"{megabytes:,} MB"
    return (
        f"| {name} | {share(megabytes):.2f} "
        f"| {warm * 1000:.0f} ms | ${dollars(megabytes, warm) * MILLION:.2f} "
        f"| {cold:.2f} s | ${dollars(megabytes, cold) * MILLION:.2f} |"
    )


if __name__ == "__main__":
    sys.stdout.write(f"{memory_table()}\n")
