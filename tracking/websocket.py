"""Meter the websocket sessions (realtime, live, responses, translations) that a metered OpenAI client opens.

The SDK's connection managers know their client; where that client is metered, the socket they open is watched. The
managers' classes are touched once, when their module is imported (it costs much and few need it), and behave as ever
for clients that are not metered.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import inspect
import sys
import time
import weakref
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tracking import context
from tracking.context import NOBODY, Attribution
from tracking.events import CallEvent
from tracking.failures import failures
from tracking.meter import Meter
from tracking.session_guard import CLOSE_CODE, SessionGuard
from tracking.wire.sessions import Session

_RESOURCES = "openai.resources."
_MODULES = frozenset(
    _RESOURCES + name
    for name in (
        "realtime.realtime",
        "realtime.translations.translations",
        "responses.responses",
        "live.live",
        "live.sideband",
        "live.forks",
        "beta.realtime.realtime",
        "beta.responses.responses",
    )
)


def watch() -> None:
    """From now on the websockets of metered clients are metered. Calling it again changes nothing."""
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, _Finder())
    for name in _MODULES:
        if (module := sys.modules.get(name)) is not None:
            _prepare(module)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the SDK's websocket modules as ever, and prepares them when they have been loaded."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name not in _MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path, target)
        if spec is None or spec.loader is None:
            return spec
        run = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            run(module)
            _prepare(module)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _prepare(module: Any) -> None:
    try:
        for name, cls in list(vars(module).items()):
            if inspect.isclass(cls) and name.endswith("ConnectionManager") and cls.__module__ == module.__name__:
                _prepare_manager(cls)
    except Exception as error:
        failures.note("websocket_prepare", error)


def _prepare_manager(cls: type) -> None:
    if "_costwatch" in vars(cls):
        return
    cls._costwatch = True  # type: ignore[attr-defined]
    if "_connect_ws" in vars(cls):
        cls._connect_ws = _watched(cls._connect_ws, socket_of=lambda opened: opened)
        return
    entry = "__aenter__" if "__aenter__" in vars(cls) else "__enter__"
    watched = _watched(vars(cls)[entry], socket_of=lambda opened: opened._connection)
    setattr(cls, entry, watched)
    cls.enter = watched  # type: ignore[attr-defined]


def _watched(connect: Any, *, socket_of: Any) -> Any:
    """`connect`, and the socket that it opens is metered when the manager's client is."""
    if inspect.iscoroutinefunction(connect):

        @functools.wraps(connect)
        async def aconnect(manager: Any, *args: Any, **kwargs: Any) -> Any:
            opened = await connect(manager, *args, **kwargs)
            guard = None
            if (transport := _transport_of(manager)) is not None:
                try:
                    who = await context.aresolve(transport.attribution)
                    socket = socket_of(opened)
                    session, guard = _session(socket, manager, transport.meter, who)
                    _meter_async(socket, session, guard)
                except Exception as error:
                    failures.note("websocket", error)
            if guard is not None and guard.needs_hold:
                await guard.ahold()
                await _anext_step(socket, guard)
            return opened

        return aconnect

    @functools.wraps(connect)
    def connected(manager: Any, *args: Any, **kwargs: Any) -> Any:
        opened = connect(manager, *args, **kwargs)
        guard = None
        if (transport := _transport_of(manager)) is not None:
            try:
                who = context.resolve(transport.attribution)
                socket = socket_of(opened)
                session, guard = _session(socket, manager, transport.meter, who)
                _meter_sync(socket, session, guard)
            except Exception as error:
                failures.note("websocket", error)
        if guard is not None and guard.needs_hold:
            guard.hold()
            _next_step(socket, guard)
        return opened

    return connected


def _transport_of(manager: Any) -> Any:
    from tracking.instrument import metered_transport

    for cls in type(manager).__mro__:
        client = getattr(manager, f"_{cls.__name__.lstrip('_')}__client", None)
        if client is not None:
            return metered_transport(client)
    return None


def _session(socket: Any, manager: Any, meter: Meter, who: Attribution = NOBODY) -> tuple[Session, SessionGuard | None]:
    url = urlsplit(getattr(getattr(socket, "request", None), "path", "") or "")
    query = parse_qs(url.query)
    model = (query.get("model") or query.get("deployment") or [""])[0][:200]
    module = type(manager).__module__
    path = url.path or ("/responses" if "responses" in module else "/live" if "live" in module else "/realtime")
    started_us = time.time_ns() // 1000

    def make() -> CallEvent:
        return CallEvent(
            id="",
            at_us=max(started_us, time.time_ns() // 1000),
            provider=meter.provider,
            operation="realtime",
            endpoint="",
            source="websocket",
            user=who.user,
            feature=who.feature,
            analysis=who.analysis,
            tags=dict(who.tags),
            flags=list(who.flags),
            http_status=101,
        )

    def emit(event: CallEvent) -> None:
        try:
            if guard is not None and event.status != "refused":
                guard.seen(event)
            meter.sink(event)
        except Exception as error:
            failures.note("sink", error)

    session = Session(path=path, model=model, emit=emit, make=make)
    guard = SessionGuard(meter.gate, template=make, session=session) if meter.gate is not None else None
    return session, guard


def _meter_sync(socket: Any, session: Session, guard: SessionGuard | None = None) -> None:
    recv, send, close = socket.recv, getattr(socket, "send", None), socket.close

    @functools.wraps(recv)
    def metered_recv(*args: Any, **kwargs: Any) -> Any:
        _next_step(socket, guard)
        try:
            message = recv(*args, **kwargs)
        except Exception as error:
            _broke(session, error)
            raise
        _see(session, message)
        if guard is not None and guard.needs_hold:
            guard.hold()
        return message

    @functools.wraps(send)
    def guarded_send(*args: Any, **kwargs: Any) -> Any:
        _next_step(socket, guard)
        return send(*args, **kwargs)

    @functools.wraps(close)
    def metered_close(*args: Any, **kwargs: Any) -> Any:
        try:
            return close(*args, **kwargs)
        finally:
            _end(session, guard=guard)

    socket.recv, socket.close = metered_recv, metered_close
    if guard is not None:
        socket.send = guarded_send
    weakref.finalize(socket, _end, session, guard=guard)


def _meter_async(socket: Any, session: Session, guard: SessionGuard | None = None) -> None:
    recv, send, close = socket.recv, getattr(socket, "send", None), socket.close

    @functools.wraps(recv)
    async def metered_recv(*args: Any, **kwargs: Any) -> Any:
        await _anext_step(socket, guard)
        try:
            message = await recv(*args, **kwargs)
        except Exception as error:
            _broke(session, error)
            raise
        _see(session, message)
        if guard is not None and guard.needs_hold:
            await guard.ahold()
        return message

    @functools.wraps(send)
    async def guarded_send(*args: Any, **kwargs: Any) -> Any:
        await _anext_step(socket, guard)
        return await send(*args, **kwargs)

    @functools.wraps(close)
    async def metered_close(*args: Any, **kwargs: Any) -> Any:
        try:
            return await close(*args, **kwargs)
        finally:
            _end(session, guard=guard)

    socket.recv, socket.close = metered_recv, metered_close
    if guard is not None:
        socket.send = guarded_send
    weakref.finalize(socket, _end, session, guard=guard)


def _see(session: Session, message: Any) -> None:
    try:
        session.see(message.encode() if isinstance(message, str) else message)
    except Exception as error:
        failures.note("websocket_message", error)


def _broke(session: Session, error: BaseException) -> None:
    """`recv` raised: a closed connection ends the session, a timeout of the caller's own does not."""
    if type(error).__name__ == "ConnectionClosedOK":
        _end(session)
    elif type(error).__name__.startswith("ConnectionClosed"):
        _end(session, status="incomplete")


def _end(session: Session, status: str = "cancelled", guard: SessionGuard | None = None) -> None:
    try:
        session.end(status=status)
        if guard is not None:
            guard.end()
    except Exception as error:
        failures.note("websocket_end", error)


def _next_step(socket: Any, guard: SessionGuard | None) -> None:
    """Close the session and raise where its budget is gone."""
    if guard is not None and guard.refused is not None:
        socket.close(CLOSE_CODE, guard.refused.code)
        raise guard.error(_address(socket))


async def _anext_step(socket: Any, guard: SessionGuard | None) -> None:
    if guard is not None and guard.refused is not None:
        await socket.close(CLOSE_CODE, guard.refused.code)
        raise guard.error(_address(socket))


def _address(socket: Any) -> str:
    path = getattr(getattr(socket, "request", None), "path", "") or "/"
    return f"wss://{(getattr(socket, 'request', None) and socket.request.headers.get('Host')) or 'localhost'}{path}"
