"""The price and the receipt's text in one go, for the calls that nearly all are. Pure.

Plain calls (one model, every quantity whole and with a rate of its tier) are added up line by line as text; for all
others the engine makes the receipt. Both give the same to the last character, which a test compares.
"""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from tracking.money import EXACT, MAX_NANOUSD, round_half_even
from tracking.pricing.engine import price
from tracking.pricing.rates import RateBook
from tracking.pricing.receipts import around, receipt_around, receipt_text
from tracking.pricing.types import Line, PriceStatus, Receipt
from tracking.usage.types import Usage


class Priced(NamedTuple):
    """What a call cost. `total_nanousd` is None exactly when `status` is "unpriced"; `receipt` is its JSON text."""

    total_nanousd: int | None
    status: PriceStatus
    receipt: str


def price_text(usage: Usage, at: datetime, rates: RateBook) -> Priced:
    """`price`, and `receipt_text` of the receipt. Raises `ValueError` for a time without a zone."""
    plain = at.tzinfo is not None and _price_plain(usage, at, rates)
    if plain:
        return plain
    receipt = price(usage, at, rates)
    return Priced(receipt.total_nanousd, receipt.status, receipt_text(receipt))


def _price_plain(usage: Usage, at: datetime, rates: RateBook) -> Priced | None:
    if usage.parts or usage.variants or usage.region or usage.aggregate or usage.problem or usage.assumed:
        return None
    book = rates.model(usage.provider, usage.model)
    if book is None or usage.tier not in book.tiers:
        return None
    tier, context, texts = usage.tier, usage.context_tokens, book.texts
    num, den, paid, tier_met = 0, 1, False, False
    lines = []
    for meter, quantity in usage.meters.items():
        rate = book.find(meter, "", tier, "", context, at)
        if rate is None or rate.unit_usd is None or quantity.__class__ is not int:
            return None
        pieces = texts.get((meter, rate))
        if pieces is None:
            line = Line(meter, quantity, rate.amount, rate.per, None, rate.id, usage.model)
            pieces = texts[meter, rate] = around(line)
        before, between, after = pieces
        lines.append(f'{before}{quantity}{between}"{EXACT.multiply(quantity, rate.unit_usd):f}"{after}')
        if rate.den == 1:
            num += quantity * rate.num * den
        else:
            num, den = num * rate.den + quantity * rate.num * den, den * rate.den
        paid = paid or rate.num != 0
        tier_met = tier_met or rate.tier == tier
    total = round_half_even(num, den)
    if not tier_met or not 0 <= total <= MAX_NANOUSD:
        return None
    status: PriceStatus = "priced" if paid else "free"
    return Priced(total, status, receipt_around(Receipt((), total, status, "", tier), ",".join(lines)))
