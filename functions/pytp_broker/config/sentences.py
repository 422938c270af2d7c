"""Sentences for mistakes that the model finds: what we saw, what we expected, what to write.

Without them, pydantic's own words would reach the operator. Each kind of error that our model can
raise has a sentence here.
"""

import datetime as dt
import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from pydantic_core import ErrorDetails

from pytp_broker.config.mistakes import Mistake, dotted, has_password
from pytp_broker.config.positions import KeyPath
from pytp_broker.config.tables import EXAMPLES, TABLES, TRUSTED
from pytp_broker.config.values import EmptyTextError
from pytp_broker.nearest import closest
from pytp_broker.redaction import printable
from pytp_broker.trust.providers import PROVIDERS

_MAX_VALUE_CHARACTERS: Final = 80
# What we call each kind of value. bool comes first, because true and false are numbers to Python.
_KINDS: Final[Mapping[type, str]] = {
    bool: "the switch",
    int: "the number",
    float: "the number",
    str: "the text",
    list: "a list",
    dict: "a table",
    dt.date: "a date",
    dt.time: "a time",
}
_WHOLE: Final = frozenset({"a list", "a table", "a date", "a time"})
_ENTRIES: Final = frozenset(
    {("issuers",), ("registries",), ("teams",), *TRUSTED, ("registries", "introspection_clients")}
)


def explain_error(error: ErrorDetails, document: Mapping[str, Any]) -> Mistake:
    """Return an error of the model as a mistake in the document, in our words."""
    path = tuple(part for part in error["loc"] if part != "[key]")
    if error["type"] == "extra_forbidden":
        return Mistake(path, _write_unknown(path, error["input"], _find(document, path[:-1])))
    write = _SENTENCES.get(error["type"], _write_other)
    return Mistake(path, write(path, error))


def _find(document: Mapping[str, Any], path: KeyPath) -> Mapping[str, Any]:
    found: Any = document
    for part in path:
        found = found[part]
    return dict(found)


# --- unknown and missing keys ---------------------------------------------------------------------


def _write_unknown(path: KeyPath, value: object, table: Mapping[str, Any]) -> str:
    names, key = _names(path[:-1]), str(path[-1])
    home = _find_home(names, key, table)
    if home is not None:
        return f"unknown key here; it belongs in {_title(home)}"
    shown = printable(key, _MAX_VALUE_CHARACTERS)
    if names in TRUSTED and isinstance(value, dict):
        meant = closest(key, PROVIDERS)
        hint = f"did you mean `{meant}`? The providers are" if meant else "the providers are"
        return f"no provider is called `{shown}`; {hint}: {', '.join(PROVIDERS)}"
    meant = closest(key, TABLES[names])
    if meant is not None:
        return f"unknown key `{shown}`; did you mean `{meant}`?"
    return f"unknown key `{shown}`; expected one of: {', '.join(TABLES[names])}"


def _find_home(
    names: tuple[str, ...], key: str, table: Mapping[str, Any]
) -> tuple[str, ...] | None:
    """Return a table that has the key: one around this table, or one in it."""
    around = [names[:length] for length in range(len(names) - 1, -1, -1)]
    inside = [n for n in TABLES if n and n[:-1] == names and n[-1] in table]
    return next((home for home in around + inside if key in TABLES[home]), None)


def _write_missing(path: KeyPath, _error: ErrorDetails) -> str:
    example = EXAMPLES.get(_names(path), "")
    return "missing" + (f"; write, for example, `{path[-1]} = {example}`" if example else "")


def _names(path: KeyPath) -> tuple[str, ...]:
    return tuple(part for part in path if isinstance(part, str))


def _title(table: tuple[str, ...]) -> str:
    name = ".".join(table)
    if table in _ENTRIES:
        return f"`[[{name}]]`"
    return f"`[{name}]`" if table else "the lines above the first table"


# --- values ---------------------------------------------------------------------------------------


def _expects(expected: str) -> Callable[[KeyPath, ErrorDetails], str]:
    def write(path: KeyPath, error: ErrorDetails) -> str:
        return f"is {_kind(path, error['input'])}; expected {expected}"

    return write


def _write_no_list(path: KeyPath, error: ErrorDetails) -> str:
    table = _names(path)
    if table in _ENTRIES and isinstance(error["input"], dict):
        return f"is one table; expected a list of tables: write {_title(table)} above each"
    expected = f"tables, each below {_title(table)}" if table in _ENTRIES else 'a list: ["…"]'
    return f"is {_kind(path, error['input'])}; expected {expected}"


def _kind(path: KeyPath, value: object) -> str:
    """Return the kind of a value, with the value if it fits a line and is not a secret."""
    name = next((name for kind, name in _KINDS.items() if isinstance(value, kind)), "something")
    if name in _WHOLE:
        return name
    if _is_secret(path):
        return "another kind of value"
    shown = printable(
        json.dumps(value) if isinstance(value, bool) else str(value), _MAX_VALUE_CHARACTERS
    )
    return f"{name} `{shown}`"


def _is_secret(path: KeyPath) -> bool:
    # A proxy's URL may hold a password.
    return any("secret" in name or name == "proxy" for name in _names(path))


def _write_too_short(path: KeyPath, error: ErrorDetails) -> str:
    if isinstance(error["input"], str):
        return "is empty; " + _cure(path, "write a value")
    return "is an empty list; " + _cure(path, "name at least one")


def _write_too_long(_path: KeyPath, error: ErrorDetails) -> str:
    return (
        f"has {len(error['input'])} characters; at most {error['ctx']['max_length']} are possible"
    )


def _write_bound(_path: KeyPath, error: ErrorDetails) -> str:
    bounds = {"ge": "at least", "le": "at most"}
    (bound,) = (
        f"{word} {error['ctx'][name]}" for name, word in bounds.items() if name in error["ctx"]
    )
    return f"is {printable(str(error['input']), _MAX_VALUE_CHARACTERS)}; expected {bound}"


def _write_own(path: KeyPath, error: ErrorDetails) -> str:
    """Return the sentence of one of our own checks, which continues after the value."""
    problem, value = error["ctx"]["error"], error["input"]
    if isinstance(problem, EmptyTextError):
        return f"{problem}; " + _cure(path, "write a value")
    if not isinstance(value, str) or _is_secret(path) or has_password(value):
        return str(problem)
    return f"`{printable(value, _MAX_VALUE_CHARACTERS)}` {problem}"


def _cure(path: KeyPath, cure: str) -> str:
    example = EXAMPLES.get(_names(path), "")
    if isinstance(path[-1], int):
        return f"{cure}, or remove it from the list"
    if TABLES.get(_names(path[:-1]), {}).get(path[-1], False):
        return f"{cure}, such as {example}" if example else cure
    return f"{cure}, or remove `{dotted(path[-1:])}`"


def _write_other(_path: KeyPath, _error: ErrorDetails) -> str:
    return "is not a value that this key can have"


_SENTENCES: Final[Mapping[str, Callable[[KeyPath, ErrorDetails], str]]] = {
    "bool_type": _expects("true or false, without quotes"),
    "dict_type": _expects("a table"),
    "greater_than_equal": _write_bound,
    "int_type": _expects("a whole number, without quotes"),
    "less_than_equal": _write_bound,
    "list_type": _write_no_list,
    "missing": _write_missing,
    "model_type": _expects("a table"),
    "string_type": _expects("a text in quotes"),
    "too_long": _write_too_long,
    "too_short": _write_too_short,
    "value_error": _write_own,
}
