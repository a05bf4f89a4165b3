"""OpenAI's Responses API, as the local provider answers it: stored, background and streamed answers, hosted tools."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

from costwatch.demo.openai_chat import asked_words, served_tier
from costwatch.demo.quantities import CACHEABLE_TOKENS, instance, reasons, seed, served, tokens, words
from costwatch.demo.shelf import Shelf
from costwatch.demo.wire import Reply, Request, answer, events, openai_error


def create(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/responses"""
    body = request.json
    if "input" not in body and "prompt" not in body:
        return openai_error(400, "input is missing", code="missing_required_parameter")
    done = _response(request, shelf)
    if body.get("background"):
        done["background"] = True
        shelf.put(done["id"], {"done": done, "polls": 0})
        if not body.get("stream"):
            return answer(_unfinished(done, "queued"), usage={})
    elif body.get("store", True):
        shelf.put(done["id"], {"done": done, "polls": 99})
    if body.get("stream"):
        return events(_stream(done), usage=done["usage"], named=True)
    return answer(done)


def retrieve(request: Request, shelf: Shelf, response_id: str) -> Reply:
    """GET /v1/responses/{id}: a background response is in progress at the first look and completed at the second."""
    kept = shelf.get(response_id)
    if not kept:
        return openai_error(404, f"Response with id '{response_id}' not found.", code="not_found")
    if request.query.get("stream") == "true":
        kept["polls"] = 99
        return events(_stream(kept["done"]), usage={}, named=True)
    kept["polls"] += 1
    if kept["polls"] == 1:
        return answer(_unfinished(kept["done"], "in_progress"), usage={})
    return answer(kept["done"], usage={})


def cancel(request: Request, shelf: Shelf, response_id: str) -> Reply:
    """POST /v1/responses/{id}/cancel"""
    kept = shelf.get(response_id)
    if not kept:
        return openai_error(404, f"Response with id '{response_id}' not found.", code="not_found")
    kept["done"] = _unfinished(kept["done"], "cancelled")
    kept["polls"] = 99
    return answer(kept["done"], usage={})


def delete(request: Request, shelf: Shelf, response_id: str) -> Reply:
    """DELETE /v1/responses/{id}"""
    shelf.put(response_id, None)
    return answer({"id": response_id, "object": "response", "deleted": True})


def input_tokens(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/responses/input_tokens: free."""
    return answer({"object": "response.input_tokens", "input_tokens": _input_tokens(request.json)})


def compact(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/responses/compact"""
    size = _input_tokens(request.json)
    item = {"id": shelf.new_id("cmp_"), "type": "compaction", "encrypted_content": "bG9jYWw="}
    made = {"id": shelf.new_id("resp_"), "object": "response.compaction", "created_at": int(time.time())}
    return answer({**made, "output": [item], "usage": _usage(size, 0, size // 4 + 1, 0)})


def _input_tokens(body: dict[str, Any]) -> int:
    return 3 + tokens(body.get("input")) + tokens(body.get("instructions")) + tokens(body.get("tools"))


def _usage(size: int, cached: int, output: int, thought: int) -> dict[str, Any]:
    return {
        "input_tokens": size,
        "input_tokens_details": {"cached_tokens": cached, "cache_write_tokens": 0},
        "output_tokens": output,
        "output_tokens_details": {"reasoning_tokens": thought},
        "total_tokens": size + output,
    }


def _response(request: Request, shelf: Shelf) -> dict[str, Any]:
    body = request.json
    size = _input_tokens(body)
    head = tokens(body.get("instructions"))
    again = head >= CACHEABLE_TOKENS and shelf.seen(f"cache:{request.model}:{seed(body['instructions'])}")
    thought = 64 * (1 + seed(body.get("input")) % 4) if reasons(request.model) else 0
    output, spoken, searches = _output(request, shelf)
    if limit := body.get("max_output_tokens"):  # thoughts count towards it
        thought = min(thought, max(0, limit - spoken))
    if thought:
        output.insert(0, {"id": shelf.new_id("rs_"), "type": "reasoning", "summary": []})
    tool_usage = {"image_gen": _no_images(), "web_search": {"num_requests": searches}}
    return {
        "id": shelf.new_id("resp_"),
        "object": "response",
        "created_at": int(time.time()),
        "status": "completed",
        "background": False,
        "error": None,
        "incomplete_details": None,
        "instructions": body.get("instructions"),
        "max_output_tokens": body.get("max_output_tokens"),
        "metadata": body.get("metadata") or {},
        "model": served(request.model),
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": body.get("previous_response_id"),
        "service_tier": served_tier(body.get("service_tier")),
        "store": body.get("store", True),
        "temperature": 1.0,
        "text": body.get("text") or {"format": {"type": "text"}},
        "tool_choice": body.get("tool_choice", "auto"),
        "tools": body.get("tools") or [],
        "tool_usage": tool_usage,
        "top_p": 1.0,
        "truncation": "disabled",
        "usage": _usage(size, head // 128 * 128 if again else 0, spoken + thought, thought),
        "user": None,
    }


def _no_images() -> dict[str, Any]:
    none = {"image_tokens": 0, "text_tokens": 0}
    return {
        "input_tokens": 0,
        "input_tokens_details": none,
        "output_tokens": 0,
        "output_tokens_details": none,
        "total_tokens": 0,
    }


def _output(request: Request, shelf: Shelf) -> tuple[list[dict], int, int]:
    """The items of the answer, its tokens, and how often the web was searched."""
    body = request.json
    given = body.get("input")
    items: list[dict] = []
    searches = 0
    for tool in body.get("tools") or []:
        kind = str(tool.get("type"))
        if kind.startswith("web_search"):
            searches += 1
            action = {"type": "search", "query": "ledger", "queries": ["ledger"]}
            items.append(
                {"id": shelf.new_id("ws_"), "type": "web_search_call", "status": "completed", "action": action}
            )
        elif kind == "file_search":
            call = {"type": "file_search_call", "status": "completed", "queries": ["ledger"], "results": None}
            items.append({"id": shelf.new_id("fs_"), **call})
        elif kind == "code_interpreter":
            container = shelf.new_id("cntr_")
            call = {"type": "code_interpreter_call", "status": "completed", "code": "1 + 1", "outputs": None}
            items.append({"id": shelf.new_id("ci_"), **call, "container_id": container})
        elif kind == "function" and not (isinstance(given, list) and given and _is_tool_output(given[-1])):
            arguments = json.dumps(instance(tool.get("parameters") or {"type": "object"}))
            call = {"type": "function_call", "status": "completed", "call_id": f"call_{seed(given):08x}"}
            items.append({"id": shelf.new_id("fc_"), **call, "name": tool.get("name", "tool"), "arguments": arguments})
            return items, tokens(arguments) + 4, searches
    schema = ((body.get("text") or {}).get("format") or {}).get("schema")
    if schema:
        content = json.dumps(instance(schema))
    else:
        content = "".join(words(given, at_most=body.get("max_output_tokens"), exactly=asked_words(request)))
    part = {"type": "output_text", "text": content, "annotations": [], "logprobs": []}
    message = {"type": "message", "status": "completed", "role": "assistant", "content": [part]}
    items.append({"id": shelf.new_id("msg_"), **message})
    return items, len(content.split()), searches


def _is_tool_output(item: Any) -> bool:
    return isinstance(item, dict) and item.get("type") == "function_call_output"


def _unfinished(done: dict[str, Any], status: str) -> dict[str, Any]:
    return {**done, "status": status, "output": [], "usage": None, "tool_usage": None}


def _stream(done: dict[str, Any]) -> Iterator[dict]:
    """The events of a streamed response, numbered."""
    for number, event in enumerate(_events(done)):
        yield {**event, "sequence_number": number}


def _events(done: dict[str, Any]) -> Iterator[dict]:
    begun = _unfinished(done, "in_progress")
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(done["output"]):
        at = {"output_index": index}
        started = {**item, "status": "in_progress"} | ({"content": []} if item["type"] == "message" else {})
        yield {"type": "response.output_item.added", **at, "item": started}
        if item["type"] == "message":
            yield from _message_events(item, at)
        elif item["type"] == "function_call":
            arguments = {"item_id": item["id"], **at}
            yield {"type": "response.function_call_arguments.delta", **arguments, "delta": item["arguments"]}
            done_event = {"type": "response.function_call_arguments.done", **arguments}
            yield {**done_event, "arguments": item["arguments"], "name": item["name"]}
        yield {"type": "response.output_item.done", **at, "item": item}
    yield {"type": "response.completed", "response": done}


def _message_events(item: dict[str, Any], at: dict[str, int]) -> Iterator[dict]:
    place = {"item_id": item["id"], **at, "content_index": 0}
    part = item["content"][0]
    yield {"type": "response.content_part.added", **place, "part": {**part, "text": ""}}
    for word in part["text"].split(" "):
        yield {"type": "response.output_text.delta", **place, "delta": word + " ", "logprobs": []}
    yield {"type": "response.output_text.done", **place, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **place, "part": part}
