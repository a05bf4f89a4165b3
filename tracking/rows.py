"""From an event to its ledger row: cleaning, usage, price. Whatever an event holds, it becomes a row."""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from operator import attrgetter
from typing import Any

from tracking.cleaning import Cutter, bounded_int, bounded_json, clean_text, encode, milliseconds
from tracking.events import SERVICE_BY_OPERATION, CallEvent
from tracking.money import from_nanousd, to_nanousd
from tracking.usage.types import Usage, totals, walk

logger = logging.getLogger("costwatch.recorder")

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Times outside of this are taken for a broken clock: the row stands at the time of recording, with a flag.
EARLIEST = datetime(2015, 1, 1, tzinfo=UTC)
LATEST_AHEAD = timedelta(days=2)

#: One call cannot use or cost more than this: such a report is flagged, and unpriced rather than believed.
MAX_QUANTITY = 10**12
MAX_COST_NANOUSD = 1_000_000 * 10**9
MAX_TAGS, MAX_TAG_CHARS = 50, 500
MAX_FLAGS = 30

ERROR_STATUSES = frozenset({"error", "timeout", "connection_error", "incomplete"})
#: Gives the rows that are derived from other rows their ids: the same correction always has the same one.
CORRECTIONS = uuid.UUID("5b0b52a5-4c6c-5c63-9f6b-2f1d0c3f7a11")


@dataclass(slots=True)
class Row:
    """A ledger row as the database takes it: ids are 32 hex digits, times text in UTC, JSON text, money nano-USD."""

    id: str
    occurred_at: str
    recorded_at: str
    corrects: str | None
    provider: str
    model: str
    model_asked: str
    model_served: str
    operation: str
    endpoint: str
    service: str
    source: str
    user_id: int | None
    feature: str
    analysis_id: str
    tags: str
    request_id: str
    response_id: str
    attempt: int
    status: str
    http_status: int | None
    error: str
    quality: str
    stream: int | bool
    latency_ms: int | None
    ttft_ms: int | None
    tier: str = "standard"
    calls: int = 1
    unpriced: int = 0
    input_tokens: int = 0
    cache_read_tokens: int = 0
    cache_write_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0
    audio_tokens: int = 0
    audio_ms: int = 0
    characters: int = 0
    images: int = 0
    meters: str = "{}"
    raw_usage: str | None = None
    facts: str = "{}"
    flags: str = "[]"
    cost: int | None = None
    price_status: str = "unpriced"
    receipt: str = "{}"

    @property
    def errors(self) -> int:
        """What the row adds to the errors of its rollups."""
        return 1 if self.status in ERROR_STATUSES else 0


COLUMNS: tuple[str, ...] = tuple(Row.__dataclass_fields__)
row_values: Callable[[Row], tuple] = attrgetter(*COLUMNS)
#: Columns that are added up; with `cost` they are what a correction changes.
SUMS = (
    "calls",
    "unpriced",
    "input_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "output_tokens",
    "reasoning_tokens",
    "audio_tokens",
    "audio_ms",
    "characters",
    "images",
)


def db_time(at: datetime) -> str:
    """A UTC moment as Django writes it on SQLite, which PostgreSQL reads too."""
    return str(at.astimezone(UTC).replace(tzinfo=None))


def from_db_time(text: str) -> datetime:
    """The moment that `db_time` wrote."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def microseconds(occurred_at: str) -> int:
    """Microseconds since the epoch of a database time."""
    return (from_db_time(occurred_at) - EPOCH) // timedelta(microseconds=1)


def derived_id(row_id: str, what: str) -> str:
    """The id of a row derived from another one ("price", "result", "reversal"): always the same."""
    return uuid.uuid5(CORRECTIONS, f"{row_id}:{what}").hex


@dataclass(frozen=True, slots=True)
class Pricing:
    """What turns usage into money: the readers and the engine, with the rates of the moment."""

    read_usage: Callable[..., Any]
    price_text: Callable[..., Any]
    rates: Any


def current_pricing() -> Pricing:
    """The readers, the engine and the price book as it stands now."""
    from tracking.pricing import book, price_text
    from tracking.usage import read_usage

    return Pricing(read_usage=read_usage, price_text=price_text, rates=book.current())


def row_of(event: CallEvent, *, now: datetime, user_id: int | None, pricing: Pricing) -> Row:
    """The row of an event recorded at `now`. What had to be changed is flagged; what has no price is unpriced."""
    flags = [clean_text(flag, 80) for flag in event.flags[:MAX_FLAGS]] if event.flags else []
    cut = Cutter(flags)
    at, at_text = _event_time(event.at_us, now, flags)
    provider, served, asked, endpoint, source, status, error, quality, operation = _repeated(event, cut)
    provider = provider.lower()  # as the price book has them, whatever a caller writes
    row = Row(
        id=event_id(event.id),
        occurred_at=at_text,
        recorded_at=now_text(now),
        corrects=None,
        provider=provider,
        model=served or asked,
        model_asked=asked,
        model_served=served,
        operation=operation,
        endpoint=endpoint,
        service="batch" if event.batch else SERVICE_BY_OPERATION[operation],
        source=source,
        user_id=user_id,
        feature=cut(event.feature, 200, "feature"),
        analysis_id=cut(event.analysis, 200, "analysis"),
        tags="{}" if user_id is not None and not event.tags else _tags(event, user_id, flags),
        request_id=cut(event.request_id, 200, "request_id"),
        response_id=cut(event.response_id, 200, "response_id"),
        attempt=bounded_int(event.attempt, 1, 32767) or 1,
        status=status,
        http_status=bounded_int(event.http_status, 0, 32767),
        error=error,
        quality=quality,
        stream=1 if event.stream else 0,
        latency_ms=milliseconds(event.latency_us),
        ttft_ms=milliseconds(event.ttft_us),
    )
    if event.usage is not None:
        row.raw_usage = bounded_json(event.usage, "usage", flags)
    if event.facts:
        row.facts = bounded_json(event.facts, "facts", flags)
    _price(row, event, at, flags, pricing)
    if flags:
        row.flags = json.dumps(list(dict.fromkeys(flags))[:MAX_FLAGS])
    return row


#: Texts that nearly every call shares with others, and the lengths of their columns.
_REPEATED = {"provider": 40, "model_served": 200, "model_asked": 200, "endpoint": 200, "source": 20, "status": 20}
_REPEATED |= {"error": 200, "quality": 12}
_repeated_of = attrgetter(*_REPEATED, "operation")
#: Those that were seen to need no change. Emptied when full: errors and endpoints may have any name.
_fine: dict[tuple, tuple[str, ...]] = {}
MAX_FINE = 4096


def _repeated(event: CallEvent, cut: Cutter) -> tuple[str, ...]:
    """The texts of `_REPEATED` as their columns take them, and the operation."""
    texts = _repeated_of(event)
    try:
        return _fine[texts]
    except (KeyError, TypeError):  # TypeError: something in it is not even a text
        pass
    clean = [cut(text, length, name) for text, (name, length) in zip(texts, _REPEATED.items(), strict=False)]
    operation = event.operation if event.operation.__class__ is str else ""
    if operation not in SERVICE_BY_OPERATION:
        cut.flags.append("unknown_operation")
        operation = "other"
    clean.append(operation)
    if tuple(clean) == texts:
        if len(_fine) >= MAX_FINE:
            _fine.clear()
        _fine[texts] = tuple(clean)
    return tuple(clean)


def _price(row: Row, event: CallEvent, at: datetime, flags: list[str], pricing: Pricing) -> None:
    """Fill in quantities, cost and receipt. Never raises: what goes wrong leaves the row unpriced, with a flag."""
    try:
        usage = pricing.read_usage(
            provider=row.provider,
            model=row.model,
            operation=row.operation,
            endpoint=row.endpoint,
            usage=event.usage,
            facts=event.facts,
            batch=event.batch,
        )
        _fill_quantities(row, usage, flags)
        cost, status, receipt = _cost_of(row, event, usage, at, flags, pricing)
    except Exception as error:
        # The readers and the engine promise not to raise. A call is recorded even if they do.
        logger.exception("The usage of a call could not be priced; it is recorded without a price.")
        flags.append("pricing_failed")
        cost, status, receipt = _unpriced(f"pricing failed: {type(error).__name__}")
    if cost is not None and not 0 <= cost <= MAX_COST_NANOUSD:
        flags.append("absurd_cost")
        cost, status, receipt = _unpriced("the cost computed is beyond what one call can cost")
    row.cost, row.price_status, row.receipt = cost, status, receipt
    row.unpriced = 1 if cost is None else 0


def _cost_of(row: Row, event: CallEvent, usage: Usage, at: datetime, flags: list[str], pricing: Pricing):
    """(nano-USD or None, price status, receipt as JSON text)."""
    if event.cost_usd is not None:
        return _given_cost(event.cost_usd, flags, unknown=row.status == "unknown")
    not_billed = _why_not_billed(row, event)
    if not_billed:
        return 0, "free", plain_receipt("free", "0", not_billed)
    if row.status == "pending":
        return _unpriced("the result is not known yet")
    if event.usage is None and not usage.meters and not usage.parts:
        return _unpriced("no usage was reported")
    return pricing.price_text(usage, at, pricing.rates)


def _why_not_billed(row: Row, event: CallEvent) -> str:
    if row.status == "error" and (row.http_status is None or row.http_status >= 400):
        return f"not billed: HTTP {row.http_status}" if row.http_status else "not billed: an error"
    if row.status == "connection_error" and event.facts.get("sent") is False:
        return "not billed: the request was not sent"
    if row.status == "refused":
        return "not billed: refused before it was sent"
    return ""


def _given_cost(cost_usd: str, flags: list[str], *, unknown: bool):
    try:
        cost = Decimal(str(cost_usd))
        nanousd = to_nanousd(cost)
        if nanousd >= 0:
            total = format(from_nanousd(nanousd), "f")
            if unknown:
                reason = "nothing was heard of the call: counted at what was held for it"
                return nanousd, "assumed", plain_receipt("assumed", total, reason)
            return nanousd, "priced", plain_receipt("priced", total, "given by the caller", given=True)
    except (InvalidOperation, ValueError, OverflowError):
        pass
    flags.append("bad_cost")
    return _unpriced("the cost given is not an amount of money")


def plain_receipt(status: str, total_usd: str | None, reason: str, **more: Any) -> str:
    """A receipt without lines, in the form of `tracking.pricing.receipt_json`."""
    receipt = {"status": status, "total_usd": total_usd, "reason": reason, "lines": [], **more}
    return encode(receipt)


def _unpriced(reason: str) -> tuple[None, str, str]:
    return None, "unpriced", plain_receipt("unpriced", None, reason)


def _fill_quantities(row: Row, usage: Usage, flags: list[str]) -> None:
    row.tier = clean_text(usage.tier, 40) or "standard"
    for one in walk(usage) if usage.parts else (usage,):
        flags.extend(one.flags)
    *quantities, meters = totals(usage)
    if min(quantities) < 0 or max(quantities) > MAX_QUANTITY:
        flags.append("absurd_quantity")
        quantities = [min(max(quantity, 0), MAX_QUANTITY) for quantity in quantities]
    (
        row.input_tokens,
        row.cache_read_tokens,
        row.cache_write_tokens,
        row.output_tokens,
        row.reasoning_tokens,
        row.audio_tokens,
        row.audio_ms,
        row.characters,
        images,
    ) = quantities
    row.images = min(images, 2**31 - 1)
    if meters:
        row.meters = encode(meters)


def _event_time(at_us: Any, now: datetime, flags: list[str]) -> tuple[datetime, str]:
    """The moment of a call, also as `db_time` writes it."""
    try:
        at = EPOCH + timedelta(microseconds=at_us)
        if EARLIEST <= at <= now + LATEST_AHEAD:
            return at, _time_text(at_us, at)
    except (TypeError, OverflowError, ValueError):
        pass
    flags.append("time_out_of_range")
    return now.astimezone(UTC), now_text(now)


def _time_text(at_us: Any, at: datetime) -> str:
    if at_us.__class__ is not int:
        return db_time(at)
    minute, rest = divmod(at_us, 60_000_000)
    second, us = divmod(rest, 1_000_000)
    return f"{_minute_text(minute)}:{second:02d}.{us:06d}" if us else f"{_minute_text(minute)}:{second:02d}"


@lru_cache(maxsize=4096)
def _minute_text(minute: int) -> str:
    return db_time(EPOCH + timedelta(minutes=minute))[:16]


@lru_cache(maxsize=16)
def now_text(now: datetime) -> str:
    """`db_time`, remembered: a whole batch is recorded at one moment."""
    return db_time(now)


def event_id(text: Any) -> str:
    """The id as 32 hex digits. What is not a UUID gets one made from its text: the same text, the same id."""
    digits = text.replace("-", "") if text.__class__ is str else ""
    if len(digits) == 32:
        try:
            int(digits, 16)
            return digits.lower()
        except ValueError:
            pass
    return uuid.uuid5(CORRECTIONS, f"id:{text}").hex


def _tags(event: CallEvent, user_id: int | None, flags: list[str]) -> str:
    tags = event.tags
    if event.user is not None and user_id is None:
        flags.append("unknown_user")
        tags = {**(tags if isinstance(tags, dict) else {}), "user": str(event.user)}
    if not tags:
        return "{}"
    if not isinstance(tags, dict):
        flags.append("bad_tags")
        return "{}"
    clean = {clean_text(name, 100): clean_text(value, MAX_TAG_CHARS) for name, value in list(tags.items())[:MAX_TAGS]}
    if clean != tags:
        flags.append("changed:tags")
    return bounded_json(clean, "tags", flags)
