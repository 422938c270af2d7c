"""`verify` as a user types it: what it prints, how it exits, and that it asks nobody offline."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import time_machine

from pytp_broker.cli import main, verify
from pytp_broker.client.transport import UnreachableError
from pytp_broker.provenance.receipts import Kind, Publication
from tests.support.claims import captured
from tests.support.distributions import Distribution, sdist, wheel
from tests.support.proofs import (
    INDEX,
    JOB,
    KEYS_URL,
    NOW,
    RUN,
    SigningRegistry,
    locked,
    put,
    pylock,
    url_of,
)
from tests.support.receipt_signing import TestSigner
from tests.support.sigstores import Sigstore, github

LONG_AGO: Final = datetime(2020, 1, 1, tzinfo=UTC)
MET: Final = f"""
[projects.widgets]
issuer = "{JOB.issuer}"
repository = "octo-org/widgets"
workflow = "release.yml"
"""


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[SigningRegistry]:
    """Let a registry be at the other end."""
    registry = SigningRegistry()
    monkeypatch.setattr(verify, "Wire", lambda: registry)
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setenv("NETRC", "/nowhere")
    for name in ("PYTP_INDEX_URL", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "UV_INDEX"):
        monkeypatch.delenv(name, raising=False)
    with time_machine.travel(NOW, tick=False):
        yield registry


@pytest.fixture
def file(registry: SigningRegistry, quick_path: Path) -> Path:
    """Return a published wheel."""
    registry.publish(wheel())
    registry.show("widgets", wheel())
    return put(quick_path, wheel())


def keep(registry: SigningRegistry, folder: Path, file: Distribution, **changes: Any) -> Path:
    """Write a file, its receipt and the keys; return the file."""
    receipt = registry.sign(registry.receipt(file, **changes))
    (folder / f"{file.filename}.receipt").write_bytes(receipt)
    (folder / "keys.json").write_text(json.dumps(registry.keys().document()))
    return put(folder, file)


def printed(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return capsys.readouterr().out.splitlines()


def document(capsys: pytest.CaptureFixture[str]) -> Any:
    return json.loads(capsys.readouterr().out)


# --- what is printed -------------------------------------------------------------------------


def test_a_verified_file_says_who_published_it_where_and_when(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(file), "--index", INDEX]) == 0

    assert printed(capsys) == [
        "widgets-1.0-py3-none-any.whl: verified",
        "  registry     packages.example.com/acme",
        f"  published    2026-11-28 12:00 UTC by a job of {JOB.issuer}",
        "  repository   octo-org/widgets",
        f"  commit       {JOB.claims['sha']}",
        "  workflow     octo-org/widgets/.github/workflows/release.yml@refs/tags/v1.0",
        "  environment  release",
        "  ref          refs/tags/v1.0",
        f"  run          {RUN}",
        "  attestations none",
        "widgets 1.0: full provenance; no earlier release has any",
        "1 of 1 files verified",
    ]


def test_the_page_shows_what_is_printed(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parents[3] / "docs/verify.md").read_text()
    (shown,) = re.findall(r"<!-- verified -->\n```text\n(.*?)```", page, re.DOTALL)

    assert main(["verify", str(file), "--index", INDEX]) == 0

    assert capsys.readouterr().out == shown


def test_a_file_that_is_not_verified_says_why(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(put(quick_path, wheel())), "--index", INDEX]) == 1

    why = "no-receipt: the registry has no receipt of it: Not Found"
    assert printed(capsys) == [
        f"widgets-1.0-py3-none-any.whl: NOT VERIFIED: {why}",
        "0 of 1 files verified",
    ]


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (Kind.OPERATOR, "by an operator of the registry, not by a trusted publisher"),
        (Kind.IMPORT, "by an import of an operator, not by a trusted publisher"),
    ],
)
def test_what_no_job_has_published_says_so(
    registry: SigningRegistry,
    quick_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: Kind,
    said: str,
) -> None:
    registry.publish(wheel(), publication=Publication(kind=kind, reason="to move in"))

    assert main(["verify", str(put(quick_path, wheel())), "--index", INDEX]) == 0

    lines = printed(capsys)
    assert f"  published    2026-11-28 12:00 UTC {said}" in lines
    assert "  because      to move in" in lines


def test_the_document_has_everything(
    file: Path, registry: SigningRegistry, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(file), "--index", INDEX, "--json"]) == 0

    assert document(capsys) == {
        "version": 1,
        "verified": True,
        "files": [
            {
                "filename": file.name,
                "source": str(file),
                "sha256": wheel().sha256,
                "verified": True,
                "reason": None,
                "detail": None,
                "expected": None,
                "receipt": {
                    "registry": {"host": "packages.example.com", "name": "acme"},
                    "project": "widgets",
                    "version": "1.0",
                    "size": len(wheel().content),
                    "uploadedAt": "2026-11-28T12:00:00.000000Z",
                    "signedAt": "2026-11-28T12:00:00.000000Z",
                    "publication": JOB.document(),
                },
                "timestampedAt": None,
                "attestations": {"status": "none", "reason": ""},
            }
        ],
        "unchecked": [],
        "releases": [
            {
                "project": "widgets",
                "version": "1.0",
                "words": ["full"],
                "comparedWith": None,
                "newSources": [],
                "goneSources": [],
                "detail": None,
                "attested": None,
            }
        ],
    }


def test_the_document_says_why_a_file_is_not_verified(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel(), size=1)

    assert main(["verify", str(put(quick_path, wheel())), "--index", INDEX, "--json"]) == 1

    (found,) = document(capsys)["files"]
    assert (found["verified"], found["reason"], found["receipt"]) == (False, "wrong-size", None)


SPOOF: Final = "x\r\x1b[2K\u202eevil: verified\n2 of 2 files verified"


@pytest.mark.promise("plain-text")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_names_cannot_spoof_what_is_printed(
    registry: SigningRegistry,
    quick_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: list[str],
) -> None:
    claims = {"repository": SPOOF, "workflow": SPOOF}
    publication = Publication(
        kind=Kind.JOB, issuer=SPOOF, claims=claims, run_url=SPOOF, pins={SPOOF: SPOOF}
    )
    registry.publish(wheel(), publication=publication)
    bad = quick_path / f"{SPOOF}.whl".replace("/", "")
    bad.write_text("x")

    status = main(["verify", str(put(quick_path, wheel())), str(bad), "--index", INDEX, *options])

    assert status == 1
    out = capsys.readouterr().out
    shown = json.dumps(json.loads(out), ensure_ascii=False) if options else out
    assert not {"\r", "\x1b", "\u202e"} & {*shown}
    assert "\\n2 of 2" not in shown
    assert "2 of 2 files verified" not in shown.splitlines()


def test_a_receipt_cannot_spoof_why_it_is_refused(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel(), filename=SPOOF)

    assert main(["verify", str(put(quick_path, wheel())), "--index", INDEX]) == 1

    first, last = printed(capsys)
    assert first.startswith("widgets-1.0-py3-none-any.whl: NOT VERIFIED: wrong-name")
    assert last == "0 of 1 files verified"


# --- earlier releases ------------------------------------------------------------------------

OTHER: Final = replace(JOB, claims={**JOB.claims, "repository": "octo-org/evil"})


def test_a_publisher_who_differs_from_the_earlier_one_is_said(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = wheel(version="0.9")
    registry.publish(old, version="0.9")
    registry.publish(wheel(), publication=OTHER)
    registry.show("widgets", old, wheel())
    path = str(put(quick_path, wheel()))

    assert main(["verify", path, "--index", INDEX]) == 0

    workflow = "octo-org/widgets/.github/workflows/release.yml"
    ending = f"({workflow}) at {JOB.issuer}, repository_owner_id 9919"
    assert printed(capsys)[-4:] == [
        "widgets 1.0: full, changed provenance, compared with 0.9",
        f"  new          octo-org/evil {ending}",
        f"  gone         octo-org/widgets {ending.replace('octo-org/widgets/', '')}",
        "1 of 1 files verified",
    ]


def test_a_list_is_compared_only_if_that_is_wanted(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel())
    registry.show("widgets", wheel())
    lock = quick_path / "pylock.toml"
    lock.write_text(pylock({"name": "widgets", "wheels": [locked(wheel())]}))
    command = ["verify", str(lock), "--index", INDEX, "--json"]

    assert main(command) == 0
    assert document(capsys)["releases"] == []
    assert main([*command, "--history"]) == 0
    assert len(document(capsys)["releases"]) == 1


def test_a_file_is_not_compared_if_that_is_not_wanted(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(file), "--index", INDEX, "--json", "--no-history"]) == 0

    assert document(capsys)["releases"] == []


def test_an_index_that_lists_nothing_does_not_change_the_verdict(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel())

    assert main(["verify", str(put(quick_path, wheel())), "--index", INDEX]) == 0

    why = "the index does not list the release"
    assert f"widgets 1.0: provenance not compared with earlier releases: {why}" in printed(capsys)


# --- the policy ------------------------------------------------------------------------------


def policy(folder: Path, text: str) -> list[str]:
    path = folder / "policy.toml"
    path.write_text(text)
    return ["--policy", str(path)]


def test_a_policy_that_is_met_is_said(
    file: Path, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(file), "--index", INDEX, *policy(quick_path, MET)]) == 0

    assert "  policy       met" in printed(capsys)


def test_another_publisher_than_expected_exits_with_1(
    file: Path, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = policy(quick_path, MET.replace("octo-org/widgets", "octo-org/gadgets"))

    assert main(["verify", str(file), "--index", INDEX, *other]) == 1

    lines = printed(capsys)
    assert "NOT VERIFIED: not-expected: repository is `octo-org/widgets`" in lines[0]
    assert "  policy       NOT MET" in lines


def test_a_file_without_an_entry_in_the_policy_exits_with_1(
    file: Path, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = policy(quick_path, MET.replace("projects.widgets", "projects.gadgets"))

    assert main(["verify", str(file), "--index", INDEX, *other, "--json"]) == 1

    (found,) = document(capsys)["files"]
    assert (found["reason"], found["expected"]) == ("not-in-policy", False)


def test_a_mistake_in_the_policy_exits_with_2_and_asks_nobody(
    file: Path,
    quick_path: Path,
    registry: SigningRegistry,
    capsys: pytest.CaptureFixture[str],
) -> None:
    wrong = policy(quick_path, MET.replace("repository", "repositry"))

    assert main(["verify", str(file), "--index", INDEX, *wrong]) == 2

    assert "repositry: is an unknown key; did you mean `repository`?" in capsys.readouterr().err
    assert registry.asked == []


# --- lists -----------------------------------------------------------------------------------


@pytest.mark.promise("whole-list")
def test_a_lock_file_is_verified_as_a_whole(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel())
    lock = quick_path / "pylock.toml"
    package = {"name": "widgets", "wheels": [locked(wheel())], "sdist": locked(sdist())}
    lock.write_text(pylock(package))

    assert main(["verify", str(lock), "--index", INDEX]) == 1
    assert printed(capsys)[-1] == "1 of 2 files verified"

    registry.publish(sdist())
    assert main(["verify", str(lock), "--index", INDEX]) == 0


def test_a_requirements_file_is_verified_by_its_hashes(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel())
    registry.show("widgets", wheel())
    path = quick_path / "requirements.txt"
    path.write_text(f"widgets==1.0 --hash=sha256:{wheel().sha256}\n")

    assert main(["verify", str(path), "--index", INDEX]) == 0

    assert printed(capsys)[0] == f"{wheel().filename}: verified"


def test_what_is_left_out_is_said(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel())
    lock = quick_path / "pylock.toml"
    others = {"name": "gadgets", "wheels": [locked(wheel("gadgets"))]}
    lock.write_text(pylock({"name": "widgets", "wheels": [locked(wheel())]}, others))
    command = ["verify", str(lock), "--index", INDEX, "--project", "widgets"]

    assert main(command) == 0
    assert printed(capsys)[-1] == "not checked, because of --project: 1 others"

    assert main([*command, "--json"]) == 0
    assert document(capsys)["unchecked"] == [wheel("gadgets").filename]


# --- statuses --------------------------------------------------------------------------------


def test_a_registry_that_does_not_answer_exits_with_3(
    registry: SigningRegistry, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.replies[url_of(wheel(), "receipt")] = UnreachableError("it cannot be reached")

    assert main(["verify", str(file), "--index", INDEX]) == 3
    assert "NOT VERIFIED: no-answer" in printed(capsys)[0]


def test_keys_that_cannot_be_fetched_exit_with_3(
    registry: SigningRegistry, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.replies[KEYS_URL] = UnreachableError("it cannot be reached")

    assert main(["verify", str(file), "--index", INDEX]) == 3
    assert "there are no keys" in capsys.readouterr().err


def test_a_wrong_file_beside_one_that_may_pass_exits_with_1(
    registry: SigningRegistry, file: Path, quick_path: Path
) -> None:
    registry.replies[url_of(wheel(), "receipt")] = UnreachableError("it cannot be reached")

    assert main(["verify", str(file), str(put(quick_path, sdist())), "--index", INDEX]) == 1


def test_a_host_without_keys_exits_with_1(registry: SigningRegistry, file: Path) -> None:
    registry.serve(KEYS_URL, status=404)

    assert main(["verify", str(file), "--index", INDEX]) == 1


@pytest.mark.parametrize(
    "options",
    [
        ["--index", "https://packages.example.com/"],
        ["--index", INDEX, "--receipt", "x.receipt"],
        ["--receipt", "x.receipt"],
        ["--keys", "missing.json"],
        ["--keys", "missing.json", "--save", "proofs"],
        ["--index", INDEX, "--project", "gadgets"],
        ["--index", INDEX, "--policy", "missing.toml"],
        ["--index", INDEX, "--trusted-root", "missing.json"],
        [],
    ],
)
def test_a_mistake_in_the_command_exits_with_2(file: Path, options: list[str]) -> None:
    assert main(["verify", str(file), *options]) == 2


def test_one_receipt_is_for_one_file(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep(registry, quick_path, wheel())
    keep(registry, quick_path, sdist())
    receipt = quick_path / f"{wheel().filename}.receipt"
    keys = str(quick_path / "keys.json")

    assert main(["verify", str(quick_path), "--keys", keys, "--receipt", str(receipt)]) == 2
    assert "verify one file with it, or name a folder" in capsys.readouterr().err


# --- without the network ---------------------------------------------------------------------


def test_with_keys_the_receipt_may_be_named(registry: SigningRegistry, quick_path: Path) -> None:
    file = keep(registry, quick_path, wheel())
    receipt = (quick_path / f"{wheel().filename}.receipt").rename(quick_path / "r.json")
    keys = str(quick_path / "keys.json")

    assert main(["verify", str(file), "--keys", keys, "--receipt", str(receipt)]) == 0


def test_with_keys_the_receipts_may_be_in_a_folder(
    registry: SigningRegistry, quick_path: Path
) -> None:
    for each in (wheel(), sdist()):
        keep(registry, quick_path, each)
    dist = quick_path / "dist"
    dist.mkdir()
    for each in (wheel(), sdist()):
        put(dist, each)
    keys = str(quick_path / "keys.json")

    assert main(["verify", str(dist), "--keys", keys]) == 1
    assert main(["verify", str(dist), "--keys", keys, "--receipt", str(quick_path)]) == 0


def test_with_keys_and_an_index_the_keys_are_not_asked_for(
    registry: SigningRegistry, file: Path, quick_path: Path
) -> None:
    keep(registry, quick_path, wheel())
    keys = str(quick_path / "keys.json")

    assert main(["verify", str(file), "--keys", keys, "--index", INDEX]) == 0
    assert KEYS_URL not in registry.urls


@pytest.mark.parametrize("octets", [b"", b"[]", b'{"host": "x", "keys": []}', b" " * 600_000])
def test_what_is_not_a_file_of_keys_verifies_nothing(
    registry: SigningRegistry, quick_path: Path, octets: bytes
) -> None:
    file = keep(registry, quick_path, wheel())
    (quick_path / "keys.json").write_bytes(octets)

    assert main(["verify", str(file), "--keys", str(quick_path / "keys.json")]) == 1


def test_a_folder_is_no_file_of_keys(registry: SigningRegistry, quick_path: Path) -> None:
    assert (
        main(["verify", str(keep(registry, quick_path, wheel())), "--keys", str(quick_path)]) == 2
    )


# With the tracer of coverage and a hook, Python 3.11 crashes.
UNWATCHED: Final = {n: v for n, v in os.environ.items() if not n.startswith("COVERAGE")}


def test_what_is_saved_verifies_the_same_files_without_an_index(
    registry: SigningRegistry, quick_path: Path
) -> None:
    for each in (wheel(), sdist()):
        registry.publish(each)
        put(quick_path, each)
    registry.serve(url_of(wheel(), "provenance"), b"{}")
    proofs = quick_path / "proofs"
    (quick_path / "broken.whl").write_text("x")

    assert main(["verify", str(quick_path), "--index", INDEX, "--save", str(proofs)]) == 1

    assert sorted(path.name for path in proofs.iterdir()) == [
        "keys.json",
        f"{sdist().filename}.receipt",
    ]
    before = len(registry.asked)
    offline = ["--keys", str(proofs / "keys.json"), "--receipt", str(proofs)]
    assert main(["verify", str(quick_path / sdist().filename), *offline]) == 0
    assert main(["verify", str(quick_path / wheel().filename), *offline]) == 1
    assert len(registry.asked) == before


def test_the_provenance_object_is_saved_too(registry: SigningRegistry, quick_path: Path) -> None:
    registry.publish(wheel())
    text = Sigstore().attest(wheel().filename, wheel().sha256, github(captured("github")))
    bundle = {"publisher": {"kind": "GitHub"}, "attestations": json.loads(text)}
    provenance = json.dumps({"version": 1, "attestation_bundles": [bundle]}).encode()
    registry.serve(url_of(wheel(), "provenance"), provenance)
    proofs = quick_path / "proofs"
    path = str(put(quick_path, wheel()))

    assert main(["verify", path, "--index", INDEX, "--save", str(proofs)]) == 0

    assert (proofs / f"{wheel().filename}.provenance").read_bytes() == provenance


def test_saved_keys_are_for_the_registry_alone(
    registry: SigningRegistry, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.publish(wheel())
    path = put(quick_path, wheel())
    proofs = quick_path / "proofs"
    assert main(["verify", str(path), "--index", INDEX, "--save", str(proofs)]) == 0
    other = registry.sign(registry.receipt(wheel(), registry="other"))
    (proofs / f"{wheel().filename}.receipt").write_bytes(other)
    capsys.readouterr()

    offline = ["--keys", str(proofs / "keys.json"), "--receipt", str(proofs), "--json"]
    assert main(["verify", str(path), *offline]) == 1

    assert document(capsys)["files"][0]["reason"] == "other-registry"


def test_what_cannot_be_saved_is_said(
    file: Path, quick_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["verify", str(file), "--index", INDEX, "--save", str(file)]) == 1
    assert f"--save {file}: File exists" in capsys.readouterr().err


# Every socket of this process ends it.
NO_NETWORK: Final = """
import os, sys
def refuse(event, arguments):
    if event.startswith("socket."):
        os.write(2, f"network: {event}".encode())
        os._exit(99)
sys.addaudithook(refuse)
from pytp_broker.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.promise("no-connection")
def test_with_keys_alone_no_socket_is_opened(tmp_path: Path) -> None:
    registry = SigningRegistry(TestSigner(not_before=LONG_AGO))
    at = LONG_AGO + timedelta(days=1)
    file = keep(registry, tmp_path, wheel(), signed_at=at, uploaded_at=at)
    environment = {**UNWATCHED, "PIP_INDEX_URL": INDEX, "PYTP_INDEX_URL": INDEX}
    command = ["verify", str(file), "--keys", str(tmp_path / "keys.json"), "--json"]

    ended = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, *command],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )

    assert (ended.returncode, ended.stderr) == (0, "")
    assert json.loads(ended.stdout)["verified"] is True


def test_the_guard_of_that_test_sees_a_socket(tmp_path: Path) -> None:
    command = ["verify", str(put(tmp_path, wheel())), "--index", INDEX]

    ended = subprocess.run(
        [sys.executable, "-c", NO_NETWORK, *command],
        capture_output=True,
        check=False,
        env=UNWATCHED,
    )

    assert ended.returncode == 99
