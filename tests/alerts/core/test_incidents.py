"""An incident that an alert opened is closed when the alert is over, under the same key."""

from datetime import UTC, datetime, time, timedelta

import pytest

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.managing import save_channel
from alerts.models import Channel, CostAlert
from alerts.operations import raise_alerts, resolve
from alerts.outbox import deliver_due
from alerts.planning import plan_closings
from alerts.tasks import resolve_alerts
from tests.alerts.channels.conftest import _services, authority, services  # noqa: F401  fixtures
from tests.alerts.core.conftest import LATER, NOON, states, webhook

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]


@pytest.fixture
def pager():
    channel = Channel(
        kind="pagerduty", name="On call", quiet_from=time(12, 1), quiet_until=time(20), time_zone="UTC", rate_per_hour=1
    )
    return save_channel(channel, given_secrets={"integration_key": "0123456789abcdef" * 2}, at=NOON)


def tell(at=NOON):
    found = Finding(
        type=Type.CALLS_LOST, severity=Severity.WARNING, dedupe_key="calls_lost:host", title="Lost", text="", at=at
    )
    raise_alerts([found], at=at)


def send(at):
    return deliver_due(clock=lambda: at)


def test_an_incident_is_resolved_under_its_key_once(services, pager, receiver):  # noqa: F811
    services.answer(202)
    hook = webhook(receiver)
    tell()
    send(NOON)
    assert plan_closings(at=LATER) == 0
    resolve(Type.CALLS_LOST, still=[], at=LATER)
    Channel.objects.filter(pk=pager.pk).update(muted_until=NOON + timedelta(days=1))
    night = NOON + timedelta(hours=2)
    assert plan_closings(at=night) == 1
    assert send(night) == {"sent": 1}, "neither quiet hours nor a mute hold it back"
    assert plan_closings(at=night) == 0
    opened, closed = (taken.json for taken in services.taken)
    assert (opened["event_action"], closed["event_action"]) == ("trigger", "resolve")
    assert opened["dedup_key"] == closed["dedup_key"] == f"costwatch-{CostAlert.objects.get().pk}"
    assert states(channel=hook) == ["sent"] and len(receiver.taken) == 1


def test_what_was_never_opened_or_holds_again_is_not_closed(services, pager):  # noqa: F811
    services.answer(202)
    tell()
    resolve(Type.CALLS_LOST, still=[], at=NOON)
    assert plan_closings(at=NOON) == 0, "it is still to be sent"
    tell()
    send(NOON)
    resolve(Type.CALLS_LOST, still=[], at=NOON)
    assert plan_closings(at=NOON) == 1
    tell(LATER)
    send(LATER)
    assert states(closes=True) == ["skipped"]
    assert [taken.json["event_action"] for taken in services.taken] == ["trigger"]
    resolve(Type.CALLS_LOST, still=[], at=LATER)
    assert plan_closings(at=LATER) == 1
    send(LATER)
    assert [taken.json["event_action"] for taken in services.taken] == ["trigger", "resolve"]


def test_the_task_that_resolves_alerts_closes_their_incidents(services, pager):  # noqa: F811
    services.answer(202)
    now = datetime.now(UTC)
    Channel.objects.update(quiet_from=None, quiet_until=None)
    tell(now)
    send(now)
    resolve(Type.CALLS_LOST, still=[], at=now)
    resolve_alerts()
    assert len(states(closes=True)) == 1
