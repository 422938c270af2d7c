"""CI jobs of a soak: they exchange, upload by the legacy API, and burn; well and badly."""

import base64
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from pytp_broker.demo.issuer import github_job
from tests.soak.memory import Memory, Minted, Sent, build
from tests.soak.site import CHANGING, INTROSPECTION_CLIENT, REPOSITORIES, STEADY
from tests.soak.visits import PATIENCE_SECONDS, Answer, Visit, World
from tests.support.distributions import CONTENT_TYPE, Distribution, form

MINT: Final = "/acme/_/oidc/mint-token"
BURN: Final = "/acme/_/oidc/burn-token"
LEGACY: Final = "/acme/legacy/"
_JSON: Final = {"Content-Type": "application/json"}


@dataclass
class Jobs:
    """What a CI job does. Each method is one job."""

    world: World
    memory: Memory

    def identity(self, project: str, **changes: Any) -> str:
        """Return an identity token of a job of the project's repository, for the registry."""
        claims = {"aud": "acme", **github_job(REPOSITORIES[project]), **changes}
        return self.world.issuer.token(**claims)

    # --- good jobs --------------------------------------------------------------------------------

    def release(self, chance: Random) -> None:
        """Exchange, upload a release, look at the page, and mostly burn the token."""
        project = choose_project(chance)
        with self.world.visit(chance) as visit:
            minted = self.mint(visit, project)
            if minted is None:
                return
            self.upload_new(visit, minted)
            if chance.random() < 0.8:
                self.burn(visit, minted)
                self.upload_dead(visit, minted)
            else:
                self.memory.live.add(minted)

    def release_singly(self, chance: Random) -> None:
        """Upload two files with a token that is good for one."""
        project = chance.choice(STEADY)
        with self.world.visit(chance) as visit:
            minted = self.mint(visit, project, "single-use-token")
            if minted is None:
                return
            for _ in range(2):
                self.upload_new(visit, minted, is_single=True)

    def upload_again(self, chance: Random) -> None:
        """Use a token that an earlier job has kept, for a new file and for one that is there."""
        minted = self.memory.live.take(chance)
        if minted is None:
            return
        with self.world.visit(chance) as visit:
            self.upload_new(visit, minted)
            sent = self.memory.sent.any(chance)
            if sent is not None and sent.project == minted.project:
                self.upload(visit, minted, sent.file, sent.version)
            if chance.random() < 0.5:
                self.burn(visit, minted)
            else:
                self.memory.live.add(minted)

    # --- bad jobs ---------------------------------------------------------------------------------

    def exchange_badly(self, chance: Random) -> None:
        """Send what no broker may accept."""
        project = chance.choice(STEADY)
        now = int(time.time())
        change: Mapping[str, Any] = chance.choice(
            (
                {"aud": "other"},
                github_job("octo-org/stranger"),
                {"iat": now - 7200, "exp": now - 3600},
                github_job(REPOSITORIES[project], workflow="ci.yml"),
                {"event_name": "pull_request_target"},
            )
        )
        with self.world.visit(chance) as visit:
            token = self.identity(project, **change)
            if chance.random() < 0.3:
                head, _, signature = token.rpartition(".")
                token = f"{head}.{signature[::-1]}"
            self.post(visit, "exchange-bad", MINT, {"token": token})

    def replay(self, chance: Random) -> None:
        """Exchange an identity token once more."""
        spent = self.memory.spent.any(chance)
        if spent is not None:
            with self.world.visit(chance) as visit:
                self.exchange(visit, spent)

    def race(self, chance: Random) -> None:
        """Exchange one identity token on two connections at the same moment."""
        token = self.identity(chance.choice(STEADY))

        def exchange(seed: int) -> None:
            with self.world.visit(Random(seed)) as visit:  # noqa: S311
                self.exchange(visit, token)

        with ThreadPoolExecutor(2) as pool:
            list(pool.map(exchange, (1, 2)))

    def use_dead(self, chance: Random) -> None:
        """Upload with a token that was burned long ago, or that nobody has made."""
        minted = self.memory.burned.any(chance)
        with self.world.visit(chance) as visit:
            self.upload_dead(visit, minted or Minted("pytp_" + "0" * 71, "widgets"))

    def introspect(self, chance: Random) -> None:
        """Ask as another index does, whether a token is good."""
        known = self.memory.live if chance.random() < 0.6 else self.memory.burned
        minted = known.any(chance)
        if minted is not None:
            with self.world.visit(chance) as visit:
                ask_about(visit, minted)

    # --- steps ------------------------------------------------------------------------------------

    def mint(self, visit: Visit, project: str, *features: str) -> Minted | None:
        """Return a token. After a lost answer the job sends the same identity, then a new one."""
        until = time.time() + PATIENCE_SECONDS
        token, was_lost = self.identity(project), False
        while time.time() < until:
            answer = self.exchange(visit, token, project, *features)
            if answer is not None and answer.status == 200:
                minted = Minted(answer.json["token"], project)
                visit.note("minted", token=minted.token, project=project, features=features)
                return minted
            if answer is not None and answer.status != 503:
                if not was_lost:
                    return None
                token = self.identity(project)
            was_lost = answer is None
            time.sleep(visit.chance.uniform(0.1, 1))
        return None

    def exchange(
        self, visit: Visit, token: str, project: str = "", *features: str
    ) -> Answer | None:
        asked = {"token": token, **({"features": list(features)} if features else {})}
        facts = {"jti": jti_of(token), "identity": token, "project": project}
        answer = self.post(visit, "exchange", MINT, asked, **facts)
        self.memory.spent.add(token)
        return answer

    def upload(
        self,
        visit: Visit,
        minted: Minted,
        file: Distribution,
        version: str,
        *,
        is_single: bool = False,
    ) -> bool:
        """Upload a file as a client does that tries again; then look for it."""
        headers = {"Authorization": f"Bearer {minted.token}", "Content-Type": CONTENT_TYPE}
        facts = facts_of(minted.project, version, file)
        facts |= {"token": minted.token, "single": is_single}
        answer = visit.insist("upload", "POST", LEGACY, form(file), headers, **facts)
        if answer is not None and answer.status == 200 and not is_single:
            look(visit, minted.token, minted.project, file)
        return answer is not None and answer.status == 200

    def upload_new(self, visit: Visit, minted: Minted, *, is_single: bool = False) -> None:
        """Upload a release of a new version, and let others know of its files."""
        version = self.memory.version()
        files = build(minted.project, version, visit.chance)
        for file in files[:1] if is_single else files:
            if self.upload(visit, minted, file, version, is_single=is_single):
                self.memory.sent.add(Sent(minted.project, version, file))

    def upload_dead(self, visit: Visit, minted: Minted) -> None:
        """Upload a new file with a token that must not be good."""
        version = self.memory.version()
        file = build(minted.project, version, visit.chance)[0]
        headers = {"Authorization": f"Bearer {minted.token}", "Content-Type": CONTENT_TYPE}
        facts = {**facts_of(minted.project, version, file), "token": minted.token}
        visit.ask("upload-dead", "POST", LEGACY, form(file), headers, **facts)

    def burn(self, visit: Visit, minted: Minted) -> None:
        answer = self.post(visit, "burn", BURN, {"token": minted.token}, token=minted.token)
        if answer is not None and answer.status == 202:
            self.memory.burned.add(minted)

    def post(
        self, visit: Visit, kind: str, path: str, document: Mapping[str, Any], **facts: Any
    ) -> Answer | None:
        return visit.ask(kind, "POST", path, json.dumps(document).encode(), _JSON, **facts)


def look(visit: Visit, token: str, project: str, file: Distribution) -> None:
    """Note whether a file that was just taken is on its page."""
    headers = {"Authorization": f"Bearer {token}", "Accept": "application/vnd.pypi.simple.v1+json"}
    seen = {"filename": file.filename, "sha256": file.sha256, "project": project}
    answer = visit.ask("look", "GET", f"/acme/simple/{project}/", b"", headers, **seen)
    if answer is not None and answer.status == 200 and not is_listed(answer.json, file):
        visit.note("missing", **seen)


def is_listed(page: Any, file: Distribution) -> bool:
    return any(
        each["filename"] == file.filename and each["hashes"]["sha256"] == file.sha256
        for each in page["files"]
    )


def ask_about(visit: Visit, minted: Minted) -> bool | None:
    """Return and note whether a token is active, as the broker tells another index."""
    pair = base64.b64encode(":".join(INTROSPECTION_CLIENT).encode()).decode()
    headers = {
        "Authorization": f"Basic {pair}",
        "Content-Type": "application/x-www-form-urlencoded",
    }
    body = f"token={minted.token}&project={minted.project}".encode()
    path = "/acme/_/token/introspect"
    answer = visit.ask("introspect", "POST", path, body, headers, token=minted.token)
    if answer is None or answer.status != 200:
        return None
    is_active: bool = answer.json["active"]
    kind = "active" if is_active else "inactive"
    visit.note(kind, token=minted.token, project=minted.project)
    return is_active


def choose_project(chance: Random) -> str:
    return CHANGING if chance.random() < 0.15 else chance.choice(STEADY)


def facts_of(project: str, version: str, file: Distribution) -> dict[str, Any]:
    return {
        "project": project,
        "version": version,
        "filename": file.filename,
        "sha256": file.sha256,
    }


def jti_of(token: str) -> str:
    payload = token.split(".")[1]
    return str(json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))["jti"])
