"""The price catalogue (genai-prices) and our overrides, as rates and match rules. Read by the importer only."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time
from decimal import Decimal
from pathlib import Path
from typing import Any

from tracking.money import EXACT
from tracking.pricing.meters import METERS
from tracking.pricing.rates import RateBook
from tracking.pricing.types import ANY_MODEL, ModelRule, RateRow

OVERRIDES = Path(__file__).with_name("overrides.toml")

_METER_OF_KEY = {
    "input_mtok": "input_tokens",
    "output_mtok": "output_tokens",
    "cache_read_mtok": "cache_read_tokens",
    "cache_write_mtok": "cache_write_tokens",
    "cache_write_1h_mtok": "cache_write_1h_tokens",
    "input_audio_mtok": "input_audio_tokens",
    "cache_audio_read_mtok": "cache_read_audio_tokens",
    "output_audio_mtok": "output_audio_tokens",
    "input_image_mtok": "input_image_tokens",
    "cache_image_read_mtok": "cache_read_image_tokens",
    "output_image_mtok": "output_image_tokens",
    "audio_hours": "audio_seconds",
    "input_audio_hours": "audio_seconds",
    "input_mchars": "characters",
    "web_searches_kcount": "web_searches",
    "storage_searches_kcount": "file_searches",
}

#: Not the provider's own prices for something else, but a price list of one endpoint.
_SKIPPED_PROVIDERS = frozenset({"openai-decisions"})

#: Billed for at least ten seconds a request: a rule that a rate cannot express.
_MINIMUM_CHARGE = frozenset({("groq", "whisper-large-v3"), ("groq", "whisper-large-v3-turbo")})


@dataclass(frozen=True, slots=True, order=True)
class RateKey:
    """What a rate is the price of."""

    provider: str
    model: str
    meter: str
    tier: str = "standard"
    region: str = ""
    variant: str = ""
    above_context_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Span:
    """A price during [start, end); None is open."""

    start: datetime | None
    end: datetime | None
    amount: Decimal | None  # None: no price
    per: int
    source: str = ""


@dataclass(slots=True)
class PriceList:
    """What the price book ought to say."""

    spans: dict[RateKey, list[Span]] = field(default_factory=dict)
    rules: list[ModelRule] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)  # models that rates cannot express, with the reason

    def book(self) -> RateBook:
        """A price book that says just this, without a database: for benchmarks and tests. Rate ids count from 1."""
        listed = ((key, span) for key, spans in self.spans.items() for span in spans)
        return RateBook.of((_rate_row(id, key, span) for id, (key, span) in enumerate(listed, 1)), self.rules)


def _rate_row(id: int, key: RateKey, span: Span) -> RateRow:
    return RateRow(
        id=id,
        **{name: getattr(key, name) for name in RateKey.__dataclass_fields__},
        amount=span.amount,
        per=span.per,
        valid_from=span.start,
        valid_to=span.end,
        source=span.source,
    )


class CatalogueError(Exception):
    """The overrides file is not in order."""


def wanted(*, providers: Iterable[str] | None = None, overrides: Path = OVERRIDES) -> PriceList:
    """The catalogue of the installed genai-prices with our overrides. `providers` restricts it; None means all.

    Raises `CatalogueError` for an overrides file that does not fit.
    """
    import importlib.metadata

    from genai_prices.data import providers as catalogue

    only = None if providers is None else frozenset(providers)
    source = f"genai-prices {importlib.metadata.version('genai-prices')}"
    prices = PriceList()
    for provider in catalogue:
        if provider.id in _SKIPPED_PROVIDERS or (only is not None and provider.id not in only):
            continue
        for model in provider.models:
            _add_model(prices, provider.id, model, source)
        if provider.fallback_model_providers:
            fallbacks = {"providers": [p for p in provider.fallback_model_providers if only is None or p in only]}
            prices.rules.append(ModelRule(provider.id, ANY_MODEL, fallbacks))
    _apply_overrides(prices, tomllib.loads(overrides.read_text()), only)
    return prices


# --- The catalogue --------------------------------------------------------------------------------


def _add_model(prices: PriceList, provider: str, model: Any, source: str) -> None:
    prices.rules.append(
        ModelRule(
            provider,
            model.id,
            _rule(model.match),
            model.name or "",
            model.context_window or None,
            bool(model.deprecated),
        )
    )
    reason = _unrepresentable(provider, model)
    if reason:
        prices.skipped.append(f"{provider} {model.id}: {reason}")
        return
    starts = sorted({start for start in _starts(model) if start is not None})
    edges: list[date | None] = [None, *starts]
    for index, start in enumerate(edges):
        end = edges[index + 1] if index + 1 < len(edges) else None
        at = datetime.combine(start or date(1970, 1, 1), time(), UTC)
        for tier, listed in _price_lists(model, at):
            for meter, above, amount in _amounts(listed):
                key = RateKey(provider, model.id, meter, tier, above_context_tokens=above)
                span = Span(_midnight(start), _midnight(end), amount, METERS[meter].per, source)
                _append(prices.spans.setdefault(key, []), span)


def _append(spans: list[Span], span: Span) -> None:
    """Add the next span in time, as one with the last where the price did not change."""
    last = spans[-1] if spans else None
    if last and last.end == span.start and (last.amount, last.per) == (span.amount, span.per):
        spans[-1] = Span(last.start, span.end, last.amount, last.per, last.source)
    else:
        spans.append(span)


def _midnight(day: date | None) -> datetime | None:
    return None if day is None else datetime.combine(day, time(), UTC)


def _conditions(model: Any) -> list[Any]:
    listed = model.prices if isinstance(model.prices, list) else []
    return [*listed, *(model.price_variants or ())]


def _starts(model: Any) -> Iterable[date | None]:
    return (getattr(condition.constraint, "start_date", None) for condition in _conditions(model))


def _unrepresentable(provider: str, model: Any) -> str:
    """Why the prices of a model cannot be said in rates, or ""."""
    if any(hasattr(condition.constraint, "start_time") for condition in _conditions(model)):
        return "the price depends on the time of day"
    if (provider, model.id) in _MINIMUM_CHARGE:
        return "there is a minimum charge a request"
    listed = [c.prices for c in model.prices] if isinstance(model.prices, list) else [model.prices]
    listed += [variant.prices for variant in model.price_variants or ()]
    unknown = {key for one in listed for key, amount in vars(one).items() if amount is not None} - set(_METER_OF_KEY)
    return f"it has prices for {', '.join(sorted(unknown))}" if unknown else ""


def _price_lists(model: Any, at: datetime) -> Iterable[tuple[str, Any]]:
    """The price list of each tier that the model has at a time. A variant keeps the standard prices it is silent on."""
    yield "standard", model.get_prices(at)
    seen = set()
    for variant in model.price_variants or ():
        tier = _tier(variant.when)
        if tier and tier not in seen and (variant.constraint is None or variant.constraint.active(at)):
            seen.add(tier)
            yield tier, model.get_prices(at, variant.when)


def _tier(when: Mapping[str, str]) -> str:
    """The tier that a variant of the catalogue stands for; "" for the standard one and what is not a tier."""
    if len(when) != 1:
        return ""
    ((kind, value),) = when.items()
    if kind == "service_tier":
        return "" if value == "default" else value
    return value if (kind, value) in (("processing", "batch"), ("speed", "fast")) else ""


def _amounts(listed: Any) -> Iterable[tuple[str, int, Decimal]]:
    amounts: dict[tuple[str, int], Decimal] = {}
    for key, amount in vars(listed).items():
        if amount is None:
            continue
        meter = _METER_OF_KEY[key]
        tiers = getattr(amount, "tiers", None)
        amounts.setdefault((meter, 0), amount if tiers is None else amount.base)
        for tier in tiers or ():
            amounts[meter, tier.start] = tier.price
    return ((meter, above, amount) for (meter, above), amount in amounts.items())


def _rule(match: Any) -> dict[str, Any]:
    """A match clause of the catalogue as JSON."""
    for kind in ("starts_with", "ends_with", "contains", "regex", "equals"):
        if hasattr(match, kind):
            return {kind: getattr(match, kind)}
    for kind in ("or", "and"):
        if hasattr(match, f"{kind}_"):
            return {kind: [_rule(clause) for clause in getattr(match, f"{kind}_")]}
    raise CatalogueError(f"{match!r} is a match clause of a kind that is not known here.")


# --- The overrides --------------------------------------------------------------------------------


def _apply_overrides(prices: PriceList, overrides: Mapping[str, Any], only: frozenset[str] | None) -> None:
    def entries(kind: str) -> Iterable[dict[str, Any]]:
        return (e for e in overrides.get(kind, ()) if only is None or e["provider"] in only)

    unknown = set(overrides) - {"model", "alias", "price", "derived", "region"}
    if unknown:
        raise CatalogueError(f"The overrides have entries of an unknown kind: {', '.join(sorted(unknown))}.")
    first = [
        ModelRule(e["provider"], e["model"], e["match"], e.get("name", ""), e.get("context_window"))
        for e in entries("model")
    ]
    prices.rules[:0] = first
    for entry in entries("alias"):
        _alias(prices, entry)
    known = {(rule.provider, rule.model) for rule in prices.rules}
    for entry in (*entries("price"), *entries("region")):
        for model in entry["models"]:
            if model != ANY_MODEL and (entry["provider"], model) not in known:
                raise CatalogueError(f"The overrides name {entry['provider']} {model}, which no rule knows.")
    for entry in entries("price"):
        _override(prices, entry)
    for entry in entries("derived"):
        _derive(prices, entry)
    for entry in entries("region"):
        _regional(prices, entry)


def _alias(prices: PriceList, entry: Mapping[str, Any]) -> None:
    for index, rule in enumerate(prices.rules):
        if (rule.provider, rule.model) == (entry["provider"], entry["model"]):
            match = {"or": [rule.match, entry["match"]]}
            prices.rules[index] = replace(rule, match=match)
            return
    raise CatalogueError(f"The overrides name {entry['provider']} {entry['model']}, which no rule knows.")


def _override(prices: PriceList, entry: Mapping[str, Any]) -> None:
    for model in entry["models"]:
        for rate in entry["rates"]:
            if rate["meter"] not in METERS:
                raise CatalogueError(f"The overrides price {rate['meter']!r}, which is not a meter.")
            tier, variant = rate.get("tier", "standard"), rate.get("variant", "")
            for key in [
                key
                for key in prices.spans
                if (key.provider, key.model, key.meter, key.tier, key.variant)
                == (entry["provider"], model, rate["meter"], tier, variant)
            ]:
                del prices.spans[key]
            key = RateKey(entry["provider"], model, rate["meter"], tier, variant=variant)
            prices.spans[key] = [Span(None, None, Decimal(rate["amount"]), rate["per"], entry["source"])]


def _derive(prices: PriceList, entry: Mapping[str, Any]) -> None:
    base = {k: spans for k, spans in prices.spans.items() if (k.provider, k.meter) == (entry["provider"], entry["of"])}
    for key, spans in base.items():
        derived = RateKey(key.provider, key.model, entry["meter"], key.tier, key.region, "", key.above_context_tokens)
        prices.spans[derived] = _times(spans, entry)


def _regional(prices: PriceList, entry: Mapping[str, Any]) -> None:
    models = frozenset(entry["models"])
    for key, spans in list(prices.spans.items()):
        tokens = METERS[key.meter].is_tokens
        if key.provider == entry["provider"] and key.model in models and tokens and not key.region:
            for region in entry["regions"]:
                regional = RateKey(key.provider, key.model, key.meter, key.tier, region, "", key.above_context_tokens)
                prices.spans[regional] = _times(spans, entry)


def _times(spans: Iterable[Span], entry: Mapping[str, Any]) -> list[Span]:
    factor = Decimal(entry["factor"])
    return [
        Span(s.start, s.end, EXACT.multiply(s.amount, factor), s.per, entry["source"])
        for s in spans
        if s.amount is not None
    ]
