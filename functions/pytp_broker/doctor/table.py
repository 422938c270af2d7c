"""Checks of what keeps a broker's records and files on AWS: the table and the bucket."""

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from pytp_broker.doctor.findings import Finding, Flaw, NotCheckedError, warning, well
from pytp_broker.doctor.shipped import properties_of
from pytp_broker.redaction import printable

if TYPE_CHECKING:
    from pytp_broker.doctor.cloud import Cloud
    from pytp_broker.doctor.visit import Visit

_DEPLOY: Final = "run sam deploy of this version for the stack {stack}, which sets it again"
_OLD: Final = timedelta(days=30)
_TTL: Final = "ttl"
_ROOTS: Final = "trust-root/"

TABLE_KEYS: Final = Flaw("table-keys", "name the broker's own table or stack: {table} is another")
TABLE_STATUS: Final = Flaw("table-status", "wait until the table {table} is ACTIVE, or restore it")
PROTECTION_OFF: Final = warning(
    "deletion-protection-off",
    "run aws dynamodb update-table --table-name {table} --deletion-protection-enabled",
)
TTL_OFF: Final = Flaw(
    "ttl-off",
    "run aws dynamodb update-time-to-live --table-name {table} --time-to-live-specification "
    "AttributeName=ttl,Enabled=true",
)
PITR_OFF: Final = Flaw(
    "pitr-off",
    "run aws dynamodb update-continuous-backups --table-name {table} "
    "--point-in-time-recovery-specification PointInTimeRecoveryEnabled=true",
)
BUCKET_PUBLIC: Final = Flaw(
    "bucket-public",
    "run aws s3api put-public-access-block --bucket {bucket} --public-access-block-configuration "
    "BlockPublicAcls=true,IgnorePublicAcls=true,BlockPublicPolicy=true,RestrictPublicBuckets=true",
)
BUCKET_POLICY: Final = Flaw("bucket-policy-changed", _DEPLOY)
VERSIONING_OFF: Final = Flaw(
    "bucket-versioning-off",
    "run aws s3api put-bucket-versioning --bucket {bucket} --versioning-configuration "
    "Status=Enabled",
)
LIFECYCLE: Final = Flaw("bucket-lifecycle-changed", _DEPLOY)
ENCRYPTION_OFF: Final = Flaw("bucket-encryption-off", _DEPLOY)
ROOT_OLD: Final = warning(
    "trust-root-old",
    "look at the log of the trust root function, and run it: aws lambda invoke --function-name "
    "{function} /dev/stdout",
)


def look_at_table(visit: "Visit") -> Iterator[Finding]:
    """Compare the table's keys and its protection with the template's."""
    cloud = _cloud(visit)
    table = cloud.ask("dynamodb", "describe_table", TableName=cloud.table)["Table"]
    keys = [(key["AttributeName"], key["KeyType"]) for key in table["KeySchema"]]
    if keys != [("pk", "HASH"), ("sk", "RANGE")]:
        yield TABLE_KEYS.found(f"the key of {cloud.table} is {printable(str(keys))}")
        return
    if table["TableStatus"] != "ACTIVE":
        yield TABLE_STATUS.found(f"{cloud.table} is {printable(table['TableStatus'])}")
    elif not table.get("DeletionProtectionEnabled"):
        yield PROTECTION_OFF.found(f"{cloud.table} can be deleted by one call")
    else:
        yield well(f"{cloud.table} has a broker's keys, is active and protected from deletion")


def look_at_ttl(visit: "Visit") -> Iterator[Finding]:
    """Ask whether DynamoDB removes rows that have expired."""
    cloud = _cloud(visit)
    asked = cloud.ask("dynamodb", "describe_time_to_live", TableName=cloud.table)
    said = asked["TimeToLiveDescription"]
    status, attribute = said.get("TimeToLiveStatus", "DISABLED"), said.get("AttributeName", "")
    if status not in {"ENABLED", "ENABLING"} or attribute != _TTL:
        on = f" on `{printable(attribute)}`" if attribute else ""
        yield TTL_OFF.found(f"TTL of {cloud.table} is {printable(status)}{on}, not on `{_TTL}`")
    else:
        yield well(f"rows of {cloud.table} go after their `{_TTL}`")


def look_at_backups(visit: "Visit") -> Iterator[Finding]:
    """Ask whether the table can be restored to any second."""
    cloud = _cloud(visit)
    asked = cloud.ask("dynamodb", "describe_continuous_backups", TableName=cloud.table)
    said = asked["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription", {})
    status = said.get("PointInTimeRecoveryStatus", "DISABLED")
    if status == "ENABLED":
        yield well(f"{cloud.table} can be restored to any second of the last weeks")
    else:
        yield PITR_OFF.found(f"point-in-time recovery of {cloud.table} is {printable(status)}")


def look_at_public_access(visit: "Visit") -> Iterator[Finding]:
    """Ask whether strangers could get at the bucket."""
    cloud = _cloud(visit)
    asked = _of_bucket(cloud, "get_public_access_block", "NoSuchPublicAccessBlockConfiguration")
    block = asked.get("PublicAccessBlockConfiguration", {})
    expected = properties_of("Bucket")["PublicAccessBlockConfiguration"]
    off = [name for name, wanted in expected.items() if wanted and not block.get(name)]
    if off:
        yield BUCKET_PUBLIC.found(f"{cloud.bucket} does not have {', '.join(off)}")
    else:
        yield well(f"{cloud.bucket} lets nobody make it public")


def look_at_bucket_policy(visit: "Visit") -> Iterator[Finding]:
    """Ask for the denials that protect published files from everybody, functions included."""
    cloud = _cloud(visit)
    text = _of_bucket(cloud, "get_bucket_policy", "NoSuchBucketPolicy").get("Policy", "{}")
    statements = json.loads(text).get("Statement", [])
    present = {(each.get("Sid"), each.get("Effect")) for each in statements}
    expected = properties_of("BucketPolicy")["PolicyDocument"]["Statement"]
    missing = [s["Sid"] for s in expected if (s["Sid"], s["Effect"]) not in present]
    allowed = [s for s in statements if s.get("Effect") == "Allow" and _is_anybody(s)]
    if missing:
        yield BUCKET_POLICY.found(f"the policy of {cloud.bucket} lacks {', '.join(missing)}")
    elif allowed:
        yield BUCKET_POLICY.found(f"the policy of {cloud.bucket} allows something to everybody")
    else:
        yield well(f"the policy of {cloud.bucket} demands TLS, and that no file is replaced")


def _is_anybody(statement: Mapping[str, Any]) -> bool:
    return statement.get("Principal") in ("*", {"AWS": "*"})


def look_at_versioning(visit: "Visit") -> Iterator[Finding]:
    """Ask whether the bucket keeps what is overwritten."""
    cloud = _cloud(visit)
    status = _of_bucket(cloud, "get_bucket_versioning").get("Status", "off")
    if status == "Enabled":
        yield well(f"{cloud.bucket} keeps the first version of a file")
    else:
        yield VERSIONING_OFF.found(f"versioning of {cloud.bucket} is {printable(status)}")


def look_at_lifecycle(visit: "Visit") -> Iterator[Finding]:
    """Compare the rules that remove bytes with the template's."""
    cloud = _cloud(visit)
    asked = _of_bucket(cloud, "get_bucket_lifecycle_configuration", "NoSuchLifecycleConfiguration")
    on = {rule.get("ID") for rule in asked.get("Rules", ()) if rule.get("Status") == "Enabled"}
    rules = properties_of("Bucket")["LifecycleConfiguration"]["Rules"]
    missing = [rule["Id"] for rule in rules if rule["Id"] not in on]
    if missing:
        yield LIFECYCLE.found(f"{cloud.bucket} has no rule {', '.join(missing)}")
    else:
        yield well(f"{cloud.bucket} has the {len(rules)} rules of the template")


def look_at_encryption(visit: "Visit") -> Iterator[Finding]:
    """Ask whether the bucket encrypts what it keeps."""
    cloud = _cloud(visit)
    asked = _of_bucket(
        cloud, "get_bucket_encryption", "ServerSideEncryptionConfigurationNotFoundError"
    )
    if asked.get("ServerSideEncryptionConfiguration", {}).get("Rules"):
        yield well(f"{cloud.bucket} encrypts its files")
    else:
        yield ENCRYPTION_OFF.found(f"{cloud.bucket} has no default encryption")


def look_at_trusted_root(visit: "Visit") -> Iterator[Finding]:
    """Ask when the trusted root of attestations was last fetched."""
    cloud = _cloud(visit)
    listed = _of_bucket(cloud, "list_objects_v2", Prefix=_ROOTS).get("Contents", ())
    newest = max((each["LastModified"] for each in listed), default=None)
    if newest is None:
        yield well("no trusted root was fetched yet: the one of this version counts")
        return
    age = datetime.now(UTC) - newest
    seen = f"the newest trusted root was fetched {age.days} days ago"
    function = cloud.stack.outputs.get("TrustRootFunction", "") if cloud.stack else ""
    # A version of Sigstore's repository is stored once, and a new one comes every few days.
    is_old = age > _OLD
    yield ROOT_OLD.found(seen, function=function or "NAME") if is_old else well(seen)


def _of_bucket(cloud: "Cloud", operation: str, *absent: str, **more: str) -> Mapping[str, Any]:
    if cloud.bucket is None:
        raise NotCheckedError("no bucket is known: name it with --bucket")
    return cloud.ask("s3", operation, absent=absent, Bucket=cloud.bucket, **more)


def _cloud(visit: "Visit") -> "Cloud":
    assert visit.cloud is not None  # noqa: S101 - the check needs it
    return visit.cloud
