"""Prices over time: what was in force when, as it is known now."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tracking.models import Rate
from tracking.pricing.listing import listed_models, listed_providers, rates_of
from tracking.pricing.past import Known, known_as, past_of

pytestmark = pytest.mark.django_db
MAY, JUNE, JULY = (datetime(2026, month, 1, tzinfo=UTC) for month in (5, 6, 7))


def rate(amount, *, meter="input_tokens", model="house", **fields) -> Rate:
    values = {"provider": "acme", "model": model, "meter": meter, "per": 1_000_000, "source": "page", **fields}
    return Rate.objects.create(amount=None if amount is None else Decimal(amount), **values)


def steps() -> dict:
    return {
        one.meter: [(step.since, step.amount, step.own) for step in one.steps]
        for one in past_of("acme", "house", Known("acme", "house"))
    }


def test_a_price_that_changed_twice_has_three_steps():
    rate("3", valid_to=JUNE)
    rate("2", valid_from=JUNE, valid_to=JULY)
    rate("1", valid_from=JULY)
    rate("9", meter="output_tokens")
    assert steps() == {
        "input_tokens": [(None, Decimal(3), False), (JUNE, Decimal(2), False), (JULY, Decimal(1), False)],
        "output_tokens": [(None, Decimal(9), False)],
    }


def test_ones_own_price_wins_while_it_holds_and_what_was_recorded_last_counts():
    rate("3")
    rate("2", own=True, valid_from=MAY, valid_to=JULY)
    rate("1", own=True, valid_from=JUNE, valid_to=JULY)
    rate("7", own=True, model="HOUSE", meter="output_tokens", valid_from=MAY)
    rate(None, meter="output_tokens", own=True, valid_from=JUNE)
    rate("5", own=True, model="another")
    assert steps() == {
        "input_tokens": [
            (None, Decimal(3), False),
            (MAY, Decimal(2), True),
            (JUNE, Decimal(1), True),
            (JULY, Decimal(3), False),
        ],
        "output_tokens": [(MAY, Decimal(7), True), (JUNE, None, False)],
    }
    (one, _) = past_of("acme", "house", Known("acme", "house"))
    assert one.at(None).amount == 3 and one.at(JUNE).per_million == Decimal(1) and one.is_tokens


def test_a_name_is_known_as_the_catalogues_model():
    assert known_as("openai", "gpt-4o-mini-2024-07-18") == Known("openai", "gpt-4o-mini")
    assert not known_as("openai", "nobody-knows")
    assert past_of("openai", "nobody-knows", known_as("openai", "nobody-knows")) == []


def test_the_book_is_listed_by_name_and_as_of_a_day():
    rate("3", valid_to=JUNE)
    rate("2", valid_from=JUNE)
    rate("1", model="*")
    assert listed_models(search="HOUS", provider="acme") == [("acme", "house")]
    assert listed_models(search="a\0b%_") == listed_models(provider="nobody") == []
    assert "acme" in listed_providers()
    for at, amount in ((MAY, 3), (JUNE, 2)):
        found = rates_of([("acme", "house"), ("acme", "other")], at=at)
        assert [r.amount for r in found["acme", "house"]] == [amount] and found["acme", "other"] == []
