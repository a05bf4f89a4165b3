"""Whatever a provider answers, a metered client shows its caller what the bare SDK would have shown."""

import json
import warnings
from unittest.mock import patch

import anthropic
import httpx2
import openai
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from costwatch.clients import wrap
from tests.replay.drive import plain
from tracking.usage import read_usage

pytestmark = pytest.mark.slow

EXAMPLES = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
QUESTION = [{"role": "user", "content": "Hello"}]

# --- What comes back ----------------------------------------------------------------------------
numbers = st.one_of(
    st.integers(-5, 2000),
    st.just(10**400),
    st.floats(),
    st.none(),
    st.booleans(),
    st.text(max_size=5),
    st.just({}),
    st.just([]),
)
names = ["prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "seconds", "type"]
details = st.dictionaries(
    st.sampled_from(["cached_tokens", "reasoning_tokens", "audio_tokens", "x"]), numbers, max_size=3
)
usages = st.dictionaries(
    st.sampled_from([*names, "cache_read_input_tokens", "cache_creation", "iterations", "server_tool_use"]),
    st.one_of(numbers, details, st.lists(details, max_size=2)),
    max_size=6,
)
anything = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(["id", "usage", "choices", "model", "x"]), inner)
    ),
    max_leaves=8,
)
answers = st.one_of(
    st.fixed_dictionaries(
        {"id": st.just("chatcmpl-1"), "model": st.just("gpt-4o"), "usage": usages, "choices": st.just([])}
    ),
    anything,
).map(lambda value: json.dumps(value).encode())


@st.composite
def bodies(draw) -> bytes:
    """JSON that may be cut, garbled or not JSON at all."""
    body = draw(answers)
    if draw(st.booleans()):
        body = body[: draw(st.integers(0, len(body)))]
    if draw(st.integers(0, 3)) == 0:
        at = draw(st.integers(0, len(body)))
        body = body[:at] + draw(st.binary(max_size=6)) + body[at:]
    return body


def chunk(number: int) -> dict:
    choice = {"index": 0, "delta": {"content": f"word{number} "}, "logprobs": None, "finish_reason": None}
    made = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o-2024-08-06"}
    return {**made, "choices": [choice]}


def anthropic_events(count: int) -> list[dict]:
    usage = {"input_tokens": 9, "output_tokens": 1}
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": "claude-haiku-4-5", "content": []}
    begun = {**message, "stop_reason": None, "stop_sequence": None, "usage": usage}
    block = {"type": "text", "text": ""}
    words = [{"type": "text_delta", "text": f"word{n}"} for n in range(count)]
    return [
        {"type": "message_start", "message": begun},
        {"type": "content_block_start", "index": 0, "content_block": block},
        *({"type": "content_block_delta", "index": 0, "delta": word} for word in words),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": count}},
        {"type": "message_stop"},
    ]


def framed(event: dict) -> bytes:
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n".encode()


JUNK = (
    b"data: {\n\n",
    b"data: null\n\n",
    b"data:\xff\n\n",
    b": ping\n\n",
    b"event: error\ndata: {}\n\n",
    b"\n",
    b"\r\n\r\n",
)


@st.composite
def damages(draw) -> dict:
    """What happens to a stream: events that are replaced, where it is cut and how, and in what pieces it comes."""
    junk = st.one_of(
        st.binary(max_size=20),
        st.sampled_from(
            [
                b"data: {\n\n",
                b"data: null\n\n",
                b": ping\n\n",
                b"\n",
                b"event: error\ndata: {}\n\n",
                b"data:\xff\n\n",
                b"\r\n\r\n",
            ]
        ),
        anything.map(lambda value: f"data: {json.dumps(value)}\n\n".encode()),
    )
    return {
        "replaced": draw(st.dictionaries(st.integers(0, 8), junk, max_size=2)),
        "kept": draw(st.integers(0, 12)),
        "breaks": draw(st.booleans()),
        "size": draw(st.sampled_from([1, 7, 64, 4096])),
    }


class Body(httpx2.SyncByteStream):
    """A body in pieces; at its end the connection breaks, or not."""

    def __init__(self, body: bytes, size: int, breaks: bool) -> None:
        self._body, self._size, self._breaks = body, size, breaks

    def __iter__(self):
        for start in range(0, len(self._body), self._size):
            yield self._body[start : start + self._size]
        if self._breaks:
            raise httpx2.ReadError("the connection broke")


def both(make, handler, ask):
    """What the caller sees, bare and metered, and the events of the metered client."""
    caught = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        seen = []
        for metered in (False, True):
            with httpx2.Client(transport=httpx2.MockTransport(handler)) as http:
                client = make(api_key="local", max_retries=0, http_client=http)
                with patch("tracking.spool.emit", caught.append):
                    seen.append(outcome(wrap(client) if metered else client, ask))
    return seen[0], seen[1], caught


def outcome(client, ask):
    heard = []
    try:
        answer = ask(client)
        if isinstance(answer, (openai.Stream, anthropic.Stream)):
            for event in answer:
                heard.append(plain(event))
            return heard, "end"
        return repr(plain(answer))
    except Exception as error:
        return heard, type(error).__name__, str(error), getattr(error, "status_code", None)


def assert_readable(events) -> None:
    """One event, whose usage the readers take without a word."""
    assert len(events) == 1
    (event,) = events
    usage = read_usage(
        provider=event.provider,
        model=event.model_served,
        operation=event.operation,
        usage=event.usage,
        facts=event.facts,
    )
    assert all(quantity >= 0 for quantity in usage.meters.values())
    event.to_json()


# --- The tests ----------------------------------------------------------------------------------
ASKS = {
    "chat": (openai.OpenAI, lambda c: c.chat.completions.create(model="gpt-4o", messages=QUESTION)),
    "responses": (openai.OpenAI, lambda c: c.responses.create(model="gpt-4o", input="Hello")),
    "embeddings": (openai.OpenAI, lambda c: c.embeddings.create(model="text-embedding-3-small", input="Hello")),
    "transcription": (
        openai.OpenAI,
        lambda c: c.audio.transcriptions.create(model="whisper-1", file=("a.wav", b"RIFF")),
    ),
    "messages": (
        anthropic.Anthropic,
        lambda c: c.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=QUESTION),
    ),
}


@pytest.mark.parametrize("name", ASKS)
@EXAMPLES
@given(
    body=bodies(),
    status=st.sampled_from([200, 200, 200, 400, 429, 500]),
    kind=st.sampled_from(["application/json", "text/plain", "text/html", "application/json; charset=x"]),
    size=st.sampled_from([1, 16, 4096]),
    breaks=st.booleans(),
)
def test_answers(name, body, status, kind, size, breaks):
    make, ask = ASKS[name]

    def handler(request):
        return httpx2.Response(status, headers={"content-type": kind}, stream=Body(body, size, breaks))

    bare, metered, events = both(make, handler, ask)
    assert metered == bare
    assert_readable(events)


@EXAMPLES
@given(count=st.integers(0, 6), damage=damages(), asked=st.booleans())
def test_openai_chat_streams(count, damage, asked):
    """Also where the usage was asked for by Costwatch and must leave no trace."""
    usage = {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14}

    def handler(request):
        options = json.loads(request.content).get("stream_options") or {}
        null = {"usage": None} if options.get("include_usage") else {}
        pieces = [framed({**chunk(n), **null}) for n in range(count)]
        pieces = [damage["replaced"].get(n, piece) for n, piece in enumerate(pieces)]
        if null:
            pieces.append(framed({**chunk(0), "choices": [], "usage": usage}))
        whole = damage["kept"] > count
        pieces = [*pieces, b"data: [DONE]\n\n"] if whole else pieces[: damage["kept"]]
        stream = Body(b"".join(pieces), damage["size"], damage["breaks"] and not whole)
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)

    extra = {"stream_options": {"include_usage": True}} if asked else {}
    bare, metered, events = both(
        openai.OpenAI,
        handler,
        lambda c: c.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True, **extra),
    )
    assert metered == bare
    assert_readable(events)


@EXAMPLES
@given(count=st.integers(0, 6), damage=damages())
def test_anthropic_streams(count, damage):
    def handler(request):
        pieces = [framed(event) for event in anthropic_events(count)]
        pieces = [damage["replaced"].get(n, piece) for n, piece in enumerate(pieces)][: damage["kept"]]
        stream = Body(b"".join(pieces), damage["size"], damage["breaks"])
        return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=stream)

    bare, metered, events = both(
        anthropic.Anthropic,
        handler,
        lambda c: c.messages.create(model="claude-haiku-4-5", max_tokens=9, messages=QUESTION, stream=True),
    )
    assert metered == bare
    assert_readable(events)


@EXAMPLES
@given(body=st.binary(max_size=300), size=st.sampled_from([1, 7, 4096]), breaks=st.booleans())
def test_streams_of_anything(body, size, breaks):
    def handler(request):
        headers = {"content-type": "text/event-stream"}
        return httpx2.Response(200, headers=headers, stream=Body(body, size, breaks))

    for make, ask in (
        (openai.OpenAI, lambda c: c.responses.create(model="gpt-4o", input="Hello", stream=True)),
        (openai.OpenAI, lambda c: c.chat.completions.create(model="gpt-4o", messages=QUESTION, stream=True)),
    ):
        bare, metered, events = both(make, handler, ask)
        assert metered == bare
        assert_readable(events)
