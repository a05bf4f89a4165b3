"""What the messages of a websocket session say about cost: one event for each response, transcription and session."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable
from typing import Any

import uuid_utils

from tracking.events import CallEvent
from tracking.wire import answers
from tracking.wire.answers import Answer
from tracking.wire.bodies import parse_json
from tracking.wire.results import ITEM_NAMESPACE

#: responses that are open at once in one session, at most; more are not followed
MAX_OPEN = 256
#: a session billed by its length is recorded this often while it lasts, in seconds of its own count
INCREMENT_S = 60.0

_TYPE = re.compile(rb'"type"\s*:\s*"([a-z_.]{1,80})"')
_ELAPSED = re.compile(rb'"elapsed_ms"\s*:\s*(\d{1,12})\b')
_SESSION = frozenset({b"session.created", b"session.updated", b"session.started"})
_OPENED = b"response.created"
_ENDED = frozenset(
    {b"response.done", b"response.completed", b"response.incomplete", b"response.failed", b"response.cancelled"}
)
_TRANSCRIBED = b"conversation.item.input_audio_transcription.completed"
_LENGTH = frozenset({b"session.usage.updated", b"session.closed"})
_DELEGATED = frozenset({b"response.event", b"decision.event"})


class Session:
    """Reads the messages that come in; hands each event to `emit`. Not thread-safe: one reader at a time."""

    def __init__(
        self, *, path: str, model: str, emit: Callable[[CallEvent], None], make: Callable[[], CallEvent]
    ) -> None:
        self.endpoint = _endpoint(path)
        self.model = model
        self.transcription_model = ""
        self.id = ""
        self.emit = self._emit = emit
        self._make = make
        self._open: dict[str, tuple[int, int, int]] = {}  # response -> opened at us, opened ns, first content ns
        self._seconds = 0.0  # the session's length, as far as it is known
        self._recorded_seconds = 0.0
        self._estimated_length = False
        self._ended = False

    def see(self, message: bytes) -> None:
        """One message from the provider. May raise `ValueError` and the like: it is garbage."""
        found = _TYPE.search(message)
        kind = found.group(1) if found else b""
        if kind.endswith(b".delta"):
            self._delta(message)
        elif kind == _OPENED:
            self._opened(_object(message))
        elif kind in _ENDED:
            self._response(_object(message).get("response"))
        elif kind == _TRANSCRIBED:
            self._transcribed(_object(message))
        elif kind in _DELEGATED:
            self._delegated(_object(message).get("event"))
        elif kind in _SESSION:
            self._configured(_object(message).get("session"))
        if kind in _LENGTH and b'"usage"' in message:
            self._length(_object(message), last=kind == b"session.closed")

    def end(self, *, status: str = "cancelled") -> None:
        """The session is over: record what is still open. The second time nothing happens."""
        if self._ended:
            return
        self._ended = True
        for name, (at_us, opened_ns, first_ns) in self._open.items():
            event = self._event(name)
            event.at_us, event.status, event.quality = at_us, status, "none"
            _times(event, opened_ns, first_ns)
            self._emit(event)
        self._open.clear()
        self._record_length()

    # --- messages -------------------------------------------------------------------------------

    def _configured(self, session: Any) -> None:
        if not isinstance(session, dict):
            return
        self.id = _text(session.get("id")) or self.id
        self.model = _text(session.get("model")) or self.model
        sound = session.get("audio")
        incoming = sound.get("input") if isinstance(sound, dict) else None
        for place in (incoming, session):
            if not isinstance(place, dict):
                continue
            # The second name is that of the first (beta) sessions.
            for key in ("transcription", "input_audio_transcription"):
                asked = place.get(key)
                if isinstance(asked, dict) and asked.get("model"):
                    self.transcription_model = _text(asked.get("model"))

    def _opened(self, value: dict[str, Any]) -> None:
        response = value.get("response")
        name = _text(response.get("id")) if isinstance(response, dict) else ""
        if name and len(self._open) < MAX_OPEN:
            self._open[name] = (time.time_ns() // 1000, time.perf_counter_ns(), 0)

    def _delta(self, message: bytes) -> None:
        if self._open:
            name, (at_us, opened_ns, first_ns) = next(reversed(self._open.items()))
            if not first_ns:
                self._open[name] = (at_us, opened_ns, time.perf_counter_ns())
        elif self.endpoint == "/v1/realtime/translations" and (found := _ELAPSED.search(message)):
            self._seconds = max(self._seconds, int(found.group(1)) / 1000)
            self._estimated_length = True
            self._record_increment()

    def _response(self, response: Any) -> None:
        if not isinstance(response, dict):
            return
        answer = Answer()
        answers.read(response, answer)
        event = self._event(answer.id)
        opened = self._open.pop(answer.id, None)
        if opened is not None:
            event.at_us = opened[0]
            _times(event, opened[1], opened[2])
        self._fill(event, answer)
        event.model_served = answer.model or self.model
        if answer.state == "failed" and answer.usage is None:
            event.status, event.error = "error", answer.error or _failure(response) or "failed"
        elif answer.state in ("cancelled", "incomplete"):
            event.status = "cancelled" if answer.state == "cancelled" else "ok"
        self._emit(event)

    def _transcribed(self, value: dict[str, Any]) -> None:
        answer = Answer()
        if value.get("usage") is not None:
            answers.add_usage(value["usage"], answer)
        name = f"{_text(value.get('item_id'))}/{value.get('content_index', 0)}" if value.get("item_id") else ""
        event = self._event(f"transcription/{name}" if name else "")
        event.operation = "transcription"
        event.response_id = _text(value.get("item_id"))
        self._fill(event, answer)
        event.model_asked = event.model_served = self.transcription_model
        self._emit(event)

    def _delegated(self, inner: Any) -> None:
        """A live session has others work for it: each is billed at its own model."""
        if not isinstance(inner, dict):
            return
        kind = str(inner.get("type", "")).encode()
        if kind == b"decision.completed" and isinstance(inner.get("decision"), dict):
            result, endpoint, operation = inner["decision"], "/v1/decisions", "other"
        elif kind in _ENDED and isinstance(inner.get("response"), dict):
            result, endpoint, operation = inner["response"], "/v1/responses", "chat"
        else:
            return
        answer = Answer()
        answers.read(result, answer)
        event = self._event(answer.id)
        event.endpoint, event.operation = endpoint, operation
        self._fill(event, answer)
        event.model_asked = event.model_served = answer.model
        self._emit(event)

    def _length(self, value: dict[str, Any], *, last: bool) -> None:
        usage = value.get("usage")
        seconds = usage.get("seconds") if isinstance(usage, dict) else None
        if isinstance(seconds, (int, float)) and not isinstance(seconds, bool) and 0 <= seconds < 1e8:
            # The provider counts up: what is recorded is how far it got since the last record.
            self._seconds = max(self._seconds, float(seconds))
        if last:
            self._record_length()
        else:
            self._record_increment()

    # --- events ---------------------------------------------------------------------------------

    def _record_increment(self) -> None:
        if self._seconds - self._recorded_seconds >= INCREMENT_S:
            self._record_length()

    def _record_length(self) -> None:
        more = round(self._seconds - self._recorded_seconds, 3)
        if more <= 0:
            return
        event = self._event("")
        event.response_id = self.id
        event.usage = {"type": "duration", "seconds": int(more) if more == int(more) else more}
        event.quality = "estimated" if self._estimated_length else "exact"
        if self._estimated_length:
            event.flags.append("measured_duration")
        self._recorded_seconds = self._seconds
        self._emit(event)

    def _event(self, name: str) -> CallEvent:
        event = self._make()
        # Two connections of one session see the same response: its name makes the id.
        event.id = str(uuid.uuid5(ITEM_NAMESPACE, f"openai session\n{name}") if name else uuid_utils.uuid7())
        event.endpoint = self.endpoint
        event.operation = "chat" if self.endpoint == "/v1/responses" else "realtime"
        event.model_asked = event.model_served = self.model
        event.response_id = name
        event.stream = True
        return event

    def _fill(self, event: CallEvent, answer: Answer) -> None:
        event.response_id = answer.id or event.response_id
        event.usage, event.facts = answer.usage, dict(answer.facts)
        event.flags.extend(answer.flags)
        event.quality = "exact" if answer.usage is not None else "none"
        if answer.tier:
            event.facts["service_tier"] = answer.tier


def _endpoint(path: str) -> str:
    if "/translations" in path:
        return "/v1/realtime/translations"
    if "/responses" in path:
        return "/v1/responses"
    return "/v1/live" if "/live" in path else "/v1/realtime"


def _times(event: CallEvent, opened_ns: int, first_ns: int) -> None:
    event.latency_us = (time.perf_counter_ns() - opened_ns) // 1000
    event.ttft_us = (first_ns - opened_ns) // 1000 if first_ns else None


def _failure(response: dict[str, Any]) -> str:
    details = response.get("status_details")
    return answers.error_code(details.get("error")) if isinstance(details, dict) else ""


def _object(message: bytes) -> dict[str, Any]:
    value = parse_json(message)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _text(value: Any) -> str:
    return value[: answers.MAX_NAME_LENGTH].replace("\x00", "") if isinstance(value, str) else ""
