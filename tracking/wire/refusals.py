"""Refusals as the providers' own errors look, so that the SDKs raise them as their own, once. Pure."""

from __future__ import annotations

import json
from typing import Any

from tracking.gate import Refused

#: what the gate adds to an error of either shape, beside what the provider's own has
TYPES = {402: "budget_exceeded", 503: "budget_unavailable"}


def body_of(refused: Refused, *, kind: str) -> dict[str, Any]:
    """The JSON body of a refusal in the shape of an SDK of `kind`."""
    error = {"message": refused.message, "type": TYPES.get(refused.status, refused.code)}
    if kind == "anthropic":
        return {"type": "error", "error": {**error, "code": refused.code, **refused.details}}
    return {"error": {**error, "param": None, "code": refused.code, **refused.details}}


def headers_of(refused: Refused) -> list[tuple[bytes, bytes]]:
    """Headers with which neither SDK tries again by itself."""
    headers = [(b"content-type", b"application/json"), (b"x-should-retry", b"false"), (b"x-costwatch", b"refused")]
    if refused.retry_after_s is not None:
        headers.append((b"retry-after", str(refused.retry_after_s).encode()))
    return headers


def response_of(refused: Refused, *, kind: str, request: Any) -> Any:
    """The synthetic response (of httpx2) that takes the place of the provider's."""
    import httpx2

    content = json.dumps(body_of(refused, kind=kind)).encode()
    return httpx2.Response(refused.status, headers=headers_of(refused), content=content, request=request)


def error_of(refused: Refused, *, kind: str, url: str) -> Exception:
    """The same as the error that the SDK would raise: for sessions, which have no response."""
    import httpx2

    if kind == "anthropic":
        import anthropic as sdk
    else:
        import openai as sdk
    response = response_of(refused, kind=kind, request=httpx2.Request("GET", url))
    body = body_of(refused, kind=kind)
    return sdk.APIStatusError(refused.message, response=response, body=body if kind == "anthropic" else body["error"])


def refusal_in(error: BaseException) -> dict[str, Any] | None:
    """The error object of a refusal of ours inside an SDK's status error; None for any other error."""
    response, body = getattr(error, "response", None), getattr(error, "body", None)
    if getattr(response, "headers", {}).get("x-costwatch") != "refused" or not isinstance(body, dict):
        return None
    inner = body.get("error")
    return inner if isinstance(inner, dict) else body
