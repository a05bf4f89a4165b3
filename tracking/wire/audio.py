"""How long a sound is: of an uploaded file, and of speech that came back."""

from __future__ import annotations

import io
from typing import Any

#: OpenAI's raw and wav speech: 24,000 samples a second, 16 bits, one channel
PCM_BYTES_PER_SECOND = 48_000
#: people read about 15 characters a second
SPEECH_CHARACTERS_PER_SECOND = 15
#: bytes of a sound that are kept to read its header
HEADER_BYTES = 8192

_MP3_V1_L3 = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 0)
_MP3_V2_L3 = (0, 8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160, 0)


def duration_s(content: Any, *, name: str = "") -> float | None:
    """Seconds of a sound (bytes, or an open file, whose position stays where it is). None when it cannot be told."""
    if isinstance(content, (bytes, bytearray)):
        return _measure(io.BytesIO(content), name)
    if not hasattr(content, "read") or not hasattr(content, "seek"):
        return None
    try:
        position = content.tell()
        content.seek(0)
    except (OSError, ValueError):
        return None  # closed, or a pipe: it has gone by
    try:
        return _measure(content, name)
    finally:
        content.seek(position)


def _measure(file: Any, name: str) -> float | None:
    start = file.read(4)
    file.seek(0)
    if start == b"\x1a\x45\xdf\xa3":
        return _matroska_seconds(file.read(HEADER_BYTES))
    from tinytag import TinyTag, TinyTagException

    try:
        seconds = TinyTag.get(filename=name or None, file_obj=file, tags=False).duration
    except (TinyTagException, OSError, ValueError, KeyError, TypeError):
        return None
    return round(seconds, 3) if seconds and 0 < seconds < 1e7 else None


def _matroska_seconds(head: bytes) -> float | None:
    """The Duration of a webm or matroska file, where its writer knew it (browsers that record live do not)."""
    at = head.find(b"\x44\x89")
    if at < 0 or at + 3 > len(head):
        return None
    length = head[at + 2] & 0x7F
    raw = head[at + 3 : at + 3 + length]
    if length not in (4, 8) or len(raw) != length:
        return None
    import struct

    (ticks,) = struct.unpack(">f" if length == 4 else ">d", raw)
    scale = 1_000_000
    if (found := head.find(b"\x2a\xd7\xb1")) >= 0 and found + 4 < len(head):
        size = head[found + 3] & 0x7F
        scale = int.from_bytes(head[found + 4 : found + 4 + size], "big") or scale
    seconds = ticks * scale / 1e9
    return round(seconds, 3) if 0 < seconds < 1e7 else None


def speech_seconds(*, form: str, head: bytes, size_bytes: int, characters: int) -> tuple[float, str]:
    """About how long speech is, in seconds, and what that was told from: "size", "bitrate" or "characters"."""
    if form in ("pcm", "wav") and size_bytes > 44:
        return (size_bytes - (44 if form == "wav" else 0)) / PCM_BYTES_PER_SECOND, "size"
    if form in ("", "mp3") and size_bytes and (bitrate := _mp3_bits_per_second(head)):
        return size_bytes * 8 / bitrate, "bitrate"
    return characters / SPEECH_CHARACTERS_PER_SECOND, "characters"


def _mp3_bits_per_second(head: bytes) -> int:
    start = 0
    if head[:3] == b"ID3" and len(head) > 10:
        start = 10 + (head[6] << 21 | head[7] << 14 | head[8] << 7 | head[9])
    for at in range(start, len(head) - 3):
        if head[at] == 0xFF and head[at + 1] & 0xE6 == 0xE2:  # frame sync, layer III
            table = _MP3_V1_L3 if head[at + 1] & 0x08 else _MP3_V2_L3
            return table[head[at + 2] >> 4] * 1000
    return 0
