"""Money is exact: whatever the database, the sums, and the caller's own decimal context."""

import decimal
from decimal import Decimal

import pytest
from django.core.exceptions import FieldError, ValidationError
from django.db import connection, models
from django.db.models import F, Max, Min, Sum
from django.db.models.functions import Coalesce, Greatest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracking.fields import ExactDecimalField, Usd, UsdField
from tracking.models import Rate
from tracking.money import EXACT, MAX_NANOUSD, from_nanousd, round_half_even, to_nanousd

amounts = st.decimals(min_value="-9000000", max_value="9000000", places=9)
#: A transaction per example is not needed: each example empties the table.
in_database = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


class Purse(models.Model):
    spent = UsdField(default=0)
    held = UsdField(default=0)
    limit = UsdField(null=True)
    coins = models.IntegerField(default=0)

    class Meta:
        app_label = "purses"  # not installed: the table is made by the test, and no migration sees the model
        managed = False

    def __str__(self) -> str:
        return f"{self.spent} of {self.limit}"


@pytest.fixture
def purses(db):
    key = "integer PRIMARY KEY" if connection.vendor == "sqlite" else "serial PRIMARY KEY"
    with connection.cursor() as cursor:
        cursor.execute(
            f'CREATE TABLE purses_purse (id {key}, spent bigint, held bigint, "limit" bigint, coins integer)'  # noqa: S608
        )
    return Purse.objects


def nano(purse_field: str) -> int:
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {purse_field} FROM purses_purse")  # noqa: S608
        return cursor.fetchone()[0]


# --- Rounding ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("usd", "nanousd"),
    [
        ("0.0000000005", 0),  # ties to even
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("0.00000000250000000000000000000000000001", 3),  # just over the tie
        ("-0.0000000015", -2),
        ("1.25", 1_250_000_000),
    ],
)
def test_amounts_are_rounded_half_even_to_whole_nanousd(usd, nanousd):
    assert to_nanousd(Decimal(usd)) == nanousd


@given(st.integers(-(10**30), 10**30), st.integers(1, 10**12))
def test_the_integer_rounding_is_that_of_decimal(num, den):
    exact = decimal.Context(prec=200, rounding=decimal.ROUND_HALF_EVEN)
    expected = exact.divide(Decimal(num), Decimal(den)).quantize(Decimal(1), context=exact)
    assert round_half_even(num, den) == int(expected)


@given(st.integers(-MAX_NANOUSD, MAX_NANOUSD))
def test_nanousd_survive_the_way_to_dollars_and_back(nanousd):
    assert to_nanousd(from_nanousd(nanousd)) == nanousd


def test_a_hostile_decimal_context_changes_nothing():
    with decimal.localcontext(decimal.Context(prec=1, rounding=decimal.ROUND_UP)):
        assert to_nanousd(Decimal("123.4567891235")) == 123_456_789_124
        assert from_nanousd(123_456_789_124) == Decimal("123.456789124")
    assert EXACT.prec == 60


@pytest.mark.parametrize("bad", [Decimal("NaN"), Decimal("Infinity"), 0.5, "1", None, 1])
def test_what_is_not_a_finite_decimal_is_not_money(bad):
    with pytest.raises(ValueError, match="not an amount of money"):
        to_nanousd(bad)


def test_more_than_the_ledger_holds_is_refused():
    with pytest.raises(OverflowError):
        to_nanousd(Decimal("9223372036.854775808"))


# --- The field --------------------------------------------------------------------------------------


@pytest.mark.parametrize("bad", [0.1, True, "abc", "NaN", Decimal("-Infinity"), "1e999999999", [], float("nan")])
def test_the_field_refuses_what_is_not_an_amount(bad):
    with pytest.raises((ValidationError, OverflowError)):
        UsdField().get_prep_value(bad)


def test_an_amount_that_does_not_fit_is_an_error_in_forms_and_in_the_database():
    with pytest.raises(ValidationError, match=r"At most 9,223,372,036\.85 USD"):
        UsdField().clean(Decimal("9999999999"), None)
    with pytest.raises(OverflowError):
        UsdField().get_prep_value(Decimal("9999999999"))


def test_forms_take_nine_decimals_and_no_more():
    field = UsdField(null=True).formfield()
    assert field.clean("0.123456789") == Decimal("0.123456789")
    for bad in ("0.1234567891", "NaN", "1e99", "x"):
        with pytest.raises(ValidationError):
            field.clean(bad)


@in_database
@given(spent=st.lists(amounts, min_size=1, max_size=20))
def test_aggregates_are_exact_decimals(purses, spent):
    purses.all().delete()
    purses.bulk_create(Purse(spent=amount) for amount in spent)
    found = purses.aggregate(sum=Sum("spent"), most=Max("spent"), least=Min("spent"), sure=Coalesce(Sum("spent"), 0))
    expected = sum(spent[1:], spent[0])
    assert found == {"sum": expected, "most": max(spent), "least": min(spent), "sure": expected}
    assert all(isinstance(value, Decimal) for value in found.values())


def test_ten_dimes_are_a_dollar(purses):
    purses.bulk_create(Purse(spent=Decimal("0.1")) for _ in range(10))
    assert purses.aggregate(sum=Sum("spent"))["sum"] == 1
    assert purses.none().aggregate(sum=Sum("spent"))["sum"] is None


@in_database
@given(spent=amounts, held=amounts, more=amounts, limit=amounts)
def test_a_conditional_update_holds_to_the_last_nanodollar(purses, spent, held, more, limit):
    purses.all().delete()
    purses.create(spent=spent, held=held, limit=limit)
    room = purses.filter(limit__gte=F("spent") + F("held") + more)
    updated = room.update(held=F("held") + more)
    fits = spent + held + more <= limit
    assert updated == int(fits)
    assert nano("held") == to_nanousd(held + more if fits else held)


def test_a_third_dime_fits_under_thirty_cents(purses):
    """What a DecimalField refuses on SQLite: 0.1 + 0.2 against 0.3."""
    purses.create(spent=Decimal("0.1"), held=0, limit=Decimal("0.3"))
    assert purses.filter(limit__gte=F("spent") + F("held") + Decimal("0.2")).update(held=F("held") + Decimal("0.2"))
    assert not purses.filter(limit__gte=F("spent") + F("held") + Decimal("0.000000001")).exists()


def test_amounts_in_expressions_are_dollars_everywhere(purses):
    purse = purses.create(spent=1, held=Decimal("0.5"), limit=10)
    purse.held = F("held") - Decimal("0.25")
    purse.spent = F("spent") + 2
    purse.coins = F("coins") + 7
    purse.save()
    purse.refresh_from_db()
    assert (purse.spent, purse.held, purse.coins) == (3, Decimal("0.25"), 7)
    purses.update(limit=Greatest(F("limit") - Decimal("9.5"), Decimal("0.75")))
    assert purses.filter(limit=Decimal("0.75"), limit__lt=F("spent"), spent__in=[3], held__range=(0, 1)).exists()
    assert purses.annotate(all=F("spent") + F("held") + Usd("0.75")).get().all == 4


def test_a_plain_number_where_its_unit_is_unknown_is_an_error_not_a_wrong_sum(purses):
    purses.create(spent=1)
    with pytest.raises(FieldError, match="Usd"):
        list(purses.annotate(more=F("spent") + Decimal("0.5")))
    with pytest.raises(FieldError, match="Usd"):
        list(purses.annotate(more=F("spent") + F("coins")))
    with pytest.raises(TypeError, match="float"):
        purses.update(spent=F("spent") + 0.5)


# --- Rates ------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(amount=st.decimals(min_value=0, max_value="1e9", places=20))
def test_a_rate_is_kept_digit_for_digit(db, amount):
    rate = Rate.objects.create(provider="x", model="m", meter="input_tokens", amount=amount, source="test")
    rate.refresh_from_db()
    assert format(rate.amount, "f") == format(amount, "f")


@pytest.mark.parametrize("bad", [0.1, "NaN", "Infinity", "1e100", "1" * 41, "x", True])
def test_a_rate_is_an_exact_finite_number(bad):
    with pytest.raises(ValidationError):
        ExactDecimalField().to_python(bad)


def test_a_rate_validates_as_a_form_field(db):
    rate = Rate(provider="x", model="m", meter="input_tokens", amount=Decimal("2.50"), source="test")
    rate.full_clean()
    assert ExactDecimalField(null=True, blank=True).formfield().clean("2.50") == Decimal("2.50")
