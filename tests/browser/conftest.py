"""A real browser, and pages that tell what it complained about."""

import os
import shutil
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from django.conf import settings
from django.utils import timezone
from playwright.sync_api import Browser, Page, sync_playwright

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.operations import raise_alerts
from budgets.changes import ask_increase
from budgets.models import BudgetLimit
from costwatch.accounts.keys import create_key
from tests.workspace import Workspace

#: It runs in containers, as root, without a graphics card; and it never calls home.
ARGUMENTS = [
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
]  # fmt: skip


def pytest_collection_modifyitems(items):
    for item in items:
        if "tests/browser" in item.nodeid:
            item.add_marker(pytest.mark.browser)
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def chromium() -> Browser:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail("Chromium is required here and is not installed.")
        pytest.skip("no Chromium is installed")
    # Playwright's loop would make Django refuse to touch the database in this thread.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium, live_server):
    """Open a window of a width and colour scheme. At the end nothing may stand in its console, CSP reports included."""
    contexts, complaints = [], []

    def open_window(width: int = 1440, scheme: str = "light") -> Page:
        context = chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, base_url=live_server.url
        )
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: _note_message(message, complaints))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: _note_failure(request, complaints))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []


@pytest.fixture
def come_in(client, live_server):
    """Log in without the page of it: the session of Django's test client is the browser's too."""

    def go(page: Page, user) -> None:
        client.force_login(user)
        name = settings.SESSION_COOKIE_NAME
        cookie = {"name": name, "value": client.cookies[name].value, "url": live_server.url}
        page.context.add_cookies([cookie])

    return go


@dataclass(frozen=True, slots=True)
class Scene:
    """A workspace to look at: who looks, and the ids of what pages are about."""

    reader: Any
    workspace: Workspace
    ids: dict[str, Any]


@pytest.fixture
def scene(transactional_db, owner, member, staff) -> Scene:
    """Calls of many days and kinds, a budget, and names that somebody chose to break pages."""
    workspace = Workspace()
    for day in range(12):
        workspace.call(user=owner, days_ago=day * 3, feature="summary", analysis="report-17")
        workspace.call(user=member, days_ago=day, feature="translation", model="gpt-4o")
    workspace.call(user=owner, model="x" * 200, feature="y" * 200, analysis="z" * 200)
    workspace.call(user=owner, feature="<b>bold</b><script>alert(1)</script>", model='"><img src=x onerror=alert(1)>')
    workspace.call(
        user=owner, feature="\u202egnp.exe", tags={"🧾" * 20: "W" * 200}, analysis="{{ 7|add:7 }}' OR 1=1 --"
    )
    workspace.call(user=member, status="error", http_status=500, usage=None, quality="none", error="server_error")
    call = workspace.call(
        user=owner, feature="summary", analysis="report-17", tags={"team": "blue"}, request_id="req_1"
    )
    limit = BudgetLimit.objects.create(
        name="<i>Everyone</i> " + "🧾" * 30, scope="everyone", period="month", amount="5"
    )
    ask_increase(
        limit, amount=5, until=timezone.now() + timedelta(days=1), why="<i>why</i> " + "w" * 300, by=member,
        at=timezone.now(),
    )  # fmt: skip
    create_key(
        staff, name="<i>ci</i> " + "k" * 80, scopes=["read"], now=timezone.now(), budget={"amount": 5, "period": "day"}
    )
    alert = Finding(
        type=Type.UNUSUAL_SPEND, severity=Severity.CRITICAL, dedupe_key="unusual:scene", at=timezone.now(),
        user_id=None, limit_id=limit.pk, title="<i>Unusual</i> " + "u" * 200, text="</p>" + "t" * 400,
        facts=(("Spent", "$5.00"),), count=3,
    )  # fmt: skip
    [raised] = raise_alerts([alert], at=timezone.now())
    ids = {"call": call, "user": owner.pk, "limit": limit.pk, "alert": raised.pk}
    return Scene(reader=staff, workspace=workspace, ids=ids)


@pytest.fixture
def log_in():
    """Log in as somebody, through the page."""

    def go(page: Page, email: str, *, target: str = "/") -> None:
        page.goto(f"/login/?next={target}")
        page.get_by_label("Email").fill(email)
        page.get_by_label("Password").fill("correct horse")
        page.get_by_role("button", name="Log in").click()
        page.wait_for_url(f"**{target}")

    return go


def _note_message(message, complaints: list[str]) -> None:
    # A page that is not there says so in the console; what it is made of must be there.
    missing = message.location.get("url", "").endswith("/nothing-here/") and "404" in message.text
    if message.type in ("error", "warning") and not missing:
        complaints.append(message.text)


def _note_failure(request, complaints: list[str]) -> None:
    if request.failure != "net::ERR_ABORTED":  # the page was left before all of it had come
        complaints.append(f"{request.url}: {request.failure}")
