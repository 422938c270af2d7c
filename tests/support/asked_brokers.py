"""A broker that a guard asks, in the process of the test."""

from collections.abc import Mapping
from typing import Final

from pytp_broker.errors import Unavailable
from pytp_broker.grants import Permission
from pytp_broker.guards.introspection import Broker, Standing
from pytp_broker.guards.settings import Settings
from pytp_broker.redaction import Hidden
from pytp_broker.tokens import UploadToken

NOW: Final = 1_795_348_800
TOKEN: Final = UploadToken.mint("0" * 31 + "1")
SETTINGS: Final = Settings(
    "https://packages.example.com/acme",
    "guard",
    Hidden("a-long-random-secret"),
    is_public=False,
    max_file_bytes=1024 * 1024,
)


def standing(*projects: str, permission: Permission = Permission.UPLOAD) -> Standing:
    return Standing(permission, frozenset(projects), NOW + 900)


class AskedBroker(Broker):
    """Answers what a test says; ``questions`` are those that it was asked.

    ``plain`` is the answer to a question about the token alone, ``reading`` to one about reading,
    and ``file`` to one about a file.
    """

    def __init__(self) -> None:
        super().__init__(SETTINGS)
        self.plain: Standing | None = standing("widgets")
        self.reading: Standing | None = standing(permission=Permission.READ)
        self.file: Standing | None = standing("widgets")
        self.is_down = False
        self.questions: list[Mapping[str, str]] = []

    def ask(self, token: UploadToken, **question: str) -> Standing | None:
        assert token.reveal() == TOKEN.reveal()
        self.questions.append(question)
        if self.is_down:
            raise Unavailable("the registry cannot be asked", operator_detail="it is down")
        if "filename" in question:
            return self.file
        return self.reading if question.get("permission") == "read" else self.plain
