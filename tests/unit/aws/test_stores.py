"""The store that the deployed functions have."""

import ast
from pathlib import Path

import pytest

from pytp_broker import aws
from pytp_broker.aws.dynamodb import RuntimeDynamoStore
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.storage.protocols import OperatorStore

ONLY_AN_OPERATORS = sorted(name for name in vars(OperatorStore) if not name.startswith("_"))


@pytest.mark.parametrize("method", ONLY_AN_OPERATORS)
def test_a_functions_store_cannot_do_what_only_an_operator_may(method: str) -> None:
    assert hasattr(DynamoStore, method)
    assert not hasattr(RuntimeDynamoStore, method)


@pytest.mark.parametrize("name", ["edge", "broker", "upload", "read", "introspect"])
def test_no_function_imports_the_operators_store(name: str) -> None:
    text = (Path(str(aws.__file__)).parent / f"{name}.py").read_text()
    imported = {n.module for n in ast.walk(ast.parse(text)) if isinstance(n, ast.ImportFrom)}

    assert imported.isdisjoint(
        {"pytp_broker.aws.dynamodb.operating", "pytp_broker.aws.deployments"}
    )
