"""Model fields for money and rates: exact on SQLite and PostgreSQL alike."""

from decimal import Decimal, InvalidOperation

from django.core import checks
from django.core.exceptions import ValidationError
from django.db import models

from tracking.money import from_nanousd, to_nanousd


class UsdField(models.BigIntegerField):
    """An amount in USD: a `Decimal` in Python, a whole number of nano-USD in the database.

    Sums, comparisons and conditional updates run on integers, so they are exact everywhere. `F("held") + Decimal(...)`
    works; multiplying by money does not make sense and is not supported.
    """

    description = "an amount in USD, stored as nano-USD"

    def from_db_value(self, value, expression, connection):
        return None if value is None else from_nanousd(int(value))

    def to_python(self, value):
        if value is None or isinstance(value, Decimal):
            return value
        if isinstance(value, float):
            raise ValidationError(f"{value!r} is a float; money is a Decimal, an int or a string.")
        try:
            return Decimal(value)
        except (InvalidOperation, TypeError, ValueError) as error:
            raise ValidationError(f"{value!r} is not an amount in USD.") from error

    def get_prep_value(self, value):
        if value is None or hasattr(value, "resolve_expression"):
            return value
        return to_nanousd(self.to_python(value))

    def formfield(self, **kwargs):
        from django import forms

        return models.Field.formfield(self, **{"form_class": forms.DecimalField, "decimal_places": 9, **kwargs})

    @property
    def validators(self):
        return list(self._validators)  # the integer bounds of the column are checked by to_nanousd, in nano-USD


class ExactDecimalField(models.CharField):
    """A `Decimal` kept digit for digit. For rates, which are read and shown, never summed by the database."""

    def __init__(self, *args, **kwargs):
        kwargs.setdefault("max_length", 40)
        super().__init__(*args, **kwargs)

    def from_db_value(self, value, expression, connection):
        return None if value is None else Decimal(value)

    def to_python(self, value):
        if value is None or isinstance(value, Decimal):
            return value
        try:
            number = Decimal(str(value))
        except InvalidOperation as error:
            raise ValidationError(f"{value!r} is not a decimal number.") from error
        if not number.is_finite():
            raise ValidationError(f"{value!r} is not a decimal number.")
        return number

    def get_prep_value(self, value):
        if value in (None, ""):
            return None
        return format(self.to_python(value), "f")

    def check(self, **kwargs) -> list[checks.CheckMessage]:
        return super().check(**kwargs)
