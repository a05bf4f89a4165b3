"""Does everything add up? Compares the ledger with its rollups, its analyses and the ids written down, key by key, and
the sums of closed spans with those of days."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from django.db import connections, transaction
from django.db.models import Count, Exists, F, Min, OuterRef, Q, QuerySet, Sum, TextField, Value
from django.db.models.functions import Coalesce, Collate, TruncDate, TruncHour

from tracking import ledger
from tracking.models import Analysis, AnalysisRollup, ApiUsageLog, HourlyModelRollup, RecordedEvent, SummedSpan
from tracking.periods import day_of, start_of
from tracking.rollups import MEASURES, SPECS, Spec
from tracking.rows import ERROR_STATUSES
from tracking.spans import KEPT, key_of
from tracking.tags import API_KEY, value_of

Sums = tuple[int | Decimal, ...]


@dataclass(slots=True, kw_only=True)
class Report:
    """What an audit found. `differences` are sentences; the first `MAX_DIFFERENCES` of them are kept."""

    rows: int = 0  # of the ledger
    calls: int = 0
    cost: Decimal = Decimal(0)  # USD
    unpriced: int = 0
    days: int = 0  # compared one by one
    differences: list[str] = field(default_factory=list)
    more: int = 0  # differences beyond those kept

    @property
    def ok(self) -> bool:
        """True where everything adds up."""
        return not self.differences

    def differs(self, sentence: str) -> None:
        """Note a difference."""
        if len(self.differences) < MAX_DIFFERENCES:
            self.differences.append(sentence)
        else:
            self.more += 1


MAX_DIFFERENCES = 50


def audit(*, since: date | None = None) -> Report:
    """Compare the ledger with everything derived from it; from a day of the site's time zone on where `since` is given.

    Reads one consistent state while events go on being recorded, a day at a time, in bounded memory. With `since`, the
    comparisons that need all of the ledger (analyses, ids) are left out. Raises `django.db.Error`.
    """
    report = Report()
    with _one_state():
        _totals(report, since)
        for spec in SPECS:
            if spec.model is not AnalysisRollup:
                _by_day(report, spec, since)
        _spans(report, since)
        if since is None:
            _analyses(report)
            _ids(report)
        stray = ledger.default_partition_rows()
        if stray:
            report.differs(
                f"The ledger's default partition holds {stray} rows; it must be empty. Their months cannot be made "
                f"until the rows are moved: see the operations guide."
            )
    return report


@contextlib.contextmanager
def _one_state() -> Iterator[None]:
    """A read transaction that sees one state of the database and keeps nobody from writing."""
    connection = connections[ledger.ledger_alias()]
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield
    else:
        with connection.cursor() as cursor:
            # Not atomic(): that would take SQLite's write lock for as long as this reads.
            cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            with connection.cursor() as cursor:
                cursor.execute("ROLLBACK")


def _totals(report: Report, since: date | None) -> None:
    rows = ApiUsageLog.objects.all() if since is None else ApiUsageLog.objects.filter(occurred_at__gte=start_of(since))
    found = rows.aggregate(rows=Count("id"), sum_calls=Sum("calls"), sum_cost=Sum("cost"), sum_unpriced=Sum("unpriced"))
    report.rows, report.calls = found["rows"], found["sum_calls"] or 0
    report.cost, report.unpriced = found["sum_cost"] or Decimal(0), found["sum_unpriced"] or 0
    count = rows.filter(Q(cost=None) ^ Q(price_status="unpriced")).count()
    if count:
        report.differs(f"{count} rows of the ledger are priced without a cost, or unpriced with one.")


def _by_day(report: Report, spec: Spec, since: date | None) -> None:
    """Compare a rollup with the ledger, a day at a time."""
    hourly = spec.model is HourlyModelRollup
    days = _days(spec, since, hourly)
    report.days = max(report.days, len(days))
    for day in days:
        if hourly:
            begin = datetime.combine(day, time.min, tzinfo=UTC)
            end = begin + timedelta(days=1)
            kept = spec.model.objects.filter(hour__gte=begin, hour__lt=end)
        else:
            begin, end = start_of(day), start_of(day + timedelta(days=1))
            kept = spec.model.objects.filter(day=day)
        rows = ApiUsageLog.objects.filter(occurred_at__gte=begin, occurred_at__lt=end)
        names = [name for name in spec.key if name != "day"]
        summed = dict(_ledger_sums(rows, names, hourly=hourly))
        for key, sums in _rollup_sums(kept, names):
            _compare(report, spec, (str(day), *key), summed.pop(key, _ZEROS), sums)
        for key, sums in summed.items():
            _compare(report, spec, (str(day), *key), sums, _ZEROS)


def _days(spec: Spec, since: date | None, hourly: bool) -> list[date]:
    """Every day that the ledger or the rollup has something of; days of UTC for the hourly one."""
    if hourly:
        kept = spec.model.objects.annotate(at=TruncDate("hour", tzinfo=UTC)).values_list("at", flat=True)
    else:
        kept = spec.model.objects.values_list("day", flat=True)
    days = set(kept.distinct()) | set(_ledger_days(hourly))
    if since is not None:
        # The first UTC day from `since` on that is whole.
        since = since + timedelta(days=1) if hourly else since
        days = {day for day in days if day >= since}
    return sorted(days)


def _ledger_days(hourly: bool) -> Iterator[date]:
    """The days that have rows: from one to the next by the index on time, however long nothing happened."""
    rows = ApiUsageLog.objects.all()
    while (at := rows.aggregate(first=Min("occurred_at"))["first"]) is not None:
        day = at.astimezone(UTC).date() if hourly else day_of(at)
        yield day
        following = day + timedelta(days=1)
        begin = datetime.combine(following, time.min, tzinfo=UTC) if hourly else start_of(following)
        rows = ApiUsageLog.objects.filter(occurred_at__gte=begin)


_ZEROS: Sums = (0,) * len(MEASURES)


def _ledger_sums(rows: QuerySet, names: list[str], *, hourly: bool = False, order=()) -> Iterator[tuple[tuple, Sums]]:
    keys: dict[str, Any] = {f"key_{name}": F(name) for name in names}
    if "user_id" in names:
        keys["key_user_id"] = Coalesce("user_id", 0)
    if "api_key" in names:
        keys["key_api_key"] = Coalesce(value_of(API_KEY), Value("", TextField()))
    if hourly:
        keys["key_hour"] = TruncHour("occurred_at", tzinfo=UTC)
    sums = {f"sum_{name}": Sum(name) for name in MEASURES if name != "errors"}
    sums["sum_errors"] = Count("id", filter=Q(status__in=ERROR_STATUSES))
    for row in rows.values(**keys).annotate(**sums).order_by(*order).iterator(chunk_size=2000):
        yield (
            tuple(row[f"key_{name}"] for name in names),
            tuple(row[f"sum_{name}"] or 0 for name in MEASURES),
        )


def _rollup_sums(rows: QuerySet, names: list[str]) -> Iterator[tuple[tuple, Sums]]:
    for row in rows.values_list(*names, *MEASURES).iterator(chunk_size=2000):
        yield row[: len(names)], row[len(names) :]


def _compare(
    report: Report, spec: Spec, key: tuple, expected: Sums, found: Sums, *, places=("the ledger", "the rollup")
) -> None:
    if expected == found:
        return
    unequal = [
        f"{name} {_text(mine)} in {places[0]}, {_text(theirs)} in {places[1]}"
        for name, mine, theirs in zip(MEASURES, expected, found, strict=True)
        if mine != theirs
    ]
    place = ", ".join(str(part) if part != "" else "(none)" for part in key)
    report.differs(f"{spec.model.__name__} [{place}]: {'; '.join(unequal)}.")


def _text(value: int | Decimal) -> str:
    return f"{value:f} USD" if isinstance(value, Decimal) else str(value)


def _side_by_side(expected: Iterator[tuple], found: Iterator[tuple]) -> Iterator[tuple[tuple, Sums, Sums]]:
    """Key by key what both sides have: they come in the order of their keys, so that neither is held in memory."""
    left, right = next(expected, None), next(found, None)
    while left is not None or right is not None:
        if right is None or (left is not None and left[0] < right[0]):
            yield left[0], left[1], _ZEROS
            left = next(expected, None)
        elif left is None or right[0] < left[0]:
            yield right[0], _ZEROS, right[1]
            right = next(found, None)
        else:
            yield left[0], left[1], right[1]
            left, right = next(expected, None), next(found, None)


def _order(names: Sequence[str]) -> list:
    """The order in which Python compares keys."""
    collation = "C" if connections[ledger.ledger_alias()].vendor == "postgresql" else "BINARY"
    return [F(name) if name == "user_id" else Collate(F(name), collation) for name in names]


def _spans(report: Report, since: date | None) -> None:
    """Compare the sums of closed spans with those of their days."""
    valid = SummedSpan.objects.filter(valid=True).order_by("starts", "ends")
    for span in valid if since is None else valid.filter(starts__gte=since):
        for daily, spanned in KEPT.items():
            names = list(key_of(spanned))
            days = daily.objects.filter(day__gte=span.starts, day__lt=span.ends).order_by(*_order(names))
            expected = days.values_list(*names).annotate(**{f"sum_{name}": Sum(name) for name in MEASURES})
            found = _rollup_sums(spanned.objects.filter(span_id=span.pk).order_by(*_order(names)), names)
            mine = ((row[: len(names)], row[len(names) :]) for row in expected.iterator(chunk_size=2000))
            for key, left, right in _side_by_side(mine, found):
                places = ("the days", "the span")
                _compare(report, Spec(spanned, tuple(names)), (str(span), *key), left, right, places=places)


def _analyses(report: Report) -> None:
    """Compare the analyses."""
    spec = SPECS[0]
    names = list(spec.key)
    mine = _ledger_sums(ApiUsageLog.objects.exclude(analysis_id=""), names, order=_order(names))
    theirs = _rollup_sums(AnalysisRollup.objects.order_by(*_order(names)), names)
    for key, left, right in _side_by_side(mine, theirs):
        _compare(report, spec, key, left, right)
    unknown = AnalysisRollup.objects.filter(~Exists(Analysis.objects.filter(id=OuterRef("analysis_id"))))
    for analysis_id in unknown.values_list("analysis_id", flat=True).distinct()[:10]:
        report.differs(f"The analysis {analysis_id!r} has calls, and no row of its own.")


def _ids(report: Report) -> None:
    """Every row's id is written down once, and every id that says so has its row."""
    written_down = RecordedEvent.objects.exclude(occurred_at=None).count()
    if written_down != report.rows:
        report.differs(f"The ledger has {report.rows} rows, and {written_down} ids are written down as having one.")
