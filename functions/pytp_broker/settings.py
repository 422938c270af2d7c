"""Every environment variable of the deployed functions.

The template sets them; a test holds the two together. They are read when a function starts, and a
function whose settings are wrong does not start.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from pytp_broker.errors import DEFAULT_TYPE_BASE, TYPE_BASE
from pytp_broker.names import HOST_NAME


def environment_proxy(environ: Mapping[str, str]) -> str:
    """Return the environment's proxy, for issuers that the operator sets to use it; often empty."""
    return environ.get("HTTPS_PROXY") or environ.get("https_proxy") or ""


class SettingsError(Exception):
    """Some environment variables are missing or malformed; each line names one of them."""


@dataclass(frozen=True, slots=True)
class Variable:
    """An environment variable: what it means, and a regular expression for its values.

    A variable with a default may be missing, so that code newer than its stack still starts.
    """

    name: str
    what: str
    pattern: str
    default: str | None = None

    def read(self, environ: Mapping[str, str]) -> str:
        """Return the value; raise SettingsError when it is missing or malformed."""
        value = environ.get(self.name, self.default)
        if value is None:
            raise SettingsError(f"{self.name} is not set: {self.what}")
        if not re.fullmatch(self.pattern, value):
            raise SettingsError(f"{self.name} is malformed: it must be {self.what}")
        return value


def _variable(name: str, what: str, pattern: str, default: str | None = None) -> Any:  # noqa: ANN401 - as field() is typed
    return field(metadata={"variable": Variable(name, what, pattern, default)})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """The settings of every function.

    The audience of the deployment's root is made from ``shared_host``. It is configured and never
    taken from a request; otherwise a caller could choose the audience for which tokens are good.
    """

    table: str = _variable("PYTP_TABLE", "the name of the DynamoDB table", r"[A-Za-z0-9_.-]{3,255}")
    shared_host: str = _variable(
        "PYTP_SHARED_HOST", "the deployment's host name in lower case, without a port", HOST_NAME
    )
    error_type_base: str = _variable(
        "PYTP_ERROR_TYPE_BASE",
        "an https URL or a URN that an error's code follows",
        TYPE_BASE,
        DEFAULT_TYPE_BASE,
    )

    @classmethod
    def variables(cls) -> Mapping[str, Variable]:
        """Return the variable behind each setting."""
        return {f.name: f.metadata["variable"] for f in fields(cls)}

    @classmethod
    def from_environment(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings; raise SettingsError naming every variable that is wrong."""
        values: dict[str, str] = {}
        mistakes: list[str] = []
        for name, variable in cls.variables().items():
            try:
                values[name] = variable.read(environ)
            except SettingsError as mistake:
                mistakes.append(str(mistake))
        if mistakes:
            raise SettingsError("\n".join(mistakes))
        return cls(**values)


@dataclass(frozen=True, slots=True, kw_only=True)
class IndexSettings(Settings):
    """The further settings of the functions that handle files."""

    bucket: str = _variable(
        "PYTP_BUCKET", "the name of the S3 bucket for files", r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifySettings(IndexSettings):
    """The further settings of the functions that let attestations be verified."""

    attest_function: str = _variable(
        "PYTP_ATTEST_FUNCTION", "the name of the attest function", r"[A-Za-z0-9_-]{1,64}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadSettings(VerifySettings):
    """The further settings of the upload function."""

    verify_function: str = _variable(
        "PYTP_VERIFY_FUNCTION", "the name of the verify function", r"[A-Za-z0-9_-]{1,64}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class BrokerSettings(Settings):
    """The further settings of the broker function."""

    disclosure_keys_url: str = _variable(
        "PYTP_DISCLOSURE_KEYS_URL",
        "the https URL of the keys that sign disclosures of leaked tokens",
        r"https://[a-z0-9.-]+(:[0-9]{1,5})?/[!-~]*",
    )
