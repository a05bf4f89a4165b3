"""Records the demo's past as it would have happened: in order of time, refused where a hard limit had no room.

Thresholds are crossed, windows end, and people are told, at the times of the past.
"""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from alerts.crossings import claim_crossings, resolve_limits
from alerts.models import AlertRead, CostAlert, Delivery
from budgets import operations
from budgets.calls import Call
from budgets.errors import BudgetExceeded
from budgets.models import Period
from budgets.resets import reset_windows
from tracking.events import CallEvent
from tracking.money import from_nanousd
from tracking.recording import record
from tracking.rows import current_pricing, row_of

#: Calls of so long are recorded together, and people hear of them then.
STEP = timedelta(hours=3)
#: Who was told so long ago has read it; mail of so long ago is not sent any more.
READ_AFTER, TOLD_WITHIN = timedelta(days=3), timedelta(days=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TOO_OLD = "Part of the demo's past."
_UNKNOWN = object()


class Replay:
    """Takes calls in order of time; `end` records the last of them."""

    def __init__(self, *, now: datetime) -> None:
        self._now = now
        self._step = self._day = -1
        self._waiting: list[CallEvent] = []
        self._rooms: dict[Any, Any] = {}  # of each user, what is left for him in USD; None where no limit is hard
        self.added = 0
        self.already = 0

    def play(self, event: CallEvent) -> None:
        """Let a call happen: it is recorded, or refused, when it was made."""
        at = _moment(event)
        step = (at - _EPOCH) // STEP
        if step != self._step:
            self._record()
            self._step = step
            self._rooms.clear()
        if at.toordinal() != self._day:
            self._day = at.toordinal()
            self._new_day(at.replace(hour=0, minute=0, second=0, microsecond=0))
        if not self._has_room(event, at):
            self._ask(event, at)
        self._waiting.append(event)

    def end(self) -> None:
        """Record what waits, and come to the present."""
        self._record()
        self._new_day(self._now)

    def _record(self) -> None:
        if not self._waiting:
            return
        at = min(_moment(self._waiting[-1]) + timedelta(seconds=2), self._now)
        done = record(self._waiting, now=at)
        self._waiting = []
        self.added += done.recorded
        self.already += done.duplicates + len(done.conflicts)
        claim_crossings(at=at)

    def _new_day(self, at: datetime) -> None:
        for period in Period:
            reset_windows(period, at=at)
        claim_crossings(at=at)
        resolve_limits(at=at)
        AlertRead.objects.filter(read_at=None, alert__created_at__lt=at - READ_AFTER).update(read_at=at)
        old = CostAlert.objects.filter(created_at__lt=self._now - TOLD_WITHIN)
        Delivery.objects.filter(alert__in=old, state__in=(Delivery.State.PLANNED, Delivery.State.COLLECTED)).update(
            state=Delivery.State.SKIPPED, last_error=_TOO_OLD
        )

    def _has_room(self, event: CallEvent, at: datetime) -> bool:
        """Whether its user's hard limits have room for what a call costs: as they stood when this step began, less what
        he has spent in it.
        """
        room = self._rooms.get(event.user, _UNKNOWN)
        if room is _UNKNOWN:
            room = self._rooms[event.user] = operations.room_for(_call(event, at))
        if room is None:
            return True
        cost = _cost(event, at)
        if cost > room:
            return False
        self._rooms[event.user] = room - cost
        return True

    def _ask(self, event: CallEvent, at: datetime) -> None:
        """Let the gate decide, once all that came before is counted: the call is refused, or money is held for it."""
        self._record()
        self._rooms.pop(event.user, None)
        try:
            operations.reserve(_call(event, at), hold_id=uuid.UUID(event.id), amount=_cost(event, at))
        except BudgetExceeded as error:
            operations.note_refused(error.refusal, at=at)
            claim_crossings(at=at)
            event.status, event.http_status, event.error = "refused", 402, "budget_exceeded"
            event.usage, event.quality, event.model_served = None, "none", ""
            event.ttft_us, event.latency_us = None, None
            event.facts = {"sent": False, "refused_by": error.refusal.window_id}


def _moment(event: CallEvent) -> datetime:
    return _EPOCH + timedelta(microseconds=event.at_us)


def _cost(event: CallEvent, at: datetime) -> Decimal:
    row = row_of(event, now=at, user_id=event.user, pricing=current_pricing())
    return from_nanousd(row.cost or 0)


def _call(event: CallEvent, at: datetime) -> Call:
    return Call(
        at=at, user=event.user, provider=event.provider, model=event.model_asked, feature=event.feature,
        analysis=event.analysis, operation=event.operation, endpoint=event.endpoint,
    )  # fmt: skip
