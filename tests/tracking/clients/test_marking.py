"""A metered call marks the OpenTelemetry span around it."""

import asyncio

import openai
import pytest
from opentelemetry import trace

from tests.tracking.clients.making import HELLO, Clients
from tracking.failures import failures


class RecordingSpan(trace.NonRecordingSpan):
    """A span as an SDK makes them: it keeps its attributes."""

    def __init__(self, broken: bool = False) -> None:
        super().__init__(trace.SpanContext(trace_id=1, span_id=2, is_remote=False))
        self.attributes: dict[str, object] = {}
        self.broken = broken

    def is_recording(self) -> bool:
        return True

    def set_attribute(self, key: str, value: object) -> None:
        if self.broken:
            raise RuntimeError("no")
        self.attributes[key] = value


@pytest.mark.parametrize("kind", [openai.OpenAI, openai.AsyncOpenAI])
def test_the_span_around_a_metered_call_names_the_call(kind):
    provider, span = Clients(), RecordingSpan()
    client = provider.metered(kind)
    with trace.use_span(span):
        answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
        if kind is openai.AsyncOpenAI:
            asyncio.run(answer)
    assert span.attributes == {"costwatch.call_id": provider.event.id}


def test_a_span_that_takes_nothing_touches_no_call():
    provider, before = Clients(), failures.counts().get("mark_span", 0)
    with trace.use_span(RecordingSpan(broken=True)):
        provider.metered().chat.completions.create(model="gpt-4o", messages=HELLO)
    assert provider.event.status == "ok" and failures.counts()["mark_span"] == before + 1
