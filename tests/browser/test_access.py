"""Getting in, names of fields and buttons, and the admin under its own content policy."""

import pytest
from playwright.sync_api import expect

from tests.workspace import Workspace


@pytest.fixture
def workspace(transactional_db) -> Workspace:
    """Committed, so that the server's thread sees it."""
    return Workspace()


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


def test_the_admin_works_under_its_own_policy(workspace, staff, open_page, log_in):
    """Its scripts, styles and icons load; nothing inline is needed, and nothing is reported."""
    workspace.call(feature="<b>bold</b>")
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
