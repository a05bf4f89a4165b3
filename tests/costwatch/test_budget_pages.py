"""Where users see their budget, ask for more, and are told why they are paused: pages and command line."""

import io
import json
import re
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.utils import timezone

from budgets import operations
from budgets.calls import Call
from budgets.changes import decide_increase
from budgets.forecast import Forecast
from budgets.limits import update_budget_config
from budgets.models import BudgetIncrease, BudgetLimit, LimitChange
from budgets.queries import Standing
from costwatch.diagnosis import check_limits
from costwatch.pages.budget import line_of
from tests.budgets.conftest import make_limit, new_id

pytestmark = pytest.mark.django_db(transaction=True)  # holds are taken on connections of their own
D = Decimal


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)


def hold(amount: str, user, *, cost: str | None = None) -> None:
    now, call_id = timezone.now(), new_id()
    operations.reserve(Call(at=now, user=user.pk, model="gpt-4o"), hold_id=call_id, amount=D(amount))
    if cost is not None:
        operations.settle(call_id, cost=D(cost), now=now)


def page(client, path: str) -> str:
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


class TestStanding:
    def test_the_first_page_tells_a_user_where_his_budget_stands(self, client, workspace, owner):
        make_limit("10", scope="each_user")
        hold("2", owner, cost="1.50")
        hold("3", owner)
        workspace.call(user=owner)
        client.force_login(owner)
        html = page(client, "/")
        for part in (
            "$10.00 per day for each user",
            "<strong>$1.50</strong> of $10.00 spent",
            "$3.00 held",
            "$5.50 left",
        ):
            assert part in html
        assert "resets in" in html
        assert 'aria-label="$1.50 spent and $3.00 held of $10.00"' in html
        assert "style=" not in html.split("</head>")[1]

    def test_a_paused_user_is_told_so_and_what_he_can_do(self, client, owner):
        make_limit("1", scope="each_user")
        hold("1", owner, cost="1")
        client.force_login(owner)
        html = page(client, "/budgets/")
        assert "paused" in html and "Ask for more" in html and ">hard<" in html

    @pytest.mark.parametrize(
        ("spent", "status", "says"),
        [("5.1", "ok", ""), ("8", "warning", "near the limit"), ("10", "exceeded", "exceeded")],
    )
    def test_one_colour_and_one_word_wherever_a_limit_stands(self, client, staff, spent, status, says):
        limit = make_limit("10", scope="everyone", period="total", pause_on_exceed=False, thresholds=["0.5", "1"])
        hold(spent, staff, cost=spent)
        client.force_login(staff)
        for path in ("/budgets/", f"/budgets/{limit.pk}/", "/admin/budgets/budgetlimit/"):
            html = page(client, path)
            words = {word for word in ("near the limit", "exceeded", "threshold passed") if f">{word}<" in html}
            assert words == ({says} - {""}), path
            found = re.findall(r'class="cw-(?:budget cw-|standing )(\w+)"', html)
            assert set(found) == {status}, path

    def test_a_forecast_above_the_limit_is_told_before_it_is_passed(self):
        line = Standing(
            limit_id=1, window_id=1, name="", scope="everyone", subject="", period="month", hard=True, own=False,
            enforced=True, limit=D(10), spent=D(3), held=D(0), thresholds=(), window_start=timezone.now(),
            resets_at=None, forecast=Forecast(D(11), D(9), D(13), None, "pattern", 30),
        )  # fmt: skip
        assert line.status == "warning" and not line_of(line).is_near
        assert replace(line, forecast=Forecast(D(10), D(9), D(13), None, "pattern", 30)).status == "ok"

    def test_others_see_neither_his_window_nor_his_questions(self, client, owner, member):
        make_limit("1", scope="user", user=owner, name="only hers")
        client.force_login(member)
        assert "only hers" not in page(client, "/") + page(client, "/budgets/")

    def test_without_limits_there_is_nothing_to_see(self, client, workspace, owner):
        workspace.call(user=owner)
        client.force_login(owner)
        assert "Your budget" not in page(client, "/")
        assert "No limit counts your calls" in page(client, "/budgets/")

    def test_staff_see_the_fullest_budgets_of_all(self, client, workspace, owner, member, staff):
        make_limit("10", scope="each_user", name="A day of each")
        make_limit("1000", name="Everybody")
        for user, amount in ((owner, "9"), (member, "1")):
            hold(amount, user)
        workspace.call(user=owner)
        client.force_login(staff)
        html = page(client, "/").partition("Fullest budgets")[2]  # the chart above names limits too
        assert html.index("A day of each") < html.index("Everybody")
        assert re.search(rf"fullest: <bdi[^>]*>{owner.email}</bdi>", html)

    def test_login_is_needed(self, client):
        assert client.get("/budgets/").status_code == 302


class TestCharts:
    """What `/budgets/<id>/` draws, read from the table that says the same."""

    def chart(self, client, path: str) -> dict:
        [data] = re.findall(r'<script id="(?:burn|windows)" type="application/json">(.*?)</script>', page(client, path))
        return json.loads(data)

    def test_a_window_beside_an_even_pace_and_the_range_of_its_forecast(self, client, workspace, owner, staff):
        limit = make_limit("10", scope="everyone", period="month")
        for day in range(40):
            workspace.call(user=owner, days_ago=day + 0.01)
        client.force_login(staff)
        data = self.chart(client, f"/budgets/{limit.pk}/")
        drawn = {one["name"]: one["values"] for one in data["series"]}
        assert (drawn["Even pace"][0], drawn["Even pace"][-1]) == (0, 10)
        assert drawn["Spent"][0] == 0 and data["lines"][0]["value"] == 10
        if drawn["Spent"][-1] is None:  # not the last day of the month
            low, high = (drawn[name][-1] for name in data["band"])
            assert low <= drawn["Forecast"][-1] <= high

    def test_where_no_past_is_kept_by_time_the_windows_stand_side_by_side(self, client, workspace, owner):
        limit = make_limit("1", scope="each_user", period="day")
        for day in (2, 1, 0):
            at = timezone.now() - timedelta(days=day)
            operations.post(Call(at=at, user=owner.pk), call_id=new_id(), cost=D("0.1") * (day + 1), now=at)
        client.force_login(owner)
        data = self.chart(client, f"/budgets/{limit.pk}/")
        assert data["series"][0]["values"] == [0.3, 0.2, 0.1] and data["lines"][0]["value"] == 1

    def test_or_those_of_this_period(self, client, owner, staff):
        limit = make_limit("5", scope="each_analysis", period="total")
        for name, cost in (("song-1", "2"), ("song-2", "3")):
            now = timezone.now()
            operations.post(Call(at=now, user=owner.pk, analysis=name), call_id=new_id(), cost=D(cost), now=now)
        client.force_login(staff)
        data = self.chart(client, f"/budgets/{limit.pk}/")
        assert (data["labels"], data["series"][0]["values"]) == (["song-2", "song-1"], [3.0, 2.0])


class TestAsking:
    @pytest.fixture
    def limit(self, client, owner):
        client.force_login(owner)
        return make_limit("1", scope="each_user")

    def form(self, **fields) -> dict:
        until = timezone.now() + timedelta(days=2)
        return {"amount": "5", "until": f"{until:%Y-%m-%dT%H:%M}", "why": "a demo for a customer", **fields}

    def test_asked_approved_and_spent(self, client, limit, owner, member, staff):
        response = client.post(f"/budgets/{limit.pk}/ask/", self.form(), follow=True)
        assert "It counts once it is approved" in response.content.decode()
        assert "not yet" in page(client, "/budgets/")
        asked = BudgetIncrease.objects.get()
        assert (asked.subject, asked.asked_by, asked.status) == (f"user:{owner.pk}", owner, "asked")
        with pytest.raises(operations.BudgetExceeded):
            hold("4", owner)

        decide_increase(asked, approve=True, by=staff, at=timezone.now(), note="good luck")

        hold("4", owner)
        with pytest.raises(operations.BudgetExceeded):
            hold("4", member)  # it was for the asker alone
        html = page(client, "/budgets/")
        assert "approved" in html and "good luck" in html
        trail = [(one.what, one.by) for one in LimitChange.objects.order_by("pk")][1:]
        assert trail == [("increase asked", owner), ("increase approved", staff)]

    @pytest.mark.parametrize(
        ("fields", "says"),
        [
            ({"amount": "0"}, "greater than or equal to 0.01"),
            ({"amount": "lots"}, "Enter a number."),
            ({"until": "2020-01-01T00:00"}, "The increase would have ended already."),
            ({"until": "soon"}, "Enter a valid date/time."),
            ({"why": "  "}, "This field is required."),
        ],
    )
    def test_what_is_wrong_is_said(self, client, limit, fields, says):
        assert says in client.post(f"/budgets/{limit.pk}/ask/", self.form(**fields)).content.decode()
        assert not BudgetIncrease.objects.exists()

    def test_the_same_question_waits_for_its_answer(self, client, limit):
        client.post(f"/budgets/{limit.pk}/ask/", self.form())
        html = client.post(f"/budgets/{limit.pk}/ask/", self.form()).content.decode()
        assert "You have asked for this already." in html
        assert BudgetIncrease.objects.count() == 1

    def test_only_for_limits_of_staff_that_bind_him(self, client, limit, owner, member):
        others = make_limit("1", scope="user", user=member)
        update_budget_config(owner, daily_limit="2")
        own = owner.own_limits.get()
        for one in (others, own):
            assert client.get(f"/budgets/{one.pk}/ask/").status_code == 404
            assert client.post(f"/budgets/{one.pk}/ask/", self.form()).status_code == 404
        assert client.get("/budget/999999/ask/").status_code == 404

    def test_a_forged_form_is_refused(self, limit, owner):
        from django.test import Client

        strict = Client(enforce_csrf_checks=True)
        strict.force_login(owner)
        assert strict.post(f"/budgets/{limit.pk}/ask/", self.form()).status_code == 403


class TestCommandLine:
    def test_monitor_shows_where_budgets_stand(self, workspace, owner):
        make_limit("10", scope="each_user", name="A day of each")
        hold("9", owner, cost="9")
        told = io.StringIO()
        call_command("monitor_ai_costs", stdout=told)
        assert "Budgets, the fullest" in told.getvalue()
        assert f"A day of each ({owner.email})" in " ".join(told.getvalue().split())
        assert "warning 90.0 %" in told.getvalue()
        told = io.StringIO()
        call_command("monitor_ai_costs", stdout=told, user=owner.email, json=True)
        line = json.loads(told.getvalue())["budgets"][0]
        assert {name: line[name] for name in ("limit", "spent", "held", "remaining", "percent", "status")} == {
            "limit": "10", "spent": "9", "held": "0", "remaining": "1", "percent": "90.0", "status": "warning",
        }  # fmt: skip
        assert line["resets_at"] and "forecast" in line

    def test_monitor_is_silent_about_budgets_where_there_are_none(self, workspace, owner):
        workspace.call(user=owner)
        told = io.StringIO()
        call_command("monitor_ai_costs", stdout=told)
        assert "Budgets" not in told.getvalue()

    def test_the_doctor_says_which_limit_refuses_whom_and_until_when(self, owner, member):
        now = timezone.now()
        assert "There are none" in check_limits(now=now).text
        make_limit("1", scope="each_user", name="A day of each")
        make_limit("100", name="Everybody")
        assert "None is reached" in check_limits(now=now).text
        hold("1", owner, cost="1")
        hold("0.1", member, cost="0.1")
        found = check_limits(now=timezone.now())
        assert found.level == "note"
        assert found.text.startswith(
            f"Budget limit exceeded: A day of each ({owner.email}) has $1.00 spent of $1.00, resets "
        )
        assert member.email not in found.text and "Everybody" not in found.text
        assert "Raise the limit, give a temporary increase, or make it soft" in found.todo

    def test_the_doctor_knows_budgets_too_full_for_a_call_and_users_own_limits(self, owner):
        update_budget_config(owner, daily_limit="1")
        hold("0.9", owner, cost="0.9")
        with pytest.raises(operations.BudgetExceeded):
            hold("0.5", owner)
        found = check_limits(now=timezone.now())
        assert "has $0.90 spent of $1.00" in found.text
        assert "A user's own limit he raises himself" in found.todo


class TestOwnLimits:
    def test_a_user_sets_his_own_limits_on_the_page(self, client, owner):
        client.force_login(owner)
        sent = {"daily_limit": "2.50", "monthly_limit": "", "alert_percent": "75", "pause_on_exceed": "on"}
        response = client.post("/budgets/own/", sent)
        assert response.status_code == 302 and response.headers["Location"] == "/budgets/"
        (limit,) = _limits_of(owner)
        assert (limit.period, limit.amount, limit.pause_on_exceed) == ("day", D("2.5"), True)
        assert 'value="2.5"' in page(client, "/budgets/own/") and 'value="75"' in page(client, "/budgets/own/")

    def test_what_cannot_be_is_said_at_its_field(self, client, owner):
        client.force_login(owner)
        body = client.post("/budgets/own/", {"daily_limit": "-1", "alert_percent": "101"}).content.decode()
        assert "greater than or equal to 0" in body and "less than or equal to 100" in body
        assert not _limits_of(owner)


def _limits_of(owner) -> list[BudgetLimit]:
    return list(BudgetLimit.objects.filter(owner=owner))
