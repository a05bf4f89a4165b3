"""Anthropic's messages, token counting and message batches, as the local provider answers them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from costwatch.demo.openai_chat import asked_words
from costwatch.demo.quantities import MESSAGE_OVERHEAD_TOKENS, instance, seed, served, tokens, words
from costwatch.demo.shelf import Shelf
from costwatch.demo.wire import Reply, Request, answer, anthropic_error, events

SEARCH_RESULT_TOKENS = 600


def messages(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/messages"""
    body = request.json
    if not isinstance(body.get("messages"), list) or not body["messages"]:
        return anthropic_error(400, "messages: at least one message is required")
    if not body.get("max_tokens"):
        return anthropic_error(400, "max_tokens: Field required")
    content, stop_reason, thought = _content(request, shelf)
    usage = _usage(request, shelf, content, thought)
    made = {
        "id": shelf.new_id("msg_"),
        "type": "message",
        "role": "assistant",
        "model": served(request.model),
        "content": content,
        "stop_reason": stop_reason,
        "stop_sequence": None,
        "usage": usage,
    }
    if body.get("stream"):
        return events(_stream(made), usage=usage, named=True)
    return answer(made)


def count_tokens(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/messages/count_tokens: free."""
    return answer({"input_tokens": sum(size for size, _ in _parts(request.json))})


def _parts(body: dict[str, Any]) -> list[tuple[int, str]]:
    """The prompt in order: tokens of each part and the time to live ("5m", "1h") of a cache entry that ends there."""
    blocks: list[Any] = list(body.get("tools") or [])
    for holder in [body.get("system"), *(m.get("content") for m in body.get("messages", []))]:
        blocks += holder if isinstance(holder, list) else [holder] if holder else []
    parts = []
    for block in blocks:
        control = (block.get("cache_control") or {}) if isinstance(block, dict) else {}
        plain = {k: v for k, v in block.items() if k != "cache_control"} if isinstance(block, dict) else block
        size = tokens(plain.get("text") if isinstance(plain, dict) and plain.get("type") == "text" else plain)
        parts.append((size + MESSAGE_OVERHEAD_TOKENS, control.get("ttl", "5m") if control else ""))
    if parts and body.get("cache_control"):
        parts[-1] = (parts[-1][0], body["cache_control"].get("ttl", "5m"))
    return parts


def _usage(request: Request, shelf: Shelf, content: list[dict], thought: int) -> dict[str, Any]:
    body = request.json
    fresh, read, written = 0, 0, {"5m": 0, "1h": 0}
    for number, (size, ttl) in enumerate(_parts(body)):
        fresh += size
        if ttl:  # everything since the last mark is one cache entry
            key = f"cache:{request.model}:{number}:{seed(body.get('tools'), body.get('system'), body['messages'][:1])}"
            if shelf.seen(key):
                read += fresh
            else:
                written[ttl] += fresh
            fresh = 0
    searches = sum(block["type"] == "server_tool_use" for block in content)
    spoken = sum(len(b["text"].split()) if b["type"] == "text" else tokens(b.get("input")) for b in content)
    usage: dict[str, Any] = {
        "input_tokens": fresh + searches * SEARCH_RESULT_TOKENS,
        "cache_creation_input_tokens": sum(written.values()),
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written["5m"], "ephemeral_1h_input_tokens": written["1h"]},
        "output_tokens": spoken + thought,
        "service_tier": request.headers.get("x-demo-tier", "standard"),
        "inference_geo": body.get("inference_geo") or "global",
    }
    if thought:
        usage["output_tokens_details"] = {"thinking_tokens": thought}
    if searches:
        usage["server_tool_use"] = {"web_search_requests": searches, "web_fetch_requests": 0}
    if body.get("speed"):
        usage["speed"] = body["speed"]
    return usage


def _content(request: Request, shelf: Shelf) -> tuple[list[dict], str, int]:
    """The blocks of the answer, why it ended, and the tokens of its thoughts."""
    body = request.json
    content: list[dict] = []
    thought = 0
    if (body.get("thinking") or {}).get("type") in ("enabled", "adaptive"):
        thought = 40 * (1 + seed(body["messages"]) % 4)
        content.append({"type": "thinking", "thinking": "Let me add that up.", "signature": "bG9jYWw="})
    last = body["messages"][-1].get("content")
    answered = isinstance(last, list) and any(isinstance(b, dict) and b.get("type") == "tool_result" for b in last)
    for tool in body.get("tools") or []:
        if str(tool.get("type", "")).startswith("web_search"):
            use = shelf.new_id("srvtoolu_")
            search = {"type": "server_tool_use", "id": use, "name": "web_search", "input": {"query": "ledger"}}
            content += [search, {"type": "web_search_tool_result", "tool_use_id": use, "content": []}]
        elif not answered:
            given = instance(tool.get("input_schema") or {"type": "object"})
            content.append({"type": "tool_use", "id": shelf.new_id("toolu_"), "name": tool["name"], "input": given})
            return content, "tool_use", thought
    limit = body["max_tokens"]
    schema = ((body.get("output_config") or {}).get("format") or body.get("output_format") or {}).get("schema")
    if schema:
        spoken = [json.dumps(instance(schema))]
    else:
        spoken = words([body["messages"], "message"], at_most=limit, exactly=asked_words(request))
    content.append({"type": "text", "text": "".join(spoken), "citations": None})
    return content, "max_tokens" if len(spoken) == limit else "end_turn", thought


def _stream(made: dict[str, Any]) -> Iterator[dict]:
    usage = made["usage"]
    late = {"server_tool_use", "output_tokens_details"}  # known at the end only
    first = {k: v for k, v in usage.items() if k not in late} | {"output_tokens": min(3, usage["output_tokens"])}
    begun = {**made, "content": [], "stop_reason": None, "usage": first}
    yield {"type": "message_start", "message": begun}
    for index, block in enumerate(made["content"]):
        at = {"index": index}
        empty, deltas = _block_deltas(block)
        yield {"type": "content_block_start", **at, "content_block": empty}
        if index == 0:
            yield {"type": "ping"}
        for delta in deltas:
            yield {"type": "content_block_delta", **at, "delta": delta}
        yield {"type": "content_block_stop", **at}
    counted = {k: v for k, v in usage.items() if k.endswith("tokens") or k in late}
    delta = {"stop_reason": made["stop_reason"], "stop_sequence": None}
    yield {"type": "message_delta", "delta": delta, "usage": counted}
    yield {"type": "message_stop"}


def _block_deltas(block: dict[str, Any]) -> tuple[dict, list[dict]]:
    if block["type"] == "text":
        pieces = block["text"].split(" ")
        return {**block, "text": ""}, [{"type": "text_delta", "text": word + " "} for word in pieces]
    if block["type"] == "thinking":
        deltas = [{"type": "thinking_delta", "thinking": block["thinking"]}]
        return {**block, "thinking": "", "signature": ""}, [
            *deltas,
            {"type": "signature_delta", "signature": block["signature"]},
        ]
    if "input" in block:
        return {**block, "input": {}}, [{"type": "input_json_delta", "partial_json": json.dumps(block["input"])}]
    return block, []


def batch_create(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/messages/batches"""
    if not request.json.get("requests"):
        return anthropic_error(400, "requests: at least one request is required")
    now = datetime.now(UTC)
    made = {
        "id": shelf.new_id("msgbatch_"),
        "type": "message_batch",
        "processing_status": "in_progress",
        "request_counts": _counts(processing=len(request.json["requests"])),
        "created_at": now.isoformat(),
        "expires_at": (now + timedelta(days=1)).isoformat(),
        "ended_at": None,
        "archived_at": None,
        "cancel_initiated_at": None,
        "results_url": None,
    }
    shelf.put(made["id"], {"made": made, "requests": request.json["requests"], "polls": 0, "results": b""})
    return answer(made)


def _counts(**known: int) -> dict[str, int]:
    return {"processing": 0, "succeeded": 0, "errored": 0, "canceled": 0, "expired": 0} | known


def batch_retrieve(request: Request, shelf: Shelf, batch_id: str) -> Reply:
    """GET /v1/messages/batches/{id}: ended at the second look."""
    kept = shelf.get(batch_id)
    if not kept:
        return anthropic_error(404, f"Batch {batch_id} not found", kind="not_found_error")
    kept["polls"] += 1
    if kept["polls"] >= 2 and not kept["results"]:
        kept["results"], counts = _run(kept["requests"], shelf)
        url = f"http://{request.headers.get('host')}/v1/messages/batches/{batch_id}/results"
        ended = datetime.now(UTC).isoformat()
        kept["made"] |= {"processing_status": "ended", "request_counts": counts, "ended_at": ended, "results_url": url}
    return answer(kept["made"])


def batch_results(request: Request, shelf: Shelf, batch_id: str) -> Reply:
    """GET /v1/messages/batches/{id}/results"""
    kept = shelf.get(batch_id)
    if not kept or not kept["results"]:
        return anthropic_error(404, f"Batch {batch_id} has no results", kind="not_found_error")
    return Reply(body=kept["results"], content_type="application/x-jsonl")


def batches(request: Request, shelf: Shelf) -> Reply:
    """GET /v1/messages/batches"""
    data = [kept["made"] for kept in shelf.all("msgbatch_")]
    return answer({"data": data, "has_more": False, "first_id": None, "last_id": None})


def _run(requests: list[dict], shelf: Shelf) -> tuple[bytes, dict[str, int]]:
    lines, failed = [], 0
    for one in requests:
        inner = Request(method="POST", target="/v1/messages", headers={"x-demo-tier": "batch"}, json=one["params"])
        if "error" in inner.model:
            reply = anthropic_error(404, f"model: {inner.model}", kind="not_found_error")
        else:
            reply = messages(inner, shelf)
        body = json.loads(reply.body)
        fine = reply.status == 200
        failed += not fine
        result = {"type": "succeeded", "message": body} if fine else {"type": "errored", "error": body}
        lines.append(json.dumps({"custom_id": one["custom_id"], "result": result}) + "\n")
    return "".join(lines).encode(), _counts(succeeded=len(lines) - failed, errored=failed)
