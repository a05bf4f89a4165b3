"""From all that an attempt saw to the events it leaves: status, quality, usage, facts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from tracking.events import CallEvent
from tracking.failures import failures
from tracking.wire import answers, audio, bodies, endpoints, requests, results
from tracking.wire.answers import ENDED
from tracking.wire.bodies import Unreadable
from tracking.wire.readers import BytesReader, JsonReader, StreamReader

if TYPE_CHECKING:
    from tracking.meter import Attempt

#: gpt-4o-mini-tts and its kin: audio tokens a minute, from the provider's own estimate of 0.015 USD a minute at 12 USD
#: per million tokens
SPEECH_TOKENS_PER_MINUTE = 1250
#: answers whose price needs nothing but what stands at their end
_ENDS_SUFFICE = frozenset({"embeddings", "image_generation"})


def conclude(attempt: Attempt) -> list[CallEvent]:
    """The events of a finished attempt; none for a retrieval that brought nothing to bill. May raise on a bug only."""
    event, answer = attempt.event, attempt.answer
    value = _json_answer(attempt)
    status = _status(attempt)
    if attempt.endpoint.action in endpoints.RETRIEVALS:
        return _retrieved(attempt, value)
    if event.http_status is not None and 300 <= event.http_status < 400:
        return []  # the client goes where it is sent: that is the attempt
    event.status = status
    event.model_served, event.response_id = answer.model, answer.id
    if attempt.headers_ns:
        first_ns = attempt.headers_ns
        if isinstance(attempt.reader, StreamReader):
            first_ns = attempt.reader.stream.content_ns
        event.ttft_us = (first_ns - attempt.opened_ns) // 1000 if first_ns else None
    if answer.tier:
        event.facts["service_tier"] = answer.tier
    answered_well = event.http_status is not None and event.http_status < 400
    if not answered_well or status == "error":
        event.facts = {
            name: fact for name, fact in event.facts.items() if name in ("sent", "service_tier", "service_tier_asked")
        }
        event.error = _error_name(attempt) if status != "cancelled" else ""
        event.usage, event.quality = answer.usage, "exact" if answer.usage else "none"
    else:
        event.error = _error_name(attempt) if status not in ("ok", "cancelled") else ""
        _quantities(attempt, status)
    event.flags.extend(flag for flag in answer.flags if flag not in event.flags)
    if answered_well:
        _later(attempt, value)
    return [event]


def _json_answer(attempt: Attempt) -> dict[str, Any] | None:
    reader, answer = attempt.reader, attempt.answer
    if not isinstance(reader, JsonReader) or attempt.broken:
        return None
    if not attempt.ended and not reader.body.size_bytes:
        return None
    try:
        value, all_of_it = bodies.read_json(reader.body, ends_suffice=attempt.endpoint.operation in _ENDS_SUFFICE)
    except Unreadable as error:
        if attempt.ended and reader.body.size_bytes:
            failures.note("answer_body", error)
            answer.flag("unreadable_body")
        return None
    except RecursionError:
        answer.flag("unreadable_body")
        return None
    if not all_of_it:
        answer.flag("large_body")
    answers.read(value, answer)
    if attempt.error is None:
        attempt.ended = True  # a whole object came: who stops reading there has read it all
    return value


def _status(attempt: Attempt) -> str:
    event, error, reader = attempt.event, attempt.error, attempt.reader
    if event.http_status is not None and event.http_status >= 400:
        return "error"
    if isinstance(reader, StreamReader):
        stream = reader.stream
        over = attempt.ended and error is None and (not stream.has_end or stream.finished)
        if stream.complete or over or (stream.finished and attempt.knows_usage()):
            failed = attempt.answer.state == "failed" and attempt.answer.usage is None
            return "error" if failed else "ok"
        if attempt.answer.error and error is None:
            return "incomplete"  # the provider broke it off, and said why
    elif attempt.ended:
        return "error" if attempt.answer.state == "failed" and attempt.answer.usage is None else "ok"
    if error is None:
        return "incomplete" if attempt.ended else "cancelled"
    name = type(error).__name__
    if isinstance(error, TimeoutError) or name.endswith("Timeout") or name == "TimeoutException":
        return "timeout"
    if not isinstance(error, Exception) or name == "Cancelled":
        return "cancelled"  # CancelledError, KeyboardInterrupt, GeneratorExit
    return "connection_error" if event.http_status is None else "incomplete"


def _error_name(attempt: Attempt) -> str:
    """The provider's error code, else the class of what was raised: never a text, which may quote the prompt."""
    if attempt.answer.error:
        return attempt.answer.error[:200]
    if attempt.error is not None:
        return type(attempt.error).__name__[:200]
    if attempt.event.http_status is not None and attempt.event.http_status >= 400:
        return f"http_{attempt.event.http_status}"
    return attempt.answer.state if attempt.event.status == "error" else ""


def _quantities(attempt: Attempt, status: str) -> None:
    """Usage, facts and their quality, as well as they are known."""
    event, answer = attempt.event, attempt.answer
    data_count = answer.facts.pop("data_count", None)
    event.facts.update(answer.facts)
    event.usage = answer.usage
    reader = attempt.reader
    stream = reader.stream if isinstance(reader, StreamReader) else None
    if answer.usage is not None and (stream is None or stream.complete or stream.finished):
        event.quality = "exact"
    elif stream is not None and stream.keeps_text and not (answer.background and status != "ok"):
        _estimate_stream(attempt, stream)
    elif answer.usage is not None:
        event.quality = "partial"
    elif event.operation in ("transcription", "translation"):
        _measured_sound(attempt)
    elif event.operation == "speech":
        _speech(attempt, status)
    elif event.operation == "image_generation":
        if data_count:
            event.facts["images"]["n"] = data_count
        event.quality = "exact" if status == "ok" else "estimated"
    elif event.operation in ("moderation", "token_count") and status == "ok":
        event.quality = "exact"  # free: there is nothing to know
    if answer.usage is not None:
        # What the provider counted replaces what we would have counted.
        event.facts.pop("images", None)
        if event.operation in ("transcription", "translation"):
            event.facts.pop("audio_seconds", None)


def _estimate_stream(attempt: Attempt, stream: Any) -> None:
    event, answer = attempt.event, attempt.answer
    reported = answer.usage is not None
    estimate = stream.estimate(None if reported else requests.prompt_tokens(attempt.sent))
    if estimate is None:
        return
    event.usage = estimate
    event.facts.update({name: fact for name, fact in answer.facts.items() if name != "data_count"})
    event.quality = "partial" if reported else "estimated"
    if not reported:
        answer.flag("estimated_from_deltas")
        answer.flag("input_estimated")


def _measured_sound(attempt: Attempt) -> None:
    event = attempt.event
    if "audio_seconds" in event.facts:
        event.quality = "exact"  # as the provider says
        return
    try:
        seconds = requests.audio_seconds(attempt.sent)
    except Exception as error:
        failures.note("audio", error)
        seconds = None
    if seconds is not None and math.isfinite(seconds):
        event.facts["audio_seconds"] = seconds
        event.quality = "estimated"
        attempt.answer.flag("measured_duration")
    else:
        attempt.answer.flag("unknown_duration")


def _speech(attempt: Attempt, status: str) -> None:
    """Speech is billed by characters, which the request tells; the gpt models by tokens, which nothing tells."""
    event = attempt.event
    characters = event.facts.get("characters")
    if characters is None:
        return
    if not event.model_asked.startswith("gpt"):
        event.quality = "exact" if status == "ok" else "estimated"
        return
    reader = attempt.reader
    seconds, source = audio.speech_seconds(
        form=attempt.sent.text("response_format"),
        head=reader.head if isinstance(reader, BytesReader) and status == "ok" else b"",
        size_bytes=reader.size_bytes if isinstance(reader, BytesReader) and status == "ok" else 0,
        characters=characters + 0,
    )
    instructions = attempt.sent.fields.get("instructions")
    text = characters + (len(instructions) if isinstance(instructions, str) else 0)
    event.usage = {
        "input_tokens": -(-text // requests.CHARACTERS_PER_TOKEN),
        "output_tokens": math.ceil(seconds * SPEECH_TOKENS_PER_MINUTE / 60),
    }
    event.quality = "estimated"
    attempt.answer.flag(f"estimated_from_{source}")


def _retrieved(attempt: Attempt, value: dict[str, Any] | None) -> list[CallEvent]:
    event, reader = attempt.event, attempt.reader
    if event.http_status is None or event.http_status >= 400:
        return []
    if isinstance(reader, StreamReader) and reader.stream.complete:
        answer = attempt.answer
        value = {
            "id": answer.id,
            "model": answer.model,
            "status": answer.state,
            "usage": answer.usage,
            "background": answer.background,
            "service_tier": answer.tier,
            **({"object": "thread.run"} if "threads" in event.endpoint else {}),
        }
    if not isinstance(value, dict):
        return []
    template = attempt.event
    template.flags = []
    found = list(results.retrieved(kind=attempt.kind, endpoint=attempt.endpoint, value=value, template=template))
    if isinstance(reader, StreamReader):
        for one in found:
            one.facts.update(attempt.answer.facts)
    return found


def _later(attempt: Attempt, value: dict[str, Any] | None) -> None:
    """Mark what is only begun (a background response, a run, a video, a batch), so that its result is billed once."""
    event, answer, action = attempt.event, attempt.answer, attempt.endpoint.action
    if action == endpoints.RESPONSE and answer.background or action == endpoints.RUN and answer.id:
        event.result_key = results.key(attempt.kind, answer.id)
        if answer.usage is None and answer.state not in ENDED:
            _pending(event)
    elif action == endpoints.VIDEO and answer.id:
        event.result_key = results.key(attempt.kind, answer.id)
        if value:
            event.facts.update(answers.video_facts(value))
        if answer.state != "failed":
            _pending(event)
    elif action == endpoints.BATCH and answer.id:
        event.result_key = results.key(attempt.kind, answer.id)
        event.batch = True
        if attempt.kind == "openai":
            event.operation, event.endpoint = results.batch_operation(attempt.sent.fields)
        _pending(event)


def _pending(event: CallEvent) -> None:
    event.kind = event.status = "pending"
    event.quality, event.usage = "none", None
    event.flags = [flag for flag in event.flags if not flag.startswith(("estimated_", "input_"))]
