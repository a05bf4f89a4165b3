"""OpenTelemetry over HTTP: both encodings, packed or not, and what exporters are answered when something is wrong."""

import base64
import gzip
import io
import json
import zlib
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import OperationalError
from django.test import RequestFactory
from django.utils import timezone
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse

from costwatch.operations import metrics
from tests.api.conftest import Caller, key_for
from tests.tracking.otlp.making import as_json, as_protobuf, export, span
from tracking.models import ApiUsageLog
from tracking.otlp.bodies import body_of

pytestmark = pytest.mark.django_db
TRACES = "/v1/traces"
PROTOBUF, JSON = "application/x-protobuf", "application/json"


@pytest.fixture
def sender(owner) -> Caller:
    return Caller("sender", key_for(owner, "ingest"))


def send(caller: Caller, body: bytes, kind: str = JSON, path: str = TRACES, **headers: str):
    headers.setdefault("authorization", f"Bearer {caller.token}")
    return caller.client.post(path, body, content_type=kind, headers=headers)


def chat(**fields) -> dict:
    return span(at=fields.pop("at", timezone.now()), **fields)


@pytest.mark.parametrize("pack", [None, gzip.compress, lambda body: gzip.compress(body[:9]) + gzip.compress(body[9:])])
@pytest.mark.parametrize(("kind", "write"), [(JSON, as_json), (PROTOBUF, as_protobuf)])
def test_a_call_in_either_encoding_is_recorded_and_answered_in_it(sender, owner, kind, write, pack):
    body = write(chat(more={"costwatch.feature": "pitch"}), resource={"service.name": "shop"})
    packed = {"content-encoding": "gzip"} if pack else {}
    for _ in range(2):
        response = send(sender, pack(body) if pack else body, kind, accept="text/html", **packed)
        assert (response.status_code, response["Content-Type"]) == (200, kind), response.content
        assert response.content == (b"{}" if kind == JSON else b"")
    row = ApiUsageLog.objects.get()
    assert (row.cost, row.source, row.user_id, row.feature) == (Decimal("0.0075"), "otel", owner.pk, "pitch")
    assert (row.model, row.latency_ms, row.tags["service"]) == ("gpt-4o-2024-08-06", 812, "shop")
    assert row.tags["api_key"].startswith("key_")


def test_what_is_not_taken_is_told_and_spoils_nothing(sender):
    late = chat(at=timezone.now() - timedelta(days=41))
    early = chat(at=timezone.now() + timedelta(minutes=6))
    others = chat(more={"costwatch.user": "bob@example.com"})
    nobody = chat(traceId="0" * 32)
    spans = (chat(), late, early, others, nobody)
    told = send(sender, as_json(*spans)).json()["partialSuccess"]
    assert told["rejectedSpans"] == "4"
    for words in ("more than 40 days ago", "minutes ahead", "must be yourself", "valid trace id"):
        assert words in told["errorMessage"]
    answer = ExportTraceServiceResponse.FromString(send(sender, as_protobuf(*spans), PROTOBUF).content)
    assert answer.partial_success.rejected_spans == 4 and "40 days" in answer.partial_success.error_message
    assert ApiUsageLog.objects.count() == 1


@pytest.mark.parametrize("kind", [JSON, PROTOBUF])
@pytest.mark.parametrize(
    ("body", "headers", "code"),
    [
        (b"{broken \xff", {}, 400),
        (b"[" * 100_000, {}, 400),
        (b'"text"', {}, 400),
        (b"\x0a\xff\xff\xff\xff\x0f", {}, 400),
        (b"no gzip", {"content-encoding": "gzip"}, 400),
        (gzip.compress(b"{}", mtime=0)[:-9], {"content-encoding": "gzip"}, 400),
        (b"{}", {"content-encoding": "br"}, 415),
        (b"{}", {"authorization": ""}, 401),
        (b"{}", {"authorization": "Bearer cw_wrong"}, 401),
        (b"{}", {"authorization": "Basic !!"}, 401),
        (b" " * (1024 * 1024 + 1), {}, 413),
        (gzip.compress(b" " * (1024 * 1024 + 1), mtime=0), {"content-encoding": "gzip"}, 413),
        (zlib.compress(b" " * 50_000_000), {"content-encoding": "deflate"}, 413),
    ],
)
def test_errors_are_told_in_the_encoding_of_the_request(sender, settings, kind, body, headers, code):
    settings.OTLP_MAX_BODY_MB = 1
    response = send(sender, body, kind, **headers)
    assert (response.status_code, response["Content-Type"]) == (code, kind)
    told = response.json() if kind == JSON else Status.FromString(response.content)
    message, number = (told["message"], told["code"]) if kind == JSON else (told.message, told.code)
    assert message and number == {400: 3, 401: 16, 413: 3, 415: 3}[code]
    assert code != 401 or response["WWW-Authenticate"] == "Bearer"


def test_a_key_without_the_scope_other_types_and_methods(sender, owner):
    reading = Caller("reading", key_for(owner, "read"))
    assert "ingest" in send(reading, as_json(chat())).json()["message"]
    assert send(reading, as_json(chat())).status_code == 403
    assert send(sender, b"a,b", "text/csv").status_code == 415
    assert sender.ask("GET", TRACES).status_code == 405
    assert not ApiUsageLog.objects.exists()


def test_what_may_be_sent_again_says_when(sender, settings, monkeypatch):
    def away(*args, **more):
        raise OperationalError("connection refused: canary")

    with monkeypatch.context() as patch:
        patch.setattr("tracking.otlp.intake.ingest", away)
        response = send(sender, as_json(chat()))
        assert response.status_code == 503 and int(response["Retry-After"]) > 0
        assert b"canary" not in response.content
    settings.API_REQUESTS_PER_MINUTE = 1
    assert send(sender, as_json(chat())).status_code == 429
    assert 1 <= int(send(sender, as_json(chat()))["Retry-After"]) <= 60


def test_langfuse_sends_its_keys_by_basic(sender, owner):
    packed = base64.b64encode(f"pk-anything:{sender.token}".encode()).decode()
    path = "/api/public/otel/v1/traces"
    response = send(sender, as_protobuf(chat()), PROTOBUF, path, authorization=f"Basic {packed}")
    assert response.status_code == 200 and ApiUsageLog.objects.get().user_id == owner.pk
    wrong = base64.b64encode(b"pk:sk").decode()
    assert send(sender, b"{}", path=path, authorization=f"Basic {wrong}").status_code == 401


def test_staff_report_for_those_whom_spans_name(owner, member, staff):
    clerk = Caller("clerk", key_for(staff, "ingest"))
    spans = [chat(more={"costwatch.user": owner.pk}), chat(more={"user.id": "BOB@example.com"})]
    spans += [chat(more={"enduser.id": "stranger@example.com"}), chat(more={"user.id": "42"})]
    assert send(clerk, as_json(*spans)).content == b"{}"
    rows = ApiUsageLog.objects.order_by("id")
    assert sorted(row.user_id for row in rows) == sorted([owner.pk, member.pk, staff.pk, staff.pk])
    assert {row.tags.get("user") for row in rows if row.user_id == staff.pk} == {"stranger@example.com", "42"}


def test_metrics_are_counted_and_logs_are_dropped_and_neither_is_billed(sender):
    metrics.forget()
    point = {"asInt": "900", "attributes": [{"key": "gen_ai.token.type", "value": {"stringValue": "input"}}]}
    metric = {"name": "gen_ai.client.token.usage", "sum": {"dataPoints": [point, point]}}
    body = {"resourceMetrics": [{"scopeMetrics": [{"metrics": [metric]}]}]}
    assert send(sender, json.dumps(body).encode(), path="/v1/metrics").json() == {}
    message = ExportMetricsServiceRequest()
    message.resource_metrics.add().scope_metrics.add().metrics.add().gauge.data_points.add().as_int = 7
    assert send(sender, message.SerializeToString(), PROTOBUF, "/v1/metrics").content == b""
    assert send(sender, b'{"resourceMetrics": 7}', path="/v1/metrics").status_code == 400
    assert send(sender, b"whatever was said", PROTOBUF, "/v1/logs").status_code == 200
    assert send(sender, as_json(chat(), chat(attributes={"gen_ai.operation.name": "execute_tool"}))).status_code == 200
    assert ApiUsageLog.objects.count() == 1
    text = metrics.exposition().decode()
    assert "costwatch_otlp_data_points_total 3.0" in text
    assert 'costwatch_otlp_spans_total{outcome="recorded"} 1.0' in text
    assert 'costwatch_otlp_spans_total{outcome="other"} 1.0' in text


def test_nothing_of_what_was_said_is_kept_anywhere(sender, capfd, settings):
    said = {"gen_ai.input.messages": "canary-1", "gen_ai.prompt.0.content": "canary-2", "llm.prompts": "canary-3"}
    said |= {"error.type": "canary said: no", "gen_ai.output.messages": ["canary-4"], "input.value": "canary-5"}
    said |= {"langfuse.observation.usage_details": '{"canary": "x"}', "gen_ai.system_instructions": "canary-6"}
    response = send(sender, as_json(chat(more=said), chat(more={**said, "costwatch.user": "canary"})))
    assert response.json()["partialSuccess"]["rejectedSpans"] == "1"
    written = capfd.readouterr()
    row = ApiUsageLog.objects.get()
    kept = json.dumps({field.name: str(getattr(row, field.name)) for field in row._meta.fields})
    assert "canary" not in response.content.decode() + written.out + written.err + kept
    assert not [path for path in settings.SPOOL_DIR.glob("**/*") if path.is_file() and b"canary" in path.read_bytes()]


def test_a_body_in_chunks_is_read_where_the_server_ends_it():
    body = as_json(chat())
    request = RequestFactory().post(TRACES, b"", content_type=JSON, headers={"transfer-encoding": "chunked"})
    request.META |= {"wsgi.input_terminated": True, "wsgi.input": io.BytesIO(body)}
    assert body_of(request, most=10**6) == body


def test_an_export_of_more_calls_than_a_request_of_events_may_hold(sender):
    answer = send(sender, json.dumps(export(*[chat() for _ in range(1001)])).encode())
    assert answer.content == b"{}" and ApiUsageLog.objects.count() == 1001
