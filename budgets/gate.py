"""The gate of the budgets: what `tracking.gate.Gate` asks, answered by the operations.

A call to which no limit applies takes some microseconds and no round trip. Where one applies, money is held:

- SQLite: on the caller's thread (inside his own transaction: in a savepoint of it, see `budgets.connections`).
- PostgreSQL, and for every coroutine: on the bounded pool. If the database gives no sign of life within a second, the
  call is refused with 503 (`ON_GATE_FAILURE`), and what might still be held by then is let go.
"""

import asyncio
import contextlib
import logging
import os
import socket
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError
from django.db import connections as databases

from budgets import book, connections, memory, operations, settling, store
from budgets.calls import Call
from budgets.crossings import count_refused
from budgets.errors import BudgetExceeded, BudgetUnavailable, HoldNotFound
from budgets.policy import Amount, NotBounded, Question
from budgets.refusals import not_bounded, of_refusal
from budgets.settling import SettleItem
from tracking.gate import FREELY, Admitted, Attempt, Outcome, Refused, unavailable
from tracking.users import ids_of

logger = logging.getLogger(__name__)

#: How long the database may take to give a sign of life, and then to answer (it may wait for a lock), in seconds.
REACH_S, ANSWER_S = 0.9, 8.0
#: How often a call tries again with what is left, when others took the room it had seen.
_TRIES = 4
LOG_EVERY_S = 10.0
#: USD: no limit has room for it.
_MORE_THAN_ANY = Decimal(10**9)
#: When the database gave its last sign of life to any call of this process, by the monotonic clock.
_heard_at = 0.0
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_UNAVAILABLE = (BudgetUnavailable, DatabaseError, InterfaceError, TimeoutError)


class BudgetGate:
    """See `tracking.gate.Gate`."""

    def __init__(self) -> None:
        self._logged_at = float("-inf")

    def reserve(self, attempt: Attempt) -> Admitted:
        """Hold the most that the attempt can cost, in every window that counts it. Raises `Refused`."""
        call = call_of(attempt)
        if _is_free(call):
            return FREELY
        try:
            if databases[connections.ALIAS].vendor == "sqlite" and not _on_event_loop():
                return _decide(attempt, call)
            return _Ticket(attempt, call).wait()
        except _UNAVAILABLE as error:
            return self._unchecked(call, error)

    async def areserve(self, attempt: Attempt) -> Admitted:
        """`reserve` for coroutines."""
        call = call_of(attempt)
        if _is_free(call):
            return FREELY
        try:
            return await _Ticket(attempt, call).awaited()
        except _UNAVAILABLE as error:
            return self._unchecked(call, error)

    def void(self, hold_id: str) -> None:
        """Let go of a hold under which nothing was sent, on the pool."""
        connections.submit(partial(_void, uuid.UUID(hold_id)))

    def held_for_others(self, users: Mapping[str, int | str | None]) -> set[str]:
        """Of these calls (id: whose it is said to be), those whose money is held, or was, for somebody else."""
        holds = {
            str(hold_id): call.get("user")
            for hold_id, call in operations.Hold.objects.filter(pk__in=list(users)).values_list("pk", "call")
        }
        named = [user for one in (users, holds) for user in one.values() if user is not None]
        known = ids_of(named) if holds else {}
        return {i for i, user in holds.items() if known.get(user, user) != known.get(users[i], users[i])}

    def open_ahead(self, outcomes: Iterable[Outcome], *, at: datetime) -> None:
        """Open the windows in which these calls will count, so that their crossings are written at once."""
        try:
            if book.current().limits:
                settling.open_windows([item for outcome in outcomes if (item := _item(outcome))], at=at)
        except BudgetUnavailable as error:
            logger.warning("Windows could not be opened ahead: %s", error)

    def settle_many(self, outcomes: Iterable[Outcome], *, now: datetime) -> None:
        """Settle the holds of these calls, and count those that had none."""
        store.lock_ledger(exclusively=False)
        if not book.look_now().limits:
            return  # limits are ended, not deleted: there has never been a window or a hold
        items = []
        refused: Counter[int] = Counter()
        for outcome in outcomes:
            if outcome.verb == "refused":
                refused[outcome.window or 0] += 1
            elif outcome.verb == "pending":
                later = now + timedelta(hours=26)
                operations.Hold.objects.filter(pk=outcome.id, state="open", expires_at__lt=later).update(
                    expires_at=later
                )
            elif item := _item(outcome):
                items.append(item)
        if items:
            settling.settle_many(items, now=now)
        if refused:
            count_refused(refused, at=now)

    def _unchecked(self, call: Call, error: Exception) -> Admitted:
        """The database is away. What is known from before may say that no hard limit applies; else it is refused."""
        known = book.last_known()
        user_id = call.user if isinstance(call.user, int) else None
        unknown_user = isinstance(call.user, str) and known is not None and known.needs_users
        if known is not None and not unknown_user:
            hard = [m for m in known.matches(call, user_id) if m.limit.hard and m.enforced]
            if not hard:
                return Admitted(flags=("gate_unchecked",))
        if _is_not_set_up(error) or (known is None and memory.knows_of_no_hard_limit()):
            return Admitted(flags=("gate_unchecked",))
        allowed = settings.ON_GATE_FAILURE == "allow"
        now = time.monotonic()
        if allowed or now - self._logged_at > LOG_EVERY_S:
            self._logged_at = now
            logger.error(
                "Budgets cannot be checked (%s): calls under hard limits are %s (ON_GATE_FAILURE).",
                type(error).__name__,
                "ADMITTED UNCHECKED" if allowed else "refused",
            )
        if allowed:
            return Admitted(flags=("gate_failed",))
        raise unavailable(
            "The budget cannot be checked, as its database does not answer; the call was not sent. Try again later."
        ) from error


def call_of(attempt: Attempt) -> Call:
    """The attempt as limits see it."""
    return Call(
        at=_EPOCH + timedelta(microseconds=attempt.at_us),
        user=attempt.user,
        provider=attempt.provider,
        model=attempt.model,
        feature=attempt.feature,
        analysis=attempt.analysis,
        api_key=attempt.tags.get("api_key", "") if attempt.tags else "",
        tags=attempt.tags,
        operation=attempt.operation,
        endpoint=attempt.endpoint,
    )


def _is_free(call: Call) -> bool:
    """Whether it is known at once that no limit applies."""
    if not book.is_fresh():
        return False
    snapshot = book.last_known()
    if snapshot is None:
        return False
    if not snapshot.limits:
        return True
    if isinstance(call.user, str) and snapshot.needs_users:
        return False  # whose address that is must be looked up
    return not snapshot.matches(call, call.user if isinstance(call.user, int) else None)


def _decide(attempt: Attempt, call: Call) -> Admitted:
    """Hold what is to be held. Raises `Refused`, and what `_UNAVAILABLE` names."""
    matches = book.matches(call)
    if not matches:
        return FREELY
    hard = [match for match in matches if match.limit.hard and match.enforced]
    question = Question(attempt.ask(), call, hard)
    try:
        amount: Amount | None = question.amount()
    except NotBounded as error:
        room = operations.check(call, amount=_MORE_THAN_ANY)
        raise not_bounded(error, room) from None
    if amount.usd == 0:
        return Admitted(flags=amount.flags) if amount.flags else FREELY
    hold_id = uuid.UUID(attempt.id)
    expires_at = call.at + timedelta(seconds=attempt.hold_s)
    for left in reversed(range(_TRIES)):
        try:
            operations.reserve(call, hold_id=hold_id, amount=amount.usd, expires_at=expires_at)
            return Admitted(True, amount.field, amount.max_tokens, amount.flags)
        except BudgetExceeded as error:
            again = question.again() if left and amount.max_tokens != settings.MIN_CAPPED_TOKENS else None
            if again is None or again == amount:
                raise of_refusal(error.refusal) from None
            amount = again
    raise AssertionError("unreachable")


class _Ticket:
    """One reservation on the pool, that whoever waits for it may give up: what it holds by then is let go."""

    def __init__(self, attempt: Attempt, call: Call) -> None:
        self._hold_id = uuid.UUID(attempt.id)
        self._lock = threading.Lock()
        self._asked_at, self._started_at, self._reached_at = time.monotonic(), 0.0, 0.0
        self._given_up = self._done = False
        self._asking: Any = None  # the connection that is being asked for a sign of life
        self._future = connections.submit(partial(self._run, partial(_decide, attempt, call)))

    def wait(self) -> Admitted:
        """Wait for the answer on this thread."""
        try:
            while (left_s := self._patience_s()) > 0:
                try:
                    return self._future.result(left_s)
                except TimeoutError:
                    if self._future.done():
                        raise
            raise TimeoutError("the database gives no sign of life")
        except Refused:
            raise
        except BaseException:
            self.give_up()
            raise

    async def awaited(self) -> Admitted:
        """Wait for the answer without blocking the event loop."""
        try:
            waiting = asyncio.wrap_future(self._future)
        except RuntimeError:  # another kind of event loop
            import anyio

            return await anyio.to_thread.run_sync(self.wait)
        try:
            while (left_s := self._patience_s()) > 0:
                await asyncio.wait({waiting}, timeout=left_s)
                if waiting.done():
                    return waiting.result()
            raise TimeoutError("the database gives no sign of life")
        except Refused:
            raise
        except BaseException:
            self.give_up()
            raise

    def _patience_s(self) -> float:
        """How long it is worth waiting. One that waits for its turn goes by the signs of life that others got."""
        now = time.monotonic()
        if self._reached_at:
            return self._reached_at + ANSWER_S - now
        return (self._started_at or max(self._asked_at, _heard_at)) + REACH_S - now

    def give_up(self) -> None:
        """Nobody waits any more."""
        if self._future.cancel():
            return
        with self._lock:
            self._given_up = True
            done = self._done
            if self._asking is not None:
                _cut(self._asking)  # its thread would wait for as long as the network pretends to be there
        if done:
            connections.submit(partial(_void, self._hold_id))

    def _run(self, work: Callable[[], Admitted]) -> Admitted:
        global _heard_at
        self._started_at = time.monotonic()
        try:
            if databases[connections.ALIAS].vendor == "postgresql" and not self._alive():
                # An open connection has died; whether the database is there, a new one tells.
                databases[connections.ALIAS].close()
                databases[connections.ALIAS].ensure_connection()
            _heard_at = time.monotonic()
        finally:
            self._reached_at = time.monotonic()
        with self._lock:
            if self._given_up:
                raise TimeoutError("given up")
        try:
            return work()
        finally:
            with self._lock:
                self._done = True
                given_up = self._given_up
            if given_up:
                _void(self._hold_id)

    def _alive(self) -> bool:
        """Whether the open connection of this thread answers; also where there is none yet."""
        connection = databases[connections.ALIAS]
        if connection.connection is None:
            connection.ensure_connection()
            return True
        with self._lock:
            self._asking = connection.connection
        try:
            self._asking.execute("SELECT 1")
        except Exception:  # of the driver's own, whichever it is
            return False
        finally:
            with self._lock:
                self._asking = None
        return True


def _cut(connection: Any) -> None:
    """End a connection under a thread that waits for it: that one sees its end, and closes it itself."""
    with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as other_end:
        other_end.shutdown(socket.SHUT_RDWR)


def _void(hold_id: uuid.UUID) -> None:
    try:
        operations.void(hold_id, now=datetime.now(UTC))
    except HoldNotFound:
        pass
    except Exception as error:
        logger.info("A hold, if there is one, could not be let go, and will expire: %s", type(error).__name__)


def _item(outcome: Outcome) -> SettleItem | None:
    if outcome.verb in ("pending", "refused"):
        return None
    hold_id = uuid.UUID(outcome.id)
    if outcome.verb == "void":
        return SettleItem(hold_id, None, "void")
    return SettleItem(
        hold_id,
        outcome.cost,
        outcome.verb,
        Call(
            at=outcome.at,
            user=outcome.user_id,
            provider=outcome.provider,
            model=outcome.model_asked,
            model_served=outcome.model_served,
            feature=outcome.feature,
            analysis=outcome.analysis,
            api_key=outcome.tags.get("api_key", ""),
            tags=outcome.tags,
            operation=outcome.operation,
            endpoint=outcome.endpoint,
        ),
    )


def _is_not_set_up(error: BaseException | None) -> bool:
    """Whether the tables of limits have never been made: then there are no limits."""
    while error is not None:
        if getattr(error, "sqlstate", None) == "42P01" or str(error).startswith("no such table: budgets_"):
            return True
        error = error.__cause__
    return False


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
