"""What is imported is what the catalogue says: names, dates, tiers, thresholds, compared with the package itself."""

import random
import tomllib
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from genai_prices import Usage as TheirUsage
from genai_prices.data import providers as catalogue

from tests.tracking.pricing.books import catalogue_book, price_list
from tracking.money import to_nanousd
from tracking.pricing import price
from tracking.pricing.catalogue import OVERRIDES, CatalogueError, wanted
from tracking.pricing.match import compile_rule, spread_compact_date
from tracking.pricing.meters import METERS
from tracking.usage import Usage

OURS = {provider.id: provider for provider in catalogue if provider.id in ("openai", "anthropic")}
OVERRIDDEN = tomllib.loads(OVERRIDES.read_text())
DERIVED = {entry["meter"] for entry in OVERRIDDEN["derived"]}
REPRICED = {model for entry in OVERRIDDEN["price"] for model in entry["models"]}

#: Each count of theirs is the sum of these meters of ours: theirs overlap, ours do not.
THEIRS = {
    "input_tokens": (
        "input_tokens", "cache_read_tokens", "cache_write_tokens", "cache_write_1h_tokens", "input_audio_tokens",
        "cache_read_audio_tokens", "input_image_tokens", "cache_read_image_tokens",
    ),
    "cache_read_tokens": ("cache_read_tokens", "cache_read_audio_tokens", "cache_read_image_tokens"),
    "cache_write_tokens": ("cache_write_tokens", "cache_write_1h_tokens"),
    "cache_write_1h_tokens": ("cache_write_1h_tokens",),
    "input_audio_tokens": ("input_audio_tokens", "cache_read_audio_tokens"),
    "cache_audio_read_tokens": ("cache_read_audio_tokens",),
    "input_image_tokens": ("input_image_tokens", "cache_read_image_tokens"),
    "cache_image_read_tokens": ("cache_read_image_tokens",),
    "output_tokens": ("output_tokens", "output_audio_tokens", "output_image_tokens"),
    "output_audio_tokens": ("output_audio_tokens",),
    "output_image_tokens": ("output_image_tokens",),
    "audio_seconds": ("audio_seconds",),
    "input_audio_seconds": ("audio_seconds",),
    "input_characters": ("characters",),
    "web_searches": ("web_searches",),
    "storage_searches": ("file_searches",),
}  # fmt: skip


def instants(model) -> list[datetime]:
    """Now, and both sides of every date on which a price of the model changed."""
    listed = [*(model.prices if isinstance(model.prices, list) else []), *(model.price_variants or ())]
    starts = {datetime.combine(c.constraint.start_date, datetime.min.time(), UTC) for c in listed if c.constraint}
    return [datetime(2026, 11, 20, tzinfo=UTC), *starts, *(start - timedelta(microseconds=1) for start in starts)]


def their_usage(meters: dict[str, int]) -> TheirUsage:
    sums = {count: sum(meters.get(meter, 0) for meter in parts) for count, parts in THEIRS.items()}
    return TheirUsage(**{count: total for count, total in sums.items() if total or count in ALWAYS})


#: Counts that must be reported, also as zero: else theirs infers them, or fails.
ALWAYS = ("input_tokens", "output_tokens", "cache_audio_read_tokens", "cache_image_read_tokens")


@pytest.mark.parametrize("provider", OURS)
def test_every_model_costs_what_the_catalogue_says_at_every_date_in_every_tier(provider):
    chance = random.Random(2026)
    book, compared = catalogue_book(), 0
    spans = price_list().spans
    for model in OURS[provider].models:
        if model.id in REPRICED or OURS[provider].find_model(model.id) is not model:
            continue  # or no name of a call means it
        listed = [key for key in spans if (key.provider, key.model, key.region) == (provider, model.id, "")]
        for tier in {key.tier for key in listed}:
            meters = sorted({key.meter for key in listed if key.tier == tier} - DERIVED)
            for at in instants(model):
                for size in (1000, 150_000, 400_000):
                    usage = Usage(
                        provider=provider,
                        model=model.id,
                        tier=tier,
                        meters=(counts := {meter: chance.randrange(1, size) for meter in meters}),
                        context_tokens=their_usage(counts).input_tokens,
                    )
                    context = {"standard": None, "batch": {"processing": "batch"}}.get(tier)
                    if tier not in ("standard", "batch"):
                        context = {"speed" if provider == "anthropic" else "service_tier": tier}
                    receipt = price(usage, at, book)
                    if receipt.status == "unpriced":
                        # A tier before its first date, or a meter that it got only later: there is nothing to compare.
                        assert "at that time" in receipt.reason, (model.id, tier, at, receipt.reason)
                        continue
                    their = model.calc_price(
                        their_usage(counts), OURS[provider], genai_request_timestamp=at, price_context=context
                    )
                    assert receipt.total_nanousd == to_nanousd(their["total_price"] if isinstance(their, dict) else their.total_price), (model.id, tier, at, counts)  # fmt: skip  # noqa: E501
                    compared += 1
    assert compared >= 300


def test_names_resolve_as_in_the_catalogue():
    """Except where an override knows better."""
    book = catalogue_book()
    better = (
        "gpt-4o-realtime-preview-2024-10-01",
        "gpt-4o-mini-transcribe-20",
        "gpt-4o-mini-tts-20",
        "gpt-4o-mini-search",
    )
    for provider in OURS.values():
        names = {model.id for model in provider.models}
        names |= {f"{name}{tail}" for name in names for tail in ("-20250807", "-2026-03-05", "-2031-01-01", "-latest")}
        names |= {name.upper() for name in names} | {"", "gpt-99-nova", "claude", "ft:gpt-4o-2024-08-06:org::id"}
        for name in sorted(name for name in names if not name.lower().startswith(better)):
            their, our = provider.find_model(name), book.resolve(provider.id, name)
            assert (our and our.model) == (their and their.id), name


def test_another_providers_models_keep_their_own_prices():
    """Azure offers OpenAI's models: at their standard price, without their tiers."""
    rule = catalogue_book().resolve("azure", "gpt-4o-2024-08-06")
    assert (rule.provider, rule.model) == ("openai", "gpt-4o")
    usage = Usage(provider="azure", model="gpt-4o-2024-08-06", meters={"input_tokens": 1000})
    at = datetime(2026, 11, 1, tzinfo=UTC)
    assert price(usage, at, catalogue_book()).total_nanousd == 2_500_000
    batch = Usage(provider="azure", model="gpt-4o-2024-08-06", meters={"input_tokens": 1000}, tier="batch")
    assert price(batch, at, catalogue_book()).status == "unpriced"


def test_every_override_says_where_it_is_from_and_why():
    for kind in ("price", "alias", "derived", "region"):
        for entry in OVERRIDDEN[kind]:
            assert entry["source"].startswith("https://"), entry
            assert len(entry["note"]) > 20, entry


def test_an_override_that_fits_nothing_is_an_error(tmp_path):
    bad = {
        "a model that no rule knows": '[[price]]\nprovider="openai"\nmodels=["gpt-99"]\nsource="x"\nrates=[]',
        "a meter that is not one": '[[price]]\nprovider="openai"\nmodels=["gpt-4o"]\nsource="x"\n'
        'rates=[{meter="smiles", amount="1", per=1}]',
        "an unknown kind": "[[prices]]",
    }
    for name, text in bad.items():
        file = tmp_path / "overrides.toml"
        file.write_text(text)
        with pytest.raises(CatalogueError):
            wanted(providers=["openai"], overrides=file)
            pytest.fail(name)


def test_models_that_rates_cannot_express_are_named():
    assert any(line.startswith("deepseek") and "time of day" in line for line in price_list().skipped)
    assert not [line for line in price_list().skipped if line.startswith(("openai", "anthropic"))]


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        ({"equals": "GPT-4"}, "gpt-4", "gpt-4o"),
        ({"starts_with": "gpt"}, "gpt-4", "a-gpt"),
        ({"ends_with": "-x"}, "a-x", "x-a"),
        ({"contains": "mod"}, "omni-moderation", "gpt"),
        ({"regex": r"^a-\d{2}$"}, "a-12", "a-123"),
        ({"or": [{"equals": "a"}, {"equals": "b"}]}, "b", "c"),
        ({"and": [{"starts_with": "a"}, {"ends_with": "z"}]}, "abz", "ab"),
    ],
)
def test_match_rules(rule, yes, no):
    assert compile_rule(rule)(yes)
    assert not compile_rule(rule)(no)


def test_match_rules_of_an_unknown_kind_are_errors():
    for rule in ({"sounds_like": "gpt"}, {}, {"equals": "a", "contains": "b"}):
        with pytest.raises(ValueError, match="match rule"):
            compile_rule(rule)


def test_compact_dates_are_spread():
    assert spread_compact_date("gpt-5.2-20251211") == "gpt-5.2-2025-12-11"
    assert spread_compact_date("gpt-5.2-20251211:free") == "gpt-5.2-2025-12-11:free"
    assert spread_compact_date("gpt-5.2-20250231") == "gpt-5.2-20250231"  # there is no such day


def test_multiples_are_exact():
    spans = price_list().spans
    twelve = {key: value for key, value in spans.items() if key.meter == "cache_write_12h_tokens"}
    astra = {key.above_context_tokens: s[0].amount for key, s in twelve.items() if key.model == "gpt-6-astra" and key.tier == "standard" and not key.region}  # fmt: skip  # noqa: E501
    assert astra == {0: Decimal(25), 272_000: Decimal(50)}


def test_every_meter_stands_in_the_docs():
    text = (Path(__file__).parents[3] / "docs" / "pricing.md").read_text()
    assert [meter for meter in METERS if f"`{meter}`" not in text] == []
