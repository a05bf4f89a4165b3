"""Which deliveries an alert gets: one for each channel that wants it, and recipient of that channel.

What can change until a delivery is sent (a channel that is muted, quiet, dead or full) is looked at by `alerts.outbox`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Exists, OuterRef, Q

from alerts import channels, sending
from alerts.audience import told
from alerts.kinds import ANSWERS, BUNDLES, ON_REQUEST, RANK, Severity
from alerts.models import AlertMute, AlertPreference, AlertRead, Channel, CostAlert, Delivery, Digest

#: What is to be sent at once is due since long ago: no clock that is set back makes it wait.
AT_ONCE = datetime(2000, 1, 1, tzinfo=UTC)
#: An incident is closed where its alert was over by no longer than this, so many at a time.
CLOSED_WITHIN, MOST_CLOSED = timedelta(days=7), 500
#: Why an end is not told.
HOLDS_AGAIN = "It holds again."


def plan(alert: CostAlert, *, at: datetime) -> list[Delivery]:
    """Tell the people of an alert: on their pages, and by a delivery for each channel that wants it.

    To be called once for an alert, in the transaction that writes it.
    """
    people = told(alert)
    wishes = _Wishes(people, alert, at=at)
    AlertRead.objects.bulk_create(
        [AlertRead(alert=alert, user=user, read_at=None if wishes.hears(user.pk) else at) for user in people]
    )
    if alert.type in BUNDLES:  # for one channel only, planned by `alerts.bundles`
        return []
    found = _channels([user for user in people if wishes.hears(user.pk)], alert, at=at)
    planned = [delivery for channel in found if wants(channel, alert) for delivery in deliveries(alert, channel, at)]
    return Delivery.objects.bulk_create(planned)


def plan_raised(alert: CostAlert, *, at: datetime) -> None:
    """Tell of an alert that has become more severe: by the channels that had none of it so far, each once, and at once
    by those where it still waits for a digest or for the end of quiet hours. Where it was sent, it is not sent again.

    Within the transaction of the change. May be called again: a channel and recipient has one delivery of an alert.
    """
    people = told(alert)
    wishes = _Wishes(people, alert, at=at)
    hearing = [user for user in people if wishes.hears(user.pk)]
    AlertRead.objects.filter(alert=alert, user__in=[user.pk for user in hearing]).update(read_at=None)
    if alert.type in BUNDLES:
        return
    known = set(Delivery.objects.filter(alert=alert).values_list("channel", flat=True))
    found = [channel for channel in _channels(hearing, alert, at=at) if wants(channel, alert)]
    planned = [one for channel in found if channel.pk not in known for one in deliveries(alert, channel, at)]
    Delivery.objects.bulk_create(planned, ignore_conflicts=True)
    at_once = [channel.pk for channel in found if channel.pk in known and not collects(channel, alert)]
    waiting = Delivery.objects.filter(alert=alert, channel__in=at_once, attempts=0, carried_by=None)
    waiting = waiting.filter(state__in=[Delivery.State.PLANNED, Delivery.State.COLLECTED])
    waiting.update(state=Delivery.State.PLANNED, next_at=AT_ONCE)


def deliveries(alert: CostAlert, channel: Channel, at: datetime) -> list[Delivery]:
    """One for each recipient of the channel, not saved yet."""
    state = Delivery.State.COLLECTED if collects(channel, alert) else Delivery.State.PLANNED
    return [
        Delivery(
            alert=alert, channel=channel, channel_kind=channel.kind, recipient=recipient, state=state,
            next_at=AT_ONCE, planned_at=at,
        )
        for recipient in sending.recipients(channel)
    ]  # fmt: skip


def plan_closings(*, at: datetime) -> int:
    """Tell channels that keep an incident open that its alert is over, once each. Returns how many are to be told."""
    kinds = [kind.name for kind in channels.kinds().values() if kind.closes]
    lately = Delivery.objects.filter(channel_kind__in=kinds, alert__resolved_at__gt=at - CLOSED_WITHIN)
    again = lately.filter(closes=True, state=Delivery.State.SKIPPED, last_error=HOLDS_AGAIN)
    planned = again.update(state=Delivery.State.PLANNED, next_at=AT_ONCE, last_error="")
    told = Delivery.objects.filter(
        alert=OuterRef("alert"), channel=OuterRef("channel"), recipient=OuterRef("recipient"), closes=True
    )
    opened = lately.filter(closes=False, state=Delivery.State.SENT).exclude(Exists(told)).order_by("pk")[:MOST_CLOSED]
    made = [
        Delivery(
            alert_id=row.alert_id, channel_id=row.channel_id, channel_kind=row.channel_kind, recipient=row.recipient,
            closes=True, next_at=AT_ONCE, planned_at=at,
        )
        for row in opened
    ]  # fmt: skip
    Delivery.objects.bulk_create(made, ignore_conflicts=True)
    return planned + len(made)


def wants(channel: Channel, alert: CostAlert) -> bool:
    """Whether a channel takes such an alert."""
    if not channel.is_active or channel.disabled_at is not None:
        return False
    if channel.types:
        if alert.type not in channel.types:
            return False
    elif alert.type in ON_REQUEST:
        return False
    return alert.type in ANSWERS or RANK[alert.severity] >= RANK[channel.min_severity]


def collects(channel: Channel, alert: CostAlert) -> bool:
    """Whether the alert waits for the channel's digest."""
    passes = alert.severity == Severity.CRITICAL and not channel.quiet_critical
    return channel.digest != Digest.OFF and not passes and alert.type not in BUNDLES


def implied_channels(users: Sequence[Any], *, at: datetime) -> None:
    """Make the channel that each account has from the start, where it is not there yet: email to its own address."""
    has = set(
        Channel.objects.filter(implied=True, owner__in=[user.pk for user in users]).values_list("owner", flat=True)
    )
    missing = [user for user in users if user.pk not in has]
    Channel.objects.bulk_create(
        [
            Channel(
                owner=user, kind="email", name="Email", implied=True, created_at=at, updated_at=at,
                time_zone=getattr(user, "time_zone", "UTC"),
            )
            for user in missing
        ],
        ignore_conflicts=True,
    )  # fmt: skip


def _channels(users: Sequence[Any], alert: CostAlert, *, at: datetime) -> list[Channel]:
    implied_channels(users, at=at)
    whose = Q(owner__in=[user.pk for user in users])
    of_staff = Q(owner__isnull=True)
    whose |= of_staff if alert.user_id is None else of_staff & Q(everyone=True)
    return list(Channel.objects.filter(whose, is_active=True, disabled_at=None).select_related("owner").order_by("pk"))


class _Wishes:
    """What people said that they want to hear of."""

    def __init__(self, people: Sequence[Any], alert: CostAlert, *, at: datetime) -> None:
        ids = [user.pk for user in people]
        self.alert = alert
        self.preferences = {row.user_id: row for row in AlertPreference.objects.filter(user__in=ids)}
        about = Q(limit=None) | Q(limit=alert.limit_id) if alert.limit_id else Q(limit=None)
        mutes = AlertMute.objects.filter(about, Q(type="") | Q(type=alert.type), user__in=ids, until__gt=at)
        self.muted = set(mutes.values_list("user_id", flat=True))

    def hears(self, user_id: int) -> bool:
        if user_id in self.muted:
            return False
        preference = self.preferences.get(user_id)
        if preference is None:
            return True
        enough = self.alert.type in ANSWERS or RANK[self.alert.severity] >= RANK[preference.min_severity]
        return enough and self.alert.type not in preference.types_off
