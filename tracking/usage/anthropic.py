"""Usage as the Anthropic API reports it: messages, their batches, and token counting. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tracking.usage._fields import Fields, Findings, whole
from tracking.usage.types import Usage

Meters = dict[str, int | Decimal]

_TOKEN_KEYS = ("input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
#: Iterations that the top-level counts include; the others come on top.
_INCLUDED = ("message",)
_KNOWN_ITERATIONS = ("message", "compaction", "advisor_message", "fallback_message")


def read(
    *, provider: str, model: str, operation: str, endpoint: str, usage: Any, facts: Mapping[str, Any], batch: bool
) -> Usage:
    """What a call to an Anthropic endpoint used. Never raises: what is wrong with the report is flagged."""
    found = Findings()
    fields = Fields(usage, found)
    meters: Meters = {}
    context = thinking = 0
    parts: tuple[Usage, ...] = ()
    tier = _tier(fields, facts, batch, found)
    region = _region(fields, facts)
    if operation == "token_count":
        return Usage(provider=provider, model=model, meters={"token_counts": 1}, flags=tuple(found.flags))
    if usage is None:
        found.wrong("no_usage", "no usage was reported")
    else:
        context, thinking = _tokens(fields, meters)
        _tools(fields, facts, meters)
        parts = _iterations(fields, provider, model, tier, region)
        _credit(fields)
        fields.finish()
    if parts:
        meters = {meter: n for meter, n in meters.items() if not meter.endswith("_tokens")}
    return Usage(
        provider=provider,
        model=model,
        meters=meters,
        tier=tier,
        context_tokens=context,
        reasoning_tokens=thinking,
        region=region,
        parts=parts,
        flags=tuple(found.flags),
        problem=found.problem,
        assumed=found.assumed,
    )


def _tokens(fields: Fields, meters: Meters) -> tuple[int, int]:
    """Put the disjoint token counts into `meters`. Returns all input tokens, and the thinking tokens."""
    found = fields.found
    for key in ("input_tokens", "output_tokens"):
        if not fields.has(key):
            found.wrong(f"missing:{key}", f"{key} is missing")
    fresh, output = fields.tokens("input_tokens"), fields.tokens("output_tokens")
    read_ = fields.tokens("cache_read_input_tokens")
    short, hour = _writes(fields)
    details = fields.child("output_tokens_details")
    thinking = details.tokens("thinking_tokens")
    details.finish()
    if thinking > output:
        found.wrong("details_exceed_output", "more tokens were spent on thinking than were put out")
    meters["input_tokens"] = fresh
    if read_:
        meters["cache_read_tokens"] = read_
    if short:
        meters["cache_write_tokens"] = short
    if hour:
        meters["cache_write_1h_tokens"] = hour
    meters["output_tokens"] = output
    fields.ignore("service_tier", "speed", "inference_geo", "type", "model")
    return fresh + read_ + short + hour, min(thinking, output)


def _writes(fields: Fields) -> tuple[int, int]:
    """Cache writes kept for five minutes, and for an hour."""
    found = fields.found
    written = fields.tokens("cache_creation_input_tokens")
    split = fields.child("cache_creation")
    short, hour = split.tokens("ephemeral_5m_input_tokens"), split.tokens("ephemeral_1h_input_tokens")
    split.finish()
    if not fields.has("cache_creation_input_tokens"):
        return short, hour
    if short + hour > written:
        found.wrong("cache_write_mismatch", "the cache writes by retention exceed their sum")
    elif split.data and hour and short + hour < written:
        # A stream repeats the sum as it grows and the split only at its start; without hour-long writes it is clear.
        found.wrong("cache_write_mismatch", "the cache writes by retention do not add up to their sum")
    return max(0, written - hour), min(hour, written)


def _tools(fields: Fields, facts: Mapping[str, Any], meters: Meters) -> None:
    tools = fields.child("server_tool_use")
    searches, fetches = tools.count("web_search_requests"), tools.count("web_fetch_requests")
    tools.finish()
    if facts.get("web_searches") is not None and not tools.data:
        searches = whole(facts["web_searches"], "web_searches", fields.found)
    if facts.get("web_fetches") is not None and not tools.data:
        fetches = whole(facts["web_fetches"], "web_fetches", fields.found)
    if searches:
        meters["web_searches"] = searches
    if fetches:
        meters["web_fetches"] = fetches
    if facts.get("containers") is not None and whole(facts["containers"], "containers", fields.found):
        meters["containers"] = whole(facts["containers"], "containers", fields.found)


def _iterations(fields: Fields, provider: str, model: str, tier: str, region: str) -> tuple[Usage, ...]:
    """The sampling iterations as parts, each with its own context size and model; none where the sums suffice."""
    entries = fields.items("iterations")
    if not entries:
        return ()
    found = fields.found
    kinds = [str(entry.get("type")) if isinstance(entry, Mapping) else "" for entry in entries]
    for kind in kinds:
        if kind not in _KNOWN_ITERATIONS:
            found.wrong(f"unknown_iteration:{kind[:40]}", f"an iteration of the unknown kind {kind[:40]!r}")
            return ()
    included = [e for e, kind in zip(entries, kinds, strict=True) if kind in _INCLUDED]
    with_fallback = [e for e, kind in zip(entries, kinds, strict=True) if kind in (*_INCLUDED, "fallback_message")]
    reported = tuple(fields.tokens(key) for key in _TOKEN_KEYS)
    extra = [entry for entry in entries if entry not in included]
    if reported in (_sums(included, found), _sums(with_fallback, found)):
        pieces = entries
    elif included and len(included) == len(entries):
        # Only the sampling of this one call, counted differently from its sum: the sum is what is billed.
        return ()
    elif not included:
        pieces = extra
        return (_top(fields, provider, model, tier, region), *(_part(e, provider, model, tier, region) for e in extra))
    else:
        found.wrong("iterations_mismatch", "the iterations do not add up to the sums reported")
        return ()
    if len(pieces) == 1 and not pieces[0].get("model"):
        return ()
    return tuple(_part(entry, provider, model, tier, region) for entry in pieces)


def _sums(entries: list[Mapping[str, Any]], found: Findings) -> tuple[int, ...]:
    return tuple(
        sum(entry[key] for entry in entries if type(entry.get(key)) is int and entry[key] > 0) for key in _TOKEN_KEYS
    )


def _part(entry: Mapping[str, Any], provider: str, model: str, tier: str, region: str) -> Usage:
    found = Findings()
    fields = Fields(entry, found)
    return _top(fields, provider, fields.text("model") or model, tier, region, strict=True)


def _top(fields: Fields, provider: str, model: str, tier: str, region: str, *, strict: bool = False) -> Usage:
    meters: Meters = {}
    found = fields.found if strict else Findings()
    reader = fields if strict else Fields(fields.data, found)
    context, thinking = _tokens(reader, meters)
    if strict:
        fields.finish()
    return Usage(
        provider=provider,
        model=model,
        meters=meters,
        tier=tier,
        context_tokens=context,
        reasoning_tokens=thinking,
        region=region,
        flags=tuple(found.flags),
        problem=found.problem,
    )


def _credit(fields: Fields) -> None:
    """A redeemed fallback credit changes the bill by an amount that the answer does not tell."""
    credit = fields.data.get("fallback_credit")
    fields.ignore("fallback_credit")
    status = credit.get("status") if isinstance(credit, Mapping) else None
    kind = status.get("type") if isinstance(status, Mapping) else status
    if kind == "redeemed":
        fields.found.wrong("fallback_credit", "a fallback credit was redeemed: its amount is not reported")


def _tier(fields: Fields, facts: Mapping[str, Any], batch: bool, found: Findings) -> str:
    # The usage says what was served; the facts may be what was asked for.
    speed = fields.data.get("speed") or facts.get("speed")
    tier = fields.data.get("service_tier") or facts.get("service_tier")
    for name, value in (("speed", speed), ("service_tier", tier)):
        if value is not None and not isinstance(value, str):
            found.wrong(f"not_a_text:{name}", f"{name} is not a text")
            return "unknown"
    speed, tier = (speed or "standard").lower(), (tier or "standard").lower()
    tier = "batch" if batch else "standard" if tier in ("auto", "default", "standard_only") else tier
    if speed == "standard":
        return tier[:40]
    return (speed if tier == "standard" else f"{tier}+{speed}")[:40]


def _region(fields: Fields, facts: Mapping[str, Any]) -> str:
    region = str(fields.data.get("inference_geo") or facts.get("inference_geo") or "").lower()
    return "" if region in ("", "global", "not_available") else region[:20]
