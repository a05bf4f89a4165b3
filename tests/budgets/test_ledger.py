"""Budgets and the ledger: what a window opens with, what the recorder settles, and that the two never part."""

import time
import uuid
from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from django.db import transaction
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from budgets import book, operations
from budgets.audit import audit_budgets
from budgets.calendar import WindowRule, window_at
from budgets.changes import end_limit
from budgets.models import BudgetWindow, Crossing, Hold
from budgets.opening import _from_ledger, ledger_condition, spent_in
from budgets.operations import expire, reserve
from budgets.settling import SettleItem, open_windows, settle_many
from budgets.windows import close_window, fold_window
from tests.budgets.conftest import NOON, call_at, make_limit, money, new_id, the_window
from tests.budgets.processes import start, wait
from tracking import ledger
from tracking.events import CallEvent
from tracking.models import ApiUsageLog
from tracking.recording import record

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once"), pytest.mark.timeout(120)]


def spend(*costs: str, at: datetime = NOON, **fields) -> None:
    """Calls that are in the ledger and its rollups, but were never counted by a budget."""
    events = [
        CallEvent(
            id=str(uuid.uuid4()),
            at_us=int(at.timestamp() * 1_000_000),
            provider=fields.get("provider", "openai"),
            operation="chat",
            endpoint="/v1/chat/completions",
            source="api",
            model_asked=fields.get("model", "gpt-4o"),
            user=fields.get("user"),
            feature=fields.get("feature", ""),
            analysis=fields.get("analysis", ""),
            tags=fields.get("tags", {}),
            cost_usd=cost,
        )
        for cost in costs
    ]
    record(events, now=at)


def row(call_id, cost, *, at=NOON, corrects=None) -> ApiUsageLog:
    return ApiUsageLog.objects.create(
        id=call_id, occurred_at=at, recorded_at=at, corrects=corrects, provider="openai", model="gpt-4o",
        operation="chat", service="chat", status="ok", cost=cost, price_status="unpriced" if cost is None else "priced",
        calls=0 if corrects else 1,
    )  # fmt: skip


def recorded(call_id, cost, *, verb="ledger", corrects=None, call=None):
    """What the recorder does: the row and its settling, in one transaction."""
    with transaction.atomic():
        row(call_id, cost, corrects=corrects)
        [settled] = settle_many([SettleItem(corrects or call_id, cost, verb, call or call_at())], now=NOON)
    return settled


def assert_clean():
    audit = audit_budgets(at=NOON)
    assert audit.is_clean, audit.differences


def test_a_limit_made_in_the_middle_of_a_window_starts_with_what_it_has_spent():
    spend("0.3", "0.4", feature="pitch")
    spend("5", feature="other")
    spend("5", feature="pitch", at=NOON - timedelta(days=1))
    make_limit("1", scope="feature", target="pitch", thresholds=["0.5", "0.9"])
    assert reserve(call_at(feature="pitch"), hold_id=new_id(), amount=Decimal("0.3"))
    assert money(the_window()) == ("0.7", "0.3")
    assert [str(c.threshold) for c in Crossing.objects.all()] == ["0.5"], "what was passed before is told at once"
    assert_clean()


@pytest.mark.parametrize(
    "fields, scope, target",
    [
        ({}, "everyone", ""),
        ({"provider": "anthropic", "model": "claude-opus-4"}, "provider", "anthropic"),
        ({"model": "gpt-4o-mini"}, "model", "gpt-4o-mini*"),
        ({"feature": "f"}, "feature", "f"),
        ({"analysis": "a"}, "analysis", "a"),
        ({"tags": {"team": "search"}}, "tag", "team=search"),
    ],
)
@pytest.mark.parametrize("period", ["hour", "month", "total"])
def test_every_scope_opens_with_what_the_ledger_holds(fields, scope, target, period):
    spend("0.1", "0.2", **fields)
    if scope != "everyone":
        spend("7", feature="not this", model="o9")
    make_limit("10", scope=scope, target=target, period=period)
    reserve(call_at(**fields), hold_id=new_id(), amount=Decimal(1))
    assert money(the_window()) == ("0.3", "1")
    assert_clean()


def test_people_and_groups_open_with_what_they_spent(owner, member):
    from django.contrib.auth.models import Group

    group = Group.objects.create(name="Interns")
    group.user_set.add(owner, member)
    spend("0.1", user=owner.pk)
    spend("0.2", user=member.email)
    make_limit("10", scope="each_user", period="month")
    make_limit("10", scope="group", group=group, period="week")
    reserve(call_at(user=member.pk), hold_id=new_id(), amount=Decimal(1))
    assert {w.subject: money(w)[0] for w in BudgetWindow.objects.all()} == {f"user:{member.pk}": "0.2", "": "0.3"}


@given(
    offsets=st.lists(st.integers(-40 * 86_400, 40 * 86_400), min_size=1, max_size=8),
    zone=st.sampled_from(["UTC", "Asia/Kolkata", "America/New_York", "Pacific/Apia"]),
    site_zone=st.sampled_from(["UTC", "Europe/Vienna"]),
    period=st.sampled_from(["week", "month", "quarter", "total"]),
    scope=st.sampled_from(["everyone", "feature", "user"]),
)
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
def test_rollups_and_ledger_give_the_same_opening(settings, owner, offsets, zone, site_zone, period, scope):
    """Whole days (hours) come from rollups, the edges from the ledger: together, what the ledger alone says."""
    from tests.budgets.conftest import empty_tables

    empty_tables("tracking")
    settings.TIME_ZONE = site_zone
    for offset in offsets:
        spend("0.000000001", "1.5", at=NOON + timedelta(seconds=offset), feature="f", user=owner.pk)
    from budgets.models import BudgetLimit

    target = {"feature": {"target": "f"}, "user": {"user": owner}}.get(scope, {})
    limit = book.Limit.of(BudgetLimit(scope=scope, period=period, amount=Decimal(1), time_zone=zone, **target))
    subject = f"user:{owner.pk}" if scope == "user" else ""
    span = window_at(WindowRule(period, zone), NOON)
    looked = book.look_now()
    exact = _from_ledger(limit, ledger_condition(limit, subject, book=looked), span.starts_at, span.ends_at)
    assert spent_in(limit, subject, span, book=looked) == exact


def test_the_recorder_settles_a_hold_at_its_actual_cost_with_the_row():
    make_limit("1")
    hold_id = new_id()
    reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5"))
    assert recorded(hold_id, Decimal("0.2")).state == "settled"
    assert money(the_window()) == ("0.2", "0")
    recorded(new_id(), Decimal("0.05"), verb="correction", corrects=hold_id)
    assert money(the_window()) == ("0.25", "0")
    assert_clean()


def test_a_rolled_back_recorder_settles_nothing():
    make_limit("1")
    hold_id = new_id()
    reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5"))
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        settle_many([SettleItem(hold_id, Decimal("0.2"), "ledger", call_at())], now=NOON)
        raise ZeroDivisionError
    assert money(the_window()) == ("0", "0.5")


def test_calls_without_a_hold_count_and_alert_when_they_are_recorded():
    make_limit("1")
    call_id = new_id()
    open_windows([SettleItem(call_id, Decimal("0.9"), "ledger", call_at())], at=NOON)
    recorded(call_id, Decimal("0.9"))
    assert money(the_window()) == ("0.9", "0")
    assert [str(c.threshold) for c in Crossing.objects.all()] == ["0.8"]
    recorded(new_id(), Decimal("-0.4"), verb="correction", corrects=call_id)
    assert money(the_window()) == ("0.5", "0")
    assert_clean()


def test_a_window_that_is_opened_later_reads_them_from_the_ledger():
    make_limit("1")
    call_id = new_id()
    assert recorded(call_id, Decimal("0.9")).state == "none", "there is no window yet"
    reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1"))
    assert money(the_window()) == ("0.9", "0.1")
    recorded(new_id(), Decimal("-0.4"), verb="correction", corrects=call_id)
    assert money(the_window()) == ("0.5", "0.1"), "its correction counts too"
    assert_clean()


def test_a_limit_made_while_a_call_is_in_flight_counts_that_call():
    make_limit("10", period="hour")
    hold_id = new_id()
    reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5"))
    make_limit("10", period="day")
    reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1"))
    recorded(hold_id, Decimal("0.4"))
    assert {money(w) for w in BudgetWindow.objects.all()} == {("0.4", "0.1")}
    recorded(new_id(), Decimal("0.1"), verb="correction", corrects=hold_id)
    make_limit("10", period="day", name="Another")
    reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1"))
    recorded(new_id(), Decimal("0.2"), verb="correction", corrects=hold_id)
    assert [money(w)[0] for w in BudgetWindow.objects.all()] == ["0.7", "0.7", "0.7"]
    assert_clean()


def test_a_hold_that_expired_is_corrected_through_the_ledger():
    make_limit("1")
    hold_id = new_id()
    reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5"))
    with transaction.atomic():
        row(hold_id, Decimal("0.5"))
        settle_many([SettleItem(hold_id, Decimal("0.5"), "expire", call_at())], now=NOON)
    assert Hold.objects.get(pk=hold_id).state == "expired"
    assert expire(hold_id, now=NOON).changed is False
    assert_clean()
    recorded(new_id(), Decimal("-0.3"), verb="correction", corrects=hold_id)
    assert money(the_window()) == ("0.2", "0")
    assert_clean()


def test_a_call_without_a_price_stands_at_its_hold_until_it_has_one():
    make_limit("1")
    hold_id = new_id()
    reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5"))
    assert recorded(hold_id, None).cost_known is False
    assert money(the_window()) == ("0.5", "0")
    assert_clean()
    recorded(new_id(), Decimal("0.1"), verb="correction", corrects=hold_id)
    assert money(the_window()) == ("0.1", "0")
    assert_clean()


def test_the_calls_of_a_closed_window_can_be_forgotten_and_still_be_corrected():
    make_limit("1")
    make_limit("9", period="hour")
    call_id, still_open = new_id(), new_id()
    for hold_id in (call_id, still_open):
        reserve(call_at(), hold_id=hold_id, amount=Decimal("0.3"))
    recorded(call_id, Decimal("0.2"))
    day, hour = BudgetWindow.objects.order_by("id")
    assert fold_window(day.pk) == 0, "it is not closed"
    close_window(day.pk, at=NOON + timedelta(days=1))
    assert fold_window(day.pk) == 1
    assert Hold.objects.count() == 2, "the other window still counts it"
    assert_clean()
    recorded(new_id(), Decimal("0.1"), verb="correction", corrects=call_id)
    assert (money(day), money(hour)) == (("0.3", "0.3"), ("0.3", "0.3"))
    BudgetWindow.objects.update(closed_at=NOON)
    assert fold_window(day.pk) == fold_window(hour.pk) == 1
    assert [hold.pk for hold in Hold.objects.all()] == [still_open]
    assert_clean()
    recorded(new_id(), Decimal("-0.3"), verb="correction", corrects=call_id)
    assert (money(day), money(hour)) == (("0", "0.3"), ("0", "0.3"))
    assert_clean()


def test_windows_opened_while_recorders_write_miss_nothing_and_count_nothing_twice():
    """Recorders write rows and settle them; meanwhile limits are made and their windows opened."""
    ledger.ensure_months({f"{NOON:%Y-%m}"})

    def recorder(n):
        operations.forget()
        for k in range(25):
            recorded(uuid.uuid5(uuid.NAMESPACE_OID, f"{n} {k}"), Decimal("0.01"))

    def opener():
        for n in range(5):
            make_limit("1000", name=f"limit {n}", thresholds=[])
            reserve(call_at(), hold_id=uuid.uuid4(), amount=Decimal(0))
            time.sleep(0.02)

    children = [start(lambda n=n: recorder(n)) for n in range(4)] + [start(opener)]
    assert set(wait(children)) == {0}
    assert ApiUsageLog.objects.count() == 100
    assert [money(w)[0] for w in BudgetWindow.objects.all()] == ["1"] * 5
    assert_clean()


def test_the_audit_finds_a_changed_window_and_sets_it_right():
    make_limit("1")
    hold_id = new_id()
    reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5"))
    recorded(hold_id, Decimal("0.2"))
    BudgetWindow.objects.update(spent=Decimal("0.200000001"), held=Decimal("0.1"))
    audit = audit_budgets(at=NOON)
    assert {(d.what, d.field) for d in audit.differences} == {
        ("window against holds", "spent"), ("window against holds", "held"), ("window against ledger", "spent")
    }  # fmt: skip
    assert not audit_budgets(at=NOON, fix=True).is_clean
    assert money(the_window()) == ("0.2", "0")
    row(new_id(), Decimal("0.3"))  # written past the recorder
    [difference] = audit_budgets(at=NOON, fix=True).differences
    assert (difference.what, difference.expected) == ("window against ledger", Decimal("0.5"))
    assert money(the_window()) == ("0.5", "0")
    assert_clean()


def test_a_limit_that_ended_in_the_middle_of_its_window_is_no_difference():
    limit = make_limit("5", period="month")
    spend("1", at=NOON - timedelta(hours=2))
    open_windows([SettleItem(new_id(), None, "ledger", call_at())], at=NOON)
    end_limit(limit, at=NOON - timedelta(hours=1))
    spend("2")
    assert money(the_window()) == ("1", "0"), "what came later is counted no more"
    assert_clean()
    BudgetWindow.objects.update(spent=Decimal(7))
    assert not audit_budgets(at=NOON).is_clean, "its holds must add up all the same"
