"""The template's routes, and which of them the local gateway selects."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytp_broker.local import routes
from pytp_broker.local.routes import (
    GatewayRoute,
    RouteTable,
    Selected,
    TemplateError,
    find_template,
    load_template,
)

SEGMENTS = ["", "_", "oidc", "mint-token", "simple", "legacy", "project", "acme", ".well-known"]
PATHS = st.lists(
    st.sampled_from([*SEGMENTS, "token", "a.b", "\n", "(?"]) | st.text(max_size=3), max_size=6
)
TABLE = RouteTable.from_template(load_template(find_template()))


def select(table: RouteTable, method: str, path: str) -> str | None:
    found = table.select(method, path)
    return found.route.key if found else None


@pytest.mark.parametrize(
    ("method", "path", "key"),
    [
        ("GET", "/pets/dog/1", "GET /pets/dog/1"),
        ("GET", "/pets/dog/2", "GET /pets/dog/{id}"),
        ("POST", "/pets/dog/2", "ANY /pets/dog/{id}"),
        ("GET", "/pets/cat/1", "GET /pets/{proxy+}"),
        ("GET", "/pets/dog/1/x", "GET /pets/{proxy+}"),
        ("POST", "/pets/cat/1", "ANY /{proxy+}"),
        ("GET", "/pets", "ANY /{proxy+}"),
        ("GET", "/pets/", "GET /pets/{proxy+}"),
        ("GET", "/pets/dog/", "GET /pets/{proxy+}"),
        ("GET", "/a/b", "GET /{x}/{y}"),
        ("GET", "/", "ANY /{proxy+}"),
        ("GET", "/pets/dog/1/", "GET /pets/{proxy+}"),
    ],
)
def test_the_most_specific_route_is_selected(method: str, path: str, key: str) -> None:
    keys = [
        "$default",
        "ANY /{proxy+}",
        "GET /pets/{proxy+}",
        "GET /a/{proxy+}",
        "GET /{x}/{y}",
        "ANY /pets/dog/{id}",
        "GET /pets/dog/{id}",
        "GET /pets/dog/1",
    ]
    for order in (keys, keys[::-1]):
        table = RouteTable(GatewayRoute(key, "F") for key in order)
        assert select(table, method, path) == key


def test_without_a_default_a_request_may_match_no_route() -> None:
    table = RouteTable([GatewayRoute("GET /a", "F")])

    assert select(table, "GET", "/b") is None


def test_a_greedy_variable_holds_the_rest_of_the_path() -> None:
    route = GatewayRoute("ANY /{registry}/simple/{proxy+}", "F")

    assert route.match("GET", "/acme/simple") is None
    assert route.match("GET", "/acme/simple/") == {"registry": "acme"}
    assert route.match("GET", "/acme/simple/a/b/") == {"registry": "acme", "proxy": "a/b/"}


@pytest.mark.parametrize(
    ("path", "function"),
    [
        ("/_/token/verify/widgets", "IntrospectFunction"),
        ("/acme/_/token/introspect", "IntrospectFunction"),
        ("/_/health", "BrokerFunction"),
        ("/.well-known/pytp", "BrokerFunction"),
        ("/_/oidc/audience", "BrokerFunction"),
        ("/_/oidc/github/mint-token", "BrokerFunction"),
        ("/acme/_/oidc/mint-token", "BrokerFunction"),
        ("/acme/_/oidc/burn-token", "BrokerFunction"),
        ("/acme/legacy", "UploadFunction"),
        ("/acme/legacy/", "UploadFunction"),
        ("/legacy/", "UploadFunction"),
        ("/acme/simple/", "ReadFunction"),
        ("/acme/simple/widgets/", "ReadFunction"),
        ("/simple/legacy/", "ReadFunction"),
        ("/acme/files/0/x.whl", "ReadFunction"),
        ("/simple/legacy", "ReadFunction"),
        ("/nothing", "WebFunction"),
        ("/acme/", "WebFunction"),
    ],
)
def test_the_templates_routes_lead_to_its_functions(path: str, function: str) -> None:
    table = RouteTable.from_template(routes.load_template(routes.find_template()))

    found = table.select("GET", path)

    assert found is not None
    assert found.route.function == function


TEMPLATE = """
Resources:
  F: {Type: AWS::Serverless::Function}
  Api: {Type: AWS::ApiGatewayV2::Api}
  I:
    Type: AWS::ApiGatewayV2::Integration
    Properties: {IntegrationUri: URI}
  R:
    Type: AWS::ApiGatewayV2::Route
    Properties: {RouteKey: GET /, Target: TARGET}
"""


@pytest.mark.parametrize(
    "uri", ["!GetAtt F.Arn", "!GetAtt [F, Arn]", "!Sub 'arn:${Api}/${F.Arn}/x'"]
)
@pytest.mark.parametrize(
    "target", ["!Sub 'integrations/${I}'", "!Join [/, [integrations, !Ref I]]"]
)
def test_every_form_of_reference_is_followed(tmp_path: Path, uri: str, target: str) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("URI", uri).replace("TARGET", target))

    table = RouteTable.from_template(routes.load_template(path))

    assert table.functions == {"F"}


@pytest.mark.parametrize(
    ("uri", "target", "said"),
    [
        ("!GetAtt F.Arn", "integrations/none", "the Target of R is not an integration"),
        ("https://example.com", "!Sub 'integrations/${I}'", "the IntegrationUri of I"),
        ("5", "!Ref I", "the IntegrationUri of I"),
    ],
)
def test_a_route_that_leads_nowhere_is_an_error(
    tmp_path: Path, uri: str, target: str, said: str
) -> None:
    path = tmp_path / "template.yaml"
    path.write_text(TEMPLATE.replace("URI", uri).replace("TARGET", target))

    with pytest.raises(TemplateError, match=said):
        RouteTable.from_template(routes.load_template(path))


def test_tags_are_read_in_their_long_form(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("Resources: {A: !Ref B, C: !Condition D, E: !If [F, !Ref G, 1], H: !X {i: 1}}")

    assert routes.load_template(path)["Resources"] == {
        "A": {"Ref": "B"},
        "C": {"Condition": "D"},
        "E": {"Fn::If": ["F", {"Ref": "G"}, 1]},
        "H": {"Fn::X": {"i": 1}},
    }


def test_what_is_no_template_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "template.yaml"
    path.write_text("- 1")

    with pytest.raises(TemplateError, match="is not a CloudFormation template"):
        routes.load_template(path)


def test_a_missing_template_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "_PACKAGE", tmp_path / "a" / "b" / "c")

    with pytest.raises(TemplateError, match=r"no template\.yaml at"):
        routes.find_template()


@given(st.sampled_from(["GET", "POST", "BREW"]), PATHS.map(lambda parts: "/" + "/".join(parts)))
def test_a_table_selects_the_first_of_its_routes_that_matches(method: str, path: str) -> None:
    """The table asks one regular expression, and each route says by itself whether it matches."""
    matches = ((route, route.match(method, path)) for route in TABLE.routes)
    expected = next(Selected(route, found) for route, found in matches if found is not None)

    assert TABLE.select(method, path) == expected
