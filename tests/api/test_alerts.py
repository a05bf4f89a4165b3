"""Alerts and channels over the API: the first document's lines as printed, and the whole of it."""

from datetime import timedelta

import pytest
from django.utils import timezone

from alerts.findings import Finding
from alerts.models import Channel
from alerts.operations import raise_alerts
from costwatch.operations.alert_metrics import of_alerts
from tests.api.conftest import DASHBOARD

CM, V1 = "/api/cost-monitoring", "/api/v1"


def tell(user=None, key="1", **fields):
    now = timezone.now()
    fields = {
        "type": "threshold",
        "severity": "warning",
        "title": "80 % spent: A <b>day</b>",
        "text": "So much.",
        **fields,
    }
    finding = Finding(dedupe_key=f"threshold:{key}", at=now, user_id=user.pk if user else None, **fields)
    return raise_alerts([finding], at=now)[0]


def test_the_alerts_line_of_the_first_document(alice, bob, owner):
    first, second = tell(owner), tell(owner, "2")
    answer = alice.get(f"{CM}/alerts", unreadOnly="true")
    assert [one["id"] for one in answer["alerts"]] == [second.pk, first.pk]
    assert answer["alerts"][0]["message"] == "80 % spent: A <b>day</b>. So much."
    assert {"type", "severity", "threshold", "spent", "limit", "windowStart", "isRead", "createdAt"} <= set(
        answer["alerts"][0]
    )
    assert answer["unreadCount"] == 2
    assert alice.ask("POST", f"{CM}/alerts/{first.pk}/read").json() == {"unreadCount": 1}
    assert [one["id"] for one in alice.get(f"{CM}/alerts", unreadOnly="true")["alerts"]] == [second.pk]
    assert [one["isRead"] for one in alice.get(f"{CM}/alerts")["alerts"]] == [False, True]
    dashboard = alice.get(DASHBOARD)
    assert dashboard["unreadCount"] == 1 and len(dashboard["alerts"]) == 2
    assert bob.ask("POST", f"{CM}/alerts/{second.pk}/read").status_code == 404
    assert alice.ask("POST", f"{CM}/alerts/read-all").json() == {"unreadCount": 0}
    assert bob.get(f"{CM}/alerts") == {"alerts": [], "unreadCount": 0, "next": None}


def test_filters_and_pages(alice, dora, owner):
    made = [tell(owner, str(n), severity="critical" if n % 2 else "info") for n in range(5)]
    found, cursor = [], ""
    while True:
        page = alice.get(f"{V1}/alerts", limit=2, cursor=cursor)
        found += [one["id"] for one in page["alerts"]]
        if not (cursor := page["next"]):
            break
    assert found == [one.pk for one in reversed(made)]
    assert len(alice.get(f"{V1}/alerts", severity="critical")["alerts"]) == 2
    assert alice.get(f"{V1}/alerts", type="unpriced")["alerts"] == []
    assert alice.get(f"{V1}/alerts", resolved="true")["alerts"] == []
    assert alice.ask("GET", f"{V1}/alerts?type=nonsense").status_code == 400
    assert dora.get(f"{V1}/alerts")["alerts"] == [], "what concerns Alice alone is told to her"
    assert len(dora.get(f"{V1}/alerts", user=owner.pk)["alerts"]) == 5
    assert len(dora.get(f"{V1}/alerts", user="all")["alerts"]) == 5


def test_an_alert_tells_how_it_was_sent_to_oneself(alice, owner):
    alert = tell(owner)
    detail = alice.get(f"{V1}/alerts/{alert.pk}")
    assert [(one["kind"], one["recipient"], one["state"]) for one in detail["deliveries"]] == [
        ("email", owner.email, "planned")
    ]
    assert alice.ask("POST", f"{V1}/alerts/{alert.pk}/read").json() == {"unread": 0}
    assert alice.ask("POST", f"{V1}/alerts/{alert.pk}/unread").json() == {"unread": 1}
    assert alice.get(f"{V1}/alerts/unread") == {"unread": 1}


def test_channels_are_made_changed_and_deleted_and_secrets_never_shown(alice, bob, dora, owner):
    secret = "whsec_" + "A" * 43 + "="
    body = {"kind": "webhook", "config": {"url": "https://hooks.example.com/a"}, "secrets": {"secret": secret}}
    made = alice.ask("POST", f"{V1}/channels", body)
    assert made.status_code == 201, made.content
    assert made.json()["secrets"] == ["secret"] and secret not in made.content.decode()
    path = f"{V1}/channels/{made.json()['id']}"
    assert secret not in Channel.objects.get(pk=made.json()["id"]).secrets
    changed = alice.ask("PATCH", path, {"min_severity": "critical", "quiet_from": "22:00", "quiet_until": "07:00"})
    assert changed.json()["min_severity"] == "critical" and changed.json()["secrets"] == ["secret"]
    for wrong in ({"quiet_until": None}, {"config": {"url": "ftp://x"}}, {"types": ["nonsense"]}, {"owner": 1}):
        assert alice.ask("PATCH", path, wrong).status_code == 400, wrong
    assert {one["kind"] for one in alice.get(f"{V1}/channels")["channels"]} == {"email", "webhook"}
    for other in (bob, dora):
        assert other.ask("GET", path).status_code == 404
        assert other.ask("POST", f"{path}/test").status_code == 404
    assert bob.ask("POST", f"{V1}/channels", {"kind": "in_app", "for_staff": True}).status_code == 403
    assert dora.ask("POST", f"{V1}/channels", {"kind": "in_app", "for_staff": True}).json()["owner"] is None
    assert alice.ask("DELETE", path).status_code == 204
    assert not Channel.objects.filter(kind="webhook").exists()


def test_a_test_over_the_api_tells_what_was_answered_or_why_it_was_not_sent(alice, owner, mailoutbox, settings):
    (email,) = alice.get(f"{V1}/channels")["channels"]
    path = f"{V1}/channels/{email['id']}/test"
    answer = alice.ask("POST", path).json()
    assert answer["ok"] and owner.email in answer["answer"]
    assert [mail.to for mail in mailoutbox] == [[owner.email]]
    settings.EMAIL_BACKEND, settings.EMAIL_HOST = "django.core.mail.backends.smtp.EmailBackend", ""
    answer = alice.ask("POST", path).json()
    assert answer["ok"] is False and "EMAIL_URL" in answer["answer"]


def test_tests_over_the_api_are_counted_with_those_of_the_pages(alice, client, owner, mailoutbox):
    (email,) = alice.get(f"{V1}/channels")["channels"]
    assert alice.ask("POST", f"{V1}/channels/{email['id']}/test").json()["took_s"] > 0
    client.force_login(owner)
    for _ in range(9):
        client.post(f"/alerts/settings/channels/{email['id']}/test/")
    refused = alice.ask("POST", f"{V1}/channels/{email['id']}/test")
    assert refused.status_code == 429 and "10 tests a minute" in refused.content.decode()
    assert len(mailoutbox) == 10


def test_metrics_count_alerts_by_type_and_deliveries_by_outcome(owner, db):
    tell(owner)
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in of_alerts(timezone.now())
        for sample in family.samples
    }
    assert found["costwatch_alerts_total", "threshold"] == 1
    assert found["costwatch_alert_deliveries_total", "email", "sent"] == 0
    assert found["costwatch_alert_oldest_undelivered_seconds",] >= 0


@pytest.mark.django_db
def test_what_is_muted_is_told_again_when_that_is_taken_back(alice, owner):
    until = (timezone.now() + timedelta(days=1)).isoformat()
    muted = alice.ask("POST", f"{V1}/alerts/mutes", {"type": "threshold", "until": until}).json()
    tell(owner)
    assert alice.get(f"{V1}/alerts/unread") == {"unread": 0}
    assert alice.get(f"{V1}/alerts/mutes")["mutes"] == [muted]
    assert alice.ask("DELETE", f"{V1}/alerts/mutes/{muted['id']}").status_code == 204
    tell(owner, "2")
    assert alice.get(f"{V1}/alerts/unread") == {"unread": 1}
    assert alice.ask("POST", f"{V1}/alerts/mutes", {"until": until}).status_code == 400
