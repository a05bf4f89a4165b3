"""A hold that is asked for twice under one id: what is answered stands for money that is held, or is no success."""

import uuid

import pytest

from budgets.models import Hold
from tests.api.test_holds import CHAT, HELLO, PLANNED, USED, hold, make_limit, post, standing

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def first(alice) -> dict:
    """An open hold of $0.0075, under an id of the caller's."""
    make_limit("5", scope="everyone")
    return hold(alice, id=str(uuid.uuid4()))


def test_the_same_request_is_answered_the_same_and_holds_once(alice, first):
    assert hold(alice, id=first["id"]) == first
    assert standing() == ("0", "0.0075")


@pytest.mark.parametrize(
    "changes",
    [
        {"input_tokens": 100_000, "max_output_tokens": 10_000},
        {"max_output_tokens": 499},
        {"batch": True},
        {"amount_usd": "1.5"},
        {"meters": {"cache_read_tokens": 7}},
    ],
)
def test_for_more_than_is_held_it_is_no_success(alice, first, changes):
    told = hold(alice, id=first["id"], code=409, **changes)
    assert "open with 0.0075 USD" in told["detail"]
    assert standing() == ("0", "0.0075")


def test_for_another_amount_that_is_named(alice):
    make_limit("5", scope="everyone")
    held = hold(alice, id=str(uuid.uuid4()), amount_usd="0.50")
    assert hold(alice, id=held["id"], amount_usd=0.5) == held
    hold(alice, id=held["id"], amount_usd="0.51", code=409)


def test_for_a_longer_request(alice):
    make_limit("5", scope="everyone")
    name = str(uuid.uuid4())
    held = post(alice, "holds", {**CHAT, "id": name, "request": HELLO}, code=201)
    assert post(alice, "holds", {**CHAT, "id": name, "request": HELLO}, code=201) == held
    longer = {**HELLO, "messages": [{"role": "user", "content": "Hello, and much more than that"}]}
    assert "open with" in post(alice, "holds", {**CHAT, "id": name, "request": longer}, code=409)["detail"]


def test_for_another_call_or_by_somebody_else(alice, bob, first):
    assert "another call" in hold(alice, id=first["id"], feature="other", code=409)["detail"]
    assert "another call" in hold(bob, id=first["id"], code=409)["detail"]


@pytest.mark.parametrize(("how", "body", "told"), [("void", None, "was voided"), ("settle", USED, "was settled")])
def test_of_a_hold_that_is_over_it_names_what_became_of_it(alice, first, how, body, told):
    post(alice, f"holds/{first['id']}/{how}", body)
    after = standing()
    assert told in hold(alice, id=first["id"], code=409)["detail"]
    assert standing() == after and Hold.objects.count() == 1


def test_what_is_held_is_told_also_when_no_limit_counts_such_calls_any_more(alice, first, monkeypatch):
    monkeypatch.setattr("budgets.book.matches", lambda call: [])
    assert hold(alice, id=first["id"]) == first


@pytest.mark.parametrize("user", ["999", "nobody@example.com"])
def test_nothing_is_held_for_an_account_that_does_not_exist(dora, user):
    make_limit("5", scope="everyone")
    for path in ("check", "holds"):
        told = post(dora, path, {**PLANNED, "user": user}, code=400)
        assert told["errors"]["user"] == [f"There is no account {user}. Give the id or email of one."]
    assert not Hold.objects.exists()


def test_an_account_may_be_named_by_its_id_or_email(dora, member):
    make_limit("5", scope="everyone")
    for user in (str(member.pk), member.email.upper()):
        held = hold(dora, user=user)
        assert Hold.objects.get(pk=held["id"]).call["user"] == member.pk
        assert post(dora, f"holds/{held['id']}/settle", USED)["state"] == "settled"
