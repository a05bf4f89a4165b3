"""What spans say in the words of many conventions, as calls."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from tests.tracking.otlp.making import CHAT, as_protobuf, read, span
from tracking.ingestion import Reporter
from tracking.models import ApiUsageLog
from tracking.otlp import protobuf
from tracking.otlp.calls import operation_of
from tracking.otlp.intake import take_in
from tracking.otlp.tokens import usage_of

NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)


def a_span(attributes=CHAT, **fields):
    return read(span(at=NOW, attributes=attributes, **fields))[0]


def meters(**attributes):
    usage = usage_of(a_span({name.replace("__", "."): value for name, value in attributes.items()}), operation="chat")
    return usage and usage["meters"]


def test_both_encodings_read_alike():
    one = span(at=NOW, parentSpanId="a" * 16, more={
        "gen_ai.request.stream": True, "gen_ai.usage.cost": 0.5, "langfuse.trace.tags": ["a", "b"], "user.id": "u",
        "gen_ai.input.messages": "canary",
    })  # fmt: skip
    resource = {"service.name": "shop", "host.name": "canary"}
    (from_json,), (from_protobuf,) = (
        read(one, resource=resource),
        protobuf.spans_of(as_protobuf(one, resource=resource)),
    )
    assert from_json == from_protobuf and "canary" not in repr(from_json)
    assert from_json.attributes["langfuse.trace.tags"] == ["a", "b"]


@pytest.mark.parametrize(
    ("attributes", "kind", "operation"),
    [
        (CHAT, 3, "chat"),
        (CHAT, 1, "chat"),
        (CHAT, 2, ""),  # the server's side of it
        ({**CHAT, "gen_ai.operation.name": "generate_content"}, 3, "chat"),
        ({**CHAT, "gen_ai.operation.name": "text_completion"}, 3, "text_completion"),
        ({**CHAT, "gen_ai.operation.name": "embeddings"}, 3, "embeddings"),
        ({**CHAT, "gen_ai.operation.name": "rank"}, 3, "other"),
        ({**CHAT, "gen_ai.operation.name": "invoke_agent"}, 3, ""),
        ({**CHAT, "gen_ai.operation.name": "execute_tool"}, 1, ""),
        ({**CHAT, "gen_ai.operation.name": None}, 3, "chat"),  # Vercel's SDK
        ({**CHAT, "gen_ai.operation.name": None, "agent_name": "clerk"}, 1, ""),  # pydantic-ai before 1.0
        ({"llm.request.type": "completion"}, 3, "text_completion"),  # OpenLLMetry, once
        ({"llm.request.type": "embedding"}, 3, "embeddings"),
        ({"traceloop.span.kind": "workflow"}, 1, ""),
        ({"openinference.span.kind": "LLM"}, 1, "chat"),
        ({"openinference.span.kind": "CHAIN"}, 1, ""),
        ({"langfuse.observation.type": "generation"}, 1, "chat"),
        ({"langfuse.observation.type": "embedding"}, 1, "embeddings"),
        *(({"langfuse.observation.type": one}, 1, "") for one in ("span", "agent", "tool", "chain", "event")),
        ({"http.response.status_code": 200}, 3, ""),
    ],
)
def test_which_spans_are_calls(attributes, kind, operation):
    assert operation_of(a_span(attributes, kind=kind)) == operation


def test_cached_tokens_are_counted_once():
    told = {"gen_ai__usage__input_tokens": 1000, "gen_ai__usage__output_tokens": 50}
    inside = {"input_tokens": 300, "cache_read_tokens": 600, "cache_write_tokens": 100, "output_tokens": 50}
    new = {"gen_ai__usage__cache_read__input_tokens": 600, "gen_ai__usage__cache_creation__input_tokens": 100}
    assert meters(**told, **new) == inside
    assert meters(**told, gen_ai__usage__cache_read_input_tokens=600, gen_ai__usage__cache_creation_input_tokens=100) == inside  # fmt: skip  # noqa: E501
    assert meters(**told, **new, gen_ai__usage__total_tokens=1050) == inside
    # Beside the input, as Anthropic itself reports them: more than it, or added to it in the total.
    beside = {**inside, "input_tokens": 1000}
    assert meters(**told, **new, gen_ai__usage__total_tokens=1750) == beside
    few = {**told, "gen_ai__usage__input_tokens": 9}
    assert meters(**few, **new) == {**beside, "input_tokens": 9}
    hour = {"anthropic__usage__cache_creation__ephemeral_1h_input_tokens": 40}
    assert meters(**told, **new, **hour) == {**inside, "cache_write_tokens": 60, "cache_write_1h_tokens": 40}


def test_old_names_totals_and_sound():
    old = {"input_tokens": 7, "output_tokens": 3}
    assert meters(gen_ai__usage__prompt_tokens=7, gen_ai__usage__completion_tokens=3) == old
    assert meters(llm__usage__prompt_tokens="7", llm__usage__completion_tokens=3.0) == old
    assert meters(llm__token_count__prompt=7, llm__token_count__total=10) == old
    sound = {"gen_ai__usage__details__input_audio_tokens": 5, "gen_ai__usage__details__output_audio_tokens": 2}
    assert meters(gen_ai__usage__input_tokens=7, gen_ai__usage__output_tokens=3, **sound) == {
        "input_tokens": 2, "input_audio_tokens": 5, "output_tokens": 1, "output_audio_tokens": 2,
    }  # fmt: skip


def test_half_a_report_is_none():
    assert meters(gen_ai__usage__input_tokens=7) is None
    assert meters(gen_ai__usage__output_tokens=7) is None
    assert meters(gen_ai__usage__input_tokens=-7, gen_ai__usage__output_tokens=1) is None
    only = a_span({"gen_ai.usage.input_tokens": 7})
    assert usage_of(only, operation="embeddings") == {"meters": {"input_tokens": 7, "output_tokens": 0}}


@pytest.mark.parametrize(
    ("details", "usage"),
    [
        ('{"input": 5, "output": 2, "input_cached_tokens": 9, "total": 16}',
         {"meters": {"input_tokens": 5, "output_tokens": 2, "cache_read_tokens": 9}}),
        ('{"prompt_tokens": 5, "completion_tokens": 2}', {"prompt_tokens": 5, "completion_tokens": 2}),
        ('{"input": 5, "output": 2, "dreams": 0}', {"meters": {"input_tokens": 5, "output_tokens": 2}}),
        ('{"input": 5, "output": 2, "dreams": 7}', None),
        ("[1]", None), ("{", None), ('{"a":' * 5000, None),
    ],
)  # fmt: skip
def test_what_langfuse_counts(details, usage):
    assert usage_of(a_span({"langfuse.observation.usage_details": details}), operation="chat") == usage


@pytest.fixture
def take(owner):
    reporter = Reporter(user_id=owner.pk, email=owner.email, source="otel")

    def taken(attributes=CHAT, resource=None, **fields) -> ApiUsageLog:
        spans = read(span(at=NOW, attributes=attributes, **fields), resource=resource)
        found = take_in(spans, reporter=reporter, now=NOW)
        assert found.recorded == 1, found
        return ApiUsageLog.objects.latest("recorded_at", "id") if ApiUsageLog.objects.count() == 1 else None

    return taken


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attributes", "provider", "model"),
    [
        ({"gen_ai.provider.name": "aws.bedrock"}, "aws", "gpt-4o-2024-08-06"),
        ({"gen_ai.provider.name": None, "gen_ai.system": "az.ai.openai"}, "azure", "gpt-4o-2024-08-06"),
        ({"server.address": "api.groq.com", "gen_ai.response.model": "llama-3.3-70b"}, "groq", "llama-3.3-70b"),
        ({"gen_ai.openai.api_base": "https://x.openai.azure.com/v1/"}, "azure", "gpt-4o-2024-08-06"),
        ({"server.address": "[::1"}, "openai", "gpt-4o-2024-08-06"),
        ({"gen_ai.provider.name": "Some Gateway!"}, "some_gateway", "gpt-4o-2024-08-06"),
        ({"gen_ai.provider.name": None, "gen_ai.response.model": "anthropic/claude-sonnet-4-5"}, "anthropic", "claude-sonnet-4-5"),  # noqa: E501
        ({"gen_ai.provider.name": None, "gen_ai.response.model": "gemini-2.5-pro"}, "google", "gemini-2.5-pro"),
        ({"gen_ai.provider.name": None, "gen_ai.response.model": "our-own"}, "unknown", "our-own"),
    ],
)  # fmt: skip
def test_who_was_called(take, attributes, provider, model):
    row = take({**CHAT, **attributes})
    assert (row.provider, row.model) == (provider, model)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attributes", "fields", "expected"),
    [
        ({}, {}, ("ok", None, "", "priced")),
        ({"error.type": "429", "http.response.status_code": 429}, {}, ("incomplete", 429, "429", "priced")),
        ({"error.type": "<class 'openai.RateLimitError'>"}, {"status": {"code": 2}}, ("error", None, "openai.RateLimitError", "free")),  # noqa: E501
        ({"error.type": "openai.APITimeoutError"}, {}, ("timeout", None, "openai.APITimeoutError", "unpriced")),
        ({"error.type": "APIConnectionError"}, {}, ("connection_error", None, "APIConnectionError", "unpriced")),
        ({"error.type": "asyncio.CancelledError"}, {}, ("cancelled", None, "asyncio.CancelledError", "unpriced")),
        ({"error.type": "a canary said no"}, {"status": {"code": 2}}, ("error", None, "", "free")),
        ({"gen_ai.usage.output_tokens": None}, {}, ("ok", None, "", "unpriced")),
    ],
)  # fmt: skip
def test_how_it_ended(take, attributes, fields, expected):
    silent = {"gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None}
    row = take(
        {**CHAT, **(silent if "incomplete" not in expected and "error.type" in attributes else {}), **attributes},
        **fields,
    )  # noqa: E501
    assert (row.status, row.http_status, row.error, row.price_status) == expected


@pytest.mark.django_db
def test_costs_that_are_told(take):
    row = take({**CHAT, "operation.cost": 5.0})
    assert row.cost == Decimal("0.0075"), "an instrumentation's own estimate is not needed"


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("attributes", "cost"),
    [
        ({"costwatch.cost_usd": "0.25"}, Decimal("0.25")),
        ({"gen_ai.response.model": "our-own", "operation.cost": 0.5}, Decimal("0.5")),
        ({"gen_ai.response.model": "our-own", "langfuse.observation.cost_details": '{"total": 0.75}'}, Decimal("0.75")),
        ({"gen_ai.response.model": "our-own", "gen_ai.usage.cost": float("nan")}, None),
        ({"gen_ai.response.model": "our-own", "gen_ai.usage.cost": 0}, None),
    ],
)
def test_costs_of_what_we_have_no_price_for(take, attributes, cost):
    row = take({**CHAT, **attributes})
    assert row.cost == cost and (cost is None or row.receipt["given"] is True)


@pytest.mark.django_db
def test_who_and_what_for(take, owner):
    resource = {"service.name": "shop", "costwatch.feature": "of the process", "costwatch.tag.team": "blue"}
    more = {
        "costwatch.analysis": "report-17", "session.id": "not this", "user.id": "user-17",
        "costwatch.tag.plan": "pro", "costwatch.tag.api_key": "forged", "traceloop.association.properties.chat": "c-1",
        "gen_ai.agent.name": "clerk", "deployment.environment.name": "prod", "openai.response.service_tier": "flex",
        "gen_ai.response.time_to_first_chunk": 0.25,
    }  # fmt: skip
    row = take({**CHAT, **more}, resource)
    assert (row.feature, row.analysis_id, row.user_id, row.tier) == ("of the process", "report-17", owner.pk, "flex")
    assert (row.ttft_ms, row.stream) == (250, True)
    assert {name: value for name, value in row.tags.items() if name != "trace_id"} == {
        "service": "shop", "team": "blue", "plan": "pro", "chat": "c-1", "agent": "clerk", "environment": "prod",
        "user": "user-17",
    }  # fmt: skip
