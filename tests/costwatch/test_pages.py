"""The first page and the page of one call: what a reader sees of his own spending, and of nobody else's."""

import re

import pytest
from django.urls import reverse


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
        assert "<script>" not in html and "<img src=x" not in html
        assert "<bdi" in html, "directions do not leak out of a name"
    assert name[:20] in page_of(client, owner, f"/calls/{call}/") or "<" in name or "{" in name


def test_times_are_shown_in_the_readers_zone(client, workspace, owner):
    call = workspace.call(user=owner)
    owner.time_zone = "Asia/Kathmandu"  # UTC+05:45
    owner.save()
    html = page_of(client, owner, f"/calls/{call}/")
    assert re.search(r'<time datetime="[^"]+\+05:45" title="[^"]+ Asia/Kathmandu">', html)
    assert "Asia/Kathmandu" in html


def test_every_page_has_a_strict_policy(client, workspace, owner, staff):
    call = workspace.call(user=owner)
    client.force_login(staff)
    for path in ("/", f"/calls/{call}/", reverse("account"), reverse("password_change"), "/nothing-here/"):
        policy = client.get(path).headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy and "unsafe" not in policy and "script-src 'self';" in f"{policy};"
        assert "frame-ancestors 'none'" in policy
    admin = client.get("/admin/").headers["Content-Security-Policy"]
    assert "script-src 'self'" in admin and "unsafe" not in admin
