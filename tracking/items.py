"""One reported call, as it is sent: checked field by field, and made an event. No I/O.

Every text is a name, a code or an id; quantities are numbers. What could hold a prompt or an answer has no place.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal, InvalidOperation
from typing import Any

from tracking.events import SERVICE_BY_OPERATION, CallEvent
from tracking.money import from_nanousd, to_nanousd
from tracking.pricing.meters import METERS
from tracking.rows import MAX_COST_NANOUSD, MAX_TAG_CHARS, MAX_TAGS
from tracking.usage import operation_of

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
STATUSES = ("ok", "error", "timeout", "connection_error", "cancelled", "incomplete")
#: What the price may depend on beside the usage: see `tracking.usage.read_usage`.
FACTS = frozenset(
    {
        *(
            "service_tier",
            "service_tier_asked",
            "speed",
            "inference_geo",
            "tool_usage",
            "characters",
            "images",
            "video",
        ),
        *("audio_seconds", "session_seconds", "file_searches", "containers", "web_searches", "image_model"),
    }
)
#: Members of a provider's report whose text says what is counted; other texts in it are left out.
_TOLD = frozenset({"type", "service_tier", "speed", "inference_geo", "model", "size", "quality", "image_model"})
_WORD = re.compile(r"[\w.:/@+\-]{0,80}", re.ASCII)
_NAME = re.compile(r"[\w.\-]{1,64}", re.ASCII)
_PROVIDER = re.compile(r"[\w.\-]{1,40}", re.ASCII)
_PATH = re.compile(r"/[\w/{}.:\-]{0,199}", re.ASCII)
_MAX_NODES, _MAX_DEPTH, _MAX_NUMBER = 500, 8, 10**18


class Invalid(ValueError):
    """An item that is not taken: what is wrong, by field."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__("; ".join(f"{name}: {text}" for name, text in errors.items()))
        self.errors = errors


class _Wrong(ValueError):
    """What is wrong with one value."""


def _text(limit: int) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value.__class__ is not str:
            raise _Wrong("must be a text")
        if len(value) > limit:
            raise _Wrong(f"is longer than {limit} characters")
        if "\0" in value:
            raise _Wrong("holds a null character")
        return value

    return read


def _matching(pattern: re.Pattern, what: str) -> Callable[[Any], str]:
    def read(value: Any) -> str:
        if value.__class__ is not str or not pattern.fullmatch(value):
            raise _Wrong(f"must be {what}")
        return value

    return read


def _provider(value: Any) -> str:
    """In small letters, as the price book has them: OpenAI is openai."""
    return _matching(_PROVIDER, "a name such as openai")(value).lower()


def _one_of(words: Any) -> Callable[[Any], str]:
    known = tuple(words)

    def read(value: Any) -> str:
        if value.__class__ is not str or value not in known:
            raise _Wrong(f"must be one of: {', '.join(known)}")
        return value

    return read


def _whole(least: int, most: int) -> Callable[[Any], int]:
    def read(value: Any) -> int:
        if value.__class__ is not int or not least <= value <= most:
            raise _Wrong(f"must be a whole number from {least} to {most}")
        return value

    return read


def _milliseconds(value: Any) -> int:
    """Milliseconds, fractions too, as whole microseconds."""
    if value.__class__ not in (int, float, Decimal) or not 0 <= value <= 2**31:
        raise _Wrong("must be a number of milliseconds, zero or more")
    return int(value * 1000)


def _flag(value: Any) -> bool:
    if value.__class__ is not bool:
        raise _Wrong("must be true or false")
    return value


def _id(value: Any) -> str:
    text = _text(200)(value)
    if not text.strip():
        raise _Wrong("must not be empty")
    return text


def _moment(value: Any) -> datetime:
    try:
        if value.__class__ in (int, float, Decimal):
            return EPOCH + timedelta(microseconds=round(value * 1_000_000))
        if value.__class__ is str:
            at = datetime.fromisoformat(value)
            if at.tzinfo is not None:
                return at.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise _Wrong("must be a time with its offset, as in 2026-11-01T08:00:00+01:00, or seconds since 1970")


def _user(value: Any) -> int | str:
    if value.__class__ is int and 0 < value < 2**63:
        return value
    if value.__class__ is str and value.isascii() and value.isdigit() and len(value) < 19:
        return int(value)
    if value.__class__ is str and "@" in value and len(value) <= 254 and value.isprintable():
        return value.strip().lower()
    raise _Wrong("must be the id of an account or its email address")


def _tags(value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping) or len(value) > MAX_TAGS:
        raise _Wrong(f"must be an object of at most {MAX_TAGS} names and texts")
    tags = {}
    for name, tag in value.items():
        if tag.__class__ in (int, bool):
            tag = str(tag).lower()
        if tag.__class__ is not str or len(tag) > MAX_TAG_CHARS or not name or len(name) > 100 or "\0" in name + tag:
            raise _Wrong(f"names have at most 100 characters, and are told by texts of at most {MAX_TAG_CHARS}")
        if name == "api_key":
            raise _Wrong("api_key is told by the key that is used")
        tags[name] = tag
    return tags


def _cost(value: Any) -> str:
    try:
        if value.__class__ in (str, int, float, Decimal):
            # A fraction is taken as it is written (0.1 is a dime).
            nanousd = to_nanousd(Decimal(str(value)))
            if 0 <= nanousd <= MAX_COST_NANOUSD:
                return format(from_nanousd(nanousd), "f")
    except (InvalidOperation, ValueError, OverflowError):
        pass
    raise _Wrong("must be an amount in USD from 0 to 1000000, as a decimal text or a number")


def _usage(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise _Wrong("must be the object that the provider reports")
    return _quantities(value, [_MAX_NODES], 0)


def _meters(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise _Wrong('must be an object such as {"input_tokens": 900, "output_tokens": 80}')
    unknown = [name for name in value if name not in METERS]
    if unknown:
        raise _Wrong(f"{_shown(unknown[0])} is none of: {', '.join(METERS)}")
    for name, quantity in value.items():
        kinds = (int, float, Decimal) if METERS[name].unit == "second" else (int,)
        if quantity.__class__ not in kinds or not 0 <= quantity <= 10**12:
            raise _Wrong(f"{name} must be a {'' if len(kinds) > 1 else 'whole '}number, zero or more")
    return dict(value)


def _facts(value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping) or value.keys() - FACTS:
        raise _Wrong(f"must be an object with some of: {', '.join(sorted(FACTS))}")
    return _quantities(value, [_MAX_NODES], 0)


def _quantities(value: Mapping, left: list[int], depth: int) -> dict[str, Any]:
    """The numbers of a report, and the few words that say what they count."""
    kept = {}
    for name, inner in value.items():
        if name.__class__ is not str or not _NAME.fullmatch(name):
            raise _Wrong("holds a name that no provider uses")
        inner = _quantity(name, inner, left, depth)
        if inner is not None:
            kept[name] = inner
    return kept


def _quantity(name: str, value: Any, left: list[int], depth: int) -> Any:
    left[0] -= 1
    if left[0] < 0 or depth > _MAX_DEPTH:
        raise _Wrong("is larger than any report of usage")
    kind = value.__class__
    if kind is int or kind is float or kind is Decimal:
        if not math.isfinite(value) or not -_MAX_NUMBER < value < _MAX_NUMBER:
            raise _Wrong(f"{name} is not a number that can be")
        return float(value) if kind is Decimal else value
    if kind is bool:
        return value
    if kind is str:
        return value if name in _TOLD and _WORD.fullmatch(value) else None
    if isinstance(value, Mapping):
        return _quantities(value, left, depth + 1)
    if isinstance(value, list):
        return [one for item in value if (one := _quantity(name, item, left, depth + 1)) is not None]
    return None


def _shown(name: Any) -> str:
    return str(name)[:60] if _NAME.fullmatch(str(name)[:64]) else "a name in it"


#: What an item may hold, and how each is read.
FIELDS: dict[str, Callable[[Any], Any]] = {
    "id": _id,
    "at": _moment,
    "provider": _provider,
    "model": _text(200),
    "model_asked": _text(200),
    "operation": _one_of(SERVICE_BY_OPERATION),
    "endpoint": _matching(_PATH, "a path such as /v1/chat/completions"),
    "usage": _usage,
    "meters": _meters,
    "facts": _facts,
    "cost_usd": _cost,
    "batch": _flag,
    "user": _user,
    "feature": _text(200),
    "analysis": _text(200),
    "tags": _tags,
    "request_id": _text(200),
    "response_id": _text(200),
    "attempt": _whole(1, 1000),
    "status": _one_of(STATUSES),
    "http_status": _whole(100, 599),
    "error": _matching(re.compile(r"[\w.:\-]{0,100}", re.ASCII), "a code such as rate_limit_exceeded, not a message"),
    "stream": _flag,
    "latency_ms": _milliseconds,
    "ttft_ms": _milliseconds,
}


@dataclass(frozen=True, slots=True)
class Unread:
    """In place of an item that could not be read: `reason` says why, and where it stands."""

    reason: str


def read_item(item: Any) -> dict[str, Any]:
    """The fields of an item, each as it is meant; those that are null are left out. Raises `Invalid`."""
    if isinstance(item, Unread):
        raise Invalid({"event": item.reason})
    if not isinstance(item, Mapping):
        raise Invalid({"event": "must be a JSON object"})
    errors: dict[str, str] = {}
    values: dict[str, Any] = {}
    for name, value in item.items():
        read = FIELDS.get(name)
        if read is None:
            errors[_shown(name)] = f"is not known; an event has: {', '.join(FIELDS)}"
        elif value is not None:
            try:
                values[name] = read(value)
            except _Wrong as error:
                errors[name] = str(error)
    if "provider" not in values:
        errors.setdefault("provider", "is missing")
    if "usage" in values and "meters" in values:
        errors["meters"] = "is given beside usage: give one of them"
    tells_use = values.keys() & {"usage", "meters", "facts", "cost_usd"}
    if not tells_use and values.get("status", "ok") == "ok" and not errors:
        errors["usage"] = "is missing: give usage (as the provider reports it), meters, or cost_usd"
    if not values.get("model") and not values.get("model_asked") and "cost_usd" not in values:
        errors.setdefault("model", "is missing: the price depends on it")
    if errors:
        raise Invalid(errors)
    return values


def event_of(values: Mapping[str, Any], *, id: str, at: datetime, user: int | str | None, **more: Any) -> CallEvent:
    """The event of an item that was read. `more` are further fields of the event."""
    usage = {"meters": values["meters"]} if "meters" in values else values.get("usage")
    endpoint = values.get("endpoint", "")
    return CallEvent(
        id=id,
        at_us=(at - EPOCH) // timedelta(microseconds=1),
        provider=values["provider"],
        operation=operation_told(values),
        endpoint=endpoint,
        model_asked=values.get("model_asked") or values.get("model", ""),
        model_served=values.get("model", ""),
        user=user,
        feature=values.get("feature", ""),
        analysis=values.get("analysis", ""),
        request_id=values.get("request_id", ""),
        response_id=values.get("response_id", ""),
        attempt=values.get("attempt", 1),
        status=values.get("status", "ok"),
        http_status=values.get("http_status"),
        error=values.get("error", ""),
        quality="exact" if usage is not None else "none",
        stream=values.get("stream", False),
        latency_us=values.get("latency_ms"),
        ttft_us=values.get("ttft_ms"),
        batch=values.get("batch", False),
        usage=usage,
        facts=values.get("facts", {}),
        cost_usd=values.get("cost_usd"),
        **more,
    )


def operation_told(values: Mapping[str, Any]) -> str:
    """The operation of an item, as it is told; else that of its endpoint, else what quantities and model speak of."""
    if values.get("operation"):
        return values["operation"]
    if values.get("endpoint"):
        return operation_of(values["endpoint"])
    told = {**values.get("facts", {}), **values.get("meters", {})}
    for name, operation in (
        ("characters", "speech"), ("audio_seconds", "transcription"), ("images", "image_generation"),
        ("session_seconds", "realtime"), ("video", "video_generation"), ("video_seconds", "video_generation"),
        ("token_counts", "token_count"),
    ):  # fmt: skip
        if told.get(name):
            return operation
    model = values.get("model") or values.get("model_asked") or ""
    return "embeddings" if "embedding" in model else "chat"
