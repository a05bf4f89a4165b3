"""OTLP in protobuf, by the messages of the OpenTelemetry project. Pure."""

from __future__ import annotations

from typing import Any

from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tracking.otlp.spans import MAX_LIST, Span, Unreadable, is_read, kept_text

_ERROR = 2  # Status.STATUS_CODE_ERROR


def spans_of(body: bytes) -> list[Span]:
    """The spans of an export. Raises `Unreadable` for what is no `ExportTraceServiceRequest`."""
    found = []
    for of_resource in _parsed(ExportTraceServiceRequest, body).resource_spans:
        resource = _attributes(of_resource.resource.attributes)
        for of_scope in of_resource.scope_spans:
            scope = of_scope.scope.name
            found += [_span(span, resource, scope) for span in of_scope.spans]
    return found


def data_points_of(body: bytes) -> int:
    """How many data points an export of metrics holds. Raises `Unreadable`."""
    return sum(
        len(getattr(metric, kind).data_points)
        for of_resource in _parsed(ExportMetricsServiceRequest, body).resource_metrics
        for of_scope in of_resource.scope_metrics
        for metric in of_scope.metrics
        if (kind := metric.WhichOneof("data"))
    )


def _parsed(message: Any, body: bytes) -> Any:
    try:
        return message.FromString(body)
    except (DecodeError, RecursionError, ValueError):
        raise Unreadable(f"The body is no {message.DESCRIPTOR.name} in protobuf.") from None


def _span(span: Any, resource: dict[str, Any], scope: str) -> Span:
    trace_id, span_id = span.trace_id, span.span_id
    parent_id = span.parent_span_id
    return Span(
        trace_id=trace_id.hex() if len(trace_id) == 16 and any(trace_id) else "",
        span_id=span_id.hex() if len(span_id) == 8 and any(span_id) else "",
        parent_id=parent_id.hex() if len(parent_id) == 8 and any(parent_id) else "",
        kind=span.kind,
        start_ns=span.start_time_unix_nano,
        end_ns=span.end_time_unix_nano,
        failed=span.status.code == _ERROR,
        attributes=_attributes(span.attributes),
        resource=resource,
        scope=scope,
    )


def _attributes(pairs: Any) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if is_read(pair.key)}


def _value(value: Any) -> Any:
    """A text, a number, a flag, or a list of texts; None for anything else."""
    kind = value.WhichOneof("value")
    if kind == "string_value":
        return kept_text(value.string_value)
    if kind in ("int_value", "double_value", "bool_value"):
        return getattr(value, kind)
    if kind == "array_value":
        texts = (item.string_value for item in value.array_value.values[:MAX_LIST])
        return [kept_text(text) for text in texts if text]
    return None
