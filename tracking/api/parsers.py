"""Reading what is sent: bounded, exact, and without surprises."""

from __future__ import annotations

import json
from decimal import Decimal, InvalidOperation
from typing import Any

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError, UnsupportedMediaType
from rest_framework.parsers import BaseParser

#: The largest body that a view takes unless it says otherwise, in bytes.
MAX_BODY_BYTES = 64 * 1024
_UNPACKED = "Send it as it is, without Content-Encoding: only OpenTelemetry's addresses take packed bodies."


class TooLarge(APIException):
    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = "The body is too large."
    default_code = "too_large"


def read_bounded(stream: Any, parser_context: dict[str, Any] | None) -> bytes:
    """The body. Raises `TooLarge` for one beyond the view's `max_body_bytes`, having read no more than that."""
    request = (parser_context or {}).get("request")
    packing = request.META.get("HTTP_CONTENT_ENCODING", "").strip().lower() if request is not None else ""
    if packing not in ("", "identity"):
        raise UnsupportedMediaType(packing, f"The body is packed with {packing[:20]}. {_UNPACKED}")
    most = getattr((parser_context or {}).get("view"), "max_body_bytes", MAX_BODY_BYTES)
    body = stream.read(most + 1)
    if len(body) > most:
        raise TooLarge(f"A body of at most {most} bytes is read here.")
    if body.startswith(b"\x1f\x8b"):
        raise ParseError(f"The body is packed with gzip. {_UNPACKED}")
    return body


def why_not_json(error: Exception) -> str:
    """Why a text is no JSON, in words and by place."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, UnicodeDecodeError):
        return f"it is not UTF-8 from byte {error.start + 1} on"
    if isinstance(error, json.JSONDecodeError):
        where = f"line {error.lineno}, " if error.lineno > 1 else ""
        return f"{error.msg} at {where}character {error.colno}"
    if "integer string conversion" in str(error):
        return "a number has too many digits"
    return str(error)[:200]


class ExactJSONParser(BaseParser):
    """JSON with exact numbers: fractions become `Decimal`; NaN, infinities and names given twice are refused."""

    media_type = "application/json"

    def parse(self, stream: Any, media_type: str | None = None, parser_context: dict | None = None) -> Any:
        return exact_json(read_bounded(stream, parser_context))


def exact_json(body: bytes) -> Any:
    """The value. Raises `ParseError` for what is not JSON in UTF-8."""
    try:
        value = json.loads(
            body.decode("utf-8"), parse_float=Decimal, parse_constant=_refused, object_pairs_hook=_object
        )
        if b"\\ud" in body.lower():  # half of a pair of surrogates is no character: nothing could store it
            json.dumps(value, ensure_ascii=False, default=str).encode()
        return value
    except (ValueError, InvalidOperation, RecursionError) as error:
        raise ParseError(f"The body is not valid JSON: {why_not_json(error)}") from None


def _refused(name: str) -> Any:
    raise ValueError(f"{name} is not a JSON number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice in one object.")
    if any("\0" in name for name in found):
        raise ValueError("a name holds a null character.")
    return found
