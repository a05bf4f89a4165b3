"""Grouped sums: from the narrowest rollup that has the dimensions, else from the ledger, and always the same."""

from contextlib import contextmanager
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from time import monotonic
from zoneinfo import ZoneInfo

import pytest

from tests.api.conftest import key_for, query
from tracking import reports
from tracking.models import ApiUsageLog
from tracking.reports import Ask

pytestmark = pytest.mark.django_db

REPORTS = "/api/v1/reports"
_ONE = ("0.00045", 1)


@contextmanager
def slow_reading(table: str = "tracking_apiusagelog"):
    """Every read of the ledger, or of `table`, takes its time: a function of the database is called for each row."""
    from django.db import connection

    def slowly(execute, sql, params, many, context):
        if table not in sql or not sql.startswith("SELECT"):
            return execute(sql, params, many, context)
        wait = "(SELECT pg_sleep(1)) IS NOT NULL"
        if connection.vendor == "sqlite":
            count = "WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < 3000000)"
            wait = f"({count} SELECT max(k) FROM n) > 0"
        return execute(sql.replace(" WHERE ", f" WHERE {wait} AND ", 1), params, many, context)

    with connection.execute_wrapper(slowly):
        yield


def groups(answer: dict) -> dict[tuple, tuple[str, int]]:
    return {tuple(one["group"].values()): (one["cost"], one["calls"]) for one in answer["groups"]}


@pytest.mark.parametrize(
    ("group_by", "source", "expected"),
    [
        ("service", "daily_user_model", {("chat",): ("0.0009", 3), ("whisper",): ("0.006", 1)}),
        (
            "feature",
            "daily_user_feature",
            {("",): ("0.006", 2), ("pitch",): ("0.00045", 1), ("critique",): ("0.00045", 1)},
        ),
        ("provider", "daily_user_model", {("openai",): ("0.0069", 4)}),
        ("feature", "daily_user_feature", {("",): ("0.006", 2), ("pitch",): _ONE, ("critique",): _ONE}),
        ("tag:team", "ledger", {("blue",): ("0.00045", 1), ("",): ("0.00645", 3)}),
        ("analysis", "ledger", {("track-1",): ("0.0069", 3), ("",): ("0", 1)}),
        ("feature,service", "ledger", None),
        ("api_key", "daily_key", {("",): ("0.0069", 4)}),
    ],
)
def test_one_users_sums(alice, month_of_calls, group_by, source, expected):
    answer = alice.get(REPORTS, group_by=group_by)
    assert answer["source"] == source
    assert (answer["rows_read"] is None) == (source != "ledger")
    if expected is not None:
        assert groups(answer) == expected
    assert sum(Decimal(one["cost"]) for one in answer["groups"]) == Decimal("0.0069")


@pytest.mark.parametrize(
    ("params", "source"),
    [
        ({"group_by": "day"}, "daily_model"),
        ({"group_by": "user"}, "daily_user"),
        ({"group_by": "hour,model"}, "hourly_model"),
        ({"group_by": "day,provider"}, "daily_model"),
        ({"group_by": "user,api_key"}, "daily_key"),
        ({"group_by": "week,feature"}, "daily_feature"),
        ({"group_by": "user,feature"}, "daily_user_feature"),
        ({"group_by": "user,service", "model": "gpt-4o"}, "daily_user_model"),
        ({"group_by": "month", "feature": ""}, "daily_feature"),
        ({"group_by": "day", "tz": "America/New_York", "provider": "openai"}, "hourly_model"),
        ({"group_by": "day", "status": "ok"}, "ledger"),
        ({"group_by": "user", "analysis": "track-1"}, "ledger"),
        ({"group_by": "hour,user"}, "ledger"),
        ({"group_by": "day", "tag:team": "blue"}, "ledger"),
    ],
)
def test_everybodys_sums_come_from_the_narrowest_rollup(dora, month_of_calls, params, source):
    answer = dora.get(REPORTS, user="all", **params)
    assert answer["source"] == source, answer
    assert answer["groups"]


def test_every_rollup_tells_the_same_as_the_ledger(dora, month_of_calls):
    """Whatever is grouped: the sums of the groups are the sums of the ledger's rows."""
    cost = sum(row.cost or 0 for row in ApiUsageLog.objects.all())
    for group_by in (*reports.TIMES, *reports.NAMES, "tag:team"):
        if group_by in ("hour",):
            continue
        answer = dora.get(REPORTS, user="all", group_by=group_by)
        assert sum(Decimal(one["cost"]) for one in answer["groups"]) == cost, group_by
        assert sum(one["calls"] for one in answer["groups"]) == 6, group_by


def test_rollup_and_ledger_agree_group_by_group(month_of_calls, owner):
    now = datetime.now(UTC)
    ends = {"start": (now - timedelta(days=10)).replace(hour=0, minute=0, second=0, microsecond=0)}
    ends["end"] = ends["start"] + timedelta(days=11)
    asked = (("day",), ("model",), ("week", "service"), ("provider", "month"), ("feature",), ("user",), ("api_key",))
    for group_by in asked:
        ask = Ask(group_by=group_by, filters={"user": owner.pk}, **ends)
        fast = reports.report(ask, max_rows=0)
        rows = reports._from_ledger(ask, reports._ledger_rows(ask))
        slow = reports._grouped(ask, rows)
        assert fast.source != "ledger"
        assert fast.groups == slow, group_by


def test_hours_add_up_to_days_of_another_zone(dora, ledger, owner):
    at = datetime(2026, 10, 20, 2, 30, tzinfo=UTC)  # still the 19th in New York
    ledger.call(owner, at_us=int(at.timestamp() * 1_000_000))
    params = {"user": "all", "group_by": "day", "since": "2026-10-18", "until": "2026-10-22"}
    assert list(groups(dora.get(REPORTS, **params, provider="openai"))) == [("2026-10-20",)]
    answer = dora.get(REPORTS, **params, tz="America/New_York", provider="openai")
    assert list(groups(answer)) == [("2026-10-19",)] and answer["time_zone"] == "America/New_York"


def test_another_zone_is_refused_where_hours_do_not_tell(alice, dora, month_of_calls):
    for caller, params in ((alice, "tz=Asia/Tokyo"), (dora, "user=all&tz=Asia/Kolkata")):
        response = caller.ask("GET", f"{REPORTS}?group_by=day&{params}")
        assert response.status_code == 400
        assert "by the hour" in response.json()["errors"]["tz"][0]


def test_the_bound_of_rows_is_stated_when_it_is_passed(alice, month_of_calls, settings):
    settings.REPORT_MAX_ROWS = 3
    response = alice.ask("GET", f"{REPORTS}?group_by=tag:team")
    assert response.status_code == 400
    assert "more than 3 calls" in response.json()["detail"]
    assert alice.get(REPORTS, group_by="tag:team", feature="pitch")["rows_read"] == 1


def test_the_bound_of_time_is_stated_when_it_is_passed(alice, month_of_calls, settings):
    settings.REPORT_MAX_SECONDS = 1e-3
    with slow_reading():
        response = alice.ask("GET", f"{REPORTS}?group_by=tag:team")
    assert response.status_code == 400
    assert "more than 0.001 s" in response.json()["detail"]
    assert alice.get(REPORTS, group_by="model")["groups"]  # the connection goes on


def test_sums_are_bounded_in_time_too(alice, month_of_calls, settings):
    settings.REPORT_MAX_SECONDS = 1e-3
    with slow_reading("tracking_dailyusermodelrollup"):
        response = alice.ask("GET", f"{REPORTS}?group_by=day&provider=openai")
    assert response.status_code == 400 and "more than 0.001 s" in response.json()["errors"]["since"][0]
    assert alice.get(REPORTS, group_by="model")["groups"]


def test_days_are_those_of_the_zone_that_is_asked_for(dora, ledger, owner):
    for text in ("2025-11-01T21:00-04:00", "2025-11-03T13:00-05:00", "2025-11-03T21:00-05:00"):
        ledger.call(owner, at_us=int(datetime.fromisoformat(text).timestamp() * 1_000_000))
    params = {"user": "all", "group_by": "day", "provider": "openai", "tz": "America/New_York"}
    answer = dora.get(REPORTS, **params, since="2025-11-02", until="2025-11-04")
    assert (answer["start"], answer["end"]) == ("2025-11-02T00:00:00-04:00", "2025-11-04T00:00:00-05:00")
    assert {key: calls for key, (_, calls) in groups(answer).items()} == {("2025-11-03",): 2}
    assert dora.get(REPORTS, **params, since="2025-11-02T00:00", until="2025-11-04T00:00:00") == answer
    by_offset = dora.get(REPORTS, **params, since="2025-11-02T04:00:00Z", until="2025-11-04T05:00:00+00:00")
    assert by_offset == answer
    for tz in ("America/New_York", "Asia/Tokyo"):  # whose day it is now, is another's tomorrow
        answer = dora.get(REPORTS, **{**params, "tz": tz})
        ends = [datetime.fromisoformat(answer[name]).astimezone(ZoneInfo(tz)) for name in ("start", "end")]
        assert [at.time() for at in ends] == [time(0), time(0)]
        assert (ends[1].date() - ends[0].date()).days == 30
        assert ends[0] < datetime.now(UTC) < ends[1]


def test_a_zone_that_is_half_an_hour_off_for_a_part_of_the_year_is_refused(dora, ledger, owner):
    """The period begins, ends and has its middle in summer, when Lord Howe is eleven hours ahead."""
    for text in ("2025-01-10T12:00Z", "2025-06-10T13:45Z", "2026-01-10T12:00Z"):
        ledger.call(owner, at_us=int(datetime.fromisoformat(text).timestamp() * 1_000_000))
    params = {"user": "all", "group_by": "day", "tz": "Australia/Lord_Howe"}
    response = dora.ask("GET", f"{REPORTS}?{query({**params, 'since': '2025-01-01', 'until': '2027-01-01'})}")
    assert response.status_code == 400 and "by the hour" in response.json()["errors"]["tz"][0]
    summer = dora.get(REPORTS, **params, since="2025-01-01", until="2025-02-01")
    assert groups(summer) == {("2025-01-10",): _ONE}


def test_centuries_cost_what_their_calls_cost(dora, ledger, owner):
    """Not what their hours would: these are three millions, or seventy."""
    ledger.call(owner, at_us=int(datetime(2025, 7, 10, 23, 30, tzinfo=UTC).timestamp() * 1_000_000))
    ledger.call(owner, days_ago=1)
    for until, params in (
        ("2300-01-01", {"group_by": "day"}),
        ("9998-01-01", {"group_by": "day", "tz": "Europe/Vienna"}),
        ("9998-01-01", {"group_by": "month", "tz": "Europe/Vienna"}),
    ):
        began, group_by = monotonic(), params["group_by"]
        answer = dora.get(REPORTS, user="all", since="1970-01-01T01:00:00Z", until=f"{until}T01:00:00Z", **params)
        assert monotonic() - began < 5, "seconds"
        assert answer["source"] == "hourly_model"
        first = answer["groups"][0]["group"][group_by]
        assert first == {"day": "2025-07-11" if "tz" in params else "2025-07-10", "month": "2025-07-01"}[group_by]
        assert sum(one["calls"] for one in answer["groups"]) == 2
    whole = dora.get(REPORTS, group_by="month", user="all", since="1970-01-01", until="9998-01-01")
    assert sum(one["calls"] for one in whole["groups"]) == 2


def test_weeks_and_months_are_those_of_the_zone(dora, ledger, owner):
    for text in (
        "2026-03-01T04:30",
        "2026-03-08T06:30",
        "2026-03-09T02:30",
        "2026-11-02T03:30",
    ):  # in New York: the day before
        at = datetime.fromisoformat(f"{text}+00:00")
        ledger.call(owner, at_us=int(at.timestamp() * 1_000_000))
    params = {
        "user": "all",
        "provider": "openai",
        "since": "2026-02-01",
        "until": "2026-12-01",
        "tz": "America/New_York",
    }
    weeks = groups(dora.get(REPORTS, **params, group_by="week"))
    assert {key[0]: calls for key, (_, calls) in weeks.items()} == {
        "2026-02-23": 1, "2026-03-02": 2, "2026-10-26": 1,
    }  # fmt: skip
    months = groups(dora.get(REPORTS, **params, group_by="month"))
    assert {key[0]: calls for key, (_, calls) in months.items()} == {"2026-02-01": 1, "2026-03-01": 2, "2026-11-01": 1}


def test_pages_of_groups(alice, month_of_calls):
    first = alice.get(REPORTS, group_by="model", limit=1)
    assert (first["groups"][0]["group"], first["next"]) == ({"model": "whisper-1"}, "1")
    second = alice.get(REPORTS, group_by="model", limit=100, cursor=first["next"])
    assert [one["group"]["model"] for one in second["groups"]] == ["gpt-4o-mini", "gpt-99"]
    assert second["groups"][1]["unpriced_calls"] == 1 and second["next"] is None


def test_users_are_shown_with_their_email(dora, month_of_calls, member):
    answer = dora.get(REPORTS, user="all", group_by="user")
    dearest = answer["groups"][0]
    assert (dearest["group"], dearest["user_email"]) == ({"user": member.pk}, member.email)
    assert {"user": None} in [one["group"] for one in answer["groups"]]


def test_a_key_reads_its_own_account_only(owner, alice, month_of_calls):
    from tests.api.conftest import Caller

    key = Caller("key", key_for(owner, "read"))
    assert key.get(REPORTS, group_by="model") == alice.get(REPORTS, group_by="model")


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ("group_by=colour", "feature"),
        ("group_by=day,model,user", "one or two"),
        ("group_by=day,hour", "one or two"),
        ("group_by=model,model", "one or two"),
        ("group_by=tag:", "tag:<name>"),
        ("group_by=tag:a%22b", "not a dimension"),
        ("groupby=day", "group_by"),
        ("tz=Mars/Olympus", "not a time zone"),
        ("since=2026-11-02&until=2026-11-01", "after since"),
        ("cursor=-1", "not a cursor"),
        ("since=0001-01-01", "2026-11-22"),
    ],
)
def test_what_cannot_be_reported_is_named(alice, params, named):
    response = alice.ask("GET", f"{REPORTS}?{params}")
    assert response.status_code == 400, response.content
    assert named in response.json()["detail"]


@pytest.mark.parametrize("name", ["1", "$.x", "a'b", "a.b", "ä", "a%b", "%s"])
def test_odd_names_of_tags_are_names(dora, ledger, owner, name):
    from urllib.parse import quote

    ledger.call(owner, tags={name: "yes"})
    answer = dora.get(f"{REPORTS}?user=all&group_by={quote('tag:' + name)}&{quote('tag:' + name)}=yes")
    assert [one["calls"] for one in answer["groups"]] == [1]
