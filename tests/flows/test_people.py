"""Several people use several clients at once, and each cost lands with the right one."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.flows.ledger import billed_tokens
from tracking.context import track

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

QUESTION = [{"role": "user", "content": "What did we spend?"}]


def test_threads_of_several_people_share_one_client(ledger, sdk, provider, owner, member):
    client = sdk("openai", feature="support")

    def ask(number: int) -> None:
        person = owner if number % 2 else member
        with track(user=person, analysis=f"analysis-{number % 3}", team="music"):
            question = [{"role": "user", "content": f"Question {number}? " * number}]
            if number % 4 < 2:
                client.chat.completions.create(model="gpt-4o", messages=question)
            else:
                list(client.chat.completions.create(model="gpt-4o", messages=question, stream=True))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(24)))

    rows = ledger.rows()
    assert len(rows) == 24
    assert {(row.user_id, row.feature, row.status, row.quality, row.price_status) for row in rows} == {
        (owner.pk, "support", "ok", "exact", "priced"),
        (member.pk, "support", "ok", "exact", "priced"),
    }
    assert sum(row.user_id == owner.pk for row in rows) == 12
    assert all(row.tags == {"team": "music"} and row.model == "gpt-4o-2024-08-06" for row in rows)
    assert (sum(r.input_tokens for r in rows), sum(r.output_tokens for r in rows)) == billed_tokens(provider)


def test_tasks_on_one_event_loop_keep_their_people_apart(ledger, sdk, provider, owner, member):
    async def ask(openai, claude, person, number: int) -> None:
        async with track(user=person, feature=f"feature-{number % 2}"):
            if number % 2:
                async for _event in await openai.responses.create(model="gpt-4o", input=f"Hello {number}", stream=True):
                    await asyncio.sleep(0)
            else:
                async with claude.messages.stream(model="claude-haiku-4-5", max_tokens=40, messages=QUESTION) as stream:
                    await stream.get_final_message()

    async def everybody() -> None:
        async with sdk("async_openai") as openai, sdk("async_anthropic") as claude:
            await asyncio.gather(*(ask(openai, claude, (owner, member)[n % 4 // 2], n) for n in range(16)))

    asyncio.run(everybody())
    rows = ledger.rows()
    assert len(rows) == 16
    found = sorted((row.user_id, row.provider, row.feature) for row in rows)
    expected = []
    for person in (owner, member):
        expected += [(person.pk, "openai", "feature-1")] * 4 + [(person.pk, "anthropic", "feature-0")] * 4
    assert found == sorted(expected)
    assert all(row.stream and row.ttft_ms is not None and row.quality == "exact" for row in rows)
    assert (sum(r.input_tokens for r in rows), sum(r.output_tokens for r in rows)) == billed_tokens(provider)


def test_an_email_names_a_person_and_an_unknown_one_is_kept(ledger, sdk, owner):
    for email in (owner.email, "stranger@example.com"):
        sdk("openai", user=email).embeddings.create(model="text-embedding-3-small", input="verse")
    known, unknown = ledger.rows()
    assert (known.user_id, unknown.user_id) == (owner.pk, None)
    assert unknown.tags["user"] == "stranger@example.com" and "unknown_user" in unknown.flags


def test_every_kind_of_call_has_its_price(ledger, sdk, provider, owner):
    from costwatch.demo.quantities import wav

    client, claude = sdk("openai", user=owner), sdk("anthropic", user=owner)
    sound = ("take.wav", wav(90))
    client.audio.transcriptions.create(model="whisper-1", file=sound)
    client.audio.transcriptions.create(model="whisper-1", file=sound, response_format="text")
    client.audio.transcriptions.create(model="gpt-4o-transcribe", file=sound)
    client.audio.translations.create(model="whisper-1", file=sound)
    client.audio.speech.create(model="tts-1-hd", voice="alloy", input="a" * 5000).read()
    client.images.generate(model="dall-e-3", prompt="a song", size="1024x1024", quality="standard")
    client.images.generate(model="gpt-image-1", prompt="a song", quality="low")
    client.embeddings.create(model="text-embedding-3-small", input="verse")
    client.moderations.create(model="omni-moderation-latest", input="verse")
    client.responses.create(model="gpt-4o", input="News?", tools=[{"type": "web_search"}])
    claude.messages.create(model="claude-sonnet-4-5", max_tokens=20, messages=QUESTION)
    claude.messages.count_tokens(model="claude-sonnet-4-5", messages=QUESTION)

    rows = ledger.rows(user_id=owner.pk)
    statuses = [(row.operation, row.price_status) for row in rows]
    assert [operation for operation, _ in statuses] == [
        *["transcription"] * 3,
        "translation",
        "speech",
        *["image_generation"] * 2,
        "embeddings",
        "moderation",
        *["chat"] * 2,
        "token_count",
    ]
    assert {s for o, s in statuses if o in ("moderation", "token_count")} == {"free"}
    assert {s for o, s in statuses if o not in ("moderation", "token_count")} == {"priced"}, statuses
    heard = rows[:2]
    assert {str(row.cost) for row in heard} == {"0.009"}  # 1.5 minutes at $0.006, measured where nothing was reported
    assert [row.quality for row in heard] == ["exact", "estimated"]
    assert (rows[4].characters, str(rows[4].cost)) == (5000, "0.15")


def test_a_prompt_is_stored_nowhere(ledger, sdk, owner, tmp_path):
    secret = "the-melody-nobody-may-know"
    for kind in ("ok", "demo-error-500"):
        client = sdk("openai", user=owner, max_retries=0)
        try:
            client.chat.completions.create(
                model="gpt-4o" if kind == "ok" else kind, messages=[{"role": "user", "content": secret}]
            )
        except Exception as error:
            assert kind != "ok", error
    rows = ledger.rows()
    assert len(rows) == 2
    for row in rows:
        assert secret not in repr({field.name: getattr(row, field.name) for field in row._meta.fields})
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes()
