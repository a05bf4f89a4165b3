"""Fields that every answer and question of the API shares: money, names of time zones, and strict questions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import Any
from zoneinfo import available_timezones

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tracking.periods import site_zone, start_of

#: Digits before the decimal point that an amount may have: about what the ledger can hold.
_MAX_WHOLE_DIGITS = 10


def usd_text(amount: Decimal | None) -> str | None:
    """An amount as `/api/v1` writes it: every digit, no exponent, no zeros at the end."""
    if amount is None:
        return None
    return format(amount.normalize(), "f") if amount else "0"


@extend_schema_field({"type": "string", "format": "decimal", "example": "0.00045"})
class UsdText(serializers.Field):
    """An amount in USD as a decimal string, exact to a billionth of a dollar."""

    def to_representation(self, value: Decimal) -> str | None:
        return usd_text(value)


@extend_schema_field({"type": "number", "format": "double", "example": 0.00045})
class UsdNumber(serializers.Field):
    """An amount in USD as a JSON number, as both documents show it. The exact one is what `/api/v1` answers."""

    def to_representation(self, value: Decimal) -> float:
        # The last step before the answer is written: nothing is computed with it any more.
        return float(value)


@extend_schema_field(
    {
        "oneOf": [{"type": "string", "format": "decimal"}, {"type": "number", "minimum": 0}],
        "example": "12.50",
    }
)
class UsdInput(serializers.Field):
    """An amount in USD that somebody sends: a decimal string or a JSON number, zero or more."""

    default_error_messages = {"invalid": 'An amount is a number of USD, zero or more, such as 12.5 or "12.50".'}

    def to_internal_value(self, data: Any) -> Decimal:
        if isinstance(data, bool | float) or not isinstance(data, int | str | Decimal) or len(str(data)) > 40:
            self.fail("invalid")
        try:
            amount = Decimal(data)
        except InvalidOperation:
            self.fail("invalid")
        if not amount.is_finite() or amount < 0 or amount.adjusted() >= _MAX_WHOLE_DIGITS:
            self.fail("invalid")
        if round(amount, 9) != amount:
            raise serializers.ValidationError("An amount has at most nine decimal places.")
        return amount

    def to_representation(self, value: Decimal) -> str | None:
        return usd_text(value)


class Share(UsdInput):
    """A share of something, over 0 and up to `most`: a decimal string or a JSON number."""

    def __init__(self, *, most: Decimal | int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._most = most
        self.error_messages["invalid"] = f"Give a share of the limit, over 0 and up to {most}: 0.8 means 80 %."

    def to_internal_value(self, data: Any) -> Decimal:
        share = super().to_internal_value(data)
        if not 0 < share <= self._most:
            self.fail("invalid")
        return share


class Choice(serializers.ChoiceField):
    """One of several words; what is none of them is answered with the list."""

    def __init__(self, choices: Any, **kwargs: Any) -> None:
        super().__init__(choices, **kwargs)
        self.error_messages["invalid_choice"] = f'"{{input}}" is not valid here. Use one of: {", ".join(self.choices)}.'


class Text(serializers.CharField):
    """A name: bounded, without null characters."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**{"max_length": 200, **kwargs})
        text = f"Give a text of at most {self.max_length} characters, in quotes."
        self.error_messages |= {"invalid": text, "blank": "Give a text: it may not be empty.", "null": text}


class Whole(serializers.IntegerField):
    """A whole number within bounds, both of which an error names."""

    def __init__(self, *, min_value: int, max_value: int, **kwargs: Any) -> None:
        super().__init__(min_value=min_value, max_value=max_value, **kwargs)
        text = f"Give a whole number from {min_value} to {max_value}."
        self.error_messages |= {"invalid": text, "max_string_length": text}
        for validator in self.validators:
            validator.message = text


class Zone(serializers.CharField):
    """An IANA time zone."""

    def to_internal_value(self, data: Any) -> str:
        name = super().to_internal_value(data)
        if name not in available_timezones():
            raise serializers.ValidationError(f'"{name}" is not a time zone. Use a name such as Europe/Vienna or UTC.')
        return name


class Moment(serializers.DateTimeField):
    """A moment, ISO 8601: shown with the offset of the site's time zone, and read in it where it has none."""

    def default_timezone(self) -> Any:
        return site_zone()


#: A moment with its offset, whose + became a space: in the query of an address + stands for one.
_LOST_PLUS = re.compile(r"(.+[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?) (\d\d(?::?\d\d)?)")


class When(Moment):
    """A moment, or a day: its beginning in the site's time zone."""

    default_error_messages = {
        "invalid": "Give a day (2026-11-22) or a moment (2026-11-22T09:30:00+01:00, in an address also with %2B for +)."
    }

    def to_internal_value(self, value: Any) -> datetime:
        if isinstance(value, str) and len(value) < 40 and (lost := _LOST_PLUS.fullmatch(value)):
            value = f"{lost[1]}+{lost[2]}"
        if isinstance(value, str) and len(value) == 10:
            try:
                moment = start_of(date.fromisoformat(value))
            except (ValueError, OverflowError):
                self.fail("invalid")
        else:
            moment = super().to_internal_value(value)
        if not 1970 <= moment.year < 9999:
            self.fail("invalid")
        return moment


_NAME = re.compile(r"[\w.:\-]{1,64}")


def _shown(name: Any) -> str:
    """An unknown name, unless it could be a text that was meant to be private."""
    return name if isinstance(name, str) and _NAME.fullmatch(name) else "a name in it"


class Strict(serializers.Serializer):
    """Refuses names that it does not know, and tells which ones it does."""

    #: A prefix under which any name is valid ("tag:").
    open_prefix = ""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        wrong: dict[str, Any] = {}
        try:
            values = super().to_internal_value(data)
        except serializers.ValidationError as error:
            if not isinstance(data, Mapping):
                raise
            wrong = dict(error.detail)
        known = [name for name, field in self.fields.items() if not field.read_only]
        unknown = [n for n in data if n not in known and not (self.open_prefix and n.startswith(self.open_prefix))]
        valid = ", ".join([*known, *([f"{self.open_prefix}<name>"] if self.open_prefix else [])]) or "none"
        wrong |= {_shown(n): f"There is no such name. Valid ones: {valid}." for n in unknown}
        if wrong:
            raise serializers.ValidationError(wrong)
        return values


class Question(Strict):
    """Query parameters. Each may be given once."""

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        twice = [name for name in data if len(data.getlist(name)) > 1] if hasattr(data, "getlist") else []
        if twice:
            raise serializers.ValidationError(dict.fromkeys(twice, "Give it once."))
        return super().to_internal_value(data)


LIMIT = {"min_value": 1, "max_value": 1000, "default": 100}


class Page(Question):
    """How much of a list, and from where on."""

    limit = Whole(**LIMIT, help_text="entries in the answer, 1 to 1000")
    cursor = Text(default="", help_text="the `next` of the page before")


class ForUser(Question):
    """Whose calls: one's own, unless staff with the permission to see all calls ask for others."""

    user = Text(
        default="", max_length=20, help_text="staff only: the id of an account, or `all`; without it, the caller's own"
    )


def offset_of(cursor: str) -> int:
    """How many entries a cursor of a computed list skips. Raises `ValidationError` for what is none."""
    if cursor and not (cursor.isascii() and cursor.isdigit() and len(cursor) < 10):
        raise serializers.ValidationError({"cursor": "This is not a cursor of this list."})
    return int(cursor or 0)
