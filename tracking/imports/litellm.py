"""A line of LiteLLM's spend logs (`LiteLLM_SpendLogs`) -> an item. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from tracking.imports.values import amount, count, email, id_of, loaded, members, milliseconds, moment, tags_of
from tracking.otlp.providers import named

#: Of LiteLLM's call types ("acompletion" and "completion" are the same), those that ask a model.
_OPERATIONS = {
    "completion": "chat", "responses": "chat", "anthropic_messages": "chat", "generate_content": "chat",
    "generate_content_stream": "chat", "text_completion": "text_completion", "embedding": "embeddings",
    "image_generation": "image_generation", "image_edit": "image_generation", "transcription": "transcription",
    "speech": "speech", "moderation": "moderation", "realtime": "realtime", "create_video": "video_generation",
}  # fmt: skip
_CODE = re.compile(r"[\w.:\-]{1,100}", re.ASCII)


def columns(names: set[str]) -> bool:
    """Whether rows with these columns are LiteLLM's."""
    return "spend" in names and bool(names & {"call_type", "startTime"})


def items(row: Mapping[str, Any], resolves: Callable[[str, str], bool]) -> Iterator[dict[str, Any]]:
    """The call of a line. None for what asked no model: an answer out of LiteLLM's own cache, files, lists.

    LiteLLM counts cached tokens within the prompt, whoever the provider is. Its costs stand in "given_usd".
    """
    meta = members(row.get("metadata"))
    asked = str(row.get("call_type") or "completion").lstrip("_")
    operation = _OPERATIONS.get(asked) or _OPERATIONS.get(asked.removeprefix("a"))
    meters = _meters(row, meta, operation)
    failed = "failure" in (str(row.get("status") or "").lower(), str(meta.get("status") or "").lower())
    used = any(meters.values())
    if str(row.get("cache_hit")).lower() == "true" or not (operation or used or amount(row.get("spend"))):
        return
    provider, model = named(str(row.get("custom_llm_provider") or ""), str(row.get("model") or ""), resolves)
    item: dict[str, Any] = {
        "id": id_of("litellm", row.get("request_id")),
        "at": moment(row.get("startTime")),
        "provider": provider,
        "model": model[:200],
        "operation": operation or "other",
        "batch": asked.endswith("retrieve_batch"),  # there, the cost of the whole batch is written down
        "response_id": str(row.get("request_id") or "")[:200],
        "latency_ms": milliseconds(row.get("startTime"), row.get("endTime")),
        "tags": _tags(row, meta),
        "status": "error" if failed else "ok",
        "facts": {},  # a call without usage is recorded too: it was made
        "given_usd": amount(row.get("spend")),
        "user": email(row.get("end_user")) or email(row.get("user")) or email(meta.get("user_api_key_user_email")),
    }
    if used or (operation == "embeddings" and not failed):
        item["meters"] = {name: n for name, n in meters.items() if n or name in ("input_tokens", "output_tokens")}
    if failed:
        _add_error(item, members(meta.get("error_information")))
    yield item


def _meters(row: Mapping[str, Any], meta: Mapping[str, Any], operation: str | None) -> dict[str, int]:
    """Disjoint quantities out of the columns and what the metadata tell of the usage."""
    usage = {**members(meta.get("additional_usage_values")), **members(meta.get("usage_object"))}
    of_input, of_output = members(usage.get("prompt_tokens_details")), members(usage.get("completion_tokens_details"))
    prompt, completion = count(row.get("prompt_tokens")), count(row.get("completion_tokens"))
    read = count(of_input.get("cached_tokens")) or count(usage.get("cache_read_input_tokens"))
    written = count(of_input.get("cache_creation_tokens")) or count(usage.get("cache_creation_input_tokens"))
    by_hour = members(of_input.get("cache_creation_token_details")) or members(usage.get("cache_creation"))
    hour = min(written, count(by_hour.get("ephemeral_1h_input_tokens")))
    # Early versions left Anthropic's cached tokens out of the prompt: then they can be more than it.
    fresh = prompt if read + written > prompt else prompt - read - written
    audio_in = min(fresh, count(of_input.get("audio_tokens")))
    image_in = min(fresh - audio_in, count(of_input.get("image_tokens")))
    audio_out = min(completion, count(of_output.get("audio_tokens")))
    image_out = min(completion - audio_out, count(of_output.get("image_tokens")))
    if operation == "image_generation" and not image_out:
        image_out = completion - audio_out - count(of_output.get("text_tokens"))
    searches = count(of_input.get("web_search_requests"))
    return {
        "input_tokens": fresh - audio_in - image_in,
        "input_audio_tokens": audio_in,
        "input_image_tokens": image_in,
        "cache_read_tokens": read,
        "cache_write_tokens": written - hour,
        "cache_write_1h_tokens": hour,
        "output_tokens": completion - audio_out - max(0, image_out),
        "output_audio_tokens": audio_out,
        "output_image_tokens": max(0, image_out),
        "web_searches": searches or count(members(usage.get("server_tool_use")).get("web_search_requests")),
    }


def _tags(row: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, str]:
    told = {name: row.get(name) for name in ("team_id", "end_user", "user", "session_id", "model_group")}
    told["key_alias"], told["team_alias"] = meta.get("user_api_key_alias"), meta.get("user_api_key_team_alias")
    labels = loaded(row.get("request_tags"))
    if isinstance(labels, list):
        told["request_tags"] = ",".join(str(one) for one in labels if not str(one).startswith("User-Agent:"))
    return tags_of(told)


def _add_error(item: dict[str, Any], told: Mapping[str, Any]) -> None:
    """The status and the class of the error; its message may hold anything, and is left out."""
    code, kind = str(told.get("error_code") or ""), str(told.get("error_class") or "")
    if code.isdigit() and 100 <= int(code[:4]) <= 599:
        item["http_status"] = int(code)
    if _CODE.fullmatch(kind):
        item["error"] = kind
