"""What a guard lets through: tokens that read, tokens that upload, and files of their projects."""

import base64
from collections.abc import Mapping

import pytest

from pytp_broker.content import Held
from pytp_broker.errors import (
    Forbidden,
    InvalidUpload,
    MayOnlyRead,
    PayloadTooLarge,
    Problem,
    Unauthorized,
    Unavailable,
)
from pytp_broker.grants import Permission
from pytp_broker.guards import judging
from pytp_broker.guards.introspection import Standing
from pytp_broker.guards.judging import Guard
from pytp_broker.index.forms import Form, read_form
from tests.support.asked_brokers import NOW, TOKEN, AskedBroker, standing
from tests.support.distributions import (
    CONTENT_TYPE,
    Distribution,
    fields,
    form,
    metadata,
    sdist,
    wheel,
)


class Ticking:
    """A clock that a test moves; both clocks of a guard are this one."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        return self.now


def headers(text: str = "") -> Mapping[str, str]:
    sent = base64.b64encode(f"__token__:{text or TOKEN.reveal()}".encode()).decode()
    return {"authorization": f"Basic {sent}"}


@pytest.fixture
def broker() -> AskedBroker:
    return AskedBroker()


@pytest.fixture
def clock() -> Ticking:
    return Ticking()


@pytest.fixture
def guard(broker: AskedBroker, clock: Ticking) -> Guard:
    return Guard(broker, clock, clock)


def read(file: Distribution, **changes: str) -> Form:
    body = form(file, fields(file, **changes))
    return read_form(Held(body), CONTENT_TYPE, len(body))


def check(guard: Guard, file: Distribution, **changes: str) -> str:
    uploader = guard.check_uploader(headers())
    return guard.check_upload(uploader, read(file, **changes)).filename


# Reading


def test_a_token_that_reads_is_asked_about_once_in_ten_seconds(
    guard: Guard, broker: AskedBroker, clock: Ticking
) -> None:
    for _ in range(3):
        guard.check_reader(headers())
    clock.now += judging.MAX_AGE_SECONDS - 0.1
    guard.check_reader(headers())

    assert broker.questions == [{"permission": "read"}]


def test_a_reader_is_forgotten_after_ten_seconds(
    guard: Guard, broker: AskedBroker, clock: Ticking
) -> None:
    guard.check_reader(headers())
    broker.reading = broker.plain = None
    clock.now += judging.MAX_AGE_SECONDS

    with pytest.raises(Unauthorized):
        guard.check_reader(headers())


def test_a_reader_is_not_remembered_after_the_token_has_expired(
    guard: Guard, broker: AskedBroker, clock: Ticking
) -> None:
    clock.now = NOW + 897
    guard.check_reader(headers())
    clock.now = NOW + 900
    broker.reading = broker.plain = None

    with pytest.raises(Unauthorized):
        guard.check_reader(headers())


def test_a_guard_remembers_few_readers(
    guard: Guard, broker: AskedBroker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(judging, "_MAX_READERS", 0)

    guard.check_reader(headers())
    guard.check_reader(headers())

    assert len(broker.questions) == 2


def test_a_refused_token_is_not_remembered(guard: Guard, broker: AskedBroker) -> None:
    broker.reading = None
    for _ in range(2):
        with pytest.raises(Forbidden, match="may not read"):
            guard.check_reader(headers())

    broker.reading = standing(permission=Permission.READ)

    assert guard.check_reader(headers()).hash == TOKEN.hash


@pytest.mark.parametrize("text", ["hunter2", TOKEN.reveal()[:-1]])
def test_a_malformed_token_is_refused_without_a_question(
    guard: Guard, broker: AskedBroker, text: str
) -> None:
    for check_token in (guard.check_reader, guard.check_uploader):
        with pytest.raises(Unauthorized):
            check_token(headers(text))

    assert broker.questions == []


def test_a_request_without_a_token_is_asked_for_one(guard: Guard) -> None:
    with pytest.raises(Unauthorized) as refused:
        guard.check_reader({})

    assert refused.value.headers["WWW-Authenticate"].startswith("Basic ")


# Uploading


@pytest.mark.parametrize("file", [wheel(), sdist()], ids=["wheel", "sdist"])
def test_a_file_of_the_tokens_project_is_let_through(
    guard: Guard, broker: AskedBroker, file: Distribution
) -> None:
    assert check(guard, file) == file.filename

    about_the_file = {
        "permission": "upload",
        "project": "widgets",
        "filename": file.filename,
        "sha256": file.sha256,
        "consume": "true",
    }
    assert broker.questions == [{}, about_the_file]


def test_a_file_has_at_most_as_many_bytes_as_the_operator_allows(broker: AskedBroker) -> None:
    file = wheel()

    assert check(Guard(broker, max_file_bytes=len(file.content)), file) == file.filename
    with pytest.raises(PayloadTooLarge, match="at most"):
        check(Guard(broker, max_file_bytes=len(file.content) - 1), file)

    assert len(broker.questions) == 3  # the refused file was asked about once, before its body


def test_a_token_that_only_reads_uploads_nothing(guard: Guard, broker: AskedBroker) -> None:
    broker.plain = standing("widgets", permission=Permission.READ)

    with pytest.raises(MayOnlyRead):
        guard.check_uploader(headers())


def test_a_bad_token_is_refused_before_the_form_is_read(guard: Guard, broker: AskedBroker) -> None:
    broker.plain = None

    with pytest.raises(Unauthorized, match="burned"):
        guard.check_uploader(headers())


GADGETS = wheel("gadgets")


@pytest.mark.parametrize(
    ("file", "changes", "kind"),
    [
        (GADGETS, {}, Forbidden),
        (GADGETS, {"name": "widgets"}, Forbidden),
        (wheel(), {"name": "gadgets"}, Forbidden),
        (wheel(text=metadata("gadgets")), {}, InvalidUpload),
        (sdist(text=metadata("gadgets")), {}, InvalidUpload),
        (Distribution("widgets-1.0-py3-none-any.whl", GADGETS.content), {}, InvalidUpload),
        (wheel(), {":action": "remove_pkg"}, InvalidUpload),
        (wheel(), {"version": "2.0"}, InvalidUpload),
        (wheel(), {"staged": "true"}, InvalidUpload),
        (wheel(), {"sha256_digest": "0" * 64}, InvalidUpload),
        (Distribution("../widgets-1.0.tar.gz", sdist().content), {}, InvalidUpload),
        (Distribution("Widgets-1.0-py3-none-any.whl", wheel().content), {}, InvalidUpload),
    ],
)
def test_nothing_that_lies_is_let_through_or_uses_up_the_token(
    guard: Guard,
    broker: AskedBroker,
    file: Distribution,
    changes: dict[str, str],
    kind: type[Problem],
) -> None:
    with pytest.raises(kind):
        check(guard, file, **changes)

    assert broker.questions == [{}]


def test_every_spelling_of_a_project_is_the_project(guard: Guard, broker: AskedBroker) -> None:
    broker.plain = broker.file = standing("my-widgets")
    file = wheel("my_widgets", text=metadata("My.Widgets"))

    assert check(guard, file, name="my--WIDGETS") == file.filename


@pytest.mark.promise("guard-ends")
def test_a_token_that_ends_during_the_upload_uploads_nothing(
    guard: Guard, broker: AskedBroker
) -> None:
    uploader = guard.check_uploader(headers())
    broker.plain = broker.file = None

    with pytest.raises(Unauthorized):
        guard.check_upload(uploader, read(wheel()))


def test_a_token_that_was_used_for_another_file_uploads_nothing(
    guard: Guard, broker: AskedBroker
) -> None:
    broker.file = None

    with pytest.raises(Forbidden, match="may not upload this file"):
        check(guard, wheel())


@pytest.mark.parametrize(
    "answer",
    [standing("gadgets"), standing("widgets", permission=Permission.READ)],
    ids=["for another project", "for reading"],
)
def test_an_answer_about_the_file_that_does_not_fit_uploads_nothing(
    guard: Guard, broker: AskedBroker, answer: Standing
) -> None:
    broker.file = answer

    with pytest.raises(Forbidden):
        check(guard, wheel())


@pytest.mark.promise("guard-closed")
def test_nothing_is_let_through_while_the_registry_is_down(
    guard: Guard, broker: AskedBroker
) -> None:
    uploader = guard.check_uploader(headers())
    broker.is_down = True

    with pytest.raises(Unavailable):
        guard.check_uploader(headers())
    with pytest.raises(Unavailable):
        guard.check_reader(headers())
    with pytest.raises(Unavailable):
        guard.check_upload(uploader, read(wheel()))


def test_a_refusal_names_few_projects(guard: Guard, broker: AskedBroker) -> None:
    broker.plain = standing(*(f"project-{number:03}" for number in range(500)))

    with pytest.raises(Forbidden) as refused:
        check(guard, wheel())

    assert "and 480 more" in refused.value.detail
