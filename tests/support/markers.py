"""The markers of all tests, read from the source, even of tests that this run does not select."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]


@cache
def marked_with(marker: str) -> dict[str, frozenset[str]]:
    """Return what `@pytest.mark.MARKER("…")` names, and the tests that each name marks."""
    found: dict[str, set[str]] = {}
    for path in TESTS.rglob("test_*.py"):
        text = path.read_text(encoding="utf-8")
        if f"pytest.mark.{marker}(" in text:
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
        if isinstance(node, ast.Call) and ast.unparse(node.func) == f"pytest.mark.{marker}":
            yield from (str(ast.literal_eval(argument)) for argument in node.args)
