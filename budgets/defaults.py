"""The limits that settings name: one row each, kept as the settings say."""

from django.conf import settings
from django.utils import timezone

from budgets.changes import end_limit
from budgets.models import BudgetLimit, Period, Scope

#: setting: name, scope and period of its limit
DEFAULTS = {
    "USER_DAILY_MAX_USD": ("Daily limit of each user", Scope.EACH_USER, Period.DAY),
    "ANALYSIS_MAX_USD": ("Limit of each analysis", Scope.EACH_ANALYSIS, Period.TOTAL),
}
_WHY = "the setting was changed"


def set_default_limits() -> None:
    """Make, change or end the limits of the settings; nothing is written where they agree.

    Raises `IntegrityError` where another process makes them at the same moment: then they are made.
    """
    known = {limit.setting: limit for limit in BudgetLimit.objects.filter(setting__in=DEFAULTS)}
    for setting, (name, scope, period) in DEFAULTS.items():
        amount, limit = getattr(settings, setting), known.get(setting)
        if amount is None:
            if limit is not None and limit.active_until is None:
                end_limit(limit, at=timezone.now(), why=_WHY)
        elif limit is None:
            BudgetLimit(setting=setting, name=name, scope=scope, period=period, amount=amount).save()
        elif limit.amount != amount or limit.active_until is not None:
            limit.amount, limit.active_until = amount, None
            limit.save(why=_WHY)
