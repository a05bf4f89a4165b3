"""Keep what is needed of a body that flies by, in bounded memory."""

from __future__ import annotations

import json
import re
from collections import deque
from collections.abc import Iterable
from typing import Any

#: bodies up to this size are kept whole until their end, in bytes (decoded)
WHOLE_BYTES = 8 << 20
#: of larger ones, the first and the last bytes
HEAD_BYTES = 64 << 10
TAIL_BYTES = 256 << 10
#: up to this size a whole body is parsed; above, its end is tried first
QUICK_BYTES = 128 << 10

_KEY = re.compile(rb'"(usage|model|id|service_tier|object|status|type|duration)"\s*:')
_NEXT_MODEL = re.compile(rb'"model"\s*:\s*"([^"\\]{1,200})"')


class Unreadable(ValueError):
    """A body that is not what it says it is."""


def parse_json(data: bytes) -> Any:
    """The value of a JSON text; `jiter` where an SDK brought it (three times as fast). Raises `ValueError`."""
    try:
        import jiter
    except ImportError:
        return json.loads(data)
    return jiter.from_json(data, cache_mode="keys")


def parse_odd_json(data: bytes) -> Any:
    """The same for text as the SDKs still read it: with a byte-order mark, in UTF-16, with half a surrogate pair."""
    try:
        return parse_json(data)
    except ValueError:
        try:
            return json.loads(data)
        except RecursionError as error:
            raise ValueError("too deep") from error


def decoder(content_encoding: str) -> Any:
    """What decodes this `Content-Encoding` piece by piece (`decode`, `flush`: iterables of bytes).

    None when there is nothing to decode. Raises `Unreadable` for an encoding this process cannot decode.
    """
    encodings = [name.strip().lower() for name in content_encoding.split(",")]
    encodings = [name for name in encodings if name and name != "identity"]
    if not encodings:
        return None
    # The SDK decodes with these very classes; it never asks for an encoding that they lack.
    from httpx2 import _decoders

    if len(encodings) > 1 or encodings[0] not in _decoders.SUPPORTED_DECODERS:
        raise Unreadable("content-encoding")
    return _decoders.SUPPORTED_DECODERS[encodings[0]]()


class Kept:
    """A body as it went by: whole while it is small, else its head and its tail."""

    __slots__ = ("_chunks", "_head", "_size", "whole")

    def __init__(self) -> None:
        self._chunks: deque[bytes] = deque()
        self._head = b""
        self._size = 0
        self.whole = True

    @property
    def size_bytes(self) -> int:
        """How much went by."""
        return self._size

    def add(self, chunk: bytes) -> None:
        """One more piece."""
        self._chunks.append(chunk)
        self._size += len(chunk)
        if self.whole:
            if self._size > WHOLE_BYTES:
                self._head = self.head()
                self.whole = False
                self._trim()
        else:
            self._trim()

    def head(self) -> bytes:
        """Its first bytes, `HEAD_BYTES` at most."""
        if not self.whole:
            return self._head
        return _take(self._chunks, HEAD_BYTES)

    def tail(self) -> bytes:
        """Its last bytes: about `TAIL_BYTES`."""
        if not self.whole:
            return b"".join(self._chunks)[-TAIL_BYTES:]
        last: deque[bytes] = deque()
        size = 0
        for chunk in reversed(self._chunks):
            last.appendleft(chunk)
            size += len(chunk)
            if size >= TAIL_BYTES:
                break
        return b"".join(last)[-TAIL_BYTES:]

    def all(self) -> bytes:
        """All of it; only while it is `whole`."""
        return self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)

    def _trim(self) -> None:
        kept = sum(map(len, self._chunks)) if len(self._chunks) < 64 else None
        if kept is None:
            joined = b"".join(self._chunks)[-TAIL_BYTES:]
            self._chunks.clear()
            self._chunks.append(joined)
            return
        while len(self._chunks) > 1 and kept - len(self._chunks[0]) >= TAIL_BYTES:
            kept -= len(self._chunks.popleft())
        if kept > 2 * TAIL_BYTES:
            self._chunks[0] = self._chunks[0][-TAIL_BYTES:]


def _take(chunks: Iterable[bytes], size: int) -> bytes:
    taken, left = [], size
    for chunk in chunks:
        taken.append(chunk[:left])
        left -= len(taken[-1])
        if left <= 0:
            break
    return b"".join(taken)


def read_json(body: Kept, *, ends_suffice: bool = False) -> tuple[dict[str, Any], bool]:
    """The JSON object in `body` and whether it is all of it.

    Of a body too large to keep (or large, where `ends_suffice`: only its usage matters), the members that stand at its
    end, and the model its head names. Raises `Unreadable` when there is no object to read.
    """
    if body.whole and not (ends_suffice and body.size_bytes > QUICK_BYTES):
        return _whole(body), True
    found = _members_at_end(body.tail())
    if "usage" not in found and body.whole:
        return _whole(body), True
    if not found:
        raise Unreadable("large body")
    if "model" not in found and (model := _NEXT_MODEL.search(body.head())):
        found["model"] = model.group(1).decode("utf-8", "replace")
    return found, False


def _whole(body: Kept) -> dict[str, Any]:
    try:
        value = parse_odd_json(body.all())
    except ValueError as error:
        raise Unreadable("not JSON") from error
    if not isinstance(value, dict):
        raise Unreadable("not an object")
    return value


def _members_at_end(tail: bytes) -> dict[str, Any]:
    """The top-level members from the first key on that stands at the top level.

    `{` + (text from a key to the end) is an object exactly when the key belongs to the outermost object: from a nested
    key on, a bracket would close that was never opened.
    """
    keys = [match.start() for match in _KEY.finditer(tail)]
    found: dict[str, Any] = {}
    for start in reversed(keys[-64:]):
        try:
            value = parse_json(b"{" + tail[start:])
        except ValueError:
            continue
        found = {**value, **found}
    return found
