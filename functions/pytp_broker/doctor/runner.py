"""Let the checks look, side by side, each within its own time; what one does wrong stays its own.

A check that does not end is left behind: its thread ends with the process.
"""

import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import replace
from threading import Thread
from typing import Final

from pytp_broker.doctor.checks import THOROUGH_SECONDS, Check, Need
from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, Outcome, not_checked
from pytp_broker.doctor.outside import NO_ANSWER
from pytp_broker.doctor.visit import Visit
from pytp_broker.doctor.web import NoAnswerError
from pytp_broker.errors import StoreUnavailable
from pytp_broker.redaction import printable

# These can be found by every check that asks over the web.
COMMON: Final[tuple[Flaw, ...]] = (NO_ANSWER,)

# What is left out, by what is missing for it.
_TITLES: Final = {Need.WEB: "outside", Need.SETUP: "inside", Need.STORE: "inside"}

_Findings = Sequence[Finding]


def run(checks: Sequence[Check], visit: Visit) -> Iterator[Finding]:
    """Yield what the checks find, in their order, as soon as it is known."""
    possible = [check for check in checks if _unmet(check, visit) is None]
    began = time.monotonic()
    started = [(check, _start(check, visit)) for check in possible]
    for check, findings in started:
        for finding in _folded(_wait(check, findings, began, visit)):
            yield finding.named(check.name, visit.names)
    yield from _left_out(checks, visit)


def _unmet(check: Check, visit: Visit) -> Need | None:
    return next((need for need in check.needs if not visit.has(need)), None)


def _start(check: Check, visit: Visit) -> "Future[_Findings]":
    findings: Future[_Findings] = Future()
    Thread(target=_look_into, args=(findings, check, visit), daemon=True).start()
    return findings


def _look_into(findings: "Future[_Findings]", check: Check, visit: Visit) -> None:
    found: list[Finding] = []
    try:
        found.extend(check.look(visit))
    except NotCheckedError as error:
        found.append(not_checked("", str(error)))
    except NoAnswerError as error:
        found.append(NO_ANSWER.found(str(error)))
    except StoreUnavailable as problem:
        reason = problem.operator_detail or problem.detail
        found.append(not_checked("", f"the store does not answer: {printable(str(reason))}"))
    except Exception as error:  # noqa: BLE001 - one check must not end the others
        # Only the type: the text may quote what a server has sent.
        found.append(not_checked("", f"the check itself failed ({type(error).__name__})"))
    findings.set_result(found)


def _wait(
    check: Check, findings: "Future[_Findings]", began: float, visit: Visit
) -> Sequence[Finding]:
    seconds = max(check.seconds, THOROUGH_SECONDS if visit.thorough else 0)
    try:
        return findings.result(max(0, began + seconds - time.monotonic()))
    except FutureTimeoutError:
        return [not_checked("", f"not done within {seconds:.0f} s")]


def _folded(findings: Sequence[Finding]) -> Sequence[Finding]:
    """Return what is wrong, or that nothing is: one finding for all that have the same cure."""
    bad = [finding for finding in findings if finding.outcome is not Outcome.OK]
    alike: dict[object, list[Finding]] = {}
    for finding in bad or findings or [not_checked("", "there was nothing to look at")]:
        key = finding.name, finding.cure, tuple(finding.names.items())
        alike.setdefault(key, []).append(finding)
    return [_as_one(same) for same in alike.values()]


def _as_one(findings: Sequence[Finding]) -> Finding:
    first, *others = findings
    return replace(first, seen=f"{first.seen} (and {len(others)} more)") if others else first


def _left_out(checks: Sequence[Check], visit: Visit) -> Iterator[Finding]:
    """Yield one finding for all checks that lack something for the same reason."""
    names: dict[str, list[str]] = {}
    titles: dict[str, str] = {}
    for check in checks:
        need = _unmet(check, visit)
        reason = visit.absent.get(need) if need else None
        if need is not None and reason is not None:
            names.setdefault(reason, []).append(check.name)
            titles.setdefault(reason, _TITLES.get(need, need.value))
    for reason, left_out in names.items():
        yield not_checked(titles[reason], f"{reason} ({', '.join(left_out)})")
