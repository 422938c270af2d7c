"""The form of an upload: we do not copy the file in it, and hash it in one pass."""

import hashlib
from dataclasses import replace

from pytp_broker.access import Caller
from pytp_broker.audit.requests import Upload
from pytp_broker.content import Held
from pytp_broker.grants import Permission
from pytp_broker.index.forms import FilePart, Form, check_digests, compute_sent_digests, read_form
from pytp_broker.index.publishing import upload
from tests.support.distributions import (
    CONTENT_TYPE,
    Distribution,
    fields,
    form,
    noise,
    wheel,
    wheel_members,
)
from tests.support.ranges import Ranged
from tests.support.shelf import Shelf

BLOCK = 64 * 1024
MAX = 1 << 20
WHEEL = wheel()


def test_the_content_is_a_view_of_the_body() -> None:
    body = form(WHEEL)

    content = read_form(Held(body), CONTENT_TYPE, MAX).file.content

    assert content.read_at(0, 1).obj is body


def test_a_file_is_read_to_hash_it_to_check_it_and_to_store_it() -> None:
    file = wheel(members={"widgets/data": noise(20 * BLOCK), **wheel_members()})
    sent = read_form(Held(form(file)), CONTENT_TYPE, 32 * BLOCK)
    content = Ranged(file.content)
    shelf = Shelf()
    acme = shelf.configuration.registries["acme"]
    caller = Caller(shelf.token, Permission.UPLOAD, acme, shelf.configuration)
    event = Upload(host="", path="", source_ip="")

    form_of_it = replace(sent, files=(FilePart(file.filename, content),))
    upload(form_of_it, caller, shelf.index, event)

    assert ("acme", file.filename) in shelf.store.files
    assert sum(content.lengths) < 3 * content.size + 2 * BLOCK


def test_all_digests_are_computed_in_one_pass() -> None:
    octets = noise(3 * BLOCK)
    file = Distribution(WHEEL.filename, octets)
    digests = {
        "md5_digest": hashlib.md5(octets, usedforsecurity=False).hexdigest(),
        "blake2_256_digest": hashlib.blake2b(octets, digest_size=32).hexdigest(),
    }
    read = read_form(Held(form(file, fields(file, **digests))), CONTENT_TYPE, MAX)
    content = Ranged(octets)
    sent = Form(read.project, read.texts, (FilePart(file.filename, content),))

    computed = compute_sent_digests(sent)

    check_digests(sent, computed)
    assert computed == {
        "sha256": file.sha256,
        "md5": digests["md5_digest"],
        "blake2_256": digests["blake2_256_digest"],
    }
    assert sum(content.lengths) == content.size


def test_a_digest_that_was_not_sent_is_not_computed() -> None:
    sent = read_form(Held(form(WHEEL, fields(WHEEL, md5_digest=""))), CONTENT_TYPE, MAX)

    assert compute_sent_digests(sent) == {"sha256": WHEEL.sha256}
