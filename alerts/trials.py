"""Tests of channels: sent at once, to a few recipients, in bounded time, and not more often than somebody reads them.

The same for pages, admin and API: a test goes to whatever address a channel names.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from django.db import IntegrityError, transaction
from django.db.models import F

from alerts import messages, sending
from alerts.channels.errors import Permanent
from alerts.models import Channel, TrialCount, new_id
from alerts.sending import Answer, Parcel

#: Messages of tests of one account, in a minute.
MOST_TESTS = 10
#: Recipients that a test is sent to, the first ones, all at once.
RECIPIENTS = 3
#: For all of them together, in seconds: somebody waits for it, and so does a process of the web server.
DEADLINE_S = 15.0


class TooManyTests(Exception):
    """An account has sent as many tests as it may in a minute."""

    def __init__(self) -> None:
        super().__init__(f"At most {MOST_TESTS} tests a minute: wait a little.")


@dataclass(frozen=True, slots=True)
class Tested:
    """What a test of a channel came to; `answer`: what the provider said, or why it was not sent."""

    ok: bool
    answer: str
    took_s: float = 0.0  # how long the provider took

    @property
    def words(self) -> str:
        """The answer, and how long it took."""
        took = f" (after {self.took_s:.1f} s)" if self.took_s else ""
        return f"{self.answer or 'no words.'}{took}"


def send_test(channel: Channel, *, by: Any, at: datetime, delivery_id: Any = None) -> Tested:
    """Send a test by this channel now, and tell what was answered. Counts as no delivery. Raises `TooManyTests`."""
    try:
        opened = sending.open_secrets(channel)
        where = sending.recipients(channel)
    except Permanent as error:
        return Tested(False, str(error))
    if reason := sending.unavailable(channel.kind):
        return Tested(False, reason)
    if not where:
        return Tested(False, "The channel names nobody to send to.")
    asked = where[:RECIPIENTS]
    if not _counted(by, len(asked), at):
        raise TooManyTests
    zone, inside = ZoneInfo(channel.time_zone), sending.goes_inside(channel)
    parcels = [
        Parcel(
            channel.kind,
            messages.trial_message(delivery_id=delivery_id or new_id(), at=at, recipient=recipient, zone=zone),
            dict(channel.config),
            opened,
            inside,
        )
        for recipient in asked
    ]
    begun = time.monotonic()
    answers = _sent(parcels)
    took = time.monotonic() - begun
    wrong = next((answer for answer in answers if answer.result != "sent"), None)
    text = (wrong or answers[0]).text
    if len(where) > len(asked):
        text = f"{text} (Sent to the first {len(asked)} of {len(where)}.)"
    return Tested(wrong is None, text, took)


def _sent(parcels: list[Parcel]) -> list[Answer]:
    """All at once; who does not answer in time is not waited for."""
    senders = ThreadPoolExecutor(len(parcels), thread_name_prefix="costwatch-alert-test")
    futures = [senders.submit(sending.send, parcel) for parcel in parcels]
    wait(futures, timeout=DEADLINE_S)
    senders.shutdown(wait=False, cancel_futures=True)
    late = Answer("temporary", f"No answer within {DEADLINE_S:g} seconds.")
    return [future.result() if future.done() and not future.cancelled() else late for future in futures]


def _counted(user: Any, number: int, at: datetime) -> bool:
    """Count so many messages for an account; whether it may send them. By all processes together."""
    minute = int(at.timestamp() // 60)
    rows = TrialCount.objects.filter(user=user)
    more = {"count": F("count") + number}
    if not rows.filter(minute=minute).update(**more) and not rows.update(minute=minute, count=number):
        try:
            with transaction.atomic():
                TrialCount.objects.create(user=user, minute=minute, count=number)
        except IntegrityError:  # another process was first
            rows.update(**more)
    return rows.filter(count__lte=MOST_TESTS).exists()
