"""What stands around pages: menu, theme, policy; what they load; and pages inside of another project's addresses."""

import hashlib
import re
from html import unescape
from pathlib import Path

import pytest
from django.contrib import admin
from django.test import override_settings
from django.urls import clear_url_caches, include, path

ROOT = Path(__file__).resolve().parents[2]
VENDOR = ROOT / "costwatch" / "static" / "vendor"
TEMPLATES = [*ROOT.glob("templates/**/*.html")]

#: Another project's addresses, with ours under a prefix of its choice. Tests name this module as ROOT_URLCONF.
urlpatterns = [
    path("costs/", include("costwatch.pages.urls")),
    path("people/", include("costwatch.accounts.urls")),
    path("staff/", admin.site.urls),
]


@pytest.fixture
def mounted():
    with override_settings(ROOT_URLCONF=__name__):
        clear_url_caches()
        yield
    clear_url_caches()


def links_of(html: str) -> dict[str, str]:
    """Every address of our own that a page names: its path, and one of the links to it."""
    found = [unescape(link) for link in re.findall(r'(?:href|src|action|hx-get|data-live)="(/[^"#]*)', html)]
    return {link.partition("?")[0]: link for link in found if not link.startswith("/static/")}


def test_pages_live_under_any_prefix(client, workspace, staff, mounted):
    call = workspace.call(user=staff, feature="summary")
    client.force_login(staff)
    for address in ("/costs/", "/costs/cost-monitoring", f"/costs/calls/{call}/", "/costs/calls/", "/costs/budgets/"):
        answer = client.get(address)
        assert answer.status_code == 200, address
        for place, link in links_of(answer.content.decode()).items():
            assert place.startswith(("/costs/", "/people/", "/staff/")), (address, link)
            assert client.get(link).status_code in (200, 204, 302, 405), (address, link)


def test_the_menu_says_where_one_is_and_has_what_one_may_see(client, workspace, owner, staff):
    workspace.call(user=owner)
    for user, sees_users in ((owner, False), (staff, True)):
        client.force_login(user)
        html = client.get("/").content.decode()
        menu = html.split('aria-label="Main"')[1].split("</nav>")[0]
        assert re.findall(r'aria-current="page">.*?</svg>(\w+)', menu) == ["Overview"]
        assert ("Users</a>" in menu) == sees_users and ("Administration" in menu) == sees_users


def menu_of(client, path: str) -> dict[str, str]:
    menu = client.get(path).content.decode().split('aria-label="Main"')[1].split("</nav>")[0]
    links = re.findall(r'<li><a href="([^"]*)".*?</svg>(\w+)</a>', menu, re.S)
    return {title: unescape(link) for link, title in links}


def test_the_menu_keeps_the_period_and_the_filters_that_mean_something(client, workspace, owner, staff):
    workspace.call(user=owner, feature="a & b")
    client.force_login(staff)
    menu = menu_of(client, f"/?period=7d&by=service&feature=a+%26+b&user={owner.pk}")
    asked = f"period=7d&feature=a+%26+b&user={owner.pk}"
    assert menu["Overview"] == f"/?{asked}" and menu["Calls"] == f"/calls/?{asked}"
    assert menu["Optimise"] == f"/optimise/?{asked}"
    assert menu["Analyses"] == f"/analyses/?period=7d&user={owner.pk}"
    assert menu["Models"] == f"/models/?period=7d&user={owner.pk}"
    assert menu["Users"] == "/users/?period=7d" and menu["Budgets"] == "/budgets/?period=7d"
    assert menu_of(client, menu["Budgets"])["Calls"] == "/calls/?period=7d", "through pages without a period too"
    days = "period=custom&since=2026-02-01&until=2026-02-28"
    assert menu_of(client, f"/calls/?{days}&status=error&tag=a%3Db")["Overview"] == f"/?{days}"
    model = menu_of(client, "/model/?provider=openai&model=gpt-4o-mini&period=90d")
    assert model["Calls"] == "/calls/?period=90d", "there a model is what the page is about"
    assert menu_of(client, "/")["Calls"] == "/calls/"


@pytest.mark.django_db
def test_a_theme_is_chosen_without_a_script_and_leads_back(client):
    answer = client.post("/theme", {"theme": "dark", "next": "/login/?next=/"})
    assert (answer.status_code, answer.url) == (302, "/login/?next=/")
    assert 'data-bs-theme="dark"' in client.get("/login/").content.decode()
    assert client.post("/theme", {"theme": "auto", "next": "https://elsewhere.example/"}).url == "/"
    assert "data-bs-theme" not in client.get("/login/").content.decode()
    client.cookies["costwatch_theme"] = '"><script>'
    assert "data-bs-theme" not in client.get("/login/").content.decode()
    assert client.get("/theme").status_code == 405


@pytest.mark.django_db
def test_nothing_inline_and_nothing_from_elsewhere(client):
    answer = client.get("/login/")
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    for what in ("script", "style", "connect", "font"):
        assert f"{what}-src 'self';" in f"{policy};"
    assert "unsafe" not in policy and "http" not in policy


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_template_has_inline_script_or_style(template):
    html = template.read_text()
    if "templates/alerts/email" in str(template):
        pytest.skip("mail programs know inline styles alone")
    assert not re.search(r"<style|\sstyle=|\son[a-z]+=\"|javascript:|<script(?![^>]*\ssrc=)", html), template
    assert not re.search(r'(?:src|href)="https?:', html), template


def test_the_libraries_are_those_that_are_listed():
    listed = dict(re.findall(r"^\| `([\w.-]+)` \|.*\| `([0-9a-f]{64})` \|$", (VENDOR / "VENDOR.md").read_text(), re.M))
    there = {path.name for path in VENDOR.iterdir() if path.is_file() and path.name != "VENDOR.md"}
    assert set(listed) == there
    for name, digest in listed.items():
        assert hashlib.sha256((VENDOR / name).read_bytes()).hexdigest() == digest, name
    assert {path.suffix for path in (VENDOR / "licences").iterdir()} == {".txt"}


def test_the_icons_are_those_that_are_used():
    there = set(re.findall(r'<symbol id="([\w-]+)"', (VENDOR / "icons.svg").read_text()))
    code = "".join(path.read_text() for path in [*TEMPLATES, *ROOT.glob("costwatch/pages/*.py")])
    named = set(re.findall(r'{% icon "([\w-]+)"', code)) | set(re.findall(r'icon_name="([\w-]+)"', code))
    named |= set(re.findall(r'default:"([\w-]+)" %}', code)) & there
    menu = set(re.findall(r'^    \("\w+", "[^"]+", "([\w-]+)"', (ROOT / "costwatch/pages/frame.py").read_text(), re.M))
    assert named | menu <= there, "python scripts/vendor.py"
    unused = {icon for icon in there if f'"{icon}"' not in code}
    assert not unused, "take them from scripts/icons.txt, and run python scripts/vendor.py"
