"""What `monitor_ai_costs` tells: the sums of a period, from rollups, as data."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from budgets.forecast import Forecast
from budgets.outlook import with_forecasts
from budgets.overview import fullest_limits
from budgets.queries import standings_of_user
from tracking import calls, queries
from tracking.periods import Period, last_days, site_zone
from tracking.queries import DayTotals, NamedTotals, Totals, UserTotals

#: Lines of each table.
TOP = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetLine:
    """Where one limit stands. Money in USD."""

    name: str
    whose: str  # of a limit for "each": whose window is the fullest
    scope: str
    period: str
    limit: Decimal  # with temporary increases
    spent: Decimal
    held: Decimal
    status: str
    resets_at: datetime | None
    forecast: Forecast | None = None

    @property
    def remaining(self) -> Decimal:
        """What is neither spent nor held; never negative."""
        return max(Decimal(0), self.limit - self.spent - self.held)

    @property
    def percent(self) -> Decimal:
        """What is spent of the limit, in percent; 100 of a limit of 0."""
        return round(self.spent / self.limit * 100, 1) if self.limit else Decimal(100)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Sums over the days of `period`, of one user where `user` is set (an email address)."""

    at: datetime
    period: Period
    user: str
    totals: Totals
    by_feature: list[NamedTotals]
    by_model: list[NamedTotals]
    top_users: list[UserTotals]  # empty for a report on one user
    last_days: list[DayTotals]  # the last seven
    unpriced: list[calls.Call]  # the latest of them
    budgets: list[BudgetLine]  # the user's, or the fullest of all


def make_report(*, now: datetime, days: int, user_id: int | None = None, email: str = "") -> Report:
    """The report on the last `days` days. Raises `ValueError` for less than one day."""
    period = last_days(now, days)
    return Report(
        at=now,
        period=period,
        user=email,
        totals=queries.totals(period=period, user_id=user_id),
        by_feature=queries.by_feature(period=period, user_id=user_id, limit=TOP),
        by_model=queries.by_model(period=period, user_id=user_id, limit=TOP),
        top_users=queries.top_users(period=period, limit=TOP) if user_id is None else [],
        last_days=queries.by_day(period=last_days(now, 7), user_id=user_id),
        unpriced=calls.unpriced_calls(user_id=user_id, limit=TOP).calls,
        budgets=_budgets_of(user_id, now) if user_id is not None else _fullest_budgets(now),
    )


def _budgets_of(user_id: int, now: datetime) -> list[BudgetLine]:
    lines = [line for line in standings_of_user(user_id, at=now) if line.enforced]
    return [
        BudgetLine(
            name=line.name, whose="", scope=line.scope, period=line.period, limit=line.limit, spent=line.spent,
            held=line.held, status=line.status, resets_at=line.resets_at, forecast=line.forecast,
        )
        for line in with_forecasts(lines, at=now)
    ]  # fmt: skip


def _fullest_budgets(now: datetime) -> list[BudgetLine]:
    return [
        BudgetLine(
            name=str(limit), whose=whose, scope=limit.scope, period=limit.period, limit=one.limit, spent=one.spent,
            held=one.held, status=one.status, resets_at=one.resets_at,
        )
        for limit, whose, one in fullest_limits(at=now, most=TOP)
    ]  # fmt: skip


def as_json(report: Report) -> dict[str, Any]:
    """The report as JSON can hold it: money as decimal strings in USD, times in ISO 8601."""
    return {
        "at": report.at.isoformat(),
        "time_zone": site_zone().key,
        "start": report.period.start.isoformat(),
        "days": report.period.length,
        "user": report.user or None,
        "totals": _totals(report.totals),
        "by_feature": [{"feature": entry.name, **_totals(entry.totals)} for entry in report.by_feature],
        "by_model": [{"model": entry.name, **_totals(entry.totals)} for entry in report.by_model],
        "top_users": [
            {"user_id": entry.user_id, "email": entry.email, **_totals(entry.totals)} for entry in report.top_users
        ],
        "last_7_days": [{"date": entry.day.isoformat(), **_totals(entry.totals)} for entry in report.last_days],
        "unpriced_calls": [
            {
                "id": str(call.id),
                "at": call.occurred_at.isoformat(),
                "provider": call.provider,
                "model": call.model,
                "operation": call.operation,
            }
            for call in report.unpriced
        ],
        "budgets": [_budget(line) for line in report.budgets],
    }


def _budget(line: BudgetLine) -> dict[str, Any]:
    money = {name: _text(getattr(line, name)) for name in ("limit", "spent", "held", "remaining")}
    return {
        "name": line.name,
        "whose": line.whose or None,
        "scope": line.scope,
        "period": line.period,
        **money,
        "percent": format(line.percent, "f"),
        "status": line.status,
        "resets_at": line.resets_at.isoformat() if line.resets_at else None,
        "forecast": line.forecast.as_json() if line.forecast else None,
    }


def _totals(totals: Totals) -> dict[str, Any]:
    return {
        "cost_usd": _text(totals.cost),
        "calls": totals.calls,
        "unpriced": totals.unpriced,
        "errors": totals.errors,
        "input_tokens": totals.input_tokens,
        "output_tokens": totals.output_tokens,
        "average_cost_usd": None if totals.average_cost is None else _text(round(totals.average_cost, 9)),
    }


def _text(amount: Decimal) -> str:
    return format(amount.normalize(), "f") if amount else "0"
