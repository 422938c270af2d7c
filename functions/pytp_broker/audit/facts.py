"""The fields of audit records, by name: each with its type and its meaning.

The audit page and the schema take the meaning from here, so a field means the same in every event
that has it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Final, Literal, TypeAlias

from pytp_broker.redaction import Legible


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a field means, in a sentence, and the pattern that its text follows, if there is one."""

    text: str
    pattern: str = ""


# The reasons that are not codes of errors, and what each means.
NARROWER_REASONS: Final[Mapping[str, str]] = {
    "immutable-id-changed": "An exchange was refused, because a publisher's name has a new holder: "
    "the id of the owner or the repository is not the one that was given or pinned.",
    "refresh-failed": "We could not fetch the key set of an issuer, or of secret scanning; "
    "the last one that we fetched is in force.",
    "stale": "We could not fetch the key set of an issuer, and the last one is older than it "
    "should be.",
    "no-keys": "We have no keys to verify with: we could not fetch them for too long, "
    "or the issuer withdrew them by publishing no usable key.",
    "duplicate-key-id": "An issuer publishes different keys with one id; we use none of these.",
    "unusable-key": "An issuer publishes keys that are malformed or too weak; we do not use them.",
    "no-timestamp": "The time-stamping authority did not answer in time, or not as it should; "
    "the receipt of the file has no timestamp.",
    "receipt-unsigned": "No receipt can be signed, so no file is published; "
    "`operator_detail` says why.",
    "attestations-unverified": "Nobody here can verify the attestations of a file, "
    "such as those of a private Sigstore; `detail` says why.",
    "attestations-refused": "The attestations of a file are wrong, "
    "such as those of another publisher; `detail` says why.",
    "needs-prune": "A configuration would remove registries, publishers or readers, "
    "and `apply` was not given `--prune`.",
    "plan-outdated": "The store has changed since the operator approved the plan, "
    "so `apply` changed nothing.",
}

# Every record
EventName: TypeAlias = Annotated[str, Meaning("What somebody asked for or did.")]
Outcome: TypeAlias = Annotated[
    Literal["begun", "accepted", "refused"],
    Meaning(
        "Whether it was done; `begun` is the record of a command "
        "that writes another one at its end."
    ),
]
Reason: TypeAlias = Annotated[
    str, Meaning("Why not: the code of the error, or something narrower; empty if it was done.")
]
Message: TypeAlias = Annotated[
    str, Meaning("The record as one sentence. In a log of AWS the entry itself has it.")
]
Time: TypeAlias = Annotated[
    str, Meaning("When, in ISO 8601. In a log of AWS the entry itself has it, as `timestamp`.")
]
Detail: TypeAlias = Annotated[
    str, Meaning("What the caller was told, or why a key set cannot be fetched.")
]
OperatorDetail: TypeAlias = Annotated[
    str,
    Meaning(
        "What only the operator may know: which rules the nearest publisher's claims failed, "
        "or which call to the store failed and how."
    ),
]

# The request
Host: TypeAlias = Annotated[str, Meaning("The host that was asked, as the request named it.")]
Path: TypeAlias = Annotated[str, Meaning("The path that was asked for.")]
SourceIp: TypeAlias = Annotated[str, Meaning("The address that asked, as the gateway saw it.")]

# The registry and its projects
Registry: TypeAlias = Annotated[str, Meaning("The registry's name.")]
Project: TypeAlias = Annotated[str, Meaning("The project that was asked about or uploaded to.")]
Version: TypeAlias = Annotated[str, Meaning("The version of the release.")]
Until: TypeAlias = Annotated[str, Meaning("When the release closes again, in ISO 8601.")]
Yanked: TypeAlias = Annotated[
    bool, Meaning("Whether the release is yanked from then on; false if it was unyanked.")
]
Status: TypeAlias = Annotated[
    str,
    Meaning(
        "The status that the project has from then on.",
        pattern="^(active|archived|deprecated|quarantined)$",
    ),
]
Why: TypeAlias = Annotated[str, Meaning("The reason that the operator gave.")]
ImportSource: TypeAlias = Annotated[
    str,
    Meaning("The URL of the index or of the folder that files come from, without credentials."),
]
Imported: TypeAlias = Annotated[int, Meaning("How many files were imported.")]
NotImported: TypeAlias = Annotated[int, Meaning("How many files or projects were refused.")]
Nonce: TypeAlias = Annotated[
    str,
    Meaning(
        "A random number. The receipts of the files have the hash of this record, and with the "
        "number nobody can guess the record from its hash.",
        pattern="^[0-9a-f]{32}$",
    ),
]
Filename: TypeAlias = Annotated[str, Meaning("The name of the file.")]
Sha256: TypeAlias = Annotated[str, Meaning("The SHA-256 of the file.", pattern="^[0-9a-f]{64}$")]
Filenames: TypeAlias = Annotated[
    Sequence[str],
    Meaning("The names of the files; only the first of them if there are very many."),
]
FileCount: TypeAlias = Annotated[
    int, Meaning("How many files, including those that `filenames` has no room for.")
]
SessionAction: TypeAlias = Annotated[
    Literal[
        "create",
        "extend",
        "cancel",
        "publish",
        "announce",
        "deliver",
        "attest",
        "complete",
        "delete",
    ],
    Meaning("What somebody asked for in a publishing session, or for one file of it."),
]
SessionHash: TypeAlias = Annotated[
    str,
    Meaning(
        "The first 12 digits of the SHA-256 of the publishing session's token.",
        pattern="^[0-9a-f]{12}$",
    ),
]
Unchanged: TypeAlias = Annotated[
    bool, Meaning("True if this very file was published before, so that nothing was written.")
]

# The provenance of a release
Basis: TypeAlias = Annotated[
    Literal["publication", "attestation"],
    Meaning(
        "What is compared: who published the files of the releases, or who signed their "
        "attestations."
    ),
]
ProvenanceWords: TypeAlias = Annotated[
    Sequence[str],
    Meaning(
        "What can be said of the release: `full`, `partial` or `no` provenance, and `lost`, "
        "`changed` or `inconsistent`."
    ),
]
ComparedWith: TypeAlias = Annotated[
    str, Meaning("The version of the latest earlier release that has provenance.")
]
NewSources: TypeAlias = Annotated[
    Sequence[str],
    Meaning(
        "The repositories and workflows that the earlier release does not have; at most a few."
    ),
]

# The identity token
Issuer: TypeAlias = Annotated[
    str,
    Meaning(
        "The URL of the identity token's issuer, which the registry accepts; "
        "for secret scanning, the URL of its list of keys."
    ),
]
Provider: TypeAlias = Annotated[str, Meaning("The kind of CI service behind the issuer.")]
Repository: TypeAlias = Annotated[
    Legible, Meaning("Signed claim: the repository or project of the job.")
]
ProjectId: TypeAlias = Annotated[
    Legible, Meaning("Signed claim: the id of the job's project, where that has no name.")
]
Workflow: TypeAlias = Annotated[
    Legible, Meaning("Signed claim: the workflow, pipeline or job definition.")
]
Environment: TypeAlias = Annotated[Legible, Meaning("Signed claim: the environment of the job.")]
Ref: TypeAlias = Annotated[Legible, Meaning("Signed claim: the branch or tag.")]
Sha: TypeAlias = Annotated[Legible, Meaning("Signed claim: the commit.")]
Run: TypeAlias = Annotated[Legible, Meaning("Signed claim: the run, build or job.")]
Actor: TypeAlias = Annotated[Legible, Meaning("Signed claim: who or what started the job.")]
KeyIds: TypeAlias = Annotated[Sequence[str], Meaning("The ids of the faulty keys; at most a few.")]


# The keys of receipts
ReceiptKeyId: TypeAlias = Annotated[
    str, Meaning("The id of a key of receipts: its JWK thumbprint, as the registry publishes it.")
]
KeyChange: TypeAlias = Annotated[
    Literal["registered", "ended", "revoked"],
    Meaning(
        "What became of the key: it signs from a time on, another key takes its place, or nobody "
        "must trust it."
    ),
]
KeyTime: TypeAlias = Annotated[
    str,
    Meaning(
        "From when the key signs, until when it signs, or since when it may be in wrong hands, "
        "in ISO 8601."
    ),
]

IssuedBefore: TypeAlias = Annotated[
    str, Meaning("Identity tokens that were issued before this time are refused, in ISO 8601.")
]

# The token
Publishers: TypeAlias = Annotated[
    Sequence[str],
    Meaning(
        "The ids of the trusted publishers or the readers that matched, "
        "or of the publishers that give the right to upload; "
        "`publisher show` and `reader show` explain an id."
    ),
]
TokenHash: TypeAlias = Annotated[
    str,
    Meaning("The first 12 digits of the SHA-256 of the token.", pattern="^[0-9a-f]{12}$"),
]
Projects: TypeAlias = Annotated[
    Sequence[str],
    Meaning(
        "The projects that the token is for, each as `registry/project`; "
        "only the first of them if there are very many."
    ),
]
ProjectCount: TypeAlias = Annotated[
    int,
    Meaning("How many projects the token is for, including those that `projects` has no room for."),
]
PermissionName: TypeAlias = Annotated[
    str, Meaning("What the token is for.", pattern="^(upload|read)$")
]
Person: TypeAlias = Annotated[str, Meaning("For whom the operator made the token.")]
MadeBy: TypeAlias = Annotated[
    str,
    Meaning("The operator who made the token, as `by` of the `token-creation` record names them."),
]
ExpiresAt: TypeAlias = Annotated[str, Meaning("When the token expires, in ISO 8601.")]
Burned: TypeAlias = Annotated[
    bool, Meaning("Whether the token was good until then, and was burned.")
]
Client: TypeAlias = Annotated[
    str, Meaning("The id of the index that asked, once its secret was verified.")
]
Active: TypeAlias = Annotated[bool, Meaning("Whether the token is good for what was asked.")]

# Secret scanning
Matches: TypeAlias = Annotated[int, Meaning("How many texts were in the list.")]
LeakType: TypeAlias = Annotated[str, Meaning("The kind of token, as the scanner calls it.")]
LeakUrl: TypeAlias = Annotated[str, Meaning("Where the scanner found the text; may be empty.")]
LeakSource: TypeAlias = Annotated[
    str, Meaning("What the text was found in, such as `commit` or `issue_comment`.")
]

# Operators
By: TypeAlias = Annotated[
    str,
    Meaning(
        "Who did it: the ARN by which AWS knows the operator, or the user of the operator's system."
    ),
]
Change: TypeAlias = Annotated[str, Meaning("One line: `+` added, `~` changed, `-` removed.")]
PublisherId: TypeAlias = Annotated[
    str,
    Meaning(
        "The id of the trusted publisher that was added, changed or removed, as in `publishers`."
    ),
]
Rules: TypeAlias = Annotated[
    Sequence[str], Meaning("The rules of that publisher, and the ids that were pinned for it.")
]
BackupTime: TypeAlias = Annotated[
    str, Meaning("When the backup was begun that the broker was restored from, in ISO 8601.")
]
ConfigurationSha256: TypeAlias = Annotated[
    str, Meaning("The SHA-256 of the configuration file.", pattern="^[0-9a-f]{64}$")
]
PlanSha256: TypeAlias = Annotated[
    str,
    Meaning(
        "The fingerprint of the plan: of the state that it began with, and of its steps.",
        pattern="^[0-9a-f]{64}$",
    ),
]
