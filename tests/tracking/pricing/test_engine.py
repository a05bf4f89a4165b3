"""The engine: the rate in force, exact sums, one rounding, and unpriced rather than wrong."""

import decimal
from dataclasses import replace
from datetime import datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracking.pricing.books import NOW, book, day, row
from tracking.pricing import price, receipt_from_json, receipt_json
from tracking.usage import Usage


def use(context=0, tier="standard", model="m", **meters) -> Usage:
    return Usage(provider="acme", model=model, meters=meters, context_tokens=context, tier=tier)


def cost(usage, *rows, at=NOW, **more):
    return price(usage, at, book(*rows, **more)).total_nanousd


# --- Which rate -------------------------------------------------------------------------------------


def test_the_row_recorded_last_wins_among_those_valid_at_the_time():
    rows = [
        row("input_tokens", "5"),
        row("input_tokens", "4", valid_from=day("2026-08-21")),
        row("input_tokens", "3", valid_from=day("2026-08-01"), valid_to=day("2026-08-11")),  # learned of later
    ]
    for at, expected in (
        ("2026-07-31", 5000),
        ("2026-08-01", 3000),
        ("2026-08-10", 3000),
        ("2026-08-11", 5000),
        ("2026-08-21", 4000),
    ):
        assert cost(use(input_tokens=1), *rows, at=day(at)) == expected, at


def test_a_row_without_an_amount_withdraws_the_price_for_its_time():
    rows = [row("input_tokens", "5"), row("input_tokens", None, valid_from=day("2026-10-01"))]
    assert cost(use(input_tokens=1), *rows, at=day("2026-09-30")) == 5000
    receipt = price(use(input_tokens=1), day("2026-10-01"), book(*rows))
    assert (receipt.status, receipt.total_nanousd) == ("unpriced", None)
    assert receipt.reason == "no rate for input_tokens of m at that time"


def test_an_admins_rate_wins_whenever_it_was_recorded_and_for_what_it_says_only():
    rows = [
        row("input_tokens", "1", own=True, valid_from=day("2026-10-01")),
        row("input_tokens", "5"),
        row("output_tokens", "20"),
    ]
    assert cost(use(input_tokens=1, output_tokens=1), *rows) == 21_000
    assert cost(use(input_tokens=1, output_tokens=1), *rows, at=day("2026-09-01")) == 25_000


def test_withdrawing_an_admins_rate_brings_the_catalogues_back():
    rows = [row("input_tokens", "5"), row("input_tokens", "1", own=True), row("input_tokens", None, own=True)]
    assert cost(use(input_tokens=1), *rows) == 5000


def test_an_admins_rate_for_a_model_holds_for_its_snapshots_unless_they_have_their_own():
    rules = ({"starts_with": "m"},)
    rows = [
        row("input_tokens", "5"),
        row("input_tokens", "2", own=True),
        row("input_tokens", "1", own=True, model="m-2026"),
    ]
    assert cost(use(input_tokens=1, model="m-2025"), *rows, rules=rules) == 2000
    assert cost(use(input_tokens=1, model="M-2026"), *rows, rules=rules) == 1000


def test_an_admins_rates_make_a_model_known_that_no_rule_knows():
    own = [
        row("input_tokens", "7", own=True, model="house-llm"),
        row("output_tokens", "9", own=True, model="house-llm"),
    ]
    assert cost(use(input_tokens=1, output_tokens=1, model="house-llm"), *own) == 16_000
    assert cost(use(input_tokens=1, model="house-llm-2"), *own) is None


def test_long_contexts_cost_more_from_the_first_token_above_the_threshold():
    rows = [
        row("input_tokens", "3"),
        row("input_tokens", "6", above_context_tokens=200_000),
        row("input_tokens", "9", above_context_tokens=500_000),
    ]
    for context, rate in ((0, 3), (200_000, 3), (200_001, 6), (500_000, 6), (500_001, 9)):
        assert cost(use(context, input_tokens=1), *rows) == rate * 1000, context


def test_a_flat_price_of_an_admin_hides_the_thresholds_of_the_catalogue():
    rows = [
        row("input_tokens", "3"),
        row("input_tokens", "6", above_context_tokens=200_000),
        row("input_tokens", "1", own=True),
    ]
    assert cost(use(300_000, input_tokens=1), *rows) == 1000


def test_the_requests_of_an_aggregate_are_taken_to_be_short_and_the_receipt_says_so():
    rows = [row("input_tokens", "3"), row("input_tokens", "6", above_context_tokens=200_000)]
    usage = replace(use(900_000, input_tokens=900_000), aggregate=True)
    receipt = price(usage, NOW, book(*rows))
    assert (receipt.total_nanousd, receipt.status) == (2_700_000_000, "assumed")
    short = replace(usage, context_tokens=1000, meters={"input_tokens": 1000})
    assert price(short, NOW, book(*rows)).status == "priced"


# --- Tiers, regions, meters -------------------------------------------------------------------------


def test_a_tier_has_its_own_token_prices_and_the_common_tool_prices():
    rows = [
        row("input_tokens", "2"),
        row("web_searches", "10", per=1000),
        row("input_tokens", "1", tier="flex", valid_from=day("2026-10-12")),
    ]
    assert cost(use(tier="flex", input_tokens=1, web_searches=1), *rows) == 1000 + 10_000_000
    for usage in (use(tier="flex", input_tokens=1), use(tier="flex", web_searches=1)):
        receipt = price(usage, day("2026-10-11"), book(*rows))
        assert receipt.total_nanousd is None
        assert "tier 'flex'" in receipt.reason


def test_a_tier_without_a_price_for_some_tokens_is_unpriced_not_standard():
    rows = [row("input_tokens", "2"), row("output_tokens", "8"), row("input_tokens", "1", tier="flex")]
    receipt = price(use(tier="flex", input_tokens=1, output_tokens=1), NOW, book(*rows))
    assert (receipt.status, receipt.reason) == (
        "unpriced",
        "no rate for output_tokens of m in tier 'flex' at that time",
    )
    assert [line.amount_usd for line in receipt.lines] == [Decimal("0.000001"), None]
    assert cost(use(tier="warp", input_tokens=1), *rows) is None


def test_a_region_counts_where_the_model_has_prices_for_it():
    rows = [
        row("input_tokens", "2"),
        row("input_tokens", "2.2", region="us"),
        row("web_searches", "10", per=1000),
        row("input_tokens", "5", model="old"),
    ]
    rates = book(*rows)
    us = replace(use(input_tokens=1, web_searches=1), region="us")
    assert price(us, NOW, rates).total_nanousd == 2200 + 10_000_000
    assert price(replace(us, region="mars"), NOW, rates).total_nanousd is None


def test_images_are_text_where_images_have_no_price_and_audio_never_is():
    rows = [row("input_tokens", "2"), row("output_tokens", "8")]
    assert cost(use(input_image_tokens=1, output_image_tokens=1), *rows) == 10_000
    assert cost(use(input_image_tokens=1), *rows, row("input_image_tokens", "3")) == 3000
    assert cost(use(input_tokens=1, input_audio_tokens=1), *rows) is None


def test_variants_are_told_apart():
    rows = [
        row("images", "0.04", per=1, variant="1024x1024/standard"),
        row("images", "0.08", per=1, variant="1024x1024/hd"),
    ]
    usage = replace(use(images=2), variants={"images": "1024x1024/hd"})
    assert cost(usage, *rows) == 160_000_000
    receipt = price(replace(usage, variants={"images": "1x1/hd"}), NOW, book(*rows))
    assert receipt.reason == "no rate for images (1x1/hd) of m at that time"


def test_prices_of_a_provider_hold_for_every_model_of_it():
    rows = [row("input_tokens", "2"), row("containers", "0.03", per=1, model="*")]
    assert cost(use(input_tokens=1, containers=2), *rows) == 60_002_000


def test_parts_are_priced_each_at_its_own_model():
    rows = [row("input_tokens", "2"), row("input_tokens", "5", model="big", own=True)]
    part = use(input_tokens=10, model="big")
    receipt = price(replace(use(input_tokens=1), parts=(part,)), NOW, book(*rows))
    assert receipt.total_nanousd == 2000 + 50_000
    assert [line.model for line in receipt.lines] == ["m", "big"]
    unknown = replace(use(input_tokens=1), parts=(replace(part, model="other"),))
    assert price(unknown, NOW, book(*rows)).status == "unpriced"


# --- Status -----------------------------------------------------------------------------------------


def test_free_is_a_price_of_zero_and_unknown_is_not():
    rows = [row("requests", "0", per=1000)]
    assert price(use(requests=1), NOW, book(*rows)).status == "free"
    assert price(use(), NOW, book(*rows)).reason == "no billable quantity was reported"
    zero = price(use(input_tokens=0), NOW, book(row("input_tokens", "2")))
    assert (zero.status, zero.total_nanousd) == ("priced", 0)


def test_contradictory_usage_is_unpriced_with_its_reason_whatever_the_rates():
    usage = replace(use(input_tokens=5), problem="output_tokens is negative")
    receipt = price(usage, NOW, book(row("input_tokens", "2")))
    assert (receipt.status, receipt.reason, receipt.total_nanousd) == ("unpriced", "output_tokens is negative", None)


def test_what_does_not_fit_the_ledger_is_unpriced():
    receipt = price(use(input_tokens=10**12), NOW, book(row("input_tokens", "10000000000")))
    assert receipt.reason == "the cost is more than the ledger can hold"
    assert price(use(input_tokens=1), NOW, book(row("input_tokens", "-1"))).reason == "the cost is negative"


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="no time zone"):
        price(use(input_tokens=1), datetime(2026, 11, 1), book(row("input_tokens", "1")))


# --- Exactness --------------------------------------------------------------------------------------

quantities = st.one_of(st.integers(0, 10**6), st.decimals(min_value=0, max_value=10**6, places=3))
prices = st.decimals(min_value=0, max_value=1000, places=8)


@settings(max_examples=300, deadline=None)
@given(
    lines=st.lists(
        st.tuples(quantities, prices, st.sampled_from([1, 60, 1000, 3600, 1_000_000])), min_size=1, max_size=5
    )
)
def test_the_total_is_the_exact_sum_rounded_once(lines):
    names = ["input_tokens", "output_tokens", "audio_seconds", "characters", "web_searches"]
    rows = [row(name, str(amount), per=per) for name, (_, amount, per) in zip(names, lines, strict=False)]
    usage = use(**{name: quantity for name, (quantity, _, _) in zip(names, lines, strict=False)})
    wide = decimal.Context(prec=400, rounding=decimal.ROUND_HALF_EVEN)
    # Over the common multiple of all `per`, every line is a whole number of tiny units: no division, no rounding.
    common = 9_000_000
    exact = Decimal(0)
    for quantity, amount, per in lines:
        exact = wide.add(exact, wide.multiply(wide.multiply(Decimal(quantity), amount), common // per))
    expected = wide.divide(wide.multiply(exact, 10**9), common).quantize(Decimal(1), context=wide)
    with decimal.localcontext(decimal.Context(prec=1, rounding=decimal.ROUND_UP)):
        receipt = price(usage, NOW, book(*rows))
    assert receipt.total_nanousd == int(expected)


@pytest.mark.parametrize(("seconds", "nanousd"), [(1, 833333), (2, 1666667), (3, 2500000), ("0.5", 416667)])
def test_rates_that_decimals_cannot_divide_are_exact_too(seconds, nanousd):
    assert cost(use(audio_seconds=Decimal(seconds)), row("audio_seconds", "3", per=3600)) == nanousd


def test_ties_go_to_the_even_nanodollar_over_the_whole_call():
    half = row("characters", "0.5", per=1_000_000_000)
    assert cost(use(characters=1), half) == 0
    assert cost(use(characters=3), half) == 2
    two_halves = use(characters=1, web_searches=1)
    assert cost(two_halves, half, row("web_searches", "0.5", per=1_000_000_000)) == 1  # not 0 + 0


def test_a_receipt_survives_json():
    rows = [row("input_tokens", "2.50"), row("audio_seconds", "3", per=3600)]
    for usage in (use(input_tokens=7), use(audio_seconds=Decimal("1.5")), use(output_tokens=3)):
        receipt = price(usage, NOW, book(*rows))
        assert receipt_from_json(receipt_json(receipt)) == receipt
    data = receipt_json(price(use(input_tokens=7), NOW, book(*rows)))
    assert data["total_usd"] == "0.0000175"
    assert data["lines"][0]["amount_usd"] == "0.0000175"
    with pytest.raises(ValueError, match="not a receipt"):
        receipt_from_json({"lines": 1})
