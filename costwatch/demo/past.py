"""Sixty days of a small music company's AI calls, made up: the past traffic of the demo workspace.

The same people and the same first day give the same calls with the same ids, so they can be recorded again and again.
Pure: no clock, no database.
"""

from __future__ import annotations

import random
import uuid
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

from costwatch.demo.quantities import seed, served
from tracking.events import CallEvent

DAYS = 60
MAX_DAYS = 400  # a demo workspace that is kept does not grow without end
NAMESPACE = uuid.UUID("b1a5e5d0-0d3e-5e0f-9c4b-c0573a7c4000")
#: calls of a day relative to an average weekday, Monday first
WEEK = (1.0, 1.1, 1.15, 1.1, 0.9, 0.35, 0.3)
GROWTH_PER_DAY = 0.012
TRACKS_PER_DAY, QUESTIONS_PER_DAY, COACHINGS_PER_DAY = 6.0, 45.0, 2.0
#: how much of the work each person does
SHARES = (0.38, 0.27, 0.2, 0.15)
NEW_MODEL_AFTER_DAYS = 35  # from then on pitches are written by another model
ERROR_SHARE, TIMEOUT_SHARE = 0.015, 0.004
SYSTEM_PROMPT_TOKENS = 1_850


@dataclass(frozen=True, slots=True)
class Moment:
    """When, by whom, for what."""

    at: datetime
    user: int
    feature: str
    analysis: str = ""


def past_calls(*, first_day: date, until: datetime, users: Sequence[int]) -> Iterator[CallEvent]:
    """The calls from the morning of `first_day` on and before `until`, in order of time; of at most MAX_DAYS days."""
    until_us = int(until.timestamp() * 1_000_000)
    waiting: list[CallEvent] = []  # what was begun late in the evening goes on after midnight
    for number in range(min((until.date() - first_day).days + 1, MAX_DAYS)):
        day = first_day + timedelta(days=number)
        for index, event in enumerate(_day(day, number, users)):
            event.id = str(uuid.uuid5(NAMESPACE, f"{first_day} {day} {index}"))
            waiting.append(event)
        midnight = datetime.combine(day + timedelta(days=1), time(), UTC)
        end_us = min(int(midnight.timestamp() * 1_000_000), until_us)
        waiting.sort(key=lambda event: (event.at_us, event.id))
        count = bisect_left(waiting, end_us, key=lambda event: event.at_us)
        yield from waiting[:count]
        del waiting[:count]


def _day(day: date, number: int, users: Sequence[int]) -> Iterator[CallEvent]:
    rng = random.Random(seed("day", str(day)))  # noqa: S311 (not a secret)
    load = WEEK[day.weekday()] * (1 + GROWTH_PER_DAY) ** number
    for track_number in range(_count(rng, TRACKS_PER_DAY * load)):
        yield from _track(rng, day, number, users, f"track-{day:%m%d}-{track_number + 1:02}")
    for _ in range(_count(rng, QUESTIONS_PER_DAY * load)):
        yield _support(rng, _moment(rng, day, users, "support_chat"))
    for _ in range(_count(rng, COACHINGS_PER_DAY * load)):
        yield from _coaching(rng, _moment(rng, day, users, "voice_coaching"))
    if day.weekday() == 6:
        yield from _weekly(rng, day, users)


def _count(rng: random.Random, mean: float) -> int:
    return max(0, round(rng.gauss(mean, mean**0.5 / 2)))


def _moment(rng: random.Random, day: date, users: Sequence[int], feature: str, analysis: str = "") -> Moment:
    hour = min(23.9, max(0.0, rng.gauss(14, 3.2)))  # office hours, with a tail
    at = datetime.combine(day, time(), UTC) + timedelta(hours=hour, microseconds=rng.randrange(1_000_000))
    return Moment(at, rng.choices(users, SHARES[: len(users)])[0], feature, analysis)


def _later(moment: Moment, seconds: float, feature: str) -> Moment:
    return Moment(moment.at + timedelta(seconds=seconds), moment.user, feature, moment.analysis)


def _event(rng: random.Random, moment: Moment, *, model: str, operation: str, endpoint: str, **more: Any) -> CallEvent:
    """A call that went well, unless chance has it otherwise."""
    latency_us = int(rng.lognormvariate(0.4, 0.5) * 1_000_000)
    event = CallEvent(
        id="",
        at_us=int(moment.at.timestamp() * 1_000_000),
        provider="anthropic" if model.startswith("claude") else "openai",
        operation=operation,
        endpoint=endpoint,
        source="demo",
        model_asked=model,
        model_served=served(model),
        user=moment.user,
        feature=moment.feature,
        analysis=moment.analysis,
        request_id=f"req_demo{rng.getrandbits(48):012x}",
        status="ok",
        http_status=200,
        quality="exact",
        latency_us=latency_us,
    )
    for name, value in more.items():
        setattr(event, name, value)
    if event.stream:
        event.ttft_us = latency_us // 4
    luck = rng.random()
    if luck < ERROR_SHARE:
        _fail(event, status="error", http_status=429, error="rate_limit_exceeded")
    elif luck < ERROR_SHARE + TIMEOUT_SHARE:
        _fail(event, status="timeout", http_status=None, error="ReadTimeout")
    return event


def _fail(event: CallEvent, *, status: str, http_status: int | None, error: str) -> None:
    event.status, event.http_status, event.error = status, http_status, error
    event.usage, event.quality, event.ttft_us, event.model_served = None, "none", None, ""


def _track(rng: random.Random, day: date, number: int, users: Sequence[int], analysis: str) -> Iterator[CallEvent]:
    """One song is analysed: heard, criticised, pitched, and filed."""
    start = _moment(rng, day, users, "transcription", analysis)
    seconds = int(rng.gauss(205, 40))
    heard = {"type": "duration", "seconds": max(60, seconds)}
    yield _event(
        rng, start, model="whisper-1", operation="transcription", endpoint="/v1/audio/transcriptions", usage=heard
    )
    for turn in range(rng.randint(1, 3)):
        moment = _later(start, 40 + 90 * turn, "lyric_critique")
        yield _claude(
            rng, moment, "claude-sonnet-4-5", said=rng.randint(500, 1400), answered=rng.randint(250, 900), turn=turn
        )
    pitch_model = "gpt-5-mini" if number >= NEW_MODEL_AFTER_DAYS else "gpt-4o"
    pitch = _later(start, 400, "pitch_generation")
    yield _chat(rng, pitch, pitch_model, said=rng.randint(900, 2600), answered=rng.randint(300, 900))
    count = rng.randint(300, 1200)
    filed = {"prompt_tokens": count, "total_tokens": count}
    yield _event(
        rng,
        _later(start, 460, "search_index"),
        model="text-embedding-3-small",
        operation="embeddings",
        endpoint="/v1/embeddings",
        usage=filed,
    )
    if rng.random() < 0.3:
        voiced = {"characters": rng.randint(200, 1500)}
        yield _event(
            rng,
            _later(start, 500, "voice_sample"),
            model="tts-1-hd",
            operation="speech",
            endpoint="/v1/audio/speech",
            facts=voiced,
            quality="estimated",
        )
    if rng.random() < 0.06:
        fine_tuned = _later(start, 540, "lyric_critique")
        yield _chat(rng, fine_tuned, "ft:lyrics-13b:house-blend", said=rng.randint(400, 900), answered=200)


def _support(rng: random.Random, moment: Moment) -> CallEvent:
    if rng.random() < 0.25:
        return _claude(
            rng, moment, "claude-haiku-4-5", said=rng.randint(80, 700), answered=rng.randint(60, 350), turn=1
        )
    return _chat(rng, moment, "gpt-4o-mini", said=rng.randint(150, 1900), answered=rng.randint(40, 420))


def _chat(rng: random.Random, moment: Moment, model: str, *, said: int, answered: int) -> CallEvent:
    cached = SYSTEM_PROMPT_TOKENS // 128 * 128 if rng.random() < 0.6 else 0
    thought = rng.randint(2, 12) * 64 if model.startswith("gpt-5") else 0
    prompt, completion = said + SYSTEM_PROMPT_TOKENS, answered + thought
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }
    return _event(
        rng,
        moment,
        model=model,
        operation="chat",
        endpoint="/v1/chat/completions",
        usage=usage,
        facts={"service_tier": "default"},
        stream=rng.random() < 0.5,
    )


def _claude(rng: random.Random, moment: Moment, model: str, *, said: int, answered: int, turn: int) -> CallEvent:
    read, written = (SYSTEM_PROMPT_TOKENS, 0) if turn else (0, SYSTEM_PROMPT_TOKENS)
    usage = {
        "input_tokens": said,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": answered,
        "service_tier": "standard",
    }
    return _event(
        rng,
        moment,
        model=model,
        operation="chat",
        endpoint="/v1/messages",
        usage=usage,
        facts={"service_tier": "standard"},
        stream=rng.random() < 0.7,
    )


def _coaching(rng: random.Random, moment: Moment) -> Iterator[CallEvent]:
    """A spoken session: each answer is a call, and so is what was heard."""
    context = 400
    for turn in range(rng.randint(2, 6)):
        heard, spoken, words = rng.randint(60, 220), rng.randint(150, 500), rng.randint(40, 120)
        at = _later(moment, 30 * turn, moment.feature)
        usage = {
            "total_tokens": context + heard + spoken + words,
            "input_tokens": context + heard,
            "output_tokens": spoken + words,
            "input_token_details": {
                "text_tokens": context,
                "audio_tokens": heard,
                "image_tokens": 0,
                "cached_tokens": 0,
                "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
            },
            "output_token_details": {"text_tokens": words, "audio_tokens": spoken},
        }
        yield _event(
            rng, at, model="gpt-realtime", operation="realtime", endpoint="/v1/realtime", usage=usage, stream=True
        )
        context += words


def _weekly(rng: random.Random, day: date, users: Sequence[int]) -> Iterator[CallEvent]:
    """On Sundays a batch writes the week's summaries, at half the price, and a cover is drawn."""
    moment = Moment(datetime.combine(day, time(3, 30), UTC), users[0], "weekly_digest", f"digest-{day:%G-w%V}")
    for item in range(40):
        event = _claude(
            rng,
            _later(moment, item, moment.feature),
            "claude-haiku-4-5",
            said=rng.randint(700, 2000),
            answered=300,
            turn=1,
        )
        event.batch, event.stream, event.ttft_us = True, False, None
        yield event
    drawn = {
        "input_tokens": 60,
        "input_tokens_details": {"text_tokens": 60, "image_tokens": 0},
        "output_tokens": 1056,
        "output_tokens_details": {"image_tokens": 1056, "text_tokens": 0},
        "total_tokens": 1116,
    }
    yield _event(
        rng,
        _later(moment, 600, "cover_art"),
        model="gpt-image-1",
        operation="image_generation",
        endpoint="/v1/images/generations",
        usage=drawn,
        facts={"images": {"n": 1, "size": "1024x1024", "quality": "medium"}},
    )
