"""Requests that are refused for who sends them: counted by their address, by all processes, and told what to do."""

from types import SimpleNamespace

import pytest
from django.core.cache import cache
from django.test import Client

from costwatch.accounts.models import LoginCount
from tests.api.conftest import DASHBOARD, Caller, key_for

pytestmark = pytest.mark.django_db

TRACES = "/v1/traces"


@pytest.fixture(autouse=True)
def five_within_this_minute(monkeypatch, settings):
    """No minute ends within a test."""
    monkeypatch.setattr("costwatch.accounts.attempts.time", SimpleNamespace(time=lambda: 1_800_000_030.0))
    settings.API_REQUESTS_PER_MINUTE = 5


def statuses(callers, *, method: str = "GET", path: str = DASHBOARD) -> list[int]:
    return [caller.ask(method, path).status_code for caller in callers]


def wrong(count: int) -> list[Caller]:
    return [Caller("wrong", f"cw_nope{n}") for n in range(count)]


def test_without_a_token(anonymous):
    assert statuses([anonymous] * 7) == [401] * 5 + [429] * 2
    assert 1 <= int(anonymous.ask("GET", DASHBOARD).headers["Retry-After"]) <= 60


def test_with_a_wrong_token_each_time():
    assert statuses(wrong(7)) == [401] * 5 + [429] * 2


def test_of_a_key_without_the_scope(owner):
    key = Caller("ingest", key_for(owner, "ingest"))
    assert statuses([key] * 7) == [403] * 5 + [429] * 2


def test_of_exporters(owner):
    assert statuses(wrong(7), method="POST", path=TRACES) == [401] * 5 + [429] * 2


def test_a_valid_token_is_not_turned_away_for_them(owner):
    statuses(wrong(7))
    assert Caller("key", key_for(owner, "read")).ask("GET", DASHBOARD).status_code == 200


def test_all_processes_count_together_and_each_stops_writing():
    statuses(wrong(6))
    cache.clear()  # as another process, which remembers nothing
    assert statuses(wrong(3)) == [429] * 3
    assert LoginCount.objects.get().count == 7, "once it is known, nothing is written any more"


# --- What to do is told -------------------------------------------------------------------------------------------


def detail_of(response) -> str:
    return response.json()["detail"]


def test_without_a_token_the_header_is_named_and_where_to_make_a_key(anonymous):
    for response in (anonymous.ask("GET", DASHBOARD), anonymous.ask("GET", "/api/v1/usage", authorization="Token x")):
        assert response.status_code == 401
        for told in ("Authorization: Bearer <token>", "/account/keys/", "POST /api/v1/keys", "/api/v1/auth/login"):
            assert told in detail_of(response)
    assert "/account/keys/" in anonymous.ask("POST", TRACES, {}).json()["message"]


@pytest.mark.parametrize("header", ["Bearer", "Bearer ", "Bearer two tokens", "bearer a b c"])
def test_a_header_that_is_no_token(anonymous, header):
    response = anonymous.ask("GET", DASHBOARD, authorization=header)
    assert response.status_code == 401 and "must read `Authorization: Bearer <token>`" in detail_of(response)


def test_a_key_without_the_scope_is_told_which_and_where(owner):
    told = detail_of(Caller("ingest", key_for(owner, "ingest")).ask("GET", DASHBOARD))
    assert "lacks the scope 'read'" in told and "/account/keys/" in told


def test_a_page_without_its_csrf_token_is_told_what_to_send(owner):
    browser = Caller("browser", client=Client(enforce_csrf_checks=True))
    browser.client.force_login(owner)
    response = browser.ask("PUT", "/api/cost-monitoring/budget", {"dailyLimit": 1})
    assert response.status_code == 403 and "X-CSRFToken" in detail_of(response)


def test_a_text_that_is_none(owner):
    response = Caller("key", key_for(owner, "admin")).ask("POST", "/api/v1/keys", {"name": [1], "scopes": []})
    errors = response.json()["errors"]
    assert "Give a text of at most" in errors["name"][0]
    assert "at least one of: read, ingest, call, admin" in errors["scopes"][0]
