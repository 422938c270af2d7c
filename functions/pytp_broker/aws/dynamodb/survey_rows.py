"""A survey of a registry in DynamoDB: queries for each project, several projects at a time."""

from collections.abc import Iterator, Sequence
from functools import partial

from pytp_broker.aws.dynamodb.applied_reading import AppliedReading
from pytp_broker.aws.dynamodb.file_rows import FileRows, read_file, read_status, status_key
from pytp_broker.aws.dynamodb.parallel import stream
from pytp_broker.aws.dynamodb.publisher_rows import read_trust
from pytp_broker.aws.dynamodb.table import attributes
from pytp_broker.storage.project_status import ACTIVE
from pytp_broker.storage.protocols import WHOLE_REGISTRY
from pytp_broker.storage.survey import (
    DeletedFile,
    GivenStatus,
    Piece,
    TrustedBy,
    YankedRelease,
)


class SurveyRows(AppliedReading, FileRows):
    """All projects of a registry at once."""

    def survey(self, registry: str) -> Iterator[Piece]:
        """Yield all that is known of a registry's projects, in any order.

        A project is known by its first file, or because it trusts a publisher.
        """
        trusted = self._read_applied(registry=registry).rows.trusted
        for (of_registry, project), texts in trusted.items():
            if of_registry == registry and project != WHOLE_REGISTRY:
                yield from (TrustedBy(project, publisher_id) for publisher_id in read_trust(texts))
        projects = self.list_projects(registry)
        yield from self._list_statuses(registry, projects)
        for pieces in stream(partial(self._survey_project, registry), projects):
            yield from pieces

    def _list_statuses(self, registry: str, projects: Sequence[str]) -> Iterator[Piece]:
        keys = [attributes(**status_key(registry, project)) for project in projects]
        for row in self._read_all(keys):
            status = read_status(row)
            if status != ACTIVE:
                yield GivenStatus(row["pk"].split("#", 2)[2], status)

    def _survey_project(self, registry: str, project: str) -> list[Piece]:
        withdrawn = self.list_withdrawn(registry, project)
        files = map(read_file, self._list_rows(registry, project))
        return [
            *files,
            *(YankedRelease(project, key, reason) for key, reason in withdrawn.yanked.items()),
            *(DeletedFile(project, name, why) for name, why in withdrawn.deleted.items()),
        ]
