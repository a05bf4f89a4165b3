"""What a model can take in and put out: our own facts (`limits.toml`), completed by the price catalogue's windows."""

from __future__ import annotations

import re
import tomllib
from functools import lru_cache
from pathlib import Path
from typing import Any

from tracking.bounds.types import Limits

FILE = Path(__file__).with_name("limits.toml")
#: more than any image costs today, for models whose formula is not known
ANY_IMAGE_TOKENS = 48_169
#: an OpenAI-shaped provider (Azure, gateways) serves OpenAI's models under names of its own choice
_SHAPES = {"azure": "openai"}


@lru_cache(maxsize=4096)
def limits_of(*, provider: str, model: str, listed_window: int | None = None, wide: bool = False) -> Limits:
    """The limits of a model. `listed_window` is the catalogue's context window; `wide`: the long one was asked for.

    Our facts and the catalogue may differ: the larger window counts, as a bound must. Where the output has no limit of
    its own, the window is its limit.
    """
    entry = _entry(_SHAPES.get(provider, provider), model.lower())
    windows = [entry.get("wide_context") if wide else None, entry.get("context"), listed_window]
    context = max((window for window in windows if window), default=None)
    return Limits(context, entry.get("output") or context, entry.get("image", 0))


def _entry(provider: str, model: str) -> dict[str, Any]:
    for pattern, entry in _entries().get(provider, ()):
        if pattern.fullmatch(model):
            return entry
    return {}


@lru_cache(maxsize=1)
def _entries() -> dict[str, list[tuple[re.Pattern[str], dict[str, Any]]]]:
    entries: dict[str, list[tuple[re.Pattern[str], dict[str, Any]]]] = {}
    for entry in tomllib.loads(FILE.read_text())["model"]:
        entries.setdefault(entry["provider"], []).append((re.compile(entry["match"]), entry))
    return entries
