"""Burn tokens, and refuse identity tokens that might be exchanged for others."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from pytp_broker.audit.operations import IdentityTokensEnd, OperatorBurn
from pytp_broker.audit.record import hash_prefix
from pytp_broker.cli.command import say
from pytp_broker.cli.operator import Operator
from pytp_broker.oidc.signed_claims import LEEWAY_SECONDS
from pytp_broker.redaction import and_more
from pytp_broker.tokens import TokenRecord


def end_all_tokens(operator: Operator) -> None:
    """End every token, and every identity token that might have been exchanged before.

    A store that was restored needs this. Tokens that were burned after the backup are good in it
    again, and it does not know which identity tokens were exchanged after the backup.
    """
    refuse_identity_tokens(operator)
    burn_tokens(operator.store.list_tokens(datetime.now(UTC)), operator)


def refuse_identity_tokens(operator: Operator) -> None:
    """Refuse identity tokens that were issued before now, and keep a record of it."""
    # The clock of an issuer may be ahead of ours by so much: a token that it signed just now may
    # say that it was issued later.
    before = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=LEEWAY_SECONDS)
    operator.store.refuse_identity_tokens(before)
    event = IdentityTokensEnd(by=operator.name, issued_before=before.isoformat())
    operator.record(event.accepted())
    say(f"identity tokens that were issued before {before:%Y-%m-%dT%H:%M:%SZ} are refused now")


def burn_tokens(records: Iterable[TokenRecord], operator: Operator) -> None:
    """Burn those that are not burned yet, and print a line for each."""
    live = [record for record in records if record.burned_at is None]
    for record in live:
        if operator.store.burn_token(record.lookup_id, record.token_hash, None, datetime.now(UTC)):
            _record_burn(record, operator)
            say(f"burned {summary_of(record)}")
        else:  # another command or the holder burned it after we looked
            say(f"already burned {summary_of(record)}")
    if not live:
        say("no tokens to burn")


def _record_burn(record: TokenRecord, operator: Operator) -> None:
    event = OperatorBurn(
        by=operator.name,
        token_hash=hash_prefix(record.token_hash),
        burned=True,
        projects=record.places,
        project_count=record.project_count,
    )
    operator.record(event.accepted())


def summary_of(record: TokenRecord) -> str:
    """Return a token's hash and what it is for."""
    # A token that only reads is for no project.
    places = and_more(record.places, record.project_count) or ", ".join(record.registries)
    return f"{hash_prefix(record.token_hash)} for {places}"
