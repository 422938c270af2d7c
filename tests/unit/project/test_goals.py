"""The table of the benchmarks says plainly what was met, and how far two runs are apart."""

import json
from pathlib import Path

from tests.benchmarks.goals import Goals


def figures(exchange: float) -> Goals:
    goals = Goals()
    goals.at_most("exchange", "in process", 2.5, exchange, "of jwt.decode")
    goals.at_least("serve", "mints of 32 clients", 0.5, 0.25, "of peryx")
    return goals


def test_a_goal_is_met_or_missed(tmp_path: Path) -> None:
    table = figures(2.0).table(tmp_path / "figures.json").splitlines()

    assert " ".join(table[1].split()) == "exchange in process ≤ 2.5 of jwt.decode 2.00 met"
    assert " ".join(table[2].split()) == "serve mints of 32 clients ≥ 0.5 of peryx 0.25 MISSED"


def test_the_second_run_says_how_far_it_is_from_the_first(tmp_path: Path) -> None:
    file = tmp_path / "build/figures.json"
    figures(2.0).save(file)

    table = figures(2.2).table(file).splitlines()

    assert table[1].split()[-3:] == ["met", "2.00", "10%"]


def test_the_figures_are_kept_as_json_with_those_of_the_run_before(tmp_path: Path) -> None:
    file = tmp_path / "figures.json"
    figures(2.0).save(file)
    figures(3.0).save(file)

    kept = json.loads(file.read_text())["exchange: in process"]

    assert (kept["measured"], kept["last_run"], kept["is_met"]) == (3.0, 2.0, False)
