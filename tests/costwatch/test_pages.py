"""The first page and the page of one call: what a reader sees of his own spending, and of nobody else's."""

import re
import uuid
from datetime import timedelta

import pytest
from django.urls import reverse
from django.utils import timezone

from tracking.models import Rate

COST = "$0.00045"  # gpt-4o-mini: 1,000 in at $0.15 and 500 out at $0.60 per million


def page_of(client, user, path="/"):
    client.force_login(user)
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def test_nobody_sees_anything_without_logging_in(client, workspace, owner):
    call = workspace.call(user=owner)
    for path in ("/", f"/calls/{call}/", "/account/", "/admin/"):
        response = client.get(path)
        assert response.status_code == 302
        assert response.url.startswith(("/login/?next=", "/admin/login/?next="))


def test_an_empty_workspace_shows_how_to_send_the_first_call(client, owner):
    html = page_of(client, owner)
    assert "No calls yet" in html
    assert "from costwatch.clients import openai_client" in html
    assert f'user="{owner.email}"' in html


def test_the_first_page_sums_the_readers_own_calls(client, workspace, owner, member):
    workspace.call(user=owner, feature="summary")
    workspace.call(user=owner, feature="summary")
    workspace.call(user=member, feature="not for Alice")
    html = page_of(client, owner)
    today = re.search(r"<h2>Today</h2>\s*<p class=\"amount\">(.*?)</p>\s*<p>(.*?)</p>", html, re.DOTALL)
    assert today.groups() == ("$0.0009", "2 calls")
    assert html.count("summary") >= 2
    assert "not for Alice" not in html and member.email not in html


def test_staff_see_everyone_and_who_it_was(client, workspace, staff, owner, member):
    workspace.call(user=owner)
    workspace.call(user=member)
    html = page_of(client, staff)
    assert owner.email in html and member.email in html
    assert "2 calls" in html


def test_unpriced_calls_are_counted_shown_and_not_zero(client, workspace, owner):
    call = workspace.call(user=owner, model="nobody-knows-this-model")
    html = page_of(client, owner)
    assert "1 call of the last 30 days has no price yet" in html
    assert '<span class="unpriced">1 unpriced</span>' in html
    assert "$0.00</td>" not in html.split("Latest calls")[1]
    assert "Unpriced" in page_of(client, owner, f"/calls/{call}/")


def test_the_chart_has_thirty_days_and_the_table_says_the_same(client, workspace, owner):
    workspace.call(user=owner, days_ago=0)
    workspace.call(user=owner, days_ago=3)
    workspace.call(user=owner, days_ago=45)
    html = page_of(client, owner)
    assert html.count('<g class="day">') == 30
    heights = [float(h) for h in re.findall(r'class="bar" x="\d+" y="[\d.]+" width="8" height="([\d.]+)"', html)]
    assert len([h for h in heights if h > 0]) == 2
    assert html.count(f'<td class="number">{COST}</td><td class="number">1</td>') == 2


def test_a_call_shows_meter_times_quantity_times_rate(client, workspace, owner):
    call = workspace.call(user=owner, feature="summary", tags={"team": "blue"}, request_id="req_1")
    html = page_of(client, owner, f"/calls/{call}/")
    assert COST in html
    for text in ("input_tokens", "1,000", "$0.15 per 1,000,000", "genai-prices", "$0.00015", "$0.0003", "summary"):
        assert text in html, text
    assert "team: blue" in html and "req_1" in html
    assert "&quot;prompt_tokens&quot;: 1000" in html, "the usage as the provider reported it"


def test_a_call_that_was_priced_later_shows_the_correction_and_the_net_cost(client, workspace, owner):
    from tracking.repricing import reprice

    call = workspace.call(user=owner, model="house-model")
    assert "Unpriced" in page_of(client, owner, f"/calls/{call}/")
    for meter in ("input_tokens", "output_tokens"):
        Rate.objects.create(provider="openai", model="house-model", meter=meter, amount=3, source="contract", own=True)
    reprice(now=timezone.now() + timedelta(seconds=2))
    html = page_of(client, owner, f"/calls/{call}/")
    assert "$0.0045" in html and "contract" in html
    assert "Corrections" in html


def test_someone_elses_call_is_not_there(client, workspace, owner, outsider, staff):
    call = workspace.call(user=owner)
    path = f"/calls/{call}/"
    client.force_login(outsider)
    assert client.get(path).status_code == 404
    assert client.get(f"/calls/{uuid.uuid4()}/").status_code == 404
    client.force_login(staff)
    assert client.get(path).status_code == 200


def test_a_call_without_a_user_is_staffs_alone(client, workspace, owner, staff):
    call = workspace.call()
    client.force_login(owner)
    assert client.get(f"/calls/{call}/").status_code == 404
    client.force_login(staff)
    assert client.get(f"/calls/{call}/").status_code == 200


HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "\u202egnp.exe\u202c",
    "x" * 200,
    "🧾" * 60,
    "{{ settings.SECRET_KEY }}{% debug %}",
]


@pytest.mark.parametrize("name", HOSTILE, ids=["script", "attribute", "rtl", "long", "emoji", "template"])
def test_hostile_names_are_data(client, workspace, owner, name):
    call = workspace.call(user=owner, model=name[:200], feature=name[:200], tags={name[:60]: name[:60]})
    for path in ("/", f"/calls/{call}/"):
        html = page_of(client, owner, path)
        assert "<script" not in html and "<img src=x" not in html
        assert "<bdi" in html, "directions do not leak out of a name"
    assert name[:20] in page_of(client, owner, f"/calls/{call}/") or "<" in name or "{" in name


def test_times_are_shown_in_the_readers_zone(client, workspace, owner):
    call = workspace.call(user=owner)
    owner.time_zone = "Asia/Kathmandu"  # UTC+05:45
    owner.save()
    html = page_of(client, owner, f"/calls/{call}/")
    assert re.search(r'<time datetime="[^"]+\+05:45">', html)
    assert "Asia/Kathmandu" in html


def test_the_first_page_costs_the_same_however_many_calls_there_are(client, workspace, owner):
    def queries() -> int:
        from django.db import connection
        from django.test.utils import CaptureQueriesContext

        with CaptureQueriesContext(connection) as captured:
            assert client.get("/").status_code == 200
        ledger = [q["sql"] for q in captured if "tracking_apiusagelog" in q["sql"]]
        assert all("LIMIT" in sql or '"corrects" IN' in sql for sql in ledger), "no page sums raw rows"
        return len(captured)

    client.force_login(owner)
    workspace.call(user=owner)
    few = queries()
    for number in range(30):
        workspace.call(user=owner, feature=f"feature {number}", days_ago=number % 5)
    assert queries() == few


def test_every_page_has_a_strict_policy(client, workspace, owner, staff):
    call = workspace.call(user=owner)
    client.force_login(staff)
    for path in ("/", f"/calls/{call}/", reverse("account"), reverse("password_change"), "/nothing-here/"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src" not in policy
        assert "frame-ancestors 'none'" in policy
    admin = client.get("/admin/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in admin and "unsafe" not in admin
