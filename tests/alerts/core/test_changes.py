"""A change of a channel counts for what waits: quiet hours that are removed, digests that are about to be sent."""

from datetime import time, timedelta

import pytest

from alerts.bundles import send_digests
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.managing import save_channel
from alerts.models import Channel, Delivery
from alerts.operations import raise_alerts
from alerts.outbox import deliver_due
from tests.alerts.core.conftest import NOON, states, webhook

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]
MONDAY = NOON.replace(day=18, hour=8)


def tell(at=NOON):
    found = Finding(type=Type.UNPRICED, severity=Severity.WARNING, dedupe_key="unpriced:1", title="x", text="", at=at)
    raise_alerts([found], at=at)


def test_quiet_hours_that_are_removed_let_go_what_waits(receiver):
    channel = webhook(receiver, quiet_from=time(11), quiet_until=time(20))
    tell()
    assert deliver_due(clock=lambda: NOON) == {}
    channel.quiet_until = time(21)
    save_channel(channel, at=NOON)
    assert deliver_due(clock=lambda: NOON) == {}
    channel.quiet_from = channel.quiet_until = None
    save_channel(channel, at=NOON)
    assert deliver_due(clock=lambda: NOON) == {"sent": 1}


def test_saving_a_channel_at_the_time_of_its_digest_skips_none(receiver):
    channel = webhook(receiver, digest="weekly", digest_at=time(8))
    tell()
    assert channel.digest_next_at == MONDAY
    stale = Channel.objects.get(pk=channel.pk)
    for change in ({"name": "Renamed"}, {"digest_at": time(9)}):
        for name, value in change.items():
            setattr(channel, name, value)
        save_channel(channel, at=MONDAY + timedelta(seconds=20))
        assert Channel.objects.get().digest_next_at == MONDAY, change
    assert send_digests(at=MONDAY + timedelta(seconds=30)) == 1
    assert states(alert__type="unpriced") == ["collected"]
    assert Delivery.objects.get(alert__type="digest").carries.count() == 1
    following = Channel.objects.get().digest_next_at
    assert following == MONDAY.replace(hour=9), "the time that was entered meanwhile"
    stale.name, stale.digest_at = "Once more", time(9)
    save_channel(stale, at=MONDAY + timedelta(minutes=1))
    assert Channel.objects.get().digest_next_at == following, "what was sent is not due again"


def test_a_change_of_the_digests_time_counts_for_the_next(receiver):
    channel = webhook(receiver, digest="daily", digest_at=time(8))
    channel.digest_at = time(18)
    save_channel(channel, at=NOON)
    assert channel.digest_next_at == NOON.replace(hour=18)
    channel.is_active = False
    save_channel(channel, at=NOON)
    channel.is_active = True
    back = NOON + timedelta(days=30)
    save_channel(channel, at=back)
    assert channel.digest_next_at == back.replace(hour=18), "nothing of the time in between is made up for"
