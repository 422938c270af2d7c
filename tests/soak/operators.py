"""The operator of a soak: commands on the data folder while the server runs."""

import hashlib
import os
import subprocess
import sys
import time
from dataclasses import dataclass, field
from random import Random
from threading import Lock
from typing import Any, Final

from tests.soak.jobs import Jobs
from tests.soak.journal import LOST, Entry
from tests.soak.memory import Minted
from tests.soak.site import CHANGING, STEADY

_PROGRAM: Final = (sys.executable, "-m", "pytp_broker.cli")
_TIMEOUT_SECONDS: Final = 120


@dataclass
class Operators:
    """What an operator types. One command at a time, and some are killed."""

    jobs: Jobs
    has_changing: bool = True
    yanked: dict[tuple[str, str], bool] = field(default_factory=dict)
    _turn: Lock = field(default_factory=Lock)

    def change_publishers(self, chance: Random) -> None:
        """Remove the publisher of a project, or add it again; sometimes kill the command."""
        with self._turn:
            self.has_changing = not self.has_changing
            self.jobs.world.site.configure(with_changing=self.has_changing)
            dies = chance.uniform(0.2, 0.6) if chance.random() < 0.15 else None
            config = str(self.jobs.world.site.config)
            self._run(
                "apply",
                "--yes",
                "--config",
                config,
                "--prune",
                dies=dies,
                is_there=self.has_changing,
            )

    def publish_by_hand(self, chance: Random) -> None:
        """Make an upload token, publish with it, and burn it by its hash."""
        project = chance.choice(STEADY)
        made = self._run(
            *("token", "create", "--registry", "acme", "--upload", project),
            *("--reason", "the CI is down"),
        )
        if made is None or made.returncode:
            return
        minted = Minted(made.stdout.strip(), project)
        digest = hashlib.sha256(minted.token.encode()).hexdigest()
        with self.jobs.world.visit(chance) as visit:
            self.jobs.upload_new(visit, minted)
            burned = self._run("token", "burn", "--prefix", digest[:16], token=minted.token)
            if burned is not None and burned.returncode == 0:
                self.jobs.memory.burned.add(minted)
                self.jobs.upload_dead(visit, minted)

    def yank(self, chance: Random) -> None:
        """Yank a release, or unyank one."""
        sent = self.jobs.memory.sent.any(chance)
        if sent is None:
            return
        place = (sent.project, sent.version)
        is_yanked = self.yanked.get(place, False)
        reason = ("--reason", "it works" if is_yanked else "it breaks")
        facts: dict[str, Any] = {"project": sent.project, "version": sent.version}
        facts["yanked"] = not is_yanked
        action = "unyank" if is_yanked else "yank"
        ended = self._run("release", action, "acme", *place, *reason, **facts)
        if ended is not None and ended.returncode == 0:
            self.yanked[place] = not is_yanked

    def delete(self, chance: Random) -> None:
        """Delete a file, and try to upload its name again."""
        sent = self.jobs.memory.sent.take(chance)
        if sent is None or sent.project == CHANGING:
            return
        name = sent.file.filename
        facts: dict[str, Any] = {"filename": name, "sha256": sent.file.sha256}
        facts |= {"project": sent.project, "version": sent.version}
        self._run("file", "delete", "acme", name, "--reason", "a mistake", **facts)

    def back_up(self, _chance: Random) -> None:
        """Back up the folder while the server runs."""
        with self._turn:
            self._run("backup", "--to", str(self.jobs.world.site.backups))

    def list_files(self, chance: Random) -> None:
        """Look at what is there."""
        words = chance.choice((("file", "list", "acme"), ("token", "list"), ("publisher", "list")))
        self._run(*words, "--json")

    def _run(
        self, *words: str, dies: float | None = None, **facts: Any
    ) -> "subprocess.CompletedProcess[str] | None":
        """Run a command to its end, or kill it after some seconds; note what became of it."""
        data = ("--data", str(self.jobs.world.site.data))
        begin = time.time()
        try:
            ended = subprocess.run(
                (*_PROGRAM, *words, *data),
                env={**os.environ, "HOME": str(self.jobs.world.site.folder)},
                capture_output=True,
                text=True,
                timeout=dies or _TIMEOUT_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            self._note(words, begin, LOST, {**facts, "killed": dies is not None})
            return None
        if ended.returncode:
            facts["said"] = ended.stderr[-500:]
        self._note(words, begin, ended.returncode, facts)
        return ended

    def _note(
        self, words: tuple[str, ...], begin: float, status: int | None, facts: dict[str, Any]
    ) -> None:
        named = [word for word in words[:2] if word.isalpha()]
        entry = Entry(" ".join(("operator", *named)), begin, time.time(), status, facts)
        self.jobs.world.journal.write(entry)
