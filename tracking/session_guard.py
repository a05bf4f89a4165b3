"""The gate of a websocket session: money is held for its next response, at the start and whenever one is over.

A provider may answer by itself (it hears when the speaker stops), so the hold is there before anything is asked. When
the budget is gone, the caller still gets the message that spent it; with his next step the session is closed and he
gets the error that the SDK raises for a refused call.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import uuid_utils

from tracking import gate
from tracking.events import CallEvent
from tracking.failures import failures
from tracking.gate import Gate, Refused, facts_of
from tracking.wire.requests import Sent

if TYPE_CHECKING:
    from tracking.bounds import Ask

#: longer than the providers let a session last
HOLD_S = 3_900.0
CLOSE_CODE = 4402
#: how long the next response waits for the last one's hold to be settled, where the budget is that narrow
RECORDED_S = 2.0
_BY_LENGTH = ("/v1/live", "/v1/realtime/translations")


class SessionGuard:
    """Holds for one response at a time. Not thread-safe: one reader at a time."""

    def __init__(self, find: Gate | Callable[[], Gate], *, template: Callable[[], CallEvent], session: Any) -> None:
        self._find = find
        self._template = template
        self._session = session
        self._hold = ""
        self._asked: gate.Attempt | None = None
        self.refused: Refused | None = None
        self._responses = 0  # that were held for

    @property
    def needs_hold(self) -> bool:
        """Whether the next response has no money yet; a session whose model is not known yet waits for it."""
        return not self._hold and self.refused is None and bool(self._session.model)

    def hold(self) -> None:
        """Hold for the next response, or note that it is refused."""
        try:
            try:
                self._admitted(self._gate().reserve(self._ask()))
            except Refused as refused:
                if not self._may_be_our_own(refused):
                    raise
                _recorded()
                self._admitted(self._gate().reserve(self._ask()))
        except Refused as refused:
            self._refuse(refused)
        except Exception as error:
            self._failed(error)

    async def ahold(self) -> None:
        """`hold` without blocking the event loop."""
        try:
            import anyio

            found = await anyio.to_thread.run_sync(self._gate) if not gate.is_loaded() else self._gate()
            try:
                self._admitted(await found.areserve(self._ask()))
            except Refused as refused:
                if not self._may_be_our_own(refused):
                    raise
                await anyio.to_thread.run_sync(_recorded)
                self._admitted(await found.areserve(self._ask()))
        except Refused as refused:
            self._refuse(refused)
        except Exception as error:
            self._failed(error)

    def _may_be_our_own(self, refused: Refused) -> bool:
        """Whether only money in flight stands in the way, part of which the response just ended may still hold."""
        return self._responses > 0 and refused.retry_after_s is not None

    def seen(self, event: CallEvent) -> None:
        """An event of the session is handed over: the one that the hold was for settles it."""
        by_length = isinstance(event.usage, dict) and event.usage.get("type") == "duration"
        if event.operation == "transcription" or by_length != (self._session.endpoint in _BY_LENGTH):
            return
        if self._hold and self._hold != "free":
            event.facts["hold"] = self._hold
            self._responses += 1
        self._hold = ""

    def end(self) -> None:
        """The session is over: what is held for a response that never began is let go."""
        hold, self._hold = self._hold, "over"
        if hold and hold not in ("free", "over"):
            try:
                self._gate().void(hold)
            except Exception as error:
                failures.note("gate_void", error)

    def _gate(self) -> Gate:
        return self._find() if callable(self._find) else self._find

    def _ask(self) -> gate.Attempt:
        event = self._template()
        session = self._session
        self._asked = gate.Attempt(
            id=str(uuid_utils.uuid7()),
            at_us=time.time_ns() // 1000,
            provider=event.provider,
            operation="chat" if session.endpoint == "/v1/responses" else "realtime",
            endpoint=session.endpoint,
            model=session.model,
            ask=self._request,
            user=event.user,
            feature=event.feature,
            analysis=event.analysis,
            tags=event.tags,
            hold_s=HOLD_S,
        )
        return self._asked

    def _request(self) -> Ask:
        from tracking.bounds import Ask

        session = self._session
        endpoint = "/v1/live" if session.endpoint in _BY_LENGTH else "/v1/realtime"
        sent = Sent(fields={"model": session.model}, model=session.model)
        return Ask(
            kind="openai", provider=self._template().provider, endpoint=endpoint, operation="realtime", sent=sent
        )

    def _admitted(self, admitted: gate.Admitted) -> None:
        self._hold = self._asked.id if admitted.held and self._asked is not None else "free"

    def _failed(self, error: Exception) -> None:
        from tracking.guarding import when_it_fails

        try:
            when_it_fails(error)
            self._hold = "free"
        except Refused as refused:
            self._refuse(refused)

    def _refuse(self, refused: Refused) -> None:
        self.refused = refused
        event = self._template()
        asked = self._asked
        event.id = asked.id if asked is not None else str(uuid_utils.uuid7())
        event.at_us = asked.at_us if asked is not None else event.at_us
        event.endpoint, event.stream = self._session.endpoint, True
        event.model_asked = self._session.model
        event.status, event.http_status, event.error = "refused", refused.status, refused.code
        event.facts = facts_of(refused)
        self._session.emit(event)

    def error(self, url: str) -> Exception:
        """What the caller gets for his next step."""
        from tracking.wire.refusals import error_of

        assert self.refused is not None
        return error_of(self.refused, kind="openai", url=url)


def _recorded() -> None:
    """Wait a moment for the recorder to settle what the last response held."""
    from tracking import spool

    spool.flush(RECORDED_S)
