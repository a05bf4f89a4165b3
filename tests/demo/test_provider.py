"""The local provider speaks both APIs well enough for the real SDKs."""

import io
import json
import time

import anthropic
import openai
import pytest
from pydantic import BaseModel

from costwatch.demo.provider import local_provider
from costwatch.demo.quantities import wav

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # models and APIs that the SDKs announce the end of

QUESTION = [{"role": "user", "content": "What did we spend?"}]


@pytest.fixture
def client(provider):
    with openai.OpenAI(base_url=provider.openai_base_url, api_key="local") as client:
        yield client


@pytest.fixture
def claude(provider):
    with anthropic.Anthropic(base_url=provider.anthropic_base_url, api_key="local") as client:
        yield client


class Verdict(BaseModel):
    title: str
    score: int


def test_chat_reports_its_usage_and_the_same_question_costs_the_same(client, provider):
    first = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    second = client.chat.completions.create(model="gpt-4o", messages=QUESTION)
    assert first.model == "gpt-4o-2024-08-06"
    assert first.usage == second.usage and first.id != second.id
    assert first.usage.completion_tokens == len(first.choices[0].message.content.split())
    assert provider.requests[-1].usage["total_tokens"] == second.usage.total_tokens


def test_thoughts_count_towards_the_maximum_that_was_asked_for(client):
    chat = client.chat.completions.create(model="gpt-5", messages=QUESTION, max_completion_tokens=20)
    response = client.responses.create(model="gpt-5", input="Think about it.", max_output_tokens=20)
    assert chat.usage.completion_tokens <= 20 and response.usage.output_tokens <= 20


def test_a_chat_stream_says_its_usage_only_when_asked(client):
    plain = list(client.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True))
    asked = list(
        client.chat.completions.create(
            model="gpt-4o", messages=QUESTION, stream=True, stream_options={"include_usage": True}
        )
    )
    assert "usage" not in plain[0].to_dict(exclude_unset=True)
    assert asked[0].to_dict(exclude_unset=True)["usage"] is None
    assert len(asked) == len(plain) + 1 and asked[-1].choices == [] and asked[-1].usage.total_tokens > 0


def test_a_long_prompt_is_cached_the_second_time(client):
    long = [{"role": "system", "content": "rule " * 2000}, *QUESTION]
    first = client.chat.completions.create(model="gpt-4o", messages=long)
    second = client.chat.completions.create(model="gpt-4o", messages=long)
    assert first.usage.prompt_tokens_details.cached_tokens == 0
    assert 1024 <= second.usage.prompt_tokens_details.cached_tokens < second.usage.prompt_tokens


def test_structured_output_and_tools(client, claude):
    parsed = client.chat.completions.parse(model="gpt-4o", messages=QUESTION, response_format=Verdict)
    assert isinstance(parsed.choices[0].message.parsed, Verdict)
    assert client.responses.parse(model="gpt-4o", input="Judge.", text_format=Verdict).output_parsed.score == 7
    tool = {"name": "look_up", "parameters": {"type": "object", "properties": {"day": {"type": "string"}}}}
    called = client.chat.completions.create(
        model="gpt-4o", messages=QUESTION, tools=[{"type": "function", "function": tool}]
    )
    assert json.loads(called.choices[0].message.tool_calls[0].function.arguments) == {"day": "ledger"}
    used = claude.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=50,
        messages=QUESTION,
        tools=[{"name": "look_up", "input_schema": tool["parameters"]}],
    )
    assert used.stop_reason == "tool_use"


def test_responses_stream_background_and_hosted_tools(client):
    searched = client.responses.create(model="gpt-5-mini", input="News?", tools=[{"type": "web_search"}])
    assert searched.tool_usage.web_search.num_requests == 1
    assert searched.usage.output_tokens_details.reasoning_tokens > 0
    with client.responses.stream(model="gpt-4o", input="Hello") as stream:
        kinds = [event.type for event in stream]
        assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
        assert stream.get_final_response().usage.total_tokens > 0
    waiting = client.responses.create(model="gpt-4o", input="Slow", background=True)
    assert waiting.status == "queued" and waiting.usage is None
    assert client.responses.retrieve(waiting.id).status == "in_progress"
    assert client.responses.retrieve(waiting.id).usage.total_tokens > 0


def test_sound_in_every_format(client):
    def heard(model="whisper-1", **kwargs):
        return client.audio.transcriptions.create(model=model, file=("talk.wav", wav(4.5)), **kwargs)

    assert heard().usage.seconds == 5
    assert isinstance(heard(response_format="text"), str)
    assert "00:00:04,500" in heard(response_format="srt")
    assert heard(response_format="verbose_json").duration == 4.5
    assert heard("gpt-4o-transcribe").usage.input_token_details.audio_tokens == 45
    assert [e.type for e in heard("gpt-4o-transcribe", stream=True)][-1] == "transcript.text.done"
    translated = client.audio.translations.create(
        model="whisper-1", file=("talk.wav", wav(4.5)), response_format="verbose_json"
    )
    assert translated.duration == 4.5
    assert len(client.audio.speech.create(model="tts-1", voice="alloy", input="Hello there").read()) > 1000


def test_images_videos_embeddings_and_moderations(client):
    assert client.images.generate(model="dall-e-3", prompt="a ledger").usage is None
    image = client.images.generate(model="gpt-image-1", prompt="a ledger", quality="low")
    assert image.usage.output_tokens == 272
    video = client.videos.create_and_poll(model="sora-2", prompt="a ledger", seconds="8", poll_interval_ms=10)
    assert (video.status, video.seconds) == ("completed", "8")
    assert len(client.videos.download_content(video.id).read()) == 4096
    assert len(client.embeddings.create(model="text-embedding-3-small", input=["a", "b"]).data) == 2
    assert client.moderations.create(input="hello").results[0].flagged is False
    assert client.completions.create(model="gpt-3.5-turbo-instruct", prompt="Once").usage.completion_tokens <= 16


def test_claude_streams_caches_and_counts(claude):
    system = [{"type": "text", "text": "rule " * 800, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]
    ask = {"model": "claude-sonnet-4-5", "max_tokens": 40, "system": system, "messages": QUESTION}
    first, second = claude.messages.create(**ask), claude.messages.create(**ask)
    assert first.usage.cache_creation.ephemeral_1h_input_tokens == second.usage.cache_read_input_tokens == 1003
    with claude.messages.stream(**ask) as stream:
        assert stream.get_final_message().usage.output_tokens == second.usage.output_tokens
    assert claude.messages.count_tokens(model="claude-sonnet-4-5", messages=QUESTION).input_tokens > 0
    searched = claude.messages.create(
        model="claude-sonnet-4-5",
        max_tokens=40,
        messages=QUESTION,
        tools=[{"type": "web_search_20250305", "name": "web_search"}],
    )
    assert searched.usage.server_tool_use.web_search_requests == 1


def test_batches_end_with_results(client, claude):
    lines = [
        {
            "custom_id": f"c{n}",
            "method": "POST",
            "url": "/v1/chat/completions",
            "body": {"model": m, "messages": QUESTION},
        }
        for n, m in enumerate(["gpt-4o-mini", "gpt-4o-mini", "demo-error-400"])
    ]
    upload = io.BytesIO("\n".join(map(json.dumps, lines)).encode())
    file = client.files.create(file=("in.jsonl", upload), purpose="batch")
    batch = client.batches.create(input_file_id=file.id, endpoint="/v1/chat/completions", completion_window="24h")
    client.batches.retrieve(batch.id)
    done = client.batches.retrieve(batch.id)
    results = [json.loads(line) for line in client.files.content(done.output_file_id).text.splitlines()]
    assert (done.request_counts.completed, done.request_counts.failed) == (2, 1)
    assert done.usage.total_tokens == sum(r["response"]["body"]["usage"]["total_tokens"] for r in results)

    ask = {"model": "claude-haiku-4-5", "max_tokens": 20, "messages": QUESTION}
    made = claude.messages.batches.create(requests=[{"custom_id": "a", "params": ask}])
    claude.messages.batches.retrieve(made.id)
    claude.messages.batches.retrieve(made.id)
    (line,) = claude.messages.batches.results(made.id)
    assert line.result.message.usage.service_tier == "batch"


def test_a_realtime_session_reports_each_answer_and_what_it_heard(client):
    with client.realtime.connect(model="gpt-realtime") as session:
        assert session.recv().type == "session.created"
        heard = {"type": "realtime", "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}}}
        session.session.update(session=heard)
        session.input_audio_buffer.append(audio="AAAA" * 16_000)
        session.input_audio_buffer.commit()
        session.response.create()
        events = {}
        while "response.done" not in events:
            event = session.recv()
            events[event.type] = event
    assert events["conversation.item.input_audio_transcription.completed"].usage.input_tokens == 10
    usage = events["response.done"].response.usage
    assert usage.input_token_details.audio_tokens == 10 and usage.output_token_details.audio_tokens > 0


def test_it_fails_on_demand(provider, claude):
    client = openai.OpenAI(base_url=provider.openai_base_url, api_key="local", max_retries=1)
    for model, error in {
        "demo-error-400": openai.BadRequestError,
        "demo-error-401": openai.AuthenticationError,
        "demo-error-429": openai.RateLimitError,
        "demo-error-500": openai.InternalServerError,
    }.items():
        with pytest.raises(error):
            client.chat.completions.create(model=model, messages=QUESTION)
    before = len(provider.requests)
    client.chat.completions.create(model="gpt-4o", messages=QUESTION, extra_headers={"x-demo-fault": "flaky-429"})
    assert [r.status for r in list(provider.requests)[before:]] == [429, 200]
    with pytest.raises(openai.APITimeoutError):
        client.with_options(timeout=0.1, max_retries=0).chat.completions.create(model="demo-slow-5", messages=QUESTION)
    cut = client.chat.completions.create(model="demo-cut", messages=QUESTION, stream=True)
    with pytest.raises(openai.APIConnectionError):
        list(cut)
    with pytest.raises(anthropic.NotFoundError):
        claude.messages.create(model="demo-error-404", max_tokens=5, messages=QUESTION)


def test_it_stops_at_once_even_while_it_answers_slowly():
    with local_provider() as running:
        client = openai.OpenAI(base_url=running.openai_base_url, api_key="local", max_retries=0)
        stream = client.chat.completions.create(
            model="gpt-4o", messages=QUESTION, stream=True, extra_headers={"x-demo-pause-ms": "5000"}
        )
        next(stream)
        began = time.monotonic()
    assert time.monotonic() - began < 1
    with pytest.raises(openai.APIConnectionError):
        client.models.list()
