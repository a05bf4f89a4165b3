"""Alerts in the admin: read, marked, sent again; channels of staff edited and tested; secrets never shown."""

from html import unescape

import pytest
from django.contrib.auth.models import Permission
from django.core import mail
from django.utils import timezone

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import AlertPreference, Channel, CostAlert, Delivery
from alerts.operations import raise_alerts
from alerts.queries import channels_of, unread_count
from alerts.secrets import unseal
from tests.costwatch.test_alert_settings import HOSTILE, SLACK

pytestmark = pytest.mark.django_db
ADMIN = "/admin/alerts"


@pytest.fixture
def dora(client, staff):
    client.force_login(staff)
    return staff


@pytest.fixture
def alert(staff, owner) -> CostAlert:
    now = timezone.now()
    finding = Finding(
        type=Type.UNPRICED, severity=Severity.WARNING, dedupe_key="unpriced:1", title=f"No price {HOSTILE}",
        text=HOSTILE, at=now, facts=((HOSTILE, HOSTILE),),
    )  # fmt: skip
    (alert,) = raise_alerts([finding], at=now)
    return alert


def fields(html: str) -> dict:
    from tests.costwatch.test_alert_settings import form_of

    marker = html.rindex('id="channel_form"')
    return form_of('<form method="post" novalidate' + html[marker:])


def test_what_was_noticed_is_read_and_not_changed(client, dora, alert, owner):
    Channel(owner=owner, kind="slack", name=HOSTILE).save()
    AlertPreference.objects.create(user=owner)
    pks = {
        "costalert": alert.pk,
        "delivery": Delivery.objects.first().pk,
        "channel": Channel.objects.filter(owner=owner).first().pk,
    }
    for model, pk in pks.items():
        for address in (f"{ADMIN}/{model}/", f"{ADMIN}/{model}/{pk}/change/"):
            response = client.get(address)
            assert response.status_code == 200, address
            assert "<script>alert" not in response.content.decode()
        assert client.post(f"{ADMIN}/{model}/{pk}/change/", {"name": "x"}).status_code == 403
        assert client.post(f"{ADMIN}/{model}/{pk}/delete/", {"post": "yes"}).status_code == 403
    for address in (
        "costalert/?holds=yes&severity__exact=warning",
        "delivery/?state__exact=planned",
        "alertpreference/",
    ):
        assert client.get(f"{ADMIN}/{address}").status_code == 200


def test_alerts_are_marked_as_read_for_oneself(client, dora, alert):
    assert unread_count(dora) == 1
    data = {"action": "mark_read", "_selected_action": [alert.pk]}
    assert "1 marked as read" in client.post(f"{ADMIN}/costalert/", data, follow=True).content.decode()
    assert unread_count(dora) == 0


def test_what_was_not_sent_is_sent_again(client, dora, alert):
    delivery = Delivery.objects.get()
    Delivery.objects.filter(pk=delivery.pk).update(state="failed", attempts=9, last_error="550 no")
    data = {"action": "send_again", "_selected_action": [str(delivery.pk)]}
    assert "1 will be sent again" in client.post(f"{ADMIN}/delivery/", data, follow=True).content.decode()
    delivery.refresh_from_db()
    assert (delivery.state, delivery.attempts) == ("planned", 0)


def test_a_channel_of_staff_is_added_kept_secret_and_tested(client, dora):
    assert "Where its messages arrive" in client.get(f"{ADMIN}/channel/add/").content.decode()
    address = f"{ADMIN}/channel/add/?kind=slack"
    data = {**fields(client.get(address).content.decode()), "name": "Team", "set_webhook_url": SLACK}
    response = client.post(address, data)
    assert response.status_code == 302, response.content.decode()
    channel = Channel.objects.get(name="Team")
    assert channel.owner is None and unseal(channel.secrets) == {"webhook_url": SLACK}
    address = f"{ADMIN}/channel/{channel.pk}/change/"
    html = client.get(address).content.decode()
    assert "abcdefghijklmnopqrstuvwx" not in html and "not shown again" in html
    assert client.post(address, {**fields(html), "name": "Our team"}).status_code == 302
    channel.refresh_from_db()
    assert channel.name == "Our team" and unseal(channel.secrets) == {"webhook_url": SLACK}
    html = client.post(address, {**fields(html), "set_webhook_url": "https://evil.example/"}).content.decode()
    assert "as Slack shows it" in html


def test_a_test_shows_what_the_provider_answered(client, dora):
    channel = Channel(kind="email", name="On call", config={"to": ["oncall@example.com"]})
    channel.save()
    said = "took the test: The mail server took it for oncall@example.com."
    html = client.post(f"{ADMIN}/channel/{channel.pk}/test/", follow=True).content.decode()
    assert said in html
    data = {"action": "send_test", "_selected_action": [channel.pk]}
    assert said in client.post(f"{ADMIN}/channel/", data, follow=True).content.decode()
    assert len(mail.outbox) == 2
    assert client.get(f"{ADMIN}/channel/{channel.pk}/test/").status_code == 405


def test_an_accounts_own_channel_is_its_own_affair(client, dora, member):
    theirs = channels_of(member)[0]
    assert client.post(f"{ADMIN}/channel/{theirs.pk}/test/").status_code == 404
    data = {"action": "send_test", "_selected_action": [theirs.pk]}
    assert "belongs to bob@example.com" in client.post(f"{ADMIN}/channel/", data, follow=True).content.decode()
    assert mail.outbox == []


def test_a_channel_that_has_sent_is_deleted_with_its_deliveries(client, dora, alert):
    for address, data in (("{pk}/delete/", {"post": "yes"}), ("", {"action": "delete_selected", "post": "yes"})):
        channel = Channel(kind="email", name="On call", config={"to": ["oncall@example.com"]})
        channel.save()
        now = timezone.now()
        Delivery.objects.create(
            alert=alert, channel=channel, channel_kind="email", state="sent", next_at=now, planned_at=now
        )
        url = f"{ADMIN}/channel/{address.format(pk=channel.pk)}"
        if not address:
            data = {**data, "_selected_action": [channel.pk]}
        else:
            assert "doesn't have permission" not in unescape(client.get(url).content.decode())
        assert client.post(url, data).status_code == 302
        assert not Channel.objects.filter(pk=channel.pk).exists() and not Delivery.objects.filter(channel=channel.pk)
    delivery = Delivery.objects.first()
    assert client.post(f"{ADMIN}/delivery/{delivery.pk}/delete/", {"post": "yes"}).status_code == 403


def test_preferences_are_set_for_somebody(client, dora, owner):
    data = {"user": owner.pk, "min_severity": "critical", "types_off": ["forecast"], "summary": "daily"}
    assert client.post(f"{ADMIN}/alertpreference/add/", data).status_code == 302
    kept = AlertPreference.objects.get(user=owner)
    assert (kept.min_severity, kept.types_off, kept.summary) == ("critical", ["forecast"], "daily")


def test_who_may_only_look_changes_and_tests_nothing(client, django_user_model, alert):
    clerk = django_user_model.objects.create_user("clerk@example.com", "x", is_staff=True)
    client.force_login(clerk)
    assert client.get(f"{ADMIN}/costalert/").status_code == 403
    clerk.user_permissions.set(Permission.objects.filter(codename__in=["view_channel", "view_delivery"]))
    channel = Channel(kind="email", name="On call", config={"to": ["oncall@example.com"]})
    channel.save()
    assert client.get(f"{ADMIN}/channel/{channel.pk}/change/").status_code == 200
    assert client.post(f"{ADMIN}/channel/{channel.pk}/test/").status_code == 404
    assert client.get(f"{ADMIN}/channel/add/?kind=email").status_code == 403
    assert client.get(f"{ADMIN}/channel/add/").status_code == 403
    assert "Send again" not in client.get(f"{ADMIN}/delivery/").content.decode()
