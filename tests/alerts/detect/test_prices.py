"""Calls without a price are told once for each model, then counted; rates that change are told where they matter."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.utils import timezone

from alerts.detect.watch import watch_prices
from alerts.models import CostAlert, Delivery
from tests.tracking.making import an_event, microseconds
from tracking.models import Rate
from tracking.pricing import book
from tracking.recording import record
from tracking.repricing import reprice

pytestmark = pytest.mark.django_db


@pytest.fixture
def now():
    return datetime.now(UTC)


def calls_of(model: str, count: int, at: datetime) -> None:
    at_us = microseconds(at)
    record([an_event(at_us=at_us, model_asked=model, model_served=model) for _ in range(count)], now=at)


def add_rate(amount: str, meter: str = "input_tokens", *, recorded_at: datetime, **fields) -> Rate:
    """An own rate of the model `house`, learned of at a time of the past or the future."""
    values = {"provider": "openai", "model": "house", "meter": meter, "amount": Decimal(amount), "source": "contract"}
    rate = Rate.objects.create(own=True, **{**values, **fields})
    Rate.objects.filter(pk=rate.pk).update(recorded_at=recorded_at)
    book.forget()
    return rate


def test_a_model_without_a_price_is_told_once_then_counted_and_over_when_it_is_priced(staff, now):
    calls_of("gpt-nobody-knows", 1, now - timedelta(minutes=5))
    (alert,) = watch_prices(at=now)
    assert alert.type == "unpriced" and alert.user is None and alert.count == 1
    assert alert.title == "No price for calls of openai gpt-nobody-knows"
    assert Delivery.objects.filter(alert=alert).count() == 1
    calls_of("gpt-nobody-knows", 4, now - timedelta(minutes=3))
    assert watch_prices(at=now + timedelta(minutes=10)) == []
    alert.refresh_from_db()
    assert alert.count == 5 and "5 calls" in alert.text and alert.resolved_at is None
    for meter in ("input_tokens", "output_tokens"):
        add_rate("1", meter, model="gpt-nobody-knows", recorded_at=now)
    reprice(now=now)
    watch_prices(at=now + timedelta(minutes=20))
    alert.refresh_from_db()
    assert alert.resolved_at is not None


def test_every_model_without_a_price_has_an_alert_of_its_own(now):
    calls_of("one", 1, now - timedelta(minutes=5))
    calls_of("two", 2, now - timedelta(minutes=5))
    assert len(watch_prices(at=now)) == 2


def test_calls_that_told_no_usage_are_no_missing_price(now):
    """No price would help them; single ones among many are not worth an alert."""
    at_us = microseconds(now - timedelta(minutes=5))
    broken = {"status": "timeout", "http_status": None, "usage": None, "quality": "none"}
    calls_of("gpt-4o", 30, now - timedelta(minutes=5))
    record([an_event(at_us=at_us, model_asked="gpt-4o", model_served="gpt-4o", **broken)], now=now)
    assert watch_prices(at=now) == []
    record([an_event(at_us=at_us, model_asked="gpt-4o", model_served="gpt-4o", **broken) for _ in range(3)], now=now)
    (alert,) = watch_prices(at=now)
    assert alert.title == "Usage unknown: calls of openai gpt-4o" and alert.severity == "info" and alert.count == 4
    assert "no price would help" in alert.text and alert.details["lacks"] == "usage"
    calls_of("house", 2, now - timedelta(minutes=5))
    record([an_event(at_us=at_us, model_asked="house", model_served="house", **broken)], now=now)
    both = {alert.title: alert for alert in watch_prices(at=now)}
    assert set(both) == {"No price for calls of openai house", "Usage unknown: calls of openai house"}
    assert both["No price for calls of openai house"].count == 2
    assert "Of the newest: no prices for openai model 'house'" in both["No price for calls of openai house"].text


def test_a_new_rate_for_a_model_in_use_is_told_with_old_new_and_effect(staff, now):
    for meter, amount in (("input_tokens", "2"), ("output_tokens", "8")):
        add_rate(amount, meter, recorded_at=now - timedelta(days=90))
    calls_of("house", 1000, now - timedelta(days=2))  # a million tokens in, half a million out: $2 + $4
    assert watch_prices(at=now - timedelta(hours=2)) == []
    add_rate("3", recorded_at=now - timedelta(hours=1))
    (alert,) = watch_prices(at=now)
    assert alert.type == "rate_changed" and alert.severity == "warning"
    assert "input tokens: $2.00 → $3.00 per million (+50 %)" in alert.text
    assert "+$1.00, +16.7 % of its cost" in alert.text
    assert watch_prices(at=now + timedelta(days=3)) == []
    assert CostAlert.objects.get().resolved_at is None


def test_a_rate_that_comes_into_force_later_is_told_on_its_day(now):
    add_rate("2", recorded_at=now - timedelta(days=90))
    calls_of("house", 10, now - timedelta(days=2))
    add_rate("1", recorded_at=now - timedelta(days=5), valid_from=now + timedelta(days=3))
    assert not CostAlert.objects.filter(type="rate_changed") and not _changed(watch_prices(at=now))
    (alert,) = _changed(watch_prices(at=now + timedelta(days=3, hours=1)))
    assert alert.severity == "info" and alert.title.startswith("Cheaper since") and "(-50 %)" in alert.text


def test_a_model_that_nobody_uses_the_same_rate_again_and_a_first_rate_are_no_news(now):
    add_rate("2", recorded_at=now - timedelta(days=90))
    add_rate("3", recorded_at=now - timedelta(days=1))
    assert _changed(watch_prices(at=now)) == [], "nobody uses it"
    calls_of("gpt-4o", 3, now - timedelta(days=1))
    assert _changed(watch_prices(at=timezone.now())) == [], "the catalogue was filled when this was set up"
    add_rate("5", model="young", recorded_at=now - timedelta(hours=1))
    calls_of("young", 3, now)
    assert _changed(watch_prices(at=timezone.now())) == [], "it had no price before"


def _changed(alerts):
    return [alert for alert in alerts if alert.type == "rate_changed"]


def test_a_model_that_is_no_longer_among_the_first_is_not_over(now, monkeypatch):
    monkeypatch.setattr("alerts.detect.unpriced.MOST_MODELS", 2)
    calls_of("one", 1, now - timedelta(minutes=5))
    calls_of("two", 2, now - timedelta(minutes=5))
    assert len(watch_prices(at=now)) == 2
    calls_of("three", 3, now - timedelta(minutes=5))
    assert len(watch_prices(at=now)) == 1
    open_ = CostAlert.objects.filter(type="unpriced", resolved_at=None)
    assert {alert.details["model"] for alert in open_} == {"one", "two", "three"}
    calls_of("one", 1, now - timedelta(minutes=4))
    watch_prices(at=now)
    assert CostAlert.objects.get(details__model="one").count == 2, "it is still counted"
    add_rate("1", model="one", recorded_at=now)
    add_rate("1", "output_tokens", model="one", recorded_at=now)
    reprice(now=now)
    watch_prices(at=now)
    assert {alert.details["model"] for alert in open_.all()} == {"two", "three"}
