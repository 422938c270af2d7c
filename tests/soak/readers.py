"""Readers of a soak: installers that look at pages, ask again with an ETag, and fetch files."""

import hashlib
from dataclasses import dataclass
from random import Random
from typing import Final

from tests.soak.jobs import Jobs
from tests.soak.site import STEADY
from tests.soak.visits import Visit

READ: Final = "/acme/_/oidc/mint-read-token"
_JSON: Final = "application/vnd.pypi.simple.v1+json"
_ACCEPTED: Final = (_JSON, "text/html", "application/vnd.pypi.simple.v1+html")


@dataclass
class Readers:
    """What an installer does."""

    jobs: Jobs

    def browse(self, chance: Random) -> None:
        """Look at a page, then ask whether it has changed."""
        with self.jobs.world.visit(chance) as visit:
            token = self._token(visit)
            project = chance.choice(("", *(f"{name}/" for name in STEADY)))
            headers = {"Authorization": f"Bearer {token}", "Accept": chance.choice(_ACCEPTED)}
            headers["Accept-Encoding"] = chance.choice(("gzip", "identity"))
            for _ in range(chance.randint(1, 4)):
                answer = visit.ask("page", "GET", f"/acme/simple/{project}", b"", headers)
                if answer is None or "etag" not in answer.headers:
                    return
                headers["If-None-Match"] = answer.headers["etag"]

    def install(self, chance: Random) -> None:
        """Fetch a file that the server has taken, and its receipt."""
        sent = self.jobs.memory.sent.any(chance)
        if sent is None:
            return
        with self.jobs.world.visit(chance) as visit:
            headers = {"Authorization": f"Bearer {self._token(visit)}"}
            name, digest = sent.file.filename, sent.file.sha256
            seen = {"filename": name, "sha256": digest}
            path = f"/acme/files/{digest}/{name}"
            answer = visit.ask("file", "GET", path, b"", headers, **seen)
            if answer is not None and answer.status == 200:
                if hashlib.sha256(answer.body).hexdigest() != digest:
                    visit.note("corrupt", **seen)
                path = f"/acme/integrity/{sent.project}/{sent.version}/{name}/receipt"
                visit.ask("receipt", "GET", path, b"", headers, **seen)

    def look_for_nothing(self, chance: Random) -> None:
        """Ask for what is not there, and without a token."""
        with self.jobs.world.visit(chance) as visit:
            path = chance.choice(("/acme/simple/widgets/", "/acme/simple/", "/nowhere/", "/%00"))
            visit.ask("page-bad", "GET", path)

    def _token(self, visit: Visit) -> str:
        memory, chance = self.jobs.memory, visit.chance
        known = memory.reading.any(chance)
        if known is not None and chance.random() < 0.8:
            return known
        identity = self.jobs.identity(chance.choice(STEADY))
        answer = self.jobs.post(visit, "exchange-read", READ, {"token": identity})
        if answer is None or answer.status != 200:
            return known or "none"
        token: str = answer.json["token"]
        memory.reading.add(token)
        return token
