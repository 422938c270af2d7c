"""Releases of a soak by Upload API 2.0: published, canceled, or left where they are."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from pytp_broker.index.sessions.announcements import MECHANISMS, PUT
from tests.soak.jobs import Jobs, choose_project
from tests.soak.memory import Minted, Sent, build
from tests.soak.visits import Answer, Visit
from tests.support.distributions import Distribution

_ROOT: Final = "/acme/upload/"
# A publish that a kill has interrupted is over after a minute.
_PUBLISH_SECONDS: Final = 90
_ATTEMPTS: Final = 4


@dataclass
class Sessions:
    """What a job does that stages its release."""

    jobs: Jobs

    def stage(self, chance: Random) -> None:
        """Stage a release; then publish it, cancel it, or forget it."""
        project = choose_project(chance)
        with self.jobs.world.visit(chance) as visit:
            minted = self.jobs.mint(visit, project)
            if minted is None:
                return
            version = self.jobs.memory.version()
            files = build(project, version, chance)
            session = self._open(visit, minted, version)
            if session is not None:
                self._go_on(visit, minted, session, version, files)
            self.jobs.memory.live.add(minted)

    def _open(self, visit: Visit, minted: Minted, version: str) -> Mapping[str, Any] | None:
        asked = {"name": minted.project, "version": version}
        facts = {"project": minted.project, "version": version}
        answer = visit.say("session", "POST", _ROOT, minted.token, asked, **facts)
        if answer is not None and answer.status == 409:  # the answer to the first one was lost
            answer = visit.say("session", "GET", answer.headers["location"], minted.token, **facts)
        return answer.json if answer is not None and answer.status in {200, 201} else None

    def _go_on(
        self,
        visit: Visit,
        minted: Minted,
        session: Mapping[str, Any],
        version: str,
        files: Sequence[Distribution],
    ) -> None:
        end = visit.chance.choices(("publish", "cancel", "forget"), (7, 2, 1))[0]
        links = session["links"]
        facts = {
            "session": links["session"].rpartition("/")[2],
            "project": minted.project,
            "version": version,
            "files": {file.filename: file.sha256 for file in files},
        }
        if end == "forget" and visit.chance.random() < 0.5:
            return
        staged = [self._add(visit, minted.token, session, file) for file in files]
        if end == "cancel":
            visit.say("cancel", "DELETE", links["session"], minted.token, **facts)
        if end == "publish" and all(staged):
            self._publish(visit, minted, links, facts, files)

    def _add(
        self, visit: Visit, token: str, session: Mapping[str, Any], file: Distribution
    ) -> bool:
        """Bring a file into a session; say whether the session has it."""
        asked = {
            "filename": file.filename,
            "size": len(file.content),
            "hashes": {"sha256": file.sha256},
            "mechanism": visit.chance.choice(MECHANISMS),
        }
        facts = {"filename": file.filename, "sha256": file.sha256}
        announced = visit.say("announce", "POST", session["links"]["upload"], token, asked, **facts)
        url = _upload_url(visit, announced, session, token, file)
        return url is not None and self._deliver(visit, token, url, file)

    def _deliver(self, visit: Visit, token: str, url: str, file: Distribution) -> bool:
        """Send the bytes; a signed address ends with its server, so it is asked for again."""
        facts = {"filename": file.filename, "sha256": file.sha256}
        for _ in range(_ATTEMPTS):
            seen = visit.say("staged-file", "GET", url, token, **facts)
            if seen is None or seen.status != 200 or seen.json["status"] != "pending":
                break
            _send(visit, token, seen.json["mechanism"], file, facts)
            completed = visit.say("complete", "POST", seen.json["links"]["complete"], token, {})
            if completed is not None and completed.status in {201, 202}:
                break
        return self._is_completed(visit, token, url)

    def _is_completed(self, visit: Visit, token: str, url: str) -> bool:
        for _ in range(_PUBLISH_SECONDS):
            seen = visit.say("staged-file", "GET", url, token)
            if seen is None or seen.status != 200 or seen.json["status"] != "processing":
                return (
                    seen is not None and seen.status == 200 and seen.json["status"] == "completed"
                )
            time.sleep(1)
        return False

    def _publish(
        self,
        visit: Visit,
        minted: Minted,
        links: Mapping[str, str],
        facts: Mapping[str, Any],
        files: Sequence[Distribution],
    ) -> None:
        """Publish; if a kill has interrupted it, wait until it is over, and publish again."""
        until = time.time() + _PUBLISH_SECONDS
        while time.time() < until and not self.jobs.world.is_over:
            answer = visit.say("publish", "POST", links["publish"], minted.token, {}, **facts)
            if answer is None:
                return
            if answer.status in {200, 201}:
                for file in files:
                    self.jobs.memory.sent.add(Sent(minted.project, facts["version"], file))
                return
            if answer.status != 409:
                return
            time.sleep(2)


def _upload_url(
    visit: Visit,
    announced: Answer | None,
    session: Mapping[str, Any],
    token: str,
    file: Distribution,
) -> str | None:
    """Return the address of a file's upload, also if the announcement's answer was lost."""
    if announced is None:
        return None
    if announced.status == 202:
        return str(announced.json["links"]["file-upload-session"])
    seen = visit.say("session", "GET", session["links"]["session"], token)
    if seen is None or seen.status != 200:
        return None
    known = seen.json["files"].get(file.filename)
    return None if known is None else str(known["link"])


def _send(
    visit: Visit, token: str, how: Mapping[str, Any], file: Distribution, facts: Mapping[str, Any]
) -> None:
    if how["identifier"] == PUT:
        headers = {
            name: value for name, value in how["headers"].items() if name != "Content-Length"
        }
        visit.insist("put", "PUT", how["url"], file.content, headers, **facts)
        return
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/octet-stream"}
    visit.insist("bytes", "POST", how["file_url"], file.content, headers, **facts)
