"""A receipt as its page shows it: every line with the rate that was in force, and where that is from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracking.models import Rate
from tracking.pricing.meters import METERS
from tracking.pricing.receipts import receipt_from_json


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """A line of a receipt: meter x quantity x rate = amount, and where the rate is from."""

    meter: str
    what: str  # the meter, described
    variant: str
    model: str
    quantity: int | Decimal
    rate: Decimal | None
    per: int
    amount_usd: Decimal | None
    rate_id: int | None
    source: str
    own: bool  # entered here, not from the catalogue
    valid_from: datetime | None  # None: since ever
    recorded_at: datetime | None  # when Costwatch learned of it


@dataclass(frozen=True, slots=True)
class ShownReceipt:
    """A receipt as its page shows it. `total` is None while it is unpriced."""

    lines: list[ReceiptLine]
    total: Decimal | None
    status: str
    reason: str
    tier: str
    region: str
    exact_total: Decimal | None  # the sum of the lines, where rounding to a billionth of a dollar changed it


def receipt_of(data: dict[str, Any]) -> ShownReceipt | None:
    """The receipt with the sources of its rates; None where a row has none (a result that is not known yet)."""
    try:
        receipt = receipt_from_json(data)
    except ValueError:
        return None
    rates = Rate.objects.in_bulk({line.rate_id for line in receipt.lines if line.rate_id is not None})
    lines = []
    for line in receipt.lines:
        rate, meter = rates.get(line.rate_id), METERS.get(line.meter)
        lines.append(
            ReceiptLine(
                meter=line.meter, what=meter.description if meter else "", variant=line.variant, model=line.model,
                quantity=line.quantity, rate=line.rate, per=line.per, amount_usd=line.amount_usd, rate_id=line.rate_id,
                source=rate.source if rate else "", own=bool(rate and rate.own),
                valid_from=rate.valid_from if rate else None, recorded_at=rate.recorded_at if rate else None,
            )
        )  # fmt: skip
    total = None if receipt.total_nanousd is None else Decimal(receipt.total_nanousd).scaleb(-9)
    exact = sum((line.amount_usd for line in receipt.lines if line.amount_usd is not None), Decimal(0))
    return ShownReceipt(
        lines=lines, total=total, status=receipt.status, reason=receipt.reason, tier=receipt.tier,
        region=receipt.region, exact_total=exact if total is not None and lines and exact != total else None,
    )  # fmt: skip
