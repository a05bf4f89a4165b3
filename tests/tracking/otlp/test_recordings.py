"""What the real libraries sent becomes exactly the calls that the provider was asked for, whatever comes how often."""

import json

import pytest

from tests.tracking.otlp.recordings import LIBRARIES, expected, money, recording, rows
from tracking.audit import audit
from tracking.ingestion import Reporter
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.otlp.intake import Taken, take_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(owner) -> Reporter:
    return Reporter(user_id=owner.pk, email=owner.email, source="otel")


def take(one, spans, reporter) -> Taken:
    return take_in(spans, reporter=reporter, now=one.now)


@pytest.mark.parametrize("name", LIBRARIES)
def test_each_call_is_billed_once_at_its_price(name, alice):
    one = recording(name)
    taken = [take(one, spans, alice) for spans in one.exports]
    found = rows(ApiUsageLog.objects.all())
    wanted = expected(name, one.asked, now=one.now)
    assert found == wanted and money(found) > 0
    assert sum(part.recorded for part in taken) == len(found)
    assert not any(part.rejected for part in taken), [part.message for part in taken]
    assert audit().ok


@pytest.mark.parametrize("name", LIBRARIES)
def test_whatever_comes_again_in_any_order_or_one_by_one_changes_nothing(name, alice):
    one = recording(name)
    spans = [span for export in one.exports for span in export]
    for span in sorted(spans, key=lambda span: span.end_ns):  # an exporter without batches
        take(one, [span], alice)
    found = rows(ApiUsageLog.objects.all())
    for again in (spans, spans[::-1], spans[: len(spans) // 2]):
        assert take(one, again, alice).recorded == 0
    for span in spans:
        assert take(one, [span], alice).recorded == 0
    assert rows(ApiUsageLog.objects.all()) == found
    # The order decides which of two spans of one call is billed; how many and what for it does not.
    wanted = expected(name, one.asked, now=one.now)
    assert len(found) == len(wanted)
    assert sum(row[3] for row in found) == sum(row[3] for row in wanted), "input tokens"


@pytest.mark.parametrize("name", LIBRARIES)
def test_nothing_of_what_was_said_is_kept(name, alice, capfd):
    one = recording(name)
    assert any(b"canary" in body for body in one.bodies), "the recording holds prompts"
    for spans in one.exports:
        assert "canary" not in repr(spans)
        take(one, spans, alice)
    for log in ApiUsageLog.objects.all():
        assert "canary" not in json.dumps({f.name: str(getattr(log, f.name)) for f in log._meta.fields})
    written = capfd.readouterr()
    assert "canary" not in written.out + written.err


def test_what_langfuse_says_of_whom_and_what_for(alice):
    one = recording("langfuse")
    for spans in one.exports:
        take(one, spans, alice)
    assert set(ApiUsageLog.objects.values_list("feature", "analysis_id")) == {("ticket", "session-4")}
    tags = ApiUsageLog.objects.filter(provider="anthropic").get().tags
    assert tags.pop("trace_id")
    assert tags == {"user": "user-17", "tags": "beta,blue", "service": "shop"}


def test_agents_are_features_and_their_spans_are_no_calls(alice):
    one = recording("pydantic-ai")
    taken = [take(one, spans, alice) for spans in one.exports]
    assert set(ApiUsageLog.objects.values_list("feature", flat=True)) == {"clerk", "poet"}
    assert sum(part.other for part in taken) == 5, "three agent runs, two tools"
    assert sum(part.nested for part in taken) == 1, "the call that Anthropic's SDK tells too"


def test_ids_that_are_written_down_for_others_leave_no_rows(alice):
    for name in LIBRARIES:
        one = recording(name)
        for spans in one.exports:
            take(one, spans, alice)
    with_row = RecordedEvent.objects.exclude(occurred_at=None).count()
    assert with_row == ApiUsageLog.objects.count() and audit().ok
