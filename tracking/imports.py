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
from pathlib import Path
from typing import Any

from tracking.items import FIELDS
from tracking.pricing.meters import METERS

#: A file of one JSON value is read as a whole: up to this size, in bytes. Lines and CSV have no bound.
MAX_JSON_BYTES = 200 * 1024 * 1024

Row = Mapping[str, Any]
Item = dict[str, Any]


class UnknownFile(ValueError):
    """A file whose rows are of no known kind."""


def read_file(path: Path, *, keep_costs: bool = False, progress: Callable[[int], None] = lambda at: None) -> Iterator:
    """(place, item) for each row: a line of the file, or the number of a row in JSON, from 1. `progress` is told the
    bytes read so far. With `keep_costs`, costs that LiteLLM or Langfuse computed are taken over.

    Raises `UnknownFile` for the first row that is of no known kind, and `OSError`.
    """
    kind: Callable[[Row, bool], Iterator[Item]] | None = None
    for place, row in _rows(path, progress):
        if not isinstance(row, dict):
            yield place, row
            continue
        if kind is None:
            kind = _kind_of(row)
        try:
            items = list(kind(row, keep_costs))
        except (ValueError, TypeError, AttributeError, OverflowError):
            items = ["a row that cannot be read"]  # refused by its place
        for item in items:
            yield place, item


def _rows(path: Path, progress: Callable[[int], None]) -> Iterator[tuple[int, Any]]:
    with path.open("rb") as file:
        start = file.read(64 * 1024)
    text = start.decode("utf-8-sig", "replace").lstrip()
    if text[:1] not in ("{", "["):
        yield from _csv_rows(path, progress)
    elif text[:1] == "[" or not _is_json(text.split("\n", 1)[0]):
        yield from _json_rows(path)
    else:
        yield from _lines(path, progress)


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
    for number, row in enumerate(value if isinstance(value, list) else [value], 1):
        yield from _unpacked(number, row)


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


def _csv_rows(path: Path, progress: Callable[[int], None]) -> Iterator[tuple[int, Any]]:
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as file:
        reader = csv.DictReader(file)
        try:
            for row in reader:
                if reader.line_num % 500 == 0:
                    progress(file.buffer.tell())
                yield reader.line_num, {k: v for k, v in row.items() if k and v not in ("", None)}
        except csv.Error as error:
            yield reader.line_num, f"not CSV: {error}"


# --- Kinds of rows --------------------------------------------------------------------------------------------------


def _kind_of(row: Row) -> Callable[[Row, bool], Iterator[Item]]:
    names = set(row)
    if "uncached_input_tokens" in names or "usage_input_tokens_no_cache" in names:
        return _anthropic
    if "num_model_requests" in names or str(row.get("object", "")).startswith("organization.usage."):
        return _openai
    if "spend" in names and ("call_type" in names or "startTime" in names):
        return _litellm
    if names & {"usageDetails", "providedModelName", "calculatedTotalCost", "totalCost"} and "startTime" in names:
        return _langfuse
    if names & {"provider", "usage", "meters", "cost_usd"} and names & {"model", "model_asked", "cost_usd"}:
        return _own
    shown = ", ".join(sorted(map(str, names))[:12])
    raise UnknownFile(f"Its rows are of no known kind; they have: {shown}. docs/guides/import.md lists the kinds.")


_WHOLE = ("attempt", "http_status")


def _own(row: Row, keep_costs: bool) -> Iterator[Item]:
    """An event; in CSV, quantities stand in columns named by their meter, tags in columns `tag:<name>`."""
    item: Item = {}
    meters: Item = {}
    tags: Item = {}
    for name, value in row.items():
        if name.startswith("tag:"):
            tags[name[4:]] = value
        elif name in METERS and name not in FIELDS:
            meters[name] = _number(value)
        elif name in ("usage", "meters", "facts", "tags") and isinstance(value, str):
            item[name] = _json(value)
        elif name in _WHOLE or name in ("latency_ms", "ttft_ms"):
            item[name] = _number(value)
        elif name in ("batch", "stream") and isinstance(value, str):
            item[name] = {"true": True, "1": True, "false": False, "0": False}.get(value.lower(), value)
        else:
            item[name] = value
    if meters:
        item["meters"] = meters
    if tags:
        item["tags"] = {**(item.get("tags") or {}), **tags}
    if "at" in item:
        item["at"] = _moment(item["at"])
    yield item


def _openai(row: Row, keep_costs: bool) -> Iterator[Item]:
    """A bucket of OpenAI's usage: all requests of a model (project, user, key) in an hour or a day, as one event."""
    at = row.get("bucket_start") or row.get("start_time") or row.get("start_time_iso")
    number = {name: int(_number(row.get(name) or 0)) for name in _OPENAI}
    audio_in, audio_out = number["input_audio_tokens"], number["output_audio_tokens"]
    # Cached audio is not told: cached tokens are taken for text as far as there is text.
    cached = min(number["input_cached_tokens"], number["input_tokens"])
    meters = {
        "input_tokens": max(0, number["input_tokens"] - audio_in - cached),
        "cache_read_tokens": cached,
        "input_audio_tokens": min(audio_in, max(0, number["input_tokens"] - cached)),
        "output_tokens": max(0, number["output_tokens"] - audio_out),
        "output_audio_tokens": audio_out,
        "characters": number["characters"],
        "audio_seconds": number["seconds"],
        "images": number["images"],
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


def _anthropic(row: Row, keep_costs: bool) -> Iterator[Item]:
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
    meters = {name: int(_number(value or 0)) for name, value in quantities.items()}
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
        "id": _short(key),
        "at": _moment(at),
        "provider": provider,
        "model": model,
        "meters": {name: count for name, count in meters.items() if count} or {"output_tokens": 0},
        "batch": batch,
        "tags": tags,
    }


def _litellm(row: Row, keep_costs: bool) -> Iterator[Item]:
    """A line of LiteLLM's spend logs."""
    model = str(row.get("model") or "")
    prefix, _, bare = model.partition("/")
    item: Item = {
        "id": _short(f"litellm:{row.get('request_id')}"),
        "at": _moment(row.get("startTime")),
        "provider": str(row.get("custom_llm_provider") or (prefix if bare else "openai")).replace(" ", "_"),
        "model": bare or model,
        "response_id": str(row.get("request_id") or "")[:200],
        "tags": {name: str(row[name])[:200] for name in ("team_id", "end_user", "user") if row.get(name)},
        "status": "error" if str(row.get("status", "")).lower() == "failure" else "ok",
    }
    tags = _json(row["request_tags"]) if isinstance(row.get("request_tags"), str) else row.get("request_tags")
    if isinstance(tags, list) and tags:
        item["tags"]["request_tags"] = ",".join(map(str, tags))[:500]
    item["user"] = _email(item["tags"].get("end_user")) or _email(item["tags"].get("user"))
    usage = {"prompt_tokens": row.get("prompt_tokens"), "completion_tokens": row.get("completion_tokens")}
    if item["status"] == "ok":
        item["usage"] = {name: int(_number(value or 0)) for name, value in usage.items()}
    if keep_costs and row.get("spend") not in (None, ""):
        item["cost_usd"] = str(row["spend"])
    yield item


#: Meters by the names that Langfuse gives them, whoever reports.
_LANGFUSE = {
    "input": "input_tokens", "output": "output_tokens", "cache_read_input_tokens": "cache_read_tokens",
    "input_cached_tokens": "cache_read_tokens", "cache_creation_input_tokens": "cache_write_tokens",
    "input_audio_tokens": "input_audio_tokens", "output_audio_tokens": "output_audio_tokens",
    "output_reasoning_tokens": "output_tokens",
}  # fmt: skip


def _langfuse(row: Row, keep_costs: bool) -> Iterator[Item]:
    """An observation of Langfuse; those that are no generations are left out."""
    model = row.get("model") or row.get("providedModelName")
    if not model or str(row.get("type") or "GENERATION").upper() not in ("GENERATION", "EMBEDDING"):
        return
    details = row.get("usageDetails")
    details = _json(details) if isinstance(details, str) else details
    if not isinstance(details, dict):
        details = {"input": row.get("inputUsage", row.get("inputTokens")), "output": row.get("outputUsage", row.get("outputTokens"))}  # fmt: skip  # noqa: E501
    meters: Item = {}
    for name, count in details.items():
        if (meter := _LANGFUSE.get(name)) and count not in (None, ""):
            meters[meter] = meters.get(meter, 0) + int(_number(count))
    tags = {name: str(row[name])[:200] for name in ("traceId", "userId", "sessionId") if row.get(name)}
    item: Item = {
        "id": _short(f"langfuse:{row.get('id')}"),
        "at": _moment(row.get("startTime")),
        "provider": "anthropic" if "claude" in str(model) else "openai",
        "model": str(model),
        "feature": str(row.get("traceName") or row.get("name") or "")[:200],
        "meters": meters or None,
        "tags": tags,
        "user": _email(row.get("userId")),
    }
    cost = row.get("totalCost", row.get("calculatedTotalCost"))
    if cost not in (None, "") and (keep_costs or not meters):
        item["cost_usd"] = str(cost)
    yield item


def _short(key: str) -> str:
    import hashlib

    return key if len(key) <= 200 else hashlib.sha256(key.encode()).hexdigest()


def _email(value: Any) -> str | None:
    return value if isinstance(value, str) and "@" in value and " " not in value else None


def _number(value: Any) -> Any:
    """A number as it is meant; what is none stays as it is, and is refused by its name later."""
    if isinstance(value, str):
        try:
            return int(value) if value.strip().lstrip("-").isdigit() else float(value)
        except ValueError:
            return 0 if not value.strip() else value
    return value


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def _moment(value: Any) -> Any:
    """Times without an offset are taken for UTC: that is what such files mean."""
    if isinstance(value, str):
        if value.isdigit():
            return int(value)
        try:
            at = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
        except ValueError:
            return value
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
    return value
