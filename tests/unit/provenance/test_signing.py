"""Signing where nothing is published."""

import pytest

from pytp_broker.errors import StoreUnavailable
from pytp_broker.provenance.signing import NoSigner


def test_a_function_that_publishes_nothing_signs_nothing() -> None:
    with pytest.raises(StoreUnavailable, match="cannot sign a receipt now") as refused:
        NoSigner().sign(b"a receipt")

    assert refused.value.operator_detail == "no signer for 9 bytes"
