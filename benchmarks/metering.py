"""What metering adds to a call on the caller's thread, against the bare SDK in the same run. Prints one line of JSON.

Bounds: 120 us a JSON call, 10 us a streamed chunk (medians). `--check` fails when they are exceeded.
"""

import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import httpx2
import openai

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from tracking.instrument import instrument

ROUNDS, CALLS, STREAMS, CHUNKS = 4, 400, 12, 200
CALL_BOUND_US, CHUNK_BOUND_US = 120.0, 10.0

ANSWER = json.dumps(
    {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "word " * 200}, "finish_reason": "stop"}],
        "usage": {
            "prompt_tokens": 100,
            "completion_tokens": 200,
            "total_tokens": 300,
            "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
            "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
        },
        "service_tier": "default",
    }
).encode()


def _chunk(delta: dict, finish: str | None = None, *, usage: bool) -> bytes:
    value = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "gpt-4o-2024-08-06",
        "service_tier": "default",
        "system_fingerprint": "fp_1",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    if usage:
        value["usage"] = None
    return b"data: " + json.dumps(value, separators=(",", ":")).encode() + b"\n\n"


def _stream(usage: bool) -> list[bytes]:
    chunks = [_chunk({"content": "word "}, usage=usage) for _ in range(CHUNKS)]
    chunks.append(_chunk({}, "stop", usage=usage))
    if usage:
        chunks.append(b'data: {"id":"chatcmpl-1","model":"gpt-4o","choices":[],"usage":{"prompt_tokens":1,')
        chunks[-1] += b'"completion_tokens":1,"total_tokens":2}}\n\n'
    return [*chunks, b"data: [DONE]\n\n"]


class _Chunks(httpx2.SyncByteStream):
    def __init__(self, chunks):
        self.chunks = chunks

    def __iter__(self):
        yield from self.chunks


class Upstream(httpx2.BaseTransport):
    """A provider without a network: whatever is measured is the SDK's time and ours."""

    plain, asked = _stream(False), _stream(True)

    def handle_request(self, request):
        if b'"stream":true' in request.content:
            chunks = self.asked if b"include_usage" in request.content else self.plain
            return httpx2.Response(200, headers={"content-type": "text/event-stream"}, stream=_Chunks(chunks))
        headers = {"content-type": "application/json", "x-request-id": "req_1"}
        return httpx2.Response(200, headers=headers, stream=_Chunks([ANSWER]))


def client() -> openai.OpenAI:
    """A bare SDK client on that upstream."""
    return openai.OpenAI(api_key="x", http_client=httpx2.Client(transport=Upstream()))


MESSAGES = [{"role": "user", "content": "word " * 100}]


def call_us(sdk: openai.OpenAI) -> float:
    """One JSON call, in microseconds."""
    start = time.perf_counter_ns()
    sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES)
    return (time.perf_counter_ns() - start) / 1000


def chunk_us(sdk: openai.OpenAI) -> float:
    """One chunk of a streamed call, in microseconds."""
    start = time.perf_counter_ns()
    for _ in sdk.chat.completions.create(model="gpt-4o", messages=MESSAGES, stream=True):
        pass
    return (time.perf_counter_ns() - start) / 1000 / CHUNKS


def spooled(folder: Path):
    """A sink that appends to a spool of its own, without recording."""
    from tracking import spool

    book = spool.Spool(folder, max_bytes=1 << 30)
    return lambda event: book.append(spool._line(event))


def measure(clients: dict[str, openai.OpenAI]) -> dict[str, dict[str, float]]:
    """Medians per client of the quietest of some rounds: what others do on the machine is not ours."""
    for sdk in clients.values():
        for _ in range(100):
            call_us(sdk)
        chunk_us(sdk)
    gc.collect()
    rounds = [measure_once(clients) for _ in range(ROUNDS)]
    quietest = {what: min(rounds, key=lambda one, what=what: one["bare"][what]) for what in ("call_us", "chunk_us")}
    return {name: {what: one[name][what] for what, one in quietest.items()} for name in clients}


def measure_once(clients: dict[str, openai.OpenAI]) -> dict[str, dict[str, float]]:
    """Medians per client, taken in turns so that a busy machine slows all of them alike."""
    calls = {name: [] for name in clients}
    chunks = {name: [] for name in clients}
    for _ in range(CALLS):
        for name, sdk in clients.items():
            calls[name].append(call_us(sdk))
    for _ in range(STREAMS):
        for name, sdk in clients.items():
            chunks[name].append(chunk_us(sdk))
    return {
        name: {"call_us": statistics.median(calls[name]), "chunk_us": statistics.median(chunks[name])}
        for name in clients
    }


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is exceeded")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        clients = {
            "bare": client(),
            "metered": instrument(client(), sink=lambda event: None),
            "spooled": instrument(client(), sink=spooled(Path(folder))),
        }
        found = measure(clients)
    bare, full = found["bare"], found["spooled"]
    result = {
        "benchmark": "metering",
        **{f"{name}_{what}": round(value, 1) for name, pair in found.items() for what, value in pair.items()},
        "added_call_us": round(full["call_us"] - bare["call_us"], 1),
        "added_chunk_us": round(full["chunk_us"] - bare["chunk_us"], 1),
        "call_ratio": round(full["call_us"] / bare["call_us"], 2),
        "chunk_ratio": round(full["chunk_us"] / bare["chunk_us"], 2),
        "bounds_us": {"call": CALL_BOUND_US, "chunk": CHUNK_BOUND_US},
    }
    result["ok"] = result["added_call_us"] <= CALL_BOUND_US and result["added_chunk_us"] <= CHUNK_BOUND_US
    print(json.dumps(result))
    return 0 if result["ok"] or not check else 1


if __name__ == "__main__":
    sys.exit(main())
