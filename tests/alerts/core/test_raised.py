"""An alert that becomes more severe reaches the channels that take only the more severe ones, once."""

from dataclasses import replace
from datetime import time, timedelta

import pytest

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import AlertMute, AlertRead, Channel, Delivery
from alerts.operations import mark_all_read, raise_alerts
from alerts.outbox import deliver_due
from tests.alerts.core.conftest import LATER, NOON, states, webhook

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "staff")]

WARNING = Finding(
    type=Type.RECORDER_BEHIND, severity=Severity.WARNING, dedupe_key="recorder_behind:host", title="Behind", text="",
    at=NOON,
)  # fmt: skip
CRITICAL = replace(WARNING, severity=Severity.CRITICAL, title="Far behind")


@pytest.fixture(autouse=True)
def no_mail(staff):
    Channel.objects.create(owner=staff, kind="email", name="Email", implied=True, is_active=False)


def test_what_turns_critical_is_sent_once_to_channels_that_take_critical_only(receiver):
    pager = webhook(receiver, min_severity="critical")
    team = webhook(receiver, min_severity="warning")
    raise_alerts([WARNING], at=NOON)
    assert (states(channel=pager), states(channel=team)) == ([], ["planned"])
    deliver_due(clock=lambda: NOON)
    for finding in (CRITICAL, CRITICAL, WARNING, CRITICAL):
        raise_alerts([finding], at=LATER)
    assert deliver_due(clock=lambda: LATER) == {"sent": 1}, "and not again to whom it was sent"
    assert states(channel=pager) == ["sent"] and states(channel=team) == ["sent"]
    assert [taken.json["data"]["severity"] for taken in receiver.taken] == ["warning", "critical"]


def test_what_turns_critical_no_longer_waits_for_a_digest_or_a_quiet_hour(receiver):
    digest = webhook(receiver, digest="daily")
    quiet = webhook(receiver, quiet_from=time(11), quiet_until=time(20))
    silent = webhook(receiver, quiet_from=time(11), quiet_until=time(20), quiet_critical=True)
    raise_alerts([WARNING], at=NOON)
    assert deliver_due(clock=lambda: NOON) == {}
    raise_alerts([CRITICAL], at=LATER)
    assert deliver_due(clock=lambda: LATER) == {"sent": 2}
    assert (states(channel=digest), states(channel=quiet), states(channel=silent)) == (["sent"], ["sent"], ["planned"])


def test_it_is_unread_again_but_for_whom_muted_it(receiver, staff):
    raise_alerts([WARNING], at=NOON)
    mark_all_read(staff, at=NOON)
    raise_alerts([CRITICAL], at=LATER)
    assert AlertRead.objects.filter(read_at=None).count() == 1
    raise_alerts([WARNING], at=LATER)
    mark_all_read(staff, at=LATER)
    AlertMute.objects.create(user=staff, type=WARNING.type, until=NOON + timedelta(days=1))
    raise_alerts([CRITICAL], at=LATER)
    assert AlertRead.objects.filter(read_at=None).count() == 0
    assert not Delivery.objects.exists()
