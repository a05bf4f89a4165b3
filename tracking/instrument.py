"""Put a meter into an SDK's own client, and keep it there in the client's copies."""

from __future__ import annotations

import functools
import logging
from typing import Any

from tracking import context
from tracking.context import NOBODY, Attribution
from tracking.events import CallEvent
from tracking.meter import Meter, Sink

logger = logging.getLogger("tracking.metering")

#: who sends the bill, by the end of the host's name; every other host is taken to be the SDK's own provider (a proxy)
_PROVIDER_BY_HOST = {
    "azure.com": "azure",
    "api.groq.com": "groq",
    "api.deepseek.com": "deepseek",
    "api.mistral.ai": "mistral",
    "api.x.ai": "x-ai",
    "api.together.xyz": "together",
    "api.fireworks.ai": "fireworks",
    "api.perplexity.ai": "perplexity",
    "api.cohere.ai": "cohere",
    "api.cerebras.ai": "cerebras",
    "openrouter.ai": "openrouter",
    "generativelanguage.googleapis.com": "google",
    "aiplatform.googleapis.com": "google",
    "amazonaws.com": "aws",
}


def emit(event: CallEvent) -> None:
    """The sink of every client that is not given another: this process's spool."""
    from tracking import spool

    spool.emit(event)


def guard() -> Any:
    """The gate of every client that is not given another sink: the one that the settings name."""
    from tracking import gate

    return gate.current()


def instrument(
    client: Any, *, attribution: Attribution = NOBODY, sink: Sink = emit, gate: Any = None, owned: bool = False
) -> Any:
    """Meter an OpenAI or Anthropic client (sync or async) in place, and return it.

    The attribution is this client's default, and that of its copies. A client that is metered already keeps its meter;
    what `attribution` says then replaces what was said before. `owned`: nobody else uses its HTTP client.
    `gate` is asked before each attempt is sent; without one, that of the settings guards what goes to the spool.
    Raises `TypeError` for what is not such a client.
    """
    from tracking.transport import AsyncMeteredTransport, MeteredTransport

    http = getattr(client, "_client", None)
    kind = sdk_of(client)
    wrapper = _wrapper_for(http, MeteredTransport, AsyncMeteredTransport)
    before = metered_transport(client)
    if before is not None:
        if attribution is NOBODY:
            return client
        attribution = attribution.over(before.attribution)
        gate = gate or before.meter.gate
        sink = before.meter.sink if sink is emit else sink
    if gate is None and sink is emit:
        gate = guard
    meter = Meter(kind=kind, provider=_provider(client, kind), sink=sink, gate=gate)

    def metered(transport: Any) -> Any:
        if transport is None:
            return None
        inner = transport.inner if isinstance(transport, (MeteredTransport, AsyncMeteredTransport)) else transport
        return wrapper(inner, meter=meter, attribution=attribution)

    target = http if owned else _view(http)
    target._transport = metered(http._transport)
    target._mounts = {pattern: metered(transport) for pattern, transport in http._mounts.items()}
    if target is not http:
        client._client = target
    _follow_copies(client)
    if kind == "openai":
        from tracking import websocket

        websocket.watch()
    return client


def metered_transport(client: Any) -> Any:
    """The metered transport of a client; None for a client that is not metered."""
    from tracking.transport import AsyncMeteredTransport, MeteredTransport

    transport = getattr(getattr(client, "_client", None), "_transport", None)
    return transport if isinstance(transport, (MeteredTransport, AsyncMeteredTransport)) else None


def sdk_of(client: Any) -> str:
    """Whose SDK `client` comes from: "openai" or "anthropic". Raises `TypeError` for anything else."""
    for cls in type(client).__mro__:
        package = cls.__module__.partition(".")[0]
        if package in ("openai", "anthropic") and hasattr(client, "_client"):
            return package
    raise TypeError(f"{type(client).__name__} is not a client of the OpenAI or Anthropic SDK.")


def _wrapper_for(http: Any, sync: type, asynchronous: type) -> type:
    import httpx2

    if isinstance(http, httpx2.Client):
        return sync
    if isinstance(http, httpx2.AsyncClient):
        return asynchronous
    raise TypeError(
        f"The client's HTTP client is a {type(http).__module__}.{type(http).__name__}; "
        "Costwatch meters those of httpx2: pass http_client=httpx2.Client(...), or none."
    )


def _provider(client: Any, kind: str) -> str:
    try:
        host = client.base_url.host
    except AttributeError:
        return kind
    for end, provider in _PROVIDER_BY_HOST.items():
        if host == end or host.endswith(f".{end}"):
            return provider
    return kind


def _view(http: Any) -> Any:
    """Another handle on the same HTTP client (same connections, cookies, state), with transports of its own.

    Others may use `http` too: what they send through it is theirs, and is not metered as this client's.
    """
    cls = _view_class(type(http))
    view = cls.__new__(cls)
    view.__dict__.update(http.__dict__)
    view.__dict__.pop("_state", None)
    view._costwatch_of = getattr(http, "_costwatch_of", http)
    return view


@functools.lru_cache(maxsize=64)
def _view_class(cls: type) -> type:
    if "_costwatch_view" in cls.__dict__:
        return cls

    def state(self):
        return self._costwatch_of._state

    def set_state(self, value):
        self._costwatch_of._state = value

    members = {
        "_state": property(state, set_state),  # closed is closed, whoever closed it
        "__del__": lambda self: None,  # the connections end with the client they belong to
        "__module__": cls.__module__,
        "__qualname__": cls.__qualname__,
        "_costwatch_view": True,
    }
    return type(cls.__name__, (cls,), members)


def _follow_copies(client: Any) -> None:
    """`copy()` and `with_options()` share the HTTP client, and with it the meter; given another, it is metered too."""
    if "copy" in vars(client):
        return
    original = type(client).copy

    @functools.wraps(original)
    def copy(*args: Any, **kwargs: Any) -> Any:
        made = original(client, *args, **kwargs)
        before, after = metered_transport(client), metered_transport(made)
        if before is not None and after is None:
            try:
                return instrument(made, attribution=before.attribution, sink=before.meter.sink, gate=before.meter.gate)
            except TypeError as error:
                logger.warning("This copy is not metered: %s", error)
                return made
        _follow_copies(made)
        return made

    client.copy = copy
    client.with_options = copy


def attribution_of(client: Any) -> Attribution:
    """The defaults of a metered client."""
    transport = metered_transport(client)
    return transport.attribution if transport is not None else context.NOBODY
