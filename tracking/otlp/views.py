"""`POST /v1/traces`, `/v1/metrics`, `/v1/logs`: OTLP over HTTP, in protobuf or JSON."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpResponse
from django.utils import timezone
from rest_framework import exceptions
from rest_framework.renderers import JSONRenderer

from tracking.api.ingest import Unavailable, reporter_of
from tracking.api.views import ApiView
from tracking.otlp import counts, otlp_json, protobuf
from tracking.otlp.answers import described
from tracking.otlp.bodies import JSON, PROTOBUF, Unsupported, body_of, failure, success, type_of
from tracking.otlp.intake import SOURCE, take_in
from tracking.otlp.spans import Unreadable

_READERS: dict[str, Any] = {PROTOBUF: protobuf, JSON: otlp_json}


class OtlpView(ApiView):
    """Answers as OTLP says, errors too: in the encoding of the request."""

    scopes = dict.fromkeys(("POST", "GET", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"), "ingest")
    http_method_names = ["post"]

    def perform_content_negotiation(self, request: Any, force: bool = False) -> tuple[Any, str]:
        """The answer has the encoding of the request, whatever else is asked for."""
        return JSONRenderer(), JSON

    def handle_exception(self, exc: Exception) -> Any:
        if isinstance(exc, Unreadable):
            exc = exceptions.ParseError(str(exc))
        elif isinstance(exc, OperationalError | InterfaceError):
            exc = Unavailable()
        if not isinstance(exc, exceptions.APIException):
            return super().handle_exception(exc)
        headers = {}
        if isinstance(exc, exceptions.NotAuthenticated | exceptions.AuthenticationFailed):
            exc.status_code = 401
            headers["WWW-Authenticate"] = self.get_authenticate_header(self.request) or "Bearer"
        if wait := getattr(exc, "wait", None):
            headers["Retry-After"] = str(max(1, round(wait)))
        if isinstance(exc, Unsupported):
            headers["Accept-Encoding"] = "gzip, deflate"
        return failure(exc.status_code, str(exc.detail), self._encoding(), headers)

    def _encoding(self) -> str:
        try:
            return type_of(self.request)
        except Unsupported:
            return JSON

    def _read(self, request: Any) -> tuple[str, Any, bytes]:
        encoding = type_of(request)
        return encoding, _READERS[encoding], body_of(request, most=settings.OTLP_MAX_BODY_MB * 1024 * 1024)


class TracesView(OtlpView):
    """Spans: those that stand for calls of providers become calls."""

    @described("traces")
    def post(self, request: Any) -> HttpResponse:
        """Record the calls among the spans. What cannot be recorded is told in `partial_success`."""
        encoding, reader, body = self._read(request)
        reporter = replace(reporter_of(request), source=SOURCE)
        taken = take_in(reader.spans_of(body), reporter=reporter, now=timezone.now())
        counts.add_spans(taken)
        return success("traces", encoding, rejected=taken.rejected, message=taken.message)


class LangfuseView(TracesView):
    """The same at the address that Langfuse's SDK appends to its host."""

    @described("langfuse")
    def post(self, request: Any) -> HttpResponse:
        """The same as `/v1/traces`, where Langfuse's SDK sends its spans: its secret key is a key of Costwatch's."""
        return super().post(request)


class MetricsView(OtlpView):
    """Metrics: counted, and not kept. What calls cost is told by their spans."""

    @described("metrics")
    def post(self, request: Any) -> HttpResponse:
        """Take metrics, so that exporters that send them with the spans have somewhere to."""
        encoding, reader, body = self._read(request)
        counts.add_data_points(reader.data_points_of(body))
        return success("metrics", encoding)


class LogsView(OtlpView):
    """Logs: they hold prompts and answers. Nothing of them is read."""

    @described("logs")
    def post(self, request: Any) -> HttpResponse:
        """Take logs and drop them unread: an exporter that is refused complains at every batch, or tries again."""
        return success("logs", type_of(request))
