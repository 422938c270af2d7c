"""Tables, as a terminal and a pipe show them."""

import re
import signal
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO

import pytest

from pytp_broker.cli import main
from pytp_broker.cli.printed_tables import print_pairs, print_table
from pytp_broker.file_sizes import write_size
from tests.support.desk import Desk

TITLES = ("project", "note")
LONG = "word " * 40

Print = Callable[[], None]


class Screen(StringIO):
    """A terminal, which keeps what it is sent."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm")


def on_terminal(show: Print) -> str:
    """Return what a terminal of 80 columns shows, without the codes for bold letters."""
    with redirect_stdout(Screen()) as screen:
        show()
    return re.sub(r"\x1b\[[0-9;]*m", "", screen.getvalue())


def on_pipe(show: Print) -> str:
    with redirect_stdout(StringIO()) as pipe:
        show()
    return pipe.getvalue()


def table(*rows: list[str]) -> Print:
    return lambda: print_table(TITLES, rows)


def pairs(*rows: tuple[str, str]) -> Print:
    return lambda: print_pairs(rows)


def test_a_pipe_gets_every_line_whole() -> None:
    show = table(["widgets", LONG + "end"], ["gadgets", ""])

    assert on_pipe(show) == f"project  note\nwidgets  {LONG}end\ngadgets\n"


def test_a_terminal_gets_lines_of_its_width_and_every_word() -> None:
    show = table(["widgets", LONG + "end"])

    lines = on_terminal(show).splitlines()
    assert len(lines) > 3
    assert all(len(line) <= 80 for line in lines)
    assert " ".join(lines).split() == [*TITLES, "widgets", *LONG.split(), "end"]


def test_a_long_name_is_folded_and_not_cut() -> None:
    name = "a-very-long-name-" * 8

    show = table([name, "x" * 70])

    seen = on_terminal(show)
    assert "…" not in seen
    first_column = "".join(line[:39] for line in seen.splitlines()[1:])
    assert first_column.startswith(name[:100])


def test_a_long_table_is_aligned_from_top_to_bottom() -> None:
    show = table(*([f"p-{n}", "x"] for n in range(250)), ["the-longest-name", "x"])

    lines = [line.rstrip() for line in on_terminal(show).splitlines()]
    assert len(lines) == 252
    assert {line.index("x", 10) for line in lines[1:]} == {len("the-longest-name") + 2}


def test_brackets_and_colons_are_shown_as_they_are() -> None:
    show = table(["[bold]red[/bold]", ":smile:"])

    assert "[bold]red[/bold]  :smile:" in on_terminal(show)


def test_a_cell_of_several_lines_is_one_line_in_a_table() -> None:
    show = table(["widgets", "one\ntwo"])

    assert on_pipe(show) == "project  note\nwidgets  one, two\n"


def test_of_very_many_parts_a_terminal_shows_the_first_and_a_pipe_all() -> None:
    parts = [f"p{number}" for number in range(2000)]
    show = table(["widgets", "\n".join(parts)])

    assert "widgets  p0, p1, p2, p3, p4 and 1,995 more" in on_terminal(show)
    assert on_pipe(show).endswith(f"widgets  {', '.join(parts)}\n")


def test_what_is_shown_has_a_line_for_each_part() -> None:
    show = pairs(("id", "x"), ("projects", "widgets\ngadgets"))

    assert on_pipe(show) == "id        x\nprojects  widgets\n          gadgets\n"


def test_what_is_shown_is_folded_on_a_terminal() -> None:
    show = pairs(("id", "x"), ("note", LONG + "end"))

    lines = on_terminal(show).splitlines()
    assert lines[0].rstrip() == "id    x"
    assert all(line.startswith("      word") for line in lines[2:-1])
    assert all(len(line) <= 80 for line in lines)


def test_letters_of_double_width_are_aligned() -> None:
    show = table(["東京", "x"], ["p", "y"])

    _, first, second = on_terminal(show).splitlines()
    assert first.rstrip() == "東京     x"
    assert second.rstrip() == "p        y"


def test_ctrl_c_ends_a_command_quietly(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_store: object) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(type(desk.store), "load_configuration", interrupt)

    assert desk.type("registry list") == "exit 130\n"


def test_a_closed_pipe_ends_a_list_quietly(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def close(*_: object, **__: object) -> None:
        raise BrokenPipeError

    monkeypatch.setattr(sys.stdout, "write", close)
    monkeypatch.setattr(sys.stdout, "fileno", lambda: -1)
    monkeypatch.setattr("os.dup2", lambda *_: None)

    assert main(["issuer", "list", *desk.options.split()]) == 1


@pytest.mark.parametrize(
    ("octets", "shown"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (1_234_567, "1.2 MB"),
        (5_000_000_000, "5.0 GB"),
        (5_000_000_000_000, "5000.0 GB"),
    ],
)
def test_a_size_is_shown_in_the_unit_that_fits(octets: int, shown: str) -> None:
    assert write_size(octets) == shown
