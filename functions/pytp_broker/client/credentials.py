"""The environment variables by which upload clients take a URL, a user name and a token."""

from collections.abc import Mapping
from typing import Final

from pytp_broker.client.ambient import TOKEN, TOKEN_FILE, Environment
from pytp_broker.client.publishing.credentials import TOKEN_VARIABLE
from pytp_broker.client.registry import USER_NAME

# poetry knows a repository by a name: `poetry publish --repository pytp`.
POETRY_NAME: Final = "pytp"
# What a variable is set to is one of these, or a text of its own.
_URL: Final = "{url}"
_TOKEN: Final = "{token}"  # noqa: S105 - where the token goes
# The variables of each client.
VARIABLES: Final[Mapping[str, Mapping[str, str]]] = {
    "twine": {
        "TWINE_REPOSITORY_URL": _URL,
        "TWINE_USERNAME": USER_NAME,
        "TWINE_PASSWORD": _TOKEN,
    },
    "uv": {"UV_PUBLISH_URL": _URL, "UV_PUBLISH_TOKEN": _TOKEN},
    "hatch": {
        "HATCH_INDEX_REPO": _URL,
        "HATCH_INDEX_USER": USER_NAME,
        "HATCH_INDEX_AUTH": _TOKEN,
    },
    "poetry": {
        f"POETRY_REPOSITORIES_{POETRY_NAME.upper()}_URL": _URL,
        f"POETRY_PYPI_TOKEN_{POETRY_NAME.upper()}": _TOKEN,
    },
    "flit": {"FLIT_INDEX_URL": _URL, "FLIT_USERNAME": USER_NAME, "FLIT_PASSWORD": _TOKEN},
    "pdm": {
        "PDM_PUBLISH_REPO": _URL,
        "PDM_PUBLISH_USERNAME": USER_NAME,
        "PDM_PUBLISH_PASSWORD": _TOKEN,
    },
    "maturin": {"MATURIN_REPOSITORY_URL": _URL, "MATURIN_PYPI_TOKEN": _TOKEN},
}
# uv refuses a token beside one of these, and a URL beside the name of an index.
_IN_THE_WAY: Final = ("UV_PUBLISH_USERNAME", "UV_PUBLISH_PASSWORD", "UV_PUBLISH_INDEX")
# With one of these the command could get a token by itself.
_IDENTITIES: Final = (TOKEN, TOKEN_FILE)


def variables_for(url: str, token: str) -> dict[str, str]:
    """Return the variables with which every client uploads to a URL with a token."""
    places = {_URL: url, _TOKEN: token}
    return {
        name: places.get(value, value)
        for variables in VARIABLES.values()
        for name, value in variables.items()
    }


def with_credentials(environment: Environment, url: str, token: str) -> dict[str, str]:
    """Return an environment in which every client uploads to a URL with a token.

    The variable in which a user gives us a token is not passed on: no client reads it.
    """
    removed = {*_IN_THE_WAY, TOKEN_VARIABLE}
    kept = {name: value for name, value in environment.items() if name not in removed}
    return kept | variables_for(url, token)


def with_proxy(environment: Environment, url: str, password: str) -> dict[str, str]:
    """Return an environment in which every client uploads to an index on this machine.

    It has no token, also not one that the user or the job gave us, and no proxy stands between.
    """
    names = ("NO_PROXY", "no_proxy")
    direct = {n: ",".join(filter(None, (environment.get(n), "127.0.0.1"))) for n in names}
    given = with_credentials(environment, url, password)
    return {name: value for name, value in given.items() if name not in _IDENTITIES} | direct
