"""Crossings become alerts: one for each limit, window and threshold, whatever happens in between."""

import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection, connections, transaction

from alerts.crossings import claim_crossings, resolve_limits
from alerts.models import AlertRead, CostAlert, Delivery
from alerts.queries import alerts_of, unread_alerts, unread_count
from alerts.wording import of_crossing
from budgets.changes import give_increase
from budgets.errors import BudgetExceeded
from budgets.models import Crossing
from budgets.operations import post, reserve
from budgets.settling import SettleItem, settle_many
from budgets.windows import close_window
from tests.alerts.core.conftest import LATER, NOON, make_limit, new_id, spend, types
from tests.budgets.conftest import call_at

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]


def only_alert() -> CostAlert:
    return CostAlert.objects.get()


def test_a_threshold_that_is_passed_is_told_to_the_one_whose_limit_it_is(owner, staff):
    limit = make_limit("10", scope="user", user=owner, name="Alice's day")
    spend("8.5", user=owner.pk)
    assert claim_crossings(at=LATER) == 1
    alert = only_alert()
    assert (alert.type, alert.severity, alert.user, alert.limit) == ("threshold", "warning", owner, limit)
    assert (alert.threshold, alert.spent, alert.limit_amount) == (Decimal("0.8"), Decimal("8.5"), Decimal(10))
    assert alert.title == "80 % spent: Alice's day, 13 May"
    assert alert.text == "$8.50 of $10.00 is spent, $1.50 is left. It resets at 2026-05-14 00:00 UTC."
    assert ["Spent", "$8.50 of $10.00 (85 %)"] in alert.facts
    assert [read.user for read in AlertRead.objects.all()] == [owner]
    delivery = Delivery.objects.get()
    assert (delivery.channel.owner, delivery.channel_kind, delivery.recipient) == (owner, "email", owner.email)


@pytest.mark.parametrize("share", ["0.1", "0.5", "0.7"])
def test_a_threshold_that_somebody_set_reaches_him_by_mail_however_low_it_is(owner, share):
    make_limit("10", scope="user", user=owner, thresholds=[share, "1.0"])
    spend("7.5", user=owner.pk)
    claim_crossings(at=LATER)
    assert only_alert().severity == "warning"
    assert Delivery.objects.get().recipient == owner.email


def test_a_limit_comes_with_80_and_100_percent(owner):
    make_limit("10", scope="user", user=owner, pause_on_exceed=False)
    for cost, told in (("7.9", []), ("0.2", ["80 %"]), ("1.8", ["80 %"]), ("0.1", ["80 %", "Limit reached"])):
        spend(cost, user=owner.pk)
        claim_crossings(at=LATER)
        titles = Delivery.objects.order_by("alert_id").values_list("alert__title", flat=True)
        assert [title.partition(" spent")[0].partition(":")[0] for title in titles] == told


def test_limits_of_everyone_are_told_to_staff(owner, staff):
    make_limit("10")
    spend("9", user=owner.pk)
    claim_crossings(at=LATER)
    assert only_alert().user is None
    assert [read.user for read in AlertRead.objects.all()] == [staff]


def test_the_limit_for_each_user_is_told_to_the_user_by_name(owner, staff):
    make_limit("10", scope="each_user")
    spend("9", user=owner.pk)
    claim_crossings(at=LATER)
    assert only_alert().user == owner
    assert only_alert().title == "80 % spent: $10.00 per day for each user (alice@example.com), 13 May"


def test_never_a_second_alert_for_the_same_limit_window_and_threshold(owner):
    limit = make_limit("10", scope="user", user=owner)
    call_id = new_id()
    post(call_at(user=owner.pk), call_id=call_id, cost=Decimal("8.5"), now=NOON)
    claim_crossings(at=LATER)
    # Spend dips and returns.
    for cost in ("-3", "3"):
        settle_many([SettleItem(call_id, Decimal(cost), "correction", call_at(user=owner.pk))], now=LATER)
        claim_crossings(at=LATER)
    # The limit is raised, lowered and back.
    for amount in ("100", "10", "9", "10"):
        limit.amount = Decimal(amount)
        limit.save(at=LATER)
        claim_crossings(at=LATER)
    # It ends and is brought back: its windows are others, of the same time.
    limit.active_until = LATER
    limit.save(at=LATER)
    limit.active_until = None
    limit.save(at=LATER + timedelta(minutes=1))
    spend("9", at=LATER + timedelta(minutes=2), user=owner.pk)
    claim_crossings(at=LATER + timedelta(minutes=3))
    assert Crossing.objects.filter(threshold="0.8").count() > 1, "there were several lines to cross"
    assert not Crossing.objects.filter(claimed_at=None).exists()
    assert types() == ["threshold"]
    assert Delivery.objects.count() == 1


def test_a_limit_that_is_raised_and_exceeded_again_is_told_once_at_each_amount(owner, staff):
    limit = make_limit("10", scope="user", user=owner)
    spend("11", user=owner.pk)
    claim_crossings(at=LATER)
    first = CostAlert.objects.get(type="exceeded")

    def amount_is(amount):
        limit.amount = Decimal(amount)
        limit.save(at=LATER)
        claim_crossings(at=LATER)
        resolve_limits(at=LATER)

    amount_is("1000")
    assert not CostAlert.objects.filter(resolved_at=None).exists()
    spend("1000", user=owner.pk)
    claim_crossings(at=LATER)
    resolve_limits(at=LATER)
    told = CostAlert.objects.filter(type="exceeded", resolved_at=None).get()
    assert told != first and told.limit_amount == 1000, "the alert of the amount before is over"
    assert "$1,011.00 of $1,000.00 is spent" in told.text
    assert Delivery.objects.filter(alert=told, channel__owner=owner).count() == 1, "it is sent"
    with pytest.raises(BudgetExceeded):
        reserve(call_at(user=owner.pk), hold_id=new_id(), amount=Decimal(1))
    claim_crossings(at=LATER)
    alerts, sent = CostAlert.objects.count(), Delivery.objects.count()
    for amount in ("10", "1000", "10"):
        amount_is(amount)
    assert (CostAlert.objects.count(), Delivery.objects.count()) == (alerts, sent), "no amount is told twice"
    assert CostAlert.objects.filter(type="exceeded", resolved_at=None).get() == first


def test_calls_that_are_refused_again_after_more_was_approved_are_told(owner, staff):
    limit = make_limit("10", scope="user", user=owner)

    def refuse():
        with pytest.raises(BudgetExceeded):
            reserve(call_at(user=owner.pk), hold_id=new_id(), amount=Decimal(5))
        claim_crossings(at=LATER)
        return Delivery.objects.filter(alert__type="refused").count()

    spend("7", user=owner.pk)
    assert refuse() == 1
    give_increase(limit, amount=Decimal(20), until=NOON + timedelta(days=2), why="a fair", by=staff, at=NOON)
    spend("20", user=owner.pk)
    assert refuse() == 2
    assert refuse() == 2, "once at each amount"


def test_the_next_window_is_told_anew(owner):
    make_limit("10", scope="user", user=owner)
    for day in range(2):
        spend("9", at=NOON + timedelta(days=day), user=owner.pk)
        claim_crossings(at=NOON + timedelta(days=day))
    assert types() == ["threshold", "threshold"]


def test_a_limit_that_did_not_alert_is_claimed_and_nobody_is_told(owner):
    make_limit("10", scope="user", user=owner, alerts_enabled=False)
    spend("9", user=owner.pk)
    assert claim_crossings(at=LATER) == 1
    assert not AlertRead.objects.exists() and not Delivery.objects.exists()


def test_a_hard_limit_that_is_reached_pauses_and_its_end_is_told(owner):
    make_limit("1", scope="user", user=owner)
    spend("1.2", user=owner.pk)
    claim_crossings(at=LATER)
    assert types() == ["threshold", "exceeded", "paused"]
    exceeded = CostAlert.objects.get(type="exceeded")
    assert (exceeded.severity, exceeded.title) == (
        "critical",
        "Limit exceeded: $1.00 per day for alice@example.com, 13 May",
    )
    assert "refused until 2026-05-14 00:00 UTC" in exceeded.text
    sent = set(Delivery.objects.values_list("alert__type", flat=True))
    assert sent == {"threshold", "exceeded"}, "that it pauses is part of what is sent; alone only on request"
    midnight = NOON.replace(hour=0) + timedelta(days=1)
    close_window(exceeded.window_id, at=midnight)
    claim_crossings(at=midnight)
    assert types()[-1] == "resumed"
    assert Delivery.objects.filter(alert__type="resumed").count() == 1
    assert resolve_limits(at=midnight) == 3
    assert types(resolved_at=None) == ["resumed"]


def test_the_first_refused_call_is_told(owner):
    make_limit("1", scope="user", user=owner)
    spend("0.7", user=owner.pk)
    for _ in range(3):
        with pytest.raises(BudgetExceeded):
            reserve(call_at(user=owner.pk), hold_id=new_id(), amount=Decimal("0.5"))
    claim_crossings(at=LATER)
    alert = only_alert()
    assert (alert.type, alert.severity) == ("refused", "critical")
    assert "$0.30 is left; a call that could have cost $0.50 was refused" in alert.text
    limit = alert.limit
    limit.amount = Decimal(5)
    limit.save(at=LATER)
    assert resolve_limits(at=LATER) == 1, "a higher limit has room for such calls"


def test_an_alert_no_longer_holds_when_there_is_room_again_and_holds_again_when_there_is_none(owner):
    limit = make_limit("10", scope="user", user=owner)
    spend("9", user=owner.pk)
    claim_crossings(at=LATER)
    assert resolve_limits(at=LATER) == 0
    for amount, held in (("100", False), ("10", True)):
        limit.amount = Decimal(amount)
        limit.save(at=LATER)
        resolve_limits(at=LATER)
        assert (only_alert().resolved_at is None) == held


@pytest.mark.parametrize(
    ("fields", "which"),
    [
        ({"period": "month"}, ", May"),
        ({"period": "month", "month_start": 10}, ", from 10 May"),
        ({"period": "week"}, ", from 11 May"),
        ({"period": "hour"}, ", 13 May, 12:00"),
        ({"period": "year"}, ", 2026"),
        ({"period": "total"}, ""),
    ],
)
def test_the_title_says_which_window_it_is(owner, fields, which):
    make_limit("10", scope="user", user=owner, name="Hers", **fields)
    spend("9", user=owner.pk)
    claim_crossings(at=LATER)
    assert only_alert().title == f"80 % spent: Hers{which}"


def test_what_no_longer_holds_is_no_news(owner):
    make_limit("10", scope="user", user=owner)
    spend("9", user=owner.pk)
    claim_crossings(at=LATER)
    assert unread_count(owner) == 1 and len(unread_alerts(owner, most=5)) == 1
    assert [one.is_read for one in alerts_of(owner, unread=True).alerts] == [False]
    resolve_limits(at=LATER + timedelta(days=1))
    assert unread_count(owner) == 0 and not unread_alerts(owner, most=5)
    assert not alerts_of(owner, unread=True).alerts and [one.is_read for one in alerts_of(owner).alerts] == [True]


def test_a_soft_limit_says_that_calls_go_on(owner):
    make_limit("1", scope="user", user=owner, pause_on_exceed=False, thresholds=["1.0", "1.5"])
    spend("1.6", user=owner.pk)
    claim_crossings(at=LATER)
    assert types() == ["exceeded", "exceeded"]
    assert [a.title for a in CostAlert.objects.order_by("threshold")] == [
        "Limit exceeded: $1.00 per day for alice@example.com, 13 May",
        "150 % spent: $1.00 per day for alice@example.com, 13 May",
    ]
    assert {a.severity for a in CostAlert.objects.all()} == {"warning"}


def test_what_fails_half_way_leaves_the_crossing_for_the_next(owner, monkeypatch):
    make_limit("10", scope="user", user=owner)
    spend("9", user=owner.pk)
    with monkeypatch.context() as patch:
        patch.setattr("alerts.planning.deliveries", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            claim_crossings(at=LATER)
    assert not CostAlert.objects.exists()
    assert claim_crossings(at=LATER) == 1
    assert Delivery.objects.count() == 1


def test_one_that_cannot_be_told_keeps_no_other_back(owner, monkeypatch):
    for name in ("bad", "good", "fine"):
        make_limit("10", scope="tag", target=f"team={name}", name=name)
        spend("9", tags={"team": name})

    def finding(crossing, **given):
        if crossing.window.limit.name == "bad":
            raise ValueError("bad")
        return of_crossing(crossing, **given)

    monkeypatch.setattr("alerts.crossings.of_crossing", finding)
    with pytest.raises(ValueError, match="bad"):
        claim_crossings(at=LATER)
    assert sorted(CostAlert.objects.values_list("limit__name", flat=True)) == ["fine", "good"]
    assert Crossing.objects.get(claimed_at=None).window.limit.name == "bad"


def test_the_window_of_an_account_that_is_gone_is_told_to_staff(owner, staff):
    make_limit("10", scope="each_user")
    spend("9", user=owner.pk)
    owner.delete()
    claim_crossings(at=LATER)
    assert only_alert().user is None


def test_nothing_to_claim_is_one_query(django_assert_num_queries):
    with django_assert_num_queries(1):
        claim_crossings(at=LATER)


def test_two_claimers_share_the_crossings(owner, staff):
    for n in range(8):
        make_limit("1", scope="tag", target=f"team={n}")
        spend("0.9", tags={"team": str(n)})
    counts = together(2, lambda: claim_crossings(at=LATER))
    assert sum(counts) == 8
    assert types() == ["threshold"] * 8
    assert Delivery.objects.count() == 8


def test_settles_and_beats_at_once_tell_each_threshold_once(owner):
    settles_and_beats(owner, settles=8, beats=2)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_64_settles_and_three_beats_at_once_tell_each_threshold_once(owner):
    settles_and_beats(owner, settles=64, beats=3)


def settles_and_beats(owner, *, settles: int, beats: int) -> None:
    make_limit("10", scope="user", user=owner, thresholds=["0.25", "0.5", "0.75", "1.0"])
    spend("0", user=owner.pk)
    over = threading.Event()

    def beat():
        while not over.is_set():
            claim_crossings(at=LATER)
            over.wait(0.01)
        claim_crossings(at=LATER)

    def rush():
        together(settles, lambda: spend(f"{Decimal(11) / settles:.6f}", user=owner.pk))
        over.set()

    run_all([beat] * beats + [rush])
    told = CostAlert.objects.filter(type__in=["threshold", "exceeded"])
    assert sorted(told.values_list("threshold", flat=True)) == [Decimal(t) for t in ("0.25", "0.5", "0.75", "1.0")]
    assert Delivery.objects.filter(alert__in=told).count() == 4


def together(number: int, work) -> list:
    """Run `work` in so many threads at once; what each returned."""
    barrier, found = threading.Barrier(number), []

    def run():
        barrier.wait()
        found.append(work())

    run_all([run] * number)
    assert len(found) == number, "one of them failed"
    return found


def run_all(works) -> None:
    def closing(work):
        try:
            work()
        finally:
            connections.close_all()

    threads = [threading.Thread(target=closing, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_claim_looks_at_an_index_of_what_is_unclaimed(owner):
    if connection.vendor != "postgresql":
        pytest.skip("asks PostgreSQL for its plan")
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL enable_seqscan = off")
        query = Crossing.objects.filter(claimed_at=None).order_by("crossed_at", "pk")[:100]
        assert "crossing_unclaimed" in query.explain()
