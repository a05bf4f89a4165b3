"""Deliveries on their way: taken with a lease, sent, and written down. The table is the queue; the broker only wakes.

A worker that dies leaves a delivery claimed until its lease runs out; another then sends it again, under the same id.
So each is sent at least once, and a receiver that knows the id takes it once.
"""

from __future__ import annotations

import logging
import random
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from types import MappingProxyType

from django.db import transaction

from alerts import sending
from alerts.bundles import bundle_ended, carry, collect_more, tell_more
from alerts.channels.errors import ChannelError
from alerts.dying import note_failure, note_ours, note_success
from alerts.kinds import ABOUT_ALERTS, BUNDLES, RANK, Severity, Type
from alerts.models import Channel, Delivery, Digest
from alerts.planning import AT_ONCE, HOLDS_AGAIN
from alerts.quiet import quiet_until
from alerts.sending import Answer

logger = logging.getLogger(__name__)

#: How many are sent at once, and of one channel.
SENDERS, OF_CHANNEL = 8, 4
#: None takes longer: each kind has a deadline for everything together (10 to 25 seconds), and a name may take as long
#: again to look up. A lease covers that.
LONGEST_S = 50.0
LEASE = timedelta(seconds=60)
#: Waits between tries, in seconds, each made up to a fifth longer or shorter; after the last one a delivery has failed.
WAITS_S = (2, 10, 60, 300, 1800, 3600, 7200, 14_400, 28_800)
#: A receiver may ask to be left alone for as long as this.
MAX_RETRY_AFTER = timedelta(hours=24)
_RATE_SPAN = timedelta(hours=1)
_LOOK_AT = 5 * SENDERS
_ON_ITS_WAY = (Delivery.State.PLANNED, Delivery.State.CLAIMED)


def is_due(*, at: datetime) -> bool:
    """Whether a delivery is to be sent now. One query on a small index."""
    return Delivery.objects.filter(state__in=_ON_ITS_WAY, next_at__lte=at).exists()


def deliver_due(*, clock: Callable[[], datetime], for_s: float = 60.0) -> Counter[str]:
    """Send what is due until nothing is, or for about `for_s` seconds. Returns how many ended how, by state.

    As soon as one is sent the next is taken, so that who answers slowly holds only his own.
    """
    done: Counter[str] = Counter()
    running: dict[Future[Answer], Delivery] = {}
    deadline = time.monotonic() + for_s
    senders = ThreadPoolExecutor(SENDERS, thread_name_prefix="costwatch-alerts")
    try:
        while True:
            claimed, looked_at = [], 0
            if time.monotonic() < deadline and len(running) < SENDERS:
                busy = Counter(delivery.channel_id for delivery in running.values())
                claimed, looked_at = claim(at=clock(), most=SENDERS - len(running), busy=busy)
            for delivery in claimed:
                _begin(delivery, senders, running, done, clock)
            if not running and not looked_at:
                return done
            if running and time.monotonic() >= deadline + LONGEST_S:
                return done  # their leases run out, and others take them
            ended, _ = wait(running, timeout=0.0 if looked_at else 0.5, return_when=FIRST_COMPLETED)
            for future in ended:
                done[write_down(running.pop(future), future.result(), at=clock())] += 1
    finally:
        senders.shutdown(wait=False, cancel_futures=True)


def _begin(
    delivery: Delivery,
    senders: ThreadPoolExecutor,
    running: dict[Future[Answer], Delivery],
    done: Counter[str],
    clock: Callable[[], datetime],
) -> None:
    try:
        running[senders.submit(sending.send, sending.parcel(delivery))] = delivery
    except ChannelError as error:
        done[write_down(delivery, Answer("permanent", str(error)[:500]), at=clock())] += 1
    except Exception as error:
        logger.exception("The message of a delivery could not be made.")
        told = f"The message could not be made: {type(error).__name__}."
        done[write_down(delivery, Answer("fault", told), at=clock())] += 1


def claim(
    *, at: datetime, most: int = SENDERS, busy: Mapping[int, int] = MappingProxyType({})
) -> tuple[list[Delivery], int]:
    """Take deliveries that are due, for as long as a lease lasts; and how many were looked at: 0, nothing is due.

    What its channel does not take now is put off, collected or skipped instead. `busy`: how many each channel is being
    sent by the caller; those that have their share of senders are not looked at.
    """
    full = [channel_id for channel_id, number in busy.items() if number >= OF_CHANNEL]
    with transaction.atomic():
        due = Delivery.objects.filter(state__in=_ON_ITS_WAY, next_at__lte=at).exclude(channel__in=full)
        due = due.order_by("next_at", "pk")
        # PostgreSQL: two workers take different rows. SQLite: the transaction holds the only write lock.
        ids = list(due.select_for_update(skip_locked=True).values_list("pk", flat=True)[:_LOOK_AT])
        if not ids:
            return [], 0
        rows = Delivery.objects.filter(pk__in=ids).select_related("alert__limit", "alert__user")
        by_channel: dict[int, list[Delivery]] = defaultdict(list)
        for row in rows.order_by("next_at", "pk"):
            by_channel[row.channel_id].append(row)
        # Locked in one order, after the deliveries: what a channel may still send in this hour is counted once.
        channels = {
            row.pk: row
            for row in Channel.objects.select_for_update(of=("self",), no_key=True)
            .filter(pk__in=by_channel)
            .select_related("owner")
            .order_by("pk")
        }
        taken: list[Delivery] = []
        for channel_id, waiting in by_channel.items():
            share = min(most - len(taken), OF_CHANNEL - busy.get(channel_id, 0))
            taken += _of_channel(channels[channel_id], waiting, at=at, most=share)
        for delivery in taken:
            delivery.state, delivery.next_at = Delivery.State.CLAIMED, at + LEASE
            delivery.attempts += 1
            delivery.body = _body(delivery)
        Delivery.objects.bulk_update(taken, ["state", "next_at", "attempts", "body"])
    return taken, len(ids)


def _body(delivery: Delivery) -> str:
    try:
        return sending.body_of(delivery)
    except Exception:  # it is told when the message is made to be sent
        logger.exception("The body of a delivery could not be made.")
        return ""


def _of_channel(channel: Channel, waiting: list[Delivery], *, at: datetime, most: int) -> list[Delivery]:
    """Those that are to be sent now; the rest is put off, collected or skipped."""
    if reason := _not_wanted(channel):
        return _skip(waiting, reason)
    given_up = [row for row in waiting if row.attempts > len(WAITS_S)]
    if given_up:  # each try took its worker with it
        _end(given_up, Delivery.State.FAILED, "Given up: no try came to an end.")
    ends = [row for row in waiting if row.closes and row not in given_up]
    waiting = [row for row in waiting if not row.closes and row not in given_up]
    if channel.muted_until is not None and channel.muted_until > at:
        waiting = _skip(waiting, "The channel is muted.")
    quiet = quiet_until(at, begins=channel.quiet_from, ends=channel.quiet_until, zone=channel.time_zone)
    if quiet is not None:
        held = [row for row in waiting if channel.quiet_critical or row.alert.severity != Severity.CRITICAL]
        _put_off(held, quiet)
        waiting = [row for row in waiting if row not in held]
    waiting = _within_rate(channel, waiting, at=at)
    # One that fails is tried with one message at a time, so that it does not keep others waiting.
    if channel.failing_since is not None and len(waiting) > 1:
        _put_off(waiting[1:], at + timedelta(seconds=WAITS_S[1]))
        waiting = waiting[:1]
    # That something is over wakes nobody up.
    taken = [*_over(ends), *waiting][:most]
    for row in taken:
        row.channel = channel
    # A later attempt tells what the first one did; so does one that is sent again by hand.
    new = [row for row in taken if row.alert.type == Type.MORE and row.attempts == 0 and not row.carries.exists()]
    empty = [row for row in new if not collect_more(row)]
    _skip(empty, "Nothing more came.")
    return [row for row in taken if row not in empty]


def _over(ends: list[Delivery]) -> list[Delivery]:
    again = [row for row in ends if row.alert.resolved_at is None]
    _skip(again, HOLDS_AGAIN)
    return [row for row in ends if row not in again]


def _not_wanted(channel: Channel) -> str:
    if channel.disabled_at is not None:
        return f"The channel was disabled: {channel.disabled_reason}"
    if not channel.is_active:
        return "The channel is switched off."
    if channel.owner is not None and not channel.owner.is_active:
        return "The account is not active."
    return sending.unavailable(channel.kind)


def _within_rate(channel: Channel, waiting: list[Delivery], *, at: datetime) -> list[Delivery]:
    """As many as the channel takes in an hour; the others are told in one message when the hour is over, or with the
    digest of a channel that has one.

    Alerts are counted, however many recipients each has, and those that are just being sent too. Critical ones come
    first, and have as much again for themselves.
    """
    fresh = [row for row in waiting if row.attempts == 0 and row.alert.type not in ABOUT_ALERTS]
    if not fresh:
        return waiting
    mine = Delivery.objects.filter(channel=channel, closes=False)
    sent = mine.filter(state=Delivery.State.SENT, sent_at__gt=at - _RATE_SPAN)
    used = set(sent.values_list("alert_id", flat=True))
    used |= set(mine.filter(state=Delivery.State.CLAIMED).values_list("alert_id", flat=True))
    over = []
    for row in sorted(fresh, key=lambda row: -RANK[row.alert.severity]):
        most = channel.rate_per_hour * (2 if row.alert.severity == Severity.CRITICAL else 1)
        if row.alert_id in used or len(used) < most:
            used.add(row.alert_id)
        else:
            over.append(row)
    if not over:
        return waiting
    Delivery.objects.filter(pk__in=[row.pk for row in over]).update(state=Delivery.State.COLLECTED)
    if channel.digest == Digest.OFF:
        first = sent.order_by("sent_at").values_list("sent_at", flat=True).first()
        tell_more(channel, due_at=(first or at) + _RATE_SPAN, at=at)
    kept = {row.pk for row in over}
    return sorted((row for row in waiting if row.pk not in kept), key=lambda row: -RANK[row.alert.severity])


def _put_off(rows: Iterable[Delivery], until: datetime) -> None:
    ids = [row.pk for row in rows]
    Delivery.objects.filter(pk__in=ids).update(state=Delivery.State.PLANNED, next_at=until)


def _skip(rows: list[Delivery], reason: str) -> list[Delivery]:
    _end(rows, Delivery.State.SKIPPED, reason)
    return []


def _end(rows: list[Delivery], state: str, reason: str) -> None:
    for row in rows:
        if row.alert.type == Type.MORE:
            carry(row)  # what it was to tell of ends with it, although it was never put together
    Delivery.objects.filter(pk__in=[row.pk for row in rows]).update(state=state, last_error=reason[:500])
    for row in rows:
        if row.alert.type in BUNDLES:
            bundle_ended(row, state)


@transaction.atomic
def write_down(delivery: Delivery, answer: Answer, *, at: datetime) -> str:
    """Write down what became of a try, and what that says of the channel. Returns the state of the delivery."""
    mine = Delivery.objects.filter(pk=delivery.pk, state__in=_ON_ITS_WAY)
    if answer.result == "sent":
        # Also where the lease ran out and another worker has it: it need not be sent again.
        state, wait = Delivery.State.SENT, None
        changed = mine.update(state=state, sent_at=at, answer=answer.text, last_error="", body="")
        note_success(delivery.channel_id, at=at, kind=delivery.channel_kind)
    else:
        lasting = answer.result in ("permanent", "gone")
        wait = None if lasting else _wait(delivery.attempts, answer, at)
        state = Delivery.State.FAILED if wait is None else Delivery.State.PLANNED
        next_at = at + wait if wait is not None else delivery.next_at
        mine = mine.filter(attempts=delivery.attempts)
        changed = mine.update(state=state, next_at=next_at, last_error=answer.text)
        if changed and answer.result == "ours":
            note_ours(delivery.channel_kind, delivery.attempts, answer, at=at)
        elif changed and answer.result != "fault":
            note_failure(delivery.channel_id, answer, at=at)
    if changed and wait is None and delivery.alert.type in BUNDLES:
        bundle_ended(delivery, state)
    return state


def _wait(attempts: int, answer: Answer, at: datetime) -> timedelta | None:
    """How long until the next try, after so many; None: there is none."""
    if attempts > len(WAITS_S):
        return None
    wait = timedelta(seconds=WAITS_S[attempts - 1] * random.uniform(0.8, 1.2))  # noqa: S311 - spreads load
    if answer.retry_after_s is not None:
        wait = max(wait, timedelta(seconds=min(max(0.0, answer.retry_after_s), MAX_RETRY_AFTER.total_seconds())))
    return wait


def look_again(channel: Channel) -> None:
    """Have what was put off for a channel's quiet hours looked at once more: they were changed."""
    waiting = Delivery.objects.filter(channel=channel, state=Delivery.State.PLANNED, attempts=0)
    waiting.exclude(alert__type=Type.MORE).update(next_at=AT_ONCE)


def send_again(delivery: Delivery) -> bool:
    """Let a delivery that failed or was skipped be sent once more, under the same id. False where it was not."""
    over = (Delivery.State.FAILED, Delivery.State.SKIPPED)
    rows = Delivery.objects.filter(pk=delivery.pk, state__in=over)
    return bool(rows.update(state=Delivery.State.PLANNED, attempts=0, next_at=AT_ONCE, last_error=""))
