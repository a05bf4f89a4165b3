"""Tests of channels are few, go to few, and end in time, by whichever entrance."""

import socket
import time
from datetime import timedelta

import pytest

from alerts import trials
from alerts.managing import save_channel
from alerts.models import Channel
from alerts.trials import TooManyTests, send_test
from tests.alerts.core.conftest import NOON

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]


def channel_of(number, owner=None):
    to = [f"user{n}@example.com" for n in range(number)]
    return save_channel(Channel(owner=owner, kind="email", name="Mail", config={"to": to}), at=NOON)


def test_a_test_goes_to_the_first_recipients_and_an_account_sends_few(staff, member, mailoutbox):
    channel = channel_of(20)
    tested = send_test(channel, by=staff, at=NOON)
    assert tested.ok and "first 3 of 20" in tested.answer and tested.words.endswith(" s)")
    assert [mail.to for mail in mailoutbox] == [[f"user{n}@example.com"] for n in range(3)]
    for _ in range(2):
        send_test(channel, by=staff, at=NOON)
    with pytest.raises(TooManyTests):
        send_test(channel, by=staff, at=NOON)
    assert len(mailoutbox) == 9
    assert send_test(channel, by=member, at=NOON).ok
    assert send_test(channel, by=staff, at=NOON + timedelta(minutes=1)).ok


def test_a_mail_server_that_says_nothing_keeps_nobody_waiting(staff, settings, monkeypatch):
    monkeypatch.setattr(trials, "DEADLINE_S", 1.0)
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_TIMEOUT = "127.0.0.1", 2
    with socket.create_server(("127.0.0.1", 0)) as silent:
        settings.EMAIL_PORT = silent.getsockname()[1]
        begun = time.monotonic()
        tested = send_test(channel_of(20), by=staff, at=NOON)
        assert time.monotonic() - begun < 1.8
    assert not tested.ok and "No answer within 1 seconds" in tested.answer
