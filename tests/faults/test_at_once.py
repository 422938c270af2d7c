"""Many clients at the same moment, each through a whole function."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from pytp_broker.tokens import UploadToken
from tests.faults.engines import Engines, open_again
from tests.faults.stage import (
    CHANGED,
    CONFIGURATION,
    WITHOUT_WIDGETS,
    Stage,
    wheel,
)
from tests.support.emulator import ROOT
from tests.support.figures import FAULTS

THREADS = 16
PROCESSES = 3
T = TypeVar("T")


def at_once(attempt: Callable[[int], T], attempts: int = THREADS) -> list[T]:
    """Run all attempts on 16 threads that start together."""
    FAULTS["operations at once"] += attempts
    start = Barrier(THREADS)
    with ThreadPoolExecutor(THREADS, initializer=start.wait) as pool:
        return list(pool.map(attempt, range(attempts)))


@pytest.fixture
def stage(racing_engines: Engines) -> Iterator[Stage]:
    """Return a stage; it checks all invariants in the end."""
    with racing_engines.open() as engine:
        stage = Stage(engine)
        stage.upload_token()  # the issuer's keys are known
        yield stage
        stage.check()


def test_of_many_exchanges_of_one_identity_token_one_succeeds(stage: Stage) -> None:
    identity = stage.identity_token()

    statuses = Counter(a.status for a in at_once(lambda _: stage.faulty.mint(identity), 48))

    assert statuses == {200: 1, 422: 47}


def test_many_exchanges_of_one_identity_token_to_read_all_succeed(stage: Stage) -> None:
    identity = stage.identity_token()

    answers = at_once(lambda _: stage.faulty.mint_to_read(identity), 48)

    assert {answer.status for answer in answers} == {200}
    tokens = [UploadToken.parse(answer.json["token"]) for answer in answers]
    found = [stage.engine.store.find_token(token.lookup_id, None) for token in tokens]
    assert [each[0].token_hash for each in found if each] == [token.hash for token in tokens]
    assert stage.faulty.mint(identity).status == 200


def test_of_many_owners_of_one_name_the_first_is_pinned_to_read(stage: Stage) -> None:
    identities = [stage.identity_token(repository_owner_id=str(n)) for n in range(THREADS)]

    answers = at_once(lambda n: stage.faulty.mint_to_read(identities[n]))

    assert Counter(answer.status for answer in answers) == {200: 1, 422: THREADS - 1}


def test_of_many_spellings_of_one_version_one_is_published(stage: Stage) -> None:
    token = stage.upload_token()
    files = [wheel(version="1" + ".0" * number) for number in range(16)]

    answers = at_once(lambda number: stage.faulty.upload(token, files[number]))

    assert Counter(answer.status for answer in answers) == {200: 1, 400: 15}
    assert len(list(stage.visible_files())) == 1


def test_exchanges_of_many_identity_tokens_all_succeed(stage: Stage) -> None:
    identities = [stage.identity_token() for _ in range(48)]

    answers = at_once(lambda n: stage.faulty.mint(identities[n]), 48)

    assert {answer.status for answer in answers} == {200}
    assert len({answer.json["token"] for answer in answers}) == 48


def test_of_many_owners_of_one_name_the_first_is_pinned(stage: Stage) -> None:
    identities = [
        stage.identity_token("octo-org/gadgets", repository_owner_id=str(n), repository_id=str(n))
        for n in range(THREADS)
    ]

    answers = at_once(lambda n: stage.faulty.mint(identities[n]))

    assert Counter(answer.status for answer in answers) == {200: 1, 422: THREADS - 1}


def test_uploads_of_one_file_all_succeed(stage: Stage) -> None:
    token = stage.upload_token()

    answers = at_once(lambda _: stage.faulty.upload(token, wheel()))

    assert {answer.status for answer in answers} == {200}
    assert [file.sha256 for file in stage.visible_files()] == [wheel().sha256]


def test_of_many_contents_of_one_name_one_is_visible(stage: Stage) -> None:
    token = stage.upload_token()
    files = [wheel(extra=f"content {n}") for n in range(THREADS)]

    answers = at_once(lambda n: stage.faulty.upload(token, files[n]))

    assert Counter(answer.status for answer in answers) == {200: 1, 400: THREADS - 1}
    (winner,) = [file for file, a in zip(files, answers, strict=True) if a.status == 200]
    assert [file.sha256 for file in stage.visible_files()] == [winner.sha256]


def test_a_single_use_token_uploads_one_of_many_files(stage: Stage) -> None:
    token = stage.upload_token(single=True)
    files = [wheel(version=f"{n}.0") for n in range(THREADS)]

    answers = at_once(lambda n: stage.faulty.upload(token, files[n]))

    assert Counter(answer.status for answer in answers) == {200: 1, 401: THREADS - 1}
    assert len(list(stage.visible_files())) == 1


def test_what_is_told_to_be_published_is_though_the_token_is_burned_meanwhile(
    stage: Stage,
) -> None:
    token = stage.upload_token()
    files = [wheel(version=f"{n}.0") for n in range(THREADS)]

    def upload_or_burn(number: int) -> bool:
        if number == THREADS // 2:
            assert stage.faulty.burn(token).status == 202
            return False
        answer = stage.faulty.upload(token, files[number])
        assert answer.status in {200, 401}
        return answer.status == 200

    told = at_once(upload_or_burn)

    assert [stage.is_visible(file) for file in files] == told
    assert stage.faulty.upload(token, wheel(version="99")).status == 401


@pytest.mark.parametrize("repetition", range(3))
def test_exchanges_and_uploads_while_the_operator_applies(stage: Stage, repetition: int) -> None:
    """Nobody is left with a right that the last configuration does not give."""
    tokens = [stage.upload_token() for _ in range(4)]
    configurations = [CHANGED, WITHOUT_WIDGETS, CONFIGURATION, WITHOUT_WIDGETS]

    def act(number: int) -> None:
        if number == 0:
            for text in configurations:
                stage.configure(text)
        elif number % 2:
            assert stage.faulty.mint(stage.identity_token()).status in {200, 422}
        else:
            answer = stage.faulty.upload(tokens[number % 4], wheel(version=f"{number}.0"))
            assert answer.status in {200, 403}
            assert stage.is_visible(wheel(version=f"{number}.0")) == (answer.status == 200)

    at_once(act)

    stage.let_caches_end()
    for given in stage.given:
        assert stage.honest.rights_of(given.token) <= {("acme", "old")}


# Several processes on one store

_PROCESS = """
import json, sys
from tests.faults.test_at_once import work_in_a_process
print("ready", flush=True)
print(json.dumps(work_in_a_process(json.loads(sys.stdin.readline()))))
"""


def work_in_a_process(task: dict[str, Any]) -> list[int]:
    """Exchange the same identity tokens as the other processes, and upload under one name each."""
    with open_again(task["address"]) as engine:
        stage = Stage(engine, configuration="")
        minted = [stage.faulty.mint(identity).status for identity in task["identities"]]
        token = UploadToken.parse(task["token"])
        files = [wheel(version=f"{n}.0", extra=str(task["number"])) for n in range(8)]
        return minted + [stage.faulty.upload(token, file).status for file in files]


def test_of_the_same_work_in_several_processes_each_piece_is_done_once(
    racing_engines: Engines,
) -> None:
    with racing_engines.open() as engine:
        stage = Stage(engine)
        token = stage.upload_token().reveal()
        identities = [stage.identity_token() for _ in range(8)]
        task = {"address": engine.address, "identities": identities, "token": token}
        FAULTS["operations at once"] += 16 * PROCESSES

        outcomes = [_sort(outcome) for outcome in zip(*_run(task), strict=True)]

        assert outcomes == [[200, 422, 422]] * 8 + [[200, 400, 400]] * 8
        assert len(list(stage.visible_files())) == 8
        stage.check()


def _sort(statuses: tuple[int, ...]) -> list[int]:
    return sorted(statuses)


def _run(task: Mapping[str, object]) -> list[list[int]]:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            text=True,
        )
        for _ in range(PROCESSES)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for number, process in enumerate(processes):
        assert process.stdin is not None
        process.stdin.write(json.dumps({**task, "number": number}) + "\n")
        process.stdin.flush()
    outputs = [process.communicate(timeout=60)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * PROCESSES
    return [json.loads(output) for output in outputs]
