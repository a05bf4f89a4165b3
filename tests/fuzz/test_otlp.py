"""Whatever is sent to the OTLP addresses is answered as OTLP says: never a 5xx, and never half recorded."""

import gzip
import json

import pytest
from django.core.cache import cache
from django.utils import timezone
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.api.conftest import Caller, key_for
from tests.tracking.otlp.making import as_protobuf, span
from tracking.audit import audit
from tracking.otlp import conventions

pytestmark = [pytest.mark.slow, pytest.mark.django_db]
EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))

scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20), st.just("\0"), st.just("\ud800"),
    st.sampled_from([10**30, -1, "1" * 400, "2026-01-01T00:00:00Z", "chat", "openai", "gpt-4o", "a@example.com"]),
)  # fmt: skip
values = st.one_of(
    st.fixed_dictionaries({}, optional=dict.fromkeys(("stringValue", "intValue", "doubleValue", "boolValue"), scalars)),
    st.fixed_dictionaries({"arrayValue": st.one_of(scalars, st.fixed_dictionaries({"values": st.lists(scalars)}))}),
    scalars,
)  # fmt: skip
attributes = st.lists(
    st.fixed_dictionaries({"key": st.one_of(st.sampled_from(sorted(conventions.READ)), scalars), "value": values}),
    max_size=8,
)
members = {
    "traceId": st.one_of(scalars, st.just("5b8efff798038103d269b633813fc60c")),
    "spanId": st.one_of(scalars, st.sampled_from(["a" * 16, "b" * 16])),
    "parentSpanId": st.one_of(scalars, st.sampled_from(["a" * 16, "b" * 16])),
    "kind": st.one_of(scalars, st.integers(0, 5)),
    "startTimeUnixNano": st.one_of(scalars, st.just("now")),
    "endTimeUnixNano": scalars,
    "status": st.one_of(scalars, st.fixed_dictionaries({"code": scalars})),
    "attributes": st.one_of(scalars, attributes),
}
spans = st.one_of(scalars, st.fixed_dictionaries({}, optional=members), st.fixed_dictionaries(members))


def send(caller: Caller, body: bytes, kind: str, path: str = "/v1/traces", **headers: str):
    cache.clear()
    headers["authorization"] = f"Bearer {caller.token}"
    response = caller.client.post(path, body, content_type=kind, headers=headers)
    assert response.status_code in (200, 400, 413, 415), response.content
    assert response["Content-Type"] == kind
    return response


@pytest.fixture
def sender(owner) -> Caller:
    caller = Caller("sender", key_for(owner, "ingest"))
    caller.client.raise_request_exception = True
    return caller


@EXAMPLES
@given(some=st.lists(spans, max_size=4), resource=st.one_of(scalars, attributes))
def test_odd_spans(sender, some, resource):
    now = str(int(timezone.now().timestamp()) * 10**9)
    for one in some:
        if isinstance(one, dict) and one.get("startTimeUnixNano") == "now":
            one["startTimeUnixNano"] = now
    of_resource = {"resource": {"attributes": resource}, "scopeSpans": [{"spans": some}]}
    body = json.dumps({"resourceSpans": [of_resource]}).encode()
    send(sender, body, "application/json")
    assert audit().ok


told = st.dictionaries(
    st.sampled_from(sorted(conventions.READ)),
    st.one_of(
        st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(), st.text(max_size=20), st.just([]),
        st.sampled_from(["chat", "embeddings", "openai", "anthropic", "gpt-4o", "a" * 300, "\0", '{"input": 5}']),
        st.lists(st.text(max_size=5), max_size=3),
    ),
)  # fmt: skip


@EXAMPLES
@given(attributes=told, kind=st.integers(0, 5), shift_s=st.integers(-(10**7), 10**4))
def test_well_formed_spans_with_odd_attributes(sender, attributes, kind, shift_s):
    one = span(at=timezone.now(), attributes={"gen_ai.operation.name": "chat", **attributes}, kind=kind)
    one["startTimeUnixNano"] = str(int(one["startTimeUnixNano"]) + shift_s * 10**9)
    body = as_protobuf(one)
    for _ in range(2):
        assert (
            send(sender, gzip.compress(body), "application/x-protobuf", **{"content-encoding": "gzip"}).status_code
            == 200
        )
    assert audit().ok


@EXAMPLES
@given(body=st.binary(max_size=400), cut=st.integers(1, 200), path=st.sampled_from(["traces", "metrics", "logs"]))
def test_any_bytes(sender, body, cut, path):
    whole = as_protobuf(span(at=timezone.now()))
    for sent in (body or b" ", whole[:cut], whole[:cut] + body, whole + body):
        for kind in ("application/x-protobuf", "application/json"):
            send(sender, sent, kind, f"/v1/{path}")
            send(sender, sent, kind, f"/v1/{path}", **{"content-encoding": "gzip"})
