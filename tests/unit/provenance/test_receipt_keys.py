"""Keys of receipts: their ids, the time in which each one signs, and which keys we cannot use."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from pytp_broker.provenance.receipt_keys import (
    OVERLAP,
    KeyDocument,
    ReceiptKey,
    key_from_point,
    signing_key,
)
from tests.support.receipt_signing import TestSigner, make_private_key, receipt_key_of

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
KEY = receipt_key_of(make_private_key(), NOW, "arn:aws:kms:eu-west-1:123456789012:key/1")
OTHER = receipt_key_of(make_private_key("other"), NOW)
HOST = "packages.example.com"


def test_a_keys_id_is_its_thumbprint() -> None:
    """The key of RFC 7517 §A.1, and its thumbprint of RFC 7638."""
    key = ReceiptKey(
        x="MKBCTNIcKUSDii11ySs3526iDZ8AiTo7Tu6KPAqv7D4",
        y="4Etl6SRW2YiLUrN5vfvVHuhp7x8PxltmWWlbbM4IFyM",
        not_before=NOW,
    )

    assert key.key_id == "cn-I_WNMClehiVp51i_0VpOENW1upEerA8sEam5hn-s"


def test_a_point_becomes_a_key() -> None:
    point = b"\x04" + b"\x01" * 32 + b"\x02" * 32

    key = key_from_point(point, NOW)

    assert (len(key.x), len(key.y), key.not_before) == (43, 43, NOW)
    assert ReceiptKey.from_document(key.document()) == key


@pytest.mark.parametrize(
    "key",
    [KEY, KEY.ended(NOW), KEY.revoked(NOW, "a laptop was stolen")],
    ids=["new", "ended", "revoked"],
)
def test_a_stored_key_is_read_as_it_was_written(key: ReceiptKey) -> None:
    assert ReceiptKey.from_document(key.document()) == key


def test_a_published_key_does_not_say_where_its_private_key_is() -> None:
    assert "arn" not in str(KEY.jwk())
    assert KEY.jwk()["kty"] == "EC"


@pytest.mark.parametrize(
    ("key", "at", "signs"),
    [
        (KEY, NOW, True),
        (KEY, NOW - MINUTE, False),
        (KEY, NOW + timedelta(days=9000), True),
        (KEY.ended(NOW), NOW + OVERLAP, True),
        (KEY.ended(NOW), NOW + OVERLAP + MINUTE, False),
        (KEY.revoked(NOW, "stolen"), NOW, False),
    ],
)
def test_a_key_signs_in_its_time(key: ReceiptKey, at: datetime, signs: bool) -> None:
    assert key.signs_at(at) is signs


def test_a_key_that_ends_twice_ends_the_first_time() -> None:
    assert KEY.ended(NOW).ended(NOW + timedelta(days=1)) == KEY.ended(NOW)


def test_the_newest_key_in_force_signs() -> None:
    newer = replace(OTHER, not_before=NOW + MINUTE)

    assert signing_key([newer, KEY], NOW) == KEY
    assert signing_key([newer, KEY], NOW + MINUTE) == newer
    assert signing_key([newer.revoked(NOW, "stolen"), KEY], NOW + MINUTE) == KEY
    assert signing_key([], NOW) is None


def test_of_two_keys_of_one_moment_all_functions_take_the_same() -> None:
    assert signing_key([KEY, OTHER], NOW) == signing_key([OTHER, KEY], NOW)


def jwk(**changes: Any) -> dict[str, Any]:
    """Return the key as it is published, with changes; None leaves a member out."""
    members = {**KEY.jwk(), **changes}
    return {name: member for name, member in members.items() if member is not None}


BAD: list[Any] = [
    jwk(kty="RSA"),
    jwk(kty="oct", k="c2VjcmV0"),
    jwk(crv="P-384"),
    jwk(crv="secp256k1"),
    jwk(alg="ES384"),
    jwk(alg="none"),
    jwk(alg=None),
    jwk(kid="another"),
    jwk(kid=OTHER.key_id),
    jwk(kid=None),
    jwk(x=None),
    jwk(x=1),
    jwk(x=[]),
    jwk(x=""),
    jwk(x="!" * 43),
    jwk(x="é"),
    jwk(x=f"{KEY.x}AA"),
    jwk(x=f"{KEY.x}="),
    jwk(x=KEY.x[:-1]),
    jwk(y=OTHER.y),
    jwk(**{"not-before": None}),
    jwk(**{"not-before": 1}),
    jwk(**{"not-before": "soon"}),
    jwk(**{"not-before": "2026-11-22T12:00:00"}),
    jwk(**{"not-after": "9999-12-31T23:59:59-12:00"}),
    jwk(revoked=True),
    jwk(revoked="since Monday"),
    jwk(revoked={"since": "2026-11-22T12:00:00Z"}),
    jwk(revoked={"reason": "stolen"}),
    jwk(revoked={"since": "2026-11-22T12:00:00Z", "reason": 1}),
    "a key",
    None,
    7,
    [],
]


@pytest.mark.parametrize("entry", BAD, ids=str)
def test_a_key_that_we_cannot_use_is_refused(entry: Any) -> None:
    with pytest.raises(ValueError, match="not a key of receipts"):
        ReceiptKey.from_document(entry)


@pytest.mark.parametrize("entry", BAD, ids=str)
def test_such_a_key_is_skipped_and_counted_and_the_others_stay(entry: Any) -> None:
    document = {"host": HOST, "keys": [entry, OTHER.jwk()]}

    found = KeyDocument.from_document(document)

    assert (list(found.keys), found.skipped) == ([OTHER.key_id], 1)


@pytest.mark.parametrize("registry", [None, "acme"])
def test_a_document_of_keys_is_read_as_it_was_written(registry: str | None) -> None:
    keys = TestSigner().published(HOST, registry)

    assert KeyDocument.from_document(keys.document()) == keys


@pytest.mark.parametrize(
    "document",
    [
        {},
        {"keys": []},
        {"host": HOST},
        {"host": 1, "keys": []},
        {"host": HOST, "keys": {}},
        {"host": HOST, "keys": None},
        {"host": HOST, "keys": [], "registry": 1},
    ],
)
def test_another_document_has_no_keys(document: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="`host` and a list of `keys`"):
        KeyDocument.from_document(document)


def test_a_key_that_is_there_twice_makes_the_document_useless() -> None:
    """Of two entries with one id, one might be revoked and the other not."""
    document = {"host": HOST, "keys": [KEY.jwk(), KEY.revoked(NOW, "stolen").jwk()]}

    with pytest.raises(ValueError, match="one key twice"):
        KeyDocument.from_document(document)
