"""The overview: what a reader sees of his own spending against the time before, and of nobody else's."""

import re
from datetime import datetime, timedelta
from decimal import Decimal
from html import unescape

import pytest
from django.core.cache import caches
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.operations import raise_alerts
from budgets.models import BudgetLimit
from costwatch import overview
from tests.workspace import Workspace
from tracking import overview as reads
from tracking.periods import Period, last_days, month, today

D = Decimal
COST = D("0.00045")  # gpt-4o-mini: 1,000 in at $0.15 and 500 out at $0.60 per million


def page_of(client, user, path="/"):
    client.force_login(user)
    response = client.get(path)
    assert response.status_code == 200
    return response.content.decode()


def text_of(html: str) -> str:
    return " ".join(unescape(re.sub(r"<[^>]+>", " ", html)).split())


def figure(html: str, title: str) -> tuple[str, str]:
    """The value and the note of a figure."""
    parts = r'cw-stat-title">(?:<a [^>]+>)?{}<.*?cw-stat-value">(.*?)</p>.*?cw-stat-note">(.*?)</p>'
    return tuple(text_of(part) for part in re.search(parts.format(title), html, re.S).groups())


def shares(html: str, dimension: str) -> list[list[str]]:
    """The cells of a table of shares."""
    table = html.split(f'id="by-{dimension}"')[1].split("</section>")[0]
    rows = re.findall(r"<tr.*?</tr>", table.split("<tbody>")[1], re.S)
    return [[text_of(cell) for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.S)] for row in rows]


def lines_of(html: str) -> str:
    """What the lines across the chart are, under its table."""
    return text_of(" ".join(re.findall(r'cw-chart-line">(.*?)</p>', html, re.S))).replace(" :", ":")


@pytest.fixture
def noon(workspace):
    """Calls are made as of noon of a Wednesday in the middle of a month."""
    workspace.now = datetime(2026, 5, 13, 12, 0, tzinfo=timezone.get_default_timezone())
    return workspace


@pytest.fixture
def at_noon(monkeypatch, noon):
    monkeypatch.setattr("costwatch.pages.asked.timezone.now", lambda: noon.now)
    return noon


class TestWhoSeesWhat:
    def test_a_reader_sees_the_sums_of_his_own_calls(self, client, workspace, owner, member):
        workspace.call(user=owner, feature="summary")
        workspace.call(user=owner, feature="summary")
        workspace.call(user=member, feature="not for Alice")
        html = page_of(client, owner)
        assert figure(html, "Today") == ("$0.0009", "$0.00 yesterday by now 2 calls")
        assert shares(html, "feature") == [["summary", "$0.0009", "100 %", "new"]]
        assert "not for Alice" not in html and member.email not in html and 'id="by-user"' not in html
        assert member.email not in page_of(client, owner, f"/?user={member.pk}&by=user")

    def test_staff_see_everyone_and_who_it_was_and_may_look_at_one(self, client, workspace, staff, owner, member):
        workspace.call(user=owner)
        workspace.call(user=member)
        workspace.call()
        html = page_of(client, staff)
        assert {row[0] for row in shares(html, "user")} == {owner.email, member.email, "nobody’s"}
        assert figure(html, "Today")[1].endswith("now 3 calls")
        html = page_of(client, staff, f"/?user={member.pk}")
        assert figure(html, "Today")[1].endswith("now 1 call") and owner.email not in html

    def test_staff_without_the_permission_see_their_own_alone(self, client, workspace, owner, django_user_model):
        clerk = django_user_model.objects.create_user(email="erin@example.com", password="x", is_staff=True)
        workspace.call(user=owner, feature="not for Erin")
        workspace.call(user=clerk)
        html = page_of(client, clerk)
        assert "not for Erin" not in html and figure(html, "Today")[1].endswith("now 1 call")

    def test_an_empty_workspace_shows_how_to_send_the_first_call(self, client, owner):
        html = page_of(client, owner)
        assert "data-live-reload" in html and 'id="figures"' not in html


class TestFigures:
    def test_each_span_stands_against_the_one_before_up_to_the_same_moment(self, at_noon, client, staff):
        for days in (0, 1, 7):  # now, yesterday at noon, a week ago
            at_noon.call(days_ago=days)
        at_noon.call(days_ago=1 - 0.2)  # yesterday, later than noon: not part of the comparison
        html = page_of(client, staff)
        assert figure(html, "Today") == ("$0.00045", "0 % $0.00045 yesterday by now 1 call")
        assert figure(html, "This week")[1].startswith("+200 % $0.00045 last week by now")
        assert figure(html, "This month")[0] == "$0.0018"

    def test_one_users_spans_are_compared_up_to_the_same_moment_too(self, at_noon, client, owner, monkeypatch):
        for days in (0, 1, 7, 8):
            at_noon.call(user=owner, days_ago=days)
        at_noon.call(user=owner, days_ago=2)
        at_noon.call(user=owner, days_ago=1 - 0.2)  # yesterday, later than noon: not part of the comparison
        html = page_of(client, owner)
        assert figure(html, "Today") == ("$0.00045", "0 % $0.00045 yesterday by now 1 call")
        assert figure(html, "This week")[1] == "+100 % $0.0009 last week by now 4 calls"
        # Where the days have too many calls to be read, the part of the day counts as the time does.
        monkeypatch.setattr(overview, "MOST_CALLS_BY_HOUR", 1)
        assert figure(page_of(client, owner), "Today")[1] == "0 % about $0.00045 yesterday by now 1 call"

    def test_a_span_without_anything_before_says_so(self, at_noon, client, staff):
        at_noon.call(feature="summary")
        for path in ("/", "/?feature=summary"):
            html = page_of(client, staff, path)
            for title, before in (("Today", "yesterday"), ("This week", "last week"), ("This month", "last month")):
                assert figure(html, title)[1] == f"$0.00 {before} by now 1 call", path

    def test_one_call_is_too_little_for_a_forecast(self, at_noon, client, staff):
        at_noon.call()
        assert figure(page_of(client, staff), "Forecast for the month") == ("–", "too early to tell")

    def test_the_month_is_forecast_with_its_range(self, at_noon, client, staff):
        for days in range(56):
            at_noon.call(days_ago=days)
        value, note = figure(page_of(client, staff), "Forecast for the month")
        assert value.startswith("$0.01") and "to $0.01" in value  # 31 days of $0.00045
        assert note.endswith("last month")

    def test_the_first_days_of_a_month_have_no_end_of_february_to_trip_over(self, noon, staff):
        noon.now = datetime(2026, 3, 31, 0, 30, tzinfo=timezone.get_default_timezone())
        noon.call(days_ago=0)
        found = overview.figures(at=noon.now, filters={})
        assert [span.name for span in found.spans] == ["today", "week", "month"]
        assert found.spans[2].before_period == Period(datetime(2026, 2, 1).date(), datetime(2026, 3, 1).date())

    def test_unpriced_calls_are_counted_shown_and_not_zero(self, client, workspace, owner):
        workspace.call(user=owner, model="nobody-knows-this-model")
        html = page_of(client, owner)
        assert "1 call has no price yet" in html
        assert figure(html, "Today")[1].endswith("1 unpriced")
        assert shares(html, "model")[0][1] == "unpriced"
        assert "$0.00</span>" not in html.split("Latest calls")[1]


class TestShares:
    def test_what_cost_how_much_of_it_and_how_that_has_changed(self, client, workspace, staff):
        for _ in range(3):
            workspace.call(feature="summary")
        workspace.call(feature="translation")
        workspace.call(feature="summary", days_ago=31)
        workspace.call(feature="gone", days_ago=31)
        rows = shares(page_of(client, staff, "/?period=30d"), "feature")
        assert rows == [["summary", "$0.00135", "75 %", "+200 %"], ["translation", "$0.00045", "25 %", "new"]]

    def test_many_names_are_the_dearest_and_the_rest(self, client, workspace, staff):
        for number in range(12):
            for _ in range(2 if number < 8 else 1):
                workspace.call(feature=f"f{number:02}")
        rows = shares(page_of(client, staff), "feature")
        assert len(rows) == 9 and rows[-1][:3] == ["4 more", "$0.0018", "20 %"]

    def test_a_name_leads_to_the_same_view_of_it_alone(self, client, workspace, staff):
        workspace.call(feature="a & b/c?")
        workspace.call(feature="other")
        html = page_of(client, staff, "/?period=7d")
        link = re.search(r'href="(/\?period=7d&amp;feature=a[^"]+)"', html).group(1).replace("&amp;", "&")
        html = page_of(client, staff, link)
        assert "a &amp; b/c?" in html and figure(html, "Today")[1].endswith("now 1 call")

    def test_what_leads_on_keeps_the_period_and_the_filters(self, client, workspace, staff):
        workspace.call(feature="summary")
        html = page_of(client, staff, "/?period=7d")
        for page in ("/calls/", "/models/", "/users/"):
            assert f'href="{page}?period=7d">All' in html, page
        html = page_of(client, staff, "/?period=7d&feature=summary")
        assert 'href="/calls/?period=7d&amp;feature=summary">' in html.split('id="latest-title"')[1]
        assert ">All of them<" not in html.split('id="latest-title"')[0], "those pages cannot filter by feature"

    def test_the_latest_calls_are_those_of_the_filters(self, client, workspace, staff, owner):
        wanted = [workspace.call(user=owner, feature="summary"), workspace.call(feature="summary", days_ago=3)]
        other = workspace.call(user=owner, feature="other")
        for path in ("/?feature=summary", "/?feature=summary&part=live"):
            html = page_of(client, staff, path)
            assert re.findall(r'data-row="(.*?)"', html) == [str(call) for call in wanted], path
        assert re.findall(r'data-row="(.*?)"', page_of(client, owner, "/?feature=other")) == [str(other)]

    def test_filters_are_chosen_in_a_form_that_keeps_the_rest(self, client, workspace, staff, owner):
        workspace.call(user=owner, feature="summary")
        html = page_of(client, staff, "/?period=7d&by=service&feature=summary")
        form = html.split('<form class="cw-filters"')[1].split("</form>")[0]
        assert 'name="period" value="7d"' in form and 'name="by" value="service"' in form
        assert 'name="feature" value="summary"' in form and f">{owner.email}</option>" in form
        assert 'name="user"' not in page_of(client, owner).split('<form class="cw-filters"')[1].split("</form>")[0]

    def test_the_sums_that_are_shown_are_a_file(self, client, workspace, staff, owner):
        workspace.call(user=owner, feature="=summary")
        workspace.call(days_ago=8)
        link = re.search(r'href="(/\?[^"]*file=csv[^"]*)"', page_of(client, staff, "/?period=7d")).group(1)
        lines = page_of(client, staff, unescape(link)).lstrip("\ufeff").splitlines()
        assert lines[0] == "by,name,calls,failed,unpriced,cost_usd,cost_before_usd"
        assert "model,gpt-4o-mini,1,0,0,0.00045,0.00045" in lines and f"user,{owner.email},1,0,0,0.00045,0" in lines
        assert any(line.startswith("feature,'=summary,") for line in lines), "no formula"
        assert lines[-1] == "all,,1,0,0,0.00045,0.00045"

    def test_what_no_sums_are_kept_for_is_said(self, client, workspace, staff):
        workspace.call(feature="summary")
        html = page_of(client, staff, "/?feature=summary&service=chat")
        assert "No sums are kept for these filters together" in html


class TestChart:
    def test_the_table_under_the_chart_says_the_same(self, client, workspace, owner):
        for days in (0, 3, 45):
            workspace.call(user=owner, days_ago=days)
        html = page_of(client, owner)
        rows = re.findall(r'<tr><th scope="row" class="text-nowrap">(.*?)</th><td class="cw-number">(.*?)</td>', html)
        assert len(rows) == 30
        assert [cost for _, cost in rows if cost != "$0.00"] == ["$0.00045"] * 2

    def test_by_every_dimension_of_days_and_of_hours(self, client, workspace, staff, owner):
        workspace.call(user=owner, feature="summary")
        for by, name in (("model", "gpt-4o-mini"), ("service", "chat"), ("feature", "summary"), ("user", owner.email),
                         ("provider", "openai")):  # fmt: skip
            for period in ("7d", "today"):
                html = page_of(client, staff, f"/?by={by}&period={period}")
                table = html.split('id="spend-title"')[1].split("</figure>")[0]
                assert f'title="{name}"' in table and table.count("$0.00045") >= 1, (by, period)
                assert (">Hour in UTC</th>" in table) == (period == "today")

    def test_hours_are_those_of_the_readers_zone(self, at_noon, client, staff):
        at_noon.call()  # at noon, in UTC
        hours = r'<th scope="row" class="text-nowrap">([^<]*)</th><td class="cw-number">\$0.00045'
        html = page_of(client, staff, "/?period=today")
        assert re.findall(hours, html) == ["Wed 13 May, 11:00"] and "Today in" not in html
        staff.time_zone = "Asia/Kolkata"  # UTC+05:30
        staff.save()
        html = page_of(client, staff, "/?period=today")
        assert re.findall(hours, html) == ["Wed 13 May, 16:30"] and "Hour in Asia/Kolkata" in html
        assert figure(html, "Today in UTC")[0] == "$0.00045"
        assert "The day is that of UTC: from 13 May, 05:30 to 14 May, 05:30 there." in html

    def test_too_many_names_are_one_series_of_others(self, workspace):
        for number in range(11):
            workspace.call(feature=f"f{number:02}")
        found = overview.spending(
            period=today(workspace.now), before=today(workspace.now - timedelta(days=1)), by="feature",
            dimensions=["feature"], filters={}, by_hour=False, most=8,
        )  # fmt: skip
        assert [stack.name for stack in found.stacks] == [*(f"f{n:02}" for n in range(8)), None]
        assert sum(found.stacks[-1].costs.values()) == 3 * COST and found.total.cost == 11 * COST

    def test_hours_that_no_sums_are_kept_of_are_read_from_few_calls_alone(self, workspace, monkeypatch):
        for _ in range(3):
            workspace.call(feature="summary")
        ask = {
            "period": today(workspace.now), "before": today(workspace.now - timedelta(days=1)), "by": "feature",
            "dimensions": ["feature"], "filters": {}, "by_hour": True, "most": 8,
        }  # fmt: skip
        assert overview.spending(**ask).by_hour
        monkeypatch.setattr(overview, "MOST_CALLS_BY_HOUR", 2)
        found = overview.spending(**ask)
        assert not found.by_hour and sum(found.stacks[0].costs.values()) == 3 * COST

    @pytest.mark.django_db(transaction=True)  # limits are looked up on a connection of their own
    def test_the_tightest_budget_of_whose_calls_are_shown_is_a_line(self, client, workspace, staff, owner, monkeypatch):
        monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)  # limits count at once
        BudgetLimit.objects.create(name="Team, a month", scope="everyone", period="month", amount="310")
        BudgetLimit.objects.create(name="Each, a day", scope="each_user", period="day", amount="7")
        workspace.call(user=owner)
        days = len(month(workspace.now).days)
        assert f"Team, a month: ${310 / days:.2f} a day" in lines_of(page_of(client, staff))
        for user, path in ((owner, "/"), (staff, f"/?user={owner.pk}"), (staff, f"/users/{owner.pk}/")):
            assert "Each, a day: $7.00 a day" in lines_of(page_of(client, user, path)), path
        BudgetLimit.objects.create(name="Alice, a month", scope="user", user=owner, period="month", amount="62")
        for user, path in ((owner, "/"), (staff, f"/?user={owner.pk}"), (staff, f"/users/{owner.pk}/")):
            assert f"Alice, a month: ${62 / days:.2f} a day" in lines_of(page_of(client, user, path)), path
        BudgetLimit.objects.create(name="Alice, a day", scope="user", user=owner, period="day", amount="20")
        BudgetLimit.objects.filter(name="Alice, a month").delete()
        assert "Alice, a day: $20.00 a day" in lines_of(page_of(client, owner)), "it takes the place of everybody's"
        assert lines_of(page_of(client, staff, "/?feature=summary")) == ""


@pytest.mark.django_db(transaction=True)
def test_every_page_forecasts_a_limit_alike(client, workspace, staff, owner, monkeypatch):
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    monkeypatch.setattr("django.utils.timezone.now", lambda: workspace.now)
    monkeypatch.setattr(caches["default"], "key_prefix", "forecasts")  # nothing is remembered
    limit = BudgetLimit.objects.create(name="Team", scope="everyone", period="month", amount="310")
    for days in range(20):
        workspace.call(user=owner, days_ago=days)

    def forecasts(*readers):
        pages = [(user, path) for user in readers for path in ("/", "/budgets/", f"/budgets/{limit.pk}/")]
        named = re.compile(r"orecast (?:at its end )?(\$\S+ \(\$\S+ to \$\S+\))")
        return {named.search(text_of(page_of(client, *page))).group(1) for page in pages}

    first = forecasts(owner, staff)
    assert len(first) == 1
    for days in range(2, 20):  # days that are over change, as by prices that are entered later
        workspace.call(user=owner, days_ago=days)
    then = forecasts(staff, owner)
    assert len(then) == 1 and then != first


class TestLive:
    def test_nothing_new_is_answered_with_nothing(self, client, workspace, owner, member):
        workspace.call(user=owner)
        client.force_login(owner)
        mark = client.get("/live").json()["mark"]
        workspace.call(user=member)
        assert client.get(f"/live?since={mark}").status_code == 204
        workspace.call(user=owner)
        answer = client.get(f"/live?since={mark}")
        assert answer.status_code == 200 and answer.json()["mark"] != mark and answer.json()["unread"] == 0
        client.logout()
        assert client.get("/live").status_code == 401

    def test_an_alert_alone_is_news_for_the_bell(self, client, owner):
        client.force_login(owner)
        mark = client.get("/live").json()["mark"]
        finding = Finding(
            type=Type.FORECAST, severity=Severity.INFO, dedupe_key="forecast:live", title="More", text="",
            at=timezone.now(), user_id=owner.pk,
        )  # fmt: skip
        raise_alerts([finding], at=timezone.now())
        assert client.get(f"/live?since={mark}&unread=0").json() == {"mark": mark, "unread": 1}
        assert client.get(f"/live?since={mark}&unread=1").status_code == 204

    def test_the_page_carries_the_mark_of_what_it_shows(self, client, workspace, owner, staff):
        workspace.call(user=owner)
        for user in (owner, staff):
            html = page_of(client, user)
            assert re.search(r'data-mark="(.*?)"', html).group(1) == client.get("/live").json()["mark"]

    def test_a_correction_is_news_too(self, workspace, owner):
        from tracking.models import Rate
        from tracking.repricing import reprice

        workspace.call(user=owner, model="house-model")
        before = reads.live_mark(at=workspace.now, user_id=owner.pk)
        for meter in ("input_tokens", "output_tokens"):
            Rate.objects.create(provider="openai", model="house-model", meter=meter, amount=3, source="x", own=True)
        reprice(now=timezone.now() + timedelta(seconds=2))
        assert reads.live_mark(at=workspace.now, user_id=owner.pk) != before

    def test_the_live_part_is_the_figures_and_the_latest_calls(self, client, workspace, owner):
        call = workspace.call(user=owner)
        html = page_of(client, owner, "/?part=live")
        assert (
            html.lstrip().startswith('<section id="figures"') and f'data-row="{call}"' in html and "<html" not in html
        )


def count(client, path: str) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        assert client.get(path).status_code == 200
    # Savepoints are the test's own: it runs in a transaction.
    return [query["sql"] for query in captured if "SAVEPOINT" not in query["sql"]]


@pytest.mark.django_db(transaction=True)  # limits are read by a connection of their own
def test_it_asks_at_most_twelve_questions_however_much_there_is(client, workspace, owner, staff):
    BudgetLimit.objects.create(scope="everyone", period="month", amount="310")
    BudgetLimit.objects.create(scope="each_user", period="day", amount="7")
    for number in range(30):
        workspace.call(user=owner, feature=f"feature {number}", model=f"model-{number}", days_ago=number % 5)
    for user in (owner, staff):
        client.force_login(user)
        for path in ("/", "/?period=today", "/?by=user&period=90d", "/?feature=feature+1", "/?part=live"):
            count(client, path)  # what is kept in memory for a while: the limits, and days that are over
            asked = count(client, path)
            assert len(asked) <= 12, "\n".join([f"{user} {path}", *asked])
            for sql in asked:
                assert "tracking_apiusagelog" not in sql or "LIMIT" in sql or '"corrects" IN' in sql, "no raw sums"


def test_days_that_begin_between_hours_are_added_up_from_days(settings, workspace, owner):
    settings.TIME_ZONE = "Asia/Kathmandu"  # UTC+05:45
    Workspace().call(user=owner, feature="summary")
    now = workspace.now
    found = overview.spending(
        period=last_days(now, 7), before=last_days(now - timedelta(days=7), 7), by="service", by_hour=False, most=8,
        dimensions=["service", "model", "feature", "user"], filters={},
    )  # fmt: skip
    assert found.total.cost == COST and [part.name for part in found.parts["service"].parts] == ["chat"]
    assert overview.figures(at=now, filters={}).line.hours is None
