"""The XML of S3, beside the standard library's reader of trees."""

import random
from xml.etree import ElementTree as ET

import pytest

from pytp_broker.aws.api.answers import BrokenAnswerError
from pytp_broker.aws.api.xml_documents import read_leaves, texts_at, write_tagging

TEXTS = ["", "a", "ä中🎉", "1 < 2 & 3 > 2", "]]>", "  ", "\"'"]


def any_element(choose: random.Random, depth: int) -> ET.Element:
    element = ET.Element(choose.choice(["Error", "Code", "Key", "Contents"]))
    inside = choose.randint(0, 3) if depth else 0
    if not inside:
        element.text = choose.choice(TEXTS)
    for _ in range(inside):
        element.append(any_element(choose, depth - 1))
    return element


def leaves_of(element: ET.Element, path: str = "") -> list[tuple[str, str]]:
    place = f"{path}/{element.tag}".lstrip("/")
    if not len(element):
        return [(place, element.text or "")]
    return [leaf for child in element for leaf in leaves_of(child, place)]


@pytest.mark.parametrize("seed", range(200))
def test_the_leaves_are_those_of_the_tree(seed: int) -> None:
    tree = any_element(random.Random(seed), 4)  # noqa: S311 - not for secrets

    assert read_leaves(ET.tostring(tree, "utf-8")) == leaves_of(tree)


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"<a>",
        b"<a></b>",
        b"<a/><b/>",
        b"<a>&nothing;</a>",
        b"<a>\xff</a>",
        b"not XML",
        b'{"Code": "json"}',
        b"<a>" * 17 + b"</a>" * 17,
        b"<!DOCTYPE a><a/>",
        b'<!DOCTYPE a [<!ENTITY e "grows">]><a>&e;</a>',
        b'<!DOCTYPE a SYSTEM "file:///etc/passwd"><a/>',
        b'<!DOCTYPE a PUBLIC "p" "http://127.0.0.1/"><a/>',
        b"<?xml version='1.0' encoding='utf-7'?>" + "<a>ä</a>".encode("utf-16"),
    ],
    ids=range(14),
)
def test_what_is_not_an_answer_of_s3_is_refused(document: bytes) -> None:
    with pytest.raises(BrokenAnswerError):
        read_leaves(document)


def test_only_the_texts_at_a_place_are_found() -> None:
    leaves = read_leaves(b"<L><Key>0</Key><C><Key>1</Key></C><C><Key>2</Key><Size>3</Size></C></L>")

    assert [*texts_at("L/C/Key", leaves)] == ["1", "2"]


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_tags_are_read_as_they_were_written(text: str) -> None:
    tree = ET.fromstring(write_tagging([("key", text), (text, "value")]))  # noqa: S314

    found = [(place.rpartition("}")[2], value) for place, value in leaves_of(tree)]
    assert found == [("Key", "key"), ("Value", text), ("Key", text), ("Value", "value")]
