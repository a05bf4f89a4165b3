"""What was used of each model and what it came to: sums of days, and what was paid for each meter by receipts. USD."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import F, Q, Sum

from tracking.lists import Where, latest_rows
from tracking.models import DailyModelRollup, DailyUserModelRollup
from tracking.money import EXACT
from tracking.periods import Period
from tracking.pricing.meters import METERS
from tracking.pricing.receipts import receipt_from_json
from tracking.queries import Totals
from tracking.rollups import MEASURES
from tracking.span_reads import summed
from tracking.unpriced import QUANTITIES, Why

MOST_MODELS = 300
#: Receipts that are added up for what was paid by meter.
MOST_RECEIPTS = 300
ZERO = Decimal(0)
_MILLION = 1_000_000


def unit_price(sums: Totals, why: Why | None = None) -> tuple[Decimal, str] | None:
    """What a unit came to over the calls that have a price: (USD, "1M tokens" | "minute" | "1M characters").

    Cost divided by all tokens, in and out, cached ones included; of models without tokens, by minutes of sound or
    characters. `why` says what the calls without a price used, which is left out. None where it does not say so of
    each of them, where no call has a price, or where two of these were billed: no single unit would be right.
    """
    used = dict.fromkeys(QUANTITIES, 0)
    if sums.unpriced:
        if why is None or why.calls != sums.unpriced or sums.unpriced >= sums.calls:
            return None
        used |= why.used
    left = {name: getattr(sums, name) - used[name] for name in QUANTITIES}
    units = [
        (left["input_tokens"] + left["output_tokens"], "1M tokens", _MILLION),
        (left["audio_ms"], "minute", 60_000),
        (left["characters"], "1M characters", _MILLION),
    ]
    billed = [unit for unit in units if unit[0] > 0]
    if len(billed) != 1:
        return None
    quantity, name, per = billed[0]
    return EXACT.divide(EXACT.multiply(sums.cost, Decimal(per)), Decimal(quantity)), name


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpend:
    """What one model was used for in a period, and what it cost in the one before."""

    provider: str
    model: str
    totals: Totals
    before: Decimal
    calls_before: int = 0
    unpriced_before: int = 0


def used(*, period: Period, before: Period, user_id: int | None = None) -> list[ModelSpend]:
    """The models of a period's calls, of one user where given, dearest first. One query."""
    rollup = DailyModelRollup if user_id is None else DailyUserModelRollup
    now = Q(day__gte=period.start, day__lt=period.end)
    rows = summed(rollup, period, before)
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    sums = {f"sum_{name}": Sum(name, filter=now) for name in MEASURES}
    then = {f"{name}_before": Sum(name, filter=~now) for name in ("cost", "calls", "unpriced")}
    found = rows.order_by().values("provider", "model").annotate(**sums, **then)
    ranked = found.filter(sum_calls__isnull=False).order_by(F("sum_cost").desc(), "-sum_calls", "provider", "model")
    return [
        ModelSpend(
            provider=row["provider"],
            model=row["model"],
            totals=Totals(**{name: row[f"sum_{name}"] for name in MEASURES}),
            before=row["cost_before"] or ZERO,
            calls_before=row["calls_before"] or 0,
            unpriced_before=row["unpriced_before"] or 0,
        )
        for row in ranked[:MOST_MODELS]
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaidMeter:
    """What was paid for one meter: `effective` USD for `per` units, whatever rates and tiers made it up."""

    meter: str
    quantity: Decimal
    amount: Decimal
    per: int

    @property
    def effective(self) -> Decimal | None:
        """USD for `per` units; None where nothing of it was used."""
        return EXACT.divide(self.amount * self.per, self.quantity) if self.quantity else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Paid:
    """What receipts of a model's newest calls add up to, meter by meter: exact, of those calls."""

    meters: list[PaidMeter]
    calls: int
    since: datetime | None  # when the oldest of them began

    @property
    def amount(self) -> Decimal:
        """What they add up to, in USD."""
        return sum((meter.amount for meter in self.meters), ZERO)


def paid_by_meter(where: Where) -> Paid:
    """What was paid for each meter in the newest `MOST_RECEIPTS` calls that match and were priced when recorded."""
    sums: dict[str, list[Decimal]] = {}
    calls, since = 0, None
    for row in latest_rows(where, limit=MOST_RECEIPTS):
        try:
            receipt = receipt_from_json(row.receipt)
        except ValueError:
            continue
        if receipt.total_nanousd is None or not receipt.lines:
            continue
        calls, since = calls + 1, row.occurred_at
        for line in receipt.lines:
            if line.amount_usd is not None:
                quantity, amount = sums.setdefault(line.meter, [ZERO, ZERO])
                sums[line.meter] = [quantity + Decimal(line.quantity), amount + line.amount_usd]
    meters = [
        PaidMeter(meter=name, quantity=quantity, amount=amount, per=METERS[name].per if name in METERS else 1)
        for name, (quantity, amount) in sums.items()
    ]
    return Paid(meters=sorted(meters, key=lambda meter: -meter.amount), calls=calls, since=since)
