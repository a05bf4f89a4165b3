"""Results that come later than their request: each is billed once, however often it is read."""

import json

import anthropic
import openai
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
    response_events,
    sse,
    stream_reply,
)
from tracking import meter

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # assistants and videos are going

QUEUED = response_answer(status="queued", usage=None, output=[], background=True)
DONE = response_answer(background=True)


def serving(**bodies):
    """A provider that answers by "METHOD path-end"."""
    table = {name.replace("__", " ", 1).replace("__", "/"): body for name, body in bodies.items()}

    def provider(request):
        for name, body in table.items():
            method, _, path = name.partition(" ")
            if request.method == method and request.url.path.endswith(path):
                return body(request) if callable(body) else reply(body)
        raise AssertionError((request.method, request.url.path))

    return Clients(provider)


def told(events):
    return [(event.kind, event.status, event.quality, event.result_key) for event in events]


# --- background responses -------------------------------------------------------------------------


def test_a_background_response_is_pending_and_its_retrieval_brings_the_result():
    clients = serving(POST__responses=QUEUED, GET__resp_1=DONE)
    client = clients.metered()
    client.responses.create(model="gpt-5", input="Hi", background=True)
    client.responses.retrieve("resp_1")
    assert told(clients.events) == [
        ("pending", "pending", "none", "openai:resp_1"),
        ("result", "ok", "exact", "openai:resp_1"),
    ]
    result = clients.events[1]
    assert (result.usage, result.model_served) == (RESPONSE_USAGE, "gpt-5-2025-08-07")
    assert result.facts["service_tier"] == "flex"


def test_asking_while_it_is_running_brings_nothing():
    clients = serving(GET__resp_1=response_answer(status="in_progress", usage=None, background=True))
    clients.metered().responses.retrieve("resp_1")
    assert clients.events == []


def test_reading_a_foreground_response_again_is_not_a_second_charge():
    clients = serving(GET__resp_1=response_answer())
    clients.metered().responses.retrieve("resp_1")
    assert clients.events == []


def test_streaming_a_stored_response_again_is_not_a_second_charge():
    clients = Clients(lambda request: stream_reply(response_events()))
    assert len(list(clients.metered().responses.retrieve("resp_1", stream=True))) == 7
    assert clients.events == []


def test_streaming_a_background_response_brings_its_result():
    clients = Clients(lambda request: stream_reply(response_events(background=True)))
    list(clients.metered().responses.retrieve("resp_1", stream=True))
    assert told(clients.events) == [("result", "ok", "exact", "openai:resp_1")]
    assert clients.event.usage == RESPONSE_USAGE


def test_a_background_stream_read_to_its_end_is_billed_at_once_under_its_key():
    clients = Clients(lambda request: stream_reply(response_events(background=True)))
    list(clients.metered().responses.create(model="gpt-5", input="Hi", background=True, stream=True))
    assert told(clients.events) == [("call", "ok", "exact", "openai:resp_1")]


def test_a_background_stream_that_is_left_goes_on_without_us():
    clients = Clients(lambda request: stream_reply(response_events(background=True)))
    with clients.metered().responses.create(model="gpt-5", input="Hi", background=True, stream=True) as stream:
        next(stream)
        next(stream)
    assert told(clients.events) == [("pending", "pending", "none", "openai:resp_1")]
    assert clients.event.usage is None


def test_a_background_response_that_was_cancelled_brings_what_it_used():
    clients = serving(POST__cancel=response_answer(status="cancelled", background=True))
    clients.metered().responses.cancel("resp_1")
    assert told(clients.events) == [("result", "ok", "exact", "openai:resp_1")]


# --- runs -----------------------------------------------------------------------------------------

RUN = {"id": "run_1", "object": "thread.run", "thread_id": "thread_1", "assistant_id": "asst_1", "model": "gpt-4o"}
RUN |= {"created_at": 1790000000, "status": "queued", "usage": None, "instructions": "", "tools": [], "metadata": {}}
RUN_DONE = RUN | {"status": "completed", "usage": USAGE}


def test_a_run_is_pending_until_it_is_completed():
    clients = serving(POST__runs=RUN, GET__run_1=RUN_DONE, GET__runs={"object": "list", "data": [RUN_DONE, RUN]})
    threads = clients.metered().beta.threads
    threads.runs.create("thread_1", assistant_id="asst_1")
    threads.runs.retrieve("run_1", thread_id="thread_1")
    threads.runs.list("thread_1")
    assert told(clients.events) == [
        ("pending", "pending", "none", "openai:run_1"),
        ("result", "ok", "exact", "openai:run_1"),
        ("result", "ok", "exact", "openai:run_1"),
    ]
    assert clients.events[1].usage == USAGE


def test_a_run_that_streams_tells_its_usage_itself():
    pieces = sse(("thread.run.created", RUN), ("thread.run.completed", RUN_DONE), ("done", "[DONE]"))
    clients = Clients(lambda request: stream_reply(pieces))
    list(clients.metered().beta.threads.runs.create("thread_1", assistant_id="asst_1", stream=True))
    assert told(clients.events) == [("call", "ok", "exact", "openai:run_1")]
    assert clients.event.usage == USAGE


def test_tool_outputs_go_on_with_a_run_that_has_its_event():
    clients = serving(POST__submit_tool_outputs=RUN | {"status": "queued"})
    clients.metered().beta.threads.runs.submit_tool_outputs("run_1", thread_id="thread_1", tool_outputs=[])
    assert clients.events == []


# --- videos ---------------------------------------------------------------------------------------

VIDEO = {"id": "video_1", "object": "video", "model": "sora-2", "status": "queued", "seconds": "8", "size": "1280x720"}
VIDEO |= {"created_at": 1790000000, "progress": 0}


def test_a_video_is_billed_when_it_is_completed():
    states = iter([VIDEO | {"status": "in_progress"}, VIDEO | {"status": "completed"}])
    clients = serving(POST__videos=VIDEO, GET__video_1=lambda request: reply(next(states)))
    videos = clients.metered().videos
    videos.create(model="sora-2", prompt="a cat", seconds="8")
    videos.retrieve("video_1")
    videos.retrieve("video_1")
    assert told(clients.events) == [
        ("pending", "pending", "none", "openai:video_1"),
        ("result", "ok", "exact", "openai:video_1"),
    ]
    assert clients.events[1].facts["video"] == {"seconds": 8, "size": "1280x720"}
    assert clients.events[1].operation == "video_generation"


def test_a_video_that_failed_costs_nothing():
    failed = VIDEO | {"status": "failed", "error": {"code": "moderation_blocked", "message": "no"}}
    clients = serving(GET__video_1=failed)
    clients.metered().videos.retrieve("video_1")
    event = clients.event
    assert (event.kind, event.status, event.error, event.http_status) == ("result", "error", "moderation_blocked", None)


# --- batches --------------------------------------------------------------------------------------

BATCH = {"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "status": "validating"}
BATCH |= {"created_at": 1790000000, "completion_window": "24h", "input_file_id": "file-in"}
BATCH_DONE = BATCH | {
    "status": "completed",
    "output_file_id": "file-out",
    "model": "gpt-4o-2024-08-06",
    "usage": {"input_tokens": 24, "output_tokens": 14, "total_tokens": 38},
}


def output_line(n: int, **changes) -> dict:
    body = chat_answer(id=f"chatcmpl-{n}")
    answer = {"status_code": 200, "request_id": f"req_{n}", "body": body, **changes}
    return {"id": f"batch_req_{n}", "custom_id": f"task-{n}", "response": answer, "error": None}


def test_a_batch_is_billed_by_its_sum_under_names_that_its_file_shares():
    clients = serving(POST__batches=BATCH, GET__batch_1=BATCH_DONE)
    batches = clients.metered().batches
    batches.create(input_file_id="file-in", endpoint="/v1/chat/completions", completion_window="24h")
    batches.retrieve("batch_1")
    created, result = clients.events
    assert (created.kind, created.result_key, created.operation) == ("pending", "openai:batch_1", "chat")
    assert (result.kind, result.result_key, result.result_aliases) == ("result", "openai:batch_1", ["openai:file-out"])
    assert result.batch and result.usage == BATCH_DONE["usage"] and result.model_served == "gpt-4o-2024-08-06"


def test_the_lines_of_a_batchs_output_have_the_same_ids_whenever_they_are_read():
    text = "\n".join(json.dumps(output_line(n)) for n in range(3)) + "\n"
    text += json.dumps(output_line(9, status_code=400)) + "\n"
    pieces = [text.encode()[at : at + 50] for at in range(0, len(text), 50)]
    clients = Clients(lambda request: reply(pieces, content_type="application/octet-stream"))
    client = clients.metered()
    assert client.files.content("file-out").text == text
    first = list(clients.events)
    client.files.content("file-out")
    assert [event.id for event in clients.events[3:]] == [event.id for event in first]
    assert len({event.id for event in first}) == len(first) == 3, "what failed was not billed"
    event = first[0]
    assert (event.kind, event.batch, event.source, event.quality) == ("item", True, "batch", "exact")
    assert (event.result_key, event.usage, event.response_id) == ("openai:file-out", USAGE, "chatcmpl-0")
    assert (event.operation, event.endpoint) == ("chat", "/v1/chat/completions")
    assert event.request_id == "req_0"


def test_a_batchs_output_that_is_not_read_to_its_end_bills_nothing(monkeypatch):
    """The sum that was billed for the batch stands: some lines in its place would lose the others."""
    text = "".join(json.dumps(output_line(n)) + "\n" for n in range(5))
    pieces = [line.encode() for line in text.splitlines(keepends=True)]
    clients = Clients(lambda request: reply(pieces, content_type="application/octet-stream"))
    with clients.metered().files.with_streaming_response.content("file-out") as answer:
        next(answer.iter_bytes(len(pieces[0])))
    assert clients.events == []
    monkeypatch.setattr(meter, "MAX_ITEMS", 2)  # more lines than are kept
    clients.metered().files.content("file-out")
    assert len({event.id for event in clients.events}) == len(clients.events) == 5


def test_other_files_are_read_without_a_look():
    for content in (b"\x89PNG\r\n", b'{"messages": []}\n{"custom_id": "a"}\n', b'{"a": 1', b"\n\n"):
        clients = Clients(lambda request, content=content: reply(content, content_type="application/octet-stream"))
        assert clients.metered().files.content("file-x").content == content
        assert clients.events == []


def test_message_batches_are_billed_line_by_line():
    batch = {"id": "msgbatch_1", "type": "message_batch", "processing_status": "in_progress", "results_url": None}
    ended = batch | {
        "processing_status": "ended",
        "results_url": "https://api.anthropic.com/v1/messages/batches/msgbatch_1/results",
    }
    lines = [
        {"custom_id": "a", "result": {"type": "succeeded", "message": message_answer(id="msg_a")}},
        {"custom_id": "b", "result": {"type": "errored", "error": {"type": "error"}}},
        {"custom_id": "c", "result": {"type": "succeeded", "message": message_answer(id="msg_c")}},
        {"custom_id": "d", "result": {"type": "expired"}},
    ]
    text = "\n".join(json.dumps(line) for line in lines)
    clients = serving(
        POST__messages__batches=batch,
        GET__results=lambda request: reply(text.encode(), content_type="application/x-jsonl"),
        GET__msgbatch_1=ended,
    )
    client = clients.metered(anthropic.Anthropic)
    client.messages.batches.create(
        requests=[{"custom_id": "a", "params": {"model": "claude-sonnet-4-6", "max_tokens": 9, "messages": HELLO}}]
    )
    assert [line.custom_id for line in client.messages.batches.results("msgbatch_1")] == ["a", "b", "c", "d"]
    assert told(clients.events) == [
        ("pending", "pending", "none", "anthropic:msgbatch_1"),
        ("item", "ok", "exact", "anthropic:msgbatch_1"),
        ("item", "ok", "exact", "anthropic:msgbatch_1"),
    ]
    assert [event.response_id for event in clients.events[1:]] == ["msg_a", "msg_c"]
    assert clients.events[1].usage["cache_read_input_tokens"] == 100


def test_a_batch_of_another_time_is_dated_by_its_answers():
    import time

    created = int(time.time()) - 3600
    line = output_line(1, body=chat_answer(created=created))
    clients = Clients(lambda request: reply(json.dumps(line).encode(), content_type="application/octet-stream"))
    clients.metered(openai.OpenAI).files.content("file-out")
    assert clients.event.at_us == created * 1_000_000
