"""Calls of which nothing was ever heard: their holds expire, and the ledger says so."""

import logging
from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from uuid import UUID

from django.db.models import Q

from budgets import operations
from budgets.calls import Call
from tracking.events import SERVICE_BY_OPERATION, CallEvent
from tracking.items import operation_told
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.recording import record
from tracking.truth import UNKNOWN

logger = logging.getLogger(__name__)
_CHUNK = 200


def sweep_holds(*, now: datetime) -> int:
    """Write a row of status "unknown" for every open hold whose time is up, and count it at what was held.

    The provider may have billed the call, so its money is not let go. The row has the call's own id: when the truth
    arrives after all, it corrects this row. A call that has a row already (a background answer that never came) gets
    no second one. Returns the number of holds that were resolved. Right also when it stops half-way or runs twice:
    first the row is written, then the hold is settled, each once.
    """
    swept: set[UUID] = set()
    while expired := operations.expired_holds(now=now, limit=_CHUNK):
        if swept.issuperset(hold_id for hold_id, *_ in expired):
            logger.error("%d holds could not be resolved, the first is %s.", len(expired), expired[0][0])
            break
        known = _recorded(hold_id for hold_id, *_ in expired)
        record([_event(*hold) for hold in expired if hold[0] not in known], now=now)
        for hold_id, *_ in expired:
            if hold_id in known:
                # At the ledger's cost; at what was held while that is not known, until a correction tells it.
                operations.settle(hold_id, cost=known[hold_id], now=now)
            else:
                operations.expire(hold_id, now=now)
        swept.update(hold_id for hold_id, *_ in expired)
    return len(swept)


def _recorded(ids: Iterable[UUID]) -> dict[UUID, Decimal | None]:
    """Those calls that have a row of their own in the ledger, with their net cost in USD; None while not known."""
    times = dict(
        RecordedEvent.objects.filter(id__in=list(ids)).exclude(occurred_at=None).values_list("id", "occurred_at")
    )
    if not times:
        return {}
    rows = ApiUsageLog.objects.filter(Q(id__in=times) | Q(corrects__in=times), occurred_at__in=set(times.values()))
    costs: dict[UUID, Decimal | None] = {}
    unknown = set()
    for row_id, corrects, status, cost in rows.values_list("id", "corrects", "status", "cost"):
        call_id = corrects or row_id
        if status == UNKNOWN:
            unknown.add(call_id)  # written by a sweeper that did not get further
        costs.setdefault(call_id, None)
        if cost is not None and (cost or corrects is None):
            costs[call_id] = (costs[call_id] or Decimal(0)) + cost
    return {call_id: cost for call_id, cost in costs.items() if call_id not in unknown}


def _event(hold_id: UUID, amount: Decimal, call: Call) -> CallEvent:
    tags = dict(call.tags)
    if call.api_key:
        tags.setdefault("api_key", call.api_key)
    operation = operation_told({"operation": call.operation, "endpoint": call.endpoint, "model": call.model})
    return CallEvent(
        id=str(hold_id),
        at_us=int(call.at.timestamp()) * 1_000_000 + call.at.microsecond,
        provider=call.provider,
        operation=operation if operation in SERVICE_BY_OPERATION else "other",
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
