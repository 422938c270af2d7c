"""Explain why no trusted publisher matched: in part to the caller, in full to the operator.

The publisher of a package is told which rule failed, with what was seen, what was expected and
what to do, but only once the repository (or the provider's like) and the pinned immutable ids
match. A caller whose repository has a publisher's name, but other ids, is told that its ids are
the reason, and not which are expected. All other callers get the same answer for "no such
publisher" and "not yours".
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final

from pytp_broker.oidc.identity import SignedClaims
from pytp_broker.redaction import printable
from pytp_broker.trust.providers import Provider, Role
from pytp_broker.trust.publishers import Finding

Findings = tuple[Finding, ...]

_REFUSED: Final = "valid token, but no corresponding publisher: "
_UNDISCLOSED: Final = (
    "valid token, but no trusted publisher here matches {}. Compare the names and the workflow "
    "with the registry's configuration, also after a repository was renamed or moved; its operator "
    "can see every rule with `pytp-broker explain`"
)
_OTHER_IDS: Final = (
    "valid token, but no trusted publisher here matches {}: a publisher has this name, but {}. {}"
)
_NEW_ID: Final = (
    "If {} was recreated or transferred, ask the registry's operator to set the new id in the "
    "publisher"
)
_NO_ID: Final = "Let the job ask its CI for a token with this claim"


def diagnose(compared: Sequence[Findings], claims: SignedClaims, provider: Provider) -> str:
    """Return what the caller may know: the nearest publisher's failed rules, or nothing of any."""
    disclosable = [findings for findings in compared if _is_disclosable(findings, provider)]
    if disclosable:
        return _REFUSED + "; ".join(explain(_nearest(disclosable), claims, provider))
    namesakes = _namesakes(compared)
    if namesakes:
        return _explain_ids(_nearest(namesakes), _identity(claims, provider))
    return _UNDISCLOSED.format(_identity(claims, provider))


def diagnose_in_full(compared: Sequence[Findings], claims: SignedClaims, provider: Provider) -> str:
    """Return the nearest publisher's failed rules for the operator, who may know all of them."""
    if not compared:
        return f"no publisher is configured for {_identity(claims, provider)}"
    return "; ".join(explain(_nearest(compared), claims, provider))


def has_changed_id(compared: Sequence[Findings], provider: Provider) -> bool:
    """Say whether an immutable id differs from the one given or pinned: a recycled name.

    It has not, if another publisher of this name has the caller's ids, or if the token has no such
    id.
    """
    if any(_is_disclosable(findings, provider) for findings in compared):
        return False
    return any(
        f.seen is not None for findings in _namesakes(compared) for f in _other_ids(findings)
    )


def _namesakes(compared: Sequence[Findings]) -> list[Findings]:
    """Return the publishers that have the caller's name and another immutable id."""
    return [
        findings
        for findings in compared
        if _other_ids(findings) and all(f.matched for f in findings if f.role is Role.IDENTITY)
    ]


def _other_ids(findings: Findings) -> list[Finding]:
    return [finding for finding in failed(findings) if finding.role is Role.PIN]


def _explain_ids(findings: Findings, identity: str) -> str:
    others = _other_ids(findings)
    is_lacking = all(finding.seen is None for finding in others)
    cure = _NO_ID if is_lacking else _NEW_ID.format(identity)
    return _OTHER_IDS.format(identity, " and ".join(map(_explain_id, others)), cure)


def _explain_id(finding: Finding) -> str:
    # Never the expected id: the caller may be the name's new holder.
    if finding.seen is None:
        return f"claim `{finding.claim}` is missing, and the publisher has an id for it"
    seen = printable(finding.seen)
    return f"claim `{finding.claim}` is `{seen}`, which is not the id that it expects"


def _nearest(compared: Sequence[Findings]) -> Findings:
    return min(compared, key=lambda findings: len(failed(findings)))


def failed(findings: Findings) -> list[Finding]:
    """Return the rules that did not match."""
    return [finding for finding in findings if not finding.matched]


def explain(findings: Findings, claims: SignedClaims, provider: Provider) -> list[str]:
    """Return every failed rule in words, with what to do about it."""
    texts = [_explain(finding, claims, provider) for finding in failed(findings)]
    if _is_renamed(findings):
        texts.append(
            "the immutable ids are the publisher's: it was renamed or moved, so change the name in "
            "the publisher"
        )
    return texts


def _explain(finding: Finding, claims: SignedClaims, provider: Provider) -> str:
    seen = f"claim `{finding.claim}` is {_seen(finding, claims)}"
    text = f"{seen}; the publisher's `{finding.rule}` expects `{finding.expected}`"
    if finding.hint:
        text += f" ({finding.hint})"
    if finding.advice:
        return f"{text}: {finding.advice}"
    advise = _find_advice(finding, provider)
    return text if advise is None else f"{text}: {advise(finding, claims)}"


def _seen(finding: Finding, claims: SignedClaims) -> str:
    if finding.seen is not None:
        return f"`{printable(finding.seen)}`"
    is_missing = claims.value(finding.claim) in (None, "", [])
    return "missing" if is_missing else "of a wrong type"


def explain_missing(claim: str, provider: Provider) -> str:
    """Return that a claim which every token of the provider has is not in this one."""
    advice = _MISSING.get((provider.name, claim), "")
    return f"valid token, but claim `{claim}` is missing or not a string{advice}"


def _is_renamed(findings: Findings) -> bool:
    pins = [f.matched for f in findings if f.role is Role.PIN]
    names = [f.matched for f in findings if f.role is Role.IDENTITY]
    return bool(pins) and all(pins) and not all(names)


def _is_disclosable(findings: Findings, provider: Provider) -> bool:
    # Before a publisher's first use we know no immutable id, unless its identity is immutable.
    is_known = provider.has_immutable_identity or any(f.role is Role.PIN for f in findings)
    return is_known and all(f.matched for f in findings if f.role is not Role.RULE)


def _identity(claims: SignedClaims, provider: Provider) -> str:
    shown = [
        f"{field.name} `{printable(claims.text(field.claim) or '')}`"
        for field in provider.fields_of(Role.IDENTITY)
    ]
    return ", ".join(shown) or f"issuer `{claims.issuer}`"


_MISSING: Final[Mapping[tuple[str, str], str]] = {
    ("gitlab", "ci_config_ref_uri"): (
        ": the pipeline's configuration does not live in the project, or this GitLab leaves the "
        "claim out for such a pipeline (a child pipeline, Auto DevOps): keep the configuration in "
        "the project itself, and publish from a pipeline of its own"
    ),
}

# --- what to do about it --------------------------------------------------------------------------

Advise = Callable[[Finding, SignedClaims], str]


def _advise_environment(finding: Finding, _: SignedClaims) -> str:
    if finding.seen is None:
        return (
            f"the job ran without an environment: add `environment: {finding.expected}` to the job"
        )
    return f"run the job in the environment `{finding.expected}`"


def _advise_github_workflow(finding: Finding, claims: SignedClaims) -> str:
    called, caller = claims.text("job_workflow_ref"), claims.text("workflow_ref")
    if finding.claim == "job_workflow_ref" and caller is not None and called != caller:
        return (
            "the job runs in a reusable workflow: publish from a job of the calling workflow, or "
            "let the operator set `reusable_workflow` and name the caller as `workflow`"
        )
    return f"publish from the repository's own workflow file `{finding.expected}`"


def _advise_reusable_workflow(finding: Finding, _: SignedClaims) -> str:
    if "@" in finding.expected:
        return f"call the reusable workflow `{finding.expected}` from the job"
    return (
        f"call the reusable workflow `{finding.expected}` from the job, at one of its branches or "
        "tags; another ref or a commit counts only where the publisher names it after an `@`"
    )


def _advise_gitlab_workflow(finding: Finding, _: SignedClaims) -> str:
    return f"publish from the project's own pipeline file `{finding.expected}`"


def _advise_event(finding: Finding, _: SignedClaims) -> str:
    return f"publish from one of the events that the publisher lists: `{finding.expected}`"


def _advise_ref(finding: Finding, _: SignedClaims) -> str:
    return f"publish from a ref like `{finding.expected}`"


def _advise_runner(finding: Finding, _: SignedClaims) -> str:
    return f"run the job on a `{finding.expected}` runner"


def _advise_pin(finding: Finding, _: SignedClaims) -> str:
    if finding.seen is None:
        return "the job must ask for this claim, or the CI is too old to sign it"
    return (
        "the name belongs to somebody else now, or was transferred, or the id was mistyped: set "
        f"`{finding.rule}` to the new id only if that is meant"
    )


_ADVICE: Final[Mapping[tuple[str, str], Advise]] = {
    ("", "environment"): _advise_environment,
    ("", "events"): _advise_event,
    ("", "ref"): _advise_ref,
    ("", "runner_environment"): _advise_runner,
    ("github", "workflow"): _advise_github_workflow,
    ("github", "reusable_workflow"): _advise_reusable_workflow,
    ("gitlab", "workflow"): _advise_gitlab_workflow,
}


def _find_advice(finding: Finding, provider: Provider) -> Advise | None:
    if finding.role is Role.PIN:
        return _advise_pin
    for_all = _ADVICE.get(("", finding.rule))
    return _ADVICE.get((provider.name, finding.rule), for_all)
