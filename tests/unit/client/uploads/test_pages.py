"""Pages of the simple API, as different indexes write them."""

import pytest

from pytp_broker.client.uploads.pages import digests_in
from pytp_broker.client.uploads.wire import Reply

A, B = "a" * 64, "b" * 64
HTML = f"""<!DOCTYPE html><html><body>
<a href="/packages/w-1.0.tar.gz#sha256={A}">w-1.0.tar.gz</a>
<a data-x="&gt;" href='../../w-1.0%2Bx-py3-none-any.whl?a=1&amp;b=2#sha256={B}'>w</a>
<a href="/packages/w-0.9.tar.gz#md5=0">w-0.9.tar.gz</a>
<a href="/packages/w-0.8.tar.gz">w-0.8.tar.gz</a>
</body></html>"""


def test_html_has_digests_in_its_links() -> None:
    page = Reply(200, "OK", {"content-type": "text/html; charset=utf-8"}, HTML.encode())

    assert digests_in(page) == {"w-1.0.tar.gz": A, "w-1.0+x-py3-none-any.whl": B}


@pytest.mark.parametrize("status", [401, 404, 301])
def test_there_is_not_always_a_page(status: int) -> None:
    assert digests_in(Reply(status, "", {"content-type": "text/html"}, HTML.encode())) == {}
