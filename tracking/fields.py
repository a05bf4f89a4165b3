"""Model fields for money and rates: exact on SQLite and PostgreSQL alike."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Any

from django import forms
from django.core.exceptions import FieldError, ValidationError
from django.core.validators import MaxLengthValidator
from django.db import models
from django.db.models import expressions, lookups
from django.db.models.sql.where import WhereNode

from tracking.money import MAX_NANOUSD, from_nanousd, to_nanousd

_SUMS = (expressions.Combinable.ADD, expressions.Combinable.SUB)


class UsdField(models.BigIntegerField):
    """An amount in USD: a `Decimal` in Python, a whole number of nano-USD in the database.

    Sums, comparisons and conditional updates run on integers, so they are exact everywhere. In an update and on the
    right side of a filter, amounts may be added to and subtracted from columns:
    `filter(limit__gte=F("spent") + F("held") + amount).update(held=F("held") + amount)`. Elsewhere (annotations)
    write `Usd(amount)`. Aggregates give a Decimal in USD. Multiplying money with money is not supported.

    Takes Decimal, int and text; raises `ValidationError` for floats, and for what is not a finite amount, and
    `OverflowError` over about 9.2 billion USD. More than nine decimals are rounded half-even.
    """

    description = "an amount in USD, stored as nano-USD"

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else from_nanousd(int(value))

    def to_python(self, value: Any) -> Decimal | None:
        if value is None:
            return None
        return _decimal(value, "an amount in USD")

    def get_prep_value(self, value: Any) -> Any:
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return to_nanousd(self.to_python(value))

    def get_placeholder(self, value: Any, compiler: Any, connection: Any) -> str:
        # Called with the resolved expression of an UPDATE or INSERT, just before it becomes SQL.
        if hasattr(value, "get_source_expressions"):
            _amounts_to_nanousd(value)
        return "%s"

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else format(value, "f")

    def formfield(self, **kwargs: Any) -> forms.Field:
        options = {"form_class": forms.DecimalField, "decimal_places": 9, "max_digits": 19, **kwargs}
        return models.Field.formfield(self, **options)

    @property
    def validators(self) -> list[Any]:
        # Not those of the column: they would compare dollars with the bounds of nano-dollars.
        return [*self._validators, _validate_fits]


class Usd(expressions.Value):
    """An amount in USD inside a query expression: `Greatest(F("spent"), Usd("0.5"))`."""

    def __init__(self, amount: Decimal | int | str):
        super().__init__(_decimal(amount, "an amount in USD"), output_field=UsdField())


def _validate_fits(value: Decimal) -> None:
    try:
        to_nanousd(value)
    except OverflowError as error:
        raise ValidationError(f"At most {from_nanousd(MAX_NANOUSD):,.2f} USD.") from error


def _decimal(value: Any, what: str) -> Decimal:
    """A finite Decimal. Raises `ValidationError` for anything that could be inexact or is not a number."""
    if isinstance(value, bool | float) or not isinstance(value, Decimal | int | str):
        raise ValidationError(f"{value!r} is a {type(value).__name__}, not {what}: give a Decimal, an int or a text.")
    try:
        number = Decimal(value)
    except InvalidOperation as error:
        raise ValidationError(f"{value!r} is not {what}.") from error
    if not number.is_finite():
        raise ValidationError(f"{value!r} is not {what}: it is not finite.")
    return number


# --- Amounts inside query expressions -------------------------------------------------------------
# `F("held") + Decimal("0.1")` makes a Value that does not know that it is added to money. It is turned into nano-USD
# where the field sees the expression: in updates (get_placeholder) and in lookups. Elsewhere Django would add dollars
# to nano-dollars, so that combination is made an error.


def _amounts_to_nanousd(expression: Any, *, summed: bool = False) -> Any:
    """Turn the plain amounts in a resolved expression into nano-USD, in place; returns what replaces it."""
    if isinstance(expression, expressions.Value):
        value = expression.value
        if isinstance(expression, Usd) or isinstance(expression._output_field_or_none, UsdField):
            return expression
        if isinstance(value, float):
            raise TypeError(f"{value!r} is a float, not an amount in USD: give a Decimal.")
        if isinstance(value, Decimal) or (summed and type(value) is int):
            return expressions.Value(to_nanousd(Decimal(value)), output_field=models.BigIntegerField())
        return expression
    if isinstance(expression, lookups.Lookup | WhereNode):
        return expression  # a condition compares other things
    connector = getattr(expression, "connector", None)
    if connector is not None and connector not in _SUMS:
        return expression  # a factor is not an amount
    if hasattr(expression, "get_source_expressions"):
        inner = [
            None if source is None else _amounts_to_nanousd(source, summed=connector in _SUMS)
            for source in expression.get_source_expressions()
        ]
        expression.set_source_expressions(inner)
    return expression


class _MoneyLookup:
    """Reads plain amounts on the right side of a comparison with money."""

    def get_prep_lookup(self) -> Any:
        if hasattr(self.rhs, "get_source_expressions"):
            self.rhs = _amounts_to_nanousd(self.rhs)
        return super().get_prep_lookup()


for _lookup in (
    lookups.Exact,
    lookups.LessThan,
    lookups.LessThanOrEqual,
    lookups.GreaterThan,
    lookups.GreaterThanOrEqual,
):
    UsdField.register_lookup(type(f"Usd{_lookup.__name__}", (_MoneyLookup, _lookup), {}))


class _MixedMoney(models.Field):
    """What adding a plain number to money is outside of updates and filters: a mistake, said aloud."""

    def __init__(self, *args: Any, **kwargs: Any):
        raise FieldError("A plain number was added to money where its unit is not known: write Usd(amount).")


for _connector in _SUMS:
    # In front of Django's own rules for integers and decimals, which UsdField would fall under.
    expressions._connector_combinators[_connector][:0] = [
        (UsdField, UsdField, UsdField),
        (UsdField, models.DecimalField, _MixedMoney),
        (models.DecimalField, UsdField, _MixedMoney),
        (UsdField, models.IntegerField, _MixedMoney),
        (models.IntegerField, UsdField, _MixedMoney),
    ]
expressions._resolve_combined_type.cache_clear()


class ExactDecimalField(models.CharField):
    """A `Decimal` kept digit for digit. For rates, which are read and shown, never summed by the database.

    Takes Decimal, int and text; raises `ValidationError` for floats, for what is not a finite number, and for more
    digits than the column holds.
    """

    description = "a decimal number, stored as text"

    def __init__(self, *args: Any, **kwargs: Any):
        kwargs.setdefault("max_length", 40)
        super().__init__(*args, **kwargs)

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Decimal | None:
        return None if value is None else Decimal(value)

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or value == "":
            return None
        number = _decimal(value, "a decimal number")
        if abs(number.adjusted()) > 60 or len(format(number, "f")) > (self.max_length or 40):
            raise ValidationError(f"{value!r} has more than {self.max_length} digits.")
        return number

    def get_prep_value(self, value: Any) -> Any:
        if hasattr(value, "resolve_expression"):
            return value
        number = self.to_python(value)
        return None if number is None else format(number, "f")

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj)) or ""

    def formfield(self, **kwargs: Any) -> forms.Field:
        return models.Field.formfield(self, **{"form_class": forms.DecimalField, **kwargs})

    @property
    def validators(self) -> list[Any]:
        # Not the length of the column: it is one of text, and checked by to_python.
        return [validator for validator in self._validators if not isinstance(validator, MaxLengthValidator)]
