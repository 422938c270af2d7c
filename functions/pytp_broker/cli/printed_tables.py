"""Tables on a terminal, folded to its width, and in a file or a pipe, where every line is whole."""

import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from pytp_broker.redaction import and_more

# rich measures a whole table before it prints it, and takes about a millisecond for a row.
_ROWS_AT_ONCE: Final = 100
_MIN_WIDTH: Final = 8
_GAP: Final = 2
# A publisher may have thousands of projects; `show` and `--json` print all of them.
_PARTS: Final = 5


def print_table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a line of titles and a line for each row.

    A cell has one line; on a terminal it has only the first of very many parts.
    """
    if not sys.stdout.isatty():
        _print_whole([titles, *([", ".join(cell.split("\n")) for cell in row] for row in rows)])
        return
    shortened = [[_shorten(cell.split("\n")) for cell in row] for row in rows]
    widths = _fit(_measure([titles, *shortened]), _terminal_width())
    following = iter(shortened)
    _print_folded([titles], widths, style="bold")
    while some := list(islice(following, _ROWS_AT_ONCE)):
        _print_folded(some, widths)


def _shorten(parts: Sequence[str]) -> str:
    return and_more(parts[:_PARTS], len(parts))


def print_pairs(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and what they stand for, which may have several lines."""
    if not sys.stdout.isatty():
        _print_whole(_lines_of(pairs))
        return
    width = max(len(name) for name, _ in pairs)
    _print_folded(_lines_of(pairs), [width, max(_MIN_WIDTH, _terminal_width() - width - _GAP)])


def _lines_of(pairs: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    return [
        ("" if number else name, line)
        for name, text in pairs
        for number, line in enumerate(text.split("\n"))
    ]


def _print_whole(rows: Sequence[Sequence[str]]) -> None:
    for line in align(rows):
        print(line)


def align(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yield a line for each row, whose cells stand below each other."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        yield (" " * _GAP).join(cells).rstrip()


def _print_folded(rows: Iterable[Sequence[str]], widths: Sequence[int], style: str = "") -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=_terminal_width())
    grid = Table.grid(padding=(0, _GAP, 0, 0), pad_edge=False)
    for width in widths:
        grid.add_column(width=width, overflow="fold", style=style)
    for row in rows:
        # Only a Text shows square brackets as they are.
        grid.add_row(*map(Text, row))
    with console.capture() as captured:
        console.print(grid)
    # `main` ends quietly if nobody reads any more; rich would end the process.
    print(captured.get(), end="")


def _measure(rows: Sequence[Sequence[str]]) -> list[int]:
    from rich.cells import cell_len

    return [max(cell_len(row[i]) for row in rows) for i in range(len(rows[0]))]


def _fit(widths: Sequence[int], room: int) -> list[int]:
    """Take from the widest columns until the table fits, as far as it can."""
    fitted = list(widths)
    room -= _GAP * (len(widths) - 1)
    while sum(fitted) > room and max(fitted) > _MIN_WIDTH:
        fitted[fitted.index(max(fitted))] -= 1
    return fitted


def _terminal_width() -> int:
    from rich.console import Console

    return Console().width
