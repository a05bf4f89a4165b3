"""What tests of alerts share: limits and spending in a line, and a receiver that answers as it is told."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from alerts.channels.webhook import new_secret
from alerts.managing import save_channel
from alerts.models import Channel, CostAlert, Delivery
from budgets.operations import post
from tests.alerts.channels.receivers import Receiver
from tests.alerts.channels.receivers import receiver as http_receiver
from tests.budgets.conftest import (  # noqa: F401  fixtures: a database that several connections see
    at_once,
    call_at,
    django_user_model,
    make_limit,
    member,
    new_id,
    nothing_remembered,
    own_db,
    owner,
)

NOON = datetime(2026, 5, 13, 12, 0, tzinfo=UTC)
LATER = NOON + timedelta(seconds=5)


@pytest.fixture
def staff(own_db, django_user_model):  # noqa: F811
    """Dora: runs the installation."""
    return django_user_model.objects.create_superuser(email="dora@example.com", password="correct horse")


@pytest.fixture
def receiver(settings) -> Iterator[Receiver]:
    """A receiver of webhooks that may be reached, although it is on this machine."""
    settings.ALERT_WEBHOOK_ALLOWED_HOSTS = ["127.0.0.1/32"]
    settings.ALERT_WEBHOOK_ALLOWED_FOR_EVERYONE = True
    with http_receiver() as found:
        yield found


def ids(receiver: Receiver) -> list[str]:
    """The ids under which messages came, in their order."""
    return [taken.headers["webhook-id"] for taken in receiver.taken]


def webhook(receiver: Receiver, *, owner: Any = None, **fields: Any) -> Channel:  # noqa: F811
    """A channel that goes to the receiver."""
    fields = {"min_severity": "info", "name": "Hook", "time_zone": "UTC", **fields}
    channel = Channel(owner=owner, kind="webhook", config={"url": receiver.url}, **fields)
    return save_channel(channel, given_secrets={"secret": new_secret()}, at=NOON)


def spend(cost: str, *, at: datetime = NOON, now: datetime | None = None, **call: Any) -> None:
    """A call of this cost, reported afterwards."""
    post(call_at(at, **call), call_id=new_id(), cost=Decimal(cost), now=now or at)


def states(**filters: Any) -> list[str]:
    """The states of the deliveries, by the time they were planned."""
    return list(Delivery.objects.filter(**filters).order_by("planned_at", "pk").values_list("state", flat=True))


def types(**filters: Any) -> list[str]:
    """The types of the alerts, in the order in which they came."""
    return list(CostAlert.objects.filter(**filters).order_by("pk").values_list("type", flat=True))
