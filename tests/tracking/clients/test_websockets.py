"""Websocket sessions of metered clients, over a real socket with the real SDK."""

import asyncio
import gc
import gzip
import json
import subprocess
import sys
import threading
from pathlib import Path
from socket import SHUT_RDWR

import openai
import pytest
from websockets.sync.server import serve

from tracking.context import attribution, track
from tracking.instrument import instrument

RECORDINGS = Path(__file__).resolve().parents[4] / "shared" / "recordings" / "realtime.jsonl.gz"

SESSION = {
    "type": "session.created",
    "event_id": "event_1",
    "session": {
        "type": "realtime",
        "id": "sess_1",
        "model": "gpt-realtime",
        "audio": {"input": {"transcription": {"model": "gpt-4o-transcribe"}}},
    },
}
USAGE = {
    "total_tokens": 148,
    "input_tokens": 40,
    "output_tokens": 108,
    "input_token_details": {"text_tokens": 14, "audio_tokens": 26, "cached_tokens": 0},
    "output_token_details": {"text_tokens": 30, "audio_tokens": 78},
}
HEARD = {"type": "tokens", "input_tokens": 30, "output_tokens": 5, "total_tokens": 35}


def response(kind: str, name: str = "resp_1", **fields) -> dict:
    whole = {"object": "realtime.response", "id": name, "status": "completed", "output": [], **fields}
    return {"type": kind, "event_id": "e", "response": whole}


TURN = [
    SESSION,
    response("response.created", status="in_progress", usage=None),
    {"type": "response.output_audio.delta", "event_id": "e", "response_id": "resp_1", "delta": "AAAA" * 1000},
    {
        "type": "conversation.item.input_audio_transcription.completed",
        "event_id": "e",
        "item_id": "item_1",
        "content_index": 0,
        "transcript": "my password is swordfish",
        "usage": HEARD,
    },
    response("response.done", usage=USAGE),
]


class Live:
    """A websocket provider that says what it is told to, and then closes (or holds the line)."""

    def __init__(self) -> None:
        self.script: list[dict | str | None] = []
        self.paths: list[str] = []
        self.events = []
        self._server = serve(self._talk, "127.0.0.1", 0, max_size=None)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _talk(self, socket) -> None:
        self.paths.append(socket.request.path)
        for message in self.script:
            if message is None:  # hold the line until the other side leaves
                for _ in socket:
                    pass
                return
            if message == "cut":
                socket.socket.shutdown(SHUT_RDWR)
                return
            socket.send(message if isinstance(message, str) else json.dumps(message))

    def bare(self, cls=openai.OpenAI):
        port = self._server.socket.getsockname()[1]
        urls = {"base_url": f"http://127.0.0.1:{port}/v1", "websocket_base_url": f"ws://127.0.0.1:{port}/v1"}
        return cls(api_key="local", **urls)

    def metered(self, cls=openai.OpenAI, **who):
        return instrument(self.bare(cls), attribution=attribution(**who), sink=self.events.append)

    def close(self) -> None:
        self._server.shutdown()


@pytest.fixture
def live():
    provider = Live()
    yield provider
    provider.close()


def told(event) -> tuple:
    return event.operation, event.endpoint, event.model_served, event.status, event.quality


def read(connection) -> list:
    return [event.model_dump(warnings=False) for event in connection]


def test_each_response_and_each_transcription_is_one_event(live):
    live.script = TURN
    with live.metered(feature="voice").realtime.connect(model="gpt-realtime") as connection, track(user=7):
        seen = read(connection)
    with live.bare().realtime.connect(model="gpt-realtime") as connection:
        assert read(connection) == seen
    heard, spoken = live.events
    assert told(heard) == ("transcription", "/v1/realtime", "gpt-4o-transcribe", "ok", "exact")
    assert told(spoken) == ("realtime", "/v1/realtime", "gpt-realtime", "ok", "exact")
    assert (heard.usage, spoken.usage) == (HEARD, USAGE)
    assert (spoken.source, spoken.response_id, spoken.feature) == ("websocket", "resp_1", "voice")
    assert spoken.user is None, "whose session it is was settled when it was opened"
    assert spoken.latency_us >= spoken.ttft_us > 0
    assert "swordfish" not in heard.to_json().decode()


def test_asynchronous_sessions_too(live):
    live.script = TURN

    async def run():
        with track(user=7):
            async with live.metered(openai.AsyncOpenAI).realtime.connect(model="gpt-realtime") as connection:
                return [event.type async for event in connection]

    assert len(asyncio.run(run())) == len(TURN)
    assert [(event.operation, event.user) for event in live.events] == [("transcription", 7), ("realtime", 7)]


def test_a_response_seen_twice_is_one_event(live):
    live.script = [TURN[-1]]
    for _ in range(2):
        with live.metered().realtime.connect(model="gpt-realtime") as connection:
            read(connection)
    assert len(live.events) == 2 and live.events[0].id == live.events[1].id


def test_a_response_that_is_still_open_at_the_end_is_told(live):
    live.script = [*TURN[:3], None]
    with live.metered().realtime.connect(model="gpt-realtime") as connection:
        for _ in range(3):
            connection.recv()
    (event,) = live.events
    assert told(event) == ("realtime", "/v1/realtime", "gpt-realtime", "cancelled", "none")
    assert event.response_id == "resp_1"


def test_a_session_that_is_cut_is_told(live):
    live.script = [*TURN[:3], "cut"]
    with live.metered().realtime.connect(model="gpt-realtime") as connection, pytest.raises(Exception, match="close"):
        read(connection)
    assert [event.status for event in live.events] == ["incomplete"]


def test_a_session_that_is_forgotten_is_told():
    """A socket with a thread of its own is not collected while that runs; one that is leaves its event."""
    from tracking.events import CallEvent
    from tracking.websocket import _meter_sync
    from tracking.wire.sessions import Session

    class Socket:
        def recv(self, **kwargs):
            return json.dumps(TURN[1]).encode()

        def close(self):
            pass

    def make():
        return CallEvent(id="", at_us=0, provider="openai", operation="", endpoint="")

    events = []
    socket = Socket()
    _meter_sync(socket, Session(path="/v1/realtime", model="gpt-realtime", emit=events.append, make=make))
    socket.recv()
    assert events == []
    del socket
    gc.collect()
    assert [event.status for event in events] == ["cancelled"]


def test_the_model_of_the_address_is_taken_where_no_session_names_one(live):
    live.script = [TURN[-1]]
    with live.metered().realtime.connect(model="gpt-realtime-mini") as connection:
        read(connection)
    assert live.events[0].model_served == "gpt-realtime-mini"


def test_a_failed_response_tells_its_code(live):
    failure = {"type": "failed", "error": {"type": "server_error", "code": "rate_limit_exceeded"}}
    live.script = [response("response.done", status="failed", status_details=failure, usage=None)]
    with live.metered().realtime.connect(model="gpt-realtime") as connection:
        read(connection)
    (event,) = live.events
    assert (event.status, event.error, event.quality) == ("error", "rate_limit_exceeded", "none")


def test_the_first_sessions_are_metered_too(live):
    session = {"id": "sess_1", "model": "gpt-4o-realtime-preview", "input_audio_transcription": {"model": "whisper-1"}}
    live.script = [{"type": "session.created", "session": session}, *TURN[3:]]
    with live.metered().beta.realtime.connect(model="gpt-4o-realtime-preview") as connection:
        for _ in live.script:
            connection.recv_bytes()
    assert [event.model_served for event in live.events] == ["whisper-1", "gpt-4o-realtime-preview"]


def test_responses_over_a_websocket(live):
    usage = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}
    output = [{"type": "web_search_call", "id": "w", "status": "completed", "action": {"type": "search"}}]
    done = response("response.completed", model="gpt-5-2025-08-07", usage=usage, output=output, service_tier="priority")
    live.script = [response("response.created", status="in_progress", usage=None), {**done, "sequence_number": 2}]
    with live.metered().responses.connect() as connection:
        for _ in live.script:
            connection.recv_bytes()
    (event,) = live.events
    assert told(event) == ("chat", "/v1/responses", "gpt-5-2025-08-07", "ok", "exact")
    assert event.facts == {"web_searches": 1, "service_tier": "priority"}


def _used(seconds: float) -> dict:
    return {"type": "session.usage.updated", "event_id": "e", "usage": {"seconds": seconds}}


def test_the_length_of_a_live_session_is_never_added_up(live):
    session = {"type": "session.created", "event_id": "e", "session": {"id": "live_1", "model": "gpt-live-1"}}
    closed = {"type": "session.closed", "event_id": "e", "reason": "done", "usage": {"seconds": 142.5}}
    live.script = [session, *[_used(seconds) for seconds in (10, 30, 65, 65, 100, 131, 140)], closed]
    with live.metered().live.connect() as connection:
        for _ in live.script:
            connection.recv_bytes()
    assert [event.usage["seconds"] for event in live.events] == [65, 66, 11.5]
    assert sum(event.usage["seconds"] for event in live.events) == 142.5
    assert {told(event) for event in live.events} == {("realtime", "/v1/live", "gpt-live-1", "ok", "exact")}
    assert len({event.id for event in live.events}) == 3


def test_a_live_session_that_just_ends_is_recorded_as_far_as_it_was_counted(live):
    live.script = [_used(12), None]
    with live.metered().live.connect() as connection:
        connection.recv_bytes()
    assert [event.usage["seconds"] for event in live.events] == [12]


def test_what_a_live_session_delegates_is_billed_at_its_own_model(live):
    usage = {"input_tokens": 5, "output_tokens": 6, "total_tokens": 11}
    inner = {"type": "response.completed", "response": {"id": "resp_9", "model": "gpt-5", "usage": usage}}
    decided = {"type": "decision.completed", "decision": {"id": "dec_1", "model": "gpt-6-luna", "usage": usage}}
    live.script = [
        {"type": "response.event", "event_id": "e", "event": inner},
        {"type": "decision.event", "event_id": "e", "event": decided},
    ]
    with live.metered().live.connect() as connection:
        for _ in live.script:
            connection.recv_bytes()
    assert [(event.operation, event.endpoint, event.model_served) for event in live.events] == [
        ("chat", "/v1/responses", "gpt-5"),
        ("other", "/v1/decisions", "gpt-6-luna"),
    ]
    assert [event.usage for event in live.events] == [usage, usage]


def test_a_translation_is_as_long_as_it_says(live):
    live.script = [
        {"type": "session.created", "event_id": "e", "session": {"id": "s", "model": "gpt-realtime-translate"}},
        {"type": "session.output_audio.delta", "event_id": "e", "delta": "AA", "elapsed_ms": 1500},
        {"type": "session.output_audio.delta", "event_id": "e", "delta": "AA", "elapsed_ms": 4200},
    ]
    with live.metered().realtime.translations.connect(model="gpt-realtime-translate") as connection:
        for _ in live.script:
            connection.recv_bytes()
    (event,) = live.events
    assert (event.usage, event.quality) == ({"type": "duration", "seconds": 4.2}, "estimated")
    assert event.endpoint == "/v1/realtime/translations"


def test_garbage_reaches_the_caller_and_spoils_nothing(live):
    live.script = ["{", '"type":"response.done"', '{"type":"response.done","response":7}', "[]", *TURN]
    with live.metered().realtime.connect(model="gpt-realtime") as connection:
        for message in live.script[:4]:
            assert connection.recv_bytes() == message.encode()
        read(connection)
    assert len(live.events) == 2


def test_a_client_without_a_meter_is_left_alone(live):
    live.script = TURN
    live.metered()
    with live.bare().realtime.connect(model="gpt-realtime") as connection:
        assert "recv" not in vars(connection._connection)
        read(connection)
    assert live.events == []


def test_metering_a_client_does_not_load_the_websocket_modules():
    code = (
        "import sys, costwatch.clients as c; c.openai_client(api_key='x');"
        "loaded = [m for m in sys.modules if m.startswith('openai.resources.realtime')];"
        "assert not loaded, loaded"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).resolve().parents[3])


@pytest.mark.recordings
@pytest.mark.skipif(not RECORDINGS.exists(), reason="the recorded sessions are not here")
def test_recorded_sessions_leave_what_their_messages_say(live):
    with gzip.open(RECORDINGS, "rt") as lines:
        sessions = [json.loads(line) for line in lines]
    responses = transcriptions = 0
    for session in sessions:
        messages = [event["data"] for event in session["events"] if event["direction"] == "received"]
        live.script = [m if isinstance(m, str) else json.dumps(m) for m in messages]
        live.events.clear()
        with live.metered().realtime.connect(model="gpt-realtime") as connection:
            seen = read(connection)
        with live.bare().realtime.connect(model="gpt-realtime") as connection:
            assert read(connection) == seen
        expected = []
        for message in map(json.loads, live.script):
            usage = (message.get("response") or message).get("usage")
            if usage and message["type"] in ("response.done", "conversation.item.input_audio_transcription.completed"):
                expected.append((message["type"] == "response.done", usage))
        assert [(event.operation == "realtime", event.usage) for event in live.events] == expected
        assert all(event.quality == "exact" and event.model_served for event in live.events)
        responses += sum(done for done, _ in expected)
        transcriptions += sum(not done for done, _ in expected)
    assert len(sessions) == 14 and (responses, transcriptions) == (16, 3)
