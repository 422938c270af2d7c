"""Read and write the XML of S3: no more of it than its answers and our requests have.

A document type is refused, so nothing can define an entity, and no document grows when it is read.
"""

from collections.abc import Iterator, Sequence
from typing import Final
from xml.parsers import expat

from pytp_broker.aws.api.answers import BrokenAnswerError

# S3's own are at most four elements deep.
_MAX_DEPTH: Final = 16
_ESCAPED: Final = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}


def read_leaves(document: bytes) -> list[tuple[str, str]]:
    """Return the texts of a document in order, each with its place: (``Error/Code``, a code).

    Raises BrokenAnswerError.
    """
    leaves = _Leaves()
    parser = expat.ParserCreate(encoding="utf-8")
    parser.StartDoctypeDeclHandler = leaves.refuse
    parser.StartElementHandler = leaves.begin
    parser.EndElementHandler = leaves.end
    parser.CharacterDataHandler = leaves.texts.append
    try:
        parser.Parse(document, True)  # noqa: FBT003 - the end of the document
    except expat.ExpatError:
        raise BrokenAnswerError("the answer is not XML") from None
    return leaves.found


class _Leaves:
    """Collects the texts of elements that have no elements inside."""

    def __init__(self) -> None:
        self.found: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self._path: list[str] = []
        self._is_leaf = False

    def refuse(self, *_: object) -> None:
        raise BrokenAnswerError("the answer has a document type")

    def begin(self, name: str, _attributes: object) -> None:
        if len(self._path) == _MAX_DEPTH:
            raise BrokenAnswerError("the answer has too many elements inside each other")
        self._path.append(name)
        self.texts.clear()
        self._is_leaf = True

    def end(self, _name: str) -> None:
        if self._is_leaf:
            self.found.append(("/".join(self._path), "".join(self.texts)))
        self._path.pop()
        self._is_leaf = False


def write_tagging(tags: Sequence[tuple[str, str]]) -> bytes:
    """Return the document that gives an object these tags."""
    inside = "".join(_element("Tag", _text("Key", k) + _text("Value", v)) for k, v in tags)
    namespace = "http://s3.amazonaws.com/doc/2006-03-01/"
    return f'<Tagging xmlns="{namespace}">{_element("TagSet", inside)}</Tagging>'.encode()


def texts_at(place: str, leaves: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Return the texts of the elements at a place."""
    return (text for where, text in leaves if where == place)


def _element(name: str, inside: str) -> str:
    return f"<{name}>{inside}</{name}>"


def _text(name: str, text: str) -> str:
    return _element(name, "".join(_ESCAPED.get(each, each) for each in text))
