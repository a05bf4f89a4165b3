"""One call, told by several spans: billed once, whichever comes first and in how many exports."""

import uuid
from datetime import UTC, datetime
from itertools import permutations

import pytest
from django.db import connection

from tests.tracking.making import an_event
from tests.tracking.otlp.making import CHAT, read, span
from tracking.ingestion import Reporter
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.otlp.intake import Taken, take_in
from tracking.recording import record

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 20, 12, 0, tzinfo=UTC)
OUTER, MIDDLE, INNER = "a" * 16, "b" * 16, "c" * 16
ANSWER = "chatcmpl-a-long-enough-id"


@pytest.fixture
def alice(owner) -> Reporter:
    return Reporter(user_id=owner.pk, email=owner.email, source="otel")


def chat(**fields) -> dict:
    return span(at=NOW, **fields)


def take(reporter: Reporter, *spans: dict) -> Taken:
    return take_in(read(*spans), reporter=reporter, now=NOW)


def generation(**fields) -> dict:
    """What Langfuse tells around a call."""
    told = {
        "langfuse.observation.type": "generation",
        "langfuse.observation.model.name": "gpt-4o-2024-08-06",
        "langfuse.observation.usage_details": '{"input": 900, "output": 500}',
        "langfuse.trace.name": "ticket",
    }
    return chat(attributes=told, kind=1, **fields)


def features() -> list[str]:
    return sorted(ApiUsageLog.objects.values_list("feature", flat=True))


def test_the_innermost_of_an_export_is_billed_and_keeps_what_it_was_for(alice):
    plain = chat(attributes={}, spanId=MIDDLE, parentSpanId=OUTER, kind=1)
    inner = chat(spanId=INNER, parentSpanId=MIDDLE)
    taken = take(alice, inner, plain, generation(spanId=OUTER))
    assert (taken.recorded, taken.nested, taken.other) == (1, 1, 1)
    row = ApiUsageLog.objects.get()
    assert (row.input_tokens, row.feature) == (1000, "ticket")


@pytest.mark.parametrize("order", list(permutations((INNER, OUTER))))
def test_whichever_comes_first_is_billed_alone(alice, order):
    spans = {INNER: chat(spanId=INNER, parentSpanId=OUTER), OUTER: generation(spanId=OUTER)}
    for name in (*order, *order):
        take(alice, spans[name])
    take(alice, *spans.values())
    assert ApiUsageLog.objects.count() == 1


@pytest.mark.parametrize("first", range(3))
def test_three_around_each_other_as_they_end(alice, first):
    """Spans end from the inside out, and are exported like that."""
    spans = [chat(spanId=INNER, parentSpanId=MIDDLE), chat(spanId=MIDDLE, parentSpanId=OUTER), generation(spanId=OUTER)]
    take(alice, *spans[:first])
    for one in spans[first:]:
        take(alice, one)
    take(alice, *spans[1:])
    taken = take(alice, *spans)
    assert (taken.known, taken.recorded) == (1, 0)
    assert ApiUsageLog.objects.get().input_tokens == 1000


def test_what_an_agent_or_a_tool_does_is_not_the_call_around_it(alice):
    tool = chat(attributes={"gen_ai.operation.name": "execute_tool"}, spanId=MIDDLE, parentSpanId=OUTER, kind=1)
    taken = take(alice, chat(spanId=INNER, parentSpanId=MIDDLE), tool, chat(spanId=OUTER))
    assert (taken.recorded, taken.other) == (2, 1)


def test_two_attempts_inside_one_are_two_calls(alice):
    failed = chat(spanId=MIDDLE, parentSpanId=OUTER, status={"code": 2}, attributes={
        **CHAT, "gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None, "error.type": "429",
    })  # fmt: skip
    taken = take(alice, failed, chat(spanId=INNER, parentSpanId=OUTER), generation(spanId=OUTER))
    assert (taken.recorded, taken.nested) == (2, 1)
    assert sorted(ApiUsageLog.objects.values_list("status", "price_status")) == [("error", "free"), ("ok", "priced")]


def test_where_only_the_outer_one_tells_the_use_it_is_billed(alice):
    silent = chat(spanId=INNER, parentSpanId=OUTER, more={
        "gen_ai.usage.input_tokens": None, "gen_ai.usage.output_tokens": None,
    })  # fmt: skip
    assert take(alice, silent, generation(spanId=OUTER)).recorded == 1
    assert ApiUsageLog.objects.get().input_tokens == 900


def test_spans_of_one_answer_are_one_call_in_one_export_and_in_two(alice, member):
    same = {"gen_ai.response.id": ANSWER}
    first, second = chat(more=same), chat(more={**same, "costwatch.feature": "inner"}, traceId="d" * 32)
    second["startTimeUnixNano"] = str(int(second["startTimeUnixNano"]) + 1000)
    assert take(alice, first, second).nested == 1
    assert features() == ["inner"]
    assert take(alice, first).recorded == 0 and take(alice, second).known == 1
    other = Reporter(user_id=member.pk, email=member.email, source="otel")
    assert take(other, chat(more={"gen_ai.response.id": ANSWER})).recorded == 1, "of another reporter"
    assert take(alice, *[chat(more={"gen_ai.response.id": "chatcmpl-7"}) for _ in range(3)]).recorded == 3, "too short"


def test_a_call_that_a_metered_client_recorded_is_not_billed_again(alice):
    at = int(NOW.timestamp() * 1_000_000)
    event = an_event(id=str(uuid.uuid4()), at_us=at, response_id=ANSWER)
    record([event], now=NOW)
    by_answer = chat(more={"gen_ai.response.id": ANSWER})
    marked = chat(more={"costwatch.call_id": event.id}, spanId=INNER, parentSpanId=OUTER)
    taken = take(alice, by_answer, marked, generation(spanId=OUTER))
    assert (taken.metered, taken.nested, taken.recorded) == (2, 1, 0)
    assert ApiUsageLog.objects.count() == 1


def test_a_marked_span_of_http_stands_for_the_call_around_it(alice):
    http = chat(attributes={"costwatch.call_id": str(uuid.uuid4())}, spanId=INNER, parentSpanId=OUTER)
    assert take(alice, http).other == 1
    assert take(alice, chat(spanId=OUTER)).recorded == 0, "it came later"
    server = chat(attributes={"costwatch.call_id": str(uuid.uuid4())}, spanId=MIDDLE, parentSpanId="e" * 16, kind=2)
    assert take(alice, server, chat(spanId="e" * 16)).recorded == 1


def test_spans_that_name_each_other_as_parents_end_somewhere(alice):
    spans = [chat(spanId=OUTER, parentSpanId=INNER), chat(spanId=INNER, parentSpanId=OUTER)]
    spans.append(chat(spanId=MIDDLE, parentSpanId=MIDDLE))
    take(alice, *spans)
    deep = [chat(spanId=f"{n + 1:016x}", parentSpanId=f"{n:016x}", traceId="f" * 32) for n in range(2000)]
    take(alice, *deep)


@pytest.mark.django_db(transaction=True)
def test_senders_at_the_same_moment_bill_it_once(alice):
    from concurrent.futures import ThreadPoolExecutor

    spans = [chat(more={"gen_ai.response.id": f"{ANSWER}-{n}"}) for n in range(20)]
    twins = [{**one, "traceId": "9" * 32} for one in spans]

    def post(some: list) -> None:
        try:
            take(alice, *some)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(post, [spans, twins, spans[::-1], twins[::-1]]))
    assert ApiUsageLog.objects.count() == 20
    assert RecordedEvent.objects.exclude(occurred_at=None).count() == 20
