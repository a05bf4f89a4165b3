"""Usage as the OpenAI API reports it: every endpoint, and the many providers that copied its shapes. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any

from tracking.usage._fields import Fields, Findings, duration, whole
from tracking.usage.types import Usage

Meters = dict[str, int | Decimal]

#: The API's own choice where no model was asked for.
_MODERATION_MODEL = "omni-moderation-latest"

#: Operations whose answers have no output tokens.
_INPUT_ONLY = frozenset({"embeddings"})

#: Tiers that mean the ordinary price. "auto" lets the project decide; a response that was served says what it became.
_STANDARD_TIERS = frozenset({"", "default", "standard", "auto"})

#: gpt-4o-mini-tts is billed in tokens that a speech answer does not report. By OpenAI's own estimate it makes about
#: 1,250 audio tokens a minute ($0.015 at $12 per million); speech runs at about 900 characters a minute.
_CHARACTERS_PER_TEXT_TOKEN = 4
_AUDIO_TOKENS_PER_MINUTE = 1250
_CHARACTERS_PER_MINUTE = 900


def read(
    *, provider: str, model: str, operation: str, endpoint: str, usage: Any, facts: Mapping[str, Any], batch: bool
) -> Usage:
    """What a call to an OpenAI endpoint used. Never raises: what is wrong with the report is flagged."""
    found = Findings()
    fields = Fields(usage, found)
    meters: Meters = {}
    variants: dict[str, str] = {}
    parts: list[Usage] = []
    context = reasoning = 0
    if operation == "moderation":
        meters["requests"] = 1
        model = model or _MODERATION_MODEL
    elif operation == "token_count":
        meters["token_counts"] = 1
    elif fields.text("type") == "duration" or (fields.has("seconds") and not fields.has("size")):
        _duration(fields, model, operation, meters)
    elif fields.has("prompt_tokens") or fields.has("input_tokens") or _has_output(fields):
        context, reasoning = _tokens(fields, operation, meters)
    else:
        fields.finish()
    if operation not in ("moderation", "token_count"):
        _beside_usage(model, operation, facts, found, meters, variants)
        parts += _hosted_tools(provider, fields, facts, found, meters, batch=batch or "/batches" in endpoint)
        _searching_model(model, endpoint, found, meters)
    if usage is None and not meters and not parts:
        found.wrong("no_usage", "no usage was reported")
    elif not meters and not parts and not found.problem:
        found.wrong("empty_usage", "the usage reported holds no known quantity")
    return Usage(
        provider=provider,
        model=model,
        meters=meters,
        tier=_tier(fields, facts, endpoint, batch, found),
        context_tokens=context,
        reasoning_tokens=reasoning,
        region=_region(facts),
        variants=variants,
        parts=tuple(parts),
        flags=tuple(found.flags),
        problem=found.problem,
        assumed=found.assumed,
        aggregate="/batches" in endpoint and operation != "item",
    )


def _has_output(fields: Fields) -> bool:
    return fields.has("completion_tokens") or fields.has("output_tokens")


def _duration(fields: Fields, model: str, operation: str, meters: Meters) -> None:
    live = operation == "realtime" and "transcri" not in model and "whisper" not in model
    fields.ignore("type", "total_tokens")
    if not fields.has("seconds"):
        fields.found.wrong("missing:seconds", "a duration was announced and not reported")
    meters["session_seconds" if live else "audio_seconds"] = fields.seconds("seconds")
    fields.finish()


def _tokens(fields: Fields, operation: str, meters: Meters) -> tuple[int, int]:
    """Split the tokens into disjoint meters. Returns all input tokens, and the reasoning tokens."""
    found = fields.found
    chat = fields.has("prompt_tokens") or fields.has("completion_tokens")
    input_key, output_key = ("prompt_tokens", "completion_tokens") if chat else ("input_tokens", "output_tokens")
    total_in, total_out = fields.tokens(input_key), fields.tokens(output_key)
    if not fields.has(input_key):
        found.wrong(f"missing:{input_key}", f"{input_key} is missing")
    if not fields.has(output_key) and operation not in _INPUT_ONLY:
        found.wrong(f"missing:{output_key}", f"{output_key} is missing")
    if fields.has("total_tokens") and fields.tokens("total_tokens") != total_in + total_out:
        found.wrong("total_mismatch", "total_tokens is not the sum of input and output")
    _input(
        fields.child("prompt_tokens_details", "input_tokens_details", "input_token_details", "prompt_token_details"),
        total_in,
        meters,
    )
    reasoning = _output(
        fields.child("completion_tokens_details", "output_tokens_details", "output_token_details"),
        total_out,
        meters,
        of_images=operation == "image_generation",
    )
    fields.ignore("type", "num_model_requests", "tool_usage", "service_tier", "svg_usage")
    fields.finish()
    return total_in, reasoning


def _input(details: Fields, total: int, meters: Meters) -> None:
    found = details.found
    audio, image = details.tokens("audio_tokens"), details.tokens("image_tokens")
    _check_text(details, total, audio + image, 0)
    cached, written = details.tokens("cached_tokens"), details.tokens("cache_write_tokens")
    written_12h = _writes(details, written)
    split = details.child("cached_tokens_details")
    cached_audio = split.tokens(split.first("audio_tokens", "cached_audio_tokens"))
    cached_image = split.tokens(split.first("image_tokens", "cached_image_tokens"))
    cached_text = split.tokens(split.first("text_tokens", "cached_text_tokens"))
    if cached_audio + cached_image + cached_text > cached and details.has("cached_tokens"):
        found.wrong("cached_details_exceed_cached", "the parts of the cached tokens exceed their sum")
    cached = max(cached, cached_audio + cached_image + cached_text)
    text_room = total - audio - image - written
    if cached and not split.data and audio and cached <= total - written:
        # Nothing says which of the cached tokens were audio: text is cached first, as prompts begin with it.
        cached_audio = min(audio, max(0, cached - text_room - image))
        found.assume("cached_split_assumed", "cached tokens are taken to be text as far as they can be")
    plain_cached = cached - cached_audio - cached_image
    rest = total - audio - image - plain_cached - written
    if cached + written > total or cached_audio > audio or cached_image > image:
        found.wrong("cached_exceeds_input", "more input tokens were cached than there were")
    elif rest < 0 and image and -rest <= image - cached_image:
        # Images of a chat model are cached with the text around them.
        cached_image, plain_cached, rest = cached_image - rest, plain_cached + rest, 0
    elif rest < 0:
        found.wrong("details_exceed_input", "the parts of the input tokens exceed their sum")
    else:
        pass
    _put(
        meters,
        input_tokens=rest,
        cache_read_tokens=plain_cached,
        cache_write_tokens=written - written_12h,
        cache_write_12h_tokens=written_12h,
        input_audio_tokens=audio - cached_audio,
        cache_read_audio_tokens=cached_audio,
        input_image_tokens=image - cached_image,
        cache_read_image_tokens=cached_image,
    )
    split.finish()
    details.finish()


def _writes(details: Fields, written: int) -> int:
    """How many of the cache writes are kept for twelve hours."""
    ttl = details.child("cache_write_tokens_details")
    short, long = ttl.tokens("ttl_30m_tokens"), ttl.tokens("ttl_12h_tokens")
    if short + long > written or (ttl.data and short + long != written and not details.found.problem):
        details.found.wrong("cache_write_mismatch", "the cache writes by retention do not add up to their sum")
    ttl.finish()
    return min(long, written)


def _output(details: Fields, total: int, meters: Meters, *, of_images: bool) -> int:
    found = details.found
    audio, image = details.tokens("audio_tokens"), details.tokens("image_tokens")
    if of_images and not details.data:
        image = total  # streamed images, and the older models, do not split it: all of it is the image
    reasoning = details.tokens("reasoning_tokens")
    _check_text(details, total, audio + image, reasoning)
    if audio + image > total or reasoning > total:
        found.wrong("details_exceed_output", "the parts of the output tokens exceed their sum")
    details.ignore("accepted_prediction_tokens", "rejected_prediction_tokens")
    _put(
        meters,
        output_tokens=max(0, total - audio - image),
        output_audio_tokens=min(audio, total),
        output_image_tokens=min(image, max(0, total - audio)),
    )
    details.finish()
    return min(reasoning, total)


def _check_text(details: Fields, total: int, others: int, reasoning: int) -> None:
    """Where text is counted too, the parts must add up; providers that do not count it leave it at zero."""
    text = details.tokens("text_tokens")
    if text and text + others not in (total, total - reasoning):
        side = "output" if "output" in details.path or "completion" in details.path else "input"
        details.found.wrong(f"details_mismatch:{side}", f"the parts of the {side} tokens do not add up to their sum")


def _put(meters: Meters, **quantities: int) -> None:
    """Keep what is not zero; and the plain side of tokens, so that nothing used is still a reported nothing."""
    for meter, quantity in quantities.items():
        if quantity > 0 or meter in ("input_tokens", "output_tokens"):
            meters[meter] = meters.get(meter, 0) + max(0, quantity)


def _beside_usage(
    model: str, operation: str, facts: Mapping[str, Any], found: Findings, meters: Meters, variants: dict[str, str]
) -> None:
    """Quantities that stand beside `usage`: characters, images, seconds."""
    tokens_reported = "output_tokens" in meters
    if facts.get("characters") is not None and not tokens_reported:
        characters = whole(facts["characters"], "characters", found)
        if model.startswith("gpt-4o-mini-tts"):
            _speech_tokens(characters, found, meters)
        else:
            meters["characters"] = characters
    if facts.get("audio_seconds") is not None and not tokens_reported and "audio_seconds" not in meters:
        meters["audio_seconds"] = duration(facts["audio_seconds"], "audio_seconds", found)
        if model.startswith("gpt-4o"):
            found.assume("transcription_tokens_unknown", "billed in tokens that are not reported: priced by the minute")
    if facts.get("session_seconds") is not None and "session_seconds" not in meters:
        meters["session_seconds"] = duration(facts["session_seconds"], "session_seconds", found)
    images = facts.get("images")
    if images is not None and not tokens_reported and operation in ("image_generation", ""):
        images = images if isinstance(images, Mapping) else {"n": images}
        meters["images"] = whole(1 if images.get("n") is None else images["n"], "images", found)
        quality = images.get("quality")
        quality = "standard" if quality in (None, "", "auto") else quality
        variants["images"] = f"{_size(images.get('size'), '1024x1024')}/{quality}"
    video = facts.get("video")
    if video is not None:
        video = video if isinstance(video, Mapping) else {"seconds": video}
        if video.get("seconds") is None:
            found.wrong("missing:seconds", "the length of the video is not known")
        meters["video_seconds"] = duration(video.get("seconds"), "video.seconds", found)
        variants["video_seconds"] = _size(video.get("size"), "720x1280")


def _size(value: Any, default: str) -> str:
    """A size as rates name it; the API's own default where none was asked for."""
    return str(value).lower().replace("-x-", "x")[:40] if value not in (None, "", "auto") else default


def _speech_tokens(characters: int, found: Findings, meters: Meters) -> None:
    meters["input_tokens"] = -(-characters // _CHARACTERS_PER_TEXT_TOKEN)
    meters["output_tokens"] = -(-characters * _AUDIO_TOKENS_PER_MINUTE // _CHARACTERS_PER_MINUTE)
    found.assume("speech_tokens_estimated", "tokens are estimated from the number of characters")


def _hosted_tools(
    provider: str, fields: Fields, facts: Mapping[str, Any], found: Findings, meters: Meters, *, batch: bool
) -> list[Usage]:
    """Searches and containers as meters; images made inside a response, and drawings, as parts with their own model."""
    parts: list[Usage] = []
    reported = facts.get("tool_usage") or fields.data.get("tool_usage")
    if not reported and not facts and "svg_usage" not in fields.data:
        return parts
    tools = Fields(reported, found, "tool_usage")
    for meter, names in _TOOLS.items():
        count = _uses(tools, names)
        # What the provider counts as billable is better than what was counted in its answer.
        if count is None and facts.get(meter) is not None:
            count = whole(facts[meter], meter, found)
        if count:
            meters[meter] = count
    image = tools.child("image_gen").data
    if any(isinstance(n, int | float) and n for n in image.values()):
        model = str(facts.get("image_model") or "image_generation tool")
        parts.append(_part(provider, model, image, found, operation="image_generation"))
    tools.finish()
    drawings = facts.get("svg_usage") or fields.data.get("svg_usage")
    if isinstance(drawings, Mapping):
        parts.append(_part(provider, str(drawings.get("model") or ""), drawings, found))
    return [replace(part, tier="batch") for part in parts] if batch else parts


def _searching_model(model: str, endpoint: str, found: Findings, meters: Meters) -> None:
    """Models that search before every chat answer are billed for it, and their answers do not say so."""
    searches = "-search-preview" in model or "-search-api" in model
    if searches and "output_tokens" in meters and "web_searches" not in meters and "/responses" not in endpoint:
        meters["web_searches"] = 1
        found.assume("search_assumed", "one web search a call, which the answer does not report")


#: How the tools that are billed by their use are named in a report.
_TOOLS = {
    "web_searches": ("web_search", "web_searches"),
    "file_searches": ("file_search", "file_searches", "file_search_calls"),
    "containers": ("code_interpreter", "containers", "container"),
}
_USES = ("num_requests", "num_calls", "num_sessions", "num_containers", "requests", "calls", "sessions", "containers")


def _uses(tools: Fields, names: tuple[str, ...]) -> int | None:
    """How often a tool was used; None where the report does not name it."""
    key = tools.first(*names)
    if not tools.has(key):
        return None
    if not isinstance(tools.data[key], Mapping):
        return tools.count(key)
    tool = tools.child(key)
    count = tool.count(tool.first(*_USES))
    tool.finish()
    return count


def _part(provider: str, model: str, data: Mapping[str, Any], found: Findings, *, operation: str = "") -> Usage:
    inner = Findings()
    fields = Fields({key: value for key, value in data.items() if key not in _PART_ONLY}, inner)
    meters: Meters = {}
    details = fields.data.get("input_tokens_details") or {}
    if isinstance(details, Mapping):  # what is cached stands beside the details here, not in them
        cached = {key: data[key] for key in ("cached_tokens", "cached_tokens_details") if data.get(key) is not None}
        fields.data = {**fields.data, "input_tokens_details": {**details, **cached}}
    context, reasoning = _tokens(fields, operation, meters)
    found.flags.extend(flag for flag in inner.flags if flag not in found.flags)
    return Usage(
        provider=provider,
        model=model,
        meters=meters,
        context_tokens=context,
        reasoning_tokens=reasoning,
        flags=tuple(inner.flags),
        problem=inner.problem,
        assumed=inner.assumed,
    )


#: Fields of a part that its plain token counts do not have in this place.
_PART_ONLY = frozenset({"model", "cached_tokens", "cached_tokens_details", "reasoning_tokens"})


def _tier(fields: Fields, facts: Mapping[str, Any], endpoint: str, batch: bool, found: Findings) -> str:
    if batch or "/batches" in endpoint:
        return "batch"
    if endpoint.rstrip("/").endswith("/decisions"):
        return "decisions"
    served = facts.get("service_tier") or fields.data.get("service_tier")
    asked = facts.get("service_tier_asked")
    for value in (served, asked):
        if value is not None and not isinstance(value, str):
            found.wrong("not_a_text:service_tier", "the service tier is not a text")
            return "unknown"
    served, asked = (served or "").lower(), (asked or "").lower()
    if served in ("", "auto") and asked not in _STANDARD_TIERS:
        found.assume("tier_assumed", f"the answer does not say its tier: taken to be the one asked for, {asked!r}")
        return asked[:40]
    return "standard" if served in _STANDARD_TIERS else served[:40]


def _region(facts: Mapping[str, Any]) -> str:
    region = str(facts.get("inference_geo") or "").lower()
    return "" if region in ("", "global", "not_available") else region[:20]
