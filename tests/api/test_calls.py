"""Asking before a call, holding and settling over HTTP: what a caller in any language does."""

import uuid
from decimal import Decimal

import pytest

from budgets import operations
from budgets.models import BudgetLimit, BudgetWindow, Hold
from tests.api.conftest import Caller, key_for
from tracking.audit import audit
from tracking.models import ApiUsageLog

pytestmark = pytest.mark.django_db
#: Money is held on a connection of its own, which sees what is committed.
committed = pytest.mark.django_db(transaction=True)
V1 = "/api/v1"
#: gpt-4o: $2.50 and $10 per million. 1000 in ($0.0025), at most 500 out ($0.005).
CALL = {"provider": "openai", "model": "gpt-4o", "input_tokens": 1000, "max_output_tokens": 500, "feature": "pitch"}
USED = {"usage": {"prompt_tokens": 1000, "completion_tokens": 100, "total_tokens": 1100}}


def post(caller: Caller, path: str, body, code: int = 200) -> dict:
    response = caller.ask("POST", f"{V1}/{path}", body)
    assert response.status_code == code, response.content
    return response.json()


@pytest.fixture
def a_cent(monkeypatch, owner):
    """Alice may spend a cent a day; a call of $0.0075 fits once."""
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)
    limit = BudgetLimit(scope="user", user=owner, period="day", amount=Decimal("0.01"), time_zone="UTC")
    limit.full_clean()
    limit.save()
    operations.forget()
    return limit


def spent_and_held() -> tuple[Decimal, Decimal]:
    window = BudgetWindow.objects.get()
    return window.spent, window.held


@committed
def test_check_tells_cost_and_limit_and_holds_nothing(alice, a_cent):
    told = post(alice, "check", CALL)
    assert (told["allowed"], told["estimated_cost"], told["limit"], told["resets_at"]) == (True, "0.0075", None, None)
    told = post(alice, "check", {**CALL, "max_output_tokens": 5000})
    assert (told["allowed"], told["estimated_cost"]) == (False, "0.0525")
    assert told["limit"]["amount"] == "0.01" and told["resets_at"] and "0.01" in told["reason"]
    told = post(alice, "check", {key: CALL[key] for key in ("provider", "model", "input_tokens")})
    assert told["max_output_tokens"] == 16384, "the model's own limit"
    assert not Hold.objects.exists()


@committed
def test_hold_then_settle_with_what_was_used(alice, a_cent):
    held = post(alice, "holds", CALL, 201)
    assert (held["state"], held["amount"], held["cost"]) == ("open", "0.0075", None)
    assert spent_and_held() == (0, Decimal("0.0075"))
    refused = post(alice, "holds", CALL, 402)
    assert refused["error"] == "Budget limit exceeded" and refused["limit"]["held"] == "0.0075"
    settled = post(alice, f"holds/{held['id']}/settle", USED)
    assert (settled["state"], settled["cost"]) == ("settled", "0.0035")
    assert post(alice, f"holds/{held['id']}/settle", USED) == settled, "again: nothing more"
    assert spent_and_held() == (Decimal("0.0035"), 0)
    row = ApiUsageLog.objects.get()
    assert (str(row.id), row.feature, row.cost, row.model) == (held["id"], "pitch", Decimal("0.0035"), "gpt-4o")
    post(alice, f"holds/{held['id']}/settle", {"cost_usd": "1"}, 409)
    post(alice, f"holds/{held['id']}/void", {}, 409)
    assert audit().ok


@committed
def test_void_lets_go_and_the_same_id_holds_once(alice, a_cent):
    hold_id = str(uuid.uuid4())
    for _ in range(2):
        assert post(alice, "holds", {**CALL, "id": hold_id, "expires_in_s": 60}, 201)["state"] == "open"
    assert spent_and_held() == (0, Decimal("0.0075"))
    assert post(alice, f"holds/{hold_id}/void", {})["state"] == "void"
    assert spent_and_held() == (0, 0)
    assert post(alice, "holds", {**CALL, "amount_usd": "0.01"}, 201)["amount"] == "0.01"


@committed
def test_nobody_touches_the_hold_of_somebody_else(alice, bob, a_cent):
    held = post(alice, "holds", CALL, 201)
    post(bob, f"holds/{held['id']}/settle", USED, 404)
    post(bob, f"holds/{held['id']}/void", {}, 404)
    post(bob, f"holds/{uuid.uuid4()}/void", {}, 404)
    assert spent_and_held() == (0, Decimal("0.0075"))


def test_where_no_limit_counts_a_call_nothing_is_held_and_it_is_recorded(alice):
    held = post(alice, "holds", CALL, 201)
    assert (held["state"], held["amount"]) == ("none", "0")
    settled = post(alice, f"holds/{held['id']}/settle", {**USED, "provider": "openai", "model": "gpt-4o"})
    assert settled["state"] == "none" and str(ApiUsageLog.objects.get().id) == held["id"]


@committed
def test_a_model_without_a_price_under_a_hard_limit(alice, a_cent):
    told = post(alice, "check", {**CALL, "model": "gpt-99"})
    assert (told["allowed"], told["estimated_cost"]) == (False, None) and "no price" in told["reason"]
    refused = post(alice, "holds", {**CALL, "model": "gpt-99"}, 402)
    assert told["limit"] == refused["limit"] and "1000000000" not in str(told), "nobody asked for that much"
    assert "no price" in refused["detail"] and spent_and_held() == (0, 0)


@committed
def test_check_says_first_that_there_is_no_price(alice, a_cent):
    unbounded = {"provider": "openai", "model": "nosuch", "input_tokens": 10}
    reason = post(alice, "check", unbounded)["reason"]
    assert 0 < reason.index("no prices for openai model 'nosuch'") < reason.index("give max_output_tokens")


@pytest.mark.parametrize("change", [{}, {"max_output_tokens": 5}])
def test_check_says_why_a_cost_is_not_known_also_where_no_limit_minds(alice, change):
    told = post(alice, "check", {"provider": "openai", "model": "nosuch", "input_tokens": 10, **change})
    assert (told["allowed"], told["estimated_cost"]) == (True, None)
    assert told["reason"].startswith("What it costs is not known: no prices for openai model 'nosuch'")


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({"model": None}, "model"), ({"input_tokens": -1}, "input_tokens"), ({"meters": {"x": 1}}, "meters"),
        ({"user": "bob@example.com"}, "user"), ({"prompt": "hello"}, "prompt"), ({"tags": {"api_key": "x"}}, "tags"),
    ],
)  # fmt: skip
def test_what_is_no_planned_call(alice, member, change, name):
    body = {key: value for key, value in {**CALL, **change}.items() if value is not None}
    assert name in post(alice, "check", body, 400)["errors"]


def test_a_key_needs_the_scope(owner):
    reading = Caller("reading", key_for(owner, "read", "ingest"))
    for path in ("check", "holds", "estimates", f"holds/{uuid.uuid4()}/void"):
        assert "call" in post(reading, path, {}, 403)["detail"]
    calling = Caller("calling", key_for(owner, "call"))
    assert post(calling, "check", CALL)["allowed"]


def test_estimates_of_several_models_with_their_rates(alice):
    meters = {"input_tokens": 1000, "output_tokens": 500}
    told = post(alice, "estimates", {"items": [
        {"provider": "openai", "model": "gpt-4o", "meters": meters},
        {"provider": "anthropic", "model": "claude-sonnet-4-5", "meters": meters, "batch": True},
        {"provider": "openai", "model": "gpt-99", "meters": meters},
    ]})["estimates"]  # fmt: skip
    assert [(one["cost"], one["status"]) for one in told] == [
        ("0.0075", "priced"), ("0.00525", "priced"), (None, "unpriced"),
    ]  # fmt: skip
    line = told[0]["lines"][0]
    assert (line["meter"], line["quantity"], line["rate"], Decimal(line["amount_usd"])) == (
        "input_tokens", "1000", "2.5", Decimal("0.0025"),
    ) and line["rate_source"]  # fmt: skip
    problem = post(alice, "estimates", {"items": [{"provider": "openai", "model": "gpt-4o"}, {}]}, 400)
    assert {"items.0.usage", "items.1.provider"} <= set(problem["errors"])
