"""The first page as people see it: on a phone and on a large screen, in light and dark, by mouse and by keyboard."""

import pytest
from playwright.sync_api import Page, expect

from tests.workspace import Workspace

WIDTHS = (390, 768, 1440, 1920)


@pytest.fixture
def workspace(transactional_db) -> Workspace:
    """Committed, so that the server's thread sees it."""
    return Workspace()


@pytest.fixture
def busy(workspace, owner, member):
    """A workspace with names that somebody chose to break it."""
    for day in range(12):
        workspace.call(user=owner, days_ago=day * 2, feature="summary")
    workspace.call(user=owner, model="x" * 200, feature="y" * 200)
    workspace.call(user=owner, feature="<b>bold</b><script>alert(1)</script>", model="house-model")
    workspace.call(user=owner, feature="\u202egnp.exe", tags={"🧾" * 20: "W" * 200})
    workspace.call(user=member, status="error", http_status=500, usage=None, quality="none", error="server_error")
    return workspace


def assert_fits(page: Page) -> None:
    """Nothing is wider than the window."""
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url} is {wide} pixels too wide"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", WIDTHS)
def test_every_page_fits_every_screen(busy, staff, open_page, log_in, width, scheme, tmp_path):
    page = open_page(width, scheme)
    log_in(page, staff.email)
    expect(page.get_by_role("heading", name="Spending")).to_be_visible()
    expect(page.get_by_text("bold")).to_be_visible()
    assert_fits(page)
    page.screenshot(path=str(tmp_path / "home.png"), full_page=True)
    links = [link.get_attribute("href") for link in page.locator("table.calls a").all()]
    for path in [*links[:5], "/account/", "/account/password/"]:
        page.goto(path)
        assert_fits(page)
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    light = sum(int(part) for part in ground.strip("rgb()").split(",")[:3]) > 384
    assert light == (scheme == "light")


def test_the_way_from_logging_in_to_a_receipt_and_out_again_by_keyboard(busy, owner, open_page):
    page = open_page()
    page.goto("/")
    page.keyboard.type(owner.email)  # the first field has the focus
    page.keyboard.press("Tab")
    page.keyboard.type("correct horse")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Spending")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("Enter")
    for _ in range(20):
        page.keyboard.press("Tab")
        if "/calls/" in (page.evaluate("document.activeElement.getAttribute('href')") or ""):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Receipt")).to_be_visible()
    page.get_by_role("button", name="Log out").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_the_chart_can_be_read_as_a_table(busy, owner, open_page, log_in):
    page = open_page()
    log_in(page, owner.email)
    assert page.locator("svg .bar").count() == 30
    page.get_by_text("The same as a table").click()
    assert page.get_by_role("row").filter(has_text="$0.00045").count() >= 10


def test_every_field_and_button_has_a_name(owner, staff, transactional_db, open_page, log_in):
    page = open_page()
    log_in(page, owner.email, target="/account/")
    for path in ("/account/", "/account/password/", "/"):
        page.goto(path)
        unnamed = page.evaluate(
            "[...document.querySelectorAll('input:not([type=hidden]):not([hidden]), select, button, a')]"
            ".filter(e => !(e.labels?.length || e.textContent.trim() || e.getAttribute('aria-label'))).length"
        )
        assert unnamed == 0
        assert page.locator("h1").count() == 1
        assert page.locator("html").get_attribute("lang") == "en"


def test_a_failed_login_is_said_on_the_page(owner, transactional_db, open_page):
    page = open_page()
    page.goto("/login/")
    page.get_by_label("Email").fill(owner.email)
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Log in").click()
    expect(page.get_by_role("alert")).to_contain_text("do not match an account")


def test_the_admin_works_under_its_own_policy(busy, staff, open_page, log_in):
    """Its scripts, styles and icons load; nothing inline is needed, and nothing is reported."""
    page = open_page()
    log_in(page, staff.email, target="/admin/")
    for path in (
        "/admin/",
        "/admin/tracking/apiusagelog/",
        "/admin/tracking/rate/?q=gpt-4o",
        "/admin/tracking/pricedmodel/",
        "/admin/tracking/analysis/",
        "/admin/accounts/user/",
        "/admin/accounts/user/add/",
        f"/admin/accounts/user/{staff.pk}/change/",
    ):
        assert page.goto(path).ok
        expect(page.get_by_role("heading").first).to_be_visible()
    page.goto("/admin/tracking/rate/add/")
    page.locator("#calendarlink0").click()  # the admin's scripts run
    page.locator("#calendarbox0").get_by_role("link", name="Today").click()
    assert page.locator("#id_valid_from_0").input_value()
    for name, value in {"provider": "openai", "model": "house-model", "amount": "2.5", "source": "contract"}.items():
        page.locator(f"#id_{name}").fill(value)
    page.locator("#id_valid_from_1").fill("00:00:00")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()
