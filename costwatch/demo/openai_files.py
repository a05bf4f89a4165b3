"""OpenAI's files and batches, as the local provider answers them. A batch is completed at the second look."""

from __future__ import annotations

import json
import time
from typing import Any

from costwatch.demo import openai_chat, openai_responses
from costwatch.demo.shelf import Shelf
from costwatch.demo.wire import Reply, Request, answer, openai_error

MAX_LINES = 10_000
BATCHED = {
    "/v1/chat/completions": openai_chat.chat,
    "/v1/completions": openai_chat.completions,
    "/v1/embeddings": openai_chat.embeddings,
    "/v1/moderations": openai_chat.moderations,
    "/v1/responses": openai_responses.create,
}


def upload(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/files"""
    if "file" not in request.files:
        return openai_error(400, "file is missing", code="missing_required_parameter")
    name, content = request.files["file"]
    return answer(_keep(shelf, name=name, content=content, purpose=request.form.get("purpose", "batch")))


def _keep(shelf: Shelf, *, name: str, content: bytes, purpose: str) -> dict[str, Any]:
    about = {
        "id": shelf.new_id("file-"),
        "object": "file",
        "bytes": len(content),
        "created_at": int(time.time()),
        "filename": name,
        "purpose": purpose,
        "status": "processed",
    }
    shelf.put(about["id"], (about, content))
    return about


def file(request: Request, shelf: Shelf, file_id: str) -> Reply:
    """GET /v1/files/{id}"""
    kept = shelf.get(file_id)
    return answer(kept[0]) if kept else openai_error(404, f"No such File object: {file_id}", code="not_found")


def content(request: Request, shelf: Shelf, file_id: str) -> Reply:
    """GET /v1/files/{id}/content"""
    kept = shelf.get(file_id)
    if not kept:
        return openai_error(404, f"No such File object: {file_id}", code="not_found")
    return Reply(body=kept[1], content_type="application/octet-stream")


def delete(request: Request, shelf: Shelf, file_id: str) -> Reply:
    """DELETE /v1/files/{id}"""
    shelf.put(file_id, None)
    return answer({"id": file_id, "object": "file", "deleted": True})


def files(request: Request, shelf: Shelf) -> Reply:
    """GET /v1/files"""
    data = [kept[0] for kept in shelf.all("file-") if kept]
    return answer({"object": "list", "data": data, "has_more": False})


def create(request: Request, shelf: Shelf) -> Reply:
    """POST /v1/batches"""
    body = request.json
    if not shelf.get(str(body.get("input_file_id"))):
        return openai_error(400, "input_file_id names no file", code="invalid_request")
    if body.get("endpoint") not in BATCHED:
        return openai_error(400, f"endpoint {body.get('endpoint')!r} cannot be batched", code="invalid_request")
    now = int(time.time())
    made = {
        "id": shelf.new_id("batch_"),
        "object": "batch",
        "endpoint": body["endpoint"],
        "completion_window": body.get("completion_window", "24h"),
        "input_file_id": body["input_file_id"],
        "status": "validating",
        "created_at": now,
        "expires_at": now + 86_400,
        "output_file_id": None,
        "error_file_id": None,
        "metadata": body.get("metadata"),
        "request_counts": {"total": 0, "completed": 0, "failed": 0},
    }
    shelf.put(made["id"], made)
    return answer(made)


def retrieve(request: Request, shelf: Shelf, batch_id: str) -> Reply:
    """GET /v1/batches/{id}"""
    made = shelf.get(batch_id)
    if not made:
        return openai_error(404, f"No batch found with id '{batch_id}'.", code="not_found")
    if made["status"] == "validating":
        made["status"] = "in_progress"
    elif made["status"] == "in_progress":
        _run(made, shelf)
    return answer(made, usage={})


def cancel(request: Request, shelf: Shelf, batch_id: str) -> Reply:
    """POST /v1/batches/{id}/cancel"""
    made = shelf.get(batch_id)
    if not made:
        return openai_error(404, f"No batch found with id '{batch_id}'.", code="not_found")
    if made["status"] != "completed":
        made["status"] = "cancelled"
    return answer(made, usage={})


def batches(request: Request, shelf: Shelf) -> Reply:
    """GET /v1/batches"""
    return answer({"object": "list", "data": shelf.all("batch_"), "has_more": False}, usage={})


def _run(made: dict[str, Any], shelf: Shelf) -> None:
    """Answer every line of the input file, add the usage up, and put the answers into an output file."""
    lines = [json.loads(line) for line in shelf.get(made["input_file_id"])[1].splitlines() if line.strip()]
    results: dict[bool, list[dict]] = {True: [], False: []}
    total: dict[str, Any] = {
        "input_tokens": 0,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 0,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 0,
    }
    for line in lines[:MAX_LINES]:
        reply = _answer_line(line, shelf)
        body = json.loads(reply.body)
        response = {"status_code": reply.status, "request_id": shelf.new_id("req_"), "body": body}
        result = {"id": shelf.new_id("batch_req_"), "custom_id": line.get("custom_id"), "response": response}
        results[reply.status == 200].append({**result, "error": None})
        _add(total, body.get("usage") or {})
        made["model"] = body.get("model") or made.get("model")
    for fine, key in ((True, "output_file_id"), (False, "error_file_id")):
        if results[fine]:
            content_lines = "".join(json.dumps(r) + "\n" for r in results[fine]).encode()
            kept = _keep(shelf, name=f"{made['id']}_{key}.jsonl", content=content_lines, purpose="batch_output")
            made[key] = kept["id"]
    counts = {"total": len(lines), "completed": len(results[True]), "failed": len(results[False])}
    made |= {"status": "completed", "completed_at": int(time.time()), "request_counts": counts, "usage": total}


def _answer_line(line: dict[str, Any], shelf: Shelf) -> Reply:
    body = line.get("body") or {}
    if "error" in str(body.get("model")):
        return openai_error(400, f"The model {body['model']} does not exist.", code="model_not_found")
    request = Request(method="POST", target=str(line.get("url")), headers={}, json={**body, "stream": False})
    return BATCHED[str(line.get("url"))](request, shelf)


def _add(total: dict[str, Any], usage: dict[str, Any]) -> None:
    read = usage.get("prompt_tokens", usage.get("input_tokens", 0))
    written = usage.get("completion_tokens", usage.get("output_tokens", 0))
    in_details = usage.get("prompt_tokens_details") or usage.get("input_tokens_details") or {}
    out_details = usage.get("completion_tokens_details") or usage.get("output_tokens_details") or {}
    total["input_tokens"] += read
    total["output_tokens"] += written
    total["total_tokens"] += read + written
    total["input_tokens_details"]["cached_tokens"] += in_details.get("cached_tokens", 0)
    total["output_tokens_details"]["reasoning_tokens"] += out_details.get("reasoning_tokens", 0)
