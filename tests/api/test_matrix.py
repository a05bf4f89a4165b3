"""Every route of the API, asked by everybody: no leak, and no route that this page does not know.

`ROUTES` says of each route and method what a caller sends, and what kind of route it is. The expected answers follow
from that: nobody enters without a token, a key needs its scope, and rows of others are not there.
"""

import contextlib
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.db import transaction
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils import timezone

from tests.api.conftest import Caller, key_for

SECRETS_OF_ALICE = ("alice-only-feature", "alice-only-track", "alice-only-title", "alice-only-key", "alice-only-limit")


@dataclass(frozen=True)
class Route:
    """One method of one address. `of_alice`: it names a row of Alice's. `scope`: what a key needs; None: no token."""

    method: str
    path: str
    scope: str | None = "read"
    body: Any = None
    ok: tuple[int, ...] = (200,)
    of_alice: bool = False
    staff: tuple[int, ...] | None = None  # what staff with every permission get; None: as Alice
    about_account: bool = True  # its answer is about whoever asks

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def get(path: str, **fields) -> Route:
    return Route("GET", path, **fields)


CM, V1 = "/api/cost-monitoring", "/api/v1"
AI = f"{V1}/monitoring/ai-costs"
#: OpenTelemetry's own: its errors have its own shape, and its senders add no parameters.
OTLP = ("/v1/traces", "/v1/metrics", "/v1/logs", "/api/public/otel/v1/traces")
NEW_LIMIT = {"scope": "user", "period": "day", "amount": "5"}
EVENT = {
    "provider": "openai",
    "model": "gpt-4o-mini",
    "operation": "chat",
    "usage": {"prompt_tokens": 1, "completion_tokens": 1},
}
PLANNED = {"provider": "openai", "model": "gpt-4o-mini", "input_tokens": 1, "max_output_tokens": 1}
METERS = {"provider": "openai", "model": "gpt-4o-mini", "meters": {"input_tokens": 1}}
SETTLED = {"usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
ASK = {"amount": "1", "until": (timezone.now() + timedelta(days=30)).isoformat(), "reason": "more"}
ROUTES = [
    get(f"{CM}/dashboard"),
    get(f"{CM}/summary"),
    get(f"{CM}/usage-logs"),
    get(f"{CM}/export"),
    get(f"{CM}/budget"),
    Route("PUT", f"{CM}/budget", "admin", {"alertThreshold": 0.9}),
    get(f"{AI}/summary"),
    get(f"{AI}/daily"),
    get(f"{AI}/tracks"),
    get(f"{AI}/budget-status"),
    Route("POST", f"{V1}/auth/login", None, {"email": "x@example.com", "password": "x"}, ok=(401,)),
    Route("POST", f"{V1}/auth/logout", "", ok=(204,)),
    get(f"{V1}/usage"),
    get(f"{V1}/usage/export"),
    Route("POST", f"{V1}/usage", "ingest", EVENT, ok=(201,)),
    get(f"{V1}/usage/{{call}}", of_alice=True, staff=(200,)),
    get(f"{V1}/reports"),
    get(f"{V1}/analyses"),
    Route("POST", f"{V1}/analyses", "ingest", {"title": "one"}, ok=(201,)),
    get(f"{V1}/analyses/alice-only-track", of_alice=True, staff=(200,)),
    get(f"{V1}/analyses/alice-only-track/close", of_alice=True, staff=(200,)),
    Route("POST", f"{V1}/analyses/alice-only-track/close", "ingest", {}, of_alice=True, staff=(200,)),
    get(f"{V1}/rates"),
    get(f"{V1}/budgets"),
    Route("POST", f"{V1}/budgets", "admin", NEW_LIMIT, ok=(201,), staff=(201, 400)),
    get(f"{V1}/budgets/{{limit}}", of_alice=True, staff=(200,)),
    Route("PATCH", f"{V1}/budgets/{{limit}}", "admin", {"amount": 6}, of_alice=True, staff=(200,)),
    Route("DELETE", f"{V1}/budgets/{{limit}}", "admin", of_alice=True, ok=(204,), staff=(204,)),
    get(f"{V1}/budgets/{{limit}}/windows", of_alice=True, staff=(200,)),
    Route("POST", f"{V1}/budgets/{{staffs}}/increase", "admin", ASK, of_alice=True, ok=(201,)),
    get(f"{V1}/increases"),
    Route("POST", f"{V1}/increases/{{increase}}/approve", "admin", {}, of_alice=True, ok=(404,), staff=(200,)),
    Route("POST", f"{V1}/increases/{{increase}}/refuse", "admin", {}, of_alice=True, ok=(404,), staff=(200,)),
    Route(
        "POST",
        f"{V1}/estimates",
        "call",
        {"items": [{"provider": "openai", "model": "gpt-4o-mini", "meters": {"input_tokens": 1}}]},
    ),
    Route("POST", f"{V1}/check", "call", PLANNED),
    Route("POST", f"{V1}/holds", "call", {**PLANNED, "amount_usd": 0}, ok=(200, 201)),
    Route("POST", f"{V1}/holds/{{hold}}/settle", "call", SETTLED, of_alice=True, staff=(200, 409)),
    Route("POST", f"{V1}/holds/{{hold}}/void", "call", of_alice=True, staff=(200, 409)),
    get(f"{V1}/keys", scope="admin"),
    Route("POST", f"{V1}/keys", "admin", {"name": "one", "scopes": ["read"]}, ok=(201,)),
    get(f"{V1}/keys/{{key}}", scope="admin", of_alice=True, staff=(200,)),
    Route("PATCH", f"{V1}/keys/{{key}}", "admin", {"name": "other"}, of_alice=True, staff=(404,)),
    Route("POST", f"{V1}/keys/{{key}}/rotate", "admin", of_alice=True, ok=(201,), staff=(404,)),
    Route("POST", f"{V1}/keys/{{key}}/revoke", "admin", {}, of_alice=True, staff=(200,)),
    get(f"{CM}/alerts"),
    Route("POST", f"{CM}/alerts/{{alert}}/read", "admin", of_alice=True, staff=(200,)),
    Route("POST", f"{CM}/alerts/read-all", "admin"),
    get(f"{V1}/alerts"),
    get(f"{V1}/alerts/unread"),
    get(f"{V1}/alerts/{{alert}}", of_alice=True, staff=(200,)),
    Route("POST", f"{V1}/alerts/{{alert}}/read", "admin", of_alice=True, staff=(200,)),
    Route("POST", f"{V1}/alerts/{{alert}}/unread", "admin", of_alice=True, staff=(200,)),
    Route("POST", f"{V1}/alerts/read-all", "admin"),
    get(f"{V1}/alerts/mutes"),
    Route("POST", f"{V1}/alerts/mutes", "admin", {"type": "unpriced", "until": ASK["until"]}, ok=(201,)),
    Route("DELETE", f"{V1}/alerts/mutes/{{mute}}", "admin", of_alice=True, ok=(204,)),
    get(f"{V1}/alerts/preferences"),
    Route("PATCH", f"{V1}/alerts/preferences", "admin", {"min_severity": "warning"}),
    get(f"{V1}/channels"),
    Route("POST", f"{V1}/channels", "admin", {"kind": "in_app", "name": "one"}, ok=(201,)),
    get(f"{V1}/channels/kinds", about_account=False),
    get(f"{V1}/channels/{{channel}}", of_alice=True),
    Route("PATCH", f"{V1}/channels/{{channel}}", "admin", {"rate_per_hour": 7}, of_alice=True),
    Route("DELETE", f"{V1}/channels/{{channel}}", "admin", of_alice=True, ok=(204,)),
    Route("POST", f"{V1}/channels/{{channel}}/test", "admin", of_alice=True),
    Route("POST", f"{V1}/channels/{{channel}}/enable", "admin", of_alice=True),
    get("/api/schema/", scope=None),
    get("/api/docs/", scope=None),
    get("/api/whatever", scope=None, ok=(404,)),
    *(Route("POST", path, "ingest", {}) for path in OTLP),
]


#: Budgets are read and changed on connections of their own, which see what is committed.
COMMITTED = re.compile(r"/(budgets|budget|increases|holds|check|budget-status)(/|$)")


def each(routes: list[Route]) -> list:
    """The routes as parameters of a test."""
    committed = pytest.mark.django_db(transaction=True)
    return [pytest.param(one, id=str(one), marks=committed if COMMITTED.search(one.path) else ()) for one in routes]


def patterns(resolver: URLResolver | None = None, prefix: str = "") -> list[tuple[str, Any]]:
    """Every route under /api/: its pattern and its view."""
    found = []
    for one in (resolver or get_resolver()).url_patterns:
        path = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            found += patterns(one, path)
        elif isinstance(one, URLPattern) and path.startswith(("api/", "v1/")):
            found.append((path, one.callback))
    return found


def methods_of(view: Any) -> set[str]:
    handlers = {"get", "post", "put", "patch", "delete"} & set(dir(view.view_class))
    return {name.upper() for name in handlers}


def as_expression(pattern: str) -> re.Pattern:
    """A route's pattern as an expression that addresses match."""
    if pattern.startswith("api/^"):
        return re.compile("/api/whatever")
    return re.compile("/" + re.sub(r"<(\w+):\w+>", lambda m: ".+" if m[1] == "path" else "[^/]+", pattern))


def test_every_route_stands_in_the_matrix():
    known = {(route.method, re.sub(r"\{\w+\}", "0", route.path)) for route in ROUTES}
    missing = []
    for pattern, view in patterns():
        expression = as_expression(pattern)
        if pattern.startswith("api/^"):
            continue
        for method in methods_of(view):
            if not any(method == m and expression.fullmatch(path) for m, path in known):
                missing.append(f"{method} /{pattern}")
    assert not missing, "routes that nobody tried"


def ask(world: dict, who: str, route: Route):
    path = route.path.format(**world["rows"])
    return world[who].ask(route.method, path, route.body)


def needs(route: Route, scope: str) -> bool:
    return route.scope in (None, "", scope)


@pytest.mark.parametrize("route", each(ROUTES))
def test_who_may_ask_what(world, route):
    """Callers ask one after the other, those first whom nothing is changed for."""
    for who in ("anonymous", "revoked", "bob", "read", "ingest", "alice", "dora"):
        changes = route.method != "GET" and not COMMITTED.search(route.path)
        with transaction.atomic() if changes else contextlib.nullcontext():
            check_answer(world, who, route)
            if changes:
                transaction.set_rollback(True)


def check_answer(world: dict, who: str, route: Route) -> None:
    response = ask(world, who, route)
    body = response.getvalue().decode() if response.streaming else response.content.decode()
    status, told = response.status_code, (who, body)
    if route.scope is None:
        assert status in route.ok, told
    elif who in ("anonymous", "revoked"):
        assert status == 401, told
        assert response.headers["WWW-Authenticate"] == "Bearer"
    elif who in ("read", "ingest") and not needs(route, who):
        assert status == 403, told
    elif route.path.endswith("logout"):
        assert status == 400, "a key is revoked, not logged out"
    elif who == "bob" and route.of_alice:
        assert status == 404, told
    elif who == "dora":
        expected = route.staff or ((404,) if route.of_alice else route.ok)
        assert status in expected, told
    else:
        assert status in route.ok, told
    if who in ("bob", "anonymous", "revoked") or (who == "dora" and status == 404):
        assert not [secret for secret in SECRETS_OF_ALICE if secret in body], told
    if status >= 400 and route.path in OTLP:
        assert response.headers["Content-Type"] == "application/json" and response.json().keys() == {"code", "message"}
    elif status >= 400:
        assert response.headers["Content-Type"] == "application/problem+json"
        assert response.json()["status"] == status


ABOUT_AN_ACCOUNT = [
    route
    for route in ROUTES
    if route.method == "GET"
    and route.scope
    and route.about_account
    and not route.of_alice
    and not route.path.endswith("rates")
]


@pytest.mark.parametrize("route", each(ABOUT_AN_ACCOUNT))
def test_nobody_asks_for_another_account(world, route, owner):
    for user in (owner.pk, "all", 999_999, "1e3", "٣"):
        response = world["bob"].ask("GET", f"{route.path}?user={user}")
        assert response.status_code == 404, (user, response.content)
    assert world["dora"].ask("GET", f"{route.path}?user=999999").status_code == 404


@pytest.mark.parametrize("route", each([r for r in ROUTES if r.scope and r.path not in OTLP]))
def test_names_that_a_route_does_not_know_are_refused(world, route):
    response = world["alice"].ask(
        route.method, route.path.format(**world["rows"]) + "?format=json&no-such=1", route.body
    )
    assert response.status_code == 400, response.content
    assert "no-such" in response.json()["errors"]


@pytest.mark.django_db(transaction=True)
def test_staff_without_the_permission_see_their_own_only(world, django_user_model, owner):
    helper = django_user_model.objects.create_user("helper@example.com", "correct horse", is_staff=True)
    caller = Caller("helper", key_for(helper, "read"))
    for path in (f"{CM}/summary", f"{V1}/usage", f"{V1}/budgets"):
        assert caller.ask("GET", f"{path}?user=all").status_code == 404
        assert "alice-only" not in caller.ask("GET", path).content.decode()
    assert caller.ask("GET", f"{V1}/usage/{world['rows']['call']}").status_code == 404
