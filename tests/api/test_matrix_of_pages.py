"""Every page, opened by everybody: nobody sees another's rows, no key opens a page, and no route that this file misses.

The API's own routes stand in `test_matrix.py`. Between the two, every route of the URLconf is asked: a page is named
here, and the administration is gone through as it is.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.test import Client
from django.urls import URLResolver, get_resolver, resolve

from alerts.models import AlertMute, AlertPreference, AlertRead, Channel
from budgets.models import BudgetIncrease, BudgetLimit
from costwatch.accounts.models import ApiKey
from tests.api.conftest import Caller
from tests.api.test_matrix import SECRETS_OF_ALICE
from tracking.models import Analysis

#: Budgets are read and changed on connections of their own, which see what is committed.
pytestmark = pytest.mark.django_db(transaction=True)

ANYBODY, ACCOUNT, ALICE, STAFF = "anybody", "account", "alice", "staff"
MODEL = "provider=openai&model=gpt-4o-mini"
PAST_DUE = "2199-01-01T00:00"


@dataclass(frozen=True)
class Page:
    """One method of one address. `whose`: anybody's, of every account, about a row of Alice's, or of staff alone."""

    method: str
    path: str
    whose: str = ACCOUNT
    body: Any = None
    ok: tuple[int, ...] = (200,)
    staff: tuple[int, ...] | None = None  # what staff with every permission get; None: as Alice
    shows: bool = False  # Alice finds something of hers on it

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def get(path: str, whose: str = ACCOUNT, **fields) -> Page:
    return Page("GET", path, whose, **fields)


def post(path: str, whose: str = ACCOUNT, body: Any = None, **fields) -> Page:
    return Page("POST", path, whose, body or {}, **{"ok": (302,), **fields})


PAGES = [
    get("/", shows=True),
    get("/cost-monitoring", shows=True),
    get("/calls/", shows=True),
    get("/calls/{call}/", ALICE, shows=True),
    get("/analyses/", shows=True),
    get("/analysis/?id=alice-only-track", ALICE, shows=True),
    get("/users/", STAFF),
    get("/users/{alice}/", STAFF),
    get("/models/"),
    get(f"/model/?{MODEL}"),
    get("/models/prices/"),
    get("/models/price/?provider=openai&model=gpt-99", STAFF),
    get("/budgets/", shows=True),
    get("/budgets/own/"),
    get("/budgets/{limit}/", ALICE, shows=True),
    get("/budgets/{staffs}/ask/", ALICE, shows=True, staff=(404,)),
    get("/budget/", ANYBODY, ok=(302,)),
    get("/alerts/", shows=True),
    get("/alerts/{alert}/", ALICE, shows=True),
    get("/alerts/settings/", shows=True),
    get("/alerts/settings/add/email/"),
    get("/alerts/settings/channels/{channel}/", ALICE, shows=True, staff=(404,)),
    get("/alerts/settings/preview/"),
    get("/alerts/settings/preview/mail/"),
    get("/optimise/"),
    get("/estimate/"),
    get("/account/"),
    get("/account/password/"),
    get("/account/keys/", shows=True),
    get("/first-call/"),
    get("/live"),
    get("/brand/style.css", ANYBODY),
    get("/brand/logo", ANYBODY, ok=(404,)),
    get("/favicon.ico", ANYBODY, ok=(302,)),
    get("/login/", ANYBODY, ok=(200, 302)),
    get("/healthz", ANYBODY),
    get("/readyz", ANYBODY),
    post("/favicon.ico", ANYBODY),
    post("/theme", ANYBODY, {"theme": "dark"}),
    post("/login/", ANYBODY, {"username": "x@example.com", "password": "x"}, ok=(200, 302)),
    post("/budget/", ANYBODY),
    post("/models/price/?provider=openai&model=gpt-99", STAFF, ok=(200,)),
    post("/budgets/own/", body={"daily_limit": "7", "alert_percent": "80"}),
    post("/budgets/{staffs}/ask/", ALICE, {"amount": "1", "until": PAST_DUE, "why": "x"}, ok=(200, 302), staff=(404,)),
    post("/budgets/increases/{increase}/", STAFF, {"decision": "approve"}),
    post("/analysis/?id=alice-only-track", ALICE, {"close": "1"}),
    post("/alerts/mark/", body={"what": "read", "id": "{alert}"}),
    post("/alerts/mark/", body={"what": "unread", "id": "{alert}"}),
    post("/alerts/mute/", body={"unmute": "{mute}"}),
    post("/alerts/mute/", ALICE, {"id": "{alert}", "days": "1", "what": "limit"}),
    post("/alerts/settings/", body={"min_severity": "critical"}, ok=(200, 302)),
    post("/alerts/settings/add/email/", body={"name": "one"}, ok=(200,)),
    post("/alerts/settings/channels/{channel}/mute/", ALICE, {"hours": "1"}, staff=(404,)),
    post("/alerts/settings/channels/{channel}/", ALICE, {"name": "other"}, ok=(200, 302), staff=(404,)),
    post("/alerts/settings/channels/{channel}/delete/", ALICE, staff=(404,)),
    post("/account/", body={"display_name": "x"}, ok=(200, 302)),
    post("/account/password/", body={"old_password": "x"}, ok=(200,)),
    post("/account/keys/", body={"name": "one"}, ok=(200,)),
    post("/account/keys/{key}/rotate/", ALICE, ok=(200,), staff=(404,)),
    post("/account/keys/{key}/revoke/", ALICE, staff=(404,)),
    post("/first-call/", ok=(200, 302)),
    post("/logout/", ANYBODY),
]
#: `/metrics` is asked as the API is: by key. See `test_metrics_are_for_staff`.
BY_KEY = {"metrics"}


@pytest.fixture
def visitors(world, owner, member, staff) -> dict[str, Caller]:
    """Who opens pages: people have a session, keys their header."""
    people = {"alice": owner, "bob": member, "dora": staff}
    for name, user in people.items():
        world[name].token = ""
        world[name].client.force_login(user)
    world["rows"]["alice"] = owner.pk
    return world


def open_page(world: dict, who: str, page: Page) -> Any:
    caller, rows = world[who], world["rows"]
    path = page.path.format(**rows)
    headers = {"authorization": f"Bearer {caller.token}"} if caller.token else {}
    if page.method == "GET":
        return caller.client.get(path, headers=headers)
    return caller.client.post(path, {k: v.format(**rows) for k, v in page.body.items()}, headers=headers)


def to_login(response: Any) -> bool:
    return response.status_code == 302 and response.headers["Location"].startswith("/login/?next=")


def wrong(who: str, page: Page, response: Any) -> str:
    """What is wrong with an answer; "" where it is as it should be."""
    body = response.getvalue().decode("utf-8", "replace")
    status, has_session = response.status_code, who in ("alice", "bob", "dora")
    # An address names its analysis, and pages link to where they are.
    leaked = [secret for secret in SECRETS_OF_ALICE if secret in body and secret not in page.path]
    if who not in ("alice", "dora") and leaked:
        return f"shows {leaked}"
    if page.whose == ANYBODY:
        expected = page.ok
    elif not has_session:
        refused = status == 401 if page.path == "/live" else to_login(response)
        return "" if refused else f"answers {status} without a session"
    elif (page.whose == ALICE and who == "bob") or (page.whose == STAFF and who != "dora"):
        expected = (404,)
    else:
        expected = page.staff if who == "dora" and page.staff else page.ok
    if status not in expected or (has_session and to_login(response)):
        return f"answers {status}, not {expected}"
    if who == "alice" and page.shows and not leaked:
        return "shows nothing of hers: nothing was tried"
    return ""


def rows_of_others(owner: Any) -> list:
    """Everything of Alice's that a page can change."""
    tables = [
        ApiKey.objects.filter(user=owner).values_list("public_id", "generation", "revoked_at", "name"),
        BudgetLimit.objects.filter(user=owner).values_list("pk", "amount", "active_until"),
        BudgetIncrease.objects.values_list("pk", "status"),
        Analysis.objects.filter(user_id=owner.pk).values_list("pk", "closed_at"),
        AlertRead.objects.filter(user=owner).values_list("alert_id"),
        AlertMute.objects.filter(user=owner).values_list("pk", "until"),
        AlertPreference.objects.filter(user=owner).values_list("min_severity"),
        Channel.objects.filter(owner=owner).values_list("pk", "name", "muted_until", "disabled_at"),
        type(owner).objects.filter(pk=owner.pk).values_list("password", "email"),
    ]
    return [sorted(map(str, table)) for table in tables]


@pytest.mark.parametrize("who", ["anonymous", "revoked", "read", "ingest", "bob", "alice", "dora"])
def test_who_sees_which_page(visitors, owner, who):
    before = rows_of_others(owner)
    problems = []
    for page in PAGES:
        if problem := wrong(who, page, open_page(visitors, who, page)):
            problems.append(f"{page}: {problem}")
    assert not problems, "\n".join(problems)
    assert (rows_of_others(owner) == before) == (who not in ("alice", "dora")), "who may change what"


@pytest.mark.slow
def test_a_call_of_bobs_is_on_none_of_alices_pages(visitors, ledger, member):
    """The other way round, on the pages that list and sum: also where a filter names him."""
    ledger.call(member, feature="bob-only-feature", analysis="bob-only-track", model="gpt-4o")
    lists = ("/", "/calls/", "/analyses/", "/models/", "/optimise/", "/budgets/", "/alerts/")
    for path in lists:
        for query in ("", f"?user={member.pk}", "?user=all", "?everyone=1", "?feature=bob-only-feature"):
            body = visitors["alice"].client.get(path + query, follow=True).content.decode()
            # What the reader typed is shown to him; a row of it would lead to the call or say when it was.
            assert "bob-only-track" not in body and member.email not in body, path + query
            assert query.startswith("?feature") or "bob-only-feature" not in body, path + query


# --- Nothing is missing ----------------------------------------------------------------------------------------------


def routes(resolver: Any = None, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every route of the URLconf, with its view."""
    for one in (resolver or get_resolver()).url_patterns:
        path = prefix + str(one.pattern)
        if isinstance(one, URLResolver):
            yield from routes(one, path)
        else:
            yield path, one.callback


def as_address(route: str) -> str:
    """An address that a route answers to, with ids that nothing has."""
    route = re.sub(r"\^?\(\?P<\w+>(\w+|\.\*)[^)]*\)\$?", lambda m: m[1].strip(".*"), route)
    kinds = {"int": "987654", "uuid": "6f9619ff-8b86-4011-b42d-00cf4fc964ff", "path": "987654/"}
    return "/" + re.sub(r"<(?:(\w+):)?\w+>", lambda m: kinds.get(m[1], "987654").rstrip("/"), route).strip("^$")


def test_every_page_stands_in_the_matrix(visitors):
    """A page that is not in `PAGES` fails here; one with another method than those named too."""
    rows = visitors["rows"]
    known = {(page.method, resolve(page.path.format(**rows).partition("?")[0]).route) for page in PAGES}
    missing, pages = [], 0
    for route, _ in routes():
        if route.startswith(("api/", "v1/", "admin/")) or route in BY_KEY:
            continue
        pages += 1
        for method in ("GET", "POST"):
            if (method, route) not in known:
                address = as_address(route)
                client = Client(raise_request_exception=False)
                client.cookies = visitors["alice"].client.cookies.copy()
                status = client.generic(method, address).status_code
                if status != 405:
                    missing.append(f"{method} /{route} ({status})")
    assert not missing, "routes that nobody tried"
    assert pages >= len({route for _, route in known}) > 35


@pytest.mark.slow
def test_the_administration_answers_only_staff(visitors):
    """Every address of it, in both ways: everybody else is sent to log in, and staff are not."""
    seen = 0
    for route, _ in routes(prefix=""):
        if not route.startswith("admin/") or route in ("admin/login/", "admin/logout/"):
            continue
        address = as_address(route)
        for method in ("GET", "POST"):
            everybody = ("anonymous", "revoked", "read", "ingest", "alice", "bob")
            for who in everybody if method == "GET" else ("anonymous", "alice"):
                response = open_page(visitors, who, Page(method, address, body={}))
                sent_away = response.status_code == 302 and "/login/" in response.headers["Location"]
                assert sent_away, (who, method, address, response.status_code)
        response = visitors["dora"].client.get(address)
        assert response.status_code in (200, 301, 302, 403, 404, 405), (address, response.status_code)
        assert "/login/" not in response.headers.get("Location", ""), address
        seen += 1
    assert seen > 60


def test_the_administrations_login_lets_nobody_else_in(visitors):
    for who in ("anonymous", "alice", "bob", "read"):
        login = {"username": "alice@example.com", "password": "correct horse"}
        for path in ("/admin/login/", "/login/?next=/admin/"):
            open_page(visitors, who, post(path, body=login))
            response = visitors[who].client.get("/admin/")
            assert response.status_code == 302 and "/login/" in response.headers["Location"]
        open_page(visitors, who, post("/admin/logout/"))


def test_metrics_are_for_staff(world, visitors, staff):
    from tests.api.conftest import key_for

    asked = {who: open_page(world, who, get("/metrics")).status_code for who in ("anonymous", "revoked", "read")}
    assert asked == {"anonymous": 401, "revoked": 401, "read": 403}
    assert open_page(world, "alice", get("/metrics")).status_code in (401, 403)
    assert Caller("dora", key_for(staff, "read")).ask("GET", "/metrics").status_code == 200
    assert Caller("dora", key_for(staff, "ingest")).ask("GET", "/metrics").status_code == 403
    assert Caller("dora", key_for(staff, "read")).ask("POST", "/metrics").status_code == 405


def test_staff_without_permissions_see_their_own_only(world, django_user_model):
    helper = django_user_model.objects.create_user("helper@example.com", "correct horse", is_staff=True)
    world["rows"]["alice"] = BudgetLimit.objects.get(pk=world["rows"]["limit"]).user_id
    world["helper"] = Caller("helper")
    world["helper"].client.force_login(helper)
    for page in PAGES:
        if page.method == "POST" and page.whose not in (ALICE, STAFF):
            continue
        response = open_page(world, "helper", page)
        body = response.getvalue().decode("utf-8", "replace")
        assert not [one for one in SECRETS_OF_ALICE if one in body and one not in page.path], page
        assert (response.status_code == 404) == (page.whose in (ALICE, STAFF) or page.ok == (404,)), page
