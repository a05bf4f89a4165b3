"""Whatever an event holds, made fit for every database: bounded, finite, without characters they refuse. Pure."""

from __future__ import annotations

import json
import json.encoder
import math
from collections.abc import Callable
from typing import Any

MAX_RAW_JSON_CHARS = 64_000


def json_encoder(*, allow_nan: bool) -> Callable[[Any], str]:
    """Compact JSON with other objects as text: what `json.JSONEncoder` makes, without making an encoder each time.

    What is made raises `RecursionError` for what contains itself, and `ValueError` for numbers that are not allowed.
    """
    make = json.encoder.c_make_encoder
    if make is None:  # an interpreter without the C part of the library
        return json.JSONEncoder(separators=(",", ":"), allow_nan=allow_nan, default=str).encode
    pieces = make(None, str, json.encoder.encode_basestring_ascii, None, ":", ",", False, False, allow_nan)
    return lambda value: "".join(pieces(value, 0))


encode = json_encoder(allow_nan=False)


def clean_text(value: Any, length: int) -> str:
    """Text that every database takes: no NUL, no half of a surrogate pair, no longer than its column."""
    if value.__class__ is not str:
        value = "" if value is None else str(value)
    if not value.isascii():
        value = value.encode("utf-8", "replace").decode()
    if "\0" in value:
        value = value.replace("\0", "")
    return value[:length]


class Cutter:
    """Cleans the texts of one event, and flags those that it had to change."""

    __slots__ = ("flags",)

    def __init__(self, flags: list[str]) -> None:
        self.flags = flags

    def __call__(self, value: Any, length: int, name: str) -> str:
        if value.__class__ is str and len(value) <= length and value.isascii() and "\0" not in value:
            return value
        text = clean_text(value, length)
        if text != value:
            self.flags.append(f"changed:{name}")
        return text


def bounded_int(value: Any, least: int, most: int) -> int | None:
    if value.__class__ is int and least <= value <= most:
        return value
    return None


def milliseconds(us: Any) -> int | None:
    if us.__class__ is int and us >= 0:
        return min(us // 1000, 2**31 - 1)
    return None


def bounded_json(value: Any, name: str, flags: list[str]) -> str:
    """JSON text that PostgreSQL and SQLite take: finite numbers, no NUL, no half surrogates, bounded size."""
    try:
        text = encode(value)
        if "\\u" in text:
            text = encode(_clean(value))
    except (ValueError, TypeError, RecursionError):
        flags.append(f"changed:{name}")
        try:
            text = encode(_clean(value))
        except (ValueError, TypeError, RecursionError):
            text = "{}"
    if len(text) > MAX_RAW_JSON_CHARS:
        flags.append(f"too_large:{name}")
        return json.dumps({"omitted_characters": len(text)})
    return text


def _clean(value: Any, depth: int = 0) -> Any:
    if depth > 20:
        return "..."
    if isinstance(value, str):
        return clean_text(value, 10_000)
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > 10**300:
        return "too large"
    if isinstance(value, dict):
        return {clean_text(name, 200): _clean(item, depth + 1) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item, depth + 1) for item in value]
    return value
