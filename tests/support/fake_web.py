"""A web without sockets: what each URL answers, and who asked for what."""

import io
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import requests
from requests.adapters import BaseAdapter
from urllib3 import HTTPResponse

JSON: Final = "application/vnd.pypi.simple.v1+json"
HTML: Final = "text/html; charset=utf-8"
INDEX: Final = "https://old.example.com/simple/"


@dataclass(frozen=True)
class Reply:
    """What a URL answers."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Web:
    """Every URL has one reply, or several, of which the last one is repeated."""

    replies: dict[str, list[Reply | Callable[[], Reply]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    credentials: dict[str, str | None] = field(default_factory=dict)

    def add(self, url: str, *replies: Reply | Callable[[], Reply]) -> None:
        self.replies[url] = list(replies)

    def page(self, url: str, text: str, kind: str = HTML) -> None:
        self.add(url, Reply(text.encode(), headers={"Content-Type": kind}))

    def projects(self, *names: str) -> None:
        """List projects in JSON at the root of the index."""
        projects = [{"name": name} for name in names]
        self.document(INDEX, {"projects": projects})

    def project(self, name: str, *files: Mapping[str, Any], **more: Any) -> None:
        """Make a project's page in JSON."""
        self.document(f"{INDEX}{name}/", {"name": name, "files": files, **more})

    def document(self, url: str, members: Mapping[str, Any]) -> None:
        self.page(url, json.dumps({"meta": {"api-version": "1.1"}, **members}), JSON)

    def answer(self, request: requests.PreparedRequest) -> Reply:
        url = str(request.url)
        self.asked.append(url)
        self.credentials[url] = request.headers.get("Authorization")
        replies = self.replies.get(url, [Reply(b"", 404)])
        reply = replies.pop(0) if replies[1:] else replies[0]
        return reply if isinstance(reply, Reply) else reply()

    def adapter(self) -> BaseAdapter:
        """Return what a session of requests sends through."""
        web = self

        class Adapter(BaseAdapter):
            def send(self, request: requests.PreparedRequest, **_: Any) -> requests.Response:  # type: ignore[override]
                return _response(request, web.answer(request))

            def close(self) -> None:
                pass

        return Adapter()


def _response(request: requests.PreparedRequest, reply: Reply) -> requests.Response:
    response = requests.Response()
    response.status_code, response.url, response.request = reply.status, str(request.url), request
    response.headers.update(reply.headers)
    response.raw = HTTPResponse(
        io.BytesIO(reply.body), headers=reply.headers, status=reply.status, preload_content=False
    )
    return response


def links(entries: Iterable[tuple[str, str]], head: str = "") -> str:
    """Return an HTML page with these links: each an `href` with further attributes, and a text."""
    anchors = "\n".join(f"<a href={href}>{text}</a><br>" for href, text in entries)
    return f"<!DOCTYPE html><html><head>{head}</head><body>{anchors}</body></html>"
