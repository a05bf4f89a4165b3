"""Single calls and lists of them, each with what corrected it: read from the ledger, by time and by (user, time)."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Max, Q, QuerySet

from tracking.models import ApiUsageLog, DailyUserRollup, RecordedEvent
from tracking.users import emails_of

MAX_LIMIT = 1000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def bounded_limit(limit: int) -> int:
    """The limit within its bounds: 1 to `MAX_LIMIT`."""
    return max(1, min(limit, MAX_LIMIT))


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call as lists show it, its corrections included."""

    id: uuid.UUID
    occurred_at: datetime
    provider: str
    model: str
    operation: str
    endpoint: str
    service: str
    source: str
    user_id: int | None
    feature: str
    analysis_id: str
    tags: dict[str, str]
    status: str
    http_status: int | None
    error: str
    quality: str
    stream: bool
    attempt: int
    latency_ms: int | None
    ttft_ms: int | None
    tier: str
    calls: int  # 0 where the row was taken back (the sum of a batch whose lines were recorded later)
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    audio_ms: int
    characters: int
    images: int
    flags: list[str]
    cost: Decimal | None  # USD; None while unpriced
    price_status: str  # priced | unpriced | free | assumed
    corrected: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CallPage:
    """A page of calls, newest first, and the cursor of the next one (None at the end)."""

    calls: list[Call]
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallDetail:
    """One call with everything that explains it: `row` as it was recorded, then what corrected it, oldest first.

    `receipt` is the one that counts: of the last row that has lines, else of the call itself.
    """

    call: Call
    row: ApiUsageLog
    corrections: list[ApiUsageLog] = field(default_factory=list)
    receipt: dict[str, Any] = field(default_factory=dict)


def latest_calls(*, user_id: int | None = None, limit: int = 50, before: str | None = None) -> CallPage:
    """Calls newest first, of one user where given; `before` is the cursor that the page before gave as `next`.

    `tracking.lists` filters them. Raises `ValueError` for a cursor that is none.
    """
    rows = ApiUsageLog.objects.filter(corrects=None)
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    return _page(rows, bounded_limit(limit), before)


def unpriced_calls(*, user_id: int | None = None, limit: int = 50, before: str | None = None) -> CallPage:
    """Calls whose price is not known, newest first: those that a correction priced since are left out.

    Pages may be shorter than `limit`. Raises `ValueError` for a cursor that is none.
    """
    rows = ApiUsageLog.objects.filter(corrects=None, price_status="unpriced")
    if user_id is not None:
        rows = rows.filter(user_id=user_id)
    page = _page(rows, bounded_limit(limit), before)
    return CallPage(calls=[call for call in page.calls if call.cost is None], next=page.next)


def call(call_id: uuid.UUID | str, *, user_id: int | None = None) -> CallDetail | None:
    """One call with its receipt and corrections; None where there is none, or it is not `user_id`'s.

    The id of a correction finds the call that it corrects.
    """
    try:
        wanted = uuid.UUID(str(call_id))
    except ValueError:
        return None
    row = _row(wanted)
    if row is not None and row.corrects is not None:
        row = _row(row.corrects)
    if row is None or (user_id is not None and row.user_id != user_id):
        return None
    corrections = list(
        ApiUsageLog.objects.filter(occurred_at=row.occurred_at, corrects=row.id).order_by("recorded_at", "id")
    )
    with_lines = [one for one in (row, *corrections) if one.receipt.get("lines")]
    return CallDetail(
        call=_call(row, corrections),
        row=row,
        corrections=corrections,
        receipt=(with_lines or [row])[-1].receipt,
    )


def last_calls_by_user(*, limit: int = 100) -> list[tuple[int | None, str, datetime]]:
    """(user id, email, time of the latest call) of the users seen last, latest first."""
    days = DailyUserRollup.objects.values("user_id").annotate(latest=Max("day")).order_by("-latest", "user_id")
    found = list(days[: bounded_limit(limit)])
    emails = emails_of(row["user_id"] for row in found)
    calls = []
    for row in found:
        user_id = row["user_id"] or None
        latest = ApiUsageLog.objects.filter(user_id=user_id).order_by("-occurred_at", "-id")
        at = latest.values_list("occurred_at", flat=True).first()
        if at is not None:
            calls.append((user_id, emails.get(row["user_id"], ""), at))
    return sorted(calls, key=lambda entry: entry[2], reverse=True)


#: Columns that lists do not show, and that take long to read.
UNSHOWN = ("receipt", "raw_usage", "meters", "facts")


def _row(row_id: uuid.UUID) -> ApiUsageLog | None:
    """The ledger row of an id. Its time is looked up first, so that only one month is searched."""
    at = RecordedEvent.objects.filter(id=row_id).values_list("occurred_at", flat=True).first()
    return ApiUsageLog.objects.filter(occurred_at=at, id=row_id).first() if at is not None else None


def _page(rows: QuerySet, limit: int, before: str | None) -> CallPage:
    if before:
        at, row_id = _read_cursor(before)
        rows = rows.filter(Q(occurred_at__lt=at) | Q(occurred_at=at, id__lt=row_id), occurred_at__lte=at)
    found = list(rows.defer(*UNSHOWN).order_by("-occurred_at", "-id")[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    corrections = _corrections_of(found)
    calls = [_call(row, corrections.get(row.id, ())) for row in found]
    return CallPage(calls=calls, next=_cursor(found[-1]) if more else None)


def _cursor(row: ApiUsageLog) -> str:
    return f"{(row.occurred_at - _EPOCH) // timedelta(microseconds=1)}-{row.id.hex}"


def _read_cursor(text: str) -> tuple[datetime, uuid.UUID]:
    at, _, row_id = text.partition("-")
    try:
        return _EPOCH + timedelta(microseconds=int(at)), uuid.UUID(row_id)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{text!r} is not a cursor of this list.") from error


def _corrections_of(rows: Sequence[ApiUsageLog]) -> dict[uuid.UUID, list[ApiUsageLog]]:
    """The corrections of these rows, oldest first. A correction stands at the time of what it corrects."""
    if not rows:
        return {}
    # Time by time, as the index of time has them: from the first to the last there may be millions of rows.
    times = {row.occurred_at for row in rows}
    found: dict[uuid.UUID, list[ApiUsageLog]] = {}
    corrections = ApiUsageLog.objects.filter(occurred_at__in=times, corrects__in=[row.id for row in rows])
    for correction in corrections.defer(*UNSHOWN).order_by("recorded_at", "id"):
        found.setdefault(correction.corrects, []).append(correction)
    return found


_AS_RECORDED = (
    *("id", "occurred_at", "provider", "model", "operation", "endpoint", "service", "source", "user_id", "feature"),
    *("analysis_id", "tags", "stream", "attempt"),
)
_ADDED = (
    *("calls", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("audio_tokens", "audio_ms", "characters", "images"),
)
#: Told by the result of a call that was pending.
_LATEST = ("status", "http_status", "error", "quality", "latency_ms", "ttft_ms", "tier", "flags")


def _call(row: ApiUsageLog, corrections: Sequence[ApiUsageLog]) -> Call:
    told = [row, *(one for one in corrections if one.status != "correction")][-1]
    rows = [row, *corrections]
    settled = [one for one in rows if one.price_status != "unpriced"]
    is_unpriced = sum(one.unpriced for one in rows) > 0
    return Call(
        **{name: getattr(row, name) for name in _AS_RECORDED},
        **{name: getattr(told, name) for name in _LATEST},
        **{name: sum(getattr(one, name) for one in rows) for name in _ADDED},
        cost=None if is_unpriced else sum((one.cost for one in rows if one.cost is not None), Decimal(0)),
        price_status="unpriced" if is_unpriced or not settled else settled[-1].price_status,
        corrected=bool(corrections),
    )
