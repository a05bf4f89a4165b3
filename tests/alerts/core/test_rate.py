"""At most so many messages in an hour: alerts are counted, critical ones come first, and nothing is left behind."""

from datetime import timedelta

import pytest

from alerts import outbox
from alerts.cleaning import clean_old
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.managing import save_channel
from alerts.models import Channel, Delivery
from alerts.operations import raise_alerts
from alerts.outbox import deliver_due
from tests.alerts.core.conftest import NOON, states, webhook

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]
AN_HOUR_ON = NOON + timedelta(hours=1, seconds=1)


def tell(number, *, at=NOON, severity=Severity.WARNING, first=0):
    raise_alerts(
        [
            Finding(type=Type.UNPRICED, severity=severity, dedupe_key=f"unpriced:{n}", title=f"{n}", text="", at=at)
            for n in range(first, first + number)
        ],
        at=at,
    )


def send(at=NOON):
    return deliver_due(clock=lambda: at)


def test_an_alert_to_many_recipients_counts_once(mailoutbox):
    to = [f"user{n}@example.com" for n in range(20)]
    save_channel(Channel(kind="email", name="Staff", config={"to": to}, rate_per_hour=2), at=NOON)
    for number in range(3):
        tell(1, first=number)
        send()
    assert len(mailoutbox) == 40
    assert states().count("collected") == 20


def test_critical_ones_come_first_and_have_as_much_again(receiver):
    webhook(receiver, rate_per_hour=2)
    tell(4)
    tell(3, severity=Severity.CRITICAL, first=10)
    send()
    assert sorted(taken.json["data"]["title"] for taken in receiver.taken) == ["10", "11", "12"]
    tell(2, severity=Severity.CRITICAL, first=20)
    send()
    assert len(receiver.taken) == 4, "not without end"
    send(AN_HOUR_ON)
    assert "5 more alerts" in receiver.taken[-1].json["data"]["title"]


def test_what_is_being_sent_counts(receiver):
    webhook(receiver, rate_per_hour=1)
    tell(1)
    assert len(outbox.claim(at=NOON)[0]) == 1
    tell(3, first=5)
    assert outbox.claim(at=NOON)[0] == []
    assert states().count("collected") == 3


@pytest.mark.parametrize("change", [{"muted_until": NOON + timedelta(hours=2)}, {"is_active": False}])
def test_what_was_collected_ends_with_the_message_that_was_to_tell_it(receiver, change):
    channel = webhook(receiver, rate_per_hour=1)
    tell(4)
    send()
    assert states().count("collected") == 3
    Channel.objects.filter(pk=channel.pk).update(**change)
    send(AN_HOUR_ON)
    assert sorted(states()) == ["sent", *["skipped"] * 4]


def test_switching_a_channel_off_ends_what_it_collected(receiver):
    channel = webhook(receiver, digest="daily")
    tell(2)
    channel.is_active = False
    save_channel(channel, at=NOON)
    assert states() == ["skipped", "skipped"]


def test_nothing_stays_collected_for_ever(receiver):
    channel = webhook(receiver, digest="daily")
    tell(2)
    Channel.objects.filter(pk=channel.pk).update(is_active=False)  # by whatever way
    clean_old(at=NOON + timedelta(days=14))
    assert states() == ["collected", "collected"]
    clean_old(at=NOON + timedelta(days=16))
    assert states() == ["skipped", "skipped"]


def test_a_later_attempt_tells_the_same_and_what_came_since_is_told_by_another(receiver):
    webhook(receiver, rate_per_hour=1)
    tell(3)
    send()
    receiver.answer(500)
    send(AN_HOUR_ON)
    tell(2, first=10, at=AN_HOUR_ON)
    receiver.answer(200)
    later = AN_HOUR_ON + timedelta(hours=2)
    for _ in range(4):
        send(later)
        later += timedelta(hours=2)
    assert not Delivery.objects.exclude(state="sent").exists()
    titles = [taken.json["data"]["title"] for taken in receiver.taken]
    assert sorted(title for title in titles if "more" in title) == ["1 more alert", "2 more alerts", "2 more alerts"]
