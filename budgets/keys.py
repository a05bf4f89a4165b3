"""The budget that an API key has of its own: a limit of the scope "API key", which the key's owner may change.

Keys are known by their public id here; what they are stands above this package.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import Q, QuerySet

from budgets import book
from budgets.changes import end_limit
from budgets.models import BudgetLimit, Scope
from budgets.overview import overviews
from budgets.reading import ShownLimit, now_of


def set_budget(public_id: str, *, owner: Any, values: dict[str, Any], name: str, at: datetime, is_new: bool) -> None:
    """Give a key a budget, or change the one it has. `values` are `amount` (USD), `period`, `hard`: what is left out
    stays, and a new budget is hard. `is_new`: the key is made now, so that nothing was spent with it before.

    Raises `ValidationError` by field.
    """
    limit = _in_force(at).filter(owner=owner, target=public_id).order_by("pk").last()
    if limit is None:
        if missing := {"amount", "period"} - values.keys():
            raise ValidationError(dict.fromkeys(sorted(missing), "Is missing: the key has no budget yet."))
        limit = BudgetLimit(scope=Scope.API_KEY, target=public_id, owner=owner, time_zone=owner.time_zone)
        limit.name = f"Key {name}"[:200]
        limit.active_from = at if is_new else None
    for field, value in values.items():
        setattr(limit, "pause_on_exceed" if field == "hard" else field, value)
    try:
        limit.full_clean()
    except ValidationError as error:
        told = {"hard" if field == "pause_on_exceed" else field: text for field, text in error.message_dict.items()}
        raise ValidationError(told) from None
    limit.save(by=owner, at=at)
    book.forget()  # so that this process goes by it at once


def end_budget(public_id: str, *, owner: Any, by: Any, at: datetime) -> None:
    """Let the budget that the owner gave a key end. Its history stays. Nothing happens where there is none."""
    for limit in _in_force(at).filter(owner=owner, target=public_id):
        end_limit(limit, at=at, by=by)
        book.forget()


def budgets_of(public_ids: Iterable[str], *, at: datetime) -> dict[str, ShownLimit]:
    """The budgets in force that owners gave these keys, by public id; how they stand, once a call has counted."""
    rows = list(_in_force(at).filter(target__in=list(public_ids), owner__isnull=False).select_related("user", "group"))
    found = overviews(rows, at=at, opened_only=True) if rows else {}
    return {row.target: ShownLimit(row, now_of(found.get(row.pk))) for row in sorted(rows, key=lambda row: row.pk)}


def is_limited(public_id: str, *, at: datetime) -> bool:
    """Whether a limit in force counts the calls of this very key, whoever set it."""
    return _in_force(at).filter(target=public_id).exists()


def _in_force(at: datetime) -> QuerySet[BudgetLimit]:
    return BudgetLimit.objects.filter(Q(active_until=None) | Q(active_until__gt=at), scope=Scope.API_KEY)
