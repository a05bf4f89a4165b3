"""What a limit may be, in words. Used by the model's `clean`, so by the admin and every other way to make one."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal, InvalidOperation
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError

from tracking.money import MAX_NANOUSD, from_nanousd

DEFAULT_THRESHOLDS = ("0.8", "1.0")
MAX_THRESHOLDS = 20
MAX_THRESHOLD = Decimal(10)
#: A temporary increase that lasts longer is none. (Times near the end of the calendar cannot be shown everywhere.)
MAX_INCREASE = timedelta(days=366)

#: what the target of a scope names, in words, with an example; scopes without an entry need no target
TARGETS = {
    "analysis": "the key of an analysis, such as track-42",
    "feature": "the name of a feature, such as pitch_generation",
    "provider": "a provider, such as openai",
    "model": "a model or a pattern, such as gpt-4o or claude-*",
    "api_key": "the public id of an API key",
    "tag": "a tag and its value, such as team=search",
}


def default_thresholds() -> list[str]:
    return list(DEFAULT_THRESHOLDS)


def validate_time_zone(name: str) -> None:
    """Raise ValidationError unless `name` is an IANA time zone."""
    if name not in available_timezones():
        raise ValidationError(f"{name!r} is not a time zone. Use a name such as Europe/Vienna or UTC.")


def read_thresholds(values: Sequence[object]) -> list[Decimal]:
    """Thresholds as sorted Decimals. Raises ValidationError, saying which one is wrong and what would be right."""
    if not isinstance(values, list | tuple):
        raise ValidationError("Thresholds are a list of shares of the limit, such as [0.8, 1.0].")
    if len(values) > MAX_THRESHOLDS:
        raise ValidationError(f"{len(values)} thresholds are too many; at most {MAX_THRESHOLDS} make sense.")
    shares = []
    for value in values:
        try:
            share = Decimal(str(value)) if not isinstance(value, bool) else None
        except InvalidOperation:
            share = None
        if share is None or not share.is_finite() or not 0 < share <= MAX_THRESHOLD:
            raise ValidationError(
                f"{str(value)[:40]} is not a threshold. Give a share of the limit, over 0 and up to {MAX_THRESHOLD}: "
                "0.8 means 80 %."
            )
        shares.append(share)
    if len(set(shares)) != len(shares):
        raise ValidationError("A threshold stands in the list twice.")
    return sorted(shares)


def validate_thresholds(values: object) -> None:
    """Raise ValidationError unless `values` is a list of thresholds."""
    read_thresholds(values)


def validate_amount(amount: object) -> None:
    """Raise ValidationError unless `amount` is zero or more USD, to nine decimal places, that the database can hold."""
    if not isinstance(amount, Decimal) or not amount.is_finite():
        raise ValidationError("An amount is a number of USD, such as 50 or 12.50.")
    if amount < 0:
        raise ValidationError("An amount cannot be negative. 0 blocks every call that costs something.")
    if amount > from_nanousd(MAX_NANOUSD) / 4:
        raise ValidationError("The amount is too large. To lift a limit, end it instead.")
    if -amount.normalize().as_tuple().exponent > 9:
        raise ValidationError("An amount has at most nine decimal places.")


def validate_until(until: datetime, *, at: datetime) -> None:
    """Raise ValidationError unless a temporary increase may last until then."""
    if until <= at:
        raise ValidationError("The increase would have ended already.")
    if until > at + MAX_INCREASE:
        raise ValidationError("An increase lasts a year at most. For longer, the limit itself is to be raised.")


def check_target(scope: str, target: str) -> str | None:
    """What is wrong with the target of this scope, or None."""
    if scope not in TARGETS:
        return f"A limit of this scope names no target; remove {target!r}." if target else None
    if not target:
        return f"Say which: {TARGETS[scope]}."
    name, equals, _ = target.partition("=")
    if scope == "tag" and not (name and equals):
        return f"{target!r} is not {TARGETS['tag']}."
    return None
