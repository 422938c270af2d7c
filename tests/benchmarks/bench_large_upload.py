"""One wheel of 125 MB by the legacy API, beside a bare PUT of the same bytes over TLS.

The client has the body ready, so that what is measured is the server: it receives, hashes, checks
and stores the file. The bare server only writes what arrives. Both take turns; trust the ratio.
Run it with `make bench`.
"""

import hashlib
import http.client
import json
import ssl
import time
from pathlib import Path
from statistics import median
from typing import Final
from urllib.parse import urlsplit

import pytest

from tests.benchmarks.goals import Goals
from tests.support.bare_put import BLOCK_BYTES, bare_server
from tests.support.distributions import CONTENT_TYPE, Distribution, fields, form
from tests.support.large_files import MB, Release
from tests.support.release_story import Site, site

ROUNDS: Final = 3
ONE_WHEEL: Final = 125 * MB
TWINE: Final = "three digests, as twine sends them"
UV: Final = "one digest, as uv sends it"


@pytest.mark.parametrize("kind", [UV, TWINE])
def test_a_large_upload_beside_a_bare_put(kind: str, tmp_path: Path, goals: Goals) -> None:
    ratios = []
    (tmp_path / "bare").mkdir()
    with site(tmp_path / "site") as at, bare_server(tmp_path / "bare") as bare:
        token = mint(at)
        for number in range(ROUNDS):
            wheel = Release(version=f"1.{number}").write(tmp_path, "py3-none-any", ONE_WHEEL)
            body = tmp_path / "body"
            body.write_bytes(write_form(wheel, kind))
            put = bare.seconds_for(body)
            ours = seconds_of(at, token, body)
            print(f"{kind}: bare PUT {ONE_WHEEL / put / MB:4.0f} MB/s, ours {put / ours:.2f} of it")
            ratios.append(put / ours)
            wheel.unlink()
    goals.at_least("uploads", f"125 MB, legacy API, {kind}", 0.7, median(ratios), "of a bare PUT")


def write_form(wheel: Path, kind: str) -> bytes:
    content = wheel.read_bytes()
    more = {
        "md5_digest": hashlib.md5(content, usedforsecurity=False).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(content, digest_size=32).hexdigest(),
    }
    distribution = Distribution(wheel.name, content)
    return form(distribution, fields(distribution, **(more if kind == TWINE else {})))


def connect(at: Site) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cafile=str(at.server.ca_file))
    place = urlsplit(at.server.url).netloc
    return http.client.HTTPSConnection(place, context=context, blocksize=BLOCK_BYTES)


def mint(at: Site) -> str:
    connection, prefix = connect(at), "/acme/_/oidc"
    connection.request("GET", f"{prefix}/audience")
    audience = json.loads(connection.getresponse().read())["audience"]
    identity = at.issuer.token(aud=audience)
    connection.request("POST", f"{prefix}/mint-token", json.dumps({"token": identity}))
    token: str = json.loads(connection.getresponse().read())["token"]
    connection.close()
    return token


def seconds_of(at: Site, token: str, body: Path) -> float:
    """Return how long an upload takes, its connection included."""
    began = time.perf_counter()
    connection = connect(at)
    headers = {
        "Authorization": f"Bearer {token}",
        "Content-Type": CONTENT_TYPE,
        "Content-Length": str(body.stat().st_size),
    }
    with body.open("rb") as file:
        connection.request("POST", "/acme/legacy/", file, headers)
        answer = connection.getresponse()
        said = answer.read()
    connection.close()
    assert answer.status == 200, said
    return time.perf_counter() - began
