"""Sdists with any links: if we accept one, tarfile, GNU tar, bsdtar and uv unpack it alike."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.figures import SDISTS
from tests.support.sdists import (
    TOP,
    UNPACKERS,
    Members,
    directory,
    hard,
    packed,
    plain,
    symbolic,
    unpack,
)
from tests.support.shelf import Shelf

NAMES = st.sampled_from(["a", "b", "d/a", "d/b", "d/e/a", "D", "d", "src/x"])
TARGETS = st.one_of(
    NAMES,
    st.lists(
        st.sampled_from(["..", ".", "", "a", "b", "d", "e", "src", "widgets.py"]),
        min_size=1,
        max_size=4,
    ).map("/".join),
)
MEMBERS = st.one_of(
    st.builds(symbolic, NAMES, TARGETS),
    st.builds(symbolic, NAMES, TARGETS),
    st.builds(lambda name, target: hard(name, f"{TOP}/{target}"), NAMES, NAMES),
    st.builds(hard, NAMES, TARGETS),
    st.builds(plain, NAMES, st.binary(max_size=3)),
    st.builds(directory, NAMES),
)


@pytest.mark.promise("unpacked-alike")
@given(st.lists(MEMBERS, min_size=1, max_size=4), st.sampled_from([0, 1, 2]))
def test_any_links_that_are_accepted_are_the_same_for_every_tool(
    members: list[Members], style: int
) -> None:
    made = packed(*members, style=style)
    SDISTS["built"] += 1

    if Shelf().publish(made).status == 200:
        SDISTS["accepted"] += 1
        trees = [unpack(made.content, tool) for tool in UNPACKERS.values()]
        assert all(tree == trees[0] for tree in trees)
