"""Makes metered and bare SDK clients on a made-up provider, and the answers it gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import anthropic
import httpx2
import openai

from tracking.events import CallEvent
from tracking.instrument import instrument

USAGE = {"prompt_tokens": 12, "completion_tokens": 7, "total_tokens": 19}
HELLO = [{"role": "user", "content": "Say hello."}]
Handler = Callable[[httpx2.Request], httpx2.Response]


class Pieces(httpx2.SyncByteStream, httpx2.AsyncByteStream):
    """A body in the pieces given, as a network would bring it."""

    def __init__(self, pieces: Iterable[bytes]) -> None:
        self.pieces = list(pieces)

    def __iter__(self):
        yield from self.pieces

    async def __aiter__(self):
        for piece in self.pieces:
            yield piece


def reply(
    body: bytes | dict | Iterable[bytes], *, status: int = 200, content_type: str = "application/json", **headers: str
) -> httpx2.Response:
    """An answer whose body is read piece by piece."""
    if isinstance(body, dict):
        body = json.dumps(body).encode()
    pieces = [body] if isinstance(body, bytes) else body
    named = {"content-type": content_type, "x-request-id": "req_1"}
    named |= {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx2.Response(status, headers=named, stream=Pieces(pieces))


def sse(*events: dict | str | tuple[str, dict]) -> list[bytes]:
    """Server-sent events: data alone, or with an event name."""
    lines = []
    for event in events:
        name, data = event if isinstance(event, tuple) else ("", event)
        text = data if isinstance(data, str) else json.dumps(data, separators=(",", ":"))
        lines.append((f"event: {name}\n" if name else "").encode() + f"data: {text}\n\n".encode())
    return lines


def stream_reply(pieces: Iterable[bytes], **headers: str) -> httpx2.Response:
    return reply(list(pieces), content_type="text/event-stream; charset=utf-8", **headers)


def chat_answer(**changes: Any) -> dict:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1790000000,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "Hello."}, "finish_reason": "stop"}],
        "usage": USAGE,
        "service_tier": "default",
        **changes,
    }


def chat_chunks(words: Iterable[str] = ("Hel", "lo."), *, asked: bool, done: bool = True) -> list[bytes]:
    """The chunks of a chat stream; with its usage, as OpenAI sends it when it is `asked` for it."""
    top = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1790000000, "model": "gpt-4o-2024-08-06"}
    null = {"usage": None} if asked else {}

    def chunk(delta: dict, finish: str | None = None) -> dict:
        return {**top, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], **null, "obfuscation": "xY1"}

    events: list[dict | str] = [chunk({"role": "assistant", "content": ""})]
    events += [chunk({"content": word}) for word in words]
    events.append(chunk({}, "stop"))
    if asked:
        events.append({**top, "choices": [], "usage": USAGE, "obfuscation": "xY1"})
    return sse(*events, *(["[DONE]"] if done else []))


def openai_chat(request: httpx2.Request) -> httpx2.Response:
    """OpenAI's chat completions: JSON or a stream, usage in the stream when it is asked for."""
    body = json.loads(request.content)
    if not body.get("stream"):
        return reply(chat_answer())
    return stream_reply(chat_chunks(asked=bool((body.get("stream_options") or {}).get("include_usage"))))


MESSAGE_USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 100,
    "cache_creation": {"ephemeral_5m_input_tokens": 5, "ephemeral_1h_input_tokens": 0},
    "output_tokens": 1,
    "service_tier": "standard",
}


def message_events(words: Iterable[str] = ("Hel", "lo."), *, until: str = "message_stop") -> list[bytes]:
    """The events of a Messages stream."""
    message = {"id": "msg_1", "type": "message", "role": "assistant", "content": [], "model": "claude-sonnet-4-6"}
    message |= {"stop_reason": None, "stop_sequence": None, "usage": MESSAGE_USAGE}
    events = [
        {"type": "message_start", "message": message},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        {"type": "ping"},
        *[{"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": w}} for w in words],
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 42}},
        {"type": "message_stop"},
    ]
    return sse(*[(str(event["type"]), event) for event in events])


def message_answer(**changes: Any) -> dict:
    return {
        "id": "msg_1",
        "type": "message",
        "role": "assistant",
        "model": "claude-sonnet-4-6",
        "content": [{"type": "text", "text": "Hello."}],
        "stop_reason": "end_turn",
        "usage": {**MESSAGE_USAGE, "output_tokens": 42},
        **changes,
    }


RESPONSE_USAGE = {
    "input_tokens": 30,
    "input_tokens_details": {"cached_tokens": 10},
    "output_tokens": 20,
    "output_tokens_details": {"reasoning_tokens": 5},
    "total_tokens": 50,
}


def response_answer(**changes: Any) -> dict:
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1790000000,
        "status": "completed",
        "model": "gpt-5-2025-08-07",
        "background": False,
        "output": [
            {
                "type": "message",
                "id": "msg_1",
                "role": "assistant",
                "status": "completed",
                "content": [{"type": "output_text", "text": "Hello.", "annotations": []}],
            }
        ],
        "service_tier": "flex",
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": RESPONSE_USAGE,
        **changes,
    }


def response_events(*, end: str = "response.completed", **changes: Any) -> list[bytes]:
    begun = response_answer(status="in_progress", usage=None, output=[], **changes)
    events = [
        {"type": "response.created", "sequence_number": 0, "response": begun},
        {"type": "response.in_progress", "sequence_number": 1, "response": begun},
        {
            "type": "response.output_item.added",
            "output_index": 0,
            "sequence_number": 1,
            "item": {"type": "message", "id": "msg_1", "role": "assistant", "status": "in_progress", "content": []},
        },
        {
            "type": "response.content_part.added",
            "item_id": "msg_1",
            "output_index": 0,
            "content_index": 0,
            "sequence_number": 1,
            "part": {"type": "output_text", "text": "", "annotations": []},
        },
        *[
            {
                "type": "response.output_text.delta",
                "sequence_number": 2 + n,
                "item_id": "msg_1",
                "output_index": 0,
                "content_index": 0,
                "delta": word,
                "logprobs": [],
            }
            for n, word in enumerate(("Hel", "lo."))
        ],
        {"type": end, "sequence_number": 9, "response": response_answer(**changes)},
    ]
    return sse(*[(str(event["type"]), event) for event in events])


class Clients:
    """Bare and metered SDK clients on one made-up provider; `events` holds what the metered ones left."""

    def __init__(self, handler: Handler = openai_chat) -> None:
        self.handler = handler
        self.events: list[CallEvent] = []
        self.requests: list[httpx2.Request] = []

    def _handle(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        return self.handler(request)

    async def _ahandle(self, request: httpx2.Request) -> httpx2.Response:
        return self._handle(request)

    def bare(self, cls: Any = openai.OpenAI, **kwargs: Any) -> Any:
        """An SDK client without a meter."""
        asynchronous = issubclass(cls, (openai.AsyncOpenAI, anthropic.AsyncAnthropic))
        http = httpx2.AsyncClient if asynchronous else httpx2.Client
        transport = httpx2.MockTransport(self._ahandle if asynchronous else self._handle)
        kwargs = {"max_retries": 0, "api_key": "local", **kwargs}
        return cls(http_client=http(transport=transport), **kwargs)

    def metered(self, cls: Any = openai.OpenAI, **kwargs: Any) -> Any:
        """The same, metered."""
        return instrument(self.bare(cls, **kwargs), sink=self.events.append)

    @property
    def event(self) -> CallEvent:
        """The only event so far."""
        assert len(self.events) == 1, self.events
        return self.events[0]
