"""Readers of provider usage: provider JSON -> frozen `Usage`. Pure: no Django, no I/O."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tracking.usage import anthropic, openai, plain, told
from tracking.usage.types import Totals, Usage, totals, walk

__all__ = ["Totals", "Usage", "operation_of", "read_usage", "totals", "walk"]

#: Operation by the path of the endpoint, the first that it contains.
_OPERATIONS = (
    ("/count_tokens", "token_count"),
    ("/responses/input_tokens", "token_count"),
    ("/embeddings", "embeddings"),
    ("/moderations", "moderation"),
    ("/audio/transcriptions", "transcription"),
    ("/audio/translations", "translation"),
    ("/audio/speech", "speech"),
    ("/images", "image_generation"),
    ("/videos", "video_generation"),
    ("/realtime", "realtime"),
    ("/live", "realtime"),
    ("/chat/completions", "chat"),
    ("/responses", "chat"),
    ("/messages", "chat"),
    ("/runs", "chat"),
    ("/completions", "text_completion"),
    ("/complete", "text_completion"),
)

#: Fields by which Anthropic's shape is known, whoever serves it (Bedrock, Vertex, gateways).
_ANTHROPIC_ONLY = ("cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "server_tool_use")


def operation_of(endpoint: str) -> str:
    """The operation that an endpoint's path stands for, or "other"."""
    return next((operation for path, operation in _OPERATIONS if path in endpoint), "other")


def read_usage(
    *,
    provider: str,
    model: str,
    operation: str,
    endpoint: str = "",
    usage: Mapping[str, Any] | None,
    facts: Mapping[str, Any] | None = None,
    batch: bool = False,
) -> Usage:
    """Read what one call used out of the provider's own report.

    `usage` is the report as it came; `facts` holds what stood beside it: `service_tier` (served), `service_tier_asked`,
    `speed`, `inference_geo`, `tool_usage`, `characters`, `images` ({"n", "size", "quality"}), `video` ({"seconds",
    "size"}), `audio_seconds`, `session_seconds`, `file_searches`, `containers`, `web_searches`, `image_model` (the
    model behind an image made inside a response), `svg_usage`. Besides the providers' shapes, `usage` may be
    {"meters": {...}}: see `tracking.usage.told`.

    Never raises on bad input: whatever is wrong, contradictory or unknown is flagged, and makes the call unpriced
    where it may change the price. Quantities are never negative.
    """
    operation = operation or operation_of(endpoint)
    facts = facts if isinstance(facts, Mapping) else {}
    read_plain = plain.read_anthropic if provider == "anthropic" else plain.read_openai
    return read_plain(provider, model, operation, endpoint, usage, facts, batch) or read_any(
        provider=provider, model=model, operation=operation, endpoint=endpoint, usage=usage, facts=facts, batch=batch
    )


def read_any(
    *,
    provider: str,
    model: str,
    operation: str,
    endpoint: str,
    usage: Mapping[str, Any] | None,
    facts: Mapping[str, Any],
    batch: bool,
) -> Usage:
    """`read_usage` for reports of any shape, also those that nobody has seen yet."""
    if told.is_told(usage):
        return told.read(provider=provider, model=model, usage=usage, facts=facts, batch=batch)
    shape = openai
    if provider == "anthropic" or (isinstance(usage, Mapping) and any(key in usage for key in _ANTHROPIC_ONLY)):
        shape = anthropic
    return shape.read(
        provider=provider,
        model=model,
        operation=operation,
        endpoint=endpoint,
        usage=usage,
        facts=facts,
        batch=batch,
    )
