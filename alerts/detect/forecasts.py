"""Limits that are forecast to be exceeded before their window ends, with the day on which that is expected."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from decimal import Decimal

from alerts.audience import concerned_by
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import CostAlert
from alerts.wording import called, moment, money, percent
from budgets.forecast import Forecast
from budgets.models import BudgetLimit, Period
from budgets.outlook import with_forecasts
from budgets.queries import Standing

#: Told where the forecast reaches the limit; over when it falls below this share of it.
CLEAR_BELOW = Decimal("0.95")
#: Without a past, the pace of a window says something only after this share of it.
LEAST_ELAPSED = Decimal("0.25")
#: Windows that cannot get near their limit even at twice their pace are not forecast, and no more than so many are.
LEAST_PACE, MOST_LINES = Decimal("0.5"), 300
#: So many alerts that hold are looked at in one run.
MOST_OPEN = 1000
#: An hour is over before anybody reads of it; a total never ends.
_PERIODS = (Period.DAY, Period.WEEK, Period.MONTH, Period.QUARTER, Period.YEAR)


def find(every: Sequence[Standing], at: datetime) -> Iterator[Finding]:
    """What is forecast to be exceeded, and what was and is not yet clearly below: one for each limit and window."""
    told = set(CostAlert.objects.filter(type=Type.FORECAST, resolved_at=None).values_list("dedupe_key", flat=True))
    lines = _worth_a_look(every, told, at)
    limits = BudgetLimit.objects.select_related("user", "group").in_bulk({line.limit_id for line in lines})
    for line in with_forecasts([line for line in lines if limits[line.limit_id].alerts_enabled], at=at):
        if line.forecast is not None and exceeds(line, line.forecast, told=_key(line) in told, at=at):
            yield say(limits[line.limit_id], line, line.forecast, at)


def exceeds(line: Standing, forecast: Forecast, *, told: bool, at: datetime) -> bool:
    """Whether a forecast is worth an alert; where one was `told`, whether it still holds."""
    if forecast.expected is None or line.resets_at is None or line.spent >= line.limit:
        return False
    if forecast.basis == "pace" and not told and _elapsed(line, at) < LEAST_ELAPSED:
        return False
    return forecast.expected >= line.limit * (CLEAR_BELOW if told else 1)


def note_reached(lines: Iterable[Standing], *, at: datetime) -> int:
    """Say in alerts that hold that they came true, where the limit has been reached: they are over, and were right.
    Returns how many. `lines`: how all windows stand now; one that has just ended is looked at by itself.
    """
    now = {_key(line): (line.spent, line.limit) for line in lines if line.resets_at is not None}
    rows = CostAlert.objects.filter(type=Type.FORECAST, resolved_at=None).select_related("window")
    reached = []
    for alert in rows.order_by("pk")[:MOST_OPEN]:
        window = alert.window
        stood = (window.spent, window.limit_amount + window.extra_amount) if window is not None else (0, 0)
        spent, limit = now.get(alert.dedupe_key, stood)
        if limit and spent >= limit:
            said = f"{money(spent)} of {money(limit)} is spent"
            alert.text = f"It came true: {said}. What was said before: {alert.text}"
            alert.facts = [*alert.facts, ["Came true", said]]
            alert.details = {**alert.details, "came_true": True}
            alert.resolved_at = alert.updated_at = at
            reached.append(alert)
    return CostAlert.objects.bulk_update(reached, ["text", "facts", "details", "resolved_at", "updated_at"])


def _worth_a_look(lines: Iterable[Standing], told: set[str], at: datetime) -> list[Standing]:
    """The windows that could exceed their limit, those with the fastest pace first."""
    found = []
    for line in lines:
        if line.resets_at is None or line.period not in _PERIODS or not line.limit or not 0 < line.spent < line.limit:
            continue
        pace = line.spent / line.limit / max(_elapsed(line, at), Decimal("0.001"))
        if line.enforced and (pace >= LEAST_PACE or _key(line) in told):
            found.append((_key(line) in told, pace, line))
    found.sort(key=lambda one: one[:2], reverse=True)
    return [line for *_, line in found[:MOST_LINES]]


def _elapsed(line: Standing, at: datetime) -> Decimal:
    """The share of the window that is over."""
    whole = (line.resets_at - line.window_start).total_seconds()
    return Decimal(int((at - line.window_start).total_seconds())) / Decimal(int(whole))


def _key(line: Standing) -> str:
    return f"{Type.FORECAST}:{line.limit_id}:{line.period}:{line.window_start:%Y%m%dT%H%M%SZ}:{line.subject}"


def say(limit: BudgetLimit, line: Standing, forecast: Forecast, at: datetime) -> Finding:
    name = called(limit, line.subject)
    when = f"{moment(forecast.exhausted_at, limit.time_zone)}" if forecast.exhausted_at else ""
    ends = moment(line.resets_at, limit.time_zone)
    expected = money(forecast.expected)
    share = percent(forecast.expected / line.limit)
    text = (
        f"{money(line.spent)} of {money(line.limit)} is spent, and at the present course it will be {expected} "
        f"({share}) when the limit resets at {ends}."
    )
    if when:
        then = "calls that cost something will be refused" if line.hard else "the limit is soft: calls go on"
        text += f" The limit is expected to be reached on {when}; then {then}."
    return Finding(
        type=Type.FORECAST,
        severity=Severity.WARNING,
        dedupe_key=_key(line),
        title=f"Forecast to be exceeded: {name}",
        text=text,
        at=at,
        user_id=concerned_by(limit, line.subject),
        limit_id=limit.pk,
        window_id=line.window_id,
        window_start=line.window_start,
        window_end=line.resets_at,
        subject=line.subject,
        spent=line.spent,
        limit_amount=line.limit,
        held=line.held,
        facts=tuple(_facts(name, line, forecast, when, ends)),
        details={"forecast": forecast.as_json(), "period": line.period, "scope": line.scope, "hard": line.hard},
    )


def _facts(name: str, line: Standing, forecast: Forecast, when: str, ends: str) -> Sequence[tuple[str, str]]:
    facts = [
        ("Limit", name),
        ("Spent", f"{money(line.spent)} of {money(line.limit)} ({percent(line.spent / line.limit)})"),
        ("Forecast", money(forecast.expected)),
    ]
    if forecast.low is not None and forecast.high is not None:
        facts.append(("In 8 cases of 10", f"{money(forecast.low)} to {money(forecast.high)}"))
    if when:
        facts.append(("Expected to be reached", when))
    basis = f"{forecast.slots} days or hours of history" if forecast.basis == "pattern" else "the pace of this window"
    return [*facts, ("Resets", ends), ("Based on", basis)]
