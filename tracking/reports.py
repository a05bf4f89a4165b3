"""Sums of calls grouped by one or two dimensions, over any period: from the narrowest rollup that has them.

What no rollup has (tags, statuses, odd pairs, parts of a day) is read from the ledger, within a stated bound of rows
and of time, and the report says so (`source`). Money is `Decimal` USD; sums are net of corrections.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import nullcontext
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

from django.db.models import Case, Count, F, IntegerField, Max, Min, QuerySet, Sum, Value, When
from django.db.models.functions import TruncDate, TruncHour

from tracking import tags
from tracking.bounded import TookTooLong, reading_for
from tracking.calls import bounded_limit
from tracking.grouping import read_groups
from tracking.models import (
    Analysis,
    AnalysisRollup,
    ApiUsageLog,
    DailyFeatureRollup,
    DailyKeyRollup,
    DailyModelRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
    HourlyModelRollup,
)
from tracking.money import from_nanousd
from tracking.periods import Period, site_zone
from tracking.queries import Totals
from tracking.rollups import MEASURES
from tracking.rows import ERROR_STATUSES
from tracking.statuses import known_as
from tracking.users import emails_of
from tracking.zones import offsets

TIMES = ("hour", "day", "week", "month")
NAMES = ("user", "api_key", "provider", "model", "service", "feature", "analysis")
TAG = "tag:"
#: Groups that a report may have where no page of it is asked for.
MAX_GROUPS = 50_000
MAX_SECONDS = 5.0  # that the ledger is read for one report, unless the caller says otherwise
_HOUR, _DAY = timedelta(hours=1), timedelta(days=1)
_COLUMN = {"user": "user_id", "analysis": "analysis_id"}


class ReportRefused(ValueError):
    """The report cannot be made as asked. `field` names the parameter that stands in the way."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """What a report is asked for: calls that began in `[start, end)`, and match every filter."""

    group_by: tuple[str, ...]
    start: datetime
    end: datetime
    zone: ZoneInfo = field(default_factory=site_zone)
    filters: dict[str, Any] = field(default_factory=dict)  # by dimension, "status" or "tag:<name>"

    @property
    def is_foreign(self) -> bool:
        """Whether days are asked for of another zone than the site's."""
        return self.zone.key != site_zone().key


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """One group: a value for each dimension of the report, and its sums."""

    values: dict[str, Any]
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The groups: in the order of time where time is a dimension, then dearest first."""

    groups: list[Group]
    source: str  # the rollup they come from, or "ledger"
    more: bool = False  # whether there are groups behind these
    rows_read: int | None = None  # of the ledger, where it was read


@dataclass(frozen=True, slots=True)
class _Source:
    name: str
    model: Any
    has: frozenset[str]
    by: str  # "day", "hour" or ""


#: The narrowest first.
_SOURCES = (
    _Source("daily_model", DailyModelRollup, frozenset({"provider", "model", "service"}), "day"),
    _Source("daily_feature", DailyFeatureRollup, frozenset({"feature", "model"}), "day"),
    _Source("daily_user", DailyUserRollup, frozenset({"user"}), "day"),
    _Source("daily_key", DailyKeyRollup, frozenset({"user", "api_key"}), "day"),
    _Source("hourly_model", HourlyModelRollup, frozenset({"provider", "model", "service"}), "hour"),
    _Source("daily_user_feature", DailyUserFeatureRollup, frozenset({"user", "feature"}), "day"),
    _Source("daily_user_model", DailyUserModelRollup, frozenset({"user", "provider", "model", "service"}), "day"),
)


def is_dimension(name: str) -> bool:
    """Whether a report can group by it."""
    if not name.startswith(TAG):
        return name in TIMES or name in NAMES
    return tags.is_name(name.removeprefix(TAG))


def report(
    ask: Ask, *, max_rows: int, max_seconds: float = MAX_SECONDS, first: int = 0, limit: int | None = None
) -> Report:
    """The groups, from the `first`th on and at most `limit` of them.

    Raises `ReportRefused` where the ledger would have to be read beyond `max_rows` rows, and where reading takes more
    than `max_seconds`.
    """
    source = _source_of(ask)
    if source is not None:
        try:
            # A page of it is what somebody asks for from outside: no such question is answered for longer.
            with reading_for(max_seconds) if limit is not None else nullcontext():
                return _from_rollup(ask, source, first, limit)
        except TookTooLong:
            raise ReportRefused("since", f"It would take more than {max_seconds:g} s: ask for less time.") from None
    if ask.is_foreign:
        raise ReportRefused(
            "tz",
            "Days of another time zone are answered from sums by the hour, which are kept by provider, model and "
            f"service only, and whole hours of it. Leave tz out: days are those of {site_zone().key}.",
        )
    rows = _ledger_rows(ask)
    try:
        with reading_for(max_seconds):
            count = rows[: max_rows + 1].count()
            groups = [] if count > max_rows else _grouped(ask, _from_ledger(ask, rows))
    except TookTooLong:
        raise ReportRefused(
            "since", _BOUND.format(f"reading the calls would take more than {max_seconds:g} s")
        ) from None
    if count > max_rows:
        raise ReportRefused("since", _BOUND.format(f"more than {max_rows} calls would have to be read"))
    last = len(groups) if limit is None else first + limit
    return Report(groups=groups[first:last], source="ledger", more=last < len(groups), rows_read=count)


_BOUND = (
    "No sums are kept for this combination, and {}. Ask for a shorter period, or group and filter by what sums are "
    "kept for (docs/reference/api.md)."
)


def _source_of(ask: Ask) -> _Source | None:
    wanted = {name for name in ask.group_by if name not in TIMES} | set(ask.filters)
    by_hour = "hour" in ask.group_by
    whole_days = not ask.is_foreign and all(_starts_a_day(at, ask.zone) for at in (ask.start, ask.end))
    whole_hours = all(_is_whole(at) for at in (ask.start, ask.end))
    for source in _SOURCES:
        if wanted <= source.has:
            by_day = source.by == "day"
            if (whole_days and not by_hour) if by_day else (whole_hours and _days_begin_with_hours(ask)):
                return source
    return None


def _starts_a_day(at: datetime, zone: ZoneInfo) -> bool:
    return datetime.combine(at.astimezone(zone).date(), time.min, tzinfo=zone).astimezone(UTC) == at.astimezone(UTC)


def _is_whole(at: datetime) -> bool:
    at = at.astimezone(UTC)
    return (at.minute, at.second, at.microsecond) == (0, 0, 0)


def _days_begin_with_hours(ask: Ask) -> bool:
    """Whether hours of UTC add up to the zone's days in the period: not where its offset ever is no whole hour."""
    if not set(ask.group_by) & {"day", "week", "month"}:
        return True
    return all(ahead % _HOUR == timedelta(0) for _, ahead in offsets(ask.zone, *_hours_of(ask)))


def _hours_of(ask: Ask) -> tuple[datetime, datetime]:
    """The part of the period that lies between the first and the last hour with calls."""
    known = HourlyModelRollup.objects.aggregate(first=Min("hour"), last=Max("hour"))
    if known["first"] is None:
        return ask.start, ask.start
    start = min(max(ask.start, known["first"]), ask.end)
    return start, max(start, min(ask.end, known["last"] + _HOUR))


def _from_rollup(ask: Ask, source: _Source, first: int, limit: int | None) -> Report:
    time = next((name for name in ask.group_by if name in TIMES), "")
    most = MAX_GROUPS if limit is None else limit
    start, end = _hours_of(ask) if source.by == "hour" else (ask.start, ask.end)
    rows = read_groups(
        rollup=source.model,
        column=source.by,
        time=time,
        zone=ask.zone,
        start=start,
        end=end,
        names=_keys(ask),
        filters={_COLUMN.get(name, name): value for name, value in ask.filters.items()},
        first=first,
        limit=most + 1,
    )
    if limit is None and len(rows) > most:
        raise ReportRefused("group_by", f"The report would have more than {MAX_GROUPS} groups. Narrow it.")
    # In a row the time comes first; in a group the dimensions stand as they were asked for.
    places = {name: place for place, name in enumerate(sorted(ask.group_by, key=lambda name: name not in TIMES))}
    groups = [
        Group(values={name: row[places[name]] for name in ask.group_by}, totals=_totals(row[len(places) :]))
        for row in rows[:most]
    ]
    return Report(groups=groups, source=source.name, more=len(rows) > most)


def _totals(sums: tuple) -> Totals:
    return Totals(**dict(zip(MEASURES, sums, strict=True)) | {"cost": from_nanousd(sums[MEASURES.index("cost")])})


def _keys(ask: Ask) -> list[str]:
    return [_COLUMN.get(name, name) for name in ask.group_by if name not in TIMES]


def _ledger_rows(ask: Ask) -> QuerySet:
    rows = ApiUsageLog.objects.filter(occurred_at__gte=ask.start, occurred_at__lt=ask.end)
    tagged = {name: value for name, value in ask.filters.items() if name == tags.API_KEY or name.startswith(TAG)}
    rows = tags.with_tags(rows, {name.removeprefix(TAG): value for name, value in tagged.items()})
    for name, value in ask.filters.items():
        if name == "status":
            rows = known_as(rows, value)
        elif name not in tagged:
            rows = rows.filter(**{_COLUMN.get(name, name): None if name == "user" and value == 0 else value})
    return rows


def _from_ledger(ask: Ask, rows: QuerySet) -> Iterable[tuple[Any, dict[str, Any]]]:
    keys: dict[str, Any] = {}
    for name in ask.group_by:
        if name == "hour":
            keys["at"] = TruncHour("occurred_at", tzinfo=UTC)
        elif name in TIMES:
            keys["at"] = TruncDate("occurred_at", tzinfo=ask.zone)
        elif name == "api_key" or name.startswith(TAG):
            keys[_alias(name)] = tags.value_of(name.removeprefix(TAG))
        else:
            keys[f"by_{name}"] = F(_COLUMN.get(name, name))
    failed = Case(When(status__in=ERROR_STATUSES, then=Value(1)), default=Value(0), output_field=IntegerField())
    sums = {f"sum_{name}": Sum(name) for name in MEASURES if name != "errors"}
    groups = rows.order_by().values(**keys) if keys else rows.order_by().values()
    for row in groups.annotate(**sums, sum_errors=Sum(failed)).iterator(chunk_size=2000):
        found = dict(row)
        for name in ask.group_by:
            if name not in TIMES:
                tagged = name == "api_key" or name.startswith(TAG)
                value = found.get(_alias(name) if tagged else f"by_{name}")
                found[_COLUMN.get(name, name)] = value if value is not None else (0 if name == "user" else "")
        yield found.get("at"), found


def _alias(name: str) -> str:
    return "tagged_" + name.encode().hex()


def _grouped(ask: Ask, rows: Iterable[tuple[Any, dict[str, Any]]]) -> list[Group]:
    """Fold hours and days into the times asked for."""
    read = _reader_of_time(ask)
    found: dict[tuple, dict[str, Any]] = {}
    for at, row in rows:
        key = tuple(read(at) if name in TIMES else row[_COLUMN.get(name, name)] for name in ask.group_by)
        sums = found.setdefault(key, dict.fromkeys(MEASURES, 0))
        for name in MEASURES:
            sums[name] += row[f"sum_{name}"] or 0
        if len(found) > MAX_GROUPS:
            raise ReportRefused("group_by", f"The report would have more than {MAX_GROUPS} groups. Narrow it.")
    groups = [
        Group(
            values=dict(zip(ask.group_by, key, strict=True)), totals=Totals(**{**sums, "cost": Decimal(sums["cost"])})
        )
        for key, sums in found.items()
    ]

    def place(group: Group) -> tuple:
        times = (value for name, value in group.values.items() if name in TIMES)
        names = (value for name, value in group.values.items() if name not in TIMES)
        return (*times, -group.totals.cost, -group.totals.calls, *names)

    return sorted(groups, key=place)


def _reader_of_time(ask: Ask) -> Callable[[Any], Any]:
    """From a day or a moment to the value of the time dimension that is asked for."""
    kind = next((name for name in ask.group_by if name in TIMES), "")
    if kind == "hour":
        return lambda at: at.astimezone(UTC).astimezone(ask.zone)

    def day(at: Any) -> date:
        return at.astimezone(ask.zone).date() if isinstance(at, datetime) else at

    if kind == "week":
        return lambda at: day(at) - timedelta(days=day(at).weekday())
    if kind == "month":
        return lambda at: day(at).replace(day=1)
    return day


def with_emails(groups: list[Group]) -> dict[int, str]:
    """The email addresses of the users that stand in groups, by id."""
    return emails_of(group.values["user"] for group in groups if "user" in group.values)


# --- Analyses -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisCosts:
    """What the calls of one analysis add up to, altogether, by feature and by model. USD."""

    analysis_id: str
    totals: Totals
    by_feature: dict[str, Decimal]
    by_model: dict[str, Decimal]
    first_call_at: datetime
    last_call_at: datetime


def costs_of_analyses(analysis_ids: Iterable[str]) -> dict[str, AnalysisCosts]:
    """The costs of these analyses, by id, from one read of the rollup; those without calls are left out."""
    found: dict[str, list[AnalysisRollup]] = {}
    for row in AnalysisRollup.objects.filter(analysis_id__in=list(analysis_ids)):
        found.setdefault(row.analysis_id, []).append(row)
    return {name: _analysis_costs(name, rows) for name, rows in found.items()}


def _analysis_costs(analysis_id: str, rows: list[AnalysisRollup]) -> AnalysisCosts:
    sums = {name: sum((getattr(row, name) for row in rows), Decimal(0) if name == "cost" else 0) for name in MEASURES}
    return AnalysisCosts(
        analysis_id=analysis_id,
        totals=Totals(**sums),
        by_feature=_by(rows, "feature"),
        by_model=_by(rows, "model"),
        first_call_at=min(row.first_call_at for row in rows),
        last_call_at=max(row.last_call_at for row in rows),
    )


def _by(rows: list[AnalysisRollup], name: str) -> dict[str, Decimal]:
    found: dict[str, Decimal] = {}
    for row in rows:
        found[getattr(row, name)] = found.get(getattr(row, name), Decimal(0)) + row.cost
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))


def dearest_analyses(*, user_id: int | None = None, limit: int = 100) -> list[AnalysisCosts]:
    """The analyses that cost most, dearest first; with a user, those that began with a call of his."""
    rows = _analyses_of(user_id).values("analysis_id").annotate(total=Sum("cost"), count=Sum("calls"))
    top = rows.order_by("-total", "-count", "analysis_id")[: bounded_limit(limit)]
    ids = [row["analysis_id"] for row in top]
    found = costs_of_analyses(ids)
    return [found[name] for name in ids]


def average_cost_per_analysis(*, start: datetime, end: datetime, user_id: int | None = None) -> Decimal | None:
    """The mean cost, over all their calls, of the analyses whose last call was in `[start, end)`; None without one."""
    rows = _analyses_of(user_id).values("analysis_id").annotate(total=Sum("cost"), last=Max("last_call_at"))
    active = rows.filter(last__gte=start, last__lt=end).values_list("total", flat=True)
    sums = active.aggregate(all=Sum("total"), count=Count("total"))
    return sums["all"] / sums["count"] if sums["count"] else None


def _analyses_of(user_id: int | None) -> QuerySet:
    rows = AnalysisRollup.objects.order_by()
    return (
        rows if user_id is None else rows.filter(analysis_id__in=Analysis.objects.filter(user_id=user_id).values("pk"))
    )


def models_by_day(*, period: Period, user_id: int | None = None) -> dict[date, dict[str, Totals]]:
    """The sums of each model on each day that has calls, the dearest model of a day first."""
    filters = {} if user_id is None else {"user": user_id}
    ask = Ask(group_by=("day", "model"), start=period.starts_at, end=period.ends_at, filters=filters)
    found: dict[date, dict[str, Totals]] = {}
    for group in report(ask, max_rows=0).groups:
        found.setdefault(group.values["day"], {})[group.values["model"]] = group.totals
    return found
