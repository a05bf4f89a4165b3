"""Usage x rates -> receipt. Pure, exact, and rounded once."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal

from tracking.money import MAX_NANOUSD, round_half_even
from tracking.pricing.rates import ModelRates, Rate, RateBook
from tracking.pricing.types import ANY_MODEL, Line, Receipt
from tracking.usage.types import Usage

#: Meters that cost the same whichever model it is, known or not.
_WHATEVER_MODEL = frozenset({"token_counts"})


def price(usage: Usage, at: datetime, rates: RateBook) -> Receipt:
    """What a call cost, by the prices in force at `at` (a time with a zone).

    The total is rounded half-even to nano-USD, once. A quantity, tier, region or model without a rate, and usage that
    contradicts itself, make the receipt "unpriced" with the reason; it is never cheaper for it. A call whose rates
    are all zero is "free". Raises `ValueError` for a time without a zone.
    """
    if at.tzinfo is None:
        raise ValueError("`at` has no time zone: prices depend on the instant of the call.")
    tally = _Tally()
    _add(tally, usage, at, rates)
    for part in usage.parts:
        _add(tally, part, at, rates)
    return tally.receipt(usage)


class _Tally:
    """The lines so far, and their exact sum in nano-USD as a fraction."""

    __slots__ = ("assumed", "den", "lines", "num", "paid", "reason")

    def __init__(self) -> None:
        self.lines: list[Line] = []
        self.num, self.den = 0, 1
        self.reason = self.assumed = ""
        self.paid = False  # some rate is not zero

    def add(self, quantity: int | Decimal, rate: Rate) -> None:
        if rate.num:
            self.paid = True
        if type(quantity) is int and rate.den == 1:
            self.num += quantity * rate.num * self.den
            return
        top, bottom = quantity.as_integer_ratio()
        top, bottom = top * rate.num, bottom * rate.den
        self.num, self.den = self.num * bottom + top * self.den, self.den * bottom

    def unpriced(self, reason: str) -> None:
        self.reason = self.reason or reason

    def receipt(self, usage: Usage) -> Receipt:
        lines = tuple(self.lines)
        if not self.reason:
            nanousd = round_half_even(self.num, self.den)
            if 0 <= nanousd <= MAX_NANOUSD:
                assumed = usage.assumed or self.assumed
                status = "assumed" if assumed else "priced" if self.paid else "free"
                return Receipt(lines, nanousd, status, assumed, usage.tier, usage.region)
            self.reason = "the cost is more than the ledger can hold" if nanousd > 0 else "the cost is negative"
        return Receipt(lines, None, "unpriced", self.reason, usage.tier, usage.region)


def _add(tally: _Tally, usage: Usage, at: datetime, rates: RateBook) -> None:
    """Price one usage by itself, without its parts."""
    book = None if usage.problem else rates.model(usage.provider, usage.model)
    if book is None and usage.meters and _WHATEVER_MODEL.issuperset(usage.meters):
        book = rates.model(usage.provider, ANY_MODEL)
    obstacle = usage.problem or _obstacle(usage, book)
    if obstacle:
        tally.unpriced(obstacle)
        variants = usage.variants
        tally.lines.extend(_line(usage, meter, n, None, variants.get(meter, "")) for meter, n in usage.meters.items())
        return
    tier, variants = usage.tier, usage.variants
    region = book.regions[usage.region] if usage.region else ""
    context = 0 if usage.aggregate else usage.context_tokens
    tier_met = bool(usage.parts)  # their tokens say so
    for meter, quantity in usage.meters.items():
        variant = variants.get(meter, "") if variants else ""
        rate = book.find(meter, variant, tier, region, context, at)
        tally.lines.append(_line(usage, meter, quantity, rate, variant))
        if rate is not None:
            tier_met = tier_met or rate.tier == tier
            tally.add(quantity, rate)
        elif quantity:
            tally.unpriced(_missing(usage, meter))
        if usage.aggregate and rate is not book.find(meter, variant, tier, region, usage.context_tokens, at):
            tally.assumed = "single requests are taken to be below the long-context threshold"
    if not usage.meters and not usage.parts:
        tally.unpriced("no billable quantity was reported")
    elif not tier_met and tier == "standard":
        tally.unpriced(_missing(usage, next(iter(usage.meters))))
    elif not tier_met:
        tally.unpriced(f"no price for tier {tier!r} of {usage.model} at that time")


def _obstacle(usage: Usage, book: ModelRates | None) -> str:
    """Why nothing of this usage can be priced, or ""."""
    if book is None:
        return f"no prices for {usage.provider} model {usage.model!r}"
    if usage.tier not in book.tiers and usage.meters:
        return f"no price for tier {usage.tier!r} of {usage.model}"
    if usage.region and usage.region not in book.regions:
        return f"no price for region {usage.region!r} of {usage.model}"
    return ""


def _missing(usage: Usage, meter: str) -> str:
    variant = usage.variants.get(meter)
    what = f"{meter} ({variant})" if variant else meter
    tier = "" if usage.tier == "standard" else f" in tier {usage.tier!r}"
    return f"no rate for {what} of {usage.model}{tier} at that time"


def _line(usage: Usage, meter: str, quantity: int | Decimal, rate: Rate | None, variant: str) -> Line:
    if rate is None:
        return Line(meter, quantity, None, 1, None, None, usage.model, variant)
    return Line(meter, quantity, rate.amount, rate.per, rate.amount_of(quantity), rate.id, usage.model, variant)
