"""What the server says at the end of a soak, compared with what it has answered during it."""

import hashlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import quote

from tests.soak.backups import BACKUP, inspect_backup
from tests.soak.folder import strangers
from tests.soak.jobs import LEGACY, MINT, Jobs, ask_about
from tests.soak.journal import Entry
from tests.soak.memory import Minted
from tests.soak.readers import READ
from tests.soak.rules import LOSS, ODDITY, Finding
from tests.soak.site import CHANGING, STEADY
from tests.soak.story import FileKey, Story
from tests.soak.visits import Visit, code_of
from tests.support.distributions import CONTENT_TYPE, Distribution, form, metadata, sdist, wheel

_PROJECT: Final = "application/vnd.pypi.simple.v1+json"
_VERIFY_SECONDS: Final = 1200


@dataclass
class Inspection:
    """The questions to a server, through the eyes of a reader who may see everything."""

    jobs: Jobs
    story: Story
    checks: dict[str, int] = field(default_factory=dict)

    def findings(self) -> Iterator[Finding]:
        """Ask everything; yield what is wrong."""
        with self.jobs.world.visit(Random(0)) as visit:  # noqa: S311
            token = self._read_token(visit)
            pages = {name: self._page(visit, token, name) for name in (*STEADY, CHANGING)}
            listed = _listed(pages)
            yield from self._files(listed)
            yield from self._sessions(listed)
            yield from self._yanks(pages)
            yield from self._deleted(visit, token)
            yield from self._burned(visit)
            yield from self._living(visit)
            yield from self._spent(visit)
            yield from self._bytes(visit, token, listed)
        yield from self._database()
        yield from inspect_backup(self.jobs.world.site, self.story)
        self._count("backups restored", any(e.status == 0 for e in self.story.of(BACKUP)))

    # --- files ------------------------------------------------------------------------------------

    def _files(self, listed: Mapping[FileKey, Any]) -> Iterator[Finding]:
        self._count("files answered 200", len(self.story.taken))
        for name, digest in sorted(self.story.must_be_there - listed.keys()):
            yield Finding(LOSS, "a file that was answered 200 is listed", f"{name} {digest}")
        for name, digest in sorted(listed.keys() & self.story.deleted.keys()):
            yield Finding(LOSS, "a deleted file is not listed", f"{name} {digest}")
        for name, digest in sorted(listed.keys() - self.story.may_be_there):
            yield Finding(LOSS, "nothing is listed that nobody could publish", f"{name} {digest}")

    def _sessions(self, listed: Mapping[FileKey, Any]) -> Iterator[Finding]:
        """Find releases of which a part is visible, and canceled ones that are."""
        for entry in self.story.of("publish", "cancel"):
            files = set(entry.facts["files"].items()) - self.story.maybe_deleted
            seen = files & listed.keys()
            if seen and seen != files:
                yield Finding(LOSS, "a session publishes all of its files or none", str(seen))
            if entry.kind == "cancel" and entry.status == 204 and seen:
                yield Finding(LOSS, "a canceled session publishes nothing", str(seen))
        self._count("sessions", len(list(self.story.of("publish", "cancel"))))

    def _yanks(self, pages: Mapping[str, Any]) -> Iterator[Finding]:
        for (project, version), is_yanked in self.story.yanked.items():
            self._count("yanks", 1)
            stem = f"{project}-{version}"
            for file in pages[project]["files"]:
                name = file["filename"]
                if name.startswith((f"{stem}-", f"{stem}.tar")) and is_yanked != bool(
                    file["yanked"]
                ):
                    yield Finding(LOSS, "a release is yanked as the last command said", name)

    def _deleted(self, visit: Visit, token: str) -> Iterator[Finding]:
        """Ask for every deleted file, and upload its name again."""
        minted = {name: self.jobs.mint(visit, name) for name in STEADY}
        for (name, digest), entry in self.story.deleted.items():
            self._count("deleted files", 1)
            headers = {"Authorization": f"Bearer {token}"}
            answer = visit.ask("check", "GET", f"/acme/files/{digest}/{name}", b"", headers)
            if answer is None or answer.status not in {404, 410}:
                yield Finding(LOSS, "a deleted file cannot be fetched", name)
            right = minted[entry.facts["project"]]
            if right is not None and self._code(visit, right, _another(entry)) != "file-deleted":
                yield Finding(LOSS, "the name of a deleted file is not used again", name)

    # --- tokens -----------------------------------------------------------------------------------

    def _burned(self, visit: Visit) -> Iterator[Finding]:
        for number, token in enumerate(self.story.burned):
            self._count("burned tokens", 1)
            project = STEADY[number % len(STEADY)]
            file = wheel(project, f"9.{number}")
            if self._code(visit, Minted(token, project), file) != "unauthorized":
                yield Finding(LOSS, "a burned token uploads nothing", token[:12])

    def _living(self, visit: Visit) -> Iterator[Finding]:
        for token, project in self.story.must_live.items():
            self._count("living tokens", 1)
            if ask_about(visit, Minted(token, project)) is not True:
                yield Finding(LOSS, "a token that was minted is active", token[:12])

    def _spent(self, visit: Visit) -> Iterator[Finding]:
        """Exchange again every identity that was exchanged and has not expired."""
        for entry in self.story.of("exchange"):
            if entry.status == 200 and entry.end > time.time() - 280:
                self._count("spent identities", 1)
                asked = {"token": entry.facts["identity"]}
                answer = self.jobs.post(visit, "check", MINT, asked)
                if answer is None or answer.status != 422:
                    yield Finding(LOSS, "an identity token is minted once", entry.facts["jti"])

    # --- bytes ------------------------------------------------------------------------------------

    def _bytes(self, visit: Visit, token: str, listed: Mapping[FileKey, Any]) -> Iterator[Finding]:
        """Fetch every listed file, and let `pytp-broker verify` check all their receipts."""
        with TemporaryDirectory(dir=self.jobs.world.site.folder) as name:
            folder = Path(name)
            for (filename, digest), file in listed.items():
                self._count("files fetched", 1)
                headers = {"Authorization": f"Bearer {token}"}
                answer = visit.ask("check", "GET", file["url"], b"", headers)
                if answer is None or hashlib.sha256(answer.body).hexdigest() != digest:
                    yield Finding(LOSS, "a listed file can be fetched whole", filename)
                else:
                    (folder / filename).write_bytes(answer.body)
            said = self._verify(folder, token) if listed else ""
        if said:
            yield Finding(LOSS, "every file has a receipt that `verify` accepts", said)

    def _verify(self, folder: Path, token: str) -> str:
        """Return what `pytp-broker verify` complains about."""
        site = self.jobs.world.site
        index = site.url.replace("https://", f"https://__token__:{quote(token)}@") + "/acme/simple/"
        command = (sys.executable, "-m", "pytp_broker.cli", "verify", str(folder))
        ended = subprocess.run(
            (*command, "--index", index, "--no-history"),
            env={**os.environ, "REQUESTS_CA_BUNDLE": site.ca_file, "HOME": str(site.folder)},
            capture_output=True,
            text=True,
            timeout=_VERIFY_SECONDS,
            check=False,
        )
        self._count("receipts verified", len(list(folder.iterdir())))
        return "" if ended.returncode == 0 else (ended.stdout + ended.stderr)[-3000:]

    def _database(self) -> Iterator[Finding]:
        if not self.jobs.world.site.is_database_whole():
            yield Finding(LOSS, "the database is whole", "PRAGMA integrity_check complains")
        for path in strangers(self.jobs.world.site.data, self.story):
            yield Finding(ODDITY, "the folder has nothing that nobody has sent", path)

    # --- steps ------------------------------------------------------------------------------------

    def _count(self, what: str, number: int) -> None:
        self.checks[what] = self.checks.get(what, 0) + number

    def _read_token(self, visit: Visit) -> str:
        asked = {"token": self.jobs.identity(STEADY[0])}
        answer = self.jobs.post(visit, "check", READ, asked)
        assert answer is not None
        assert answer.status == 200, answer.body
        return str(answer.json["token"])

    def _page(self, visit: Visit, token: str, project: str) -> Any:
        headers = {"Authorization": f"Bearer {token}", "Accept": _PROJECT}
        answer = visit.ask("check", "GET", f"/acme/simple/{project}/", b"", headers)
        assert answer is not None
        return answer.json if answer.status == 200 else {"files": []}

    def _code(self, visit: Visit, minted: Minted, file: Distribution) -> str:
        """Try to upload a file; return the code of the refusal, or nothing."""
        headers = {"Authorization": f"Bearer {minted.token}", "Content-Type": CONTENT_TYPE}
        answer = visit.ask("check", "POST", LEGACY, form(file), headers)
        return "" if answer is None else code_of(answer)


def _listed(pages: Mapping[str, Any]) -> Mapping[FileKey, Any]:
    return {
        (file["filename"], file["hashes"]["sha256"]): file
        for page in pages.values()
        for file in page["files"]
    }


def _another(deleted: Entry) -> Distribution:
    """Return another file of the name of a deleted one."""
    project, version = deleted.facts["project"], deleted.facts["version"]
    make = sdist if deleted.facts["filename"].endswith(".tar.gz") else wheel
    text = metadata(project, version, "Summary: another one")
    return make(project, version, text=text)
