"""How the schema describes the OTLP addresses."""

from __future__ import annotations

from collections.abc import Callable

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers

from tracking.otlp.bodies import JSON, PROTOBUF


class OtlpError(serializers.Serializer):
    """What is wrong, as a `google.rpc.Status`."""

    code = serializers.IntegerField(help_text="of google.rpc.Code: 3 a bad request, 16 no valid key, 8 too many, ...")
    message = serializers.CharField(help_text="what is wrong, and what to do next")


class RejectedSpans(serializers.Serializer):
    """Spans that were not recorded; they need not be sent again."""

    rejectedSpans = serializers.CharField(help_text="how many, as 64-bit numbers are written in OTLP's JSON")
    errorMessage = serializers.CharField(help_text="why, with the number of spans for each reason")


class TracesTaken(serializers.Serializer):
    """The answer to an export of spans; empty where all were taken."""

    partialSuccess = RejectedSpans(required=False, help_text="where some were not recorded")


_ERRORS = {
    400: "The body is not what it says it is.",
    401: "No key, or one that is wrong, revoked or expired.",
    403: "The key lacks the scope.",
    405: "The method is not one of this address.",
    413: "The body is larger than `OTLP_MAX_BODY_MB`, packed or unpacked.",
    415: "The body is of a type or an encoding that is not read here.",
    429: "Too many requests: `Retry-After` says when to come back, in seconds. Exporters do.",
    503: "The database does not answer: send the same again. Exporters do.",
}
_SUMMARIES = {
    "traces": "Send spans",
    "langfuse": "Send spans with Langfuse's SDK",
    "metrics": "Send metrics",
    "logs": "Send logs",
}


def described(kind: str) -> Callable:
    """Describe a method: `kind` is a key of `_SUMMARIES`."""
    answer = TracesTaken if kind in ("traces", "langfuse") else OpenApiTypes.OBJECT
    return extend_schema(
        operation_id=f"post_otlp_{kind}",
        summary=_SUMMARIES[kind],
        tags=["opentelemetry"],
        request={PROTOBUF: OpenApiTypes.BINARY, JSON: OpenApiTypes.OBJECT},
        responses={
            (200, JSON): OpenApiResponse(answer, description="Taken; in protobuf where protobuf was sent."),
            (200, PROTOBUF): OpenApiResponse(OpenApiTypes.BINARY, description="Taken."),
            **{
                (code, encoding): OpenApiResponse(shape, description=text)
                for code, text in _ERRORS.items()
                for encoding, shape in ((JSON, OtlpError), (PROTOBUF, OpenApiTypes.BINARY))
            },
        },
    )
