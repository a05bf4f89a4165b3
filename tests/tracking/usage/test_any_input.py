"""Whatever a provider, a proxy or a mistake sends as usage: no crash, nothing negative, and never a silent $0."""

import gzip
import json
from collections import Counter, defaultdict
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tracking.pricing.books import NOW, catalogue_book
from tracking.pricing import price, receipt_json
from tracking.usage import operation_of, read_usage, totals, walk

RECORDINGS = Path(__file__).parents[4] / "shared" / "recordings"

NAMES = (
    *("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens", "total_tokens", "reasoning_tokens"),
    *("prompt_tokens_details", "completion_tokens_details", "input_tokens_details", "output_tokens_details"),
    *("input_token_details", "cached_tokens", "cached_tokens_details", "cache_write_tokens", "audio_tokens"),
    *("cache_write_tokens_details", "ttl_12h_tokens", "image_tokens", "text_tokens", "type", "seconds", "model"),
    *("cache_creation_input_tokens", "cache_read_input_tokens", "cache_creation", "ephemeral_5m_input_tokens"),
    *("ephemeral_1h_input_tokens", "server_tool_use", "web_search_requests", "iterations", "service_tier", "speed"),
    *("inference_geo", "images", "video", "characters", "n", "size", "quality", "tool_usage", "web_search"),
    *("num_requests", "image_gen", "file_searches", "containers", "audio_seconds", "new_tokens", "svg_usage"),
)
numbers = st.one_of(
    st.integers(-(10**40), 10**40),
    st.integers(0, 1000),
    st.floats(),
    st.sampled_from(["duration", "message", "compaction", "advisor_message", "1e999", "", "12", "gpt-4o"]),
    st.none(),
    st.booleans(),
)
junk = st.recursive(
    numbers,
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(st.sampled_from(NAMES), inner, max_size=8)),
    max_leaves=25,
)
objects = st.dictionaries(st.sampled_from(NAMES), junk, max_size=10)
operations = st.sampled_from(
    ("chat", "embeddings", "transcription", "speech", "image_generation", "video_generation", "realtime", "other")
)


def check(provider, model, usage, facts, operation):
    found = read_usage(provider=provider, model=model, operation=operation, endpoint="", usage=usage, facts=facts)
    receipt = price(found, NOW, catalogue_book())
    json.dumps(receipt_json(receipt), allow_nan=False)
    assert receipt.total_nanousd is None or receipt.total_nanousd >= 0
    sums = totals(found)
    assert all(value >= 0 for value in (sums.input_tokens, sums.output_tokens, sums.audio_ms, sums.images))
    for one in walk(found):
        assert all(isinstance(quantity, int | Decimal) and quantity >= 0 for quantity in one.meters.values())
        assert not one.problem or (one.flags and receipt.status == "unpriced")
    if receipt.total_nanousd == 0 and receipt.status != "free":
        assert not any(quantity for one in walk(found) for quantity in one.meters.values()) or receipt.lines


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from([("openai", "gpt-4o"), ("anthropic", "claude-opus-4-8"), ("openai", "gpt-realtime")]),
    junk,
    objects,
    operations,
)
def test_any_json_is_read_and_priced_or_not(model, usage, facts, operation):
    check(*model, usage, facts, operation)


@settings(max_examples=80, deadline=None)
@given(objects, objects, operations)
def test_any_object_of_known_names_is_read_and_priced_or_not(usage, facts, operation):
    check("openai", "gpt-image-1.5", usage, facts, operation)
    check("anthropic", "claude-sonnet-5", usage, facts, operation)


# --- Real traffic -----------------------------------------------------------------------------------


def _objects(exchange):
    if not exchange["stream"]:
        return [json.loads(exchange["body"])]
    lines = (line[5:].strip() for line in exchange["body"].splitlines() if line.startswith("data:"))
    return [json.loads(line) for line in lines if line.startswith("{")]


def _report(exchange):
    """Model, usage and facts of one exchange, as a client would find them."""
    request, usage = exchange["request"], None
    model = request.get("model") if isinstance(request, dict) else None  # the answer of a compaction does not name it
    facts = {}
    for item in _objects(exchange):
        inner = item.get("response") or item.get("message") or item
        inner = inner if isinstance(inner, dict) else item
        model = inner.get("model") or model
        if inner.get("usage") or item.get("usage"):
            usage = {
                **(usage or {}),
                **{k: v for k, v in (item.get("usage") or inner["usage"]).items() if v is not None},
            }
        for name in ("service_tier", "tool_usage"):
            if inner.get(name):
                facts[name] = inner[name]
    return model, usage, facts


@pytest.mark.recordings
@pytest.mark.skipif(not RECORDINGS.exists(), reason="the recorded provider traffic is not here")
def test_every_usage_object_in_the_recorded_traffic_is_accounted_for():
    seen, strange = defaultdict(Counter), Counter()
    for line in gzip.decompress((RECORDINGS / "http.jsonl.gz").read_bytes()).splitlines():
        exchange = json.loads(line)
        if exchange["status"] >= 400:
            continue
        path = exchange["path"].split("?")[0]
        try:
            model, usage, facts = _report(exchange)
        except (ValueError, AttributeError):
            continue
        if usage is None:
            continue
        found = read_usage(
            provider=exchange["provider"], model=model or "", operation="", endpoint=path, usage=usage, facts=facts
        )
        receipt = price(found, NOW, catalogue_book())
        seen[operation_of(path)][receipt.status] += 1
        strange.update(found.flags)
        assert totals(found).output_tokens >= usage.get("output_tokens", usage.get("completion_tokens", 0)), usage
        if receipt.status == "unpriced":
            strange[receipt.reason] += 1
    assert seen["chat"]["priced"] > 650
    assert seen["embeddings"] == {"priced": 22}
    # One retired snapshot that no catalogue knows, and models whose searches are not reported; nothing else is strange.
    assert set(strange) == {"no prices for openai model 'davinci:2023-07-21-v2'", "search_assumed"}


@pytest.mark.recordings
@pytest.mark.skipif(not RECORDINGS.exists(), reason="the recorded provider traffic is not here")
def test_every_realtime_usage_in_the_recorded_sessions_is_priced():
    priced = 0
    for line in gzip.decompress((RECORDINGS / "realtime.jsonl.gz").read_bytes()).splitlines():
        session = json.loads(line)
        for event in session["events"]:
            data = event["data"] if isinstance(event["data"], dict) else json.loads(event["data"])
            usage = (data.get("response") or {}).get("usage") if data["type"] == "response.done" else data.get("usage")
            if not usage:
                continue
            model = "whisper-1" if "transcription" in data["type"] else session["model"] or "gpt-realtime"
            found = read_usage(provider="openai", model=model, operation="realtime", endpoint="", usage=usage, facts={})
            receipt = price(found, NOW, catalogue_book())
            assert (receipt.status, found.flags) == ("priced", ()), usage
            priced += 1
    assert priced == 19
