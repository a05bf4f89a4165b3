"""What each piece of work cost: the list of analyses, and one of them."""

import csv
import re
from datetime import timedelta
from decimal import Decimal
from urllib.parse import quote

import pytest
from django.contrib.auth.models import Permission

from budgets.models import BudgetLimit
from tests.costwatch.test_calls_pages import FAILED, HOSTILE, page_of, rows_in
from tracking import analysis_lists
from tracking.analyses import close_analysis
from tracking.analysis_lists import compare, course, whole
from tracking.models import Analysis

LIST, ONE = "/analyses/", "/analysis/?id="


@pytest.fixture
def songs(workspace, owner, member):
    """Three analyses: two of Alice, the second of them the dearest; one of Bob."""
    workspace.call(user=owner, analysis="song-1", feature="pitch")
    for _ in range(3):
        workspace.call(user=owner, analysis="song-2", feature="pitch", days_ago=0.01)
    workspace.call(user=owner, analysis="song-2", feature="critique", model="gpt-4o")
    workspace.call(user=member, analysis="poem", days_ago=0.1)
    Analysis.objects.filter(pk="song-2").update(title="The second song")
    return workspace


def places(html: str, *names: str) -> list[str]:
    body = html[html.index("<tbody>") :]
    return sorted(names, key=body.index)


def test_the_list_has_what_each_cost_dearest_first(client, songs, owner, staff):
    html = page_of(client, owner, LIST)
    assert places(html, "song-1", "song-2") == ["song-2", "song-1"] and "poem" not in html
    assert "$0.00885" in html, "three calls of gpt-4o-mini and one of gpt-4o"
    assert "$0.00465" in html, "the average of both"
    everyone = page_of(client, staff, LIST)
    assert "poem" in everyone and "bob@example.com" in everyone


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("q=song", {"song-1", "song-2"}),
        ("q=SECOND", {"song-2"}),
        ("q=nothing", set()),
        ("state=closed", {"song-1"}),
        ("state=open", {"song-2"}),
        ("sort=last", {"song-1", "song-2"}),
        ("sort=newest&period=7d", {"song-1", "song-2"}),
        ("sort=colour&state=ajar&from=-7&q=%00", {"song-1", "song-2"}),
        ("since=2020-01-01&until=2020-02-01", set()),
        ("since=2020-01-01&until=2020-02-01&q=song-1", {"song-1"}),
    ],
)
def test_search_and_state_stand_in_the_address(client, songs, owner, query, wanted):
    close_analysis(Analysis.objects.get(pk="song-1"), now=songs.now)
    html = page_of(client, owner, f"{LIST}?{query}")
    assert {name for name in ("song-1", "song-2") if f"id={name}" in html} == wanted


def test_only_so_many_are_compared_and_the_list_says_so(client, songs, staff, monkeypatch):
    monkeypatch.setattr(analysis_lists, "MOST_COMPARED", 2)
    assert "The newest 2 analyses of this time were compared" in page_of(client, staff, LIST)


def test_the_list_goes_on_over_pages(client, songs, staff, monkeypatch):
    monkeypatch.setattr("costwatch.pages.analyses.PAGE", 2)
    html = page_of(client, staff, LIST + "?q=&sort=calls")
    assert 'href="/analyses/?sort=calls&amp;from=2" rel="next"' in html and "poem" not in html
    assert "poem" in page_of(client, staff, LIST + "?sort=calls&from=2")


@pytest.mark.django_db(transaction=True)  # limits are looked up on a connection of their own
def test_caps_stand_beside_the_cost(client, songs, owner, monkeypatch):
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    BudgetLimit(scope="each_analysis", period="total", amount=Decimal("0.0177"), name="Cap of each").save()
    BudgetLimit(scope="analysis", target="song-1", period="total", amount=Decimal("0.00045")).save()
    html = page_of(client, owner, LIST, most=14)
    assert "50 % of $0.0177" in html and "100 % of $0.0004" in html and "paused" in html
    one = page_of(client, owner, ONE + "song-2", most=14)
    assert "50 % of $0.0177" in one and "Cap of each" in one


def test_an_analysis_by_feature_model_and_time(client, songs, owner):
    songs.call(user=owner, analysis="song-2", feature="pitch", **FAILED)
    songs.call(user=owner, analysis="song-2", feature="pitch", model="nobody-knows")
    html = page_of(client, owner, ONE + "song-2")
    assert "The second song" in html and "$0.00885" in html and "1 unpriced" in html and "1 failed" in html
    for text in ("pitch", "critique", "gpt-4o-mini", "85 %", "By feature", "By model", "Over time", "Cost so far"):
        assert text in html, text
    assert rows_in(html) == 6
    assert 'href="/calls/?analysis=song-2&amp;since=' in html


def test_the_course_ends_at_the_whole_cost(songs, monkeypatch):
    found = whole("song-2")
    asked = {"first": found.first_call_at, "last": found.last_call_at, "total": found.totals.cost}
    each = course("song-2", **asked, calls=found.totals.calls)
    mini = Decimal("0.00045")
    assert [cost for _, cost in each.points] == [0, mini, 2 * mini, 3 * mini, Decimal("0.00885")], "a point a call"
    assert (each.step, each.bounded) == ("call", False)
    monkeypatch.setattr(analysis_lists, "MOST_BY_CALL", 1)
    grown = course("song-2", **asked, calls=found.totals.calls)
    assert [cost for _, cost in grown.points] == [0, Decimal("0.00135"), Decimal("0.00885")]
    assert (grown.step, grown.bounded) == ("minute", False)
    monkeypatch.setattr(analysis_lists, "MOST_ROWS", 1)
    cut = course("song-2", **asked, calls=found.totals.calls)
    assert cut.bounded and cut.points[-1][1] == found.totals.cost, "what was not read stands in the first point"


def test_a_line_leads_to_its_calls(client, songs, owner):
    html = page_of(client, owner, ONE + "song-2")
    for line in ("feature=critique", "model=gpt-4o&amp;"):
        (link,) = {found for found in re.findall(r'href="(/calls/[^"]+)"', html) if line in found + "&amp;"}
        assert rows_in(page_of(client, owner, link.replace("&amp;", "&"))) == 1


def test_it_is_closed_on_its_page_by_whom_it_belongs_to(client, songs, owner, member, staff, django_user_model):
    helper = django_user_model.objects.create_user(email="helper@example.com", password="x", is_staff=True)
    helper.user_permissions.add(Permission.objects.get(codename="view_apiusagelog"))
    for who in (member, helper):
        client.force_login(who)
        assert client.post(ONE + "song-1", {"close": "1"}).status_code == 404
    assert "Close it" not in page_of(client, helper, ONE + "song-1")
    assert "Close it" in page_of(client, owner, ONE + "song-1")
    assert Analysis.objects.get(pk="song-1").closed_at is None
    html = client.post(ONE + "song-1", {"close": "1"}, follow=True).content.decode()
    assert "The analysis is closed" in html and "Close it" not in html
    closed = Analysis.objects.get(pk="song-1").closed_at
    assert closed is not None
    client.force_login(staff)
    client.post(ONE + "song-1", {"close": "1"})
    assert Analysis.objects.get(pk="song-1").closed_at == closed, "closing it again changes nothing"
    client.post(ONE + "poem", {"close": "1"})
    assert Analysis.objects.get(pk="poem").closed_at is not None


def test_the_list_as_a_file(client, songs, owner, staff, monkeypatch):
    Analysis.objects.filter(pk="song-2").update(title="=cmd()")
    assert "file=csv" in page_of(client, owner, LIST)
    lines = list(csv.DictReader(client.get(LIST + "?file=csv").content.decode("utf-8-sig").splitlines()))
    assert [(line["analysis"], line["calls"], line["cost_usd"]) for line in lines] == [
        ("song-2", "4", "0.00885"), ("song-1", "1", "0.00045"),
    ]  # fmt: skip
    assert lines[0]["title"] == "'=cmd()"
    client.force_login(staff)
    monkeypatch.setattr("costwatch.pages.analyses.MAX_LIMIT", 2)
    every = list(csv.DictReader(client.get(LIST + "?file=csv").content.decode("utf-8-sig").splitlines()))
    assert len(every) == 3 and owner.email in {line["user_email"] for line in every}, "all of its pages"


def test_someone_elses_analysis_is_not_there(client, songs, owner, member, staff):
    client.force_login(member)
    for name in ("song-1", "nothing", "", "a%00b", "x" * 5000):
        assert client.get(ONE + name).status_code == 404
    assert client.get("/analysis/").status_code == 404
    assert client.get(ONE + "poem").status_code == 200
    client.force_login(staff)
    assert client.get(ONE + "song-1").status_code == 200


def test_an_analysis_without_calls(client, workspace, owner):
    Analysis.objects.create(id="new", user_id=owner.pk, created_at=workspace.now)
    assert "No calls yet" in page_of(client, owner, ONE + "new")
    assert "$0.00" in page_of(client, owner, LIST)


def test_no_analyses(client, owner, workspace):
    assert "No analyses in this time" in page_of(client, owner, LIST)


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_data(client, workspace, owner, name):
    workspace.call(user=owner, analysis=name, feature=name, model=name)
    Analysis.objects.update(title=name)
    asked = quote(name, safe="")
    for path in (LIST, f"{LIST}?q={asked}", ONE + asked):
        html = page_of(client, owner, path)
        assert "<script>alert" not in html and "<img src=x" not in html and "<bdi" in html


def test_sorts_are_known(workspace):
    with pytest.raises(ValueError, match="not sorted"):
        compare(since=workspace.now - timedelta(days=1), until=workspace.now, sort="colour")
