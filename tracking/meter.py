"""The life of one attempt: open -> answered -> fed -> closed (or abandoned). Ends with one event for the recorder.

Nothing here raises into the caller's call: every step that reads what is not ours is guarded, counted in
`tracking.failures`, and given up. What is not known then is said to be not known.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import uuid_utils

from tracking.context import Attribution
from tracking.events import CallEvent
from tracking.failures import failures
from tracking.gate import Refused, facts_of
from tracking.marking import mark_span
from tracking.wire import endpoints, requests, results, streams
from tracking.wire.answers import Answer
from tracking.wire.bodies import Unreadable, decoder
from tracking.wire.conclude import conclude
from tracking.wire.endpoints import Endpoint
from tracking.wire.readers import BytesReader, JsonReader, LinesReader, StreamReader

Sink = Callable[[CallEvent], None]

#: The lines of a batch's output take back the sum that its retrieval billed, so they count only when all of them were
#: read. So many are kept until then; of a longer file each is handed over as it comes.
MAX_ITEMS = 10_000
#: errors before an answer that prove that nothing left this process
_NOT_SENT = frozenset({"ConnectError", "ConnectTimeout", "PoolTimeout", "ProxyError", "UnsupportedProtocol"})


class Meter:
    """Opens attempts for the requests of one SDK client."""

    __slots__ = ("gate", "kind", "provider", "sink")

    def __init__(self, *, kind: str, provider: str, sink: Sink, gate: Any = None) -> None:
        self.kind = kind  # whose paths and shapes: "openai" or "anthropic"
        self.provider = provider  # who sends the bill
        self.sink = sink
        self.gate = gate  # what is asked before an attempt is sent: a gate, or what finds it; None admits all

    def open(self, request: Any) -> Attempt | None:
        """The attempt that `request` begins; None when it needs no event. Never raises."""
        try:
            endpoint = endpoints.find(kind=self.kind, method=request.method, path=request.url.path)
            return None if endpoint is None else Attempt(self, request, endpoint)
        except Exception as error:
            failures.note("open", error)
            return None


class Attempt:
    """One HTTP attempt. All methods may be called in any order and more than once; the first `close` counts."""

    __slots__ = (
        "answer",
        "asks_usage",
        "attribution",
        "broken",
        "closed",
        "ended",
        "endpoint",
        "error",
        "event",
        "headers_ns",
        "held_by",
        "items",
        "kind",
        "opened_ns",
        "reader",
        "request",
        "sent",
        "sink",
        "source_read",
    )

    def __init__(self, meter: Meter, request: Any, endpoint: Endpoint) -> None:
        self.opened_ns = time.perf_counter_ns()
        self.kind, self.sink, self.endpoint, self.request = meter.kind, meter.sink, endpoint, request
        self.answer = Answer()
        self.reader: Any = None
        self.error: BaseException | None = None
        self.headers_ns = 0
        self.held_by: Any = None  # the gate that holds money under the event's id
        self.items: list[CallEvent] | None = [] if endpoint.action == endpoints.FILE_CONTENT else None
        self.closed = self.ended = self.broken = self.asks_usage = False
        headers = requests.headers_of(request)
        self.sent = requests.read(request, endpoint, headers.get("content-type", ""))
        self.event = CallEvent(
            id=str(uuid_utils.uuid7()),
            at_us=time.time_ns() // 1000,
            provider=meter.provider,
            operation=endpoint.operation,
            endpoint=endpoint.name,
            model_asked=self.sent.model,
            attempt=_attempt_number(headers.get("x-stainless-retry-count", "")),
            stream=self.sent.stream,
            facts=requests.facts(self.sent, endpoint.operation),
        )

    # --- before the answer ----------------------------------------------------------------------

    def attribute(self, attribution: Attribution) -> None:
        """Say who and what for."""
        event = self.event
        event.user, event.feature, event.analysis = attribution.user, attribution.feature, attribution.analysis
        event.tags = dict(attribution.tags)
        event.flags.extend(attribution.flags)
        mark_span(event.id)

    def usage_request(self) -> bytes | None:
        """The body to send instead, so that a chat stream reports its usage; None to send the caller's own."""
        if self.kind != "openai" or not self.sent.stream:
            return None
        if self.endpoint.name not in ("/v1/chat/completions", "/v1/completions"):
            return None
        try:
            body = requests.ask_for_usage(self.sent)
        except Exception as error:
            failures.note("ask_for_usage", error)
            return None
        self.asks_usage = body is not None
        return body

    def failed(self, error: BaseException) -> None:
        """There is no answer: the connection failed, timed out or was cancelled. Closes."""
        self.error = error
        if type(error).__name__ in _NOT_SENT:
            self.event.facts["sent"] = False
        self.close()

    def refused(self, refused: Refused) -> None:
        """It may not be sent. Closes."""
        if self.closed:
            return
        self.closed = True
        event = self.event
        event.status, event.http_status, event.error = "refused", refused.status, refused.code
        event.facts = facts_of(refused)
        event.latency_us = (time.perf_counter_ns() - self.opened_ns) // 1000
        self._emit(event)

    # --- the answer -----------------------------------------------------------------------------

    def answered(self, response: Any) -> bool:
        """The answer's head is here. Returns True when its body is shown decoded (its encoding must not be named)."""
        self.headers_ns = time.perf_counter_ns()
        try:
            return self._answered(response)
        except Exception as error:
            failures.note("answer", error)
            self.broken = True
            return False

    def _answered(self, response: Any) -> bool:
        headers, event = requests.headers_of(response), self.event
        event.http_status = response.status_code
        event.request_id = (headers.get("x-request-id") or headers.get("request-id") or "")[:200]
        content_type = headers.get("content-type", "").lower()
        try:
            decode = decoder(headers.get("content-encoding", ""))
        except Unreadable:
            self.answer.flag("unreadable_encoding")
            self.reader = BytesReader()
            return False
        if content_type.startswith("text/event-stream") or self._streams_anyway(response.status_code, content_type):
            event.stream = True
            strip = self.asks_usage and response.status_code < 400
            stream = streams.stream_for(kind=self.kind, endpoint=self.endpoint, answer=self.answer, strip=strip)
            self.reader = StreamReader(stream, decode)
            return strip and decode is not None
        if self.endpoint.action in (endpoints.FILE_CONTENT, endpoints.BATCH_RESULTS) and response.status_code < 400:
            self.reader = LinesReader(self._on_line, decode)
        elif "json" in content_type:
            self.reader = JsonReader(decode)
        else:
            self.reader = BytesReader()
            if "eventstream" in content_type:
                self.answer.flag("unread_stream")  # Amazon's framing
        return False

    def _streams_anyway(self, status_code: int, content_type: str) -> bool:
        """Whether this is the stream that was asked for under another name: the SDK reads it as one all the same."""
        named_otherwise = not content_type or content_type.startswith(("text/plain", "application/octet-stream"))
        return self.sent.stream and status_code < 400 and named_otherwise

    def feed(self, chunk: bytes) -> bytes:
        """A piece of the answer's body; returns what the caller sees of it. Never raises."""
        if self.broken or self.reader is None:
            return chunk
        try:
            return self.reader.feed(chunk)
        except Exception as error:
            self._give_up(error)
            # What was held back belongs before this piece; a piece that was taken already is part of it.
            return chunk if not isinstance(self.reader, StreamReader) else self.reader.held_back() or chunk

    def end(self) -> bytes:
        """The body is over; returns what was held back of it."""
        self.ended = True
        if self.broken or self.reader is None:
            return b""
        try:
            return self.reader.end()
        except Exception as error:
            self._give_up(error)
            return b""

    def broke(self, error: BaseException) -> None:
        """The body broke off with `error`."""
        self.error = error

    def held_back(self) -> bytes:
        """What the caller was not shown yet of a body that broke off. Never raises."""
        return self.reader.held_back() if isinstance(self.reader, StreamReader) and not self.broken else b""

    def wants_tail(self) -> bool:
        """Whether the caller left a stream just before its usage, so that reading a little more tells all."""
        reader = self.reader
        return (
            not self.closed
            and not self.ended
            and self.error is None
            and isinstance(reader, StreamReader)
            and reader.stream.wants_tail()
        )

    def knows_usage(self) -> bool:
        """Whether a usage report came."""
        return self.answer.usage is not None

    # --- the end --------------------------------------------------------------------------------

    def close(self) -> None:
        """It is over: hand over the event. Never raises; the second time nothing happens."""
        if self.closed:
            return
        self.closed = True
        self.event.latency_us = (time.perf_counter_ns() - self.opened_ns) // 1000
        try:
            found = conclude(self)
        except Exception as error:
            failures.note("conclude", error)
            self.event.flags.append("metering_failed")
            found = [self.event] if self.endpoint.action not in endpoints.RETRIEVALS else []
        if self.items and self.ended and self.error is None:
            found = self.items
        for event in found:
            self._emit(event)
        if self.held_by is not None and all(event.id != self.event.id for event in found):
            self._let_go()

    def _let_go(self) -> None:
        """Nothing will be recorded under this id (the client goes where it was sent): nothing settles its hold."""
        try:
            self.held_by.void(self.event.id)
        except Exception as error:
            failures.note("gate_void", error)

    def _emit(self, event: CallEvent) -> None:
        try:
            self.sink(event)
        except Exception as error:
            failures.note("sink", error)

    def _on_line(self, line: dict[str, Any]) -> None:
        batch = self.endpoint.ids[0] if self.endpoint.ids else ""
        event = results.item(kind=self.kind, batch=batch, line=line, template=self.event)
        if event is None:
            return
        if self.items is None:
            self._emit(event)
            return
        self.items.append(event)
        if len(self.items) > MAX_ITEMS:
            items, self.items = self.items, None
            for item in items:
                self._emit(item)

    def _give_up(self, error: Exception) -> None:
        failures.note("read", error)
        self.broken = True
        self.answer.flag("unreadable_body")


def _attempt_number(retries: str) -> int:
    return int(retries) + 1 if retries.isascii() and retries.isdigit() and len(retries) < 4 else 1
