"""What Prometheus scrapes of alerts: read from the tables, so that every process tells the same."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

from django.db.models import Count, Min, Q
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from alerts.channels import kinds
from alerts.kinds import Type
from alerts.models import CostAlert, Delivery, Forgotten

NAMES = ("costwatch_alerts_total", "costwatch_alert_deliveries_total", "costwatch_alert_oldest_undelivered_seconds")
_OUTCOMES = (Delivery.State.SENT, Delivery.State.FAILED, Delivery.State.SKIPPED)
_ON_ITS_WAY = (Delivery.State.PLANNED, Delivery.State.CLAIMED)


def of_alerts(now: datetime) -> Iterator[Metric]:
    """Alerts by type, deliveries by channel and outcome, and how long the oldest has been on its way. Those that were
    cleaned away count all the same.
    """
    forgotten = {(row.name, row.label): row.count for row in Forgotten.objects.all()}
    raised = Counter(dict(CostAlert.objects.order_by().values_list("type").annotate(number=Count("pk"))))
    alerts = CounterMetricFamily("costwatch_alerts", "Alerts that were raised", labels=["type"])
    for name in Type.values:
        alerts.add_metric([name], raised[name] + forgotten.get(("alerts", name), 0))
    yield alerts

    rows = Delivery.objects.filter(state__in=_OUTCOMES).order_by().values_list("channel_kind", "state")
    ended = Counter({(kind, state): number for kind, state, number in rows.annotate(number=Count("pk"))})
    deliveries = CounterMetricFamily(
        "costwatch_alert_deliveries", "Deliveries that have ended", labels=["channel_kind", "outcome"]
    )
    for kind in kinds():
        for state in _OUTCOMES:
            before = forgotten.get(("deliveries", f"{kind} {state}"), 0)
            deliveries.add_metric([kind, state], ended[kind, state] + before)
    yield deliveries

    # What waits for the end of quiet hours is not late.
    due = Q(next_at__lte=now + timedelta(seconds=60)) | Q(attempts__gt=0)
    oldest = Delivery.objects.filter(due, state__in=_ON_ITS_WAY).aggregate(at=Min("planned_at"))["at"]
    yield GaugeMetricFamily(
        "costwatch_alert_oldest_undelivered_seconds",
        "Age of the oldest delivery that is due and not sent; 0 without",
        value=max(0.0, (now - oldest).total_seconds()) if oldest else 0.0,
    )
