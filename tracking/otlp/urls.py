"""The addresses of OTLP, from the root of the site, and Langfuse's."""

from __future__ import annotations

from collections.abc import Sequence

from django.urls import URLPattern, path

from tracking.otlp.views import LangfuseView, LogsView, MetricsView, TracesView


def otlp_urls(authentication: Sequence[type]) -> list[URLPattern]:
    """The addresses; `authentication` says how who sends is known."""
    ways = {"authentication_classes": list(authentication)}
    return [
        path("v1/traces", TracesView.as_view(**ways), name="otlp-traces"),
        path("v1/metrics", MetricsView.as_view(**ways), name="otlp-metrics"),
        path("v1/logs", LogsView.as_view(**ways), name="otlp-logs"),
        # Where Langfuse's SDK sends its spans.
        path("api/public/otel/v1/traces", LangfuseView.as_view(**ways), name="otlp-langfuse"),
    ]
