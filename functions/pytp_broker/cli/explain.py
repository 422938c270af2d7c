"""Explain, rule by rule, which publishers a token or a set of claims would match."""

import argparse
import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.cli.command import CommandError, load_configuration, say
from pytp_broker.diagnosis import explain
from pytp_broker.display import printable
from pytp_broker.errors import InvalidPayload, InvalidPublisher
from pytp_broker.identity import SignedClaims
from pytp_broker.matching import check_claims
from pytp_broker.messages import decode_base64url, parse_json_object
from pytp_broker.providers import PROVIDERS, Provider
from pytp_broker.publishers import Finding, TrustedPublisher, compare
from pytp_broker.registries import default_audience

if TYPE_CHECKING:
    from pytp_broker.config import Loaded

_COLUMNS: Final = ("", "rule", "claim", "expected", "seen")
_MISSING: Final = "(missing)"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    parser.add_argument(
        "--config", type=Path, required=True, metavar="FILE", help="the configuration, in TOML"
    )
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
    loaded = load_configuration(arguments.config, allow_loopback=True)
    claims = read_claims(arguments.token)
    issuer = loaded.configuration.issuers.get(claims.issuer)
    if issuer is None:
        raise CommandError(f"the configuration knows no issuer `{printable(claims.issuer)}`")
    provider = PROVIDERS[issuer.provider]
    say(f"{provider.title}, issuer {issuer.url}; the token's signature and times are not checked")
    if provider.blind_spot:
        say(f"note: {provider.blind_spot}")
    is_meant = _print_audience(claims, loaded, arguments.registry, arguments.host)
    candidates = _candidates(loaded, claims.issuer, arguments.registry)
    matching = [p for p in candidates if _print_publisher(p, claims, provider)]
    if not candidates:
        say("no publisher is configured for this issuer here")
    return 0 if matching and is_meant and _is_acceptable(claims, provider) else 1


def _print_audience(
    claims: SignedClaims, loaded: "Loaded", registry: str | None, host: str | None
) -> bool:
    """Print for whom the token is; return whether that is anybody here, if the host is known."""
    seen = claims.value("aud")
    known = [r for r in loaded.configuration.registries.values() if registry in {None, r.name}]
    if host is None:
        expected = {r.name: r.audience for r in known if r.audience is not None}
        say(f"audience {_shown(seen)}; not checked without --host")
    else:
        expected = {r.name: r.audience_on(host) for r in known}
        expected["the shared root"] = default_audience(host)
        mark = "✓" if seen in expected.values() else "✗"
        say(f"{mark} audience {_shown(seen)}")
    for place, audience in expected.items():
        say(f"  {place} expects {audience}")
    return host is None or seen in expected.values()


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


def _candidates(
    loaded: "Loaded", issuer_url: str, registry: str | None
) -> Sequence[TrustedPublisher]:
    if registry is not None and registry not in loaded.configuration.registries:
        raise CommandError(f"the configuration has no registry `{registry}`")
    return [
        p for p in loaded.publishers if p.issuer == issuer_url and registry in {None, p.registry}
    ]


def _is_acceptable(claims: SignedClaims, provider: Provider) -> bool:
    try:
        check_claims(claims, provider)
    except InvalidPublisher as problem:
        say("", f"✗ whatever the publishers ask for: {problem.detail}")
        return False
    return True


def _print_publisher(publisher: TrustedPublisher, claims: SignedClaims, provider: Provider) -> bool:
    findings = compare(publisher, claims)
    matches = all(f.matched for f in findings)
    verdict = "matches" if matches else "does not match"
    projects = ", ".join(publisher.projects)
    say("", f"registry {publisher.registry}, publisher of {projects}: {verdict}")
    _print_table(findings)
    for text in explain(findings, claims, provider):
        say(f"  - {text}")
    return matches


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
