"""The catalogue of attacks in `tests/cases/attacks.json`: a test for each row, beside its subject.

A test of a row has its id in a marker. The tests are black boxes: they send a request, and look at
the answer, the store and the fetches. Where a row expects something else than our broker does, a
comment at its test says so.
"""

import hashlib
import json
from pathlib import Path

import pytest

from tests.support import distributions
from tests.support.deployment import Answer
from tests.support.markers import marked_with
from tests.support.shelf import Shelf
from tests.support.signing import github_claims, rsa_key
from tests.support.world import World

CASES = Path(__file__).parents[1] / "cases"
ROWS: list[dict[str, str]] = json.loads((CASES / "attacks.json").read_text(encoding="utf-8"))
LEFT_OUT: dict[str, str] = json.loads((CASES / "attacks_left_out.json").read_text("utf-8"))


def test_every_row_has_a_test_or_a_reason() -> None:
    tested = marked_with("row").keys()

    assert {row["id"] for row in ROWS} == tested | LEFT_OUT.keys()
    assert not tested & LEFT_OUT.keys()
    assert all(len(reason) > 20 for reason in LEFT_OUT.values())


@pytest.mark.row("A110")
def test_nothing_that_is_written_holds_a_token() -> None:
    world, shelf = World(), Shelf()
    good, bad = world.token(), world.issuer.sign(github_claims(), key=rsa_key("attacker"))
    minted = world.mint(good).json["token"]
    world.store.fail_next("add_token")
    answers: list[Answer] = [
        *(world.mint(token) for token in (good, bad, world.token(), minted, good + "x")),
        world.mint(world.token(actor=minted, environment=good)),
        world.call("POST", "/acme/_/oidc/burn-token", {"token": minted}),
        shelf.post(b"", f"Bearer {minted}"),
        shelf.publish(distributions.wheel()),
    ]
    written = repr([world.records, world.store.__dict__, shelf.records, shelf.store.__dict__])
    written += repr([answer.body for answer in answers])

    secrets = [minted, shelf.token.reveal(), shelf.basic(), *good.split("."), *bad.split(".")[1:]]
    assert not [secret for secret in secrets if secret in written]
    assert hashlib.sha256(minted.encode()).hexdigest()[:12] in written
