"""What channels of ordinary accounts may not do: reach into the network, and write to whom they like."""

import pytest
from django.contrib.auth.models import Permission
from django.core.exceptions import ValidationError

from alerts.channels.webhook import new_secret
from alerts.forms import channel_form
from alerts.managing import save_channel
from alerts.models import Channel
from alerts.sending import recipients
from alerts.trials import send_test
from tests.alerts.core.conftest import NOON, webhook

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db")]


def mail(owner, *to):
    return save_channel(Channel(owner=owner, kind="email", name="Mail", config={"to": list(to)}), at=NOON)


def test_exceptions_of_the_operator_are_for_channels_of_staff(receiver, owner, staff, settings):
    theirs = webhook(receiver, owner=owner)  # while they were for everyone
    settings.ALERT_WEBHOOK_ALLOWED_FOR_EVERYONE = False
    receiver.answer((404, {}, b"vault sealed=false token=INTERNAL"))
    tested = send_test(theirs, by=owner, at=NOON)
    assert not tested.ok and "not a public address" in tested.answer and not receiver.taken
    with pytest.raises(ValidationError, match="no public address"):
        webhook(receiver, owner=owner)
    form = channel_form("webhook")(
        {"name": "Hook", "set_url": receiver.url, "set_secret": new_secret(), "min_severity": "info",
         "time_zone": "UTC", "digest": "off", "digest_at": "08:00", "rate_per_hour": 30},
        instance=Channel(owner=owner, kind="webhook"),
    )  # fmt: skip
    assert not form.is_valid() and "no public address" in str(form.errors["set_url"])
    for trusted in (None, staff):
        send_test(webhook(receiver, owner=trusted), by=staff, at=NOON)
    assert len(receiver.taken) == 2


def test_an_account_writes_to_its_own_address_only(owner, staff, settings):
    assert recipients(mail(owner, owner.email.upper())) == [owner.email.upper()]
    with pytest.raises(ValidationError, match="your own address"):
        mail(owner, owner.email, "boss@elsewhere.test")
    settings.ALERT_EMAIL_DOMAINS = ["elsewhere.test"]
    channel = mail(owner, owner.email, "boss@elsewhere.test")
    assert len(recipients(channel)) == 2
    settings.ALERT_EMAIL_DOMAINS = []
    assert recipients(channel) == [owner.email], "what was allowed once is not for ever"
    for trusted in (None, staff):
        assert recipients(mail(trusted, "boss@elsewhere.test")) == ["boss@elsewhere.test"]


def test_staff_without_the_permission_are_not_trusted_and_who_is_staff_no_longer_is_not_either(member):
    member.is_staff = True
    member.save()
    with pytest.raises(ValidationError, match="your own address"):
        mail(member, "boss@elsewhere.test")
    member.user_permissions.set(Permission.objects.filter(codename="change_channel"))
    again = type(member).objects.get(pk=member.pk)
    channel = mail(again, "boss@elsewhere.test")
    type(member).objects.filter(pk=member.pk).update(is_staff=False)
    channel = Channel.objects.select_related("owner").get(pk=channel.pk)
    assert recipients(channel) == []
    member.user_permissions.clear()
