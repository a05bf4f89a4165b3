"""Spans, in both encodings of OTLP."""

from __future__ import annotations

import itertools
import json
import math
from datetime import datetime
from typing import Any

from google.protobuf import json_format
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracking.otlp import otlp_json
from tracking.otlp.spans import Span

_numbers = itertools.count(1)
TRACE = "5b8efff798038103d269b633813fc60c"
CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o-2024-08-06",
    "gen_ai.usage.input_tokens": 1000,
    "gen_ai.usage.output_tokens": 500,
}  # $0.0075


def span(*, at: datetime, **fields: Any) -> dict[str, Any]:
    """A span as OTLP's JSON writes it; `attributes` replaces those of a chat of gpt-4o, `more` adds to them.

    None as a value leaves an attribute out.
    """
    attributes = {**fields.pop("attributes", CHAT), **fields.pop("more", {})}
    start_ns = int(at.timestamp() * 1_000_000) * 1000
    return {
        "traceId": TRACE,
        "spanId": f"{next(_numbers):016x}",
        "name": "canary-name",
        "kind": 3,
        "startTimeUnixNano": str(start_ns),
        "endTimeUnixNano": str(start_ns + 812_000_000),
        "attributes": pairs(attributes),
        "events": [{"name": "canary-event", "attributes": pairs({"gen_ai.prompt": "canary-prompt"})}],
        "status": {"message": "canary-message"},
        **fields,
    }


def pairs(attributes: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": name, "value": _value(value)} for name, value in attributes.items() if value is not None]


def _value(value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}
    if isinstance(value, float):
        names = {math.inf: "Infinity", -math.inf: "-Infinity"}
        return {"doubleValue": value if math.isfinite(value) else names.get(value, "NaN")}
    if isinstance(value, list):
        return {"arrayValue": {"values": [_value(one) for one in value]}}
    return {"stringValue": value}


def export(*spans: dict[str, Any], resource: dict[str, Any] | None = None) -> dict[str, Any]:
    """An export of spans."""
    of_scope = {"scope": {"name": "test"}, "spans": list(spans)}
    return {"resourceSpans": [{"resource": {"attributes": pairs(resource or {})}, "scopeSpans": [of_scope]}]}


def as_json(*spans: dict[str, Any], **more: Any) -> bytes:
    return json.dumps(export(*spans, **more)).encode()


def as_protobuf(*spans: dict[str, Any], **more: Any) -> bytes:
    """The same in protobuf, whose own JSON has ids in base64."""
    import base64

    def converted(one: dict[str, Any]) -> dict[str, Any]:
        ids = {name: one[name] for name in ("traceId", "spanId", "parentSpanId") if one.get(name)}
        return {**one, **{name: base64.b64encode(bytes.fromhex(value)).decode() for name, value in ids.items()}}

    body = export(*map(converted, spans), **more)
    return json_format.ParseDict(body, ExportTraceServiceRequest()).SerializeToString()


def read(*spans: dict[str, Any], **more: Any) -> list[Span]:
    """The spans as they are read."""
    return otlp_json.spans_of(as_json(*spans, **more))
