"""Calls whose result comes later: their money is held until it does, and counted once."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import openai
import pytest

from tests.flows.budgeting import QUESTION, ask, assert_budgets_agree, limit_of, standing


@pytest.fixture(autouse=True)
def clean_memory(transactional_db):
    from budgets import connections, operations

    operations.forget()
    yield
    operations.forget()
    connections.shut_down()


def in_hours(hours: float) -> datetime:
    return datetime.now(UTC) + timedelta(hours=hours)


def background(client):
    return client.responses.create(model="gpt-4o", input="What did we spend?", background=True, max_output_tokens=500)


def finished(client, response):
    for _ in range(20):
        response = client.responses.retrieve(response.id)
        if response.status == "completed":
            return response
    raise AssertionError("the response does not end")


def test_a_background_response_is_held_until_it_is_retrieved(ledger, sdk):
    from budgets.models import Hold
    from budgets.sweeping import sweep_holds

    limit_of("5")
    client = sdk("openai")
    response = background(client)
    ledger.settle()
    hold = Hold.objects.get()
    assert (hold.state, standing()) == ("open", (0, hold.amount))
    assert sweep_holds(now=in_hours(24)) == 0, "it may take a day"
    finished(client, response)
    assert standing_after(ledger) == (ledger.total(), 0)
    finished(client, response)
    assert standing_after(ledger) == (ledger.total(), 0), "read again, it is not counted again"
    assert_budgets_agree(ledger)


def test_one_that_nobody_retrieves_is_counted_at_what_was_held_until_somebody_does(ledger, sdk):
    from budgets.models import Hold
    from budgets.sweeping import sweep_holds

    limit_of("5")
    client = sdk("openai")
    response = background(client)
    ledger.settle()
    assert sweep_holds(now=in_hours(27)) == 1
    held = Hold.objects.get().amount
    assert standing_after(ledger) == (held, 0)
    assert ledger.row().price_status == "unpriced", "what it cost is still to come"
    assert_budgets_agree(ledger)
    finished(client, response)
    spent, _ = standing_after(ledger)
    assert 0 < spent < held and ledger.total() == spent
    assert_budgets_agree(ledger)


def batch_of(client, questions: int):
    one = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": QUESTION}
    return client.messages.batches.create(
        requests=[{"custom_id": str(number), "params": one} for number in range(questions)]
    )


def results_of(client, batch) -> int:
    for _ in range(20):
        if client.messages.batches.retrieve(batch.id).processing_status == "ended":
            return len(list(client.messages.batches.results(batch.id)))
    raise AssertionError("the batch does not end")


def test_a_batch_holds_for_all_its_requests_until_their_results_are_read(ledger, sdk):
    from budgets.models import Hold

    limit_of("5")
    client = sdk("anthropic")
    batch = batch_of(client, 3)
    ledger.settle()
    assert standing() == (0, Hold.objects.get().amount)
    assert results_of(client, batch) == 3
    assert standing_after(ledger) == (ledger.total(), 0)
    assert len(ledger.rows(service="batch")) == 3
    assert_budgets_agree(ledger)


def test_a_batch_that_expired_is_taken_back_when_its_results_come(ledger, sdk):
    from budgets.sweeping import sweep_holds

    limit_of("5")
    client = sdk("anthropic")
    batch = batch_of(client, 2)
    ledger.settle()
    assert sweep_holds(now=in_hours(27)) == 1
    held, _ = standing_after(ledger)
    assert held == ledger.total() > 0
    assert_budgets_agree(ledger)
    assert results_of(client, batch) == 2
    spent, _ = standing_after(ledger)
    assert 0 < spent < held and ledger.total() == spent
    assert_budgets_agree(ledger)


def test_a_batch_that_its_budget_cannot_bound_is_refused(ledger, sdk, provider):
    limit_of("5")
    client = sdk("openai")
    with pytest.raises(openai.APIStatusError) as caught:
        client.batches.create(input_file_id="file-1", endpoint="/v1/chat/completions", completion_window="24h")
    assert caught.value.code == "no_upper_bound" and not provider.requests


def test_a_call_given_up_for_lost_is_corrected_when_its_event_comes(ledger, provider):
    """A process that slept: the sweeper counted its call, then it recorded what the call did cost."""
    from budgets.sweeping import sweep_holds
    from tracking import spool
    from tracking.instrument import guard, instrument

    kept: list = []
    limit_of("5")
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="local") as client:
        ask(instrument(client, sink=kept.append, gate=guard))
    assert sweep_holds(now=in_hours(1)) == 1
    held, _ = standing_after(ledger)
    assert held > 0
    for event in kept:
        spool.emit(event)
    spent, open_ = standing_after(ledger)
    assert (spent, open_) == (ledger.total(), Decimal(0)) and 0 < spent < held
    assert_budgets_agree(ledger)


def standing_after(ledger) -> tuple[Decimal, Decimal]:
    ledger.settle()
    return standing()
