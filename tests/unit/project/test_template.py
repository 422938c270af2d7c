"""`template.yaml` held against the code: routes, handlers, environment, rights, retention."""

import json
import re
from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytp_broker import __version__
from pytp_broker.aws.edge import ATTEST_SECONDS
from pytp_broker.aws.kms_keys import TAG as KEY_TAG
from pytp_broker.aws.s3 import STATE
from pytp_broker.aws.s3_bin import TAG
from pytp_broker.aws.s3_listings import RETIRED
from pytp_broker.aws.s3_trust_roots import PREFIX
from pytp_broker.endpoints import broker, introspect, read, upload, web
from pytp_broker.endpoints.routing import Routes
from pytp_broker.errors import DEFAULT_TYPE_BASE
from pytp_broker.http import paths
from pytp_broker.index.sessions.verifying import MAX_ATTEMPTS, OVERDUE
from pytp_broker.registries import DEFAULT_REFUSALS_PER_MINUTE
from pytp_broker.settings import (
    BrokerSettings,
    IndexSettings,
    Settings,
    SettingsError,
    UploadSettings,
    VerifySettings,
)
from pytp_broker.storage.file_store import STAGED
from pytp_broker.storage.withdrawals import GRACE

PATH = Path(__file__).parents[3] / "template.yaml"
FUNCTIONS = (
    "BrokerFunction",
    "UploadFunction",
    "ReadFunction",
    "WebFunction",
    "IntrospectFunction",
)
# Nobody from outside calls it.
VERIFY = "VerifyFunction"
ATTESTING = ("AttestFunction", "TrustRootFunction")
INSIDE = (VERIFY, *ATTESTING)
ROLES = (
    "BrokerRole",
    "UploadRole",
    "VerifyRole",
    "AttestRole",
    "TrustRootRole",
    "ReadRole",
    "WebRole",
    "IntrospectRole",
)
ENVIRONMENT = {
    "PYTP_TABLE": "pytp-broker-Table",
    "PYTP_SHARED_HOST": "a1b2c3d4.execute-api.eu-west-1.amazonaws.com",
    "PYTP_BUCKET": "pytp-broker-bucket",
    "PYTP_VERIFY_FUNCTION": "pytp-broker-VerifyFunction",
    "PYTP_ATTEST_FUNCTION": "pytp-broker-AttestFunction",
    "PYTP_ERROR_TYPE_BASE": "urn:pytp-broker:errors#",
    "PYTP_DISCLOSURE_KEYS_URL": "https://api.github.com/meta/public_keys/secret_scanning",
    "AWS_DEFAULT_REGION": "eu-west-1",
}
WRITES = ("PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem")


class Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms: `!Ref X` is {"Ref": "X"}, `!Sub X` {"Fn::Sub": "X"}."""


def read_short_form(loader: Loader, name: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.ScalarNode)
        value = loader.construct_scalar(node)
    return {"Ref" if name == "Ref" else f"Fn::{name}": value}


Loader.add_multi_constructor("!", read_short_form)
TEMPLATE: dict[str, Any] = yaml.load(PATH.read_text(), Loader)  # noqa: S506 - a safe loader's child
RESOURCES: dict[str, Any] = TEMPLATE["Resources"]


def of_type(kind: str) -> dict[str, Any]:
    """Return the properties of all resources of a type, by their names."""
    return {name: r["Properties"] for name, r in RESOURCES.items() if r["Type"] == kind}


# --- routes ---------------------------------------------------------------------------------------


def routes() -> dict[str, str]:
    """Return the function of every route key."""
    integrations = of_type("AWS::ApiGatewayV2::Integration")
    found = {}
    for route in of_type("AWS::ApiGatewayV2::Route").values():
        target = re.fullmatch(r"integrations/\$\{(\w+)\}", route["Target"]["Fn::Sub"])
        assert target
        uri = integrations[target[1]]["IntegrationUri"]["Fn::GetAtt"]
        found[route["RouteKey"]] = uri.removesuffix(".Arn")
    return found


# Three ways to read a last slash. AWS's own Lambda Test Tool reads it in the first way, Powertools'
# maintainers saw the second, and emulators use the third.
BEGINS_A_REST = "a greedy variable takes what follows, also nothing"
IS_NOTHING = "as if it were not there"
IS_A_CHARACTER = "a greedy variable takes what follows, but not nothing"
Reading = str

every_reading = pytest.mark.parametrize("reading", [BEGINS_A_REST, IS_NOTHING])

# Which of two greedy routes is more specific? AWS's documentation does not say it of these.
LITERALS = "the one with more literal segments"
LENGTH = "the one with more literal segments, then the one with more segments"
METHOD = "the one with a method, then the one with more literal segments"
Order = str

every_order = pytest.mark.parametrize("order", [LITERALS, LENGTH, METHOD])


def function_at(
    path: str, reading: Reading = BEGINS_A_REST, *, method: str = "GET", order: Order = LITERALS
) -> str:
    """Return the function that the gateway calls: a full match, else a greedy one, else $default.

    Of several full matches the one with the most literal segments is taken.
    """
    known = routes()
    matching = [key for key in known if is_match(key, method, path, reading)]
    full = [key for key in matching if "+" not in key]
    return known[max(full or matching or ["$default"], key=lambda key: specificity(key, order))]


def specificity(key: str, order: Order) -> tuple[int, ...]:
    method, _, path = key.rpartition(" ")
    segments = path.split("/")
    literals, has_method = sum("{" not in segment for segment in segments), method != "ANY"
    return {
        LITERALS: (literals, has_method),
        LENGTH: (literals, len(segments), has_method),
        METHOD: (has_method, literals),
    }[order]


def is_match(key: str, method: str, path: str, reading: Reading) -> bool:
    known_method, _, route = key.rpartition(" ")
    if known_method not in {"ANY", method}:
        return False
    greedy = ".*" if reading == BEGINS_A_REST else ".+"
    pattern = re.escape(route).replace(r"\{proxy\+\}", greedy).replace(r"\{registry\}", "[^/]+")
    return re.fullmatch(pattern, path.rstrip("/") if reading == IS_NOTHING else path) is not None


CONTRACT = {
    "/.well-known/pytp": "BrokerFunction",
    "/.well-known/pytp-receipt-keys": "BrokerFunction",
    "/_/oidc/discover": "BrokerFunction",
    "/_/oidc/audience": "BrokerFunction",
    "/_/oidc/mint-token": "BrokerFunction",
    "/_/oidc/github/mint-token": "BrokerFunction",
    "/_/oidc/mint-read-token": "BrokerFunction",
    "/_/oidc/burn-token": "BrokerFunction",
    "/_/secrets/disclose-token": "BrokerFunction",
    "/_/health": "BrokerFunction",
    "/legacy/": "UploadFunction",
    "/legacy": "UploadFunction",
    "/upload/": "UploadFunction",
    "/upload": "UploadFunction",
    "/upload/stage_0": "UploadFunction",
    "/upload/stage_0/publish": "UploadFunction",
    "/upload/stage_0/files": "UploadFunction",
    "/upload/stage_0/files/widgets-1.0.tar.gz/0123/bytes": "UploadFunction",
    "/simple": "ReadFunction",
    "/simple/": "ReadFunction",
    "/simple/widgets": "ReadFunction",
    "/simple/widgets/": "ReadFunction",
    "/files/0123abcd/widgets-1.0-py3-none-any.whl": "ReadFunction",
    "/files/0123abcd/widgets-1.0-py3-none-any.whl.metadata": "ReadFunction",
    "/stage/stage_0/simple/": "ReadFunction",
    "/stage/stage_0/simple/widgets/": "ReadFunction",
    "/stage/stage_0/files/0123abcd/widgets-1.0-py3-none-any.whl": "ReadFunction",
    "/project/widgets/": "WebFunction",
    "/project/widgets": "WebFunction",
    "/project/widgets/1.0/": "WebFunction",
    "/_/style/0123abcd.css": "WebFunction",
    "/_/token/introspect": "IntrospectFunction",
    "/_/token/verify": "IntrospectFunction",
    "/_/token/verify/widgets": "IntrospectFunction",
}


def test_api_gateway_takes_every_route_key() -> None:
    """Its own words: "Parts are validated against this regular expression"."""
    part = re.compile(r"(\{[\w.:-]+\+?\}|[a-zA-Z0-9.:_-]+)")
    for key in routes().keys() - {"$default"}:
        method, path = key.split(" ")
        assert method in {"ANY", "POST"}
        assert all(part.fullmatch(each) for each in path.removeprefix("/").split("/")), key


@every_reading
@every_order
@pytest.mark.parametrize(("prefix", "path"), [*product(("", "/acme"), CONTRACT)])
def test_every_url_of_the_contract_reaches_its_function(
    prefix: str, path: str, reading: Reading, order: Order
) -> None:
    is_posted = path.startswith(("/_/", "/legacy", "/upload")) and CONTRACT[path] != "WebFunction"
    posted = ("POST",) if is_posted else ()
    for method in ("GET", "HEAD", "PUT", *posted):
        assert function_at(prefix + path, reading, method=method, order=order) == CONTRACT[path]


@every_order
@pytest.mark.parametrize("reading", [BEGINS_A_REST, IS_NOTHING, IS_A_CHARACTER])
@pytest.mark.parametrize(
    "path", ["/legacy", "/legacy/", "/acme/legacy", "/acme/legacy/", "/upload/", "/acme/upload"]
)
def test_an_upload_depends_on_no_reading(path: str, reading: Reading, order: Order) -> None:
    assert function_at(path, reading, method="POST", order=order) == "UploadFunction"


ROUTES_OF: dict[str, Routes[Any]] = {
    "BrokerFunction": broker.ROUTES,
    "UploadFunction": upload.ROUTES,
    "ReadFunction": read.ROUTES,
    "WebFunction": web.ROUTES,
    "IntrospectFunction": introspect.ROUTES,
}


@pytest.mark.parametrize("reading", [BEGINS_A_REST, IS_NOTHING, IS_A_CHARACTER])
@pytest.mark.parametrize("prefix", ["", "/acme"])
def test_the_list_of_projects_depends_on_no_reading(prefix: str, reading: Reading) -> None:
    function = function_at(f"{prefix}/simple/", reading)

    assert function == ("WebFunction" if reading == IS_A_CHARACTER else "ReadFunction")
    assert paths.PROJECTS in {route.path for route in ROUTES_OF[function]}


@every_reading
@pytest.mark.parametrize("project", ["legacy", "simple", "files", "stage", "upload"])
@pytest.mark.parametrize("prefix", ["", "/acme"])
def test_a_project_may_be_called_like_an_endpoint(
    prefix: str, project: str, reading: Reading
) -> None:
    for order in (LITERALS, LENGTH, METHOD):
        assert function_at(f"{prefix}/simple/{project}/", reading, order=order) == "ReadFunction"
        assert function_at(f"{prefix}/simple/{project}", reading, order=order) == "ReadFunction"
        assert function_at(f"{prefix}/project/{project}/", reading, order=order) == "WebFunction"
        assert function_at(f"{prefix}/project/{project}", reading, order=order) == "WebFunction"
        release = f"{prefix}/project/{project}/1.0/"
        assert function_at(release, reading, order=order) == "WebFunction"


@pytest.mark.parametrize("reading", [BEGINS_A_REST, IS_NOTHING, IS_A_CHARACTER])
@pytest.mark.parametrize("path", ["/", "/acme", "/acme/", "/favicon.ico", "/acme/nothing/x/"])
def test_anything_else_reaches_the_pages_for_people(path: str, reading: Reading) -> None:
    assert function_at(path, reading) == routes()["$default"] == "WebFunction"


@pytest.mark.parametrize(
    ("method", "path", "function"),
    [
        ("GET", "/_/oidc/new", "BrokerFunction"),
        ("POST", "/_/oidc/new", "BrokerFunction"),
        ("POST", "/_/new/endpoint", "BrokerFunction"),
        ("GET", "/.well-known/new", "BrokerFunction"),
        ("GET", "/_/token/new", "IntrospectFunction"),
        ("POST", "/_/token/new", "IntrospectFunction"),
        ("GET", "/new/endpoint/", "WebFunction"),
    ],
)
@every_order
@pytest.mark.parametrize("prefix", ["", "/acme"])
def test_a_new_endpoint_needs_no_new_route(
    prefix: str, method: str, path: str, function: str, order: Order
) -> None:
    assert function_at(prefix + path, method=method, order=order) == function


@pytest.mark.parametrize("function", ROUTES_OF)
def test_every_endpoint_in_the_code_is_routed(function: str) -> None:
    for base_path, route in product(("", "/acme"), ROUTES_OF[function]):
        if (function, route.path) == ("WebFunction", paths.PROJECTS):
            continue  # the read function's, see above
        url = route.path.url(
            base_path,
            project="a",
            version="1",
            sha256="b",
            filename="c",
            name="d.css",
            session="e",
            upload="f",
        )
        assert function_at(url) == function
        assert function_at(url.rstrip("/")) == function


def test_the_gateway_may_call_every_function_that_it_routes_to() -> None:
    permissions = of_type("AWS::Lambda::Permission").values()
    callable_names = {
        permission["FunctionName"]["Ref"]
        for permission in permissions
        if permission["Principal"] == "apigateway.amazonaws.com"
    }

    assert callable_names == set(routes().values()) == set(FUNCTIONS)


@pytest.mark.promise("gateway-limits")
def test_every_mint_route_has_a_throttle_of_its_own() -> None:
    mint_keys = {key for key in routes() if key.endswith(("/mint-token", "/mint-read-token"))}
    # An exchange may reach these with percent signs in its path.
    mint_keys |= {"POST /_/{proxy+}", "POST /{registry}/_/{proxy+}"}
    names = {
        name
        for name, route in of_type("AWS::ApiGatewayV2::Route").items()
        if route["RouteKey"] in mint_keys
    }
    stage = RESOURCES["Stage"]

    assert len(mint_keys) == 8
    assert stage["Properties"]["RouteSettings"].keys() == mint_keys
    assert set(stage["DependsOn"]) == names


@pytest.mark.promise("gateway-limits")
def test_one_address_meets_its_budget_long_before_the_throttle() -> None:
    a_minute = TEMPLATE["Parameters"]["MintRate"]["Default"] * 60

    assert a_minute >= 10 * DEFAULT_REFUSALS_PER_MINUTE


# --- functions ------------------------------------------------------------------------------------


def environment_of(function: str) -> set[str]:
    everywhere = TEMPLATE["Globals"]["Function"]["Environment"]["Variables"]
    here = RESOURCES[function]["Properties"].get("Environment", {}).get("Variables", {})
    return {*everywhere, *here}


@pytest.mark.parametrize(
    ("function", "settings"),
    [
        ("BrokerFunction", BrokerSettings),
        ("UploadFunction", UploadSettings),
        (VERIFY, VerifySettings),
        ("AttestFunction", IndexSettings),
        ("TrustRootFunction", IndexSettings),
        ("ReadFunction", IndexSettings),
        ("WebFunction", IndexSettings),
        ("IntrospectFunction", Settings),
    ],
)
def test_a_function_is_given_the_variables_that_it_reads(
    function: str, settings: type[Settings]
) -> None:
    assert environment_of(function) == {v.name for v in settings.variables().values()}


def test_settings_name_every_wrong_variable_at_once() -> None:
    environ = {
        "PYTP_SHARED_HOST": "https://packages.example.com",
        "PYTP_ERROR_TYPE_BASE": "urn:pytp-broker:errors#",
        "PYTP_BUCKET": "files",
    }

    with pytest.raises(SettingsError) as refused:
        IndexSettings.from_environment(environ)

    missing, malformed = str(refused.value).splitlines()
    assert missing == "PYTP_TABLE is not set: the name of the DynamoDB table"
    assert malformed.startswith("PYTP_SHARED_HOST is malformed: it must be the deployment's host")


def test_a_function_starts_without_the_variables_that_have_a_default() -> None:
    environ = {name: value for name, value in ENVIRONMENT.items() if "TYPE_BASE" not in name}

    assert IndexSettings.from_environment(environ).error_type_base == DEFAULT_TYPE_BASE


# --- rights ---------------------------------------------------------------------------------------


def statements(role: str) -> list[dict[str, Any]]:
    (policy,) = RESOURCES[role]["Properties"]["Policies"]
    found: list[dict[str, Any]] = policy["PolicyDocument"]["Statement"]
    return found


def is_allowed(role: str, action: str, keys: Iterable[str], attributes: Iterable[str] = ()) -> bool:
    """Evaluate a role's policy as IAM does, for a request to the table."""
    asked = {"dynamodb:LeadingKeys": list(keys), "dynamodb:Attributes": list(attributes)}
    return any(
        f"dynamodb:{action}" in as_list(statement["Action"])
        and statement["Resource"] == {"Fn::GetAtt": "Table.Arn"}
        and all(is_met(name, allowed, asked) for name, allowed in statement["Condition"].items())
        for statement in statements(role)
    )


def is_met(operator: str, allowed: Mapping[str, list[str]], asked: Mapping[str, list[str]]) -> bool:
    # Both mean that every requested value is allowed, which also holds if none is requested.
    assert operator in {"ForAllValues:StringLike", "ForAllValues:StringEquals"}
    has_wildcards = operator.endswith("Like")
    return all(
        any(fnmatchcase(value, p) if has_wildcards else value == p for p in patterns)
        for key, patterns in allowed.items()
        for value in asked[key]
    )


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


FILE = ("pk", "sk", "document")
CLAIM = ("pk", "sk", "claimed_at", "claimed_by")
TOKEN = ("pk", "sk", "document", "token_hash", "registries", "ttl")
BURN = ("pk", "sk", "token_hash", "burned_at", "registries")
USE = ("pk", "sk", "used_for", "ttl")
ENTRY = ["PROJECT#acme#widgets", "YANKED#acme#widgets", "STATUS#acme#widgets"]
PUBLISHING = {"UploadRole"}
RESERVED = (*FILE, "reserved_by", "batch")
SESSION = (*FILE, "revision", "status", "expires_at", "ttl")
TOMBSTONE = ("pk", "sk", "reason", "deleted_by", "deleted_at")
MARKS = ("pk", "sk", "marks", "floor", "settled")
ATTESTED = ("pk", "sk", "attestation_state")
CONTENT = ("pk", "sk", "revision", "content", "object_key")


@pytest.mark.parametrize(
    ("role", "action", "keys", "attributes"),
    [
        ("BrokerRole", "Query", ["CONFIGURATION"], ()),
        ("BrokerRole", "Query", ["PUBLISHER#0123"], ()),
        ("BrokerRole", "Query", ["RECEIPTKEYS"], ()),
        ("BrokerRole", "UpdateItem", ["PUBLISHER#0123"], ("pk", "sk", "publisher_id", "pins")),
        ("BrokerRole", "BatchGetItem", ["TOKEN#0123", "USE#0123", "TRUST##"], ()),
        ("BrokerRole", "PutItem", ["TOKEN#0123"], TOKEN),
        ("BrokerRole", "UpdateItem", ["TOKEN#0123"], BURN),
        ("BrokerRole", "GetItem", ["KEYSET#https://ci.example.com"], ()),
        ("BrokerRole", "PutItem", ["KEYSET#https://ci.example.com"], FILE),
        ("BrokerRole", "PutItem", ["KEYSET#https://ci.example.com"], CLAIM),
        ("UploadRole", "Query", ["CONFIGURATION"], ()),
        ("UploadRole", "Query", ["RECEIPTKEYS"], ()),
        ("UploadRole", "BatchGetItem", ["TOKEN#0123", "USE#0123", "TRUST#acme#widgets"], ()),
        ("UploadRole", "BatchGetItem", ENTRY, ()),
        ("UploadRole", "Query", ["PROJECT#acme#widgets"], ()),
        ("UploadRole", "BatchGetItem", ["PROJECT#acme#widgets", "REOPENED#acme#widgets"], ()),
        ("UploadRole", "PutItem", ["PROJECT#acme#widgets"], FILE),
        ("UploadRole", "PutItem", ["REGISTRY#acme"], ("pk", "sk")),
        ("UploadRole", "PutItem", ["USE#0123"], USE),
        ("UploadRole", "PutItem", ["PROJECT#acme#widgets"], RESERVED),
        ("UploadRole", "UpdateItem", ["PROJECT#acme#widgets"], ("pk", "sk", "reserved_by")),
        ("UploadRole", "GetItem", ["SESSION#stage_0"], ()),
        ("UploadRole", "PutItem", ["SESSION#stage_0"], SESSION),
        ("UploadRole", "UpdateItem", ["SESSION#stage_0"], ("pk", "sk", "revision", "ttl")),
        ("UploadRole", "Query", ["LIVE#acme#widgets"], ()),
        ("UploadRole", "PutItem", ["LIVE#acme#widgets"], ("pk", "sk", "session_token", "ttl")),
        ("UploadRole", "GetItem", ["STATUS#acme#widgets"], ()),
        ("UploadRole", "UpdateItem", ["LISTING#acme#widgets"], MARKS),
        ("UploadRole", "BatchGetItem", ["LISTING#acme#widgets"], ()),
        ("UploadRole", "BatchGetItem", ["LISTING#acme#widgets", "STATUS#acme#widgets"], ()),
        ("UploadRole", "BatchGetItem", ["PROJECT#acme#widgets", "YANKED#acme#widgets"], ()),
        ("UploadRole", "Query", ["YANKED#acme#widgets"], ()),
        ("UploadRole", "PutItem", ["LISTING#acme#widgets"], CONTENT),
        ("VerifyRole", "GetItem", ["SESSION#stage_0"], ()),
        ("VerifyRole", "BatchGetItem", ENTRY, ()),
        ("VerifyRole", "UpdateItem", ["PROJECT#acme#widgets"], ATTESTED),
        ("VerifyRole", "BatchGetItem", ["LISTING#acme#widgets"], ()),
        ("VerifyRole", "UpdateItem", ["LISTING#acme#widgets"], MARKS),
        ("VerifyRole", "PutItem", ["LISTING#acme#widgets"], CONTENT),
        ("VerifyRole", "Query", ["PROJECT#acme#widgets"], ()),
        ("VerifyRole", "Query", ["YANKED#acme#widgets"], ()),
        ("VerifyRole", "PutItem", ["SESSION#stage_0"], ("pk", "sk", "document", "revision")),
        ("IntrospectRole", "Query", ["CONFIGURATION"], ()),
        ("IntrospectRole", "Query", ["PUBLISHER#0123"], ()),
        ("IntrospectRole", "BatchGetItem", ["TOKEN#0123", "USE#0123", "TRUST#acme#widgets"], ()),
        ("IntrospectRole", "BatchGetItem", ["TOKEN#0123", "USE#0123", "TRUST#acme#"], ()),
        ("IntrospectRole", "PutItem", ["USE#0123"], USE),
        ("ReadRole", "Query", ["CONFIGURATION"], ()),
        ("ReadRole", "Query", ["REGISTRY#acme"], ()),
        ("ReadRole", "Query", ["PROJECT#acme#widgets"], ()),
        ("ReadRole", "BatchGetItem", ENTRY, ()),
        ("ReadRole", "Query", ["YANKED#acme#widgets"], ()),
        ("ReadRole", "GetItem", ["STATUS#acme#widgets"], ()),
        ("ReadRole", "GetItem", ["LISTING#acme#widgets"], ()),
        ("ReadRole", "BatchGetItem", ["LISTING#acme#widgets", "STATUS#acme#widgets"], ()),
        ("ReadRole", "GetItem", ["SESSION#stage_0"], ()),
        ("ReadRole", "BatchGetItem", ["TOKEN#0123", "USE#0123", "TRUST#acme#"], ()),
        ("WebRole", "Query", ["CONFIGURATION"], ()),
        ("WebRole", "Query", ["REGISTRY#acme"], ()),
        ("WebRole", "Query", ["PROJECT#acme#widgets"], ()),
        ("WebRole", "Query", ["YANKED#acme#widgets"], ()),
        ("WebRole", "GetItem", ["SESSION#stage_0"], ()),
        ("WebRole", "BatchGetItem", ["LISTING#acme#widgets", "STATUS#acme#widgets"], ()),
        ("WebRole", "Query", ["PUBLISHER#0123"], ()),
        ("WebRole", "BatchGetItem", ["TOKEN#0123", "USE#0123", "TRUST#acme#"], ()),
    ],
)
def test_a_function_may_do_what_it_needs(
    role: str, action: str, keys: list[str], attributes: tuple[str, ...]
) -> None:
    assert is_allowed(role, action, keys, attributes)


@pytest.mark.promise("least-rights")
@pytest.mark.parametrize(("role", "action"), [*product(ROLES, WRITES)])
def test_no_function_may_write_configuration(role: str, action: str) -> None:
    assert not is_allowed(role, action, ["CONFIGURATION"], FILE)
    assert not is_allowed(role, action, ["PUBLISHER#0123"], FILE)
    assert not is_allowed(role, action, ["TRUST#acme#widgets"], ("pk", "sk", "publisher_ids"))


@pytest.mark.parametrize(("role", "action"), [*product(ROLES, (*WRITES, "Query", "Scan"))])
def test_no_function_may_touch_what_operators_did(role: str, action: str) -> None:
    for key in ("OPERATOR", "APPLIED", "OPERATORSTOKENS", "TRUST#"):
        assert not is_allowed(role, action, [key], FILE)


@pytest.mark.promise("least-rights")
@pytest.mark.parametrize("role", ROLES)
def test_no_function_may_list_tokens_or_sessions(role: str) -> None:
    assert "index/" not in json.dumps(statements(role))


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize(("action", "key"), [*product(WRITES, ["PROJECT#a#b", "REGISTRY#a"])])
def test_the_broker_may_not_publish(action: str, key: str) -> None:
    assert not is_allowed("BrokerRole", action, [key], FILE)


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize(
    ("action", "key"),
    [*product(WRITES, ["PROJECT#a#b", "SESSION#stage_0", "TOKEN#0", "USE#0", "LISTING#a#b"])],
)
def test_the_web_function_writes_nothing(action: str, key: str) -> None:
    assert not is_allowed("WebRole", action, [key], FILE)


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize("role", [role for role in ROLES if role not in PUBLISHING])
@pytest.mark.parametrize("action", WRITES)
@pytest.mark.parametrize("key", ["SESSION#stage_0", "LIVE#acme#widgets"])
def test_only_publishing_functions_write_sessions(role: str, action: str, key: str) -> None:
    is_a_verification = (role, action, key) == ("VerifyRole", "PutItem", "SESSION#stage_0")

    assert is_allowed(role, action, [key], ("pk", "sk", "ttl")) is is_a_verification


@pytest.mark.promise("immutable-file")
def test_an_update_cannot_change_the_record_of_a_file() -> None:
    for role in ("UploadRole", "VerifyRole"):
        assert not is_allowed(role, "UpdateItem", ["PROJECT#acme#widgets"], FILE)


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize(("role", "action"), [*product(("UploadRole", "IntrospectRole"), WRITES)])
@pytest.mark.parametrize("attributes", [TOKEN, ("burned_at",), ("token_hash",), ()])
def test_only_the_broker_may_write_tokens(
    role: str, action: str, attributes: tuple[str, ...]
) -> None:
    assert not is_allowed(role, action, ["TOKEN#0123"], attributes)


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize("key", ["PUBLISHER#0", "TRUST#acme#widgets", "KEYSET#https://a.example"])
@pytest.mark.parametrize("action", ["GetItem", "Query", "BatchGetItem"])
def test_the_read_function_may_not_read_publishers_nor_whom_a_project_trusts(
    action: str, key: str
) -> None:
    assert not is_allowed("ReadRole", action, [key])


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize("action", WRITES)
@pytest.mark.parametrize(
    "key",
    [
        *("TOKEN#0", "USE#0", "TRUST#acme#", "PROJECT#a#b", "REGISTRY#a", "SESSION#stage_0"),
        *("LIVE#a#b", "LISTING#a#b"),
    ],
)
def test_the_read_function_may_write_nothing(action: str, key: str) -> None:
    assert not is_allowed("ReadRole", action, [key])


@pytest.mark.promise("closed-release")
@pytest.mark.parametrize(("role", "action"), [*product(ROLES, WRITES)])
def test_no_function_may_reopen_a_release(role: str, action: str) -> None:
    assert not is_allowed(role, action, ["REOPENED#acme#widgets"], ("pk", "sk", "until", "ttl"))


@pytest.mark.promise("deleted-file")
@pytest.mark.parametrize(("role", "action"), [*product(ROLES, WRITES)])
def test_no_function_may_yank_a_release_or_delete_a_file(role: str, action: str) -> None:
    assert not is_allowed(role, action, ["YANKED#acme#widgets"], ("pk", "sk", "reason"))
    assert not is_allowed(role, action, ["YANKED#acme#widgets"], TOMBSTONE)


@pytest.mark.parametrize(("role", "action"), [*product(ROLES, WRITES)])
def test_no_function_may_change_the_status_of_a_project(role: str, action: str) -> None:
    assert not is_allowed(role, action, ["STATUS#acme#widgets"], ("pk", "sk", "status", "reason"))


@pytest.mark.parametrize("action", ["GetItem", "Query", "BatchGetItem"])
@pytest.mark.parametrize("key", ["PUBLISHER#0123", "REGISTRY#acme"])
def test_the_upload_function_may_not_read_publishers_nor_lists_of_projects(
    action: str, key: str
) -> None:
    assert not is_allowed("UploadRole", action, [key])


@pytest.mark.promise("aws-enforces")
@pytest.mark.promise("least-rights")
@pytest.mark.parametrize("role", ROLES)
def test_no_right_is_wider_than_named(role: str) -> None:
    for statement in statements(role):
        assert statement["Effect"] == "Allow"
        assert not any("*" in action for action in as_list(statement["Action"]))
        assert statement["Resource"] != "*"
        is_on_table = statement["Resource"] == {"Fn::GetAtt": "Table.Arn"}
        assert is_on_table == ("dynamodb:LeadingKeys" in json.dumps(statement.get("Condition")))


# What the upload function does with the files of a publishing session.
STAGING = ["s3:GetObject", "s3:ListBucket", "s3:PutObjectTagging", "s3:PutObjectTagging"]
# What it does with listings that are too large for the table.
LARGE_LISTINGS = ["s3:GetObject", "s3:PutObject", "s3:PutObjectTagging"]
LISTINGS = {"Fn::Sub": "${Bucket.Arn}/listings/*"}


@pytest.mark.parametrize(
    ("role", "actions"),
    [
        ("BrokerRole", []),
        ("UploadRole", [*STAGING, *LARGE_LISTINGS, "s3:PutObject"]),
        ("ReadRole", ["s3:GetObject"]),
        ("WebRole", ["s3:GetObject", "s3:GetObject"]),
    ],
)
def test_only_upload_writes_files_and_only_readers_read_them(role: str, actions: list[str]) -> None:
    found = [a for s in statements(role) for a in as_list(s["Action"]) if a.startswith("s3:")]

    assert sorted(found) == sorted(actions)


def test_the_upload_function_reads_staged_files_and_no_others() -> None:
    (reading,) = [s for s in statements("UploadRole") if s["Action"] == "s3:GetObject"]

    assert reading["Resource"] == {"Fn::Sub": "${Bucket.Arn}/staged/*"}


@pytest.mark.parametrize("role", ["UploadRole", "VerifyRole"])
def test_a_function_that_changes_files_keeps_listings_and_retires_them(role: str) -> None:
    keeping, retiring = (s for s in statements(role) if s["Resource"] == LISTINGS)

    assert keeping["Action"] == ["s3:GetObject", "s3:PutObject"]
    assert retiring["Action"] == "s3:PutObjectTagging"
    assert retiring["Condition"] == {"StringEquals": {f"s3:RequestObjectTag/{STATE}": "replaced"}}
    assert RETIRED == {"Key": STATE, "Value": "replaced"}


def may_tag(state: str, present: str | None) -> bool:
    """Say whether the upload function may give a file this state in place of the present one.

    A condition that is negated also holds for an object without the tag.
    """
    tagging = [s for s in statements("UploadRole") if s["Action"] == "s3:PutObjectTagging"]
    found = [s for s in tagging if s["Resource"] != LISTINGS]
    assert all(s["Resource"] == {"Fn::Sub": "${Bucket.Arn}/staged/*"} for s in found)
    conditions = [statement["Condition"] for statement in found]
    return any(
        state in as_list(each["StringEquals"]["s3:RequestObjectTag/state"])
        and present != each.get("StringNotEquals", {}).get("s3:ExistingObjectTag/state", "")
        for each in conditions
    )


@pytest.mark.promise("immutable-file")
@pytest.mark.parametrize("state", ["staged", "dropped", "kept", "other"])
@pytest.mark.parametrize("present", [None, "staged", "dropped", "kept"])
def test_the_bucket_is_never_told_to_remove_a_file_that_is_kept(
    state: str, present: str | None
) -> None:
    is_allowed = state == "kept" or (state != "other" and present != "kept")

    assert may_tag(state, present) == is_allowed


@pytest.mark.promise("separate-functions")
def test_the_web_function_reads_metadata_and_no_files() -> None:
    reading = [s["Resource"] for s in statements("WebRole") if s["Action"] == "s3:GetObject"]

    metadata = [
        {"Fn::Sub": "${Bucket.Arn}/files/*.metadata"},
        {"Fn::Sub": "${Bucket.Arn}/staged/*.metadata"},
    ]
    assert reading == [metadata, LISTINGS]


@pytest.mark.parametrize("function", [*FUNCTIONS, *INSIDE])
def test_a_function_has_its_own_role_and_its_own_log(function: str) -> None:
    name = function.removesuffix("Function")
    properties = RESOURCES[function]["Properties"]

    assert properties["Role"] == {"Fn::GetAtt": f"{name}Role.Arn"}
    assert properties["LoggingConfig"] == {"LogGroup": {"Ref": f"{name}Logs"}}
    (logging,) = [s for s in statements(f"{name}Role") if "logs:PutLogEvents" in s["Action"]]
    assert logging["Resource"] == {"Fn::GetAtt": f"{name}Logs.Arn"}


def test_the_broker_is_in_a_network_only_where_the_operator_names_one() -> None:
    function = RESOURCES["BrokerFunction"]["Properties"]
    role = RESOURCES["BrokerRole"]["Properties"]
    nothing = {"Ref": "AWS::NoValue"}

    for value, chosen in ((function["VpcConfig"], "SubnetIds"), (role["ManagedPolicyArns"], "ENI")):
        condition, inside, outside = value["Fn::If"]
        assert condition == "HasNetwork"
        assert chosen in str(inside)
        assert outside == nothing
    assert TEMPLATE["Parameters"]["SubnetIds"]["Default"] == ""
    assert not is_met_by("HasNetwork", {"SubnetIds": ""})
    assert is_met_by("HasNetwork", {"SubnetIds": "subnet-0a1b,subnet-2c3d"})


def test_the_code_may_not_use_the_rights_that_its_network_needs() -> None:
    policy = RESOURCES["BrokerNetworkDenial"]
    (statement,) = policy["Properties"]["PolicyDocument"]["Statement"]

    assert policy["Condition"] == "HasNetwork"
    assert statement["Effect"] == "Deny"
    assert all(action.startswith("ec2:") for action in statement["Action"])
    assert statement["Condition"] == {
        "ArnEquals": {"lambda:SourceFunctionArn": {"Fn::GetAtt": "BrokerFunction.Arn"}}
    }


# --- receipts -------------------------------------------------------------------------------------


@pytest.mark.promise("signed-receipt")
@pytest.mark.parametrize("role", ROLES)
def test_the_upload_function_and_no_other_signs_receipts(role: str) -> None:
    found = [s for s in statements(role) if "kms:" in json.dumps(s["Action"])]

    if role != "UploadRole":
        assert found == []
        return
    (signing,) = found
    assert signing["Action"] == "kms:Sign"
    key = "arn:${AWS::Partition}:kms:${AWS::Region}:${AWS::AccountId}:key/*"
    assert signing["Resource"] == {"Fn::Sub": key}
    # A key that `receipt-key rotate` makes later has the tag too.
    stack = {"Ref": "AWS::StackName"}
    assert signing["Condition"] == {"StringEquals": {f"aws:ResourceTag/{KEY_TAG}": stack}}


def test_the_first_key_of_receipts_has_the_tag_and_stays() -> None:
    resource = RESOURCES["ReceiptKey"]
    properties = resource["Properties"]

    assert (properties["KeySpec"], properties["KeyUsage"]) == ("ECC_NIST_P256", "SIGN_VERIFY")
    assert properties["Tags"] == [{"Key": KEY_TAG, "Value": {"Ref": "AWS::StackName"}}]
    assert resource["DeletionPolicy"] == "RetainExceptOnCreate"
    assert resource["UpdateReplacePolicy"] == "Retain"


@pytest.mark.promise("signed-receipt")
@pytest.mark.parametrize(("role", "action"), [*product(ROLES, WRITES)])
def test_no_function_may_write_the_keys_of_receipts(role: str, action: str) -> None:
    assert not is_allowed(role, action, ["RECEIPTKEYS"], FILE)


# --- verification --------------------------------------------------------------------------------


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize("action", [*WRITES, "Query", "GetItem", "BatchGetItem"])
@pytest.mark.parametrize("key", ["TOKEN#0", "USE#0", "TRUST#acme#", "REGISTRY#a", "LIVE#a#b"])
def test_the_verify_function_sees_no_tokens_and_no_publishers(action: str, key: str) -> None:
    assert not is_allowed("VerifyRole", action, [key], FILE)


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize("action", WRITES)
@pytest.mark.parametrize("key", ["PROJECT#a#b", "YANKED#a#b", "STATUS#a#b"])
def test_the_verify_function_publishes_nothing_and_withdraws_nothing(action: str, key: str) -> None:
    assert not is_allowed("VerifyRole", action, [key], FILE)


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize("role", [role for role in ROLES if role != "VerifyRole"])
def test_no_other_function_changes_what_is_known_of_attestations(role: str) -> None:
    assert not is_allowed(role, "UpdateItem", ["PROJECT#acme#widgets"], ATTESTED)


def test_attestations_are_written_by_uploads_and_read_by_verifiers_and_readers() -> None:
    attestations = "${Bucket.Arn}/attestations/*"
    rights = {
        role: [s["Action"] for s in statements(role) if attestations in json.dumps(s["Resource"])]
        for role in ROLES
    }

    assert {role: found for role, found in rights.items() if found} == {
        "UploadRole": ["s3:PutObject"],
        "VerifyRole": ["s3:GetObject"],
        "ReadRole": ["s3:GetObject"],
    }


def test_the_verify_function_writes_metadata_and_no_files() -> None:
    tagged_or_put = [s for s in statements("VerifyRole") if str(s["Action"]).startswith("s3:Put")]
    written = [s for s in tagged_or_put if s["Resource"] != LISTINGS]

    assert [s["Action"] for s in written] == ["s3:PutObject", "s3:PutObjectTagging"]
    for statement in written:
        assert statement["Resource"] == {"Fn::Sub": "${Bucket.Arn}/staged/*.metadata"}
    assert written[1]["Condition"]["StringEquals"]["s3:RequestObjectTag/state"] == [
        "staged",
        "dropped",
    ]
    assert written[1]["Condition"]["StringNotEquals"] == {"s3:ExistingObjectTag/state": "kept"}


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize("role", ROLES)
def test_the_upload_function_and_no_other_lets_files_be_verified(role: str) -> None:
    found = [s["Resource"] for s in statements(role) if s["Action"] == "lambda:InvokeFunction"]

    verify, attest = ({"Fn::GetAtt": f"{name}.Arn"} for name in (VERIFY, "AttestFunction"))
    called = {"UploadRole": [verify, attest], "VerifyRole": [attest]}
    assert found == called.get(role, [])
    environment = RESOURCES["UploadFunction"]["Properties"]["Environment"]["Variables"]
    assert environment["PYTP_VERIFY_FUNCTION"] == {"Ref": VERIFY}


def test_lambda_tries_as_often_as_the_code_counts() -> None:
    invocations = RESOURCES["VerifyInvocations"]["Properties"]

    assert invocations["FunctionName"] == {"Ref": VERIFY}
    assert invocations["MaximumRetryAttempts"] == MAX_ATTEMPTS - 1


def test_an_attempt_is_overdue_only_after_lambda_has_ended_it() -> None:
    # Lambda waits for a minute before the second attempt, and for two before the third.
    assert RESOURCES[VERIFY]["Properties"]["Timeout"] + 120 < OVERDUE.total_seconds()


def test_what_could_not_be_verified_goes_into_a_queue() -> None:
    invocations = RESOURCES["VerifyInvocations"]["Properties"]
    queue = RESOURCES["FailedVerifications"]["Properties"]
    (sending,) = [s for s in statements("VerifyRole") if s["Action"] == "sqs:SendMessage"]

    arn = {"Fn::GetAtt": "FailedVerifications.Arn"}
    assert invocations["DestinationConfig"] == {"OnFailure": {"Destination": arn}}
    assert sending["Resource"] == arn
    assert queue == {"SqsManagedSseEnabled": True, "MessageRetentionPeriod": 14 * 24 * 3600}


# --- attestations --------------------------------------------------------------------------------

TRUST_ROOTS = {"Fn::Sub": f"${{Bucket.Arn}}/{PREFIX}*"}


@pytest.mark.promise("separate-functions")
@pytest.mark.parametrize(
    ("role", "actions"),
    [("AttestRole", ["s3:GetObject"]), ("TrustRootRole", ["s3:GetObject", "s3:PutObject"])],
)
def test_what_reads_attestations_may_only_reach_trusted_roots(
    role: str, actions: list[str]
) -> None:
    found = {as_list(s["Action"])[0]: s for s in statements(role)}

    assert found.keys() == {"s3:GetObject", "s3:ListBucket", "logs:CreateLogStream"}
    assert as_list(found["s3:GetObject"]["Action"]) == actions
    assert found["s3:GetObject"]["Resource"] == TRUST_ROOTS
    assert found["s3:ListBucket"]["Condition"] == {"StringEquals": {"s3:prefix": PREFIX}}


def test_the_libraries_are_in_a_layer_of_the_functions_that_need_them() -> None:
    layers = {name: RESOURCES[name]["Properties"].get("Layers") for name in [*FUNCTIONS, *INSIDE]}

    has_layer = {name for name, layer in layers.items() if layer is not None}
    assert has_layer == {*ATTESTING}
    assert layers["AttestFunction"] == [{"Ref": "AttestationLibraries"}]


def test_an_answer_is_awaited_for_as_long_as_the_function_may_take() -> None:
    timeout = RESOURCES["AttestFunction"]["Properties"]["Timeout"]

    assert timeout <= ATTEST_SECONDS < RESOURCES["UploadFunction"]["Properties"]["Timeout"]


def test_the_trusted_root_is_fetched_every_day() -> None:
    rule = RESOURCES["TrustRootSchedule"]["Properties"]
    permission = RESOURCES["TrustRootPermission"]["Properties"]

    assert rule["ScheduleExpression"] == "rate(1 day)"
    assert [each["Arn"] for each in rule["Targets"]] == [{"Fn::GetAtt": "TrustRootFunction.Arn"}]
    assert permission["FunctionName"] == {"Ref": "TrustRootFunction"}
    assert permission["SourceArn"] == {"Fn::GetAtt": "TrustRootSchedule.Arn"}


# --- keeping --------------------------------------------------------------------------------------


def test_every_log_is_kept_for_as_long_as_the_operator_says() -> None:
    groups = of_type("AWS::Logs::LogGroup")
    access = RESOURCES["Stage"]["Properties"]["AccessLogSettings"]

    assert len(groups) == len([*FUNCTIONS, *INSIDE, "Access"])
    assert all(g == {"RetentionInDays": {"Ref": "LogRetentionDays"}} for g in groups.values())
    assert access["DestinationArn"] == {"Fn::GetAtt": "AccessLogs.Arn"}


def test_the_access_log_is_json_without_text_of_the_callers_choice() -> None:
    text = RESOURCES["Stage"]["Properties"]["AccessLogSettings"]["Format"]

    assert json.loads(text)
    for secret in ("header", "query", "path", "userAgent", "body", "authorizer"):
        assert secret not in text


@pytest.mark.parametrize(
    ("name", "policy"),
    # A protected table cannot be deleted, even if the creation of its stack fails.
    [("Table", "Retain"), ("Bucket", "RetainExceptOnCreate")],
)
def test_what_was_published_outlives_the_stack(name: str, policy: str) -> None:
    assert RESOURCES[name]["DeletionPolicy"] == policy
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_the_table_is_what_the_store_expects() -> None:
    table = RESOURCES["Table"]["Properties"]

    assert [key["AttributeName"] for key in table["KeySchema"]] == ["pk", "sk"]
    assert table["TimeToLiveSpecification"] == {"AttributeName": "ttl", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True
    assert table["DeletionProtectionEnabled"] == {"Ref": "DeletionProtection"}


def test_the_bucket_is_closed() -> None:
    assert all(RESOURCES["Bucket"]["Properties"]["PublicAccessBlockConfiguration"].values())


def test_the_bucket_removes_deleted_files_and_unpublished_ones_and_no_others() -> None:
    """A file that somebody deletes by mistake has no such tag, so its versions stay."""
    rules = RESOURCES["Bucket"]["Properties"]["LifecycleConfiguration"]["Rules"]

    assert {rule["Id"]: {**rule, "Id": ""} for rule in rules} == {
        "AbandonedUploads": {
            "Id": "",
            "Status": "Enabled",
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
        },
        "DeletedFiles": {
            "Id": "",
            "Status": "Enabled",
            "TagFilters": [TAG],
            "ExpirationInDays": 1,
            "NoncurrentVersionExpiration": {"NoncurrentDays": GRACE.days},
        },
        "OldTrustRoots": {
            "Id": "",
            "Status": "Enabled",
            "Prefix": PREFIX,
            "ExpirationInDays": 180,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        },
        "StagedFiles": {
            "Id": "",
            "Status": "Enabled",
            "Prefix": STAGED,
            "TagFilters": [{"Key": STATE, "Value": "staged"}],
            "ExpirationInDays": 45,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        },
        "DroppedFiles": {
            "Id": "",
            "Status": "Enabled",
            "Prefix": STAGED,
            "TagFilters": [{"Key": STATE, "Value": "dropped"}],
            "ExpirationInDays": 1,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        },
        "ReplacedListings": {
            "Id": "",
            "Status": "Enabled",
            "Prefix": "listings/",
            "TagFilters": [RETIRED],
            "ExpirationInDays": 1,
            "NoncurrentVersionExpiration": {"NoncurrentDays": 1},
        },
        "DeleteMarkers": {"Id": "", "Status": "Enabled", "ExpiredObjectDeleteMarker": True},
    }
    assert RESOURCES["Bucket"]["Properties"]["VersioningConfiguration"] == {"Status": "Enabled"}


def bucket_denies(action: str, **context: bool | str) -> bool:
    """Evaluate the bucket's policy as IAM does, for a request with these condition keys."""
    statements = RESOURCES["BucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    assert all(s["Effect"] == "Deny" and s["Principal"] == "*" for s in statements)
    return any(
        fnmatchcase(action, statement["Action"])
        and {"Fn::Sub": "${Bucket.Arn}/*"} in as_list(statement["Resource"])
        and all(
            holds(operator, wanted, context.get(key.replace(":", "_").replace("-", "_")))
            for operator, wanted_values in statement["Condition"].items()
            for key, wanted in wanted_values.items()
        )
        for statement in statements
    )


def holds(operator: str, wanted: bool, value: bool | str | None) -> bool:
    """Say whether a condition holds. `Bool` does not hold if the request lacks the key."""
    if operator == "Null":
        return wanted == (value is None)
    assert operator == "Bool"
    return wanted == value


PUT = {"aws_SecureTransport": True, "s3_ObjectCreationOperation": True}


@pytest.mark.promise("immutable-file")
def test_the_bucket_takes_new_files_only() -> None:
    assert not bucket_denies("s3:PutObject", **PUT, s3_if_none_match="*")
    assert bucket_denies("s3:PutObject", **PUT)


def test_the_bucket_takes_the_parts_of_a_large_file() -> None:
    """Their requests cannot carry the header; the one that completes the file can, and must."""
    parts: dict[str, bool] = {**PUT, "s3_ObjectCreationOperation": False}

    assert not bucket_denies("s3:PutObject", **parts)


@pytest.mark.parametrize("action", ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"])
def test_the_bucket_answers_over_tls_only(action: str) -> None:
    assert bucket_denies(action, s3_if_none_match="*", aws_SecureTransport=False)
    assert not bucket_denies("s3:GetObject", aws_SecureTransport=True)


# --- address --------------------------------------------------------------------------------------


def resolve(value: Any, parameters: Mapping[str, str]) -> Any:
    """Return what CloudFormation makes of a value, as far as conditions and parameters go."""
    if isinstance(value, dict) and "Fn::If" in value:
        name, yes, no = value["Fn::If"]
        return resolve(yes if is_met_by(name, parameters) else no, parameters)
    if isinstance(value, dict) and "Ref" in value:
        return parameters.get(value["Ref"], value)
    return value


def is_met_by(condition: Any, parameters: Mapping[str, str]) -> bool:
    """Evaluate a condition of the template, by its name or as it is written."""
    if isinstance(condition, str):
        return is_met_by(TEMPLATE["Conditions"][condition], parameters)
    ((function, argument),) = condition.items()
    if function == "Fn::Condition":
        return is_met_by(argument, parameters)
    if function == "Fn::And":
        return all(is_met_by(each, parameters) for each in argument)
    if function == "Fn::Not":
        return not is_met_by(argument[0], parameters)
    assert function == "Fn::Equals"
    first, second = (resolve(each, parameters) for each in argument)
    return bool(first == second)


@pytest.mark.promise("one-address")
@pytest.mark.parametrize(
    ("host_name", "serve_default", "is_disabled"),
    [
        ("", "false", False),
        ("", "true", False),
        ("packages.example.com", "false", True),
        ("packages.example.com", "true", False),
    ],
)
def test_the_apis_own_address_is_closed_when_clients_have_another(
    host_name: str, serve_default: str, is_disabled: bool
) -> None:
    parameters = {"HostName": host_name, "ServeDefaultEndpoint": serve_default}
    api = RESOURCES["Api"]["Properties"]

    assert resolve(api["DisableExecuteApiEndpoint"], parameters) is is_disabled


def test_the_address_is_closed_unless_the_operator_says_otherwise() -> None:
    assert TEMPLATE["Parameters"]["ServeDefaultEndpoint"]["Default"] == "false"


@pytest.mark.parametrize(
    ("host_name", "url"),
    [
        ("", "https://${Api}.execute-api.${AWS::Region}.${AWS::URLSuffix}"),
        ("packages.example.com", "https://${HostName}"),
    ],
)
def test_the_url_that_is_put_out_is_the_one_that_answers(host_name: str, url: str) -> None:
    output = resolve(TEMPLATE["Outputs"]["Url"]["Value"], {"HostName": host_name})

    assert output == {"Fn::Sub": url}


def test_the_version_that_is_put_out_is_the_packages() -> None:
    assert TEMPLATE["Outputs"]["Version"]["Value"] == __version__


def test_every_parameter_and_output_says_what_it_is() -> None:
    for described in (*TEMPLATE["Parameters"].values(), *TEMPLATE["Outputs"].values()):
        assert described["Description"]
