"""The markers of tests: those of every test, read from the source, and the marker of a row."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

TESTS: Final = Path(__file__).parents[1]


def of_row(row: str, *values: Any) -> list[Any]:
    """Return the values as parameters that try this row, beside others that do not.

    A tuple is the values of several arguments.
    """
    marker = pytest.mark.row(row)
    return [
        pytest.param(*(value if isinstance(value, tuple) else (value,)), marks=marker)
        for value in values
    ]


@cache
def marked_with(marker: str) -> dict[str, frozenset[str]]:
    """Return what `@pytest.mark.MARKER("…")` names, and the tests that each name marks.

    It knows the tests that a run does not select too, because it reads the source.
    """
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if f"mark.{marker}(" in text or f"of_{marker}(" in text:
            for name, test in _find(ast.parse(text), marker):
                found.setdefault(name, set()).add(f"{path.relative_to(TESTS)}::{test}")
    return {name: frozenset(tests) for name, tests in found.items()}


def _find(module: ast.Module, marker: str) -> Iterator[tuple[str, str]]:
    for node in module.body:
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            for decorator in node.decorator_list:
                yield from ((name, node.name) for name in _named(decorator, marker))


def _named(decorator: ast.expr, marker: str) -> Iterator[str]:
    """Yield what a decorator names: the marker itself, or parameters that have it."""
    for node in ast.walk(decorator):
        called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if isinstance(node, ast.Call) and called in {f"pytest.mark.{marker}", f"of_{marker}"}:
            yield str(ast.literal_eval(node.args[0]))
