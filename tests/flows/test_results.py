"""Results that come later (batches, background answers, videos) are billed once, however often they are read."""

import asyncio
import io
import json

import pytest

from tracking.context import track

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUESTION = [{"role": "user", "content": "What did we spend?"}]


def openai_batch(client, *, models):
    lines = [
        {
            "custom_id": f"c{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": m, "messages": QUESTION},
        }
        for n, m in enumerate(models)
    ]
    content = "\n".join(map(json.dumps, lines)).encode()
    file = client.files.create(file=("in.jsonl", io.BytesIO(content)), purpose="batch")
    return client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")


def wait(client, batch_id):
    while (batch := client.batches.retrieve(batch_id)).status != "completed":
        pass
    return batch


def net(rows) -> tuple[int, int, object]:
    """Calls, input tokens and cost, corrections included."""
    return sum(r.calls for r in rows), sum(r.input_tokens for r in rows), sum(r.cost for r in rows)


def test_an_openai_batch_read_twice_is_billed_once_at_the_batch_rate(ledger, sdk, owner):
    client = sdk("openai")
    with track(user=owner, feature="digest"):
        batch = openai_batch(client, models=["gpt-4o-mini"] * 3)
    done = wait(client, batch.id)
    assert net(ledger.rows())[1] == done.usage.input_tokens  # the sum is known as soon as the batch is
    lines = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    once = net(ledger.rows())
    client.files.content(done.output_file_id)
    sdk("openai").batches.retrieve(batch.id)
    sdk("openai").files.content(done.output_file_id)

    rows = ledger.rows()
    assert net(rows) == once
    assert once[0] == 3 and once[1] == sum(line["response"]["body"]["usage"]["prompt_tokens"] for line in lines)
    assert {(row.user_id, row.feature, row.service) for row in rows} == {(owner.pk, "digest", "batch")}

    client.chat.completions.create(model="gpt-4o-mini", messages=QUESTION)
    direct = ledger.rows(service="chat")[0]
    assert once[2] * 2 == direct.cost * 3  # batches cost half


def test_lines_first_and_then_the_sum(ledger, sdk, owner):
    client = sdk("openai", user=owner)
    batch = openai_batch(client, models=["gpt-4o-mini", "gpt-4o"])
    unmetered_view = wait(client.with_options(), batch.id)
    client.files.content(unmetered_view.output_file_id)
    client.batches.retrieve(batch.id)
    rows = ledger.rows()
    assert net(rows)[0] == 2 and net(rows)[1] == unmetered_view.usage.input_tokens


def test_claude_batches_are_billed_line_by_line_once(ledger, sdk, member):
    client = sdk("anthropic")
    ask = {"model": "claude-haiku-4-5", "max_tokens": 30, "messages": QUESTION}
    wrong = {**ask, "model": "demo-error"}
    with track(user=member, analysis="digest-48"):
        batch = client.messages.batches.create(
            requests=[{"custom_id": f"c{n}", "params": p} for n, p in enumerate([ask, ask, wrong])]
        )
    while client.messages.batches.retrieve(batch.id).processing_status != "ended":
        pass
    for _reading in range(2):
        lines = list(client.messages.batches.results(batch.id))
    fine = [line.result.message for line in lines if line.result.type == "succeeded"]
    rows = [row for row in ledger.rows() if row.status == "ok"]
    assert len(rows) == 2 and {(r.user_id, r.analysis_id, r.service) for r in rows} == {
        (member.pk, "digest-48", "batch")
    }
    assert sum(r.output_tokens for r in rows) == sum(m.usage.output_tokens for m in fine)

    client.messages.create(**ask)
    assert rows[0].cost * 2 == ledger.rows(service="chat")[0].cost


def test_a_background_answer_is_billed_when_it_is_there_and_only_then(ledger, sdk, owner):
    client = sdk("openai", user=owner, feature="long_read")
    waiting = client.responses.create(model="gpt-4o", input="Read it all.", background=True)
    created = ledger.row()
    assert (created.status, created.cost, created.price_status) == ("pending", None, "unpriced")
    other = sdk("openai")
    for _look in range(4):
        answer = other.responses.retrieve(waiting.id)
    rows = ledger.rows()
    assert net([r for r in rows if r.cost is not None])[:2] == (0, answer.usage.input_tokens)
    billed = [r for r in rows if r.cost is not None]
    assert len(billed) == 1 and billed[0].corrects == created.id
    assert (billed[0].user_id, billed[0].feature) == (owner.pk, "long_read")


def test_a_background_answer_watched_as_a_stream(ledger, sdk):
    async def main() -> None:
        async with sdk("async_openai") as client:
            waiting = await client.responses.create(model="gpt-4o", input="Read it all.", background=True)
            for _watch in range(2):
                async for _event in await client.responses.retrieve(waiting.id, stream=True):
                    pass
            await client.responses.retrieve(waiting.id)

    asyncio.run(main())
    assert len([row for row in ledger.rows() if row.cost]) == 1


def test_reading_a_stored_answer_again_is_no_second_charge(ledger, sdk):
    client = sdk("openai")
    stored = client.responses.create(model="gpt-4o", input="Hello")
    client.responses.retrieve(stored.id)
    chat = client.chat.completions.create(model="gpt-4o", messages=QUESTION, store=True)
    client.chat.completions.retrieve(chat.id)
    assert [row.response_id for row in ledger.rows()] == [stored.id, chat.id]


def test_a_video_is_billed_when_it_is_done(ledger, sdk, owner):
    client = sdk("openai", user=owner)
    video = client.videos.create_and_poll(model="sora-2", prompt="a song", seconds="8", poll_interval_ms=10)
    client.videos.retrieve(video.id)
    client.videos.download_content(video.id).read()
    rows = ledger.rows()
    assert sum(row.calls for row in rows) == 1
    assert [str(row.cost) for row in rows if row.cost is not None] == ["0.8"]  # 8 seconds at $0.10
