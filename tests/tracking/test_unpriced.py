"""Why calls have no price: a price that is missing, or usage that nobody knows."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from tests.workspace import Workspace
from tracking import unpriced
from tracking.model_spend import unit_price, used
from tracking.models import Rate
from tracking.periods import last_days
from tracking.pricing import book
from tracking.repricing import reprice
from tracking.unpriced import Reasons, reasons
from tracking.versions import families

pytestmark = pytest.mark.django_db
BROKEN = {"status": "timeout", "http_status": None, "usage": None, "quality": "none"}


@pytest.fixture
def workspace(db) -> Workspace:
    return Workspace()


def asked(workspace: Workspace, **more) -> Reasons:
    with CaptureQueriesContext(connection) as queries:
        found = reasons(since=workspace.now - timedelta(days=30), until=workspace.now, **more)
    assert len(queries) == 1
    return found


def test_a_missing_price_and_unknown_usage_are_two_things(workspace, owner):
    workspace.call(user=owner, model="house-model", feature="digest")
    workspace.call(user=owner, model="house-model", **BROKEN)
    workspace.call(**BROKEN)
    workspace.call(model="house-model", days_ago=40)
    found = asked(workspace)
    assert (found.priceable, found.unknown, found.complete) == (1, 2, True)
    house = found.of("openai", "house-model")
    assert (house.priceable, house.unknown, house.used["input_tokens"]) == (1, 1, 1000)
    assert house.reason == "no prices for openai model 'house-model'"
    assert asked(workspace, user_id=owner.pk).unknown == 1 and asked(workspace, user_id=0).unknown == 1
    assert asked(workspace, filters={"feature": "digest"}).priceable == 1
    assert asked(workspace, filters={"user": str(owner.pk)}).of("openai", "gpt-4o-mini").calls == 0


def test_what_got_its_price_since_counts_no_more(workspace):
    workspace.call(model="house-model")
    assert asked(workspace).priceable == 1
    for meter in ("input_tokens", "output_tokens"):
        Rate.objects.create(provider="openai", model="house-model", meter=meter, amount=1, per=1_000_000, own=True)
    book.forget()
    assert reprice(now=workspace.now).priced == 1
    assert asked(workspace).models == {}


def test_only_the_newest_are_read_and_that_is_said(workspace, monkeypatch):
    monkeypatch.setattr(unpriced, "MOST_READ", 2)
    for days in (1, 2, 3):
        workspace.call(model=f"house-{days}", days_ago=days)
    found = asked(workspace)
    assert not found.complete and set(found.models) == {("openai", "house-1"), ("openai", "house-2")}


def test_a_unit_is_told_over_the_calls_that_have_a_price(workspace):
    """The tier of one call has no rate: its tokens are not among those that were paid."""
    workspace.call()
    workspace.call(**BROKEN)
    workspace.call(facts={"service_tier": "no-such-tier"}, usage={"prompt_tokens": 9000, "completion_tokens": 9000})
    (line,) = used(period=last_days(workspace.now, 2), before=last_days(workspace.now, 2))
    why = asked(workspace).of("openai", "gpt-4o-mini")
    assert unit_price(line.totals) is None and line.totals.unpriced == why.calls
    assert unit_price(line.totals, why) == (Decimal("0.3"), "1M tokens")


def test_names_that_are_priced_as_one_model_stand_together(workspace):
    workspace.call(model="gpt-4o-mini-2024-07-18")
    workspace.call(status="error", http_status=500, usage=None, quality="none")
    workspace.call(model="house-model")
    workspace.call(model="")
    found = families(used(period=last_days(workspace.now, 2), before=last_days(workspace.now, 2)), asked(workspace))
    together = next(one for one in found if one.model == "gpt-4o-mini")
    assert {one.model for one in together.versions} == {"gpt-4o-mini", "gpt-4o-mini-2024-07-18"}
    assert (together.totals.calls, together.totals.errors, together.totals.cost) == (2, 1, Decimal("0.00045"))
    assert {one.model for one in found} == {"gpt-4o-mini", "house-model", ""}
