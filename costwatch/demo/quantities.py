"""How much of what the local provider says it used: made up, plausible, and the same for the same request."""

from __future__ import annotations

import json
import random
import wave
import zlib
from io import BytesIO
from math import ceil
from typing import Any

TEXT = (
    "the cost of every call stands in one ledger and each row explains itself with a receipt that names its rate so a "
    "team can see who spent what for which feature before the month ends and nothing is guessed or counted twice"
)
WORDS = TEXT.split()
SHORTEST_ANSWER_WORDS, LONGEST_ANSWER_WORDS = 8, 60
MESSAGE_OVERHEAD_TOKENS = 3
CACHEABLE_TOKENS = 1024  # OpenAI caches prompts from this size on, in steps of 128
AUDIO_TOKENS_PER_S = 10
BYTES_PER_S_OF_COMPRESSED_SOUND = 16_000

#: the dated models that answer for the names that people use
SERVED = {
    "gpt-4o": "gpt-4o-2024-08-06",
    "gpt-4o-mini": "gpt-4o-mini-2024-07-18",
    "gpt-4.1": "gpt-4.1-2025-04-14",
    "gpt-4.1-mini": "gpt-4.1-mini-2025-04-14",
    "gpt-5": "gpt-5-2025-08-07",
    "gpt-5-mini": "gpt-5-mini-2025-08-07",
    "o4-mini": "o4-mini-2025-04-16",
    "claude-sonnet-4-5": "claude-sonnet-4-5-20250929",
    "claude-haiku-4-5": "claude-haiku-4-5-20251001",
    "claude-3-5-haiku-latest": "claude-3-5-haiku-20241022",
}


def served(model: str) -> str:
    """The exact model that answers for `model`."""
    return SERVED.get(model, model)


def reasons(model: str) -> bool:
    """Whether the model thinks before it answers."""
    return model.startswith(("o1", "o3", "o4", "gpt-5"))


def tokens(value: Any) -> int:
    """Tokens of a text, or of all texts inside a JSON value: a quarter of its characters, at least one."""
    if value in (None, "", [], {}):
        return 0
    return ceil(len(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)) / 4)


def seed(*parts: Any) -> int:
    """A number that is the same for the same parts, in every process."""
    return zlib.crc32(json.dumps(parts, sort_keys=True, default=str).encode())


def words(of: Any, *, at_most: int | None = None, exactly: int | None = None) -> list[str]:
    """An answer, word by word (a word is a token). The same question gets the same answer."""
    rng = random.Random(seed(of))  # noqa: S311 (not a secret)
    count = exactly or rng.randint(SHORTEST_ANSWER_WORDS, LONGEST_ANSWER_WORDS)
    if at_most is not None:
        count = min(count, max(at_most, 1))
    start = rng.randrange(len(WORDS))
    return [WORDS[(start + n) % len(WORDS)] + (" " if n < count - 1 else "") for n in range(count)]


def sound_seconds(content: bytes) -> float:
    """How long a sound file lasts: exact for WAV, by its size otherwise."""
    try:
        with wave.open(BytesIO(content)) as sound:
            return sound.getnframes() / sound.getframerate()
    except (wave.Error, EOFError, ZeroDivisionError):
        return len(content) / BYTES_PER_S_OF_COMPRESSED_SOUND


def wav(seconds: float, *, rate_hz: int = 8000) -> bytes:
    """A WAV file of that length: a quiet, even tone (8-bit, one channel)."""
    out = BytesIO()
    with wave.open(out, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(1)
        sound.setframerate(rate_hz)
        frames = int(seconds * rate_hz)
        sound.writeframes((bytes([118, 138]) * (frames // 2 + 1))[:frames])
    return out.getvalue()


def instance(schema: dict, root: dict | None = None) -> Any:
    """The plainest value that a JSON schema allows, for requests that ask for structured output."""
    root = root or schema
    if "$ref" in schema:
        target: Any = root
        for step in schema["$ref"].lstrip("#/").split("/"):
            target = target[step]
        return instance(target, root)
    if "enum" in schema:
        return schema["enum"][0]
    if "const" in schema:
        return schema["const"]
    for choice in ("anyOf", "oneOf", "allOf"):
        if choice in schema:
            return instance(schema[choice][0], root)
    kind = schema.get("type", "object")
    if isinstance(kind, list):
        kind = kind[0]
    if kind == "object":
        return {name: instance(part, root) for name, part in schema.get("properties", {}).items()}
    if kind == "array":
        return [instance(schema.get("items", {"type": "string"}), root)]
    return {"string": "ledger", "integer": 7, "number": 0.5, "boolean": True, "null": None}[kind]
