"""Usage samples as people write them down: raw provider usage, endpoint and time, with what stood beside the usage."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from tracking.money import EXACT
from tracking.usage import Usage, operation_of, read_usage


class SampleError(ValueError):
    """A sample that cannot be read: the text says what is missing or wrong."""


#: Facts by the names they may have in a sample, each taken from the sample itself or from its `facts`.
_FACT_NAMES = {
    "service_tier": ("service_tier", "tier", "processing"),
    "service_tier_asked": ("service_tier_asked",),
    "speed": ("speed",),
    "inference_geo": ("inference_geo", "geo", "region", "data_residency"),
    "tool_usage": ("tool_usage",),
    "characters": ("characters", "input_characters", "chars"),
    "images": ("images", "image"),
    "video": ("video", "video_seconds"),
    "audio_seconds": ("audio_seconds", "audio_duration_seconds", "audio_duration", "duration_seconds", "duration"),
    "session_seconds": ("session_seconds", "live_seconds"),
    "image_model": ("image_model",),
    "svg_usage": ("svg_usage",),
}

#: Facts that count things, by any name that has one of these words in it: a number, or the list of what is counted.
_COUNTS = {
    "file_searches": ("file_search",),
    "containers": ("container", "code_interpreter"),
    "web_searches": ("web_search",),
    "web_fetches": ("web_fetch",),
}


def read_sample(sample: Any) -> tuple[Usage, datetime]:
    """The usage in a sample, and the time of its call. Raises `SampleError` for what is not a sample."""
    if not isinstance(sample, Mapping):
        raise SampleError("a sample is a JSON object")
    endpoint = _text(sample, "endpoint", "path", "url")
    model = _text(sample, "model", "model_served", "response_model")
    provider = _text(sample, "provider").lower()
    if not provider:
        provider = "anthropic" if "claude" in model.lower() or "/messages" in endpoint else "openai"
    operation = _text(sample, "operation") or operation_of(endpoint)
    if not model and operation not in ("token_count", "moderation"):
        raise SampleError("`model` is missing")
    facts = _facts(sample)
    if operation == "video_generation" and "video" in facts and sample.get("size") is not None:
        facts["video"].setdefault("size", sample["size"])
    batch = _is_batch(sample, facts, endpoint)
    usage = read_usage(
        provider=provider,
        model=model,
        operation=operation,
        endpoint=endpoint,
        usage=sample.get("usage"),
        facts=facts,
        batch=batch,
    )
    return usage, _time(sample)


def _text(sample: Mapping[str, Any], *names: str) -> str:
    for name in names:
        value = sample.get(name)
        if value is not None:
            if not isinstance(value, str):
                raise SampleError(f"`{name}` is not a text")
            return value
    return ""


def _facts(sample: Mapping[str, Any]) -> dict[str, Any]:
    nested = sample.get("facts")
    sources = [sample, nested] if isinstance(nested, Mapping) else [sample]
    facts: dict[str, Any] = {}
    for fact, names in _FACT_NAMES.items():
        for name in names:
            value = next((source[name] for source in sources if source.get(name) is not None), None)
            if value is not None:
                facts[fact] = value
                break
    for source in sources:
        for name, value in source.items():
            for fact, words in _COUNTS.items():
                if value is not None and any(word in str(name) for word in words):
                    facts.setdefault(fact, _count(value))
    for fact, name in (("audio_seconds", "audio_minutes"), ("session_seconds", "session_minutes")):
        if fact not in facts and isinstance(sample.get(name), int | float) and not isinstance(sample[name], bool):
            facts[fact] = EXACT.multiply(Decimal(str(sample[name])), 60)
    if "images" in facts and not isinstance(facts["images"], Mapping):
        facts["images"] = {"n": facts["images"], "size": sample.get("size"), "quality": sample.get("quality")}
    elif "images" not in facts and sample.get("n") is not None and "/images" in str(sample.get("endpoint")):
        facts["images"] = {name: sample.get(name) for name in ("n", "size", "quality")}
    if "video" in facts:
        video = facts["video"] if isinstance(facts["video"], Mapping) else {"seconds": facts["video"]}
        facts["video"] = dict(video)
    elif "/videos" in str(sample.get("endpoint")) and sample.get("seconds") is not None:
        facts["video"] = {"seconds": sample["seconds"]}
    elif sample.get("seconds") is not None and "audio_seconds" not in facts:
        facts["audio_seconds"] = sample["seconds"]
    _count_output(sample.get("output"), facts)
    return facts


def _count(value: Any) -> Any:
    """How many: a number, the list of what is counted, or an object that says its number."""
    if isinstance(value, list | tuple):
        return len({str(item) for item in value})
    if isinstance(value, Mapping):
        inner = (_count(n) for n in value.values() if isinstance(n, int | list) and not isinstance(n, bool))
        return next(inner, 0)
    return int(value) if isinstance(value, bool) else value


def _count_output(output: Any, facts: dict[str, Any]) -> None:
    """Searches and containers from the output items of a response."""
    items = [item for item in output if isinstance(item, Mapping)] if isinstance(output, list) else []
    searches = sum(item.get("type") == "file_search_call" for item in items)
    containers = {item.get("container_id") for item in items if item.get("type") == "code_interpreter_call"}
    web = sum(
        item.get("type") == "web_search_call" and (item.get("action") or {}).get("type", "search") == "search"
        for item in items
    )
    if web:
        facts.setdefault("web_searches", web)
    if searches:
        facts.setdefault("file_searches", searches)
    if containers:
        facts.setdefault("containers", len(containers))


def _is_batch(sample: Mapping[str, Any], facts: dict[str, Any], endpoint: str) -> bool:
    tier = facts.get("service_tier")
    if isinstance(tier, str) and tier.lower() == "batch":
        return True
    flag = sample.get("batch")
    return (flag not in (None, False, "", 0, "false")) or "/batches" in endpoint


def _time(sample: Mapping[str, Any]) -> datetime:
    for name in ("at", "time", "timestamp", "occurred_at", "created_at", "created"):
        value = sample.get(name)
        if value is None:
            continue
        try:
            if isinstance(value, int | float) and not isinstance(value, bool):
                return datetime.fromtimestamp(value, UTC)
            at = datetime.fromisoformat(value)
        except (TypeError, ValueError, OverflowError, OSError) as error:
            raise SampleError(f"`{name}` is not a time: {value!r}") from error
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    raise SampleError("`at` is missing: prices depend on the time of the call")
