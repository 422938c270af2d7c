"""Pages that are kept in memory: how much memory they take, and which go first."""

from pytp_broker.http.kept_pages import KeptPage, KeptPages
from pytp_broker.http.messages import Response


def page(size: int = 10_000, edition: str = "e") -> KeptPage:
    return KeptPage(edition, Response(200, bytes(size)))


def test_a_kept_page_is_found_under_its_key() -> None:
    pages = KeptPages()
    pages.keep("a", page(edition="one"))
    pages.keep("b", page(edition="two"))

    found = pages.find("a")

    assert found is not None
    assert found.edition == "one"
    assert pages.find("c") is None


def test_a_page_of_another_edition_takes_its_place_and_its_bytes() -> None:
    pages = KeptPages(max_bytes=50_000)
    for number in range(20):
        pages.keep("a", page(edition=str(number)))

    pages.keep("b", page())

    found = pages.find("a")
    assert found is not None
    assert found.edition == "19"
    assert pages.find("b") is not None


def test_the_page_that_was_not_asked_for_longest_is_forgotten_first() -> None:
    pages = KeptPages(max_bytes=50_000)
    for key in "abcd":
        pages.keep(key, page())
    pages.find("a")

    pages.keep("e", page())

    assert [key for key in "abcde" if pages.find(key)] == ["a", "c", "d", "e"]


def test_a_page_that_would_drive_out_all_others_is_not_kept() -> None:
    pages = KeptPages(max_bytes=50_000)
    pages.keep("small", page())
    pages.keep("large", page(edition="small"))

    pages.keep("large", page(40_000))

    assert pages.find("large") is None
    assert pages.find("small") is not None


def test_a_page_is_in_no_repr() -> None:
    assert "secret" not in repr(KeptPage("e", Response(200, b"secret")))
