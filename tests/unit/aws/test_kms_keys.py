"""Keys of receipts in KMS: made with the tag of their stack, and registered with their ARN."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from pytp_broker.aws.boto import made_once
from pytp_broker.aws.kms_keys import TAG, KmsKeys
from pytp_broker.errors import StoreUnavailable
from tests.support.signing import NOW


def new_key(kms: Any, spec: str = "ECC_NIST_P256", usage: str = "SIGN_VERIFY") -> str:
    answer = kms.create_key(KeySpec=spec, KeyUsage=usage)
    return str(answer["KeyMetadata"]["KeyId"])


def test_a_new_key_has_the_tag_with_which_the_upload_function_may_sign(kms: Any) -> None:
    key = KmsKeys(lambda: kms, "pytp-broker").make(NOW)

    described = kms.describe_key(KeyId=key.location)["KeyMetadata"]
    tags = kms.list_resource_tags(KeyId=key.location)["Tags"]
    assert (described["KeySpec"], described["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    assert tags == [{"TagKey": TAG, "TagValue": "pytp-broker"}]
    assert key.location.endswith(described["KeyId"])
    assert key.not_before == NOW


def test_the_first_key_is_the_one_that_the_template_has_made(kms: Any) -> None:
    key_id = new_key(kms)

    key = KmsKeys(lambda: kms, "pytp-broker", key_id).make_first(NOW)

    assert key is not None
    assert key.location.endswith(key_id)


def test_a_stack_without_a_key_has_no_first_one(kms: Any) -> None:
    assert KmsKeys(lambda: kms, "pytp-broker").make_first(NOW) is None
    assert kms.list_keys()["Keys"] == []


def test_a_key_that_the_operator_gives_is_taken_instead_of_a_new_one(kms: Any) -> None:
    given = new_key(kms)

    key = KmsKeys(lambda: kms, given=given).make(NOW)

    assert key.location.endswith(given)
    assert len(kms.list_keys()["Keys"]) == 1


def test_without_a_stack_a_key_must_be_given(kms: Any) -> None:
    with pytest.raises(StoreUnavailable, match="name the broker with --stack, or a key of KMS"):
        KmsKeys(lambda: kms).make(NOW)

    assert kms.list_keys()["Keys"] == []


@pytest.mark.parametrize(
    ("spec", "usage"),
    [
        ("ECC_NIST_P384", "SIGN_VERIFY"),
        ("RSA_2048", "SIGN_VERIFY"),
        ("RSA_2048", "ENCRYPT_DECRYPT"),
        ("ECC_NIST_P256", "KEY_AGREEMENT"),
    ],
)
def test_a_key_of_another_kind_is_refused(kms: Any, spec: str, usage: str) -> None:
    given = new_key(kms, spec, usage)

    with pytest.raises(StoreUnavailable, match="cannot sign receipts: make one with"):
        KmsKeys(lambda: kms, given=given).make(NOW)


def test_a_key_that_is_not_there_is_told_in_the_words_of_aws(kms: Any) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        KmsKeys(lambda: kms, given="00000000-0000-0000-0000-000000000000").make(NOW)

    assert refused.value.operator_detail == "GetPublicKey: NotFoundException"
    assert "00000000-0000-0000-0000-000000000000" in str(refused.value.__context__)


def test_threads_that_need_a_client_at_once_get_the_same_one() -> None:
    made: list[object] = []
    together = Barrier(8)

    def make() -> object:
        made.append(object())
        return made[-1]

    get = made_once(make)

    def ask(_number: int) -> object:
        together.wait()
        return get()

    with ThreadPoolExecutor(8) as pool:
        found = set(map(id, pool.map(ask, range(8))))

    assert found == {id(made[0])}
    assert len(made) == 1
