"""Values of the configuration file: what each text must look like."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Final
from urllib.parse import SplitResult, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import (  # noqa: TID251 - the TOML model is pydantic's
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationInfo,
    WithJsonSchema,
)

from pytp_broker.comparisons import REF_GLOB, glob_for
from pytp_broker.keysets import ASYMMETRIC_ALGORITHMS
from pytp_broker.providers import PROVIDERS
from pytp_broker.registries import CLIENT_ID, ENVIRONMENT_PROXY

ALLOW_LOOPBACK: Final = "allow_loopback"

# They are part of the issuer's row, which every function reads. A dozen authorities have 20 KB.
MAX_CERTIFICATES_CHARACTERS: Final = 32 * 1024

_MAX_PORT: Final = 65_535
# What an own host of a registry serves at its root; a prefix of that name would be ambiguous.
_RESERVED_NAMES: Final = frozenset({"simple", "legacy", "files"})
_LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_LABEL: Final = "[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
# The dot between labels is not optional, or a long name with a mistake in it takes for ever.
_HOST_NAME: Final = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(\.{_LABEL})*")
_PROXY: Final = re.compile(
    r"http://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}/?"
)
_OPEN_WILDCARD: Final = re.compile(r"[^/:@#]\*")
# Every token of an issuer has these, or any job can bring them about.
_COMMON_CLAIMS: Final = {
    *(f.claim for p in PROVIDERS.values() for f in p.fields if f.is_glob),
    *("ref", "ref_path", "base_ref", "head_ref", "branch", "tag"),
    *("iss", "aud", "azp", "exp", "iat", "nbf", "typ", "jti"),
    *("ref_type", "ref_protected", "environment", "environment_protected", "event_name"),
    *("runner_environment", "pipeline_source", "build_source", "job_type", "step_key"),
}
_SWITCH_VALUES: Final = frozenset({"true", "false"})
_PROJECT_NAME: Final = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,198}[A-Za-z0-9])?")


def _strip(value: object) -> object:
    return value.strip() if isinstance(value, str) else value


def blank_is_absent(value: object) -> object:
    """Return None for a text of blanks alone."""
    return None if _strip(value) == "" else value


def _check_issuer_url(text: str, info: ValidationInfo) -> str:
    loopback = bool(info.context and info.context[ALLOW_LOOPBACK])
    if not text.isascii() or not text.isprintable() or any(c in text for c in " ?#@\\%"):
        raise ValueError("must be a plain URL: no query, fragment, user name or escapes")
    url = urlsplit(text)
    host = url.hostname or ""
    is_here = loopback and host in _LOOPBACK
    if url.scheme != "https" and not (is_here and url.scheme == "http"):
        raise ValueError("must be https (http only for an issuer on this machine, in `serve`)")
    if not is_here and not _is_public_name(host):
        raise ValueError("must name its host by a fully qualified name, not by an address")
    if text != f"{url.scheme}://{_plain_authority(url)}{url.path}":
        raise ValueError("must be written as the issuer signs it: all in lower case up to the path")
    *inner, last = url.path.split("/")[1:] or [""]
    if "" in inner or {".", ".."} & {*inner, last}:
        raise ValueError("must be written as the issuer signs it, with a plain path")
    return text


def _plain_authority(url: SplitResult) -> str:
    """Return host and port as they are written plainly; raise ValueError for what is no port."""
    host = f"[{url.hostname}]" if ":" in (url.hostname or "") else url.hostname
    return f"{host}:{url.port}" if url.port else f"{host}"


def _is_public_name(host: str) -> bool:
    # 0x7f.1 and 2130706433 are addresses to a resolver: a last label that begins with a digit.
    last_label = host.rpartition(".")[2]
    return bool(_HOST_NAME.fullmatch(host)) and "." in host and not last_label[0].isdigit()


def _read_proxy(value: object) -> str:
    """Return the proxy's URL, or how the one of the environment is called."""
    if isinstance(value, bool):
        return ENVIRONMENT_PROXY if value else ""
    text = value.strip() if isinstance(value, str) else ""
    if "@" in text:
        raise ValueError(
            "must hold no password: set HTTPS_PROXY where the broker runs, and `proxy = true` here"
        )
    if not _PROXY.fullmatch(text) or int(text.rstrip("/").rpartition(":")[2]) > _MAX_PORT:
        raise ValueError("must be `true`, or an http URL such as `http://proxy.example.com:3128`")
    return text.rstrip("/")


def _read_certificates(text: str) -> str:
    """Return the certificates in a file as PEM and nothing else that it holds."""
    try:
        content = Path(text).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot read {text}: {reason}") from None
    if b"PRIVATE KEY" in content:
        raise ValueError(f"{text} holds a private key; give the authorities' certificates alone")
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except ValueError:
        raise ValueError(f"{text} holds no certificate in PEM") from None
    pem = "".join(c.public_bytes(Encoding.PEM).decode() for c in certificates)
    if len(pem) > MAX_CERTIFICATES_CHARACTERS:
        raise ValueError(
            f"{text} holds more than {MAX_CERTIFICATES_CHARACTERS} characters of certificates; give"
            " only the authorities that sign this issuer's"
        )
    return pem


def _check_host(text: str) -> str:
    if not _HOST_NAME.fullmatch(text):
        raise ValueError("must be a host name in lower case, without scheme, port or path")
    return text


def _check_jwks_host(text: str, info: ValidationInfo) -> str:
    loopback = bool(info.context and info.context[ALLOW_LOOPBACK])
    host, colon, port = text.partition(":")
    if not _is_public_name(_check_host(host)) and not (loopback and host in _LOOPBACK):
        raise ValueError("must be a fully qualified name, not an address")
    if colon and not (re.fullmatch(r"[1-9][0-9]{0,4}", port) and int(port) <= _MAX_PORT):
        raise ValueError("must have a port from 1 to 65535 behind the colon")
    return text


def _check_audience(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z][!-~]{0,254}", text):
        raise ValueError(
            "must start with a letter and have no blanks: CI systems make a variable's name of it"
        )
    return text


def _check_registry_name(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,62}", text):
        raise ValueError("must match [a-z0-9][a-z0-9-]{0,62}: it is the URL prefix")
    if text in _RESERVED_NAMES:
        raise ValueError(f"`{text}` is reserved")
    return text


def _normalize_project(text: str) -> str:
    if not _PROJECT_NAME.fullmatch(text):
        raise ValueError("must be a project name: letters, digits, `.`, `_`, `-` (PEP 508)")
    return re.sub(r"[-_.]+", "-", text).lower()  # PEP 503


def _check_claim_name(text: str) -> str:
    if not re.fullmatch(r"[!-~]{1,255}", text):
        raise ValueError("must be the name of a claim")
    return text


def _check_claim_rule(text: str) -> str:
    if not re.fullmatch(r"[^\x00-\x1f\x7f]{1,255}", text):
        raise ValueError("must be 1 to 255 printable characters")
    if "**" in text or "?*" in text or not text.strip("*/:@#"):
        raise ValueError("must hold more than wildcards; `*` stands for one stretch of text")
    return text


def _check_wildcards(claims: dict[str, str]) -> dict[str, str]:
    # `my-org*` is meant to be one organisation and also lets `my-org-evil` in. The name of a
    # branch or a tag is its owner's, so that `refs/tags/v*` is what it looks like.
    for name, rule in claims.items():
        guarded = "" if glob_for(name) is REF_GLOB else rule.partition("@refs/")[0]
        if _OPEN_WILDCARD.search(guarded):
            raise ValueError(f"`{name}`: a `*` must follow one of / : @ #, or begin the text")
    return claims


def check_identifying(claims: dict[str, str]) -> dict[str, str]:
    """Refuse rules none of which says whose job it is."""
    if not any(_is_identifying(name, rule) for name, rule in claims.items()):
        raise ValueError("needs a claim without `*` that says whose job it is, such as `sub`")
    return claims


def _is_identifying(name: str, rule: str) -> bool:
    return "*" not in rule and rule.lower() not in _SWITCH_VALUES and name not in _COMMON_CLAIMS


def _one_of(choices: Iterable[str]) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in choices:
            raise ValueError(f"`{text}` is not one of: {', '.join(choices)}")
        return text

    return check


def _choices(choices: Iterable[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "enum": list(choices)})


Text = Annotated[str, BeforeValidator(_strip)]
IssuerUrl = Annotated[Text, Field(max_length=255), AfterValidator(_check_issuer_url)]
HostName = Annotated[Text, AfterValidator(_check_host)]
JwksHost = Annotated[Text, AfterValidator(_check_jwks_host)]
CertificatesFile = Annotated[Text, Field(min_length=1), AfterValidator(_read_certificates)]
Proxy = Annotated[
    str,
    BeforeValidator(_read_proxy),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string"}]}),
]
Audience = Annotated[Text, AfterValidator(_check_audience)]
RegistryName = Annotated[Text, AfterValidator(_check_registry_name)]
ProjectName = Annotated[Text, AfterValidator(_normalize_project)]
# As it is: of two names that differ by a blank, one rule would vanish.
ClaimName = Annotated[str, AfterValidator(_check_claim_name)]
ClaimRule = Annotated[Text, AfterValidator(_check_claim_rule)]
Claims = Annotated[dict[ClaimName, ClaimRule], AfterValidator(_check_wildcards)]
ClientId = Annotated[Text, Field(pattern=f"^{CLIENT_ID}$")]
Sha256 = Annotated[Text, Field(pattern=r"^[0-9a-f]{64}$")]
ProviderName = Annotated[str, AfterValidator(_one_of(PROVIDERS)), _choices(PROVIDERS)]
Algorithm = Annotated[
    str, AfterValidator(_one_of(ASYMMETRIC_ALGORITHMS)), _choices(ASYMMETRIC_ALGORITHMS)
]
