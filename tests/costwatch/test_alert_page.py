"""The page of one alert: messages lead to it, whoever gets them and whenever they are opened."""

import re
from datetime import timedelta
from urllib.parse import urlsplit

import pytest
from django.utils import timezone

from alerts import messages
from alerts.kinds import Type
from alerts.models import AlertRead, Channel, CostAlert, Delivery
from alerts.operations import mark_all_read
from alerts.queries import unread_count
from costwatch.pages.alerts import MOST
from tests.costwatch.test_planning_pages import HOSTILE, page, told

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(settings):
    settings.SITE_URL = "https://costs.example.org"


def link_of(alert: CostAlert) -> str:
    """Where "Open in Costwatch" leads, on this site."""
    link = messages.render(alert, delivery_id="d").link
    assert link.startswith("https://costs.example.org/")
    return urlsplit(link).path


def shows(client, alert: CostAlert) -> str:
    html = page(client, link_of(alert))
    assert f'id="alert-{alert.pk}"' in html and alert.title in html
    return html


def test_it_shows_an_alert_unread_read_and_long_after(client, owner):
    first = told(owner)
    client.force_login(owner)
    assert "Mark as read" in shows(client, first)
    assert unread_count(owner) == 1, "to open it does not mark it"
    mark_all_read(owner, at=timezone.now())
    assert "Mark as unread" in shows(client, first)
    for number in range(MOST + 5):
        told(owner, key=str(number))
    CostAlert.objects.filter(pk=first.pk).update(created_at=timezone.now() - timedelta(days=300))
    shows(client, first)
    CostAlert.objects.filter(pk=first.pk).update(resolved_at=timezone.now())
    assert "Mark as" not in shows(client, first), "what no longer holds is read for good"


def test_a_digest_can_be_opened(client, owner):
    digest = told(owner, type=Type.DIGEST, title="$5.00 yesterday, 2 alerts")
    AlertRead.objects.update(read_at=timezone.now())  # as a digest is from its birth
    client.force_login(owner)
    shows(client, digest)


def test_what_a_channel_of_staff_tells_of_one_account_can_be_opened_by_staff(client, owner, member, staff):
    alert = told(owner)
    client.force_login(staff)
    html = shows(client, alert)
    assert "Told to" in html and owner.email in html
    assert "Mark as" not in html, "it was told to another"
    assert "Mark as" not in page(client, "/alerts/?show=all&everyone=1")
    client.force_login(member)
    page(client, link_of(alert), status=404)
    client.force_login(owner)
    page(client, f"/alerts/{alert.pk + 1000}/", status=404)
    client.logout()
    assert client.get(link_of(alert)).url == f"/login/?next={link_of(alert)}"


def test_it_says_how_it_was_sent_to_those_who_may_see_that(client, owner, staff):
    alert = told(owner)
    hook = Channel(owner=None, kind="webhook", name=HOSTILE)
    hook.save()
    Delivery.objects.create(
        alert=alert, channel=hook, channel_kind="webhook", state="failed", last_error=f"404 {HOSTILE}",
        next_at=timezone.now(), planned_at=timezone.now(),
    )  # fmt: skip
    client.force_login(owner)
    html = shows(client, alert)
    assert "planned" in html and owner.email in html and "404" not in html
    client.force_login(staff)
    html = shows(client, alert)
    assert "failed" in html and "404 &lt;script&gt;" in html and "<script>alert" not in html


def test_the_list_leads_to_it_and_a_message_of_more_leads_to_the_list(client, owner):
    alert = told(owner)
    client.force_login(owner)
    assert f'href="/alerts/{alert.pk}/"' in page(client, "/alerts/")
    assert link_of(told(owner, key="more", type=Type.MORE, silent=True)) == "/alerts/"


def test_names_cannot_turn_round_what_stands_beside_them(client, owner, staff):
    turned = f"feature {HOSTILE} spent\nand more"
    alert = told(owner, title=turned, text=turned, facts=((turned, turned),))
    client.force_login(owner)
    for path in (f"/alerts/{alert.pk}/", "/alerts/", "/"):
        assert "\u202e" not in page(client, path)
    html = page(client, f"/alerts/{alert.pk}/")
    assert re.search(r"spent<br>\s*and more", html), "lines of a text stay lines"
    client.force_login(staff)
    assert "\u202e" not in page(client, f"/admin/alerts/costalert/{alert.pk}/change/")
