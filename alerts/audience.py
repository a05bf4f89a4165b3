"""Who is told of an alert, and who may see it."""

from __future__ import annotations

from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.backends import ModelBackend
from django.db.models import Q

from alerts.kinds import ABOUT_ALERTS, Type
from alerts.models import CostAlert
from budgets.models import BudgetLimit, Scope
from tracking.models import Analysis

#: Staff with this permission are told of what concerns no single account, and may look at the alerts of others.
SEE_ALL = "alerts.view_costalert"
APPROVE = "budgets.approve_increase"


def concerned_by(limit: BudgetLimit, subject: str) -> int | None:
    """The account that a window of a limit is about: whose spending, whose analysis, or who set it for a key of his.

    None where it is about several, and where the account is gone or not active: then staff are told.
    """
    account = _account(limit, subject)
    if account is None:
        return None
    return get_user_model().objects.filter(pk=account, is_active=True).values_list("pk", flat=True).first()


def _account(limit: BudgetLimit, subject: str) -> int | None:
    kind, _, key = subject.partition(":")
    if kind == "user" and key.isascii() and key.isdigit():
        return int(key)
    if limit.scope == Scope.USER:
        return limit.user_id
    analysis = key if kind == "analysis" else limit.target if limit.scope == Scope.ANALYSIS else ""
    if analysis:
        return Analysis.objects.filter(pk=analysis).values_list("user_id", flat=True).first()
    return limit.owner_id


def told(alert: CostAlert) -> list[Any]:
    """The accounts that are told of an alert: the one it concerns, else staff with the permission."""
    users = get_user_model().objects
    if alert.user_id is not None:
        return list(users.filter(pk=alert.user_id, is_active=True))
    permission = APPROVE if alert.type == Type.INCREASE_ASKED else SEE_ALL
    return list(ModelBackend().with_perm(permission).filter(is_staff=True).order_by("pk"))


def sees_all(user: Any) -> bool:
    """Whether an account may see what concerns staff, and the alerts of others."""
    return bool(user.is_staff and user.has_perm(SEE_ALL))


def visible_to(user: Any, *, everyone: bool = False, prefix: str = "") -> Q:
    """Which alerts an account may see: its own, and those for staff that it has the permission for.

    With `everyone`, staff with the permission see those of other accounts too. `prefix` leads to the alert ("alert__").
    """
    own = Q(**{f"{prefix}user": user.pk})
    for_staff = Q(**{f"{prefix}user__isnull": True})
    if sees_all(user):
        seen = Q() if everyone else own | for_staff
    elif user.is_staff and user.has_perm(APPROVE):
        seen = own | (for_staff & Q(**{f"{prefix}type": Type.INCREASE_ASKED}))
    else:
        seen = own
    return seen & ~Q(**{f"{prefix}type__in": ABOUT_ALERTS})
