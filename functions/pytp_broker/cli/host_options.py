"""Check host names in options: each must be a name or an address, and nothing else."""

import re
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

from pytp_broker.cli.command import MISUSED, CommandError
from pytp_broker.names import is_host_name

_EVERYWHERE: Final = ("0.0.0.0", "::", "")  # noqa: S104 - only compared with
# Characters that no name or address has, though the system's resolver may accept them.
_FOREIGN: Final = re.compile(r"[\s/\[\]@?#]|:[0-9]+\Z|\A[^:]*:[^:]*\Z")


def client_host(listening: str, public: str | None) -> str:
    """Return the host that clients use, by ``--host`` and ``--public-host``; raise CommandError."""
    if public is not None:
        _check_name("--public-host", public)
    elif listening in _EVERYWHERE:
        raise CommandError(
            "give --public-host with the host name that clients use: the audience of identity "
            "tokens is derived from it, and no other broker may have the same audience",
            MISUSED,
        )
    else:
        _check_name("--host", listening)
    if not _is_address(listening) and _FOREIGN.search(listening):
        raise _refuse("--host", listening)
    return _normal(listening if public is None else public)


def shared_host(text: str | None) -> str | None:
    """Return the host of ``--host`` as the broker compares it; raise CommandError.

    With a scheme or a port it would be another host, and the check would find nothing wrong.
    """
    if text is None:
        return None
    _check_name("--host", text)
    return _normal(text)


def _normal(text: str) -> str:
    return str(ip_address(text)) if _is_address(text) else text.lower()


def _check_name(option: str, text: str) -> None:
    if not _is_address(text) and not _is_name(text):
        raise _refuse(option, text)


def _is_name(text: str) -> bool:
    # A last label of digits alone would be a malformed address.
    is_number = text.rpartition(".")[2].isdigit()
    return text.isascii() and is_host_name(text.lower()) and not is_number


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return False
    return "%" not in text  # a zone names an interface of this machine, which others do not have


def _refuse(option: str, text: str) -> CommandError:
    return CommandError(
        f"{option}: `{text}` is not a host name; write it without scheme, port or path, such as "
        f"{_suggest(text) or 'packages.example.com'}",
        MISUSED,
    )


def _suggest(text: str) -> str | None:
    """Return the host name in the text, or None."""
    text = text.strip()
    if "://" not in text and not text.startswith("[") and text.count(":") > 1:
        return None  # a malformed IPv6 address
    try:
        found = urlsplit(text if "://" in text else f"//{text}").hostname or ""
        name = found if found.isascii() else found.encode("idna").decode()
    except ValueError:
        return None
    return name if _is_address(name) or _is_name(name) else None
