"""What a channel is given: cleaned of what names can be abused for, and made of an alert without asking for more."""

from datetime import UTC, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from alerts import messages
from alerts.models import CostAlert
from tests.alerts.channels.conftest import a_message

AT = datetime(2026, 11, 22, 20, 15, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\r\nBcc: b", "a Bcc: b"), ("a\x00\x07\x1b[31mb", "a[31mb"), ("\u202egnp.exe", "gnp.exe"),
        ("a\u200b\u200d\ufeff\u2060b", "ab"), ("a\u2028b\u2029c\x85d", "a b c d"), ("\U000e0041x", "x"),
        ("\ud800x", "x"),
        ("  a \t b  ", "a b"), ("x" * 300, "x" * 199 + "…"), ("", ""),
        ("Süßmilch 東京 🚀", "Süßmilch 東京 🚀"), (None, "None"),
    ],
)  # fmt: skip
def test_names_are_cleaned(text, shown):
    assert messages.clean(text) == shown


def test_a_message_cleans_itself_whoever_makes_it():
    hostile = "a\r\n\u202eb"
    made = a_message(
        title=hostile, text=hostile, facts=((hostile, hostile),) * 100, alert_id=hostile, type=hostile,
        recipient=hostile, severity="catastrophe", delivery_id="x\r\ny/../z",
    )  # fmt: skip
    assert {made.title, made.text, made.alert_id, made.type, made.recipient} == {"a b"}
    assert made.facts == (("a b", "a b"),) * messages.FACTS
    assert made.severity == "warning" and made.delivery_id == "xyz"


@pytest.mark.parametrize(
    "link", ["javascript:alert(1)", "//evil.test", 'https://a/"><x', "https://a/\nb", "https://a/<b", ""]
)
def test_only_addresses_become_links(link):
    assert a_message(link=link, settings_link=link).link == ""


def test_an_alert_becomes_a_message(settings):
    settings.SITE_URL = "https://costs.example.org/ai"
    alert = CostAlert(
        pk=17, type="exceeded", severity="critical", title="Limit exceeded: Marketing", text="$5.10 of $5.00 is spent.",
        facts=[["Limit", "Marketing"]], spent=Decimal("5.100"), limit_amount=Decimal(5), threshold=Decimal(1),
        occurred_at=AT, window_start=AT, count=3, details={"hard": True}, user_id=4, limit_id=9, subject="user:4",
    )  # fmt: skip
    made = messages.render(alert, delivery_id="d1", recipient="a@example.com", zone=ZoneInfo("Europe/Vienna"))
    assert (made.delivery_id, made.alert_id, made.type, made.severity) == ("d1", "17", "exceeded", "critical")
    assert made.facts == (("Limit", "Marketing"),) and made.zone == "Europe/Vienna" and made.count == 3
    assert made.link.startswith("https://costs.example.org/ai") and made.recipient == "a@example.com"
    assert made.data["spent_usd"] == "5.1" and made.data["limit_usd"] == "5" and made.data["held_usd"] is None
    assert made.data["details"] == {"hard": True} and made.data["window_start"] == "2026-11-22T20:15:00+00:00"
    assert not made.resolved
    alert.resolved_at = AT
    assert messages.render(alert, delivery_id="d1").resolved


def test_without_a_site_there_is_no_link(settings):
    settings.SITE_URL = ""
    made = messages.trial_message(delivery_id="t", at=AT)
    assert made.link == made.settings_link == "" and made.test and "test" in made.title
