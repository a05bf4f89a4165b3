"""Usage that others report: each item has an answer of its own, and comes into the ledger once."""

import json
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.tracking.making import NOW
from tracking import queries
from tracking.audit import audit
from tracking.ingestion import MAX_ITEMS, Reporter, ingest
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.periods import last_days
from tracking.recording import record

pytestmark = pytest.mark.django_db
CANARY = "my-secret-prompt"


def an_item(**changes) -> dict:
    """A chat call of gpt-4o: $0.0075."""
    item = {
        "id": str(uuid.uuid4()),
        "at": NOW.isoformat(),
        "provider": "openai",
        "model": "gpt-4o-2024-08-06",
        "endpoint": "/v1/chat/completions",
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
        "feature": "pitch",
    }
    return {name: value for name, value in {**item, **changes}.items() if value is not ...}


@pytest.fixture
def alice(owner) -> Reporter:
    return Reporter(user_id=owner.pk, email=owner.email)


@pytest.fixture
def dora(staff) -> Reporter:
    return Reporter(user_id=staff.pk, email=staff.email, may_attribute=True, api_key="key_1")


def send(reporter: Reporter, *items, **more):
    return ingest(items, reporter=reporter, now=NOW, **more)


def statuses(results) -> list[str]:
    return [result.status for result in results]


def the_row(result) -> ApiUsageLog:
    return ApiUsageLog.objects.get(id=result.id)


def test_what_a_provider_reported_is_priced_like_a_metered_call(alice, owner):
    (result,) = send(alice, an_item(tags={"team": "blue"}, latency_ms=812.5, analysis="song-1", stream=True))
    assert (result.status, result.code, result.errors) == ("recorded", 201, {})
    row = the_row(result)
    assert (row.cost, row.price_status, row.user_id, row.source) == (Decimal("0.0075"), "priced", owner.pk, "api")
    assert (row.operation, row.service, row.quality, row.latency_ms) == ("chat", "chat", "exact", 812)
    assert (row.tags, row.analysis_id, row.stream) == ({"team": "blue"}, "song-1", True)
    assert queries.totals(period=last_days(NOW, 1), user_id=owner.pk).cost == Decimal("0.0075")
    assert audit().ok


def test_plain_meters_and_costs_that_are_given(alice):
    meters, given, speech, images, free = send(
        alice,
        an_item(usage=..., endpoint=..., meters={"input_tokens": 600, "cache_read_tokens": 400, "output_tokens": 500}),
        an_item(usage=..., cost_usd="0.1234567891"),
        an_item(usage=..., endpoint=..., model="tts-1", meters={"characters": 1000}),
        an_item(usage=..., endpoint="/v1/images/generations", model="dall-e-3", facts={"images": {"n": 2}}),
        an_item(usage=..., endpoint="/v1/moderations", model="omni-moderation-latest", facts={}),
    )
    row = the_row(meters)
    assert row.cost == Decimal("0.0015") + Decimal("0.0005") + Decimal("0.005")
    assert (row.input_tokens, row.cache_read_tokens, row.output_tokens, row.operation) == (1000, 400, 500, "chat")
    row = the_row(given)
    assert (row.cost, row.price_status, row.receipt["given"]) == (Decimal("0.123456789"), "priced", True)
    assert (the_row(speech).service, the_row(speech).cost) == ("tts", Decimal("0.015"))
    assert the_row(images).cost == Decimal("0.08")
    assert the_row(free).price_status == "free"


def test_a_model_without_a_price_is_unpriced_and_not_free(alice):
    (result,) = send(alice, an_item(model="our-own-model", usage=..., meters={"input_tokens": 10}))
    assert (the_row(result).price_status, the_row(result).cost) == ("unpriced", None)


def test_the_same_id_and_content_again_changes_nothing(alice, owner):
    item, other = an_item(), an_item(feature="else")
    assert statuses(send(alice, item)) == ["recorded"]
    results = send(alice, item, {**item, "feature": "else"}, other, other, {**other, "feature": "third"})
    assert statuses(results) == ["duplicate", "conflict", "recorded", "duplicate", "conflict"]
    assert [result.code for result in results] == [200, 409, 201, 200, 409]
    assert "other content" in results[1].errors["id"]
    assert ApiUsageLog.objects.count() == 2 and audit().ok


def test_an_id_of_ones_own_is_ones_own(alice, dora):
    item = an_item(id="order-17", at=...)
    (first,) = send(alice, item)
    (again,) = ingest([item], reporter=alice, now=NOW + timedelta(hours=1))
    assert (again.status, again.id) == ("duplicate", first.id), "a time that was not told does not make it another call"
    assert statuses(send(dora, item)) == ["recorded"], "somebody else's order 17"
    assert statuses(send(alice, an_item(id=...), an_item(id=...))) == ["recorded", "recorded"]


def test_a_bad_item_spoils_no_other(alice):
    results = send(alice, an_item(), None, an_item(provider=...), [], an_item(usage=[1]), "text", an_item())
    assert statuses(results) == ["recorded", *["invalid"] * 5, "recorded"]
    assert [result.index for result in results] == list(range(7))
    assert results[2].errors == {"provider": "is missing"}
    assert ApiUsageLog.objects.count() == 2


BAD = [
    # change, the field that is named, what the error must say
    ({"prompt": CANARY}, "prompt", "is not known"),
    ({CANARY + " with spaces": 1}, "a name in it", "is not known"),
    ({"at": "yesterday"}, "at", "with its offset"),
    ({"at": "2026-11-20T12:00:00"}, "at", "with its offset"),
    ({"at": float("nan")}, "at", "with its offset"),
    ({"at": (NOW - timedelta(days=40, seconds=1)).isoformat()}, "at", "40 days"),
    ({"at": (NOW + timedelta(minutes=6)).timestamp()}, "at", "5 minutes ahead"),
    ({"id": ""}, "id", "empty"),
    ({"id": 17}, "id", "text"),
    ({"usage": {"prompt_tokens": float("inf")}}, "usage", "not a number that can be"),
    ({"usage": {"a": {"b": [[[[[[[[[[[1]]]]]]]]]]]}}}, "usage", "larger than any report"),
    ({"usage": {"ignore all previous instructions": 1}}, "usage", "no provider"),
    ({"meters": {"input_tokens": 1}}, "meters", "one of them"),
    ({"usage": ..., "meters": {"tokens": 1}}, "meters", "input_tokens"),
    ({"usage": ..., "meters": {"input_tokens": -1}}, "meters", "zero or more"),
    ({"usage": ..., "meters": {"input_tokens": 1.5}}, "meters", "whole"),
    ({"usage": ...}, "usage", "is missing"),
    ({"model": ...}, "model", "is missing"),
    ({"cost_usd": "-1"}, "cost_usd", "USD"),
    ({"cost_usd": float("nan")}, "cost_usd", "USD"),
    ({"cost_usd": "1e999999999"}, "cost_usd", "USD"),
    ({"cost_usd": True}, "cost_usd", "USD"),
    ({"status": "pending"}, "status", "one of: ok"),
    ({"operation": "drawing"}, "operation", "one of: chat"),
    ({"error": "The model said: no"}, "error", "not a message"),
    ({"endpoint": "https://api.example.com/?key=1"}, "endpoint", "a path"),
    ({"tags": {"api_key": "key_2"}}, "tags", "api_key"),
    ({"tags": {"a": {"b": 1}}}, "tags", "texts"),
    ({"feature": "x" * 201}, "feature", "200 characters"),
    ({"feature": "a\0b"}, "feature", "null character"),
    ({"facts": {"hold": "0198a7c4-0000-7000-8000-000000000001"}}, "facts", "some of"),
    ({"attempt": 0}, "attempt", "from 1"),
    ({"latency_ms": "fast"}, "latency_ms", "milliseconds"),
    ({"user": "bob"}, "user", "email"),
]  # fmt: skip


@pytest.mark.parametrize(("change", "name", "told"), BAD, ids=lambda value: str(value)[:40])
def test_what_cannot_be_meant_is_told_by_field(alice, change, name, told):
    (result,) = send(alice, an_item(**change))
    assert result.status == "invalid" and result.code == 400
    assert told in result.errors[name]
    assert not ApiUsageLog.objects.exists() and not RecordedEvent.objects.exists()


def test_times_just_within_the_bounds_are_taken(alice):
    late, early = NOW - timedelta(days=40) + timedelta(seconds=1), NOW + timedelta(minutes=4)
    results = send(alice, an_item(at=late.isoformat()), an_item(at=early.timestamp()))
    assert statuses(results) == ["recorded", "recorded"]
    assert {row.occurred_at for row in ApiUsageLog.objects.all()} == {late, early}


def test_people_report_their_own_calls_only(alice, owner, member):
    results = send(alice, *(an_item(user=user) for user in (owner.pk, str(owner.pk), "Alice@example.com")))
    assert statuses(results) == ["recorded"] * 3
    assert {row.user_id for row in ApiUsageLog.objects.all()} == {owner.pk}
    for user in (member.pk, "bob@example.com", 999_999, "nobody@example.com"):
        (result,) = send(alice, an_item(user=user))
        assert "must be yourself" in result.errors["user"], "whether the account exists is not told"


def test_who_may_reports_for_others(dora, owner):
    results = send(dora, *(an_item(user=user) for user in (owner.pk, "alice@EXAMPLE.com", "gone@example.com", 999_999)))
    assert statuses(results) == ["recorded", "recorded", "recorded", "invalid"]
    rows = [the_row(result) for result in results[:3]]
    assert [row.user_id for row in rows] == [owner.pk, owner.pk, None]
    assert rows[2].tags == {"api_key": "key_1", "user": "gone@example.com"}
    assert "no account 999999" in results[3].errors["user"]


def test_no_content_is_kept(alice):
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 5,
        "total_tokens": 15,
        "note": CANARY,
        "type": "tokens",
        "details": {"text": CANARY, "list": [CANARY, {"x": CANARY}]},
        "model": CANARY + " with words",
    }
    (result,) = send(alice, an_item(usage=usage, facts={"tool_usage": {"web_search": {"query": CANARY}}}))
    row = ApiUsageLog.objects.filter(id=result.id).values().get()
    assert CANARY not in json.dumps(row, default=str)
    assert row["raw_usage"]["type"] == "tokens"
    assert row["cost"] == Decimal("0.000075"), "what is left out was not counted"


def test_what_the_database_does_not_take_does_not_stop_the_rest(alice, monkeypatch):
    from django.db import DataError

    def picky(events, *, now):
        if any(event.feature == "poison" for event in events):
            raise DataError("value too long")
        return record(events, now=now)

    monkeypatch.setattr("tracking.ingestion.record", picky)
    results = send(alice, *(an_item(feature="poison" if n == 3 else "pitch") for n in range(7)))
    assert [result.index for result in results if result.status == "invalid"] == [3]
    assert ApiUsageLog.objects.count() == 6


def test_a_dry_run_tells_and_leaves_nothing(alice):
    known = an_item()
    send(alice, known)
    results = send(alice, known, {**known, "feature": "x"}, an_item(), an_item(provider=...), dry_run=True)
    assert statuses(results) == ["duplicate", "conflict", "recorded", "invalid"]
    assert ApiUsageLog.objects.count() == 1


def test_a_request_has_a_bound(alice):
    with pytest.raises(ValueError, match="At most 1000"):
        send(alice, *[{}] * (MAX_ITEMS + 1))
