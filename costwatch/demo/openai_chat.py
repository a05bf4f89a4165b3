"""OpenAI's chat completions, legacy completions, embeddings and moderations, as the local provider answers them."""

from __future__ import annotations

import base64
import json
import random
import struct
import time
from collections.abc import Iterator
from typing import Any

from costwatch.demo.quantities import (
    CACHEABLE_TOKENS,
    MESSAGE_OVERHEAD_TOKENS,
    instance,
    reasons,
    seed,
    served,
    tokens,
    words,
)
from costwatch.demo.shelf import Shelf
from costwatch.demo.wire import Reply, Request, answer, events, openai_error


def chat(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/chat/completions"""
    body = request.json
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return openai_error(400, "messages must be a list", code="missing_required_parameter")
    message, finish = _message(request)
    made = {
        "id": shelf.new_id("chatcmpl-"),
        "created": int(time.time()),
        "model": served(request.model),
        "service_tier": served_tier(body.get("service_tier")),
        "system_fingerprint": "fp_local",
    }
    usage = _usage(request, shelf, message)
    if body.get("stream"):
        include = bool((body.get("stream_options") or {}).get("include_usage"))
        chunks = _chunks({**made, "object": "chat.completion.chunk"}, message, finish, usage if include else None)
        return events(chunks, usage=usage, done=True)
    result = {
        **made,
        "object": "chat.completion",
        "choices": [
            {"index": n, "message": message, "logprobs": None, "finish_reason": finish}
            for n in range(int(body.get("n") or 1))
        ],
        "usage": usage,
    }
    if body.get("store"):
        shelf.put(result["id"], result)
    return answer(result)


def stored_chat(request: Request, shelf: Shelf, completion_id: str) -> Reply:
    """GET /v1/chat/completions/{id}: what was asked for with `store`."""
    found = shelf.get(completion_id)
    return answer(found, usage={}) if found else openai_error(404, f"No completion {completion_id}.", code="not_found")


def served_tier(asked: str | None) -> str:
    """The service tier that the answer names."""
    return "default" if asked in (None, "auto", "default") else asked


def asked_words(request: Request) -> int | None:
    """The length of the answer, where the header `x-demo-words` asks for one."""
    value = request.headers.get("x-demo-words", "")
    return int(value) if value.isdigit() else None


def _message(request: Request) -> tuple[dict[str, Any], str]:
    body = request.json
    messages, tools = body["messages"], body.get("tools") or []
    last_role = messages[-1].get("role") if isinstance(messages[-1], dict) else ""
    message: dict[str, Any] = {"role": "assistant", "content": None, "refusal": None, "annotations": []}
    if tools and body.get("tool_choice") != "none" and last_role != "tool":
        function = tools[0].get("function") or {}
        arguments = json.dumps(instance(function.get("parameters") or {"type": "object"}))
        call = {"id": f"call_{seed(messages):08x}", "type": "function"}
        message["tool_calls"] = [{**call, "function": {"name": function.get("name", "tool"), "arguments": arguments}}]
        return message, "tool_calls"
    schema = ((body.get("response_format") or {}).get("json_schema") or {}).get("schema")
    if schema:
        message["content"] = json.dumps(instance(schema))
        return message, "stop"
    limit = body.get("max_completion_tokens") or body.get("max_tokens")
    spoken = words(messages, at_most=limit, exactly=asked_words(request))
    message["content"] = "".join(spoken)
    return message, "length" if limit and len(spoken) == limit else "stop"


def _usage(request: Request, shelf: Shelf, message: dict[str, Any]) -> dict[str, Any]:
    body = request.json
    parts = [m.get("content") for m in body["messages"] if isinstance(m, dict)]
    prompt = (
        sum(tokens(p) + MESSAGE_OVERHEAD_TOKENS for p in parts) + MESSAGE_OVERHEAD_TOKENS + tokens(body.get("tools"))
    )
    head = tokens(parts[0])
    again = head >= CACHEABLE_TOKENS and shelf.seen(f"cache:{request.model}:{seed(parts[0])}")
    cached = head // 128 * 128 if again else 0
    thought = 64 * (1 + seed(parts) % 4) if reasons(request.model) else 0
    spoken = len(message["content"].split()) if message["content"] else tokens(message.get("tool_calls"))
    if limit := body.get("max_completion_tokens"):  # thoughts count towards it
        thought = min(thought, max(0, limit - spoken))
    completion = (spoken + thought) * int(body.get("n") or 1)
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": thought,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _chunks(made: dict, message: dict, finish: str, usage: dict | None) -> Iterator[dict]:
    """The chunks of a stream. Where usage was asked for, every chunk but the last says `"usage": null`."""
    null = {"usage": None} if usage else {}

    def chunk(delta: dict, finish_reason: str | None = None) -> dict:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return {**made, "choices": [choice], **null}

    yield chunk({"role": "assistant", "content": "", "refusal": None})
    for n, call in enumerate(message.get("tool_calls", ())):
        yield chunk({"tool_calls": [{"index": n, **call}]})
    for word in (message["content"] or "").split(" ") if message["content"] else ():
        yield chunk({"content": word + " "})
    yield chunk({}, finish)
    if usage:
        yield {**made, "choices": [], "usage": usage}


def completions(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/completions, the API of the first models."""
    body = request.json
    limit = body.get("max_tokens") or 16
    prompts = body["prompt"] if isinstance(body.get("prompt"), list) else [body.get("prompt") or ""]
    answers = [words([prompt, "completion"], at_most=limit) for prompt in prompts]
    made = {
        "id": shelf.new_id("cmpl-"),
        "object": "text_completion",
        "created": int(time.time()),
        "model": served(request.model),
    }
    usage = {"prompt_tokens": sum(map(tokens, prompts)), "completion_tokens": sum(map(len, answers))}
    usage["total_tokens"] = sum(usage.values())

    def choice(n: int, spoken: str, finish: str | None) -> dict:
        return {"index": n, "text": spoken, "logprobs": None, "finish_reason": finish}

    if not body.get("stream"):
        choices = [choice(n, "".join(spoken), "stop") for n, spoken in enumerate(answers)]
        return answer({**made, "choices": choices, "usage": usage})
    include = (body.get("stream_options") or {}).get("include_usage")
    null = {"usage": None} if include else {}
    chunks = [
        {**made, "choices": [choice(n, word, "stop" if word is spoken[-1] else None)], **null}
        for n, spoken in enumerate(answers)
        for word in spoken
    ]
    return events(chunks + ([{**made, "choices": [], "usage": usage}] if include else []), usage=usage, done=True)


def embeddings(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/embeddings: short vectors, as base64 where that is asked for."""
    body = request.json
    given = body.get("input")
    texts = given if isinstance(given, list) and given and not isinstance(given[0], int) else [given]
    size = int(body.get("dimensions") or 8)

    def vector(value: Any) -> Any:
        rng = random.Random(seed(value))  # noqa: S311 (not a secret)
        numbers = [rng.uniform(-1, 1) for _ in range(size)]
        if body.get("encoding_format") == "base64":
            return base64.b64encode(struct.pack(f"<{size}f", *numbers)).decode()
        return numbers

    count = sum(len(t) if isinstance(t, list) else tokens(t) for t in texts)
    data = [{"object": "embedding", "index": n, "embedding": vector(t)} for n, t in enumerate(texts)]
    usage = {"prompt_tokens": count, "total_tokens": count}
    return answer({"object": "list", "data": data, "model": request.model, "usage": usage})


MODERATED = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
]


def moderations(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/moderations: nothing is ever flagged, and nothing is billed."""
    given = request.json.get("input")
    result = {
        "flagged": False,
        "categories": dict.fromkeys(MODERATED, False),
        "category_scores": dict.fromkeys(MODERATED, 0.0001),
        "category_applied_input_types": dict.fromkeys(MODERATED, ["text"]),
    }
    results = [result] * (len(given) if isinstance(given, list) else 1)
    return answer({"id": shelf.new_id("modr-"), "model": request.model or "omni-moderation-latest", "results": results})


def models(request: Request, shelf: Shelf) -> Reply:
    """GET /v1/models, for either API."""
    if "anthropic-version" in request.headers:
        listed = [
            {"type": "model", "id": m, "display_name": m, "created_at": "2025-09-29T00:00:00Z"}
            for m in ("claude-sonnet-4-5-20250929", "claude-haiku-4-5-20251001")
        ]
        return answer({"data": listed, "has_more": False, "first_id": listed[0]["id"], "last_id": listed[-1]["id"]})
    listed = [
        {"id": m, "object": "model", "created": 1_700_000_000, "owned_by": "local"} for m in ("gpt-4o", "gpt-4o-mini")
    ]
    return answer({"object": "list", "data": listed})
