"""What the user expects of publishers: a policy in TOML, for each project.

A file without an entry is not what the user expects, and neither is one whose publisher differs in
a single member.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pytp_broker.client.verifying.attestations import Finding
from pytp_broker.client.verifying.outcome import NotVerifiedError, VerifyError
from pytp_broker.client.verifying.policy_members import MEMBERS, Member, check_members
from pytp_broker.names import InvalidNameError, NormalizedName, read_project
from pytp_broker.nearest import closest
from pytp_broker.provenance.receipts import Receipt
from pytp_broker.redaction import printable

MAX_POLICY_BYTES: Final = 1024 * 1024
# The entry of every project that has none of its own.
_EVERY: Final = "*"
_PROJECTS: Final = "projects"
_ATTESTED: Final = "require_attestations"


@dataclass(frozen=True, slots=True)
class Rule:
    """What a receipt must say: a text, or a pattern, for each member that is named."""

    expected: Mapping[str, str]
    needs_attestations: bool = False

    def differences(self, receipt: Receipt, finding: Finding) -> Iterator[str]:
        """Yield a sentence for each thing that is not as expected."""
        for name, expected in self.expected.items():
            member = MEMBERS[name]
            if not member.matches(expected, receipt):
                seen = member.read(receipt)
                shown = "missing" if seen is None else f"`{printable(seen)}`"
                yield f"{name} is {shown}, and the policy expects `{printable(expected)}`"
        if self.needs_attestations and not finding.is_verified:
            yield f"the policy wants verified attestations: {finding.said}"


@dataclass(frozen=True, slots=True)
class Policy:
    """The rules of each project; one of them must hold for a file."""

    projects: Mapping[str, tuple[Rule, ...]]

    def compare(
        self, project: NormalizedName, receipt: Receipt, finding: Finding
    ) -> NotVerifiedError | None:
        """Return why a file is not what the user expects; None if it is."""
        rules = self.projects.get(project) or self.projects.get(_EVERY)
        if rules is None:
            return NotVerifiedError("not-in-policy", f"the policy has no entry for `{project}`")
        found = [tuple(rule.differences(receipt, finding)) for rule in rules]
        if () in found:
            return None
        # A rule for imports says nothing useful about a job.
        of_its_kind = [rule.expected["kind"] == receipt.publication.kind.value for rule in rules]
        _, differences = min(
            zip(of_its_kind, found, strict=True), key=lambda each: (not each[0], len(each[1]))
        )
        return NotVerifiedError("not-expected", "; ".join(differences))


def read_policy(path: Path) -> Policy:
    """Return the policy in a file; raise VerifyError with each mistake."""
    shown = f"--policy {printable(str(path))}"
    try:
        with path.open("rb") as file:
            octets = file.read(MAX_POLICY_BYTES + 1)
        if len(octets) > MAX_POLICY_BYTES:
            raise VerifyError(f"{shown} has more than {MAX_POLICY_BYTES // 1024**2} MiB")
        document = tomllib.loads(octets.decode())
    except OSError as error:
        raise VerifyError(f"{shown} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise VerifyError(f"{shown} is not TOML: {error}") from None
    reader = _Reader()
    policy = reader.read(document)
    if reader.mistakes:
        raise VerifyError([f"{shown}: {mistake}" for mistake in reader.mistakes])
    return policy


class _Reader:
    """Reads a policy and collects all its mistakes, each with its dotted path."""

    def __init__(self) -> None:
        self.mistakes: list[str] = []

    def read(self, document: Mapping[str, Any]) -> Policy:
        for name in document.keys() - {_PROJECTS}:
            self._unknown("", name, (_PROJECTS,))
        projects = document.get(_PROJECTS)
        if not isinstance(projects, dict) or not projects:
            self._add("projects", 'needs an entry, such as [projects.widgets] or [projects."*"]')
            return Policy({})
        rules: dict[str, tuple[Rule, ...]] = {}
        for name, entry in projects.items():
            path = f"projects.{printable(name)}"
            project = self._read_name(path, name)
            if project in rules:
                self._add(path, f"is the same project as another entry, `{project}`")
            rules[project] = tuple(self._read_rules(path, entry))
        return Policy(rules)

    def _read_name(self, path: str, name: str) -> str:
        if name == _EVERY:
            return name
        try:
            return read_project(name)
        except InvalidNameError as mistake:
            self._add(path, str(mistake))
            return name

    def _read_rules(self, path: str, entry: object) -> Iterator[Rule]:
        """Yield the rule of a table, or those of an array of tables."""
        tables = entry if isinstance(entry, list) else [entry]
        if not tables:
            self._add(path, "is an empty list")
        for number, table in enumerate(tables):
            place = f"{path}[{number}]" if isinstance(entry, list) else path
            if isinstance(table, dict):
                yield self._read_rule(place, table)
            else:
                self._add(place, "must be a table")

    def _read_rule(self, path: str, table: Mapping[str, Any]) -> Rule:
        known = (*MEMBERS, _ATTESTED)
        for name in table.keys() - {*known}:
            self._unknown(f"{path}.", name, known)
        needs_attestations = table.get(_ATTESTED, False)
        if not isinstance(needs_attestations, bool):
            self._add(f"{path}.{_ATTESTED}", "must be true or false")
        count = len(self.mistakes)
        expected = dict(self._read_members(path, table))
        if len(self.mistakes) == count:
            for mistake in check_members(expected):
                self._add(path, mistake)
        return Rule({"kind": "job", **expected}, bool(needs_attestations))

    def _read_members(self, path: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
        for name, text in table.items():
            member: Member | None = MEMBERS.get(name)
            if member is None:
                continue
            mistake = member.check(text)
            if mistake is None:
                yield name, text
            else:
                self._add(f"{path}.{name}", mistake)

    def _unknown(self, path: str, name: str, known: tuple[str, ...]) -> None:
        meant = closest(name, known)
        hint = f"; did you mean `{meant}`?" if meant else f": it is one of {', '.join(known)}"
        self._add(f"{path}{printable(name)}", f"is an unknown key{hint}")

    def _add(self, path: str, mistake: str) -> None:
        self.mistakes.append(f"{path}: {mistake}")
