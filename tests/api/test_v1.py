"""`/api/v1`: calls with receipts, analyses, the price book, budgets and asking for more."""

import io
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db.models.signals import post_init
from django.utils import timezone

from budgets import operations
from budgets.models import BudgetLimit, LimitChange
from tests.api.conftest import Caller, key_for
from tracking.models import Rate

pytestmark = pytest.mark.django_db
#: Budgets are read and changed on connections of their own, which see what is committed.
committed = pytest.mark.django_db(transaction=True)

V1 = "/api/v1"


# --- Calls ----------------------------------------------------------------------------------------------------------


def test_calls_with_money_as_decimal_strings(alice, month_of_calls):
    page = alice.get(f"{V1}/usage")
    assert [call["id"] for call in page["usage"]][-1] == str(month_of_calls["older"])
    costs = {call["id"]: call["cost"] for call in page["usage"]}
    assert costs[str(month_of_calls["chat"])] == "0.00045"
    assert costs[str(month_of_calls["unpriced"])] is None


def test_one_call_with_its_receipt(alice, month_of_calls):
    call = alice.get(f"{V1}/usage/{month_of_calls['chat']}")
    assert call["raw_usage"] == {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    lines = call["receipt"]["lines"]
    assert sum(Decimal(line["amount_usd"]) for line in lines) == Decimal(call["receipt"]["total_usd"])
    assert call["receipt"]["total_usd"] == call["cost"] == "0.00045"
    assert {(line["meter"], line["quantity"]) for line in lines} == {("input_tokens", "1000"), ("output_tokens", "500")}
    rate = Rate.objects.get(pk=lines[0]["rate_id"])
    assert rate.model == lines[0]["model"]
    assert call["tags"] == {"team": "blue"} and call["corrections"] == []


def test_a_price_that_becomes_known_shows_as_a_correction(dora, alice, month_of_calls):
    from django.core.management import call_command

    for meter in ("input_tokens", "output_tokens"):
        Rate.objects.create(
            provider="openai", model="gpt-99", meter=meter, amount=Decimal(1), per=1_000_000, source="test", own=True
        )
    from tracking.pricing import book

    book.forget()
    call_command("reprice", verbosity=0, stdout=io.StringIO())
    call = alice.get(f"{V1}/usage/{month_of_calls['unpriced']}")
    assert (call["cost"], call["price_status"], call["corrected"]) == ("0.0015", "priced", True)
    assert [one["cost"] for one in call["corrections"]] == ["0.0015"]
    assert alice.get(f"{V1}/usage", price_status="unpriced")["usage"] == []


def test_calls_that_are_not_there_and_those_of_others_look_alike(bob, month_of_calls):
    answers = [
        bob.ask("GET", f"{V1}/usage/{call}")
        for call in (month_of_calls["chat"], "00000000-0000-0000-0000-000000000000")
    ]
    assert [one.status_code for one in answers] == [404, 404]
    assert answers[0].content == answers[1].content
    assert bob.ask("GET", f"{V1}/usage/not-an-id").status_code == 404


# --- Analyses -------------------------------------------------------------------------------------------------------


def test_an_analysis_from_its_beginning_to_its_end(alice, ledger, owner):
    made = alice.ask("POST", f"{V1}/analyses", {"id": "song/7", "title": "Song 7"})
    assert made.status_code == 201 and made.json()["closed_at"] is None
    ledger.call(owner, analysis="song/7", feature="pitch")
    found = alice.get(f"{V1}/analyses/song/7")
    assert (found["title"], found["user_id"]) == ("Song 7", owner.pk)
    assert found["ai_costs"]["total"] == "0.00045"
    assert found["ai_costs"]["by_feature"] == {"pitch": "0.00045"}
    assert found["ai_costs"]["tokens"] == {"input": 1000, "output": 500}
    closed = alice.ask("POST", f"{V1}/analyses/song/7/close", {}).json()
    assert closed["closed_at"] is not None
    assert alice.ask("POST", f"{V1}/analyses/song/7/close", {}).json() == closed, "closing again changes nothing"
    assert [one["id"] for one in alice.get(f"{V1}/analyses", state="closed")["analyses"]] == ["song/7"]
    assert alice.get(f"{V1}/analyses", state="open")["analyses"] == []


def test_a_key_of_an_analysis_is_taken_once(alice, bob):
    assert alice.ask("POST", f"{V1}/analyses", {"id": "mine"}).status_code == 201
    assert bob.ask("POST", f"{V1}/analyses", {"id": "mine"}).status_code == 409
    assert bob.ask("GET", f"{V1}/analyses/mine").status_code == 404
    assert len(bob.ask("POST", f"{V1}/analyses", {}).json()["id"]) == 32


def test_pages_of_analyses(alice, owner):
    for n in range(5):
        alice.ask("POST", f"{V1}/analyses", {"id": f"a{n}"})
    seen, cursor = [], ""
    while cursor is not None:
        page = alice.get(f"{V1}/analyses", limit=2, **({"cursor": cursor} if cursor else {}))
        seen += [one["id"] for one in page["analyses"]]
        cursor = page["next"]
    assert seen == ["a4", "a3", "a2", "a1", "a0"]
    for cursor in ("x", "2026-01-01T00:00:00 a"):
        assert alice.ask("GET", f"{V1}/analyses?cursor={cursor}").status_code == 400


# --- Prices ---------------------------------------------------------------------------------------------------------


def test_the_price_book_as_of_a_date(alice):
    now = timezone.now()
    price = {"provider": "openai", "model": "house-model", "meter": "input_tokens", "per": 1_000_000, "own": True}
    Rate.objects.create(**price, amount=Decimal("2.5"), valid_to=now - timedelta(days=10), source="old")
    Rate.objects.create(**price, amount=Decimal("3"), valid_from=now - timedelta(days=10), source="mistake")
    Rate.objects.create(**price, amount=Decimal("2"), valid_from=now - timedelta(days=10), source="new")

    def amounts(**params):
        return [rate["amount"] for rate in alice.get(f"{V1}/rates", model="house-model", **params)["rates"]]

    assert amounts() == ["2"], "the one recorded last counts"
    assert amounts(at=(now - timedelta(days=20)).date().isoformat()) == ["2.5"]
    assert amounts(known_at="2000-01-01") == []


def test_prices_of_a_known_model_and_their_pages(alice):
    found = alice.get(f"{V1}/rates", provider="openai", model="gpt-4o-mini", meter="input_tokens")["rates"]
    assert {rate["amount"] for rate in found if rate["tier"] == "standard"} == {"0.15"}
    assert alice.get(f"{V1}/rates", provider="OpenAI", model="gpt-4o-mini", meter="input_tokens")["rates"] == found
    problem = alice.ask("GET", f"{V1}/rates?meter=foo")
    assert problem.status_code == 400 and "input_tokens" in problem.json()["errors"]["meter"][0]
    assert alice.ask("GET", f"{V1}/rates?cursor=0987654321").status_code == 400


def test_a_page_of_the_price_book_reads_the_rates_of_some_models(alice, monkeypatch):
    """And goes on where the page before ended, whatever was entered meanwhile."""
    monkeypatch.setattr("tracking.pricing.listing._MODELS", 3)
    read = []
    post_init.connect(lambda instance, **_: read.append(instance.pk), sender=Rate, weak=False, dispatch_uid="read")
    try:
        pages, cursor = [], ""
        while cursor is not None and len(pages) < 6:
            answer = alice.get(f"{V1}/rates", limit=7, cursor=cursor)
            cursor = answer["next"]
            pages.append([(rate["provider"], rate["model"], rate["id"]) for rate in answer["rates"]])
            Rate.objects.create(provider="!", model=f"m{len(pages)}", meter="images", amount=1, own=True, source="us")
    finally:
        post_init.disconnect(sender=Rate, dispatch_uid="read")
    assert len(pages) > 1 and all(len(page) == 7 for page in pages)
    assert len(read) < Rate.objects.count() / 2
    whole = alice.get(f"{V1}/rates", limit=1000)["rates"]
    listed = [(rate["provider"], rate["model"], rate["id"]) for rate in whole if rate["provider"] != "!"]
    assert [rate for page in pages for rate in page] == listed[: 7 * len(pages)]


# --- Budgets --------------------------------------------------------------------------------------------------------


@committed
def test_a_limit_of_ones_own(alice, bob, month_of_calls, owner):
    made = alice.ask("POST", f"{V1}/budgets", {"scope": "user", "period": "day", "amount": "0.01", "why": "careful"})
    assert made.status_code == 201, made.content
    limit = made.json()
    assert (limit["owner"], limit["user"], limit["hard"], limit["amount"]) == (owner.pk, owner.pk, True, "0.01")
    assert (limit["now"]["spent"], limit["now"]["remaining"], limit["now"]["status"]) == ("0.00645", "0.00355", "ok")
    changed = alice.ask("PATCH", f"{V1}/budgets/{limit['id']}", {"amount": "0.005", "thresholds": [0.5, 1]}).json()
    assert (changed["now"]["status"], changed["thresholds"]) == ("paused", ["0.5", "1"])
    assert [one["id"] for one in alice.get(f"{V1}/budgets")["budgets"]] == [limit["id"]]
    assert bob.get(f"{V1}/budgets")["budgets"] == []
    assert alice.ask("DELETE", f"{V1}/budgets/{limit['id']}").status_code == 204
    ended = alice.get(f"{V1}/budgets/{limit['id']}")
    assert ended["active_until"] is not None and ended["now"] is None
    assert LimitChange.objects.get(what="made").why == "careful"
    assert set(LimitChange.objects.values_list("by", flat=True)) == {owner.pk}


@pytest.mark.parametrize(
    "body",
    [
        {"scope": "everyone", "period": "day", "amount": "5"},
        {"scope": "user", "user": 999, "period": "day", "amount": "5"},
        {"scope": "each_user", "period": "day", "amount": "5"},
    ],
)
def test_limits_for_others_are_made_by_staff(alice, body):
    assert alice.ask("POST", f"{V1}/budgets", body).status_code == 403
    assert not BudgetLimit.objects.exists()


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"scope": "user", "period": "day"}, "amount"),
        ({"scope": "galaxy", "period": "day", "amount": 1}, "scope"),
        ({"scope": "feature", "period": "day", "amount": 1}, "target"),
        ({"scope": "user", "user": 424242, "period": "day", "amount": 1}, "user"),
        ({"scope": "group", "group": 424242, "period": "day", "amount": 1}, "group"),
        ({"scope": "everyone", "period": "day", "amount": -1}, "amount"),
        ({"scope": "everyone", "period": "day", "amount": "1e30"}, "amount"),
        ({"scope": "everyone", "period": "day", "amount": 1, "month_start": 32}, "month_start"),
        ({"scope": "everyone", "period": "day", "amount": 1, "thresholds": ["11"]}, "thresholds.0"),
        ({"scope": "everyone", "period": "day", "amount": 1, "owner": 1}, "owner"),
        ({"scope": "everyone", "period": "day", "amount": 1, "pause_on_exceed": True}, "pause_on_exceed"),
    ],
)
def test_what_is_wrong_with_a_limit_is_named(dora, body, field):
    response = dora.ask("POST", f"{V1}/budgets", body)
    assert response.status_code == 400, response.content
    assert field in response.json()["errors"]
    assert not BudgetLimit.objects.exists()


@committed
def test_staff_make_limits_and_users_see_those_that_bind_them(dora, alice, month_of_calls):
    made = dora.ask("POST", f"{V1}/budgets", {"scope": "each_user", "period": "month", "amount": 100}).json()
    dora.ask("POST", f"{V1}/budgets", {"scope": "feature", "target": "pitch", "period": "month", "amount": 7})
    assert [one["id"] for one in alice.get(f"{V1}/budgets")["budgets"]] == [made["id"]]
    assert len(dora.get(f"{V1}/budgets", user="all")["budgets"]) == 2
    refused = alice.ask("PATCH", f"{V1}/budgets/{made['id']}", {"amount": 1000})
    assert refused.status_code == 403 and "increase" in refused.json()["detail"]
    assert alice.ask("DELETE", f"{V1}/budgets/{made['id']}").status_code == 403


@committed
def test_windows_of_a_limit_are_those_of_the_reader(dora, alice, bob, ledger, owner, member):
    limit = dora.ask("POST", f"{V1}/budgets", {"scope": "each_user", "period": "day", "amount": 100}).json()["id"]
    ledger.call(owner)
    ledger.call(member)

    def subjects(who):
        return {window["subject"] for window in who.get(f"{V1}/budgets/{limit}/windows")["windows"]}

    assert subjects(alice) == {f"user:{owner.pk}"}
    assert subjects(bob) == {f"user:{member.pk}"}
    assert subjects(dora) == {f"user:{owner.pk}", f"user:{member.pk}"}
    (window,) = alice.get(f"{V1}/budgets/{limit}/windows")["windows"]
    assert (window["spent"], window["limit"], window["closed_at"]) == ("0.00045", "100", None)


@committed
def test_asking_for_more_and_what_becomes_of_it(dora, alice, bob, owner):
    limit = dora.ask("POST", f"{V1}/budgets", {"scope": "each_user", "period": "month", "amount": 10}).json()["id"]
    asked = {"amount": "5", "until": (timezone.now() + timedelta(days=3)).isoformat(), "reason": "a big week"}
    answer = alice.ask("POST", f"{V1}/budgets/{limit}/increase", asked)
    assert answer.status_code == 201, answer.content
    increase = answer.json()
    assert (increase["status"], increase["amount"], increase["subject"]) == ("asked", "5", f"user:{owner.pk}")
    assert alice.ask("POST", f"{V1}/budgets/{limit}/increase", asked).status_code == 400, "one question at a time"
    assert bob.get(f"{V1}/increases")["increases"] == []
    assert alice.ask("POST", f"{V1}/increases/{increase['id']}/approve", {}).status_code == 404
    approved = dora.ask("POST", f"{V1}/increases/{increase['id']}/approve", {"note": "go on"}).json()
    assert (approved["status"], approved["note"]) == ("approved", "go on")
    assert dora.ask("POST", f"{V1}/increases/{increase['id']}/refuse", {}).status_code == 409
    assert alice.get(f"{V1}/budgets/{limit}")["now"]["limit"] == "15"
    assert bob.get(f"{V1}/budgets/{limit}")["now"]["limit"] == "10"
    assert [one["status"] for one in alice.get(f"{V1}/increases")["increases"]] == ["approved"]


@committed
@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"until": "2001-01-01"}, "until"),
        ({"reason": " "}, "reason"),
        ({"amount": 0}, "amount"),
        ({"amount": "x"}, "amount"),
    ],
)
def test_what_is_wrong_with_a_question_is_named(dora, alice, change, field):
    limit = dora.ask("POST", f"{V1}/budgets", {"scope": "everyone", "period": "month", "amount": 10}).json()["id"]
    asked = {"amount": "5", "until": (timezone.now() + timedelta(days=30)).isoformat(), "reason": "x", **change}
    response = alice.ask("POST", f"{V1}/budgets/{limit}/increase", asked)
    assert response.status_code == 400 and field in response.json()["errors"], response.content


@committed
def test_a_refused_call_in_a_view_of_the_api_is_a_402(dora, owner, ledger, settings):
    """An application's own DRF view: the exception handler answers by itself."""
    from rest_framework.test import APIRequestFactory, force_authenticate
    from rest_framework.views import APIView

    BudgetLimit.objects.create(scope="everyone", period="day", amount=0, time_zone="UTC")
    operations.forget()

    class View(APIView):
        def get(self, request):
            import uuid

            from budgets.calls import Call

            call = Call(at=timezone.now(), user=request.user.pk)
            operations.reserve(call, hold_id=uuid.uuid4(), amount=Decimal(1))

    request = APIRequestFactory().get("/")
    force_authenticate(request, owner)
    response = View.as_view()(request)
    assert response.status_code == 402
    assert response.data["error"] == "Budget limit exceeded"
    assert response.data["message"] == "Please increase your budget or wait until the next period."
    assert response.data["limit"]["amount"] == "0" and response.data["resetsAt"]


def test_bodies_are_bounded(owner):
    caller = Caller("alice", key_for(owner, "admin"))
    response = caller.ask("POST", f"{V1}/keys", b'{"name": "' + b"x" * 70_000 + b'"}')
    assert response.status_code == 413
    assert response.headers["Content-Type"] == "application/problem+json"
    text = caller.client.post(
        f"{V1}/keys", "name=x", content_type="text/plain", headers={"authorization": f"Bearer {caller.token}"}
    )
    assert text.status_code == 415


@pytest.mark.parametrize("number", ["99999999999999999999999999", "0"])
def test_numbers_that_no_row_has_are_not_there(dora, number):
    for path in (f"budgets/{number}", f"budgets/{number}/windows"):
        assert dora.ask("GET", f"{V1}/{path}").status_code == 404
    assert dora.ask("POST", f"{V1}/increases/{number}/approve", {}).status_code == 404
