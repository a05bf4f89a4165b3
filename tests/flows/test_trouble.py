"""Things go wrong between the caller and the provider: each attempt leaves one row that says what is known."""

import asyncio
import socket

import openai
import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUESTION = [{"role": "user", "content": "What did we spend?"}]


def fault(name: str, **more: str) -> dict[str, str]:
    return {"x-demo-fault": name, **{f"x-demo-{key.replace('_', '-')}": value for key, value in more.items()}}


def test_a_retry_is_a_row_of_its_own_and_only_the_answer_costs(ledger, sdk, owner):
    sdk("openai", user=owner).chat.completions.create(
        model="gpt-4o", messages=QUESTION, extra_headers=fault("flaky-429")
    )
    refused, answered = ledger.rows()
    assert (refused.attempt, refused.status, refused.http_status, refused.price_status) == (1, "error", 429, "free")
    assert refused.error == "rate_limit_exceeded" and refused.cost == 0
    assert (answered.attempt, answered.status, answered.price_status) == (2, "ok", "priced")
    assert refused.request_id and answered.request_id and refused.request_id != answered.request_id


@pytest.mark.parametrize("status", [400, 401, 404, 500, 529])
def test_a_refused_call_is_recorded_and_free(ledger, sdk, owner, status):
    with pytest.raises(openai.APIStatusError):
        sdk("openai", user=owner, max_retries=0).chat.completions.create(
            model="gpt-4o", messages=QUESTION, extra_headers=fault(f"error-{status}")
        )
    row = ledger.row()
    assert (row.status, row.http_status, row.cost, row.user_id) == ("error", status, 0, owner.pk)


def test_a_stream_cut_by_the_provider_is_estimated_from_what_came(ledger, sdk):
    stream = sdk("openai").chat.completions.create(
        model="gpt-4o", messages=QUESTION, stream=True, extra_headers=fault("cut", words="200")
    )
    heard = 0
    with pytest.raises(openai.APIConnectionError):
        for chunk in stream:
            heard += bool(chunk.choices and chunk.choices[0].delta.content)
    row = ledger.row()
    assert (row.status, row.quality, row.http_status) == ("incomplete", "estimated", 200)
    assert heard * 0.5 <= row.output_tokens <= heard * 2 and row.input_tokens > 0
    assert row.cost > 0


def test_a_claude_stream_cut_short_knows_its_input_exactly(ledger, sdk, provider):
    with pytest.raises(Exception):  # noqa: B017, SIM117 - whatever the SDK raises there
        with sdk("anthropic").messages.stream(
            model="claude-haiku-4-5", max_tokens=300, messages=QUESTION, extra_headers=fault("cut", words="200")
        ) as stream:
            for _event in stream:
                pass
    row = ledger.row()
    assert (row.status, row.quality) == ("incomplete", "partial")
    assert row.input_tokens == provider.requests[0].usage["input_tokens"]


def test_closing_a_stream_early_costs_what_came_so_far(ledger, sdk):
    with sdk("openai").chat.completions.create(
        model="gpt-4o", messages=QUESTION, stream=True, extra_headers={"x-demo-words": "2000", "x-demo-pause-ms": "2"}
    ) as stream:
        for number, _chunk in enumerate(stream):
            if number == 20:
                break
    row = ledger.row()
    assert (row.status, row.quality) == ("cancelled", "estimated")
    assert 0 < row.output_tokens < 1000


def test_a_cancelled_task_leaves_its_row(ledger, sdk, owner):
    async def main() -> None:
        async with sdk("async_openai", user=owner) as client:
            slow = fault("slow-10")
            task = asyncio.create_task(
                client.chat.completions.create(model="gpt-4o", messages=QUESTION, extra_headers=slow)
            )
            await asyncio.sleep(0.3)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    row = ledger.row()
    assert (row.status, row.user_id) == ("cancelled", owner.pk)
    assert row.cost is None and row.price_status == "unpriced"  # the provider may have billed it: not zero


def test_a_cancelled_stream_leaves_its_row(ledger, sdk):
    async def main() -> None:
        async with sdk("async_anthropic") as client:
            started = asyncio.Event()

            async def listen() -> None:
                paced = {"x-demo-words": "500", "x-demo-pause-ms": "5"}
                async with client.messages.stream(
                    model="claude-haiku-4-5", max_tokens=900, messages=QUESTION, extra_headers=paced
                ) as stream:
                    async for _text in stream.text_stream:
                        started.set()

            task = asyncio.create_task(listen())
            await started.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(main())
    row = ledger.row()
    assert (row.status, row.quality) == ("cancelled", "partial")
    assert row.input_tokens > 0


def test_a_timeout_is_not_free_and_a_refused_connection_is(ledger, sdk):
    with pytest.raises(openai.APITimeoutError):
        sdk("openai", max_retries=0, timeout=0.2).chat.completions.create(
            model="gpt-4o", messages=QUESTION, extra_headers=fault("slow-5")
        )
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(openai.APIConnectionError):
            sdk("openai", max_retries=1, base_url=nowhere).chat.completions.create(model="gpt-4o", messages=QUESTION)
    late, *refused = ledger.rows()
    assert (late.status, late.price_status, late.cost) == ("timeout", "unpriced", None)
    assert [(r.status, r.attempt, r.cost) for r in refused] == [("connection_error", 1, 0), ("connection_error", 2, 0)]


def test_an_answer_that_is_not_json_reaches_the_caller_as_it_is(ledger, sdk, provider):
    def ask(client):
        try:
            return client.chat.completions.create(model="gpt-4o", messages=QUESTION, extra_headers=fault("garbled"))
        except Exception as error:
            return type(error), str(error)

    bare = openai.OpenAI(base_url=provider.openai_base_url, api_key="local", max_retries=0)
    assert ask(sdk("openai", max_retries=0)) == ask(bare)
    row = ledger.row()
    assert (row.http_status, row.quality, row.cost) == (200, "none", None)
