"""The verbs that move money: reserve, settle, void, expire, post. (`close_window` stands in `budgets.windows`.)

    reserve   open hold   held + amount      or BudgetExceeded, and nothing is held
    settle    settled     held - amount, spent + cost      exactly once, also above what was held
    void      void        held - amount      only where it is proven that nothing was billed
    expire    expired     held - amount, spent + amount    nothing was heard of the call: corrected when the truth comes
    post      settled     spent + cost       reported afterwards, without a hold

Money is USD as `Decimal`; times come in from the caller. Each runs in a short transaction of its own (see
`budgets.connections`), is idempotent by the hold's id, and has an `a...` twin that does not block the event loop.
`docs/decisions/0008-holding.md` tells why.
"""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import partial

from budgets import book, store, windows
from budgets.book import Match
from budgets.calls import Call
from budgets.connections import in_pool, read_apart, run_apart
from budgets.crossings import count_refused, write_refused
from budgets.errors import BudgetExceeded, BudgetUnavailable, HoldNotFound, Refusal
from budgets.models import DEFAULT_HOLD_TTL, BudgetWindow, Hold
from budgets.settling import Settled, SettleItem, settle_many
from budgets.store import WindowRow
from tracking.money import from_nanousd, to_nanousd

logger = logging.getLogger(__name__)

#: Suggested wait where only calls in flight stand in the way, in seconds.
RETRY_AFTER_S = 5
_TRIES = 4
_MAX_TOLD = 10_000

#: Windows and limits for which this process knows that a refusal was written down.
_told: set[tuple[int, int]] = set()


@dataclass(frozen=True, slots=True)
class Held:
    """What a reservation did. Money in USD."""

    hold_id: uuid.UUID
    state: str  # open; or what had become of the hold of this id before
    amount: Decimal
    repeated: bool  # a hold of this id existed: it is told as it was, and nothing was done


class _NoRoom(Exception):
    """Rolls a reservation back."""


def reserve(call: Call, *, hold_id: uuid.UUID, amount: Decimal, expires_at: datetime | None = None) -> Held | None:
    """Set `amount` USD aside in every window that counts the call, or in none. None where no limit applies.

    The same id again returns what its hold was. Raises `BudgetExceeded` where a hard limit lacks room, and
    `BudgetUnavailable` where a hard limit applies and the database does not answer. An amount of 0 always passes.
    """
    asked = to_nanousd(amount)
    if asked < 0:
        raise ValueError(f"{amount} USD cannot be held: it is negative.")
    expires_at = expires_at or call.at + DEFAULT_HOLD_TTL
    for attempt in range(1, _TRIES + 1):
        matches = book.matches(call)
        if not matches:
            return None
        try:
            if book.is_away():
                raise BudgetUnavailable("The budget cannot be checked: the database does not answer.")
            ids = windows.ids_of(matches, at=call.at)
            return run_apart(partial(_reserve_once, call, matches, ids, hold_id, asked, expires_at))
        except windows.LimitsChanged:
            book.forget()
        except _NoRoom:
            if row := _lacking(matches, ids, asked, call.at, last_try=attempt == _TRIES):
                refusal = _refusal(row, matches, asked, call.at)
                _write_refusal(row, refusal, matches, asked, call.at)
                raise BudgetExceeded(refusal) from None
        except BudgetUnavailable:
            if any(match.limit.hard and match.enforced for match in matches):
                raise
            logger.warning("A call was not counted while it runs: only soft limits apply, and the database is away.")
            return None
    raise BudgetUnavailable("The budget cannot be checked: its limits changed with every try.")


async def areserve(
    call: Call, *, hold_id: uuid.UUID, amount: Decimal, expires_at: datetime | None = None
) -> Held | None:
    """`reserve` for coroutines. Where it is known that no limit applies, it answers at once."""
    if book.is_fresh() and not isinstance(call.user, str) and not book.matches(call):
        return None
    return await in_pool(partial(reserve, call, hold_id=hold_id, amount=amount, expires_at=expires_at))


def settle(hold_id: uuid.UUID, *, cost: Decimal | None, now: datetime, call: Call | None = None) -> Settled:
    """Count what the call did cost, in USD; None where that is not known: then at what was held.

    Exactly once: a hold that was settled or voided stays as it was, and the answer says how. With `call`, a call whose
    hold is gone (rolled back with its caller's transaction) is counted all the same; without, `HoldNotFound`.
    """
    item = SettleItem(hold_id, _not_negative(cost), "settle", call)
    _open_windows(call)
    return run_apart(partial(_one, item, now))


async def asettle(hold_id: uuid.UUID, *, cost: Decimal | None, now: datetime, call: Call | None = None) -> Settled:
    """`settle` for coroutines."""
    return await in_pool(partial(settle, hold_id, cost=cost, now=now, call=call))


def void(hold_id: uuid.UUID, *, now: datetime) -> Settled:
    """Let go of a hold whose call was proven not to be billed. Raises `HoldNotFound`."""
    return run_apart(partial(_one, SettleItem(hold_id, None, "void"), now))


async def avoid(hold_id: uuid.UUID, *, now: datetime) -> Settled:
    """`void` for coroutines."""
    return await in_pool(partial(void, hold_id, now=now))


def expire(hold_id: uuid.UUID, *, now: datetime) -> Settled:
    """Count a hold of which nothing was heard at its amount, marked unknown, until the truth arrives.

    The ledger must get a row of the same id, status and cost: `expired_holds` says what to write. Raises
    `HoldNotFound`.
    """
    return run_apart(partial(_one, SettleItem(hold_id, None, "expire"), now))


def post(call: Call, *, call_id: uuid.UUID, cost: Decimal | None, now: datetime) -> Settled:
    """Count a call that is reported afterwards, in full, also over a limit. The same id again changes nothing.

    (The recorder does the same for whole batches, inside its transaction: `budgets.settling`.)
    """
    return settle(call_id, cost=cost, now=now, call=call)


def expired_holds(*, now: datetime, limit: int = 500) -> list[tuple[uuid.UUID, Decimal, Call]]:
    """Open holds whose time is up, the oldest first: id, amount in USD, and whose call it was."""
    rows = Hold.objects.filter(state=Hold.State.OPEN, expires_at__lte=now).order_by("expires_at", "id")[:limit]
    return [(row.pk, row.amount, Call.from_json(row.call, at=row.call_at)) for row in rows]


def extend(hold_id: uuid.UUID, *, expires_at: datetime) -> bool:
    """Keep an open hold for longer (a session, a batch, a background response). False where it is not open."""
    return bool(run_apart(lambda: Hold.objects.filter(pk=hold_id, state=Hold.State.OPEN).update(expires_at=expires_at)))


def check(call: Call, *, amount: Decimal) -> Refusal | None:
    """What `reserve` would refuse this call for now, or None. Holds nothing."""
    asked = to_nanousd(amount)
    matches = book.matches(call)
    if not matches:
        return None
    ids = windows.ids_of(matches, at=call.at)
    row = _lacking(matches, ids, asked, call.at, last_try=False)
    return _refusal(row, matches, asked, call.at) if row else None


def room_for(call: Call) -> Decimal | None:
    """The most in USD that a call could cost and be admitted now; None where no hard limit applies."""
    matches = book.matches(call)
    if not matches:
        return None
    ids = windows.ids_of(matches, at=call.at)
    hard = [row for row in _enforced(_read(ids), matches, ids) if row.hard]
    rooms = [row.limit_at(call.at) - row.spent - row.held for row in hard]
    return from_nanousd(max(0, min(rooms))) if rooms else None


def _open_windows(call: Call | None) -> None:
    if call is not None and (matches := book.matches(call)):
        windows.ids_of(matches, at=call.at)


def _one(item: SettleItem, now: datetime) -> Settled:
    settled = settle_many([item], now=now)[0]
    if settled.state == "none" and item.call is None:
        raise HoldNotFound(f"There is no hold {item.hold_id}.")
    return settled


def _reserve_once(
    call: Call,
    matches: Sequence[Match],
    ids: dict[windows.Key, int],
    hold_id: uuid.UUID,
    amount: int,
    expires_at: datetime,
) -> Held:
    window_ids = sorted(ids.values())
    if not store.insert_hold(hold_id, window_ids, amount=amount, call=call, expires_at=expires_at):
        was = store.lock_holds([hold_id])[hold_id]
        return Held(hold_id, was.state, from_nanousd(was.amount), repeated=True)
    unenforced = [ids[match.key] for match in matches if not match.enforced]
    if not store.hold_in(window_ids, amount, at=call.at, unenforced=unenforced):
        raise _NoRoom
    return Held(hold_id, Hold.State.OPEN, from_nanousd(amount), repeated=False)


def _lacking(
    matches: Sequence[Match], ids: dict[windows.Key, int], amount: int, at: datetime, *, last_try: bool
) -> WindowRow | None:
    """The first window without room. None where there is room after all, or where what was known is out of date and
    has now been set right: then try again; at the last try it is the fullest hard window, as calls in flight stand in
    the way.
    """
    rows = _read(ids)
    if len(rows) < len(ids):
        windows.forget(ids)
        return None
    rows = _enforced(rows, matches, ids)
    lacking = [row for row in rows if not row.has_room(amount, at)]
    outdated = [row.id for row in lacking if row.extra_until is not None and row.extra_until <= at]
    if outdated and not last_try:
        run_apart(partial(_refresh, outdated, at))
        return None
    if not lacking and last_try:
        lacking = sorted((row for row in rows if row.hard), key=lambda row: row.limit_at(at) - row.spent - row.held)
    return lacking[0] if lacking else None


def _read(ids: dict[windows.Key, int]) -> list[WindowRow]:
    return read_apart(lambda: store.read_windows(sorted(ids.values())))


def _enforced(rows: list[WindowRow], matches: Sequence[Match], ids: dict[windows.Key, int]) -> list[WindowRow]:
    enforced = {ids[match.key] for match in matches if match.enforced}
    return [row for row in rows if row.id in enforced]


def _refresh(window_ids: list[int], at: datetime) -> None:
    for window in BudgetWindow.objects.filter(pk__in=window_ids).order_by("pk"):
        windows.refresh_extras(window, at=at)


def _refusal(row: WindowRow, matches: Sequence[Match], amount: int, at: datetime) -> Refusal:
    limit = next(match.limit for match in matches if match.limit.id == row.limit_id)
    allowed, spent, held = windows.nanousd(row, at)
    in_flight = row.spent + amount <= row.limit_at(at)
    return Refusal(
        limit_id=limit.id,
        name=limit.name,
        scope=limit.scope,
        subject=row.subject,
        period=limit.rule.period,
        window_id=row.id,
        window_start=row.starts_at,
        limit=allowed,
        spent=spent,
        held=held,
        asked=from_nanousd(amount),
        resets_at=row.ends_at,
        retry_after_s=RETRY_AFTER_S if in_flight else None,
        own=limit.owner_id is not None,
    )


def _write_refusal(row: WindowRow, refusal: Refusal, matches: Sequence[Match], amount: int, at: datetime) -> None:
    """Write the crossing of a refusal, once: in a transaction of its own, after the rollback."""
    key = (row.id, row.limit_at(at))
    if refusal.retry_after_s is not None or key in _told:
        return
    limit = next(match.limit for match in matches if match.limit.id == row.limit_id)
    try:
        run_apart(partial(write_refused, row, limit=limit, asked=amount, at=at))
    except BudgetUnavailable:
        logger.warning("A refusal could not be written down; the next one will try again.")
        return
    if len(_told) >= _MAX_TOLD:
        _told.clear()
    _told.add(key)


def note_refused(refusal: Refusal, *, at: datetime) -> None:
    """Count a refused call of which the ledger will not hear. (Those of metered calls the recorder counts.)"""
    if refusal.retry_after_s is None:
        try:
            run_apart(lambda: count_refused({refusal.window_id: 1}, at=at))
        except BudgetUnavailable:
            logger.warning("A refused call was not counted: the database did not answer.")


def forget() -> None:
    """Forget everything that this process keeps in memory about limits and windows."""
    book.forget()
    windows.forget()
    _told.clear()


def _not_negative(cost: Decimal | None) -> Decimal | None:
    if cost is not None and cost < 0:
        raise ValueError(f"{cost} USD is no cost of a call: it is negative.")
    return cost
