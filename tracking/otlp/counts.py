"""How many spans and data points came, for `/metrics`: in the cache, so with Redis the same in every process."""

from __future__ import annotations

import logging

from django.core.cache import cache

from tracking.otlp.intake import Taken

logger = logging.getLogger(__name__)

SPANS = ("recorded", "known", "nested", "metered", "other", "rejected")
DATA_POINTS = "data_points"


def add_spans(taken: Taken) -> None:
    """Count what became of an export."""
    for name in SPANS:
        _add(name, getattr(taken, name))


def add_data_points(count: int) -> None:
    """Count the data points of an export of metrics."""
    _add(DATA_POINTS, count)


def read() -> dict[str, int]:
    """The counts so far, by name; none where the cache does not answer."""
    try:
        found = cache.get_many([_key(name) for name in (*SPANS, DATA_POINTS)])
    except Exception as error:
        logger.warning("Spans are not counted: %s", type(error).__name__)
        return {}
    return {name: int(found.get(_key(name), 0)) for name in (*SPANS, DATA_POINTS)}


def _key(name: str) -> str:
    return f"otlp:{name}"


def _add(name: str, count: int) -> None:
    if not count:
        return
    try:
        cache.add(_key(name), 0, None)
        cache.incr(_key(name), count)
    except Exception as error:
        logger.warning("Spans are not counted: %s", type(error).__name__)
