"""Exports in the columns of FOCUS 1.3, the FinOps Open Cost and Usage Specification; ours begin with `x_`.

One row for each line of a call's receipt: quantity, unit, price and cost of one meter. What has no lines (a cost that
was given, a free call, one whose price is not known) is one row by the call, the call being what is priced. The rows of
a call add up to its cost exactly. `docs/guides/export.md` tells what each column holds, and where the standard is
departed from; `tests/tracking/test_focus_standard.py` checks files against its rules.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from functools import lru_cache
from typing import Any

from tracking.exports import Record, Wanted, _encode, _json_text, batches, csv_pieces, plain, seconds, usd
from tracking.money import EXACT, from_nanousd
from tracking.pricing.meters import METERS

VERSION = "1.3"
COLUMNS = (
    "BilledCost", "BillingAccountId", "BillingAccountName", "BillingAccountType", "BillingCurrency",
    "BillingPeriodEnd", "BillingPeriodStart", "ChargeCategory", "ChargeClass", "ChargeDescription", "ChargeFrequency",
    "ChargePeriodEnd", "ChargePeriodStart", "ConsumedQuantity", "ConsumedUnit", "ContractedCost",
    "ContractedUnitPrice", "EffectiveCost", "HostProviderName", "InvoiceIssuerName", "ListCost", "ListUnitPrice",
    "PricingCategory", "PricingCurrency", "PricingQuantity", "PricingUnit", "ProviderName", "PublisherName",
    "ServiceCategory", "ServiceName", "ServiceProviderName", "ServiceSubcategory", "SkuId", "SkuMeter",
    "SkuPriceDetails", "SkuPriceId", "SubAccountId", "SubAccountName", "SubAccountType", "Tags",
    "x_CallId", "x_OccurredAt", "x_Calls", "x_Operation", "x_Service", "x_Feature", "x_Analysis", "x_Model",
    "x_ModelAsked", "x_RateId", "x_Tier", "x_Status", "x_Quality", "x_PriceStatus", "x_InputTokens", "x_OutputTokens",
    "x_AudioSeconds",
)  # fmt: skip
_FORM = "%Y-%m-%dT%H:%M:%SZ"
_NAMES = {"openai": "OpenAI", "anthropic": "Anthropic", "azure": "Microsoft", "aws": "AWS", "google": "Google"}
_UNITS = {
    "token": "Tokens", "second": "Seconds", "character": "Characters", "image": "Images", "search": "Searches",
    "fetch": "Fetches", "session": "Sessions", "request": "Requests",
}  # fmt: skip
#: Half of a nano-USD and less comes from rounding a call's cost; more than that is another cost than the receipt's.
_ROUNDING = Decimal("0.000000001")


def write(wanted: Wanted) -> Iterator[bytes]:
    """The calls as CSV in FOCUS columns."""
    pieces = (
        [row for record in batch for row in _rows(record, emails)] for batch, emails in batches(wanted, receipts=True)
    )
    return csv_pieces(COLUMNS, pieces)


def _rows(record: Record, emails: dict[int, str]) -> Iterator[tuple]:
    if not record.calls and not record.cost:
        return  # taken back: what it stood for is told by other calls
    lines = _lines(record)
    call = _about_the_call(record, emails)
    if not lines:
        yield _row_of_the_call(record, call)
        return
    for number, (line, amount) in enumerate(lines):
        quantity, per, meter = line["quantity"], line["per"], line["meter"]
        consumed = str(quantity) if quantity.__class__ is int else f"{Decimal(quantity):f}"
        named, sku, unit, priced_in = _of_meter(meter, line["model"] or record.model, per)
        details, price = _of_price(sku, meter, record.tier, line["region"], line.get("variant") or "")
        pricing = (line["rate"], "Standard", _quotient(quantity, per), priced_in)
        # Whole calls are counted once, with their first line.
        told = call if number == 0 else _not_again(call)
        yield _row(f"{amount:f}", told, named, (consumed, unit), pricing, (sku, meter, details, price), line["rate_id"])


def _row_of_the_call(record: Record, call: dict[str, Any]) -> tuple:
    """A call that has one cost, or none that is known: it is itself the unit of its price."""
    count, cost = record.calls or 1, usd(record.cost)
    name = plain(f"{record.operation} call of {record.model or 'an unknown model'}")
    sku = plain(f"{record.model or 'unknown'}/calls")
    pricing = (_quotient(cost, count) if cost else "", "Other", count, "Calls")
    return _row(cost, call, name, (count, "Calls"), pricing, (sku, "calls", "", sku), None)


@lru_cache(maxsize=4096)
def _of_meter(meter: str, model: str, per: int) -> tuple[str, str, str, str]:
    """What the lines of a meter of a model have in common: description, SKU, unit, and the unit of its price."""
    known = METERS.get(meter)
    unit = _UNITS[known.unit] if known else "Units"
    return plain(f"{meter} of {model}"), plain(f"{model}/{meter}"), unit, unit if per == 1 else f"{per} {unit}"


@lru_cache(maxsize=4096)
def _of_price(sku: str, meter: str, tier: str, region: str, variant: str) -> tuple[str, str]:
    """What tells a price of a SKU from its others, as JSON; and the id made of that, which outlives its amount."""
    if meter not in METERS or not METERS[meter].is_tokens:
        tier = region = ""  # the same in all of them
    details = {"x_Tier": tier or "standard", "x_Region": region, "x_Variant": variant}
    given = {name: value for name, value in details.items() if value}
    return _encode(given), "/".join((sku, *given.values()))


@lru_cache(maxsize=8192)
def _quotient(quantity: int | str, per: int) -> str:
    return f"{EXACT.divide(Decimal(quantity), per).normalize():f}"


def _lines(record: Record) -> list[tuple[dict[str, Any], Decimal]]:
    """The lines of the receipt, with amounts in USD that add up to the cost of the call; none where they do not."""
    if record.cost is None or '"meter"' not in record.receipt:
        return []
    receipt = json.loads(record.receipt)
    # What was not used has no price where the model has none for it.
    lines = [one for one in receipt.get("lines") or [] if one["rate"] is not None or Decimal(one["quantity"])]
    if not lines or not all(line.get("amount_usd") is not None and line.get("rate") is not None for line in lines):
        return []
    amounts = [Decimal(line["amount_usd"]) for line in lines]
    total, summed = from_nanousd(record.cost), Decimal(0)
    for amount in amounts:
        summed = EXACT.add(summed, amount)
    difference = EXACT.subtract(total, summed)
    if abs(difference) > _ROUNDING:
        return []
    amounts[-1] = EXACT.add(amounts[-1], difference)
    for line in lines:
        line["region"] = receipt.get("region") or ""
    return list(zip(lines, amounts, strict=True))


def _about_the_call(r: Record, emails: dict[int, str]) -> dict[str, Any]:
    start, end = _second(r.occurred_at)
    month, following = _month(r.occurred_at[:7])
    provider = plain(_NAMES.get(r.provider, r.provider) or "unknown")
    return {
        "account": (plain(r.provider or "unknown"), provider, "Provider"),
        "period": (following, month),
        "charge": (end, start),
        "provider": provider,
        "whose": ("", "") if r.user_id is None else (r.user_id, plain(emails.get(r.user_id) or f"User {r.user_id}")),
        "tags": _json_text(r.tags),
        "own": (
            r.id, r.occurred_at, r.calls, r.operation, r.service, plain(r.feature),
            plain(r.analysis_id), plain(r.model), plain(r.model_asked), plain(r.tier), plain(r.status),
            plain(r.quality), r.price_status, r.input_tokens, r.output_tokens, seconds(r.audio_ms),
        ),
    }  # fmt: skip


def _not_again(call: dict[str, Any]) -> dict[str, Any]:
    """The same call, without its counts: the rows of a file may be summed."""
    own = call["own"]
    return {**call, "own": (*own[:2], 0, *own[3:13], 0, 0, "0")}


def _row(cost: str, call: dict, name: str, consumed: tuple, pricing: tuple, sku: tuple, rate_id: int | None) -> tuple:
    rate, category, quantity, unit = pricing
    sku_id, meter, details, price_id = sku
    provider, own = call["provider"], call["own"]
    user_id, name_of_user = call["whose"]
    return (
        cost, *call["account"], "USD", *call["period"], "Usage", "", name, "Usage-Based", *call["charge"],
        *consumed, cost, rate, cost, provider, provider, cost, rate,
        category, "USD", quantity, unit, provider, provider,
        "AI and Machine Learning", f"{provider} API", provider, "Generative AI", sku_id, meter, details, price_id,
        user_id, name_of_user, "User" if user_id else "", call["tags"], *own[:9], rate_id, *own[9:],
    )  # fmt: skip


@lru_cache(maxsize=64)
def _second(at: str) -> tuple[str, str]:
    """The second in which a call began, and its end."""
    start = datetime.fromisoformat(at).replace(microsecond=0)
    return start.strftime(_FORM), (start + timedelta(seconds=1)).strftime(_FORM)


@lru_cache(maxsize=64)
def _month(month: str) -> tuple[str, str]:
    """The month "2026-11", and the one after it, as moments."""
    start = datetime.fromisoformat(f"{month}-01")
    return start.strftime(_FORM), (start + timedelta(days=32)).replace(day=1).strftime(_FORM)
