"""Send a recorded request through an SDK, with the method that the SDK has for it, and take the whole answer."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any

from tests.replay.recorded import Exchange

#: endpoint -> attribute path of the SDK's method; ids in the path become its arguments
METHODS = [
    ("openai", r"/v1/chat/completions", "chat.completions.create"),
    ("openai", r"/v1/responses", "responses.create"),
    ("openai", r"/v1/responses/compact", "responses.compact"),
    ("openai", r"/v1/responses/input_tokens", "responses.input_tokens.count"),
    ("openai", r"/v1/completions", "completions.create"),
    ("openai", r"/v1/embeddings", "embeddings.create"),
    ("openai", r"/v1/images/generations", "images.generate"),
    ("openai", r"/v1/conversations", "conversations.create"),
    ("openai", r"/v1/vector_stores", "vector_stores.create"),
    ("openai", r"/v1/vector_stores/(?P<vector_store_id>[^/]+)/files", "vector_stores.files.create"),
    ("openai", r"/v1/realtime/client_secrets", "realtime.client_secrets.create"),
    ("openai", r"/v1/assistants", "beta.assistants.create"),
    ("openai", r"/v1/threads", "beta.threads.create"),
    ("openai", r"/v1/threads/(?P<thread_id>[^/]+)/messages", "beta.threads.messages.create"),
    ("openai", r"/v1/threads/(?P<thread_id>[^/]+)/runs", "beta.threads.runs.create"),
    (
        "openai",
        r"/v1/threads/(?P<thread_id>[^/]+)/runs/(?P<run_id>[^/]+)/submit_tool_outputs",
        "beta.threads.runs.submit_tool_outputs",
    ),
    ("anthropic", r"/v1/messages", "messages.create"),
    ("anthropic", r"/v1/messages/count_tokens", "messages.count_tokens"),
]


def method(client: Any, exchange: Exchange) -> Callable[..., Any] | None:
    """The SDK's method for the exchange's endpoint, ready to be called, or None."""
    if exchange.raw["request"] is None:
        return _upload(client, exchange)
    if exchange.path == "/v1/embeddings" and "encoding_format" not in exchange.raw["request"]:
        return None  # the SDK would ask for another encoding than was recorded
    for provider, pattern, name in METHODS:
        match = re.fullmatch(pattern, exchange.path)
        if match and provider == exchange.raw["provider"]:
            steps = f"beta.{name}" if provider == "anthropic" and exchange.beta else name
            call = functools.reduce(getattr, steps.split("."), client)
            return functools.partial(call, **match.groupdict(), **arguments(call, exchange.raw["request"]))
    return None


def _upload(client: Any, exchange: Exchange) -> Callable[..., Any] | None:
    if exchange.path != "/v1/files":
        return None
    file = ("data.csv", b"a,b\n1,2\n")
    if exchange.raw["provider"] == "anthropic":
        return functools.partial(client.beta.files.upload, file=file)
    return functools.partial(client.files.create, file=file, purpose="assistants")


def arguments(call: Callable[..., Any], request: dict[str, Any]) -> dict[str, Any]:
    """The request as keyword arguments; what the method has no name for goes into the body as it is."""
    known = inspect.signature(call).parameters
    named = {k: v for k, v in request.items() if k in known and v is not None}
    rest = {k: v for k, v in request.items() if k not in named}
    return {**named, **({"extra_body": rest} if rest else {})}


def address(exchange: Exchange) -> str:
    """The base URL that the SDK is given."""
    suffix = "/openai/v1" if exchange.raw["provider"] == "openai" else "/anthropic"
    return exchange.base_url + suffix


def post(client: Any, exchange: Exchange) -> Any:
    """The request by the SDK's general method, for endpoints without one of their own."""
    path = exchange.path.removeprefix("/v1") if exchange.raw["provider"] == "openai" else exchange.path
    if exchange.raw["request"] is None:  # an upload, or another body that is not JSON
        return client.post(path, cast_to=object, files={"file": ("data.csv", b"a,b\n1,2\n")})
    kwargs: dict[str, Any] = {}
    if exchange.is_stream:
        kwargs = {"stream": True, "stream_cls": _stream_class(client, exchange)}
    return client.post(path, cast_to=object, body=exchange.raw["request"], **kwargs)


def _stream_class(client: Any, exchange: Exchange) -> Any:
    module = inspect.getmodule(type(client)).__name__.split(".")[0]
    sdk = __import__(module)
    is_async = type(client).__name__.startswith("Async")
    return (sdk.AsyncStream if is_async else sdk.Stream)[object]


def outcome(client: Any, exchange: Exchange) -> Any:
    """Everything that the caller sees: the answer, the list of a stream's events, or the error's kind and status."""
    call = method(client, exchange)
    try:
        answer = call() if call else post(client, exchange)
        return list(answer) if exchange.is_stream else answer
    except Exception as error:
        return _seen(error)


async def async_outcome(client: Any, exchange: Exchange) -> Any:
    """The same with an async client."""
    call = method(client, exchange)
    try:
        answer = await (call() if call else post(client, exchange))
        return [event async for event in answer] if exchange.is_stream else answer
    except Exception as error:
        return _seen(error)


def _seen(error: Exception) -> tuple[str, Any, Any]:
    body = getattr(error, "body", None)
    return type(error).__name__, getattr(error, "status_code", None), body if isinstance(body, dict) else str(error)


def plain(seen: Any) -> Any:
    """What the caller saw as plain data, to be compared."""
    if isinstance(seen, list):
        return [plain(event) for event in seen]
    return seen.to_dict(mode="json", exclude_unset=True) if hasattr(seen, "to_dict") else seen


def not_recorded(seen: Any) -> bool:
    """Whether the server did not know the request: the SDK's method changed its body."""
    body = seen[2] if isinstance(seen, tuple) else None
    error = body.get("error", body) if isinstance(body, dict) else {}
    return isinstance(error, dict) and error.get("code") == "not_recorded"
