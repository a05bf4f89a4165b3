"""Page, command line, API and export of the same filter tell the same numbers."""

import csv
import io
import json
import uuid
from datetime import timedelta
from decimal import Decimal
from urllib.parse import urlencode

import pytest
from django.core.management import call_command
from django.test import Client

from tracking.models import ApiUsageLog, Rate
from tracking.periods import today
from tracking.repricing import reprice

pytestmark = pytest.mark.django_db
#: Budgets are read and changed on connections of their own, which see what is committed.
committed = pytest.mark.django_db(transaction=True)

CM, V1 = "/api/cost-monitoring", "/api/v1"


def command(*arguments: str) -> dict:
    out = io.StringIO()
    call_command("monitor_ai_costs", "--json", *arguments, stdout=out)
    return json.loads(out.getvalue())


def exported(*arguments: str) -> list[dict]:
    """What `manage.py export` writes."""
    out = io.StringIO()
    call_command("export", "-", "--days", "30", *arguments, stdout=out)
    return list(csv.DictReader(io.StringIO(out.getvalue().removeprefix("\ufeff"))))


@pytest.fixture(params=["UTC", "Asia/Kolkata", "America/Los_Angeles"])
def corrected(request, settings, ledger, owner, member):
    """Calls on both sides of midnight; of those without a price one that got it later, one whose result came later;
    one whose hold expired before it was told, under other names than were held for.
    """
    settings.TIME_ZONE = request.param
    midnight = today(ledger.now).starts_at
    for seconds in (-1, 0, 1):
        ago = (ledger.now - midnight).total_seconds() - seconds
        if ago > 1:
            ledger.call(owner, feature="pitch", analysis="track-1", days_ago=(ago - 1) / 86_400)
    pending = {"kind": "pending", "status": "pending", "usage": None, "quality": "none", "result_key": "openai:resp_1"}
    ledger.call(owner, feature="critique", days_ago=2, **pending)
    ledger.call(owner, feature="critique", days_ago=1, kind="result", result_key="openai:resp_1")
    ledger.call(owner, model="our-model", feature="pitch", days_ago=4)
    ledger.call(owner, model="nobodys-model", feature="pitch", days_ago=5)
    ledger.call(owner, feature="critique", model="gpt-4o", status="error", http_status=500, usage=None)
    ledger.minute_of_whisper(owner, analysis="track-1")
    ledger.call(member, feature="pitch", model="gpt-4o")
    ledger.call(None)
    for meter in ("input_tokens", "output_tokens"):
        Rate.objects.create(provider="openai", model="our-model", meter=meter, amount=1, own=True, source="us")
    assert reprice(now=ledger.now).priced == 1
    late, when = str(uuid.uuid4()), ledger.now - timedelta(days=1)
    told = {"id": late, "at_us": int(when.timestamp() * 1_000_000)}
    unknown = {"status": "unknown", "quality": "estimated", "usage": None, "cost_usd": "0.5", "operation": "other"}
    ledger.call(owner, model="gpt-4o", feature="held", tags={"team": "green"}, endpoint="", **unknown, **told)
    ledger.call(owner, feature="told", analysis="track-1", tags={"team": "grey"}, **told)
    assert ApiUsageLog.objects.exclude(corrects=None).count() == 4
    return request.param


FILTERS = [
    {},
    {"feature": "pitch"},
    {"feature": "critique"},
    {"model": "our-model"},
    {"model": "gpt-4o-mini", "feature": "pitch"},
    {"provider": "openai"},
    {"service": "whisper"},
    {"analysis": "track-1"},
    {"feature": "nothing"},
    {"feature": "held"},
    {"feature": "told"},
    {"service": "chat"},
    {"service": "other"},
    {"status": "ok"},
    {"status": "error"},
    {"status": "unknown"},
    {"status": "ok", "feature": "held"},
    {"status": "pending"},
]


@pytest.mark.parametrize("who", ["alice", "everybody"])
def test_every_way_to_the_same_sum(request, corrected, owner, staff, who):
    """The report, its export, the dashboard's figures and chart, and the command's export, of the same filter."""
    caller = request.getfixturevalue("alice" if who == "alice" else "dora")
    params = {} if who == "alice" else {"user": "all"}
    page = Client()
    page.force_login(owner if who == "alice" else staff)
    seen, drawn = set(), 0
    for filters in FILTERS:
        arguments = [f"--{name}={value}" for name, value in filters.items()]
        rows = exported(*arguments, *(["--user", owner.email] if who == "alice" else []))
        asked = urlencode({"format": "csv", **filters, **params})
        answer = caller.ask("GET", f"{V1}/usage/export?{asked}")
        by_api = csv.DictReader(io.StringIO(b"".join(answer.streaming_content).decode("utf-8-sig")))
        groups = caller.get(f"{V1}/reports", group_by="day", **filters, **params)["groups"]
        shown = page.get("/", {"period": "30d", **filters}).context
        # The overview shows only what sums are kept of: it says so of the rest, and leads to the calls.
        assert not shown["not_kept"] or {"analysis", "status"} & filters.keys() or len(filters) > 1, filters

        def sums(found):
            found = list(found)
            costs = sum((Decimal(row["cost_usd"] or 0) for row in found), Decimal(0))
            return costs, len(found), sum(row["price_status"] == "unpriced" for row in found)

        told = sums(rows)
        seen.add(told)
        assert told == sums(by_api), filters
        reported = [sum(Decimal(group["cost"]) for group in groups)]
        reported += [sum(group[name] for group in groups) for name in ("calls", "unpriced_calls")]
        assert told == tuple(reported), filters
        if not shown["not_kept"]:
            assert told == tuple(shown["total"][name] for name in ("cost", "calls", "unpriced")), filters
            chart = shown["chart"]
            drawn += chart is not None
            assert chart is None or told[0] == sum(sum(filter(None, one.values)) for one in chart.series), filters
    assert len(seen) >= 6 and drawn >= 3, "filters that tell something apart"


@pytest.mark.parametrize("who", ["alice", "everybody"])
def test_the_command_and_both_documents_tell_the_same(request, corrected, owner, staff, who):
    caller = request.getfixturevalue("alice" if who == "alice" else "dora")
    params = {} if who == "alice" else {"user": "all"}
    arguments = ["--user", owner.email] if who == "alice" else []
    told = command("--days", "30", *arguments)["totals"]
    summary = caller.get(f"{V1}/monitoring/ai-costs/summary", days=30, **params)
    groups = caller.get(f"{V1}/reports", group_by="day", **params)["groups"]
    trends = caller.get(f"{CM}/dashboard", **params)["trends"]
    rows = exported(*arguments)

    cost = Decimal(told["cost_usd"])
    assert cost == Decimal(str(summary["total_cost"])) == sum(Decimal(group["cost"]) for group in groups) > 0
    assert cost == round(sum(Decimal(str(day["cost"])) for day in trends), 9)
    assert cost == sum(Decimal(row["cost_usd"] or 0) for row in rows)
    assert told["calls"] == summary["calls"] == sum(day["count"] for day in trends) == len(rows)
    assert told["unpriced"] == summary["unpriced_calls"] == sum(group["unpriced_calls"] for group in groups) == 1


def test_a_tag_and_a_key_mean_the_same_everywhere(alice, ledger, owner):
    """The report, the list, the export and the command's export; the dashboard shows no sums of them."""
    key = {"api_key": "key_one"}
    ledger.call(owner, tags={"team": "blue", **key})
    ledger.call(owner, tags={"team": "blue", "city": "Graz"}, days_ago=3)
    ledger.call(owner, tags={"team": "red", **key}, model="gpt-4o")
    ledger.call(owner)
    for filters, count in (
        ({"tag:team": "blue"}, 2), ({"tag:team": "red"}, 1), (key, 2), ({"tag:team": "blue", **key}, 1),
        ({"tag:team": "blue", "tag:city": "Graz"}, 1), ({"tag:team": "green"}, 0),
    ):  # fmt: skip
        groups = alice.get(f"{V1}/reports", **{"group_by": "day", **filters})["groups"]
        told = sum(Decimal(group["cost"]) for group in groups), sum(group["calls"] for group in groups)
        assert told[1] == count and (told[0] > 0) == (count > 0)
        listed = alice.get(f"{V1}/usage", **filters)["usage"]
        assert told == (sum(Decimal(call["cost"]) for call in listed), len(listed)), filters
        file = alice.ask("GET", f"{V1}/usage/export?{urlencode({'format': 'ndjson', **filters})}")
        lines = [json.loads(line) for line in b"".join(file.streaming_content).splitlines()]
        assert told == (sum(Decimal(line["cost_usd"]) for line in lines), len(lines)), filters
        names = {name.removeprefix("tag:"): value for name, value in filters.items()}
        arguments = [f"--api-key={v}" if n == "api_key" else f"--tag={n}={v}" for n, v in names.items()]
        rows = exported(*arguments)
        assert told == (sum(Decimal(row["cost_usd"]) for row in rows), len(rows)), filters
    assert alice.ask("GET", f"{V1}/usage?tag:=x").status_code == 400


def test_an_export_covers_what_a_report_covers(alice, ledger, owner):
    """A call that was told a little early, by a clock that is ahead, is in both; unless tomorrow begins before it."""
    ledger.call(owner, days_ago=-4 / 1440)
    ledger.call(owner, days_ago=29.9)
    calls = sum(group["calls"] for group in alice.get(f"{V1}/reports", group_by="day")["groups"])
    file = alice.ask("GET", f"{V1}/usage/export?format=ndjson")
    assert len(b"".join(file.streaming_content).splitlines()) == calls == len(exported())


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
    (fifth,) = page.get("/budgets/").context["budget_lines"]
    assert first["dailySpent"] == second["spent"] == float(third["now"]["spent"]) == float(fourth["spent"])
    assert Decimal(third["now"]["remaining"]) == fifth.remaining == Decimal(fourth["remaining"])
    assert first["dailyRemaining"] == second["remaining"] == float(fifth.remaining)
