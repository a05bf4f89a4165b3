"""OTLP in JSON: lowerCamelCase names, ids in hex, 64-bit numbers as texts. Pure.

Protobuf's own JSON reader does not read it: there, ids are base64.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from tracking.otlp.spans import MAX_LIST, Span, Unreadable, is_read, kept_text

_HEX = re.compile(r"[0-9a-f]*", re.ASCII)
_KINDS = {"INTERNAL": 1, "SERVER": 2, "CLIENT": 3, "PRODUCER": 4, "CONSUMER": 5}
_ERROR = (2, "2", "STATUS_CODE_ERROR")
_POINTS = ("gauge", "sum", "histogram", "exponentialHistogram", "summary")
_MAX_NUMBER = 2**64


def spans_of(body: bytes) -> list[Span]:
    """The spans of an export. Raises `Unreadable` for what is no `ExportTraceServiceRequest`."""
    found = []
    for of_resource in _members(_loaded(body), "resourceSpans"):
        resource = _attributes(_member(of_resource, "resource"))
        for of_scope in _members(of_resource, "scopeSpans"):
            scope = _member(of_scope, "scope").get("name")
            scope = scope if isinstance(scope, str) else ""
            found += [_span(span, resource, scope) for span in _members(of_scope, "spans")]
    return found


def data_points_of(body: bytes) -> int:
    """How many data points an export of metrics holds. Raises `Unreadable`."""
    return sum(
        sum(1 for _ in _members(_member(metric, kind), "dataPoints"))
        for of_resource in _members(_loaded(body), "resourceMetrics")
        for of_scope in _members(of_resource, "scopeMetrics")
        for metric in _members(of_scope, "metrics")
        for kind in _POINTS
    )


def _loaded(body: bytes) -> dict[str, Any]:
    try:
        found = json.loads(body.decode("utf-8"))
    except RecursionError:
        raise Unreadable("The body is not valid JSON: it is nested too deeply.") from None
    except ValueError:
        raise Unreadable("The body is not valid JSON in UTF-8.") from None
    if not isinstance(found, dict):
        raise Unreadable("The body must be a JSON object.")
    return found


def _member(holder: dict[str, Any], name: str) -> dict[str, Any]:
    found = holder.get(name)
    if found is None:
        return {}
    if not isinstance(found, dict):
        raise Unreadable(f"{name} must be an object.")
    return found


def _members(holder: dict[str, Any], name: str) -> Iterator[dict[str, Any]]:
    found = holder.get(name)
    if found is None:
        return
    if not isinstance(found, list):
        raise Unreadable(f"{name} must be a list.")
    for one in found:
        if not isinstance(one, dict):
            raise Unreadable(f"{name} must be a list of objects.")
        yield one


def _span(span: dict[str, Any], resource: dict[str, Any], scope: str) -> Span:
    return Span(
        trace_id=_id(span.get("traceId"), 32),
        span_id=_id(span.get("spanId"), 16),
        parent_id=_id(span.get("parentSpanId"), 16),
        kind=_kind(span.get("kind")),
        start_ns=_whole(span.get("startTimeUnixNano")) or 0,
        end_ns=_whole(span.get("endTimeUnixNano")) or 0,
        failed=_member(span, "status").get("code") in _ERROR,
        attributes=_attributes(span),
        resource=resource,
        scope=scope,
    )


def _id(value: Any, digits: int) -> str:
    """Ids are hex, of either case."""
    text = value.lower() if isinstance(value, str) else ""
    return text if len(text) == digits and _HEX.fullmatch(text) and text.strip("0") else ""


def _kind(value: Any) -> int:
    if isinstance(value, str) and value.startswith("SPAN_KIND_"):  # not OTLP, but written by some
        return _KINDS.get(value.removeprefix("SPAN_KIND_"), 0)
    return _whole(value) or 0


def _whole(value: Any) -> int | None:
    """64-bit numbers are written as texts; small ones may be numbers."""
    if isinstance(value, str) and value.isascii() and value.lstrip("-").isdigit() and len(value) <= 20:
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if value.__class__ is int and -_MAX_NUMBER < value < _MAX_NUMBER else None


def _attributes(holder: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for pair in _members(holder, "attributes"):
        name = pair.get("key")
        if isinstance(name, str) and is_read(name):
            found[name] = _value(_member(pair, "value"))
    return found


def _value(value: dict[str, Any]) -> Any:
    """A text, a number, a flag, or a list of texts; None for anything else."""
    for kind, inner in value.items():
        if kind == "stringValue":
            return kept_text(inner) if isinstance(inner, str) else None
        if kind == "intValue":
            return _whole(inner)
        if kind == "doubleValue":
            return inner if inner.__class__ in (int, float) else None
        if kind == "boolValue":
            return inner if inner.__class__ is bool else None
        if kind == "arrayValue":
            items = _members(inner, "values") if isinstance(inner, dict) else ()
            texts = [item.get("stringValue") for item in items][:MAX_LIST]
            return [kept_text(text) for text in texts if isinstance(text, str) and text]
    return None
