"""Where money could be saved: what the calls looked at say, each line with its amount. Pure but for the price book.

Amounts are `Decimal` USD at the prices in force at `at`, of quantities the ledger holds; what they assume is said in
each function. Prices by region are left out: they are those of the provider's own default.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from tracking.money import from_nanousd
from tracking.pricing import price
from tracking.pricing.rates import ModelRates, RateBook
from tracking.traffic import Group
from tracking.usage.types import Usage

ZERO = Decimal(0)
#: A start of prompts that is repeated is written to the cache once for so many reads.
READS_PER_WRITE = 10
#: Output above this share of what calls cost makes them output-heavy.
OUTPUT_HEAVY = Decimal("0.6")
#: Services whose calls can go through the providers' batch interfaces.
_BATCHABLE = ("chat", "embeddings")


@dataclass(frozen=True, slots=True, kw_only=True)
class Caching:
    """What the prompt cache saved in calls of a feature to a model, and what it could have saved. USD."""

    feature: str
    provider: str
    model: str
    calls: int
    input_tokens: int
    cache_read_tokens: int
    saved: Decimal
    could_save: Decimal

    @property
    def hit_rate(self) -> Decimal:
        """The share of input that was read from the cache, 0 to 1."""
        return Decimal(self.cache_read_tokens) / self.input_tokens if self.input_tokens else ZERO


@dataclass(frozen=True, slots=True, kw_only=True)
class Waiting:
    """Calls that nobody watched arrive: what they would have cost less in a tier that answers later. USD."""

    feature: str
    provider: str
    model: str
    calls: int
    cost: Decimal
    batch_saving: Decimal | None  # None: the model has no such tier
    flex_saving: Decimal | None

    @property
    def saving(self) -> Decimal:
        """The larger of the two."""
        return max(self.batch_saving or ZERO, self.flex_saving or ZERO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wasted:
    """Calls that were billed and failed or were abandoned, and attempts after the first. USD."""

    feature: str
    provider: str
    model: str
    failed_calls: int
    failed_cost: Decimal
    cancelled_calls: int
    cancelled_cost: Decimal
    retried_calls: int
    retried_cost: Decimal

    @property
    def lost(self) -> Decimal:
        """What was paid for answers that nobody could use."""
        return self.failed_cost + self.cancelled_cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Talkative:
    """Calls whose answers cost most of what they cost. USD."""

    feature: str
    provider: str
    model: str
    calls: int
    output_tokens: int
    cost: Decimal
    output_cost: Decimal

    @property
    def share(self) -> Decimal:
        """Of the cost at today's prices, the output's share, 0 to 1."""
        return self.output_cost / self.cost if self.cost else ZERO

    @property
    def tokens_per_call(self) -> int:
        """Output tokens of the average call."""
        return round(self.output_tokens / self.calls) if self.calls else 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Elsewhere:
    """What the same tokens would cost on a model. USD; `cost` is None where a price is missing (`reason`)."""

    provider: str
    model: str
    cost: Decimal | None
    reason: str = ""
    assumed: str = ""  # what had to be taken for granted


def caching(groups: Iterable[Group], *, rates: RateBook, at: datetime, share: Decimal) -> list[Caching]:
    """What caching saved and could have saved, most first.

    Could: if `share` (0 to 1) of the input that was sent afresh, in prompts long enough to be cached, had been read
    from the cache, and written to it once for every `READS_PER_WRITE` reads. Negative savings (more was written than
    read) are shown as they are.
    """
    lines: dict[tuple, Caching] = {}
    for group in groups:
        found = _CacheRates.of(group, rates, at) if group.service == "chat" else None
        if found is None:
            continue
        key = (group.feature, group.provider, group.model)
        line = lines.get(key) or Caching(
            feature=group.feature, provider=group.provider, model=group.model, calls=0, input_tokens=0,
            cache_read_tokens=0, saved=ZERO, could_save=ZERO,
        )  # fmt: skip
        lines[key] = replace(
            line,
            calls=line.calls + group.calls,
            input_tokens=line.input_tokens + group.input_tokens,
            cache_read_tokens=line.cache_read_tokens + group.cache_read_tokens,
            saved=line.saved + found.saved(group.cache_read_tokens, group.cache_write_tokens),
            could_save=line.could_save + found.could_save(group.cacheable_tokens * share),
        )
    return sorted(lines.values(), key=lambda line: (-line.could_save, -line.saved, line.feature, line.model))


@dataclass(frozen=True, slots=True)
class _CacheRates:
    """USD for a token sent afresh, read from the cache, and written to it."""

    fresh: Decimal
    read: Decimal
    write: Decimal

    @classmethod
    def of(cls, group: Group, rates: RateBook, at: datetime) -> _CacheRates | None:
        """None for a model that has no price for reading from a cache."""
        fresh, read, write = (
            _unit(rates, group, meter, at) for meter in ("input_tokens", "cache_read_tokens", "cache_write_tokens")
        )
        if fresh is None or read is None:
            return None
        return cls(fresh, read, fresh if write is None else write)

    def saved(self, read: int, written: int) -> Decimal:
        return read * (self.fresh - self.read) - written * (self.write - self.fresh)

    def could_save(self, tokens: Decimal) -> Decimal:
        writes = tokens / READS_PER_WRITE
        return max(ZERO, (tokens - writes) * (self.fresh - self.read) - writes * (self.write - self.fresh))


def waiting(groups: Iterable[Group], *, rates: RateBook, at: datetime) -> list[Waiting]:
    """What calls that were not streamed would have cost less by batch or flex, most first."""
    lines: dict[tuple, Waiting] = {}
    for group in groups:
        if group.service not in _BATCHABLE or group.tier != "standard" or group.stream or not group.text_only:
            continue
        now = _cost(rates, group, at)
        savings = [_less(now, _cost(rates, group, at, tier=tier)) for tier in ("batch", "flex")]
        if now is None or savings == [None, None]:
            continue
        key = (group.feature, group.provider, group.model)
        line = lines.get(key) or Waiting(
            feature=group.feature, provider=group.provider, model=group.model, calls=0, cost=ZERO, batch_saving=None,
            flex_saving=None,
        )  # fmt: skip
        lines[key] = replace(
            line,
            calls=line.calls + group.calls,
            cost=line.cost + now,
            batch_saving=_plus(line.batch_saving, savings[0]),
            flex_saving=_plus(line.flex_saving, savings[1]),
        )
    found = [line for line in lines.values() if line.saving > 0]
    return sorted(found, key=lambda line: (-line.saving, line.feature, line.model))


def wasted(groups: Iterable[Group]) -> list[Wasted]:
    """What was paid for nothing, as it was billed, most first; then what had to be tried again."""
    sums: dict[tuple, Wasted] = {}
    for group in groups:
        counts = {name: getattr(group, name) for name in Wasted.__dataclass_fields__}
        key = (group.feature, group.provider, group.model)
        line = sums.get(key)
        if line is not None:
            for name in counts.keys() - {"feature", "provider", "model"}:
                counts[name] += getattr(line, name)
        sums[key] = Wasted(**counts)
    found = [line for line in sums.values() if line.lost > 0 or line.retried_calls > 0]
    return sorted(found, key=lambda line: (-line.lost, -line.retried_cost, line.feature, line.model))


def talkative(groups: Iterable[Group], *, rates: RateBook, at: datetime) -> list[Talkative]:
    """Where the answers are most of the cost, at today's prices, dearest answers first."""
    lines: dict[tuple, Talkative] = {}
    for group in groups:
        cost = _cost(rates, group, at) if group.service == "chat" and group.text_only else None
        unit = _unit(rates, group, "output_tokens", at)
        if cost is None or unit is None:
            continue
        key = (group.feature, group.provider, group.model)
        line = lines.get(key) or Talkative(
            feature=group.feature, provider=group.provider, model=group.model, calls=0, output_tokens=0, cost=ZERO,
            output_cost=ZERO,
        )  # fmt: skip
        lines[key] = replace(
            line,
            calls=line.calls + group.calls,
            output_tokens=line.output_tokens + group.output_tokens,
            cost=line.cost + cost,
            output_cost=line.output_cost + unit * group.output_tokens,
        )
    found = [line for line in lines.values() if line.share >= OUTPUT_HEAVY and line.output_cost > 0]
    return sorted(found, key=lambda line: (-line.output_cost, line.feature, line.model))


def elsewhere(
    groups: Iterable[Group], models: Iterable[tuple[str, str]], *, rates: RateBook, at: datetime
) -> list[Elsewhere]:
    """What the same tokens would have cost on other models, cheapest first; those without a price last.

    The same numbers of tokens, cached ones as cached: other tokenizers count differently, and another cache hits
    differently. A tier that the other model lacks is priced as its standard one, and prompts that are written to a
    cache that costs nothing to write to, as input; `assumed` says so.
    """
    groups = [group for group in groups if group.calls > 0 and group.text_only]
    found = [_on(provider, model, groups, rates, at) for provider, model in models]
    return sorted(found, key=lambda one: (one.cost is None, one.cost or ZERO, one.model))


def _on(provider: str, model: str, groups: list[Group], rates: RateBook, at: datetime) -> Elsewhere:
    book = rates.model(provider, model)
    total, assumed = ZERO, set()
    for group in groups:
        tier = group.tier
        if book is not None and tier not in book.tiers:
            assumed.add(f"{tier} priced as standard")
            tier = "standard"
        meters = dict(group.meters)
        for meter in ("cache_write_tokens", "cache_read_tokens"):
            if meters[meter] and book and book.find(meter, "", tier, "", group.context_tokens, at) is None:
                meters["input_tokens"] += meters.pop(meter)
                assumed.add("no cache" if meter == "cache_read_tokens" else "writing to the cache is free")
        receipt = price(_usage(provider, model, meters, tier, group.context_tokens), at, rates)
        if receipt.total_nanousd is None:
            return Elsewhere(provider=provider, model=model, cost=None, reason=receipt.reason)
        total += from_nanousd(receipt.total_nanousd)
    return Elsewhere(provider=provider, model=model, cost=total, assumed="; ".join(sorted(assumed)))


def _usage(provider: str, model: str, meters: dict[str, int], tier: str, context_tokens: int) -> Usage:
    billed = {meter: quantity for meter, quantity in meters.items() if quantity > 0} or {"input_tokens": 0}
    return Usage(provider=provider, model=model, meters=billed, tier=tier, context_tokens=context_tokens)


def _cost(rates: RateBook, group: Group, at: datetime, *, tier: str = "") -> Decimal | None:
    """What the tokens of a group cost at today's prices; None where a price is missing."""
    usage = _usage(group.provider, group.model, group.meters, tier or group.tier, group.context_tokens)
    nanousd = price(usage, at, rates).total_nanousd
    return None if nanousd is None else from_nanousd(nanousd)


def _unit(rates: RateBook, group: Group, meter: str, at: datetime) -> Decimal | None:
    book: ModelRates | None = rates.model(group.provider, group.model)
    rate = book.find(meter, "", group.tier, "", group.context_tokens, at) if book else None
    return None if rate is None else rate.amount_of(1)


def _less(now: Decimal | None, then: Decimal | None) -> Decimal | None:
    return None if now is None or then is None else now - then


def _plus(total: Decimal | None, more: Decimal | None) -> Decimal | None:
    return total if more is None else (total or ZERO) + more
