"""Whatever is sent: a refusal that says why, never a fault of ours, and no secret in what is kept."""

import json
import logging
import random
from urllib.parse import quote

import pytest

from tests.api.conftest import Caller
from tests.api.test_matrix import COMMITTED, ROUTES, each
from tests.api.test_schema import operations_of, schema  # noqa: F401 - a fixture

ODD = [
    "", " ", "0", "-1", "1e309", "9" * 40, "NaN", "null", "true", "[]", "{}", "a" * 3000, "\0", "\ud7ff", "ÿ", "'", '"',
    "%", "\\", "../..", "; DROP TABLE x", "٣", "2026-13-01", "2026-02-30", "0000-01-01", "9999-12-31", "1970-01-01",
    "9999-12-31T23:59:59-23:59", "2026-11-22T00:00:00+99:99", "0001-01-01T00:00:00+14:00", "tag:x", "day,day", ",",
    "1-00000000000000000000000000000000", "99999999999999999999-00000000000000000000000000000000", "tag:" + "x" * 65,
]  # fmt: skip
ODD_JSON = [None, True, 0, -1, 1e308, 10**40, "", "x" * 3000, "\0", "\ud800", [], [[]], {}, {"a": 1}, [None], "1e400"]


def parameters_of(schema: dict) -> list[tuple[str, str]]:  # noqa: F811
    found = []
    for path, method, operation in operations_of(schema):
        if method == "get" and "{" not in path:
            found += [(path, one["name"]) for one in operation.get("parameters", []) if one["in"] == "query"]
    return found


@pytest.mark.slow
@pytest.mark.django_db
def test_odd_parameters(schema, world, settings):  # noqa: F811
    settings.API_REQUESTS_PER_MINUTE = 1_000_000
    world["dora"].client.raise_request_exception = True
    for path, name in parameters_of(schema):
        for value in ODD:
            response = world["dora"].ask("GET", f"{path}?{quote(name)}={quote(value)}")
            assert response.status_code in (200, 400, 404), (path, name, value, response.content)
            if response.streaming:
                b"".join(response.streaming_content)


SENT = [route for route in ROUTES if isinstance(route.body, dict) and route.scope != ""]


@pytest.mark.parametrize("route", each(SENT))
def test_odd_bodies(world, route):  # noqa: F811
    picks = random.Random(7)
    caller = world["alice"]
    caller.client.raise_request_exception = True
    path = route.path.format(**world["rows"])
    for name in route.body or {"note": ""}:
        values = ODD_JSON if not COMMITTED.search(route.path) else picks.sample(ODD_JSON, 8)
        for value in values:
            response = caller.ask(route.method, path, {**route.body, name: value})
            assert response.status_code < 500, (name, value, response.content)
    for body in (b"", b"[]", b"null", b'"x"', b"{", b"\xff\xfe", b'{"a":1,"a":2}', b"[" * 20_000, b'{"\\u0000": 1}'):
        response = caller.ask(route.method, path, body)
        assert response.status_code < 500, (body[:40], response.content)


@pytest.mark.django_db
def test_secrets_that_are_sent_are_found_nowhere(anonymous, alice, owner, caplog, tmp_path):
    """A password, a token, a key: in no log, no table, no answer but the one that shows it."""
    from django.db import connection

    caplog.set_level(logging.DEBUG)
    canary = "cw_canary0123456789canary"
    anonymous.ask("POST", "/api/v1/auth/login", {"email": owner.email, "password": canary})
    Caller("canary", canary).ask("GET", "/api/v1/usage")
    alice.ask("PUT", "/api/cost-monitoring/budget", {"dailyLimit": canary})
    alice.ask("GET", f"/api/v1/usage?model={canary}")
    made = alice.ask("POST", "/api/v1/keys", {"name": "x", "scopes": ["read"]}).json()["key"]
    kept = caplog.text
    with connection.cursor() as cursor:
        for table in connection.introspection.table_names():
            if not table.startswith(("tracking_rate", "tracking_pricedmodel", "django_", "auth_permission")):
                cursor.execute(f'SELECT * FROM "{table}"')
                kept += json.dumps(cursor.fetchall(), default=str)
    for secret in (canary, made, alice.token, "correct horse"):
        assert secret not in kept
