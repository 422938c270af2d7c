"""The judgement of a soak: the journal and the server, and whether both tell the same story."""

from pathlib import Path

from tests.soak.driver import JOURNAL
from tests.soak.folder import half_written
from tests.soak.inspection import Inspection
from tests.soak.issuer import MoodyIssuer
from tests.soak.jobs import Jobs
from tests.soak.journal import Journal, read
from tests.soak.memory import Memory
from tests.soak.rules import findings
from tests.soak.site import Site
from tests.soak.story import Story
from tests.soak.summary import Summary, summarize
from tests.soak.visits import World

_INSPECTION = "inspection.jsonl"


def judge(folder: Path, site: Site, issuer: MoodyIssuer, seed: int) -> Summary:
    """Ask the running server about everything that the journal of a run says."""
    story = Story(list(read(folder / JOURNAL)))
    with Journal(folder / _INSPECTION) as journal:
        inspection = Inspection(Jobs(World(site, issuer, journal), Memory()), story)
        found = [*findings(story), *inspection.findings()]
    return summarize(story, found, inspection.checks, seed, half_written(site.data))
