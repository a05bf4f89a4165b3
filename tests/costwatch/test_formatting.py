"""Amounts and quantities as people read them."""

from datetime import timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costwatch.formatting import duration, one_line, quantity, span, tied, usd, usd_column, usd_exact


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        ("1234.5", "$1,234.50"),
        ("1234567.891", "$1,234,567.89"),
        ("1", "$1.00"),
        ("0.5", "$0.50"),
        ("0.033", "$0.0330"),
        ("0.3", "$0.30"),
        ("0.12345", "$0.1234"),
        ("0.0042", "$0.0042"),
        ("0.00375", "$0.00375"),
        ("0.0000042349", "$0.00000423"),
        ("0.003", "$0.0030"),
        ("0.000001", "$0.000001"),
        ("0.000000001", "< $0.000001"),
        ("-0.000000001", "> -$0.000001"),
        ("0", "$0.00"),
        ("-0.0042", "-$0.0042"),
        ("-12", "-$12.00"),
    ],
)
def test_an_amount_has_as_many_digits_as_it_needs(amount, text):
    assert usd(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("length", "text"),
    [
        (timedelta(days=7, hours=23, minutes=55), "8 days"),
        (timedelta(days=30), "30 days"),
        (timedelta(hours=47), "47 hours"),
        (timedelta(minutes=61), "61 minutes"),
        (timedelta(seconds=70), "1 minute"),
        (timedelta(seconds=-5), "1 minute"),
    ],
)
def test_a_length_of_time_is_rounded_to_the_nearest(length, text):
    assert span(length) == text


def test_amounts_of_a_column_stand_below_each_other():
    shown = [usd_column(Decimal(text)) for text in ("0.02", "0.0148", "0.382", "0.5", "0.003")]
    assert shown == ["$0.0200", "$0.0148", "$0.3820", "$0.5000", "$0.0030"]
    assert [usd_column(Decimal(text)) for text in ("0", "12", "0.000375")] == ["$0.00", "$12.00", "$0.000375"]


def test_nothing_may_be_a_whole_number():
    assert usd(0) == "$0.00" and usd_column(0) == "$0.00"


def test_an_unknown_amount_is_never_a_number():
    assert usd(None) == usd_exact(None) == "unpriced"


@given(st.decimals(min_value=Decimal("0.000001"), max_value=10**9, places=9))
def test_what_costs_something_never_reads_as_nothing(amount):
    shown = Decimal(usd(amount).strip("$").replace(",", ""))
    assert shown > 0
    assert abs(shown - amount) <= max(amount / 100, Decimal("0.000000001")), "within one percent"
    assert Decimal(usd_exact(amount).strip("$").replace(",", "")) == amount


@pytest.mark.parametrize(("value", "text"), [(1234567, "1,234,567"), (Decimal("5.50"), "5.5"), (0, "0"), (100, "100")])
def test_a_quantity_is_not_rounded(value, text):
    assert quantity(value) == text


def test_a_number_keeps_its_unit_on_its_line():
    text = tied("at 40 % of 12.3 k, 840 ms, 3 min 20 s of 5 calls")
    assert text.replace("\u00a0", "_") == "at 40_% of 12.3_k, 840_ms, 3_min 20_s of 5 calls"


def test_durations_have_the_unit_that_suits_them():
    assert [duration(ms) for ms in (None, 840, 2449, 200_000)] == ["", "840 ms", "2.4 s", "3 min 20 s"]


def test_a_name_keeps_to_its_line():
    assert one_line("a\x1b[31m\nb\u202ec é🧾") == "a?[31m?b?c é🧾"
