"""The verbs that move money, one story each, on both databases."""

import asyncio
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from budgets import book, operations
from budgets.changes import ask_increase, decide_increase, end_limit, give_increase
from budgets.errors import BudgetExceeded, HoldNotFound
from budgets.models import BudgetWindow, Crossing, Hold, LimitChange
from budgets.operations import check, expire, expired_holds, post, reserve, room_for, settle, void
from budgets.windows import close_window, ended_windows
from tests.budgets.conftest import NOON, call_at, make_limit, money, new_id, the_window

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]
LATER = NOON + timedelta(seconds=3)


def hold(amount="0.10", call=None, **fields):
    hold_id = new_id()
    held = reserve(call or call_at(**fields), hold_id=hold_id, amount=Decimal(amount))
    return hold_id if held else None


def refused(amount="0.10", call=None, **fields):
    with pytest.raises(BudgetExceeded) as raised:
        reserve(call or call_at(**fields), hold_id=new_id(), amount=Decimal(amount))
    return raised.value.refusal


def test_money_is_held_before_a_call_and_settled_at_its_cost():
    make_limit("1")
    hold_id = hold("0.30")
    assert money(the_window()) == ("0", "0.3")
    settled = settle(hold_id, cost=Decimal("0.123456789"), now=LATER)
    assert (settled.state, settled.changed, settled.overrun) == ("settled", True, False)
    assert money(the_window()) == ("0.123456789", "0")


def test_without_a_limit_nothing_is_held():
    assert hold("1000") is None
    assert not Hold.objects.exists()


def test_the_last_nano_dollar_fits_and_one_more_does_not():
    make_limit("0.3")
    assert hold("0.1") and hold("0.2")
    assert refused("0.000000001").remaining == 0
    assert hold("0"), "a call that is priced free always passes"
    assert money(the_window()) == ("0", "0.3")


def test_a_limit_of_zero_blocks_paid_calls_and_lets_free_ones_pass():
    make_limit("0")
    assert refused("0.000000001").limit == 0
    assert hold("0")


def test_a_refusal_explains_itself():
    make_limit("1", name="The team's day")
    settle(hold("0.9"), cost=Decimal("0.85"), now=LATER)
    hold("0.05")
    refusal = refused("0.2")
    assert (refusal.limit, refusal.spent, refusal.held) == (Decimal(1), Decimal("0.85"), Decimal("0.05"))
    assert refusal.remaining == Decimal("0.1")
    assert refusal.resets_at == NOON.replace(hour=0) + timedelta(days=1)
    assert refusal.retry_after_s is None
    assert "The team's day has $0.10 of $1.00 left" in refusal.message
    assert "2026-05-14 00:00 UTC" in refusal.message
    assert not Hold.objects.filter(amount=Decimal("0.2")).exists(), "a refusal leaves no hold behind"


def test_only_calls_in_flight_make_it_worth_trying_again():
    make_limit("1")
    hold("0.9")
    assert refused("0.2").retry_after_s
    assert not Crossing.objects.exists(), "nobody is alerted because calls happen to be in flight"
    settle(hold("0.1"), cost=Decimal("0.1"), now=LATER)


def test_a_refusal_is_written_down_once_in_its_window():
    make_limit("1")
    settle(hold("0.9"), cost=Decimal("0.9"), now=LATER)
    for _ in range(3):
        refused("0.2")
    operations.forget()  # another process
    refused("0.3")
    crossing = Crossing.objects.get(kind="refused")
    assert (crossing.asked, crossing.spent) == (Decimal("0.2"), Decimal("0.9"))


def test_thresholds_are_crossed_once_in_the_transaction_that_passes_them():
    make_limit("1", thresholds=["0.5", "0.8", "1.0"])
    for cost in ("0.4", "0.3", "0.05", "0.2", "0.04"):
        settle(hold("0.01"), cost=Decimal(cost), now=LATER)
    assert [str(c.threshold) for c in Crossing.objects.order_by("id")] == ["0.5", "0.8"]
    settle(hold("0.01"), cost=Decimal("0.5"), now=LATER)
    refused("0.01")
    spent = Crossing.objects.filter(kind="spent").order_by("id")
    assert [str(c.threshold) for c in spent] == ["0.5", "0.8", "1.0"]
    assert Crossing.objects.filter(kind="refused").count() == 1, "the first refusal is told too"


def test_a_bill_above_its_hold_is_posted_in_full_and_shown():
    make_limit("1")
    hold_id = hold("0.5")
    assert settle(hold_id, cost=Decimal(3), now=LATER).overrun
    assert Hold.objects.get(pk=hold_id).overrun
    assert money(the_window()) == ("3", "0")
    assert refused("0.01").remaining == 0


def test_a_hold_is_resolved_once_whoever_comes_later_is_told_how():
    make_limit("1")
    first, second = hold("0.5"), hold("0.2")
    settle(first, cost=Decimal("0.4"), now=LATER)
    for again in (settle(first, cost=Decimal(9), now=LATER), void(first, now=LATER), expire(first, now=LATER)):
        assert (again.state, again.cost, again.changed) == ("settled", Decimal("0.4"), False)
    void(second, now=LATER)
    assert settle(second, cost=Decimal("0.1"), now=LATER).state == "void"
    assert money(the_window()) == ("0.4", "0")
    with pytest.raises(HoldNotFound):
        settle(new_id(), cost=Decimal(1), now=LATER)


def test_the_same_id_again_is_told_what_it_was():
    make_limit("1")
    hold_id = hold("0.5")
    again = reserve(call_at(), hold_id=hold_id, amount=Decimal("0.9"))
    assert (again.repeated, again.state, again.amount) == (True, "open", Decimal("0.5"))
    void(hold_id, now=LATER)
    assert reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5")).state == "void"
    assert money(the_window()) == ("0", "0")


def test_a_hold_of_which_nothing_was_heard_counts_until_the_truth_arrives():
    make_limit("1")
    hold_id = hold("0.5", user=None, feature="pitch", model="gpt-4o")
    assert expired_holds(now=NOON) == []
    [(found, amount, call)] = expired_holds(now=NOON + timedelta(hours=1))
    assert (found, amount, call.feature, call.at) == (hold_id, Decimal("0.5"), "pitch", NOON)
    settled = expire(hold_id, now=NOON + timedelta(hours=1))
    assert (settled.state, settled.cost_known) == ("expired", False)
    assert money(the_window()) == ("0.5", "0")
    settle(hold_id, cost=Decimal("0.2"), now=NOON + timedelta(hours=2))
    assert money(the_window()) == ("0.2", "0")


def test_all_hard_limits_must_have_room_and_none_keeps_a_part():
    make_limit("1", period="day")
    make_limit("0.5", period="hour")
    make_limit("10", period="month", pause_on_exceed=False)
    hold("0.4")
    refusal = refused("0.2")
    assert refusal.period == "hour"
    assert {money(window) for window in BudgetWindow.objects.all()} == {("0", "0.4")}


def test_a_soft_limit_counts_and_never_refuses():
    make_limit("0.1", pause_on_exceed=False)
    for _ in range(3):
        settle(hold("1"), cost=Decimal(1), now=LATER)
    assert money(the_window()) == ("3", "0")
    assert [str(c.threshold) for c in Crossing.objects.order_by("id")] == ["0.8", "1.0"]


def test_a_call_settles_in_the_window_that_reserved_it():
    make_limit("1")
    before_midnight = NOON.replace(hour=23, minute=59)
    hold_id = hold("0.5", call_at(before_midnight))
    settle(hold_id, cost=Decimal("0.5"), now=before_midnight + timedelta(hours=1))
    hold("0.9", call_at(before_midnight + timedelta(minutes=2)))
    assert [money(w) for w in BudgetWindow.objects.order_by("starts_at")] == [("0.5", "0"), ("0", "0.9")]


def test_a_limit_raised_or_lowered_counts_at_once(owner):
    limit = make_limit("1")
    settle(hold("0.9"), cost=Decimal("0.9"), now=LATER)
    refused("0.2")
    limit.amount = Decimal(2)
    limit.save(by=owner, why="A big week", at=LATER)
    assert hold("0.2")
    limit.amount = Decimal("0.5")
    limit.save(by=owner, at=LATER)
    assert refused("0.01").remaining == 0
    assert money(the_window()) == ("0.9", "0.2"), "nothing becomes negative"
    change = LimitChange.objects.filter(limit=limit).order_by("id")[1]
    assert (change.by, change.why, change.changes) == (owner, "A big week", {"amount": ["1", "2"]})


def test_lowering_a_limit_below_what_is_spent_is_a_crossing():
    limit = make_limit("10")
    settle(hold("4"), cost=Decimal(4), now=LATER)
    assert not Crossing.objects.exists()
    limit.amount = Decimal("4.5")
    limit.save(at=LATER)
    assert [str(c.threshold) for c in Crossing.objects.all()] == ["0.8"]
    limit.amount = Decimal("4.4")
    limit.save(at=LATER)
    assert Crossing.objects.count() == 1, "passed before"


def test_a_temporary_increase_counts_until_its_end(owner, staff):
    limit = make_limit("1")
    hold("1")
    asked = ask_increase(limit, amount=Decimal("0.5"), until=NOON + timedelta(hours=1), why="A demo", by=owner, at=NOON)
    refused("0.1")
    decide_increase(asked, approve=True, by=staff, at=NOON)
    assert hold("0.5")
    assert refused("0.1").limit == Decimal("1.5")
    later = NOON + timedelta(hours=2)
    assert refused("0.1", call_at(later)).limit == 1
    give_increase(limit, amount=Decimal(1), until=NOON + timedelta(hours=5), why="More", by=staff, at=NOON)
    assert refused("1.1", call_at(NOON)).limit == Decimal("2.5")
    assert hold("0.5", call_at(later)), "the second goes on when the first has ended"
    assert [c.what for c in LimitChange.objects.order_by("id")] == [
        "made", "increase asked", "increase approved", "increase asked", "increase approved"
    ]  # fmt: skip


def test_an_increase_can_be_refused_and_is_decided_once(owner, staff):
    limit = make_limit("1")
    asked = ask_increase(limit, amount=Decimal(5), until=NOON + timedelta(days=1), why="Please", by=owner, at=NOON)
    assert decide_increase(asked, approve=False, by=staff, at=NOON, note="Not now").status == "refused"
    with pytest.raises(Exception, match="refused before"):
        decide_increase(asked, approve=True, by=staff, at=NOON)
    assert refused("2").limit == 1


def test_each_user_has_a_window_and_a_limit_of_his_own_takes_its_place(owner, member):
    make_limit("1", scope="each_user")
    hold("1", user=owner.pk)
    assert refused("0.1", user=owner.pk).subject == f"user:{owner.pk}"
    assert hold("1", user=member.email), "by email as well"
    assert hold("5") is None, "nobody's call is nobody's"
    own = make_limit("3", scope="user", user=owner)
    assert hold("2", user=owner.pk)
    end_limit(own, at=NOON)
    refusal = refused("0.1", user=owner.pk)
    assert (refusal.limit, refusal.held) == (Decimal(1), Decimal(3)), "it went on counting"


def test_a_users_own_limit_stands_under_those_of_staff(owner):
    make_limit("1", scope="each_user")
    make_limit("100", scope="user", user=owner, owner=owner)
    hold("0.9", user=owner.pk)
    assert refused("0.2", user=owner.pk).limit == 1


@pytest.mark.parametrize(
    "scope, target, fits, differs",
    [
        ("feature", "pitch", {"feature": "pitch"}, {"feature": "other"}),
        ("analysis", "a-1", {"analysis": "a-1"}, {"analysis": "a-2"}),
        ("each_analysis", "", {"analysis": "a-1"}, {}),
        ("provider", "openai", {"provider": "openai"}, {"provider": "anthropic"}),
        ("model", "gpt-4o*", {"model": "gpt-4o-mini"}, {"model": "claude-opus-4"}),
        ("model", "anthropic/*", {"model": "claude-opus-4", "provider": "anthropic"}, {"model": "gpt-4o"}),
        ("api_key", "k1", {"api_key": "k1"}, {"api_key": "k2"}),
        ("tag", "team=search", {"tags": {"team": "search"}}, {"tags": {"team": "ads"}}),
    ],
)
def test_a_limit_counts_the_calls_of_its_scope(scope, target, fits, differs):
    make_limit("1", scope=scope, target=target)
    assert hold("1", **fits)
    refused("0.1", **fits)
    assert hold("9", **differs) is None


def test_a_group_limit_follows_its_members(owner, member):
    from django.contrib.auth.models import Group

    group = Group.objects.create(name="Interns")
    owner.groups.add(group)
    make_limit("1", scope="group", group=group)
    assert hold("0.6", user=owner.pk)
    assert hold("0.6", user=member.pk) is None
    member.groups.add(group)
    assert refused("0.6", user=member.pk).held == Decimal("0.6"), "one budget for the group"


def test_a_limit_is_in_force_from_and_until():
    make_limit("0", active_from=NOON, active_until=NOON + timedelta(hours=1))
    assert hold("1", call_at(NOON - timedelta(seconds=1))) is None
    refused("1", call_at(NOON))
    assert hold("1", call_at(NOON + timedelta(hours=1))) is None


def test_usage_reported_afterwards_counts_in_full_once():
    make_limit("1")
    call_id = new_id()
    for _ in range(2):
        post(call_at(), call_id=call_id, cost=Decimal("1.5"), now=LATER)
    assert money(the_window()) == ("1.5", "0")
    assert [str(c.threshold) for c in Crossing.objects.order_by("id")] == ["0.8", "1.0"]
    refused("0.1")


def test_a_check_holds_nothing():
    make_limit("1")
    assert check(call_at(), amount=Decimal(1)) is None
    assert check(call_at(), amount=Decimal("1.01")).limit == 1
    assert room_for(call_at()) == 1
    hold("0.25")
    assert room_for(call_at()) == Decimal("0.75")


def test_a_rolled_back_caller_cannot_take_back_a_hold_on_postgresql_and_cannot_lose_a_cost_on_sqlite():
    make_limit("1")
    hold_id = new_id()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        reserve(call_at(), hold_id=hold_id, amount=Decimal("0.5"))
        raise ZeroDivisionError
    assert Hold.objects.filter(pk=hold_id).exists() == (connection.vendor == "postgresql")
    settle(hold_id, cost=Decimal("0.4"), now=LATER, call=call_at())
    hold("0.1")
    assert money(the_window()) == ("0.4", "0.1")


def test_a_refusal_inside_the_callers_transaction_leaves_it_usable(owner):
    make_limit("0.1")
    with transaction.atomic():
        refused("0.5")
        owner.first_name = "Alice"
        owner.save()
    owner.refresh_from_db()
    assert owner.first_name == "Alice"
    assert Crossing.objects.filter(kind="refused").count() == 1


def test_a_coroutine_reserves_without_blocking_its_event_loop():
    make_limit("0.5")

    async def session():
        ids = [new_id() for _ in range(8)]
        results = await asyncio.gather(
            *(operations.areserve(call_at(), hold_id=i, amount=Decimal("0.1")) for i in ids), return_exceptions=True
        )
        held = [r for r in results if isinstance(r, operations.Held)]
        for h in held:
            await operations.asettle(h.hold_id, cost=Decimal("0.05"), now=LATER)
        return len(held), sum(isinstance(r, BudgetExceeded) for r in results)

    assert asyncio.run(session()) == (5, 3)
    assert money(the_window()) == ("0.25", "0")


def test_a_sync_client_on_an_event_loop_is_counted_too():
    make_limit("0.5")

    async def view():
        return reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1"))

    assert asyncio.run(view()).state == "open"


def test_no_round_trip_where_no_limit_applies(monkeypatch, owner):
    make_limit("1", scope="user", user=owner)
    monkeypatch.setattr("budgets.book.MAX_AGE_S", 60)
    assert hold("1", feature="x") is None
    with CaptureQueriesContext(connection) as queries:
        for _ in range(100):
            assert hold("1", feature="x") is None
    assert not queries.captured_queries


def test_a_new_limit_counts_within_a_second_in_a_process_that_has_looked_before(monkeypatch):
    monkeypatch.setattr("budgets.book.MAX_AGE_S", 0.9)
    assert hold("1") is None
    made = threading.Thread(target=lambda: (make_limit("0.5"), connection.close()))
    made.start()
    made.join()
    book._checked_at -= 1  # a second later
    refused("1")


def test_windows_are_closed_once_with_a_report():
    make_limit("1")
    settle(hold("0.5"), cost=Decimal(2), now=LATER)
    still_open = hold("0")
    window = the_window()
    assert close_window(window.pk, at=NOON) is None, "not over yet"
    tomorrow = NOON + timedelta(days=1)
    assert ended_windows(at=tomorrow) == [window.pk]
    report = close_window(window.pk, at=tomorrow)
    assert (report.spent, report.overruns, report.calls, report.paused) == (Decimal(2), 1, 2, True)
    assert close_window(window.pk, at=tomorrow) is None and ended_windows(at=tomorrow) == []
    settle(still_open, cost=Decimal("0.5"), now=tomorrow)
    assert money(window) == ("2.5", "0"), "a call settles in the window that reserved it, closed or not"


def test_a_change_of_the_period_starts_anew():
    limit = make_limit("1", period="day")
    hold("0.7")
    limit.period = "month"
    limit.save()
    assert hold("0.7"), "a window of its own, that begins with what the ledger holds"
    assert BudgetWindow.objects.count() == 2
    old = BudgetWindow.objects.order_by("id")[0]
    assert old.pk in ended_windows(at=NOON), "the old one is closed by the next reset"
