"""What a call can cost at most, told from its request alone."""

import base64
import io
import json
import wave
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.tracking.pricing.books import catalogue_book
from tracking.bounds import Ask, affordable, bound, worst
from tracking.bounds.limits import limits_of
from tracking.pricing import price
from tracking.usage import read_usage
from tracking.wire import endpoints
from tracking.wire.requests import Sent

AT = datetime(2026, 11, 1, tzinfo=UTC)
HELLO = [{"role": "user", "content": "Hello"}]


@dataclass
class Upload:
    file: io.BytesIO
    filename: str = "talk.wav"


def asked(path: str, fields: dict, *, provider: str = "openai", upload=None, wide: bool = False, parts=()) -> Ask:
    endpoint = endpoints.find(kind=provider, method="POST", path=path)
    content = json.dumps(fields, ensure_ascii=False).encode() if upload is None else b""
    book = catalogue_book()

    def window_of(model: str) -> int | None:
        rule = book.resolve(provider, model)
        return rule.context_window if rule else None

    sent = Sent(fields=fields, content=content, upload=upload, model=fields.get("model", ""))
    return Ask(
        kind=provider, provider=provider, endpoint=endpoint.name, operation=endpoint.operation, sent=sent,
        window_of=window_of, wide=wide, parts=parts,
    )  # fmt: skip


def most(path: str, fields: dict, **more) -> Decimal | str:
    """The most it can cost in USD, or why that is not known."""
    found = worst(bound(asked(path, fields, **more)), at=AT, rates=catalogue_book())
    return found.reason if found.cost is None else found.cost


def chat(**fields) -> Decimal | str:
    return most("/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO, "max_completion_tokens": 1000, **fields})


def claude(**fields) -> Decimal | str:
    fields = {"model": "claude-sonnet-4-6", "messages": HELLO, "max_tokens": 1000, **fields}
    return most("/v1/messages", fields, provider="anthropic")


def test_a_chat_costs_its_bytes_and_the_maximum_that_was_given():
    fields = {"model": "gpt-4o", "messages": HELLO, "max_completion_tokens": 1000}
    found = bound(asked("/v1/chat/completions", fields))
    assert found.ways[0][0].amount == len(json.dumps(fields)) + 64
    assert (found.output.total, found.output.given) == (1000, True)
    input_usd = found.ways[0][0].amount * Decimal("2.50") / 1_000_000
    assert chat() == input_usd + Decimal("0.01")


def test_without_a_maximum_the_models_own_limit_counts():
    assert chat(max_completion_tokens=None) > Decimal("0.16"), "16,384 tokens at $10 a million"
    assert limits_of(provider="openai", model="gpt-5-2025-08-07").output == 128_000
    assert limits_of(provider="anthropic", model="claude-haiku-4-5-20251001").output == 64_000
    assert limits_of(provider="acme", model="m", listed_window=9000).output == 9000, "at most what fits in"
    assert limits_of(provider="acme", model="m").output is None


def test_each_answer_that_is_asked_for_counts():
    assert chat(n=4) - chat(n=1) == Decimal("0.03")
    completions = {"model": "gpt-3.5-turbo-instruct", "prompt": ["one", "two"], "best_of": 3}
    found = bound(asked("/v1/completions", completions))
    assert (found.output.tokens, found.output.answers) == (16, 6), "the provider's own default of 16 tokens"


def test_the_dearest_of_what_may_be_billed_counts():
    assert chat(service_tier="priority") == chat(service_tier="standard") * Decimal("1.7"), "$4.25 and $17 a million"
    assert chat(service_tier="flex") == chat(service_tier="auto"), "which may be served as standard"
    cached = claude(system=[{"type": "text", "text": "x" * 9000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}])
    plain = claude(system=[{"type": "text", "text": "x" * 9000}])
    assert plain * Decimal("1.5") < cached < plain * 2, "input that may be written to the cache for an hour costs twice"
    assert claude(inference_geo="global") * Decimal("1.08") < claude(), "a workspace may work in the US by default"
    long = most("/v1/messages", {"model": "claude-sonnet-4-5", "messages": [{"role": "user", "content": "x" * 250_000}],
                "max_tokens": 10}, provider="anthropic", wide=True)  # fmt: skip
    assert long > Decimal("1.5"), "above 200,000 tokens input costs twice as much"


def test_a_context_window_bounds_what_is_not_in_the_request():
    stored = most("/v1/responses", {"model": "gpt-4o", "input": "Go on.", "previous_response_id": "resp_1",
                                    "max_output_tokens": 100})  # fmt: skip
    assert stored == Decimal("0.321"), "128,000 tokens at $2.50 and 100 at $10 a million"
    file = [{"role": "user", "content": [{"type": "input_file", "file_id": "file-1"}]}]
    assert most("/v1/responses", {"model": "gpt-4o", "input": file, "max_output_tokens": 100}) == stored


def test_images_count_by_the_providers_own_formula_not_by_their_bytes():
    data = "data:image/png;base64," + base64.b64encode(bytes(300_000)).decode()

    def with_image(**image) -> Decimal:
        part = {"type": "image_url", "image_url": {"url": data, **image}}
        return chat(messages=[{"role": "user", "content": [part]}])

    assert with_image() - chat() < Decimal("0.005"), "at most 1,445 tokens"
    assert with_image(detail="low") < with_image()


def test_tools_that_the_provider_runs_count_as_often_as_they_may():
    search = {"model": "gpt-4o", "input": "Find it.", "tools": [{"type": "web_search"}], "max_output_tokens": 100}
    assert "max_tool_calls" in most("/v1/responses", search)
    bounded = most("/v1/responses", {**search, "max_tool_calls": 2})
    assert bounded == 3 * Decimal("0.32") + 2 * Decimal("0.01") + Decimal("0.001")
    assert "max_uses" in claude(tools=[{"type": "web_search_20250305", "name": "web_search"}])
    assert claude(tools=[{"type": "web_search_20250305", "name": "web_search", "max_uses": 1}]) > 6
    assert claude(tools=[{"name": "get", "input_schema": {}}]) < Decimal("0.03"), "the caller runs his own tools"
    assert "MCP" in claude(mcp_servers=[{"type": "url", "url": "https://example.org", "name": "x"}])


def sound(seconds: float) -> io.BytesIO:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(8000)
        file.writeframes(bytes(int(16000 * seconds)))
    out.seek(0)
    return out


def test_transcription_by_the_length_of_the_upload():
    path = "/v1/audio/transcriptions"
    assert most(path, {"model": "whisper-1"}, upload=Upload(sound(60))) == Decimal("0.006")
    unknown = Upload(io.BytesIO(b"\x00" * 60_000), "talk.bin")
    assert most(path, {"model": "whisper-1"}, upload=unknown) == Decimal("0.006"), "60 s at 8 kbit/s"
    assert Decimal("0.003") < most(path, {"model": "gpt-4o-transcribe"}, upload=Upload(sound(60))) < Decimal("0.02")


def test_speech_images_videos_embeddings():
    assert most("/v1/audio/speech", {"model": "tts-1-hd", "input": "x" * 5000}) == Decimal("0.15")
    assert most("/v1/audio/speech", {"model": "gpt-4o-mini-tts", "input": "x" * 900}) > Decimal("0.015")
    images = {"model": "dall-e-3", "prompt": "A ledger", "n": 1, "size": "1024x1792", "quality": "hd"}
    assert most("/v1/images/generations", images) == Decimal("0.12")
    tokens = {"model": "gpt-image-1", "prompt": "A ledger", "size": "1024x1024", "quality": "high"}
    assert Decimal("0.166") < most("/v1/images/generations", tokens) < Decimal("0.17")
    assert most("/v1/videos", {"model": "sora-2", "prompt": "A ledger", "seconds": "8"}) == Decimal("0.8")
    fields = {"model": "text-embedding-3-small", "input": "x" * 1000}
    assert most("/v1/embeddings", fields) < Decimal("0.00003")


def test_what_is_free_costs_nothing():
    assert most("/v1/moderations", {"input": "x"}) == 0
    assert most("/v1/responses/input_tokens", {"model": "gpt-4o", "input": "x"}) == 0


def test_a_batch_costs_the_sum_of_its_requests_at_its_own_rate():
    one = {"model": "claude-sonnet-4-6", "messages": HELLO, "max_tokens": 1000}
    batch = {"requests": [{"custom_id": str(n), "params": one} for n in range(3)]}
    assert most("/v1/messages/batches", batch, provider="anthropic") < 3 * claude()
    assert most("/v1/messages/batches", batch, provider="anthropic") > claude()
    assert "file" in most("/v1/batches", {"input_file_id": "file-1", "endpoint": "/v1/chat/completions"})


def test_what_is_not_known_is_said_in_words():
    assert "house-model" in most("/v1/chat/completions", {"model": "house-model", "messages": HELLO, "max_tokens": 9})
    assert "own limit" in most("/v1/chat/completions", {"model": "house-model", "messages": HELLO})
    assert "nothing is known" in most("/v1/oracles", {"model": "gpt-4o"})
    assert "cannot be read" in most("/v1/chat/completions", {})


@given(
    text=st.text(max_size=300),
    maximum=st.one_of(st.none(), st.integers(1, 3000)),
    n=st.integers(1, 4),
    usage=st.tuples(st.floats(0, 1), st.floats(0, 1), st.floats(0, 1)),
)
def test_no_usage_that_the_request_allows_costs_more(text, maximum, n, usage):
    fields = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], "n": n}
    fields |= {} if maximum is None else {"max_completion_tokens": maximum}
    read = int(usage[0] * (len(text.encode()) + 12))
    written = int(usage[2] * n * (maximum or 16_384))
    report = {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": int(read * usage[1])},
    }
    billed = read_usage(
        provider="openai", model="gpt-4o-2024-08-06", operation="chat", endpoint="/v1/chat/completions", usage=report
    )
    cost = price(billed, AT, catalogue_book()).total_nanousd
    assert cost <= int(most("/v1/chat/completions", fields).scaleb(9))


@given(room=st.decimals("0.00001", "0.3", places=9))
def test_the_maximum_that_a_budget_affords_is_the_largest_one(room):
    found = bound(asked("/v1/chat/completions", {"model": "gpt-4o", "messages": HELLO, "n": 2}))
    book = catalogue_book()
    tokens = affordable(found, room=room, at=AT, rates=book)
    if tokens >= 0:
        assert worst(found, at=AT, rates=book, output_tokens=tokens).cost <= room
    if tokens < found.output.tokens:
        assert worst(found, at=AT, rates=book, output_tokens=max(tokens, 0) + 1).cost > room


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5", "gpt-6-sol", "o3", "claude-opus-5-5", "claude-3-5-haiku-latest"])
def test_every_model_that_can_be_asked_has_limits(model):
    provider = "anthropic" if model.startswith("claude") else "openai"
    limits = limits_of(provider=provider, model=model)
    assert limits.context >= limits.output > 4000 and limits.image_tokens
