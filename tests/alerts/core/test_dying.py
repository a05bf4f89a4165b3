"""What is held against a channel, and what is not: mail that this installation cannot send, refusals in a moment."""

from datetime import timedelta

import pytest

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import Channel, CostAlert, Delivery
from alerts.operations import raise_alerts
from alerts.outbox import deliver_due
from tests.alerts.channels.receivers import mail_server
from tests.alerts.core.conftest import NOON, states, webhook

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]


@pytest.fixture
def mail(settings):
    with mail_server() as running:
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT, settings.EMAIL_TIMEOUT = "127.0.0.1", running.port, 3
        settings.DEFAULT_FROM_EMAIL = "Costwatch <costs@example.org>"
        yield running


def tell(number, *, at=NOON, user=None):
    user_id = user.pk if user else None
    raise_alerts(
        [
            Finding(
                type=Type.UNPRICED, severity=Severity.WARNING, dedupe_key=f"unpriced:{number}", title=f"Alert {number}",
                text="", at=at, user_id=user_id,
            )
        ],
        at=at,
    )  # fmt: skip


def run(times, *, at=NOON):
    """Try so often, each time when everything is due. Returns the time afterwards."""
    for _ in range(times):
        deliver_due(clock=lambda now=at: now)
        due = Delivery.objects.filter(state="planned").order_by("-next_at").first()
        if due is None:
            break
        at = max(at, due.next_at)
    return at


@pytest.mark.parametrize(
    ("who", "answer"),
    [
        ("costs@example.org", "530 5.7.0 Authentication required"),
        ("alice@example.com", "550 5.7.1 Unable to relay"),
    ],
)
def test_a_wrong_set_up_of_mail_switches_off_nobodys_email(mail, owner, staff, receiver, who, answer):
    webhook(receiver)
    mail.refuses = {who: answer}
    for number in range(5):
        tell(number, user=owner)
    at = run(7)
    channel = Channel.objects.get(owner=owner)
    assert (channel.disabled_at, channel.failures) == (None, 0)
    assert set(states(channel=channel)) == {"planned"}, "they wait"
    told = CostAlert.objects.get(type="mail_failing")
    assert told.user is None and answer in told.text and told.resolved_at is None
    assert [taken.json["type"] for taken in receiver.taken] == ["alert.mail_failing"], (
        "staff hear of it once, elsewhere"
    )
    mail.refuses = {}
    run(12, at=at)
    assert set(states(channel=channel)) == {"sent"}
    told.refresh_from_db()
    assert told.resolved_at is not None


def test_an_unknown_mailbox_counts_against_its_channel_after_a_while(mail, owner):
    mail.refuses = {owner.email: "550 5.1.1 no such user"}
    at = NOON
    for number in range(4):
        tell(number, at=at, user=owner)
        deliver_due(clock=lambda at=at: at)
        at += timedelta(minutes=11)
    channel = Channel.objects.get(owner=owner)
    assert channel.disabled_at == NOON + timedelta(minutes=33) and "550 5.1.1" in channel.disabled_reason
    assert set(states(channel=channel)) <= {"failed", "skipped"}


def test_no_channel_dies_within_seconds_but_of_410(receiver, owner):
    channel = webhook(receiver, owner=owner)
    Channel.objects.filter(implied=True).update(is_active=False)
    receiver.answer(503, 503, (302, {"Location": "https://example.com/"}, b""))
    for number in range(6):
        tell(number, user=owner)
    at = run(4)
    channel.refresh_from_db()
    assert channel.failures >= 3 and channel.disabled_at is None
    tell(7, at=at + timedelta(hours=1), user=owner)
    receiver.answer(410)
    run(3, at=at + timedelta(hours=1))
    channel.refresh_from_db()
    assert channel.disabled_at is not None
