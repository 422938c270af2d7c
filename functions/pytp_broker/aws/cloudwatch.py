"""What a function writes for CloudWatch: its log and its metrics, one JSON document a line.

The members of both are those of AWS's Powertools, in the same order, because queries, alarms and
dashboards know them. The code is ours, because Powertools took a tenth of an exchange's time and of
a function's start. Tests compare the two.
"""

import json
import os
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final, Literal, Protocol, TypeAlias

NAMESPACE: Final = "pytp-broker"

# Lambda sets it to the trace of each call: `Root=1-…;Parent=…;Sampled=0`.
_TRACE: Final = "_X_AMZN_TRACE_ID"

Level: TypeAlias = Literal["INFO", "WARNING", "ERROR"]


class LambdaContext(Protocol):
    """What Lambda says about one call of a function."""

    function_name: str
    memory_limit_in_mb: str
    invoked_function_arn: str
    aws_request_id: str


class CloudWatch:
    """The log and the metrics of one function.

    There is no level below which lines are left out: we log nothing but audit records and failures,
    and nobody may switch audit records off.
    """

    def __init__(self, function: str) -> None:
        self._function = function
        self._call: Mapping[str, object] = {}
        self._is_cold = True

    def begin(self, context: LambdaContext) -> None:
        """Take down to which call of the function the next lines belong."""
        self._call = {
            "cold_start": self._is_cold,
            "function_name": context.function_name,
            "function_memory_size": context.memory_limit_in_mb,
            "function_arn": context.invoked_function_arn,
            "function_request_id": context.aws_request_id,
        }
        self._is_cold = False

    def log(self, level: Level, message: str, **facts: object) -> None:
        """Write a line of the log. It names the place in our code that calls this."""
        caller, now = sys._getframe(1), datetime.now(UTC)  # noqa: SLF001 - as `logging` does
        trace = os.environ.get(_TRACE, "").partition(";")[0].removeprefix("Root=")
        _write(
            {
                "level": level,
                "location": f"{caller.f_code.co_name}:{caller.f_lineno}",
                "message": message,
                "timestamp": f"{now:%Y-%m-%d %H:%M:%S},{now.microsecond // 1000:03}+0000",
                "service": self._function,
                **self._call,
                **facts,
                **({"xray_trace_id": trace} if trace else {}),
            }
        )

    def count(self, name: str, labels: Mapping[str, str]) -> None:
        """Add one to a metric, in CloudWatch's embedded metric format.

        Labels must have few values: each label is a dimension, and each combination of values is a
        metric of its own.
        """
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [[*labels]],
            "Metrics": [{"Name": name, "Unit": "Count"}],
        }
        milliseconds = int(datetime.now(UTC).timestamp() * 1000)
        about = {"Timestamp": milliseconds, "CloudWatchMetrics": [directive]}
        values = {label: value or "none" for label, value in labels.items()}
        _write({"_aws": about, **values, name: [1.0]})


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _write(document: Mapping[str, object]) -> None:
    sys.stdout.write(f"{_ENCODER.encode(document)}\n")
    sys.stdout.flush()
