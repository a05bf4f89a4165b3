"""Prices of one's own: what the unpriced calls of a model need, what a price would make of them, and entering it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.contrib.admin.models import ADDITION, LogEntry
from django.db import transaction
from django.db.models import Sum

from tracking.models import ApiUsageLog, DailyModelRollup, Rate
from tracking.pricing import book
from tracking.pricing.meters import METERS
from tracking.pricing.types import RateRow
from tracking.repricing import Repriced, reprice
from tracking.rows import current_pricing

#: Unpriced calls that are looked at for what they used.
SAMPLE = 200
#: Calls that a preview prices, and that are priced at once; the rest is left to the hourly task.
MOST_AT_ONCE = 2_000
USUAL = ("input_tokens", "cache_read_tokens", "output_tokens")


@dataclass(frozen=True, slots=True, order=True)
class Wanted:
    """A rate that calls need: a meter, of which kind, in which tier."""

    meter: str
    variant: str = ""
    tier: str = "standard"

    @property
    def per(self) -> int:
        """The units that prices of this meter are quoted for."""
        return METERS[self.meter].per if self.meter in METERS else 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpriced:
    """The calls of one model that have no price: how many, what they used, and why not."""

    calls: int
    wanted: Sequence[Wanted]
    reasons: Sequence[str]
    without_usage: int  # of those looked at: no price can help them
    looked_at: int


def unpriced_of(provider: str, model: str) -> Unpriced:
    """What stands unpriced of a model; what they need is read from the newest `SAMPLE` of them."""
    sums = DailyModelRollup.objects.filter(provider=provider, model=model).aggregate(n=Sum("unpriced"))
    rows = ApiUsageLog.objects.filter(price_status="unpriced", provider=provider, model=model)
    receipts = list(rows.order_by("-occurred_at", "-id").values_list("receipt", flat=True)[:SAMPLE])
    wanted: set[Wanted] = set()
    reasons: dict[str, None] = {}
    empty = 0
    for receipt in receipts:
        lines = receipt.get("lines") or []
        empty += not lines
        reasons[receipt.get("reason", "")] = None
        wanted |= {Wanted(x["meter"], x.get("variant", ""), receipt.get("tier") or "standard") for x in lines}
    order = list(METERS)
    known = sorted(
        (one for one in wanted if one.meter in METERS), key=lambda one: (one.tier, order.index(one.meter), one)
    )
    return Unpriced(
        calls=sums["n"] or 0, wanted=known, reasons=[text for text in reasons if text][:5], without_usage=empty,
        looked_at=len(receipts),
    )  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class NewRates:
    """Prices that somebody wants to enter: USD for `Wanted.per` units each, in force in `[valid_from, valid_to)`."""

    provider: str
    model: str
    amounts: Sequence[tuple[Wanted, Decimal]]
    source: str
    valid_from: datetime | None = None
    valid_to: datetime | None = None

    def _fields(self) -> list[dict[str, Any]]:
        return [
            {
                "provider": self.provider, "model": self.model, "meter": wanted.meter, "variant": wanted.variant,
                "tier": wanted.tier, "amount": amount, "per": wanted.per, "valid_from": self.valid_from,
                "valid_to": self.valid_to, "source": self.source, "own": True,
            }
            for wanted, amount in self.amounts
        ]  # fmt: skip


def preview(new: NewRates, *, now: datetime) -> Repriced:
    """What the model's newest unpriced calls, `MOST_AT_ONCE` at most, would come to. Nothing is written."""
    rows = [RateRow(id=-number, **values) for number, values in enumerate(new._fields(), start=1)]
    pricing = replace(current_pricing(), rates=book.with_rates(rows))
    return reprice(now=now, dry_run=True, at_most=MOST_AT_ONCE, of=(new.provider, new.model), pricing=pricing)


def enter(new: NewRates, *, by: Any, now: datetime) -> Repriced:
    """Record the prices, with who did it in the admin's history, and price the model's unpriced calls by them.

    At most `MOST_AT_ONCE` calls at once, the newest; the scheduled task prices the rest. Raises `django.db.Error`.
    """
    with transaction.atomic():
        rates = [Rate.objects.create(**values) for values in new._fields()]
        for rate in rates:
            LogEntry.objects.log_actions(by.pk, [rate], ADDITION, "Entered on the dashboard.", single_object=True)
    book.forget()
    return reprice(now=now, at_most=MOST_AT_ONCE, of=(new.provider, new.model))
