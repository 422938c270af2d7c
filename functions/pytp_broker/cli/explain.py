"""Show, rule by rule, which publishers or readers a token or a set of claims matches."""

import argparse
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.cli import target
from pytp_broker.cli.claims import read_claims
from pytp_broker.cli.command import (
    MISUSED,
    CommandError,
    add_config_argument,
    load_configuration,
    note,
    say,
)
from pytp_broker.cli.host_options import shared_host
from pytp_broker.cli.named import advise
from pytp_broker.cli.printed_tables import align
from pytp_broker.errors import InvalidPublisher, InvalidToken
from pytp_broker.grants import Permission
from pytp_broker.oidc.registered_claims import check_names
from pytp_broker.oidc.signed_claims import SignedClaims
from pytp_broker.redaction import printable
from pytp_broker.registries import Configuration, Registry, default_audience
from pytp_broker.storage.protocols import TokenStore
from pytp_broker.trust.built_in import with_built_in
from pytp_broker.trust.diagnosis import explain
from pytp_broker.trust.matching import check_claims, find_matching, is_match
from pytp_broker.trust.providers import PROVIDERS
from pytp_broker.trust.providers.model import Provider
from pytp_broker.trust.publishers import TrustedPublisher, entry_for, identity_keys, unpinned
from pytp_broker.trust.rules import Finding, compare
from pytp_broker.trust.unknown_claims import find_unknown

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

_COLUMNS: Final = ("", "rule", "claim", "expected", "seen")
_MISSING: Final = "(missing)"


@dataclass(frozen=True, slots=True)
class _Broker:
    """The broker to explain: a configuration file, or a deployment with its pins.

    ``permission`` is what a job would ask it for.
    """

    name: str
    permission: Permission
    configuration: Configuration
    find: Callable[[SignedClaims, Provider], Sequence[TrustedPublisher]]
    host: str | None = None
    sought: str = "issuer"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.epilog = (
        "Exits with 0 if a publisher (with --read: a reader) matches, and with 1 if none does. "
        "Only a deployment knows the ids that were pinned on first use: name it with --data, "
        "--stack or --table."
    )
    add_config_argument(parser, required=False)
    target.add_arguments(parser, required=False)
    _add_selection(parser)
    parser.add_argument(
        "token",
        metavar="TOKEN|CLAIMS.json",
        help="an identity token, or a JSON file with its claims; the signature is not checked",
    )


def _add_selection(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--registry", metavar="NAME", help="explain only this registry (default: all)"
    )
    parser.add_argument(
        "--host", metavar="NAME", help="the deployment's host name, to check the audience too"
    )
    parser.add_argument(
        "--read",
        dest="permission",
        action="store_const",
        const=Permission.READ,
        default=Permission.UPLOAD,
        help="explain who may read, by the readers instead of the publishers",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print every rule of every candidate; return 0 when one matches, 1 when none does."""
    claims = read_claims(arguments.token)
    with _opened(arguments) as broker:
        known, wanted = broker.configuration.registries, arguments.registry
        if wanted not in {None, *known}:
            advice = advise(wanted, known, "its registries are")
            raise CommandError(f"{broker.name} has no registry `{printable(wanted)}`; {advice}")
        issuer = broker.configuration.issuers.get(claims.issuer)
        if issuer is None:
            raise CommandError(
                f"{broker.name} does not have the issuer `{printable(claims.issuer)}`"
            )
        provider = entry_for(issuer.provider, broker.permission)
        return 0 if _explain(broker, claims, provider, arguments) else 1


@contextmanager
def _opened(arguments: argparse.Namespace) -> Iterator[_Broker]:
    asked = arguments.permission
    if (arguments.stack, arguments.table, arguments.data) != (None, None, None):
        with target.opened(arguments, "explain", is_for_writing=False) as operator:
            configuration = operator.store.load_configuration()
            find = partial(_find_deployed, operator.store, asked)
            host = shared_host(arguments.host) or operator.host
            yield _Broker("the deployment", asked, configuration, find, host, "identity")
    elif arguments.config:
        loaded = load_configuration(arguments.config, allow_loopback=True)
        find, host = partial(_find_configured, loaded, asked), shared_host(arguments.host)
        configuration = with_built_in(loaded.configuration)
        yield _Broker("the configuration", asked, configuration, find, host)
    else:
        raise CommandError(
            "name what to compare with: a file with --config, or a deployment with --data, "
            "--stack or --table",
            MISUSED,
        )


def _find_deployed(
    store: TokenStore, permission: Permission, claims: SignedClaims, provider: Provider
) -> Sequence[TrustedPublisher]:
    keys = identity_keys(claims, provider, permission)
    return [publisher for key in keys for publisher in store.list_publishers(key)]


def _find_configured(
    loaded: "Loaded", permission: Permission, claims: SignedClaims, provider: Provider
) -> Sequence[TrustedPublisher]:
    asked = (p for p in loaded.publishers if p.permission is permission)
    found = [p for p in asked if p.issuer == claims.issuer]
    if any(unpinned(publisher, claims) for publisher in found):
        note(
            f"a deployment pins the ids of {provider.title} that the file does not give; name it "
            "with --data, --stack or --table to compare them"
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
    _print_unknown(claims, provider)
    registries = broker.configuration.registries.values()
    known = [r for r in registries if arguments.registry in {None, r.name}]
    reached = _find_reached(_audience(claims, provider), known, broker)
    _print_audience(claims, known, broker, is_meant=bool(reached))
    names = {registry.name for registry in known}
    candidates = [p for p in broker.find(claims, provider) if p.registry in names]
    for publisher in candidates:
        _print_publisher(publisher, claims, broker, reached)
    if not candidates:
        say(f"no {provider.holder} is configured for this {broker.sought} here")
    return _is_accepted(candidates, claims, provider, broker, reached)


def _print_unknown(claims: SignedClaims, provider: Provider) -> None:
    """Print the claims that this version does not know: the provider has begun to sign them."""
    names = ", ".join(
        f"`{printable(name)}`" for name in find_unknown(claims, PROVIDERS[provider.name])
    )
    if names:
        say(
            f"note: this version does not know {names}; a {provider.holder} may compare such a "
            "claim by a rule in its `claims`"
        )


def _audience(claims: SignedClaims, provider: Provider) -> object:
    """Return the token's audience; take it out of a list of one if the provider may sign a list."""
    seen = claims.value("aud")
    if provider.token_form.may_list_audience and isinstance(seen, list) and len(seen) == 1:
        return seen[0]
    return seen


def _find_reached(audience: object, known: Sequence[Registry], broker: _Broker) -> frozenset[str]:
    """Return the registries that accept, or may accept, a token for this audience.

    Without the host, we know neither the audience of the root nor that of a registry that
    configures none.
    """
    everywhere = broker.configuration.registries.values()
    host = broker.host
    if host is None:
        owners = {r.name for r in everywhere if r.audience == audience}
        return frozenset(r.name for r in known if not owners or r.name in owners)
    is_for_root = audience == default_audience(host) and broker.permission is Permission.UPLOAD
    return frozenset(
        r.name
        for r in known
        if r.audience_on(host) == audience or (is_for_root and r.shared_host_exchange)
    )


def _print_audience(
    claims: SignedClaims, known: Sequence[Registry], broker: _Broker, *, is_meant: bool
) -> None:
    """Print the token's audience and the audiences that the broker expects."""
    seen = claims.value("aud")
    if broker.host is None:
        expected = {r.name: r.audience for r in known if r.audience is not None}
        say(f"audience {_shown(seen)}; not checked without --host")
    else:
        expected = {r.name: r.audience_on(broker.host) for r in known}
        if broker.permission is Permission.UPLOAD:  # a read token is for one registry
            expected["the shared root"] = default_audience(broker.host)
        say(f"{'✓' if is_meant else '✗'} audience {_shown(seen)}")
    for name, audience in expected.items():
        say(f"  {name} expects {audience}")


def _is_accepted(
    candidates: Sequence[TrustedPublisher],
    claims: SignedClaims,
    provider: Provider,
    broker: _Broker,
    reached: frozenset[str],
) -> bool:
    """Say whether the broker accepts these claims; print its answer if it does not."""
    keys = identity_keys(claims, provider, broker.permission)
    try:
        check_names(claims.claims)
        check_claims(claims, provider)
    except (InvalidPublisher, InvalidToken) as problem:
        say("", f"✗ for every {provider.holder}: {problem.detail}")
        return False
    asked = [p for p in candidates if p.identity_key in keys and p.registry in reached]
    switched_on = [p for p in asked if _is_switched_on(p, broker)]
    try:
        find_matching(switched_on, claims, provider)
    except InvalidPublisher as problem:
        # The broker refuses a switched-off registry and a foreign audience before it compares
        # claims.
        if reached and asked == switched_on:
            say("", f"✗ the broker answers: {problem.detail}")
        return False
    return True


def _is_switched_on(publisher: TrustedPublisher, broker: _Broker) -> bool:
    return broker.configuration.is_enabled(publisher.registry, publisher.issuer)


def _print_publisher(
    publisher: TrustedPublisher,
    claims: SignedClaims,
    broker: _Broker,
    reached: frozenset[str],
) -> None:
    findings = compare(publisher, claims)
    verdict = "matches" if is_match(findings) else "does not match"
    switched_off = "" if _is_switched_on(publisher, broker) else ", and is switched off"
    who = "reader" if publisher.is_reader else f"publisher of {', '.join(publisher.projects)}"
    elsewhere = "" if publisher.registry in reached else ", but the token is for another audience"
    says = f"{verdict}{switched_off}{elsewhere}"
    say("", f"registry {publisher.registry}, {who}: {says}")
    _print_table(findings)
    for text in explain((publisher, findings), claims):
        say(f"  - {text}")


def _print_table(findings: Iterable[Finding]) -> None:
    lines = align([_COLUMNS, *map(_row, findings)])
    say(*(f"  {line}" for line in lines))


def _row(finding: Finding) -> tuple[str, ...]:
    seen = _MISSING if finding.seen is None else printable(finding.seen, 80)
    mark = "✓" if finding.matched else "✗"
    said = (printable(text, 80) for text in (finding.rule, finding.claim, finding.expected))
    return mark, *said, seen


def _shown(value: Any) -> str:  # noqa: ANN401 - an unchecked claim
    return printable(value if isinstance(value, str) else json.dumps(value))
