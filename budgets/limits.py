"""The first document's functions: a user's own budget, how it stands, and whether he may call.

A user's own limits stand under those that staff set: they can only be narrower in effect, and lifting one never lifts
a limit of staff.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils import timezone

from budgets import book
from budgets.calendar import WindowRule, window_at
from budgets.calls import Call
from budgets.changes import end_limit
from budgets.connections import ALIAS
from budgets.errors import BudgetUnavailable
from budgets.models import BudgetConfig, BudgetLimit, Period, Scope
from budgets.opening import spent_by_user
from budgets.operations import check
from budgets.queries import Standing, standings_for, standings_of_user
from budgets.validation import validate_amount, validate_thresholds
from tracking.money import to_nanousd

#: "not given", where None means "no limit"
UNCHANGED: Any = object()

_PERIODS = {"daily": Period.DAY, "monthly": Period.MONTH}
_DEFAULT_THRESHOLD = Decimal("0.8")


@dataclass(frozen=True, slots=True)
class BudgetStatus:
    """How a user's budget stands. USD; of all limits of a period that bind him, the one with the least left.

    Limits are None where there is none; what is spent is known all the same.
    """

    daily_limit: Decimal | None
    daily_spent: Decimal
    daily_held: Decimal
    daily_remaining: Decimal | None
    monthly_limit: Decimal | None
    monthly_spent: Decimal
    monthly_held: Decimal
    monthly_remaining: Decimal | None
    own_daily_limit: Decimal | None  # what the user set himself
    own_daily_spent: Decimal  # by his calls alone, in the day of his own time zone
    own_monthly_limit: Decimal | None
    own_monthly_spent: Decimal
    alert_threshold: Decimal
    alerts_enabled: bool
    pause_on_exceed: bool
    resets_at: dict[str, datetime]  # "daily", "monthly"
    own_resets_at: dict[str, datetime]  # the same of what he spent himself
    paused: bool  # calls that cost something are refused, by any limit that binds him
    limits: tuple[Standing, ...]  # every limit that binds him, whatever its period

    def binding(self, name: str) -> Standing | None:
        """The limit with the least left, of those that are "daily" or "monthly"; None where there is none."""
        return _tightest(line for line in self.limits if line.period == _PERIODS[name])

    def as_dict(self) -> dict[str, Any]:
        """The fields by name, without the list of limits."""
        values = asdict(self)
        del values["limits"]
        return values


def update_budget_config(
    user,
    *,
    daily_limit: Decimal | int | str | None = UNCHANGED,
    monthly_limit: Decimal | int | str | None = UNCHANGED,
    alert_threshold: Decimal | str = UNCHANGED,
    alerts_enabled: bool = UNCHANGED,
    pause_on_exceed: bool = UNCHANGED,
    at: datetime | None = None,
) -> BudgetStatus:
    """Set a user's own limits (USD; None lifts one, 0 blocks paid calls) and how they behave; the rest stays as it is.

    Raises `ValidationError` with a message per field, and changes nothing.
    """
    at = at or timezone.now()
    wrong: dict[str, Any] = {}
    amounts = {
        name: _amount(f"{name}_limit", value, wrong)
        for name, value in (("daily", daily_limit), ("monthly", monthly_limit))
        if value is not UNCHANGED
    }
    preferred: dict[str, Any] = {}
    if alert_threshold is not UNCHANGED:
        preferred["alert_threshold"] = _threshold(alert_threshold, wrong)
    for field, value in (("alerts_enabled", alerts_enabled), ("pause_on_exceed", pause_on_exceed)):
        if value is not UNCHANGED:
            if not isinstance(value, bool):
                wrong[field] = "Say true or false."
            preferred[field] = value
    if wrong:
        raise ValidationError(wrong)
    with transaction.atomic(using=ALIAS):
        BudgetConfig.objects.get_or_create(user=user)
        config = BudgetConfig.objects.select_for_update().get(user=user)  # two changes at once take turns
        for field, value in preferred.items():
            setattr(config, field, value)
        config.save()
        for name, period in _PERIODS.items():
            _set_own(user, period, amounts.get(name, UNCHANGED), config, at)
    book.forget()
    return get_budget_status(user, at=at)


def get_budget_status(user, *, at: datetime | None = None) -> BudgetStatus:
    """How the user's budget stands now. Reads only."""
    at = at or timezone.now()
    lines = [line for line in standings_of_user(user.pk, at=at) if line.enforced]
    config = BudgetConfig.objects.filter(user=user).first() or BudgetConfig(user=user)
    values: dict[str, Any] = {}
    resets: dict[str, datetime] = {}
    own_resets: dict[str, datetime] = {}
    for name, period in _PERIODS.items():
        of_period = [line for line in lines if line.period == period]
        tightest, span = _tightest(of_period), window_at(WindowRule(period, user.time_zone), at)
        own_spent, own_resets[name] = spent_by_user(user.pk, span), span.ends_at
        own = [line.limit for line in of_period if line.own]
        values |= {f"own_{name}_limit": min(own, default=None), f"own_{name}_spent": own_spent}
        if tightest is None:
            resets[name] = span.ends_at
            values |= {f"{name}_limit": None, f"{name}_remaining": None}
            values |= {f"{name}_spent": own_spent, f"{name}_held": Decimal(0)}
            continue
        resets[name] = tightest.resets_at
        for field in ("limit", "spent", "held", "remaining"):
            values[f"{name}_{field}"] = getattr(tightest, field)
    return BudgetStatus(
        **values,
        alert_threshold=Decimal(config.alert_threshold),
        alerts_enabled=config.alerts_enabled,
        pause_on_exceed=config.pause_on_exceed,
        resets_at=resets,
        own_resets_at=own_resets,
        paused=any(line.status == "paused" for line in lines),
        limits=tuple(lines),
    )


def can_make_api_call(user, *, amount: Decimal | None = None, at: datetime | None = None, **call: Any) -> bool:
    """Whether the user may make a call that costs something: of at most `amount` USD, or else of anything at all.

    `call` may name what a limit can count: model, provider, feature, analysis, tags. Holds nothing: the metered call
    itself is what makes sure. False where a hard limit cannot be checked.
    """
    asked = Call(at=at or timezone.now(), user=user.pk, **call)
    try:
        if amount is not None:
            return check(asked, amount=amount) is None
        lines = standings_for(asked)
    except BudgetUnavailable:
        return False
    return all(line.remaining > 0 for line in lines if line.hard and line.enforced)


def _set_own(user, period: Period, amount: Decimal | None, config: BudgetConfig, at: datetime) -> None:
    limit = BudgetLimit.objects.filter(owner=user, user=user, scope=Scope.USER, period=period).order_by("pk").last()
    is_over = limit is not None and limit.active_until is not None
    if amount is None:
        if limit is not None and not is_over:
            end_limit(limit, at=at, by=user)
        return
    if amount is UNCHANGED and (limit is None or is_over):
        return
    if limit is None:
        limit = BudgetLimit(owner=user, user=user, scope=Scope.USER, period=period, time_zone=user.time_zone)
    if amount is not UNCHANGED:
        limit.amount, limit.active_until = amount, None
    limit.time_zone = user.time_zone  # he may have moved
    limit.thresholds = [str(share) for share in sorted({Decimal(config.alert_threshold), Decimal("1.0")})]
    limit.alerts_enabled, limit.pause_on_exceed = config.alerts_enabled, config.pause_on_exceed
    limit.full_clean()
    limit.save(by=user, at=at)


def _tightest(lines: Iterable[Standing]) -> Standing | None:
    return min(lines, key=lambda line: (line.remaining, line.limit), default=None)


def _amount(field: str, value: Any, wrong: dict[str, Any]) -> Decimal | None:
    if value is None:
        return None
    try:
        amount = Decimal(str(value)) if not isinstance(value, bool) else None
        validate_amount(amount)
        to_nanousd(amount)
    except InvalidOperation:
        wrong[field] = "An amount is a number of USD, such as 50 or 12.50."
    except ValidationError as error:
        wrong[field] = error.messages
    else:
        return amount
    return None


def _threshold(value: Any, wrong: dict[str, Any]) -> Decimal:
    try:
        validate_thresholds([value])
        if Decimal(str(value)) > 1:
            raise ValidationError("The alert threshold is a share of the limit, over 0 and up to 1: 0.8 means 80 %.")
    except ValidationError as error:
        wrong["alert_threshold"] = error.messages
        return _DEFAULT_THRESHOLD
    return Decimal(str(value))
