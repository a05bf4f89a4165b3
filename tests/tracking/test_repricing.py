"""Calls whose price becomes known later get it by a correction, once."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.tracking.making import NOW, an_event
from tests.tracking.test_results import creation, result
from tracking import queries
from tracking.audit import audit
from tracking.models import ApiUsageLog, Rate
from tracking.periods import last_days
from tracking.recording import record
from tracking.repricing import reprice

LATER = NOW + timedelta(days=3)


def unpriced_call(**changes):
    return an_event(model_served="our-model", model_asked="our-model", analysis="song-1", user=1, **changes)


def add_rates(model: str = "our-model") -> None:
    """An admin enters what the model costs: $1 and $2 per million."""
    for meter, amount in (("input_tokens", "1"), ("output_tokens", "2")):
        Rate.objects.create(provider="openai", model=model, meter=meter, amount=Decimal(amount), own=True, source="us")


def totals() -> queries.Totals:
    return queries.totals(period=last_days(NOW, 1))


@pytest.mark.django_db
def test_an_unpriced_call_is_priced_once_its_rate_is_known():
    record([unpriced_call(), unpriced_call(), an_event()], now=NOW)
    assert (totals().unpriced, totals().cost) == (2, Decimal("0.0075"))
    assert reprice(now=LATER).priced == 0
    add_rates()

    preview = reprice(now=LATER, dry_run=True)
    assert (preview.priced, preview.cost) == (2, Decimal("0.004"))
    assert preview.by_model == {"our-model": (2, Decimal("0.004"))}
    assert totals().unpriced == 2, "a dry run changes nothing"

    assert reprice(now=LATER).priced == 2
    assert (totals().unpriced, totals().cost, totals().calls) == (0, Decimal("0.0115"), 3)
    assert totals().input_tokens == 3000, "tokens are not counted twice"
    assert queries.analysis_costs("song-1")["total"] == Decimal("0.004")
    assert queries.unpriced_calls().calls == []
    assert reprice(now=LATER).priced == 0, "once"
    assert audit().ok

    corrections = ApiUsageLog.objects.exclude(corrects=None)
    assert {(row.calls, row.cost, row.occurred_at, row.recorded_at) for row in corrections} == {
        (0, Decimal("0.002"), NOW, LATER)
    }
    found = queries.call(corrections[0].id)
    assert (found.call.price_status, found.call.cost, found.row.cost) == ("priced", Decimal("0.002"), None)
    assert [line["rate"] for line in found.receipt["lines"]] == ["1", "2"]


@pytest.mark.django_db
def test_what_was_not_read_rightly_then_is_read_again(monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr("tracking.usage.read_usage", lambda **kwargs: 1 / 0)
        record([an_event()], now=NOW)
    assert totals().input_tokens == 0
    assert reprice(now=LATER).priced == 1
    assert (totals().cost, totals().input_tokens, totals().unpriced) == (Decimal("0.0075"), 1000, 0)
    assert audit().ok


@pytest.mark.django_db
def test_the_result_of_a_background_response_is_priced_later_too():
    record([creation(), result(model_served="our-model")], now=NOW)
    add_rates("our-model")
    assert reprice(now=LATER).priced == 1
    assert (totals().cost, totals().unpriced, totals().calls, totals().input_tokens) == (Decimal("0.002"), 0, 1, 1000)
    assert reprice(now=LATER).priced == 0
    assert audit().ok


@pytest.mark.django_db
def test_a_call_whose_usage_is_not_known_stays_unpriced():
    record([an_event(usage=None), creation(result_key="openai:resp_9")], now=NOW)
    assert reprice(now=LATER).priced == 0
    assert totals().unpriced == 2


@pytest.mark.django_db
def test_many_unpriced_calls_are_gone_through_in_bounded_batches(monkeypatch):
    monkeypatch.setattr("tracking.repricing.BATCH_SIZE", 7)
    record([unpriced_call() for _ in range(30)], now=NOW)
    add_rates()
    assert reprice(now=LATER, at_most=10).priced == 10
    assert reprice(now=LATER).priced == 20
    assert totals().cost == Decimal("0.06")
    assert audit().ok


def test_several_processes_price_each_call_once(transactional_db):
    from django.db import connections

    record([unpriced_call() for _ in range(60)], now=NOW)
    add_rates()
    priced, failures = [], []

    def work() -> None:
        try:
            priced.append(reprice(now=LATER).priced)
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    try:
        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
    finally:
        Rate.objects.filter(own=True).delete()
    assert (failures, sum(priced)) == ([], 60)
    assert (totals().cost, totals().unpriced) == (Decimal("0.12"), 0)
    assert audit().ok


@pytest.mark.django_db
def test_the_command_says_what_it_did(capsys):
    from django.core.management import call_command

    record([unpriced_call()], now=NOW)
    add_rates()
    call_command("reprice", dry_run=True)
    assert "1 of 1 unpriced calls would be priced: 0.002 USD" in capsys.readouterr().out
    call_command("reprice")
    assert "our-model: 1 calls, 0.002 USD" in capsys.readouterr().out
