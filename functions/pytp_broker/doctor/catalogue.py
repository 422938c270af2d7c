"""Every check, in the order in which they are told: from outside, from inside, one machine, AWS.

docs/doctor.md lists the same checks and flaws.
"""

from typing import Final

from pytp_broker.doctor import (
    alarms,
    exchanges,
    folder,
    functions,
    gateway,
    inside,
    outside,
    passage,
    routes,
    stack,
    table,
)
from pytp_broker.doctor.arrival import STORE
from pytp_broker.doctor.checks import Check, Entrance, Need

ENTRANCES: Final[tuple[Entrance, ...]] = (outside.REACH, STORE)

_WEB: Final = (Need.WEB,)
_STACK: Final = (Need.STACK,)
_BUCKET: Final = (Need.BUCKET,)
_ROUTES: Final = (routes.ROUTE_MISSING, routes.ROUTE_SWALLOWED, routes.SERVER_FAILS)

_OUTSIDE: Final = (
    Check(
        "health",
        "Does the broker answer, and does its store?",
        _WEB,
        (outside.UNHEALTHY, outside.NOT_A_BROKER, outside.REDIRECTED),
        outside.look_at_health,
    ),
    Check(
        "plain-http",
        "Does port 80 keep tokens off plain http?",
        _WEB,
        (outside.PLAIN_HTTP,),
        outside.look_at_plain_http,
    ),
    Check(
        "clock",
        "Do the server's clock and this machine's agree?",
        _WEB,
        (outside.CLOCK_OFF,),
        outside.look_at_clock,
    ),
    Check(
        "discovery",
        "Do clients find the endpoints of each registry (PEP 807)?",
        _WEB,
        (
            exchanges.DISCOVERY_MISSING,
            exchanges.DISCOVERY_TYPE_CHANGED,
            exchanges.DISCOVERY_ELSEWHERE,
        ),
        exchanges.look_at_discovery,
    ),
    Check(
        "audiences",
        "Do the audiences fit the host name and the configuration?",
        _WEB,
        (exchanges.AUDIENCE_MISSING, exchanges.AUDIENCE_WRONG, exchanges.AUDIENCE_STRANGE),
        exchanges.look_at_audiences,
    ),
    Check(
        "refused-mint",
        "Is a foreign identity token refused as clients expect, and nothing written?",
        _WEB,
        (exchanges.MINT_OPEN, exchanges.MINT_REFUSAL, exchanges.MINT_WROTE),
        exchanges.look_at_mints,
    ),
    Check(
        "path",
        "Do paths arrive as they are sent?",
        _WEB,
        (passage.PATH_CHANGED,),
        passage.look_at_paths,
    ),
    Check(
        "questions",
        "Do the query string and `Accept` arrive?",
        _WEB,
        (passage.QUERY_LOST, passage.ACCEPT_LOST),
        passage.look_at_questions,
    ),
    Check(
        "credentials",
        "Does `Authorization` arrive, and does a 401 ask for it?",
        _WEB,
        (passage.AUTHORIZATION_LOST, passage.CHALLENGE_LOST),
        passage.look_at_credentials,
    ),
    Check(
        "strangers",
        "Do private registries refuse strangers?",
        _WEB,
        (passage.PRIVATE_OPEN, passage.PUBLIC_CLOSED),
        passage.look_at_strangers,
    ),
    Check(
        "bodies",
        "Does a large upload reach the broker?",
        _WEB,
        (passage.BODY_LIMITED,),
        passage.look_at_bodies,
    ),
    Check(
        "root-routes",
        "Does every path at the root lead to its endpoint?",
        _WEB,
        _ROUTES,
        routes.look_at_root_routes,
        120,
    ),
    Check(
        "registry-routes",
        "Does every path below a registry's prefix lead to its endpoint?",
        _WEB,
        _ROUTES,
        routes.look_at_prefixed_routes,
        120,
    ),
)
_INSIDE: Final = (
    Check(
        "configuration",
        "Is there a registry?",
        (Need.SETUP,),
        (inside.NO_CONFIGURATION,),
        inside.look_at_configuration,
    ),
    Check(
        "configuration-drift",
        "Is the configuration that of the files?",
        (Need.STORE, Need.CONFIG),
        (inside.CONFIGURATION_DIFFERS,),
        inside.look_at_drift,
    ),
    Check(
        "issuers",
        "Can the keys of every issuer be fetched and used?",
        (Need.SETUP,),
        (inside.ISSUER_UNREACHABLE, inside.ISSUER_NO_KEYS),
        inside.look_at_issuers,
    ),
    Check(
        "receipt-key",
        "Is there a key that signs receipts, and can it?",
        (Need.STORE,),
        (inside.NO_RECEIPT_KEY, inside.RECEIPT_KEY_ENDS, inside.RECEIPT_KEY_UNUSABLE),
        inside.look_at_receipt_keys,
    ),
    Check(
        "published-keys",
        "Are the keys of receipts published?",
        (Need.STORE, Need.WEB),
        (inside.RECEIPT_KEYS_UNPUBLISHED,),
        inside.look_at_published_keys,
    ),
    Check(
        "listings",
        "Do pages show what the records say?",
        (Need.STORE,),
        (inside.LISTING_DIFFERS,),
        inside.look_at_listings,
    ),
)
_FOLDER: Final = (
    Check(
        "server",
        "Is the server that holds the folder alive, and of this version?",
        (Need.FOLDER,),
        (folder.NOT_SERVED, folder.SERVER_OLDER),
        folder.look_at_server,
    ),
    Check(
        "permissions",
        "May nobody else read the folder and its private keys?",
        (Need.FOLDER,),
        (folder.FOLDER_READABLE, folder.KEY_READABLE),
        folder.look_at_permissions,
    ),
    Check(
        "disk",
        "Is there room on the disk?",
        (Need.FOLDER,),
        (folder.DISK_FULL, folder.DISK_LOW),
        folder.look_at_disk,
    ),
    Check(
        "database",
        "Is the database whole, and of this version?",
        (Need.DATABASE,),
        (folder.DATABASE_BROKEN, folder.DATABASE_NEWER, folder.DATABASE_OLDER),
        folder.look_at_database,
    ),
    Check(
        "write-ahead-log",
        "Is the database's log small?",
        (Need.DATABASE,),
        (folder.LOG_LARGE,),
        folder.look_at_log,
    ),
    Check(
        "files",
        "Are the bytes of published files there, and no others?",
        (Need.FOLDER, Need.STORE),
        (folder.FILE_LOST, folder.FILE_DAMAGED, folder.FILE_UNKNOWN),
        folder.look_at_files,
    ),
)
_AWS: Final = (
    Check(
        "stack",
        "Is the stack whole?",
        _STACK,
        (stack.STACK_STATUS, stack.STACK_ROLLED_BACK, stack.RESOURCE_MISSING),
        stack.look_at_stack,
    ),
    Check(
        "version",
        "Is the stack of this command's version?",
        _STACK,
        (stack.VERSION_OLDER, stack.VERSION_NEWER),
        stack.look_at_version,
    ),
    Check(
        "stack-drift",
        "Did somebody change a resource by hand?",
        _STACK,
        (stack.DRIFTED,),
        stack.look_at_drift,
    ),
    Check(
        "gateway-routes",
        "Does the gateway have every route, to the right function?",
        _STACK,
        (gateway.ROUTE_MISSING, gateway.ROUTE_ELSEWHERE),
        gateway.look_at_routes,
    ),
    Check(
        "throttles",
        "Does the gateway limit requests and exchanges?",
        _STACK,
        (gateway.THROTTLE_MISSING, gateway.THROTTLE_CHANGED),
        gateway.look_at_throttles,
    ),
    Check(
        "host-name",
        "Is the host name the one way in?",
        _STACK,
        (gateway.HOST_BYPASSED,),
        gateway.look_at_host_name,
    ),
    Check(
        "functions",
        "Are the functions as the template says?",
        _STACK,
        (functions.FAILED, functions.CHANGED, functions.REPLACED),
        functions.look_at_functions,
    ),
    Check(
        "logs",
        "Is each log kept, and not without an end?",
        _STACK,
        (functions.LOG_RETENTION_OFF,),
        functions.look_at_log_groups,
    ),
    Check(
        "dead-letters",
        "Was everything verified that was uploaded?",
        _STACK,
        (functions.QUEUE_NOT_EMPTY,),
        functions.look_at_queue,
    ),
    Check(
        "schedules",
        "Do the functions that have a schedule still run?",
        _STACK,
        (functions.SCHEDULE_OFF,),
        functions.look_at_schedules,
    ),
    Check(
        "alarms",
        "Is every alarm deployed, and does somebody hear it?",
        _STACK,
        (alarms.MISSING, alarms.SILENT, alarms.RINGS),
        alarms.look_at_alarms,
    ),
    Check(
        "table",
        "Is the table a broker's, active and protected?",
        (Need.CLOUD,),
        (table.TABLE_KEYS, table.TABLE_STATUS, table.PROTECTION_OFF),
        table.look_at_table,
    ),
    Check(
        "ttl",
        "Does DynamoDB remove expired rows?",
        (Need.CLOUD,),
        (table.TTL_OFF,),
        table.look_at_ttl,
    ),
    Check(
        "point-in-time-recovery",
        "Can the table be restored to any second?",
        (Need.CLOUD,),
        (table.PITR_OFF,),
        table.look_at_backups,
    ),
    Check(
        "bucket-access",
        "Can nobody make the bucket public?",
        _BUCKET,
        (table.BUCKET_PUBLIC,),
        table.look_at_public_access,
    ),
    Check(
        "bucket-policy",
        "Does the bucket demand TLS and refuse replacements?",
        _BUCKET,
        (table.BUCKET_POLICY,),
        table.look_at_bucket_policy,
    ),
    Check(
        "bucket-versioning",
        "Does the bucket keep what is overwritten?",
        _BUCKET,
        (table.VERSIONING_OFF,),
        table.look_at_versioning,
    ),
    Check(
        "bucket-lifecycle",
        "Does the bucket remove what nobody needs?",
        _BUCKET,
        (table.LIFECYCLE,),
        table.look_at_lifecycle,
    ),
    Check(
        "bucket-encryption",
        "Does the bucket encrypt?",
        _BUCKET,
        (table.ENCRYPTION_OFF,),
        table.look_at_encryption,
    ),
    Check(
        "trusted-root",
        "Is the trusted root of attestations fresh?",
        _BUCKET,
        (table.ROOT_OLD,),
        table.look_at_trusted_root,
    ),
)
CHECKS: Final[tuple[Check, ...]] = (*_OUTSIDE, *_INSIDE, *_FOLDER, *_AWS)
