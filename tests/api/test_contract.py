"""Both documents' endpoints: the lines they print work as they stand, and answer what the contract says."""

import re
from datetime import date, timedelta

import pytest
from django.utils import timezone

from tests.api.conftest import DASHBOARD, Caller

pytestmark = pytest.mark.django_db
#: Budgets are read and changed on connections of their own, which see what is committed.
committed = pytest.mark.django_db(transaction=True)

FAMILY = "/api/cost-monitoring"
AI = "/api/v1/monitoring/ai-costs"


def test_the_fetch_line_of_the_first_document(month_of_calls, owner):
    """`fetch('/api/cost-monitoring/summary?period=month')` from a page of a browser that is logged in."""
    browser = Caller("browser")
    browser.client.force_login(owner)
    summary = browser.get(f"{FAMILY}/summary?period=month")["summary"]
    assert f"Total cost: ${summary['totalCost']:.4f}".startswith("Total cost: $0.00")
    assert isinstance(summary["totalCost"], float)
    assert summary["byService"]["whisper"] == {"cost": 0.006, "count": 1}
    assert set(summary) >= {
        "period", "start", "end", "totalCost", "count", "unpricedCount", "byService", "byModel", "byFeature",
        "inputTokens", "outputTokens", "audioMinutes", "characters",
    }  # fmt: skip
    assert summary["audioMinutes"] == 1.0 and summary["unpricedCount"] == 1


@pytest.mark.parametrize("period", ["today", "week", "month"])
def test_a_summary_tells_its_period_with_offset(alice, month_of_calls, period):
    summary = alice.get(f"{FAMILY}/summary", period=period)["summary"]
    assert summary["period"] == period
    assert summary["start"] < timezone.now().isoformat() < summary["end"]
    assert re.search(r"(Z|[+-]\d\d:\d\d)$", summary["start"])


def test_the_dashboard_in_one_call(alice, month_of_calls):
    data = alice.get(DASHBOARD)
    assert set(data) >= {
        "today", "week", "month", "trends", "byService", "byModel", "byFeature", "budget", "alerts", "recent",
    }  # fmt: skip
    assert data["today"]["count"] == 3 and data["today"]["unpricedCount"] == 1
    assert len(data["trends"]) == 30 and data["trends"][-1]["date"] == timezone.now().date().isoformat()
    assert sum(day["count"] for day in data["trends"]) == 4
    assert data["alerts"] == [] and data["unreadCount"] == 0
    assert [log["id"] for log in data["recent"]][-1] == str(month_of_calls["older"])
    assert data["budget"]["dailyLimit"] is None
    assert "secret-of-bob" not in str(data)


def test_the_usage_logs_of_the_first_document(alice, month_of_calls):
    """GET /api/cost-monitoring/usage-logs?service=whisper&limit=100"""
    page = alice.get(f"{FAMILY}/usage-logs?service=whisper&limit=100")
    assert [log["id"] for log in page["logs"]] == [str(month_of_calls["whisper"])]
    assert page["next"] is None
    assert page["logs"][0] | {"cost": 0.006, "model": "whisper-1", "audioMinutes": 1.0} == page["logs"][0]


def test_pages_of_usage_logs_lead_to_every_call_once(alice, month_of_calls):
    seen, cursor = [], ""
    while cursor is not None:
        page = alice.get(f"{FAMILY}/usage-logs", limit=1, **({"cursor": cursor} if cursor else {}))
        seen += [log["id"] for log in page["logs"]]
        cursor = page["next"]
    assert len(seen) == len(set(seen)) == 4


@pytest.mark.parametrize(
    ("params", "names"),
    [
        ({"model": "gpt-99"}, ["unpriced"]),
        ({"provider": "anthropic"}, []),
        ({"feature": "pitch"}, ["chat"]),
        ({"analysis": "track-1", "service": "chat"}, ["chat", "older"]),
        ({"status": "error"}, []),
        ({"price_status": "unpriced"}, ["unpriced"]),
        ({"until": (date.today() - timedelta(days=1)).isoformat()}, ["older"]),
    ],
)
def test_filters_of_usage_logs(alice, month_of_calls, params, names):
    found = {log["id"] for log in alice.get(f"{FAMILY}/usage-logs", **params)["logs"]}
    assert found == {str(month_of_calls[name]) for name in names}


@committed
def test_the_budget_line_of_the_first_document(alice, owner):
    """PUT /api/cost-monitoring/budget with the body that it prints."""
    body = b'{"dailyLimit": 10.00, "monthlyLimit": 200.00, "alertThreshold": 0.8, "pauseOnExceed": true}'
    response = alice.ask("PUT", f"{FAMILY}/budget", body)
    assert response.status_code == 200, response.content
    budget = response.json()["budget"]
    assert budget == alice.get(f"{FAMILY}/budget")["budget"]
    assert (budget["dailyLimit"], budget["monthlyLimit"], budget["alertThreshold"]) == (10, 200, 0.8)
    assert (budget["alertsEnabled"], budget["pauseOnExceed"]) == (True, True)
    assert (budget["dailySpent"], budget["dailyRemaining"], budget["monthlyRemaining"]) == (0, 10, 200)
    assert set(budget["resetsAt"]) == {"daily", "monthly"}


@committed
def test_a_limit_is_lifted_by_null_and_blocks_at_zero(alice):
    assert alice.ask("PUT", f"{FAMILY}/budget", {"dailyLimit": 0}).json()["budget"]["dailyLimit"] == 0
    changed = alice.ask("PUT", f"{FAMILY}/budget", {"dailyLimit": None}).json()["budget"]
    assert changed["dailyLimit"] is None and changed["dailyRemaining"] is None


@committed
@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dailyLimit", b"-1"),
        ("dailyLimit", b"1e999"),
        ("monthlyLimit", b'"many"'),
        ("monthlyLimit", b"true"),
        ("dailyLimit", b"0.0000000001"),
        ("alertThreshold", b"0"),
        ("alertThreshold", b"1.01"),
        ("alertThreshold", b"null"),
        ("alertsEnabled", b'"perhaps"'),
        ("limit", b"5"),
    ],
)
def test_what_cannot_be_meant_changes_nothing_and_names_the_field(alice, field, value):
    assert alice.ask("PUT", f"{FAMILY}/budget", {"dailyLimit": 7}).status_code == 200
    body = b'{"dailyLimit": 9, "' + field.encode() + b'": ' + value + b"}"
    if field == "dailyLimit":
        body = b'{"monthlyLimit": 9, "' + field.encode() + b'": ' + value + b"}"
    response = alice.ask("PUT", f"{FAMILY}/budget", body)
    assert response.status_code == 400, response.content
    assert response.headers["Content-Type"] == "application/problem+json"
    assert list(response.json()["errors"]) == [field]
    budget = alice.get(f"{FAMILY}/budget")["budget"]
    assert (budget["dailyLimit"], budget["monthlyLimit"]) == (7, None)


@pytest.mark.parametrize(
    "body", [b"NaN", b'{"dailyLimit": NaN}', b'{"dailyLimit": Infinity}', b"[1]", b"{", b"\xff", b"[" * 50_000]
)
def test_what_is_no_json_is_told_as_a_problem(alice, body):
    response = alice.ask("PUT", f"{FAMILY}/budget", body)
    assert response.status_code == 400, response.content
    assert response.json()["status"] == 400


def test_the_curl_lines_of_the_second_document(anonymous, owner, month_of_calls):
    """Log in, then ask with the token, as it prints."""
    answer = anonymous.ask("POST", "/api/v1/auth/login", {"email": owner.email, "password": "correct horse"})
    assert answer.status_code == 200, answer.content
    assert set(answer.json()) == {"access_token", "token_type", "expires_at"}
    assert answer.json()["token_type"] == "bearer"
    alice = Caller("alice", answer.json()["access_token"])
    summary = alice.get(f"{AI}/summary?days=30")
    assert set(summary) >= {
        "days", "start", "end", "total_cost", "calls", "unpriced_calls", "input_tokens", "output_tokens", "by_feature",
        "by_model", "by_service", "average_cost_per_analysis", "top_users",
    }  # fmt: skip
    assert (summary["days"], summary["calls"], summary["unpriced_calls"]) == (30, 4, 1)
    assert summary["total_cost"] == 0.0069
    assert summary["average_cost_per_analysis"] == 0.0069
    assert summary["top_users"] == []
    status = alice.get(f"{AI}/budget-status")
    assert status == {"analysis_max_usd": None, "user_daily_max_usd": None, "limits": []}


def test_daily_has_every_day(alice, month_of_calls):
    days = alice.get(f"{AI}/daily", days=7)["days"]
    assert [day["calls"] for day in days] == [0, 0, 0, 1, 0, 0, 3]
    assert days[-1]["by_model"]["whisper-1"] == {"total_cost": 0.006, "calls": 1}
    assert days[0]["by_model"] == {}


def test_tracks_are_analyses_with_the_dearest_first(dora, alice, month_of_calls):
    tracks = dora.get(f"{AI}/tracks", limit=10, user="all")["tracks"]
    assert [track["analysis_id"] for track in tracks] == ["track-of-bob", "track-1"]
    assert tracks[1]["by_model"] == {"whisper-1": 0.006, "gpt-4o-mini": 0.0009}
    assert tracks[1]["by_feature"] == {"": 0.006, "critique": 0.00045, "pitch": 0.00045}
    assert tracks[1]["first_call_at"] < tracks[1]["last_call_at"]
    assert [track["analysis_id"] for track in alice.get(f"{AI}/tracks")["tracks"]] == ["track-1"]


@committed
def test_the_budget_status_tells_limits_of_the_user_with_forecasts(alice, settings, month_of_calls):
    alice.ask("PUT", f"{FAMILY}/budget", {"dailyLimit": 10})
    (limit,) = alice.get(f"{AI}/budget-status")["limits"]
    assert set(limit) >= {
        "scope", "period", "limit", "spent", "held", "remaining", "percent", "status", "resets_at", "forecast",
    }  # fmt: skip
    assert (limit["scope"], limit["period"], limit["limit"], limit["status"]) == ("user", "day", 10, "ok")
    assert limit["spent"] == 0.00645


def test_staff_see_everybody_and_who_spent_most(dora, month_of_calls, owner, member):
    summary = dora.get(f"{AI}/summary", user="all")
    assert summary["calls"] == 6
    assert [one["email"] for one in summary["top_users"]] == [member.email, owner.email]
    assert dora.get(f"{AI}/summary")["calls"] == 0, "without ?user= also staff see their own"
    assert dora.get(f"{AI}/summary", user=owner.pk)["calls"] == 4


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (f"{FAMILY}/summary?period=year", "today, week, month"),
        (f"{FAMILY}/summary?perod=week", "period"),
        (f"{FAMILY}/usage-logs?service=fax", "whisper"),
        (f"{FAMILY}/usage-logs?limit=0", "1 to 1000"),
        (f"{FAMILY}/usage-logs?limit=1001", "1 to 1000"),
        (f"{FAMILY}/usage-logs?limit=ten", "1 to 1000"),
        (f"{FAMILY}/usage-logs?since=yesterday", "2026-11-22"),
        (f"{FAMILY}/usage-logs?since=2026-02-02&until=2026-01-01", "after since"),
        (f"{FAMILY}/usage-logs?cursor=abc", "not a cursor"),
        (f"{FAMILY}/usage-logs?model=a&model=b", "once"),
        (f"{AI}/daily?days=0", "1 to 1000"),
        (f"{AI}/tracks?days=3", "limit"),
        (f"{FAMILY}/dashboard?format=json", "user"),
    ],
)
def test_what_is_not_valid_is_answered_with_what_is(alice, path, named):
    response = alice.ask("GET", path)
    assert response.status_code == 400, response.content
    assert named in response.json()["detail"]
