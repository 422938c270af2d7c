"""What a project's page costs on AWS: read units, round trips and bytes, at any number of files."""

import json
import random
from datetime import timedelta
from typing import Any

import pytest

from pytp_broker.aws.dynamodb.file_rows import file_item
from pytp_broker.aws.dynamodb.listing_rows import MAX_INLINE_BYTES
from pytp_broker.aws.dynamodb.operating import DynamoStore
from pytp_broker.aws.dynamodb.table import attributes
from pytp_broker.endpoints.events import write_result
from pytp_broker.http.compression import check_uncompressed, compress
from pytp_broker.http.messages import Response
from pytp_broker.index.pages import project_json
from pytp_broker.index.reading import find_listing
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_files import ProjectFiles
from pytp_broker.storage.project_status import ACTIVE
from tests.support.figures import PAGES
from tests.support.metered import MeteredBucket, MeteredTable
from tests.support.samples import NOW, file
from tests.support.shelf import Shelf
from tests.support.stock import HTML, JSON

PLACE = ("acme", "widgets")
TAGS = ("cp311-cp311-manylinux_2_17_x86_64.manylinux2014_x86_64", "cp312-cp312-win_amd64")


def published(count: int) -> list[PublishedFile]:
    """Return the files of releases with an sdist and wheels, whose hashes nothing compresses."""
    chance = random.Random(count)  # noqa: S311
    return [_published(number, chance) for number in range(count)]


def _published(number: int, chance: random.Random) -> PublishedFile:
    version = f"1.{number // 3}.0"
    tag = (".tar.gz", *(f"-{tag}.whl" for tag in TAGS))[number % 3]
    return file(
        f"widgets-{version}{tag}",
        version=version,
        sha256=chance.randbytes(32).hex(),
        metadata_sha256=chance.randbytes(32).hex(),
        size=chance.randrange(1000, 10_000_000),
        uploaded_at=NOW + timedelta(seconds=number, microseconds=chance.randrange(1_000_000)),
        published_by={"issuer": "https://token.actions.githubusercontent.com", "run": str(number)},
    )


class Pages:
    """A project with so many files, the last of which has just been uploaded."""

    def __init__(self, count: int) -> None:
        *others, last = published(count)
        self.table = MeteredTable([attributes(**file_item(each)) for each in others])
        self.bucket = MeteredBucket()
        self.open(self.table).add_file(last)
        self.table.reset()
        self.bucket.reads = 0

    def open(self, table: Any) -> DynamoStore:
        return DynamoStore(table, "table", self.bucket)


@pytest.mark.parametrize("count", [10, 500, 1000, 10_000])
def test_a_page_costs_few_read_units_at_any_size(count: int) -> None:
    pages = Pages(count)
    found = pages.open(pages.table).find_files(*PLACE)

    assert found is not None
    assert len(found.files) == count
    assert pages.table.calls == ["BatchGetItem"]
    assert pages.table.units <= 18
    assert pages.bucket.reads == len(pages.bucket.contents) <= 1
    PAGES[f"{count:,} files"] = pages.table.units

    rows = pages.table.without_listing()
    assert pages.open(rows).find_files(*PLACE) == found
    PAGES[f"{count:,} files without a listing"] = rows.units


def test_the_largest_listing_in_a_row_costs_eighteen_read_units() -> None:
    pages = Pages(10)
    key = {"pk": "LISTING#acme#widgets", "sk": "CONTENT"}
    content = bytes(MAX_INLINE_BYTES)
    pages.table.put_item(Item=attributes(**key, revision=10**9, content=content))

    pages.open(pages.table)._read_items(
        [{"pk": {"S": key["pk"]}, "sk": {"S": sk}} for sk in ("MARKS", "CONTENT", "STATUS")]
    )

    assert pages.table.units == 18


def test_ten_thousand_files_fit_into_an_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    shelf, pages = Shelf(), Pages(10_000)
    found = pages.open(pages.table).find_files(*PLACE)
    monkeypatch.setattr(shelf.store, "find_files", lambda *_: found)

    body = project_json(find_listing(*PLACE, shelf.index), "/acme")

    check_uncompressed(body)
    assert len(compress(body)) < 1_300_000


# A function answers with 6 MiB at most. Beyond that, the client's `Accept-Encoding` decides.
@pytest.mark.parametrize(
    ("count", "accept", "encoding", "status"),
    [
        (11_000, JSON, "identity", 200),
        (11_000, HTML, "identity", 200),
        (11_000, JSON, "gzip", 200),
        (14_000, JSON, "identity", 406),
        (14_000, JSON, "gzip", 200),
        (14_000, HTML, "gzip", 200),
    ],
)
def test_a_page_of_more_files_is_an_answer_that_a_function_can_give(
    monkeypatch: pytest.MonkeyPatch, count: int, accept: str, encoding: str, status: int
) -> None:
    shelf, files = Shelf(), ProjectFiles(published(count), {}, ACTIVE)
    monkeypatch.setattr(shelf.store, "find_files", lambda *_: files)

    answer = shelf.get("/acme/simple/widgets/", accept, accept_encoding=encoding)

    assert answer.status == status
    result = write_result(Response(answer.status, answer.body, answer.headers))
    assert len(json.dumps(result)) <= 6 * 1024 * 1024
    if status == 406:
        assert "send the header `Accept-Encoding: gzip`" in answer.detail
