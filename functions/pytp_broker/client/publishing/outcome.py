"""How publishing ends when it fails."""

from collections.abc import Sequence


class PublishError(Exception):
    """Nothing more can be done; the lines say why and what to do.

    ``may_pass`` says that the same command may succeed later.
    """

    def __init__(self, lines: Sequence[str] | str, *, may_pass: bool = False) -> None:
        self.lines = [lines] if isinstance(lines, str) else list(lines)
        self.may_pass = may_pass
        super().__init__("\n".join(self.lines))


class WrongAddressError(PublishError):
    """The address that the user gives is not one to which files are sent."""
