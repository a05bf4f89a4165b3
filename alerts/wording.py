"""Alerts about limits in words. Names that people chose stand in them as they are: each channel and page escapes."""

from __future__ import annotations

from datetime import datetime
from decimal import ROUND_HALF_EVEN, Decimal
from zoneinfo import ZoneInfo

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from budgets.formats import usd
from budgets.models import BudgetIncrease, BudgetLimit, Crossing, Period
from budgets.subjects import names_of

_DIGITS = Decimal("0.0001")
#: A limit's own name has up to 200 characters; what it is about is cut to so many.
_MOST = 150


def money(amount: Decimal) -> str:
    """`$12.50`; with four decimal places where that says more, and every digit below that."""
    return usd(amount.quantize(_DIGITS, ROUND_HALF_EVEN) if abs(amount) >= _DIGITS else amount)


def percent(share: Decimal) -> str:
    """`80 %`, `99.5 %`"""
    return f"{(share * 100).quantize(Decimal('0.1')).normalize():f} %"


def moment(at: datetime, zone: str) -> str:
    """`2026-11-23 00:00 Europe/Vienna`"""
    return f"{at.astimezone(ZoneInfo(zone)):%Y-%m-%d %H:%M} {zone}"


def cut(text: str, most: int = _MOST) -> str:
    """The beginning of a text that is too long."""
    return text if len(text) <= most else text[: most - 1] + "…"


def called(limit: BudgetLimit, subject: str = "") -> str:
    """A limit by the name that people know it by; of an "each" limit, with whose window it is."""
    name = names_of([subject])[subject] if subject and limit.scope.startswith("each_") else ""
    return f"{cut(str(limit))} ({cut(name, 100)})" if name else cut(str(limit))


def of_crossing(crossing: Crossing, *, type_: Type, user_id: int | None) -> Finding:
    """The alert of a threshold that was passed, of a first refused call, of a pause or of its end."""
    window, limit = crossing.window, crossing.window.limit
    name = called(limit, window.subject)
    which = "" if type_ == Type.RESUMED else _window_of(crossing)
    title, text = _WORDS[type_](crossing, f"{name}{which}")
    spent = money(crossing.spent)
    if crossing.limit_amount:
        spent = f"{spent} of {money(crossing.limit_amount)} ({percent(crossing.spent / crossing.limit_amount)})"
    facts = [("Limit", name), ("Spent", spent)]
    if crossing.held:
        facts.append(("Held for calls in flight", money(crossing.held)))
    if crossing.kind == Crossing.Kind.REFUSED:
        facts.append(("The call could have cost", money(crossing.asked)))
    facts.append(("Since", moment(window.starts_at, limit.time_zone)))
    facts.append(("Resets", moment(window.ends_at, limit.time_zone) if window.ends_at else "never"))
    threshold = crossing.threshold if type_ in (Type.THRESHOLD, Type.EXCEEDED) else None
    return Finding(
        type=type_,
        severity=_severity(type_, crossing),
        dedupe_key=_key(type_, crossing),
        title=title,
        text=text,
        at=crossing.crossed_at,
        user_id=user_id,
        limit_id=limit.pk,
        window_id=window.pk,
        window_start=window.starts_at,
        window_end=window.ends_at,
        subject=window.subject,
        threshold=threshold,
        spent=crossing.spent,
        limit_amount=crossing.limit_amount,
        held=crossing.held,
        facts=tuple(facts),
        details={"hard": window.hard, "period": limit.period, "scope": limit.scope},
        silent=not crossing.alert,
    )


def _window_of(crossing: Crossing) -> str:
    """Which of a limit's windows it is, for titles: `, October`. Those of two months read the same otherwise."""
    window, limit = crossing.window, crossing.window.limit
    starts = window.starts_at.astimezone(ZoneInfo(limit.time_zone))
    match limit.period:
        case Period.HOUR:
            return f", {starts:%-d %B, %H:%M}"
        case Period.DAY:
            return f", {starts:%-d %B}"
        case Period.MONTH if limit.month_start == 1:
            return f", {starts:%B}"
        case Period.YEAR if limit.month_start == 1:
            return f", {starts:%Y}"
        case Period.TOTAL:
            return ""
    return f", from {starts:%-d %B}"


def _key(type_: Type, crossing: Crossing) -> str:
    """One alert for each limit, window, threshold and amount: a limit that was raised and is used up again is news, one
    that is back at an amount that was told is none. The window by its time: a limit that ends and comes back has other
    rows for the same span. What is counted belongs to it: another target is another line to cross.
    """
    window, limit = crossing.window, crossing.window.limit
    subject = window.subject or f"{limit.scope}:{limit.target or limit.group_id or limit.user_id or ''}"
    parts = [type_, limit.pk, limit.period, f"{window.starts_at:%Y%m%dT%H%M%SZ}"]
    if type_ in (Type.THRESHOLD, Type.EXCEEDED):
        parts.append(f"{crossing.threshold.normalize():f}")
    if type_ != Type.RESUMED:  # a window ends once, whatever its limit was
        parts.append(f"{crossing.limit_amount.normalize():f}")
    return ":".join(map(str, [*parts, subject]))


def _severity(type_: Type, crossing: Crossing) -> Severity:
    if type_ == Type.RESUMED:
        return Severity.INFO
    if type_ in (Type.REFUSED, Type.PAUSED):
        return Severity.CRITICAL
    if type_ == Type.EXCEEDED:
        return Severity.CRITICAL if crossing.window.hard else Severity.WARNING
    # Limits come with 80 % and 100 %: any other share stands there because somebody wants to hear of it.
    return Severity.WARNING


def _spent(crossing: Crossing) -> str:
    return f"{money(crossing.spent)} of {money(crossing.limit_amount)} is spent"


def _until(crossing: Crossing) -> str:
    window = crossing.window
    return f"until {moment(window.ends_at, window.limit.time_zone)}" if window.ends_at else "for good"


def _what_to_do(crossing: Crossing) -> str:
    limit = crossing.window.limit
    if limit.owner_id is not None:
        return "It is your own limit: you can raise it on the page Budgets."
    return "Staff can raise the limit; others can ask for more on the page Budgets."


def _threshold(crossing: Crossing, name: str) -> tuple[str, str]:
    window = crossing.window
    resets = f" It resets at {moment(window.ends_at, window.limit.time_zone)}." if window.ends_at else ""
    left = max(Decimal(0), crossing.limit_amount - crossing.spent)
    return f"{percent(crossing.threshold)} spent: {name}", f"{_spent(crossing)}, {money(left)} is left.{resets}"


def _exceeded(crossing: Crossing, name: str) -> tuple[str, str]:
    window = crossing.window
    if crossing.threshold > 1:
        title = f"{percent(crossing.threshold)} spent: {name}"
    else:
        title = f"{'Limit reached' if crossing.spent <= crossing.limit_amount else 'Limit exceeded'}: {name}"
    if window.hard:
        return title, (
            f"{_spent(crossing)}. Calls that cost something are refused {_until(crossing)}. {_what_to_do(crossing)}"
        )
    return title, f"{_spent(crossing)}. The limit is soft: calls go on. {_what_to_do(crossing)}"


def _refused(crossing: Crossing, name: str) -> tuple[str, str]:
    left = max(Decimal(0), crossing.limit_amount - crossing.spent - crossing.held)
    return f"Calls are refused: {name}", (
        f"{_spent(crossing)}, {money(left)} is left; a call that could have cost {money(crossing.asked)} was refused. "
        f"Such calls are refused {_until(crossing)}. {_what_to_do(crossing)}"
    )


def _paused(crossing: Crossing, name: str) -> tuple[str, str]:
    return f"Paid calls are paused: {name}", (
        f"{_spent(crossing)}. Calls that cost something are refused {_until(crossing)}. {_what_to_do(crossing)}"
    )


def _resumed(crossing: Crossing, name: str) -> tuple[str, str]:
    return f"Calls are admitted again: {name}", (
        f"The period in which calls were refused is over; {_spent(crossing)} in it. A new one has begun."
    )


_WORDS = {
    Type.THRESHOLD: _threshold,
    Type.EXCEEDED: _exceeded,
    Type.REFUSED: _refused,
    Type.PAUSED: _paused,
    Type.RESUMED: _resumed,
}


def of_increase(increase: BudgetIncrease, *, type_: Type) -> Finding:
    """The alert of more that was asked for (to those who approve), or of what became of it (to who asked)."""
    limit, asked = increase.limit, type_ == Type.INCREASE_ASKED
    name, amount = called(limit, increase.subject), money(increase.amount)
    until = moment(increase.until, limit.time_zone)
    if asked:
        title = f"{cut(str(increase.asked_by), 100)} asks for {amount} more: {name}"
        text = f"{amount} more until {until}. Reason: {cut(increase.why, 500)}"
    else:
        verb = "approved" if type_ == Type.INCREASE_APPROVED else "refused"
        title = f"{amount} more was {verb}: {name}"
        counts = f"It counts until {until}." if type_ == Type.INCREASE_APPROVED else ""
        text = " ".join(part for part in (counts, cut(increase.decision_note, 500)) if part)
    facts = [("Limit", name), ("Amount", amount), ("Until", until), ("Asked by", cut(str(increase.asked_by)))]
    if not asked:
        facts.append(("Decided by", cut(str(increase.decided_by))))
    return Finding(
        type=type_,
        severity=Severity.INFO,
        dedupe_key=f"{type_}:{increase.pk}",
        title=title,
        text=text,
        at=increase.asked_at if asked else increase.decided_at,
        user_id=None if asked else increase.asked_by_id,
        limit_id=limit.pk,
        subject=increase.subject,
        facts=tuple(facts),
        details={"increase": increase.pk, "amount": format(increase.amount, "f"), "until": increase.until.isoformat()},
    )
