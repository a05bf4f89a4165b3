"""Old alerts are forgotten, and counted all the same."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Count, F, Q

from alerts.bundles import let_go
from alerts.kinds import NEWS, Type
from alerts.models import AlertMute, CostAlert, Delivery, Forgotten

_CHUNK = 500
#: What is collected waits for a message of an hour, a day or a week; so long at most.
COLLECTED_FOR = timedelta(days=15)
_OPEN = (Delivery.State.PLANNED, Delivery.State.CLAIMED, Delivery.State.COLLECTED)


def clean_old(*, at: datetime) -> int:
    """Delete alerts older than `ALERT_KEEP_DAYS` with their deliveries, and mutes that are over.

    One that still holds, or that is still on its way, stays; so does what the next look compares with. Returns how
    many alerts were deleted.
    """
    AlertMute.objects.filter(until__lt=at).delete()
    # A channel that is off for long, or a recipient that it no longer has.
    let_go(reason="Nothing told of it in time.", before=at - COLLECTED_FOR)
    before, done, last = at - timedelta(days=settings.ALERT_KEEP_DAYS), 0, 0
    while True:
        rows = CostAlert.objects.filter(created_at__lt=before, pk__gt=last)
        rows = rows.filter(Q(resolved_at__isnull=False) | Q(type__in=NEWS)).exclude(pk__in=_compared_with())
        ids = list(rows.order_by("pk").values_list("pk", flat=True)[:_CHUNK])
        if not ids:
            return done
        last = ids[-1]
        done += _forget(ids)


def _compared_with() -> set[int]:
    """The last alert of lost calls of each spool: it keeps how many were told, and what was told is no news."""
    rows = CostAlert.objects.filter(type=Type.CALLS_LOST).order_by("pk").values_list("dedupe_key", "pk")
    return set({key.rpartition(":")[0]: pk for key, pk in rows}.values())


@transaction.atomic
def _forget(ids: list[int]) -> int:
    # Two cleaners at once: the second waits here, and finds nothing left to count.
    found = list(CostAlert.objects.select_for_update().filter(pk__in=ids).order_by("pk").values_list("pk", flat=True))
    on_its_way = set(
        Delivery.objects.filter(alert__in=found, state__in=_OPEN).values_list("alert_id", flat=True).distinct()
    )
    alerts = CostAlert.objects.filter(pk__in=[pk for pk in found if pk not in on_its_way])
    for row in alerts.order_by().values("type").annotate(number=Count("pk")):
        _add("alerts", row["type"], row["number"])
    sent = Delivery.objects.filter(alert__in=alerts)
    for row in sent.order_by().values("channel_kind", "state").annotate(number=Count("pk")):
        _add("deliveries", f"{row['channel_kind']} {row['state']}", row["number"])
    return alerts.delete()[1].get("alerts.CostAlert", 0)


def _add(name: str, label: str, number: int) -> None:
    rows = Forgotten.objects.filter(name=name, label=label)
    if rows.update(count=F("count") + number):
        return
    try:
        with transaction.atomic():
            Forgotten.objects.create(name=name, label=label, count=number)
    except IntegrityError:
        rows.update(count=F("count") + number)
