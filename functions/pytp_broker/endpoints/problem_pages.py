"""A refusal as a page, for a person with a browser. Programs get the error object instead.

Every function may refuse a request, so this page needs no library for templates.
"""

import re
from html import escape
from typing import Final

from pytp_broker.errors import DEFAULT_TYPE_BASE, NotAcceptable, Problem
from pytp_broker.http.browsers import html_response
from pytp_broker.http.messages import Request, Response, problem_response
from pytp_broker.http.negotiation import prefers_html
from pytp_broker.http.paths import is_upload_api
from pytp_broker.index.web.style import style_url

# What a sentence quotes: a value between backticks, or an address.
_QUOTED: Final = re.compile(r"`([^`]+)`|(https?://[^\s]+)")
_SENTENCE_END: Final = re.compile(r"(?<=[^.])\. (?=[A-Z])")

_PAGE: Final = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="{style}">
</head>
<body>
<main class="wide error">
<p class="status">{status}</p>
<h1>{title}</h1>
{sentences}
</main>
</body>
</html>
"""


def refusal(problem: Problem, request: Request, type_base: str = DEFAULT_TYPE_BASE) -> Response:
    """Return a refusal in the form that the client reads: a page, or the error object.

    A person does not meet 406: only programs ask for what we have in no form that they accept.
    Only programs speak Upload API 2.0, too, and its errors have one form (PEP 694).
    """
    if _is_person(request) and not isinstance(problem, NotAcceptable):
        headers = {"Cache-Control": "no-store", **problem.headers}
        return html_response(_write(problem), problem.status, headers)
    return problem_response(problem, request.path, type_base)


def _is_person(request: Request) -> bool:
    may_be_person = request.method in {"GET", "HEAD"} and not is_upload_api(request.path)
    return may_be_person and prefers_html(request.headers.get("accept", ""))


def _write(problem: Problem) -> bytes:
    document = problem.document("")
    sentences = _SENTENCE_END.split(document["detail"])
    return _PAGE.format(
        title=escape(document["title"]),
        style=style_url(),
        status=problem.status,
        sentences="\n".join(f"<p>{_mark(sentence)}</p>" for sentence in sentences),
    ).encode()


def _mark(sentence: str) -> str:
    """Return a sentence as HTML, with its beginning and its quotations marked."""
    text = escape(sentence[:1].upper() + sentence[1:].rstrip("."))
    return _QUOTED.sub(lambda found: f"<code>{found[1] or found[2]}</code>", text) + "."
