"""The settings of alerts as people use them: with a real browser, in every size and theme, and without scripts."""

from pathlib import Path

import pytest
from django.utils import timezone
from playwright.sync_api import expect

from alerts.models import Channel, CostAlert
from alerts.queries import channels_of
from tests.browser.checks import assert_accessible, assert_fits

SETTINGS = "/alerts/settings/"
SCREENSHOTS = Path(__file__).resolve().parents[2] / "var" / "screenshots"


@pytest.fixture
def channels(scene):
    """Channels in every state, some with hostile names; returns the reader's own by email."""
    now, reader = timezone.now(), scene.reader
    first = channels_of(reader)[0]
    for fields in (
        {"owner": reader, "kind": "slack", "name": "<i>Team</i> " + "s" * 120, "quiet_from": "22:00",
         "quiet_until": "07:00", "digest": "daily", "types": ["threshold", "forecast"], "last_sent_at": now},
        {"owner": reader, "kind": "webhook", "name": "Hook", "config": {"url": "https://example.com/hook"},
         "disabled_at": now, "disabled_reason": "<b>410</b> Gone " + "x" * 200},
        {"owner": None, "kind": "email", "name": "On call", "config": {"to": ["oncall@example.com"]},
         "muted_until": now + timezone.timedelta(days=1)},
        {"owner": None, "kind": "pagerduty", "name": "Pager", "failing_since": now, "last_error": "invalid_key"},
    ):  # fmt: skip
        Channel(**fields).save()
    return first


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_page_of_it_fits_and_can_be_read_by_all(channels, scene, open_page, come_in, width, scheme):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = open_page(width, scheme)
    come_in(page, scene.reader)
    hook = Channel.objects.get(kind="webhook")
    for name, address in {
        "alert-settings": SETTINGS,
        "channel-new": f"{SETTINGS}add/webhook/",
        "channel-sms": f"{SETTINGS}add/sms/",
        "channel": f"{SETTINGS}channels/{hook.pk}/",
        "channel-implied": f"{SETTINGS}channels/{channels.pk}/",
        "preview-mail": f"{SETTINGS}preview/?kind=email&type=unusual_spend",
        "preview-webhook": f"{SETTINGS}preview/?kind=webhook&type=digest",
    }.items():
        page.goto(address)
        page.wait_for_load_state("networkidle")
        page.screenshot(path=SCREENSHOTS / f"{name}-{width}-{scheme}.png", full_page=True)
        assert_fits(page)
        assert_accessible(page)
        assert page.locator("h1").count() == 1


@pytest.mark.parametrize("width", [390, 1440])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_administration_of_alerts_fits(channels, scene, open_page, come_in, width, scheme):
    SCREENSHOTS.mkdir(parents=True, exist_ok=True)
    page = open_page(width, scheme)
    come_in(page, scene.reader)
    alert = CostAlert.objects.order_by("pk").last()
    common = Channel.objects.filter(owner=None, kind="email").get()
    for name, address in {
        "alerts": "costalert/",
        "alert": f"costalert/{alert.pk}/change/",
        "channels": "channel/",
        "channel": f"channel/{common.pk}/change/",
        "channel-kinds": "channel/add/",
        "channel-new": "channel/add/?kind=webhook",
        "deliveries": "delivery/",
        "preference": "alertpreference/add/",
    }.items():
        page.goto(f"/admin/alerts/{address}")
        page.wait_for_load_state("networkidle")
        page.screenshot(path=SCREENSHOTS / f"admin-{name}-{width}-{scheme}.png", full_page=True)
        assert_fits(page)


def test_a_channel_is_added_tested_and_switched_off(channels, scene, open_page, come_in):
    page = open_page()
    come_in(page, scene.reader)
    page.goto(SETTINGS)
    page.get_by_text("Add a channel", exact=True).first.click()
    page.get_by_role("link", name="Email A mailbox").first.click()
    page.get_by_label("Name").fill("Second mailbox")
    page.get_by_label("To", exact=True).fill("second@example.com")
    page.get_by_role("button", name="Add the channel").click()
    expect(page.get_by_text("Added. Send a test")).to_be_visible()
    entry = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name="Second mailbox"))
    entry.get_by_role("button", name="Send me a test").click()
    expect(page.get_by_text("took the test: The mail server took it for second@example.com.")).to_be_visible()
    entry.get_by_text("Mute").click()
    entry.get_by_role("button", name="For a day").click()
    expect(entry.get_by_text("muted until")).to_be_visible()
    entry.get_by_text("Delete").first.click()
    entry.get_by_role("button", name="Delete the channel").click()
    expect(page.get_by_text("is deleted")).to_be_visible()


def test_it_works_without_scripts(channels, scene, chromium, live_server, client):
    client.force_login(scene.reader)
    context = chromium.new_context(java_script_enabled=False, base_url=live_server.url)
    context.add_cookies([{"name": "sessionid", "value": client.cookies["sessionid"].value, "url": live_server.url}])
    page = context.new_page()
    page.goto(SETTINGS)
    page.get_by_label("What was spent").select_option("daily")
    page.get_by_label("calls have no price").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    expect(page.get_by_label("calls have no price")).not_to_be_checked()
    page.goto(f"{SETTINGS}preview/")
    page.get_by_label("When").select_option("forecast")
    page.get_by_role("button", name="Show").click()
    frame = page.frame_locator("iframe")
    expect(frame.get_by_role("heading", name="Forecast to be exceeded")).to_be_visible()
    context.close()


@pytest.mark.parametrize("width", [390, 1440])
def test_a_mail_is_shown_whole_in_its_frame(scene, open_page, come_in, width):
    page = open_page(width)
    come_in(page, scene.reader)
    for type_ in ("threshold", "refused", "forecast", "calls_lost", "ledger_stray", "digest"):
        page.goto(f"{SETTINGS}preview/?kind=email&type={type_}")
        page.wait_for_load_state("networkidle")
        mail = page.frames[1]
        needs, has = mail.evaluate("[document.documentElement.scrollHeight, innerHeight]")
        assert needs <= has, f"{type_} is cut off: {needs} of {has}"
        assert mail.get_by_text("Choose what you are told").is_visible() or not mail.get_by_role("link").count()
