"""Results that come later than their request: background responses, runs, videos, batches. Each under its own key."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

from tracking.events import CallEvent
from tracking.wire import answers, endpoints
from tracking.wire.answers import ENDED, Answer
from tracking.wire.endpoints import Endpoint

#: names of batch items are made from this: the same line of the same batch has the same id wherever it is read
ITEM_NAMESPACE = uuid.UUID("6f1c8a52-6c5e-5f0e-9b86-0f8f6b1a4c11")
#: how far back a result may have been made, in seconds (a provider's clock is not ours)
MAX_AGE_S = 400 * 86400

_OPERATION_BY_PATH = {
    "/v1/chat/completions": "chat",
    "/v1/completions": "text_completion",
    "/v1/embeddings": "embeddings",
    "/v1/responses": "chat",
    "/v1/moderations": "moderation",
    "/v1/images/generations": "image_generation",
    "/v1/images/edits": "image_generation",
    "/v1/videos": "video_generation",
}
_PATH_BY_OBJECT = {
    "chat.completion": "/v1/chat/completions",
    "text_completion": "/v1/completions",
    "response": "/v1/responses",
    "list": "/v1/embeddings",
}


def key(kind: str, name: str) -> str:
    """The key of a result: `openai:resp_123`."""
    return f"{kind}:{name}"[:300] if name else ""


def retrieved(*, kind: str, endpoint: Endpoint, value: dict[str, Any], template: CallEvent) -> Iterator[CallEvent]:
    """The events of a retrieval's JSON answer: one for each result in it that is over and has something to bill."""
    listed = value.get("data")
    things = listed if isinstance(listed, list) and value.get("object") == "list" else [value]
    for thing in things:
        if isinstance(thing, dict) and (event := _result(kind, endpoint, thing, template)) is not None:
            yield event


def _result(kind: str, endpoint: Endpoint, thing: dict[str, Any], template: CallEvent) -> CallEvent | None:
    answer = Answer()
    answers.read(thing, answer)
    if not answer.id or answer.state not in ENDED:
        return None
    event = _copy(template, kind_="result")
    event.result_key = key(kind, answer.id)
    event.usage, event.facts, event.flags = answer.usage, dict(answer.facts), list(answer.flags)
    event.facts.pop("data_count", None)
    event.model_served = event.model_asked = answer.model
    event.response_id = answer.id
    if answer.tier:
        event.facts["service_tier"] = answer.tier
    event.quality = "exact" if answer.usage else "none"
    if endpoint.action == endpoints.GET_RESPONSE:
        # A foreground response was billed when it was made: reading it again costs nothing.
        return _ended(event, answer) if answer.background else None
    if endpoint.action in (endpoints.GET_RUN, endpoints.RUN_STEP):
        return _ended(event, answer) if answer.id.startswith("run_") or thing.get("object") == "thread.run" else None
    if endpoint.action == endpoints.GET_VIDEO:
        return _video(event, answer, thing)
    return _openai_batch(event, answer, thing) if endpoint.action == endpoints.GET_BATCH else None


def _ended(event: CallEvent, answer: Answer) -> CallEvent:
    if answer.usage is None:
        if answer.state not in ("failed", "cancelled", "expired"):
            event.flags.append("no_usage")
        event.status = "error" if answer.state == "failed" else "cancelled"
        event.error = answer.error or answer.state
    else:
        event.status = "incomplete" if answer.state == "incomplete" else "ok"
    return event


def _video(event: CallEvent, answer: Answer, thing: dict[str, Any]) -> CallEvent:
    if answer.state == "completed":
        event.facts.update(answers.video_facts(thing))
        event.quality = "exact" if "video" in event.facts or answer.usage else "none"
        event.status = "ok"
    else:
        event.facts.pop("video", None)
        event.status, event.error = "error", answer.error or answer.state
        event.http_status = None  # what was not made is not billed, although it was told with a 200
    return event


def _openai_batch(event: CallEvent, answer: Answer, thing: dict[str, Any]) -> CallEvent | None:
    if answer.usage is None or not any(v for v in answer.usage.values() if isinstance(v, int)):
        return None  # older batches do not report usage: the lines of their output file do
    path = thing.get("endpoint")
    event.endpoint = path if isinstance(path, str) and path in _OPERATION_BY_PATH else event.endpoint
    event.operation = _OPERATION_BY_PATH.get(event.endpoint, "chat")
    event.batch, event.source = True, "batch"
    event.status = "ok"
    output = thing.get("output_file_id")
    if isinstance(output, str) and output:
        event.result_aliases = [key("openai", output)]
    return event


def batch_operation(body: dict[str, Any]) -> tuple[str, str]:
    """Operation and endpoint of the requests in an OpenAI batch, as its creation names them."""
    path = body.get("endpoint")
    path = path if isinstance(path, str) else ""
    return _OPERATION_BY_PATH.get(path, "other"), path if path in _OPERATION_BY_PATH else "/v1/batches"


def item(*, kind: str, batch: str, line: dict[str, Any], template: CallEvent) -> CallEvent | None:
    """The event of one line of a batch's results; None for a line that cost nothing (cancelled, expired, failed)."""
    custom_id = line.get("custom_id")
    if not isinstance(custom_id, str):
        return None
    body, endpoint, request_id = _openai_body(line) if kind == "openai" else _anthropic_body(line)
    if body is None:
        return None
    answer = Answer()
    answers.read(body, answer)
    event = _copy(template, kind_="item")
    event.id = str(uuid.uuid5(ITEM_NAMESPACE, f"{kind}\n{batch}\n{custom_id}"))
    event.endpoint = endpoint
    event.operation = _OPERATION_BY_PATH.get(endpoint, "chat")
    event.batch, event.source = True, "batch"
    event.result_key = key(kind, batch)
    event.response_id, event.request_id = answer.id, request_id
    event.model_served = event.model_asked = answer.model
    event.usage, event.facts, event.flags = answer.usage, dict(answer.facts), list(answer.flags)
    event.facts.pop("data_count", None)
    if answer.tier:
        event.facts["service_tier"] = answer.tier
    event.quality = "exact" if answer.usage else "none"
    event.status, event.http_status = "ok", 200
    now_s = time.time()
    if answer.created_s and now_s - MAX_AGE_S < answer.created_s <= now_s:
        event.at_us = answer.created_s * 1_000_000
    return event


def _openai_body(line: dict[str, Any]) -> tuple[dict[str, Any] | None, str, str]:
    response = line.get("response")
    if not isinstance(response, dict) or not isinstance(response.get("body"), dict):
        return None, "", ""
    status = response.get("status_code")
    if isinstance(status, int) and status >= 400:
        return None, "", ""
    body = response["body"]
    request_id = response.get("request_id")
    path = _PATH_BY_OBJECT.get(str(body.get("object")), "/v1/chat/completions")
    return body, path, request_id[:200] if isinstance(request_id, str) else ""


def _anthropic_body(line: dict[str, Any]) -> tuple[dict[str, Any] | None, str, str]:
    result = line.get("result")
    if not isinstance(result, dict) or result.get("type") != "succeeded":
        return None, "", ""
    message = result.get("message")
    return (message if isinstance(message, dict) else None), "/v1/messages", ""


def _copy(template: CallEvent, *, kind_: str) -> CallEvent:
    import uuid_utils

    return CallEvent(
        id=str(uuid_utils.uuid7()),
        at_us=template.at_us,
        provider=template.provider,
        operation=template.operation,
        endpoint=template.endpoint,
        user=template.user,
        feature=template.feature,
        analysis=template.analysis,
        tags=dict(template.tags),
        http_status=template.http_status,
        flags=[],
        kind=kind_,
    )
