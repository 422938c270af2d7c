"""A call takes so long that a fact which held before it no longer holds when it returns."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest

from pytp_broker.tokens import UploadToken
from tests.faults.engines import Engines
from tests.faults.stage import SWITCHED_OFF, WITHOUT_WIDGETS, Stage, wheel
from tests.faults.trials import behind_a_line
from tests.support.figures import FAULTS

UPLOAD_TOKEN_SECONDS = 900
# The issuer's tokens live for five minutes, and there is half a minute of leeway.
IDENTITY_TOKEN_SECONDS = 330

Ending = Callable[[Stage, UploadToken], object]


def burned(stage: Stage, token: UploadToken) -> None:
    assert stage.honest.burn(token).status == 202


def expired(stage: Stage, _token: UploadToken) -> None:
    stage.advance(seconds=UPLOAD_TOKEN_SECONDS)


def no_longer_trusted(stage: Stage, _token: UploadToken) -> None:
    stage.configure(WITHOUT_WIDGETS)


def switched_off(stage: Stage, _token: UploadToken) -> None:
    stage.configure(SWITCHED_OFF)


def stages(engines: Engines) -> Iterator[tuple[int, Stage]]:
    """Yield a new stage for each number, whose issuer's keys are known."""
    for number in count():
        with engines.open() as engine:
            stage = Stage(engine, behind_a_line(engine))
            stage.upload_token()
            FAULTS["operations"] += 1
            yield number, stage


@pytest.mark.promise("slow-upload")
@pytest.mark.parametrize("ending", [burned, expired, no_longer_trusted, switched_off])
@pytest.mark.parametrize("single", [False, True], ids=["multi-use", "single-use"])
@pytest.mark.parametrize("is_late", [False, True], ids=["there", "back"])
def test_an_upload_whose_right_ended_ten_seconds_ago_publishes_nothing(
    racing_engines: Engines, ending: Ending, *, single: bool, is_late: bool
) -> None:
    """Any call may be slow except the last one, which makes the file visible."""
    for number, stage in stages(racing_engines):
        token = stage.upload_token(single=single)

        def end_and_wait(stage: Stage = stage, token: UploadToken = token) -> None:
            ending(stage, token)
            stage.let_caches_end()

        stage.line.meet_at(number, end_and_wait, is_late=is_late)
        answer = stage.faulty.upload(token, wheel())
        if stage.line.calls[number] == "add_file":
            return
        stage.line.repair()

        stage.check_answer(answer)
        assert answer.code in {"unauthorized", "forbidden"}
        assert not stage.is_visible(wheel())
        stage.check()


@pytest.mark.promise("slow-upload")
def test_a_switch_counts_after_ten_seconds_though_each_call_is_quick(
    racing_engines: Engines,
) -> None:
    """The cached configuration was nine seconds old when the upload began, and no call took ten."""
    with racing_engines.open() as engine:
        stage = Stage(engine, behind_a_line(engine))
        token = stage.upload_token()
        assert stage.faulty.upload(token, wheel()).status == 200
        stage.configure(SWITCHED_OFF)
        stage.advance(seconds=9)
        before_the_save = ["find_token", "find_entry", "find_release", "list_files"]
        stage.line.meet_at(len(before_the_save), partial(stage.advance, seconds=2))

        answer = stage.faulty.upload(token, wheel(version="2.0"))

        assert stage.line.calls[: len(before_the_save) + 1] == [*before_the_save, "save"]
        assert answer.code == "forbidden"
        assert not stage.is_visible(wheel(version="2.0"))


@pytest.mark.promise("slow-upload")
@pytest.mark.parametrize("repository", ["octo-org/widgets", "octo-org/gadgets"])
def test_an_exchange_that_outlasts_its_identity_token_gives_and_pins_nothing(
    racing_engines: Engines, repository: str
) -> None:
    """Any call may be slow except the one that pins and the last one, which stores the token."""
    for number, stage in stages(racing_engines):
        identity = stage.identity_token(repository)
        stage.line.meet_at(number, partial(stage.advance, seconds=IDENTITY_TOKEN_SECONDS))
        given, before = len(stage.given), stage.engine.dump()

        answer = stage.faulty.mint(identity)
        if stage.line.calls[number] == "add_token":
            return

        stage.check_answer(answer)
        assert answer.code == "invalid-token"
        assert "has expired" in answer.json["detail"]
        assert len(stage.given) == given
        pinned = "pin_publisher" in stage.line.calls
        assert pinned == (stage.line.calls[number] == "pin_publisher")
        assert pinned or stage.engine.dump() == before
        stage.check()


def test_an_exchange_that_outlasts_the_mark_of_its_replay_gives_nothing(
    racing_engines: Engines,
) -> None:
    """Another request has exchanged the same identity token, and its record expires meanwhile."""
    for number, stage in stages(racing_engines):
        identity = stage.identity_token()

        def be_replayed_and_forgotten(stage: Stage = stage, identity: str = identity) -> None:
            assert stage.honest.mint(identity).status == 200
            stage.advance(seconds=2 * UPLOAD_TOKEN_SECONDS)
            stage.upload_token()  # SQLite forgets what has ended when it stores something new

        stage.line.meet_at(number, be_replayed_and_forgotten)
        answer = stage.faulty.mint(identity)
        if stage.line.calls[number] == "add_token":
            return

        assert answer.code in {"invalid-token", "invalid-reuse-token"}
        stage.check()
