"""The operations on keys of receipts, each as a command or a request that can be sent again."""

from pytp_broker.provenance.receipt_keys import ReceiptKey
from tests.faults.operations import Attempt, Operation
from tests.faults.stage import Stage
from tests.support.deployment import Answer
from tests.support.receipt_signing import make_private_key, receipt_key_of

URL = "/.well-known/pytp-receipt-keys"


def present(stage: Stage) -> ReceiptKey:
    """Return a key of the broker that has signed until now."""
    key = receipt_key_of(make_private_key("present"), stage.now)
    assert stage.engine.store.save_receipt_key(key, None)
    return key


def rotate_a_key(stage: Stage) -> Attempt:
    """Make a new key: at every moment a key signs, and in the end the newest alone has no end."""
    old = present(stage)

    def the_newest_signs_alone(_answer: Answer) -> None:
        *before, newest = stage.engine.store.list_receipt_keys()
        assert old.key_id in {key.key_id for key in before}
        assert newest.not_after is None
        assert all(key.not_after is not None for key in before)
        assert any(key.signs_at(stage.now) for key in before)

    return Attempt(stage.faulty.rotate_key, 200, check=the_newest_signs_alone)


def revoke_a_key(stage: Stage) -> Attempt:
    """Revoke a key: everybody can read since when and why."""
    key = present(stage)

    def is_published(_answer: Answer) -> None:
        stage.let_caches_end()
        (published,) = stage.honest.call("GET", URL).json["keys"]
        assert published["revoked"]["reason"] == "lost"

    return Attempt(lambda: stage.faulty.revoke_key(key), 200, check=is_published)


def read_the_keys(stage: Stage) -> Attempt:
    """Read the public keys: they are never told without one that the broker has."""
    key = present(stage)

    def has_it(answer: Answer) -> None:
        assert answer.json["keys"] == [key.jwk()]

    return Attempt(lambda: stage.faulty.call("GET", URL), 200, check=has_it)


KEY_OPERATIONS: tuple[Operation, ...] = (rotate_a_key, revoke_a_key, read_the_keys)
