"""The fields of audit records, by name: each with its type and its meaning.

The audit page and the schema take the meaning from here, so a field means the same in every event
that has it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, TypeAlias

from pytp_broker.redaction import Legible


@dataclass(frozen=True, slots=True)
class Meaning:
    """What a field means, in a sentence, and the pattern that its text follows, if there is one."""

    text: str
    pattern: str = ""


# The request
Host: TypeAlias = Annotated[str, Meaning("The host that was asked, as the request named it.")]
Path: TypeAlias = Annotated[str, Meaning("The path that was asked for.")]
SourceIp: TypeAlias = Annotated[str, Meaning("The address that asked, as the gateway saw it.")]

# The registry and its projects
Registry: TypeAlias = Annotated[str, Meaning("The registry's name.")]
Project: TypeAlias = Annotated[str, Meaning("The project that was asked about or uploaded to.")]
Version: TypeAlias = Annotated[str, Meaning("The version of the release.")]
Until: TypeAlias = Annotated[str, Meaning("When the release closes again, in ISO 8601.")]
Filename: TypeAlias = Annotated[str, Meaning("The name of the file.")]
Sha256: TypeAlias = Annotated[str, Meaning("The SHA-256 of the file.", pattern="^[0-9a-f]{64}$")]
Unchanged: TypeAlias = Annotated[
    bool, Meaning("True if this very file was published before, so that nothing was written.")
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
Workflow: TypeAlias = Annotated[
    Legible, Meaning("Signed claim: the workflow, pipeline or job definition.")
]
Environment: TypeAlias = Annotated[Legible, Meaning("Signed claim: the environment of the job.")]
Ref: TypeAlias = Annotated[Legible, Meaning("Signed claim: the branch or tag.")]
Sha: TypeAlias = Annotated[Legible, Meaning("Signed claim: the commit.")]
Run: TypeAlias = Annotated[Legible, Meaning("Signed claim: the run, build or job.")]
Actor: TypeAlias = Annotated[Legible, Meaning("Signed claim: who or what started the job.")]
KeyIds: TypeAlias = Annotated[Sequence[str], Meaning("The ids of the faulty keys; at most a few.")]

# The upload token
Publishers: TypeAlias = Annotated[
    Sequence[str],
    Meaning("The ids of the trusted publishers that matched, or that give the right to upload."),
]
TokenHash: TypeAlias = Annotated[
    str,
    Meaning("The first 12 digits of the SHA-256 of the upload token.", pattern="^[0-9a-f]{12}$"),
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
Burned: TypeAlias = Annotated[
    bool, Meaning("Whether the store had a live token of this text, which is burned now.")
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
ConfigurationSha256: TypeAlias = Annotated[
    str, Meaning("The SHA-256 of the configuration file.", pattern="^[0-9a-f]{64}$")
]
