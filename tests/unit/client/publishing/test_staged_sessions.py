"""`publish --stage`, and `session` for what it has staged."""

from typing import Any

import pytest

from tests.support.distributions import SDIST_NAME, WHEEL_NAME
from tests.support.upload_server import LEGACY, ORIGIN, ROOT, problem
from tests.unit.client.publishing.conftest import Person

URL = f"{ROOT}stage_1"


def session(person: Person, action: str, url: str = URL) -> int:
    return person.type("session", action, "--url", LEGACY, url)


def test_a_staged_release_is_not_published(person: Person) -> None:
    assert person.publish("--stage") == 0

    stage = f"{ORIGIN}/acme/stage/stage_1/simple/"
    assert not person.server.published
    assert person.out.splitlines()[1:] == [
        f"  preview: pip install --extra-index-url {stage} 'widgets==1.0'",
        f"  publish: pytp-broker session publish --url {LEGACY} {URL}",
        f"  discard: pytp-broker session discard --url {LEGACY} {URL}",
    ]


@pytest.mark.parametrize("link", ["session", "stage"])
def test_a_server_cannot_put_a_command_into_the_lines(person: Person, link: str) -> None:
    url = f"{ROOT}stage_1;$(id)"

    def change(document: dict[str, Any]) -> None:
        if link in document.get("links", {}):
            document["links"][link] = url

    person.server.change = change
    person.publish("--stage")

    shown = [line for line in person.out.splitlines() if "$(id)" in line]
    assert shown
    assert all(f" '{url}'" in line for line in shown)


def test_a_server_without_previews_shows_none(person: Person) -> None:
    person.server.has_stage = False

    person.publish("--stage")

    assert "preview" not in person.out


def test_a_release_that_is_published_is_not_staged_again(person: Person) -> None:
    person.publish()

    assert person.publish("--stage") == 0
    assert "session publish" not in person.out


def test_a_session_says_how_it_stands(person: Person) -> None:
    person.publish("--stage")
    person.server.session.notices.append("the release closes tomorrow")

    assert session(person, "status") == 0

    assert person.out == (
        f"open, until 2026-12-05 12:00 UTC\n{WHEEL_NAME}: completed\n{SDIST_NAME}: completed\n"
        "the registry says: the release closes tomorrow\n"
    )


@pytest.mark.parametrize(("action", "status"), [("publish", "published"), ("discard", "canceled")])
def test_a_session_that_has_ended_has_no_time_left(
    person: Person, action: str, status: str
) -> None:
    person.publish("--stage")
    session(person, action)

    session(person, "status")

    assert person.out.splitlines()[0] == status


def test_a_session_is_published(person: Person) -> None:
    person.publish("--stage")

    assert session(person, "publish") == 0

    assert person.out == "published 2 files\n"
    assert len(person.server.published) == 2


def test_one_file_is_one_file(person: Person) -> None:
    person.publish("--stage", f"dist/{WHEEL_NAME}")

    session(person, "publish")

    assert person.out == "published 1 file\n"


def test_a_session_is_discarded(person: Person) -> None:
    person.publish("--stage")

    assert session(person, "discard") == 0

    assert person.server.session.status == "canceled"
    assert person.out == "the session and its files are discarded\n"


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("https://evil.example/x", "the session leads to https://evil.example/x"),
        (f"{ROOT}stage_9", "the session no longer exists"),
    ],
)
def test_a_session_that_is_none_of_the_registrys_is_said(
    person: Person, url: str, said: str
) -> None:
    assert session(person, "status", url) == 1
    assert said in person.err


def test_a_session_that_the_registry_refuses_is_said(person: Person) -> None:
    person.publish("--stage")
    person.server.plan("GET session", problem(403, "the token is for gadgets"))

    assert session(person, "publish") == 1
    assert "the token is for gadgets" in person.err


def test_a_registry_without_sessions_is_said(person: Person) -> None:
    person.offer_legacy_alone()

    assert session(person, "status") == 1
    assert "offers no Upload API 2.0" in person.err
