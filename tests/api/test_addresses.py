"""What stands in addresses: times as they are typed, cursors as they are answered, keys with slashes."""

import uuid
from datetime import datetime

import pytest
from django.utils import timezone

from tests.api.conftest import Caller
from tracking.analyses import create_analysis

pytestmark = pytest.mark.django_db

V1 = "/api/v1"


def answer(caller: Caller, path: str, code: int = 200, method: str = "GET"):
    """To an address exactly as it is written."""
    response = caller.ask(method, f"{V1}/{path}")
    assert response.status_code == code, response.content
    return response.json()


@pytest.mark.parametrize("since", ["2026-11-23T00:00:00+01:00", "2026-11-23T00:00+0100", "2026-11-23T00:00:00.5+01:00"])
def test_an_offset_with_a_plus_is_taken_as_it_is_typed(alice, since):
    told = answer(alice, f"reports?since={since}&until=2026-11-24&tag:x=y")
    assert datetime.fromisoformat(told["start"]) == datetime.fromisoformat(since)


def test_a_space_between_day_and_time_stays_one(alice):
    told = answer(alice, "reports?since=2026-11-23%2000:00&until=2026-11-24&tag:x=y")
    assert datetime.fromisoformat(told["start"]).isoformat().startswith("2026-11-23T00:00:00")


def test_what_is_no_time_is_told_with_what_to_write(alice):
    told = answer(alice, "reports?since=2026-11-23T00:00:00+25:00", 400)
    assert "%2B" in told["errors"]["since"][0]


@pytest.mark.parametrize("name", ["a b/c+d", "Grüße & 100 %", "x" * 200, "ü" * 200])
def test_the_cursor_of_analyses_goes_back_as_it_came(alice, owner, name):
    now = timezone.now()
    for made in (name, "one", "two"):
        create_analysis(user_id=owner.pk, title="", analysis_id=made, now=now)
    found, cursor = [], ""
    while cursor is not None:
        page = answer(alice, f"analyses?limit=1&cursor={cursor}")
        found += [one["id"] for one in page["analyses"]]
        cursor = page["next"]
    assert sorted(found) == sorted([name, "one", "two"])


@pytest.mark.parametrize("cursor", ["x", "!!", "2026-11-23T00:00:00+00:00 name", "AAAA", "_w"])
def test_what_is_no_cursor_of_analyses(alice, cursor):
    assert "cursor" in answer(alice, f"analyses?cursor={cursor}", 400)["errors"]


def test_analyses_whose_keys_end_like_an_address_are_read_and_closed_one_by_one(alice, bob, owner):
    name = uuid.uuid4().hex
    for made in (name, f"{name}/close", f"{name}/close/close"):
        create_analysis(user_id=owner.pk, title=made, analysis_id=made, now=timezone.now())
        assert answer(alice, f"analyses/{made}")["id"] == made
        answer(bob, f"analyses/{made}", 404)
    assert answer(alice, f"analyses/{name}/close/close", method="POST")["id"] == f"{name}/close"
    closed = [one["id"] for one in answer(alice, "analyses?state=closed")["analyses"]]
    assert closed == [f"{name}/close"], "the others are open"
