"""A user asks for more of a limit that staff set. Staff approve or refuse it: `budgets.changes.decide_increase`."""

from datetime import datetime
from decimal import Decimal

from django.core.exceptions import ValidationError

from budgets.changes import ask_increase
from budgets.models import BudgetIncrease, BudgetLimit
from budgets.queries import Standing


def may_ask(line: Standing) -> bool:
    """Whether there is something to ask for: a limit of staff that counts now. His own a user changes himself."""
    return not line.own and line.enforced


def ask_for_more(line: Standing, *, amount: Decimal, until: datetime, why: str, by, at: datetime) -> BudgetIncrease:
    """Ask for `amount` USD more of this line's limit. Raises `ValidationError` saying what is wrong.

    Of an "each" limit only the asker's own window would be raised; one question at a time.
    """
    subject = line.subject if line.scope.startswith("each_") else ""
    open_ones = BudgetIncrease.objects.filter(
        limit_id=line.limit_id, subject=subject, asked_by=by, status=BudgetIncrease.Status.ASKED
    )
    if open_ones.exists():
        raise ValidationError("You have asked for this already. Wait until that is decided.")
    limit = BudgetLimit.objects.get(pk=line.limit_id)
    return ask_increase(limit, amount=amount, until=until, why=why, by=by, at=at, subject=subject)


def asked_by(user, *, most: int = 20) -> list[BudgetIncrease]:
    """What a user asked for, the latest first."""
    rows = BudgetIncrease.objects.filter(asked_by=user).select_related("limit__user", "limit__group", "decided_by")
    return list(rows.order_by("-asked_at")[:most])
