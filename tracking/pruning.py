"""Ids that are written down for a time only.

The id of a call is kept as long as its row: a spool may be found after a year, a file imported after five, and neither
may be recorded twice. What ages are the ids that spans leave beside it, of their parents and of the provider's answers
(`tracking.otlp.once`): they decide which of several spans is billed, and a span is refused once its call is `MAX_LATE`
old. So when an id is older than that, with room for spans that began a day apart, nothing can ask for it again.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from tracking.ingestion import MAX_LATE
from tracking.models import RecordedEvent

#: More than twice what can be asked for.
KEEP = 2 * MAX_LATE + timedelta(days=10)
#: Ids deleted in one run, and in one transaction.
MOST, AT_ONCE = 100_000, 500


def prune_ids(*, at: datetime, most: int = MOST) -> int:
    """Delete ids of spans and answers that are older than `KEEP` at the time `at`; returns how many."""
    old = RecordedEvent.objects.filter(occurred_at=None, recorded_at__lt=at - KEEP).order_by("recorded_at")
    found = []
    for one in old.values_list("id", flat=True).iterator(chunk_size=2000):
        # Names of spans are UUIDs of version 5. What else has no row is the creation of a batch: it stays.
        if one.version == 5:
            found.append(one)
            if len(found) == most:
                break
    for first in range(0, len(found), AT_ONCE):
        RecordedEvent.objects.filter(id__in=found[first : first + AT_ONCE], occurred_at=None).delete()
    return len(found)
