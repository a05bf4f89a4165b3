"""What channels are tested with: a hostile and an ordinary message, receivers, and services that are really here."""

import re
import socket
from datetime import UTC, datetime

import pytest

from alerts.channels import service
from alerts.channels.addresses import Exceptions
from alerts.channels.http import Client
from alerts.messages import Message
from tests.alerts.channels.receivers import Authority, Traps, receiver

AT = datetime(2026, 11, 22, 20, 15, tzinfo=UTC)
#: A public address of the documentation's kind would be refused: this one is anybody's, and is never reached.
PUBLIC = "93.184.215.14"


def a_message(**changes) -> Message:
    given = {
        "delivery_id": "0193a1b2-0000-7000-8000-000000000001",
        "alert_id": "17",
        "type": "threshold",
        "severity": "warning",
        "title": "80 % spent: Marketing, a month",
        "text": "$1,204.50 of $1,500.00 is spent, $295.50 is left. It resets at 2026-12-01 00:00 UTC.",
        "occurred_at": AT,
        "facts": (("Limit", "Marketing, a month"), ("Spent", "$1,204.50 of $1,500.00 (80.3 %)")),
        "link": "https://costs.example.org/alerts/#alert-17",
        "settings_link": "https://costs.example.org/alerts/settings/",
        "data": {"spent_usd": "1204.5", "limit_usd": "1500"},
    }
    return Message(**{**given, **changes})


@pytest.fixture
def message():
    return a_message()


@pytest.fixture
def traps():
    made = Traps()
    yield made
    made.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def http():
    with receiver() as got:
        yield got


#: A host of each pattern of the services.
HOSTS = (
    "hooks.slack.com", "discord.com", "api.telegram.org", "events.pagerduty.com", "events.eu.pagerduty.com",
    "api.twilio.com", "api.ciscospark.com", "prod-12.westeurope.logic.azure.com", "acme.zulipchat.com",
    "default1a2b.4c.environment.api.powerplatform.com",
    *(re.sub(r"\\|\((.*?)\)\?", "", entry.hosts).split("|")[0] for name, entry in service.SERVICES.items()
      if name != "zulip"),
)  # fmt: skip


@pytest.fixture(scope="session")
def _services(authority):
    with receiver(authority.server(*HOSTS)) as got:
        yield got


@pytest.fixture
def services(_services, authority, monkeypatch):
    """Every service, here: their names stand for a public address, a connection to which ends at a receiver of ours.

    Only that is exchanged: requests, the TLS handshake with the service's name, and the check of the address are real.
    """
    _services.taken.clear()
    _services.answer(200)
    _services.dialled = dialled = []

    def connect(family, address, timeout_s):
        dialled.append(address)
        return socket.create_connection(("127.0.0.1", _services.port), timeout_s)

    def client():
        return Client(
            Exceptions(),
            resolve=lambda host, port: [(socket.AF_INET, (PUBLIC, port))],
            connect=connect,
            ssl_context=authority.client(),
        )

    monkeypatch.setattr("alerts.channels.bridge.new_client", client)
    return _services
