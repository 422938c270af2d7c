"""May this token upload this file, or read? What every guard asks, in one place.

A token is asked about twice in an upload: before the body, so that nobody without a good token
sends a gigabyte, and just before the file is handed over, so that a token that was burned or has
expired in between uploads nothing.
"""

import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from threading import Lock
from typing import Final

from pytp_broker.errors import (
    Forbidden,
    InvalidUpload,
    MayOnlyRead,
    PayloadTooLarge,
    Unauthorized,
)
from pytp_broker.file_sizes import write_size
from pytp_broker.grants import Permission
from pytp_broker.guards.introspection import Broker, Standing
from pytp_broker.http.credentials import read_token
from pytp_broker.index.digests import SHA256
from pytp_broker.index.distributions import Distribution, parse_filename
from pytp_broker.index.forms import (
    Form,
    check_digests,
    check_form,
    check_protocol,
    compute_sent_digests,
)
from pytp_broker.index.inspection import Candidate, inspect
from pytp_broker.redaction import and_more, printable
from pytp_broker.registries import DEFAULT_MAX_FILE_SIZE
from pytp_broker.tokens import UploadToken

# How long a guard may remember that a token reads; it is also how long the broker may.
MAX_AGE_SECONDS: Final = 10
_MAX_READERS: Final = 1024

_NOT_GOOD: Final = (
    "the token is unknown, expired, burned, used up or for another registry: get a new one"
)
_NOT_READING: Final = "the token is good, but it may not read this registry"
_NOT_THIS_FILE: Final = "the token is good, but it may not upload this file here"
_READ_ONLY: Final = "this token only installs: to publish, exchange the job's identity for another"
_STAGED: Final = "this index cannot stage a file: send it without `staged`"


@dataclass(frozen=True, slots=True)
class Uploader:
    """A token that may upload, and what it was good for when it was asked about."""

    token: UploadToken
    standing: Standing


class Guard:
    """Judges the tokens of requests. Threads may share it.

    ``clock`` gives the seconds since 1970, and ``elapsed`` those since any moment.
    """

    def __init__(
        self,
        broker: Broker,
        clock: Callable[[], float] = time.time,
        elapsed: Callable[[], float] = time.monotonic,
        *,
        max_file_bytes: int = DEFAULT_MAX_FILE_SIZE,
    ) -> None:
        self._broker = broker
        self._max_file_bytes = max_file_bytes
        self._clock = clock
        self._elapsed = elapsed
        self._readers: OrderedDict[str, float] = OrderedDict()
        self._lock = Lock()

    def check_reader(self, headers: Mapping[str, str]) -> UploadToken:
        """Return the token of a request that may read; raise Unauthorized, Forbidden, Unavailable.

        A token that reads is remembered for a few seconds, because installers send many requests.
        """
        token = read_token(headers)
        if not self._remembers(token):
            standing = self._broker.ask(token, permission=Permission.READ.value)
            if standing is None:
                raise self._refusal(token, _NOT_READING)
            self._remember(token, standing)
        return token

    def check_uploader(self, headers: Mapping[str, str]) -> Uploader:
        """Return the token of a request that may upload; raise as ``check_reader`` does."""
        token = read_token(headers)
        standing = self._broker.ask(token)
        if standing is None:
            raise Unauthorized(_NOT_GOOD)
        if standing.permission is not Permission.UPLOAD:
            raise MayOnlyRead(_READ_ONLY)
        return Uploader(token, standing)

    def check_upload(self, uploader: Uploader, form: Form) -> Distribution:
        """Check a whole upload, and use up a single-use token for it.

        The form, the file's name and the file's metadata must name one project, and the token must
        be for it. Raises InvalidUpload, PayloadTooLarge, Unauthorized, Forbidden or Unavailable.
        """
        self._check_size(form)
        distribution = parse_filename(form.file.filename)
        for project in (form.project, distribution.project):
            _check_scope(uploader.standing, project)
        _check_file(form, distribution)
        digests = compute_sent_digests(form)
        check_digests(form, digests)
        inspect(Candidate(distribution, form.file.content, digests[SHA256]))
        self._use(uploader.token, distribution, digests[SHA256])
        return distribution

    def _check_size(self, form: Form) -> None:
        if form.file.content.size > self._max_file_bytes:
            limit = write_size(self._max_file_bytes)
            raise PayloadTooLarge(f"a file may have at most {limit} here")

    def _use(self, token: UploadToken, distribution: Distribution, sha256: str) -> None:
        """Ask again, now about this file."""
        question = {
            "permission": Permission.UPLOAD.value,
            "project": distribution.project,
            "filename": distribution.filename,
            "sha256": sha256,
            "consume": "true",
        }
        standing = self._broker.ask(token, **question)
        if standing is None:
            raise self._refusal(token, _NOT_THIS_FILE)
        if standing.permission is not Permission.UPLOAD:
            raise MayOnlyRead(_READ_ONLY)
        _check_scope(standing, distribution.project)

    def _refusal(self, token: UploadToken, right: str) -> Unauthorized | Forbidden:
        """Say whether a token is not good at all, or only not good for what was asked."""
        return Unauthorized(_NOT_GOOD) if self._broker.ask(token) is None else Forbidden(right)

    def _remembers(self, token: UploadToken) -> bool:
        with self._lock:
            return self._readers.get(token.hash, 0) > self._elapsed()

    def _remember(self, token: UploadToken, standing: Standing) -> None:
        left = min(MAX_AGE_SECONDS, standing.expires - self._clock())
        with self._lock:
            self._readers[token.hash] = self._elapsed() + left
            self._readers.move_to_end(token.hash)
            if len(self._readers) > _MAX_READERS:
                self._readers.popitem(last=False)


def _check_scope(standing: Standing, project: str) -> None:
    if project not in standing.projects:
        named = and_more(sorted(map(printable, standing.projects)), len(standing.projects))
        raise Forbidden(
            f"the token is not for the project `{printable(project)}`; it is for {named or 'none'}"
        )


def _check_file(form: Form, distribution: Distribution) -> None:
    """Check that the form asks for an upload of this file; raise InvalidUpload."""
    check_protocol(form)
    if form.is_staged:
        raise InvalidUpload(_STAGED)
    check_form(form, distribution)
