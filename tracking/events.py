"""The event that every source hands to the recorder: one finished attempt of one call. Pure, and quick to import."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any

#: Product lines, as reports name them, by operation. A batch result belongs to `batch` whatever its operation.
SERVICE_BY_OPERATION = {
    "chat": "chat",
    "text_completion": "chat",
    "embeddings": "embeddings",
    "transcription": "whisper",
    "translation": "whisper",
    "speech": "tts",
    "realtime": "realtime",
    "image_generation": "images",
    "moderation": "moderation",
    "token_count": "other",
    "video_generation": "other",
    "other": "other",
}

STATUSES = ("ok", "error", "timeout", "connection_error", "cancelled", "incomplete", "pending", "refused", "unknown")
QUALITIES = ("exact", "estimated", "partial", "none")


@dataclass(slots=True)
class CallEvent:
    """One finished attempt, as it goes through the spool. Never holds a prompt, a completion or a secret."""

    id: str  # UUIDv7, or a name-based UUID for results that can be read twice (batches)
    at_us: int  # when the attempt began, microseconds since the epoch, UTC
    provider: str  # "openai", "anthropic", ...
    operation: str  # a key of SERVICE_BY_OPERATION
    endpoint: str  # path template without ids: "/v1/chat/completions"
    source: str = "sdk"  # sdk | websocket | batch | api | otel | helper | demo | correction
    model_asked: str = ""
    model_served: str = ""
    user: int | str | None = None  # primary key or email address
    feature: str = ""
    analysis: str = ""
    tags: dict[str, str] = field(default_factory=dict)
    request_id: str = ""  # the provider's name of the attempt (x-request-id, request-id)
    response_id: str = ""  # the provider's name of the result
    attempt: int = 1  # 1 for the first try
    status: str = "ok"  # one of STATUSES
    http_status: int | None = None
    error: str = ""  # error code or class, never the provider's text
    quality: str = "none"  # one of QUALITIES
    stream: bool = False
    latency_us: int | None = None  # from sending to the last byte
    ttft_us: int | None = None  # from sending to the first content of a stream, or the first byte
    batch: bool = False
    usage: dict[str, Any] | None = None  # as the provider reported it (or estimated in its shape)
    #: what the price depends on beside `usage`: see tracking.usage.read_usage for the keys
    facts: dict[str, Any] = field(default_factory=dict)
    flags: list[str] = field(default_factory=list)
    #: the provider's name of a result that can be retrieved again: it is billed once. "openai:resp_123"
    result_key: str = ""
    #: further names under which the same result will come again ("openai:file-abc")
    result_aliases: list[str] = field(default_factory=list)
    #: call (a billable attempt) | result (a retrieved result) | item (one line of a batch) | pending (its creation)
    kind: str = "call"
    cost_usd: str | None = None  # a cost given by the caller: it is recorded as given, and marked so

    def to_json(self) -> bytes:
        """One line without a newline. Fields with their default value are left out."""
        return json.dumps(
            {n: v for n in _FIELDS if (v := getattr(self, n)) != _DEFAULTS.get(n, _MISSING)},
            separators=(",", ":"),
            ensure_ascii=True,
        ).encode()

    @classmethod
    def from_json(cls, data: bytes | str) -> CallEvent:
        """Read a line back. Raises `ValueError` for what is not an event; ignores fields it does not know."""
        try:
            raw = json.loads(data)
            return cls(**raw if raw.keys() <= _FIELD_SET else {k: v for k, v in raw.items() if k in _FIELD_SET})
        except (TypeError, AttributeError) as error:
            raise ValueError(f"not an event: {error}") from error


_MISSING = object()
_FIELDS = tuple(f.name for f in dataclasses.fields(CallEvent))
_FIELD_SET = frozenset(_FIELDS)
_DEFAULTS = {
    f.name: f.default if f.default is not dataclasses.MISSING else f.default_factory()  # type: ignore[misc]
    for f in dataclasses.fields(CallEvent)
    if f.default is not dataclasses.MISSING or f.default_factory is not dataclasses.MISSING
}
