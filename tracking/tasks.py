"""Scheduled work of the recorder. Each task is right if it runs late, twice or never."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from celery import shared_task
from django.conf import settings

from tracking import ledger, recorder


@shared_task
def drain_spools() -> int:
    """Record what stands in the spool, of living and dead processes alike; returns the number of events."""
    return recorder.drain_folder(Path(settings.SPOOL_DIR), batch_size=settings.RECORDER_BATCH_SIZE).recorded


@shared_task
def make_partitions() -> list[str]:
    """Make the months of the ledger that are coming; returns those made ("2026-12")."""
    return ledger.ensure_months(ledger.months_ahead(now=datetime.now(UTC)))


@shared_task
def reprice_unpriced() -> int:
    """Price the calls whose price has become known; returns their number."""
    from tracking.repricing import reprice

    return reprice(now=datetime.now(UTC)).priced


@shared_task
def prune_ids() -> int:
    """Delete the ids of spans that nothing can ask for any more; returns their number."""
    from tracking import pruning

    return pruning.prune_ids(at=datetime.now(UTC))


@shared_task
def sum_closed_spans() -> int:
    """Sum the thirds of months, the months and the quarters that are over; returns how many it summed."""
    from tracking.summing import sum_spans

    return len(sum_spans(now=datetime.now(UTC)))
