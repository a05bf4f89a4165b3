"""Who spends: what staff see of users, and that nobody else sees any of it."""

import csv
from decimal import Decimal

import pytest

from budgets.models import BudgetLimit
from costwatch.accounts.models import ApiKey
from tests.costwatch.test_calls_pages import FAILED, HOSTILE, page_of, rows_in
from tracking import people as domain
from tracking.people import people
from tracking.periods import last_days

LIST = "/users/"


@pytest.fixture
def team(workspace, owner, member):
    """Alice spends twice as much as Bob; somebody unknown a little; Bob spent before, too."""
    for _ in range(2):
        workspace.call(user=owner, feature="pitch")
    workspace.call(user=member, **FAILED)
    workspace.call(user=member, feature="summary")
    for _ in range(2):
        workspace.call(user=member, days_ago=40)
    workspace.call(model="gpt-4.1-nano")
    return workspace


def test_who_spent_what_share_and_how_that_changed(client, team, owner, member, staff):
    html = page_of(client, staff, LIST)
    body = html[html.index("<tbody>") :]
    assert body.index(owner.email) < body.index(member.email) < body.index("calls without a user")
    for text in ("55 %", "27 %", "−50 %", "new", "1 failed", f'href="/users/{owner.pk}/"', 'href="/calls/?user=0"'):
        assert text in body, text


def test_sorting_and_searching(client, team, owner, member, staff, monkeypatch):
    for query in ("sort=calls", "sort=last&period=90d", "sort=colour&q=&from=x"):
        assert owner.email in page_of(client, staff, f"{LIST}?{query}")
    html = page_of(client, staff, f"{LIST}?q=BOB@")
    assert member.email in html and owner.email not in html[html.index("<tbody>") :]
    assert "Nobody matches" in page_of(client, staff, f"{LIST}?q=nobody%00")
    assert "No calls in this time" in page_of(client, staff, f"{LIST}?since=2020-01-01&until=2020-01-02")
    monkeypatch.setattr("costwatch.pages.users.PAGE", 1)
    html = page_of(client, staff, LIST)
    assert 'href="/users/?from=1" rel="next"' in html and member.email not in html[html.index("<tbody>") :]
    assert member.email in page_of(client, staff, f"{LIST}?from=1")


def test_the_table_as_a_file(client, team, owner, member, staff):
    owner.email = "+owner@example.com"
    owner.save()
    assert "file=csv" in page_of(client, staff, "/users/", most=30)
    lines = list(csv.DictReader(client.get("/users/?file=csv").content.decode("utf-8-sig").splitlines()))
    assert {line["user_email"] for line in lines} >= {"'+owner@example.com", member.email}
    assert all(line["cost_usd"] for line in lines)
    client.force_login(owner)
    assert client.get("/users/?file=csv").status_code == 404


def test_only_so_many_are_compared(client, team, staff, monkeypatch):
    monkeypatch.setattr(domain, "MOST_USERS", 2)
    html = page_of(client, staff, LIST)
    assert "Shown are the 2 who spent most" in html
    found = people(period=last_days(team.now, 30), before=last_days(team.now, 30))
    assert found.bounded and found.calls == 5, "the sums are those of everybody all the same"


@pytest.mark.django_db(transaction=True)  # limits are looked up on a connection of their own
def test_budgets_stand_beside_the_cost(client, team, owner, staff, monkeypatch):
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    BudgetLimit(scope="each_user", period="month", amount=Decimal("1"), name="A month of each").save()
    BudgetLimit(scope="user", user=owner, period="day", amount=Decimal("0.00225"), name="Alice's day").save()
    for _ in range(2):
        team.call(user=owner)
    html = page_of(client, staff, LIST, most=14)
    assert "of $1.00" in html and "of $0.0022" in html
    one = page_of(client, staff, f"/users/{owner.pk}/", most=20)
    assert "Alice&#x27;s day" in one and "A month of each" in one and "resets" in one


def test_one_user(client, team, owner, staff):
    ApiKey.objects.create(owner, name="her laptop", public_id="key_alice", kind=ApiKey.Kind.KEY)
    html = page_of(client, staff, f"/users/{owner.pk}/")
    for text in (owner.email, "$0.0009", "2 calls", "pitch", "gpt-4o-mini", "her laptop", "never", "key_alice"):
        assert text in html, text
    assert rows_in(html) == 2 and f"/calls/?user={owner.pk}" in html
    for query in ("by=feature", "by=service&period=today", "by=user&feature=pitch", "model=gpt-4o-mini&period=90d"):
        assert "$0.0009" in page_of(client, staff, f"/users/{owner.pk}/?{query}")
    assert "No sums are kept" in page_of(client, staff, f"/users/{owner.pk}/?model=gpt-4o-mini&feature=pitch")


def test_a_user_without_calls(client, workspace, outsider, staff):
    html = page_of(client, staff, f"/users/{outsider.pk}/")
    assert "No calls yet" in html and "No limit counts" in html


def test_others_find_nothing_there(client, team, owner, staff, django_user_model):
    helper = django_user_model.objects.create_user(email="helper@example.com", password="x", is_staff=True)
    for who in (owner, helper):
        client.force_login(who)
        for path in (LIST, f"/users/{owner.pk}/", f"/users/{staff.pk}/"):
            assert client.get(path).status_code == 404
        assert "/users/" not in client.get("/calls/").content.decode()
    client.force_login(staff)
    assert [client.get(f"/users/{n}/").status_code for n in (987654, 10**25)] == [404, 404]


@pytest.mark.parametrize("name", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_names_are_data(client, workspace, owner, staff, name):
    workspace.call(user=owner, feature=name, model=name)
    html = page_of(client, staff, f"/users/{owner.pk}/")
    assert "<script>alert" not in html and "<img src=x" not in html and "<bdi" in html


def test_sorts_are_known(workspace):
    with pytest.raises(ValueError, match="not sorted"):
        people(period=last_days(workspace.now, 1), before=last_days(workspace.now, 1), sort="colour")
