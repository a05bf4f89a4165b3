"""Real connections that are cut, hang, or bring garbage: the caller sees what he would see, the event what is known."""

import asyncio
import json
import threading
import time

import anthropic
import openai
import pytest

from tests.tracking.clients.making import HELLO, MESSAGE_USAGE, USAGE, chat_answer, chat_chunks, message_events
from tests.upstream import CUT, END, head, upstream, wait_for
from tracking.instrument import instrument

CHAT = {"model": "gpt-4o", "messages": HELLO}
MESSAGE = {"model": "claude-sonnet-4-6", "messages": HELLO, "max_tokens": 100}
SSE = head("text/event-stream")


def metered(url, cls=openai.OpenAI, **kwargs):
    events = []
    return instrument(cls(base_url=url, api_key="local", max_retries=0, **kwargs), sink=events.append), events


def test_an_answer_that_is_cut_in_the_middle():
    body = json.dumps(chat_answer()).encode()
    length = str(len(body))
    with upstream(head(content_length=length), body[:40], CUT) as url:
        client, events = metered(url)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
    (event,) = events
    assert (event.status, event.quality, event.http_status) == ("incomplete", "none", 200)
    assert event.error in ("ReadError", "RemoteProtocolError")


def test_an_answer_that_came_whole_before_the_connection_broke():
    body = json.dumps(chat_answer()).encode()
    with upstream(head(content_length=str(len(body) + 10)), body, END) as url:
        client, events = metered(url)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
    (event,) = events
    assert (event.status, event.quality, event.usage) == ("incomplete", "exact", USAGE)


def test_a_connection_that_is_cut_before_an_answer():
    with upstream(CUT) as url:
        client, events = metered(url)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
    (event,) = events
    assert (event.status, event.quality, event.http_status) == ("connection_error", "none", None)
    assert "sent" not in event.facts


def test_a_server_that_is_not_there_was_sent_nothing():
    client, events = metered("http://127.0.0.1:9")
    with pytest.raises(openai.APIConnectionError):
        client.chat.completions.create(**CHAT)
    assert (events[0].status, events[0].facts["sent"]) == ("connection_error", False)


def test_an_answer_that_takes_too_long():
    with upstream(5.0) as url:
        client, events = metered(url, timeout=0.1)
        with pytest.raises(openai.APITimeoutError):
            client.chat.completions.create(**CHAT)
    (event,) = events
    assert (event.status, event.error, event.quality) == ("timeout", "ReadTimeout", "none")


def test_a_stream_that_stops_talking():
    with upstream(SSE, b"".join(chat_chunks(["word "] * 8, asked=True)[:9]), 5.0) as url:
        client, events = metered(url, timeout=0.2)
        stream = client.chat.completions.create(**CHAT, stream=True)
        with pytest.raises(openai.APITimeoutError):
            list(stream)
    (event,) = events
    assert (event.status, event.quality, event.error) == ("timeout", "estimated", "ReadTimeout")
    assert event.usage["completion_tokens"] == 10  # eight words of five characters


def test_a_message_stream_that_is_cut_keeps_what_it_said():
    head_chunked = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"
    pieces = b"".join(message_events()[:5])
    with upstream(head_chunked, b"%x\r\n%s\r\n" % (len(pieces), pieces), CUT) as url:
        client, events = metered(url, anthropic.Anthropic)
        with pytest.raises((anthropic.APIConnectionError, anthropic.APIError, Exception)):
            list(client.messages.create(**MESSAGE, stream=True))
    (event,) = events
    assert (event.status, event.quality) == ("incomplete", "partial")
    assert event.usage["cache_read_input_tokens"] == MESSAGE_USAGE["cache_read_input_tokens"]


def test_a_chat_stream_that_ends_before_it_is_over():
    with upstream(SSE, b"".join(chat_chunks(asked=True)[:2]), END) as url:
        client, events = metered(url)
        list(client.chat.completions.create(**CHAT, stream=True))
    assert (events[0].status, events[0].quality) == ("incomplete", "estimated")


def test_a_usage_chunk_that_comes_late_does_not_hold_the_caller_who_leaves():
    chunks = chat_chunks(asked=True)
    with upstream(SSE, b"".join(chunks[:-2]), 0.05, b"".join(chunks[-2:]), 5.0) as url:
        client, events = metered(url)
        with client.chat.completions.create(**CHAT, stream=True) as stream:
            for chunk in stream:
                if chunk.choices[0].finish_reason:
                    break
            left = time.monotonic()
        assert time.monotonic() - left < 1.0
    assert (events[0].status, events[0].quality, events[0].usage) == ("ok", "exact", USAGE)


@pytest.mark.parametrize("asynchronous", [False, True])
def test_a_usage_chunk_that_never_comes_holds_nobody_for_long(asynchronous):
    chunks = chat_chunks(asked=True)

    async def leave(client):
        stream = await client.chat.completions.create(**CHAT, stream=True)
        async for chunk in stream:
            if chunk.choices[0].finish_reason:
                break
        await stream.close()

    with upstream(SSE, b"".join(chunks[:-2]), 30.0) as url:
        started = time.monotonic()
        if asynchronous:
            client, events = metered(url, openai.AsyncOpenAI)
            asyncio.run(leave(client))
        else:
            client, events = metered(url)
            with client.chat.completions.create(**CHAT, stream=True) as stream:
                for chunk in stream:
                    if chunk.choices[0].finish_reason:
                        break
        assert 0.9 < time.monotonic() - started < 3.0
    assert (events[0].status, events[0].quality) == ("cancelled", "estimated")


def test_an_asynchronous_call_that_is_cancelled_while_it_waits():
    with upstream(30.0) as url:
        client, events = metered(url, openai.AsyncOpenAI)

        async def run():
            task = asyncio.create_task(client.chat.completions.create(**CHAT))
            await asyncio.sleep(0.1)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

        asyncio.run(run())
    (event,) = events
    assert (event.status, event.quality, event.error) == ("cancelled", "none", "")


def test_an_asynchronous_stream_that_is_left_is_recorded():
    with upstream(SSE, b"".join(chat_chunks(["word "] * 4, asked=True)[:4]), 30.0) as url:
        client, events = metered(url, openai.AsyncOpenAI)

        async def run():
            async for chunk in await client.chat.completions.create(**CHAT, stream=True):
                if chunk.choices[0].delta.content:
                    break

        asyncio.run(run())
    assert wait_for(lambda: events)
    assert (events[0].status, events[0].quality) == ("cancelled", "estimated")


def test_garbage_instead_of_http():
    with upstream(b"\x00\xff what?\r\n\r\n", END) as url:
        client, events = metered(url)
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**CHAT)
    assert (events[0].status, events[0].error) == ("connection_error", "RemoteProtocolError")


def test_many_threads_share_one_client():
    body = json.dumps(chat_answer()).encode()
    with upstream(head(content_length=str(len(body))), body, END) as url:
        client, events = metered(url)
        threads = [
            threading.Thread(target=lambda: [client.chat.completions.create(**CHAT) for _ in range(5)])
            for _ in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(events) == 40
    assert len({event.id for event in events}) == 40
    assert {event.quality for event in events} == {"exact"}
