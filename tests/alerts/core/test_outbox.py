"""Deliveries: sent at least once under one id, tried again, given up, held back, bundled; channels that die."""

import threading
import time as time_
from datetime import datetime, time, timedelta

import pytest
from django.db import connection

from alerts import outbox
from alerts.dying import enable
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import AlertRead, Channel, CostAlert, Delivery
from alerts.operations import raise_alerts
from alerts.outbox import WAITS_S, deliver_due
from alerts.secrets import seal, unseal
from tests.alerts.channels.receivers import raw_server
from tests.alerts.core.conftest import NOON, ids, states, webhook

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]


class Clock:
    """A clock that a test sets."""

    def __init__(self, at: datetime = NOON) -> None:
        self.at = at

    def __call__(self) -> datetime:
        return self.at

    def forward(self, **span) -> None:
        self.at += timedelta(**span)


@pytest.fixture
def clock():
    return Clock()


def tell(number=1, *, at=NOON, user=None, severity=Severity.WARNING, type_=Type.UNPRICED, first=0) -> list[CostAlert]:
    """Raise so many alerts."""
    return raise_alerts(
        [
            Finding(
                type=type_, severity=severity, dedupe_key=f"{type_}:{first + n}", title=f"Alert {first + n}", text="",
                at=at, user_id=user.pk if user else None,
            )
            for n in range(number)
        ],
        at=at,
    )  # fmt: skip


def test_an_alert_is_sent_once_under_the_id_of_its_delivery(receiver, clock):
    webhook(receiver)
    tell()
    assert deliver_due(clock=clock) == {"sent": 1}
    assert deliver_due(clock=clock) == {}
    delivery = Delivery.objects.get()
    assert ids(receiver) == [str(delivery.pk)]
    assert (delivery.state, delivery.attempts, delivery.sent_at) == ("sent", 1, NOON)
    assert "200" in delivery.answer


def test_errors_are_tried_again_with_the_same_id_until_one_try_is_taken(receiver, clock):
    webhook(receiver)
    tell()
    receiver.answer(500, 500, 200)
    for wait in (0, 3, 13):
        clock.forward(seconds=wait)
        deliver_due(clock=clock)
    assert states() == ["sent"]
    assert ids(receiver) == [str(Delivery.objects.get().pk)] * 3
    channel = Channel.objects.get()
    assert (channel.failures, channel.failing_since) == (0, None), "what failed before is forgotten"


def test_every_attempt_sends_the_same_bytes_although_the_alert_has_changed(receiver, clock):
    webhook(receiver)
    tell()
    receiver.answer(500, 500, 200)
    for change in ({"title": "Alert 0, more of it", "count": 7}, {"resolved_at": NOON}, {}):
        deliver_due(clock=clock)
        CostAlert.objects.update(**(change or {"text": "over"}))
        clock.forward(minutes=1)
    assert states() == ["sent"] and len(receiver.taken) == 3
    assert len({(taken.headers["webhook-id"], taken.body) for taken in receiver.taken}) == 1
    assert Delivery.objects.get().body == "", "it is kept no longer than it is needed"


def test_waits_grow_and_vary_and_end(receiver, clock):
    webhook(receiver)
    tell()
    receiver.answer(500)
    waits = []
    for _ in WAITS_S:
        deliver_due(clock=clock)
        due = Delivery.objects.get().next_at
        waits.append((due - clock()).total_seconds())
        assert deliver_due(clock=clock) == {}, "not before its time"
        clock.at = due
    deliver_due(clock=clock)
    assert states() == ["failed"]
    assert len(receiver.taken) == len(WAITS_S) + 1
    assert all(0.8 * given <= waited <= 1.2 * given for given, waited in zip(WAITS_S, waits, strict=True))
    assert "500" in Delivery.objects.get().last_error


def test_a_receiver_that_asks_to_wait_is_left_alone_so_long(receiver, clock):
    webhook(receiver)
    tell()
    receiver.answer((429, {"Retry-After": "900"}, b""), 200)
    deliver_due(clock=clock)
    clock.forward(seconds=899)
    deliver_due(clock=clock)
    assert len(receiver.taken) == 1
    clock.forward(seconds=2)
    deliver_due(clock=clock)
    assert states() == ["sent"]


def test_a_receiver_that_is_gone_is_never_asked_again_and_its_owner_told_elsewhere(receiver, clock, owner):
    channel = webhook(receiver, owner=owner)
    tell(3, user=owner)
    receiver.answer(410)
    for _ in range(3):
        deliver_due(clock=clock)
        clock.forward(hours=1)
    channel.refresh_from_db()
    assert channel.disabled_at == NOON and "410" in channel.disabled_reason
    assert set(states(channel=channel)) <= {"failed", "skipped"}, "those that were on their way at that moment failed"
    told = CostAlert.objects.get(type="channel_died")
    assert told.user == owner and "410" in told.text
    assert [d.channel.kind for d in told.deliveries.all()] == ["email"], "by another way"
    assert AlertRead.objects.filter(alert=told, user=owner, read_at=None).exists()
    before = len(receiver.taken)
    tell(1, user=owner, first=10)
    deliver_due(clock=clock)
    assert len(receiver.taken) == before


@pytest.mark.slow
def test_a_channel_that_only_fails_is_disabled_after_a_day_and_can_be_enabled_again(receiver, clock):
    channel = webhook(receiver)
    tell()
    receiver.answer(503)
    for _ in range(30):
        deliver_due(clock=clock)
        clock.forward(hours=1)
        tell(1, at=clock(), first=int(clock().timestamp()))
    channel.refresh_from_db()
    assert timedelta(hours=24) <= channel.disabled_at - NOON <= timedelta(hours=26)
    assert CostAlert.objects.filter(type="channel_died").count() == 1
    receiver.answer(200)
    enable(channel, at=clock())
    tell(1, first=-1)
    deliver_due(clock=clock)
    assert Delivery.objects.get(alert__dedupe_key="unpriced:-1").state == "sent"


def test_a_dead_worker_loses_nothing_the_lease_runs_out(receiver, clock):
    webhook(receiver)
    tell()
    taken, _ = outbox.claim(at=clock())  # and the worker dies
    assert len(taken) == 1
    assert deliver_due(clock=clock) == {}, "somebody has it"
    clock.forward(seconds=61)
    assert deliver_due(clock=clock) == {"sent": 1}
    assert ids(receiver) == [str(taken[0].pk)]
    assert Delivery.objects.get().attempts == 2


def test_a_message_that_kills_its_worker_each_time_is_given_up(receiver, clock):
    webhook(receiver)
    tell()
    for _ in range(len(WAITS_S) + 1):
        assert outbox.claim(at=clock())[0]
        clock.forward(minutes=2)
    deliver_due(clock=clock)
    assert (states(), receiver.taken) == (["failed"], [])


@pytest.mark.slow
def test_two_workers_at_once_send_each_once(receiver, clock):
    webhook(receiver, rate_per_hour=1000)
    tell(30)

    def work():
        try:
            deliver_due(clock=clock)
        finally:
            connection.close()

    threads = [threading.Thread(target=work) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert states() == ["sent"] * 30
    assert len(ids(receiver)) == len(set(ids(receiver))) == 30


@pytest.mark.parametrize("jump", [timedelta(hours=-3), timedelta(days=-400), timedelta(hours=3), timedelta(days=400)])
def test_clocks_that_jump_keep_nothing_back(receiver, clock, jump):
    webhook(receiver)
    tell()
    clock.at += jump
    assert deliver_due(clock=clock) == {"sent": 1}


def test_quiet_hours_hold_back_until_their_end_and_critical_passes(receiver, clock):
    channel = webhook(receiver, quiet_from=time(22), quiet_until=time(7), time_zone="Europe/Vienna")
    clock.at = NOON.replace(hour=21)  # 23:00 in Vienna
    tell(1, at=clock())
    tell(1, at=clock(), severity=Severity.CRITICAL, first=5)
    assert deliver_due(clock=clock) == {"sent": 1}
    assert receiver.taken[0].json["data"]["severity"] == "critical"
    clock.at = datetime.fromisoformat("2026-05-14T06:59:59+02:00")
    assert deliver_due(clock=clock) == {}
    clock.forward(seconds=1)
    assert deliver_due(clock=clock) == {"sent": 1}
    Channel.objects.filter(pk=channel.pk).update(quiet_critical=True)
    clock.at = NOON.replace(hour=21)
    tell(1, at=clock(), severity=Severity.CRITICAL, first=6)
    assert deliver_due(clock=clock) == {}


def test_a_muted_channel_sends_nothing_and_the_list_shows_it_all(receiver, clock, owner):
    webhook(receiver, owner=owner, muted_until=NOON + timedelta(hours=1))
    tell(1, user=owner)
    deliver_due(clock=clock)
    assert "skipped" in states(channel_kind="webhook")
    assert AlertRead.objects.filter(user=owner, read_at=None).count() == 1
    clock.forward(hours=2)
    tell(1, user=owner, first=3)
    deliver_due(clock=clock)
    assert len(receiver.taken) == 1


def test_more_than_a_channel_takes_in_an_hour_is_told_in_one_message(receiver, clock, staff):
    Channel.objects.create(owner=staff, kind="email", name="Email", implied=True, is_active=False)
    webhook(receiver, rate_per_hour=5)
    tell(12)
    deliver_due(clock=clock)
    assert len(receiver.taken) == 5
    tell(3, first=20)
    deliver_due(clock=clock)
    assert len(receiver.taken) == 5
    clock.forward(hours=1, seconds=1)
    deliver_due(clock=clock)
    assert len(receiver.taken) == 6
    more = receiver.taken[-1].json
    assert "10 more alerts" in str(more)
    assert sorted(states()) == ["sent"] * 16, "what was told with it has the same end"
    assert not AlertRead.objects.filter(alert__type="more").exists(), "it is no news itself"


def test_a_bundle_that_is_never_taken_says_so_of_what_it_carried(receiver, clock):
    webhook(receiver, rate_per_hour=1)
    tell(3)
    deliver_due(clock=clock)
    receiver.answer(500)
    clock.forward(hours=1, seconds=1)
    for _ in range(len(WAITS_S) + 1):
        deliver_due(clock=clock)
        clock.at = max(clock.at, Delivery.objects.get(alert__type="more").next_at)
    assert sorted(states()) == ["failed", "failed", "failed", "sent"]


def test_a_slow_or_failing_channel_does_not_keep_others_waiting(receiver, clock, settings):
    from tests.alerts.channels.receivers import receiver as another

    with another() as failing:
        failing.answer(500)
        webhook(failing, name="Failing", rate_per_hour=1000)
        tell(1)
        deliver_due(clock=clock)
        clock.forward(seconds=5)
        good = webhook(receiver, rate_per_hour=1000)
        tell(20, first=100)
        deliver_due(clock=clock)
        assert len(failing.taken) <= 4, "one message at a time while it fails"
        assert Delivery.objects.filter(channel=good, state="sent").count() == 20


def test_a_receiver_that_takes_its_time_does_not_keep_others_waiting(receiver, clock, settings):
    with raw_server(lambda connection: time_.sleep(4)) as port:
        slow = webhook(receiver, name="Slow", rate_per_hour=1000)
        Channel.objects.filter(pk=slow.pk).update(
            secrets=seal({**unseal(slow.secrets), "url": f"http://127.0.0.1:{port}/"})
        )
        tell(12)
        good = webhook(receiver, rate_per_hour=1000)
        tell(20, first=100)
        begun = time_.monotonic()
        working = threading.Thread(target=run_once, args=(clock,))
        working.start()
        while Delivery.objects.filter(channel=good, state="sent").count() < 20 and time_.monotonic() - begun < 10:
            time_.sleep(0.05)
        took = time_.monotonic() - begun
        working.join()
    assert took < 3.5, "none waits for the slow one"


def run_once(clock):
    try:
        deliver_due(clock=clock, for_s=2)
    finally:
        connection.close()


def test_nothing_due_is_one_query_on_an_index(django_assert_num_queries):
    with django_assert_num_queries(1):
        assert not outbox.is_due(at=NOON)
    if connection.vendor == "postgresql":
        rows = Delivery.objects.filter(state__in=["planned", "claimed"], next_at__lte=NOON)
        with connection.cursor() as cursor:
            cursor.execute("SET enable_seqscan = off")
            plan = rows.explain()
            cursor.execute("RESET enable_seqscan")
        assert "delivery_due" in plan


def test_a_delivery_that_failed_can_be_sent_again_under_its_id(receiver, clock):
    webhook(receiver)
    tell()
    Delivery.objects.update(state="failed", attempts=10)
    delivery = Delivery.objects.get()
    assert outbox.send_again(delivery)
    assert not outbox.send_again(delivery)
    deliver_due(clock=clock)
    assert ids(receiver) == [str(delivery.pk)]
