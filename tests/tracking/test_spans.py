"""Sums of closed spans: every number is the one that the days tell, whatever is written, summed and read at once."""

import threading
from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from django.db import connection, connections, transaction
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tracking.making import NOW, an_event, microseconds
from tracking import list_sums, model_spend, overview, people, queries
from tracking.audit import audit
from tracking.lists import Where
from tracking.models import SpanUserModelRollup, SummedSpan
from tracking.periods import Period, start_of
from tracking.recording import record
from tracking.reports import _SOURCES, Ask, report
from tracking.rollups import add_to_rollups
from tracking.rows import Row, current_pricing, db_time, now_text, row_of
from tracking.spans import KEPT, Span, spans_of
from tracking.summing import sum_spans

DAY = timedelta(days=1)
YEAR = Period(date(2025, 11, 21), date(2026, 11, 21))


def a_row(day: date, *, now: datetime = NOW, user: int = 1, model: str = "gpt-4o", feature: str = "pitch") -> Row:
    """A call of noon on a day, as it is recorded now."""
    row = row_of(
        an_event(model_served=model, feature=feature), now=now, user_id=user or None, pricing=current_pricing()
    )
    at = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    return replace(row, occurred_at=db_time(at), recorded_at=now_text(now))


def calls_in(period: Period) -> int:
    return queries.totals(period=period).calls


def valid_spans() -> set[Span]:
    return {Span(*row) for row in SummedSpan.objects.filter(valid=True).values_list("starts", "ends")}


# --- The calendar ---------------------------------------------------------------------------------------------------


@given(st.dates(date(1990, 1, 1), date(2060, 1, 1)))
def test_a_third_lies_in_its_month_and_the_month_in_its_quarter(day):
    third, month, quarter = spans_of(day)
    for inner, outer in ((Span(day, day + DAY), third), (third, month), (month, quarter)):
        assert outer.starts <= inner.starts < inner.ends <= outer.ends
    assert 8 <= third.days <= 11 and 28 <= month.days <= 31 and 90 <= quarter.days <= 92
    assert all(spans_of(span.starts)[n] == span == spans_of(span.ends - DAY)[n] for n, span in enumerate(spans_of(day)))


# --- The same numbers -----------------------------------------------------------------------------------------------

_days = st.dates(date(2025, 9, 1), date(2026, 11, 20))
_calls = st.tuples(
    _days, st.integers(0, 3), st.sampled_from(["gpt-4o", "o3", "gpt-99"]), st.sampled_from(["", "pitch"])
)
_steps = st.one_of(
    st.lists(_calls, min_size=1, max_size=12),  # recorded, however late
    st.just("sum"),
    st.integers(1, 40),  # so many days pass
)
_groups = st.sampled_from(
    [("user", "model"), ("user", "feature"), ("month", "user"), ("month",), ("week", "model"), ("api_key",)]
    + [(name,) for name in ("user", "model", "provider", "service", "feature")]
)


def everything_told(period: Period, before: Period, group_by: tuple[str, ...]) -> list:
    ask = Ask(group_by=group_by, start=start_of(period.start), end=start_of(period.end))
    where = Where(since=start_of(period.start), until=start_of(period.end), user_id=1, filters={"model": "gpt-4o"})
    names = overview.parts(["user", "model"], period=period, before=before, filters={"service": "chat"})
    return [
        report(ask, max_rows=0),
        report(replace(ask, filters={"user": 2} if "api_key" in group_by else {}), max_rows=0),
        queries.totals(period=period),
        queries.totals(period=period, user_id=1),
        queries.by_feature(period=period, user_id=1),
        queries.by_model(period=period),
        queries.top_users(period=period),
        people.people(period=period, before=before),
        model_spend.used(period=period, before=before, user_id=1),
        list_sums.sums(where),
        names,
    ]


@pytest.mark.django_db
@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    steps=st.lists(_steps, min_size=2, max_size=8),
    ends=st.tuples(_days, st.integers(0, 420)),
    earlier=st.integers(0, 120),
    group_by=_groups,
)
def test_with_and_without_spans_every_number_is_the_same(steps, ends, earlier, group_by):
    period = Period(ends[0], ends[0] + ends[1] * DAY)
    before = Period(period.start - earlier * DAY, period.start)
    with transaction.atomic():
        now = datetime(2026, 9, 5, tzinfo=UTC)
        for step in ([(date(2025, 12, 30), 1, "o3", "")], "sum", *steps):
            if step == "sum":
                sum_spans(now=now)
                assert audit(since=date(2100, 1, 1)).ok
            elif isinstance(step, int):
                now += step * DAY
            else:
                add_to_rollups([a_row(day, now=now, user=u, model=m, feature=f) for day, u, m, f in step])
        assert valid_spans()
        told = everything_told(period, before, group_by)
        SummedSpan.objects.update(valid=False)
        assert told == everything_told(period, before, group_by)
        transaction.set_rollback(True)


@pytest.mark.django_db
def test_a_year_is_read_from_spans():
    """What is in the spans alone is found: so it is them that are read."""
    add_to_rollups([a_row(YEAR.start + n * DAY) for n in range(0, 365, 5)])
    assert len(sum_spans(now=NOW, at_most=5)) == 5
    assert len(sum_spans(now=NOW)) == 46 and sum_spans(now=NOW) == []
    assert calls_in(YEAR) == 73
    for rollup in KEPT:
        rollup.objects.filter(day__lt=date(2026, 11, 11), day__gte=date(2025, 12, 1)).delete()
    assert calls_in(YEAR) == 73
    for source in _SOURCES:
        if source.by == "day":
            ask = Ask(group_by=tuple(sorted(source.has)[:1]), start=YEAR.starts_at, end=YEAR.ends_at)
            assert sum(group.totals.calls for group in report(ask, max_rows=0).groups) == 73, source
    months = report(Ask(group_by=("month",), start=YEAR.starts_at, end=YEAR.ends_at), max_rows=0).groups
    expected = Counter(day.replace(day=1) for day in YEAR.days[::5])
    assert {group.values["month"]: group.totals.calls for group in months} == expected


# --- What is written later ------------------------------------------------------------------------------------------


@pytest.mark.django_db
def test_calls_of_these_days_mark_nothing():
    """The recorder's usual batch: no statement more than without spans."""
    event = an_event(at_us=microseconds(NOW - timedelta(days=8)))  # the third before ended this morning
    with CaptureQueriesContext(connection) as captured:
        record([an_event(), event], now=NOW)
    assert not [query for query in captured if "summedspan" in query["sql"]]


@pytest.mark.django_db
def test_a_late_call_marks_the_spans_of_its_day_and_the_next_run_sums_them_again():
    record([an_event(at_us=microseconds(NOW - timedelta(days=200)))], now=NOW)
    sum_spans(now=NOW)
    all_spans = valid_spans()
    late = date(2026, 8, 15)
    record([an_event(at_us=microseconds(datetime(2026, 8, 15, tzinfo=UTC)))], now=NOW)
    assert all_spans - valid_spans() == set(spans_of(late))
    assert calls_in(YEAR) == 2
    assert audit().ok
    assert set(sum_spans(now=NOW)) == set(spans_of(late))
    assert valid_spans() == all_spans and calls_in(YEAR) == 2
    assert audit().ok


@pytest.mark.django_db
def test_a_write_that_is_rolled_back_marks_nothing():
    add_to_rollups([a_row(date(2026, 8, 15))])
    sum_spans(now=NOW)
    before = valid_spans()
    with pytest.raises(RuntimeError), transaction.atomic():
        add_to_rollups([a_row(date(2026, 8, 15))])
        assert valid_spans() != before
        raise RuntimeError
    assert valid_spans() == before and calls_in(YEAR) == 1


@pytest.mark.django_db
def test_the_audit_names_a_span_that_differs_from_its_days():
    record([an_event(at_us=microseconds(datetime(2026, 8, 15, tzinfo=UTC)), user=1)], now=NOW)
    sum_spans(now=NOW)
    assert audit().ok
    SpanUserModelRollup.objects.filter(span_id=SummedSpan.objects.get(starts="2026-08-11").pk).update(calls=9)
    found = [one for one in audit().differences if "2026-08-11 to 2026-08-21" in one]
    assert len(found) == 1 and "calls 1 in the days, 9 in the span" in found[0]


# --- At the same time -----------------------------------------------------------------------------------------------

LATE = date(2026, 8, 15)


class Apart(threading.Thread):
    """Work on a connection of its own; `join` raises what it raised."""

    def __init__(self, work):
        super().__init__(daemon=True)
        self.work, self.error = work, None
        self.start()

    def run(self):
        try:
            self.work()
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()

    def join(self, timeout=60):
        super().join(timeout)
        assert not self.is_alive()
        if self.error:
            raise self.error


def until_one_waits() -> None:
    """Return when a connection of this database waits for a lock."""
    waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    for _ in range(600):
        with connection.cursor() as cursor:
            cursor.execute(waiting)
            if cursor.fetchone()[0]:
                return
        threading.Event().wait(0.02)
    raise AssertionError("nobody waits")


def writing_late() -> None:
    with transaction.atomic():
        add_to_rollups([a_row(LATE)])


def summing() -> None:
    sum_spans(now=NOW)


@pytest.fixture
def one_call(transactional_db):
    """A call of a closed day, on a database where writers do not wait for each other's transactions."""
    if connection.vendor != "postgresql":
        pytest.skip("on SQLite one transaction writes at a time")
    add_to_rollups([a_row(LATE)])
    sum_spans(now=NOW)
    add_to_rollups([a_row(LATE)])  # so that the spans of this day are to be summed, and no others


def test_the_summing_waits_for_a_writer_and_sums_what_he_wrote(one_call):
    go = threading.Event()

    def writing():
        with transaction.atomic():
            add_to_rollups([a_row(LATE)])
            assert go.wait(60)

    writer = Apart(writing)
    while not _is_locked():
        threading.Event().wait(0.02)
    task = Apart(summing)
    until_one_waits()
    assert calls_in(YEAR) == 2, "the writer has not committed"
    go.set()
    writer.join()
    task.join()
    assert set(spans_of(LATE)) <= valid_spans()
    assert calls_in(YEAR) == 3 and audit_of_spans() == []


def _is_locked() -> bool:
    with transaction.atomic():
        rows = SummedSpan.objects.select_for_update(skip_locked=True).filter(starts__lte=LATE, ends__gt=LATE)
        return rows.count() >= 0 and len(rows) < 3


def audit_of_spans() -> list[str]:
    """What the audit says of spans: there is no ledger beside these sums."""
    return [sentence for sentence in audit().differences if sentence.startswith("Span")]


@pytest.mark.parametrize("place", ["before the sums", "between the sums"])
def test_a_writer_who_comes_during_the_summing_has_it_marked(one_call, place):
    reached, go = threading.Event(), threading.Event()
    first = (
        "DELETE FROM tracking_spanmodelrollup" if place == "before the sums" else "INSERT INTO tracking_spanuserroll"
    )

    def stopping(execute, sql, params, many, context):
        if sql.startswith(first) and not reached.is_set():
            reached.set()
            assert go.wait(60)
        return execute(sql, params, many, context)

    def slowly():
        with connection.execute_wrapper(stopping):
            summing()

    task = Apart(slowly)
    assert reached.wait(60)
    being_summed = spans_of(LATE)[0]  # thirds come first
    writer = Apart(writing_late)
    until_one_waits()
    assert calls_in(YEAR) == 2
    go.set()
    writer.join()
    task.join()
    assert calls_in(YEAR) == 3 and audit_of_spans() == []
    assert being_summed not in valid_spans()
    summing()
    assert being_summed in valid_spans() and calls_in(YEAR) == 3 and audit_of_spans() == []


@pytest.mark.django_db(transaction=True)
def test_readers_see_whole_batches_while_writers_and_the_task_are_at_work():
    """Each batch is ten calls on ten days of several spans: a report that tore one apart would not count in tens."""
    stop, seen = threading.Event(), []

    def writing(number: int):
        for n in range(8):
            days = [YEAR.start + (number * 7 + n * 13 + k * 29) % 330 * DAY for k in range(10)]
            with transaction.atomic():
                add_to_rollups([a_row(day, user=number) for day in days])

    def reading():
        while not stop.is_set():
            ask = Ask(group_by=("user", "model"), start=YEAR.starts_at, end=YEAR.ends_at)
            seen.append(sum(group.totals.calls for group in report(ask, max_rows=0).groups))

    def summing_on():
        while not stop.is_set():
            sum_spans(now=NOW, at_most=4)

    add_to_rollups([a_row(YEAR.start + n * 30 * DAY) for n in range(10)])
    sum_spans(now=NOW)
    others = [Apart(reading), Apart(summing_on)]
    try:
        for writer in [Apart(lambda n=n: writing(n)) for n in (1, 2, 3)]:
            writer.join()
    finally:
        stop.set()
    for other in others:
        other.join()
    assert len(seen) > 1 and seen == sorted(seen) and {count % 10 for count in seen} == {0}
    assert calls_in(YEAR) == 250
    sum_spans(now=NOW)
    assert calls_in(YEAR) == 250 and audit_of_spans() == []
