"""A realtime session under a budget: each response is held for, and when the budget is gone the session is closed."""

import asyncio
from decimal import Decimal

import openai
import pytest

from tests.flows.budgeting import assert_budgets_agree, limit_of, standing

#: what the next response of gpt-realtime is held at: its window heard, its longest answer spoken
MOST = Decimal("1.286144")


@pytest.fixture(autouse=True)
def clean_memory(transactional_db):
    from budgets import connections, operations

    operations.forget()
    yield
    operations.forget()
    connections.shut_down()


def say(session, text: str) -> None:
    content = [{"type": "input_text", "text": text}]
    session.conversation.item.create(item={"type": "message", "role": "user", "content": content})
    session.response.create()


def answer(session) -> None:
    for event in session:
        if event.type == "response.done":
            return


def test_a_session_is_refused_before_its_first_response(ledger, sdk, provider):
    limit_of("1")
    with (
        pytest.raises(openai.APIStatusError) as caught,
        sdk("openai").realtime.connect(model="gpt-realtime"),
    ):
        pytest.fail("the session must not open")
    assert caught.value.status_code == 402 and "left" in caught.value.message
    row = ledger.row()
    assert (row.status, row.operation, row.cost) == ("refused", "realtime", 0)
    assert_budgets_agree(ledger)


def test_a_session_goes_on_while_its_budget_lasts(ledger, sdk, provider):
    limit_of(str(MOST + Decimal("0.5")))
    with sdk("openai").realtime.connect(model="gpt-realtime") as session:
        for text in ("What did we spend?", "And yesterday?"):
            say(session, text)
            answer(session)
    rows = ledger.rows(status="ok")
    assert len(rows) == 2
    assert standing()[0] == sum(row.cost for row in rows)
    assert standing()[1] in (0, MOST), "the hold for a third response is let go at the end"
    from budgets import connections

    connections.shut_down()
    assert_budgets_agree(ledger)


def test_when_the_budget_is_gone_the_session_is_closed_with_the_reason(ledger, sdk, provider):
    limit_of(str(MOST))
    with sdk("openai").realtime.connect(model="gpt-realtime") as session:
        say(session, "What did we spend?")
        answer(session)  # what was held for is answered in full
        with pytest.raises(openai.APIStatusError) as caught:
            say(session, "And yesterday?")
    assert caught.value.code == "budget_exceeded" and Decimal(caught.value.body["spent"]) > 0
    assert [row.status for row in ledger.rows()] == ["ok", "refused"]
    assert_budgets_agree(ledger)


def test_a_session_of_a_coroutine_is_closed_alike(ledger, sdk, provider):
    limit_of(str(MOST))

    async def talk() -> None:
        client = sdk("async_openai")
        async with client.realtime.connect(model="gpt-realtime") as session:
            await session.response.create()
            async for event in session:
                if event.type == "response.done":
                    break
            with pytest.raises(openai.APIStatusError):
                await session.response.create()
        await client.close()

    asyncio.run(talk())
    assert [row.status for row in ledger.rows()] == ["ok", "refused"]
    assert_budgets_agree(ledger)
