"""Money set aside over HTTP: who may settle it, what it rests on, and what becomes of it."""

import json
import uuid
from datetime import timedelta
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import call_command
from django.db import OperationalError
from django.utils import timezone

from budgets import operations
from budgets.errors import BudgetUnavailable
from budgets.models import BudgetWindow, Hold
from budgets.sweeping import sweep_holds
from tests.api.conftest import Caller, query
from tests.budgets import conftest as budgets
from tests.tracking.test_ingestion import an_item
from tracking.audit import audit
from tracking.models import ApiUsageLog

#: Budgets are read and changed on connections of their own, which see what is committed.
pytestmark = pytest.mark.django_db(transaction=True)
V1 = "/api/v1"
PLANNED = {"provider": "openai", "model": "gpt-4o", "input_tokens": 1000, "max_output_tokens": 500}
USED = {"usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}}


def make_limit(amount: str, **fields) -> None:
    """A limit that counts from now on."""
    budgets.make_limit(amount, **fields)
    operations.forget()


def post(caller: Caller, path: str, body=None, *, code: int = 200):
    response = caller.ask("POST", f"{V1}/{path}", body)
    assert response.status_code == code, response.content
    return response.json()


def hold(caller: Caller, *, code: int = 201, **changes):
    return post(caller, "holds", {**PLANNED, **changes}, code=code)


def standing() -> tuple[str, str]:
    """Spent and held of the only window."""
    window = BudgetWindow.objects.get()
    return f"{window.spent.normalize():f}", f"{window.held.normalize():f}"


def told(hold_id: str, **changes) -> dict:
    return an_item(**{"id": hold_id, "at": timezone.now().isoformat(), **changes})


# --- Whose a hold is ------------------------------------------------------------------------------------------------


def as_one(bob: Caller, item: dict) -> str:
    return post(bob, "usage", item, code=409)["detail"]


def as_list(bob: Caller, item: dict) -> str:
    answer = post(bob, "usage", [told(str(uuid.uuid4())), item], code=207)
    assert [result["code"] for result in answer["results"]] == [201, 409]
    return answer["results"][1]["errors"]["id"]


def as_lines(bob: Caller, item: dict) -> str:
    response = bob.client.post(
        f"{V1}/usage",
        json.dumps(item).encode(),
        content_type="application/x-ndjson",
        headers={"authorization": f"Bearer {bob.token}"},
    )
    assert response.status_code == 207, response.content
    return response.json()["results"][0]["errors"]["id"]


@pytest.fixture
def in_a_file(tmp_path):
    def send(bob: Caller, item: dict) -> str:
        file, out = tmp_path / "usage.ndjson", StringIO()
        file.write_text(json.dumps(item))
        call_command("import_usage", str(file), "--user", bob.name, "--json", stdout=out)
        (problem,) = json.loads(out.getvalue())["problems"]
        return problem["errors"]["id"]

    return send


@pytest.mark.parametrize("way", ["one", "list", "lines", "file"])
def test_a_hold_is_not_settled_by_somebody_elses_usage(alice, bob, owner, way, in_a_file):
    make_limit("5", scope="everyone")
    held = hold(alice)
    send = {"one": as_one, "list": as_list, "lines": as_lines, "file": in_a_file}[way]
    assert "used before for a call with other content" in send(bob, told(held["id"], cost_usd=0, usage=...))
    assert Hold.objects.get(pk=held["id"]).state == "open" and standing()[1] == "0.0075"
    assert not ApiUsageLog.objects.filter(pk=held["id"]).exists()
    settled = post(alice, f"holds/{held['id']}/settle", USED)
    assert (settled["state"], settled["cost"]) == ("settled", "0.0075")
    assert ApiUsageLog.objects.get(pk=held["id"]).user_id == owner.pk


def test_the_owner_may_settle_by_telling_of_the_call(alice):
    make_limit("5", scope="everyone")
    held = hold(alice)
    post(alice, "usage", told(held["id"]), code=201)
    assert Hold.objects.get(pk=held["id"]).state == "settled"
    assert standing() == ("0.0075", "0")


def test_staff_settle_for_others_in_their_name_only(dora, member, owner):
    make_limit("5", scope="everyone")
    held = hold(dora, user=member.email)
    post(dora, "usage", told(held["id"], user=owner.email), code=409)
    post(dora, "usage", told(held["id"], user=member.pk), code=201)
    assert ApiUsageLog.objects.get(pk=held["id"]).user_id == member.pk


def test_what_an_expired_hold_has_cost_is_told_by_its_owner(alice, bob):
    make_limit("5", scope="everyone")
    held = hold(alice, expires_in_s=1)
    later = timezone.now() + timedelta(seconds=2)
    assert sweep_holds(now=later) == 1
    Hold.objects.all().delete()  # as of a window that was closed long ago
    post(bob, "usage", told(held["id"]), code=409)
    assert ApiUsageLog.objects.get().status == "unknown"
    assert post(alice, "usage", told(held["id"]), code=201)["status"] == "recorded"
    assert sum(row.cost for row in ApiUsageLog.objects.all()) == Decimal("0.0075")
    assert audit().ok


def test_an_expired_hold_that_is_told_under_other_names_stands_in_one_place(alice):
    make_limit("5", scope="everyone")
    held = hold(alice, expires_in_s=1, feature="first")
    sweep_holds(now=timezone.now() + timedelta(seconds=2))
    assert ApiUsageLog.objects.get().service == "chat", "as for an event that tells no more"
    post(alice, f"holds/{held['id']}/settle", {**USED, "feature": "second"})
    ends = {"since": (timezone.now() - timedelta(days=2)).isoformat()}
    for filters, cost, calls in (
        ({"feature": "first"}, "0.0075", 1), ({"feature": "second"}, "0", 0), ({"service": "chat"}, "0.0075", 1),
        ({"service": "other"}, "0", 0),
    ):  # fmt: skip
        groups = alice.get(f"{V1}/reports", group_by="feature", **filters, **ends)["groups"]
        assert sum(Decimal(one["cost"]) for one in groups) == Decimal(cost), filters
        listed = alice.get(f"{V1}/usage", **filters, **ends)["usage"]
        assert [(one["cost"], one["calls"]) for one in listed] == [(cost, 1)] * calls, filters
        file = alice.ask("GET", f"{V1}/usage/export?{query({'format': 'ndjson', **filters, **ends})}")
        lines = [json.loads(line) for line in b"".join(file.streaming_content).splitlines()]
        assert [(one["cost_usd"], one["calls"]) for one in lines] == [(cost, 1)] * calls, filters
    assert audit().ok


def test_staff_settle_what_is_nobodys(dora):
    """A client that was told no user holds for nobody."""
    now = timezone.now()
    call = {"provider": "openai", "model": "gpt-4o"}
    held = Hold.objects.create(state="open", amount=1, call_at=now, expires_at=now + timedelta(hours=1), call=call)
    post(dora, f"holds/{held.pk}/settle", USED)
    assert ApiUsageLog.objects.get(pk=held.pk).user_id is None


# --- What is held ---------------------------------------------------------------------------------------------------

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
SEARCHES = {"model": "gpt-4o", "input": "Hello", "tools": [{"type": "web_search"}]}
CHAT = {"provider": "openai", "endpoint": "/v1/chat/completions"}


@pytest.mark.parametrize(
    ("kind", "endpoint", "request_"),
    [
        ("openai", "/v1/chat/completions", {**HELLO, "max_completion_tokens": 100, "n": 3, "temperature": 0.5}),
        ("openai", "/v1/chat/completions", {**HELLO, "service_tier": "priority"}),
        ("openai", "/v1/responses", {**SEARCHES, "max_tool_calls": 2, "max_output_tokens": 90}),
        ("openai", "/v1/embeddings", {"model": "text-embedding-3-small", "input": ["Grüße", "an alle"]}),
        ("openai", "/v1/images/generations", {"model": "dall-e-3", "prompt": "A lighthouse", "n": 1}),
        ("anthropic", "/v1/messages", {**HELLO, "model": "claude-sonnet-4-6", "max_tokens": 50}),
    ],
)
def test_a_request_holds_what_a_metered_client_would_hold(alice, kind, endpoint, request_, local_call):
    make_limit("500", scope="everyone")
    asked = {"provider": kind, "endpoint": endpoint, "request": request_}
    told = post(alice, "check", asked)
    held = post(alice, "holds", asked, code=201)
    assert Decimal(held["amount"]) == Decimal(told["estimated_cost"]) == local_call(kind, endpoint, request_) > 0


@pytest.fixture
def local_call(provider, monkeypatch):
    """What a metered client holds for the same body, sent to a provider on this machine."""

    def send(kind: str, path: str, body: dict) -> Decimal:
        from budgets import gate, operations
        from costwatch import clients

        seen = []
        reserve = operations.reserve
        monkeypatch.setattr(gate.operations, "reserve", lambda *a, **kw: seen.append(kw["amount"]) or reserve(*a, **kw))
        made = clients.anthropic_client if kind == "anthropic" else clients.openai_client
        base = provider.anthropic_base_url if kind == "anthropic" else provider.openai_base_url
        with made(base_url=base, api_key="local", max_retries=0) as sdk:
            sdk.post(path.removeprefix("" if kind == "anthropic" else "/v1"), body=body, cast_to=object)
        return seen[-1]

    return send


def test_nothing_of_a_request_is_kept(alice):
    make_limit("5", scope="everyone")
    held = post(alice, "holds", {**CHAT, "request": HELLO | {"user": "canary-Hello"}}, code=201)
    row = Hold.objects.get(pk=held["id"])
    assert "Hello" not in json.dumps(row.call) and row.call["model"] == "gpt-4o"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"endpoint": None}, "endpoint"),
        ({"endpoint": "/v1/files"}, "endpoint"),
        ({"endpoint": "no path"}, "endpoint"),
        ({"input_tokens": 5}, "input_tokens"),
        ({"max_output_tokens": 5}, "max_output_tokens"),
        ({"meters": {"characters": 5}}, "meters"),
        ({"model": "gpt-4o-mini"}, "model"),
        ({"request": {"messages": []}}, "model"),
        ({"request": []}, "request"),
    ],
)
def test_what_is_wrong_with_a_request_is_named(alice, changes, field):
    asked = {name: value for name, value in {**CHAT, "request": HELLO, **changes}.items() if value is not None}
    assert field in post(alice, "check", asked, code=400)["errors"]


def test_without_a_maximum_the_models_own_limit_is_held(alice):
    told = post(alice, "check", {"provider": "openai", "model": "gpt-4o", "input_tokens": 0})
    assert (told["estimated_cost"], told["max_output_tokens"]) == ("0.16384", 16384)
    batch = post(alice, "check", {"provider": "openai", "model": "gpt-4o", "input_tokens": 0, "batch": True})
    assert batch["estimated_cost"] == "0.08192"
    own = {"provider": "openai", "model": "our-own-model", "input_tokens": 10}
    assert post(alice, "check", own)["estimated_cost"] is None
    make_limit("500", scope="everyone")
    refused = post(alice, "holds", own, code=402)
    assert "give max_output_tokens" in refused["detail"]
    assert post(alice, "check", own)["reason"] == refused["detail"]


def test_a_limit_that_writes_a_maximum_cannot_do_so_here_and_holds_the_most(alice):
    make_limit("0.10", scope="everyone", no_maximum="cap")
    assert "could cost" in post(alice, "holds", {**CHAT, "request": HELLO}, code=402)["detail"]
    assert post(alice, "holds", {**CHAT, "request": HELLO | {"max_tokens": 500}}, code=201)["state"] == "open"


UNPRICED = {"provider": "openai", "model": "our-own-model", "input_tokens": 1000, "max_output_tokens": 1000}


def test_a_model_without_a_price_is_refused_by_a_hard_limit_only(alice):
    assert post(alice, "holds", UNPRICED, code=201)["state"] == "none"
    make_limit("5", scope="everyone", pause_on_exceed=False)
    assert post(alice, "check", UNPRICED)["allowed"]
    make_limit("5", scope="everyone")
    told = post(alice, "check", UNPRICED)
    assert (told["allowed"], told["estimated_cost"]) == (False, None) and told["limit"]["name"]
    assert "UNPRICED_MODELS" in post(alice, "holds", UNPRICED, code=402)["detail"]
    assert hold(alice, **UNPRICED, amount_usd="0.5")["amount"] == "0.5", "its price is known to the caller"


@pytest.mark.parametrize(("mode", "amount"), [("allow", "0"), ("assume", "0.09")])
def test_or_admitted_as_the_setting_says(alice, settings, mode, amount):
    settings.UNPRICED_MODELS = mode
    make_limit("0.10", scope="everyone")
    assert post(alice, "check", UNPRICED)["allowed"]
    assert post(alice, "holds", UNPRICED, code=201)["amount"] == amount
    assert post(alice, "check", UNPRICED)["allowed"] == (mode == "allow")


# --- What becomes of it ---------------------------------------------------------------------------------------------


def test_a_hold_of_which_nothing_is_heard_counts_as_spent_until_the_truth_comes(alice):
    make_limit("5", scope="everyone")
    held = hold(alice, expires_in_s=60)
    assert sweep_holds(now=timezone.now() + timedelta(seconds=59)) == 0
    assert sweep_holds(now=timezone.now() + timedelta(seconds=61)) == 1
    assert standing() == ("0.0075", "0")
    assert "has expired" in hold(alice, id=held["id"], expires_in_s=60, code=409)["detail"]
    assert "cost_usd 0" in post(alice, f"holds/{held['id']}/void", code=409)["detail"]
    settled = post(alice, f"holds/{held['id']}/settle", {"usage": {"prompt_tokens": 100, "completion_tokens": 50}})
    assert (settled["state"], settled["cost"], standing()) == ("settled", "0.00075", ("0.00075", "0"))
    assert audit().ok


def test_an_expired_one_that_cost_nothing_is_given_back(alice):
    make_limit("5", scope="everyone")
    held = hold(alice, expires_in_s=1)
    sweep_holds(now=timezone.now() + timedelta(seconds=2))
    post(alice, f"holds/{held['id']}/settle", {"cost_usd": 0, "status": "error"})
    assert standing() == ("0", "0") and audit().ok


def test_a_void_gives_the_money_back_once(alice):
    make_limit("0.01", scope="everyone")
    held = hold(alice)
    assert hold(alice, code=402)["limit"]["held"] == "0.0075"
    assert post(alice, f"holds/{held['id']}/void")["state"] == "void"
    assert hold(alice)["state"] == "open"
    assert post(alice, f"holds/{held['id']}/settle", USED)["cost"] == "0.0075", "it was billed after all"


def test_what_costs_more_than_was_held_is_counted_in_full(alice):
    make_limit("5", scope="everyone")
    held = hold(alice)
    settled = post(alice, f"holds/{held['id']}/settle", {"usage": {"prompt_tokens": 1000, "completion_tokens": 5000}})
    assert settled["cost"] == "0.0525" and standing() == ("0.0525", "0")
    assert post(alice, f"holds/{held['id']}/settle", USED, code=409)["status"] == 409
    assert post(alice, f"holds/{held['id']}/void", code=409)["status"] == 409


# --- The database is away -------------------------------------------------------------------------------------------


@pytest.fixture
def away(monkeypatch):
    """The budgets' database does not answer."""

    def fail(*args, **more):
        raise BudgetUnavailable("The budget cannot be checked: the database does not answer.")

    monkeypatch.setattr("budgets.operations.run_apart", fail)
    monkeypatch.setattr("budgets.operations.read_apart", fail)


def test_a_budget_that_cannot_be_checked_is_503(alice, request):
    make_limit("5", scope="everyone")
    hold(alice)
    request.getfixturevalue("away")
    for path in ("check", "holds"):
        response = alice.ask("POST", f"{V1}/{path}", PLANNED)
        assert response.status_code == 503 and response.headers["Retry-After"], response.content
        assert response.headers["Content-Type"] == "application/problem+json"


def test_unless_the_setting_lets_such_calls_pass(alice, settings, request, caplog):
    settings.ON_GATE_FAILURE = "allow"
    make_limit("5", scope="everyone")
    hold(alice)
    request.getfixturevalue("away")
    assert (hold(alice)["state"], post(alice, "check", PLANNED)["allowed"]) == ("unchecked", True)
    assert "ADMITTED UNCHECKED" in caplog.text


def test_a_database_that_is_away_altogether_is_503_everywhere(alice, monkeypatch):
    def fail(*args, **more):
        raise OperationalError("connection refused")

    monkeypatch.setattr("costwatch.accounts.authentication.ApiKey.objects.filter", fail)
    for method, path in (("GET", "usage"), ("POST", "usage"), ("POST", "holds"), ("GET", "keys"), ("GET", "budgets")):
        response = alice.ask(method, f"{V1}/{path}", {} if method == "POST" else None)
        assert response.status_code == 503 and response.headers["Retry-After"], response.content
        assert "refused" not in response.content.decode()
