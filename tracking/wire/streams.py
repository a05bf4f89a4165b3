"""Streams, event by event: what the caller may see of each, what it says about cost, and how far the stream got."""

from __future__ import annotations

import re
import time
from typing import Any

from tracking.wire import answers
from tracking.wire.answers import Answer
from tracking.wire.bodies import parse_odd_json
from tracking.wire.endpoints import Endpoint
from tracking.wire.requests import CHARACTERS_PER_TOKEN
from tracking.wire.sse import data_of

#: how much of a stream's text is kept to estimate its output, should it be cut, in bytes
KEEP_BYTES = 1 << 20
#: in how many events of a chat stream its id and model are looked for (Azure's first one has neither)
FIRST_EVENTS = 4

_FINISHED = re.compile(rb'"finish_reason"\s*:\s*"')
_CONTENT = re.compile(rb'"(?:content|text|arguments|reasoning_content|refusal|name)"\s*:\s*"[^"]')
_NULL_USAGE = re.compile(rb',\s*"usage"\s*:\s*null(?=\s*[,}])|(?<=\{)\s*"usage"\s*:\s*null\s*,')
_BRACKET_OR_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"|[{}\[\]]', re.S)
_RESPONSE_EVENT = re.compile(
    rb'"type"\s*:\s*"(?:response\.(?:created|queued|completed|incomplete|failed|cancelled)|error)"'
)
_RESPONSE_DELTA = re.compile(rb'"type"\s*:\s*"response\.[a-z_.]+\.(?:delta|partial_image)"')


class Stream:
    """One stream of events. Subclasses know one dialect each."""

    __slots__ = ("answer", "complete", "content_ns", "finished", "kept", "kept_bytes", "size_bytes", "strip")

    #: whether a stream that ends without its last event was cut
    has_end = True
    #: whether its text is kept, to estimate its output when it is cut
    keeps_text = True

    def __init__(self, answer: Answer, *, strip: bool = False) -> None:
        self.answer = answer
        self.strip = strip
        self.complete = False  # the last event came: what is known is all there is
        self.finished = False  # only the usage is still to come
        self.content_ns = 0  # time.perf_counter_ns() of the first content
        self.kept: list[bytes] = []
        self.kept_bytes = 0
        self.size_bytes = 0

    def event(self, raw: bytes) -> bytes:
        """Read one event; returns what the caller sees of it, b"" to hide it. May raise `ValueError`: it is garbage."""
        if not self.content_ns:
            self.content_ns = time.perf_counter_ns()
        if b'"usage"' in raw or b'"error"' in raw:
            answers.read(_object(raw), self.answer)
        return raw

    def keep(self, raw: bytes) -> None:
        """Keep an event with text in it, for an estimate."""
        size = len(raw)
        self.size_bytes += size
        if self.kept_bytes < KEEP_BYTES:
            self.kept.append(raw)
            self.kept_bytes += size

    def wants_tail(self) -> bool:
        """Whether the stream was left after its content and just before its usage."""
        offered = "usage_not_offered" not in self.answer.flags
        return offered and self.finished and not self.complete and self.answer.usage is None

    def output_tokens(self) -> int:
        """About how many tokens the text that came by is."""
        characters = 0
        for raw in self.kept:
            try:
                characters += self.characters(_object(raw))
            except ValueError:
                continue
        if self.size_bytes > self.kept_bytes > 0:
            characters = characters * self.size_bytes // self.kept_bytes
        return -(-characters // CHARACTERS_PER_TOKEN)

    def characters(self, value: dict[str, Any]) -> int:
        """Characters of generated text in one event."""
        return 0

    def estimate(self, prompt_tokens: int | None) -> dict[str, Any] | None:
        """Usage in the provider's own shape as far as the text tells; None where it tells nothing."""
        return None


class ChatStream(Stream):
    """Chat and legacy completions of OpenAI, and of those who speak like it."""

    __slots__ = ()

    def event(self, raw: bytes) -> bytes:
        if len(raw) < 24 and b"[DONE]" in raw:
            self.complete = True
            return raw
        if b"data:" not in raw:
            return raw  # a comment that keeps the connection alive
        shown = raw
        if b'"usage"' in raw:
            null = b'"usage":null' in raw or b'"usage": null' in raw
            if null and self.strip:
                shown = without_null_usage(raw)
            if not null and self._reads_usage(raw):
                return b""
        elif b'"error"' in raw:
            answers.read(_object(raw), self.answer)
        self.keep(raw)
        if not self.content_ns and _CONTENT.search(raw):
            self.content_ns = time.perf_counter_ns()
        if not self.answer.id and len(self.kept) <= FIRST_EVENTS:
            answers.read_names(_object(raw), self.answer)
        if b'"finish_reason":null' not in raw and _FINISHED.search(raw):
            self.finished = True
        return shown

    def _reads_usage(self, raw: bytes) -> bool:
        """Read the usage; True when the chunk is there only because metering asked for it."""
        value = _object(raw)
        answers.read(value, self.answer)
        return self.strip and value.get("choices") == [] and isinstance(value.get("usage"), dict)

    def characters(self, value: dict[str, Any]) -> int:
        found = 0
        choices = value.get("choices")
        for choice in choices if isinstance(choices, list) else ():
            if not isinstance(choice, dict):
                continue
            found += _length(choice.get("text"))
            delta = choice.get("delta")
            if not isinstance(delta, dict):
                continue
            found += sum(_length(delta.get(name)) for name in ("content", "refusal", "reasoning_content", "reasoning"))
            for call in delta.get("tool_calls") or ():
                function = call.get("function") if isinstance(call, dict) else None
                if isinstance(function, dict):
                    found += _length(function.get("name")) + _length(function.get("arguments"))
        return found

    def estimate(self, prompt_tokens: int | None) -> dict[str, Any] | None:
        sent, received = prompt_tokens or 0, self.output_tokens()
        return {"prompt_tokens": sent, "completion_tokens": received, "total_tokens": sent + received}


class ResponsesStream(Stream):
    """The Responses API."""

    __slots__ = ()

    def event(self, raw: bytes) -> bytes:
        if not self.content_ns and _RESPONSE_DELTA.search(raw):
            self.content_ns = time.perf_counter_ns()
        if _RESPONSE_EVENT.search(raw) is None:
            self.keep(raw)
            return raw
        value = _object(raw)
        kind = value.get("type")
        answers.read(value, self.answer)
        if kind == "error":
            self.answer.error = answers.error_code(value) or self.answer.error or "error"
        elif kind in ("response.completed", "response.incomplete", "response.failed", "response.cancelled"):
            self.complete = True
        return raw

    def characters(self, value: dict[str, Any]) -> int:
        return _length(value.get("delta")) if str(value.get("type", "")).endswith(".delta") else 0

    def estimate(self, prompt_tokens: int | None) -> dict[str, Any] | None:
        items = []
        for raw in self.kept:
            if b'_call"' in raw and b"output_item.done" in raw:
                items.append(_object(raw).get("item"))
        answers.read_items(items, self.answer)
        sent, received = prompt_tokens or 0, self.output_tokens()
        return {"input_tokens": sent, "output_tokens": received, "total_tokens": sent + received}


class MessagesStream(Stream):
    """Messages of Anthropic."""

    __slots__ = ()

    def event(self, raw: bytes) -> bytes:
        if b'"message_' not in raw and b'"error"' not in raw:
            if b"content_block_delta" in raw:
                if not self.content_ns:
                    self.content_ns = time.perf_counter_ns()
                self.keep(raw)
            return raw
        value = _object(raw)
        kind = value.get("type")
        if kind == "message_stop":
            self.complete = True
        elif kind in ("message_start", "message_delta", "error"):
            answers.read(value, self.answer)
            delta = value.get("delta")
            if kind == "message_delta" and isinstance(delta, dict) and delta.get("stop_reason"):
                self.complete = isinstance(value.get("usage"), dict)  # nothing more is billed: it has said all
        return raw

    def characters(self, value: dict[str, Any]) -> int:
        delta = value.get("delta")
        if not isinstance(delta, dict):
            return 0
        return sum(_length(delta.get(name)) for name in ("text", "partial_json", "thinking"))

    def estimate(self, prompt_tokens: int | None) -> dict[str, Any] | None:
        received = self.output_tokens()
        usage = self.answer.usage
        if usage is None:
            return {"input_tokens": prompt_tokens or 0, "output_tokens": received}
        reported = usage.get("output_tokens")
        if not isinstance(reported, int) or received > reported:
            self.answer.flag("estimated_from_deltas")
            return {**usage, "output_tokens": received}
        return usage


class RunStream(Stream):
    """Assistants: the usage comes with the run's last state."""

    __slots__ = ()

    def event(self, raw: bytes) -> bytes:
        if not self.content_ns and b"thread.message.delta" in raw:
            self.content_ns = time.perf_counter_ns()
        if b"[DONE]" in raw and len(raw) < 48:
            self.complete = True
        elif b'"thread.run"' in raw or raw.startswith(b"event: error"):
            answers.read(_object(raw), self.answer)
        return raw


class MediaStream(Stream):
    """Transcripts, speech and images: a last event of each result says what it used."""

    __slots__ = ()
    keeps_text = False

    def event(self, raw: bytes) -> bytes:
        if not self.content_ns:
            self.content_ns = time.perf_counter_ns()
        if b'.done"' not in raw and b'.completed"' not in raw and b'"error"' not in raw:
            return raw
        value = _object(raw)
        kind = str(value.get("type", ""))
        if kind.endswith((".done", ".completed")) and "segment" not in kind:
            self.complete = True
            answers.read_names(value, self.answer)
            if value.get("usage") is not None:
                answers.sum_usage(value["usage"], self.answer)
        elif value.get("error") is not None:
            answers.read(value, self.answer)
        return raw


class OtherStream(Stream):
    """A stream nobody told us about."""

    __slots__ = ()
    has_end = False
    keeps_text = False


def stream_for(*, kind: str, endpoint: Endpoint, answer: Answer, strip: bool) -> Stream:
    """The reader of a stream of this endpoint."""
    if endpoint.name in ("/v1/chat/completions", "/v1/completions"):
        return ChatStream(answer, strip=strip)
    if endpoint.name.startswith("/v1/responses"):
        return ResponsesStream(answer)
    if endpoint.name.startswith("/v1/threads"):
        return RunStream(answer)
    if endpoint.operation in ("transcription", "translation", "speech", "image_generation"):
        return MediaStream(answer)
    if kind == "anthropic" and endpoint.name == "/v1/messages":
        return MessagesStream(answer)
    return OtherStream(answer)


def without_null_usage(raw: bytes) -> bytes:
    """A chat chunk without the top-level `"usage": null` that asking for usage adds."""
    start = raw.find(b',"usage":null')
    end = start + 13
    if start < 0 or raw[end : end + 1] not in (b"}", b","):
        found = _NULL_USAGE.search(raw)
        if found is None:
            return raw
        start, end = found.span()
    if raw.count(b"}", end) != 1 or raw.find(b"]", end) >= 0 or raw.find(b'"usage"', end) >= 0:
        # It may belong to an object inside: count the brackets that are open there.
        for found in _NULL_USAGE.finditer(raw):
            if _depth(raw, found.start()) == 1:
                start, end = found.span()
                break
        else:
            return raw
    return raw[:start] + raw[end:]


def _depth(raw: bytes, position: int) -> int:
    depth = 0
    for match in _BRACKET_OR_STRING.finditer(raw, raw.find(b"{")):
        if match.start() >= position:
            break
        token = match.group()
        depth += (token in (b"{", b"[")) - (token in (b"}", b"]"))
    return depth


def _object(raw: bytes) -> dict[str, Any]:
    value = parse_odd_json(data_of(raw))
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _length(value: Any) -> int:
    return len(value) if isinstance(value, str) else 0
