"""A real browser, and pages that tell what it complained about."""

import os
import shutil

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

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
        page.on("console", lambda m: complaints.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("requestfailed", lambda request: _note_failure(request, complaints))
        return page

    yield open_window
    for context in contexts:
        context.close()
    assert complaints == []


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


def _note_failure(request, complaints: list[str]) -> None:
    if request.failure != "net::ERR_ABORTED":  # the page was left before all of it had come
        complaints.append(f"{request.url}: {request.failure}")
