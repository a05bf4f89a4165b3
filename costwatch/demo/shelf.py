"""What the local provider remembers between requests: stored results, files, batches, prompts in its cache. Bounded."""

from __future__ import annotations

import itertools
import threading
import time
from collections import OrderedDict
from typing import Any

MAX_THINGS = 2_000


class Shelf:
    """Things by id. The oldest is dropped when it is full."""

    def __init__(self) -> None:
        self._things: OrderedDict[str, Any] = OrderedDict()
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._run = f"{time.time_ns() // 1000:x}"  # so that ids of another run never come back

    def new_id(self, prefix: str) -> str:
        """An id that was not given out before."""
        return f"{prefix}{self._run}{next(self._numbers):04x}"

    def put(self, key: str, thing: Any) -> Any:
        with self._lock:
            self._things[key] = thing
            while len(self._things) > MAX_THINGS:
                self._things.popitem(last=False)
        return thing

    def get(self, key: str) -> Any:
        with self._lock:
            return self._things.get(key)

    def all(self, prefix: str) -> list[Any]:
        with self._lock:
            return [thing for key, thing in self._things.items() if key.startswith(prefix)]

    def seen(self, key: str) -> bool:
        """Whether this was asked before; from now on it was."""
        with self._lock:
            known = key in self._things
            self._things[key] = True
        return known
