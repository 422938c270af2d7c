"""Where a service of AWS is: in its region, or at the URL that an operator has named for it."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

_REGION: Final = re.compile(r"[a-z0-9]+(-[a-z0-9]+)+")
# The domains of the partitions of AWS, by how the names of their regions begin.
_DOMAINS: Final = {
    "cn-": "amazonaws.com.cn",
    "eu-isoe-": "cloud.adc-e.uk",
    "eusc-": "amazonaws.eu",
    "us-iso-": "c2s.ic.gov",
    "us-isob-": "sc2s.sgov.gov",
    "us-isof-": "csp.hci.ic.gov",
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A service in a region, with the host that answers for it, by https or by http."""

    service: str
    region: str
    host: str
    port: int = 443
    is_tls: bool = True

    @property
    def authority(self) -> str:
        """Return the host as a request names it, with the port if it is not the scheme's."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return host if self.port == (443 if self.is_tls else 80) else f"{host}:{self.port}"

    @property
    def url(self) -> str:
        """Return the URL of the host."""
        return f"{'https' if self.is_tls else 'http'}://{self.authority}"


def region_of(environ: Mapping[str, str]) -> str:
    """Return the region of an environment; raise ValueError if it names none."""
    region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or ""
    # It becomes a part of a host's name.
    if not _REGION.fullmatch(region):
        raise ValueError(f"AWS_REGION is {region!r}, not a region such as us-east-1")
    return region


def find_endpoint(service: str, environ: Mapping[str, str]) -> Endpoint:
    """Return where a service is; raise ValueError if the environment names no region or host."""
    region = region_of(environ)
    for name in (f"AWS_ENDPOINT_URL_{service.upper()}", "AWS_ENDPOINT_URL"):
        if environ.get(name):
            return _parse(name, environ[name], service, region)
    domain = next(
        (domain for start, domain in _DOMAINS.items() if region.startswith(start)), "amazonaws.com"
    )
    return Endpoint(service, region, f"{service}.{region}.{domain}")


def _parse(name: str, text: str, service: str, region: str) -> Endpoint:
    url = urlsplit(text)
    if url.scheme not in {"http", "https"} or not url.hostname or url.path not in {"", "/"}:
        raise ValueError(f"{name} is not the URL of a host, such as http://127.0.0.1:4566")
    is_tls = url.scheme == "https"
    return Endpoint(service, region, url.hostname, url.port or (443 if is_tls else 80), is_tls)
