"""record(batch): what a row says, for every kind of event, and what makes it new."""

import dataclasses
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from tests.tracking.making import NOW, an_event, microseconds
from tracking import ledger, queries
from tracking.audit import audit
from tracking.models import Analysis, ApiUsageLog, DailyUserRollup
from tracking.periods import Period, day_of
from tracking.recording import record

pytestmark = pytest.mark.django_db


def row_of(**changes) -> ApiUsageLog:
    """The row of one event."""
    event = an_event(**changes)
    record([event], now=NOW)
    return ApiUsageLog.objects.get(recorded_at=NOW)


# --- What is new ----------------------------------------------------------------------------------------------------


def test_the_same_event_ten_times_is_one_row():
    event = an_event()
    first = record([event] * 3, now=NOW)
    assert (first.recorded, first.duplicates, first.conflicts, first.rows) == (1, 2, (), 1)
    for _ in range(7):
        again = record([dataclasses.replace(event)], now=NOW + timedelta(hours=1))
        assert (again.recorded, again.duplicates, again.rows) == (0, 1, 0)
    assert ApiUsageLog.objects.count() == 1
    assert audit().ok


def test_a_cost_reported_again_later_is_the_same_and_another_amount_is_not():
    event = an_event(source="helper", cost_usd="0.5")
    later = event.at_us + 60_000_000
    record([event], now=NOW)
    again = record([dataclasses.replace(event, at_us=later)], now=NOW)
    assert (again.recorded, again.duplicates, again.conflicts) == (0, 1, ())
    assert record([dataclasses.replace(event, at_us=later, cost_usd="0.6")], now=NOW).conflicts


def test_the_same_id_with_other_content_is_a_conflict_and_not_recorded_again():
    event = an_event()
    record([event], now=NOW)
    other = dataclasses.replace(event, usage={"prompt_tokens": 5, "completion_tokens": 5})
    for batch in ([other], [other, an_event()]):
        assert record(batch, now=NOW).conflicts == (event.id.replace("-", ""),)
    assert sorted(row.cost for row in ApiUsageLog.objects.all()) == [Decimal("0.0075")] * 2
    assert audit().ok


def test_an_id_that_is_no_uuid_gets_one_made_from_it():
    assert record([an_event(id="order-17"), an_event(id="order-17")], now=NOW).recorded == 1
    assert record([an_event(id="order-17")], now=NOW).recorded == 0


def test_a_batch_is_recorded_as_a_whole_or_not_at_all(monkeypatch):
    monkeypatch.setattr("tracking.recording.add_to_rollups", lambda rows: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        record([an_event()], now=NOW)
    monkeypatch.undo()
    assert ApiUsageLog.objects.count() == 0
    event = an_event()
    assert record([event], now=NOW).recorded == 1


# --- What it cost ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "status", "cost"),
    [
        ({}, "priced", "0.0075"),
        ({"usage": {"prompt_tokens": 1, "completion_tokens": 0}}, "priced", "0.0000025"),
        ({"status": "error", "http_status": 429, "usage": None}, "free", "0"),
        ({"status": "connection_error", "http_status": None, "usage": None, "facts": {"sent": False}}, "free", "0"),
        ({"status": "connection_error", "http_status": None, "usage": None}, "unpriced", None),
        ({"status": "timeout", "http_status": None, "usage": None}, "unpriced", None),
        ({"status": "refused", "http_status": 402, "usage": None}, "free", "0"),
        ({"status": "incomplete", "usage": None}, "unpriced", None),
        ({"status": "cancelled", "quality": "partial"}, "priced", "0.0075"),
        ({"usage": None}, "unpriced", None),
        ({"usage": {"tokens_of_a_new_kind": 5}}, "unpriced", None),
        ({"model_served": "gpt-99", "model_asked": "gpt-99"}, "unpriced", None),
        ({"operation": "moderation", "model_served": "omni-moderation-latest", "usage": None}, "free", "0"),
        ({"cost_usd": "0.10", "usage": None}, "priced", "0.1"),
        ({"cost_usd": "NaN"}, "unpriced", None),
        ({"cost_usd": "-1"}, "unpriced", None),
        ({"cost_usd": "1e30"}, "unpriced", None),
        ({"cost_usd": "2000000"}, "unpriced", None),
        ({"usage": {"prompt_tokens": float("inf"), "completion_tokens": 1}}, "unpriced", None),
        ({"usage": {"prompt_tokens": -5, "completion_tokens": 1}}, "unpriced", None),
    ],
)
def test_unknown_is_never_zero_and_free_is_said(changes, status, cost):
    row = row_of(**changes)
    assert (row.price_status, row.cost) == (status, None if cost is None else Decimal(cost))
    assert row.unpriced == (1 if status == "unpriced" else 0)
    assert row.receipt["reason"] or row.receipt["lines"], "a receipt says why"
    assert audit().ok


def test_a_fault_of_the_readers_loses_no_event(monkeypatch):
    monkeypatch.setattr("tracking.usage.read_usage", lambda **kwargs: 1 / 0)
    row = row_of()
    assert (row.price_status, row.flags) == ("unpriced", ["pricing_failed"])
    assert row.raw_usage == an_event().usage, "it can be priced later"


def test_a_call_is_priced_as_of_its_own_time():
    at = datetime(2024, 5, 20, tzinfo=UTC)  # gpt-4o cost $5 and $15 then
    assert row_of(at_us=microseconds(at), model_served="gpt-4o-2024-05-13").cost == Decimal("0.0125")


def test_the_row_says_who_what_for_and_how_much():
    row = row_of(
        user=42,
        analysis="song-1",
        tags={"team": "sön̈gs"},
        stream=True,
        ttft_us=200_999,
        attempt=2,
        request_id="req_1",
        response_id="chatcmpl-1",
        usage={
            "prompt_tokens": 1000,
            "completion_tokens": 500,
            "prompt_tokens_details": {"cached_tokens": 400},
            "completion_tokens_details": {"reasoning_tokens": 100},
        },
    )
    assert (row.user_id, row.feature, row.analysis_id, row.tags) == (42, "pitch", "song-1", {"team": "sön̈gs"})
    assert (row.model, row.model_asked, row.service, row.stream, row.attempt) == (
        *("gpt-4o-2024-08-06", "gpt-4o", "chat", True, 2),
    )
    assert (row.latency_ms, row.ttft_ms, row.request_id, row.response_id) == (812, 200, "req_1", "chatcmpl-1")
    assert (row.input_tokens, row.cache_read_tokens, row.output_tokens, row.reasoning_tokens) == (1000, 400, 500, 100)
    assert row.meters == {"input_tokens": 600, "cache_read_tokens": 400, "output_tokens": 500}
    assert row.occurred_at == row.recorded_at == NOW


# --- Bad input ------------------------------------------------------------------------------------------------------


def test_texts_that_a_database_refuses_are_cleaned_and_flagged():
    row = row_of(
        feature="a\0b\ud800c" + "x" * 300,
        tags={"k\0": "v\ud800"},
        usage={"prompt_tokens": 1, "completion_tokens": 1, "note\0": "\ud800"},
    )
    assert row.feature == ("ab?c" + "x" * 300)[:200]
    assert row.tags == {"k": "v?"}
    assert {"changed:feature", "changed:tags"} <= set(row.flags)


def test_numbers_beyond_all_measure_are_bounded():
    row = row_of(usage={"prompt_tokens": 10**30, "completion_tokens": 1}, attempt=10**9, latency_us=10**30)
    assert row.price_status == "unpriced"
    assert row.input_tokens <= 10**12
    assert (row.attempt, row.latency_ms) == (1, 2**31 - 1)


def test_raw_usage_is_bounded():
    row = row_of(usage={"prompt_tokens": 1, "completion_tokens": 1, "other": ["x" * 1000] * 100})
    assert len(json.dumps(row.raw_usage)) < 1000
    assert "too_large:usage" in row.flags


@pytest.mark.parametrize("at_us", [0, -1, 10**30, "yesterday", microseconds(NOW + timedelta(days=40))])
def test_a_broken_clock_is_flagged_and_makes_no_partition(at_us):
    row = row_of(at_us=at_us)
    assert row.occurred_at == NOW
    assert "time_out_of_range" in row.flags


texts = st.text(max_size=30) | st.text(alphabet="\0\ud800aé\\\t\n\"'%s,", max_size=300)
junk = st.none() | st.booleans() | st.integers() | st.floats() | texts | st.lists(st.integers(), max_size=2)
numbers = st.integers(-(10**20), 10**20) | st.floats() | st.none()


@hypothesis_settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    st.lists(
        st.builds(
            an_event,
            provider=texts,
            operation=texts,
            model_served=texts,
            user=junk,
            feature=texts,
            analysis=texts,
            tags=st.dictionaries(texts, junk, max_size=3) | junk,
            status=texts,
            http_status=junk,
            latency_us=junk,
            attempt=junk,
            at_us=numbers,
            usage=st.dictionaries(st.sampled_from(["prompt_tokens", "completion_tokens", "seconds"]), junk) | st.none(),
            cost_usd=st.none() | texts,
        ),
        max_size=5,
    )
)
def test_no_event_is_so_broken_that_it_is_lost(events):
    with transaction.atomic():
        assert record(events, now=NOW).recorded == len(events)
        assert audit().ok
        transaction.set_rollback(True)


# --- Who ------------------------------------------------------------------------------------------------------------


def test_users_are_known_by_id_and_by_address_in_any_case(owner):
    record([an_event(user=who) for who in (owner.pk, str(owner.pk), "alice@example.com", "ALICE@Example.com")], now=NOW)
    assert set(ApiUsageLog.objects.values_list("user_id", flat=True)) == {owner.pk}


def test_an_address_that_nobody_has_is_kept_as_a_tag():
    row = row_of(user="nobody@example.com", tags={"team": "a"})
    assert (row.user_id, row.tags) == (None, {"team": "a", "user": "nobody@example.com"})
    assert "unknown_user" in row.flags


# --- Sums -----------------------------------------------------------------------------------------------------------


def test_analyses_are_made_at_first_use_and_add_up():
    record(
        [
            an_event(analysis="song-1", feature="pitch", user=5),
            an_event(analysis="song-1", feature="critique"),
            an_event(analysis="song-1", feature="critique", usage=None),
            an_event(analysis="song-2"),
        ],
        now=NOW,
    )
    song = Analysis.objects.get(id="song-1")
    assert song.user_id == 5
    costs = song.ai_costs
    assert costs["total"] == Decimal("0.015")
    assert costs["by_feature"] == {"critique": Decimal("0.0075"), "pitch": Decimal("0.0075")}
    assert costs["by_model"] == {"gpt-4o-2024-08-06": Decimal("0.015")}
    assert (costs["calls"], costs["unpriced"]) == (3, 1)
    assert costs["tokens"] == {"input": 2000, "output": 1000}
    assert Analysis(id="unknown").ai_costs["total"] == 0


def test_days_are_those_of_the_sites_time_zone(settings):
    settings.TIME_ZONE = "Asia/Kolkata"  # UTC+5:30
    late = datetime(2026, 11, 19, 18, 45, tzinfo=UTC)  # 00:15 of the 20th there
    record([an_event(at_us=microseconds(late), user=5)], now=NOW)
    assert day_of(late).isoformat() == "2026-11-20"
    assert [str(row.day) for row in DailyUserRollup.objects.all()] == ["2026-11-20"]
    period = Period(day_of(late), day_of(late) + timedelta(days=1))
    assert [entry.totals.calls for entry in queries.by_service(period=period)] == [1]
    assert audit().ok


def test_errors_are_counted():
    record([an_event(), an_event(status="error", http_status=500, usage=None), an_event(status="timeout")], now=NOW)
    period = Period(NOW.date(), NOW.date() + timedelta(days=1))
    assert (queries.totals(period=period).calls, queries.totals(period=period).errors) == (3, 2)


# --- The table ------------------------------------------------------------------------------------------------------


def test_past_months_get_their_partition_and_the_default_one_stays_empty():
    months = [datetime(2019 + n // 12, n % 12 + 1, 28, 23, 59, 59, 999_999, tzinfo=UTC) for n in range(0, 84, 13)]
    record([an_event(at_us=microseconds(at), feature=f"{at:%Y-%m}") for at in months], now=NOW)
    assert ApiUsageLog.objects.count() == len(months)
    assert ledger.default_partition_rows() == 0
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            for at in months:
                cursor.execute(f"SELECT count(*) FROM {ledger.partition_of(f'{at:%Y-%m}')}")
                assert cursor.fetchone() == (1,)
    assert audit().ok


def test_rows_in_the_default_partition_raise_an_alarm_and_are_not_refused(caplog):
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no partitions")
    record([an_event()], now=NOW)
    with connection.cursor() as cursor:
        cursor.execute("UPDATE tracking_apiusagelog SET occurred_at = '2017-03-05T00:00:00Z'")
    assert ledger.default_partition_rows() == 1
    assert any("default partition" in sentence for sentence in audit().differences)
    record([an_event(at_us=microseconds(datetime(2017, 3, 7, tzinfo=UTC)))], now=NOW)
    assert ledger.default_partition_rows() == 2
    assert "cannot be made" in caplog.text


def test_months_are_made_ahead():
    assert ledger.months_ahead(now=NOW) == ["2026-11", "2026-12", "2027-01", "2027-02"]
    ledger.ensure_months(ledger.months_ahead(now=NOW, ahead=14))
    assert ledger.ensure_months(["2027-12"]) == []


def test_the_migration_and_the_models_agree():
    from django.core.management import call_command

    call_command("makemigrations", "tracking", check=True, dry_run=True, verbosity=0)


# --- The audit ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("tamper", "named"),
    [
        ("UPDATE tracking_dailyuserrollup SET cost = cost + 1", "DailyUserRollup [2026-11-20, 5]: cost"),
        ("DELETE FROM tracking_hourlymodelrollup", "HourlyModelRollup"),
        ("DELETE FROM tracking_dailymodelrollup", "DailyModelRollup [2026-11-20, openai, gpt-4o-2024-08-06, chat]"),
        (
            "UPDATE tracking_dailykeyrollup SET calls = 2",
            "DailyKeyRollup [2026-11-20, 5, key_1]: calls 1 in the ledger",
        ),
        ("UPDATE tracking_analysisrollup SET feature = 'other'", "AnalysisRollup [song-1, other"),
        ("DELETE FROM tracking_analysis", "'song-1' has calls, and no row of its own"),
        ("DELETE FROM tracking_recordedevent", "0 ids are written down"),
        ("UPDATE tracking_apiusagelog SET output_tokens = 7", "output_tokens 7 in the ledger, 500 in the rollup"),
        ("UPDATE tracking_apiusagelog SET cost = NULL", "priced without a cost"),
    ],
)
def test_the_audit_names_what_was_tampered_with(tamper, named):
    record([an_event(user=5, analysis="song-1", tags={"api_key": "key_1"}), an_event(tags={"api_key": ""})], now=NOW)
    assert audit().ok
    with connection.cursor() as cursor:
        cursor.execute(tamper)
    assert any(named in sentence for sentence in audit().differences), audit().differences


def test_the_audit_command_fails_where_something_differs(capsys):
    from django.core.management import CommandError, call_command

    record([an_event()], now=NOW)
    call_command("audit")
    assert "Everything adds up" in capsys.readouterr().out
    DailyUserRollup.objects.update(calls=9)
    with pytest.raises(CommandError) as failure:
        call_command("audit", since=NOW.date())
    assert failure.value.returncode == 1
    assert "calls 1 in the ledger, 9 in the rollup" in capsys.readouterr().out
