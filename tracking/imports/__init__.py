"""Files of usage that others keep -> items as `tracking.ingestion` takes them, read piece by piece.

Known are: events of our own (NDJSON, JSON, CSV), the usage exports of OpenAI and Anthropic (the JSON of their usage
APIs, the CSV of their consoles), and what LiteLLM (spend logs) and Langfuse (observations) export. Which of them a row
is, its fields tell. A row that cannot be read is an item that is refused, with the reason.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from tracking.imports import langfuse, litellm
from tracking.imports.values import loaded, moment, number, short
from tracking.items import EPOCH, FIELDS, Invalid, event_of, read_item
from tracking.pricing import book
from tracking.pricing.meters import METERS
from tracking.rows import Pricing, current_pricing, row_of

#: A file of one JSON value is read as a whole: up to this size, in bytes. Lines and CSV have no bound.
MAX_JSON_BYTES = 200 * 1024 * 1024

Row = Mapping[str, Any]
Item = dict[str, Any]


#: In the place of an item: a row that is no call of a model.
LEFT_OUT = object()


class UnknownFile(ValueError):
    """A file whose rows are of no known kind."""


def read_file(path: Path, *, keep_costs: bool = False, progress: Callable[[int], None] = lambda at: None) -> Iterator:
    """(place, item) for each row: a line of the file, or the number of a row in JSON, from 1. `LEFT_OUT` stands for
    a row that is no call of a model. `progress` is told the bytes read so far. Costs that LiteLLM or Langfuse
    computed are taken over with `keep_costs`, and where we know no price ourselves.

    Raises `UnknownFile` for the first row that is of no known kind, and `OSError`.
    """
    kind: Callable[[Row], Iterator[Item]] | None = None
    costed = _Costed(keep_costs)
    for place, row, columns in _rows(path, progress):
        if not isinstance(row, dict):
            yield place, row
            continue
        if kind is None:
            kind = _kind_of(row, set(columns or row))
        try:
            items: list[Any] = [costed(item) for item in kind(row)] or [LEFT_OUT]
        except (ValueError, TypeError, AttributeError, OverflowError):
            items = ["a row that cannot be read"]  # refused by its place
        for item in items:
            yield place, item


class _Costed:
    """Decides for each item whether the cost that its file gives is taken."""

    def __init__(self, keep_costs: bool) -> None:
        self._keep = keep_costs
        self._pricing: Pricing | None = None

    def __call__(self, item: Item) -> Item:
        given = item.pop("given_usd", None)
        if given is not None and (self._keep or not self._priced(item)):
            item["cost_usd"] = given
        return item

    def _priced(self, item: Item) -> bool:
        self._pricing = self._pricing or current_pricing()
        try:
            values = read_item(item)
        except Invalid:
            return False
        at = values.get("at") or EPOCH
        event = event_of(values, id="", at=at, user=None)
        # Recorded long after it was made: nothing of its time is flagged.
        return not row_of(event, now=max(at, datetime.now(UTC)), user_id=None, pricing=self._pricing).unpriced


def _rows(path: Path, progress: Callable[[int], None]) -> Iterator[tuple[int, Any, list[str] | None]]:
    """(place, row, the columns of the table)."""
    with path.open("rb") as file:
        start = file.read(64 * 1024)
    text = start.decode("utf-8-sig", "replace").lstrip()
    if text[:1] not in ("{", "["):
        yield from _csv_rows(path, progress)
    else:
        whole = text[:1] == "[" or not _is_json(text.split("\n", 1)[0])
        for place, row in _json_rows(path) if whole else _lines(path, progress):
            yield place, row, None


def _is_json(line: str) -> bool:
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _lines(path: Path, progress: Callable[[int], None]) -> Iterator[tuple[int, Any]]:
    read = 0
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            read += len(line)
            if number % 500 == 0:
                progress(read)
            if line.strip():
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                yield from _unpacked(number, value)


def _json_rows(path: Path) -> Iterator[tuple[int, Any]]:
    if path.stat().st_size > MAX_JSON_BYTES:
        raise UnknownFile(f"One JSON value of more than {MAX_JSON_BYTES} bytes: write one object a line (NDJSON).")
    try:
        value = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise UnknownFile(f"It is not valid JSON: {str(error)[:200]}") from error
    for place, row in enumerate(value if isinstance(value, list) else [value], 1):
        yield from _unpacked(place, row)


def _unpacked(number: int, value: Any) -> Iterator[tuple[int, Any]]:
    """A page of buckets (the providers' usage APIs) as the results in it, each with the start of its bucket."""
    buckets = value.get("data") if isinstance(value, dict) else None
    if not isinstance(buckets, list):
        yield number, value
        return
    for bucket in buckets:
        results = bucket.get("results") if isinstance(bucket, dict) else None
        if not isinstance(results, list):
            yield number, bucket
            continue
        at = bucket.get("start_time") or bucket.get("starting_at")
        for result in results:
            yield number, {**result, "bucket_start": at} if isinstance(result, dict) else result


def _csv_rows(path: Path, progress: Callable[[int], None]) -> Iterator[tuple[int, Any, list[str] | None]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                if reader.line_num % 500 == 0:
                    progress(file.buffer.tell())
                told = {k: v for k, v in row.items() if k and v not in ("", None)}
                yield reader.line_num, told, list(reader.fieldnames or ())
        except csv.Error as error:
            yield reader.line_num, f"not CSV: {error}", None


# --- Kinds of rows --------------------------------------------------------------------------------------------------


def _kind_of(row: Row, names: set[str]) -> Callable[[Row], Iterator[Item]]:
    if "uncached_input_tokens" in names or "usage_input_tokens_no_cache" in names:
        return _anthropic
    if "num_model_requests" in names or str(row.get("object", "")).startswith("organization.usage."):
        return _openai
    for other in (litellm, langfuse):
        if other.columns(names):
            return partial(other.items, resolves=_resolves)
    if names & {"provider", "usage", "meters", "cost_usd"} and names & {"model", "model_asked", "cost_usd"}:
        return _own
    shown = ", ".join(sorted(map(str, names))[:12])
    raise UnknownFile(f"Its rows are of no known kind; they have: {shown}. docs/guides/import.md lists the kinds.")


def _resolves(provider: str, model: str) -> bool:
    return book.current().model(provider, model) is not None


_WHOLE = ("attempt", "http_status")


def _own(row: Row) -> Iterator[Item]:
    """An event; in CSV, quantities stand in columns named by their meter, tags in columns `tag:<name>`."""
    item: Item = {}
    meters: Item = {}
    tags: Item = {}
    for name, value in row.items():
        if name.startswith("tag:"):
            tags[name[4:]] = value
        elif name in METERS and name not in FIELDS:
            meters[name] = number(value)
        elif name in ("usage", "meters", "facts", "tags") and isinstance(value, str):
            item[name] = loaded(value)
        elif name in _WHOLE or name in ("latency_ms", "ttft_ms"):
            item[name] = number(value)
        elif name in ("batch", "stream") and isinstance(value, str):
            item[name] = {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
        else:
            item[name] = value
    if meters:
        item["meters"] = meters
    if tags:
        item["tags"] = {**(item.get("tags") or {}), **tags}
    if "at" in item:
        item["at"] = moment(item["at"])
    yield item


def _openai(row: Row) -> Iterator[Item]:
    """A bucket of OpenAI's usage: all requests of a model (project, user, key) in an hour or a day, as one event."""
    at = row.get("bucket_start") or row.get("start_time") or row.get("start_time_iso")
    told = {name: int(number(row.get(name) or 0)) for name in _OPENAI}
    audio_in, audio_out = told["input_audio_tokens"], told["output_audio_tokens"]
    # Cached audio is not told: cached tokens are taken for text as far as there is text.
    cached = min(told["input_cached_tokens"], told["input_tokens"])
    meters = {
        "input_tokens": max(0, told["input_tokens"] - audio_in - cached),
        "cache_read_tokens": cached,
        "input_audio_tokens": min(audio_in, max(0, told["input_tokens"] - cached)),
        "output_tokens": max(0, told["output_tokens"] - audio_out),
        "output_audio_tokens": audio_out,
        "characters": told["characters"],
        "audio_seconds": told["seconds"],
        "images": told["images"],
    }
    model = str(row.get("model") or "")
    yield _bucket(
        "openai", row, at, model, meters, ("project_id", "user_id", "api_key_id", "batch", "size", "source"),
        batch=str(row.get("batch")).lower() == "true", requests=row.get("num_model_requests"),
    )  # fmt: skip


_OPENAI = (
    *("input_tokens", "output_tokens", "input_cached_tokens", "input_audio_tokens", "output_audio_tokens"),
    *("characters", "seconds", "images"),
)


def _anthropic(row: Row) -> Iterator[Item]:
    """A bucket of Anthropic's usage: all requests of a model (workspace, key, tier) of a time, as one event."""
    written, tools = row.get("cache_creation") or {}, row.get("server_tool_use") or {}
    quantities = {
        "input_tokens": row.get("uncached_input_tokens", row.get("usage_input_tokens_no_cache")),
        "cache_read_tokens": row.get("cache_read_input_tokens", row.get("usage_input_tokens_cache_read")),
        "cache_write_tokens": written.get(
            "ephemeral_5m_input_tokens", row.get("usage_input_tokens_cache_write_5m")
        ),
        "cache_write_1h_tokens": written.get(
            "ephemeral_1h_input_tokens", row.get("usage_input_tokens_cache_write_1h")
        ),
        "output_tokens": row.get("output_tokens", row.get("usage_output_tokens")),
        "web_searches": tools.get("web_search_requests", row.get("web_search_count")),
    }  # fmt: skip
    meters = {name: int(number(value or 0)) for name, value in quantities.items()}
    tier = str(row.get("service_tier") or row.get("usage_type") or "").lower()
    at = row.get("bucket_start") or row.get("usage_date_utc")
    model = str(row.get("model") or row.get("model_version") or "")
    names = ("workspace_id", "workspace", "api_key_id", "api_key", "service_tier", "usage_type", "context_window")
    item = _bucket("anthropic", row, at, model, meters, (*names, "inference_geo"), batch="batch" in tier, requests=None)
    if geo := row.get("inference_geo"):
        item["facts"] = {"inference_geo": geo}
    yield item


def _bucket(
    provider: str, row: Row, at: Any, model: str, meters: Item, names: tuple[str, ...], *, batch: bool, requests: Any
) -> Item:
    told = {name: str(row[name])[:200] for name in names if row.get(name) not in (None, "")}
    kept = ("batch", "service_tier", "inference_geo")  # told by the event itself
    tags = {f"provider_{name}": value for name, value in told.items() if name not in kept}
    if requests not in (None, ""):
        tags["requests"] = str(requests)
    key = json.dumps([provider, str(at), model, str(row.get("object") or ""), sorted(told.items())])
    return {
        "id": short(key),
        "at": moment(at),
        "provider": provider,
        "model": model,
        "meters": {name: count for name, count in meters.items() if count} or {"output_tokens": 0},
        "batch": batch,
        "tags": tags,
    }
