"""The traffic of a made-up company, for benchmarks: who calls which model for what, how often, and with what usage.

`Company` says who there is; `templates_of_day` makes some hundred events of a day, each of which stands for many calls.
The same seed gives the same traffic.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta

from tracking.events import CallEvent

#: model asked, model served, kind of call, share of its features' calls, first day (of 365) on which it is used
MODELS = (
    ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "chat", 20.0, 0),
    ("gpt-4o", "gpt-4o-2024-08-06", "chat", 10.0, 0),
    ("gpt-4.1", "gpt-4.1-2025-04-14", "chat", 7.0, 0),
    ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "chat", 9.0, 0),
    ("gpt-4.1-nano", "gpt-4.1-nano-2025-04-14", "chat", 4.0, 0),
    ("gpt-5", "gpt-5-2025-08-07", "chat", 7.0, 0),
    ("gpt-5-mini", "gpt-5-mini-2025-08-07", "chat", 10.0, 0),
    ("gpt-5-nano", "gpt-5-nano-2025-08-07", "chat", 6.0, 0),
    ("gpt-5.1", "gpt-5.1", "chat", 5.0, 30),
    ("gpt-5.2", "gpt-5.2", "chat", 5.0, 90),
    ("gpt-5.4", "gpt-5.4", "chat", 5.0, 150),
    ("gpt-5.4-mini", "gpt-5.4-mini", "chat", 7.0, 150),
    ("o3", "o3-2025-04-16", "chat", 2.0, 0),
    ("o3-mini", "o3-mini-2025-01-31", "chat", 1.0, 0),
    ("o4-mini", "o4-mini-2025-04-16", "chat", 3.0, 0),
    ("gpt-4-turbo", "gpt-4-turbo-2024-04-09", "chat", 0.5, 0),
    ("gpt-3.5-turbo", "gpt-3.5-turbo-0125", "chat", 1.0, 0),
    ("claude-sonnet-4-5", "claude-sonnet-4-5-20250929", "claude", 11.0, 0),
    ("claude-haiku-4-5", "claude-haiku-4-5-20251001", "claude", 13.0, 0),
    ("claude-sonnet-4-0", "claude-sonnet-4-20250514", "claude", 3.0, 0),
    ("claude-opus-4-1", "claude-opus-4-1-20250805", "claude", 1.5, 0),
    ("claude-opus-4-5", "claude-opus-4-5-20251101", "claude", 2.0, 20),
    ("claude-sonnet-4-6", "claude-sonnet-4-6", "claude", 7.0, 120),
    ("claude-opus-4-6", "claude-opus-4-6", "claude", 1.5, 120),
    ("claude-opus-4-7", "claude-opus-4-7", "claude", 1.0, 200),
    ("claude-3-7-sonnet-latest", "claude-3-7-sonnet-20250219", "claude", 1.5, 0),
    ("claude-3-5-haiku-latest", "claude-3-5-haiku-20241022", "claude", 2.0, 0),
    ("gpt-4.1-mini", "gpt-4.1-mini-2025-04-14", "batch", 4.0, 330),
    ("gpt-4o-mini", "gpt-4o-mini-2024-07-18", "batch", 3.0, 330),
    ("text-embedding-3-small", "text-embedding-3-small", "embeddings", 22.0, 0),
    ("text-embedding-3-large", "text-embedding-3-large", "embeddings", 4.0, 0),
    ("text-embedding-ada-002", "text-embedding-ada-002-v2", "embeddings", 1.0, 0),
    ("whisper-1", "whisper-1", "whisper", 4.0, 0),
    ("gpt-4o-transcribe", "gpt-4o-transcribe", "transcribe", 3.0, 0),
    ("gpt-4o-mini-transcribe", "gpt-4o-mini-transcribe", "transcribe", 3.0, 0),
    ("tts-1", "tts-1", "speech", 3.0, 0),
    ("tts-1-hd", "tts-1-hd", "speech", 1.0, 0),
    ("gpt-realtime", "gpt-realtime", "realtime", 2.0, 0),
    ("gpt-realtime-mini", "gpt-realtime-mini", "realtime", 1.0, 60),
    ("gpt-image-1", "gpt-image-1", "image", 1.0, 0),
    ("omni-moderation-latest", "omni-moderation-latest", "moderation", 3.0, 0),
    ("ft:lyrics-13b:house-blend", "ft:lyrics-13b:house-blend", "chat", 0.05, 0),  # no price is known of it
)
_TALK, _WORK = ("chat", "claude"), ("chat", "claude", "batch")
#: feature, kinds of calls, share of all calls, whether its calls belong to analyses
FEATURES = (
    ("support_chat", _TALK, 14.0, False),
    ("search_index", ("embeddings",), 12.0, False),
    ("search_query", ("embeddings",), 8.0, False),
    ("document_summary", _WORK, 8.0, True),
    ("ticket_triage", _TALK, 7.0, False),
    ("code_review", _TALK, 6.0, True),
    ("lyric_critique", _TALK, 4.0, True),
    ("pitch_generation", _TALK, 4.0, True),
    ("transcription", ("whisper", "transcribe"), 4.0, True),
    ("meeting_notes", ("whisper", "transcribe", "chat"), 3.0, True),
    ("translation", _TALK, 4.0, False),
    ("content_filter", ("moderation",), 4.0, False),
    ("voice_coaching", ("realtime", "speech"), 2.0, False),
    ("voice_sample", ("speech",), 1.5, True),
    ("cover_art", ("image",), 0.5, True),
    ("weekly_digest", _WORK, 2.0, False),
    ("data_extraction", _WORK, 4.0, True),
    ("invoice_reading", _TALK, 2.0, True),
    ("sales_email", _TALK, 2.0, False),
    ("sql_assistant", _TALK, 2.0, False),
    ("onboarding", _TALK, 1.0, False),
    ("contract_check", _TALK, 1.5, True),
    ("sentiment", _WORK, 2.0, False),
    ("playground", _TALK, 1.0, False),
    ("", _TALK, 0.5, False),
)
#: calls of a day relative to an average weekday, Monday first; and of an hour of UTC
WEEK = (1.0, 1.1, 1.15, 1.1, 0.95, 0.45, 0.4)
HOURS = (2, 1.5, 1, 1, 1, 1.5, 3, 5, 8, 10, 10.5, 10, 9, 10, 10.5, 10, 9, 8, 6.5, 5, 4.5, 4, 3, 2.5)
MODELS_OF_FEATURE = 6
ERROR_SHARE, TIMEOUT_SHARE = 0.012, 0.0006


@dataclass(frozen=True, slots=True)
class Template:
    """An event that stands for `weight` of its feature's calls."""

    event: CallEvent
    feature: str
    weight: float


@dataclass(slots=True)
class Company:
    """Who calls for what: share of all calls by user, and for each user his features and tags."""

    users: list[int]
    shares: list[float] = field(default_factory=list)
    features: dict[int, list[tuple[str, float]]] = field(default_factory=dict)

    @classmethod
    def of(cls, users: list[int], *, seed: int = 1) -> Company:
        """A few users make most of the calls, and each uses some of the features."""
        chance = random.Random(seed)
        company = cls(users=users, shares=[1 / (n + 4) ** 0.9 for n in range(len(users))])
        for user in users:
            chosen = {chance.choices(FEATURES, [share for _, _, share, _ in FEATURES])[0] for _ in range(9)}
            company.features[user] = [(name, share) for name, _, share, _ in sorted(chosen)]
        return company


def models_of_feature() -> dict[str, list[tuple]]:
    """The models that each feature uses: up to `MODELS_OF_FEATURE` of those that can do its work."""
    found = {}
    for name, kinds, _, _ in FEATURES:
        chance = random.Random(f"models of {name}")
        able = [model for model in MODELS if model[2] in kinds]
        order = sorted(able, key=lambda model: chance.random() ** (1 / model[3]), reverse=True)
        found[name] = order[:MODELS_OF_FEATURE]
    found["playground"] = [*found["playground"], MODELS[-1]]
    found["lyric_critique"] = [*found["lyric_critique"], MODELS[-1]]
    return found


def templates_of_day(day: date, number: int) -> list[Template]:
    """The templates of a day, the `number`th of the past, for each model that is used by then for a feature."""
    chance = random.Random(f"templates {day}")
    noon = int(datetime.combine(day, time(12), tzinfo=UTC).timestamp() * 1_000_000)
    found = []
    for feature, models in models_of_feature().items():
        for asked, served, kind, share, first in models:
            if number < first:
                continue
            for _ in range(2):
                event = _KINDS[kind](chance, asked, served)
                event.at_us, event.feature = noon, feature
                event.latency_us = int(chance.lognormvariate(0.4, 0.6) * 1_000_000)
                if event.stream:
                    event.ttft_us = event.latency_us // 5
                found.append(Template(event, feature, share * (0.5 + chance.random())))
        total = sum(template.weight for template in found if template.feature == feature)
        found += _failures(chance, found[-1].event, feature, total)
    return found


def _failures(chance: random.Random, like: CallEvent, feature: str, total: float) -> list[Template]:
    kinds = (("error", chance.choice((429, 429, 500, 529, 400)), ERROR_SHARE), ("timeout", None, TIMEOUT_SHARE))
    found = []
    for status, http_status, share in kinds:
        event = _event(like.model_asked, "", like.operation, like.endpoint, stream=like.stream)
        event.at_us, event.feature, event.status, event.http_status = like.at_us, feature, status, http_status
        event.error = {429: "rate_limit_exceeded", None: "ReadTimeout"}.get(http_status, "server_error")
        event.quality, event.latency_us = "none", chance.randrange(50_000, 30_000_000)
        found.append(Template(event, feature, total * share))
    return found


def calls_of_day(day: date, number: int, *, average: float) -> int:
    """How many calls a day has: more on weekdays, and three times as many at the end of a year as at its beginning."""
    chance = random.Random(f"calls {day}")
    return int(average * WEEK[day.weekday()] / 0.879 * (0.5 + number / 365) * chance.uniform(0.92, 1.08))


def days_before(now: datetime, days: int) -> list[date]:
    """The `days` days that end with the day of `now`, in UTC."""
    return [now.astimezone(UTC).date() - timedelta(days=n) for n in reversed(range(days))]


def _event(asked: str, served: str, operation: str, endpoint: str, *, stream: bool = False, **more) -> CallEvent:
    event = CallEvent(
        id="",
        at_us=0,
        provider="anthropic" if asked.startswith("claude") else "openai",
        operation=operation,
        endpoint=endpoint,
        source="api",
        model_asked=asked,
        model_served=served,
        http_status=200,
        quality="exact",
        stream=stream,
    )
    for name, value in more.items():
        setattr(event, name, value)
    return event


def _chat(chance: random.Random, asked: str, served: str) -> CallEvent:
    read, written = int(chance.lognormvariate(7.2, 0.8)), int(chance.lognormvariate(5.3, 0.8))
    caches = not asked.startswith(("gpt-3.5", "gpt-4-turbo"))
    cached = read // 2 // 128 * 128 if caches and chance.random() < 0.5 else 0
    thought = chance.randint(2, 20) * 64 if asked.startswith(("gpt-5", "o3", "o4")) else 0
    usage = {
        "prompt_tokens": read,
        "completion_tokens": written + thought,
        "total_tokens": read + written + thought,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": thought, "audio_tokens": 0},
    }
    stream = chance.random() < 0.5
    facts = {"service_tier": "default"}
    return _event(asked, served, "chat", "/v1/chat/completions", stream=stream, usage=usage, facts=facts)


def _claude(chance: random.Random, asked: str, served: str) -> CallEvent:
    prompt = 1_850
    read, written = (prompt, 0) if chance.random() < 0.8 else (0, prompt)
    usage = {
        "input_tokens": int(chance.lognormvariate(6.5, 0.9)),
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written, "ephemeral_1h_input_tokens": 0},
        "output_tokens": int(chance.lognormvariate(5.6, 0.8)),
        "service_tier": "standard",
    }
    return _event(asked, served, "chat", "/v1/messages", stream=chance.random() < 0.7, usage=usage)


def _batch(chance: random.Random, asked: str, served: str) -> CallEvent:
    event = _chat(chance, asked, served)
    event.batch, event.stream = True, False
    return event


def _embeddings(chance: random.Random, asked: str, served: str) -> CallEvent:
    count = chance.randint(20, 4_000)
    usage = {"prompt_tokens": count, "total_tokens": count}
    return _event(asked, served, "embeddings", "/v1/embeddings", usage=usage)


def _whisper(chance: random.Random, asked: str, served: str) -> CallEvent:
    usage = {"type": "duration", "seconds": chance.randint(20, 1_800)}
    return _event(asked, served, "transcription", "/v1/audio/transcriptions", usage=usage)


def _transcribe(chance: random.Random, asked: str, served: str) -> CallEvent:
    heard, written = chance.randint(200, 18_000), chance.randint(50, 3_000)
    usage = {
        "type": "tokens",
        "input_tokens": heard,
        "input_token_details": {"text_tokens": 0, "audio_tokens": heard},
        "output_tokens": written,
        "total_tokens": heard + written,
    }
    return _event(asked, served, "transcription", "/v1/audio/transcriptions", usage=usage)


def _speech(chance: random.Random, asked: str, served: str) -> CallEvent:
    facts = {"characters": chance.randint(80, 4_000)}
    return _event(asked, served, "speech", "/v1/audio/speech", facts=facts, quality="estimated")


def _realtime(chance: random.Random, asked: str, served: str) -> CallEvent:
    text, heard, spoken, words = (chance.randint(*bounds) for bounds in ((300, 2000), (60, 400), (150, 600), (40, 150)))
    usage = {
        "total_tokens": text + heard + spoken + words,
        "input_tokens": text + heard,
        "output_tokens": spoken + words,
        "input_token_details": {
            "text_tokens": text,
            "audio_tokens": heard,
            "image_tokens": 0,
            "cached_tokens": 0,
            "cached_tokens_details": {"text_tokens": 0, "audio_tokens": 0, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": words, "audio_tokens": spoken},
    }
    return _event(asked, served, "realtime", "/v1/realtime", stream=True, usage=usage)


def _image(chance: random.Random, asked: str, served: str) -> CallEvent:
    words, drawn = chance.randint(20, 300), chance.choice((272, 1056, 4160))
    usage = {
        "input_tokens": words,
        "input_tokens_details": {"text_tokens": words, "image_tokens": 0},
        "output_tokens": drawn,
        "output_tokens_details": {"image_tokens": drawn, "text_tokens": 0},
        "total_tokens": words + drawn,
    }
    facts = {"images": {"n": 1, "size": "1024x1024", "quality": "medium"}}
    return _event(asked, served, "image_generation", "/v1/images/generations", usage=usage, facts=facts)


def _moderation(chance: random.Random, asked: str, served: str) -> CallEvent:
    return _event(asked, served, "moderation", "/v1/moderations", usage={})


_KINDS = {
    "chat": _chat,
    "claude": _claude,
    "batch": _batch,
    "embeddings": _embeddings,
    "whisper": _whisper,
    "transcribe": _transcribe,
    "speech": _speech,
    "realtime": _realtime,
    "image": _image,
    "moderation": _moderation,
}
