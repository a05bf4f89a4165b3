"""What an address asks for: periods, filters and splits; and that no address makes an error page."""

from datetime import UTC, date, datetime, timedelta

import pytest
from django.contrib.auth.models import AnonymousUser
from django.test import RequestFactory

from costwatch.pages import asked as module
from costwatch.pages.asked import Asked
from tracking.periods import Period

NOW = datetime(2026, 5, 13, 12, tzinfo=UTC)  # a Wednesday


class Reader:
    pk, is_staff = 7, False

    def has_perm(self, name):
        return True


class Boss(Reader):
    is_staff = True


@pytest.fixture(autouse=True)
def then(monkeypatch):
    monkeypatch.setattr(module.timezone, "now", lambda: NOW)


def ask(query: str = "", *, user=None, **defaults) -> Asked:
    request = RequestFactory().get(f"/costs/{query}")
    request.user = user or Reader()
    return Asked.of(request, **defaults)


@pytest.mark.parametrize(
    ("query", "first", "last", "before"),
    [
        ("", "2026-04-14", "2026-05-13", ("2026-03-15", "2026-04-13")),
        ("?period=today", "2026-05-13", "2026-05-13", ("2026-05-12", "2026-05-12")),
        ("?period=7d", "2026-05-07", "2026-05-13", ("2026-04-30", "2026-05-06")),
        ("?period=90d", "2026-02-13", "2026-05-13", ("2025-11-15", "2026-02-12")),
        ("?period=month", "2026-05-01", "2026-05-31", ("2026-04-01", "2026-04-30")),
        ("?since=2026-02-01&until=2026-02-28", "2026-02-01", "2026-02-28", ("2026-01-04", "2026-01-31")),
        ("?period=custom&since=2026-03-09&until=2026-03-02", "2026-03-02", "2026-03-09", ("2026-02-22", "2026-03-01")),
        ("?until=2026-03-30", "2026-03-01", "2026-03-30", ("2026-01-30", "2026-02-28")),
        ("?since=2026-05-10", "2026-05-10", "2026-05-13", ("2026-05-06", "2026-05-09")),
    ],
)
def test_periods_and_the_span_before(query, first, last, before):
    found = ask(query)
    assert (found.period.start.isoformat(), found.last_day.isoformat()) == (first, last)
    start, end = map(date.fromisoformat, before)
    assert found.previous == Period(start, end + timedelta(days=1))
    assert found.problems == ()


@pytest.mark.parametrize(
    "query",
    [
        "?period=never", "?since=soon", "?since=0001-01-01", "?until=9999-12-31", "?since=2026-02-30", "?by=colour",
        "?by=user", "?period=custom&since=%00x", "?since=2026-05-01T10:00&until=x", "?period=" + "x" * 5000,
    ],
)  # fmt: skip
def test_what_cannot_be_meant_is_said_and_left_out(query):
    found = ask(query)
    assert found.name == "30d" and found.by == "model" and len(found.problems) == 1
    assert len(found.problems[0]) < 120


def test_too_long_a_time_is_cut_to_its_end():
    found = ask("?since=2001-01-01&until=2026-05-13")
    assert len(found.period.days) == module.MAX_DAYS and found.last_day == date(2026, 5, 13) and found.problems


def test_filters_are_read_kept_in_links_and_taken_away():
    found = ask("?period=7d&feature=a+%26+b&model=gpt-4o&by=service")
    assert found.filters == {"feature": "a & b", "model": "gpt-4o"}
    assert found.link() == "/costs/?period=7d&model=gpt-4o&feature=a+%26+b&by=service"
    assert found.link(model=None, by=None) == "/costs/?period=7d&feature=a+%26+b"
    assert found.link(period="30d") == "/costs/?period=30d&model=gpt-4o&feature=a+%26+b&by=service"
    link = found.link_to("/calls/", status="error")
    assert link == "/calls/?period=7d&model=gpt-4o&feature=a+%26+b&by=service&status=error"
    assert [chip[:2] for chip in found.chips] == [("Model", "gpt-4o"), ("Feature", "a & b")]


def test_calls_without_a_feature_can_be_asked_for_and_an_empty_field_asks_for_nothing():
    assert ask("?feature=&model=").filters == {}
    found = ask("?feature=(none)")
    assert found.filters == {"feature": ""} and "feature=%28none%29" in found.link()
    assert found.exports == [], "exports have no such filter"
    assert ask(found.link().removeprefix("/costs/")).filters == {"feature": ""}


def test_links_to_days_keep_what_else_was_asked():
    found = ask("?period=7d&feature=x")
    again = ask(found.link(period="custom", since=date(2026, 5, 9), until=date(2026, 5, 9)).removeprefix("/costs/"))
    assert again.period == Period(date(2026, 5, 9), date(2026, 5, 10)) and again.filters == {"feature": "x"}
    assert again.title == "9 May 2026" and again.is_hourly
    assert again.link(period="7d") == "/costs/?period=7d&feature=x", "a named period has no days of its own"


def test_only_staff_with_the_permission_choose_whose():
    assert ask("?user=9&by=user").user_id == 7 and ask("?user=9").filters == {}
    assert ask("", user=Boss()).user_id is None and ask("", user=Boss()).everyone
    found = ask("?user=9&by=user", user=Boss())
    assert found.user_id == 9 and not found.everyone and found.by == "user"
    for wrong in ("x", "-1", "9" * 19, "٣"):
        assert ask(f"?user={wrong}", user=Boss()).problems


def test_exports_are_of_what_is_shown():
    (title, link), *_ = ask("?period=today&feature=x").exports
    assert title == "CSV" and link.startswith("/api/cost-monitoring/export?feature=x&since=2026-05-13T00%3A00%3A00")
    assert link.endswith("&user=7&format=csv")
    assert all("user=all" in link for _, link in ask("", user=Boss()).exports)


def test_a_page_that_nobody_is_logged_in_to_is_none_of_its_business():
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    assert Asked.of(request).user_id is None or not Asked.of(request).sees_all
