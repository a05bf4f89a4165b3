"""Rows that change what another row added: a result that came later, a price that became known, a row taken back.

Each stands at the time and under the dimensions of the row it corrects, so that sums over any period are net. Pure.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from tracking.rows import SUMS, Row, derived_id, now_text, plain_receipt


def reversed_row(row: Row, sums: Mapping[str, int], *, now: datetime, reason: str) -> Row:
    """A row that takes back what `sums` (the row and its corrections so far) added, its call included."""
    return replace(
        _correction_base(row, "reversal", now=now),
        **{name: -sums[name] for name in SUMS},
        cost=-sums["cost"],
        price_status=row.price_status if row.price_status != "unpriced" else "priced",
        receipt=plain_receipt("priced", None, reason),
    )


def result_row(creation: Row, result: Row, *, open_unpriced: int, now: datetime) -> Row:
    """A row that adds the result of `creation`: its usage and cost, where the creation stands, and no further call."""
    settled = result.price_status != "unpriced"
    base = _correction_base(creation, "result", now=now)
    for name in SUMS:
        setattr(base, name, getattr(result, name))
    base.calls = 0
    base.unpriced = -open_unpriced if settled else 0
    for name in (
        *("model_served", "request_id", "response_id", "status", "http_status", "error", "quality", "tier", "cost"),
        *("latency_ms", "ttft_ms", "meters", "raw_usage", "facts", "flags", "price_status", "receipt"),
    ):
        setattr(base, name, getattr(result, name))
    return base


def price_row(unpriced: Row, priced: Row, sums: Mapping[str, int], *, now: datetime) -> Row:
    """A row that adds the price of a call whose net so far is `sums`; `priced` is the same call as it reads today.

    `unpriced` is the row whose usage was priced: the call itself, or its result.
    """
    call_id = unpriced.corrects or unpriced.id
    base = _correction_base(replace(unpriced, id=call_id), "price", now=now)
    for name in SUMS:
        setattr(base, name, getattr(priced, name) - sums[name])
    base.calls, base.unpriced, base.cost = 0, -sums["unpriced"], priced.cost
    for name in ("tier", "meters", "flags", "price_status", "receipt"):
        setattr(base, name, getattr(priced, name))
    return base


def _correction_base(row: Row, what: str, *, now: datetime) -> Row:
    """A correction of `row`: same time and dimensions, an id of its own, and nothing added yet."""
    return replace(
        row,
        id=derived_id(row.id, what),
        corrects=row.id,
        recorded_at=now_text(now),
        source="correction",
        status="correction",
        http_status=None,
        error="",
        latency_ms=None,
        ttft_ms=None,
        **dict.fromkeys(SUMS, 0),
        meters="{}",
        raw_usage=None,
        facts="{}",
        flags="[]",
        cost=0,
        receipt="{}",
    )
