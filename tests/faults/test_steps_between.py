"""A call is slow and somebody else acts meanwhile: the result is as if one came after the other."""

from collections.abc import Callable
from itertools import count
from typing import TypeAlias

import pytest

from pytp_broker.tokens import UploadToken
from tests.faults.engines import Engines
from tests.faults.operations import published
from tests.faults.session_operations import SDIST, WHEEL, Uploader, is_published, staged
from tests.faults.stage import (
    CHANGED,
    CONFIGURATION,
    SWITCHED_OFF,
    WITHOUT_WIDGETS,
    Stage,
    wheel,
)
from tests.faults.trials import behind_a_line
from tests.support.deployment import Answer
from tests.support.figures import FAULTS

# What is sent, what somebody else does meanwhile, and what must be true then.
Meeting: TypeAlias = tuple[
    Callable[[], Answer], Callable[[], Answer | None], Callable[[Answer], None]
]


class _Answers:
    """Remembers the answers to the other actor."""

    def __init__(self, send: Callable[[], Answer]) -> None:
        self._send = send
        self.answer: Answer | None = None

    def __call__(self) -> Answer | None:
        self.answer = self._send()
        return self.answer

    def statuses(self, mine: Answer) -> list[int]:
        assert self.answer is not None
        return sorted([mine.status, self.answer.status])


def two_exchanges_of_one_identity_token(stage: Stage) -> Meeting:
    identity = stage.identity_token()
    other = _Answers(lambda: stage.honest.mint(identity))

    def one_gets_a_token(answer: Answer) -> None:
        assert other.statuses(answer) == [200, 422]

    return lambda: stage.faulty.mint(identity), other, one_gets_a_token


def a_first_use_and_a_strangers_first_use(stage: Stage) -> Meeting:
    """Somebody else holds the name by now: all ids of one of the two holders are pinned."""
    mine = stage.identity_token("octo-org/gadgets")
    theirs = stage.identity_token(
        "octo-org/gadgets", repository_owner_id="666", repository_id="667"
    )
    other = _Answers(lambda: stage.honest.mint(theirs))

    def one_is_pinned(answer: Answer) -> None:
        assert other.statuses(answer) == [200, 422]
        owner, repository = ("9919", "70107786") if answer.status == 200 else ("666", "667")
        pins = {"repository_owner_id": owner, "repository_id": repository}
        (publisher,) = [p for p in stage.configured[0].publishers if "gadgets" in p.projects]
        stored = stage.engine.store.list_publishers(publisher.identity_key)
        assert [p.pins for p in stored if p.registry == "acme"] == [pins]

    return lambda: stage.faulty.mint(mine), other, one_is_pinned


def _mint_and_then_no_right(stage: Stage, changed: str) -> Meeting:
    identity = stage.identity_token()

    def has_no_right(answer: Answer) -> None:
        stage.let_caches_end()
        assert answer.status in {200, 422}
        for given in stage.given:
            assert stage.honest.upload(given.token, wheel()).status == 403

    return lambda: stage.faulty.mint(identity), lambda: stage.configure(changed), has_no_right


def an_exchange_and_its_publishers_removal(stage: Stage) -> Meeting:
    return _mint_and_then_no_right(stage, WITHOUT_WIDGETS)


def an_exchange_and_the_registrys_end(stage: Stage) -> Meeting:
    return _mint_and_then_no_right(stage, SWITCHED_OFF)


def an_exchange_and_the_same_configuration_again(stage: Stage) -> Meeting:
    """The first use pins while the operator applies what is there: the pins stay."""
    identity = stage.identity_token("octo-org/gadgets")

    def is_pinned(answer: Answer) -> None:
        assert answer.status == 200
        stranger = stage.identity_token("octo-org/gadgets", repository_owner_id="666")
        assert stage.honest.mint(stranger).code == "invalid-publisher"

    return lambda: stage.faulty.mint(identity), lambda: stage.configure(CONFIGURATION), is_pinned


def an_upload_and_the_burn(stage: Stage) -> Meeting:
    return _upload_and_then_dead(stage, stage.upload_token())


def a_single_upload_and_the_burn(stage: Stage) -> Meeting:
    return _upload_and_then_dead(stage, stage.upload_token(single=True))


def _upload_and_then_dead(stage: Stage, token: UploadToken) -> Meeting:
    def is_dead(answer: Answer) -> None:
        assert answer.status in {200, 401}
        assert stage.is_visible(wheel()) == (answer.status == 200)
        assert stage.honest.upload(token, wheel(version="2.0")).status == 401

    return lambda: stage.faulty.upload(token, wheel()), lambda: stage.honest.burn(token), is_dead


def an_upload_and_its_publishers_removal(stage: Stage) -> Meeting:
    token = stage.upload_token()

    def has_no_right(answer: Answer) -> None:
        assert answer.status in {200, 403}
        assert stage.is_visible(wheel()) == (answer.status == 200)
        stage.let_caches_end()
        assert stage.honest.upload(token, wheel(version="2.0")).status == 403

    def remove() -> None:
        stage.configure(WITHOUT_WIDGETS)

    return lambda: stage.faulty.upload(token, wheel()), remove, has_no_right


def two_uploads_of_one_file(stage: Stage) -> Meeting:
    mine, theirs = stage.upload_token(), stage.upload_token()

    def both_are_told_so(answer: Answer) -> None:
        assert other.statuses(answer) == [200, 200]
        assert [f.sha256 for f in stage.visible_files()] == [wheel().sha256]

    other = _Answers(lambda: stage.honest.upload(theirs, wheel()))
    return lambda: stage.faulty.upload(mine, wheel()), other, both_are_told_so


def two_contents_of_one_name(stage: Stage) -> Meeting:
    mine, theirs = stage.upload_token(), stage.upload_token(single=True)
    other = _Answers(lambda: stage.honest.upload(theirs, wheel(extra="theirs")))

    def one_is_visible(answer: Answer) -> None:
        assert other.statuses(answer) == [200, 400]
        winner = wheel() if answer.status == 200 else wheel(extra="theirs")
        assert [f.sha256 for f in stage.visible_files()] == [winner.sha256]

    return lambda: stage.faulty.upload(mine, wheel()), other, one_is_visible


def two_spellings_of_one_release(stage: Stage) -> Meeting:
    mine, theirs = stage.upload_token(), stage.upload_token()
    other = _Answers(lambda: stage.honest.upload(theirs, wheel(version="1.0.0")))

    def one_is_visible(answer: Answer) -> None:
        assert other.statuses(answer) == [200, 400]
        winner = wheel(version="1.0" if answer.status == 200 else "1.0.0")
        assert [f.filename for f in stage.visible_files()] == [winner.filename]

    return lambda: stage.faulty.upload(mine, wheel()), other, one_is_visible


def two_files_with_one_single_use_token(stage: Stage) -> Meeting:
    token = stage.upload_token(single=True)
    other = _Answers(lambda: stage.honest.upload(token, wheel(version="2.0")))

    def one_is_visible(answer: Answer) -> None:
        assert other.statuses(answer) == [200, 401]
        (file,) = stage.visible_files()
        assert file.version == ("1.0" if answer.status == 200 else "2.0")

    return lambda: stage.faulty.upload(token, wheel()), other, one_is_visible


def two_indexes_that_consume_one_token(stage: Stage) -> Meeting:
    token = stage.upload_token(single=True)

    def question(version: str) -> dict[str, str]:
        file = wheel(version=version)
        return {"filename": file.filename, "sha256": file.sha256, "consume": "true"}

    other = _Answers(lambda: stage.honest.introspect(token, **question("2.0")))

    def one_is_told_so(answer: Answer) -> None:
        assert other.answer is not None
        assert sorted([answer.json["active"], other.answer.json["active"]]) == [False, True]

    return lambda: stage.faulty.introspect(token, **question("1.0")), other, one_is_told_so


def a_consumption_and_the_burn(stage: Stage) -> Meeting:
    token = stage.upload_token(single=True)
    question = {"filename": wheel().filename, "sha256": wheel().sha256, "consume": "true"}

    def is_dead(answer: Answer) -> None:
        assert answer.status == 200
        assert stage.honest.introspect(token, **question).json == {"active": False}

    return (
        lambda: stage.faulty.introspect(token, **question),
        lambda: stage.honest.burn(token),
        is_dead,
    )


def two_burns(stage: Stage) -> Meeting:
    token = stage.upload_token()
    other = _Answers(lambda: stage.honest.burn(token))

    def is_dead(answer: Answer) -> None:
        assert other.statuses(answer) == [202, 202]
        assert stage.honest.upload(token, wheel()).status == 401

    return lambda: stage.faulty.burn(token), other, is_dead


def an_introspection_and_a_change_of_configuration(stage: Stage) -> Meeting:
    token = stage.upload_token()

    def says_what_was_true(answer: Answer) -> None:
        assert answer.json["projects"] in (["widgets", "old"], ["widgets"])
        stage.let_caches_end()
        assert stage.honest.introspect(token).json["projects"] == ["widgets"]

    return (
        lambda: stage.faulty.introspect(token),
        lambda: stage.configure(CHANGED),
        says_what_was_true,
    )


def an_upload_and_the_deletion_of_its_file(stage: Stage) -> Meeting:
    """The file is published already, and is sent again while the operator deletes it."""
    file, token = published(stage), stage.upload_token()

    def is_gone(answer: Answer) -> None:
        assert answer.status == 200 or answer.code == "file-deleted"
        assert not stage.is_visible(wheel())
        assert stage.honest.upload(token, wheel()).code == "file-deleted"

    return lambda: stage.faulty.upload(token, wheel()), lambda: stage.honest.delete(file), is_gone


def a_page_and_the_deletion_of_a_file(stage: Stage) -> Meeting:
    file = published(stage)

    def is_gone(answer: Answer) -> None:
        assert answer.status == 200
        assert b"/files/" not in stage.honest.page().body

    return stage.faulty.page, lambda: stage.honest.delete(file), is_gone


def two_deletions_of_one_file(stage: Stage) -> Meeting:
    file = published(stage)
    other = _Answers(lambda: stage.honest.delete(file, "the other's reason"))

    def both_know_whose_reason_stands(answer: Answer) -> None:
        assert other.answer is not None
        entry = stage.engine.store.find_entry(file.registry, file.project, file.filename)
        assert entry.tombstone is not None
        assert {answer.body, other.answer.body} == {entry.tombstone.reason.encode()}

    return lambda: stage.faulty.delete(file), other, both_know_whose_reason_stands


def two_publishes_of_one_session(stage: Stage) -> Meeting:
    session = staged(stage, WHEEL, SDIST)
    mine, theirs = Uploader(stage, stage.faulty), Uploader(stage, stage.honest)
    other = _Answers(lambda: theirs.ask_to_publish(session))

    def it_is_published(answer: Answer) -> None:
        assert set(other.statuses(answer)) <= {201, 409}
        assert 201 in other.statuses(answer)
        assert is_published(stage)

    return lambda: mine.ask_to_publish(session), other, it_is_published


def a_publish_and_an_upload_of_one_name(stage: Stage) -> Meeting:
    session, theirs = staged(stage, WHEEL, SDIST), stage.upload_token()
    mine = Uploader(stage, stage.faulty)
    other = _Answers(lambda: stage.honest.upload(theirs, wheel(extra="theirs")))

    def one_has_the_name(answer: Answer) -> None:
        assert other.answer is not None
        assert (answer.status == 201) != (other.answer.status == 200)
        winner = [WHEEL, SDIST] if answer.status == 201 else [wheel(extra="theirs")]
        assert {f.sha256 for f in stage.visible_files()} == {each.sha256 for each in winner}

    return lambda: mine.ask_to_publish(session), other, one_has_the_name


def a_publish_and_the_cancellation(stage: Stage) -> Meeting:
    session = staged(stage, WHEEL, SDIST)
    mine, theirs = Uploader(stage, stage.faulty), Uploader(stage, stage.honest)
    other = _Answers(lambda: theirs.cancel(session))

    def one_of_them_happens(answer: Answer) -> None:
        assert other.statuses(answer) in ([201, 409], [204, 409])
        assert is_published(stage) == (answer.status == 201)

    return lambda: mine.ask_to_publish(session), other, one_of_them_happens


def a_publish_and_a_page(stage: Stage) -> Meeting:
    session = staged(stage, WHEEL, SDIST)
    mine = Uploader(stage, stage.faulty)
    other = _Answers(stage.honest.page)

    def shows_all_or_nothing(answer: Answer) -> None:
        assert answer.status == 201
        assert other.answer is not None
        names = (WHEEL.filename, SDIST.filename)
        assert {name.encode() in other.answer.body for name in names} <= {
            other.answer.status == 200
        }

    return lambda: mine.ask_to_publish(session), other, shows_all_or_nothing


def two_sessions_of_one_version(stage: Stage) -> Meeting:
    mine, theirs = Uploader(stage, stage.faulty), Uploader(stage, stage.honest)
    other = _Answers(theirs.begin)

    def both_work_in_one(answer: Answer) -> None:
        assert other.answer is not None
        assert answer.json["session-token"] == other.answer.json["session-token"]

    return mine.begin, other, both_work_in_one


MEETINGS: tuple[Callable[[Stage], Meeting], ...] = (
    two_exchanges_of_one_identity_token,
    a_first_use_and_a_strangers_first_use,
    an_exchange_and_its_publishers_removal,
    an_exchange_and_the_registrys_end,
    an_exchange_and_the_same_configuration_again,
    an_upload_and_the_burn,
    a_single_upload_and_the_burn,
    an_upload_and_its_publishers_removal,
    two_uploads_of_one_file,
    two_contents_of_one_name,
    two_spellings_of_one_release,
    two_files_with_one_single_use_token,
    two_indexes_that_consume_one_token,
    a_consumption_and_the_burn,
    two_burns,
    an_introspection_and_a_change_of_configuration,
    an_upload_and_the_deletion_of_its_file,
    a_page_and_the_deletion_of_a_file,
    two_deletions_of_one_file,
    two_publishes_of_one_session,
    a_publish_and_an_upload_of_one_name,
    a_publish_and_the_cancellation,
    a_publish_and_a_page,
    two_sessions_of_one_version,
)


@pytest.mark.promise("begun-write")
@pytest.mark.parametrize("meeting", MEETINGS, ids=lambda meeting: meeting.__name__)
def test_a_step_between_any_two_calls_is_as_one_after_the_other(
    racing_engines: Engines, meeting: Callable[[Stage], Meeting]
) -> None:
    for number in count():
        with racing_engines.open() as engine:
            stage = Stage(engine, behind_a_line(engine))
            stage.upload_token()  # the issuer's keys are known
            send, step, check = meeting(stage)
            FAULTS["operations"] += 1
            stage.line.meet_at(number, step)

            answer = send()

            if not stage.line.was_hit:
                assert number > 0
                return
            stage.line.repair()
            stage.check_answer(answer)
            check(answer)
            stage.check()
