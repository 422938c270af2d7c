"""What a client of the proxy is answered: what the registry says, for each file."""

import hashlib
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from tempfile import mkdtemp

import pytest

from pytp_broker.client.proxy.forms import Form, receive
from pytp_broker.client.proxy.relay import Relay
from pytp_broker.client.publishing.destination import Destination
from pytp_broker.client.publishing.opening import Opened
from pytp_broker.client.publishing.plan import Index
from pytp_broker.client.uploads.answers import Session
from pytp_broker.client.uploads.api import Clock, UploadApi
from pytp_broker.client.uploads.legacy import LegacyApi
from pytp_broker.client.uploads.wire import Reply
from pytp_broker.redaction import Hidden
from tests.support.distributions import Distribution, metadata, sdist, wheel
from tests.support.upload_server import (
    AUTHORIZATION,
    LEGACY,
    ORIGIN,
    ROOT,
    Drop,
    UploadServer,
    problem,
)

INDEX = f"{ORIGIN}/acme/simple/"


class Proxy:
    """A relay to a registry, and the forms that a client sends it."""

    def __init__(self, folder: Path, *, has_api: bool = True) -> None:
        self.folder = folder
        self.told: list[Session] = []
        self.server = server = UploadServer()
        clock = Clock(server.seconds, server.wait)
        destination = Destination(LEGACY, ORIGIN, ROOT if has_api else None, INDEX)

        def authorize() -> Hidden:
            return Hidden(AUTHORIZATION)

        self.relay = Relay(
            Opened(
                destination,
                Index(destination, server.send, authorize, clock),
                UploadApi(ROOT, ORIGIN, server.send, authorize, clock) if has_api else None,
                LegacyApi(LEGACY, ORIGIN, server.send, authorize, clock),
            ),
            server.send,
            self.told.append,
        )

    def form(self, file: Distribution, **changes: str) -> Form:
        """Return the form that twine sends of a file, as the proxy has received it."""
        fields = {
            ":action": "file_upload",
            "sha256_digest": hashlib.sha256(file.content).hexdigest(),
            **changes,
        }
        parts = [
            f'--xx\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in fields.items()
        ]
        head = (
            '--xx\r\nContent-Disposition: form-data; name="content"; '
            f'filename="{file.filename}"\r\n\r\n'
        )
        octets = "".join([*parts, head]).encode() + file.content + b"\r\n--xx--\r\n"
        folder = Path(mkdtemp(dir=self.folder))
        return receive(BytesIO(octets), len(octets), "multipart/form-data; boundary=xx", folder)

    def bring(self, file: Distribution, **changes: str) -> Reply:
        return self.relay.bring(self.form(file, **changes))


@pytest.fixture
def proxy(quick_path: Path) -> Proxy:
    return Proxy(quick_path)


@pytest.fixture
def old(quick_path: Path) -> Proxy:
    """Return a proxy to a registry that knows the legacy API alone."""
    return Proxy(quick_path, has_api=False)


def test_a_file_is_published_when_the_client_is_told_so(proxy: Proxy) -> None:
    file = wheel()

    assert proxy.bring(file).status == 200

    assert proxy.server.published == {file.filename: file.content}
    assert proxy.server.forms == []


def test_files_of_a_release_follow_each_other(proxy: Proxy) -> None:
    files = [wheel(), sdist()]

    answers = [proxy.bring(file).status for file in files]

    assert answers == [200, 200]
    assert proxy.server.published == {file.filename: file.content for file in files}


def test_files_that_come_together_are_all_published(proxy: Proxy) -> None:
    files = [
        *(wheel(), sdist()),
        *(wheel(version=f"2.{n}", text=metadata("widgets", f"2.{n}")) for n in range(6)),
    ]
    forms = [proxy.form(file) for file in files]

    with ThreadPoolExecutor(8) as pool:
        answers = {reply.status for reply in pool.map(proxy.relay.bring, forms)}

    assert answers == {200}
    assert len(proxy.server.published) == len(files)


def test_a_file_that_is_published_already_is_not_sent_again(proxy: Proxy) -> None:
    file = wheel()
    proxy.server.published[file.filename] = file.content

    assert proxy.bring(file).status == 200

    assert proxy.server.received == 0


def test_another_file_of_a_published_name_has_the_registrys_refusal(proxy: Proxy) -> None:
    file = wheel()
    proxy.server.published[file.filename] = b"another"

    refused = proxy.bring(file)

    assert refused == problem(409, f"{file.filename} is published")


def test_a_refused_file_has_the_registrys_words_and_leaves_no_session(proxy: Proxy) -> None:
    file = wheel()
    proxy.server.refusals[file.filename] = "its RECORD is wrong"

    refused = proxy.bring(file)

    assert refused == problem(400, "its RECORD is wrong")
    assert proxy.server.session.status == "canceled"


def test_a_release_that_is_refused_has_the_servers_notice(proxy: Proxy) -> None:
    proxy.server.refusals["1.0"] = "the release is closed"

    refused = proxy.bring(wheel())

    assert refused.status == 400
    assert "the release is closed" in refused.document["detail"]
    assert refused.document["errors"][0]["description"] == refused.document["detail"]


def test_a_session_with_other_files_is_not_published_by_the_way(proxy: Proxy) -> None:
    staged = proxy.relay.at.api
    assert staged is not None
    session = staged.open("widgets", "1.0")
    staged.add_file(session, sdist().filename, 3, {"sha256": "0" * 64})

    refused = proxy.bring(wheel())

    assert refused.status == 409
    assert "publish or discard it first" in refused.document["detail"]
    assert session.url not in refused.document["detail"]
    assert [each.url for each in proxy.told] == [session.url]
    assert proxy.server.session.status == "open"
    assert proxy.server.received == 0


def test_what_a_killed_run_has_left_is_published(proxy: Proxy) -> None:
    file = wheel()
    api = proxy.relay.at.api
    assert api is not None
    left = api.open("widgets", "1.0")
    api.add_file(left, file.filename, len(file.content), {"sha256": file.sha256})

    assert proxy.bring(file).status == 200

    assert proxy.server.published == {file.filename: file.content}
    assert len(proxy.server.sessions) == 1


def test_a_file_that_was_canceled_is_not_in_the_way(proxy: Proxy) -> None:
    staged = proxy.relay.at.api
    assert staged is not None
    session = staged.open("widgets", "1.0")
    staged.add_file(session, sdist().filename, 3, {"sha256": "0" * 64})
    proxy.server.session.uploads[sdist().filename].status = "canceled"

    assert proxy.bring(wheel()).status == 200


def test_a_registry_that_is_gone_is_said_and_the_session_stays(proxy: Proxy) -> None:
    proxy.server.plan("PUT object", *[Drop(0.5)] * 20)

    refused = proxy.bring(wheel())

    assert refused.status == 502
    assert "the connection failed" in refused.document["detail"]
    assert proxy.server.session.status == "open"


def test_a_file_that_changed_on_its_way_is_refused_before_anything_is_sent(proxy: Proxy) -> None:
    refused = proxy.bring(wheel(), sha256_digest="0" * 64)

    assert refused.status == 400
    assert "sha256" in refused.document["detail"]
    assert proxy.server.log == []


def test_attestations_are_sent_with_the_file(proxy: Proxy) -> None:
    proxy.server.mechanisms = ["http-post-bytes"]
    proxy.server.takes_attestations = True

    assert proxy.bring(wheel(), attestations='[{"version": 1}]').status == 200

    (upload,) = proxy.server.session.uploads.values()
    assert json.loads(upload.attestations) == [{"version": 1}]


def test_attestations_of_another_form_are_said_before_anything_is_sent(proxy: Proxy) -> None:
    refused = proxy.bring(wheel(), attestations="none")

    assert refused.status == 400
    assert "attestation" in refused.document["detail"]
    assert proxy.server.log == []


# --- a registry with the legacy API alone ---------------------------------------------------------


def test_a_form_goes_on_as_it_came(old: Proxy) -> None:
    file = wheel()

    assert old.bring(file, summary="A greeting").status == 200

    assert old.server.published == {file.filename: file.content}
    (form,) = old.server.forms
    assert form["summary"] == ["A greeting"]


def test_the_answer_is_the_registrys(old: Proxy) -> None:
    file = wheel()
    old.server.refusals[file.filename] = "its RECORD is wrong"

    assert old.bring(file) == problem(400, "its RECORD is wrong")


def test_a_name_that_only_the_registry_can_judge_goes_there(proxy: Proxy) -> None:
    odd = Distribution("widgets-1.0.exe", wheel().content)

    proxy.bring(odd)

    assert proxy.server.log == ["POST form"]


def test_a_registry_that_does_not_answer_is_said(old: Proxy) -> None:
    old.server.plan("POST form", Drop(0.5))

    assert old.bring(wheel()).status == 502


def test_a_redirection_is_not_passed_on(old: Proxy) -> None:
    old.server.plan("POST form", Reply(302, "Found", {"location": "https://evil.example/"}))

    refused = old.bring(wheel())

    assert refused.status == 502
    assert "redirects" in refused.document["detail"]


# --- pages ---------------------------------------------------------------------------------------


def test_a_page_is_the_registrys(proxy: Proxy) -> None:
    file = wheel()
    proxy.server.published[file.filename] = file.content

    page = proxy.relay.page("widgets/", "application/vnd.pypi.simple.v1+json")

    assert [each["filename"] for each in page.document["files"]] == [file.filename]
    assert proxy.relay.page("gadgets/", "").status == 404


def test_without_an_index_there_is_no_page(proxy: Proxy) -> None:
    at = proxy.relay.at
    nowhere = replace(at, destination=Destination(LEGACY, ORIGIN, ROOT, None))

    assert Relay(nowhere, proxy.server.send, proxy.told.append).page("widgets/", "").status == 404
