"""Look, tell what is new, and mark what is over: what the scheduled tasks do with each of the detectors."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from alerts.detect import forecasts, health, hours, rates, unpriced, unusual
from alerts.findings import Finding
from alerts.kinds import Type
from alerts.models import CostAlert
from alerts.operations import raise_alerts, resolve
from budgets.queries import standings
from tracking import spool


def watch_forecasts(*, at: datetime) -> list[CostAlert]:
    """Limits that are forecast to be exceeded. Returns the new alerts, like all of these."""
    lines = list(standings(at=at))
    forecasts.note_reached(lines, at=at)
    return _told(forecasts.find(lines, at), Type.FORECAST, at=at)


def watch_spending(*, at: datetime) -> list[CostAlert]:
    """Unusual spending; first what features and users spent in the hours that are over is read."""
    hours.read_hours(at=at)
    return _told(unusual.find(at), Type.UNUSUAL_SPEND, at=at)


def watch_prices(*, at: datetime) -> list[CostAlert]:
    """Calls without a price, and rates that changed. A change is news, not a state: it is never over."""
    return [*_told(unpriced.find(at), Type.UNPRICED, at=at), *raise_alerts(list(rates.find(at)), at=at)]


def watch_health(*, at: datetime) -> list[CostAlert]:
    """The installation itself, as this host sees it; and what a host that is no more has left."""
    state = spool.stats()
    found = list(health.find(state, at))
    new = raise_alerts(found, at=at)
    keys = [finding.dedupe_key for finding in found]
    for type_ in health.TYPES:
        resolve(type_, still=keys, at=at, prefix=health.spool_prefix(type_, state))
    said = CostAlert.objects.filter(type__in=health.OF_SPOOL, resolved_at=None)
    said.filter(dedupe_key__in=keys).update(updated_at=at)
    said.filter(updated_at__lt=at - health.SILENT_FOR).update(resolved_at=at, updated_at=at)
    return new


def _told(found: Iterable[Finding], type_: Type, *, at: datetime) -> list[CostAlert]:
    findings = list(found)
    new = raise_alerts(findings, at=at)
    resolve(type_, still=[finding.dedupe_key for finding in findings], at=at)
    return new
