"""What pages show of calls and sums, in words and numbers ready for a template."""

from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from costwatch.formatting import duration, quantity
from costwatch.pages.chart import Chart, Day, bar_chart
from tracking.calls import Call, CallDetail
from tracking.models import Rate
from tracking.pricing.receipts import receipt_from_json
from tracking.queries import DayTotals
from tracking.users import emails_of

#: Statuses shown as failures.
FAILED = ("error", "timeout", "connection_error", "incomplete")


@dataclass(frozen=True, slots=True)
class CallRow:
    """A line of the list of calls."""

    call: Call
    used: str
    who: str


@dataclass(frozen=True, slots=True)
class ReceiptLine:
    """A line of a receipt: meter x quantity x rate = amount, and where the rate is from."""

    meter: str
    variant: str
    model: str
    quantity: int | Decimal
    rate: Decimal | None
    per: int
    amount_usd: Decimal | None
    source: str


@dataclass(frozen=True, slots=True)
class ShownReceipt:
    """A receipt as its page shows it. `total` is None while it is unpriced."""

    lines: list[ReceiptLine]
    total: Decimal | None
    status: str
    reason: str
    exact_total: Decimal | None  # the sum of the lines, where rounding to a billionth of a dollar changed it


def chart_of(days: Sequence[DayTotals]) -> Chart:
    """The bars of these days."""
    return bar_chart(
        [Day(day=d.day, cost=d.totals.cost, calls=d.totals.calls, unpriced=d.totals.unpriced) for d in days]
    )


def rows_of(calls: Sequence[Call], *, with_users: bool) -> list[CallRow]:
    """The lines of a list of calls."""
    emails = emails_of(call.user_id for call in calls) if with_users else {}
    return [CallRow(call=call, used=used_in_words(call), who=_who(call.user_id, emails)) for call in calls]


def used_in_words(call: Call) -> str:
    """What a call used, shortly: "1,200 in, 300 out", "5.5 min of sound", "2 images"."""
    parts = []
    if call.input_tokens or call.output_tokens:
        parts.append(f"{quantity(call.input_tokens)} in, {quantity(call.output_tokens)} out")
    if call.audio_ms:
        parts.append(f"{duration(call.audio_ms)} of sound")
    if call.characters:
        parts.append(f"{quantity(call.characters)} characters")
    if call.images:
        parts.append(f"{quantity(call.images)} image{'s' if call.images != 1 else ''}")
    return "; ".join(parts)


def facts_of(detail: CallDetail, *, with_user: bool) -> list[tuple[str, str]]:
    """Names and values of what is known of a call; what is not known is left out."""
    call, row = detail.call, detail.row
    who = _who(call.user_id, emails_of([call.user_id])) if with_user else ""
    facts = [
        ("Provider", call.provider),
        ("Operation", call.operation),
        ("Endpoint", call.endpoint),
        ("Model asked for", row.model_asked if row.model_asked != call.model else ""),
        ("Tier", call.tier if call.tier != "standard" else ""),
        ("Feature", call.feature),
        ("Analysis", call.analysis_id),
        ("Account", who),
        ("Tags", ", ".join(f"{name}: {value}" for name, value in sorted(call.tags.items()))),
        ("Duration", duration(call.latency_ms)),
        ("First answer after", duration(call.ttft_ms)),
        ("Attempt", str(call.attempt) if call.attempt > 1 else ""),
        ("Used", used_in_words(call)),
        ("Read from the cache", quantity(call.cache_read_tokens) if call.cache_read_tokens else ""),
        ("Written to the cache", quantity(call.cache_write_tokens) if call.cache_write_tokens else ""),
        ("Reasoning", quantity(call.reasoning_tokens) if call.reasoning_tokens else ""),
        ("Error", call.error),
        ("Flags", ", ".join(call.flags)),
        ("Request id", row.request_id),
        ("Result id", row.response_id),
        ("Source", call.source),
        ("Call id", str(call.id)),
    ]
    return [(name, value) for name, value in facts if value]


def receipt_of(data: dict[str, Any]) -> ShownReceipt | None:
    """The receipt with the sources of its rates; None where a row has none (a result that is not known yet)."""
    try:
        receipt = receipt_from_json(data)
    except ValueError:
        return None
    sources = dict(Rate.objects.filter(pk__in={line.rate_id for line in receipt.lines}).values_list("pk", "source"))
    lines = [
        ReceiptLine(
            meter=line.meter,
            variant=line.variant,
            model=line.model,
            quantity=line.quantity,
            rate=line.rate,
            per=line.per,
            amount_usd=line.amount_usd,
            source=sources.get(line.rate_id, ""),
        )
        for line in receipt.lines
    ]
    total = None if receipt.total_nanousd is None else Decimal(receipt.total_nanousd).scaleb(-9)
    exact = sum((line.amount_usd for line in receipt.lines if line.amount_usd is not None), Decimal(0))
    return ShownReceipt(
        lines=lines,
        total=total,
        status=receipt.status,
        reason=receipt.reason,
        exact_total=exact if total is not None and lines and exact != total else None,
    )


def _who(user_id: int | None, emails: dict[int, str]) -> str:
    if not user_id:
        return ""
    return emails.get(user_id) or f"account {user_id}"
