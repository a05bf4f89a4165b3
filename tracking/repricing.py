"""Prices calls whose price became known after they were recorded: each gets one correction; its row stays as it is."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import transaction
from django.db.models import Q

from tracking import results
from tracking.corrections import price_row
from tracking.events import CallEvent
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.money import from_nanousd
from tracking.recording import claim_ids, write_rows
from tracking.rows import Pricing, Row, current_pricing, derived_id, from_db_time, microseconds, row_of

BATCH_SIZE = 200


@dataclass(slots=True, kw_only=True)
class Repriced:
    """What a run did, or in a dry run would do. Money in USD."""

    looked_at: int = 0  # unpriced rows read
    priced: int = 0  # calls that got a price
    cost: Decimal = Decimal(0)  # what they cost
    by_model: dict[str, tuple[int, Decimal]] = field(default_factory=dict)  # calls and cost

    def add(self, row: Row) -> None:
        """Count a call that got a price."""
        cost = from_nanousd(row.cost or 0)
        calls, before = self.by_model.get(row.model, (0, Decimal(0)))
        self.by_model[row.model] = calls + 1, before + cost
        self.priced += 1
        self.cost += cost


def reprice(
    *,
    now: datetime,
    dry_run: bool = False,
    at_most: int | None = None,
    of: tuple[str, str] | None = None,
    pricing: Pricing | None = None,
) -> Repriced:
    """Price the unpriced calls that the price book knows by now, as of each call's own time.

    `of`: those of one provider and model alone. `pricing`: by another price book than the one that stands. Goes from
    the newest to the oldest, over `at_most` unpriced rows. Each batch is a transaction of its own; a call is priced
    once, however often and by however many processes this is run. Raises `django.db.Error`.
    """
    done = Repriced()
    pricing = pricing or current_pricing()
    for batch in _unpriced(at_most, of):
        done.looked_at += len(batch)
        found = [(row, priced) for row in batch if (priced := _priced(row, now, pricing)) is not None]
        if not found:
            continue
        with transaction.atomic(using="default"):
            results.lock()
            corrections = [one for row, priced in found if (one := _correction(row, priced, now)) is not None]
            if not dry_run:
                entries = sorted((row.id, row.id, row.occurred_at) for row in corrections)
                new = claim_ids(entries, now=now) if entries else set()
                corrections = [row for row in corrections if row.id in new]
                write_rows(corrections)
        for row in corrections:
            done.add(row)
    return done


def _unpriced(at_most: int | None, of: tuple[str, str] | None) -> Iterator[list[Row]]:
    """Batches of unpriced rows, newest first, without those that were priced since."""
    rows = ApiUsageLog.objects.filter(price_status="unpriced").order_by("-occurred_at", "-id")
    if of is not None:
        # A call that was told late stands under the model that was held for: the one that answered is named beside it.
        rows = rows.filter(Q(model=of[1]) | Q(model_served=of[1], corrects__isnull=False), provider=of[0])
    after: ApiUsageLog | None = None
    left = at_most
    while left is None or left > 0:
        page = rows
        if after is not None:
            older = Q(occurred_at__lt=after.occurred_at) | Q(occurred_at=after.occurred_at, id__lt=after.id)
            page = rows.filter(older, occurred_at__lte=after.occurred_at)
        found = list(page[: BATCH_SIZE if left is None else min(BATCH_SIZE, left)])
        if not found:
            return
        after = found[-1]
        left = None if left is None else left - len(found)
        ids = {row.id: derived_id((row.corrects or row.id).hex, "price") for row in found}
        known = {one.hex for one in RecordedEvent.objects.filter(id__in=ids.values()).values_list("id", flat=True)}
        yield [results.row_from_log(row) for row in found if ids[row.id] not in known]


def _priced(row: Row, now: datetime, pricing: Pricing) -> Row | None:
    """The row as it would be recorded today; None where it still has no price, or its usage was too large to keep."""
    if "too_large:" in row.flags:
        return None
    event = CallEvent(
        id=row.id,
        at_us=microseconds(row.occurred_at),
        provider=row.provider,
        operation=row.operation,
        endpoint=row.endpoint,
        model_asked=row.model_asked,
        model_served=row.model_served,
        status=row.status,
        http_status=row.http_status,
        quality=row.quality,
        batch="batch" in (row.service, row.tier),
        usage=None if row.raw_usage is None else json.loads(row.raw_usage),
        facts=json.loads(row.facts),
    )
    priced = row_of(event, now=now, user_id=row.user_id, pricing=pricing)
    return None if priced.cost is None else priced


def _correction(row: Row, priced: Row, now: datetime) -> Row | None:
    """The row that prices the call; None where its result, a reversal or another process settled it meanwhile."""
    sums = results.net_sums(row.corrects or row.id, from_db_time(row.occurred_at))
    return price_row(row, priced, sums, now=now) if sums["unpriced"] > 0 else None
