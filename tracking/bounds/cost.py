"""What a bound costs at most, by the rates in force: the dearest of everything that could be billed. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import ROUND_FLOOR, Decimal, localcontext

from tracking.bounds.types import Bound, Output, Quantity
from tracking.money import from_nanousd
from tracking.pricing.engine import price
from tracking.pricing.rates import ModelRates, Rate, RateBook
from tracking.pricing.types import Receipt
from tracking.usage.types import Usage


@dataclass(frozen=True, slots=True)
class Worst:
    """The dearest bill of an attempt: `cost` in USD, None where it has no price; then `reason` says why, in words."""

    cost: Decimal | None
    usage: Usage | None = None
    receipt: Receipt | None = None
    reason: str = ""


def worst(bound: Bound, *, at: datetime, rates: RateBook, output_tokens: int | None = None) -> Worst:
    """The most that the attempt can cost. `output_tokens` takes the place of what one of its answers could put out.

    The standard tier (or the only one) must have a price, and so must the first meter of every quantity: what has none
    makes the attempt unpriced, never cheaper.
    """
    if bound.problem:
        return Worst(None, reason=bound.problem)
    dearest: Worst | None = None
    for index, tier in enumerate(bound.tiers):
        for usage in _usages(bound, tier, at, rates, output_tokens):
            receipt = price(usage, at, rates)
            if receipt.total_nanousd is None:
                if index == 0:
                    return Worst(None, usage, receipt, receipt.reason)
                continue
            if dearest is None or receipt.total_nanousd > dearest.receipt.total_nanousd:  # type: ignore[union-attr]
                dearest = Worst(from_nanousd(receipt.total_nanousd), usage, receipt)
    if dearest is None:
        return Worst(None, reason=f"no prices for {bound.provider} model {bound.model!r}")
    return dearest


def affordable(bound: Bound, *, room: Decimal, at: datetime, rates: RateBook) -> int | None:
    """The largest maximum of output tokens that `room` USD pays for, at most the bound's own; below 0 for none.

    None where the bound has no price, or its output cannot be capped.
    """
    output = bound.output
    if output is None or not output.field:
        return None
    none, full = (worst(bound, at=at, rates=rates, output_tokens=n).cost for n in (0, output.tokens))
    if none is None or full is None:
        return None
    if full <= room:
        return output.tokens
    if none >= room or full == none:
        return -1
    with localcontext() as context:
        context.prec, context.rounding = 60, ROUND_FLOOR
        tokens = int((room - none) / ((full - none) / output.tokens))
    # The total is rounded once, and half of a nano-USD may go the other way.
    while tokens > 0 and (cost := worst(bound, at=at, rates=rates, output_tokens=tokens).cost) is not None:
        if cost <= room:
            break
        tokens -= 1
    return tokens


def _usages(bound: Bound, tier: str, at: datetime, rates: RateBook, output_tokens: int | None) -> Iterable[Usage]:
    """The attempt as it could be reported, one for each region and way, each quantity under its dearest meter."""
    parts = tuple(_part(part, tier, at, rates) for part in bound.parts)
    book = rates.model(bound.provider, bound.model)
    regions = [region for region in bound.regions if not region or (book is not None and region in book.regions)]
    for region in regions:
        for way in bound.ways:
            quantities = [*way, *_output(bound.output, output_tokens)]
            meters: dict[str, int | Decimal] = {}
            variants: dict[str, str] = {}
            for quantity in quantities:
                meter = quantity.meters[0]
                if book is not None and len(quantity.meters) > 1:
                    meter = _dearest(quantity, book, tier, book.regions.get(region, ""), bound.context_tokens, at)
                meters[meter] = meters.get(meter, 0) + quantity.amount
                if quantity.variant:
                    variants[meter] = quantity.variant
            yield Usage(
                provider=bound.provider,
                model=bound.model,
                meters=meters,
                tier=tier,
                context_tokens=bound.context_tokens,
                region=region,
                variants=variants,
                parts=parts,
            )


def _part(part: Bound, tier: str, at: datetime, rates: RateBook) -> Usage:
    tier = tier if tier in part.tiers else part.tiers[0]
    return next(iter(_usages(part, tier, at, rates, None)))


def _output(output: Output | None, tokens: int | None) -> tuple[Quantity, ...]:
    if output is None:
        return ()
    return (Quantity(output.meters, (output.tokens if tokens is None else tokens) * output.answers),)


def _dearest(quantity: Quantity, book: ModelRates, tier: str, region: str, context: int, at: datetime) -> str:
    """The meter under which the quantity costs most; the first where none of them has a price."""
    best, best_rate = quantity.meters[0], None
    for meter in quantity.meters:
        rate = book.find(meter, quantity.variant, tier, region, context, at)
        if rate is None:
            if meter == quantity.meters[0]:
                return meter  # unpriced: the engine says so
            continue
        if best_rate is None or _dearer(rate, best_rate):
            best, best_rate = meter, rate
    return best


def _dearer(one: Rate, other: Rate) -> bool:
    return one.num * other.den > other.num * one.den
