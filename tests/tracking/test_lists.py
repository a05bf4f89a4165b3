"""Lists of calls with any filter: right whatever is asked for, and never at the price of the whole ledger."""

from __future__ import annotations

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from tests.tracking.making import NOW, an_event, microseconds
from tests.tracking.test_results import creation, result
from tracking import lists
from tracking.lists import Where, dearest, named, newest, tries
from tracking.models import ApiUsageLog
from tracking.recording import record

pytestmark = pytest.mark.django_db
PERIOD = {"since": NOW - timedelta(days=40), "until": NOW + timedelta(days=1)}


def calls(count: int, *, minutes: float = 60, start: float = 0, **changes) -> list[str]:
    """So many calls, one every some minutes into the past; their ids, newest first."""
    events = [
        an_event(at_us=microseconds(NOW - timedelta(minutes=start + minutes * n)), **{"user": 1, **changes})
        for n in range(count)
    ]
    record(events, now=NOW)
    return [event.id for event in events]


def ids(found) -> list[str]:
    return [str(call.id) for call in found.calls]


@pytest.fixture
def mixed():
    """Two features, two models, two users, a failure and a call with a tag, over some days."""
    return {
        "pitch": calls(30, minutes=90),
        "rare": calls(3, minutes=60 * 24 * 9, start=11, feature="rare", model_served="gpt-4o-mini", user=2),
        "failed": calls(2, minutes=300, start=7, status="error", http_status=500, usage=None, quality="none"),
        "tagged": calls(2, minutes=2000, start=13, tags={"team": "blue"}, user=None),
    }


@pytest.mark.parametrize(
    ("filters", "wanted"),
    [
        ({"feature": "rare"}, "rare"),
        ({"model": "gpt-4o-mini"}, "rare"),
        ({"feature": "rare", "model": "gpt-4o-mini", "provider": "openai", "service": "chat"}, "rare"),
        ({"status": "error"}, "failed"),
        ({"status": "error", "feature": "pitch"}, "failed"),
    ],
)
def test_filters_find_what_they_ask_for_and_nothing_else(mixed, filters, wanted):
    assert ids(newest(Where(filters=filters, **PERIOD))) == mixed[wanted]


def test_users_tags_and_what_has_none(mixed):
    assert ids(newest(Where(user_id=2, **PERIOD))) == mixed["rare"]
    assert ids(newest(Where(user_id=2, filters={"feature": "rare", "model": "gpt-4o-mini"}, **PERIOD))) == mixed["rare"]
    assert ids(newest(Where(user_id=1, filters={"feature": "rare"}, **PERIOD))) == []
    assert ids(newest(Where(tags={"team": "blue"}, **PERIOD))) == mixed["tagged"]
    assert ids(newest(Where(tags={"team": "red"}, **PERIOD))) == []
    assert ids(newest(Where(user_id=0, **PERIOD))) == mixed["tagged"]
    assert newest(Where(filters={"feature": ""}, **PERIOD)).calls == []


@pytest.mark.parametrize("filters", [{}, {"feature": "pitch"}, {"model": "gpt-4o-2024-08-06"}, {"status": "ok"}])
@pytest.mark.parametrize("user_id", [None, 1])
def test_pages_follow_each_other_without_gaps_or_repeats(filters, user_id):
    wanted = calls(23, minutes=700)
    seen, before, pages = [], None, 0
    while True:
        page = newest(Where(filters=filters, user_id=user_id, **PERIOD), limit=5, before=before)
        seen, before, pages = seen + ids(page), page.next, pages + 1
        if before is None:
            break
    assert (seen, pages) == (wanted, 5)


def test_a_page_reads_so_many_rows_and_says_how_far_back_it_looked(monkeypatch):
    monkeypatch.setattr(lists, "MOST_ROWS", 10)
    calls(40, minutes=10)
    (wanted,) = calls(1, start=305, feature="pitch", tags={"team": "blue"})
    seen, before, pages = [], None, 0
    while True:
        page = newest(Where(tags={"team": "blue"}, **PERIOD), before=before)
        seen, pages = seen + ids(page), pages + 1
        assert (page.looked_back_to is None) == (page.next is None)
        if page.next is None:
            break
        assert page.looked_back_to < NOW - timedelta(minutes=90 * pages)
        before = page.next
    assert seen == [wanted]
    assert pages == 5, "forty-one rows, ten at a time"


def test_the_sums_lead_past_what_need_not_be_read(monkeypatch):
    monkeypatch.setattr(lists, "MOST_ROWS", 10)
    calls(200, minutes=30)
    rare = calls(2, minutes=60 * 24 * 3, start=60 * 30, feature="rare", model_served="gpt-4o-mini")
    assert ids(newest(Where(filters={"model": "gpt-4o-mini"}, **PERIOD))) == rare, "two hours of four calls each"


def test_the_dearest_calls_of_those_compared_come_first(monkeypatch):
    calls(5, minutes=10)
    dear = calls(1, start=35, usage={"prompt_tokens": 90000, "completion_tokens": 500, "total_tokens": 90500})
    unpriced = calls(1, start=1, model_served="nobody-knows")
    found = dearest(Where(**PERIOD))
    assert ids(found)[0] == dear[0] and unpriced[0] not in ids(found) and len(found.calls) == 6
    assert not found.bounded
    monkeypatch.setattr(lists, "MOST_ROWS", 3)
    found = dearest(Where(**PERIOD))
    assert found.bounded and dear[0] not in ids(found) and found.looked_back_to > NOW - timedelta(minutes=35)


def test_the_dearest_go_on_page_by_page_without_gaps_or_repeats():
    calls(5, minutes=10)
    calls(4, start=3, usage={"prompt_tokens": 9000, "completion_tokens": 500, "total_tokens": 9500})
    whole = ids(dearest(Where(**PERIOD)))
    pages, after = [], None
    while True:
        found = dearest(Where(**PERIOD), limit=2, after=after)
        pages += ids(found)
        after = found.next
        if after is None:
            break
    assert pages == whole and len(whole) == 9
    for wrong in ("1-2", "x-1-" + "0" * 32, "1-1-zz", "9" * 40 + "-1-" + "0" * 32):
        with pytest.raises(ValueError):
            dearest(Where(**PERIOD), after=wrong)


def test_an_analysis_and_its_calls():
    inside = calls(3, minutes=100, analysis="song-1")
    calls(3, minutes=110, analysis="song-2")
    assert ids(newest(Where(filters={"analysis": "song-1"}, **PERIOD))) == inside
    assert ids(newest(Where(filters={"analysis": "song-1", "feature": "pitch"}, **PERIOD), limit=2)) == inside[:2]
    assert ids(newest(Where(filters={"analysis": "nothing"}, **PERIOD))) == []


def test_calls_are_found_by_any_of_their_names_and_only_ones_own():
    one = calls(1, request_id="req_7", response_id="chatcmpl-7")[0]
    assert [str(c.id) for c in named(" req_7 ")] == [one]
    assert [str(c.id) for c in named("chatcmpl-7", user_id=1)] == [one]
    assert [str(c.id) for c in named(one)] == [str(c.id) for c in named(one.replace("-", ""))] == [one]
    assert named("chatcmpl-7", user_id=2) == named(one, user_id=2) == []
    assert named("") == named("req_\0") == named("x" * 5000) == named(str(uuid.uuid4())) == []


def test_a_result_that_came_later_leads_to_its_call():
    record([creation(), result(request_id="req_later")], now=NOW)
    (found,) = named("req_later")
    assert found.corrected and found.id == ApiUsageLog.objects.get(corrects=None).id


def test_what_became_known_later_decides_what_a_filter_finds():
    record([creation(), result()], now=NOW)
    assert len(newest(Where(filters={"status": "ok"}, **PERIOD)).calls) == 1
    assert newest(Where(filters={"status": "pending"}, **PERIOD)).calls == []
    assert len(newest(Where(filters={"price_status": "priced"}, **PERIOD)).calls) == 1
    assert newest(Where(filters={"price_status": "unpriced"}, **PERIOD)).calls == []


def test_tries_of_one_call_belong_together():
    failing = {"status": "error", "http_status": 429, "usage": None, "quality": "none"}
    first = calls(1, start=2.0, **failing)[0]
    second = calls(1, start=1.9, attempt=2, **failing)[0]
    other = calls(1, start=1.85, attempt=2, feature="else", **failing)[0]
    third = calls(1, start=1.8, attempt=3)[0]
    calls(1, start=1.5)
    rows = {str(row.id): row for row in ApiUsageLog.objects.all()}
    for one in (first, second, third):
        found = tries(rows[one])
        assert [str(call.id) for call in found] == [first, second, third]
    assert sum((call.cost for call in found), Decimal(0)) == Decimal("0.0075"), "what failed cost nothing"
    assert [str(call.id) for call in tries(rows[other])] == [other]


def test_a_cursor_that_is_none_is_refused():
    with pytest.raises(ValueError, match="is not a cursor"):
        newest(Where(**PERIOD), before="yesterday")
