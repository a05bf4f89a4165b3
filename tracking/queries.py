"""Typed reads shared by pages, command line and exports. Sums come from rollups; raw rows only in lists of calls.

Money is `Decimal` USD. Days are those of the site's TIME_ZONE. Every sum is net of corrections.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from django.db.models import Max, Min, QuerySet, Sum

from tracking.calls import (
    Call,
    CallDetail,
    CallPage,
    bounded_limit,
    call,
    last_calls_by_user,
    latest_calls,
    unpriced_calls,
)
from tracking.models import (
    Analysis,
    AnalysisRollup,
    DailyFeatureRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
    HourlyModelRollup,
)
from tracking.periods import Period
from tracking.rollups import MEASURES
from tracking.span_reads import summed
from tracking.users import emails_of

__all__ = [
    "AnalysisTotals",
    "Call",
    "CallDetail",
    "CallPage",
    "DayTotals",
    "NamedTotals",
    "Period",
    "Totals",
    "UserTotals",
    "analyses",
    "analysis_costs",
    "by_day",
    "by_feature",
    "by_model",
    "by_service",
    "by_user",
    "call",
    "emails_of",
    "last_calls_by_user",
    "latest_calls",
    "top_users",
    "totals",
    "unpriced_calls",
]

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Totals:
    """Sums over calls. `cost` leaves out the calls whose price is not known: `unpriced` counts those."""

    calls: int = 0
    errors: int = 0
    unpriced: int = 0
    cost: Decimal = ZERO  # USD
    input_tokens: int = 0  # cached ones included
    cache_read_tokens: int = 0
    output_tokens: int = 0  # reasoning included
    audio_ms: int = 0
    characters: int = 0

    @property
    def average_cost(self) -> Decimal | None:
        """USD per priced call; None without one."""
        priced = self.calls - self.unpriced
        return self.cost / priced if priced > 0 else None

    @property
    def audio_minutes(self) -> Decimal:
        """Audio billed by its duration, in minutes."""
        return Decimal(self.audio_ms) / 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class DayTotals:
    """The sums of one day."""

    day: date
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedTotals:
    """The sums of one service, model or feature. `name` is "" for calls without one."""

    name: str
    totals: Totals


@dataclass(frozen=True, slots=True, kw_only=True)
class UserTotals:
    """The sums of one user; `user_id` is None and `email` "" for calls without a user."""

    user_id: int | None
    email: str
    totals: Totals


# --- Sums -----------------------------------------------------------------------------------------------------------


def totals(*, period: Period, user_id: int | None = None) -> Totals:
    """The sums of a period, of one user where given."""
    return _one(_in(DailyUserRollup, period, user_id) if user_id is not None else _in(DailyFeatureRollup, period))


def by_day(*, period: Period, user_id: int | None = None) -> list[DayTotals]:
    """The sums of every day of the period, oldest first; days without calls are there too."""
    rollup = DailyFeatureRollup if user_id is None else DailyUserRollup
    rows = _of(rollup.objects.filter(day__gte=period.start, day__lt=period.end), user_id)
    found = {row["day"]: _totals(row) for row in _summed(rows.values("day"))}
    return [DayTotals(day=day, totals=found.get(day, Totals())) for day in period.days]


def by_feature(*, period: Period, user_id: int | None = None, limit: int = 100) -> list[NamedTotals]:
    """The sums of each feature, dearest first."""
    rows = _in(DailyFeatureRollup, period) if user_id is None else _in(DailyUserFeatureRollup, period, user_id)
    return _named(rows, "feature", limit)


def by_model(*, period: Period, user_id: int | None = None, limit: int = 100) -> list[NamedTotals]:
    """The sums of each model, dearest first."""
    rows = _in(DailyFeatureRollup, period) if user_id is None else _in(DailyUserModelRollup, period, user_id)
    return _named(rows, "model", limit)


def by_service(*, period: Period, user_id: int | None = None, limit: int = 100) -> list[NamedTotals]:
    """The sums of each product line (chat, whisper, tts, ...), dearest first."""
    starts_at, ends_at = period.starts_at, period.ends_at
    if user_id is None and starts_at.minute == 0 and ends_at.minute == 0:
        return _named(HourlyModelRollup.objects.filter(hour__gte=starts_at, hour__lt=ends_at), "service", limit)
    # Zones whose days do not begin with an hour of UTC are answered from the days.
    return _named(_in(DailyUserModelRollup, period, user_id), "service", limit)


def by_user(*, period: Period, limit: int = 100) -> list[UserTotals]:
    """The sums of each user, dearest first; calls without a user are one of them."""
    return _users(_in(DailyUserRollup, period), limit)


def top_users(*, period: Period, limit: int = 10) -> list[UserTotals]:
    """The users who spent most, dearest first; calls without a user are left out."""
    return _users(_in(DailyUserRollup, period).exclude(user_id=0), limit)


def _in(model, period: Period, user_id: int | None = None) -> QuerySet:
    """The rows of a period, to be added up: its days are not told apart."""
    return _of(summed(model, period), user_id)


def _of(rows: QuerySet, user_id: int | None) -> QuerySet:
    return rows if user_id is None else rows.filter(user_id=user_id)


def _summed(rows: QuerySet) -> QuerySet:
    return rows.annotate(**{f"sum_{name}": Sum(name) for name in MEASURES})


def _one(rows: QuerySet) -> Totals:
    return _totals(rows.aggregate(**{f"sum_{name}": Sum(name) for name in MEASURES}))


def _totals(row: dict[str, Any]) -> Totals:
    return Totals(**{name: value for name in MEASURES if (value := row[f"sum_{name}"]) is not None})


def _named(rows: QuerySet, name: str, limit: int) -> list[NamedTotals]:
    found = _summed(rows.values(name)).order_by("-sum_cost", "-sum_calls", name)[: bounded_limit(limit)]
    return [NamedTotals(name=row[name], totals=_totals(row)) for row in found]


def _users(rows: QuerySet, limit: int) -> list[UserTotals]:
    found = list(_summed(rows.values("user_id")).order_by("-sum_cost", "-sum_calls", "user_id")[: bounded_limit(limit)])
    emails = emails_of(row["user_id"] for row in found)
    return [
        UserTotals(user_id=row["user_id"] or None, email=emails.get(row["user_id"], ""), totals=_totals(row))
        for row in found
    ]


# --- Analyses -------------------------------------------------------------------------------------------------------


def analysis_costs(analysis_id: str) -> dict[str, Any]:
    """What the calls of an analysis add up to. Money in USD (`Decimal`).

    {"total", "by_feature": {name: USD}, "by_model": {name: USD}, "tokens": {"input", "output"}, "calls", "unpriced",
    "first_call_at", "last_call_at"}; zeros and None for an analysis without calls.
    """
    rows = list(AnalysisRollup.objects.filter(analysis_id=analysis_id))
    by_feature: dict[str, Decimal] = {}
    by_model: dict[str, Decimal] = {}
    for row in rows:
        by_feature[row.feature] = by_feature.get(row.feature, ZERO) + row.cost
        by_model[row.model] = by_model.get(row.model, ZERO) + row.cost
    return {
        "total": sum((row.cost for row in rows), ZERO),
        "by_feature": dict(sorted(by_feature.items(), key=lambda item: (-item[1], item[0]))),
        "by_model": dict(sorted(by_model.items(), key=lambda item: (-item[1], item[0]))),
        "tokens": {
            "input": sum(row.input_tokens for row in rows),
            "output": sum(row.output_tokens for row in rows),
        },
        "calls": sum(row.calls for row in rows),
        "unpriced": sum(row.unpriced for row in rows),
        "first_call_at": min((row.first_call_at for row in rows), default=None),
        "last_call_at": max((row.last_call_at for row in rows), default=None),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class AnalysisTotals:
    """One analysis and the sums of its calls."""

    analysis_id: str
    title: str
    first_call_at: datetime
    last_call_at: datetime
    totals: Totals


def analyses(*, limit: int = 100) -> list[AnalysisTotals]:
    """The analyses that cost most, dearest first."""
    rows = _summed(AnalysisRollup.objects.values("analysis_id")).annotate(
        first=Min("first_call_at"), last=Max("last_call_at")
    )
    found = list(rows.order_by("-sum_cost", "-sum_calls", "analysis_id")[: bounded_limit(limit)])
    titles = dict(Analysis.objects.filter(id__in=[row["analysis_id"] for row in found]).values_list("id", "title"))
    return [
        AnalysisTotals(
            analysis_id=row["analysis_id"],
            title=titles.get(row["analysis_id"], ""),
            first_call_at=row["first"],
            last_call_at=row["last"],
            totals=_totals(row),
        )
        for row in found
    ]
