"""Prices of one's own: what calls need, what a price would make of them, and entering it."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry

from tests.tracking.making import NOW, an_event
from tracking import own_rates, queries
from tracking.audit import audit
from tracking.models import ApiUsageLog, Rate
from tracking.own_rates import NewRates, Wanted, enter, preview, unpriced_of
from tracking.periods import last_days
from tracking.pricing import book
from tracking.recording import record

pytestmark = pytest.mark.django_db
IN, OUT = Wanted("input_tokens"), Wanted("output_tokens")
LATER = NOW + timedelta(hours=1)


def unpriced(count: int, model: str = "our-model", **changes) -> None:
    record([an_event(model_served=model, model_asked=model, **changes) for _ in range(count)], now=NOW)


def new(*amounts, **more) -> NewRates:
    return NewRates(provider="openai", model="our-model", amounts=amounts, source="contract", **more)


def test_what_calls_need_is_read_from_them():
    unpriced(2)
    unpriced(
        1,
        usage={
            "prompt_tokens": 9,
            "completion_tokens": 1,
            "total_tokens": 10,
            "prompt_tokens_details": {"cached_tokens": 4},
        },
    )
    unpriced(1, batch=True)
    unpriced(1, usage=None, status="timeout", quality="none")
    unpriced(3, model="another")
    found = unpriced_of("openai", "our-model")
    assert (found.calls, found.without_usage, found.looked_at) == (5, 1, 5)
    assert found.wanted == [
        Wanted("input_tokens", tier="batch"),
        Wanted("output_tokens", tier="batch"),
        IN,
        Wanted("cache_read_tokens"),
        OUT,
    ]
    assert any("no prices for openai model" in reason for reason in found.reasons)
    assert IN.per == 1_000_000


def test_a_preview_says_what_calls_would_cost_and_changes_nothing_for_anybody():
    unpriced(3)
    unpriced(2, model="another")
    done = preview(new((IN, Decimal(1)), (OUT, Decimal(2))), now=LATER)
    assert (done.priced, done.looked_at, done.cost) == (3, 3, Decimal("0.006"))
    assert preview(new((IN, Decimal(1))), now=LATER).priced == 0, "output is not free because it was left out"
    late = preview(new((IN, Decimal(1)), (OUT, Decimal(2)), valid_from=LATER), now=LATER)
    assert late.priced == 0, "the price did not hold when they were made"
    assert (
        not Rate.objects.filter(model="our-model").exists() and not ApiUsageLog.objects.exclude(corrects=None).exists()
    )
    assert book.current().model("openai", "our-model") is None, "nobody else sees it"


def test_entering_a_price_prices_the_calls_and_tells_who_did_it(staff):
    unpriced(3)
    unpriced(2, model="another")
    done = enter(new((IN, Decimal(1)), (OUT, Decimal(2))), by=staff, now=LATER)
    assert (done.priced, done.cost) == (3, Decimal("0.006"))
    totals = queries.totals(period=last_days(NOW, 1))
    assert (totals.cost, totals.unpriced) == (Decimal("0.006"), 2)
    rates = Rate.objects.filter(model="our-model").order_by("pk")
    assert [(r.meter, r.amount, r.per, r.own, r.source) for r in rates] == [
        ("input_tokens", Decimal(1), 1_000_000, True, "contract"),
        ("output_tokens", Decimal(2), 1_000_000, True, "contract"),
    ]
    assert {(e.user_id, e.object_id) for e in LogEntry.objects.all()} == {(staff.pk, str(r.pk)) for r in rates}
    assert audit().ok


def test_what_is_too_much_at_once_is_left_for_later(staff, monkeypatch):
    monkeypatch.setattr(own_rates, "MOST_AT_ONCE", 2)
    unpriced(5)
    assert preview(new((IN, Decimal(1)), (OUT, Decimal(2))), now=LATER).looked_at == 2
    assert enter(new((IN, Decimal(1)), (OUT, Decimal(2))), by=staff, now=LATER).priced == 2
    assert unpriced_of("openai", "our-model").calls == 3
