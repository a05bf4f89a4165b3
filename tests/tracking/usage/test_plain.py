"""The quick readers of common reports: they say what the general reader says, or leave the report to it."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tracking.pricing.samples import read_sample
from tracking.usage import plain, read_any, read_usage

DATA = Path(__file__).parents[2] / "data"

counts = st.one_of(st.integers(0, 30), st.integers(0, 30), st.sampled_from([10**12, 10**12 + 1, 10**9 + 1]))
odd = st.one_of(
    *(st.none(), st.booleans(), st.integers(-3, -1), st.just(0), st.just(1.0), st.just(float("nan"))),
    *(st.just(""), st.just("flex"), st.just({}), st.just([]), st.just({"ttl_12h_tokens": 3})),
)
usually_counts = st.one_of(counts, counts, counts, counts, odd)


def objects(*names: str) -> st.SearchStrategy:
    inner = st.fixed_dictionaries({}, optional=dict.fromkeys(names, usually_counts))
    return st.one_of(inner, inner, inner, odd)


def details(*names: str) -> st.SearchStrategy:
    kinds = ("audio_tokens", "image_tokens", "text_tokens", "new_tokens")
    zeros = st.fixed_dictionaries({}, optional={**dict.fromkeys(names, counts), **dict.fromkeys(kinds, st.just(0))})
    return st.one_of(zeros, zeros, objects(*names, *kinds))


INPUTS = ("cached_tokens", "cache_write_tokens", "cached_tokens_details", "cache_write_tokens_details")
OUTPUTS = ("reasoning_tokens", "accepted_prediction_tokens", "rejected_prediction_tokens")
EXTRAS = ("type", "seconds", "tool_usage", "svg_usage", "service_tier", "speed", "iterations", "new_tokens")


@st.composite
def openai_reports(draw):
    """Mostly what OpenAI sends, and now and then something else in any place."""
    into, out = draw(st.sampled_from([("prompt", "completion"), ("input", "output"), ("prompt", "output")]))
    usage = {f"{into}_tokens": draw(usually_counts), f"{out}_tokens": draw(usually_counts)}
    if draw(st.booleans()):
        try:
            usage["total_tokens"] = sum(usage.values()) + draw(st.sampled_from([0, 0, 0, 1]))
        except TypeError:
            usage["total_tokens"] = draw(usually_counts)
    if draw(st.booleans()):
        usage[f"{into}_tokens_details"] = draw(details(*INPUTS))
    if draw(st.booleans()):
        usage[f"{out}_tokens_details"] = draw(details(*OUTPUTS))
    if not draw(st.integers(0, 5)):
        usage[draw(st.sampled_from((*EXTRAS, "input_tokens", "cache_read_input_tokens")))] = draw(usually_counts)
    if not draw(st.integers(0, 9)):
        usage.pop(draw(st.sampled_from(sorted(usage))))
    return usage


@st.composite
def anthropic_reports(draw):
    """Mostly what Anthropic sends, and now and then something else in any place."""
    fields = {
        **dict.fromkeys(("cache_read_input_tokens", "cache_creation_input_tokens"), usually_counts),
        "cache_creation": objects("ephemeral_5m_input_tokens", "ephemeral_1h_input_tokens"),
        "output_tokens_details": objects("thinking_tokens"),
        "server_tool_use": objects("web_search_requests", "web_fetch_requests"),
        "service_tier": st.sampled_from(["standard", "batch", "priority", "auto", None, "", 3, "Flex"]),
        "inference_geo": st.sampled_from(["us", "global", "not_available", None, "", 3, "EU"]),
    }
    usage = draw(st.fixed_dictionaries({"input_tokens": counts, "output_tokens": usually_counts}, optional=fields))
    split = usage.get("cache_creation")
    if isinstance(split, dict) and split and all(type(n) is int for n in split.values()) and draw(st.booleans()):
        usage["cache_creation_input_tokens"] = sum(split.values())
    if not draw(st.integers(0, 5)):
        usage[draw(st.sampled_from(EXTRAS))] = draw(usually_counts)
    return usage


tiers = st.sampled_from(["default", "standard", "flex", "priority", "auto", "", None, 3, "F" * 300, ["flex"]])
facts = st.fixed_dictionaries(
    {}, optional={"service_tier": tiers, "service_tier_asked": tiers, "web_searches": st.sampled_from([None, 0, 2])}
)
endpoints = st.sampled_from(
    ["/v1/chat/completions", "/v1/responses", "/v1/batches", "", "/v1/decisions", "/x/batches/"]
)
operations = st.sampled_from(["chat", "text_completion", "embeddings", "realtime", "moderation", "token_count", "item"])
models = st.sampled_from(["gpt-4o", "gpt-4o-search-preview", "o-search-api", "claude-sonnet-4-5", ""])
batches = st.sampled_from([False, False, True, None, 1, "", "yes"])


def check(**call) -> None:
    found, general = read_usage(**call), read_any(**call)
    assert found == general, call
    assert list(found.meters) == list(general.meters), "receipts list them in this order"
    assert {type(n) for n in found.meters.values()} == {type(n) for n in general.meters.values()}


@settings(max_examples=600, deadline=None)
@given(
    st.sampled_from(["openai", "azure", "anthropic"]), models, operations, endpoints, openai_reports(), facts, batches
)
def test_openai_reports_are_read_the_same(provider, model, operation, endpoint, usage, facts, batch):
    check(provider=provider, model=model, operation=operation, endpoint=endpoint, usage=usage, facts=facts, batch=batch)


@settings(max_examples=600, deadline=None)
@given(st.sampled_from(["anthropic", "bedrock"]), models, operations, endpoints, anthropic_reports(), facts, batches)
def test_anthropic_reports_are_read_the_same(provider, model, operation, endpoint, usage, facts, batch):
    check(provider=provider, model=model, operation=operation, endpoint=endpoint, usage=usage, facts=facts, batch=batch)


@pytest.mark.parametrize("name", ["golden.jsonl", "samples.jsonl"])
def test_known_samples_are_read_the_same(name, monkeypatch):
    lines = [json.loads(line) for line in (DATA / name).read_text().splitlines()]
    quick = [read_sample(line) for line in lines]
    for reader in ("read_openai", "read_anthropic"):
        monkeypatch.setattr(plain, reader, lambda *args: None)
    assert quick == [read_sample(line) for line in lines]


COMMON = [
    {"prompt_tokens": 9, "completion_tokens": 5},
    {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14, "prompt_tokens_details": {"cached_tokens": 4}},
    {
        "prompt_tokens": 9,
        "completion_tokens": 5,
        "total_tokens": 14,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 2,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 1,
            "rejected_prediction_tokens": 1,
        },
    },
    {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 3},
        "output_tokens": 5,
        "output_tokens_details": {"reasoning_tokens": 5},
        "total_tokens": 14,
    },
    {"input_tokens": 9, "output_tokens": 5, "cache_creation_input_tokens": 3, "cache_read_input_tokens": 2},
    {
        "input_tokens": 9,
        "output_tokens": 5,
        "cache_read_input_tokens": 2,
        "cache_creation_input_tokens": 7,
        "cache_creation": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 4},
        "server_tool_use": {"web_search_requests": 1, "web_fetch_requests": 0},
        "output_tokens_details": {"thinking_tokens": 1},
        "service_tier": "standard",
        "inference_geo": "not_available",
    },
]


@pytest.mark.parametrize("usage", COMMON, ids=lambda usage: " ".join(usage)[:60])
def test_what_nearly_every_call_brings_is_read_quickly(usage):
    anthropic = "service_tier" in usage or "cache_read_input_tokens" in usage
    reader = plain.read_anthropic if anthropic else plain.read_openai
    endpoint = "/v1/messages" if anthropic else "/v1/chat/completions"
    found = reader("anthropic" if anthropic else "openai", "m", "chat", endpoint, usage, {"service_tier": "flex"}, 0)
    assert found is not None
    assert sum(found.meters.values()) >= 14
