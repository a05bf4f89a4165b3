"""The admin as staff see it: every page fits, nothing is refused by the content policy, and what moves, moves."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from budgets import operations
from budgets.calls import Call
from budgets.models import BudgetIncrease, BudgetLimit
from tests.browser.checks import assert_fits
from tests.budgets.conftest import make_limit, new_id
from tests.budgets.history import spend

LIMITS = "/admin/budgets/budgetlimit/"


@pytest.fixture
def budgets(transactional_db, owner, member, monkeypatch):
    """Limits in every state, with windows, holds, a refusal and an increase asked for."""
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    now = timezone.now()
    for day in range(1, 20):
        spend("0.90" if day % 7 else "3", now - timedelta(days=day), user=owner, feature="mail")
    make_limit("1", scope="each_user", name="A day of each")
    make_limit("60", period="month", name="Everybody, with a name that is so long that it must be broken somewhere")
    make_limit("2", scope="feature", target="mail", period="week", pause_on_exceed=False)
    for user, amount, cost in ((owner, "0.9", "1"), (member, "0.2", None)):
        call_id = new_id()
        call = Call(at=now, user=user.pk, feature="mail", model="gpt-4o")
        operations.reserve(call, hold_id=call_id, amount=Decimal(amount))
        if cost:
            operations.settle(call_id, cost=Decimal(cost), now=now)
    limit = BudgetLimit.objects.order_by("pk").first()
    BudgetIncrease.objects.create(
        limit=limit, subject=f"user:{owner.pk}", amount=Decimal(2), until=now + timedelta(days=1), why="please",
        asked_by=owner, asked_at=now,
    )  # fmt: skip
    return limit


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1440])
def test_every_page_fits_every_screen(budgets, staff, open_page, log_in, width, scheme, tmp_path):
    page = open_page(width, scheme)
    log_in(page, staff.email)
    paths = [
        "/admin/", LIMITS, f"{LIMITS}add/", f"{LIMITS}{budgets.pk}/change/", f"{LIMITS}{budgets.pk}/history/",
        *(f"/admin/budgets/{name}/" for name in ("budgetwindow", "hold", "crossing", "budgetincrease")),
        f"/admin/budgets/budgetincrease/{BudgetIncrease.objects.get().pk}/change/",
        *(f"/admin/tracking/{name}/" for name in ("apiusagelog", "rate", "analysis", "pricedmodel")),
        "/admin/tracking/rate/add/", "/admin/accounts/user/", "/admin/accounts/user/add/",
        f"/admin/accounts/user/{staff.pk}/change/", "/admin/auth/group/add/", "/budgets/", f"/budgets/{budgets.pk}/",
    ]  # fmt: skip
    for number, path in enumerate(paths):
        page.goto(path)
        page.wait_for_load_state("networkidle")
        assert_fits(page)
        page.screenshot(path=str(tmp_path / f"{number}.png"), full_page=True)


def test_a_limit_is_previewed_made_and_raised(budgets, staff, open_page, log_in):
    page = open_page()
    log_in(page, staff.email, target=f"{LIMITS}add/")
    expect(page.get_by_label("First day of the month")).to_be_hidden()
    page.get_by_label("Period").select_option("month")
    expect(page.get_by_label("First day of the month")).to_be_visible()
    page.get_by_label("Period").select_option("day")
    page.get_by_label("Counts the calls of").select_option("each_user")
    page.get_by_label("Amount in USD").fill("2.50")
    page.get_by_role("button", name="What would it have done last month?").click()
    expect(page.get_by_text("It would have been reached in")).to_be_visible()
    assert BudgetLimit.objects.count() == 3, "a preview saves nothing"
    page.get_by_label("Name").fill("Two and a half")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was added successfully")).to_be_visible()

    page.get_by_role("row", name="Two and a half").get_by_label("Select").check()
    page.locator("select[name=action]").select_option("change_amounts")
    page.get_by_role("button", name="Run").click()
    page.get_by_label("By percent").fill("20")
    page.get_by_role("button", name="Show what comes of it").click()
    expect(page.get_by_text("$3.00")).to_be_visible()
    page.get_by_role("button", name="Change 1 limit").click()
    expect(page.get_by_text("1 limit changed.")).to_be_visible()


def test_the_tabs_of_a_limit_open_and_an_increase_is_given(budgets, staff, owner, open_page, log_in):
    page = open_page()
    log_in(page, staff.email, target=f"{LIMITS}{budgets.pk}/change/")
    page.get_by_role("link", name="History").first.click()
    expect(page.get_by_text("made", exact=True).first).to_be_visible()  # the button opens the tab
    page.get_by_role("link", name="Temporary increases").click()
    page.get_by_text("Add another increase").click()
    page.locator("#id_increases-1-for_whom").fill(owner.email)
    page.locator("#id_increases-1-amount").fill("5")
    until = timezone.now() + timedelta(days=1)
    page.locator("#id_increases-1-until_0").fill(f"{until:%Y-%m-%d}")
    page.locator("#id_increases-1-until_1").fill("12:00:00")
    page.locator("#id_increases-1-why").fill("the fair")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("was changed successfully")).to_be_visible()
    assert BudgetIncrease.objects.filter(status="approved", subject=f"user:{owner.pk}", amount=5).exists()


def test_light_or_dark_is_chosen_and_stays(budgets, staff, open_page, log_in):
    page = open_page()
    log_in(page, staff.email, target="/admin/")
    is_dark = "document.documentElement.classList.contains('dark')"
    assert not page.evaluate(is_dark)  # as the system says, so far
    page.keyboard.press("Control+e")  # always light
    page.keyboard.press("Control+e")  # always dark
    page.wait_for_function(is_dark)
    page.reload()
    page.wait_for_function(is_dark)
