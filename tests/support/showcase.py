"""A registry worth looking at: the data folder of a `serve`, with projects, releases and states."""

import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from pytp_broker import config
from pytp_broker.content import Held
from pytp_broker.demo.process import ServerProcess
from pytp_broker.grants import Grant, Permission
from pytp_broker.index.distributions import parse_filename
from pytp_broker.index.inspection import Candidate, inspect
from pytp_broker.index.storing import describe, save_bytes
from pytp_broker.provenance.attester import AttestationState, AttestationStatus
from pytp_broker.storage.data_folder import open_data_folder
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.project_status import ProjectStatus
from pytp_broker.storage.protocols import Storage
from pytp_broker.tokens import MULTI_USE, Listing, TokenRecord, UploadToken
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.publishers import recorded_identity_key
from tests.support.configurations import github_publisher, registry
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.signing import GITHUB

PUBLISHED_AT: Final = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
CONFIGURATION: Final = registry(
    "acme",
    github_publisher("widgets", repository_owner_id="9919", environment="release"),
    github_publisher("hostile"),
) + registry("open", github_publisher("tools"), access="public")
JOB: Final = {
    "issuer": GITHUB,
    "repository": "octo-org/widgets",
    "workflow": "octo-org/widgets/.github/workflows/release.yml@refs/tags/v2.1.0",
    "environment": "release",
    "ref": "refs/tags/v2.1.0",
    "sha": "8a1f2c3d4e5f60718293a4b5c6d7e8f901234567",
    "run": "11855712345",
    "actor": "octocat",
    "provider": "github",
    "repository_owner_id": "9919",
    "repository_id": "70107786",
}
NIGHTLY: Final = {**JOB, "workflow": JOB["workflow"].replace("release.yml", "nightly.yml")}
OPERATOR: Final = {"operator": "user olive", "reason": "GitHub Actions is down"}
VERIFIED: Final = AttestationState(AttestationStatus.VERIFIED)
_KEY: Final = recorded_identity_key(JOB, PROVIDERS["github"]) or ""
README: Final = """\
# widgets

[![Build](https://ci.example.com/badge.svg)](https://ci.example.com/widgets)

Small, sturdy widgets for every machine. See the [handbook](https://docs.example.com/widgets).

## Use it

```python
from widgets import Widget

widget = Widget(teeth=12, name="left")  # fits every gear
widget.turn(0.5)
```

| Size | Teeth | Fits |
|---|---|---|
| small | 8 | clocks |
| large | 24 | mills |

- [x] turns in both directions
- [ ] oils itself

> Keep your fingers away from the teeth.
"""
# What must neither run, nor load, nor lead anywhere.
HOSTILE: Final = """\
# <script>document.title = "ran"</script>hostile

<script>document.title = "ran"</script>
<img src="x" onerror="document.title = 'ran'" alt="a picture">
<svg onload="document.title = 'ran'"></svg>
<iframe src="https://evil.example.com/"></iframe>
<style>body { display: none }</style>
<a href="javascript:document.title='ran'">click me</a>
<a href="data:text/html,<script>1</script>">or me</a>

[or me](JaVaScRiPt:document.title='ran')
[a relative link](docs/index.md) [another site](https://example.com/)
<!-- a comment --> ![a logo](logo.png)

<div style="position: fixed; inset: 0">over everything</div>
<form action="https://evil.example.com/"><input name="q"><button>Log in</button></form>
\u202etxet desrever\u202c
"""
MANY: Final = tuple(
    f"{kind}-{part}"
    for kind in ("bolt", "cog", "gear", "lever", "nut", "pulley", "rivet", "spring")
    for part in ("cli", "core", "docs", "server")
)


def fill(folder: Path) -> None:
    """Fill the data folder of a `serve`."""
    loaded = config.parse(tomllib.loads(CONFIGURATION), allow_loopback=False)
    with open_data_folder(folder) as storage:
        storage.store.apply(loaded.configuration, loaded.publishers)
        for publisher in loaded.publishers[:1]:
            storage.store.pin_publisher(publisher, {"repository_id": "70107786"})
        _publish_widgets(storage)
        _publish(storage, wheel("hostile", text=_metadata("hostile", "1.0", HOSTILE)))
        _publish(storage, wheel("tools"), registry_name="open")
        for name in MANY:
            _publish(storage, wheel(name, text=_metadata(name, "1.0", "")))
        storage.store.yank_release("acme", "widgets", "2", "turns the wrong way")
        storage.store.set_status("acme", "bolt-cli", ProjectStatus("quarantined", "malware"))
        storage.store.set_status("acme", "bolt-core", ProjectStatus("deprecated", "use cog-core"))


@contextmanager
def shown(folder: Path) -> Iterator[ServerProcess]:
    """Serve the registry."""
    path = folder / "broker.toml"
    path.write_text(CONFIGURATION)
    (folder / "data").mkdir()
    fill(folder / "data")
    options = ("--data", str(folder / "data"))
    with ServerProcess(path, folder / "log", *options) as server:
        yield server


def reader_token(folder: Path) -> UploadToken:
    """Return a token that reads the private registry, stored as the exchange does."""
    token = UploadToken.mint("0" * 31 + "1")
    now = datetime.now(UTC)
    with open_data_folder(folder / "data") as storage:
        publishers = storage.store.list_publishers(_KEY)
        ids = {p.publisher_id: p.generation for p in publishers if p.registry == "acme"}
        record = TokenRecord(
            lookup_id=token.lookup_id,
            token_hash=token.hash,
            issuer=GITHUB,
            identity=JOB,
            grants=(Grant("acme", None, Permission.UPLOAD, ids),),
            projects={"acme": Listing(("widgets",), 1)},
            features=(MULTI_USE,),
            issued_at=now,
            expires_at=now + timedelta(minutes=15),
            kept_until=now + timedelta(minutes=20),
        )
        storage.store.add_token(record)
    return token


def _publish_widgets(storage: Storage) -> None:
    for age, version in enumerate(("2.1.0", "2.0", "1.2.0", "1.1.0", "1.0.0")):
        text, at = _metadata("widgets", version, README), PUBLISHED_AT - timedelta(days=40 * age)
        by = OPERATOR if version == "1.1.0" else JOB
        for distribution in (wheel(version=version, text=text), sdist(version=version, text=text)):
            file = _publish(storage, distribution, at, published_by=by)
            if version == "2.1.0":
                place = (file.registry, file.project, file.filename)
                storage.store.save_attestation_state(*place, VERIFIED)
    candidate = wheel(version="3.0rc1", text=_metadata("widgets", "3.0rc1", README))
    _publish(storage, candidate, published_by=NIGHTLY)


def _metadata(name: str, version: str, description: str) -> str:
    return (
        f"Metadata-Version: 2.2\nName: {name}\nVersion: {version}\n"
        "Summary: Small, sturdy widgets for every machine\n"
        "Author: The Acme workshop\nLicense-Expression: Apache-2.0\nRequires-Python: >=3.11\n"
        "Project-URL: Documentation, https://docs.example.com/widgets\n"
        "Project-URL: Source, https://github.com/octo-org/widgets\n"
        f"Description-Content-Type: text/markdown\n\n{description}"
    )


def _publish(
    storage: Storage,
    distribution: Distribution,
    at: datetime = PUBLISHED_AT,
    registry_name: str = "acme",
    published_by: Mapping[str, str] = JOB,
) -> PublishedFile:
    """Publish a file as an upload does, after its token was checked."""
    name, content = parse_filename(distribution.filename), Held(distribution.content)
    facts = inspect(Candidate(name, content, distribution.sha256))
    file = describe(facts, registry=registry_name, uploaded_at=at, published_by=published_by)
    save_bytes(file, facts, storage.files)
    file = replace(file, receipt_sha256="0" * 64)
    storage.store.add_file(file)
    return file
