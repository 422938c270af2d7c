"""The run itself: clients that come at random, an operator, faults, and samples of the server."""

import shutil
import time
import traceback
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from tests.soak.faults import Faults, Plan
from tests.soak.issuer import MoodyIssuer
from tests.soak.jobs import Jobs
from tests.soak.journal import Entry, Journal
from tests.soak.memory import Memory
from tests.soak.operators import Operators
from tests.soak.readers import Readers
from tests.soak.rude import RudeClients, Tools
from tests.soak.sessions import Sessions
from tests.soak.site import Site
from tests.soak.visits import World

Act = Callable[[Random], None]
JOURNAL: Final = "journal.jsonl"
_CLIENTS: Final = 8
_SAMPLES_SECONDS: Final = 5
# How much longer a short run may take on a slow machine until it has done something.
_PATIENCE_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Choice:
    """What clients do, and how often in relation to each other."""

    act: Act
    weight: float


def choices(world: World, memory: Memory) -> Sequence[Choice]:
    """Return everything that a client may do."""
    jobs = Jobs(world, memory)
    readers, sessions, rude = Readers(jobs), Sessions(jobs), RudeClients(jobs)
    operators, tools = Operators(jobs), Tools(jobs)
    return (
        Choice(jobs.release, 20),
        Choice(jobs.release_singly, 4),
        Choice(jobs.upload_again, 6),
        Choice(jobs.exchange_badly, 10),
        Choice(jobs.replay, 8),
        Choice(jobs.race, 5),
        Choice(jobs.use_dead, 5),
        Choice(jobs.introspect, 8),
        Choice(sessions.stage, 12),
        Choice(readers.browse, 20),
        Choice(readers.install, 15),
        Choice(readers.look_for_nothing, 4),
        Choice(rude.say_nothing, 2),
        Choice(rude.send_half_a_head, 2),
        Choice(rude.send_rubbish, 2),
        Choice(rude.leave_in_the_middle, 3),
        Choice(rude.read_slowly, 2),
        Choice(operators.change_publishers, 0.7),
        Choice(operators.publish_by_hand, 0.8),
        Choice(operators.yank, 1.2),
        Choice(operators.delete, 1.2),
        Choice(operators.list_files, 0.5),
        Choice(operators.back_up, 0.3),
        Choice(tools.uv, 1),
        Choice(tools.twine, 0.7),
    )


def run(folder: Path, plan: Plan, issuer: MoodyIssuer) -> Site:
    """Run a soak in a folder; return its site, whose server has been started anew at the end."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    with Journal(folder / JOURNAL) as journal:
        site = Site(folder, issuer.url, journal)
        site.configure(with_changing=True)
        site.start()
        world = World(site, issuer, journal)
        _drive(world, plan)
        site.kill()
    return site


def _drive(world: World, plan: Plan) -> None:
    memory = Memory()
    offered = choices(world, memory)
    faults = Faults(world, plan)
    end = time.time() + plan.seconds
    with ThreadPoolExecutor(_CLIENTS + 2) as pool:
        running = [pool.submit(_guarded, world, faults.run), pool.submit(_watch, world)]
        running += [pool.submit(_come, world, offered, plan, number) for number in range(_CLIENTS)]
        time.sleep(max(0.0, end - time.time()))
        running[0].result()
        while not memory.is_worth_judging and time.time() < end + _PATIENCE_SECONDS:
            time.sleep(0.1)
        world.is_over = True
        for future in running:
            future.result()


def _come(world: World, offered: Sequence[Choice], plan: Plan, number: int) -> None:
    """Be one client after the other until the run is over."""
    chance = Random(f"client {number} {plan.seed}")  # noqa: S311
    weights = [choice.weight for choice in offered]
    while not world.is_over:
        choice = chance.choices(offered, weights)[0]
        own = Random(chance.random())  # noqa: S311
        _guarded(world, lambda choice=choice, own=own: choice.act(own))  # type: ignore[misc]
        until = time.time() + chance.expovariate(plan.acts_per_second / _CLIENTS)
        while time.time() < until and not world.is_over:
            time.sleep(0.05)


def _guarded(world: World, act: Callable[[], None]) -> None:
    """Let a mistake of the soak itself be a finding, and not the end of a thread."""
    begin = time.time()
    try:
        act()
    except Exception:  # noqa: BLE001 - whatever it is, the judgement shows it
        facts = {"said": traceback.format_exc()[-1500:]}
        world.journal.write(Entry("broken", begin, time.time(), facts=facts))


def _watch(world: World) -> None:
    """Sample the server until the run is over."""
    next_sample = time.time()
    while not world.is_over:
        if time.time() >= next_sample:
            _guarded(world, world.site.sample)
            next_sample += _SAMPLES_SECONDS
        time.sleep(0.1)
