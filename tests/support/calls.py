"""One call of every method of a store, for facts that must hold for all of them."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.oidc.keycache import StoredKeySet
from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import Store
from tests.support.samples import (
    GITHUB,
    NOW,
    configuration,
    file,
    operation,
    publisher,
    receipt_key,
    record,
    release,
    session,
    staged,
    tombstone,
)

_LOOKUP_ID = record().lookup_id
CALLS: dict[str, Callable[[Store], Any]] = {
    "load_configuration": lambda store: store.load_configuration(),
    "apply": lambda store: store.apply(configuration(), [publisher()]),
    "load_setup": lambda store: store.load_setup(),
    "survey": lambda store: list(store.survey("acme")),
    "list_publishers": lambda store: store.list_publishers(publisher().identity_key),
    "pin_publisher": lambda store: store.pin_publisher(publisher(), {"repository_id": "1"}),
    "add_token": lambda store: store.add_token(record()),
    "find_token": lambda store: store.find_token(_LOOKUP_ID, ("acme", "widgets")),
    "burn_token": lambda store: store.burn_token(_LOOKUP_ID, "hash", "acme", NOW),
    "refuse_identity_tokens": lambda store: store.refuse_identity_tokens(NOW),
    "list_tokens": lambda store: store.list_tokens(NOW),
    "add_operator_record": lambda store: store.add_operator_record(operation(), NOW),
    "list_operator_records": lambda store: store.list_operator_records(),
    "newest_operator_records": lambda store: store.newest_operator_records(1),
    "find_key_set": lambda store: store.find_key_set(GITHUB),
    "save_key_set": lambda store: store.save_key_set(GITHUB, StoredKeySet([], NOW)),
    "claim_key_set_refresh": lambda store: store.claim_key_set_refresh(
        GITHUB, NOW, timedelta(seconds=60)
    ),
    "find_entry": lambda store: store.find_entry("acme", "widgets", "widgets-1.0.tar.gz"),
    "add_file": lambda store: store.add_file(file()),
    "save_attestation_state": lambda store: store.save_attestation_state(
        "acme", "widgets", "widgets-1.0.tar.gz", AttestationState(AttestationStatus.VERIFIED)
    ),
    "find_release": lambda store: store.find_release("acme", "widgets", "1"),
    "save_release": lambda store: store.save_release(release(), None),
    "reopen_release": lambda store: store.reopen_release("acme", "widgets", "1", NOW),
    "yank_release": lambda store: store.yank_release("acme", "widgets", "1", "breaks"),
    "list_withdrawn": lambda store: store.list_withdrawn("acme", "widgets"),
    "delete_file": lambda store: store.delete_file("acme", "widgets", "x.whl", tombstone()),
    "set_status": lambda store: store.set_status(
        "acme", "widgets", ProjectStatus("archived", "moved")
    ),
    "find_status": lambda store: store.find_status("acme", "widgets"),
    "find_files": lambda store: store.find_files("acme", "widgets"),
    "find_edition": lambda store: store.find_edition("acme", "widgets"),
    "list_files": lambda store: store.list_files("acme", "widgets"),
    "add_session": lambda store: store.add_session(session()),
    "find_session": lambda store: store.find_session(session().token),
    "save_session": lambda store: store.save_session(session().changed(), session()),
    "reserve": lambda store: store.reserve(session(), [file()]),
    "publish_session": lambda store: store.publish_session(session().published(NOW)),
    "release": lambda store: store.release(session(staged())),
    "list_sessions": lambda store: store.list_sessions(NOW),
    "list_receipt_keys": lambda store: store.list_receipt_keys(),
    "save_receipt_key": lambda store: store.save_receipt_key(receipt_key(), None),
    "list_projects": lambda store: store.list_projects("acme"),
}
EVERY_CALL = [pytest.param(call, id=name) for name, call in CALLS.items()]
