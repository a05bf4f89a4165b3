"""Budgets in the admin: every page, who may do what, and what is said when something is wrong."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from budgets import operations
from budgets.changes import ask_increase, give_increase
from budgets.limits import update_budget_config
from budgets.models import BudgetIncrease, BudgetLimit, BudgetWindow, LimitChange
from tests.budgets.conftest import call_at, make_limit, new_id
from tests.budgets.history import spend

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("at_once")]
D = Decimal
LIST = "/admin/budgets/budgetlimit/"
FORM = {
    "name": "", "scope": "each_user", "user": "", "group": "", "target": "", "period": "day", "amount": "12.50",
    "pause_on_exceed": "on", "no_maximum": "", "thresholds": "80, 100", "alerts_enabled": "on", "time_zone": "UTC",
    "week_start": "0", "month_start": "1", "active_from_0": "", "active_from_1": "", "active_until_0": "",
    "active_until_1": "", "note": "", "why": "agreed",
    "increases-TOTAL_FORMS": "0", "increases-INITIAL_FORMS": "0", "changes-TOTAL_FORMS": "0",
    "changes-INITIAL_FORMS": "0",
}  # fmt: skip


@pytest.fixture
def alice(django_user_model):
    return django_user_model.objects.create_user("alice@example.com", "x")


@pytest.fixture
def dora(client, django_user_model):
    """Dora runs the installation, and is logged in."""
    user = django_user_model.objects.create_superuser("dora@example.com", "x")
    client.force_login(user)
    return user


def clerk(client, django_user_model, *permissions: str):
    """Staff with these permissions only, logged in."""
    user = django_user_model.objects.create_user(f"clerk{len(permissions)}@example.com", "x", is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client.force_login(user)
    return user


def page(client, path: str, **data) -> str:
    response = client.post(path, data, follow=True) if data else client.get(path)
    assert response.status_code == 200, path
    return response.content.decode()


def posted(client, path: str, data: dict) -> str:
    return client.post(path, data, follow=True).content.decode()


class TestPages:
    def test_every_page_can_be_opened(self, client, dora, alice):
        group = Group.objects.create(name="Research")
        limits = [
            make_limit("1", scope="each_user"),
            make_limit("5", scope="user", user=alice, period="month"),
            make_limit("5", scope="group", group=group, period="quarter"),
            make_limit("5", scope="model", target="gpt-4o*", period="hour", pause_on_exceed=False),
            make_limit("5", scope="each_analysis", period="total"),
            make_limit("0", scope="tag", target="team=a", period="week"),
        ]
        for amount in ("0.9", "0.2"):
            call = call_at(timezone.now(), user=alice.pk, model="gpt-4o", analysis="a1", tags={"team": "b"})
            hold = new_id()
            try:
                operations.reserve(call, hold_id=hold, amount=D(amount))
            except operations.BudgetExceeded:
                continue
            operations.settle(hold, cost=D(amount), now=timezone.now())
        update_budget_config(alice, daily_limit="2")
        for limit in BudgetLimit.objects.all():
            assert str(limit) in page(client, f"{LIST}{limit.pk}/change/")
            assert client.get(f"{LIST}{limit.pk}/history/", follow=True).status_code == 200
        html = page(client, LIST)
        assert all(str(limit).replace("'", "&#x27;") in html for limit in limits)
        assert 'class="cw-status warning"' in html
        for path in ("budgetwindow", "hold", "crossing", "budgetincrease"):
            page(client, f"/admin/budgets/{path}/")
        page(client, f"/admin/budgets/budgetwindow/{BudgetWindow.objects.first().pk}/change/")
        page(client, f"{LIST}add/")
        page(client, "/admin/")

    def test_the_list_shows_the_fullest_of_each(self, client, dora, alice, django_user_model):
        bob = django_user_model.objects.create_user("bob@example.com", "x")
        make_limit("10", scope="each_user")
        for user, amount in ((alice, "9"), (bob, "2")):
            hold = new_id()
            operations.reserve(call_at(timezone.now(), user=user.pk), hold_id=hold, amount=D(amount))
        html = page(client, LIST)
        assert "fullest of 2: alice@example.com" in html
        assert "$0.00 spent and $9.00 held of $10.00" in html

    def test_filters_and_search(self, client, dora, alice):
        make_limit("1", scope="user", user=alice, name="for Alice")
        make_limit("1", scope="feature", target="mail", name="for mail", pause_on_exceed=False)
        over = make_limit("1", name="an old one")
        over.active_until = timezone.now() - timedelta(days=1)
        over.save()
        update_budget_config(alice, daily_limit="2")
        for query, there, missing in (
            ("q=alice@example.com", "for Alice", "for mail"),
            ("q=mail", "for mail", "an old one"),
            ("now=yes", "for mail", "an old one"),
            ("now=over", "an old one", "for mail"),
            ("by=users", "$2.00 per day", "for mail"),
            ("by=staff", "for mail", "$2.00 per day"),
            ("pause_on_exceed__exact=0", "for mail", "for Alice"),
            ("scope__exact=user", "for Alice", "for mail"),
        ):
            html = page(client, f"{LIST}?{query}")
            assert there in html, query
            assert missing not in html, query

    def test_a_page_of_the_lists_costs_the_same_for_one_row_and_for_many(self, client, dora, django_user_model):
        limit = make_limit("10", scope="each_user")
        counts = []
        for count in (1, 12):
            for number in range(count):
                user = django_user_model.objects.create_user(f"u{count}-{number}@example.com", "x")
                call = call_at(timezone.now(), user=user.pk)
                operations.reserve(call, hold_id=new_id(), amount=D(1))
                ask_increase(
                    limit, amount=D(1), until=timezone.now() + timedelta(days=1), why="x", by=user,
                    at=timezone.now(), subject=f"user:{user.pk}",
                )  # fmt: skip
            paths = [LIST, *(f"/admin/budgets/{name}/" for name in ("budgetwindow", "hold", "budgetincrease"))]
            queries = []
            for path in paths:
                with CaptureQueriesContext(connection) as captured:
                    page(client, path)
                queries.append(len(captured))
            counts.append(queries)
        assert counts[0] == counts[1]

    def test_windows_and_holds_can_only_be_read(self, client, dora, alice):
        make_limit("10", scope="each_user")
        hold = new_id()
        operations.reserve(call_at(timezone.now(), user=alice.pk, model="gpt-4o"), hold_id=hold, amount=D(2))
        window = BudgetWindow.objects.get()
        assert "alice@example.com" in page(client, "/admin/budgets/budgetwindow/?time=now")
        assert "gpt-4o" in page(client, f"/admin/budgets/hold/?q={hold}")
        assert "Search for the id of a call." in page(client, "/admin/budgets/hold/?q=alice")
        for path in (f"budgetwindow/{window.pk}", f"hold/{hold}"):
            assert client.get(f"/admin/budgets/{path}/change/").status_code == 200
            assert client.post(f"/admin/budgets/{path}/change/", {"spent": "0"}).status_code == 403
            assert client.post(f"/admin/budgets/{path}/delete/", {"post": "yes"}).status_code == 403
        assert client.get("/admin/budgets/budgetwindow/add/").status_code == 403


class TestEditing:
    def test_a_limit_is_made_and_its_history_begins(self, client, dora):
        posted(client, f"{LIST}add/", FORM)
        limit = BudgetLimit.objects.get()
        assert (limit.amount, limit.thresholds, limit.scope, limit.pause_on_exceed) == (
            D("12.5"), ["0.8", "1"], "each_user", True,
        )  # fmt: skip
        change = LimitChange.objects.get()
        assert (change.what, change.by, change.why) == ("made", dora, "agreed")

    def test_a_change_says_who_and_from_what_to_what_and_counts_at_once(self, client, dora, alice):
        limit = make_limit("12.50", scope="each_user")
        operations.reserve(call_at(timezone.now(), user=alice.pk), hold_id=new_id(), amount=D(1))
        posted(client, f"{LIST}{limit.pk}/change/", {**FORM, "amount": "20", "why": "the launch"})
        assert BudgetWindow.objects.get().limit_amount == D(20)
        html = page(client, f"{LIST}{limit.pk}/change/")
        assert "amount: $12.50 → $20.00" in html
        assert "the launch" in html and "dora@example.com" in html

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"amount": "-1"}, "An amount cannot be negative. 0 blocks every call that costs something."),
            ({"amount": "NaN"}, "Enter a number."),
            ({"amount": "1e999"}, "Ensure that there are no more than"),
            ({"amount": ""}, "This field is required."),
            ({"scope": "user"}, "Say which user the limit is for."),
            ({"scope": "group"}, "Say which group the limit is for."),
            ({"scope": "feature"}, "Say which: the name of a feature, such as pitch_generation."),
            ({"scope": "tag", "target": "team"}, "is not a tag and its value, such as team=search."),
            ({"scope": "everyone", "target": "x"}, "A limit of this scope names no target"),
            ({"thresholds": "80, many"}, "&#x27;many&#x27; is not a percentage. Write them as in 80, 100."),
            ({"thresholds": "0"}, "is not a threshold."),
            ({"thresholds": "80, 80"}, "A threshold stands in the list twice."),
            ({"time_zone": "Mars/Olympus"}, "is not one of the available choices"),
            ({"month_start": "32"}, "The first day of the month is a day from 1 to 31."),
            (
                {
                    "active_from_0": "2026-02-01", "active_from_1": "00:00", "active_until_0": "2026-01-01",
                    "active_until_1": "00:00",
                },
                "The limit would end before it begins.",
            ),
        ],
    )  # fmt: skip
    def test_what_is_wrong_is_said_in_words(self, client, dora, changes, says):
        assert says in posted(client, f"{LIST}add/", {**FORM, **changes})
        assert not BudgetLimit.objects.exists()

    def test_what_it_would_have_done_last_month_is_shown_and_nothing_saved(self, client, dora, alice):
        for day in (2, 3, 4):
            spend("15" if day == 3 else "1", timezone.now() - timedelta(days=day), user=alice)
        html = posted(client, f"{LIST}preview/", FORM)
        assert "<strong>1 of 3</strong>" in html and "alice@example.com" in html and "$15.00" in html
        assert "something in the form is missing" in posted(client, f"{LIST}preview/", {**FORM, "amount": "much"})
        assert not BudgetLimit.objects.exists()
        assert client.get(f"{LIST}preview/").status_code == 405

    def test_several_are_raised_at_once_after_being_shown(self, client, dora, alice):
        first, second = make_limit("10"), make_limit("0.99", scope="each_user")
        update_budget_config(alice, daily_limit="2")
        own = BudgetLimit.objects.get(owner=alice)
        chosen = {"action": "change_amounts", "_selected_action": [first.pk, second.pk, own.pk]}
        assert "1 left out" in posted(client, LIST, chosen)
        html = posted(client, LIST, {**chosen, "show": "1", "percent": "20", "amount": "", "why": "new year"})
        assert "<strong>$12.00</strong>" in html and "<strong>$1.19</strong>" in html
        assert "Give a percentage or an amount" in posted(client, LIST, {**chosen, "apply": "1", "percent": ""})
        assert "would leave nothing" in posted(client, LIST, {**chosen, "apply": "1", "percent": "-100"})
        first.refresh_from_db()
        assert first.amount == D(10)

        assert "2 limits changed." in posted(client, LIST, {**chosen, "apply": "1", "percent": "20", "why": "new year"})

        amounts = dict(BudgetLimit.objects.values_list("pk", "amount"))
        assert amounts == {first.pk: D(12), second.pk: D("1.19"), own.pk: D(2)}
        assert LimitChange.objects.filter(why="new year", by=dora).count() == 2

    def test_an_amount_that_one_of_several_cannot_have_changes_none(self, client, dora):
        small, large = make_limit("10"), make_limit("2000000000")
        chosen = {"action": "change_amounts", "_selected_action": [small.pk, large.pk], "percent": "900", "amount": ""}
        for button in ("show", "apply"):
            html = posted(client, LIST, {**chosen, button: "1"})
            assert f"{large}: The amount is too large" in html
        assert set(BudgetLimit.objects.values_list("amount", flat=True)) == {D(10), D(2000000000)}

    def test_limits_are_ended_and_never_deleted(self, client, dora):
        limit = make_limit("10")
        assert client.post(f"{LIST}{limit.pk}/delete/", {"post": "yes"}).status_code == 403
        posted(client, LIST, {"action": "end_now", "_selected_action": [limit.pk]})
        limit.refresh_from_db()
        assert limit.active_until <= timezone.now()
        assert "not in force" in page(client, LIST)

    def test_a_users_own_limit_and_a_settings_are_not_staffs_to_change(self, client, dora, alice):
        update_budget_config(alice, daily_limit="2")
        own = BudgetLimit.objects.get()
        assert "only he can change it" in page(client, f"{LIST}{own.pk}/change/")
        posted(client, f"{LIST}{own.pk}/change/", {**FORM, "amount": "99"})
        own.refresh_from_db()
        assert own.amount == D(2)


class TestIncreases:
    def inline(self, **fields) -> dict:
        until = timezone.now() + timedelta(days=1)
        row = {
            "for_whom": "", "amount": "5", "until_0": f"{until:%Y-%m-%d}", "until_1": f"{until:%H:%M:%S}",
            "why": "the fair", **fields,
        }  # fmt: skip
        return {**FORM, "increases-TOTAL_FORMS": "1", **{f"increases-0-{name}": value for name, value in row.items()}}

    def test_more_for_one_user_for_a_while_counts_at_once(self, client, dora, alice):
        limit = make_limit("12.50", scope="each_user")
        html = posted(client, f"{LIST}{limit.pk}/change/", self.inline(for_whom="ALICE@example.com"))
        increase = BudgetIncrease.objects.get()
        assert (increase.subject, increase.status, increase.decided_by) == (f"user:{alice.pk}", "approved", dora), html
        call = call_at(timezone.now(), user=alice.pk)
        assert operations.reserve(call, hold_id=new_id(), amount=D("17")).state == "open"

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"amount": "0"}, "An increase is more than 0."),
            ({"amount": "-5"}, "An amount cannot be negative."),
            ({"until_0": "2020-01-01"}, "The increase would have ended already."),
            ({"why": ""}, "This field is required."),
            ({"for_whom": "nobody@example.com"}, "There is no account with the email address"),
        ],
    )
    def test_what_is_wrong_with_an_increase(self, client, dora, fields, says):
        limit = make_limit("12.50", scope="each_user")
        assert says in posted(client, f"{LIST}{limit.pk}/change/", self.inline(**fields))
        assert not BudgetIncrease.objects.exists()

    def test_asked_ones_are_approved_or_refused_once(self, client, dora, alice):
        limit = make_limit("1", scope="each_user")
        first, second, third = (
            ask_increase(
                limit, amount=D(amount), until=timezone.now() + timedelta(days=1), why="please", by=alice,
                at=timezone.now(), subject=f"user:{alice.pk}",
            )
            for amount in (1, 2, 3)
        )  # fmt: skip
        where = "/admin/budgets/budgetincrease/"
        assert "1 approved." in posted(client, where, {"action": "approve", "_selected_action": [first.pk]})
        assert "was approved before" in posted(client, where, {"action": "refuse", "_selected_action": [first.pk]})
        posted(client, f"{where}{second.pk}/change/", {"decision": "refuse", "decision_note": "too much"})
        posted(client, f"{where}{third.pk}/change/", {"decision": "", "decision_note": ""})
        states = [(one.status, one.decision_note) for one in BudgetIncrease.objects.order_by("pk")]
        assert states == [("approved", ""), ("refused", "too much"), ("asked", "")]
        assert "too much" in page(client, f"{where}{second.pk}/change/")
        assert client.post(f"{where}{second.pk}/change/", {"decision": "approve"}).status_code == 403


class TestPermissions:
    def test_who_may_only_view_changes_nothing(self, client, django_user_model):
        limit = make_limit("10")
        clerk(client, django_user_model, "view_budgetlimit")
        assert "10" in page(client, f"{LIST}{limit.pk}/change/")
        assert client.post(f"{LIST}{limit.pk}/change/", FORM).status_code == 403
        assert client.get(f"{LIST}add/").status_code == 403
        assert client.post(f"{LIST}preview/", FORM).status_code == 403
        posted(client, LIST, {"action": "end_now", "_selected_action": [limit.pk]})
        limit.refresh_from_db()
        assert limit.active_until is None

    def test_who_may_change_limits_may_not_approve(self, client, django_user_model, alice):
        limit = make_limit("10", scope="each_user")
        clerk(client, django_user_model, "view_budgetlimit", "change_budgetlimit", "view_budgetincrease")
        posted(client, f"{LIST}{limit.pk}/change/", TestIncreases().inline())
        assert not BudgetIncrease.objects.exists()
        asked = ask_increase(
            limit, amount=D(1), until=timezone.now() + timedelta(days=1), why="please", by=alice, at=timezone.now()
        )
        posted(client, "/admin/budgets/budgetincrease/", {"action": "approve", "_selected_action": [asked.pk]})
        asked.refresh_from_db()
        assert asked.status == "asked"

    def test_who_may_approve_approves(self, client, django_user_model, alice):
        limit = make_limit("10", scope="each_user")
        asked = ask_increase(
            limit, amount=D(1), until=timezone.now() + timedelta(days=1), why="please", by=alice, at=timezone.now()
        )
        clerk(client, django_user_model, "view_budgetincrease", "approve_increase")
        posted(client, f"/admin/budgets/budgetincrease/{asked.pk}/change/", {"decision": "approve"})
        asked.refresh_from_db()
        assert asked.status == "approved"

    def test_others_see_nothing(self, client, django_user_model, alice):
        make_limit("10")
        clerk(client, django_user_model)
        for name in ("budgetlimit", "budgetwindow", "hold", "crossing", "budgetincrease"):
            assert client.get(f"/admin/budgets/{name}/").status_code == 403
        client.force_login(alice)
        assert client.get(LIST, follow=True).status_code == 403


def test_an_increase_that_is_over_says_so(client, dora):
    limit = make_limit("10")
    give_increase(limit, amount=D(1), until=timezone.now() + timedelta(days=1), why="x", by=dora, at=timezone.now())
    BudgetIncrease.objects.update(until=timezone.now() - timedelta(hours=1))
    assert "over" in page(client, f"{LIST}{limit.pk}/change/")
