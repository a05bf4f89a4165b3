"""The calculator for any model. Prices of November 2026."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tracking.estimator import Quantities, image_kinds, offer, proposed_models, read_name
from tracking.models import Rate
from tracking.pricing import book

pytestmark = pytest.mark.django_db
AT = datetime(2026, 11, 20, tzinfo=UTC)


def cost(model: str, *, tier: str = "standard", calls: int = 1, **quantities):
    rates = book.current()
    return offer(*read_name(model, rates), Quantities(**quantities), tier=tier, calls=calls, rates=rates, at=AT)


def test_tokens_cached_ones_and_the_tier():
    found = cost("gpt-4o", input_tokens=1000, cache_read_tokens=2000, output_tokens=500, calls=10)
    assert found.cost == Decimal("0.0025") + Decimal("0.0025") + Decimal("0.005")
    assert found.total == Decimal("0.1")
    assert cost("gpt-4o", input_tokens=1000, tier="batch").cost == Decimal("0.00125")
    assert cost("anthropic/claude-sonnet-4-5", input_tokens=1000, output_tokens=100).cost == Decimal("0.0045")


def test_a_long_prompt_is_priced_as_one():
    assert cost("claude-sonnet-4-5", input_tokens=300_000).cost == Decimal("1.8")


def test_minutes_by_duration_where_there_is_such_a_price_else_by_tokens():
    assert cost("whisper-1", minutes_heard=Decimal("5.5")).cost == Decimal("0.033")
    spoken = cost("gpt-4o-realtime-preview-2024-10-01", minutes_heard=Decimal(5), minutes_spoken=Decimal(5))
    assert spoken.cost == Decimal("0.3") + Decimal("1.2")
    assert spoken.assumed == "600 tokens a minute heard, 1,200 tokens a minute spoken"


def test_characters_and_images():
    assert cost("tts-1-hd", characters=5000).cost == Decimal("0.15")
    assert cost("dall-e-3", images=2, image_kind="1024x1024/hd").cost == Decimal("0.16")
    assert "1024x1024/hd" in image_kinds()


def test_what_a_model_has_no_price_for_is_not_free():
    found = cost("whisper-1", characters=100)
    assert found.cost is None and found.total is None and "characters" in found.receipt.reason
    assert cost("nobody-knows-this", input_tokens=1).cost is None
    assert cost("gpt-4o").cost is None, "nothing asked for"


def test_any_model_with_rates_can_be_chosen():
    Rate.objects.create(provider="acme", model="acme-1", meter="input_tokens", amount=3, own=True)
    book.forget()
    names = proposed_models()
    assert ("acme", "acme-1") in names and ("anthropic", "claude-sonnet-4-5") in names
    assert cost("acme/acme-1", input_tokens=1_000_000).cost == 3
    assert read_name("ft:gpt-4o:us/1", book.current()) == ("openai", "ft:gpt-4o:us/1")
