"""The list of calls and the page of one call: what a reader finds of his own, and of nobody else's."""

import re
import uuid
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from budgets import book
from costwatch.pages.flags import in_words
from tracking import lists
from tracking.models import Rate
from tracking.pricing import book as prices
from tracking.repricing import reprice

COST = "$0.00045"  # gpt-4o-mini: 1,000 in at $0.15 and 500 out at $0.60 per million
MOST_QUERIES = 12
FAILED = {"status": "error", "http_status": 500, "usage": None, "quality": "none", "error": "server_error"}


def page_of(client, user, path="/calls/", *, most=MOST_QUERIES):
    client.force_login(user)
    book.current(), prices.current()  # every process keeps them in memory, and looks again once a second
    with CaptureQueriesContext(connection) as queries:
        response = client.get(path)
    assert response.status_code == 200, (path, response.status_code)
    assert len(queries) <= most, [query["sql"][:150] for query in queries]
    return response.content.decode()


def rows_in(html: str) -> int:
    return html.count("data-row=")


# --- The list


def test_the_list_shows_the_readers_own_calls_and_what_they_add_up_to(client, workspace, owner, member):
    for days in (0, 3, 40):
        workspace.call(user=owner, days_ago=days, feature="summary")
    workspace.call(user=member, feature="not for Alice")
    html = page_of(client, owner)
    assert rows_in(html) == 2 and "2 calls · $0.0009" in html
    assert "not for Alice" not in html and member.email not in html and "Everybody" not in html
    assert rows_in(page_of(client, owner, "/calls/?period=90d")) == 3
    assert rows_in(page_of(client, owner, f"/calls/?user={member.pk}")) == 2, "nobody else's, whatever is asked for"


def test_staff_see_everyone_and_whose_it_was(client, workspace, staff, owner, member):
    workspace.call(user=owner)
    workspace.call(user=member)
    workspace.call()
    html = page_of(client, staff)
    assert rows_in(html) == 3 and owner.email in html and member.email in html
    assert rows_in(page_of(client, staff, f"/calls/?user={member.pk}")) == 1
    assert rows_in(page_of(client, staff, "/calls/?user=0")) == 1


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("model=house-model", 1),
        ("feature=rare", 1),
        ("feature=%28none%29", 3),
        ("service=chat", 5),
        ("service=tts", 0),
        ("provider=openai&model=gpt-4o-mini", 4),
        ("status=error", 1),
        ("price=unpriced", 1),
        ("tag=team%3Dblue", 1),
        ("tag=team%3Dred", 0),
        ("key=key_1", 1),
        ("analysis=song", 1),
        ("feature=rare&status=error", 0),
    ],
)
def test_filters_stand_in_the_address(client, workspace, owner, query, wanted):
    workspace.call(user=owner, feature="rare", analysis="song")
    workspace.call(user=owner, model="house-model", feature="other")
    workspace.call(user=owner, tags={"team": "blue"})
    workspace.call(user=owner, tags={"api_key": "key_1"})
    workspace.call(user=owner, **FAILED)
    html = page_of(client, owner, f"/calls/?period=7d&{query}")
    assert rows_in(html) == wanted
    assert "Without the filter by" in html
    assert ("No call matches" in html) == (wanted == 0)
    for link in re.findall(r'href="(/calls/\?[^"]+sort=cost[^"]*)"', html):
        assert query.split("&")[0] in link.replace("&amp;", "&"), "sorting keeps the filters"


@pytest.mark.parametrize(
    "query",
    [
        "period=yesterday&status=fine&price=cheap&sort=colour&tag=%3D&before=nothing",
        "before=99999999999999999999-" + "0" * 32,
        "model=" + "x" * 5000,
        "feature=%00%01&user=abc&analysis=%E2%80%AE",
        "tag=" + quote('"\\=1'),
        "since=2026-99-99&until=x",
    ],
)
def test_what_cannot_be_meant_is_said_or_left_out(client, workspace, owner, query):
    workspace.call(user=owner)
    client.force_login(owner)
    response = client.get(f"/calls/?{query}", follow=True)
    assert response.status_code == 200


def test_pages_follow_each_other_and_keep_the_filters(client, workspace, owner, monkeypatch):
    monkeypatch.setattr("costwatch.pages.calls.PAGE", 4)
    for number in range(10):
        workspace.call(user=owner, days_ago=number / 10, feature="summary")
    html, seen = page_of(client, owner, "/calls/?feature=summary"), 0
    for rows in (4, 4, 2):
        assert rows_in(html) == rows
        seen += rows
        older = re.search(r'href="([^"]+)" rel="next"', html)
        if older:
            html = page_of(client, owner, older.group(1).replace("&amp;", "&"))
            assert "Newest" in html and "feature=summary" in html
    assert seen == 10 and older is None


def test_a_list_that_looked_through_many_calls_says_how_far(client, workspace, owner, monkeypatch):
    monkeypatch.setattr(lists, "MOST_ROWS", 5)
    for number in range(8):
        workspace.call(user=owner, days_ago=number)
    workspace.call(user=owner, days_ago=9, tags={"team": "blue"})
    html = page_of(client, owner, "/calls/?tag=team%3Dblue")
    assert rows_in(html) == 0 and "Looked through 5 calls" in html
    further = re.search(r'<a href="([^"]+)">Look further back', html).group(1).replace("&amp;", "&")
    assert rows_in(page_of(client, owner, further)) == 1


def test_the_dearest_calls(client, workspace, owner, monkeypatch):
    workspace.call(
        user=owner,
        days_ago=2,
        feature="dear",
        usage={"prompt_tokens": 10**6, "completion_tokens": 1, "total_tokens": 10**6 + 1},
    )
    for _ in range(3):
        workspace.call(user=owner)
    html = page_of(client, owner, "/calls/?sort=cost")
    first = html[html.index("<tbody>") :]
    assert first.index("dear") < first.index("</tr>") and "were compared" not in html
    monkeypatch.setattr(lists, "MOST_ROWS", 2)
    assert "The newest 2 calls of this time were compared" in page_of(client, owner, "/calls/?sort=cost")


def test_the_dearest_calls_go_on_over_pages(client, workspace, owner, monkeypatch):
    monkeypatch.setattr("costwatch.pages.calls.PAGE", 2)
    for number in range(5):
        workspace.call(user=owner, usage={"prompt_tokens": 1000 * (number + 1), "completion_tokens": 0})
    path, seen = "/calls/?sort=cost&model=gpt-4o-mini", []
    while path:
        html = page_of(client, owner, path)
        seen += re.findall(r'data-row="([^"]+)"', html)
        further = re.search(r'href="([^"]+)" rel="next">Less dear', html)
        path = further[1].replace("&amp;", "&") if further else ""
    assert len(seen) == len(set(seen)) == 5
    assert client.get("/calls/?sort=cost&before=nonsense").status_code == 302


def test_the_calls_without_a_price_are_counted_and_told_why(client, workspace, owner):
    broken = {"status": "timeout", "http_status": None, "usage": None, "quality": "none"}
    for changes in ({}, {"model": "house-model"}, {"model": "house-model"}, broken):
        workspace.call(user=owner, **changes)
    html = page_of(client, owner, "/calls/?price=unpriced")
    assert rows_in(html) == 3 and "3 calls without a price" in html
    assert "2 calls have no price yet" in html and "1 call told no usage" in html
    assert "2 calls without a price" in page_of(client, owner, "/calls/?price=unpriced&model=house-model")
    assert "0 calls without a price" in page_of(client, owner, "/calls/?price=unpriced&model=gpt-4o")


def test_a_line_leads_to_the_calls_like_it_and_keeps_the_filters(client, workspace, owner, member, staff):
    workspace.call(user=owner, feature="pitch")
    workspace.call(user=owner)
    workspace.call(user=member, feature="pitch", model="gpt-4o")
    html = page_of(client, staff, "/calls/?period=7d&feature=pitch", most=30)
    links = re.findall(r'class="cw-drill" href="([^"]+)"', html)
    assert len(links) == 6 and all("period=7d" in link and "feature=pitch" in link for link in links)
    (mine,) = [link for link in links if f"user={owner.pk}" in link]
    assert rows_in(page_of(client, staff, mine.replace("&amp;", "&"))) == 1
    without = page_of(client, owner, "/calls/")
    (link,) = set(re.findall(r'href="(/calls/\?feature=%28none%29)"', without))
    assert rows_in(page_of(client, owner, link)) == 1


def test_a_call_is_found_by_any_of_its_ids(client, workspace, owner, outsider):
    call = workspace.call(user=owner, request_id="req_7", response_id="chatcmpl-7", days_ago=300)
    client.force_login(owner)
    for name in ("req_7", "chatcmpl-7", str(call), call.hex):
        assert client.get("/calls/", {"q": f" {name} "}).url == f"/calls/{call}/"
    assert "No call has this id" in page_of(client, owner, "/calls/?q=req_8")
    assert "No call has this id" in page_of(client, outsider, "/calls/?q=req_7")
    workspace.call(user=owner, request_id="req_7")
    assert rows_in(page_of(client, owner, "/calls/?q=req_7")) == 2


def test_an_empty_list_says_so(client, owner, workspace):
    assert "No calls in this time" in page_of(client, owner)


def test_exports_have_the_filters_of_the_list(client, workspace, staff, owner):
    workspace.call(user=owner, feature="rare")
    workspace.call(user=owner)
    html = page_of(client, staff, "/calls/?feature=rare&price=priced")
    link = re.search(r'href="([^"]+format=csv[^"]*)"', html).group(1).replace("&amp;", "&")
    lines = b"".join(client.get(link).streaming_content).decode().splitlines()
    assert len(lines) == 2 and "rare" in lines[1]
    assert "format=csv" not in page_of(client, staff, "/calls/?tag=a%3Db"), "exports have no such filter"


# --- One call


def test_a_call_shows_meter_times_quantity_times_rate(client, workspace, owner):
    call = workspace.call(user=owner, feature="summary", tags={"team": "blue"}, request_id="req_1")
    html = page_of(client, owner, f"/calls/{call}/")
    for text in (COST, "input_tokens", "1,000", "$0.15 per 1,000,000", "genai-prices", "$0.00015", "$0.0003", "req_1"):
        assert text in html, text
    assert "in force" in html and "known since" in html
    assert "&quot;prompt_tokens&quot;: 1000" in html, "the usage as the provider reported it"
    for link in ("/calls/?feature=summary", "/calls/?tag=team%3Dblue", "/calls/?provider=openai"):
        assert f'href="{link}"' in html
        assert rows_in(page_of(client, owner, link)) == 1
    assert "No limit counted it" in html


def test_a_call_that_was_priced_later_shows_the_correction_and_the_net_cost(client, workspace, owner):
    call = workspace.call(user=owner, model="house-model")
    html = page_of(client, owner, f"/calls/{call}/")
    assert "Unpriced" in html and "No prices for openai model" in html and "Price this model" not in html
    for meter in ("input_tokens", "output_tokens"):
        Rate.objects.create(provider="openai", model="house-model", meter=meter, amount=3, source="contract", own=True)
    reprice(now=timezone.now() + timedelta(seconds=2))
    html = page_of(client, owner, f"/calls/{call}/")
    assert "$0.0045" in html and "contract" in html and "Corrections" in html


def test_the_tries_of_a_call_lead_to_each_other(client, workspace, owner):
    first = workspace.call(user=owner, days_ago=0.0003, **FAILED)
    second = workspace.call(user=owner, days_ago=0.0002, attempt=2)
    html = page_of(client, owner, f"/calls/{second}/")
    assert "Tries" in html and f'href="/calls/{first}/"' in html and "server_error" in html
    assert f'href="/calls/{second}/"' in page_of(client, owner, f"/calls/{first}/")
    assert "Tries" not in page_of(client, owner, f"/calls/{workspace.call(user=owner, feature='x')}/")


@pytest.mark.django_db(transaction=True)  # limits are looked up on a connection of their own
def test_a_call_tells_the_budgets_it_counted_in(client, workspace, owner, staff, monkeypatch):
    from budgets.models import BudgetLimit

    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    BudgetLimit(scope="each_user", period="day", amount=Decimal(5), name="A day of each").save()
    BudgetLimit(scope="everyone", period="month", amount=Decimal(100), name="Everyone's month").save()
    call = workspace.call(user=owner)
    html = page_of(client, owner, f"/calls/{call}/")
    section = html[html.index("Budgets it counted in") :]
    assert "A day of each" in section and "Everyone&#x27;s month" in section
    assert section.count(f"{COST} of") == 2 and owner.email in section


def test_flags_are_explained(client, workspace, owner):
    call = workspace.call(user=owner, flags=["search_assumed", "cut:feature", "brand_new_flag"])
    html = page_of(client, owner, f"/calls/{call}/")
    assert "Taken to be one web search" in html and "was longer than is kept" in html and "brand_new_flag" in html
    assert in_words("estimated_from_text") == "The usage is estimated from text."


def test_someone_elses_call_is_not_there(client, workspace, owner, outsider, staff):
    call, nobodys = workspace.call(user=owner), workspace.call()
    client.force_login(outsider)
    assert [client.get(f"/calls/{one}/").status_code for one in (call, nobodys, uuid.uuid4())] == [404] * 3
    client.force_login(staff)
    assert [client.get(f"/calls/{one}/").status_code for one in (call, nobodys)] == [200] * 2


def test_staff_without_the_permission_see_their_own(client, workspace, owner, django_user_model):
    call = workspace.call(user=owner)
    helper = django_user_model.objects.create_user(email="helper@example.com", password="x", is_staff=True)
    client.force_login(helper)
    assert client.get(f"/calls/{call}/").status_code == 404
    assert rows_in(page_of(client, helper)) == 0


HOSTILE = {
    "script": "<script>alert(1)</script>",
    "attribute": '"><img src=x onerror=alert(1)>',
    "rtl": "\u202egnp.exe\u202c",
    "long": "x" * 200,
    "emoji": "🧾" * 60,
    "template": "{{ settings.SECRET_KEY }}{% debug %}",
}


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_data(client, workspace, owner, name):
    call = workspace.call(
        user=owner, model=name, feature=name, analysis=name, tags={name[:60]: name}, request_id=name, error=name
    )
    client.force_login(owner)
    asked = quote(name, safe="")
    for path in ("/calls/", f"/calls/{call}/", f"/calls/?feature={asked}&model={asked}&tag={asked}%3D{asked}"):
        html = client.get(path).content.decode()
        assert "<script>alert" not in html and "<img src=x" not in html and "<bdi" in html
    assert rows_in(page_of(client, owner, f"/calls/?feature={asked}&model={asked}&analysis={asked}")) == 1


def test_times_are_shown_in_the_readers_zone(client, workspace, owner):
    call = workspace.call(user=owner)
    owner.time_zone = "Asia/Kathmandu"  # UTC+05:45
    owner.save()
    for path in ("/calls/", f"/calls/{call}/"):
        html = page_of(client, owner, path)
        assert re.search(r'<time datetime="[^"]+\+05:45"', html) and "Asia/Kathmandu" in html


def test_the_list_costs_the_same_however_many_calls_there_are(client, workspace, owner):
    def queries() -> int:
        with CaptureQueriesContext(connection) as captured:
            assert client.get("/calls/").status_code == 200
        return len(captured)

    client.force_login(owner)
    workspace.call(user=owner)
    few = queries()
    for number in range(30):
        workspace.call(user=owner, feature=f"feature {number}", days_ago=number % 5)
    assert queries() == few
