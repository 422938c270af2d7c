"""A guard in front of pypiserver: jobs publish, and installers read, with a registry's tokens.

    python -m pytp_broker.guards.pypiserver --packages DIR --secret-file FILE
        --registry https://packages.example.com/acme/ --client pypiserver

pypiserver runs inside the guard, and is asked nothing that the guard has not judged: one action of
its upload, with a form made anew, and GET and HEAD. Removing, searching and replacing are not among
them, and neither is anything that a later pypiserver may add.
"""

import argparse
import importlib
import logging
import os
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from threading import Lock
from typing import Final

from pytp_broker.content import Opened
from pytp_broker.errors import (
    FileExists,
    InvalidUpload,
    MalformedRequest,
    MethodNotAllowed,
    PayloadTooLarge,
    Problem,
    Unavailable,
)
from pytp_broker.file_sizes import write_size
from pytp_broker.guards.answers import refuse
from pytp_broker.guards.introspection import Broker
from pytp_broker.guards.judging import Guard
from pytp_broker.guards.one_form import OneForm, spool
from pytp_broker.guards.settings import (
    CLIENT,
    MAX_FILE_SIZE,
    READS,
    REGISTRY,
    SECRET_FILE,
    Settings,
    SettingsError,
)
from pytp_broker.guards.web_server import serve
from pytp_broker.guards.wsgi_calls import (
    Application,
    Environ,
    StartResponse,
    answer_of,
    internal_request,
    without_body,
)
from pytp_broker.index.digests import SHA256, compute_digests
from pytp_broker.index.forms import FilePart, read_form

PACKAGES: Final = "PYTP_GUARD_PACKAGES"
HEALTH: Final = "/health"

# The description of a project, its attestations and its other fields, beside its file.
_FORM_BYTES: Final = 8 * 1024 * 1024
_MAX_DIGITS: Final = 20
_READING: Final = ("GET", "HEAD")
_EXISTS: Final = (HTTPStatus.BAD_REQUEST, HTTPStatus.CONFLICT)


def app(
    settings: Settings | None = None, packages: str | Path | None = None, **options: object
) -> "GuardedIndex":
    """Return pypiserver behind a guard, as a WSGI application; raise SettingsError.

    Without arguments, the settings come from the environment. ``options`` are pypiserver's own, but
    none that would ask for a password or let a file be replaced.
    """
    settings = settings or Settings.read(os.environ)
    folder = packages or os.environ.get(PACKAGES)
    if not folder or not Path(folder).is_dir():
        raise SettingsError(f"{PACKAGES} must be the folder in which pypiserver keeps its files")
    # pypiserver would send a client that asks for a missing project to PyPI, where a stranger may
    # have taken the name.
    chosen = {"disable_fallback": True, **options}
    fixed = {"authenticate": [], "password_file": ".", "overwrite": False}
    inner = importlib.import_module("pypiserver").app(roots=[Path(folder)], **{**chosen, **fixed})
    guard = Guard(Broker(settings), max_file_bytes=settings.max_file_bytes)
    return GuardedIndex(inner, guard, settings)


@dataclass(frozen=True)
class GuardedIndex:
    """A WSGI application that lets through what its guard allows."""

    inner: Application
    guard: Guard
    settings: Settings
    _storing: Lock = field(default_factory=Lock)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request."""
        path = environ.get("PATH_INFO") or "/"
        try:
            if environ["REQUEST_METHOD"] in _READING:
                return self._read(environ, path, start_response)
            return self._upload(environ, path, start_response)
        except Problem as problem:
            refusal = refuse(problem, path)
            start_response(refusal.status, refusal.headers)
            return [refusal.body]

    def _read(self, environ: Environ, path: str, start_response: StartResponse) -> Iterable[bytes]:
        if not self.settings.is_public and path != HEALTH:
            self.guard.check_reader(_headers(environ))
        return self.inner(without_body(environ), start_response)

    def _upload(
        self, environ: Environ, path: str, start_response: StartResponse
    ) -> Iterable[bytes]:
        if (environ["REQUEST_METHOD"], path) != ("POST", "/"):
            raise MethodNotAllowed(environ["REQUEST_METHOD"], _READING)
        uploader = self.guard.check_uploader(_headers(environ))
        size = self._size(environ)
        with tempfile.TemporaryFile() as file:
            try:
                spool(environ["wsgi.input"], size, file)
            except OSError as error:
                raise _cannot_store(error) from None
            form = read_form(Opened(file, size), environ.get("CONTENT_TYPE", ""), size)
            distribution = self.guard.check_upload(uploader, form)
            self._store(environ, FilePart(distribution.filename, form.file.content))
        start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "0")])
        return [b""]

    def _size(self, environ: Environ) -> int:
        """Return how long the body is; raise MalformedRequest or PayloadTooLarge."""
        text = environ.get("CONTENT_LENGTH") or ""
        if not (text.isascii() and text.isdigit()) or environ.get("HTTP_TRANSFER_ENCODING"):
            raise MalformedRequest("an upload must say how long it is, in Content-Length")
        limit = self.settings.max_file_bytes + _FORM_BYTES
        # Python refuses to read a number of thousands of digits.
        if len(text) > _MAX_DIGITS or int(text) > limit:
            raise PayloadTooLarge(
                f"a file may have at most {write_size(self.settings.max_file_bytes)} here"
            )
        return int(text)

    def _store(self, environ: Environ, file: FilePart) -> None:
        """Hand a checked file over to pypiserver, unless it has the same one already.

        pypiserver looks whether the name is taken, and then writes. One upload at a time does that,
        or two could write the same name.
        """
        form = OneForm(file)
        asked = internal_request(environ, "POST", "/") | {
            "CONTENT_TYPE": form.content_type,
            "CONTENT_LENGTH": str(form.size),
            "wsgi.input": form,
        }
        with self._storing:
            try:
                status, _ = answer_of(self.inner, asked)
                if status in _EXISTS and self._is_stored(environ, file):
                    return
            except OSError as error:
                raise _cannot_store(error) from None
        _check_stored(status, file.filename)

    def _is_stored(self, environ: Environ, file: FilePart) -> bool:
        """Say whether pypiserver serves these bytes under this name."""
        asked = internal_request(environ, "GET", f"/packages/{file.filename}")
        status, sha256 = answer_of(self.inner, asked)
        return status == HTTPStatus.OK and sha256 == compute_digests(file.content, {SHA256})[SHA256]


def _headers(environ: Environ) -> Mapping[str, str]:
    return {"authorization": environ.get("HTTP_AUTHORIZATION", "")}


def _check_stored(status: int, filename: str) -> None:
    if status in _EXISTS:
        raise FileExists(
            f"`{filename}` already exists here, and a file never changes: publish a new version"
        )
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        raise Unavailable("the index cannot store the file now; try again")
    if status != HTTPStatus.OK:
        raise InvalidUpload(f"the index behind this guard refuses the file ({status})")


def _cannot_store(error: OSError) -> Unavailable:
    cause = f"a file cannot be stored: {error.strerror or type(error).__name__}"
    return Unavailable("the index cannot store the file now; try again", operator_detail=cause)


def main(arguments: list[str] | None = None) -> int:
    """Serve a folder until a signal ends it."""
    chosen = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    given = {name: getattr(chosen, name) for name in _OPTIONS}
    environment = {**os.environ, **{name: text for name, text in given.items() if text}}
    try:
        guarded = app(Settings.read(environment), environment.get(PACKAGES))
    except SettingsError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    serve(guarded, chosen.host, chosen.port)
    return 0


# The options for which there is a variable. The secret itself is not among them: every user of the
# machine can read a command line.
_OPTIONS: Final[Mapping[str, str]] = {
    PACKAGES: "--packages",
    REGISTRY: "--registry",
    CLIENT: "--client",
    SECRET_FILE: "--secret-file",
    READS: "--reads",
    MAX_FILE_SIZE: "--max-file-size",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pytp_broker.guards.pypiserver",
        description="Serve a folder with pypiserver, behind the tokens of a registry.",
    )
    for variable, option in _OPTIONS.items():
        parser.add_argument(option, dest=variable, metavar="VALUE", help=f"default: ${variable}")
    parser.add_argument("--host", default="127.0.0.1", help="default: 127.0.0.1")
    parser.add_argument("--port", type=int, default=8080, help="default: 8080")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
