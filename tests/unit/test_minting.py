"""The projects that a token's record and its audit record list: as many as there is room for."""

from pytp_broker.minting import list_projects
from pytp_broker.tokens import Listing
from tests.support.samples import publisher


def test_projects_are_listed_from_the_first_on_while_there_is_room() -> None:
    listed = list_projects((publisher(projects=("four", "be", "c")),), 6)

    assert listed == {"acme": Listing(("four", "be"), 3)}


def test_registries_share_the_room() -> None:
    other = publisher("id-2", registry="other", projects=("long", "c"))

    listed = list_projects((publisher(projects=("four",)), other), 7)

    assert listed == {"acme": Listing(("four",), 1), "other": Listing((), 2)}


def test_a_project_that_two_publishers_share_is_listed_once() -> None:
    listed = list_projects(
        (publisher(projects=("four",)), publisher("id-2", projects=("four",))), 8
    )

    assert listed == {"acme": Listing(("four",), 1)}
