"""The replay as a table: `python -m tests.replay.report` prints a JSON line for each endpoint.

Per endpoint: exchanges, exact (rows that agree with the usage in the raw answer), priced, unpriced and why.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import Any

from tests.replay import recorded
from tests.replay.recorded import MANAGEMENT, Exchange


def is_billed(exchange: Exchange) -> int:
    """How many events the exchange must leave."""
    return 0 if MANAGEMENT.fullmatch(exchange.path) or exchange.path.endswith("/submit_tool_outputs") else 1


def exactness(one: Any, row: Any) -> dict[str, tuple[Any, Any]]:
    """Where the row and the raw answer differ: column -> (row, raw answer). Empty where they agree.

    An answer without usage has nothing to agree with: its row must not claim to be exact about a cost.
    """
    raw = recorded.used(one.exchange)
    if raw is None:
        claims = row.quality == "exact" and row.price_status == "priced" and row.operation != "image_generation"
        return {"quality": (row.quality, "no usage in the answer")} if claims else {}
    pairs = {
        "input_tokens": (row.input_tokens, raw.input),
        "cache_read_tokens": (row.cache_read_tokens, raw.cached),
        "cache_write_tokens": (row.cache_write_tokens, raw.written),
        "output_tokens": (row.output_tokens, raw.output),
        "reasoning_tokens": (row.reasoning_tokens, raw.reasoning),
        "web_searches": (int(row.meters.get("web_searches", 0)), raw.searches),
        "quality": (row.quality, "exact"),
    }
    if raw.model:
        pairs["model_served"] = (row.model_served, raw.model)
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def summarise(replayed: list[Any], rows: dict[str, Any]) -> list[dict[str, Any]]:
    """One line for each endpoint and kind of answer."""
    lines: dict[tuple, Counter] = {}
    reasons: dict[tuple, Counter] = {}
    for one in replayed:
        kind = ("async " if "async" in one.way else "") + ("stream" if one.exchange.is_stream else "json")
        key = (one.exchange.raw["provider"], one.exchange.endpoint, kind)
        counts, why = lines.setdefault(key, Counter()), reasons.setdefault(key, Counter())
        counts["exchanges"] += 1
        row = rows.get(f"{one.exchange.id} {one.way}")
        if row is None:
            counts["no row"] += 1
            continue
        counts["usage in the answer"] += recorded.used(one.exchange) is not None
        counts["exact"] += recorded.used(one.exchange) is not None and not exactness(one, row)
        counts[row.price_status] += 1
        if row.price_status != "priced":
            why[f"{row.price_status}: {_reason(row)}"] += 1
    return [
        {"provider": key[0], "endpoint": key[1], "answer": key[2], **dict(counts), "why": dict(reasons[key])}
        for key, counts in sorted(lines.items())
    ]


def _reason(row: Any) -> str:
    return row.receipt.get("reason") or row.error or row.status


def main() -> int:
    """Replay, record into a database that is thrown away, and print."""
    if recorded.MISSING:
        print(recorded.MISSING)
        return 1
    import pytest

    return pytest.main(["-q", "-s", "-p", "no:cacheprovider", "tests/test_recordings.py", "-k", "every_row"])


if __name__ == "__main__":
    sys.exit(main())
