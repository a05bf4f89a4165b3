"""Cut a byte stream of server-sent events into events."""

from __future__ import annotations

import re

_BLANK_LINE = re.compile(rb"\r\n\r\n|\n\n|\r\r")
#: an "event" longer than this is not kept: what is this stream?
MAX_EVENT_BYTES = 32 << 20


class Events:
    """Splits chunks into whole events, each with the blank line that ends it, so that they join to the same bytes."""

    __slots__ = ("_parts", "_size")

    def __init__(self) -> None:
        self._parts: list[bytes] = []
        self._size = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The events that `chunk` completes. Raises `ValueError` for an event without end."""
        parts = self._parts
        if not parts:
            # Most chunks are one whole event.
            if chunk[-2:] == b"\n\n" and chunk.find(b"\n\n") == len(chunk) - 2 and b"\r" not in chunk:
                return [chunk]
        else:
            if b"\n\n" not in chunk and b"\r" not in chunk and chunk[:1] != b"\n":
                # Cannot complete one: do not copy a growing event (an image is megabytes long) once a piece.
                parts.append(chunk)
                self._size += len(chunk)
                if self._size > MAX_EVENT_BYTES:
                    raise ValueError("an event without end")
                return []
            parts.append(chunk)
            chunk = b"".join(parts)
            parts.clear()
        if b"\r" in chunk:
            events, rest = _split_any(chunk)
        else:
            events = chunk.split(b"\n\n")
            rest = events.pop()
            events = [event + b"\n\n" for event in events]
        self._size = len(rest)
        if rest:
            parts.append(rest)
        return events

    def rest(self) -> bytes:
        """What is left without a blank line to end it; forgets it."""
        rest = b"".join(self._parts)
        self._parts.clear()
        self._size = 0
        return rest


def _split_any(data: bytes) -> tuple[list[bytes], bytes]:
    events, position = [], 0
    for match in _BLANK_LINE.finditer(data):
        events.append(data[position : match.end()])
        position = match.end()
    return events, data[position:]


def data_of(event: bytes) -> bytes:
    """The data of one event: its `data:` lines, joined as the standard says."""
    if event.startswith(b"data:"):
        body = event[5:].strip()
        if b"\n" not in body and b"\r" not in body:
            return body
    lines = [line[5:].removeprefix(b" ") for line in event.splitlines() if line.startswith(b"data:")]
    return b"\n".join(lines)
