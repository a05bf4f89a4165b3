"""Page, command line, API and export of the same filter tell the same numbers."""

import csv
import io
import json
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.test import Client

from tracking.periods import today

pytestmark = pytest.mark.django_db
#: Budgets are read and changed on connections of their own, which see what is committed.
committed = pytest.mark.django_db(transaction=True)

CM, V1 = "/api/cost-monitoring", "/api/v1"


def command(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("monitor_ai_costs", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


@pytest.mark.parametrize("who", ["alice", "everybody"])
def test_four_ways_to_the_same_sum(request, month_of_calls, ledger, owner, staff, who):
    caller = request.getfixturevalue("alice" if who == "alice" else "dora")
    params = {} if who == "alice" else {"user": "all"}
    arguments = ["--user", owner.email] if who == "alice" else []
    page = Client()
    page.force_login(owner if who == "alice" else staff)

    told = command("--days", "30", *arguments)
    summary = caller.get(f"{V1}/monitoring/ai-costs/summary", days=30, **params)
    report = caller.get(f"{V1}/reports", group_by="day", **params)["groups"]
    trends = caller.get(f"{CM}/dashboard", **params)["trends"]
    export = caller.ask("GET", f"{CM}/export?format=csv" + ("&user=all" if params else ""))
    rows = list(csv.DictReader(io.StringIO(b"".join(export.streaming_content).decode("utf-8-sig"))))
    chart = page.get("/").context["chart"].bars

    cost = Decimal(told["totals"]["cost_usd"])
    assert cost > 0
    assert cost == Decimal(str(summary["total_cost"]))
    assert cost == sum(Decimal(group["cost"]) for group in report)
    assert cost == round(sum(Decimal(str(day["cost"])) for day in trends), 9)
    assert cost == sum(bar.day.cost for bar in chart)
    assert cost == sum(Decimal(row["cost_usd"] or 0) for row in rows)

    calls = told["totals"]["calls"]
    assert calls == summary["calls"] == sum(group["calls"] for group in report) == sum(day["count"] for day in trends)
    assert calls == sum(bar.day.calls for bar in chart) == len(rows)
    assert told["totals"]["unpriced"] == summary["unpriced_calls"] == sum(group["unpriced_calls"] for group in report)


def test_models_and_features_agree(alice, month_of_calls, owner):
    told = command("--days", "30", "--user", owner.email)
    summary = alice.get(f"{V1}/monitoring/ai-costs/summary", days=30)
    for name in ("model", "feature"):
        report = {one["group"][name]: one["cost"] for one in alice.get(f"{V1}/reports", group_by=name)["groups"]}
        by_command = {one[name]: one["cost_usd"] for one in told[f"by_{name}"]}
        by_summary = {one["name"]: one["total_cost"] for one in summary[f"by_{name}"]}
        assert report == by_command
        assert {key: float(value) for key, value in report.items()} == by_summary


def test_a_days_list_of_calls_adds_up_to_its_sum(alice, month_of_calls, ledger):
    period = today(ledger.now)
    ends = {"since": period.start.isoformat(), "until": period.end.isoformat()}
    calls = alice.get(f"{V1}/usage", **ends)["usage"]
    listed = sum(Decimal(call["cost"] or 0) for call in calls)
    summary = alice.get(f"{CM}/summary", period="today")["summary"]
    (group,) = alice.get(f"{V1}/reports", group_by="day", **ends)["groups"]
    assert listed == Decimal(str(summary["totalCost"])) == Decimal(group["cost"])
    assert len(calls) == summary["count"] == group["calls"]


@committed
def test_the_budget_reads_the_same_everywhere(alice, month_of_calls, owner):
    alice.ask("PUT", f"{CM}/budget", {"dailyLimit": "1"})
    first = alice.get(f"{CM}/budget")["budget"]
    (second,) = alice.get(f"{V1}/monitoring/ai-costs/budget-status")["limits"]
    (third,) = alice.get(f"{V1}/budgets")["budgets"]
    (fourth,) = command("--user", owner.email)["budgets"]
    page = Client()
    page.force_login(owner)
    (fifth,) = page.get("/budget/").context["budget_lines"]
    assert first["dailySpent"] == second["spent"] == float(third["now"]["spent"]) == float(fourth["spent"])
    assert Decimal(third["now"]["remaining"]) == fifth.remaining == Decimal(fourth["remaining"])
    assert first["dailyRemaining"] == second["remaining"] == float(fifth.remaining)
