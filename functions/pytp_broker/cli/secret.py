"""Make a secret for another index that asks about tokens, and print its configuration."""

import argparse
import hashlib
import re
import secrets

from pytp_broker.registries import CLIENT_ID


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "id", metavar="ID", type=_client_id, help="a name for the other index, such as devpi"
    )


def _client_id(text: str) -> str:
    if not re.fullmatch(CLIENT_ID, text):
        raise argparse.ArgumentTypeError("must be 1 to 64 letters, digits, `.`, `_` or `-`")
    return text


def run(arguments: argparse.Namespace) -> int:
    """Print the secret once, with the table to add to the registry; store neither."""
    secret = secrets.token_urlsafe(32)
    print(f"# give this secret to {arguments.id}; it is not stored anywhere: {secret}")
    print("[[registries.introspection_clients]]")
    print(f'id = "{arguments.id}"')
    print(f'secret_sha256 = "{hashlib.sha256(secret.encode()).hexdigest()}"')
    return 0
