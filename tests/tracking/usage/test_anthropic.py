"""Usage of Anthropic messages: caching, tools, modes, and several models inside one call."""

import pytest

from tracking.usage import read_usage, totals


def read(usage, *, model="claude-x", endpoint="/v1/messages", batch=False, provider="anthropic", **facts):
    return read_usage(
        provider=provider, model=model, operation="", endpoint=endpoint, usage=usage, facts=facts, batch=batch
    )


BASE = {"input_tokens": 100, "output_tokens": 50, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 0}


def part(kind, into, out, **more):
    return BASE | {"type": kind, "input_tokens": into, "output_tokens": out} | more


def test_input_excludes_the_cache_and_the_context_includes_it():
    usage = BASE | {
        "cache_creation_input_tokens": 30,
        "cache_read_input_tokens": 1000,
        "cache_creation": {"ephemeral_5m_input_tokens": 10, "ephemeral_1h_input_tokens": 20},
        "output_tokens_details": {"thinking_tokens": 40},
        "server_tool_use": {"web_search_requests": 2, "web_fetch_requests": 1},
        "service_tier": "standard",
        "inference_geo": "not_available",
    }
    found = read(usage)
    assert found.meters == {
        "input_tokens": 100,
        "cache_read_tokens": 1000,
        "cache_write_tokens": 10,
        "cache_write_1h_tokens": 20,
        "output_tokens": 50,
        "web_searches": 2,
        "web_fetches": 1,
    }
    assert (found.context_tokens, found.reasoning_tokens, found.tier, found.region) == (1130, 40, "standard", "")
    assert (totals(found).input_tokens, totals(found).cache_write_tokens) == (1130, 30)
    assert (found.flags, found.problem) == ((), "")


def test_cache_writes_without_a_split_are_those_of_five_minutes():
    assert read(BASE | {"cache_creation_input_tokens": 30}).meters["cache_write_tokens"] == 30
    # The end of a stream repeats the sum, its beginning the split: the sum may have grown.
    grown = BASE | {"cache_creation_input_tokens": 30, "cache_creation": {"ephemeral_5m_input_tokens": 10}}
    assert read(grown).meters["cache_write_tokens"] == 30


@pytest.mark.parametrize(
    ("extra", "batch", "tier"),
    [
        ({}, False, "standard"),
        ({"service_tier": "batch"}, False, "batch"),
        ({}, True, "batch"),
        ({"service_tier": "priority"}, False, "priority"),
        ({"speed": "fast"}, False, "fast"),
        ({"speed": "standard", "service_tier": "standard"}, False, "standard"),
        ({"speed": "fast", "service_tier": "priority"}, False, "priority+fast"),
        ({"speed": "ludicrous"}, False, "ludicrous"),
    ],
)
def test_tiers_and_speeds(extra, batch, tier):
    assert read(BASE | extra, batch=batch).tier == tier


def test_what_was_served_counts_not_what_was_asked():
    assert read(BASE | {"speed": "standard"}, speed="fast").tier == "standard"
    assert read(BASE, speed="fast").tier == "fast"
    assert read(BASE | {"inference_geo": "global"}, inference_geo="us").region == ""


def test_where_inference_ran():
    assert read(BASE | {"inference_geo": "us"}).region == "us"
    assert read(BASE, inference_geo="US").region == "us"
    for elsewhere in ("global", "not_available", "", None):
        assert read(BASE | {"inference_geo": elsewhere}).region == ""


def test_compaction_comes_on_top_and_an_advisor_has_its_own_model():
    usage = BASE | {
        "iterations": [
            part("compaction", 5000, 300),
            part("message", 60, 20),
            part("advisor_message", 70, 5, model="claude-wise"),
            part("message", 40, 30, cache_creation={"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": 0}),
        ],
        "server_tool_use": {"web_search_requests": 1},
    }
    found = read(usage)
    assert found.meters == {"web_searches": 1}
    assert [(p.model, p.context_tokens, p.meters["output_tokens"]) for p in found.parts] == [
        ("claude-x", 5000, 300),
        ("claude-x", 60, 20),
        ("claude-wise", 70, 5),
        ("claude-x", 40, 30),
    ]
    assert totals(found).input_tokens == 5000 + 100 + 70


def test_extra_iterations_alone_are_added_to_the_call():
    found = read(BASE | {"iterations": [part("compaction", 5000, 300)]})
    assert [p.meters["input_tokens"] for p in found.parts] == [100, 5000]


def test_a_fallback_model_is_billed_as_itself():
    usage = BASE | {
        "iterations": [part("message", 60, 20, model="claude-a"), part("fallback_message", 40, 30, model="claude-b")]
    }
    assert [p.model for p in read(usage).parts] == ["claude-a", "claude-b"]


def test_a_single_iteration_is_the_call_itself():
    found = read(BASE | {"iterations": [part("message", 100, 50)]})
    assert (found.parts, found.meters) == ((), {"input_tokens": 100, "output_tokens": 50})


def test_counting_tokens_uses_none():
    found = read({"input_tokens": 500}, endpoint="/v1/messages/count_tokens")
    assert found.meters == {"token_counts": 1}


def test_the_shape_is_known_whoever_serves_it():
    assert read(BASE | {"cache_read_input_tokens": 7}, provider="aws").meters["cache_read_tokens"] == 7


@pytest.mark.parametrize(
    ("usage", "flag"),
    [
        (None, "no_usage"),
        ({}, "missing:input_tokens"),
        ({"input_tokens": 1}, "missing:output_tokens"),
        (BASE | {"output_tokens": -1}, "negative:output_tokens"),
        (BASE | {"cache_read_input_tokens": 1e999}, "not_finite:cache_read_input_tokens"),
        (BASE | {"cache_creation": {"ephemeral_5m_input_tokens": 5}}, "cache_write_mismatch"),
        (
            BASE | {"cache_creation_input_tokens": 9, "cache_creation": {"ephemeral_1h_input_tokens": 5}},
            "cache_write_mismatch",
        ),
        (
            BASE | {"cache_creation": {"ephemeral_9h_input_tokens": 5}},
            "unknown_field:cache_creation.ephemeral_9h_input_tokens",
        ),
        (BASE | {"server_tool_use": {"teleport_requests": 5}}, "unknown_field:server_tool_use.teleport_requests"),
        (BASE | {"output_tokens_details": {"thinking_tokens": 51}}, "details_exceed_output"),
        (BASE | {"iterations": [part("dream", 1, 1)]}, "unknown_iteration:dream"),
        (BASE | {"iterations": [part("message", 1, 1), part("compaction", 1, 1)]}, "iterations_mismatch"),
        (BASE | {"iterations": {"a": 1}}, "not_a_list:iterations"),
        (BASE | {"service_tier": 7}, "not_a_text:service_tier"),
        (BASE | {"fallback_credit": {"status": {"type": "redeemed"}}}, "fallback_credit"),
    ],
)
def test_a_report_that_cannot_be_right_is_flagged_and_not_priced(usage, flag):
    found = read(usage)
    assert flag in found.flags
    assert found.problem


def test_a_part_that_cannot_be_right_makes_the_call_unpriced():
    found = read(BASE | {"iterations": [part("message", 100, 50), part("compaction", -5, 0)]})
    assert any(one.problem for one in found.parts)
