"""Scheduled work of budgets. Each task is right if it runs late, twice or never; beat runs in UTC."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

from celery import shared_task

from budgets.models import Period
from budgets.resets import reset_windows
from budgets.sweeping import sweep_holds


def _reset(period: Period) -> dict[str, int]:
    return asdict(reset_windows(period, at=datetime.now(UTC)))


@shared_task
def reset_hourly_budgets() -> dict[str, int]:
    """Close the hours that have ended; returns how many were closed, opened, and paused before."""
    return _reset(Period.HOUR)


@shared_task
def reset_daily_budgets() -> dict[str, int]:
    """Close the days that have ended, each in its limit's own time zone."""
    return _reset(Period.DAY)


@shared_task
def reset_weekly_budgets() -> dict[str, int]:
    """Close the weeks that have ended."""
    return _reset(Period.WEEK)


@shared_task
def reset_monthly_budgets() -> dict[str, int]:
    """Close the months that have ended."""
    return _reset(Period.MONTH)


@shared_task
def reset_quarterly_budgets() -> dict[str, int]:
    """Close the quarters that have ended."""
    return _reset(Period.QUARTER)


@shared_task
def reset_yearly_budgets() -> dict[str, int]:
    """Close the years that have ended, and what changed limits without an end have left behind."""
    done = _reset(Period.YEAR)
    over = _reset(Period.TOTAL)
    return {name: done[name] + over[name] for name in done}


@shared_task
def sweep_expired_holds() -> int:
    """Count the calls of which nothing was ever heard; returns their number."""
    return sweep_holds(now=datetime.now(UTC))
