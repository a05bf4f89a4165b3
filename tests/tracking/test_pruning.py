"""Ids of spans go when no span can ask for them any more; ids of calls stay."""

import uuid
from datetime import UTC, datetime, timedelta

import pytest

from tests.tracking.test_ingestion import an_item
from tracking.ingestion import MAX_LATE, Reporter, ingest
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.pruning import KEEP, prune_ids
from tracking.recording import claim_ids

pytestmark = pytest.mark.django_db
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def written_down(*ids, ago):
    claim_ids([(one.hex, one.hex, None) for one in ids], now=NOW - ago)


def test_only_old_ids_of_spans_go_and_in_bounded_runs():
    assert MAX_LATE + timedelta(days=30) < KEEP
    old = [uuid.uuid5(uuid.NAMESPACE_URL, f"span {n}") for n in range(7)]
    young, batch = uuid.uuid5(uuid.NAMESPACE_URL, "young"), uuid.uuid4()
    written_down(*old, batch, ago=KEEP + timedelta(seconds=1))
    written_down(young, ago=KEEP - timedelta(seconds=1))
    assert [prune_ids(at=NOW, most=5), prune_ids(at=NOW, most=5), prune_ids(at=NOW)] == [5, 2, 0]
    assert set(RecordedEvent.objects.values_list("id", flat=True)) == {young, batch}


def test_a_call_that_is_sent_again_after_years_is_still_the_same():
    reporter = Reporter(user_id=None, source="import", any_age=True)
    item = an_item(id="of my own", at="2026-01-01T00:00:00Z")
    (first,) = ingest([item], reporter=reporter, now=NOW)
    later = NOW + timedelta(days=1000)
    assert prune_ids(at=later) == 0
    (again,) = ingest([item], reporter=reporter, now=later)
    assert (first.status, again.status, ApiUsageLog.objects.count()) == ("recorded", "duplicate", 1)
