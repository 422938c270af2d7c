"""The table of projects' editions, and the triggers that keep it.

A project gets a new edition in the transaction that changes anything that its page shows. Triggers
do it, so no statement can forget it: not one of version 0.1.0 either, which passes this table by.
An edition is random, so a database that was restored from a backup never uses one twice.
"""

import sqlite3
from typing import Final

_TABLE: Final = """CREATE TABLE project_editions (
    registry TEXT NOT NULL,
    project TEXT NOT NULL,
    edition TEXT NOT NULL,
    PRIMARY KEY (registry, project)
) WITHOUT ROWID"""
# What a page shows is in these tables; each has the columns `registry` and `project`.
_SHOWN: Final = ("files", "yanked_releases", "deleted_files", "project_statuses")
_ROWS: Final = (("INSERT", "NEW"), ("UPDATE", "NEW"), ("DELETE", "OLD"))
# We delete and insert, because a trigger takes over the conflict clause of the statement that fires
# it: after an `INSERT OR IGNORE` the old edition would stay.
_TRIGGER: Final = """CREATE TRIGGER edition_{table}_{event} AFTER {event} ON {table} BEGIN
    DELETE FROM project_editions WHERE registry = {row}.registry AND project = {row}.project;
    INSERT INTO project_editions
    VALUES ({row}.registry, {row}.project, lower(hex(randomblob(16))));
END"""
EDITIONS: Final = (
    _TABLE,
    *(
        _TRIGGER.format(table=table, event=event, row=row)
        for table in _SHOWN
        for event, row in _ROWS
    ),
)
_FIRST: Final = """INSERT INTO project_editions
    SELECT registry, project, lower(hex(randomblob(16))) FROM files GROUP BY registry, project"""
# A project that has a status or a yanked release has a row. Without a file it has no page.
_OF_PAGE: Final = """SELECT edition FROM project_editions AS found
    WHERE registry = ? AND project = ? AND EXISTS (
        SELECT 1 FROM files WHERE registry = found.registry AND project = found.project)"""


def has_editions(connection: sqlite3.Connection) -> bool:
    """Say whether the file has the table."""
    named = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'project_editions'"
    return connection.execute(named).fetchone() is not None


def add_editions(connection: sqlite3.Connection) -> None:
    """Give a file of version 0.1.0 the table, unless it has one."""
    if not has_editions(connection):
        for statement in (*EDITIONS, _FIRST):
            connection.execute(statement)


def find_edition(connection: sqlite3.Connection, place: tuple[str, str]) -> str | None:
    """Return the edition of what a project's page shows now; None if it has no file."""
    found = connection.execute(_OF_PAGE, place).fetchone()
    return found[0] if found else None
