"""The reports that nearly every call brings, read in one go. Pure.

Each function knows the shapes in which nothing can be wrong, assumed or left over, and gives exactly what the general
reader gives for them; for anything else it gives None. Tests compare the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from tracking.usage import anthropic, openai
from tracking.usage._fields import MAX_COUNT, MAX_TOKENS, Fields, Findings
from tracking.usage.types import Usage

#: Facts that are looked at here; with any other one the general reader is asked.
_TIER_FACTS = frozenset({"service_tier", "service_tier_asked"})
#: Longer names than any tier, region or endpoint has are not remembered.
_MAX_NAME = 200
#: Operations whose usage counts something else than text, or has no output.
_OTHER_OPERATIONS = frozenset({"moderation", "token_count", "embeddings", "image_generation"})
#: Details by whether they may be more than zero here.
_INPUT_DETAILS = {
    "cached_tokens": True,
    "cache_write_tokens": True,
    "audio_tokens": False,
    "image_tokens": False,
    "text_tokens": False,
}
_OUTPUT_DETAILS = {
    "reasoning_tokens": True,
    "accepted_prediction_tokens": True,
    "rejected_prediction_tokens": True,
    "audio_tokens": False,
    "image_tokens": False,
    "text_tokens": False,
}
_NONE: Mapping[str, int] = {}


def read_openai(
    provider: str, model: str, operation: str, endpoint: str, usage: Any, facts: Mapping[str, Any], batch: bool
) -> Usage | None:
    """Text tokens of a chat completion or a response, cached ones and reasoning among them."""
    if usage.__class__ is not dict or operation in _OTHER_OPERATIONS or "-search-" in model:
        return None
    if "prompt_tokens" in usage:
        total_in, total_out = usage["prompt_tokens"], usage.get("completion_tokens")
        inner, outer = usage.get("prompt_tokens_details"), usage.get("completion_tokens_details")
    else:
        total_in, total_out = usage.get("input_tokens"), usage.get("output_tokens")
        inner, outer = usage.get("input_tokens_details"), usage.get("output_tokens_details")
    if not (total_in.__class__ is total_out.__class__ is int and 0 <= total_in <= MAX_TOKENS >= total_out >= 0):
        return None
    known, total = 2, usage.get("total_tokens")
    if total is not None:
        if total.__class__ is not int or total != total_in + total_out or total > MAX_TOKENS:
            return None
        known += 1
    inner, outer = _details(inner, _INPUT_DETAILS), _details(outer, _OUTPUT_DETAILS)
    if inner is None or outer is None or known + (inner is not _NONE) + (outer is not _NONE) != len(usage):
        return None
    cached, written = inner.get("cached_tokens", 0), inner.get("cache_write_tokens", 0)
    reasoning, fresh = outer.get("reasoning_tokens", 0), total_in - cached - written
    tier = _openai_tier(endpoint, facts, batch)
    if fresh < 0 or reasoning > total_out or tier is None:
        return None
    meters = {"input_tokens": fresh}
    if cached:
        meters["cache_read_tokens"] = cached
    if written:
        meters["cache_write_tokens"] = written
    meters["output_tokens"] = total_out
    return Usage(provider, model, meters, tier, total_in, reasoning)


def _details(details: Any, known: Mapping[str, bool]) -> Mapping[str, int] | None:
    """Details that are counts of known names; `_NONE` where there are none, None where they are anything else."""
    if details is None:
        return _NONE
    if details.__class__ is not dict:
        return None
    for name, count in details.items():
        if count.__class__ is not int or not 0 <= count <= (MAX_TOKENS if known.get(name) else 0) or name not in known:
            return None
    return details


def _openai_tier(endpoint: str, facts: Mapping[str, Any], batch: bool) -> str | None:
    if not facts:
        return _openai_tier_of(endpoint, None, None, bool(batch))
    if facts.__class__ is not dict or not _TIER_FACTS.issuperset(facts):
        return None
    served, asked = facts.get("service_tier"), facts.get("service_tier_asked")
    if _is_name(served) and _is_name(asked):
        return _openai_tier_of(endpoint, served, asked, bool(batch))
    return None


def _is_name(value: Any) -> bool:
    return value is None or (value.__class__ is str and len(value) <= _MAX_NAME)


@lru_cache(maxsize=512)
def _openai_tier_of(endpoint: str, served: str | None, asked: str | None, batch: bool) -> str | None:
    """The tier, or None where it is assumed or the call may be a sum over several."""
    if "/batches" in endpoint:
        return None
    found = Findings()
    facts = {"service_tier": served, "service_tier_asked": asked}
    tier = openai._tier(Fields(None, found), facts, endpoint, batch, found)
    return None if found.flags else tier


_MESSAGE_TOKENS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
_RETENTIONS = {"ephemeral_5m_input_tokens": True, "ephemeral_1h_input_tokens": True}
_THINKING = {"thinking_tokens": True}
_TOOLS = {"web_search_requests": True, "web_fetch_requests": True}
_INNER = (("cache_creation", _RETENTIONS), ("output_tokens_details", _THINKING), ("server_tool_use", _TOOLS))
_NAMES = frozenset((*_MESSAGE_TOKENS, *(name for name, _ in _INNER), "service_tier", "inference_geo"))


def read_anthropic(
    provider: str, model: str, operation: str, endpoint: str, usage: Any, facts: Mapping[str, Any], batch: bool
) -> Usage | None:
    """Tokens of one message, cached and thinking ones among them, and the uses of Anthropic's own tools."""
    if usage.__class__ is not dict or operation == "token_count" or not _NAMES.issuperset(usage):
        return None
    get = usage.get
    fresh, output = get("input_tokens"), get("output_tokens")
    read, written = get("cache_read_input_tokens", 0), get("cache_creation_input_tokens", 0)
    for count in (fresh, output, read, written):
        if count.__class__ is not int or not 0 <= count <= MAX_TOKENS:
            return None
    split, thoughts, tools = [_details(get(name), known) for name, known in _INNER]
    if split is None or thoughts is None or tools is None:
        return None
    hour, thinking = split.get("ephemeral_1h_input_tokens", 0), thoughts.get("thinking_tokens", 0)
    if split and hour + split.get("ephemeral_5m_input_tokens", 0) != written:
        return None
    terms = _anthropic_terms(get("service_tier"), get("inference_geo"), facts, batch)
    if terms is None or thinking > output:
        return None
    meters = {"input_tokens": fresh}
    if read:
        meters["cache_read_tokens"] = read
    if written - hour:
        meters["cache_write_tokens"] = written - hour
    if hour:
        meters["cache_write_1h_tokens"] = hour
    meters["output_tokens"] = output
    if tools:
        for meter, name in (("web_searches", "web_search_requests"), ("web_fetches", "web_fetch_requests")):
            if count := tools.get(name):
                if count > MAX_COUNT:
                    return None
                meters[meter] = count
    return Usage(provider, model, meters, terms[0], fresh + read + written, thinking, terms[1])


def _anthropic_terms(tier: Any, geo: Any, facts: Mapping[str, Any], batch: bool) -> tuple[str, str] | None:
    if facts:
        if facts.__class__ is not dict or not _TIER_FACTS.issuperset(facts):
            return None
        tier = tier or facts.get("service_tier")
    return _anthropic_terms_of(tier, geo, bool(batch)) if _is_name(tier) and _is_name(geo) else None


@lru_cache(maxsize=512)
def _anthropic_terms_of(tier: str | None, geo: str | None, batch: bool) -> tuple[str, str] | None:
    """The tier and the region, or None where something is wrong with them."""
    found = Findings()
    fields = Fields({"service_tier": tier, "inference_geo": geo}, found)
    terms = anthropic._tier(fields, {}, batch, found), anthropic._region(fields, {})
    return None if found.flags else terms
