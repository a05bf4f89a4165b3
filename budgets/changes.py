"""Changing a limit: what counts at once, who is told, and what is written down."""

import uuid
from collections.abc import Callable
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction

from budgets import book, store, windows
from budgets.connections import ALIAS
from budgets.crossings import write_lowered
from budgets.events import increase_changed
from budgets.models import BudgetIncrease, BudgetLimit, BudgetWindow, LimitBook, LimitChange, Period
from budgets.validation import validate_until
from tracking.money import to_nanousd

#: What changes how spending is counted or divided: such a change starts new windows, filled from the ledger.
_STRUCTURE = ("scope", "user_id", "group_id", "target", "period", "time_zone", "week_start", "month_start")
_SHOWN = (
    *("name", *_STRUCTURE, "amount", "thresholds", "alerts_enabled", "pause_on_exceed", "owner_id"),
    *("active_from", "active_until", "no_maximum", "note"),
)


def bump_book() -> None:
    """Tell every process, within a second of the commit, to look the limits up again."""
    LimitBook.objects.update_or_create(pk=1, defaults={"token": uuid.uuid4()})


def save_limit(limit: BudgetLimit, save: Callable[[], None], *, by, why: str, at: datetime) -> None:
    """Save a limit with everything that follows from it, in one transaction. Called by `BudgetLimit.save`."""
    with transaction.atomic(using=ALIAS):
        before = BudgetLimit.objects.select_for_update(of=("self",)).filter(pk=limit.pk).first() if limit.pk else None
        changed = _difference(before, limit)
        if before is not None and _starts_anew(before, changed, at):
            limit.version = before.version + 1
        save()
        if not changed:
            return
        what = "changed" if before is not None else "made"
        LimitChange.objects.create(limit=limit, what=what, changes=changed, by=by, why=why, at=at)
        bump_book()
        if before is not None and {"amount", "pause_on_exceed"} & changed.keys():
            _change_windows(before, limit, at)


def end_limit(limit: BudgetLimit, *, at: datetime, by=None, why: str = "") -> None:
    """Let a limit end now. Its windows and history stay; saving it with another end brings it back."""
    if limit.active_until is None or limit.active_until > at:
        limit.active_until = max(at, limit.active_from or at)
        limit.save(by=by, why=why, at=at)


def ask_increase(
    limit: BudgetLimit, *, amount: Decimal, until: datetime, why: str, by, at: datetime, subject: str = ""
) -> BudgetIncrease:
    """Ask for more for a while. Raises `ValidationError` saying what is wrong; nothing counts until it is approved."""
    with transaction.atomic(using=ALIAS):
        increase = _ask(limit, amount=amount, until=until, why=why, by=by, at=at, subject=subject)
        increase_changed.send(BudgetIncrease, increase=increase, at=at)
    return increase


def _ask(
    limit: BudgetLimit, *, amount: Decimal, until: datetime, why: str, by, at: datetime, subject: str
) -> BudgetIncrease:
    if limit.owner_id is not None:
        raise ValidationError("This is a limit of the user's own: he can raise it himself.")
    try:
        validate_until(until, at=at)
    except ValidationError as error:
        raise ValidationError({"until": error.messages}) from None
    if not why.strip():
        raise ValidationError({"why": "Say what it is for."})
    increase = BudgetIncrease(
        limit=limit, subject=subject, amount=amount, until=until, why=why, asked_by=by, asked_at=at
    )
    increase.full_clean(exclude=["decided_by", "decided_at"])
    if amount <= 0:
        raise ValidationError({"amount": "An increase is more than 0."})
    increase.save()
    _write_down(increase, "increase asked", by=by, why=why, at=at)
    return increase


def give_increase(
    limit: BudgetLimit, *, amount: Decimal, until: datetime, why: str, by, at: datetime, subject: str = ""
) -> BudgetIncrease:
    """Give more for a while, at once."""
    with transaction.atomic(using=ALIAS):
        increase = _ask(limit, amount=amount, until=until, why=why, by=by, at=at, subject=subject)
        return decide_increase(increase, approve=True, by=by, at=at)


def decide_increase(increase: BudgetIncrease, *, approve: bool, by, at: datetime, note: str = "") -> BudgetIncrease:
    """Approve (it counts at once) or refuse what was asked. Raises `ValidationError` where that was done before."""
    with transaction.atomic(using=ALIAS):
        # The limit first: whoever opens one of its windows locks it too, and so reads this increase or is seen here.
        limit = BudgetLimit.objects.select_for_update(of=("self",), no_key=True).get(pk=increase.limit_id)
        increase = BudgetIncrease.objects.select_for_update(of=("self",)).get(pk=increase.pk)
        if increase.status != BudgetIncrease.Status.ASKED:
            raise ValidationError(f"This increase was {increase.status} before.")
        increase.status = BudgetIncrease.Status.APPROVED if approve else BudgetIncrease.Status.REFUSED
        increase.decided_by, increase.decided_at, increase.decision_note = by, at, note
        increase.save()
        _write_down(increase, f"increase {increase.status}", by=by, why=note or increase.why, at=at)
        if approve:
            concerned = windows.open_windows_of(limit, at=at)
            if increase.subject:
                concerned = concerned.filter(subject=increase.subject)
            for window in concerned.order_by("pk").select_for_update(of=("self",), no_key=True):
                windows.refresh_extras(window, at=at)
        increase_changed.send(BudgetIncrease, increase=increase, at=at)
    return increase


def _write_down(increase: BudgetIncrease, what: str, *, by, why: str, at: datetime) -> None:
    changes = {"increase": increase.pk, "amount": str(increase.amount), "until": increase.until.isoformat()}
    LimitChange.objects.create(limit_id=increase.limit_id, what=what, changes=changes, by=by, why=why, at=at)


def _difference(before: BudgetLimit | None, after: BudgetLimit) -> dict[str, list[Any]]:
    """What was changed, as text: field: [before, after]."""
    difference = {}
    for field in _SHOWN:
        old, new = (_text(getattr(row, field)) if row is not None else None for row in (before, after))
        if old != new:
            difference[field] = [old, new]
    return difference


def _text(value: Any) -> Any:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    if isinstance(value, datetime):
        return value.isoformat()
    return [str(item) for item in value] if isinstance(value, list) else value


def _starts_anew(before: BudgetLimit, changed: dict[str, list[Any]], now: datetime) -> bool:
    """Whether its windows no longer fit: it counts otherwise, or it did not count for a while."""
    was_over = before.active_until is not None and before.active_until <= now
    return (
        bool(changed.keys() & set(_STRUCTURE))
        or "active_from" in changed
        or ("active_until" in changed and was_over)
        or (before.period == Period.TOTAL and "active_from" in changed)
    )


def _change_windows(before: BudgetLimit, limit: BudgetLimit, now: datetime) -> None:
    """The new amount counts at once in windows that are open; thresholds that it passes by coming down are crossed."""
    limit = BudgetLimit.objects.select_related("user", "group").get(pk=limit.pk)
    ids = list(
        windows.open_windows_of(limit, at=now).order_by("pk").select_for_update(of=("self",), no_key=True)
        .values_list("pk", flat=True)
    )  # fmt: skip
    BudgetWindow.objects.filter(pk__in=ids).update(limit_amount=limit.amount, hard=limit.pause_on_exceed)
    came_down_by = to_nanousd(before.amount) - to_nanousd(limit.amount)
    if came_down_by > 0 and ids:
        rows = [(row, row.limit_at(now) + came_down_by) for row in store.read_windows(ids) if row.spent > 0]
        write_lowered(rows, limit=book.Limit.of(limit), book=book.look_now(), at=now)
