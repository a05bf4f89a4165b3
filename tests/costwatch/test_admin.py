"""The ledger and the price book in the admin: nothing there edits history."""

import re
from datetime import timedelta

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django.utils.dateformat import format as date_format

from tracking.models import ApiUsageLog, PricedModel, Rate


@pytest.fixture(autouse=True)
def logged_in(client, staff):
    client.force_login(staff)


@pytest.mark.parametrize("model", ["apiusagelog", "rate", "pricedmodel", "analysis"])
def test_lists_and_single_rows_can_be_read_and_not_changed(client, workspace, owner, model):
    call = workspace.call(user=owner, analysis="a1")
    pk = {
        "apiusagelog": call,
        "rate": Rate.objects.first().pk,
        "pricedmodel": PricedModel.objects.first().pk,
        "analysis": "a1",
    }[model]
    assert client.get(f"/admin/tracking/{model}/").status_code == 200
    assert client.get(f"/admin/tracking/{model}/{pk}/change/").status_code == 200
    assert client.post(f"/admin/tracking/{model}/{pk}/change/", {"source": "x"}).status_code == 403
    assert client.post(f"/admin/tracking/{model}/{pk}/delete/", {"post": "yes"}).status_code == 403
    if model != "rate":
        assert client.get(f"/admin/tracking/{model}/add/").status_code == 403


def test_the_ledgers_list_never_counts_the_whole_table_nor_sorts_it_anew(client, workspace, owner, monkeypatch):
    monkeypatch.setattr("tracking.admin.ApiUsageLogAdmin.list_per_page", 1)
    monkeypatch.setattr("tracking.admin.ApiUsageLogAdmin.list_max_show_all", 1)
    for _ in range(3):
        workspace.call(user=owner)
    with CaptureQueriesContext(connection) as captured:
        assert client.get("/admin/tracking/apiusagelog/?o=9").status_code == 200
    ledger = [q["sql"] for q in captured if "tracking_apiusagelog" in q["sql"]]
    assert ledger
    assert all("LIMIT" in sql for sql in ledger), ledger
    assert not any('ORDER BY "tracking_apiusagelog"."cost"' in sql for sql in ledger)


def test_a_call_is_found_by_its_id_and_an_account_by_its_number(client, workspace, owner, member):
    call = workspace.call(user=owner, feature="mine")
    workspace.call(user=member, feature="hers")
    for term in (call, owner.pk, owner.email):
        html = client.get("/admin/tracking/apiusagelog/", {"q": str(term)}).content.decode()
        assert "mine" in html and "hers" not in html
    assert "0 results" in client.get("/admin/tracking/apiusagelog/", {"q": "gpt"}).content.decode()


def test_the_ledgers_list_reads_like_the_pages(client, workspace, owner):
    workspace.call(user=owner, days_ago=10)
    workspace.call(user=owner, model="nobody-knows")
    html = client.get("/admin/tracking/apiusagelog/").content.decode()
    assert owner.email in html and "$0.00045" in html and "no price" in html
    at = timezone.localtime(workspace.now - timedelta(days=10, seconds=1))
    assert date_format(at, "j M Y, H:i") in html
    for query, count in (("days=7", 1), ("days=30", 2), ("price=unpriced", 1), ("days=x&price=y", 2)):
        found = client.get(f"/admin/tracking/apiusagelog/?{query}")
        assert len(found.context["cl"].result_list) == count, query


def test_things_have_the_same_name_in_the_menu_and_in_headings(client):
    assert "Tracking" not in client.get("/admin/").content.decode()
    for path, name in (
        ("tracking/apiusagelog", "Calls"),
        ("budgets/budgetlimit", "Limits"),
        ("alerts/costalert", "Alerts"),
    ):
        html = client.get(f"/admin/{path}/").content.decode()
        words = re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))
        assert name in words and not re.search("(?i)usage log|budget limit|cost alert", words), path


RATE = {
    "provider": " OpenAI ", "model": "house-model", "meter": "input_tokens", "tier": "standard", "region": "",
    "variant": "", "above_context_tokens": "0", "amount": "2.50", "per": "1000000", "source": "contract of 2026",
}  # fmt: skip


def test_an_own_rate_is_added_with_its_source_and_wins_from_then_on(client, workspace, owner):
    for meter in ("input_tokens", "output_tokens"):
        response = client.post("/admin/tracking/rate/add/", {**RATE, "meter": meter})
        assert response.status_code == 302, response.content.decode()
    rate = Rate.objects.get(model="house-model", meter="input_tokens")
    assert (rate.provider, rate.own, str(rate.amount), rate.source) == ("openai", True, "2.50", "contract of 2026")
    call = workspace.call(user=owner, model="house-model")
    row = ApiUsageLog.objects.get(id=call)
    assert row.price_status == "priced" and str(row.cost) == "0.00375"


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("amount", "-1", "not negative"),
        ("amount", "NaN", "Enter a number"),
        ("amount", "cheap", "Enter a number"),
        ("per", "0", "one unit at least"),
        ("source", "", "required"),
        ("meter", "wishes", "not one of the available choices"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(client, field, value, says):
    before = Rate.objects.count()
    html = client.post("/admin/tracking/rate/add/", {**RATE, field: value}).content.decode()
    assert says in html
    assert Rate.objects.count() == before


def test_a_rate_ends_after_it_begins(client):
    times = {"valid_from_0": "2026-02-01", "valid_from_1": "00:00", "valid_to_0": "2026-01-01", "valid_to_1": "00:00"}
    assert "must end after it begins" in client.post("/admin/tracking/rate/add/", {**RATE, **times}).content.decode()


def test_staff_without_the_permission_see_no_ledger(client, django_user_model):
    clerk = django_user_model.objects.create_user("clerk@example.com", "x", is_staff=True)
    client.force_login(clerk)
    assert client.get("/admin/").status_code == 200
    assert client.get("/admin/tracking/apiusagelog/").status_code == 403
    assert client.post("/admin/tracking/rate/add/", RATE).status_code == 403
