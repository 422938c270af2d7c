"""Every store call of every operation fails in every way; invariants hold, and a retry succeeds."""

import pytest

from tests.faults.engines import DynamoEngines, Engines
from tests.faults.injection import Fault
from tests.faults.key_operations import KEY_OPERATIONS
from tests.faults.operations import OPERATIONS, WRITING_OPERATIONS, Operation
from tests.faults.session_operations import SESSION_OPERATIONS, WRITING_SESSION_OPERATIONS
from tests.faults.trials import try_every_call

WRITING = (*WRITING_OPERATIONS, *WRITING_SESSION_OPERATIONS)
EVERY = (*OPERATIONS, *SESSION_OPERATIONS, *KEY_OPERATIONS)

every_fault = pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.name.lower())


def each(operations: tuple[Operation, ...]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "operation", operations, ids=lambda operation: operation.__name__
    )


@pytest.mark.promise("lost-answer")
@every_fault
@each(EVERY)
def test_a_fault_does_no_harm_and_a_retry_heals_it(
    sqlite_engines: Engines, operation: Operation, fault: Fault
) -> None:
    try_every_call(sqlite_engines, operation, fault)


@pytest.mark.ministack
@every_fault
@each(tuple(each for each in EVERY if each not in WRITING))
def test_a_fault_does_no_harm_and_a_retry_heals_it_on_ministack(
    ministack_engines: DynamoEngines, operation: Operation, fault: Fault
) -> None:
    """The writing operations meet finer faults there: each request of a call, on the wire."""
    try_every_call(ministack_engines, operation, fault)


@every_fault
@each(WRITING)
def test_a_fault_does_no_harm_and_a_retry_heals_it_on_moto(
    moto_engines: DynamoEngines, operation: Operation, fault: Fault
) -> None:
    try_every_call(moto_engines, operation, fault)


KEY_CHANGE = "add_operator_record save_receipt_key"
KEYS = "find_key_set claim_key_set_refresh save_key_set"
PINS = "find_token pin_publisher pin_publisher"
RELEASE = "find_release list_files"
SAVES = "save save sign save"
UPLOAD = f"find_token find_entry {RELEASE} {SAVES} announce_file save_release use_token add_file"


@pytest.mark.parametrize(
    ("operation", "calls"),
    [
        ("mint", f"load_configuration {KEYS} list_publishers add_token"),
        (
            "mint_on_first_use",
            f"load_configuration {KEYS} list_publishers {PINS} add_token",
        ),
        (
            "mint_to_read",
            f"load_configuration {KEYS} list_publishers list_publishers pin_publisher add_token",
        ),
        ("upload_single_use", f"load_configuration {UPLOAD}"),
        (
            "verify_attestations",
            "find_entry open save_attestation_state",
        ),
        (
            "verify_refused_attestations",
            "find_entry open save_attestation_state find_files",
        ),
        ("read_provenance", "load_configuration find_entry open"),
        ("read_a_receipt", "load_configuration find_entry open"),
        ("burn", "load_configuration burn_token"),
        ("disclose", "load_configuration find_key_set save_key_set burn_token burn_token"),
        ("consume", "load_configuration find_token use_token"),
        ("yank", "yank_release"),
        ("list_all", "survey load_setup"),
        ("read_a_yanked_release", "load_configuration find_files"),
        ("quarantine", "set_status"),
        ("refuse_identity_tokens", "refuse_identity_tokens"),
        ("upload_to_a_closed_project", "load_configuration find_token find_entry"),
        ("read_a_quarantined_project", "load_configuration find_files"),
        ("delete_file", "delete_file"),
        ("upload_a_deleted_name", "load_configuration find_token find_entry"),
        (
            "read_without_a_deleted_file",
            "load_configuration find_files",
        ),
        (
            "read_a_private_page",
            "load_configuration find_token find_files",
        ),
        ("read_with_a_burned_token", "load_configuration find_token"),
        ("read_with_a_token_of_another_registry", "load_configuration find_token"),
        ("make_a_token", "add_operators_token"),
        (
            "read_with_an_operators_token",
            "load_configuration find_token find_files",
        ),
        ("rotate_a_key", f"list_receipt_keys {KEY_CHANGE} {KEY_CHANGE}"),
        ("revoke_a_key", KEY_CHANGE),
        ("read_the_keys", "load_configuration list_receipt_keys"),
        ("download_a_deleted_file", "load_configuration find_entry"),
        ("download_from_a_quarantined_project", "load_configuration find_entry"),
    ],
)
def test_the_calls_that_are_broken_are_these(
    sqlite_engines: Engines, operation: str, calls: str
) -> None:
    """Without this, an operation that no longer makes a call would pass unnoticed."""
    (found,) = [o for o in EVERY if o.__name__ == operation]

    assert try_every_call(sqlite_engines, found, Fault.BEFORE) == calls.split()
