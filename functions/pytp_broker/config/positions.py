"""Find the line of each key and each list entry in a TOML text.

tomllib does not report lines, and an operator with 200 publishers needs them. tomllib has accepted
the text already, so this reads a text without mistakes, and only as much of it as it needs to find
the keys.
"""

import re
import tomllib
from bisect import bisect_right
from contextlib import suppress
from typing import Final, TypeAlias

# Keys, and positions in lists counted from zero, from the top of the document.
KeyPath: TypeAlias = tuple[str | int, ...]

_SPACE: Final = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_KEY: Final = re.compile(r'"(?:[^"\\]|\\.)*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_STRING: Final = re.compile(
    r'"""(?:[^"\\]|\\.|"(?!""))*"""(?:"{0,2})'
    r"|'''(?:[^']|'(?!''))*'''(?:'{0,2})"
    r'|"(?:[^"\\]|\\.)*"'
    r"|'[^']*'",
    re.DOTALL,
)
# Numbers, dates, true and false. A date may contain a blank.
_OTHER: Final = re.compile(r"[^,\]}#\n]*")


def find_lines(text: str) -> dict[KeyPath, int]:
    """Return the line, counted from one, of every path in a text that tomllib accepts."""
    scanner = _Scanner(text)
    with suppress(RecursionError):  # tomllib can read lists that are nested a little deeper
        scanner.scan()
    return scanner.lines


class _Scanner:
    """Reads a text from its beginning to its end, and notes where things begin."""

    def __init__(self, text: str) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._text = text
        self._at = 0
        self._ends = [found.start() for found in re.finditer("\n", text)]
        self._lengths: dict[KeyPath, int] = {}

    def scan(self) -> None:
        """Note every path of the text."""
        table: KeyPath = ()
        while self._skip(_SPACE) < len(self._text):
            if self._take("["):
                table = self._read_header(is_entry=self._take("["))
            else:
                self._read_pair(table)

    def _read_header(self, *, is_entry: bool) -> KeyPath:
        line = self._line()
        self._skip(_SPACE)
        *above, last = self._read_key()
        path: KeyPath = ()
        for name in above:
            path = self._note_newest((*path, name), line)
        path = (*path, last)
        if is_entry:
            self._lengths[path] = self._lengths.get(path, 0) + 1
        path = self._note_newest(path, line)
        self._at = self._text.index("]", self._at) + (2 if is_entry else 1)
        return path

    def _note_newest(self, path: KeyPath, line: int) -> KeyPath:
        # The name of a list of tables means its newest entry.
        self.lines.setdefault(path, line)
        if path in self._lengths:
            path = (*path, self._lengths[path] - 1)
            self.lines.setdefault(path, line)
        return path

    def _read_pair(self, table: KeyPath) -> None:
        line = self._line()
        path = table
        for name in self._read_key():
            path = (*path, name)
            self.lines.setdefault(path, line)
        self._skip(_SPACE)
        self._take("=")
        self._read_value(path)

    def _read_key(self) -> list[str]:
        names: list[str] = []
        while True:
            start = self._skip(_SPACE)
            part = self._text[start : self._skip(_KEY)]
            names += [part] if part[0] not in "\"'" else tomllib.loads(f"{part} = 0")
            self._skip(_SPACE)
            if not self._take("."):
                return names

    def _read_value(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        if self._take("["):
            self._read_list(path)
        elif self._take("{"):
            self._read_inline_table(path)
        elif not self._skip_string():
            self._skip(_OTHER)

    def _read_list(self, path: KeyPath) -> None:
        index = 0
        while not self._take_after_space("]"):
            self.lines.setdefault((*path, index), self._line())
            self._read_value((*path, index))
            self._take_after_space(",")
            index += 1

    def _read_inline_table(self, path: KeyPath) -> None:
        while not self._take_after_space("}"):
            self._read_pair(path)
            self._take_after_space(",")

    def _line(self) -> int:
        return bisect_right(self._ends, self._at - 1) + 1

    def _skip(self, pattern: re.Pattern[str]) -> int:
        found = pattern.match(self._text, self._at)
        if found:
            self._at = found.end()
        return self._at

    def _skip_string(self) -> bool:
        start = self._at
        return self._skip(_STRING) > start

    def _take(self, mark: str) -> bool:
        is_there = self._text.startswith(mark, self._at)
        self._at += len(mark) if is_there else 0
        return is_there

    def _take_after_space(self, mark: str) -> bool:
        self._skip(_SPACE)
        return self._take(mark)
