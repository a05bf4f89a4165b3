"""What a call that is planned elsewhere could cost at most, and whether it would be admitted: for other languages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from django.conf import settings

from budgets import operations
from budgets.calls import Call
from budgets.errors import Refusal
from tracking.bounds.limits import limits_of
from tracking.money import EXACT, from_nanousd
from tracking.pricing import Receipt, book, price
from tracking.usage import read_usage

#: USD: no limit has room for it.
_MORE_THAN_ANY = Decimal(10**9)


@dataclass(frozen=True, slots=True)
class Quote:
    """The most that a planned call costs: USD, None where it has no price; then `reason` says why."""

    cost: Decimal | None
    reason: str
    receipt: Receipt
    max_output_tokens: int | None  # what was counted on; None: the call has no such output


@dataclass(frozen=True, slots=True)
class Checked:
    """Whether a planned call would be admitted now."""

    allowed: bool
    reason: str
    quote: Quote
    refusal: Refusal | None  # the limit that stands in the way


def quote(
    *,
    provider: str,
    model: str,
    meters: Mapping[str, Any],
    at: datetime,
    max_output_tokens: int | None = None,
    facts: Mapping[str, Any] | None = None,
    batch: bool = False,
) -> Quote:
    """The cost of these meters. Where input tokens are given and no output, the model's own limit of output counts."""
    asked = dict(meters)
    rates = book.current()
    output = max_output_tokens
    if "output_tokens" not in asked and "input_tokens" in asked and "embedding" not in model:
        if output is None:
            known = rates.resolve(provider, model)
            window = known.context_window if known is not None else None
            output = limits_of(provider=provider, model=model, listed_window=window).output
        asked["output_tokens"] = output or 0
    usage = read_usage(
        provider=provider, model=model, operation="", usage={"meters": asked}, facts=facts or {}, batch=batch
    )
    receipt = price(usage, at, rates)
    total, reason = receipt.total_nanousd, receipt.reason
    if "output_tokens" in asked and output is None and "output_tokens" not in meters and "embedding" not in model:
        total, reason = None, "nothing bounds its output: give max_output_tokens"
    return Quote(None if total is None else from_nanousd(total), reason, receipt, output)


def to_hold(asked: Quote, meters: Mapping[str, Any]) -> Decimal | None:
    """What is held for a call, as `UNPRICED_MODELS` says for those without a price; None: it is refused."""
    if asked.cost is not None:
        return asked.cost
    if settings.UNPRICED_MODELS == "allow":
        return Decimal(0)
    if settings.UNPRICED_MODELS == "refuse":
        return None
    into = sum(int(n) for name, n in meters.items() if name.endswith("_tokens") and not name.startswith("output"))
    out = asked.max_output_tokens or int(meters.get("output_tokens", 0))
    total = EXACT.add(
        EXACT.multiply(settings.ASSUMED_INPUT_USD, into), EXACT.multiply(settings.ASSUMED_OUTPUT_USD, out)
    )
    return EXACT.divide(total, 1_000_000)


def check(call: Call, asked: Quote, meters: Mapping[str, Any]) -> Checked:
    """Whether `reserve` would admit the call now. Holds nothing."""
    amount = to_hold(asked, meters)
    if amount is None:
        refusal = operations.check(call, amount=_MORE_THAN_ANY)
        reason = f"it has no price ({asked.reason}), and a hard limit counts it" if refusal else ""
        return Checked(refusal is None, reason, asked, refusal)
    refusal = operations.check(call, amount=amount)
    return Checked(refusal is None, refusal.message if refusal else "", asked, refusal)
