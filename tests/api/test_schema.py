"""The OpenAPI schema: valid, complete, with every unit; answers are as it says; its page needs nobody else."""

import json
import re

import jsonschema
import pytest
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator

from tests.api.conftest import Caller
from tests.api.test_matrix import OTLP, ROUTES, each, patterns

V1 = "/api/v1"


@pytest.fixture(scope="module")
def schema() -> dict:
    # Through JSON, as clients read it.
    return json.loads(json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str))


def operations_of(schema: dict):
    for path, methods in schema["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def test_the_schema_is_valid_and_made_without_a_warning(tmp_path):
    file = tmp_path / "schema.yml"
    call_command("spectacular", validate=True, fail_on_warn=True, file=str(file))
    assert file.read_text().startswith("openapi: 3")


def test_every_route_is_described(schema):
    routes = {"/" + re.sub(r"<\w+:(\w+)>", r"{\1}", path) for path, view in patterns() if not path.startswith("api/^")}
    assert routes - set(schema["paths"]) == {"/api/schema/", "/api/docs/"}


def test_every_field_is_described_with_its_unit(schema):
    missing = []
    for name, component in schema["components"]["schemas"].items():
        for field, value in component.get("properties", {}).items():
            if not value.get("description"):
                missing.append(f"{name}.{field}")
    assert not missing


@pytest.mark.parametrize("words", ["cost", "limit", "spent", "held", "remaining", "amount"])
def test_every_amount_says_that_it_is_usd(schema, words):
    for name, component in schema["components"]["schemas"].items():
        for field, value in component.get("properties", {}).items():
            is_money = value.get("format") in ("decimal", "double") and re.search(words, field, re.IGNORECASE)
            if is_money and "percent" not in field:
                assert "USD" in value["description"], f"{name}.{field}"


def test_every_parameter_is_described(schema):
    for path, method, operation in operations_of(schema):
        assert operation["summary"], (method, path)
        for parameter in operation.get("parameters", []):
            if parameter["in"] == "query":
                assert parameter.get("description"), (method, path, parameter["name"])


def test_every_operation_tells_its_errors_as_problems(schema):
    for path, method, operation in operations_of(schema):
        for status, answer in operation["responses"].items():
            if path in OTLP:
                assert answer["content"].keys() == {"application/json", "application/x-protobuf"}
            elif int(status) >= 400 and status not in ("402", "503"):
                assert "application/problem+json" in answer["content"], (method, path, status)


#: The last one is that of an analysis whose own key ends like an operation; `/analyses/{analysis_id}` describes it.
UNDESCRIBED = ("/api/schema/", "/api/docs/", "/api/whatever", "/api/v1/analyses/alice-only-track/close")


@pytest.mark.django_db
@pytest.mark.parametrize("route", each(ROUTES))
def test_answers_are_as_the_schema_says(schema, world, route):
    from tests.api.test_matrix import ask

    found = [
        operation
        # A path that names itself (/alerts/unread) before one with an id in its place.
        for path, method, operation in sorted(operations_of(schema), key=lambda one: one[0].count("{"))
        if method == route.method.lower() and matches(path, route.path)
    ]
    if not found:
        assert route.path in UNDESCRIBED
        return
    for who in ("alice", "bob", "dora", "anonymous", "read"):
        response = ask(world, who, route)
        described = found[0]["responses"].get(str(response.status_code))
        assert described is not None, (who, response.status_code)
        kind = response.headers.get("Content-Type", "").split(";")[0]
        if response.status_code == 204 or response.streaming:
            continue
        assert kind in described["content"], (kind, described)
        answer = described["content"][kind]["schema"]
        jsonschema.validate(
            response.json(), as_json_schema({**answer, "components": schema["components"]}), format_checker=None
        )


def matches(path: str, asked: str) -> bool:
    """Whether an address is one of a described path; one that names fixed parts comes first in the schema's order."""
    expression = re.sub(r"\{(analysis_id)\}", "[^/]+", path)
    return (
        bool(re.fullmatch(re.sub(r"\{\w+\}", r"[^/]+", expression), asked))
        and ("{" in path or path == asked)
        and not (asked.endswith("/usage/export") and "{" in path)
    )


def as_json_schema(value):
    """OpenAPI 3.0's `nullable` in the words of JSON Schema."""
    if isinstance(value, list):
        return [as_json_schema(one) for one in value]
    if not isinstance(value, dict):
        return value
    converted = {name: as_json_schema(one) for name, one in value.items() if name != "nullable"}
    return {"anyOf": [converted, {"type": "null"}]} if value.get("nullable") is True else converted


def test_the_page_loads_nothing_from_elsewhere_and_has_nothing_inline(client):
    response = client.get("/api/docs/")
    html = response.content.decode()
    assert response.status_code == 200
    assert not re.search(r"https?://", html)
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", html)
    policy = response.headers["Content-Security-Policy"]
    assert "unsafe" not in policy and "script-src 'self'" in policy and "default-src 'none'" in policy
    scripts = re.findall(r'<script src="([^"]+)"', html)
    assert len(scripts) == 3 and all(src.startswith("/") for src in scripts)
    script = client.get(scripts[-1])
    assert script.headers["Content-Type"].startswith("application/javascript")
    assert "/api/schema/" in script.content.decode()


def test_the_schema_as_json_and_yaml(client):
    assert client.get("/api/schema/", headers={"accept": "application/json"}).json()["info"]["title"] == "Costwatch"
    assert client.get("/api/schema/").content.startswith(b"openapi: 3.0")


@pytest.mark.django_db
def test_what_goes_wrong_here_is_a_problem_too(alice, monkeypatch):
    def broken(**_kwargs):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("tracking.queries.totals", broken)
    response = alice.ask("GET", "/api/cost-monitoring/summary")
    assert response.status_code == 500
    assert response.headers["Content-Type"] == "application/problem+json"
    assert "secret detail" not in response.content.decode()


def test_an_address_of_nothing_is_a_problem(client):
    for path in ("/api/", "/api/v2/usage", "/api/v1/usage/"):
        response = Caller("x", client=client).ask("GET", path)
        assert response.status_code == 404, path
        assert "/api/docs/" in response.json()["detail"]
