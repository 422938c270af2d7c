"""The system: actors, processes, stores, a clock; and every step that one of its states allows.

A step is one of: an actor begins its next operation; a call of it takes effect; it goes on with
what the call has returned; a process crashes; an answer is lost; the clock moves; DynamoDB deletes
an expired row. Between two steps of an operation, anything else may happen.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final, NamedTuple

from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.cache import CONFIGURATION_MAX_AGE_SECONDS as MAX_AGE
from tests.model.contents import Contents
from tests.model.desk import Desk, Memory
from tests.model.history import Fact, answered, changed
from tests.model.operations import FILES, PROCESS, Moment, Operation, Progress, Reply
from tests.support.deployment import Answer
from tests.support.signing import NOW

LOST: Final = "lost"
WAIT: Final = "wait"
SKIP: Final = "skip"


class View(NamedTuple):
    """What an actor knows when it does its next step: what the actors were answered so far."""

    label: str
    notes: Mapping[str, tuple[tuple[str, Any], ...]]

    def last(self, actor: str, step: str) -> Any:
        """Return the last note of an actor's step; None if there is none yet."""
        found = [note for name, note in self.notes[actor] if name == step]
        return found[-1] if found else None


@dataclass(frozen=True)
class Step:
    """A step of an actor: its operation, WAIT or SKIP; and what the actor notes of the answer."""

    name: str
    make: Callable[[View], Operation | str]
    note: Callable[[Any], Hashable] = lambda answer: answer.status


@dataclass(frozen=True)
class Script:
    """An actor: its steps in their order, the process that answers it, and how often it retries."""

    name: str
    steps: tuple[Step, ...]
    process: int = 0
    retries: int = 0


@dataclass(frozen=True)
class Scenario:
    """A system of few actors: all that may happen in it is tried.

    ``clock`` are the steps of the clock in their order: ``("tick", 4)`` at any time, but once in a
    call; ``("pause", 61)`` at any time, but not during a call; ``("jump", 900)`` while no
    operation runs; ``("skew", -30)`` sets the clock that our processes have. ``faults`` is how many
    crashes, lost answers and failed calls there may be.
    ``twins`` are two actors who do the same: the second begins after the first.
    """

    name: str
    actors: tuple[Script, ...]
    begin_store: Callable[[Any], None]
    clock: tuple[tuple[str, int], ...] = ()
    faults: int = 0
    expires_rows: bool = False
    twins: tuple[int, int] | None = None
    prelude: tuple[str, ...] = field(default=())


class Actor(NamedTuple):
    """How far an actor has come."""

    step: int = 0
    attempt: int = 0
    point: Progress | None = None
    # The call has been made, and its reply is on the way.
    arrived: Reply | None = None
    is_slow: bool = False
    # What was so before the operation began, and which rows its calls have changed since.
    knew: frozenset[Fact] = frozenset()
    wrote: frozenset[str] = frozenset()
    notes: tuple[tuple[str, Any], ...] = ()


class State(NamedTuple):
    """All that there is at one moment."""

    contents: Contents
    memories: tuple[Memory, ...]
    moment: Moment
    clock: tuple[tuple[str, int], ...]
    faults: int
    actors: tuple[Actor, ...]
    history: frozenset[Fact]


class Transition(NamedTuple):
    """A step from one state to the next: who did what."""

    who: str
    what: str
    before: State
    after: State
    # Whose step it is, if it is a step of an actor; and the answer, if it ends an operation.
    number: int | None = None
    operation: Operation | None = None
    answer: Answer | None = None

    @property
    def actor(self) -> Actor | None:
        """Return the actor before its step."""
        return None if self.number is None else self.before.actors[self.number]

    @property
    def new_facts(self) -> frozenset[Fact]:
        return self.after.history - self.before.history


class System:
    """A scenario at a desk: its first state, and the steps from any state."""

    def __init__(self, scenario: Scenario, desk: Desk) -> None:
        self.scenario, self.desk = scenario, desk
        self._names = tuple(script.name for script in scenario.actors)
        self._processes = 1 + max(script.process for script in scenario.actors)

    def first(self) -> State:
        """Return the first state, in which the actors of the prelude are done."""
        self.scenario.begin_store(self.desk.shelves.store)
        actors = tuple(Actor() for _ in self.scenario.actors)
        memories: tuple[Memory, ...] = (None,) * self._processes
        contents = self.desk.shelves.take()
        state = State(contents, memories, Moment(), (), 0, actors, frozenset())
        for name in self.scenario.prelude:
            state = self._run_alone(self._names.index(name), state)
        scenario = self.scenario
        return state._replace(clock=scenario.clock, faults=scenario.faults)

    def _run_alone(self, number: int, state: State) -> State:
        while steps := list(self._of_actor(number, state)):
            state = steps[0].after
        return state

    def steps(self, state: State) -> Iterator[Transition]:
        """Yield every step that this state allows."""
        for number in range(len(state.actors)):
            if self._may_begin(number, state):
                yield from self._of_actor(number, state)
        yield from self._crashes(state)
        yield from self._of_clock(state)
        if self.scenario.expires_rows:
            yield from self._expiries(state)

    def _may_begin(self, number: int, state: State) -> bool:
        twins = self.scenario.twins
        if twins is None or number != twins[1]:
            return True
        return state.actors[twins[0]] != Actor()

    # Steps of an actor

    def _of_actor(self, number: int, state: State) -> Iterator[Transition]:
        actor = state.actors[number]
        if actor.point is None:
            yield from self._begin(number, state)
        elif actor.arrived is not None:
            yield from self._go_on(number, state, state, actor.arrived, "goes on")
        else:
            yield from self._call(number, state)

    def _begin(self, number: int, state: State) -> Iterator[Transition]:
        actor, script = state.actors[number], self.scenario.actors[number]
        while actor.step < len(script.steps):
            operation = script.steps[actor.step].make(self._view(actor, script, state))
            if operation is WAIT:
                return
            if isinstance(operation, Operation):
                point = self.desk.runner.begin(operation, state.moment)
                begun = actor._replace(point=point, knew=state.history)
                what = f"begins: {operation.kind}"
                yield from self._settle(number, state, _with(state, number, begun), what)
                return
            actor = actor._replace(step=actor.step + 1, attempt=0)

    def _view(self, actor: Actor, script: Script, state: State) -> View:
        notes = dict(zip(self._names, (each.notes for each in state.actors), strict=True))
        return View(f"{script.name} {actor.step}.{actor.attempt}", notes)

    def _call(self, number: int, state: State) -> Iterator[Transition]:
        point = state.actors[number].point
        assert point is not None
        assert point.call is not None
        call = point.call
        if call.target == PROCESS:
            yield from self._load(number, state)
            return
        reply, contents = self.desk.make(call, state.contents)
        after = self._holding(number, state, contents)
        yield from self._reply(number, state, after, reply)
        if state.faults:
            one_less = state._replace(faults=state.faults - 1)
            yield from self._reply(number, state, one_less, _broken(), "fails")
            if contents is not state.contents:
                made = after._replace(faults=state.faults - 1)
                yield from self._reply(number, state, made, _broken(), "is made, and then fails")

    def _load(self, number: int, state: State) -> Iterator[Transition]:
        """Let a process load the configuration, which it does not remember or has had too long."""
        process = self.scenario.actors[number].process
        reply, memory = self.desk.remember(None, state.contents, state.moment)
        memories = (*state.memories[:process], memory, *state.memories[process + 1 :])
        yield from self._reply(number, state, state._replace(memories=memories), reply)
        if state.faults:
            one_less = state._replace(faults=state.faults - 1)
            yield from self._reply(number, state, one_less, _broken(), "fails")

    def _recall(self, number: int, state: State) -> State:
        """Let an actor go on at once if its next call asks what its process remembers.

        That takes no time, and no other process can tell when it happens.
        """
        actor, memory = state.actors[number], state.memories[self.scenario.actors[number].process]
        while actor.point is not None and actor.point.call is not None and memory is not None:
            if actor.point.call.target != PROCESS:
                break
            reply, _ = self.desk.remember(memory, state.contents, state.moment)
            point = actor.point.after(reply.later(state.moment), self.desk.runner)
            actor = actor._replace(point=point)
        return _with(state, number, actor)

    def _holding(self, number: int, state: State, contents: Contents) -> State:
        """Return the state after an actor's call has left these contents."""
        if contents is state.contents:
            return state
        facts = changed(state.history, state.contents, contents, state.moment.seconds)
        actor = state.actors[number]
        wrote = actor.wrote | contents.differences(state.contents)
        after = state._replace(contents=contents, history=facts)
        return _with(after, number, actor._replace(wrote=wrote))

    def _reply(
        self, number: int, state: State, after: State, reply: Reply, how: str = ""
    ) -> Iterator[Transition]:
        """Let the reply arrive: later, if time may pass until then.

        A call of the file store takes its time before it takes effect: nobody looks at a clock
        between two of them.
        """
        point = state.actors[number].point
        assert point is not None
        assert point.call is not None
        what = f"{point.call.target}.{point.call.name} {how}".strip()
        takes_time = point.call.target != FILES
        if takes_time and any(kind in {"tick", "skew"} for kind, _ in state.clock):
            waiting = after.actors[number]._replace(arrived=reply)
            yield Transition(
                self._names[number], what, state, _with(after, number, waiting), number
            )
        else:
            yield from self._go_on(number, state, after, reply, what)

    def _go_on(
        self, number: int, before: State, state: State, reply: Reply, what: str
    ) -> Iterator[Transition]:
        actor = state.actors[number]
        assert actor.point is not None
        point = actor.point.after(reply.later(state.moment), self.desk.runner)
        gone_on = actor._replace(point=point, arrived=None, is_slow=False)
        yield from self._settle(number, before, _with(state, number, gone_on), what)

    def _settle(self, number: int, before: State, state: State, what: str) -> Iterator[Transition]:
        """Yield the step that brings an actor to its next call, or to its answer."""
        state, script = self._recall(number, state), self.scenario.actors[number]
        actor = state.actors[number]
        assert actor.point is not None
        answer, operation = actor.point.answer, actor.point.operation
        if answer is None:
            yield Transition(script.name, what, before, state, number)
            return
        state = state._replace(history=answered(state.history, operation, answer, state.contents))
        told = f"{what}: {operation.kind} is answered {answer.status}"
        noted = script.steps[actor.step].note(answer)
        is_again = answer.status == 503 and actor.attempt < script.retries
        ended = self._ended(actor, script, noted, is_again=is_again)
        after = _with(state, number, ended)
        yield Transition(script.name, told, before, after, number, operation, answer)
        if state.faults:
            is_again = actor.attempt < script.retries
            ended = self._ended(actor, script, LOST, is_again=is_again)
            lost = _with(state, number, ended)._replace(faults=state.faults - 1)
            what = f"{told}, which is lost"
            yield Transition(script.name, what, before, lost, number, operation, answer)

    def _ended(self, actor: Actor, script: Script, noted: Hashable, *, is_again: bool) -> Actor:
        name = script.steps[actor.step].name
        step, attempt = (actor.step, actor.attempt + 1) if is_again else (actor.step + 1, 0)
        return Actor(step, attempt, notes=(*actor.notes, (name, noted)))

    # Steps of the environment

    def _crashes(self, state: State) -> Iterator[Transition]:
        for process in range(self._processes) if state.faults else ():
            mine = [n for n, s in enumerate(self.scenario.actors) if s.process == process]
            running = [number for number in mine if state.actors[number].point is not None]
            if not running:
                continue
            memories = (*state.memories[:process], None, *state.memories[process + 1 :])
            after = state._replace(memories=memories, faults=state.faults - 1)
            for number in running:
                script, actor = self.scenario.actors[number], state.actors[number]
                again = actor.attempt < script.retries
                after = _with(after, number, self._ended(actor, script, LOST, is_again=again))
            names = " and ".join(self._names[number] for number in running)
            yield Transition(f"process {process}", f"crashes: {names} get no answer", state, after)

    def _of_clock(self, state: State) -> Iterator[Transition]:
        if not state.clock:
            return
        (kind, seconds), *rest = state.clock
        running = [actor.point is not None for actor in state.actors]
        if kind == "jump" and any(running):
            return
        if kind == "tick" and any(actor.is_slow for actor in state.actors):
            return
        moment, actors, memories = state.moment, state.actors, state.memories
        if kind == "skew":
            moment = replace(moment, skew=seconds)
        else:
            moment = replace(moment, seconds=moment.seconds + seconds)
            memories = tuple(each if _is_fresh(each, moment) else None for each in memories)
            actors = tuple(
                actor if actor.point is None else actor._replace(is_slow=True) for actor in actors
            )
        after = state._replace(moment=moment, actors=actors, memories=memories, clock=tuple(rest))
        said = f"{seconds} s pass" if kind != "skew" else f"is set {seconds:+} s off"
        yield Transition("the clock", said, state, after)

    def _expiries(self, state: State) -> Iterator[Transition]:
        """Yield the deletions of rows whose time to live has passed, by DynamoDB's own clock."""
        now = NOW + timedelta(seconds=state.moment.seconds)
        for lookup_id, record in state.contents.rows["tokens"].items():
            if record.kept_until < now:
                self.desk.shelves.put(state.contents)
                del self.desk.shelves.store.tokens[lookup_id]
                after = state._replace(contents=self.desk.shelves.take())
                yield Transition("DynamoDB", "deletes the row of an old token", state, after)


def _broken() -> Reply:
    return Reply(None, StoreUnavailable("it does not answer"), "broken", Moment())


def _is_fresh(memory: Memory, moment: Moment) -> bool:
    """Say whether a process may still use what it remembers; what is old counts as forgotten."""
    return memory is not None and moment.seconds - memory.asked_at[0] < MAX_AGE


def _with(state: State, number: int, actor: Actor) -> State:
    actors = (*state.actors[:number], actor, *state.actors[number + 1 :])
    return state._replace(actors=actors)
