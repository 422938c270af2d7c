"""Why a file is not verified, and why the command cannot begin."""

from collections.abc import Sequence


class NotVerifiedError(Exception):
    """A file is not verified: ``reason`` is a code, and the message a sentence.

    ``may_pass`` says that the same command may succeed later.
    """

    def __init__(self, reason: str, sentence: str, *, may_pass: bool = False) -> None:
        super().__init__(sentence)
        self.reason = reason
        self.may_pass = may_pass


class VerifyError(Exception):
    """The command cannot begin; its lines say why and what to do.

    ``is_misused`` says that the command or one of the files with its settings has a mistake.
    """

    def __init__(
        self, lines: Sequence[str] | str, *, is_misused: bool = True, may_pass: bool = False
    ) -> None:
        self.lines = [lines] if isinstance(lines, str) else list(lines)
        self.is_misused = is_misused
        self.may_pass = may_pass
        super().__init__("\n".join(self.lines))
