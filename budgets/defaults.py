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


def defaults_are_set() -> bool:
    """Whether the limits are as the settings say. Reads only."""
    return not _different()


def set_default_limits() -> None:
    """Make, change or end the limits of the settings; nothing is written where they agree.

    Raises `IntegrityError` where another process makes them at the same moment: then they are made.
    """
    for setting, limit in _different().items():
        name, scope, period = DEFAULTS[setting]
        amount = getattr(settings, setting)
        if amount is None:
            end_limit(limit, at=timezone.now(), why=_WHY)
        elif limit is None:
            BudgetLimit(setting=setting, name=name, scope=scope, period=period, amount=amount).save()
        else:
            limit.amount, limit.active_until = amount, None
            limit.save(why=_WHY)


def _different() -> dict[str, BudgetLimit | None]:
    """The settings whose limit is not as they say, with that limit where there is one."""
    known = {limit.setting: limit for limit in BudgetLimit.objects.filter(setting__in=DEFAULTS)}
    different = {}
    for setting in DEFAULTS:
        amount, limit = getattr(settings, setting), known.get(setting)
        stands = limit.amount if limit is not None and limit.active_until is None else None
        if stands != amount:
            different[setting] = limit
    return different
