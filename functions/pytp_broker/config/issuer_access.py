"""Check how an issuer inside a company is reached: by which authorities and which proxy."""

import re
from pathlib import Path
from typing import Annotated, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import (
    AfterValidator,
    BeforeValidator,
    WithJsonSchema,
)

from pytp_broker.config.values import EmptyTextError, Text
from pytp_broker.registries import ENVIRONMENT_PROXY

# The issuer's row holds the certificates, and every function reads it. A dozen authorities have 20
# KB.
MAX_CERTIFICATES_CHARACTERS: Final = 32 * 1024
# All public authorities together have 220 KB. A device such as /dev/zero never ends.
_MAX_FILE_BYTES: Final = 1024 * 1024

_MAX_PORT: Final = 65_535
_PROXY: Final = re.compile(
    r"http://([A-Za-z0-9.-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\]):[1-9][0-9]{0,4}/?"
)


def _read_proxy(value: object) -> str:
    """Return the proxy's URL, or the word for the environment's proxy."""
    if isinstance(value, bool):
        return ENVIRONMENT_PROXY if value else ""
    text = value.strip() if isinstance(value, str) else "?"
    if not text:
        raise EmptyTextError
    if "@" in text:
        raise ValueError(
            "must not have a password: set HTTPS_PROXY where the broker runs, and `proxy = true`"
        )
    if not _PROXY.fullmatch(text) or int(text.rstrip("/").rpartition(":")[2]) > _MAX_PORT:
        raise ValueError("must be `true`, or an http URL such as `http://proxy.example.com:3128`")
    return text.rstrip("/")


def _read_certificates(text: str) -> str:
    """Return the certificates in a file as PEM, without anything else in it."""
    try:
        with Path(text).open("rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        reason = getattr(error, "strerror", None) or error
        raise ValueError(f"cannot be read: {reason}") from None
    if b"PRIVATE KEY" in content:
        raise ValueError("holds a private key; give the authorities' certificates alone")
    try:
        certificates = x509.load_pem_x509_certificates(content)
    except (ValueError, x509.InvalidVersion):
        raise ValueError(_explain(content)) from None
    pem = "".join(c.public_bytes(Encoding.PEM).decode() for c in certificates)
    if len(pem) > MAX_CERTIFICATES_CHARACTERS:
        raise ValueError(
            f"holds more than {MAX_CERTIFICATES_CHARACTERS} characters of certificates; give"
            " only the authorities that sign this issuer's"
        )
    return pem


def _explain(content: bytes) -> str:
    """Return why a file has no certificates that we can read."""
    if b"-----BEGIN CERTIFICATE-----" in content:
        return "holds a certificate that cannot be read; get the file again"
    # A certificate in DER, without PEM's letters, begins like this.
    if content.startswith(b"\x30\x82"):
        return (
            "holds no certificate in PEM; if it is one in DER, convert it with"
            " `openssl x509 -inform der -in FILE -out ca.pem`"
        )
    return "holds no certificate in PEM"


CertificatesFile = Annotated[Text, AfterValidator(_read_certificates)]
Proxy = Annotated[
    str,
    BeforeValidator(_read_proxy),
    WithJsonSchema({"anyOf": [{"type": "boolean"}, {"type": "string"}]}),
]
