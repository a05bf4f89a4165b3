"""Calls of which nothing was ever heard: their holds expire, and the ledger says so."""

from datetime import datetime
from decimal import Decimal
from uuid import UUID

from budgets import operations
from budgets.calls import Call
from tracking.events import SERVICE_BY_OPERATION, CallEvent
from tracking.recording import record

_CHUNK = 200


def sweep_holds(*, now: datetime) -> int:
    """Write a row of status "unknown" for every open hold whose time is up, and count it at what was held.

    The provider may have billed the call, so its money is not let go. The row has the call's own id: when the truth
    arrives after all, it corrects this row. Returns the number of holds that expired. Right also when it stops
    half-way or runs twice: first the row is written, then the hold is settled, each once.
    """
    swept = 0
    while expired := operations.expired_holds(now=now, limit=_CHUNK):
        record([_event(hold_id, amount, call) for hold_id, amount, call in expired], now=now)
        for hold_id, *_ in expired:
            operations.expire(hold_id, now=now)
        swept += len(expired)
    return swept


def _event(hold_id: UUID, amount: Decimal, call: Call) -> CallEvent:
    tags = dict(call.tags)
    if call.api_key:
        tags.setdefault("api_key", call.api_key)
    return CallEvent(
        id=str(hold_id),
        at_us=int(call.at.timestamp()) * 1_000_000 + call.at.microsecond,
        provider=call.provider,
        operation=call.operation if call.operation in SERVICE_BY_OPERATION else "other",
        endpoint=call.endpoint,
        source="hold",
        model_asked=call.model,
        model_served=call.model_served,
        user=call.user,
        feature=call.feature,
        analysis=call.analysis,
        tags=tags,
        status="unknown",
        quality="estimated",
        flags=["expired_hold"],
        cost_usd=f"{amount:f}",
    )
