"""Every kind of call leaves one event that says what its price depends on; managing things leaves none."""

import asyncio
import gzip
import io
import json
import math
import struct
import wave

import anthropic
import httpx2
import openai
import pydantic
import pytest

from tests.tracking.clients.making import (
    HELLO,
    RESPONSE_USAGE,
    USAGE,
    Clients,
    chat_answer,
    message_answer,
    reply,
    response_answer,
)
from tracking.failures import failures

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

MESSAGE = {"model": "claude-sonnet-4-6", "messages": HELLO, "max_tokens": 100}


def answering(body, **kwargs):
    return Clients(lambda request: reply(body, **kwargs))


def sound(seconds: float = 2.5) -> bytes:
    """A wav file of that length."""
    file = io.BytesIO()
    with wave.open(file, "wb") as out:
        out.setnchannels(1)
        out.setsampwidth(2)
        out.setframerate(8000)
        out.writeframes(b"\0\0" * int(8000 * seconds))
    return file.getvalue()


# --- text -----------------------------------------------------------------------------------------


def test_a_chat_call():
    clients = answering(chat_answer())
    assert clients.metered().chat.completions.create(model="gpt-4o", messages=HELLO).usage.total_tokens == 19
    event = clients.event
    assert (event.provider, event.operation, event.endpoint) == ("openai", "chat", "/v1/chat/completions")
    assert (event.model_asked, event.model_served) == ("gpt-4o", "gpt-4o-2024-08-06")
    assert (event.request_id, event.response_id) == ("req_1", "chatcmpl-1")
    assert (event.status, event.http_status, event.quality, event.attempt) == ("ok", 200, "exact", 1)
    assert event.usage == USAGE
    assert event.facts == {"service_tier": "default"}
    assert not event.stream and event.latency_us > 0 and event.ttft_us > 0


def test_neither_prompt_nor_answer_nor_key_is_in_an_event():
    clients = answering(chat_answer())
    clients.metered(api_key="sk-secret").chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "my password is swordfish"}], user="someone"
    )
    text = clients.event.to_json().decode()
    assert not any(word in text for word in ("swordfish", "Hello.", "sk-secret", "someone"))


def test_an_asynchronous_call():
    clients = answering(chat_answer())
    client = clients.metered(openai.AsyncOpenAI)
    asyncio.run(client.chat.completions.create(model="gpt-4o", messages=HELLO))
    assert (clients.event.quality, clients.event.usage) == ("exact", USAGE)


def test_a_message():
    clients = answering(message_answer(), request_id="req_2")
    clients.metered(anthropic.Anthropic).messages.create(**MESSAGE)
    event = clients.event
    assert (event.provider, event.operation, event.endpoint) == ("anthropic", "chat", "/v1/messages")
    assert event.usage["cache_read_input_tokens"] == 100 and event.usage["output_tokens"] == 42


def test_a_beta_message_is_a_message():
    clients = answering(message_answer())
    clients.metered(anthropic.Anthropic).beta.messages.create(**MESSAGE, betas=["x"])
    assert (clients.event.endpoint, clients.event.quality) == ("/v1/messages", "exact")


def test_a_response_with_tools_says_how_often_they_were_used():
    output = [
        {"type": "file_search_call", "id": "fs_1", "queries": ["a"], "status": "completed"},
        {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "a"}},
        {"type": "web_search_call", "id": "ws_2", "status": "completed", "action": {"type": "open_page", "url": "u"}},
        {"type": "code_interpreter_call", "id": "c1", "container_id": "cntr_1", "code": "", "status": "completed"},
        {"type": "code_interpreter_call", "id": "c2", "container_id": "cntr_1", "code": "", "status": "completed"},
    ]
    clients = answering(response_answer(output=output))
    clients.metered().responses.create(model="gpt-5", input="Hi", service_tier="flex")
    facts = clients.event.facts
    assert (facts["file_searches"], facts["web_searches"], facts["containers"]) == (1, 1, 1)
    assert (facts["service_tier"], facts["service_tier_asked"]) == ("flex", "flex")
    assert clients.event.usage == RESPONSE_USAGE


def test_the_providers_own_count_of_tool_use_wins():
    used = {"web_search": {"num_requests": 3}, "image_gen": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14}}
    output = [{"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}]
    tools = [{"type": "image_generation", "model": "gpt-image-1.5"}]
    clients = answering(response_answer(tool_usage=used, output=output, tools=tools))
    clients.metered().responses.create(model="gpt-5", input="Hi")
    assert clients.event.facts["tool_usage"] == used
    assert clients.event.facts["image_model"] == "gpt-image-1.5"
    assert "web_searches" not in clients.event.facts


def test_parse_and_raw_responses():
    class Greeting(pydantic.BaseModel):
        text: str

    clients = answering(
        chat_answer(
            choices=[
                {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": '{"text": "hi"}'}}
            ]
        )
    )
    client = clients.metered()
    parsed = client.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Greeting)
    assert parsed.choices[0].message.parsed == Greeting(text="hi")
    raw = client.chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert raw.headers["x-request-id"] == "req_1" and raw.parse().usage.total_tokens == 19
    with client.chat.completions.with_streaming_response.create(model="gpt-4o", messages=HELLO) as answer:
        assert json.loads(answer.read())["id"] == "chatcmpl-1"
    assert [event.quality for event in clients.events] == ["exact"] * 3


def test_embeddings_moderations_and_token_counts():
    def provider(request):
        if request.url.path.endswith("/embeddings"):
            data = [{"object": "embedding", "index": 0, "embedding": "AACAPw=="}]
            usage = {"prompt_tokens": 8, "total_tokens": 8}
            return reply({"object": "list", "data": data, "model": "text-embedding-3-small", "usage": usage})
        if request.url.path.endswith("/moderations"):
            return reply({"id": "modr-1", "model": "omni-moderation-latest", "results": []})
        return reply({"input_tokens": 11, "object": "response.input_tokens"})

    clients = Clients(provider)
    client = clients.metered()
    client.embeddings.create(model="text-embedding-3-small", input="hello")
    client.moderations.create(input="hello")
    client.responses.input_tokens.count(model="gpt-5", input="hello")
    clients.metered(anthropic.Anthropic).messages.count_tokens(model="claude-sonnet-4-6", messages=HELLO)
    assert [event.operation for event in clients.events] == ["embeddings", "moderation", "token_count", "token_count"]
    assert clients.events[0].usage == {"prompt_tokens": 8, "total_tokens": 8}
    assert [event.quality for event in clients.events] == ["exact"] * 4


# --- sound, pictures, videos ----------------------------------------------------------------------


def test_a_transcription_that_reports_its_usage():
    usage = {"type": "duration", "seconds": 3}
    clients = answering({"text": "hi", "usage": usage})
    clients.metered().audio.transcriptions.create(file=("a.wav", sound()), model="whisper-1")
    assert (clients.event.operation, clients.event.quality, clients.event.usage) == ("transcription", "exact", usage)
    assert clients.event.model_asked == "whisper-1"


@pytest.mark.parametrize("form", ["text", "srt", "vtt"])
def test_a_transcription_as_text_is_measured_in_the_file(form):
    clients = answering(b"hi", content_type="text/plain")
    answer = clients.metered().audio.transcriptions.create(
        file=("a.wav", sound(2.5)), model="whisper-1", response_format=form
    )
    assert answer == "hi"
    assert (clients.event.quality, clients.event.facts["audio_seconds"]) == ("estimated", 2.5)
    assert "measured_duration" in clients.event.flags


def test_an_open_file_is_measured_and_left_where_it_was(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(sound(1.5))
    clients = answering(b"hi", content_type="text/plain")
    with path.open("rb") as file:
        clients.metered().audio.transcriptions.create(file=file, model="whisper-1", response_format="text")
        after_metered = file.tell()
    with path.open("rb") as file:
        clients.bare().audio.transcriptions.create(file=file, model="whisper-1", response_format="text")
        assert file.tell() == after_metered
    assert clients.event.facts["audio_seconds"] == 1.5


def test_an_asynchronous_upload_is_measured_too():
    clients = answering(b"hi", content_type="text/plain")
    client = clients.metered(openai.AsyncOpenAI)
    call = client.audio.transcriptions.create(file=("a.wav", sound(2)), model="whisper-1", response_format="text")
    assert asyncio.run(call) == "hi"
    assert (clients.event.facts["audio_seconds"], clients.event.model_asked) == (2.0, "whisper-1")


def test_the_duration_that_a_provider_reports_is_taken():
    clients = answering({"task": "translate", "duration": 7.25, "text": "hi", "language": "english", "segments": []})
    clients.metered().audio.translations.create(
        file=("a.wav", sound(9)), model="whisper-1", response_format="verbose_json"
    )
    assert (clients.event.operation, clients.event.quality) == ("translation", "exact")
    assert clients.event.facts["audio_seconds"] == 7.25


def test_a_sound_that_cannot_be_measured_is_unknown_and_not_zero():
    clients = answering(b"hi", content_type="text/plain")
    clients.metered().audio.transcriptions.create(
        file=("a.pcm", b"\1\2" * 500), model="whisper-1", response_format="text"
    )
    assert (clients.event.quality, clients.event.facts) == ("none", {})
    assert "unknown_duration" in clients.event.flags


def test_a_webm_file_is_measured_when_it_knows_its_length():
    info = b"\x2a\xd7\xb1\x83" + (1_000_000).to_bytes(3, "big") + b"\x44\x89\x88" + struct.pack(">d", 4500.0)
    clients = answering(b"hi", content_type="text/plain")
    clients.metered().audio.transcriptions.create(
        file=("a.webm", b"\x1a\x45\xdf\xa3" + b"\0" * 30 + info), model="whisper-1", response_format="text"
    )
    assert clients.event.facts["audio_seconds"] == 4.5


def test_speech_is_counted_in_characters():
    clients = answering(b"ID3sound", content_type="audio/mpeg")
    answer = clients.metered().audio.speech.create(model="tts-1-hd", voice="alloy", input="Grüße!")
    assert answer.read() == b"ID3sound"
    assert (clients.event.operation, clients.event.facts, clients.event.quality) == (
        "speech",
        {"characters": 6},
        "exact",
    )


def test_speech_billed_in_tokens_is_estimated_from_its_length():
    clients = answering(b"\0" * (48_000 * 6 + 44), content_type="audio/wav")
    clients.metered().audio.speech.create(
        model="gpt-4o-mini-tts", voice="alloy", input="x" * 80, response_format="wav", instructions="y" * 20
    )
    event = clients.event
    assert event.usage == {"input_tokens": 25, "output_tokens": 125}  # 6 s at 1,250 tokens a minute
    assert (event.quality, event.flags) == ("estimated", ["estimated_from_size"])


def test_a_picture_without_usage_says_how_many_and_of_which_kind():
    clients = answering({"created": 1, "data": [{"url": "u"}, {"url": "v"}]})
    clients.metered().images.generate(model="dall-e-2", prompt="a cat", n=3, size="512x512")
    assert clients.event.facts["images"] == {"n": 2, "size": "512x512", "quality": "standard"}
    assert clients.event.quality == "exact"


def test_a_picture_with_usage_and_an_edit_from_a_form():
    usage = {"input_tokens": 50, "output_tokens": 4160, "total_tokens": 4210}
    clients = answering({"created": 1, "data": [{"b64_json": "AAAA" * 100_000}], "usage": usage})
    clients.metered().images.edit(model="gpt-image-1.5", prompt="a cat", image=("a.png", b"png"))
    assert (clients.event.model_asked, clients.event.usage) == ("gpt-image-1.5", usage)
    assert (clients.event.quality, clients.event.facts) == ("exact", {})


# --- attempts -------------------------------------------------------------------------------------


def test_each_attempt_leaves_one_event():
    answers = iter(
        [
            reply({"error": {"code": "rate_limit_exceeded"}}, status=429, retry_after_ms="1"),
            reply(b"upstream down", status=503, content_type="text/plain", retry_after_ms="1"),
            reply(chat_answer()),
        ]
    )
    clients = Clients(lambda request: next(answers))
    clients.metered(max_retries=2).chat.completions.create(model="gpt-4o", messages=HELLO)
    assert [(e.attempt, e.status, e.http_status) for e in clients.events] == [
        (1, "error", 429),
        (2, "error", 503),
        (3, "ok", 200),
    ]
    assert [e.error for e in clients.events] == ["rate_limit_exceeded", "http_503", ""]
    assert [e.quality for e in clients.events] == ["none", "none", "exact"]


@pytest.mark.parametrize(
    ("error", "status", "sent"),
    [
        (httpx2.ConnectError("no"), "connection_error", False),
        (httpx2.PoolTimeout("no"), "timeout", False),
        (httpx2.ReadTimeout("no"), "timeout", None),
        (httpx2.ReadError("no"), "connection_error", None),
    ],
)
def test_a_request_without_an_answer(error, status, sent):
    def provider(request):
        raise error

    clients = Clients(provider)
    with pytest.raises(openai.APIConnectionError):
        clients.metered().chat.completions.create(model="gpt-4o", messages=HELLO)
    event = clients.event
    assert (event.status, event.quality, event.http_status) == (status, "none", None)
    assert (event.error, event.facts.get("sent")) == (type(error).__name__, sent)


def test_a_redirect_is_no_call():
    def provider(request):
        if request.url.path == "/old/chat/completions":
            return httpx2.Response(307, headers={"location": "/v1/chat/completions"})
        return reply(chat_answer())

    clients = Clients(provider)
    client = clients.metered(base_url="http://proxy.local/old")
    client._client.follow_redirects = True
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert clients.event.http_status == 200


def test_a_failed_response_is_an_error():
    failed = response_answer(status="failed", usage=None, output=[], error={"code": "server_error", "message": "no"})
    clients = answering(failed)
    clients.metered().responses.create(model="gpt-5", input="Hi")
    assert (clients.event.status, clients.event.error, clients.event.quality) == ("error", "server_error", "none")


# --- what is not billed ---------------------------------------------------------------------------


def test_managing_things_leaves_no_event():
    clients = Clients(lambda request: reply({"id": "x", "object": "thing", "data": [], "has_more": False}))
    client = clients.metered()
    client.models.list()
    client.models.retrieve("gpt-4o")
    client.files.create(file=("a.jsonl", b"{}"), purpose="batch")
    client.files.list()
    client.vector_stores.create(name="x")
    client.conversations.create()
    client.beta.threads.create()
    client.realtime.client_secrets.create()
    client.chat.completions.retrieve("chatcmpl-1")
    client.chat.completions.update("chatcmpl-1", metadata={})
    client.responses.delete("resp_1")
    assert len(clients.requests) == 11
    assert clients.events == []


def test_an_unknown_endpoint_that_may_cost_leaves_an_event():
    clients = answering({"id": "x"})
    clients.metered().post("/holograms/9f8e7d6c5b4a", body={"model": "holo-1"}, cast_to=object)
    event = clients.event
    assert (event.operation, event.endpoint, event.quality) == ("other", "/v1/holograms/{id}", "none")
    assert event.model_asked == "holo-1"


# --- bad answers ----------------------------------------------------------------------------------


def test_numbers_that_are_none_are_kept_as_text_and_flagged():
    body = json.dumps(chat_answer(usage={"prompt_tokens": 1, "completion_tokens": -5, "total_tokens": 0}))
    body = body.replace(
        '"prompt_tokens": 1,', '"prompt_tokens": NaN, "prompt_tokens_details": {"cached_tokens": 1e999},'
    )
    clients = answering(body.encode())
    clients.metered().chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    event = clients.event
    assert event.usage["prompt_tokens"] == "nan" and event.usage["prompt_tokens_details"] == {"cached_tokens": "inf"}
    assert "not_finite" in event.flags
    json.loads(event.to_json(), parse_constant=lambda name: pytest.fail(name))


def test_usage_of_an_absurd_size_stays_bounded():
    deep: dict = {}
    inner = deep
    for _ in range(50):
        inner["x"] = {}
        inner = inner["x"]
    usage = {**USAGE, "deep": deep, "text": "x" * 10_000, "huge": 10**4000, **{f"k{n}": n for n in range(500)}}
    clients = answering(chat_answer(usage=usage))
    clients.metered().chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    event = clients.event
    assert len(event.to_json()) < 5000
    assert {"deep_usage", "large_usage", "absurd_usage"} <= set(event.flags)
    assert event.usage["prompt_tokens"] == 12


@pytest.mark.parametrize("usage", ["many", 7, [], True])
def test_usage_that_is_no_report_is_flagged(usage):
    clients = answering(chat_answer(usage=usage))
    clients.metered().chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert (clients.event.quality, clients.event.usage) == ("none", None)
    assert "unreadable_usage" in clients.event.flags


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"usage": {"prompt_tokens": 1}'])
def test_an_answer_that_is_no_json_reaches_the_caller_as_it_is(body):
    clients = answering(body)
    raw = clients.metered().chat.completions.with_raw_response.create(model="gpt-4o", messages=HELLO)
    assert raw.content == body
    assert (clients.event.status, clients.event.quality) == ("ok", "none")


def test_a_compressed_answer_is_read_in_a_copy():
    packed = gzip.compress(json.dumps(chat_answer()).encode())
    clients = Clients(lambda request: reply([packed[:20], packed[20:]], content_encoding="gzip"))
    with clients.metered().chat.completions.with_streaming_response.create(model="gpt-4o", messages=HELLO) as answer:
        raw = b"".join(answer.http_response.iter_raw())
    assert raw == packed
    assert clients.event.usage == USAGE


def test_broken_compression_is_the_callers_to_see():
    clients = Clients(lambda request: reply([b"\x1f\x8bgarbage"], content_encoding="gzip"))
    with pytest.raises((openai.APIConnectionError, httpx2.DecodingError)):
        clients.metered().chat.completions.create(model="gpt-4o", messages=HELLO)
    assert clients.event.quality == "none"


def test_a_huge_answer_is_read_at_its_end_in_little_memory():
    """200 MB go by; what is kept stays under a few megabytes."""
    import tracemalloc

    piece = b'"' + b"A" * 999_990 + b'",'

    class Huge(httpx2.SyncByteStream):
        def __iter__(self):
            yield b'{"object":"list","model":"text-embedding-3-large","data":[{"embedding":['
            for _ in range(200):
                yield piece
            yield b'"x"]}],"usage":{"prompt_tokens":8,"total_tokens":8}}'

    head = {"content-type": "application/json"}
    clients = Clients(lambda request: httpx2.Response(200, headers=head, stream=Huge()))
    client = clients.metered()
    tracemalloc.start()
    with client.embeddings.with_streaming_response.create(model="text-embedding-3-large", input="x") as answer:
        size = sum(len(chunk) for chunk in answer.iter_bytes())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 199_000_000
    assert peak < 30_000_000
    event = clients.event
    assert (event.quality, event.usage) == ("exact", {"prompt_tokens": 8, "total_tokens": 8})
    assert event.model_served == "text-embedding-3-large" and "large_body" in event.flags


def test_a_meter_that_fails_is_counted_and_nobody_else_notices(monkeypatch):
    failures.clear()

    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr("tracking.wire.answers.read", broken)
    clients = answering(chat_answer())
    assert clients.metered().chat.completions.create(model="gpt-4o", messages=HELLO).usage.total_tokens == 19
    assert clients.event.flags == ["metering_failed"]
    assert failures.counts() == {"conclude": 1}
    failures.clear()


@pytest.mark.parametrize(
    "where", ["tracking.wire.endpoints.find", "tracking.wire.requests.read", "tracking.context.resolve"]
)
def test_a_meter_that_fails_before_the_call_lets_it_go(monkeypatch, where):
    def broken(*args, **kwargs):
        raise ZeroDivisionError

    monkeypatch.setattr(where, broken)
    clients = answering(chat_answer())
    assert clients.metered().chat.completions.create(model="gpt-4o", messages=HELLO).usage.total_tokens == 19
    assert sum(failures.counts().values()) >= 1
    failures.clear()


def test_a_sink_that_fails_is_counted():
    failures.clear()
    clients = answering(chat_answer())
    client = clients.metered()
    clients.events = None  # type: ignore[assignment]
    client._client._transport.meter.sink = lambda event: math.sqrt(-1)
    client.chat.completions.create(model="gpt-4o", messages=HELLO)
    assert failures.counts() == {"sink": 1}
    failures.clear()
