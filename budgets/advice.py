"""Which limits would fit: per type of user and per user, from what was spent.

Per type, as the typical sessions of the documentation: sessions a month times the cost of a session, plus a buffer of
20 to 25 %, rounded to a tidy figure. Per user: what a limit per day and per month would have done in the past, figure
by figure. Spending is read from the rollups; days and months are those of the site's TIME_ZONE.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from budgets import tidy
from tracking.history import daily_costs_by_user
from tracking.periods import Period, last_days
from tracking.sessions import count_sessions
from tracking.users import emails_of

DAYS = 90
#: A month of these tables has so many days.
MONTH_DAYS = 30
#: Types of users, by sessions a month up to, not including. The typical numbers are 5, 20 and 100.
TYPES = (("casual", Decimal(10)), ("active", Decimal(45)), ("professional", None))
_CANDIDATES = 5
_CENT = Decimal("0.01")


@dataclass(frozen=True, slots=True)
class TypeAdvice:
    """A budget for one type of user. USD; means over the users of this type."""

    name: str
    users: int
    sessions_a_month: Decimal
    cost_a_session: Decimal
    monthly_total: Decimal
    recommended: Decimal  # per month


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a limit of `amount` USD would have done: reached in `hits` of `windows` windows."""

    amount: Decimal
    hits: int
    windows: int


@dataclass(frozen=True, slots=True)
class PeriodAdvice:
    """Limits of one period for one user. USD."""

    period: str  # day | month
    most: Decimal  # spent in one window
    fits: Decimal  # the first tidy figure that no window would have reached
    candidates: tuple[Candidate, ...]  # `fits` first, then lower ones


@dataclass(frozen=True, slots=True)
class UserAdvice:
    """What would fit one user. USD."""

    user_id: int
    email: str
    type: str
    sessions_a_month: Decimal
    cost_a_session: Decimal
    monthly_total: Decimal
    recommended: Decimal  # per month, with the buffer
    periods: tuple[PeriodAdvice, ...]


@dataclass(frozen=True, slots=True)
class Advice:
    """Everything, dearest users first."""

    period: Period
    session_days: int  # over how many days sessions were counted
    types: tuple[TypeAdvice, ...]
    users: tuple[UserAdvice, ...]


def recommended_budget(*, sessions_a_month: int | Decimal, cost_a_session: Decimal) -> Decimal:
    """A monthly budget in USD: sessions times their cost, plus 20 to 25 %, rounded to a tidy figure."""
    return tidy.recommended(Decimal(sessions_a_month) * cost_a_session)


def advise(*, at: datetime, days: int = DAYS, user_ids: Iterable[int] | None = None) -> Advice:
    """The advice from the last `days` days, today included; for these users, or everyone who spent anything."""
    period = last_days(at, days)
    wanted = None if user_ids is None else set(user_ids)
    costs = daily_costs_by_user(period=period, user_ids=wanted)
    sessions = count_sessions(now=at, days=days)
    emails = emails_of(costs)
    users = [
        _user(user_id, emails.get(user_id, ""), spent, sessions.by_user.get(user_id, 0), sessions.days, period)
        for user_id, spent in costs.items()
    ]
    users.sort(key=lambda user: (-user.monthly_total, user.user_id))
    types = [_type(name, [user for user in users if user.type == name]) for name, _ in TYPES]
    return Advice(period, sessions.days, tuple(found for found in types if found is not None), tuple(users))


def hits(values: Sequence[Decimal], amount: Decimal) -> int:
    """In how many windows a limit of `amount` would have been reached."""
    return sum(1 for value in values if value > 0 and value >= amount)


def candidates(values: Sequence[Decimal]) -> PeriodAdvice:
    """Tidy figures for windows that spent these amounts: the first that fits all, and lower ones (period not set)."""
    most = max(values, default=Decimal(0))
    fits = figure = tidy.above(most)
    found = [Candidate(fits, 0, len(values))]
    while len(found) < _CANDIDATES and (lower := tidy.below(figure)) is not None:
        figure = lower
        reached = hits(values, figure)
        if reached != found[-1].hits:
            found.append(Candidate(figure, reached, len(values)))
        if reached >= len(values):
            break
    return PeriodAdvice("", most, fits, tuple(found))


def _user(
    user_id: int, email: str, spent: dict[date, Decimal], sessions: int, session_days: int, period: Period
) -> UserAdvice:
    # A newcomer is judged by the days since his first call.
    lived = [day for day in period.days if day >= min(spent)]
    monthly = sum(spent.values(), Decimal(0)) * MONTH_DAYS / len(lived)
    a_month = Decimal(sessions) * MONTH_DAYS / min(session_days, len(lived))
    by_day = [spent.get(day, Decimal(0)) for day in lived]
    months: dict[tuple[int, int], Decimal] = {}
    for day in lived:
        months[(day.year, day.month)] = months.get((day.year, day.month), Decimal(0)) + spent.get(day, Decimal(0))
    return UserAdvice(
        user_id=user_id,
        email=email,
        type=_type_of(a_month),
        sessions_a_month=round(a_month, 1),
        cost_a_session=_cents(monthly / a_month) if a_month else Decimal(0),
        monthly_total=_cents(monthly),
        recommended=tidy.recommended(monthly),
        periods=(_named("day", by_day), _named("month", list(months.values()))),
    )


def _named(period: str, values: Sequence[Decimal]) -> PeriodAdvice:
    found = candidates(values)
    return PeriodAdvice(period, found.most, found.fits, found.candidates)


def _type_of(sessions_a_month: Decimal) -> str:
    return next(name for name, below in TYPES if below is None or sessions_a_month < below)


def _type(name: str, users: Sequence[UserAdvice]) -> TypeAdvice | None:
    if not users:
        return None
    sessions = sum((user.sessions_a_month for user in users), Decimal(0)) / len(users)
    total = sum((user.monthly_total for user in users), Decimal(0)) / len(users)
    return TypeAdvice(
        name=name,
        users=len(users),
        sessions_a_month=round(sessions, 1),
        cost_a_session=_cents(total / sessions) if sessions else Decimal(0),
        monthly_total=_cents(total),
        recommended=tidy.recommended(total),
    )


def _cents(amount: Decimal) -> Decimal:
    """To the cent; under a cent, to a hundredth of one."""
    return amount.quantize(_CENT if amount >= _CENT else _CENT / 100)


def as_json(advice: Advice) -> dict[str, Any]:
    """The advice as JSON can hold it: money as decimal strings in USD."""

    def fields(row: Any, *names: str) -> dict[str, Any]:
        values = {name: getattr(row, name) for name in names}
        return {name: format(value, "f") if isinstance(value, Decimal) else value for name, value in values.items()}

    shared = ("sessions_a_month", "cost_a_session", "monthly_total", "recommended")
    return {
        "start": advice.period.start.isoformat(),
        "end": advice.period.end.isoformat(),
        "session_days": advice.session_days,
        "types": [fields(row, "name", "users", *shared) for row in advice.types],
        "users": [
            {
                **fields(user, "user_id", "email", "type", *shared),
                "periods": [
                    {
                        **fields(row, "period", "most", "fits"),
                        "candidates": [fields(one, "amount", "hits", "windows") for one in row.candidates],
                    }
                    for row in user.periods
                ],
            }
            for user in advice.users
        ],
    }
