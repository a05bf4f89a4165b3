"""Streams: the caller sees what he would have seen without a meter, and the ledger learns the usage all the same."""

import asyncio
import gc
import json
import zlib

import anthropic
import httpx2
import openai
import pytest

from tests.tracking.clients.making import (
    HELLO,
    MESSAGE_USAGE,
    RESPONSE_USAGE,
    USAGE,
    Clients,
    chat_chunks,
    message_events,
    openai_chat,
    reply,
    response_events,
    sse,
    stream_reply,
)

CHAT = {"model": "gpt-4o", "messages": HELLO, "stream": True}
MESSAGE = {"model": "claude-sonnet-4-6", "messages": HELLO, "max_tokens": 100}

TRANSCRIPT = sse(
    {"type": "transcript.text.delta", "delta": "Hel"},
    {"type": "transcript.text.delta", "delta": "lo."},
    {
        "type": "transcript.text.done",
        "text": "Hello.",
        "usage": {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17},
    },
)
IMAGE = sse(
    {"type": "image_generation.partial_image", "b64_json": "AAAA" * 50, "partial_image_index": 0},
    {
        "type": "image_generation.completed",
        "b64_json": "BBBB" * 50,
        "usage": {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106},
    },
)
SPEECH = sse(
    {"type": "speech.audio.delta", "audio": "AAAA"},
    {"type": "speech.audio.done", "usage": {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}},
)
COMPLETION = [
    b'data: {"id":"cmpl-1","object":"text_completion","created":1,"choices":[{"text":"Hi","index":0,"logprobs":null,'
    b'"finish_reason":null}],"model":"gpt-3.5-turbo-instruct"}\n\n',
    b'data: {"id":"cmpl-1","object":"text_completion","created":1,"choices":[{"text":"!","index":0,"logprobs":null,'
    b'"finish_reason":"stop"}],"model":"gpt-3.5-turbo-instruct"}\n\n',
    b"data: [DONE]\n\n",
]


def provider(request: httpx2.Request) -> httpx2.Response:
    """Every kind of stream."""
    path = request.url.path
    if path.endswith("/chat/completions"):
        return openai_chat(request)
    if path.endswith("/completions"):
        return stream_reply(COMPLETION)
    if path.endswith("/messages"):
        return stream_reply(message_events())
    if path.endswith("/responses"):
        return stream_reply(response_events())
    if path.endswith("/transcriptions"):
        return stream_reply(TRANSCRIPT)
    if path.endswith("/generations"):
        return stream_reply(IMAGE)
    if path.endswith("/speech"):
        return stream_reply(SPEECH)
    raise AssertionError(path)


def _messages(client):
    with client.messages.stream(**MESSAGE) as stream:
        yield from stream


def _chat_helper(client):
    with client.chat.completions.stream(model="gpt-4o", messages=HELLO) as stream:
        yield from stream


def _responses_helper(client):
    with client.responses.stream(model="gpt-5", input="Hi") as stream:
        yield from stream


def _speech(client):
    with client.audio.speech.with_streaming_response.create(
        model="gpt-4o-mini-tts", voice="alloy", input="Hello.", stream_format="sse"
    ) as answer:
        yield from answer.iter_bytes(7)


def _lines(client):
    with client.chat.completions.with_streaming_response.create(**CHAT) as answer:
        yield from answer.iter_lines()


def _raw(client):
    yield from client.chat.completions.with_raw_response.create(**CHAT).parse()


#: what a caller may do with a stream, and the usage that its event must hold
WAYS = {
    "chat": (openai.OpenAI, lambda c: c.chat.completions.create(**CHAT), USAGE),
    "chat, usage asked": (
        openai.OpenAI,
        lambda c: c.chat.completions.create(**CHAT, stream_options={"include_usage": True}),
        USAGE,
    ),
    "chat, other stream options": (
        openai.OpenAI,
        lambda c: c.chat.completions.create(**CHAT, stream_options={"include_obfuscation": False}),
        USAGE,
    ),
    "chat helper": (openai.OpenAI, _chat_helper, USAGE),
    "chat, raw response": (openai.OpenAI, _raw, USAGE),
    "chat, lines": (openai.OpenAI, _lines, USAGE),
    "responses": (
        openai.OpenAI,
        lambda c: c.responses.create(model="gpt-5", input="Hi", stream=True),
        RESPONSE_USAGE,
    ),
    "responses helper": (openai.OpenAI, _responses_helper, RESPONSE_USAGE),
    "transcription": (
        openai.OpenAI,
        lambda c: c.audio.transcriptions.create(file=("a.wav", b"x"), model="gpt-4o-transcribe", stream=True),
        {"type": "tokens", "input_tokens": 14, "output_tokens": 3, "total_tokens": 17},
    ),
    "image": (
        openai.OpenAI,
        lambda c: c.images.generate(prompt="a cat", model="gpt-image-1", stream=True),
        {"input_tokens": 50, "output_tokens": 1056, "total_tokens": 1106},
    ),
    "speech": (openai.OpenAI, _speech, {"input_tokens": 14, "output_tokens": 101, "total_tokens": 115}),
    "messages": (
        anthropic.Anthropic,
        lambda c: c.messages.create(**MESSAGE, stream=True),
        {**MESSAGE_USAGE, "output_tokens": 42},
    ),
    "messages helper": (anthropic.Anthropic, _messages, {**MESSAGE_USAGE, "output_tokens": 42}),
}


def seen(items) -> list:
    return [item if isinstance(item, (bytes, str)) else item.model_dump(warnings=False) for item in items]


@pytest.mark.parametrize("way", WAYS)
def test_the_caller_sees_what_he_would_have_seen_and_the_event_holds_the_usage(way):
    cls, drive, usage = WAYS[way]
    clients = Clients(provider)
    expected = seen(drive(clients.bare(cls)))
    assert seen(drive(clients.metered(cls))) == expected
    assert len(expected) > 1
    event = clients.event
    assert (event.status, event.quality, event.stream) == ("ok", "exact", True)
    assert event.usage == usage
    assert event.ttft_us and event.latency_us >= event.ttft_us


ASYNC_WAYS = {
    "chat": (openai.AsyncOpenAI, lambda c: c.chat.completions.create(**CHAT), USAGE),
    "responses": (
        openai.AsyncOpenAI,
        lambda c: c.responses.create(model="gpt-5", input="Hi", stream=True),
        RESPONSE_USAGE,
    ),
    "messages": (
        anthropic.AsyncAnthropic,
        lambda c: c.messages.create(**MESSAGE, stream=True),
        {**MESSAGE_USAGE, "output_tokens": 42},
    ),
}


@pytest.mark.parametrize("way", ASYNC_WAYS)
def test_asynchronous_streams_too(way):
    cls, drive, usage = ASYNC_WAYS[way]
    clients = Clients(provider)

    async def run(client):
        return seen([item async for item in await drive(client)])

    expected = asyncio.run(run(clients.bare(cls)))
    assert asyncio.run(run(clients.metered(cls))) == expected
    assert (clients.event.status, clients.event.quality, clients.event.usage) == ("ok", "exact", usage)


def test_a_chunk_never_tells_that_usage_was_asked_for():
    clients = Clients()
    with clients.metered().chat.completions.with_streaming_response.create(**CHAT) as answer:
        shown = b"".join(answer.iter_bytes())
    assert shown == b"".join(chat_chunks(asked=False))
    assert json.loads(clients.requests[0].content)["stream_options"] == {"include_usage": True}


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64, 1000, 100_000])
def test_it_does_not_matter_where_the_network_cuts_the_stream(size):
    whole = b"".join(chat_chunks(asked=True))
    clients = Clients(lambda request: stream_reply(whole[at : at + size] for at in range(0, len(whole), size)))
    with clients.metered().chat.completions.with_streaming_response.create(**CHAT) as answer:
        shown = b"".join(answer.iter_bytes())
    assert shown == b"".join(chat_chunks(asked=False))
    assert clients.event.usage == USAGE


@pytest.mark.parametrize("end", [b"\r\n", b"\r"])
def test_other_line_ends_are_events_too(end):
    pieces = [piece.replace(b"\n", end) for piece in chat_chunks(asked=True)]
    clients = Clients(lambda request: stream_reply(pieces))
    with clients.metered().chat.completions.with_streaming_response.create(**CHAT) as answer:
        shown = b"".join(answer.iter_bytes())
    assert shown == b"".join(chat_chunks(asked=False)).replace(b"\n", end)
    assert clients.event.usage == USAGE


def test_only_the_usage_that_asking_added_is_taken_out():
    inner = (
        '{"id":"1","choices":[{"index":0,"delta":{"content":",\\"usage\\":null"},"usage":null}],"usage":null,"x":"}"}'
    )
    first = '{"usage":null,"choices":[{"index":0,"delta":{"content":"a"}}]}'
    clients = Clients(lambda request: stream_reply(sse(inner, first, "[DONE]")))
    with clients.metered().chat.completions.with_streaming_response.create(**CHAT) as answer:
        lines = [json.loads(line[6:]) for line in answer.iter_lines() if line.startswith("data: {")]
    kept, other = json.loads(inner), json.loads(first)
    del kept["usage"], other["usage"]
    assert lines == [kept, other]
    assert lines[0]["choices"][0]["usage"] is None


def test_a_stream_that_comes_compressed_is_shown_plain_and_stripped():
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in chat_chunks(asked=True)]
    pieces.append(packer.flush())
    clients = Clients(lambda request: stream_reply(pieces, content_encoding="gzip"))
    expected = seen(Clients().bare().chat.completions.create(**CHAT))
    assert seen(clients.metered().chat.completions.create(**CHAT)) == expected
    assert clients.event.usage == USAGE
    assert clients.requests[0].headers["accept-encoding"] == "identity"


def test_a_compressed_stream_that_is_not_touched_stays_as_it_is():
    packer = zlib.compressobj(wbits=31)
    pieces = [packer.compress(piece) + packer.flush(zlib.Z_SYNC_FLUSH) for piece in response_events()]
    clients = Clients(lambda request: stream_reply([*pieces, packer.flush()], content_encoding="gzip"))
    answer = clients.metered().responses.with_raw_response.create(model="gpt-5", input="Hi", stream=True)
    assert answer.headers["content-encoding"] == "gzip"
    assert len(list(answer.parse())) == 7
    assert clients.event.usage == RESPONSE_USAGE


# --- streams that are left ------------------------------------------------------------------------


def test_leaving_a_chat_stream_early_estimates_from_what_came():
    words = ["word "] * 40
    clients = Clients(lambda request: stream_reply(chat_chunks(words, asked=True)))
    with clients.metered().chat.completions.create(**CHAT) as stream:
        for _ in range(11):  # the role, then ten words of five characters
            next(stream)
    event = clients.event
    assert (event.status, event.quality) == ("cancelled", "estimated")
    assert event.usage["completion_tokens"] == 13  # 50 characters, about four a token
    assert event.usage["prompt_tokens"] == 3  # "Say hello."
    assert {"estimated_from_deltas", "input_estimated"} <= set(event.flags)


def test_leaving_a_message_early_keeps_the_exact_input():
    clients = Clients(lambda request: stream_reply(message_events(["word "] * 40)))
    with clients.metered(anthropic.Anthropic).messages.create(**MESSAGE, stream=True) as stream:
        for event in stream:
            if event.type == "content_block_delta":
                break
    event = clients.event
    assert (event.status, event.quality) == ("cancelled", "partial")
    assert event.usage == {**MESSAGE_USAGE, "output_tokens": 2}


def test_leaving_a_response_early_estimates_from_what_came():
    clients = Clients(lambda request: stream_reply(response_events()))
    with clients.metered().responses.create(model="gpt-5", input="Say hello.", stream=True) as stream:
        for event in stream:
            if event.type == "response.output_text.delta":
                break
    event = clients.event
    assert (event.status, event.quality, event.response_id) == ("cancelled", "estimated", "resp_1")
    assert event.usage == {"input_tokens": 3, "output_tokens": 1, "total_tokens": 4}
    assert event.model_served == "gpt-5-2025-08-07"


def test_leaving_a_chat_stream_after_its_last_word_still_learns_the_usage():
    clients = Clients()
    with clients.metered().chat.completions.create(**CHAT) as stream:
        for chunk in stream:
            if chunk.choices[0].finish_reason:
                break
    assert (clients.event.status, clients.event.quality, clients.event.usage) == ("ok", "exact", USAGE)


def test_leaving_an_asynchronous_chat_stream_after_its_last_word_too():
    clients = Clients()

    async def run():
        stream = await clients.metered(openai.AsyncOpenAI).chat.completions.create(**CHAT)
        async for chunk in stream:
            if chunk.choices[0].finish_reason:
                break
        await stream.close()

    asyncio.run(run())
    assert (clients.event.status, clients.event.quality, clients.event.usage) == ("ok", "exact", USAGE)


def test_a_stream_that_is_forgotten_is_recorded_when_it_is_collected():
    clients = Clients()
    stream = clients.metered().chat.completions.create(**CHAT)
    next(stream)
    assert clients.events == []
    del stream
    gc.collect()
    assert (clients.event.status, clients.event.quality) == ("cancelled", "estimated")


def test_an_answer_that_is_never_looked_at_is_recorded():
    clients = Clients()
    with clients.metered().chat.completions.with_streaming_response.create(**CHAT):
        pass
    assert (clients.event.status, clients.event.quality) == ("cancelled", "estimated")
    assert clients.event.usage["completion_tokens"] == 0


def test_a_cancelled_task_leaves_one_event():
    clients = Clients()

    class Slow(httpx2.AsyncByteStream):
        async def __aiter__(self):
            for piece in chat_chunks(["word "] * 4, asked=True)[:4]:
                yield piece
            await asyncio.sleep(30)

    clients.handler = lambda request: httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=Slow())

    async def run():
        started = asyncio.Event()

        async def read():
            async for _ in await clients.metered(openai.AsyncOpenAI).chat.completions.create(**CHAT):
                started.set()

        task = asyncio.create_task(read())
        await started.wait()
        await asyncio.sleep(0.02)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())
    assert (clients.event.status, clients.event.quality) == ("cancelled", "estimated")
    assert clients.event.usage["completion_tokens"] == 4  # three words of five characters


# --- providers that speak otherwise ---------------------------------------------------------------


def _refusing(request: httpx2.Request) -> httpx2.Response:
    if b"stream_options" in request.content:
        return reply({"error": {"message": "Extra inputs are not permitted", "code": "extra_forbidden"}}, status=400)
    return stream_reply(chat_chunks(asked=False))


def test_a_server_that_does_not_know_stream_options_gets_the_callers_own_request():
    clients = Clients(_refusing)
    client = clients.metered(base_url="http://vllm.local/v1")
    assert seen(client.chat.completions.create(**CHAT)) == seen(clients.bare().chat.completions.create(**CHAT))
    assert (clients.event.status, clients.event.quality) == ("ok", "estimated")
    assert {"usage_not_offered", "estimated_from_deltas"} <= set(clients.event.flags)
    before = len(clients.requests)
    list(client.chat.completions.create(**CHAT))
    assert len(clients.requests) == before + 1, "it is not asked again"
    assert "usage_not_offered" in clients.events[1].flags


def test_the_callers_own_mistake_stays_his():
    error = {"error": {"message": "messages is too long", "code": "context_length_exceeded", "type": "invalid"}}
    clients = Clients(lambda request: reply(error, status=400))
    with pytest.raises(openai.BadRequestError, match="too long"):
        clients.metered().chat.completions.create(**CHAT)
    assert len(clients.requests) == 1
    event = clients.event
    assert (event.status, event.http_status, event.error) == ("error", 400, "context_length_exceeded")
    assert "too long" not in event.to_json().decode()


def test_a_server_that_is_known_to_report_usage_is_not_asked_twice():
    clients = Clients()
    client = clients.metered(base_url="http://proxy.local/v1")
    list(client.chat.completions.create(**CHAT))
    clients.handler = lambda request: reply({"error": {"message": "no"}}, status=400)
    with pytest.raises(openai.BadRequestError):
        client.chat.completions.create(**CHAT)
    assert len(clients.requests) == 2


def test_usage_in_the_last_chunk_with_a_choice_is_read_and_shown():
    last = {"id": "1", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}], "usage": USAGE}
    pieces = [*chat_chunks(asked=False)[:2], *sse(last, "[DONE]")]
    clients = Clients(lambda request: stream_reply(pieces))
    chunks = list(clients.metered().chat.completions.create(**CHAT))
    assert chunks[-1].usage.total_tokens == 19
    assert (clients.event.quality, clients.event.usage) == ("exact", USAGE)


def test_a_stream_without_its_end_mark_is_over_when_it_said_why_it_ended():
    clients = Clients(lambda request: stream_reply(chat_chunks(asked=True, done=False)))
    list(clients.metered().chat.completions.create(**CHAT))
    assert (clients.event.status, clients.event.quality) == ("ok", "exact")


def test_an_error_inside_a_stream_is_told_by_its_code():
    pieces = [*message_events()[:4], *sse(("error", {"type": "error", "error": {"type": "overloaded_error"}}))]
    clients = Clients(lambda request: stream_reply(pieces))
    with pytest.raises(anthropic.APIStatusError):
        list(clients.metered(anthropic.Anthropic).messages.create(**MESSAGE, stream=True))
    event = clients.event
    assert (event.status, event.quality, event.error) == ("incomplete", "partial", "overloaded_error")


def test_garbage_in_a_stream_reaches_the_caller_and_spoils_nothing_else():
    pieces = [*chat_chunks(asked=True)]
    pieces.insert(2, b'data: {"choices": [}, "usage": {\n\n')
    clients = Clients(lambda request: stream_reply(pieces))
    with clients.metered().chat.completions.with_streaming_response.create(**CHAT) as answer:
        shown = b"".join(answer.iter_bytes())
    assert b'{"choices": [}, "usage": {' in shown
    assert clients.event.usage == USAGE
    assert "garbled_stream" in clients.event.flags


@pytest.mark.parametrize("name", ["text/plain", "application/octet-stream", ""])
def test_a_stream_by_another_name_is_one(name):
    clients = Clients(lambda request: reply(chat_chunks(asked=True), content_type=name))
    expected = seen(Clients().bare().chat.completions.create(**CHAT))
    assert seen(clients.metered().chat.completions.create(**CHAT)) == expected
    assert (clients.event.stream, clients.event.quality, clients.event.usage) == (True, "exact", USAGE)


def test_images_of_one_stream_are_added_up():
    clients = Clients(lambda request: stream_reply([*IMAGE, IMAGE[-1]]))
    list(clients.metered().images.generate(prompt="cats", model="gpt-image-1", stream=True, n=2))
    assert clients.event.usage == {"input_tokens": 100, "output_tokens": 2112, "total_tokens": 2212}
    assert "summed_usage" in clients.event.flags


def test_comments_and_a_nameless_first_chunk_do_not_hide_the_model():
    """Gateways send comments while the model thinks; Azure begins with a chunk that has no id and no model."""
    nameless = {"id": "", "model": "", "object": "", "created": 0, "choices": [], "prompt_filter_results": []}
    pieces = [b": processing\n\n", *sse(nameless), *chat_chunks(asked=True)]
    clients = Clients(lambda request: stream_reply(pieces))
    stream = clients.metered().chat.completions.create(**CHAT)
    for _chunk in range(3):
        next(stream)
    stream.close()
    event = clients.event
    assert (event.status, event.model_served, event.response_id) == ("cancelled", "gpt-4o-2024-08-06", "chatcmpl-1")
    assert "garbled_stream" not in event.flags
