"""Readers of an answer's body: each takes the bytes as they come, and returns what the caller may see of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from tracking.wire import bodies
from tracking.wire.audio import HEADER_BYTES
from tracking.wire.bodies import Kept, Unreadable
from tracking.wire.sse import Events
from tracking.wire.streams import Stream

#: a line of a results file longer than this is not read, in bytes
MAX_LINE_BYTES = 32 << 20


class BytesReader:
    """Sound, pictures, anything: only how much, and how it begins."""

    def __init__(self) -> None:
        self.size_bytes = 0
        self.head = b""

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece; return what is shown of it."""
        if self.size_bytes < HEADER_BYTES:
            self.head += chunk[: HEADER_BYTES - len(self.head)]
        self.size_bytes += len(chunk)
        return chunk

    def end(self) -> bytes:
        """The body is over; return what was held back."""
        return b""


class JsonReader:
    """A JSON answer, kept (within bounds) until it is over."""

    def __init__(self, decoder: Any = None) -> None:
        self.body = Kept()
        self._decoder = decoder

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece; return what is shown of it."""
        if self._decoder is None:
            self.body.add(chunk)
        else:
            for piece in self._decoder.decode(chunk):
                self.body.add(piece)
        return chunk

    def end(self) -> bytes:
        """The body is over; return what was held back."""
        if self._decoder is not None:
            for piece in self._decoder.flush():
                self.body.add(piece)
        return b""


class StreamReader:
    """Server-sent events. Where something is stripped, whole events are shown, else every piece as it comes."""

    def __init__(self, stream: Stream, decoder: Any = None) -> None:
        self.stream = stream
        self._decoder = decoder
        self._events = Events()

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece; return what is shown of it."""
        if self._decoder is not None:
            return self._feed_decoded(chunk)
        events = self._events.feed(chunk)
        if not self.stream.strip:
            for event in events:
                self._read(event)
            return chunk
        if len(events) == 1:
            return self._read(events[0])
        return b"".join([self._read(event) for event in events])

    def _feed_decoded(self, chunk: bytes) -> bytes:
        shown = []
        for piece in self._decoder.decode(chunk):
            shown.extend([self._read(event) for event in self._events.feed(piece)])
        return b"".join(shown) if self.stream.strip else chunk

    def _read(self, event: bytes) -> bytes:
        try:
            return self.stream.event(event)
        except (ValueError, TypeError, AttributeError, RecursionError):
            # One event that is not what it should be: the caller sees it as it is, the rest may be better.
            self.stream.answer.flag("garbled_stream")
            return event

    def end(self) -> bytes:
        """The body is over; return what was held back."""
        if self._decoder is not None:
            for piece in self._decoder.flush():
                for event in self._events.feed(piece):
                    self._read(event)
        rest = self._events.rest()
        if rest.strip():
            # Some servers leave out the last blank line; a cut one ends in the middle.
            rest = self._read(rest) if rest.rstrip().endswith((b"}", b"]")) else rest
        return rest if self.stream.strip else b""

    def held_back(self) -> bytes:
        """What came and was not shown yet, when reading has to stop."""
        return self._events.rest() if self.stream.strip else b""


class LinesReader:
    """JSON lines, one object each, given to a function as they come. A file that is something else is left alone."""

    def __init__(self, on_line: Callable[[dict[str, Any]], None], decoder: Any = None) -> None:
        self._on_line = on_line
        self._decoder = decoder
        self._parts: list[bytes] = []
        self._size = 0
        self._begun = self._off = False
        self.lines = 0

    def feed(self, chunk: bytes) -> bytes:
        """Take a piece; return what is shown of it."""
        if not self._off:
            for piece in self._pieces(chunk):
                self._add(piece)
        return chunk

    def end(self) -> bytes:
        """The body is over; return what was held back."""
        if not self._off and self._parts:
            self._line(b"".join(self._parts))
        return b""

    def _pieces(self, chunk: bytes) -> Iterator[bytes]:
        return iter((chunk,)) if self._decoder is None else self._decoder.decode(chunk)

    def _add(self, piece: bytes) -> None:
        if not self._begun and (start := piece.lstrip()):
            self._begun = True
            self._off = not start.startswith(b"{")
        if self._off:
            return
        first, newline, rest = piece.partition(b"\n")
        self._parts.append(first)
        self._size += len(first)
        if self._size > MAX_LINE_BYTES:
            self._off = True
            self._parts.clear()
        elif newline:
            self._line(b"".join(self._parts))
            *lines, last = rest.split(b"\n")
            for line in lines:
                self._line(line)
            self._parts, self._size = [last], len(last)

    def _line(self, line: bytes) -> None:
        if self._off or not line.strip():
            return
        try:
            value = bodies.parse_json(line)
        except ValueError:
            value = None
        if not isinstance(value, dict) or "custom_id" not in value:
            # Not a results file: nothing in it is ours to read.
            self._off = not self.lines
            return
        self.lines += 1
        self._on_line(value)


__all__ = ["BytesReader", "JsonReader", "LinesReader", "StreamReader", "Unreadable"]
