"""The code of dataclasses that the build keeps, and a class that is made with it."""

import dataclasses
import marshal
import sys
from pathlib import Path
from typing import Any

import pytest

from pytp_broker.aws import dataclass_code
from pytp_broker.aws.dataclass_code import key_of, use_kept_code


@pytest.fixture(autouse=True)
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the sources that dataclasses compile from now on; afterwards all is as before."""
    sources: list[str] = []

    def execute(source: str, module: dict[str, Any], names: dict[str, Any]) -> None:
        sources.append(source)
        exec(source, module, names)  # noqa: S102 - as dataclasses does

    monkeypatch.setattr(dataclasses, "exec", execute, raising=False)
    return sources


def make() -> Any:
    @dataclasses.dataclass(frozen=True, slots=True)
    class Point:
        x: int
        y: int = 0

    return Point


def kept(tmp_path: Path, codes: dict[bytes, bytes]) -> str:
    file = tmp_path / "code"
    file.write_bytes(marshal.dumps(codes))
    return str(file)


def test_a_class_is_made_of_the_code_that_was_kept(tmp_path: Path, compiled: list[str]) -> None:
    plain = make()
    codes = {key_of(each): marshal.dumps(compile(each, "<kept>", "exec")) for each in compiled}
    compiled.clear()

    use_kept_code(kept(tmp_path, codes))
    point = make()

    assert point(1).__init__.__code__.co_filename == "<kept>"
    assert compiled == []
    assert repr(point(1)) == repr(plain(1))
    assert point(1) == point(1, 0) != point(2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        point(1).x = 2


def test_a_class_that_the_build_did_not_see_is_compiled(tmp_path: Path) -> None:
    use_kept_code(kept(tmp_path, {}))

    assert make()(1, 2).y == 2


def test_without_the_file_dataclasses_do_what_they_always_do(
    tmp_path: Path, compiled: list[str]
) -> None:
    use_kept_code(str(tmp_path / "nothing"))

    make()

    assert compiled


def test_code_for_another_python_is_not_found() -> None:
    assert dataclass_code.FILE.endswith(f"/aws/dataclass_code.{sys.implementation.cache_tag}")
