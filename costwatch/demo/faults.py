"""What goes wrong on demand: by model name (`demo-error-500`) or by the header `x-demo-fault: error-500`."""

from __future__ import annotations

import re
from collections.abc import Iterator

from costwatch.demo.wire import Reply, Request, anthropic_error, openai_error

KINDS = """
error-<status>   that status, every time (400, 401, 404, 429, 500, 529, ...)
flaky-<status>   that status for the first try, then the answer
slow-<seconds>   the answer after that many seconds
cut              the connection is closed in the middle of the answer
garbled          the answer is not JSON; a stream has broken events
"""
_NAME = re.compile(r"(error|flaky)-\d{3}|slow(-[\d.]+)?|cut|garbled")
_OPENAI = {
    400: ("invalid_request_error", "invalid_value"),
    401: ("invalid_request_error", "invalid_api_key"),
    404: ("invalid_request_error", "model_not_found"),
    429: ("requests", "rate_limit_exceeded"),
}
_ANTHROPIC = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    429: "rate_limit_error",
    529: "overloaded_error",
}
MAX_SLOW_S = 30.0
DEFAULT_SLOW_S = 2.0


def named(request: Request) -> str:
    """The fault that the request asks for, or ""."""
    model = request.model
    asked = request.headers.get("x-demo-fault") or (model.removeprefix("demo-") if model.startswith("demo-") else "")
    return asked if _NAME.fullmatch(asked) else ""


def refusal(request: Request, fault: str) -> Reply | None:
    """The error that the fault asks for on this try, if it does."""
    kind, _, status_text = fault.partition("-")
    if kind not in ("error", "flaky"):
        return None
    retry = request.headers.get("x-stainless-retry-count", "0")
    if kind == "flaky" and retry != "0":
        return None
    status = int(status_text)
    message = f"The local provider was asked for status {status}."
    if "anthropic-version" in request.headers:
        reply = anthropic_error(status, message, kind=_ANTHROPIC.get(status, "api_error"))
    else:
        error_type, code = _OPENAI.get(status, ("server_error", None))
        reply = openai_error(status, message, kind=error_type, code=code)
    reply.headers["retry-after-ms"] = "10"
    return reply


def slow_s(fault: str) -> float:
    """How many seconds the answer waits."""
    kind, _, seconds = fault.partition("-")
    return min(float(seconds or DEFAULT_SLOW_S), MAX_SLOW_S) if kind == "slow" else 0.0


def spoil(reply: Reply, fault: str) -> Reply:
    """The answer, cut or garbled where the fault says so."""
    if fault == "cut":
        reply.cut = True
        if reply.pieces is not None:
            pieces = list(reply.pieces)
            reply.pieces = pieces[: max(2, len(pieces) // 2)]
    elif fault == "garbled":
        if reply.pieces is not None:
            reply.pieces = _garbled(reply.pieces)
        else:
            reply.body = reply.body[: len(reply.body) // 2]
    return reply


def _garbled(pieces: Iterator[bytes]) -> Iterator[bytes]:
    for number, piece in enumerate(pieces):
        yield piece.replace(b"{", b"<", 1) if number == 2 else piece
