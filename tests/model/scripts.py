"""The steps of actors: jobs, thieves, operators and clients of publishing sessions."""

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import cache
from typing import Any, Final
from urllib.parse import urlsplit

from pytp_broker import config
from pytp_broker.config import Loaded
from pytp_broker.http.upload_api import MEDIA_TYPE
from pytp_broker.storage.withdrawals import Tombstone
from pytp_broker.tokens import UploadToken
from tests.model.desk import ISSUER, command, send
from tests.model.operations import Operation, Run
from tests.model.system import SKIP, WAIT, Step, View
from tests.support import distributions
from tests.support.configurations import github_publisher, registry
from tests.support.deployment import Answer, basic
from tests.support.distributions import Distribution
from tests.support.signing import NOW
from tests.support.uploading import META, POST_BYTES, ROOT

PINNED: Final = {"repository_owner_id": "9919", "repository_id": "70107786"}


def configuration(*publishers: str, **settings: Any) -> str:
    """Return a configuration file with the registry `acme`."""
    return registry("acme", *publishers, audience="acme", **settings)


WIDGETS: Final = configuration(github_publisher("widgets", **PINNED))


@cache
def load(text: str, time: int = 1) -> Loaded:
    """Return a configuration as ``apply`` takes it; each time with new ids of publishers."""
    assert time
    return config.parse(tomllib.loads(text), allow_loopback=False)


def begin_with(text: str) -> Callable[[Any], None]:
    """Return what applies a first configuration to a store."""

    def begin(store: Any) -> None:
        loaded = load(text)
        store.apply(loaded.configuration, loaded.publishers)

    return begin


@dataclass(frozen=True)
class Identity:
    """An identity token of a release job, by its name, which is its `jti`."""

    name: str
    begin: int = 0
    seconds: int = 300
    owner_id: str = PINNED["repository_owner_id"]

    def sign(self) -> str:
        return _sign(self)


@cache
def _sign(identity: Identity) -> str:
    workflow = "octo-org/widgets/.github/workflows/release.yml@refs/tags/v1.2.0"
    begin = NOW + timedelta(seconds=identity.begin)
    return ISSUER.token(
        begin,
        jti=identity.name,
        exp=int(begin.timestamp()) + identity.seconds,
        repository="octo-org/widgets",
        repository_owner_id=identity.owner_id,
        repository_id=PINNED["repository_id"],
        workflow_ref=workflow,
        job_workflow_ref=workflow,
    )


@cache
def wheel(
    version: str = "1.0", content: str = "good", project: str = "widgets", tag: str = "py3"
) -> Distribution:
    """Return a small wheel; another ``content`` makes other bytes of the same name."""
    text = distributions.metadata(project, version, f"Summary: {content}")
    filename = f"{project}-{version}-{tag}-none-any.whl"
    members = distributions.wheel_members(project, version, text)
    wheel_file = next(name for name in members if name.endswith("/WHEEL"))
    members[wheel_file] = str(members[wheel_file]).replace("py3-none-any", f"{tag}-none-any")
    return distributions.wheel(project, version, members=members, filename=filename)


# Whose token an actor has: of the actor, from its step.
Source = tuple[str, str]


def token_from(view: View, source: Source) -> str | None:
    """Return the text of a token that an actor got; WAIT until then, SKIP if there will be none."""
    note = view.last(*source)
    if note is None:
        return WAIT
    return note if isinstance(note, str) and note.startswith("pytp_") else SKIP


def mint(identity: Identity, *, single: bool = False, name: str = "mint") -> Step:
    """Exchange an identity token."""
    members = {"features": ["single-use-token"]} if single else {}
    body = json.dumps({"token": identity.sign(), **members}).encode()
    act = send("POST", "/acme/_/oidc/mint-token", body, {})

    def make(view: View) -> Operation:
        return Operation(view.label, "mint", act, (identity, single), {"identity": identity.name})

    return Step(name, make, _token_of)


def _token_of(answer: Answer) -> str | int:
    return str(answer.json["token"]) if answer.status == 200 else answer.status


def upload(file: Distribution, source: Source) -> Step:
    """Publish a file by the legacy API."""
    body = distributions.form(file, distributions.fields(file))
    files = ((file.filename, file.sha256),)

    def make(view: View) -> Operation | str:
        token = token_from(view, source)
        if token in {WAIT, SKIP}:
            return str(token)
        headers = {
            "authorization": basic("__token__", str(token)),
            "content-type": distributions.CONTENT_TYPE,
        }
        act = send("POST", "/acme/legacy/", body, headers)
        return Operation(view.label, "upload", act, (token, files), {"files": files})

    return Step("upload", make)


def burn(source: Source) -> Step:
    """Burn a token, as a job does at its end."""

    def make(view: View) -> Operation | str:
        token = token_from(view, source)
        if token in {WAIT, SKIP}:
            return str(token)
        body = json.dumps({"token": token}).encode()
        return Operation(
            view.label, "burn", send("POST", "/acme/_/oidc/burn-token", body, {}), token
        )

    return Step("burn", make)


# Commands of operators


def apply(text: str, time: int = 1, kind: str = "apply") -> Step:
    """Apply a configuration."""
    loaded = load(text, time)
    act = command("apply", loaded.configuration, tuple(loaded.publishers))
    return Step(kind, lambda view: Operation(view.label, kind, act, (text, time)))


def delete(file: Distribution, after: Source) -> Step:
    """Delete a published file, once an upload of it was answered 200."""
    stone = Tombstone("it has a password", "user olive", NOW)
    act = command("delete_file", "acme", "widgets", file.filename, stone)

    def make(view: View) -> Operation | str:
        if view.last(*after) is None:
            return WAIT
        return (
            Operation(view.label, "delete", act, file.filename)
            if view.last(*after) == 200
            else SKIP
        )

    return Step("delete", make)


def reopen(key: str, until: timedelta) -> Step:
    """Open a release again."""
    act = command("reopen_release", "acme", "widgets", key, NOW + until)
    return Step("reopen", lambda view: Operation(view.label, "reopen", act, (key, until)))


def burn_stolen(source: Source) -> Step:
    """Burn a token as the command `token burn` does."""

    def make(view: View) -> Operation | str:
        text = token_from(view, source)
        if text in {WAIT, SKIP}:
            return str(text)
        token = UploadToken.parse(str(text))

        def act(run: Run) -> Answer:
            now = run.desk.clock.now
            run.desk.stopping_store.burn_token(token.lookup_id, token.hash, None, now)
            return Answer(200, {}, b"{}")

        return Operation(view.label, "burn", act, text)

    return Step("burn", make)


# Clients of publishing sessions


def create(source: Source, version: str = "1.0") -> Step:
    """Begin a session, or find the live one of the version; note its token."""
    return _session_step(
        "create",
        source,
        lambda _view: ("POST", ROOT, {"name": "widgets", "version": version}),
        _found,
    )


def _found(answer: Answer) -> str | int:
    location = answer.headers.get("Location", "")
    return (
        location.rpartition("/")[2] if answer.status in {201, 409} and location else answer.status
    )


def announce(file: Distribution, source: Source, session: Source) -> Step:
    """Announce a file; note the addresses for its bytes and its completion."""
    members = {
        "filename": file.filename,
        "size": len(file.content),
        "hashes": {"sha256": file.sha256},
        "mechanism": POST_BYTES,
    }
    place = "/acme/upload/{}/files"
    return _session_step(
        "announce",
        source,
        lambda view: ("POST", place.format(view.last(*session)), members),
        _addresses,
        lambda view: {"session": view.last(*session), "filename": file.filename},
    )


def _addresses(answer: Answer) -> Any:
    if answer.status != 202:
        return answer.status
    found = answer.json["mechanism"]["file_url"], answer.json["links"]["complete"]
    return tuple(urlsplit(url).path for url in found)


def deliver(file: Distribution, source: Source, announced: Source) -> Step:
    """Send the bytes of a file."""
    return _session_step(
        "deliver", source, lambda view: ("POST", view.last(*announced)[0], file.content)
    )


def complete(source: Source, announced: Source) -> Step:
    """Complete the upload of a file."""
    return _session_step("complete", source, lambda view: ("POST", view.last(*announced)[1], {}))


def publish(source: Source, session: Source, *files: Distribution) -> Step:
    """Publish a session."""
    sent = tuple((file.filename, file.sha256) for file in files)
    return _session_step(
        "publish",
        source,
        lambda view: ("POST", f"/acme/upload/{view.last(*session)}/publish", {}),
        facts=lambda _view: {"files": sent},
    )


def cancel(source: Source, session: Source) -> Step:
    """Cancel a session."""
    return _session_step(
        "cancel", source, lambda view: ("DELETE", f"/acme/upload/{view.last(*session)}", {})
    )


def show(source: Source, session: Source) -> Step:
    """Ask about a session, which brings it into the state that it should have."""
    return _session_step(
        "show", source, lambda view: ("GET", f"/acme/upload/{view.last(*session)}", {})
    )


Request = tuple[str, str, Mapping[str, Any] | bytes]


def _session_step(
    name: str,
    source: Source,
    request: Callable[[View], Request],
    note: Callable[[Answer], Any] = lambda answer: answer.status,
    facts: Callable[[View], Mapping[str, Any]] = lambda _view: {},
) -> Step:
    def make(view: View) -> Operation | str:
        token = token_from(view, source)
        if token in {WAIT, SKIP}:
            return str(token)
        try:
            method, path, content = request(view)
        except TypeError:  # a step before this one was refused, so there is no address
            return SKIP
        is_bytes = isinstance(content, bytes)
        body = content if isinstance(content, bytes) else json.dumps({**META, **content}).encode()
        headers = {
            "authorization": basic("__token__", str(token)),
            "content-type": "application/octet-stream" if is_bytes else MEDIA_TYPE,
        }
        inputs = (name, path, token)
        return Operation(view.label, name, send(method, path, body, headers), inputs, facts(view))

    return Step(name, make, note)
