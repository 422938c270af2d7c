"""What an upload token may publish, and for how long."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from pytp_broker.tokens import SINGLE_USE, UploadToken
from tests.support.distributions import (
    WHEEL_NAME,
    Distribution,
    fields,
    form,
    sdist,
    wheel,
)
from tests.support.shelf import Shelf


@pytest.mark.row("A113")
def test_a_token_with_a_known_id_and_another_secret_is_refused(shelf: Shelf) -> None:
    """upload-010."""
    forged, unknown = (UploadToken.mint(i) for i in (shelf.token.lookup_id, "f" * 32))
    before = dict(shelf.store.tokens)

    answers = [shelf.post(form(wheel()), shelf.basic(token)) for token in (forged, unknown)]

    assert [answer.status for answer in answers] == [401, 401]
    assert answers[0].detail == answers[1].detail
    assert shelf.store.tokens == before
    assert shelf.store.calls.count("find_token") == 2


@pytest.mark.promise("dead-token")
def test_a_burned_token_is_refused(shelf: Shelf) -> None:
    """upload-021."""
    shelf.store.burn_token(shelf.token.lookup_id, shelf.token.hash, None, shelf.now)

    assert shelf.publish(wheel()).status == 401


@pytest.mark.promise("dead-token")
@pytest.mark.promise("stolen-token")
@pytest.mark.parametrize(
    ("age", "status"),
    [
        pytest.param(0, 200, id="new"),
        pytest.param(899, 200, id="upload-012"),
        pytest.param(900, 401, id="at its expiry", marks=pytest.mark.row("A100")),
        pytest.param(901, 401, id="after its expiry"),
        pytest.param(-5, 200, id="upload-014 clocks 5 s apart"),
    ],
)
def test_a_token_lives_until_it_expires(shelf: Shelf, age: int, status: int) -> None:
    shelf.now += timedelta(seconds=age)

    assert shelf.publish(wheel()).status == status
    assert shelf.token.lookup_id in shelf.store.tokens


def test_why_a_token_is_not_good_is_not_said(shelf: Shelf) -> None:
    unknown = shelf.post(form(wheel()), shelf.basic(UploadToken.mint("f" * 32)))
    shelf.now += timedelta(seconds=900)
    expired = shelf.publish(wheel())

    assert unknown.detail == expired.detail


@pytest.mark.promise("stolen-token")
def test_a_token_is_good_for_many_uploads(shelf: Shelf) -> None:
    """upload-020."""
    statuses = [shelf.publish(d).status for d in (wheel(), sdist(), wheel("my-widgets", "2"))]

    assert statuses == [200, 200, 200]


@pytest.mark.promise("scope")
def test_a_project_outside_the_scope_is_forbidden(shelf: Shelf) -> None:
    """upload-001, upload-002."""
    answer = shelf.publish(wheel("gadgets"))

    assert answer.status == 403
    assert "WWW-Authenticate" not in answer.headers


@pytest.mark.row("A104")
def test_who_is_forbidden_hears_both_projects_but_none_of_another_registry(shelf: Shelf) -> None:
    answer = shelf.publish(wheel("gadgets"))

    assert answer.status == 403
    assert "`gadgets`" in answer.detail
    assert "`widgets`, `my-widgets`" in answer.detail
    assert "secret-project" not in answer.detail
    assert shelf.publish(wheel()).status == 200


@pytest.mark.promise("own-registry")
@pytest.mark.row("A093")
def test_a_token_of_another_registry_is_forbidden(shelf: Shelf) -> None:
    token = shelf.mint(("other", "widgets", "p-widgets"))

    answer = shelf.post(form(wheel()), shelf.basic(token))

    assert answer.status == 403
    assert "no project of this registry" in answer.detail
    assert shelf.store.files == {}


def test_a_project_is_known_by_its_normalised_name(shelf: Shelf) -> None:
    distribution = wheel("my-widgets")
    sent = fields(distribution, name="My._Widgets")

    assert shelf.publish(distribution, sent).status == 200


@pytest.mark.promise("removed-publisher")
@pytest.mark.row("A105")
def test_a_publisher_removed_after_the_exchange_is_forbidden_at_once(shelf: Shelf) -> None:
    """upload-017."""
    del shelf.publishers[0]
    shelf.apply()

    answer = shelf.publish(wheel())

    assert answer.status == 403
    assert "no longer trusts" in answer.detail


def test_a_publisher_that_lost_the_project_is_forbidden(shelf: Shelf) -> None:
    shelf.publishers[0] = replace(shelf.publishers[0], projects=("gadgets",))
    shelf.apply()

    assert shelf.publish(wheel()).status == 403


@pytest.mark.promise("scope")
def test_a_project_given_to_the_publisher_after_the_exchange_is_not_covered(shelf: Shelf) -> None:
    """upload-019."""
    shelf.publishers[0] = replace(shelf.publishers[0], projects=("widgets", "gadgets"))
    shelf.apply()

    assert shelf.publish(wheel("gadgets")).status == 403


@pytest.mark.promise("removed-publisher")
@pytest.mark.row("A105")
def test_a_publisher_added_again_does_not_revive_a_token(shelf: Shelf) -> None:
    removed = shelf.publishers.pop(0)
    shelf.apply()
    shelf.publishers.append(replace(removed, publisher_id="p-new"))
    shelf.apply()

    assert shelf.publish(wheel()).status == 403


@pytest.mark.promise("switched-off")
@pytest.mark.row("A114")
@pytest.mark.parametrize(
    "switch_off",
    [
        pytest.param(
            lambda shelf: shelf.change(enabled=False),
            id="the registry",
            marks=pytest.mark.row("A105"),
        ),
        pytest.param(lambda shelf: shelf.change(issuers=()), id="the issuer in the registry"),
        pytest.param(lambda shelf: shelf.switch_off(), id="everything"),
        pytest.param(lambda shelf: shelf.switch_issuer_off(), id="the issuer"),
    ],
)
def test_what_is_switched_off_after_the_exchange_is_forbidden(
    shelf: Shelf, switch_off: Callable[[Shelf], None]
) -> None:
    switch_off(shelf)

    assert shelf.publish(wheel()).status == 403
    assert shelf.records[-1].outcome == "refused"


@pytest.mark.parametrize(
    "body",
    [b"", b"junk", form(wheel(), fields(wheel(), name=None)), b"x" * 10_000_001],
    ids=["empty", "no form", "no name", "too large"],
)
def test_who_has_no_good_token_hears_nothing_about_the_form(shelf: Shelf, body: bytes) -> None:
    shelf.now += timedelta(seconds=900)

    assert shelf.post(body).status == 401


def test_who_has_no_right_hears_nothing_about_the_form(shelf: Shelf) -> None:
    sent = [("name", "gadgets"), (":action", "doc_upload")]

    assert shelf.publish(wheel(), sent).status == 403


def test_who_has_no_right_hears_nothing_about_files(shelf: Shelf) -> None:
    shelf.publish(wheel())
    token = shelf.mint(("acme", "my-widgets", "p-my"))

    assert shelf.post(form(wheel()), shelf.basic(token)).status == 403


@pytest.mark.parametrize("body", [b"", form(wheel(), fields(wheel(), name=None))])
def test_a_form_without_a_name_costs_one_read(shelf: Shelf, body: bytes) -> None:
    answer = shelf.post(body)

    assert answer.status == 400
    assert shelf.store.calls.count("find_token") == 1


def test_a_body_over_the_limit_is_too_large(shelf: Shelf) -> None:
    assert shelf.post(b"x" * 10_000_001).status == 413


@pytest.mark.promise("stolen-token")
def test_a_single_use_token_is_good_for_one_file(shelf: Shelf) -> None:
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))

    statuses = [shelf.post(form(d), token).status for d in (wheel(), sdist(), wheel())]

    assert statuses == [200, 401, 200]  # the same file again, for whom the answer was lost
    assert shelf.filenames == [WHEEL_NAME]


@pytest.mark.parametrize("method", ["find_entry", "use_token", "add_file"])
def test_a_single_use_token_outlives_an_upload_that_came_to_nothing(
    shelf: Shelf, method: str
) -> None:
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))
    refused = shelf.post(form(wheel(), fields(wheel(), version="2")), token)
    shelf.store.fail_next(method)
    failed = shelf.post(form(wheel()), token)

    assert (refused.status, failed.status) == (400, 503)
    assert shelf.post(form(wheel()), token).status == 200


@pytest.mark.parametrize("other", [sdist(), wheel("my-widgets", "2")])
def test_a_token_that_has_been_used_writes_nothing_more(shelf: Shelf, other: Distribution) -> None:
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))
    shelf.post(form(wheel()), token)
    kept = dict(shelf.files.contents)
    shelf.files.calls.clear()

    answer = shelf.post(form(other), token)

    assert answer.status == 401
    assert shelf.files.calls == []
    assert shelf.files.contents == kept


def test_a_file_that_is_there_already_does_not_use_the_token_up(shelf: Shelf) -> None:
    shelf.publish(wheel())
    token = shelf.basic(shelf.mint(feature=SINGLE_USE))

    statuses = [shelf.post(form(d), token).status for d in (wheel(), sdist())]

    assert statuses == [200, 200]


def test_of_two_uploads_at_once_with_a_single_use_token_one_loses(shelf: Shelf) -> None:
    token = shelf.mint(feature=SINGLE_USE)
    record = shelf.store.tokens[token.lookup_id]
    shelf.between(lambda: shelf.store.use_token(record, "another file"))

    answer = shelf.post(form(wheel()), shelf.basic(token))

    assert answer.status == 401
    assert shelf.filenames == []
