"""What is sent to the OTLP addresses: read, unpacked and bounded; and what is answered, in the same encoding."""

from __future__ import annotations

import json
import zlib
from typing import Any

from django.http import HttpResponse
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceResponse
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from rest_framework import status
from rest_framework.exceptions import APIException, ParseError

from tracking.api.parsers import TooLarge

PROTOBUF, JSON = "application/x-protobuf", "application/json"
ANSWERS: dict[str, type[Message]] = {
    "traces": ExportTraceServiceResponse,
    "metrics": ExportMetricsServiceResponse,
    "logs": ExportLogsServiceResponse,
}
#: google.rpc.Code by HTTP status.
_CODES = {400: 3, 401: 16, 403: 7, 404: 5, 405: 12, 413: 3, 415: 3, 429: 8, 503: 14}
_INTERNAL = 13


class Unsupported(APIException):
    """A body of a type or an encoding that is not read."""

    status_code = status.HTTP_415_UNSUPPORTED_MEDIA_TYPE
    default_code = "unsupported_media_type"


def type_of(request: Any) -> str:
    """`PROTOBUF` or `JSON`. Raises `Unsupported` for anything else."""
    told = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if told in (PROTOBUF, JSON):
        return told
    if told == "application/protobuf":
        return PROTOBUF
    raise Unsupported(f"The media type must be {PROTOBUF} or {JSON}.")


def body_of(request: Any, *, most: int) -> bytes:
    """The body, unpacked. Raises `TooLarge` over `most` bytes, packed or not, having read no more than that;
    `ParseError` for what cannot be unpacked, and `Unsupported` for encodings that are not read.
    """
    packing = request.headers.get("content-encoding", "").strip().lower()
    if packing not in ("", "identity", "gzip", "x-gzip", "deflate"):
        raise Unsupported("The content encoding must be gzip, deflate or none.")
    sent = _stream(request).read(most + 1)
    if len(sent) > most:
        raise _too_large(most)
    return sent if packing in ("", "identity") else _unpacked(sent, most, zlib.MAX_WBITS | 32)


def _stream(request: Any) -> Any:
    """Where the body is read from. Django reads nothing of a body without a length; a server that ends it does.

    (The exporter of OpenTelemetry JS sends what it packs in chunks.)
    """
    asked = request._request if hasattr(request, "_request") else request
    chunked = "chunked" in asked.META.get("HTTP_TRANSFER_ENCODING", "").lower()
    if chunked and asked.META.get("wsgi.input_terminated"):
        return asked.META["wsgi.input"]
    return asked


def _unpacked(sent: bytes, most: int, bits: int) -> bytes:
    """gzip (of several members, too) or zlib, unpacked up to a bound."""
    pieces, size, rest = [], 0, sent
    while rest:
        unpacker = zlib.decompressobj(bits)
        try:
            piece = unpacker.decompress(rest, most + 1 - size)
        except zlib.error:
            raise ParseError("The body cannot be unpacked.") from None
        size += len(piece)
        if size > most:
            raise _too_large(most)
        if not unpacker.eof:
            raise ParseError("The body is cut off: it cannot be unpacked.")
        pieces.append(piece)
        rest = unpacker.unused_data
        bits = zlib.MAX_WBITS | 16
    return b"".join(pieces)


def _too_large(most: int) -> TooLarge:
    return TooLarge(f"A body of at most {most} bytes, unpacked, is read here: export smaller batches.")


def success(kind: str, encoding: str, *, rejected: int = 0, message: str = "") -> HttpResponse:
    """The answer to an export; what was not taken is told as OTLP says, and not sent again."""
    count = {"traces": "rejected_spans", "metrics": "rejected_data_points", "logs": "rejected_log_records"}[kind]
    if encoding == JSON:
        first, *others = count.split("_")
        name = first + "".join(map(str.capitalize, others))
        partial = {"partialSuccess": {name: str(rejected), "errorMessage": message}} if rejected else {}
        return HttpResponse(json.dumps(partial), content_type=JSON)
    answer = ANSWERS[kind]()
    if rejected:
        setattr(answer.partial_success, count, rejected)
        answer.partial_success.error_message = message
    return HttpResponse(answer.SerializeToString(), content_type=PROTOBUF)


def failure(http_status: int, message: str, encoding: str, headers: dict[str, str]) -> HttpResponse:
    """A `google.rpc.Status`."""
    code = _CODES.get(http_status, _INTERNAL)
    if encoding == PROTOBUF:
        body: Any = Status(code=code, message=message).SerializeToString()
    else:
        body = json.dumps({"code": code, "message": message})
    return HttpResponse(body, status=http_status, content_type=encoding, headers=headers)
