"""Against recorded traffic of the real providers: what a call could cost at most was never less than what it did."""

from __future__ import annotations

import json
import statistics
from collections import Counter
from datetime import UTC, datetime

import httpx2
import pytest

from tests.replay import recorded
from tests.tracking.pricing.books import catalogue_book
from tracking import bounds
from tracking.bounds import Ask
from tracking.meter import Meter
from tracking.pricing import price
from tracking.usage import read_usage

AT = datetime(2026, 11, 1, tzinfo=UTC)
pytestmark = [
    pytest.mark.recordings,
    pytest.mark.skipif(recorded.MISSING is not None, reason=str(recorded.MISSING)),
]


def event_of(raw: dict):
    """The attempt and the event that a recorded exchange leaves, without a network."""
    events: list = []
    meter = Meter(kind=raw["provider"], provider=raw["provider"], sink=events.append)
    request = httpx2.Request("POST", f"https://api.example.org{raw['path']}", json=raw["request"])
    attempt = meter.open(request)
    if attempt is None:
        return None, None
    headers = {"content-type": raw["response_type"] or "application/json"}
    attempt.answered(httpx2.Response(raw["status"], headers=headers))
    attempt.feed(raw["body"].encode())
    attempt.end()
    attempt.close()
    return attempt, events[0] if events else None


def test_no_recorded_call_cost_more_than_its_bound(capsys):
    """Every exchange that was billed and has a bound; the rest is counted, with the reason."""
    book = catalogue_book()
    ratios, unbounded, given, exceeded = [], Counter(), [], []
    for raw in recorded.replayer().load():
        if not isinstance(raw["request"], dict) or raw["status"] >= 400:
            continue
        attempt, event = event_of(raw)
        if event is None or event.usage is None or event.kind != "call":
            continue
        usage = read_usage(
            provider=event.provider,
            model=event.model_served or event.model_asked,
            operation=event.operation,
            endpoint=event.endpoint,
            usage=event.usage,
            facts=event.facts,
        )
        actual = price(usage, AT, book).total_nanousd
        if not actual:
            continue
        ask = Ask(
            kind=attempt.kind,
            provider=event.provider,
            endpoint=event.endpoint,
            operation=event.operation,
            sent=attempt.sent,
            window_of=lambda model, provider=event.provider: getattr(
                book.resolve(provider, model), "context_window", None
            ),
        )
        found = bounds.bound(ask)
        worst = bounds.worst(found, at=AT, rates=book)
        if worst.cost is None:
            unbounded[found.problem or worst.reason] += 1
            continue
        most = int(worst.cost.scaleb(9))
        if most < actual:
            exceeded.append(
                (raw["id"], raw["source"], event.endpoint, event.model_asked, actual, most, json.dumps(event.usage))
            )
        ratios.append(most / actual)
        if found.output is not None and found.output.given:
            given.append(most / actual)
    with capsys.disabled():
        print(
            f"\n{len(ratios)} bounds; median bound / actual {statistics.median(ratios):.0f}, "
            f"{statistics.median(given):.1f} where a maximum was given ({len(given)}); "
            f"without a bound: {sum(unbounded.values())}"
        )
        for reason, count in unbounded.most_common():
            print(f"  {count:4d}  {reason}")
    assert not exceeded, exceeded[:5]
    assert len(ratios) > 500
