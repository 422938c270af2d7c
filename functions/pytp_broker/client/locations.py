"""What a program asks a token for: the URL of a registry's uploads or of its index."""

import re
from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import SplitResult, urlsplit

from pytp_broker.names import is_sent_host, without_port
from pytp_broker.registries import default_audience

# A registry's prefix, if it has one, and what is there. No registry can have one of these names.
_PATH: Final = re.compile(
    r"(?P<prefix>/(?!(?:legacy|simple|files)(?:/|\Z))[a-z0-9][a-z0-9-]{0,62})?"
    r"/(?:(?P<upload>legacy/?)|(?:simple|files)(?:/.*)?)"
)
# `default_audience` puts this before a host that begins with a digit. Then it is also the audience
# of a host that begins with this text, which anybody could register.
_AMBIGUOUS: Final = re.compile("pytp-[^a-z]")
# Other services have audiences of one word, such as `sigstore`, which may also be a host of a
# network of one's own.
_WORD: Final = re.compile("[a-z0-9-]+")
_DISPUTED: Final = re.compile(r"[^!-~]|\\")


@dataclass(frozen=True, slots=True)
class Location:
    """A registry as a URL names it: ``origin`` with scheme and port, ``prefix`` ("" at a root)."""

    origin: str
    prefix: str
    is_for_upload: bool

    @classmethod
    def parse(cls, url: str) -> Self | None:
        """Return what a URL of the form that our registries have says; None for another.

        Only https: an identity token is not sent where somebody on the way could read it.
        """
        parts = _split(url)
        if parts is None:
            return None
        host = parts.netloc.rpartition("@")[2].lower()
        found = _PATH.fullmatch(parts.path)
        if parts.scheme != "https" or not found or not is_sent_host(host):
            return None
        return cls(f"https://{host}", found["prefix"] or "", found["upload"] is not None)

    @property
    def base_url(self) -> str:
        """Return the registry's own URL, without a slash at its end."""
        return self.origin + self.prefix

    @property
    def upload_url(self) -> str:
        """Return the URL to which clients upload."""
        return f"{self.base_url}/legacy/"

    @property
    def burn_url(self) -> str:
        """Return the URL at which a token of this registry is ended."""
        return f"{self.base_url}/_/oidc/burn-token"

    @property
    def own_audience(self) -> str | None:
        """Return the audience that only this registry can have; None if others could have it too.

        An index may name any audience, such as that of another registry, and replay there what we
        send. So a job sends an identity token for this audience alone, unless its user says more.
        """
        host = without_port(self.origin.removeprefix("https://")).rstrip(".")
        if _AMBIGUOUS.match(host) or _WORD.fullmatch(host + self.prefix):
            return None
        return default_audience(host + self.prefix)


def _split(url: str) -> SplitResult | None:
    """Return the parts of a URL; None if it is malformed, or if programs disagree about its host.

    Some programs end the host at a backslash, and some drop invisible characters. So we could fetch
    a token of one host, and the program could send it to another.
    """
    if _DISPUTED.search(url):
        return None
    try:
        return urlsplit(url)
    except ValueError:
        return None
