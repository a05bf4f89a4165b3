"""The ledger as files: calls -> CSV, JSON, NDJSON, FOCUS, streamed in constant memory on both databases.

One record a call, its corrections folded in, oldest first: what a list of calls shows, and sums add up to the same.
Rows are read page by page along the index of time, so that no transaction and no server-side cursor stays open while a
slow reader takes its time. Money is written as decimal strings in USD, and stays empty where the price is not known.
"""

from __future__ import annotations

import csv
import io
import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, F, Func, Q, QuerySet, TextField
from django.db.models.functions import Cast

from tracking.models import ApiUsageLog
from tracking.tags import with_tags
from tracking.users import emails_of

#: Rows read with one query: what an export keeps in memory.
PAGE_ROWS = 5_000
#: Records in one piece of the answer.
PIECE_RECORDS = 500

FORMATS = ("csv", "json", "ndjson", "focus")
_CONTENT_TYPES = {"csv": "text/csv", "focus": "text/csv", "json": "application/json", "ndjson": "application/x-ndjson"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which calls: those that began in `[start, end)`, and match whatever else is given. All times are aware."""

    start: datetime
    end: datetime
    user_id: int | None = None
    provider: str | None = None
    model: str | None = None
    service: str | None = None
    feature: str | None = None
    analysis: str | None = None
    source: str | None = None
    status: str | None = None  # as it is known by now
    price_status: str | None = None  # as it is known by now
    tags: Mapping[str, str] = field(default_factory=dict)
    api_key: str = ""  # the public id of the key that they were reported with

    def rows(self) -> QuerySet:
        """The ledger rows, corrections included: those stand under the dimensions of what they correct."""
        names = {name: name for name in ("user_id", "model", "service", "feature")} | {"analysis_id": "analysis"}
        given = {column: value for column, name in names.items() if (value := getattr(self, name)) is not None}
        if self.provider is not None:
            given["provider"] = self.provider.lower()
        rows = ApiUsageLog.objects.filter(**given)
        if self.source is not None:
            rows = rows.filter(Q(source=self.source) | Q(corrects__isnull=False))
        rows = with_tags(rows, self.tags, api_key=self.api_key)
        return rows.filter(occurred_at__gte=self.start, occurred_at__lt=self.end)


class Record(NamedTuple):
    """One call, net of its corrections. Texts are as they were recorded; `tags` and `flags` are JSON texts."""

    id: uuid.UUID
    occurred_at: str  # ISO 8601 in UTC, always with microseconds: texts sort as times do
    user_id: int | None
    provider: str
    model: str
    model_asked: str
    operation: str
    service: str
    feature: str
    analysis_id: str
    tags: str
    source: str
    status: str
    http_status: int | None
    error: str
    quality: str
    stream: bool
    attempt: int
    tier: str
    latency_ms: int | None
    ttft_ms: int | None
    calls: int
    unpriced: int
    input_tokens: int
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    reasoning_tokens: int
    audio_tokens: int
    audio_ms: int
    characters: int
    images: int
    cost: int | None  # nano-USD
    price_status: str
    flags: str
    request_id: str
    response_id: str
    receipt: str  # JSON text; "" unless it is asked for


@dataclass(frozen=True, slots=True, kw_only=True)
class Export:
    """A file: its name, its type, and its pieces as they are made."""

    filename: str
    content_type: str
    pieces: Iterator[bytes]


def export(wanted: Wanted, *, format: str) -> Export:
    """The calls as a file of `format` (one of `FORMATS`). Raises `ValueError` for another one.

    Nothing is read before the first piece is taken.
    """
    if format not in FORMATS:
        raise ValueError(f"{format!r} is not a format of exports; it must be one of {', '.join(FORMATS)}.")
    if format == "focus":
        from tracking import focus

        write: Callable[[Wanted], Iterator[bytes]] = focus.write
    else:
        write = {"csv": _write_csv, "json": _write_json, "ndjson": _write_ndjson}[format]
    kind, ending = ("focus", "csv") if format == "focus" else ("usage", format)
    first, last = (at.astimezone(UTC).strftime("%Y-%m-%dT%H%MZ") for at in (wanted.start, wanted.end))
    return Export(
        filename=f"costwatch-{kind}-{first}-{last}.{ending}".replace("T0000Z", ""),
        content_type=f"{_CONTENT_TYPES[format]}; charset=utf-8",
        pieces=write(wanted),
    )


# --- Reading --------------------------------------------------------------------------------------------------------

_TEXTS = ("tags", "flags", "receipt", "recorded_at")
_READ = (*Record._fields, "corrects", "recorded_at")
_AT, _CORRECTS, _RECORDED_AT = (_READ.index(name) for name in ("occurred_at", "corrects", "recorded_at"))
_WIDTH = len(Record._fields)
_SUMS = tuple(
    Record._fields.index(name)
    for name in (
        *("calls", "unpriced", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens"),
        *("reasoning_tokens", "audio_tokens", "audio_ms", "characters", "images"),
    )
)
#: Told by the result of a call that was pending.
_LATEST = tuple(
    Record._fields.index(name)
    for name in (
        *("status", "http_status", "error", "quality", "latency_ms", "ttft_ms", "tier", "flags"),
        *("request_id", "response_id"),
    )
)
_ID, _STATUS, _PRICE_STATUS, _COST, _UNPRICED, _RECEIPT = (
    Record._fields.index(name) for name in ("id", "status", "price_status", "cost", "unpriced", "receipt")
)


class UtcText(Func):
    """A moment as ISO 8601 in UTC, written by the database: several times as fast as reading and writing it here."""

    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        template = """to_char(%(expressions)s AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""
        return self.as_sql(compiler, connection, template=template, **context)

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        # Kept as text in UTC, with microseconds where there are some.
        template = (
            "(replace(%(expressions)s, ' ', 'T') || CASE length(%(expressions)s) WHEN 19 THEN '.000000Z' ELSE 'Z' END)"
        )
        return self.as_sql(compiler, connection, template=template, **context)


def records(wanted: Wanted, *, receipts: bool = False) -> Iterator[Record]:
    """The calls, oldest first, read `PAGE_ROWS` at a time."""
    # A correction stands at the time of what it corrects: all rows of a call follow each other, but for others of the
    # same microsecond.
    group: list[tuple] = []
    for row in _rows(wanted, receipts):
        if group and row[_AT] != group[0][_AT]:
            yield from _calls(group, wanted)
            group = []
        group.append(row)
    yield from _calls(group, wanted)


def _rows(wanted: Wanted, receipts: bool) -> Iterator[tuple]:
    """Rows in the order of (time, id), the database's own types replaced by what is quick to write."""
    read: list[Any] = []
    for name in _READ:
        if name == "cost":
            read.append(Cast("cost", BigIntegerField()))
        elif name == "occurred_at":
            read.append(UtcText("occurred_at"))
        elif name == "receipt" and not receipts:
            continue
        else:
            read.append(Cast(name, TextField()) if name in _TEXTS else F(name))
    rows = wanted.rows().order_by("occurred_at", "id").values_list(*read)
    page = rows
    while True:
        found = list(page[:PAGE_ROWS])
        yield from found if receipts else [(*row[:_RECEIPT], "", *row[_RECEIPT:]) for row in found]
        if len(found) < PAGE_ROWS:
            return
        at, row_id = datetime.fromisoformat(found[-1][_AT]), found[-1][_ID]
        page = rows.filter(Q(occurred_at__gt=at) | Q(occurred_at=at, id__gt=row_id), occurred_at__gte=at)


def _calls(group: Sequence[tuple], wanted: Wanted) -> Iterator[Record]:
    """The calls that began in one microsecond, each with its corrections folded in."""
    if len(group) == 1 and group[0][_CORRECTS] is None:
        folded = [Record._make(group[0][:_WIDTH])]
    else:
        corrections: dict[uuid.UUID, list[tuple]] = {}
        for row in group:
            if row[_CORRECTS] is not None:
                corrections.setdefault(row[_CORRECTS], []).append(row)
        folded = [_fold(row, corrections.get(row[_ID], [])) for row in group if row[_CORRECTS] is None]
    for record in folded:
        if wanted.status is not None and record.status != wanted.status:
            continue
        if wanted.price_status is not None and record.price_status != wanted.price_status:
            continue
        yield record


def _fold(row: tuple, corrections: list[tuple]) -> Record:
    """As `tracking.calls` folds them."""
    if not corrections:
        return Record._make(row[:_WIDTH])
    rows = [row, *sorted(corrections, key=lambda one: (one[_RECORDED_AT], one[_ID]))]
    net = list(row[:_WIDTH])
    told = next((one for one in reversed(rows[1:]) if one[_STATUS] != "correction"), row)
    for index in _LATEST:
        net[index] = told[index]
    for index in _SUMS:
        net[index] = sum(one[index] for one in rows)
    settled = [one for one in rows if one[_PRICE_STATUS] != "unpriced"]
    unknown = net[_UNPRICED] > 0
    net[_COST] = None if unknown else sum(one[_COST] for one in rows if one[_COST] is not None)
    net[_PRICE_STATUS] = "unpriced" if unknown or not settled else settled[-1][_PRICE_STATUS]
    net[_RECEIPT] = next((one[_RECEIPT] for one in reversed(rows) if '"meter"' in one[_RECEIPT]), row[_RECEIPT])
    return Record._make(net)


# --- Writing --------------------------------------------------------------------------------------------------------

COLUMNS: tuple[str, ...] = tuple(
    {"cost": "cost_usd", "audio_ms": "audio_seconds"}.get(name, name)
    for field in Record._fields
    if field not in ("receipt", "unpriced")
    for name in ((field, "user_email") if field == "user_id" else (field,))
)

#: What a spreadsheet would take for a formula, spaces before it included.
_FORMULA = re.compile(r"\s*[=+\-@]|[\t\r]")


def _plain(text: str) -> str:
    """`plain`, for texts that do not come again."""
    return f"'{text}" if _FORMULA.match(text) else text


@lru_cache(maxsize=8192)
def plain(text: str) -> str:
    """A text that no spreadsheet takes for a formula: an apostrophe stands before what looks like one."""
    return _plain(text)


def usd(nanousd: int | None) -> str:
    """Nano-USD as a decimal string in USD; "" for an amount that is not known."""
    if nanousd is None:
        return ""
    whole, rest = divmod(abs(nanousd), 1_000_000_000)
    digits = f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)
    return f"-{digits}" if nanousd < 0 else digits


def seconds(ms: int) -> str:
    """Milliseconds as a decimal string in seconds."""
    return usd(ms * 1_000_000)


class Emails:
    """The addresses of users, looked up once for each, a page at a time."""

    def __init__(self) -> None:
        self._known: dict[int, str] = {}

    def of(self, records: Sequence[Record]) -> dict[int, str]:
        """The addresses of everyone in these records, by id; "" for those who have no account any more."""
        new = {record.user_id for record in records if record.user_id is not None} - self._known.keys()
        if new:
            self._known.update(dict.fromkeys(new, ""))
            self._known.update(emails_of(new))
        return self._known


def batches(wanted: Wanted, *, receipts: bool = False) -> Iterator[tuple[list[Record], dict[int, str]]]:
    """The calls in batches of `PIECE_RECORDS`, each with the addresses of its users."""
    emails = Emails()
    batch: list[Record] = []
    for record in records(wanted, receipts=receipts):
        batch.append(record)
        if len(batch) == PIECE_RECORDS:
            yield batch, emails.of(batch)
            batch = []
    if batch:
        yield batch, emails.of(batch)


def csv_pieces(header: Sequence[str], pieces: Iterator[list[Sequence[Any]]]) -> Iterator[bytes]:
    """Lines of CSV (RFC 4180), the header first."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(header)
    for rows in pieces:
        writer.writerows(rows)
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()
    if buffer.tell():
        yield buffer.getvalue().encode()


def _write_csv(wanted: Wanted) -> Iterator[bytes]:
    pieces = ([_csv_row(record, emails) for record in batch] for batch, emails in batches(wanted))
    # The byte order mark: Excel takes a file without one for text in the code page of its country.
    return csv_pieces(("\ufeff" + COLUMNS[0], *COLUMNS[1:]), pieces)


def _csv_row(r: Record, emails: dict[int, str]) -> tuple:
    return (
        r.id, r.occurred_at, r.user_id, plain(emails.get(r.user_id, "")),  # type: ignore[arg-type]
        plain(r.provider), plain(r.model), plain(r.model_asked), r.operation, r.service,
        plain(r.feature), plain(r.analysis_id), _json_text(r.tags), plain(r.source),
        plain(r.status), r.http_status, plain(r.error), plain(r.quality), "true" if r.stream else "false",
        r.attempt, plain(r.tier), r.latency_ms, r.ttft_ms, r.calls, r.input_tokens, r.cache_read_tokens,
        r.cache_write_tokens, r.output_tokens, r.reasoning_tokens, r.audio_tokens, seconds(r.audio_ms),
        r.characters, r.images, usd(r.cost), r.price_status, _json_text(r.flags),
        _plain(r.request_id), _plain(r.response_id),
    )  # fmt: skip


_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_quoted = lru_cache(maxsize=8192)(json.encoder.encode_basestring)  # names come again and again
_quoted_once = json.encoder.encode_basestring
#: A record as JSON, its values to be put in as JSON texts.
_JSON_OBJECT = "{" + ",".join(f'"{name}":%s' for name in COLUMNS) + "}"


def _json_object(r: Record, emails: dict[int, str]) -> str:
    """The record as JSON: text by text, which takes half as long as encoding a dict of it."""
    return _JSON_OBJECT % (
        f'"{r.id}"', f'"{r.occurred_at}"', _or_null(r.user_id),
        _quoted(email) if (email := emails.get(r.user_id)) else "null",  # type: ignore[arg-type]
        _quoted(r.provider), _quoted(r.model), _quoted(r.model_asked), _quoted(r.operation), _quoted(r.service),
        _quoted(r.feature), _quoted(r.analysis_id), _json_text(r.tags) or "{}", _quoted(r.source), _quoted(r.status),
        _or_null(r.http_status), _quoted(r.error), _quoted(r.quality), "true" if r.stream else "false", r.attempt,
        _quoted(r.tier), _or_null(r.latency_ms), _or_null(r.ttft_ms), r.calls, r.input_tokens, r.cache_read_tokens,
        r.cache_write_tokens, r.output_tokens, r.reasoning_tokens, r.audio_tokens, f'"{seconds(r.audio_ms)}"',
        r.characters, r.images, "null" if r.cost is None else f'"{usd(r.cost)}"', _quoted(r.price_status),
        _json_text(r.flags) or "[]", _quoted_once(r.request_id), _quoted_once(r.response_id),
    )  # fmt: skip


def _or_null(number: int | None) -> int | str:
    return "null" if number is None else number


def _write_ndjson(wanted: Wanted) -> Iterator[bytes]:
    for batch, emails in batches(wanted):
        yield "".join([_json_object(record, emails) + "\n" for record in batch]).encode()


def _write_json(wanted: Wanted) -> Iterator[bytes]:
    opening = "[\n"
    for batch, emails in batches(wanted):
        yield (opening + ",\n".join([_json_object(record, emails) for record in batch])).encode()
        opening = ",\n"
    yield b"[]\n" if opening == "[\n" else b"\n]\n"


@lru_cache(maxsize=4096)
def _json_text(text: str) -> str:
    """JSON as both databases give it, written the same way: "" for what is empty."""
    return "" if text in ("{}", "[]") else _encode(json.loads(text))
