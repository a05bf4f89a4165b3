"""Scheduled work of alerts. Each task is right if it runs late, twice, at the same time as another, or never again."""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from celery import shared_task

from alerts import bundles, crossings, digest, endings, outbox, planning
from alerts.cleaning import clean_old
from alerts.detect import watch
from alerts.models import CostAlert
from alerts.refusals import count_refusals

logger = logging.getLogger(__name__)


def _now() -> datetime:
    return datetime.now(UTC)


@shared_task
def send_threshold_alerts() -> int:
    """Make alerts of what limits have crossed, and have due deliveries sent. Returns the number of crossings claimed.

    Every two seconds: two queries on small indexes where there is nothing to do.
    """
    claimed = crossings.claim_crossings(at=_now())
    wake()
    return claimed


def wake() -> None:
    """Have what is due sent now. Where the broker does not take it, the next beat does the same."""
    if outbox.is_due(at=_now()):
        try:
            deliver_alerts.apply_async(expires=30, retry=False)
        except Exception as error:
            logger.warning("The broker took no task: %s. Beat starts the next one.", type(error).__name__)


@shared_task(soft_time_limit=150, time_limit=180)
def deliver_alerts() -> dict[str, int]:
    """Send the deliveries that are due. Returns how many ended how, by state."""
    if not outbox.is_due(at=_now()):
        return {}
    return dict(outbox.deliver_due(clock=_now))


@shared_task
def resolve_alerts() -> int:
    """Mark alerts of limits, channels and questions that no longer hold; bring counts of refused calls up to date."""
    now = _now()
    count_refusals(at=now)
    over = crossings.resolve_limits(at=now) + endings.resolve_channels(at=now) + endings.resolve_questions(at=now)
    if planning.plan_closings(at=now):
        wake()
    return over


@shared_task
def send_digests() -> int:
    """Plan the digests whose time has come; returns how many."""
    planned = bundles.send_digests(at=_now())
    if planned:
        wake()
    return planned


@shared_task
def clean_alerts() -> int:
    """Delete alerts that are older than ALERT_KEEP_DAYS; returns how many."""
    return clean_old(at=_now())


@shared_task
def watch_forecasts() -> int:
    """Tell of limits that are forecast to be exceeded; returns the number of new alerts, like all of these."""
    return _news(watch.watch_forecasts(at=_now()))


@shared_task
def watch_spending() -> int:
    """Tell of unusual spending."""
    return _news(watch.watch_spending(at=_now()))


@shared_task
def watch_prices() -> int:
    """Tell of calls without a price, and of rates that changed."""
    return _news(watch.watch_prices(at=_now()))


@shared_task
def watch_health() -> int:
    """Tell staff of calls that wait or are lost, of holds that nobody resolves, of rows out of place."""
    return _news(watch.watch_health(at=_now()))


@shared_task
def send_summaries() -> int:
    """Tell what was spent, whom it is due to; returns how many."""
    sent = digest.send_summaries(at=_now())
    if sent:
        wake()
    return sent


def _news(new: list[CostAlert]) -> int:
    if new:
        wake()
    return len(new)
