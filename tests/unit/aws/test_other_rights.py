"""What functions ask of KMS and Lambda, and of S3 for large listings, against their roles.

`tests/faults/test_rights.py` records all other requests, on the emulator.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.aws.api.errors import UnansweredError
from pytp_broker.aws.kms_signer import KmsSigner
from pytp_broker.aws.lambda_attester import LambdaAttester
from pytp_broker.aws.lambda_verifier import LambdaVerifier
from pytp_broker.aws.s3_listings import S3Listings
from pytp_broker.errors import StoreUnavailable
from pytp_broker.storage.cache import ReceiptKeyCache
from tests.support.receipt_signing import make_private_key, receipt_key_of
from tests.support.signing import NOW
from tests.unit.aws.test_lambda_attester import QUESTION
from tests.unit.aws.test_lambda_verifier import PLACE
from tests.unit.project.test_template import as_list, statements

KEY = "arn:aws:kms:eu-west-1:123456789012:key/1"
LISTING = "listings/acme/widgets/1"
# The name of the action for a method of a client, where the two differ.
ACTIONS = {"invoke": "InvokeFunction"}
PLACES = ("FunctionName", "KeyId", "Key")


@dataclass
class Asked:
    """A client that takes down the action and the place of each request, and never answers."""

    service: str
    requests: set[tuple[str, str]] = field(default_factory=set)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        action = ACTIONS.get(method) or "".join(part.title() for part in method.split("_"))

        def ask(**parameters: Any) -> Any:
            (place,) = (parameters[name] for name in PLACES if name in parameters)
            self.requests.add((f"{self.service}:{action}", place))
            raise UnansweredError(method, "TimeoutError", "")

        return ask


def sign_a_receipt() -> set[tuple[str, str]]:
    asked = Asked("kms")
    key = receipt_key_of(make_private_key(), NOW - timedelta(days=1), KEY)
    signer = KmsSigner(lambda: asked, ReceiptKeyCache(lambda: [key]), lambda: NOW)  # type: ignore[arg-type, return-value]
    with suppress(StoreUnavailable):
        signer.sign(b"a receipt")
    return asked.requests


def let_a_file_be_verified() -> set[tuple[str, str]]:
    asked = Asked("lambda")
    with suppress(StoreUnavailable):
        LambdaVerifier(lambda: asked, "VerifyFunction").request(PLACE)
    return asked.requests


def let_attestations_be_verified() -> set[tuple[str, str]]:
    asked = Asked("lambda")
    with suppress(StoreUnavailable):
        LambdaAttester(lambda: asked, "AttestFunction").verify(QUESTION)
    return asked.requests


def keep_a_large_listing() -> set[tuple[str, str]]:
    return ask_for_listings("save", LISTING, b"{}") | ask_for_listings("read", LISTING)


def retire_a_large_listing() -> set[tuple[str, str]]:
    return ask_for_listings("retire", LISTING)


def read_a_large_listing() -> set[tuple[str, str]]:
    return ask_for_listings("read", LISTING)


def ask_for_listings(method: str, *arguments: Any) -> set[tuple[str, str]]:
    asked = Asked("s3")
    with suppress(StoreUnavailable):
        getattr(S3Listings(lambda: asked, "bucket"), method)(*arguments)  # type: ignore[arg-type, return-value]
    return asked.requests


@pytest.mark.promise("least-rights")
@pytest.mark.parametrize(
    ("role", "statement", "ask"),
    [
        ("UploadRole", "SignReceipts", sign_a_receipt),
        ("UploadRole", "LetFilesBeVerified", let_a_file_be_verified),
        ("UploadRole", "LetAttestationsBeVerified", let_attestations_be_verified),
        ("VerifyRole", "LetAttestationsBeVerified", let_attestations_be_verified),
        ("UploadRole", "KeepLargeListings", keep_a_large_listing),
        ("VerifyRole", "KeepLargeListings", keep_a_large_listing),
        ("UploadRole", "RetireLargeListings", retire_a_large_listing),
        ("VerifyRole", "RetireLargeListings", retire_a_large_listing),
        ("WebRole", "ReadLargeListings", read_a_large_listing),
    ],
)
def test_a_statement_allows_exactly_what_is_asked(
    role: str, statement: str, ask: Callable[[], set[tuple[str, str]]]
) -> None:
    (allowed,) = (each for each in statements(role) if each["Sid"] == statement)

    requests = ask()

    assert {action for action, _ in requests} == {*as_list(allowed["Action"])}
    assert {place_of(place) for _, place in requests} == {pattern_of(allowed["Resource"])}


def place_of(place: str) -> str:
    """Return a place as a statement names it: without the account, and without what varies."""
    if place == KEY:
        return "key/*"
    return "listings/*" if place == LISTING else place


def pattern_of(resource: Any) -> str:
    if isinstance(resource, list):  # !GetAtt
        return str(resource[0])
    if "Fn::GetAtt" in resource:
        found = resource["Fn::GetAtt"]
        return str(found[0] if isinstance(found, list) else found.partition(".")[0])
    return str(resource["Fn::Sub"]).replace("${Bucket.Arn}/", "").rpartition(":")[2]
