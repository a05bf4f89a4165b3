"""Between an attempt and the gate: what is asked before it is sent, and what a refusal leaves behind."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tracking import gate
from tracking.failures import failures
from tracking.gate import FREELY, Admitted, Gate, Refused, unavailable
from tracking.wire import endpoints

if TYPE_CHECKING:
    from tracking.bounds import Ask
    from tracking.meter import Attempt

HOLD_S = 900.0
#: what is answered later: OpenAI's and Anthropic's batches within a day, background responses and videos much sooner
LATER_S = 26 * 3600.0
MAX_HOLD_S = 24 * 3600.0
_GUARDED = frozenset({endpoints.CALL, endpoints.RESPONSE, endpoints.RUN, endpoints.VIDEO, endpoints.BATCH})
_LATER = frozenset({endpoints.BATCH, endpoints.VIDEO, endpoints.RUN})
_WIDE = "context-1m"


def admit(attempt: Attempt, guard: Any) -> Admitted:
    """Ask the gate; raises `Refused`, and nothing else."""
    try:
        found = _gate(guard)
        if found is gate.OPEN or attempt.endpoint.action not in _GUARDED:
            return FREELY
        return _noted(attempt, found, found.reserve(_asked(attempt)))
    except Refused:
        raise
    except Exception as error:
        return when_it_fails(error)


async def aadmit(attempt: Attempt, guard: Any) -> Admitted:
    """`admit` without blocking the event loop, also where Django must be set up first."""
    try:
        if guard is None or attempt.endpoint.action not in _GUARDED:
            return FREELY
        if not gate.is_loaded():
            import anyio

            found = await anyio.to_thread.run_sync(_gate, guard)
        else:
            found = _gate(guard)
        return FREELY if found is gate.OPEN else _noted(attempt, found, await found.areserve(_asked(attempt)))
    except Refused:
        raise
    except Exception as error:
        return when_it_fails(error)


def _noted(attempt: Attempt, found: Gate, admitted: Admitted) -> Admitted:
    if admitted.held:
        attempt.held_by = found
    return admitted


def _gate(guard: Any) -> Gate:
    """`guard` is a gate, or what finds it at the first call."""
    if guard is None:
        return gate.OPEN
    return guard() if callable(guard) else guard


def when_it_fails(error: Exception) -> Admitted:
    """What keeps the gate from being asked at all (settings that cannot be read): as with a database that is away.

    Raises `Refused`, unless `ON_GATE_FAILURE` says otherwise.
    """
    failures.note("gate", error)
    try:
        from tracking.spool import settings_of

        refuse = getattr(settings_of(), "ON_GATE_FAILURE", "refuse") != "allow"
    except Exception:
        refuse = True
    if refuse:
        raise unavailable(f"The budget cannot be checked: {type(error).__name__}.") from error
    return Admitted(flags=("gate_failed",))


def _asked(attempt: Attempt) -> gate.Attempt:
    event = attempt.event
    return gate.Attempt(
        id=event.id,
        at_us=event.at_us,
        provider=event.provider,
        operation=event.operation,
        endpoint=event.endpoint,
        model=event.model_asked,
        ask=lambda: ask_of(attempt),
        user=event.user,
        feature=event.feature,
        analysis=event.analysis,
        tags=event.tags,
        hold_s=_hold_s(attempt),
    )


def ask_of(attempt: Attempt) -> Ask:
    """The request as bounds see it."""
    from tracking.bounds import Ask

    request = attempt.request
    return Ask(
        kind=attempt.kind,
        provider=attempt.event.provider,
        endpoint=attempt.endpoint.name,
        operation=attempt.endpoint.operation,
        sent=attempt.sent,
        wide=_WIDE in request.headers.get("anthropic-beta", ""),
        parts=tuple(getattr(request.stream, "fields", None) or ()),
    )


def _hold_s(attempt: Attempt) -> float:
    """Longer than the caller waits: an attempt of which nothing is heard for so long is given up."""
    if attempt.endpoint.action in _LATER or attempt.sent.fields.get("background") is True:
        return LATER_S
    timeouts = attempt.request.extensions.get("timeout")
    waits = timeouts.get("read") if isinstance(timeouts, dict) else None
    if not isinstance(waits, (int, float)):
        return HOLD_S
    return min(MAX_HOLD_S, max(HOLD_S, waits * 1.5))


def with_maximum(body: bytes, fields: dict[str, Any], admitted: Admitted) -> bytes:
    """The body with the maximum that the gate set; the rest as it was, byte for byte where that can be."""
    name, value = admitted.field, admitted.max_tokens
    trimmed = body.rstrip()
    if name not in fields and fields and trimmed.endswith(b"}"):
        return trimmed[:-1] + f',"{name}":{value}}}'.encode()
    return json.dumps({**fields, name: value}, ensure_ascii=False, separators=(",", ":")).encode()
