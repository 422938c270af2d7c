"""The page on verification says what the code does."""

import re
from pathlib import Path

from pytp_broker.provenance.attestations import MAX_BYTES
from pytp_broker.provenance.judgement import Reason
from pytp_broker.provenance.trusted_roots import SHIPPED_ON

PAGE = (Path(__file__).parents[3] / "docs/trust-root.md").read_text()


def test_the_page_explains_every_reason() -> None:
    (rows,) = re.findall(r"<!-- reasons -->\n((?:\|.*\n)+)", PAGE)

    assert re.findall(r"^\| `([a-z-]+)` ", rows, re.MULTILINE) == [each.value for each in Reason]


def test_the_page_says_how_old_the_shipped_root_is() -> None:
    assert f"<!-- shipped on -->{SHIPPED_ON}." in PAGE
    assert f"the trusted root of this package, of {SHIPPED_ON}" in PAGE


def test_the_page_says_how_large_attestations_may_be() -> None:
    assert f"more than {MAX_BYTES // 1024} KiB" in PAGE
