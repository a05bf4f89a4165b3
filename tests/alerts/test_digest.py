"""A summary of the day or the week: once for each account, at eight of its own morning, with what it may see."""

from datetime import UTC, datetime, time, timedelta

import pytest

from alerts.bundles import send_digests
from alerts.digest import send_summaries, summary_of
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import AlertPreference, Channel, CostAlert, Delivery
from alerts.operations import raise_alerts
from alerts.queries import unread_count
from budgets import operations
from tests.budgets.conftest import make_limit
from tests.budgets.history import spend

pytestmark = pytest.mark.django_db
#: A Monday, nine o'clock in UTC.
MONDAY = datetime(2026, 6, 15, 9, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def two_weeks(owner, member, monkeypatch):
    """Alice spends two dollars a day, twice as much in the second week; Bob one."""
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    operations.forget()
    for back in range(1, 15):
        at = MONDAY - timedelta(days=back)
        spend("4" if back <= 7 else "2", at, user=owner, feature="mail <b>", model="gpt-4o")
        spend("1", at, user=member, feature="search", model="gpt-4o-mini")


def wants(user, how_often):
    AlertPreference.objects.create(user=user, summary=how_often)


def digests(**filters) -> list[CostAlert]:
    return list(CostAlert.objects.filter(type="digest", **filters).order_by("pk"))


def test_staff_are_told_every_monday_and_others_when_they_want_to(staff, owner, member):
    assert (summary_of(staff), summary_of(owner)) == ("weekly", "off")
    assert send_summaries(at=MONDAY) == 1
    (digest,) = digests()
    assert digest.user == staff
    assert digest.title == "$35.00 in seven days, 0 alerts: 8 to 14 June"
    facts = dict(digest.facts)
    assert facts["Spent"] == "$35.00 (14 calls)" and facts["The span before"] == "$21.00 (66.7 % more than before)"
    assert facts["Top feature"] == "mail <b>: $28.00" and facts["Feature"] == "search: $7.00"
    assert facts["Top model"] == "gpt-4o: $28.00"
    assert Delivery.objects.get().channel.owner == staff


def test_once_for_each_period_however_often_and_by_whomever_it_is_looked(staff):
    for hours in (0, 0, 1, 6, 14):
        send_summaries(at=MONDAY + timedelta(hours=hours))
    for day in range(1, 7):
        send_summaries(at=MONDAY + timedelta(days=day))
    assert len(digests()) == 1
    send_summaries(at=MONDAY + timedelta(days=7, hours=8))
    assert len(digests()) == 2, "late in the day is better than never"


def test_eight_in_the_morning_is_the_accounts_own(owner):
    wants(owner, "daily")
    owner.time_zone = "America/New_York"
    owner.save()
    assert send_summaries(at=MONDAY) == 0, "it is five o'clock there"
    assert send_summaries(at=MONDAY + timedelta(hours=3)) == 1


@pytest.mark.django_db(transaction=True)  # limits are read on a connection of their own
def test_a_user_is_told_of_his_own_spending_and_budgets(owner, member):
    wants(owner, "daily")
    make_limit("10", scope="each_user", period="week", name="A week of each")
    make_limit("500", scope="user", user=member, period="month", name="Bob's")
    send_summaries(at=MONDAY)
    (digest,) = digests()
    text = f"{digest.title} {digest.text} {digest.facts}"
    assert digest.title == "$4.00 yesterday, 0 alerts: Sunday, 14 June"
    assert "A week of each" in text and "Bob" not in text and "search" not in text


def test_alerts_of_the_span_are_in_it_and_the_digest_itself_is_no_news(owner):
    wants(owner, "daily")
    at = MONDAY - timedelta(days=1)
    alert = Finding(
        type=Type.THRESHOLD, severity=Severity.WARNING, dedupe_key="threshold:1", title="80 % spent: mine", text="",
        at=at, user_id=owner.pk,
    )  # fmt: skip
    raise_alerts([alert], at=at)
    send_summaries(at=MONDAY)
    (digest,) = digests()
    assert ["Alert, warning", "80 % spent: mine"] in digest.facts and "1 alert" in digest.title
    assert unread_count(owner) == 1


def test_a_channel_that_collects_gets_the_alerts_it_held_and_no_summary_beside_it(owner):
    wants(owner, "daily")
    channel = Channel(owner=owner, kind="email", name="Mine", digest="daily", digest_at=time(8), time_zone="UTC")
    channel.save(at=MONDAY - timedelta(days=1))
    finding = Finding(
        type=Type.FORECAST, severity=Severity.WARNING, dedupe_key="forecast:1", title="Forecast: mine", text="",
        at=MONDAY - timedelta(hours=10), user_id=owner.pk,
    )  # fmt: skip
    raise_alerts([finding], at=MONDAY - timedelta(hours=10))
    assert send_digests(at=MONDAY) == 1
    assert send_digests(at=MONDAY) == 0
    (digest,) = digests()
    assert ["Alert, warning", "Forecast: mine"] in digest.facts and dict(digest.facts)["Spent"] == "$4.00 (1 call)"
    send_summaries(at=MONDAY)
    assert Delivery.objects.filter(channel=channel, alert__type="digest").count() == 1


def test_who_has_nothing_to_be_told_is_told_nothing(outsider):
    wants(outsider, "daily")
    assert send_summaries(at=MONDAY) == 0


def test_a_digest_counts_all_alerts_and_names_the_first(owner):
    wants(owner, "daily")
    channel = Channel(owner=owner, kind="email", name="Mine", digest="daily", digest_at=time(8), time_zone="UTC")
    channel.save(at=MONDAY - timedelta(days=1))
    at = MONDAY - timedelta(days=1)
    findings = [
        Finding(
            type=Type.FORECAST, severity=Severity.WARNING, dedupe_key=f"forecast:{number}", title=f"No. {number}",
            text="", at=at, user_id=owner.pk,
        )
        for number in range(150)
    ]  # fmt: skip
    raise_alerts(findings, at=at)
    send_summaries(at=MONDAY)
    send_digests(at=MONDAY)
    assert len(digests()) == 2
    for digest in digests():
        assert "150 alerts" in digest.title and (digest.count, digest.details["alerts"]) == (150, 150)
        assert dict(digest.facts)["Alerts"] == "140 more"
        assert sum(label == "Alert, warning" for label, _ in digest.facts) == 10
