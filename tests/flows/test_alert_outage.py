"""Alerts through trouble: a worker that is killed, a broker that forgets, a beat that runs twice; nothing is lost."""

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest
from celery.contrib.testing.worker import start_worker
from django.db import connections
from django.utils import timezone

from alerts import sending, tasks
from alerts.models import CostAlert, Delivery
from alerts.outbox import deliver_due
from costwatch.celery import app
from tests.alerts.core.conftest import ids, make_limit, own_db, receiver, spend, webhook  # noqa: F401
from tests.budgets.processes import start, wait

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]


def cross() -> None:
    """A limit is passed at 80 %."""
    make_limit("10")
    spend("9", at=timezone.now())


def test_a_worker_killed_after_the_receiver_took_it_sends_it_again_under_the_same_id(receiver):  # noqa: F811
    webhook(receiver)
    cross()
    tasks.crossings.claim_crossings(at=timezone.now())
    send = sending.send

    def send_and_die(parcel):
        send(parcel)
        os.kill(os.getpid(), signal.SIGKILL)

    def work():
        sending.send = send_and_die
        deliver_due(clock=timezone.now)

    assert wait([start(work)]) == [-signal.SIGKILL]
    assert Delivery.objects.get(channel_kind="webhook").state == "claimed"
    deliver_due(clock=timezone.now)
    assert len(receiver.taken) == 1, "its lease runs still"
    deliver_due(clock=lambda: timezone.now() + timedelta(seconds=61))
    delivery = Delivery.objects.get(channel_kind="webhook")
    assert (delivery.state, delivery.attempts) == ("sent", 2)
    assert ids(receiver) == [str(delivery.pk)] * 2, "the receiver can tell that it has it already"


def test_a_worker_killed_while_it_claims_leaves_everything_to_the_next(receiver):  # noqa: F811
    from alerts import operations

    webhook(receiver)
    cross()

    def work():
        operations.plan = lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL)
        tasks.crossings.claim_crossings(at=timezone.now())

    assert wait([start(work)]) == [-signal.SIGKILL]
    assert not CostAlert.objects.exists(), "half an alert is none"
    tasks.crossings.claim_crossings(at=timezone.now())
    deliver_due(clock=timezone.now)
    assert len(receiver.taken) == CostAlert.objects.count() == 1


@pytest.fixture
def folders(monkeypatch, tmp_path):
    """The embedded broker in folders of the test's own."""
    made = {name: tmp_path / name for name in ("queue", "control")}
    for folder in made.values():
        folder.mkdir()
    options = {
        "data_folder_in": str(made["queue"]),
        "data_folder_out": str(made["queue"]),
        "control_folder": str(made["control"]),
    }
    monkeypatch.setitem(app.conf, "broker_transport_options", options)
    monkeypatch.setattr(app, "_pool", None)  # connections that other tests left open lead to other folders
    monkeypatch.setattr(app.amqp, "_producer_pool", None)
    return made


@pytest.mark.slow
def test_what_a_flushed_broker_forgot_is_sent_with_the_next_beat(receiver, folders):  # noqa: F811
    webhook(receiver)
    cross()
    tasks.send_threshold_alerts()
    waiting = list(folders["queue"].iterdir())
    assert waiting, "a worker was to be woken"
    for message in waiting:
        message.unlink()
    connections.close_all()
    with start_worker(app, pool="solo", perform_ping_check=False, shutdown_timeout=20):
        for _ in range(2):  # two beats
            app.send_task("alerts.tasks.send_threshold_alerts")
        deadline = datetime.now(UTC) + timedelta(seconds=30)
        while not receiver.taken and datetime.now(UTC) < deadline:
            signal.sigtimedwait([], 0.1)
    assert len(set(ids(receiver))) == len(receiver.taken) == 1
    assert CostAlert.objects.count() == 1
