"""The truth about a call of which nothing had been heard.

A call whose hold expired stands in the ledger with the status "unknown", at what had been held. When its event arrives
after all (a process that slept, a spool that was away), that row is taken back in full and the truth is added: two
corrections, both under the dimensions of that row, as corrections always are. So a call stands in one place, whatever
its event says, and every sum, list and file finds it there. Once, however often the event comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime

from tracking import results
from tracking.corrections import reversed_row
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.rows import Row, db_time, derived_id, from_db_time

UNKNOWN = "unknown"
#: Where events come from that others send: they tell of the calls of one account.
REPORTED = ("api", "import", "otel")
#: What calls are summed, listed and filtered by. The model that answered is still told by `model_served`.
DIMENSIONS = ("provider", "model", "service", "user_id", "feature", "analysis_id", "tags")


def late_truths(known: Mapping[str, Row], *, now: datetime) -> tuple[list[Row], set[str]]:
    """The rows that put the truth in the place of unknown ones, and the ids of `known` that need no further look.

    `known` are rows of events whose ids were written down before, by id. Runs on the recorder's transaction.
    """
    from tracking.recording import claim_ids

    settled = {key for key, row in known.items() if row.status == UNKNOWN}  # what is known is at least as good
    wanted = sorted(known.keys() - settled)
    if not wanted:
        return [], settled
    times = RecordedEvent.objects.filter(id__in=wanted).exclude(occurred_at=None).values_list("occurred_at", flat=True)
    logs = ApiUsageLog.objects.filter(id__in=wanted, occurred_at__in=set(times), status=UNKNOWN).order_by("id")
    rows = []
    for log in logs:
        if known[log.id.hex].source in REPORTED and known[log.id.hex].user_id != log.user_id:
            continue  # somebody tells of a call that is not his
        before = results.row_from_log(log)
        truth = replace(
            known[before.id],
            id=derived_id(before.id, "truth"),
            corrects=before.id,
            occurred_at=before.occurred_at,
            recorded_at=db_time(now),
            **{name: getattr(before, name) for name in DIMENSIONS},
        )
        settled.add(before.id)
        if not claim_ids([(truth.id, truth.id, truth.occurred_at)], now=now):
            continue
        sums = results.net_sums(before.id, log.occurred_at)
        back = reversed_row(before, sums, now=now, reason="taken back: what the call did cost became known")
        claim_ids([(back.id, back.id, back.occurred_at)], now=now)
        rows += [back, truth]
    return rows, settled


def given_up(unknown: Mapping[str, Row]) -> list[Row]:
    """The rows of batches whose hold expired before their results came: their creation was recorded without one."""
    without_row = RecordedEvent.objects.filter(id__in=sorted(unknown), occurred_at=None) if unknown else ()
    rows = [unknown[event.id.hex] for event in without_row]
    for row in rows:
        RecordedEvent.objects.filter(id=row.id).update(occurred_at=from_db_time(row.occurred_at))
    return rows
