"""Take up the data of a deleted stack, or of a backup, in a new stack.

    python -m infra.take_up --stack pytp-broker --table TABLE --bucket BUCKET [--receipt-key KEY]

CloudFormation imports the table, the bucket and the key of receipts into a new stack of this name;
`sam deploy` then adds the rest to the same stack. The imported description has only what cannot be
changed later, so that the deployment sets everything else: protection, recovery, versions, rules.
docs/backup.md says when to do this.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

import boto3
from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from pytp_broker.aws.api.errors import CallError
from pytp_broker.aws.boto import command_clients
from pytp_broker.aws.dynamodb.broker_table import ForeignTableError, check_table
from pytp_broker.aws.dynamodb.file_rows import read_file
from pytp_broker.aws.dynamodb.table import values_of
from pytp_broker.storage.file_records import PublishedFile
from pytp_broker.storage.file_store import keys_of

_CHANGE_SET: Final = "take-up"
# How many files of the table are looked for in the bucket, at most.
_LOOKS: Final = 20


class RefusedError(Exception):
    """The data cannot be taken up; the text says why."""


def take_up(stack: str, table: str, bucket: str, key: str | None) -> None:
    """Import the data into a new stack; raise RefusedError before anything is changed."""
    cloudformation = boto3.client("cloudformation")
    check_stack_is_new(cloudformation, stack)
    check_nobody_has(cloudformation, {table, bucket})
    check_data(table, bucket)
    described = boto3.client("dynamodb").describe_table(TableName=table)["Table"]
    resources = {
        "Table": resource("AWS::DynamoDB::Table", table_properties(described)),
        "Bucket": resource("AWS::S3::Bucket", {}),
    }
    identifiers = {"Table": {"TableName": table}, "Bucket": {"BucketName": bucket}}
    if key is not None:
        resources["ReceiptKey"] = resource("AWS::KMS::Key", key_properties(key))
        identifiers["ReceiptKey"] = {"KeyId": key.rpartition("/")[2]}
    import_resources(cloudformation, stack, resources, identifiers)


def check_stack_is_new(cloudformation: Any, stack: str) -> None:
    """Check that there is no stack of this name."""
    try:
        (found,) = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if "does not exist" in str(error):
            return
        raise
    if found["StackStatus"] == "REVIEW_IN_PROGRESS":  # an import that did not begin
        return
    raise RefusedError(
        f"there is a stack {stack} already, with data of its own: choose another name, or delete "
        "that stack first"
    )


def check_nobody_has(cloudformation: Any, names: set[str]) -> None:
    """Check that no broker's stack has the data, because two deployments must not share it.

    CloudFormation itself refuses what any other stack has.
    """
    for page in cloudformation.get_paginator("describe_stacks").paginate():
        for stack in page["Stacks"]:
            for output in stack.get("Outputs", ()):
                if output["OutputValue"] in names:
                    owner = f"{output['OutputValue']} belongs to the stack {stack['StackName']}"
                    raise RefusedError(f"{owner}: delete that stack first, which keeps the data")


def check_data(table: str, bucket: str) -> None:
    """Check that the table is a broker's, and that the bucket has the files of the table."""
    clients = command_clients(None, None)
    dynamodb, s3 = clients.dynamodb(), boto3.client("s3")
    try:
        check_table(dynamodb, table)
        s3.head_bucket(Bucket=bucket)
    except (ForeignTableError, CallError, ClientError) as error:
        raise RefusedError(str(error)) from None
    files = list(islice(list_files(dynamodb, table), _LOOKS))
    # An operator may have deleted some of them.
    if files and not any(is_there(s3, bucket, keys_of(file)[0]) for file in files):
        raise RefusedError(
            f"the bucket {bucket} does not have the file {files[0].filename}, which the table "
            f"{table} has: it is another deployment's bucket, or its files are not restored yet"
        )


def list_files(dynamodb: Any, table: str) -> Iterator[PublishedFile]:
    """Yield the files that the table has."""
    pages = dynamodb.get_paginator("scan").paginate(
        TableName=table,
        FilterExpression="begins_with(pk, :project) AND begins_with(sk, :file)"
        " AND attribute_not_exists(reserved_by)",
        ExpressionAttributeValues={":project": {"S": "PROJECT#"}, ":file": {"S": "FILE#"}},
    )
    for page in pages:
        yield from (read_file(values_of(item)) for item in page["Items"])


def is_there(s3: Any, bucket: str, key: str) -> bool:
    """Say whether the bucket has an object."""
    try:
        s3.head_object(Bucket=bucket, Key=key)
    except ClientError:
        return False
    return True


def resource(kind: str, properties: dict[str, Any]) -> dict[str, Any]:
    """Return a resource that stays whatever happens to the stack."""
    kept = {"DeletionPolicy": "Retain", "UpdateReplacePolicy": "Retain"}
    return {"Type": kind, **kept, "Properties": properties}


def table_properties(described: Any) -> dict[str, Any]:
    """Return the keys and indexes of a table, which an update cannot change or add twice."""
    indexes = [
        {name: index[name] for name in ("IndexName", "KeySchema", "Projection")}
        for index in described.get("GlobalSecondaryIndexes", ())
    ]
    return {
        "BillingMode": "PAY_PER_REQUEST",
        "AttributeDefinitions": described["AttributeDefinitions"],
        "KeySchema": described["KeySchema"],
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    }


def key_properties(key: str) -> dict[str, Any]:
    """Return what a key of receipts is, and its policy; raise RefusedError for another key."""
    kms = boto3.client("kms")
    found: Any = kms.describe_key(KeyId=key)["KeyMetadata"]
    ours = {"KeySpec": "ECC_NIST_P256", "KeyUsage": "SIGN_VERIFY"}
    if any(found[name] != value for name, value in ours.items()):
        raise RefusedError(
            f"the key {key} is for {found['KeyUsage']} with {found['KeySpec']}, and a key of "
            "receipts is for SIGN_VERIFY with ECC_NIST_P256: name the location of the first key in "
            "`pytp-broker receipt-key list --json`"
        )
    policy = kms.get_key_policy(KeyId=key, PolicyName="default")["Policy"]
    return {**ours, "KeyPolicy": json.loads(policy)}


def import_resources(
    cloudformation: Any,
    stack: str,
    resources: dict[str, Any],
    identifiers: dict[str, dict[str, str]],
) -> None:
    """Let CloudFormation make the stack of resources that are there already."""
    cloudformation.create_change_set(
        StackName=stack,
        ChangeSetName=_CHANGE_SET,
        ChangeSetType="IMPORT",
        TemplateBody=json.dumps({"Resources": resources}),
        ResourcesToImport=[
            {
                "ResourceType": resources[name]["Type"],
                "LogicalResourceId": name,
                "ResourceIdentifier": identifier,
            }
            for name, identifier in identifiers.items()
        ],
    )
    waiter = cloudformation.get_waiter("change_set_create_complete")
    try:
        waiter.wait(StackName=stack, ChangeSetName=_CHANGE_SET, WaiterConfig={"Delay": 1})
    except WaiterError as error:
        cloudformation.delete_change_set(StackName=stack, ChangeSetName=_CHANGE_SET)
        why = error.last_response.get("StatusReason", error)
        raise RefusedError(f"CloudFormation does not import it: {why}") from None
    cloudformation.execute_change_set(StackName=stack, ChangeSetName=_CHANGE_SET)
    waiter = cloudformation.get_waiter("stack_import_complete")
    waiter.wait(StackName=stack, WaiterConfig={"Delay": 1})


def main(arguments: list[str]) -> int:
    """Take up what the arguments name; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--stack", required=True, help="the name of the new stack")
    parser.add_argument("--table", required=True, help="the name of the table")
    parser.add_argument("--bucket", required=True, help="the name of the bucket")
    parser.add_argument("--receipt-key", help="the ARN of the first key of receipts")
    given = parser.parse_args(arguments)
    try:
        take_up(given.stack, given.table, given.bucket, given.receipt_key)
    except (RefusedError, BotoCoreError, ClientError) as error:
        print(f"not taken up: {error}", file=sys.stderr)
        return 1
    print(f"taken up into {given.stack}; now run `sam deploy --stack-name {given.stack}`")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
