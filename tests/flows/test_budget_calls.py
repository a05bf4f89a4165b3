"""A budget stands in the way of real SDK calls: what it lets through, what it refuses, and what the caller sees."""

import asyncio
import json
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import anthropic
import openai
import pytest

from tests.flows.budgeting import QUESTION, ask, assert_budgets_agree, counted_queries, limit_of, standing


@pytest.fixture(autouse=True)
def clean_memory(transactional_db):
    from budgets import connections, expectation, operations

    operations.forget()
    expectation.forget()
    yield
    operations.forget()
    connections.shut_down()


def test_a_call_within_the_budget_is_held_sent_and_settled_at_its_cost(ledger, sdk, provider, owner):
    limit_of("5")
    answer = ask(sdk("openai", user=owner))
    assert answer.choices[0].message.content
    row = ledger.row()
    assert row.cost > 0
    assert standing() == (row.cost, 0)
    assert_budgets_agree(ledger)


def test_a_refused_call_never_leaves_the_process_and_is_raised_once(ledger, sdk, provider, owner):
    limit = limit_of("0.0001")
    with pytest.raises(openai.APIStatusError) as caught:
        ask(sdk("openai", user=owner))
    assert not provider.requests, "nothing reached the provider"
    error = caught.value
    assert (error.status_code, error.type, error.code) == (402, "budget_exceeded", "budget_exceeded")
    assert error.body["limit"] == {
        "id": limit.pk,
        "name": "The team's month",
        "scope": "everyone",
        "subject": "",
        "period": "month",
        "amount": "0.0001",
    }
    assert (error.body["spent"], error.body["held"], error.body["remaining"]) == ("0", "0", "0.0001")
    assert error.body["resets_at"] and "increase the budget" in error.message
    assert "retry-after" not in error.response.headers, "waiting a little would not help"
    row = ledger.row()
    assert (row.status, row.http_status, row.cost, row.price_status) == ("refused", 402, 0, "free")
    assert (row.attempt, row.user_id, row.error) == (1, owner.pk, "budget_exceeded")
    assert_budgets_agree(ledger)


def test_claude_refuses_in_its_own_shape(ledger, sdk, provider):
    limit_of("0.0001")
    with pytest.raises(anthropic.APIStatusError) as caught:
        sdk("anthropic").messages.create(model="claude-sonnet-4-6", max_tokens=100, messages=QUESTION)
    error = caught.value
    assert (error.status_code, error.body["type"], error.body["error"]["type"]) == (402, "error", "budget_exceeded")
    assert error.body["error"]["remaining"] == "0.0001"
    assert not provider.requests and len(ledger.rows()) == 1


@pytest.mark.parametrize("kind", ["async_openai", "async_anthropic"])
def test_coroutines_are_refused_alike(ledger, sdk, provider, kind):
    limit_of("0.0001")

    async def call():
        client = sdk(kind)
        try:
            if kind == "async_openai":
                await ask(client)
            else:
                await client.messages.create(model="claude-sonnet-4-6", max_tokens=100, messages=QUESTION)
        finally:
            await client.close()

    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
        asyncio.run(call())
    assert caught.value.status_code == 402 and not provider.requests
    assert ledger.row().status == "refused"


def test_a_stream_is_refused_before_it_begins_and_settled_after_it_ends(ledger, sdk, provider):
    limit = limit_of("5")
    for _ in ask(sdk("openai"), stream=True):
        pass
    row = ledger.row()
    assert row.stream and standing() == (row.cost, 0)
    limit.amount = Decimal("0.0001")
    limit.save()
    provider.requests.clear()
    from budgets import operations

    operations.forget()
    with pytest.raises(openai.APIStatusError, match="402|Budget"):
        ask(sdk("openai"), stream=True)
    assert not provider.requests


def test_an_error_of_the_provider_lets_the_money_go(ledger, sdk, provider):
    limit_of("5")
    with pytest.raises(openai.APIStatusError):
        ask(sdk("openai", max_retries=0), extra_headers={"x-demo-fault": "error-500"})
    ledger.settle()
    assert standing() == (0, 0)
    assert_budgets_agree(ledger)


def test_each_retry_is_held_and_settled_by_itself(ledger, sdk, provider):
    from budgets.models import Hold

    limit_of("5")
    ask(sdk("openai"), extra_headers={"x-demo-fault": "flaky-500"})
    failed, answered = ledger.rows()
    holds = {hold.pk: hold for hold in Hold.objects.all()}
    assert holds[failed.id].cost == 0 and holds[answered.id].cost == answered.cost
    assert_budgets_agree(ledger)


def test_a_call_that_timed_out_stays_counted_at_what_was_held(ledger, sdk, provider):
    from budgets.models import Hold

    limit_of("5")
    with pytest.raises(openai.APITimeoutError):
        ask(sdk("openai", max_retries=0, timeout=0.2), extra_headers={"x-demo-fault": "slow-2"})
    ledger.settle()
    hold = Hold.objects.get()
    assert (hold.state, hold.cost, hold.cost_known) == ("settled", hold.amount, False)
    assert standing() == (hold.amount, 0)


def test_a_model_without_a_price_is_refused_under_a_hard_limit_with_the_reason(ledger, sdk, provider, settings):
    limit_of("5")
    with pytest.raises(openai.APIStatusError) as caught:
        ask(sdk("openai"), model="house-model-7")
    assert caught.value.code == "unpriced_model" and "house-model-7" in caught.value.body["reason"]
    assert not provider.requests
    settings.UNPRICED_MODELS = "allow"
    ask(sdk("openai"), model="house-model-7")
    assert len(provider.requests) == 1
    settings.UNPRICED_MODELS = "assume"
    ask(sdk("openai"), model="house-model-7")
    rows = ledger.rows()
    assert [row.status for row in rows] == ["refused", "ok", "ok"]
    assert "held_at_assumed_price" in rows[2].flags and standing()[0] > 0


def test_what_nothing_bounds_is_refused_and_says_what_to_do(ledger, sdk, provider):
    limit_of("5")
    with pytest.raises(openai.APIStatusError) as caught:
        sdk("openai").responses.create(model="gpt-5", input="Find it.", tools=[{"type": "web_search"}])
    assert caught.value.code == "no_upper_bound" and "max_tool_calls" in caught.value.message
    assert not provider.requests


def test_a_small_budget_serves_a_small_call_by_writing_the_maximum_it_affords(ledger, sdk, provider, settings):
    settings.NO_MAXIMUM_POLICY = "cap"
    limit_of("0.02")
    sdk("openai").chat.completions.create(model="gpt-4o", messages=QUESTION)
    sent = json.loads(provider.requests[0].body)
    assert settings.MIN_CAPPED_TOKENS <= sent["max_completion_tokens"] < 2000
    assert sent["messages"] == QUESTION
    row = ledger.row()
    assert "output_capped" in row.flags and row.cost <= Decimal("0.02")
    assert_budgets_agree(ledger)


def test_the_maximum_is_written_into_a_stream_and_a_response_too(ledger, sdk, provider):
    limit_of("0.02", no_maximum="cap")
    for _ in sdk("openai").chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True):
        pass
    sent = json.loads(provider.requests[0].body)
    assert sent["max_completion_tokens"] < 2000 and sent["stream_options"] == {"include_usage": True}
    ledger.settle()
    sdk("openai").responses.create(model="gpt-4o", input="What did we spend?")
    assert json.loads(provider.requests[1].body)["max_output_tokens"] < 2000
    assert_budgets_agree(ledger)


def test_a_budget_that_does_not_afford_the_least_maximum_refuses(ledger, sdk, provider, settings):
    settings.NO_MAXIMUM_POLICY = "cap"
    limit_of("0.001")
    with pytest.raises(openai.APIStatusError):
        sdk("openai").chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert not provider.requests


def test_expectation_holds_what_such_calls_have_cost(ledger, sdk, provider, settings, monkeypatch):
    from budgets import expectation
    from budgets.models import Hold

    settings.NO_MAXIMUM_POLICY = "expect"
    client = sdk("openai", feature="summary")
    for _ in range(3):
        client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    usual = max(row.cost for row in ledger.rows())
    monkeypatch.setattr(expectation, "FEWEST", 3)
    monkeypatch.setattr(expectation, "MAX_AGE_S", 1e9)
    from datetime import UTC, datetime

    expectation.refresh(now=datetime.now(UTC))
    limit_of("0.05")
    client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    row = ledger.rows()[-1]
    assert Hold.objects.get(pk=row.id).amount == usual
    assert "held_as_expected" in row.flags


def test_where_no_limit_applies_nothing_is_asked_of_the_database(ledger, sdk, provider, owner, member):
    limit_of("5", scope="user", user=member)
    client = sdk("openai", user=owner)
    ask(client)
    with counted_queries() as statements:
        ask(client)
    assert statements == []
    ledger.settle()
    assert standing_is_untouched()


def standing_is_untouched() -> bool:
    from budgets.models import Hold

    return not Hold.objects.exists()


def test_moderations_and_counting_tokens_pass_a_budget_of_nothing(ledger, sdk, provider):
    limit_of("0")
    sdk("openai").moderations.create(input="What did we spend?")
    sdk("anthropic").messages.count_tokens(model="claude-sonnet-4-6", messages=QUESTION)
    assert len(provider.requests) == 2
    with pytest.raises(openai.APIStatusError):
        ask(sdk("openai"))


def test_a_soft_limit_counts_and_refuses_nothing(ledger, sdk, provider):
    limit_of("0.0001", pause_on_exceed=False)
    ask(sdk("openai"))
    row = ledger.row()
    assert standing() == (row.cost, 0)
    assert_budgets_agree(ledger)


def test_a_user_named_by_email_is_the_same_user(ledger, sdk, provider, owner):
    limit_of("0.0001", scope="user", user=owner)
    with pytest.raises(openai.APIStatusError):
        ask(sdk("openai", user=owner.email))
    assert not provider.requests


def test_only_holds_in_flight_stand_in_the_way_so_the_caller_may_try_again_soon(ledger, sdk, provider):
    limit_of("0.01")
    client = sdk("openai", max_retries=0)
    with ThreadPoolExecutor(1) as pool:
        slow = pool.submit(ask, client, max_completion_tokens=700, extra_headers={"x-demo-fault": "slow-1"})
        while not provider.requests:
            pass
        with pytest.raises(openai.APIStatusError) as caught:
            ask(client, max_completion_tokens=700)
        slow.result()
    assert caught.value.response.headers["retry-after"] == "5"
    assert Decimal(caught.value.body["held"]) > 0
    assert len(provider.requests) == 1
    assert_budgets_agree(ledger)


def in_parallel(sdk, provider, *, tries: int, calls: int, slow_s: str) -> None:
    """Make `tries` calls at once on a budget for `calls`: each holds the same, and none settles meanwhile."""
    from budgets.models import BudgetLimit, Hold

    limit = limit_of("1000", thresholds=[])
    client = sdk("openai", max_retries=0, timeout=60)
    ask(client)
    amount = Hold.objects.get().amount
    from tracking import spool

    assert spool.flush(10)
    spent, _ = standing()
    limit = BudgetLimit.objects.get(pk=limit.pk)
    limit.amount = spent + amount * calls
    limit.save()
    provider.requests.clear()

    def one(_: int) -> int:
        try:
            ask(client, extra_headers={"x-demo-fault": f"slow-{slow_s}"})
        except openai.APIStatusError as error:
            return error.status_code
        finally:
            from django.db import connections

            connections.close_all()
        return 200

    with ThreadPoolExecutor(tries) as pool:
        answers = list(pool.map(one, range(tries)))
    assert len(provider.requests) == calls, "exactly as many as the budget holds reached the provider"
    assert (answers.count(200), answers.count(402)) == (calls, tries - calls)


def test_twelve_at_once_on_a_budget_of_five_calls(ledger, sdk, provider):
    in_parallel(sdk, provider, tries=12, calls=5, slow_s="1")
    assert_budgets_agree(ledger)


@pytest.mark.slow
def test_sixty_four_in_parallel_on_a_budget_of_fifty_calls(ledger, sdk, provider):
    in_parallel(sdk, provider, tries=64, calls=50, slow_s="5")
    assert_budgets_agree(ledger)


def test_a_call_inside_a_transaction_that_is_rolled_back_is_counted_all_the_same(ledger, sdk, provider):
    from django.db import transaction

    limit_of("5")
    client = sdk("openai")
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        ask(client)
        raise ZeroDivisionError
    row = ledger.row()
    assert row.cost > 0 and len(provider.requests) == 1
    ask(client)  # opens the window, where the first one's was rolled back too
    assert_budgets_agree(ledger)
    assert standing() == (ledger.total(), 0)


def test_an_attempt_that_is_sent_elsewhere_lets_its_money_go(ledger):
    import httpx2

    from costwatch import clients

    answer = {
        "id": "chatcmpl-1",
        "model": "gpt-4o-2024-08-06",
        "choices": [],
        "usage": {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }

    def handler(request):
        if request.url.path.startswith("/old"):
            return httpx2.Response(307, headers={"location": "https://api.example.org/v1/chat/completions"})
        return httpx2.Response(200, json=answer)

    limit_of("5")
    http = httpx2.Client(transport=httpx2.MockTransport(handler), follow_redirects=True)
    client = clients.openai_client(base_url="https://api.example.org/old/v1", api_key="local", http_client=http)
    ask(client)
    row = ledger.row()
    from budgets import connections

    connections.shut_down()  # the money is let go on a thread of the pool
    assert standing() == (row.cost, 0)
    assert_budgets_agree(ledger)


def test_what_a_refusal_says_can_be_asked_of_either_sdks_error(ledger, sdk):
    from costwatch.clients import budget_refusal

    limit_of("0.0001")
    for call in (
        lambda: ask(sdk("openai")),
        lambda: sdk("anthropic").messages.create(model="claude-sonnet-4-6", max_tokens=100, messages=QUESTION),
    ):
        with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as caught:
            call()
        refusal = budget_refusal(caught.value)
        assert (refusal["code"], refusal["remaining"]) == ("budget_exceeded", "0.0001")
    assert budget_refusal(ValueError("something else")) is None
