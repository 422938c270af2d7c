"""A shelf with files on it, for tests of reading."""

from tests.support.distributions import metadata, sdist, wheel
from tests.support.shelf import Shelf

JSON = "application/vnd.pypi.simple.v1+json"
HTML = "application/vnd.pypi.simple.v1+html"
WHEEL = wheel(text=metadata("widgets", "1.0", "Requires-Python: >=3.9,<4"))
SDIST = sdist()
WHEEL_PATH = f"/acme/files/{WHEEL.sha256}/{WHEEL.filename}"


def stocked_shelf() -> Shelf:
    """Return an index in memory with a wheel and an sdist of one project, and a second project."""
    shelf = Shelf()
    for distribution in (WHEEL, SDIST, wheel("my-widgets", "2.0")):
        assert shelf.publish(distribution).status == 200
    return shelf
