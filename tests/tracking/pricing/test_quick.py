"""The quick way to a price and its receipt says what the engine says, to the last character."""

import json
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracking.pricing.books import NOW, book, catalogue_book, row
from tracking.pricing import price, price_text, quick, receipt_text
from tracking.pricing.samples import read_sample
from tracking.usage import Usage

DATA = Path(__file__).parents[2] / "data"
SAMPLES = [json.loads(line) for file in ("golden", "samples") for line in (DATA / f"{file}.jsonl").open()]

LATER = NOW + timedelta(days=30)
#: A model with a rate that changed, one that depends on the context, one without a finite price, a free one, tiers.
BOOK = book(
    row("input_tokens", "2.5"),
    row("input_tokens", "1.25", tier="flex"),
    row("input_tokens", "3", valid_from=LATER),
    row("cache_read_tokens", "0.0125"),
    row("cache_read_tokens", "0.1", above_context_tokens=200),
    row("output_tokens", "10.00"),
    row("output_tokens", "5", tier="flex"),
    row("output_audio_tokens", "7", per=3),
    row("web_searches", "10", per=1000),
    row("images", "0.04", per=1, variant="large"),
    row("file_searches", "0"),
    row("cache_write_tokens", "900000000", per=1),
    rules=({"equals": "m"},),
)
METERS = (
    *("input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "output_audio_tokens", "images"),
    *("output_image_tokens", "web_searches", "file_searches", "audio_seconds"),
)
quantities = st.one_of(st.integers(0, 300), st.integers(0, 10**12), st.just(Decimal("1.5")))
usages = st.builds(
    Usage,
    provider=st.just("acme"),
    model=st.sampled_from(["m", "m", "m", "unknown"]),
    meters=st.dictionaries(st.sampled_from(METERS), quantities, max_size=4),
    tier=st.sampled_from(["standard", "standard", "flex", "fast"]),
    context_tokens=st.sampled_from([0, 200, 201]),
    region=st.sampled_from(["", "", "us"]),
    variants=st.sampled_from([{}, {}, {"images": "large"}]),
    parts=st.just(()) | st.just((Usage("acme", "m", {"output_tokens": 5}),)),
    problem=st.sampled_from(["", "", "no good"]),
    assumed=st.sampled_from(["", "", "one search"]),
    aggregate=st.sampled_from([False, False, True]),
)


def check(usage, at, rates):
    receipt = price(usage, at, rates)
    found = price_text(usage, at, rates)
    assert (found.total_nanousd, found.status) == (receipt.total_nanousd, receipt.status)
    assert found.receipt == receipt_text(receipt)


@settings(max_examples=800, deadline=None)
@given(usages, st.sampled_from([NOW, LATER]))
def test_any_usage_is_priced_the_same(usage, at):
    check(usage, at, BOOK)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample["id"])
def test_samples_are_priced_the_same(sample):
    check(*read_sample(sample), catalogue_book())


def test_plain_calls_go_the_quick_way(monkeypatch):
    monkeypatch.setattr(quick, "price", lambda *args: pytest.fail("not quick"))
    usage = Usage("acme", "m", {"input_tokens": 1000, "cache_read_tokens": 3, "output_tokens": 7})
    assert price_text(usage, NOW, BOOK).total_nanousd == 2_570_038  # 2,500,000 + 37.5 + 70,000


def test_a_time_without_a_zone_has_no_price():
    with pytest.raises(ValueError, match="time zone"):
        price_text(Usage("acme", "m", {"input_tokens": 1}), NOW.replace(tzinfo=None), BOOK)
