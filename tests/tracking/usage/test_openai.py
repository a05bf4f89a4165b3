"""Usage of every OpenAI endpoint, read into disjoint quantities."""

from decimal import Decimal

import pytest

from tracking.usage import operation_of, read_usage, totals


def read(usage, *, model="gpt-x", endpoint="/v1/chat/completions", operation="", batch=False, **facts):
    return read_usage(
        provider="openai", model=model, operation=operation, endpoint=endpoint, usage=usage, facts=facts, batch=batch
    )


CHAT = {
    "prompt_tokens": 1000,
    "completion_tokens": 200,
    "total_tokens": 1200,
    "prompt_tokens_details": {"cached_tokens": 400, "cache_write_tokens": 100, "audio_tokens": 50, "image_tokens": 30},
    "completion_tokens_details": {
        "reasoning_tokens": 120,
        "audio_tokens": 20,
        "accepted_prediction_tokens": 7,
        "rejected_prediction_tokens": 9,
    },
}


PLAIN = {"prompt_tokens": 1000, "completion_tokens": 200, "total_tokens": 1200}


def test_a_chat_is_split_into_disjoint_quantities():
    usage = read(CHAT)
    assert usage.meters == {
        "input_tokens": 420,
        "cache_read_tokens": 400,
        "cache_write_tokens": 100,
        "input_audio_tokens": 50,
        "input_image_tokens": 30,
        "output_tokens": 180,
        "output_audio_tokens": 20,
    }
    assert (usage.context_tokens, usage.reasoning_tokens, usage.problem) == (1000, 120, "")
    sums = totals(usage)
    assert (sums.input_tokens, sums.output_tokens, sums.cache_read_tokens) == (1000, 200, 400)
    assert (sums.cache_write_tokens, sums.audio_tokens, sums.reasoning_tokens) == (100, 70, 120)


def test_cached_audio_that_is_not_told_apart_is_an_assumption():
    found = read(CHAT)
    assert found.flags == ("cached_split_assumed",)
    assert found.assumed
    more = CHAT | {"prompt_tokens_details": {"cached_tokens": 980, "audio_tokens": 50}}
    assert read(more).meters["cache_read_audio_tokens"] == 30  # there is text for 950 of them only


def test_a_response_with_cache_writes_of_both_retentions():
    details = {"cached_tokens": 10, "cache_write_tokens": 50}
    usage = read(
        {
            "input_tokens": 100,
            "output_tokens": 5,
            "total_tokens": 105,
            "input_tokens_details": details
            | {"cache_write_tokens_details": {"ttl_30m_tokens": 20, "ttl_12h_tokens": 30}},
            "output_tokens_details": {"reasoning_tokens": 3},
        },
        endpoint="/v1/responses",
    )
    assert usage.meters == {
        "input_tokens": 40,
        "cache_read_tokens": 10,
        "cache_write_tokens": 20,
        "cache_write_12h_tokens": 30,
        "output_tokens": 5,
    }


def test_a_realtime_response_with_cached_audio_and_images():
    usage = read(
        {
            "input_tokens": 100,
            "output_tokens": 30,
            "total_tokens": 130,
            "input_token_details": {
                "text_tokens": 30,
                "audio_tokens": 50,
                "image_tokens": 20,
                "cached_tokens": 60,
                "cached_tokens_details": {"text_tokens": 10, "audio_tokens": 40, "image_tokens": 10},
            },
            "output_token_details": {"text_tokens": 10, "audio_tokens": 20},
        },
        operation="realtime",
    )
    assert usage.meters == {
        "input_tokens": 20,
        "cache_read_tokens": 10,
        "input_audio_tokens": 10,
        "cache_read_audio_tokens": 40,
        "input_image_tokens": 10,
        "cache_read_image_tokens": 10,
        "output_tokens": 10,
        "output_audio_tokens": 20,
    }


@pytest.mark.parametrize(
    ("endpoint", "usage", "facts", "meters"),
    [
        ("/v1/embeddings", {"prompt_tokens": 8, "total_tokens": 8}, {}, {"input_tokens": 8, "output_tokens": 0}),
        (
            "/v1/completions",
            {"prompt_tokens": 8, "completion_tokens": 2, "total_tokens": 10},
            {},
            {"input_tokens": 8, "output_tokens": 2},
        ),
        ("/v1/audio/transcriptions", {"type": "duration", "seconds": 1.5}, {}, {"audio_seconds": Decimal("1.5")}),
        ("/v1/audio/transcriptions", None, {"audio_seconds": 7.1}, {"audio_seconds": Decimal("7.1")}),
        ("/v1/audio/translations", None, {"audio_seconds": 3}, {"audio_seconds": Decimal(3)}),
        ("/v1/audio/speech", None, {"characters": 42}, {"characters": 42}),
        ("/v1/live", {"seconds": 12.5}, {}, {"session_seconds": Decimal("12.5")}),
        ("/v1/live", None, {"session_seconds": 9}, {"session_seconds": Decimal(9)}),
        ("/v1/moderations", None, {}, {"requests": 1}),
        ("/v1/responses/input_tokens", {"input_tokens": 99}, {}, {"token_counts": 1}),
        ("/v1/images/generations", None, {"images": {"n": None}}, {"images": 1}),
        ("/v1/videos", None, {"video": {"seconds": "8", "size": None}}, {"video_seconds": Decimal(8)}),
        (
            "/v1/threads/{id}/runs",
            {
                "prompt_tokens": 5,
                "completion_tokens": 1,
                "total_tokens": 6,
                "prompt_token_details": {"cached_tokens": 2},
            },
            {},
            {"input_tokens": 3, "cache_read_tokens": 2, "output_tokens": 1},
        ),
        (
            "/v1/batches",
            {"input_tokens": 9, "output_tokens": 1, "total_tokens": 10, "input_tokens_details": {"cached_tokens": 4}},
            {},
            {"input_tokens": 5, "cache_read_tokens": 4, "output_tokens": 1},
        ),
    ],
)
def test_every_endpoint_has_its_quantities(endpoint, usage, facts, meters):
    found = read(usage, endpoint=endpoint, **facts)
    assert (found.meters, found.problem, found.flags) == (meters, "", ())


def test_durations_are_taken_as_written_not_as_binary_fractions():
    assert read({"type": "duration", "seconds": 0.1}).meters["audio_seconds"] == Decimal("0.1")
    assert totals(read({"type": "duration", "seconds": 0.1})).audio_ms == 100


def test_images_and_videos_carry_what_their_price_depends_on():
    image = read(None, endpoint="/v1/images/generations", images={"n": 2, "size": "1792x1024", "quality": "hd"})
    assert (image.meters, image.variants) == ({"images": 2}, {"images": "1792x1024/hd"})
    auto = read(None, endpoint="/v1/images/generations", images={"n": 1, "size": "auto", "quality": "auto"})
    assert auto.variants == {"images": "1024x1024/standard"}
    assert read(None, endpoint="/v1/videos", video={"seconds": 4}).variants == {"video_seconds": "720x1280"}


def test_images_that_report_tokens_are_not_counted_again():
    usage = {
        "input_tokens": 10,
        "input_tokens_details": {"text_tokens": 4, "image_tokens": 6},
        "output_tokens": 50,
        "output_tokens_details": {"image_tokens": 40, "text_tokens": 10},
        "total_tokens": 60,
    }
    found = read(usage, endpoint="/v1/images/edits", images={"n": 1})
    assert found.meters == {
        "input_tokens": 4,
        "input_image_tokens": 6,
        "output_tokens": 10,
        "output_image_tokens": 40,
    }


def test_output_of_an_image_that_is_not_split_is_all_image():
    """As streams of images report it: at the price of text it would cost a third of what is billed."""
    found = read({"input_tokens": 10, "output_tokens": 50, "total_tokens": 60}, endpoint="/v1/images/generations")
    assert found.meters == {"input_tokens": 10, "output_tokens": 0, "output_image_tokens": 50}
    assert found.flags == ()


def test_tools_of_a_response_are_counted_beside_its_tokens():
    base = {"input_tokens": 1, "output_tokens": 1}
    found = read(
        base, endpoint="/v1/responses", tool_usage={"web_search": {"num_requests": 3}}, file_searches=2, containers=1
    )
    assert {k: v for k, v in found.meters.items() if not k.endswith("tokens")} == {
        "web_searches": 3,
        "file_searches": 2,
        "containers": 1,
    }
    # What the provider counts as billable is better than what can be counted in the answer.
    both = read(base, tool_usage={"web_search": {"num_requests": 1}}, web_searches=5)
    assert both.meters["web_searches"] == 1
    assert read(base, web_searches=5).meters["web_searches"] == 5


def test_a_model_that_always_searches_is_billed_for_a_search_and_says_that_it_is_an_assumption():
    found = read(PLAIN, model="gpt-4o-search-preview")
    assert found.meters["web_searches"] == 1
    assert "search_assumed" in found.flags
    assert "web_searches" not in read(PLAIN, model="gpt-4o").meters


def test_an_image_made_inside_a_response_is_a_part_with_its_own_model():
    tools = {"image_gen": {"input_tokens": 5, "output_tokens": 9, "total_tokens": 14, "cached_tokens": 2}}
    found = read({"input_tokens": 1, "output_tokens": 1}, tool_usage=tools, image_model="gpt-image-1.5")
    assert [(part.model, part.meters) for part in found.parts] == [
        ("gpt-image-1.5", {"input_tokens": 3, "cache_read_tokens": 2, "output_tokens": 0, "output_image_tokens": 9})
    ]
    drawing = {"model": "gpt-svg", "input_tokens": 5, "output_tokens": 9, "reasoning_tokens": 4, "total_tokens": 14}
    assert read({"input_tokens": 1, "output_tokens": 1}, svg_usage=drawing).parts[0].model == "gpt-svg"


@pytest.mark.parametrize(
    ("facts", "tier"),
    [
        ({}, "standard"),
        ({"service_tier": "default"}, "standard"),
        ({"service_tier": "auto"}, "standard"),
        ({"service_tier": "standard"}, "standard"),
        ({"service_tier": "flex"}, "flex"),
        ({"service_tier": "Priority"}, "priority"),
        ({"service_tier": "default", "service_tier_asked": "priority"}, "standard"),  # served is what is billed
        ({"service_tier_asked": "auto"}, "standard"),
        ({"service_tier": "something new"}, "something new"),
        ({"batch": True, "service_tier": "default"}, "batch"),
    ],
)
def test_the_tier_is_the_one_served(facts, tier):
    found = read(PLAIN, **facts)
    assert (found.tier, found.assumed) == (tier, "")


def test_a_tier_that_was_asked_for_and_not_confirmed_is_an_assumption():
    found = read(PLAIN, service_tier_asked="flex")
    assert found.tier == "flex"
    assert "tier_assumed" in found.flags
    assert found.assumed


def test_a_batch_is_a_sum_over_requests():
    found = read(CHAT, endpoint="/v1/batches/{id}")
    assert (found.tier, found.aggregate) == ("batch", True)
    assert not read(CHAT, batch=True).aggregate


def test_speech_billed_in_tokens_is_estimated_from_its_characters_and_says_so():
    found = read(None, model="gpt-4o-mini-tts", endpoint="/v1/audio/speech", characters=900)
    assert found.meters == {"input_tokens": 225, "output_tokens": 1250}  # a minute of speech
    assert "speech_tokens_estimated" in found.flags
    assert found.assumed


@pytest.mark.parametrize(
    ("usage", "flag"),
    [
        (None, "no_usage"),
        ({}, "empty_usage"),
        ([], "not_an_object:usage"),
        ({"prompt_tokens": -1, "completion_tokens": 1}, "negative:prompt_tokens"),
        ({"prompt_tokens": float("nan"), "completion_tokens": 1}, "not_finite:prompt_tokens"),
        ({"prompt_tokens": float("inf"), "completion_tokens": 1}, "not_finite:prompt_tokens"),
        ({"prompt_tokens": 10**30, "completion_tokens": 1}, "absurd:prompt_tokens"),
        ({"prompt_tokens": 1.5, "completion_tokens": 1}, "not_whole:prompt_tokens"),
        ({"prompt_tokens": "12", "completion_tokens": 1}, "not_a_number:prompt_tokens"),
        ({"prompt_tokens": True, "completion_tokens": 1}, "not_a_number:prompt_tokens"),
        ({"prompt_tokens": 5}, "missing:completion_tokens"),
        ({"completion_tokens": 5}, "missing:prompt_tokens"),
        ({"prompt_tokens": 5, "completion_tokens": 1, "total_tokens": 7}, "total_mismatch"),
        (CHAT | {"prompt_tokens_details": {"cached_tokens": 1001}}, "cached_exceeds_input"),
        (CHAT | {"prompt_tokens_details": {"cached_tokens": 900, "cache_write_tokens": 101}}, "cached_exceeds_input"),
        (CHAT | {"prompt_tokens_details": {"audio_tokens": 1001}}, "details_exceed_input"),
        (CHAT | {"prompt_tokens_details": {"text_tokens": 10}}, "details_mismatch:input"),
        (CHAT | {"prompt_tokens_details": "many"}, "not_an_object:prompt_tokens_details"),
        (CHAT | {"completion_tokens_details": {"audio_tokens": 201}}, "details_exceed_output"),
        (CHAT | {"completion_tokens_details": {"reasoning_tokens": 201}}, "details_exceed_output"),
        (CHAT | {"smell_tokens": 1}, "unknown_field:smell_tokens"),
        (CHAT | {"prompt_tokens_details": {"video_tokens": 5}}, "unknown_field:prompt_tokens_details.video_tokens"),
        ({"type": "duration"}, "missing:seconds"),
        ({"type": "duration", "seconds": -1}, "negative:seconds"),
        ({"type": "duration", "seconds": "long"}, "not_a_number:seconds"),
        (
            {
                "input_tokens": 10,
                "output_tokens": 1,
                "input_tokens_details": {
                    "cache_write_tokens": 5,
                    "cache_write_tokens_details": {"ttl_30m_tokens": 5, "ttl_12h_tokens": 1},
                },
            },
            "cache_write_mismatch",
        ),
        (
            {
                "input_tokens": 10,
                "output_tokens": 1,
                "input_token_details": {"cached_tokens": 1, "cached_tokens_details": {"text_tokens": 2}},
            },
            "cached_details_exceed_cached",
        ),
    ],
)
def test_a_report_that_cannot_be_right_is_flagged_and_not_priced(usage, flag):
    found = read(usage)
    assert flag in found.flags
    assert found.problem
    assert all(quantity >= 0 for quantity in found.meters.values())


def test_new_fields_that_hold_nothing_or_only_words_do_no_harm():
    found = read(PLAIN | {"smell_tokens": 0, "mood": "good", "more": {"x": 0, "y": None, "ok": True}})
    assert (found.problem, found.flags) == ("", ())


def test_operations_by_endpoint():
    assert operation_of("/v1/messages/count_tokens") == "token_count"
    assert operation_of("/v1/audio/speech") == "speech"
    assert operation_of("/v1/something/new") == "other"
