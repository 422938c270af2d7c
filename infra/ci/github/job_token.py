"""Get an upload token for the later steps of a job of GitHub Actions, or burn it at the end.

The runner gives an input as a variable, and takes outputs, variables and the state of an action as
lines of files. It gives the state to the same action's last step alone.
"""

import os
import sys
from pathlib import Path

from pytp_broker.client.ambient import NoIdentityError
from pytp_broker.client.credentials import variables_for
from pytp_broker.client.job_tokens import NOT_BURNED
from pytp_broker.client.lent_tokens import take, tokens_to_lend
from pytp_broker.client.locations import Location
from pytp_broker.client.registry import USER_NAME, RefusedError, burn
from pytp_broker.client.transport import send
from pytp_broker.redaction import Hidden, legible, printable


def main(action: str) -> str | None:
    """Mint or burn; return why that failed."""
    location = Location.parse(os.environ["INPUT_URL"].strip())
    if location is None or not location.is_for_upload:
        return (
            f"{printable(os.environ['INPUT_URL'])} is not the upload URL of a registry; it looks "
            "like https://packages.example.com/acme/legacy/"
        )
    return {"mint": mint_for, "burn": burn_at}[action](location)


def mint_for(location: Location) -> str | None:
    """Give the later steps a token, and keep it for the last step."""
    try:
        token = take(location, tokens_to_lend(os.environ)).reveal()
    except (RefusedError, NoIdentityError) as refusal:
        return str(refusal)
    _write("GITHUB_STATE", {"token": token})
    url = location.upload_url
    _write("GITHUB_OUTPUT", {"url": url, "username": USER_NAME, "token": token})
    if os.environ.get("INPUT_EXPORT", "").strip() == "true":
        _write("GITHUB_ENV", variables_for(url, token))
    return None


def burn_at(location: Location) -> str | None:
    """Burn the token of this job."""
    token = Hidden(os.environ["STATE_token"])  # noqa: SIM112 - the runner does not change the case
    is_burned = burn(location.burn_url, token, send)
    return None if is_burned else NOT_BURNED


def _write(file: str, lines: dict[str, str]) -> None:
    with Path(os.environ[file]).open("a", encoding="utf-8") as opened:
        opened.writelines(f"{name}={value}\n" for name, value in lines.items())


if __name__ == "__main__":
    if failure := main(sys.argv[1]):
        print(f"::error::{legible(failure)}")  # noqa: T201 - a command to the runner
        sys.exit(1)
