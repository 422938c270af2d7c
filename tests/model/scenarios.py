"""The systems that are searched: two of each actor where one is not enough, and what may go wrong.

Each is small enough to be searched whole. What two actors can do to a third one is tried where it
matters: everything that touches one row is in one scenario.
"""

import os
from datetime import timedelta
from typing import Final

from tests.model.scripts import (
    PINNED,
    WIDGETS,
    Identity,
    announce,
    apply,
    begin_with,
    burn,
    burn_stolen,
    cancel,
    complete,
    configuration,
    create,
    delete,
    deliver,
    mint,
    publish,
    reopen,
    show,
    upload,
    wheel,
)
from tests.model.system import Scenario, Script, Step
from tests.support.configurations import github_publisher

# How many more faults and retries than by default; `make model DEPTH=2` asks for one more.
DEPTH: Final = int(os.environ.get("PYTP_MODEL_DEPTH", "1"))

A, B = Identity("a"), Identity("b")
LATER = Identity("later", begin=15 * 24 * 3600)
LONG = Identity("long", seconds=3600)
STRANGER = Identity("stranger", owner_id="6666")

GOOD, EVIL = wheel(), wheel(content="evil")
SECOND, RESPELLED = wheel(tag="cp313"), wheel("1.0.0")
NEXT = wheel("2.0")

UNPINNED = configuration(github_publisher("widgets"))
WITHOUT = configuration(github_publisher("other", **PINNED))
NOBODY = configuration(github_publisher("other", repository="octo-org/other", **PINNED))
LARGER = configuration(github_publisher("widgets", "gadgets", **PINNED))
CLOSED = configuration(github_publisher("widgets", **PINNED), enabled=False)
NO_ISSUER = (
    '[[issuers]]\nurl = "https://token.actions.githubusercontent.com"\n'
    f'provider = "github"\nenabled = false\n{WIDGETS}'
)
NOTHING = f"enabled = false\n{WIDGETS}"

JOB, THIEF, OWNER = ("job", "mint"), ("thief", "mint"), ("owner", "mint")
# As long as our clients of AWS wait for one call; two such calls make a right old.
TICKS = (("tick", 6),) * (1 + DEPTH)


def _job(*steps: Step, process: int = 0, retries: int = 1, name: str = "job") -> Script:
    return Script(name, steps, process, retries + DEPTH - 1)


def _thief(*steps: Step, process: int = 1) -> Script:
    return Script("thief", steps, process)


def _operator(*steps: Step) -> Script:
    return Script("operator", steps, 2)


STOLEN_IDENTITY = Scenario(
    "a stolen identity token",
    (
        _job(mint(A), upload(GOOD, JOB), burn(JOB)),
        _thief(mint(A), upload(EVIL, THIEF)),
    ),
    begin_with(WIDGETS),
    faults=DEPTH,
)
STOLEN_TOKEN = Scenario(
    "a stolen upload token",
    (
        _job(mint(A), upload(GOOD, JOB), burn(JOB)),
        _thief(upload(EVIL, JOB)),
        _operator(burn_stolen(JOB)),
    ),
    begin_with(WIDGETS),
)
SINGLE_USE = Scenario(
    "a single-use token",
    (
        _job(mint(A, single=True), upload(GOOD, JOB)),
        _thief(upload(NEXT, JOB)),
    ),
    begin_with(WIDGETS),
    faults=DEPTH,
)
REMOVED = Scenario(
    "a publisher that is removed, and added again",
    (
        Script("owner", (mint(A),), 0),
        _job(upload(GOOD, OWNER), retries=0),
        _thief(upload(EVIL, OWNER)),
        _operator(apply(NOBODY, kind="remove"), apply(WIDGETS, 2, kind="add again")),
    ),
    begin_with(WIDGETS),
    prelude=("owner",),
)
WIDENED = Scenario(
    "a publisher that gets a further project",
    (
        Script("owner", (mint(A),), 0),
        _thief(upload(wheel(project="gadgets"), OWNER)),
        _operator(apply(LARGER, kind="widen")),
    ),
    begin_with(WIDGETS),
    prelude=("owner",),
)


def _switch(name: str, text: str, *clock: tuple[str, int]) -> Scenario:
    return Scenario(
        f"{name} is switched off",
        (
            Script("owner", (mint(A),), 0),
            _job(upload(GOOD, OWNER), upload(NEXT, OWNER), retries=0),
            Script("another job", (mint(B),), 1),
            _operator(apply(text, kind="switch off")),
        ),
        begin_with(WIDGETS),
        clock=clock,
        prelude=("owner",),
    )


REGISTRY_OFF = _switch("a registry", CLOSED, ("jump", 10))
ISSUER_OFF = _switch("an issuer", NO_ISSUER, ("jump", 10))
ALL_OFF = _switch("everything", NOTHING, ("jump", 10))
SLOW_UPLOAD = Scenario(
    "everything is switched off, and an upload is slow",
    (
        Script("owner", (mint(A),), 0),
        _job(upload(GOOD, OWNER), retries=0),
        _operator(apply(NOTHING, kind="switch off")),
    ),
    begin_with(WIDGETS),
    clock=TICKS,
    prelude=("owner",),
)
SLOW_EXCHANGE = Scenario(
    "everything is switched off and on again, and an exchange is slow",
    (
        _job(mint(A), retries=0),
        _operator(apply(NOTHING, kind="switch off"), apply(WIDGETS, kind="switch on")),
    ),
    begin_with(WIDGETS),
    clock=TICKS,
)
SLOW_BURN = Scenario(
    "a token that is burned, and slow calls",
    (
        Script("owner", (mint(A),), 0),
        _job(upload(GOOD, OWNER), retries=0),
        _operator(burn_stolen(OWNER)),
    ),
    begin_with(WIDGETS),
    clock=(*TICKS, *TICKS[:1]),
    prelude=("owner",),
)
SLOW_REMOVAL = Scenario(
    "a publisher that is removed, and slow calls",
    (
        Script("owner", (mint(A),), 0),
        _job(upload(GOOD, OWNER), retries=0),
        _operator(apply(WITHOUT, kind="remove")),
    ),
    begin_with(WIDGETS),
    clock=(*TICKS, *TICKS[:1]),
    prelude=("owner",),
)
EXPIRY = Scenario(
    "tokens that expire, a clock that is set back, and rows that DynamoDB deletes",
    (
        Script("owner", (mint(LONG),), 0),
        _thief(mint(LONG), upload(EVIL, OWNER), mint(LONG)),
    ),
    begin_with(WIDGETS),
    clock=(("jump", 890), ("jump", 45), ("skew", -30), ("jump", 2690), ("jump", 10), ("jump", 80)),
    faults=DEPTH,
    expires_rows=True,
    prelude=("owner",),
)
SAME_NAME = Scenario(
    "two files of one name, and a name that is deleted",
    (
        Script("owner", (mint(A),), 0),
        _job(upload(GOOD, OWNER)),
        _thief(upload(EVIL, OWNER)),
        _operator(delete(GOOD, ("job", "upload"))),
    ),
    begin_with(WIDGETS),
    faults=DEPTH,
    prelude=("owner",),
)
FIRST_USE = Scenario(
    "the first use of a publisher without ids, by two holders of its name",
    (
        _job(mint(A)),
        _thief(mint(STRANGER)),
    ),
    begin_with(UNPINNED),
    faults=1 + DEPTH,
)
USED_BEFORE = Scenario(
    "an old identity token, and a publisher that is added again without its pins",
    (
        _job(mint(A), retries=0),
        _thief(mint(STRANGER), mint(STRANGER)),
        _operator(apply(NOBODY, kind="remove"), apply(UNPINNED, 2, kind="add again")),
    ),
    begin_with(UNPINNED),
)
CLOSING = Scenario(
    "a release that closes, and is opened again",
    (
        _job(mint(A), upload(GOOD, JOB), retries=0),
        Script("thief", (mint(LATER), upload(SECOND, THIEF)), 1),
        _operator(reopen("1", timedelta(days=16))),
    ),
    begin_with(WIDGETS),
    clock=(("jump", 15 * 24 * 3600),),
)
SPELLINGS = Scenario(
    "two spellings of one version",
    (
        Script("owner", (mint(A),), 0),
        _job(upload(GOOD, OWNER)),
        _thief(upload(RESPELLED, OWNER)),
    ),
    begin_with(WIDGETS),
    faults=DEPTH,
    prelude=("owner",),
)

_BEGUN = Script("owner", (mint(A), create(OWNER)), 0)
_STAGED = Script(
    "owner",
    (
        mint(A),
        create(OWNER),
        *(
            step
            for file in (GOOD, SECOND)
            for step in (
                announce(file, OWNER, ("owner", "create")),
                deliver(file, OWNER, ("owner", "announce")),
                complete(OWNER, ("owner", "announce")),
            )
        ),
    ),
    0,
)
SESSION = ("owner", "create")
TWO_CLIENTS = Scenario(
    "two clients add files to one publishing session",
    (
        _BEGUN,
        _job(
            announce(GOOD, OWNER, SESSION),
            deliver(GOOD, OWNER, ("job", "announce")),
            retries=0,
        ),
        Script(
            "another job",
            (announce(SECOND, OWNER, SESSION), deliver(SECOND, OWNER, ("another job", "announce"))),
            1,
        ),
    ),
    begin_with(WIDGETS),
    faults=DEPTH,
    prelude=("owner",),
)
PUBLISHING = Scenario(
    "a publishing session, and an upload of a name that it has",
    (
        _STAGED,
        _job(publish(OWNER, SESSION, GOOD, SECOND)),
        _thief(upload(EVIL, OWNER)),
    ),
    begin_with(WIDGETS),
    faults=DEPTH,
    prelude=("owner",),
)
INTERRUPTED = Scenario(
    "a publishing session whose publish takes more than a minute",
    (
        _STAGED,
        _job(publish(OWNER, SESSION, GOOD, SECOND), retries=0),
        Script("another job", (show(OWNER, SESSION),), 1),
    ),
    begin_with(WIDGETS),
    clock=(("pause", 61),),
    prelude=("owner",),
)
NAME_GIVEN_FREE = Scenario(
    "an upload of a name that a publish has held for more than a minute",
    (
        _STAGED,
        _job(publish(OWNER, SESSION, GOOD, SECOND), retries=0),
        _thief(upload(EVIL, OWNER)),
    ),
    begin_with(WIDGETS),
    clock=(("pause", 61),),
    prelude=("owner",),
)
TWO_PUBLISH = Scenario(
    "a publishing session that two clients publish",
    (
        _STAGED,
        _job(publish(OWNER, SESSION, GOOD, SECOND), retries=0),
        Script("another job", (publish(OWNER, SESSION, GOOD, SECOND),), 1),
    ),
    begin_with(WIDGETS),
    prelude=("owner",),
    twins=(1, 2),
)
CANCELED = Scenario(
    "a publishing session that one client publishes and another one cancels",
    (
        _STAGED,
        _job(publish(OWNER, SESSION, GOOD, SECOND), retries=0),
        Script("canceler", (cancel(OWNER, SESSION),), 1),
    ),
    begin_with(WIDGETS),
    faults=DEPTH,
    prelude=("owner",),
)
SESSION_RIGHTS = Scenario(
    "a publishing session whose right ends",
    (
        _STAGED,
        _job(publish(OWNER, SESSION, GOOD, SECOND), retries=0),
        _operator(apply(WITHOUT, kind="remove"), apply(WIDGETS, 2, kind="add again")),
    ),
    begin_with(WIDGETS),
    clock=(("pause", 12),),
    prelude=("owner",),
)

# A minute for the default: these take longer.
_DEEP: Final = (NAME_GIVEN_FREE, SLOW_REMOVAL)
SCENARIOS: Final = tuple(
    each
    for each in list(globals().values())
    if isinstance(each, Scenario) and (DEPTH > 1 or each not in _DEEP)
)
