"""What a page says of the provenance of a release: each word with a sentence that explains it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from pytp_broker.index.provenance import ReleaseProvenance
from pytp_broker.provenance.continuity import Continuity, Source, Word

# What somebody who installs should see at once.
_WARNING: Final = frozenset({Word.LOST, Word.CHANGED})
_ATTESTED: Final = frozenset({Word.FULL, Word.PARTIAL, Word.LOST})


@dataclass(frozen=True, slots=True)
class ShownWord:
    """A word, and what it means for this release."""

    word: str
    sentence: str
    is_warning: bool


@dataclass(frozen=True, slots=True)
class ShownContinuity:
    """The provenance of a release on one basis: the words, and which sources came and went."""

    title: str
    words: tuple[ShownWord, ...]
    added: tuple[Source, ...]
    removed: tuple[Source, ...]

    @property
    def warnings(self) -> tuple[ShownWord, ...]:
        """Return what somebody who installs should see at once."""
        return tuple(word for word in self.words if word.is_warning)


def explain(provenance: ReleaseProvenance) -> tuple[ShownContinuity, ...]:
    """Return what to show of a release: who published it, and attestations if there are any."""
    published = _explain("Who published it", provenance.published, _PUBLISHED)
    if _ATTESTED.isdisjoint(provenance.attested.words):
        return (published,)
    return published, _explain("Attestations", provenance.attested, _SIGNED)


def marks(provenance: ReleaseProvenance) -> tuple[str, ...]:
    """Return the words that a list of releases shows: those that are a warning."""
    words = {*provenance.published.words, *provenance.attested.words} & _WARNING
    return tuple(word.value for word in Word if word in words)


Sentences = Mapping[Word, Callable[[Continuity], str]]


def _explain(title: str, continuity: Continuity, sentences: Sentences) -> ShownContinuity:
    words = (
        ShownWord(word.value, sentences[word](continuity), word in _WARNING)
        for word in continuity.words
    )
    return ShownContinuity(title, tuple(words), continuity.added, continuity.removed)


_PUBLISHED: Final[Sentences] = {
    Word.FULL: lambda c: (
        "A job published "
        f"{'the file' if c.files == 1 else f'each of the {c.files} files'}, and the registry has "
        "verified whose job it was."
    ),
    Word.PARTIAL: lambda c: (
        f"Jobs published {c.covered} of the {c.files} files. An operator "
        "published or imported the others."
    ),
    Word.NO: lambda _: "No job published these files: an operator published or imported them.",
    Word.LOST: lambda c: f"A job published {c.compared_with}, and no job published this release.",
    Word.CHANGED: lambda c: f"The repositories or workflows are not those of {c.compared_with}.",
    Word.INCONSISTENT: lambda _: "The files come from more than one repository or workflow.",
}
_SIGNED: Final[Sentences] = {
    Word.FULL: lambda _: "Every file has attestations that are verified.",
    Word.PARTIAL: lambda c: (
        f"{c.covered} of the {c.files} files have attestations that are verified."
    ),
    Word.NO: lambda _: "No file has attestations that are verified.",
    Word.LOST: lambda c: f"{c.compared_with} has verified attestations, and this release has none.",
    Word.CHANGED: lambda c: (
        f"Other repositories or workflows have signed them than those of {c.compared_with}."
    ),
    Word.INCONSISTENT: lambda _: "More than one repository or workflow has signed them.",
}
