"""The operations of clients and operators, each as a request that can be sent again and again."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

from pytp_broker.making import Making
from pytp_broker.minting import Minted, make_to_read, make_to_upload
from pytp_broker.provenance.attester import AttestationState
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import keys_of
from pytp_broker.storage.project_status import ACTIVE, ProjectStatus
from pytp_broker.storage.sessions import UploadStatus
from pytp_broker.tokens import UploadToken
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.verifier import AttestationPlace
from tests.faults.stage import (
    CHANGED,
    CONFIGURATION,
    STRICT,
    Clients,
    Stage,
    configured_rights,
    load,
    wheel,
)
from tests.support.attesting import PENDING, REFUSED, VERIFIED, attest
from tests.support.deployment import Answer
from tests.support.figures import FAULTS

# uv tries an exchange four times in all, twine an upload five times after the first.
ATTEMPTS = 5
ATTESTED = AttestationPlace("acme", "widgets", wheel().filename)
QUARANTINED = ProjectStatus("quarantined", "malware")


def _nothing_more(_answer: Answer) -> None: ...


@dataclass(frozen=True)
class Attempt:
    """A prepared request, its expected answer, and what its user should have afterwards."""

    send: Callable[[], Answer]
    status: int
    code: str = ""
    check: Callable[[Answer], None] = field(default=_nothing_more)

    def is_as_expected(self, answer: Answer) -> bool:
        return answer.status == self.status and (not self.code or answer.code == self.code)

    def retry(self) -> Answer:
        """Send again until the server has an answer, as clients do on a 5xx."""
        for _ in range(ATTEMPTS):
            FAULTS["retries"] += 1
            answer = self.send()
            if answer.status < 500:
                return answer
        raise AssertionError("the client gives up")


Operation = Callable[[Stage], Attempt]


def mint(stage: Stage) -> Attempt:
    """Exchange an identity token whose publisher has given ids."""
    identity = stage.identity_token()

    def may_upload(answer: Answer) -> None:
        assert stage.honest.upload(_token(answer), wheel()).status == 200

    return Attempt(lambda: stage.faulty.mint(identity), 200, check=may_upload)


def mint_on_first_use(stage: Stage) -> Attempt:
    """Exchange at the shared root: two publishers of two registries pin immutable ids."""
    identity = stage.identity_token("octo-org/gadgets", aud="packages.example.com")

    def may_upload_and_is_pinned(answer: Answer) -> None:
        token = _token(answer)
        assert stage.honest.upload(token, wheel("gadgets")).status == 200
        assert stage.honest.upload(token, wheel("gizmos"), "/other").status == 200
        stage.let_a_refresh_be_due()
        stranger = stage.identity_token("octo-org/gadgets", repository_owner_id="666")
        assert stage.honest.mint(stranger).code == "invalid-publisher"

    return Attempt(lambda: stage.faulty.mint(identity, ""), 200, check=may_upload_and_is_pinned)


def mint_to_read(stage: Stage) -> Attempt:
    """Exchange an identity token for a read token: a reader pins an immutable id."""
    identity = stage.identity_token("octo-org/gadgets")

    def is_stored_and_pinned_and_may_be_repeated(answer: Answer) -> None:
        token = _token(answer)
        found = stage.engine.store.find_token(token.lookup_id, None)
        assert found is not None
        assert found[0].is_live(token, stage.now)
        assert stage.honest.upload(token, wheel("gadgets")).status == 403
        stage.let_a_refresh_be_due()
        assert stage.honest.mint_to_read(identity).status == 200
        stranger = stage.identity_token("octo-org/gadgets", repository_owner_id="666")
        assert stage.honest.mint_to_read(stranger).code == "invalid-publisher"

    return Attempt(
        lambda: stage.faulty.mint_to_read(identity),
        200,
        check=is_stored_and_pinned_and_may_be_repeated,
    )


def mint_a_used_identity(stage: Stage) -> Attempt:
    """Exchange a used identity token: refused, no matter which call fails."""
    identity = stage.identity_token()
    assert stage.honest.mint(identity).status == 200
    return Attempt(lambda: stage.faulty.mint(identity), 422, "invalid-reuse-token")


def mint_as_a_stranger(stage: Stage) -> Attempt:
    """Exchange a stranger's identity token: refused, no matter which call fails."""
    identity = stage.identity_token(repository_owner_id="666")
    return Attempt(lambda: stage.faulty.mint(identity), 422, "invalid-publisher")


def upload_multi_use(stage: Stage) -> Attempt:
    """Upload with a token that is good for more than one file."""
    token = stage.upload_token()

    def is_there_and_another_may_follow(_answer: Answer) -> None:
        assert stage.is_visible(wheel())
        assert stage.honest.upload(token, wheel(version="2.0")).status == 200

    return Attempt(
        lambda: stage.faulty.upload(token, wheel()), 200, check=is_there_and_another_may_follow
    )


def upload_single_use(stage: Stage) -> Attempt:
    """Upload with a token that is good for one file."""
    token = stage.upload_token(single=True)

    def is_there_and_no_other_may_follow(_answer: Answer) -> None:
        assert stage.is_visible(wheel())
        assert stage.honest.upload(token, wheel(version="2.0")).status == 401
        assert stage.honest.upload(token, wheel()).status == 200, "the same file again"

    return Attempt(
        lambda: stage.faulty.upload(token, wheel()), 200, check=is_there_and_no_other_may_follow
    )


def stage_an_upload(stage: Stage) -> Attempt:
    """Stage a file by the legacy API: nobody sees it before its session is published."""
    token = stage.upload_token()

    def waits_until_it_is_published(answer: Answer) -> None:
        assert not stage.is_visible(wheel())
        again = stage.honest.upload(token, wheel(), staged="true")
        assert again.json["session-token"] == answer.json["session-token"]
        published = stage.honest.publish_session(token, answer)
        assert published.status == 201, published.body
        assert stage.is_visible(wheel())

    return Attempt(
        lambda: stage.faulty.upload(token, wheel(), staged="true"),
        200,
        check=waits_until_it_is_published,
    )


def upload_again(stage: Stage) -> Attempt:
    """Upload what is published already."""
    token = stage.upload_token()
    assert stage.honest.upload(token, wheel()).status == 200
    return Attempt(lambda: stage.faulty.upload(token, wheel()), 200)


def upload_other_content(stage: Stage) -> Attempt:
    """Upload other bytes under a taken name: refused, no matter which call fails."""
    token = stage.upload_token()
    assert stage.honest.upload(token, wheel()).status == 200
    other = wheel(extra="evil")

    def is_what_it_was(_answer: Answer) -> None:
        assert stage.is_visible(wheel())
        assert not stage.is_visible(other)

    return Attempt(
        lambda: stage.faulty.upload(token, other), 400, "file-exists", check=is_what_it_was
    )


def upload_another_spelling(stage: Stage) -> Attempt:
    """Upload a file with another spelling of the version: refused, no matter which call fails."""
    token = stage.upload_token()
    assert stage.honest.upload(token, wheel()).status == 200
    other = wheel(version="1.0.0")

    def is_not_there(_answer: Answer) -> None:
        assert stage.is_visible(wheel())
        assert not stage.is_visible(other)

    return Attempt(
        lambda: stage.faulty.upload(token, other), 400, "invalid-release", check=is_not_there
    )


def upload_out_of_scope(stage: Stage) -> Attempt:
    """Upload to a project that trusts others: refused, no matter which call fails."""
    token = stage.upload_token()
    return Attempt(lambda: stage.faulty.upload(token, wheel("gadgets")), 403, "forbidden")


def burn(stage: Stage) -> Attempt:
    """End a token early."""
    token = stage.upload_token()

    def is_dead(_answer: Answer) -> None:
        assert stage.honest.upload(token, wheel()).status == 401
        assert stage.honest.introspect(token).json == {"active": False}

    return Attempt(lambda: stage.faulty.burn(token), 202, check=is_dead)


def burn_elsewhere(stage: Stage) -> Attempt:
    """Try to end a token at another registry: it stays, no matter which call fails."""
    token = stage.upload_token()

    def is_alive(_answer: Answer) -> None:
        assert stage.honest.upload(token, wheel()).status == 200

    return Attempt(lambda: stage.faulty.burn(token, "/other"), 202, check=is_alive)


def disclose(stage: Stage) -> Attempt:
    """Report two leaked tokens, as secret scanning does."""
    tokens = stage.upload_token(), stage.upload_token("octo-org/gadgets")

    def are_dead(_answer: Answer) -> None:
        widgets, gadgets = tokens
        assert stage.honest.upload(widgets, wheel()).status == 401
        assert stage.honest.upload(gadgets, wheel("gadgets")).status == 401

    return Attempt(lambda: stage.faulty.disclose(*tokens), 200, check=are_dead)


def introspect(stage: Stage) -> Attempt:
    """Ask what a token is good for."""
    token = stage.upload_token()

    def says_what(answer: Answer) -> None:
        assert answer.json["projects"] == ["widgets", "old"]

    return Attempt(lambda: stage.faulty.introspect(token), 200, check=says_what)


def consume(stage: Stage) -> Attempt:
    """Let another index use up a single-use token for a file."""
    token = stage.upload_token(single=True)
    question = {"filename": wheel().filename, "sha256": wheel().sha256, "consume": "true"}
    another = {**question, "sha256": "0" * 64}

    def is_used_for_this_file(answer: Answer) -> None:
        assert answer.json["active"] is True
        assert stage.honest.introspect(token, **question).json["active"] is True
        assert stage.honest.introspect(token, **another).json == {"active": False}

    return Attempt(
        lambda: stage.faulty.introspect(token, **question), 200, check=is_used_for_this_file
    )


def apply(stage: Stage) -> Attempt:
    """Change the configuration while tokens of the old one are live."""
    old = stage.configured[-1]
    new = load(CHANGED)
    tokens = [
        (repository, stage.upload_token(repository))
        for repository in ("octo-org/widgets", "octo-org/gadgets")
    ]
    stage.configured.append(new)
    stage.let_caches_end()

    def is_applied(_answer: Answer) -> None:
        assert stage.engine.store.load_configuration() == with_built_in(new.configuration)
        stage.configured = [new]
        stage.let_caches_end()
        new_token = stage.upload_token()
        fresh = Clients(stage.engine.look().store, stage.engine.files, stage)
        for repository, token in tokens:
            rights = {(repository, *place) for place in fresh.rights_of(token)}
            # The publisher of gadgets has got another rule, and is another one now.
            kept = configured_rights(old) & configured_rights(new)
            assert rights == {right for right in kept if "gadgets" not in right[0:3:2]} & {
                right for right in kept if right[0] == repository
            }
        assert fresh.rights_of(new_token) == {("acme", "widgets"), ("acme", "new")}

    return Attempt(lambda: stage.faulty.apply(new), 200, check=is_applied)


def apply_again(stage: Stage) -> Attempt:
    """Apply the present configuration again: ids, pins and tokens stay."""
    tokens = [stage.upload_token(), stage.upload_token("octo-org/gadgets")]
    same = stage.configured[-1]
    before = stage.engine.dump()

    def changes_nothing(_answer: Answer) -> None:
        assert stage.engine.dump() == before
        assert all(stage.honest.rights_of(token) for token in tokens)

    return Attempt(lambda: stage.faulty.apply(same), 200, check=changes_nothing)


def yank(stage: Stage) -> Attempt:
    """Yank a release, as an operator does."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert b"data-yanked" not in stage.honest.page().body

    def is_yanked(_answer: Answer) -> None:
        assert b'data-yanked="breaks"' in stage.honest.page().body
        assert stage.is_visible(wheel())

    return Attempt(lambda: stage.faulty.yank("breaks"), 200, check=is_yanked)


def unyank(stage: Stage) -> Attempt:
    """Take a yank back."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert stage.honest.yank("breaks").status == 200

    def is_not_yanked(_answer: Answer) -> None:
        assert b"data-yanked" not in stage.honest.page().body

    return Attempt(lambda: stage.faulty.yank(None), 200, check=is_not_yanked)


def read_a_yanked_release(stage: Stage) -> Attempt:
    """Read a page: it never hides that a release is yanked, whatever fails."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert stage.honest.yank("breaks").status == 200

    def says_so(answer: Answer) -> None:
        assert b'data-yanked="breaks"' in answer.body

    return Attempt(stage.faulty.page, 200, check=says_so)


def read_a_receipt(stage: Stage) -> Attempt:
    """Read the receipt of a file: it is the whole one, or none."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    (file,) = stage.visible_files()

    def is_the_one_that_was_signed(answer: Answer) -> None:
        assert hashlib.sha256(answer.body).hexdigest() == file.receipt_sha256

    return Attempt(lambda: stage.faulty.receipt(file), 200, check=is_the_one_that_was_signed)


def refuse_identity_tokens(stage: Stage) -> Attempt:
    """Refuse the identity tokens from before now: one that is not exchanged yet never is."""
    stolen = stage.identity_token()
    before = stage.now + timedelta(seconds=1)

    def is_refused(_answer: Answer) -> None:
        stage.let_caches_end()
        assert stage.honest.mint(stolen).code == "invalid-token"

    return Attempt(lambda: stage.faulty.refuse_identity_tokens(before), 200, check=is_refused)


def quarantine(stage: Stage) -> Attempt:
    """Quarantine a project, as an operator does."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200

    def offers_nothing(_answer: Answer) -> None:
        assert b'content="quarantined"' in stage.honest.page().body
        assert b"/files/" not in stage.honest.page().body
        token = stage.upload_token()
        assert stage.honest.upload(token, wheel(version="2.0")).code == "project-closed"

    return Attempt(lambda: stage.faulty.set_status(QUARANTINED), 200, check=offers_nothing)


def end_quarantine(stage: Stage) -> Attempt:
    """Make a quarantined project active again."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert stage.honest.set_status(QUARANTINED).status == 200

    def offers_files(_answer: Answer) -> None:
        assert b"/files/" in stage.honest.page().body

    return Attempt(lambda: stage.faulty.set_status(ACTIVE), 200, check=offers_files)


def upload_to_a_closed_project(stage: Stage) -> Attempt:
    """Upload to an archived project: refused, no matter which call fails."""
    token = stage.upload_token()
    assert stage.honest.set_status(ProjectStatus("archived", "moved")).status == 200

    def is_not_there(_answer: Answer) -> None:
        assert not stage.is_visible(wheel())

    return Attempt(
        lambda: stage.faulty.upload(token, wheel()), 400, "project-closed", check=is_not_there
    )


def read_a_quarantined_project(stage: Stage) -> Attempt:
    """Read a page: it never lists a file of a quarantined project, whatever fails."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert stage.honest.set_status(QUARANTINED).status == 200

    def lists_nothing(answer: Answer) -> None:
        assert b"/files/" not in answer.body

    return Attempt(stage.faulty.page, 200, check=lists_nothing)


def download_from_a_quarantined_project(stage: Stage) -> Attempt:
    """Download a file of a quarantined project: refused, no matter which call fails."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert stage.honest.set_status(QUARANTINED).status == 200
    (file,) = stage.visible_files()
    return Attempt(lambda: stage.faulty.download(file), 404, "not-found")


def published(stage: Stage) -> PublishedFile:
    """Publish a wheel, and return its record."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    (file,) = stage.visible_files()
    return file


def delete_file(stage: Stage) -> Attempt:
    """Delete a file, as an operator does."""
    file = published(stage)

    def is_gone_and_its_name_too(_answer: Answer) -> None:
        assert b"/files/" not in stage.honest.page().body
        assert stage.honest.download(file).status == 404
        assert stage.honest.upload(stage.upload_token(), wheel()).code == "file-deleted"

    return Attempt(lambda: stage.faulty.delete(file), 200, check=is_gone_and_its_name_too)


def upload_a_deleted_name(stage: Stage) -> Attempt:
    """Upload the very file that was deleted: refused, no matter which call fails."""
    assert stage.honest.delete(published(stage)).status == 200
    token = stage.upload_token()

    def is_not_there(_answer: Answer) -> None:
        assert not stage.is_visible(wheel())

    return Attempt(
        lambda: stage.faulty.upload(token, wheel()), 400, "file-deleted", check=is_not_there
    )


def read_without_a_deleted_file(stage: Stage) -> Attempt:
    """Read a page: it never lists a deleted file, whatever fails."""
    assert stage.honest.delete(published(stage)).status == 200

    def lists_nothing(answer: Answer) -> None:
        assert b"/files/" not in answer.body

    return Attempt(stage.faulty.page, 200, check=lists_nothing)


def download_a_deleted_file(stage: Stage) -> Attempt:
    """Download a deleted file: refused, no matter which call fails."""
    file = published(stage)
    assert stage.honest.delete(file).status == 200
    return Attempt(lambda: stage.faulty.download(file), 404, "not-found")


def import_a_yanked_file(stage: Stage) -> Attempt:
    """Import a file that is yanked at its source: it is never visible without the yank."""

    def move_in() -> Answer:
        answer = stage.faulty.move_in(wheel(), yanked="breaks")
        if stage.is_visible(wheel()):
            withdrawn = stage.engine.store.list_withdrawn("acme", "widgets")
            assert withdrawn.yanked == {"1": "breaks"}
        return answer

    def is_there(_answer: Answer) -> None:
        (file,) = stage.visible_files()
        assert file.published_by["imported_by"] == "user olive"
        assert b'data-yanked="breaks"' in stage.honest.page().body

    return Attempt(move_in, 200, check=is_there)


def import_what_is_published(stage: Stage) -> Attempt:
    """Import the very file that a job has uploaded: the upload stays."""
    file = published(stage)

    def is_what_it_was(_answer: Answer) -> None:
        assert list(stage.visible_files()) == [file]

    return Attempt(lambda: stage.faulty.move_in(wheel()), 200, check=is_what_it_was)


def import_other_content(stage: Stage) -> Attempt:
    """Import other bytes under a taken name: refused, no matter which call fails."""
    file = published(stage)

    def is_what_it_was(_answer: Answer) -> None:
        assert list(stage.visible_files()) == [file]

    other = wheel(extra="evil")
    return Attempt(lambda: stage.faulty.move_in(other), 400, "file-exists", check=is_what_it_was)


def visit_a_yanked_release(stage: Stage) -> Attempt:
    """Visit a page for people: it never hides that a release is yanked, nor who published it."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert stage.honest.yank("breaks").status == 200

    def says_so(answer: Answer) -> None:
        assert b"This release is yanked." in answer.body
        assert b"octo-org/widgets" in answer.body

    return Attempt(stage.faulty.visit, 200, check=says_so)


def visit_a_quarantined_project(stage: Stage) -> Attempt:
    """Visit a page for people: it never lists a file of a quarantined project, whatever fails."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    assert stage.honest.set_status(QUARANTINED).status == 200

    def lists_nothing(answer: Answer) -> None:
        assert b"/files/" not in answer.body

    return Attempt(stage.faulty.visit, 200, check=lists_nothing)


def token_of_other(stage: Stage) -> UploadToken:
    """Publish a wheel in `other`, which is private, and return the token."""
    identity = stage.identity_token("octo-org/gadgets", aud="other")
    token = _token(stage.honest.mint(identity, "/other"))
    assert stage.honest.upload(token, wheel("gizmos"), "/other").status == 200
    return token


def read_a_private_page(stage: Stage) -> Attempt:
    """Read a page of a private registry."""
    token = token_of_other(stage)

    def lists_the_file(answer: Answer) -> None:
        assert b"gizmos-1.0" in answer.body

    return Attempt(lambda: stage.faulty.private_page(token), 200, check=lists_the_file)


def read_with_a_burned_token(stage: Stage) -> Attempt:
    """Read a private page with a burned token: refused, no matter which call fails."""
    token = token_of_other(stage)
    assert stage.honest.burn(token, "/other").status == 202
    return Attempt(lambda: stage.faulty.private_page(token), 401, "unauthorized")


def read_with_a_token_of_another_registry(stage: Stage) -> Attempt:
    """Read a private page with another registry's token: refused, no matter which call fails."""
    token_of_other(stage)
    token = stage.upload_token()
    return Attempt(lambda: stage.faulty.private_page(token), 401, "unauthorized")


def made_to_upload(stage: Stage) -> Minted:
    """Return a token with which a person publishes `widgets`."""
    making = Making("user olive", reason="the CI is down")
    return make_to_upload("acme", "widgets", making, timedelta(hours=1), stage.now)


def made_to_read(stage: Stage) -> Minted:
    """Return a token with which a person reads `other`, which is private and has a file."""
    token_of_other(stage)
    making = Making("user olive", person="Dana")
    return make_to_read("other", making, timedelta(days=90), stage.now)


def make_a_token(stage: Stage) -> Attempt:
    """Make a token with which a person publishes, as an operator does."""
    made = made_to_upload(stage)

    def publishes(_answer: Answer) -> None:
        assert stage.honest.upload(made.token, wheel()).status == 200
        assert stage.honest.upload(made.token, wheel("gadgets")).status == 403

    return Attempt(lambda: stage.faulty.make_token(made), 200, check=publishes)


def upload_with_an_operators_token(stage: Stage) -> Attempt:
    """Upload with a token that an operator made."""
    made = made_to_upload(stage)
    assert stage.honest.make_token(made).status == 200

    def is_there_as_the_operators(_answer: Answer) -> None:
        assert stage.is_visible(wheel())
        (file,) = stage.visible_files()
        assert file.published_by["operator"] == "user olive"
        assert "issuer" not in file.published_by
        assert any(record.event == "operators-token" for record in stage.records)

    return Attempt(
        lambda: stage.faulty.upload(made.token, wheel()), 200, check=is_there_as_the_operators
    )


def upload_that_loses_provenance(stage: Stage) -> Attempt:
    """Upload as an operator, after a release that a job published: a record says so."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    stage.advance(seconds=1)
    made = made_to_upload(stage)
    assert stage.honest.make_token(made).status == 200

    def is_on_record(_answer: Answer) -> None:
        assert stage.is_visible(wheel(version="2.0"))
        found = [record.facts for record in stage.records if record.event == "provenance"]
        assert [facts["provenance"] for facts in found][:1] == [["no", "lost"]]

    return Attempt(
        lambda: stage.faulty.upload(made.token, wheel(version="2.0")), 200, check=is_on_record
    )


def read_with_an_operators_token(stage: Stage) -> Attempt:
    """Read a page of a private registry with a token that an operator made."""
    made = made_to_read(stage)
    assert stage.honest.make_token(made).status == 200

    def lists_the_file(answer: Answer) -> None:
        assert b"gizmos-1.0" in answer.body

    return Attempt(lambda: stage.faulty.private_page(made.token), 200, check=lists_the_file)


def remove_a_registry_of_an_operators_token(stage: Stage) -> Attempt:
    """Remove a registry: the tokens that operators made for it do not come back with it."""
    made = made_to_read(stage)
    assert stage.honest.make_token(made).status == 200
    new = load(CHANGED)
    stage.configured.append(new)
    stage.let_caches_end()

    def does_not_come_back(_answer: Answer) -> None:
        stage.configure(CONFIGURATION)
        stage.let_caches_end()
        assert stage.honest.private_page(made.token).status == 401

    return Attempt(lambda: stage.faulty.apply(new), 200, check=does_not_come_back)


def list_all(stage: Stage) -> Attempt:
    """List what is there: a list is whole, or there is none."""
    assert stage.honest.upload(stage.upload_token(), wheel()).status == 200
    before = stage.engine.dump()

    def is_whole(answer: Answer) -> None:
        assert answer.json["projects"] == {"gadgets": None, "old": None, "widgets": "1.0"}
        publishers = stage.configured[-1].publishers
        assert answer.json["publishers"] == sorted(each.rules_hash for each in publishers)
        assert stage.engine.dump() == before

    return Attempt(stage.faulty.list_all, 200, check=is_whole)


def verify_a_large_file(stage: Stage) -> Attempt:
    """Verify a file of a publishing session, after the request that completed it."""
    place = stage.stage_a_large_file(wheel())

    def is_completed(_answer: Answer) -> None:
        session = stage.engine.store.find_session(place.token)
        assert session is not None
        staged = session.files[place.filename]
        assert staged.status is UploadStatus.COMPLETED
        assert staged.file is not None
        for key in keys_of(staged.file):
            assert stage.engine.files.find(key) is not None

    return Attempt(lambda: stage.faulty.verify_place(place), 200, check=is_completed)


def verify_a_bad_file(stage: Stage) -> Attempt:
    """Verify a file whose bytes are others: it fails, no matter which call fails."""
    place = stage.stage_a_large_file(wheel(), sent=wheel(extra="evil"))

    def has_failed(_answer: Answer) -> None:
        session = stage.engine.store.find_session(place.token)
        assert session is not None
        staged = session.files[place.filename]
        assert staged.status is UploadStatus.ERROR
        assert staged.notices

    return Attempt(lambda: stage.faulty.verify_place(place), 200, check=has_failed)


def _state(stage: Stage) -> AttestationState | None:
    """Return what is known of the attestations of the wheel, as every reader sees it."""
    file = wheel()
    store = stage.engine.store
    entry = store.find_entry("acme", "widgets", file.filename)
    page = store.find_files("acme", "widgets")
    assert entry.file is not None
    assert page is not None
    assert list(page.files) == [entry.file]
    assert stage.is_visible(file)
    return entry.file.attestation_state


def upload_with_attestations(stage: Stage) -> Attempt:
    """Upload a file with attestations, which are verified after it."""
    token, sent = stage.upload_token(), attest(wheel())

    def are_pending_and_may_be_verified(_answer: Answer) -> None:
        assert _state(stage) == PENDING
        assert stage.honest.verify_place(ATTESTED).status == 200
        assert _state(stage) == VERIFIED

    return Attempt(
        lambda: stage.faulty.upload(token, wheel(), attestations=sent),
        200,
        check=are_pending_and_may_be_verified,
    )


def upload_where_attestations_are_required(stage: Stage) -> Attempt:
    """Upload to a registry that publishes only verified attestations: they are verified first."""
    stage.configure(STRICT)
    token, sent = stage.upload_token(), attest(wheel())

    def are_verified(_answer: Answer) -> None:
        assert _state(stage) == VERIFIED

    return Attempt(
        lambda: stage.faulty.upload(token, wheel(), attestations=sent), 200, check=are_verified
    )


def upload_refused_attestations(stage: Stage) -> Attempt:
    """Upload attestations of another publisher there: refused, no matter which call fails."""
    stage.configure(STRICT)
    stage.faulty.attester.state = REFUSED
    token, sent = stage.upload_token(), attest(wheel())
    return Attempt(
        lambda: stage.faulty.upload(token, wheel(), attestations=sent), 400, "invalid-upload"
    )


def verify_attestations(stage: Stage) -> Attempt:
    """Verify the attestations of a published file: every page has the state, or none has."""
    sent = attest(wheel())
    assert stage.honest.upload(stage.upload_token(), wheel(), attestations=sent).status == 200

    def are_verified(_answer: Answer) -> None:
        assert _state(stage) == VERIFIED

    return Attempt(lambda: stage.faulty.verify_place(ATTESTED), 200, check=are_verified)


def verify_refused_attestations(stage: Stage) -> Attempt:
    """Verify attestations of another publisher: they are never good, no matter which call fails."""
    sent = attest(wheel())
    assert stage.honest.upload(stage.upload_token(), wheel(), attestations=sent).status == 200
    stage.faulty.attester.state = REFUSED

    def are_refused(_answer: Answer) -> None:
        assert _state(stage) == REFUSED

    return Attempt(lambda: stage.faulty.verify_place(ATTESTED), 200, check=are_refused)


def read_provenance(stage: Stage) -> Attempt:
    """Read the provenance of a file."""
    sent = attest(wheel())
    assert stage.honest.upload(stage.upload_token(), wheel(), attestations=sent).status == 200
    assert stage.honest.verify_place(ATTESTED).status == 200
    path = f"/acme/integrity/widgets/1.0/{wheel().filename}/provenance"

    def has_them(answer: Answer) -> None:
        (bundle,) = answer.json["attestation_bundles"]
        assert bundle["publisher"]["repository"] == "octo-org/widgets"
        assert bundle["attestations"] == json.loads(sent)

    return Attempt(lambda: stage.faulty.call("GET", path), 200, check=has_them)


OPERATIONS: tuple[Operation, ...] = (
    mint,
    mint_on_first_use,
    mint_to_read,
    mint_a_used_identity,
    mint_as_a_stranger,
    upload_multi_use,
    upload_single_use,
    stage_an_upload,
    upload_again,
    upload_other_content,
    upload_another_spelling,
    upload_out_of_scope,
    burn,
    burn_elsewhere,
    disclose,
    introspect,
    consume,
    apply,
    apply_again,
    yank,
    unyank,
    read_a_yanked_release,
    read_a_receipt,
    refuse_identity_tokens,
    quarantine,
    end_quarantine,
    upload_to_a_closed_project,
    read_a_quarantined_project,
    download_from_a_quarantined_project,
    delete_file,
    upload_a_deleted_name,
    read_without_a_deleted_file,
    download_a_deleted_file,
    import_a_yanked_file,
    import_what_is_published,
    import_other_content,
    visit_a_yanked_release,
    visit_a_quarantined_project,
    read_a_private_page,
    read_with_a_burned_token,
    read_with_a_token_of_another_registry,
    make_a_token,
    upload_with_an_operators_token,
    upload_that_loses_provenance,
    read_with_an_operators_token,
    remove_a_registry_of_an_operators_token,
    list_all,
    verify_a_large_file,
    verify_a_bad_file,
    upload_with_attestations,
    upload_where_attestations_are_required,
    upload_refused_attestations,
    verify_attestations,
    verify_refused_attestations,
    read_provenance,
)
# The operations that we try on moto, which does not behave like DynamoDB under concurrency.
WRITING_OPERATIONS = (
    mint,
    mint_on_first_use,
    mint_to_read,
    upload_single_use,
    burn,
    disclose,
    consume,
    apply,
    refuse_identity_tokens,
    yank,
    quarantine,
    delete_file,
    import_a_yanked_file,
    make_a_token,
    remove_a_registry_of_an_operators_token,
    verify_a_large_file,
    verify_attestations,
    verify_refused_attestations,
)


def _token(answer: Answer) -> UploadToken:
    return UploadToken.parse(answer.json["token"])
