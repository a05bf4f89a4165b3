"""Spending that is unusual for a model, a feature or a user: what, when, and against what.

Each is looked at by the running hour and the last whole one, by four hours together, and by the day so far; the first
that is unusual is told. Once for each of them and day; over when the hours (or the day) that told it are usual again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from alerts.detect.baseline import (
    DAY,
    DAY_OF_WEEK,
    FOUR_HOURS_OF_WEEK,
    HOUR_OF_DAY,
    HOUR_OF_WEEK,
    Rhythm,
    Verdict,
    judge,
)
from alerts.detect.episodes import Episodes, about
from alerts.detect.hours import HOUR, hour_of
from alerts.detect.series import Series, worth_a_look
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.wording import cut, money
from tracking.periods import day_of, site_zone, start_of
from tracking.users import emails_of

#: Critical from so many times the usual on, where that is so many times the least amount.
CRITICAL_RATIO, CRITICAL_LEAST = 10, 20
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class Look:
    """One comparison: what was spent from when to when, and the verdict. Money in USD."""

    spent: Decimal
    start: datetime
    end: datetime  # not after now
    by_days: bool
    verdict: Verdict


def find(at: datetime) -> Iterator[Finding]:
    """What is unusual now, or was and is not clearly over yet."""
    episodes = Episodes(Type.UNUSUAL_SPEND)
    open_names: dict[str, set[str]] = {}
    for alert in episodes.open.values():
        if not alert.details.get("own"):
            open_names.setdefault(alert.details.get("dimension", ""), set()).add(alert.details.get("name", ""))
    emails: dict[int, str] = {}
    for series in worth_a_look(at=at, least_usd=settings.UNUSUAL_MIN_USD, also=open_names):
        looks = looks_at(series, at=at)
        what = about(Type.UNUSUAL_SPEND, series.dimension, series.name)
        told = next((look for look in looks if look.verdict.unusual), None) or _still(looks, episodes.details(what))
        if told is None:
            continue
        if series.dimension == "user":
            emails = emails_of([int(series.name)])
        yield say(series, told, emails, episodes.key(what, at=at), at)
        if series.dimension == "user" and emails:
            own = about(Type.UNUSUAL_SPEND, "own", series.name)
            yield say(series, told, emails, episodes.key(own, at=at), at, own=True)


def looks_at(series: Series, *, at: datetime) -> list[Look]:
    """The comparisons that the past of a series allows."""
    now = hour_of(at)
    least = float(settings.UNUSUAL_MIN_USD)
    found = []
    for start in (now, now - HOUR):
        past, spent = series.hours_before(start), series.spent(start, 1)
        verdict = judge(float(spent), past, HOUR_OF_WEEK, least_usd=least)
        verdict = verdict or judge(float(spent), past, HOUR_OF_DAY, least_usd=least)
        found.append((spent, start, start + HOUR, False, verdict))
    start = now - 3 * HOUR
    past, spent = series.hours_before(start), series.spent(start, 4)
    past = past[len(past) % 4 :]
    fours = [sum(past[i : i + 4]) for i in range(0, len(past), 4)]
    found.append((spent, start, now + HOUR, False, judge(float(spent), fours, FOUR_HOURS_OF_WEEK, least_usd=least)))
    day = day_of(at)
    days, spent = series.days_before(day), series.days.get(day, Decimal(0))
    verdict = judge(float(spent), days, DAY_OF_WEEK, least_usd=least) or judge(float(spent), days, DAY, least_usd=least)
    found.append((spent, start_of(day), at, True, verdict))
    return [
        Look(spent, start, min(end, at), by_days, verdict)
        for spent, start, end, by_days, verdict in found
        if verdict is not None
    ]


def _still(looks: list[Look], details: dict) -> Look | None:
    """Where it was told: what is not clearly usual again, by the same kind of comparison."""
    if not details:
        return None
    same = [look for look in looks if look.by_days == details.get("by_days")]
    return next((look for look in same if not look.verdict.normal), None)


def say(series: Series, look: Look, emails: dict[int, str], key: str, at: datetime, *, own: bool = False) -> Finding:
    whose = _whose(series, emails)
    usual, span = usually(look.verdict), span_of(look)
    excess = look.spent - Decimal(look.verdict.usual)
    steep = look.spent >= CRITICAL_RATIO * Decimal(look.verdict.usual)
    critical = steep and excess >= CRITICAL_LEAST * settings.UNUSUAL_MIN_USD
    spent = money(look.spent.quantize(_CENT))
    who = "You" if own else whose[0].upper() + whose[1:]
    return Finding(
        type=Type.UNUSUAL_SPEND,
        severity=Severity.CRITICAL if critical else Severity.WARNING,
        dedupe_key=key,
        title="Your spending is unusual" if own else f"Unusual spending: {whose}",
        text=f"{who} spent {spent} {span}; {_compared(look)} {usual}.",
        at=at,
        user_id=int(series.name) if own else None,
        subject=f"{series.dimension}:{series.name}",
        spent=look.spent,
        facts=(
            (series.dimension.capitalize(), whose.partition(" ")[2] or whose),
            ("Spent", f"{spent} {span}"),
            (f"Usually, {_slot(look)}", usual),
        ),
        details={
            "dimension": series.dimension,
            "name": series.name,
            "own": own,
            "by_days": look.by_days,
            "start": look.start.isoformat(),
            "end": look.end.isoformat(),
            "spent": f"{look.spent:f}",
            "usual": f"{look.verdict.usual:.2f}",
            "score": round(look.verdict.score, 1),
            "compared_with": look.verdict.rhythm.name,
            "rounds": len(look.verdict.same),
        },
    )


def _whose(series: Series, emails: dict[int, str]) -> str:
    """`feature X`, `model openai/gpt-4o`, `user alice@example.com`"""
    name = series.name
    if series.dimension == "user":
        name = emails.get(int(name), f"account {name}") if name != "0" else ""
    return f"{series.dimension} {cut(name)}" if name else f"calls without a {series.dimension}"


def span_of(look: Look) -> str:
    """`between 14:00 and 15:00 on Tuesday, 24 November (Europe/Vienna)`, or `on Tuesday, 24 November, until 15:20`."""
    zone = site_zone()
    start, end = look.start.astimezone(zone), look.end.astimezone(zone)
    day = f"{start:%A}, {start.day} {start:%B}"
    if look.by_days:
        return f"on {day}, until {end:%H:%M} ({zone.key})"
    return f"between {start:%H:%M} and {end:%H:%M} on {day} ({zone.key})"


def usually(verdict: Verdict) -> str:
    """`$3.00 to $6.00 (8 weeks)`: between the 10th and the 90th percentile of the same slot, as it was."""
    ordered = sorted(verdict.same)
    edge = (len(ordered) - 1) / 10
    low, high = ordered[round(edge)], ordered[round(len(ordered) - 1 - edge)]
    rounds = len(ordered)
    unit = "weeks" if verdict.rhythm.weekly else "days"
    if high < 0.005:
        return f"nothing ({rounds} {unit})"
    texts = [money(Decimal(value).quantize(_CENT)) for value in (low, high)]
    return f"{' to '.join(dict.fromkeys(texts))} ({rounds} {unit})"


def _compared(look: Look) -> str:
    return {
        HOUR_OF_WEEK: f"on {_weekday(look)} at that hour it is usually",
        FOUR_HOURS_OF_WEEK: f"on {_weekday(look)} in those four hours it is usually",
        HOUR_OF_DAY: "at that hour of the day it is usually",
        DAY_OF_WEEK: f"on a whole {_weekday(look)[:-1]} it is usually",
        DAY: "on a whole day it is usually",
    }[look.verdict.rhythm]


def _slot(look: Look) -> str:
    rhythm: Rhythm = look.verdict.rhythm
    if rhythm.weekly:
        return f"on {_weekday(look)}{'' if look.by_days else ' at that time'}"
    return "on a day" if look.by_days else "at that time of the day"


def _weekday(look: Look) -> str:
    return f"{look.start.astimezone(site_zone()):%A}s"
