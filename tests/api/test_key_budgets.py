"""A key's own budget: given with the key, kept before the call, changed by the owner, and over with the key."""

from datetime import timedelta

import pytest
from django.utils import timezone

from budgets.models import BudgetLimit
from costwatch.accounts.models import ApiKey
from tests.api.conftest import Caller, key_for
from tests.tracking.test_ingestion import an_item
from tracking.models import ApiUsageLog

#: Budgets are read and changed on connections of their own, which see what is committed.
pytestmark = pytest.mark.django_db(transaction=True)
V1, KEYS = "/api/v1", "/api/v1/keys"
#: $0.0075 at most
CALL = {"provider": "openai", "model": "gpt-4o", "input_tokens": 1000, "max_output_tokens": 500}
EVERYTHING = ["read", "ingest", "call", "admin"]


def made(caller: Caller, *, code: int = 201, scopes=("ingest", "call"), **fields):
    response = caller.ask("POST", KEYS, {"name": "batch job", "scopes": list(scopes), **fields})
    assert response.status_code == code, response.content
    return response.json()


def asked(caller: Caller, method: str, path: str, body=None, *, code: int = 200):
    response = caller.ask(method, path, body)
    assert response.status_code == code, response.content
    return response.json()


def test_a_call_over_the_keys_budget_is_refused_and_others_are_not(alice, owner):
    key = made(alice, budget={"amount": "0.01", "period": "day"})
    assert (key["budget"]["scope"], key["budget"]["target"], key["budget"]["hard"]) == ("api_key", key["id"], True)
    caller, other = Caller("key", key["key"]), Caller("other", key_for(owner, "call"))
    assert asked(caller, "POST", f"{V1}/check", CALL)["allowed"]
    held = asked(caller, "POST", f"{V1}/holds", CALL, code=201)
    refused = asked(caller, "POST", f"{V1}/check", CALL)
    assert not refused["allowed"] and "Key batch job" in refused["reason"]
    problem = asked(caller, "POST", f"{V1}/holds", CALL, code=402)
    assert problem["limit"]["id"] == key["budget"]["id"]
    assert asked(other, "POST", f"{V1}/check", CALL)["allowed"], "the owner's other calls are not concerned"

    used = {"usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}}
    asked(other, "POST", f"{V1}/holds/{held['id']}/settle", used)
    assert ApiUsageLog.objects.get().tags["api_key"] == key["id"], "whichever key settles, it is this one's call"
    shown = asked(alice, "GET", f"{KEYS}/{key['id']}")["budget"]
    assert (shown["now"]["spent"], shown["now"]["held"], shown["now"]["status"]) == ("0.0075", "0", "ok")
    assert asked(alice, "GET", KEYS)["keys"][1]["budget"] == shown


def test_what_a_key_reports_counts_in_its_budget(alice):
    key = made(alice, budget={"amount": "0.01", "period": "month"})
    caller = Caller("key", key["key"])
    for _ in range(2):
        item = an_item(at=timezone.now().isoformat())
        asked(caller, "POST", f"{V1}/usage", item, code=201)
    assert asked(alice, "GET", f"{KEYS}/{key['id']}")["budget"]["now"]["status"] == "paused"
    assert not asked(caller, "POST", f"{V1}/check", CALL)["allowed"]


def test_a_client_in_python_that_says_its_key_is_held_to_it(alice, provider):
    from costwatch import clients

    key = made(alice, budget={"amount": "0", "period": "day"})
    sdk = clients.openai_client(base_url=provider.openai_base_url, api_key="local", tags={"api_key": key["id"]})
    with sdk, pytest.raises(Exception, match="Key batch job"):
        sdk.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "Hello"}])
    assert not provider.requests


def test_a_budget_is_changed_ended_and_made_later(alice):
    key = made(alice, budget={"amount": "0.01", "period": "day", "hard": False})
    address, caller = f"{KEYS}/{key['id']}", Caller("key", key["key"])
    dear = {**CALL, "max_output_tokens": 5000}
    assert asked(caller, "POST", f"{V1}/check", dear)["allowed"], "a soft one refuses nothing"
    changed = asked(alice, "PATCH", address, {"name": "nightly", "budget": {"hard": True}})
    assert (changed["name"], changed["budget"]["amount"], changed["budget"]["period"]) == ("nightly", "0.01", "day")
    assert not asked(caller, "POST", f"{V1}/check", dear)["allowed"]
    asked(alice, "PATCH", f"{V1}/budgets/{key['budget']['id']}", {"amount": "1"})
    assert asked(caller, "POST", f"{V1}/check", dear)["allowed"], "it is a budget as any other"
    assert asked(alice, "PATCH", address, {"budget": None})["budget"] is None
    assert "amount" in str(asked(alice, "PATCH", address, {"budget": {"hard": True}}, code=400)["errors"])
    asked(alice, "PATCH", address, {"budget": {"amount": 0, "period": "total"}})
    assert not asked(caller, "POST", f"{V1}/check", CALL)["allowed"]
    assert BudgetLimit.objects.count() == 2


def test_a_budget_ends_with_the_last_secret_of_its_key(alice, dora):
    key = made(alice, budget={"amount": "1", "period": "day"})
    asked(alice, "POST", f"{KEYS}/{key['id']}/rotate", code=201)
    asked(alice, "POST", f"{KEYS}/{key['id']}/revoke", {"generation": 1})
    assert BudgetLimit.objects.get().active_until is None, "the second secret is under it"
    assert asked(dora, "POST", f"{KEYS}/{key['id']}/revoke", {})["revoked"] == 1
    assert BudgetLimit.objects.get().active_until <= timezone.now()
    assert asked(alice, "GET", f"{KEYS}/{key['id']}")["budget"] is None
    assert asked(alice, "PATCH", f"{KEYS}/{key['id']}", {"name": "gone"}, code=404)["status"] == 404


def test_revoking_in_the_admin_ends_it_too(client, alice, staff):
    made(alice, budget={"amount": "1", "period": "day"})
    client.force_login(staff)
    client.post("/admin/accounts/apikey/", {"action": "revoke", "_selected_action": ApiKey.objects.get(kind="key").pk})
    assert BudgetLimit.objects.get().active_until is not None


@pytest.mark.parametrize(
    ("budget", "field"),
    [
        ({"amount": "1"}, "budget.period"),
        ({"period": "day"}, "budget.amount"),
        ({"amount": "-1", "period": "day"}, "budget.amount"),
        ({"amount": "3e9", "period": "day"}, "budget.amount"),
        ({"amount": "1", "period": "decade"}, "budget.period"),
        ({"amount": "1", "period": "day", "scope": "everyone"}, "budget.scope"),
        ("1", "budget"),
    ],
)
def test_what_is_wrong_with_a_budget_is_named_and_no_key_is_made(alice, budget, field):
    assert field in made(alice, code=400, budget=budget)["errors"]
    assert not ApiKey.objects.filter(kind="key").exists()


def test_a_key_finds_no_way_around_its_budget(alice, owner):
    key = made(alice, scopes=EVERYTHING, budget={"amount": "1", "period": "day"})
    free = made(alice, scopes=["read"])
    caller = Caller("key", key["key"])
    assert "come on top" in made(caller, code=403, scopes=["call"])["detail"]
    for path, method, body in (
        (f"{KEYS}/{key['id']}", "PATCH", {"budget": None}),
        (f"{KEYS}/{free['id']}/rotate", "POST", None),
        (f"{V1}/budgets/{key['budget']['id']}", "PATCH", {"amount": "100"}),
        (f"{V1}/budgets/{key['budget']['id']}", "DELETE", None),
    ):
        asked(caller, method, path, body, code=403)
    asked(caller, "POST", f"{KEYS}/{key['id']}/rotate", code=201)
    assert BudgetLimit.objects.get().active_until is None


def test_a_key_cannot_get_at_more_by_rotating_another(alice, owner):
    rich = made(alice, scopes=EVERYTHING)
    poor = Caller("admin only", key_for(owner, "admin"))
    assert "may do more" in asked(poor, "POST", f"{KEYS}/{rich['id']}/rotate", code=403)["detail"]


def test_budgets_of_keys_are_their_owners_alone(alice, bob, dora):
    key = made(alice, budget={"amount": "1", "period": "day"})
    limit = f"{V1}/budgets/{key['budget']['id']}"
    assert [one["id"] for one in alice.get(f"{V1}/budgets")["budgets"]] == [key["budget"]["id"]]
    assert bob.get(f"{V1}/budgets")["budgets"] == []
    for method, path in (("GET", limit), ("DELETE", limit), ("GET", f"{KEYS}/{key['id']}")):
        asked(bob, method, path, code=404)
    assert asked(dora, "GET", f"{KEYS}/{key['id']}")["user"] == key["user"]
    assert len(dora.get(KEYS, user="all")["keys"]) == 1 and dora.get(KEYS)["keys"] == []


def test_keys_come_in_pages(alice, dora, owner):
    names = [made(alice)["id"] for _ in range(3)]
    first = alice.get(KEYS, limit=2)
    second = dora.get(KEYS, limit=2, cursor=first["next"], user=owner.pk)
    assert {key["id"] for page in (first, second) for key in page["keys"]} == set(names)
    assert (len(second["keys"]), second["next"]) == (1, None)


def test_a_month_before_the_key_costs_nothing_to_look_through(alice, django_assert_max_num_queries):
    """The window of a budget that is as old as its key begins with the key."""
    key = made(alice, budget={"amount": "1", "period": "month"})
    limit = BudgetLimit.objects.get()
    assert timezone.now() - limit.active_from < timedelta(minutes=1)
    later = made(alice)
    asked(alice, "PATCH", f"{KEYS}/{later['id']}", {"budget": {"amount": "1", "period": "month"}})
    assert BudgetLimit.objects.get(target=later["id"]).active_from is None, "a key in use has spent before"
    assert key["budget"]["now"] is None
