"""Who is told, what they want to hear, and what they have read."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError

from alerts import queries
from alerts.bundles import send_digests
from alerts.cleaning import clean_old
from alerts.crossings import claim_crossings
from alerts.kinds import Type
from alerts.managing import delete_channel, save_channel
from alerts.models import AlertRead, Channel, CostAlert, Delivery, Forgotten
from alerts.operations import mark_all_read, mark_read, mute, raise_alerts, resolve, set_preferences
from alerts.outbox import deliver_due
from alerts.refusals import count_refusals
from alerts.secrets import unseal
from alerts.trials import send_test
from budgets.changes import ask_increase, decide_increase, give_increase
from budgets.crossings import count_refused
from budgets.errors import BudgetExceeded
from budgets.operations import reserve
from tests.alerts.core.conftest import LATER, NOON, make_limit, new_id, spend, states, types, webhook
from tests.alerts.core.test_outbox import tell
from tests.budgets.conftest import call_at

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]
NEXT_WEEK = NOON + timedelta(days=7)


def asked_for(limit, who):
    return ask_increase(limit, amount=Decimal(5), until=NEXT_WEEK, why="A launch", by=who, at=NOON)


def test_both_sides_of_an_increase_are_told_in_the_same_transaction(owner, staff):
    increase = asked_for(make_limit("10", scope="user", user=owner, name="Alice's day"), owner)
    asked = CostAlert.objects.get()
    assert asked.title == "alice@example.com asks for $5.00 more: Alice's day"
    assert [read.user for read in asked.reads.all()] == [staff]
    assert [d.recipient for d in asked.deliveries.all()] == [staff.email]
    decide_increase(increase, approve=False, by=staff, at=LATER, note="Not this week")
    told = CostAlert.objects.get(type="increase_refused")
    assert (told.user, told.text) == (owner, "Not this week")
    assert [d.recipient for d in told.deliveries.all()] == [owner.email]
    asked.refresh_from_db()
    assert asked.resolved_at == LATER


def test_more_that_staff_give_is_told_to_whom_it_is_for_only(owner, staff):
    limit = make_limit("10", scope="user", user=owner)
    give_increase(limit, amount=Decimal(5), until=NEXT_WEEK, why="A launch", by=staff, at=NOON)
    assert [(a.type, a.user) for a in CostAlert.objects.all()] == [("increase_approved", owner)]


def test_an_increase_that_cannot_be_asked_for_tells_nobody(owner, staff):
    limit = make_limit("10", scope="user", user=owner)
    with pytest.raises(ValidationError):
        ask_increase(limit, amount=Decimal(5), until=NOON, why="late", by=owner, at=NOON)
    assert not CostAlert.objects.exists()


def test_refused_calls_are_counted_in_the_alert_of_the_first(owner):
    from budgets.errors import BudgetExceeded
    from budgets.operations import reserve
    from tests.budgets.conftest import call_at, new_id

    make_limit("1", scope="user", user=owner)
    with pytest.raises(BudgetExceeded):
        reserve(call_at(user=owner.pk), hold_id=new_id(), amount=Decimal(2))
    claim_crossings(at=LATER)
    alert = CostAlert.objects.get(type="refused")
    for _ in range(2):
        count_refused({alert.window_id: 20}, at=LATER)
    assert count_refusals(at=LATER) == 1
    alert.refresh_from_db()
    assert alert.count == 40 and ["Refused calls", "40"] in alert.facts
    assert count_refusals(at=LATER) == 0
    assert CostAlert.objects.filter(type="refused").count() == 1


def test_a_limit_or_a_type_that_is_muted_is_listed_and_not_told(owner):
    limit = make_limit("10", scope="user", user=owner)
    mute(owner, limit_id=limit.pk, until=NEXT_WEEK)
    spend("9", user=owner.pk)
    claim_crossings(at=LATER)
    assert len(queries.alerts_of(owner).alerts) == 1
    assert queries.unread_count(owner) == 0 and not Delivery.objects.exists()
    tell(1, user=owner)
    assert queries.unread_count(owner) == 1, "what has nothing to do with that limit is told"
    with pytest.raises(ValidationError):
        mute(owner, until=NEXT_WEEK)


def test_preferences_and_channels_choose_by_type_and_severity(receiver, owner):
    webhook(receiver, owner=owner, types=["rate_changed"])
    set_preferences(owner, types_off=["unpriced"])
    tell(1, user=owner)
    assert not Delivery.objects.exists() and queries.unread_count(owner) == 0
    tell(1, user=owner, type_="rate_changed", severity="info")
    assert list(Delivery.objects.values_list("channel_kind", flat=True)) == ["webhook"], "email begins with warnings"
    set_preferences(owner, min_severity="critical")
    tell(1, user=owner, type_="rate_changed", first=7)
    assert Delivery.objects.count() == 1


def test_what_concerns_others_is_neither_seen_nor_counted(owner, member, staff):
    (alert,) = tell(1, user=owner)
    tell(1, first=5)
    assert [shown.row for shown in queries.alerts_of(owner).alerts] == [alert]
    assert queries.alerts_of(member, everyone=True).alerts == []
    assert queries.find_alert(member, alert.pk) is None
    assert queries.find_alert(staff, alert.pk).is_read, "staff may look, and were not told"
    assert len(queries.alerts_of(staff).alerts) == 1 and len(queries.alerts_of(staff, everyone=True).alerts) == 2
    assert mark_read(member, [alert.pk], at=LATER) == 0
    staff.is_superuser = False
    staff.save()
    assert queries.unread_count(type(staff).objects.get(pk=staff.pk)) == 0


def test_the_bell_is_one_query(owner, django_assert_num_queries):
    tell(3, user=owner)
    with django_assert_num_queries(1):
        assert queries.unread_count(owner) == 3
    assert mark_all_read(owner, at=LATER) == 3
    assert queries.unread_count(owner) == 0


def test_a_key_that_is_known_is_brought_up_to_date_and_told_to_nobody_again(owner):
    tell(1, user=owner)
    mark_all_read(owner, at=LATER)
    assert tell(1, user=owner) == []
    assert queries.unread_count(owner) == 0
    assert resolve("unpriced", still=[], at=LATER) == 1
    tell(1, user=owner, at=LATER)
    alert = CostAlert.objects.get()
    assert alert.resolved_at is None and queries.unread_count(owner) == 1, "it holds again: news for the list only"
    assert Delivery.objects.count() == 1


@pytest.mark.parametrize(("type_", "left"), [(Type.UNPRICED, 0), (Type.CALLS_LOST, 1), (Type.UNUSUAL_SPEND, 1)])
def test_what_is_over_counts_as_read_unless_its_end_undoes_nothing(owner, type_, left):
    (alert,) = tell(1, user=owner, type_=type_)
    resolve(type_, still=[], at=LATER)
    assert queries.unread_count(owner) == len(queries.alerts_of(owner, unread=True).alerts) == left
    (shown,) = queries.alerts_of(owner).alerts
    assert (shown.is_read, shown.can_be_marked) == (not left, bool(left))
    assert mark_read(owner, [alert.pk], at=LATER) == 1
    assert queries.unread_count(owner) == 0


def test_a_digest_collects_and_critical_passes(receiver, owner):
    webhook(receiver, owner=owner, digest="daily")
    Channel.objects.filter(kind="email").update(is_active=False)
    tell(3, user=owner)
    tell(1, user=owner, severity="critical", first=9)
    clock = lambda: NOON  # noqa: E731
    deliver_due(clock=clock)
    assert len(receiver.taken) == 1
    assert sorted(states(channel_kind="webhook")) == ["collected"] * 3 + ["sent"]
    eight = NOON.replace(hour=8) + timedelta(days=1)
    assert send_digests(at=eight - timedelta(seconds=1)) == 0
    assert send_digests(at=eight) == 1
    assert send_digests(at=eight) == 0, "another beat finds it done"
    deliver_due(clock=lambda: eight)
    assert len(receiver.taken) == 2
    assert set(states(channel_kind="webhook")) == {"sent"}
    assert types()[-1] == "digest"


def test_old_alerts_are_deleted_and_counted_all_the_same(owner, settings, receiver):
    webhook(receiver, owner=owner)
    tell(2, user=owner)
    Delivery.objects.update(state="sent")
    tell(1, user=owner, first=5)
    long_after = NOON + timedelta(days=settings.ALERT_KEEP_DAYS + 1)
    assert clean_old(at=long_after) == 0, "what still holds stays"
    resolve(Type.UNPRICED, still=(), at=LATER)
    assert clean_old(at=long_after) == 2, "what is on its way stays"
    counts = {(row.name, row.label): row.count for row in Forgotten.objects.all()}
    assert counts == {("alerts", "unpriced"): 2, ("deliveries", "webhook sent"): 2, ("deliveries", "email sent"): 2}
    assert not AlertRead.objects.exclude(alert__in=CostAlert.objects.all()).exists()


def test_a_test_tells_what_the_receiver_said_and_secrets_stay_inside(receiver, owner):
    channel = webhook(receiver, owner=owner)
    assert "whsec" not in channel.secrets
    receiver.answer((503, {}, b"come back later"))
    tested = send_test(channel, by=owner, at=NOON)
    assert not tested.ok and tested.took_s > 0 and "503" in tested.answer and "come back later" in tested.answer
    receiver.answer(200)
    assert send_test(channel, by=owner, at=NOON).ok
    assert not Delivery.objects.exists()
    channel.config = {"url": "nonsense"}
    with pytest.raises(ValidationError) as wrong:
        save_channel(channel, at=LATER)
    assert "url" in wrong.value.message_dict
    kept = Channel.objects.get(pk=channel.pk)
    assert kept.config == {"url": receiver.url.replace("hook", "…")} and unseal(kept.secrets)["url"] == receiver.url


def test_an_account_that_is_not_active_is_told_nothing_and_staff_are(owner, staff):
    make_limit("10", scope="user", user=owner)
    make_limit("10", scope="each_user")
    owner.is_active = False
    owner.save()
    spend("11", user=owner.pk)
    claim_crossings(at=LATER)
    assert set(CostAlert.objects.values_list("user", flat=True)) == {None}
    assert {read.user for read in AlertRead.objects.all()} == {staff}
    recipients = set(Delivery.objects.filter(alert__type="exceeded").values_list("recipient", flat=True))
    assert recipients == {staff.email}


def test_who_owns_a_key_is_told_of_the_budget_of_the_key(owner, staff):
    make_limit("1", scope="api_key", target="key_1", owner=owner, name="Key call")
    make_limit("2", scope="api_key", target="key_1", name="Staff's, on the same key")
    spend("0.9", api_key="key_1")
    with pytest.raises(BudgetExceeded):
        reserve(call_at(NOON, api_key="key_1"), hold_id=new_id(), amount=Decimal("0.5"))
    spend("0.9", api_key="key_1")
    claim_crossings(at=LATER)
    told = CostAlert.objects.filter(limit__name="Key call")
    assert {"threshold", "refused", "exceeded"} <= set(told.values_list("type", flat=True))
    assert {alert.user for alert in told} == {owner} and queries.unread_count(owner) == told.count()
    assert set(Delivery.objects.filter(alert__in=told).values_list("recipient", flat=True)) == {owner.email}
    others = CostAlert.objects.exclude(limit__name="Key call")
    assert others and {alert.user for alert in others} == {None}, "a limit of staff's on the key is told to staff"


def test_the_channel_that_is_there_from_the_start_can_be_switched_off(owner):
    (email,) = queries.channels_of(owner)
    assert email.implied and queries.channels_of(owner) == [email]
    delete_channel(email, at=LATER)
    tell(1, user=owner)
    assert not Delivery.objects.exists()
    assert raise_alerts([], at=LATER) == []
