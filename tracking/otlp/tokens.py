"""What a span says its call used, as disjoint meters, or in the provider's own words. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tracking.otlp import conventions as names
from tracking.otlp.spans import Span

#: Meters by the names that Langfuse gives them. They are disjoint: `input` holds no cached tokens.
LANGFUSE_METERS = {
    "input": "input_tokens", "output": "output_tokens", "cache_read_input_tokens": "cache_read_tokens",
    "input_cached_tokens": "cache_read_tokens", "cache_creation_input_tokens": "cache_write_tokens",
    "input_cache_creation": "cache_write_tokens", "input_cache_read": "cache_read_tokens",
    "input_audio_tokens": "input_audio_tokens", "output_audio_tokens": "output_audio_tokens",
    "output_reasoning_tokens": "output_tokens", "output_reasoning": "output_tokens",
}  # fmt: skip
#: A report in a provider's own words has one of these, and is read like one.
_PROVIDERS_WORDS = ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
_MAX = 10**15


def usage_of(span: Span, *, operation: str) -> dict[str, Any] | None:
    """What `tracking.items` takes as `usage`; None where the span does not tell what was used."""
    details = span.text(*names.USAGE_DETAILS)
    if details and (usage := _from_details(details)):
        return usage
    read, written = count(span, names.CACHE_READ), count(span, names.CACHE_WRITE)
    tokens_in, tokens_out, total = count(span, names.INPUT), count(span, names.OUTPUT), count(span, names.TOTAL)
    if tokens_in is None and total is not None:
        tokens_in = total - (tokens_out or 0)
    if tokens_out is None:
        if operation != "embeddings" and (total is None or tokens_in is None):
            return None  # half of a report: the rest is not guessed
        tokens_out = 0 if operation == "embeddings" else total - tokens_in
    if tokens_in is None:
        return None
    cached = (read or 0) + (written or 0)
    fresh = tokens_in if _apart(tokens_in, tokens_out, cached, total) else tokens_in - cached
    return _told(span, fresh, read or 0, written or 0, tokens_out)


def _apart(tokens_in: int, tokens_out: int, cached: int, total: int | None) -> bool:
    """Whether the input does not hold the cached tokens: they are more than it, or the total counts them beside it."""
    return cached > tokens_in or (cached > 0 and total == tokens_in + tokens_out + cached)


def _told(span: Span, fresh: int, read: int, written: int, tokens_out: int) -> dict[str, Any]:
    hour = min(count(span, names.CACHE_WRITE_1H) or 0, written)
    audio_in, audio_read = count(span, names.INPUT_AUDIO) or 0, count(span, names.CACHE_READ_AUDIO) or 0
    audio_read = min(audio_read, read, audio_in)
    audio_in = min(audio_in - audio_read, fresh)
    audio_out = min(count(span, names.OUTPUT_AUDIO) or 0, tokens_out)
    meters = {
        "input_tokens": fresh - audio_in,
        "input_audio_tokens": audio_in,
        "cache_read_tokens": read - audio_read,
        "cache_read_audio_tokens": audio_read,
        "cache_write_tokens": written - hour,
        "cache_write_1h_tokens": hour,
        "output_tokens": tokens_out - audio_out,
        "output_audio_tokens": audio_out,
        "web_searches": count(span, names.WEB_SEARCHES) or 0,
    }
    # Input and output are told even where they are zero.
    kept = {name: n for name, n in meters.items() if n or name in ("input_tokens", "output_tokens")}
    usage: dict[str, Any] = {"meters": kept}
    if reasoning := count(span, names.REASONING):
        usage["reasoning_tokens"] = reasoning
    return usage


def count(span: Span, of: tuple[str, ...]) -> int | None:
    """The first of these attributes that is a count; None without any."""
    for name in of:
        if (found := whole(span.attributes.get(name))) is not None:
            return found
    return None


def whole(value: Any) -> int | None:
    """A whole number as attributes tell it: as a number, a float without a fraction, or a text."""
    kind = value.__class__
    if (kind is float and value.is_integer()) or (
        kind is str and value.isascii() and value.isdigit() and len(value) < 16
    ):
        value = int(value)
    return value if value.__class__ is int and 0 <= value < _MAX else None


def _from_details(text: str) -> dict[str, Any] | None:
    """Langfuse's `usage_details`: the provider's own report, or counts by Langfuse's names."""
    details = loaded(text)
    if any(whole(details.get(name)) is not None for name in _PROVIDERS_WORDS):
        return dict(details)
    meters: dict[str, int] = {}
    for name, value in details.items():
        meter, counted = LANGFUSE_METERS.get(name), whole(value)
        if counted is None or name == "total":
            continue
        if meter is None:
            if counted:
                return None  # counts something that we do not know: not cheaper, but unpriced
            continue
        meters[meter] = meters.get(meter, 0) + counted
    return {"meters": meters} if meters.keys() & {"input_tokens", "output_tokens"} else None


def loaded(text: str) -> Mapping[str, Any]:
    """The JSON object of a text; an empty one where it is none."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
