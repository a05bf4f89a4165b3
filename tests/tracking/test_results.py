"""Results that can be read more than once are billed once, in whatever order their events are recorded."""

import dataclasses
import itertools
import uuid
from decimal import Decimal

import pytest

from tests.tracking.making import NOW, an_event, microseconds
from tracking import queries
from tracking.audit import audit
from tracking.events import CallEvent
from tracking.models import ApiUsageLog, ResultKey
from tracking.periods import Period, day_of
from tracking.recording import record

pytestmark = pytest.mark.django_db

USAGE = {"input_tokens": 1000, "output_tokens": 500}  # of a response: $0.0075
ONE_LINE = {"input_tokens": 400, "output_tokens": 100}  # half price in a batch: $0.001
TWO_LINES = {"input_tokens": 800, "output_tokens": 200}


def creation(**changes) -> CallEvent:
    """The POST that starts a background response, by Alice (user 1) for a pitch."""
    values = {"kind": "pending", "status": "pending", "usage": None, "quality": "none", "result_key": "openai:resp_1"}
    return an_event(endpoint="/v1/responses", user=1, analysis="song-1", **{**values, **changes})


def result(**changes) -> CallEvent:
    """Its retrieval, by whoever polls."""
    values = {"kind": "result", "usage": USAGE, "result_key": "openai:resp_1", "feature": "polling"}
    return an_event(endpoint="/v1/responses/{id}", **{**values, **changes})


def batch(kind: str, **changes) -> CallEvent:
    values = {"kind": kind, "batch": True, "result_key": "openai:batch_1", "endpoint": "/v1/batches", "feature": ""}
    return an_event(**{**values, **changes})


def batch_creation() -> CallEvent:
    return batch("pending", status="pending", usage=None, user=1, feature="nightly", analysis="song-1")


def batch_result() -> CallEvent:
    return batch("result", usage=TWO_LINES, result_aliases=["openai:file-1"])


def batch_lines(key: str = "openai:file-1") -> list[CallEvent]:
    """The lines of the output file. Read again they have the same ids, and other times and requests."""
    return [
        batch("item", id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"line {n}")), usage=ONE_LINE, result_key=key)
        for n in range(2)
    ]


def again(event: CallEvent, minutes: int = 5) -> CallEvent:
    """The same line or result, read another time."""
    new_id = event.id if event.kind == "item" else str(uuid.uuid4())
    return dataclasses.replace(event, id=new_id, at_us=event.at_us + minutes * 60_000_000, request_id="req_again")


def record_all(events, *, at_once: bool) -> None:
    for part in [list(events)] if at_once else [[event] for event in events]:
        record(part, now=NOW)


def net() -> queries.Totals:
    day = day_of(NOW)
    return queries.totals(period=Period(day.replace(day=1), day.replace(month=12)))


# --- Background responses and videos --------------------------------------------------------------------------------


@pytest.mark.parametrize("at_once", [True, False])
def test_a_background_response_is_billed_once_in_any_order(at_once):
    events = [creation(), result(), again(result())]
    for number, order in enumerate(itertools.permutations(events)):
        key = f"openai:resp_{number}"
        record_all(
            [dataclasses.replace(e, id=str(uuid.uuid4()), result_key=key, feature=f"{number}") for e in order],
            at_once=at_once,
        )
        sums = {
            named.name: named.totals
            for named in queries.by_feature(period=Period(NOW.date(), NOW.date().replace(day=25)))
        }
        assert (sums[str(number)].cost, sums[str(number)].calls) == (Decimal("0.0075"), 1), order
        assert sums[str(number)].unpriced == 0
        assert sums[str(number)].input_tokens == 1000
    assert audit().ok


def test_until_its_result_is_seen_it_is_unpriced():
    record([creation()], now=NOW)
    assert (net().calls, net().unpriced, net().cost) == (1, 1, 0)
    (call,) = queries.unpriced_calls().calls
    assert (call.status, call.price_status, call.cost) == ("pending", "unpriced", None)

    record([result(at_us=microseconds(NOW) + 60_000_000)], now=NOW)
    assert (net().calls, net().unpriced, net().cost) == (1, 0, Decimal("0.0075"))
    assert queries.unpriced_calls().calls == []
    (call,) = queries.latest_calls().calls
    assert (call.status, call.price_status, call.cost, call.output_tokens) == ("ok", "priced", Decimal("0.0075"), 500)
    assert (call.user_id, call.feature, call.corrected) == (1, "pitch", True), "of who created it, not of who polled"
    found = queries.call(call.id)
    assert [row.corrects for row in found.corrections] == [call.id]
    assert found.corrections[0].calls == 0
    assert len(found.receipt["lines"]) == 2


def test_a_result_recorded_before_its_creation_moves_to_who_created_it():
    record([result()], now=NOW)
    record([creation()], now=NOW)
    period = Period(NOW.date(), NOW.date().replace(day=21))
    by_feature = {named.name: (named.totals.calls, named.totals.cost) for named in queries.by_feature(period=period)}
    assert by_feature == {"pitch": (1, Decimal("0.0075")), "polling": (0, Decimal(0))}
    assert queries.analysis_costs("song-1")["total"] == Decimal("0.0075")
    assert audit().ok


def test_a_response_that_failed_is_free():
    record([creation(), result(status="error", http_status=None, usage=None)], now=NOW)
    assert (net().calls, net().unpriced, net().cost, net().errors) == (1, 0, 0, 1)
    assert audit().ok


def test_a_result_of_an_unknown_model_stays_unpriced():
    record([creation(), result(model_served="gpt-99")], now=NOW)
    assert (net().calls, net().unpriced, net().cost) == (1, 1, 0)
    assert net().input_tokens == 1000
    assert audit().ok


# --- Batches --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("order", "at_once"),
    [(order, bool(n % 2)) for n, order in enumerate(itertools.permutations(range(4)))],
    ids=lambda value: "".join(map(str, value)) if isinstance(value, tuple) else ("together" if value else "singly"),
)
def test_a_batch_is_billed_once_in_any_order(order, at_once):
    """Creation, sum, and two lines: as soon as a line was seen, the lines count, whatever else comes."""
    events = [batch_creation(), batch_result(), *batch_lines()]
    record_all([events[n] for n in order], at_once=at_once)
    assert (net().calls, net().cost, net().unpriced) == (2, Decimal("0.002"), 0)
    assert (net().input_tokens, net().output_tokens) == (800, 200)
    record_all([again(e) for e in reversed(events[1:])], at_once=at_once)
    assert (net().calls, net().cost) == (2, Decimal("0.002")), "read again, nothing is billed again"
    assert audit().ok


def test_the_sum_of_a_batch_counts_until_its_lines_are_read():
    record([batch_creation()], now=NOW)
    assert ApiUsageLog.objects.count() == 0, "creating a batch costs nothing"
    record([batch_result()], now=NOW)
    (row,) = ApiUsageLog.objects.all()
    assert (row.cost, row.user_id, row.feature, row.service) == (Decimal("0.002"), 1, "nightly", "batch")
    record([again(batch_result())], now=NOW)
    assert net().cost == Decimal("0.002")


def test_lines_belong_to_who_created_the_batch():
    record([batch_creation(), batch_result(), *batch_lines()], now=NOW)
    lines = ApiUsageLog.objects.filter(corrects=None).exclude(input_tokens=800)
    assert {(row.user_id, row.feature, row.analysis_id) for row in lines} == {(1, "nightly", "song-1")}


def test_lines_of_an_error_file_do_not_take_the_sum_back():
    record([batch_creation(), batch_result()], now=NOW)
    failed = batch("item", usage=None, status="error", http_status=400, result_key="openai:file-1")
    record([failed], now=NOW)
    assert net().cost == Decimal("0.002")
    assert audit().ok


def test_names_that_turn_out_to_mean_one_batch_are_billed_once():
    """Lines read by their file before anything tells which batch it belongs to, and the sum without its file's name."""
    record(batch_lines(), now=NOW)
    record([batch("result", usage=TWO_LINES)], now=NOW)
    assert net().cost == Decimal("0.004"), "nothing connects them yet"
    record([again(batch_result())], now=NOW)
    assert (net().cost, net().calls) == (Decimal("0.002"), 2)
    assert ResultKey.objects.get(key="openai:batch_1").alias_of == "openai:file-1"
    record([again(batch_result(), minutes=10)], now=NOW)
    assert net().cost == Decimal("0.002")
    assert audit().ok


def test_the_lines_of_an_anthropic_batch_are_billed_once():
    line = {"input_tokens": 1000, "output_tokens": 100}
    values = {"provider": "anthropic", "model_asked": "", "model_served": "claude-sonnet-4-5-20250929"}
    values |= {"result_key": "anthropic:msgbatch_1", "endpoint": "/v1/messages/batches/{id}/results"}
    items = [batch("item", id=str(uuid.uuid5(uuid.NAMESPACE_URL, f"m{n}")), usage=line, **values) for n in range(3)]
    record([batch("pending", usage=None, status="pending", user=1, **values), *items], now=NOW)
    record([again(item) for item in items], now=NOW)
    assert (net().calls, net().cost) == (3, 3 * Decimal("0.00225"))
    assert set(ApiUsageLog.objects.values_list("user_id", flat=True)) == {1}
