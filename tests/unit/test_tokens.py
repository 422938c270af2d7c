"""Upload tokens: their form, and how they hide."""

import pickle
import secrets
import traceback
from dataclasses import replace
from datetime import timedelta
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.grants import Grant, Permission
from pytp_broker.tokens import (
    PREFIX,
    Listing,
    MalformedTokenError,
    TokenRecord,
    UploadToken,
    _checksum,
)
from tests.support.signing import NOW

UPLOAD = Permission.UPLOAD
LOOKUP_ID = "00112233445566778899aabbccddeeff"


@pytest.mark.parametrize("lookup_id", [LOOKUP_ID, "00" * 16, "ff" * 16])
@pytest.mark.parametrize("secret", [None, b"\x00" * 32, b"\xff" * 32])
def test_a_minted_token_is_read_back(
    lookup_id: str, secret: bytes | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if secret is not None:
        monkeypatch.setattr(secrets, "token_bytes", lambda _: secret)

    token = UploadToken.mint(lookup_id)

    assert token.lookup_id == lookup_id
    assert UploadToken.parse(token.reveal()).lookup_id == lookup_id
    assert UploadToken.parse(token.reveal()).hash == token.hash


def test_two_tokens_of_one_lookup_id_differ() -> None:
    assert UploadToken.mint(LOOKUP_ID).reveal() != UploadToken.mint(LOOKUP_ID).reveal()


@pytest.mark.parametrize("position", range(0, 76, 3))
def test_one_changed_character_makes_it_malformed(position: int) -> None:
    text = UploadToken.mint(LOOKUP_ID).reveal()
    other = "a" if text[position] != "a" else "b"

    with pytest.raises(MalformedTokenError):
        UploadToken.parse(text[:position] + other + text[position + 1 :])


@given(st.text(max_size=200))
def test_no_text_is_an_error_of_ours(text: str) -> None:
    for candidate in (text, PREFIX + text, (PREFIX + text).ljust(76, "0")[:76]):
        with pytest.raises(MalformedTokenError):
            UploadToken.parse(candidate)


@pytest.mark.parametrize("digits", ["z" * 65, "-" + "0" * 64, "0" * 64 + "\u0661"])
def test_a_right_checksum_is_not_enough(digits: str) -> None:
    """The lookup id or the secret may have too many bits, or a character may not be a digit."""
    body = PREFIX + digits
    with pytest.raises(MalformedTokenError):
        UploadToken.parse(body + _checksum(body))


def test_a_token_hides_itself() -> None:
    token = UploadToken.mint(LOOKUP_ID)
    secret = token.reveal()

    assert secret not in f"{token} {token!r} {[token]}"
    with pytest.raises(TypeError):
        pickle.dumps(token)
    try:
        raise ValueError(token)
    except ValueError:
        assert secret not in traceback.format_exc()


def record(token: UploadToken) -> TokenRecord:
    return TokenRecord(
        lookup_id=LOOKUP_ID,
        token_hash=token.hash,
        issuer="https://issuer.example",
        identity={"repository": "o/r"},
        grants=(Grant("acme", None, UPLOAD, {"p1": 2, "p2": 0}),),
        projects={"acme": Listing(("widgets", "gadgets"), 3)},
        features=("multi-use-token",),
        issued_at=NOW,
        expires_at=NOW + timedelta(seconds=900),
        kept_until=NOW + timedelta(seconds=990),
    )


def test_a_record_survives_storage() -> None:
    kept = record(UploadToken.mint(LOOKUP_ID))

    assert TokenRecord.from_document(kept.document(), burned_at=None, used_for=None) == kept


def test_a_record_of_an_earlier_version_tells_neither_provider_nor_pins() -> None:
    kept = replace(
        record(UploadToken.mint(LOOKUP_ID)), provider="github", pins={"repository_id": "1"}
    )
    document = kept.document()
    read = partial(TokenRecord.from_document, burned_at=None, used_for=None)

    assert read(document) == kept
    del document["provider"], document["pins"]
    assert (read(document).provider, read(document).pins) == ("", {})


def test_a_token_is_live_until_its_last_second() -> None:
    token = UploadToken.mint(LOOKUP_ID)
    kept = record(token)

    assert kept.is_live(token, NOW + timedelta(seconds=899))
    assert not kept.is_live(token, NOW + timedelta(seconds=900))


def test_a_token_is_live_only_with_its_own_secret() -> None:
    assert not record(UploadToken.mint(LOOKUP_ID)).is_live(UploadToken.mint(LOOKUP_ID), NOW)


def test_a_burned_token_is_not_live() -> None:
    token = UploadToken.mint(LOOKUP_ID)
    burned = TokenRecord.from_document(
        record(token).document(), burned_at=int(NOW.timestamp()), used_for=None
    )

    assert not burned.is_live(token, NOW)


def test_a_token_is_for_the_projects_of_its_registry_that_trust_its_publishers() -> None:
    kept = record(UploadToken.mint(LOOKUP_ID))

    assert kept.publishers_for(UPLOAD, "acme", "gadgets", {"p2": 0, "p1": 0, "p3": 0}) == (
        "p1",
        "p2",
    )
    assert kept.publishers_for(UPLOAD, "acme", "gadgets", {"p3": 0}) == ()
    assert kept.publishers_for(UPLOAD, "other", "gadgets", {"p1": 0}) == ()
    assert kept.registries == ("acme",)


def test_a_project_that_was_added_to_a_publisher_after_the_exchange_is_not_covered() -> None:
    kept = record(UploadToken.mint(LOOKUP_ID))

    assert kept.publishers_for(UPLOAD, "acme", "gadgets", {"p1": 2, "p2": 1}) == ("p1",)
    assert kept.publishers_for(UPLOAD, "acme", "gadgets", {"p1": 3}) == ()


def test_a_grant_for_one_project_covers_no_other() -> None:
    kept = replace(
        record(UploadToken.mint(LOOKUP_ID)), grants=(Grant("acme", "old", UPLOAD, {"p1": 0}),)
    )

    assert kept.publishers_for(UPLOAD, "acme", "old", {"p1": 7}) == ("p1",)
    assert kept.publishers_for(UPLOAD, "acme", "gadgets", {"p1": 0}) == ()


# A record of the first version, as its `document()` wrote it.
EARLIER = {
    "lookup_id": LOOKUP_ID,
    "token_hash": "0" * 64,
    "issuer": "https://issuer.example",
    "identity": {"repository": "o/r"},
    "scope": [["acme", "widgets", ["p1"]], ["acme", "gadgets", ["p1", "p2"]]],
    "features": ["multi-use-token"],
    "issued_at": int(NOW.timestamp()),
    "expires_at": int(NOW.timestamp()) + 900,
    "kept_until": int(NOW.timestamp()) + 990,
}


def test_a_record_of_the_first_version_is_for_the_projects_that_it_lists() -> None:
    kept = TokenRecord.from_document(EARLIER, burned_at=None, used_for=None)

    assert kept.publishers_for(UPLOAD, "acme", "gadgets", {"p2": 0}) == ("p2",)
    assert kept.publishers_for(UPLOAD, "acme", "widgets", {"p2": 0}) == ()
    assert kept.publishers_for(UPLOAD, "acme", "gizmos", {"p1": 0}) == ()
    assert kept.projects == {"acme": Listing(("widgets", "gadgets"), 2)}
    assert kept.registries == ("acme",)


def test_a_record_without_permissions_is_for_uploads() -> None:
    earlier = {**EARLIER, "grants": [["acme", None, {"p1": 2}], ["other", "gizmos", {"p2": 0}]]}

    kept = TokenRecord.from_document(earlier, burned_at=None, used_for=None)

    assert kept.grants == (
        Grant("acme", None, UPLOAD, {"p1": 2}),
        Grant("other", "gizmos", UPLOAD, {"p2": 0}),
    )


def test_a_grant_is_stored_with_named_members() -> None:
    assert record(UploadToken.mint(LOOKUP_ID)).document()["rights"] == [
        {
            "registry": "acme",
            "project": None,
            "permission": "upload",
            "publisher_ids": {"p1": 2, "p2": 0},
        }
    ]


def test_a_stored_permission_that_this_version_does_not_know_gives_no_right() -> None:
    document = record(UploadToken.mint(LOOKUP_ID)).document()
    document["rights"][0]["permission"] = "delete"

    kept = TokenRecord.from_document(document, burned_at=None, used_for=None)

    assert kept.grants == ()
    assert kept.publishers_for(UPLOAD, "acme", "gadgets", {"p1": 0}) == ()


def test_an_earlier_version_reads_a_record_as_one_for_its_listed_projects() -> None:
    kept = record(UploadToken.mint(LOOKUP_ID))

    earlier = {name: kept.document()[name] for name in EARLIER}

    assert [tuple(each) for each in earlier["scope"]] == [
        ("acme", "widgets", ["p1"]),
        ("acme", "gadgets", ["p1"]),
    ]


def test_a_project_of_an_exchanged_token_is_not_an_operators() -> None:
    exchanged = replace(
        record(UploadToken.mint(LOOKUP_ID)),
        grants=(Grant("acme", "widgets", Permission.UPLOAD, {}),),
    )

    assert exchanged.operators_projects(Permission.UPLOAD, "acme") == ()
