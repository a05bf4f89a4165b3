"""Typed reads of alerts and channels, for pages, the bell and the API. Bounded, and each by an index."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Q
from django.utils import timezone

from alerts.audience import sees_all, visible_to
from alerts.kinds import LASTING, NEWS
from alerts.models import AlertMute, AlertPreference, AlertRead, Channel, CostAlert, Delivery
from alerts.planning import implied_channels

#: The bell counts so far; beyond, it says "more".
MOST_UNREAD = 1000
MOST = 1000


@dataclass(frozen=True, slots=True)
class ShownAlert:
    """An alert as one account sees it."""

    row: CostAlert
    is_read: bool
    is_told: bool  # this account was told of it: what others were told is neither read nor unread

    @property
    def can_be_marked(self) -> bool:
        """Whether it can be marked as read or unread by this account."""
        return self.is_told and not is_over(self.row)


@dataclass(frozen=True, slots=True)
class AlertDetail(ShownAlert):
    """An alert as one account sees it, and how it was sent."""

    deliveries: list[Delivery]


@dataclass(frozen=True, slots=True)
class Page:
    """Alerts, the newest first, and the cursor of the next page (None at the end)."""

    alerts: list[ShownAlert]
    next: str | None


def unread_count(user: Any) -> int:
    """How many alerts that are not over an account was told of and has not read, at most `MOST_UNREAD`. One query."""
    return _unread(user)[:MOST_UNREAD].count()


def _unread(user: Any):
    """What no longer holds is no news: it counts as read, unless its end undoes nothing."""
    still = Q(alert__resolved_at=None) | Q(alert__type__in=LASTING)
    rows = AlertRead.objects.filter(still, user=user, read_at=None)
    if not sees_all(user):
        # Who may no longer see what concerns staff does not have it counted either.
        rows = rows.filter(visible_to(user, prefix="alert__"))
    return rows


def unread_alerts(user: Any, *, most: int) -> list[ShownAlert]:
    """The latest alerts that an account was told of and has not read. One query."""
    rows = _unread(user).select_related("alert").order_by("-alert_id")[: max(1, min(most, MOST))]
    return [ShownAlert(row.alert, False, True) for row in rows]


def alerts_of(
    user: Any,
    *,
    types: Collection[str] = (),
    severities: Collection[str] = (),
    unread: bool | None = None,
    resolved: bool | None = None,
    limit_id: int | None = None,
    since: datetime | None = None,
    everyone: bool = False,
    concerning: int | None = None,
    before: int = 0,
    most: int = 50,
) -> Page:
    """The alerts that an account may see, the newest first; before the one of the id `before`.

    With `everyone`, staff with the permission see those of other accounts too; with `concerning`, those of one. With
    `resolved` false, what still holds: news (a digest, a price that changed) never does.
    """
    rows = CostAlert.objects.filter(visible_to(user, everyone=everyone or concerning is not None))
    if concerning is not None:
        rows = rows.filter(user=concerning)
    if types:
        rows = rows.filter(type__in=list(types))
    if severities:
        rows = rows.filter(severity__in=list(severities))
    if unread is not None:
        mine = _unread(user).values("alert")
        rows = rows.filter(pk__in=mine) if unread else rows.exclude(pk__in=mine)
    if resolved is not None:
        rows = rows.filter(resolved_at__isnull=not resolved)
        if not resolved:
            rows = rows.exclude(type__in=NEWS)
    if limit_id is not None:
        rows = rows.filter(limit_id=limit_id)
    if since is not None:
        rows = rows.filter(created_at__gte=since)
    if before:
        rows = rows.filter(pk__lt=before)
    most = max(1, min(most, MOST))
    found = list(rows.select_related("limit__user", "limit__group", "user").order_by("-pk")[: most + 1])
    more, found = len(found) > most, found[:most]
    return Page(_shown(user, found), str(found[-1].pk) if more else None)


def latest(user: Any, *, most: int = 10) -> list[ShownAlert]:
    """The newest alerts of an account."""
    return alerts_of(user, most=most).alerts


def find_alert(user: Any, alert_id: int) -> ShownAlert | None:
    """One alert; None where there is none, or the account may not see it."""
    rows = CostAlert.objects.filter(visible_to(user, everyone=True), pk=alert_id)
    return next(iter(_shown(user, list(rows.select_related("limit__user", "limit__group", "user")))), None)


def _shown(user: Any, rows: list[CostAlert]) -> list[ShownAlert]:
    # What an account was not told of (it came before the account, or concerns another) is no news to it.
    reads = AlertRead.objects.filter(user=user, alert__in=[row.pk for row in rows])
    read_at = dict(reads.values_list("alert_id", "read_at"))
    return [ShownAlert(row, _is_read(row, read_at), row.pk in read_at) for row in rows]


def _is_read(row: CostAlert, read_at: Mapping[int, datetime | None]) -> bool:
    return is_over(row) or read_at.get(row.pk, True) is not None


def is_over(row: CostAlert) -> bool:
    """Whether there is nothing left of it to be read."""
    return row.resolved_at is not None and row.type not in LASTING


def deliveries_of(user: Any, alert: CostAlert, *, most: int = 100) -> list[Delivery]:
    """How an alert was sent, the latest first: by the account's own channels; for staff with the permission, by all."""
    rows = Delivery.objects.filter(alert=alert).select_related("channel__owner", "carried_by")
    if not sees_all(user):
        rows = rows.filter(channel__owner=user)
    return list(rows.order_by("-pk")[:most])


def detail_of(user: Any, alert_id: int) -> AlertDetail | None:
    """One alert with its deliveries; None where there is none, or the account may not see it."""
    shown = find_alert(user, alert_id)
    return (
        None if shown is None else AlertDetail(shown.row, shown.is_read, shown.is_told, deliveries_of(user, shown.row))
    )


def sees_staff_channels(user: Any, *, change: bool = False) -> bool:
    """Whether an account may see (change) the channels by which staff are told."""
    return bool(user.is_staff and user.has_perm("alerts.change_channel" if change else "alerts.view_channel"))


def channels_of(user: Any, *, at: datetime | None = None) -> list[Channel]:
    """The channels of an account: email to its own address first, which is there from the start."""
    implied_channels([user], at=at or timezone.now())
    return list(Channel.objects.filter(owner=user).select_related("owner").order_by("-implied", "pk")[:MOST])


def staff_channels() -> list[Channel]:
    """The channels by which staff are told of what concerns no single account."""
    return list(Channel.objects.filter(owner=None).order_by("pk")[:MOST])


def find_channel(user: Any, channel_id: int, *, change: bool = False) -> Channel | None:
    """One channel: the account's own, or one of staff where it has the permission. None otherwise."""
    seen = Q(owner=user)
    if sees_staff_channels(user, change=change):
        seen |= Q(owner=None)
    return Channel.objects.filter(seen, pk=channel_id).select_related("owner").first()


def preferences_of(user: Any) -> AlertPreference:
    """What an account wants to hear of; the defaults where it never said."""
    return AlertPreference.objects.filter(user=user).first() or AlertPreference(user=user)


def mutes_of(user: Any, *, at: datetime) -> list[AlertMute]:
    """What an account wants to hear nothing of for now, the soonest over first."""
    rows = AlertMute.objects.filter(user=user, until__gt=at).select_related("limit__user", "limit__group")
    return list(rows.order_by("until", "pk")[:MOST])
