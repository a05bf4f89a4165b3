"""The page on which people say where, of what and when they are told: without scripts, and with hostile names."""

import re
from html import unescape

import pytest
from django.core import mail
from django.core.cache import cache
from django.utils import timezone

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.models import AlertPreference, Channel
from alerts.operations import mute, raise_alerts
from alerts.queries import channels_of
from alerts.secrets import unseal

pytestmark = pytest.mark.django_db
PAGE = "/alerts/settings/"
SLACK = "https://hooks.slack.com/services/T00000000/B00000000/abcdefghijklmnopqrstuvwx"
HOSTILE = "<script>alert(1)</script>'\"\u202e"


@pytest.fixture(autouse=True)
def nothing_counted():
    """Each test may send its own tests."""
    cache.clear()


@pytest.fixture
def page(client, owner):
    client.force_login(owner)
    return client


def form_of(html: str) -> dict[str, str | list[str]]:
    """What a browser would send of the page's last form that posts to itself."""
    part = html[html.rindex('<form method="post" novalidate') :]
    values: dict = {}
    for tag in re.findall(r"<input[^>]*>", part):
        attrs = {name: unescape(value) for name, value in re.findall(r'([\w-]+)="([^"]*)"', tag)}
        if attrs.get("type") == "checkbox" and " checked" not in tag:
            continue
        if attrs.get("name"):
            values.setdefault(attrs["name"], []).append(
                attrs.get("value", "on" if attrs.get("type") == "checkbox" else "")
            )
    for name, options in re.findall(r'<select name="([^"]+)".*?>(.*?)</select>', part, re.DOTALL):
        chosen = re.search(r'value="([^"]*)" selected', options)
        values[name] = [unescape(chosen.group(1))] if chosen else []
    return {name: found if len(found) > 1 else found[0] for name, found in values.items() if found}


def add(client, kind: str, staff: bool = False, **changes) -> str:
    """Add a channel through the page; returns what it says afterwards."""
    address = f"{PAGE}add/{kind}/{'?for=staff' if staff else ''}"
    data = {**form_of(client.get(address).content.decode()), **changes}
    return client.post(address, data, follow=True).content.decode()


def test_it_needs_a_login(client):
    assert client.get(PAGE).status_code == 302


def test_email_to_ones_own_address_is_there_from_the_start_and_goes_by_default_to_warnings(page, owner):
    html = page.get(PAGE).content.decode()
    assert "Email" in html and "Warnings and critical alerts" in html and owner.email in html
    assert "Channels of staff" not in html
    channel = channels_of(owner)[0]
    assert f"{PAGE}channels/{channel.pk}/delete/" not in html, "it is switched off, not deleted"


def test_a_test_is_sent_and_the_answer_shown(page, owner):
    channel = channels_of(owner)[0]
    html = page.post(f"{PAGE}channels/{channel.pk}/test/", follow=True).content.decode()
    assert "took the test: The mail server took it for alice@example.com." in html
    assert mail.outbox[0].subject == "A test from Costwatch" and mail.outbox[0].to == ["alice@example.com"]


def test_nobody_floods_an_address_with_tests(page, owner):
    channel = channels_of(owner)[0]
    for _ in range(12):
        html = page.post(f"{PAGE}channels/{channel.pk}/test/", follow=True).content.decode()
    assert len(mail.outbox) == 10 and "At most 10 tests a minute" in html


def test_a_test_that_fails_says_what_the_receiver_answered(page, owner, settings):
    settings.ALERT_WEBHOOK_ALLOWED_HOSTS, settings.ALERT_WEBHOOK_ALLOWED_FOR_EVERYONE = ("127.0.0.1",), True
    add(page, "webhook", set_url="http://127.0.0.1:9/nowhere", name="Dead end")
    channel = Channel.objects.get(name="Dead end")
    html = page.post(f"{PAGE}channels/{channel.pk}/test/", follow=True).content.decode()
    assert "did not take the test" in html and "alert-danger" in html


def test_a_channel_is_added_its_secret_never_shown_again_and_kept_when_left_empty(page, owner):
    assert "Added. Send a test" in add(page, "slack", set_webhook_url=SLACK, name="Team", min_severity="critical")
    channel = Channel.objects.get(name="Team")
    assert channel.owner == owner and channel.min_severity == "critical"
    assert unseal(channel.secrets) == {"webhook_url": SLACK} and SLACK not in channel.secrets
    address = f"{PAGE}channels/{channel.pk}/"
    html = page.get(address).content.decode()
    assert "abcdefghijklmnopqrstuvwx" not in html and "Kept, and not shown again" in html
    data = {**form_of(html), "name": "Our team", "quiet_from": "22:00", "quiet_until": "07:00", "digest": "daily"}
    assert "Saved." in page.post(address, data, follow=True).content.decode()
    channel.refresh_from_db()
    assert (channel.name, channel.digest, channel.quiet_from.hour) == ("Our team", "daily", 22)
    assert unseal(channel.secrets) == {"webhook_url": SLACK}
    assert "quiet from 22:00 to 07:00" in page.get(PAGE).content.decode()


def test_what_cannot_be_meant_is_said_at_its_field_and_nothing_saved(page):
    html = add(page, "slack", set_webhook_url="https://evil.example/hook", name="Team")
    assert "https://hooks.slack.com/services/T.../B.../..., as Slack shows it." in unescape(html)
    assert "evil.example" not in html, "a secret is not shown, not even a wrong one"
    html = add(page, "webhook", set_url="http://169.254.169.254/latest", name="Meta")
    assert "This is no public address" in html
    html = add(page, "email", set_to="not an address", name="Mail", quiet_from="22:00")
    assert "is no email address" in html or "Quiet hours have a beginning and an end." in html
    assert Channel.objects.filter(implied=False).count() == 0


def test_a_webhook_is_offered_a_secret_and_a_previous_one_can_be_removed(page):
    html = page.get(f"{PAGE}add/webhook/").content.decode()
    first = re.search(r'value="(whsec_[^"]+)"', html).group(1)
    add(page, "webhook", set_url="https://example.com/hook", set_secret=first, name="Hook")
    channel = Channel.objects.get(name="Hook")
    address = f"{PAGE}channels/{channel.pk}/"
    other = re.search(r'value="(whsec_[^"]+)"', page.get(f"{PAGE}add/webhook/").content.decode()).group(1)
    data = {**form_of(page.get(address).content.decode()), "set_secret": other, "set_previous_secret": first}
    page.post(address, data)
    channel.refresh_from_db()
    url = {"url": "https://example.com/hook"}
    assert unseal(channel.secrets) == {"secret": other, "previous_secret": first, **url}
    assert 'value="https://example.com/…"' in page.get(address).content.decode(), "of the URL its host is shown"
    page.post(address, {**form_of(page.get(address).content.decode()), "remove_previous_secret": "on"})
    channel.refresh_from_db()
    assert unseal(channel.secrets) == {"secret": other, **url}


def test_a_channel_is_muted_unmuted_enabled_and_deleted(page, owner):
    channel = Channel(owner=owner, kind="email", name="Second", config={"to": ["a@example.com"]})
    channel.disabled_at, channel.disabled_reason = timezone.now(), "550 No such mailbox"
    channel.save()
    html = page.get(PAGE).content.decode()
    assert "switched off" in html and "550 No such mailbox" in html
    assert "is on again" in page.post(f"{PAGE}channels/{channel.pk}/enable/", follow=True).content.decode()
    assert (
        "is muted for a day"
        in page.post(f"{PAGE}channels/{channel.pk}/mute/", {"hours": "24"}, follow=True).content.decode()
    )
    assert "Unmute" in page.get(PAGE).content.decode()
    page.post(f"{PAGE}channels/{channel.pk}/mute/", {"hours": "0"})
    channel.refresh_from_db()
    assert channel.muted_until is None and channel.disabled_at is None
    assert page.post(f"{PAGE}channels/{channel.pk}/mute/", {"hours": "99"}).status_code == 404
    assert page.get(f"{PAGE}channels/{channel.pk}/delete/").status_code == 405
    page.post(f"{PAGE}channels/{channel.pk}/delete/")
    assert not Channel.objects.filter(pk=channel.pk).exists()


def test_wishes_are_kept(page, owner):
    data = {"min_severity": "critical", "types_on": ["threshold", "forecast"], "summary": "daily"}
    assert "Saved." in page.post(PAGE, data, follow=True).content.decode()
    kept = AlertPreference.objects.get(user=owner)
    assert (kept.min_severity, kept.summary) == ("critical", "daily")
    assert "unusual_spend" in kept.types_off and "forecast" not in kept.types_off
    html = page.get(PAGE).content.decode()
    assert re.search(r'value="forecast"[^>]* checked', html) and not re.search(r'value="unpriced"[^>]* checked', html)
    assert page.post(PAGE, {"min_severity": "loud", "types_on": ["nonsense"]}).status_code == 200
    assert AlertPreference.objects.get(user=owner).min_severity == "critical"


def test_others_channels_do_not_exist(page, member, staff):
    theirs = channels_of(member)[0]
    common = Channel(kind="email", name="On call", config={"to": ["oncall@example.com"]})
    common.save()
    for channel in (theirs, common):
        assert page.get(f"{PAGE}channels/{channel.pk}/").status_code == 404
        for what in ("test", "mute", "enable", "delete"):
            assert page.post(f"{PAGE}channels/{channel.pk}/{what}/", {"hours": "1"}).status_code == 404
    assert page.get(f"{PAGE}add/email/?for=staff").status_code == 404
    assert "On call" not in page.get(PAGE).content.decode()
    assert mail.outbox == []


def test_staff_with_the_permission_edit_channels_of_staff_and_no_one_elses(client, staff, member):
    client.force_login(staff)
    assert "Added." in add(client, "email", staff=True, set_to="oncall@example.com", name="On call", everyone="on")
    channel = Channel.objects.get(name="On call")
    assert channel.owner is None and channel.everyone and channel.config == {"to": ["oncall@example.com"]}
    assert "On call" in client.get(PAGE).content.decode()
    assert client.get(f"{PAGE}channels/{channels_of(member)[0].pk}/").status_code == 404


def test_staff_without_the_permission_see_none_of_them(client, django_user_model):
    clerk = django_user_model.objects.create_user("clerk@example.com", "x", is_staff=True)
    client.force_login(clerk)
    assert "Channels of staff" not in client.get(PAGE).content.decode()
    assert client.get(f"{PAGE}add/email/?for=staff").status_code == 404


def test_hostile_names_are_data(page, owner):
    add(page, "email", set_to=owner.email, name=HOSTILE)
    channel = Channel.objects.get(implied=False)
    channel.disabled_at, channel.disabled_reason = timezone.now(), HOSTILE
    channel.save()
    for address in (PAGE, f"{PAGE}channels/{channel.pk}/"):
        assert "<script>alert" not in page.get(address).content.decode()
    html = page.post(f"{PAGE}channels/{channel.pk}/test/", follow=True).content.decode()
    assert "<script>alert" not in html


def test_without_a_token_nothing_is_changed(owner):
    from django.test import Client

    strict = Client(enforce_csrf_checks=True)
    strict.force_login(owner)
    channel = channels_of(owner)[0]
    assert strict.post(PAGE, {"min_severity": "info"}).status_code == 403
    assert strict.post(f"{PAGE}channels/{channel.pk}/test/").status_code == 403
    assert mail.outbox == []


@pytest.mark.parametrize("kind", ["email", "slack", "teams", "discord", "telegram", "pagerduty", "sms", "webhook"])
def test_every_message_can_be_looked_at_before_it_is_sent(page, kind):
    for type_ in Type.values:
        response = page.get(f"{PAGE}preview/", {"kind": kind, "type": type_})
        assert response.status_code == 200
    html = page.get(f"{PAGE}preview/", {"kind": kind, "type": "unusual_spend"}).content.decode()
    assert "summaries" in html and "$41.20" in html and "An example" in html


@pytest.mark.parametrize("kind", ["email", "slack", "webhook", "sms", "in_app"])
def test_the_preview_of_a_hostile_name_is_text(page, owner, kind):
    now = timezone.now()
    finding = Finding(
        type=Type.FORECAST, severity=Severity.WARNING, dedupe_key="forecast:x", title=f"Forecast {HOSTILE}",
        text=HOSTILE, at=now, user_id=owner.pk, facts=((HOSTILE, HOSTILE),),
    )  # fmt: skip
    raise_alerts([finding], at=now)
    html = page.get(f"{PAGE}preview/", {"kind": kind, "type": "forecast"}).content.decode()
    assert "Your latest alert of this type" in html and "<script>alert" not in html and "alert(1)" in html
    if kind == "email":
        mail = page.get(f"{PAGE}preview/mail/", {"type": "forecast"}).content.decode()
        assert "<script>alert" not in mail


def test_mail_is_shown_in_a_frame_that_can_do_nothing(page):
    response = page.get(f"{PAGE}preview/mail/", {"type": "forecast"})
    policy = response["Content-Security-Policy"]
    assert "sandbox" in policy and "default-src 'none'" in policy and "script-src 'none'" in policy
    assert "frame-ancestors 'self'" in policy and response["X-Frame-Options"] == "SAMEORIGIN"
    assert "Forecast to be exceeded" in response.content.decode()


def test_unknown_kinds_and_deeds_are_not_found(page, owner):
    assert page.get(f"{PAGE}add/carrier-pigeon/").status_code == 404
    assert page.get(f"{PAGE}add/in_app/").status_code == 404
    assert page.post(f"{PAGE}channels/{channels_of(owner)[0].pk}/explode/").status_code == 404
    assert page.get(f"{PAGE}preview/", {"kind": "x", "type": "y"}).status_code == 200


def test_what_is_muted_is_listed(page, owner):
    mute(owner, until=timezone.now() + timezone.timedelta(days=1), type_="forecast")
    assert "Tell me again" in page.get(PAGE).content.decode()
