"""Marks the OpenTelemetry span around a metered call with the call's id, so that the span is not billed once more."""

from __future__ import annotations

import sys

from tracking.failures import failures

#: Read where spans come in: `tracking.otlp`.
CALL_ID = "costwatch.call_id"


def mark_span(call_id: str) -> None:
    """Tell the current span which call of the ledger it is. Does nothing where nobody traces; never raises."""
    trace = sys.modules.get("opentelemetry.trace")
    if trace is None:
        return
    try:
        span = trace.get_current_span()
        if span.is_recording():
            span.set_attribute(CALL_ID, call_id)
    except Exception as error:
        failures.note("mark_span", error)
