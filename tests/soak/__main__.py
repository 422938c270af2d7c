"""Run a soak: `python -m tests.soak --minutes 60`. `make soak` does."""

import argparse
import json
import sys
from pathlib import Path
from random import SystemRandom
from typing import Final

from tests.soak.driver import JOURNAL, run
from tests.soak.faults import Plan
from tests.soak.issuer import MoodyIssuer
from tests.soak.judgement import judge
from tests.soak.summary import Summary

_MOST: Final = 10_000


def main() -> int:
    """Run, judge and print; return 1 if anything was lost or is not explained."""
    parser = _parser()
    arguments = parser.parse_args()
    if not is_ours(arguments.folder):
        parser.error(f"{arguments.folder} is not the folder of an earlier soak: name another one")
    seed = SystemRandom().randrange(10**6) if arguments.seed is None else arguments.seed
    plan = Plan.of_minutes(arguments.minutes, arguments.pace, seed)
    print(f"soak: {arguments.minutes:g} min, seed {seed}, in {arguments.folder}", flush=True)
    summary = soak(arguments.folder, plan)
    text = json.dumps(summary.document(), indent=2)
    (arguments.folder / "summary.json").write_text(f"{text}\n")
    print(text if arguments.json else "\n".join(summary.lines()))
    return 0 if summary.is_good else 1


def soak(folder: Path, plan: Plan) -> Summary:
    """Run a soak in a folder, which is made anew, and judge it."""
    with MoodyIssuer() as issuer:
        site = run(folder, plan, issuer)
        try:
            return judge(folder, site, issuer, plan.seed)
        finally:
            site.stop()


def is_ours(folder: Path) -> bool:
    """Say whether we may remove a folder: it is empty, or an earlier soak has made it."""
    return not folder.exists() or not any(folder.iterdir()) or (folder / JOURNAL).is_file()


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < _MOST:
        raise argparse.ArgumentTypeError(f"must be above 0 and below {_MOST}")
    return number


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__)
    parser.add_argument("--minutes", type=_positive, default=60, help="how long (default: 60)")
    parser.add_argument("--seed", type=int, help="what is chosen at random (default: another one)")
    parser.add_argument(
        "--pace", type=_positive, default=2, help="what the clients do in a second (default: 2)"
    )
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path("build/soak"),
        help="the folder of the run; that of an earlier run is removed (default: build/soak)",
    )
    parser.add_argument("--json", action="store_true", help="print the summary as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
