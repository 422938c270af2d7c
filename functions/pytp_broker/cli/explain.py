"""Explain, rule by rule, which publishers a token or a set of claims would match."""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.cli import place
from pytp_broker.cli.command import (
    MISUSED,
    CommandError,
    add_config_argument,
    load_configuration,
    note,
    say,
)
from pytp_broker.diagnosis import explain
from pytp_broker.display import printable
from pytp_broker.errors import InvalidPayload, InvalidPublisher
from pytp_broker.identity import SignedClaims
from pytp_broker.matching import check_claims, find_matching, is_match
from pytp_broker.messages import decode_base64url, parse_json_object
from pytp_broker.providers import PROVIDERS, Provider
from pytp_broker.publishers import Finding, TrustedPublisher, compare, identity_key, unpinned
from pytp_broker.registries import Configuration, default_audience
from pytp_broker.store import Store

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

_COLUMNS: Final = ("", "rule", "claim", "expected", "seen")
_MISSING: Final = "(missing)"


@dataclass(frozen=True, slots=True)
class _Broker:
    """What is explained: a configuration file, or a deployment with its pins."""

    name: str
    configuration: Configuration
    find: Callable[[SignedClaims, Provider], Sequence[TrustedPublisher]]
    host: str | None = None
    sought: str = "issuer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.epilog = (
        "Exits with 0 when a publisher matches and with 1 when none does. Ids that were pinned on "
        "first use are known to a deployment alone: name it with --stack, --table or --data."
    )
    add_config_argument(parser, required=False)
    place.add_arguments(parser, required=False)
    parser.add_argument("--registry", metavar="NAME", help="only this registry (default: all)")
    parser.add_argument(
        "--host", metavar="NAME", help="the deployment's host, to check the audience as well"
    )
    parser.add_argument(
        "token",
        metavar="TOKEN|CLAIMS.json",
        help="an identity token, or a file with its claims in JSON; no signature is checked",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print every rule of every candidate; return 0 when one matches, 1 when none does."""
    claims = read_claims(arguments.token)
    with _opened(arguments) as broker:
        if arguments.registry not in {None, *broker.configuration.registries}:
            raise CommandError(f"{broker.name} has no registry `{arguments.registry}`")
        issuer = broker.configuration.issuers.get(claims.issuer)
        if issuer is None:
            raise CommandError(f"{broker.name} knows no issuer `{printable(claims.issuer)}`")
        return 0 if _explain(broker, claims, PROVIDERS[issuer.provider], arguments) else 1


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[_Broker]:
    if (arguments.stack, arguments.table, arguments.data) != (None, None, None):
        with place.opened(arguments, "explain", is_for_writing=False) as deployed:
            configuration = deployed.store.load_configuration()
            find = partial(_find_deployed, deployed.store)
            host = arguments.host or deployed.host
            yield _Broker("the deployment", configuration, find, host, "identity")
    elif arguments.config:
        loaded = load_configuration(arguments.config, allow_loopback=True)
        find = partial(_find_configured, loaded)
        yield _Broker("the configuration", loaded.configuration, find, arguments.host)
    else:
        raise CommandError(
            "say what to explain: a file with --config, or a deployment with --stack, --table or "
            "--data",
            MISUSED,
        )


def _find_deployed(
    store: Store, claims: SignedClaims, provider: Provider
) -> Sequence[TrustedPublisher]:
    key = identity_key(claims, provider)
    return [] if key is None else store.list_publishers(key)


def _find_configured(
    loaded: "Loaded", claims: SignedClaims, provider: Provider
) -> Sequence[TrustedPublisher]:
    found = [p for p in loaded.publishers if p.issuer == claims.issuer]
    if any(unpinned(publisher, claims) for publisher in found):
        note(
            f"ids that {provider.title} signs and the file does not give are pinned on first use; "
            "they are compared only with --stack, --table or --data"
        )
    return found


def _explain(
    broker: _Broker, claims: SignedClaims, provider: Provider, arguments: argparse.Namespace
) -> bool:
    say(
        f"{provider.title}, issuer {claims.issuer}; the token's signature and times are not checked"
    )
    if provider.blind_spot:
        say(f"note: {provider.blind_spot}")
    is_meant = _print_audience(claims, broker, arguments.registry)
    candidates = [
        p for p in broker.find(claims, provider) if arguments.registry in {None, p.registry}
    ]
    for publisher in candidates:
        _print_publisher(publisher, claims, provider, broker)
    if not candidates:
        say(f"no publisher is configured for this {broker.sought} here")
    return _is_accepted(candidates, claims, provider, broker) and is_meant


def _print_audience(claims: SignedClaims, broker: _Broker, registry: str | None) -> bool:
    """Print for whom the token is; return whether that is anybody here, if the host is known."""
    seen = claims.value("aud")
    known = [r for r in broker.configuration.registries.values() if registry in {None, r.name}]
    if broker.host is None:
        expected = {r.name: r.audience for r in known if r.audience is not None}
        say(f"audience {_shown(seen)}; not checked without --host")
    else:
        expected = {r.name: r.audience_on(broker.host) for r in known}
        expected["the shared root"] = default_audience(broker.host)
        mark = "✓" if seen in expected.values() else "✗"
        say(f"{mark} audience {_shown(seen)}")
    for name, audience in expected.items():
        say(f"  {name} expects {audience}")
    return broker.host is None or seen in expected.values()


def read_claims(text: str) -> SignedClaims:
    """Return the claims of a token or a file as if they were signed; raise CommandError.

    Nothing verifies them: they are for explaining, on the operator's own machine, only.
    """
    try:
        if text.count(".") == 2 and not Path(text[:255]).exists():  # noqa: PLR2004 - a JWT
            claims = parse_json_object(decode_base64url(text.strip().split(".")[1]))
        else:
            claims = parse_json_object(Path(text).read_bytes())
    except (InvalidPayload, ValueError):
        raise CommandError("this is neither a JWT nor a file with a JSON object") from None
    except OSError as error:
        raise CommandError(f"{printable(text)}: {error.strerror}") from None
    issuer = claims.get("iss")
    if not isinstance(issuer, str):
        raise CommandError("the claims name no issuer (`iss`)")
    return SignedClaims(issuer, "", datetime.max.replace(tzinfo=UTC), claims)


def _is_accepted(
    candidates: Sequence[TrustedPublisher],
    claims: SignedClaims,
    provider: Provider,
    broker: _Broker,
) -> bool:
    """Say whether the broker accepts these claims, and print what it answers if it does not."""
    key = identity_key(claims, provider)
    try:
        check_claims(claims, provider)
    except InvalidPublisher as problem:
        say("", f"✗ whatever the publishers ask for: {problem.detail}")
        return False
    asked = [p for p in candidates if p.identity_key == key]
    switched_on = [p for p in asked if _is_switched_on(p, broker)]
    try:
        find_matching(switched_on, claims, provider)
    except InvalidPublisher as problem:
        if asked == switched_on:  # what is switched off is refused before it is compared
            say("", f"✗ the broker answers: {problem.detail}")
        return False
    return True


def _is_switched_on(publisher: TrustedPublisher, broker: _Broker) -> bool:
    return broker.configuration.is_enabled(publisher.registry, publisher.issuer)


def _print_publisher(
    publisher: TrustedPublisher, claims: SignedClaims, provider: Provider, broker: _Broker
) -> None:
    findings = compare(publisher, claims)
    verdict = "matches" if is_match(findings) else "does not match"
    switched_off = "" if _is_switched_on(publisher, broker) else ", and is switched off"
    projects = ", ".join(publisher.projects)
    say("", f"registry {publisher.registry}, publisher of {projects}: {verdict}{switched_off}")
    _print_table(findings)
    for text in explain(findings, claims, provider):
        say(f"  - {text}")


def _print_table(findings: Iterable[Finding]) -> None:
    rows = [_COLUMNS, *(_row(finding) for finding in findings)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(_COLUMNS))]
    for row in rows:
        say("  " + "  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip())


def _row(finding: Finding) -> tuple[str, ...]:
    seen = _MISSING if finding.seen is None else printable(finding.seen, 80)
    mark = "✓" if finding.matched else "✗"
    said = (printable(text, 80) for text in (finding.rule, finding.claim, finding.expected))
    return mark, *said, seen


def _shown(value: Any) -> str:  # noqa: ANN401 - an unchecked claim
    return printable(value if isinstance(value, str) else json.dumps(value))
