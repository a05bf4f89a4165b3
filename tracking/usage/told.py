"""Usage as plain meters, from who counts by himself: {"meters": {"input_tokens": 900, "output_tokens": 80}}. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from tracking.pricing.meters import METERS
from tracking.usage._fields import MAX_TOKENS, Fields, Findings
from tracking.usage.types import Usage


def is_told(usage: Any) -> bool:
    """Whether usage is told in meters."""
    return isinstance(usage, Mapping) and isinstance(usage.get("meters"), Mapping)


def read(*, provider: str, model: str, usage: Mapping[str, Any], facts: Mapping[str, Any], batch: bool) -> Usage:
    """The meters as they are told. Never raises: what is wrong with them is flagged.

    Meters are disjoint: a cached token is counted in `cache_read_tokens` alone. `variants` names what is priced by kind
    ({"images": "1024x1024/standard"}), `reasoning_tokens` is for information.
    """
    found = Findings()
    fields = Fields(usage, found)
    told = fields.child("meters")
    meters: dict[str, int | Decimal] = {}
    for name in told.data:
        if name not in METERS:
            continue
        unit = METERS[name].unit
        if unit == "second":
            meters[name] = told.seconds(name)
        else:
            meters[name] = told.tokens(name) if unit == "token" else told.count(name)
    told.finish()
    variants = fields.child("variants").data
    reasoning = fields.tokens("reasoning_tokens")
    fields.finish()
    if not meters and not found.problem:
        found.wrong("empty_usage", "the usage reported holds no known quantity")
    context = sum(int(n) for name, n in meters.items() if name.endswith("_tokens") and not name.startswith("output"))
    tier, region = str(facts.get("service_tier") or "").lower(), str(facts.get("inference_geo") or "").lower()
    return Usage(
        provider=provider,
        model=model,
        meters=meters,
        tier="batch" if batch else "standard" if tier in ("", "default", "auto") else tier[:40],
        context_tokens=min(context, MAX_TOKENS),
        reasoning_tokens=min(reasoning, int(meters.get("output_tokens", 0))),
        region="" if region in ("global", "not_available") else region[:20],
        variants={name: str(value)[:60] for name, value in variants.items() if name in meters},
        flags=tuple(found.flags),
        problem=found.problem,
        assumed=found.assumed,
    )
