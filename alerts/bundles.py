"""Many alerts in one message: the digest that a channel asked for, and what was more than it takes in an hour."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta

from django.db import transaction

from alerts.digest import compose
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import AlertRead, Channel, CostAlert, Delivery, Digest
from alerts.operations import raise_alerts
from alerts.planning import AT_ONCE, deliveries
from alerts.quiet import next_digest

logger = logging.getLogger(__name__)

#: So many alerts are named in a bundle; the rest is counted.
MOST_NAMED = 20
_SPANS = {Digest.DAILY: timedelta(days=1), Digest.WEEKLY: timedelta(days=7)}


def tell_more(channel: Channel, *, due_at: datetime, at: datetime) -> None:
    """Plan the one message that tells how many more there were, for when the channel takes messages again.

    Within the caller's transaction. One at a time: what comes until it is sent is part of it.
    """
    planned = Delivery.objects.filter(channel=channel, alert__type=Type.MORE, state=Delivery.State.PLANNED, attempts=0)
    if planned.exists():
        return
    finding = Finding(
        type=Type.MORE,
        severity=Severity.WARNING,
        dedupe_key=f"{Type.MORE}:{channel.pk}:{due_at:%Y%m%dT%H%M%S.%fZ}",
        title="More alerts",
        text="There were more alerts than this channel takes in an hour.",
        at=at,
        user_id=channel.owner_id,
        silent=True,
    )
    raise_alerts([finding], at=at)
    alert = CostAlert.objects.get(dedupe_key=finding.dedupe_key)
    planned = deliveries(alert, channel, at)
    for delivery in planned:
        delivery.next_at = due_at
    Delivery.objects.bulk_create(planned, ignore_conflicts=True)


def collect_more(delivery: Delivery) -> bool:
    """Say in the message of `tell_more` what it stands for, when it is taken to be sent. Within the transaction of
    whoever has the channel locked. False where nothing waits any more.
    """
    carry(delivery)
    alerts = list(CostAlert.objects.filter(deliveries__carried_by=delivery).order_by("-pk"))
    alert = delivery.alert
    say_more(alert, alerts, rate_per_hour=delivery.channel.rate_per_hour)
    alert.save(update_fields=["title", "text", "facts", "count"])
    return bool(alerts)


def say_more(alert: CostAlert, alerts: Sequence[CostAlert], *, rate_per_hour: int) -> None:
    """Let an alert tell how many more there were, and which."""
    alert.title = f"{len(alerts)} more alerts" if len(alerts) != 1 else "1 more alert"
    alert.text = f"This channel takes {rate_per_hour} messages an hour; these came on top of them."
    alert.facts, alert.count = [list(fact) for fact in named(alerts)], max(1, len(alerts))


def named(alerts: Sequence[CostAlert]) -> list[tuple[str, str]]:
    """The first of these alerts as (severity, title), and how many more there are."""
    lines = [(alert.get_severity_display(), alert.title) for alert in alerts[:MOST_NAMED]]
    if len(alerts) > MOST_NAMED:
        lines.append(("And", f"{len(alerts) - MOST_NAMED} more"))
    return lines


def bundle_ended(delivery: Delivery, state: str) -> None:
    """What a bundle carried has the same end as the bundle."""
    Delivery.objects.filter(carried_by=delivery, state=Delivery.State.COLLECTED).update(state=state)


def release(channel: Channel) -> int:
    """Let what was collected for a channel be sent one by one: it wants no digest any more."""
    rows = Delivery.objects.filter(channel=channel, state=Delivery.State.COLLECTED, carried_by=None)
    return rows.update(state=Delivery.State.PLANNED, next_at=AT_ONCE)


def let_go(channel: Channel | None = None, *, reason: str, before: datetime | None = None) -> int:
    """End what was collected and nothing tells of: of a channel, or of all where it was planned before then."""
    rows = Delivery.objects.filter(state=Delivery.State.COLLECTED, carried_by=None)
    if channel is not None:
        rows = rows.filter(channel=channel)
    if before is not None:
        rows = rows.filter(planned_at__lt=before)
    return rows.update(state=Delivery.State.SKIPPED, last_error=reason)


def send_digests(*, at: datetime) -> int:
    """Plan the digest of every channel whose time has come. Returns how many; those with nothing to tell have none."""
    due = Channel.objects.filter(digest_next_at__lte=at, is_active=True, disabled_at=None)
    return sum(_plan_digest(channel, at=at) for channel in due.select_related("owner").order_by("pk"))


def _plan_digest(channel: Channel, *, at: datetime) -> bool:
    since = channel.digest_next_at - _SPANS.get(channel.digest, timedelta(days=1))
    collected = CostAlert.objects.filter(
        deliveries__channel=channel, deliveries__state=Delivery.State.COLLECTED, deliveries__carried_by=None
    )
    # Before the transaction: it reads sums, and on SQLite a transaction keeps all writers waiting.
    finding = compose(channel, list(collected.order_by("pk").distinct()), since=since, at=at)
    weekly = channel.digest == Digest.WEEKLY
    following = next_digest(at, at=channel.digest_at, zone=channel.time_zone, weekly=weekly)
    with transaction.atomic():
        # Whoever moves the time on sends it: another beat finds it moved.
        mine = Channel.objects.filter(pk=channel.pk, digest_next_at=channel.digest_next_at)
        if not mine.update(digest_next_at=following) or finding is None:
            return False
        raise_alerts([finding], at=at)
        alert = CostAlert.objects.get(dedupe_key=finding.dedupe_key)
        AlertRead.objects.filter(alert=alert).update(read_at=at)  # it tells of alerts that are counted themselves
        planned = Delivery.objects.bulk_create(deliveries(alert, channel, at), ignore_conflicts=True)
        for delivery in Delivery.objects.filter(pk__in=[row.pk for row in planned]):
            carry(delivery)
    return True


def carry(delivery: Delivery) -> None:
    """Make this delivery the one that tells what is collected for its channel and recipient."""
    waiting = Delivery.objects.filter(
        channel=delivery.channel_id, recipient=delivery.recipient, state=Delivery.State.COLLECTED, carried_by=None
    )
    waiting.update(carried_by=delivery)
