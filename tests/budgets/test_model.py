"""The operations against a model that keeps its books in dictionaries, in every order that hypothesis can think of."""

import uuid
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)

from budgets import operations
from budgets.audit import audit_budgets
from budgets.errors import BudgetExceeded, HoldNotFound
from budgets.models import BudgetLimit, BudgetWindow, Hold
from budgets.resolving import resolve
from budgets.settling import SettleItem, settle_many
from tests.budgets.conftest import NOON, call_at, empty_tables, make_limit

AMOUNTS = st.integers(0, 12).map(lambda n: Decimal(n) / 10) | st.just(Decimal("0.000000001"))
#: (scope tag, hard, limit in USD): limits overlap, one is soft
LIMITS = {"a": (True, Decimal(2)), "b": (True, Decimal(3)), "c": (False, Decimal(1))}


class Books:
    """The model: a limit, and per hold its state, amount, cost and tags. Nothing is summed up but by looking."""

    def __init__(self):
        self.limits = {name: amount for name, (_, amount) in LIMITS.items()}
        self.hard = {name: hard for name, (hard, _) in LIMITS.items()}
        self.holds = {}

    def spent(self, name):
        return sum((h["cost"] for h in self.holds.values() if name in h["tags"] and h["state"] != "open"), Decimal(0))

    def held(self, name):
        return sum((h["amount"] for h in self.holds.values() if name in h["tags"] and h["state"] == "open"), Decimal(0))

    def fits(self, tags, amount):
        return amount == 0 or all(self.spent(n) + self.held(n) + amount <= self.limits[n] for n in tags if self.hard[n])


class Budgets(RuleBasedStateMachine):
    holds = Bundle("holds")

    def __init__(self):
        super().__init__()
        empty_tables()
        operations.forget()
        self.books = Books()
        for name, (hard, amount) in LIMITS.items():
            make_limit(amount, scope="tag", target=f"{name}=1", period="total", pause_on_exceed=hard)

    @rule(target=holds, amount=AMOUNTS, tags=st.sets(st.sampled_from("abc"), min_size=1))
    def reserve(self, amount, tags):
        hold_id = uuid.uuid4()
        call = call_at(tags=dict.fromkeys(tags, "1"))
        if not self.books.fits(tags, amount):
            with pytest.raises(BudgetExceeded) as refused:
                operations.reserve(call, hold_id=hold_id, amount=amount)
            assert refused.value.refusal.remaining < amount
            return multiple()
        assert operations.reserve(call, hold_id=hold_id, amount=amount).state == "open"
        self.books.holds[hold_id] = {"state": "open", "amount": amount, "cost": Decimal(0), "tags": tags}
        return hold_id

    @rule(hold_id=holds, amount=AMOUNTS)
    def reserve_again(self, hold_id, amount):
        known = self.books.holds[hold_id]
        call = call_at(tags=dict.fromkeys(known["tags"], "1"))
        again = operations.reserve(call, hold_id=hold_id, amount=amount)
        assert (again.repeated, again.state, again.amount) == (True, known["state"], known["amount"])

    @rule(hold_id=holds, cost=AMOUNTS)
    def settle(self, hold_id, cost):
        hold = self.books.holds[hold_id]
        changes = hold["state"] in ("open", "expired")
        settled = operations.settle(hold_id, cost=cost, now=NOON)
        if changes:
            hold.update(state="settled", cost=cost)
        assert settled.state == hold["state"] and settled.cost == hold["cost"]

    @rule(hold_id=holds)
    def void(self, hold_id):
        hold = self.books.holds[hold_id]
        if hold["state"] in ("open", "expired"):
            hold.update(state="void", cost=Decimal(0))
        assert operations.void(hold_id, now=NOON).state == hold["state"]

    @rule(hold_id=holds)
    def expire(self, hold_id):
        hold = self.books.holds[hold_id]
        if hold["state"] == "open":
            hold.update(state="expired", cost=hold["amount"])
        assert operations.expire(hold_id, now=NOON).state == hold["state"]

    @rule(target=holds, cost=AMOUNTS, tags=st.sets(st.sampled_from("abc"), min_size=1))
    def post(self, cost, tags):
        hold_id = uuid.uuid4()
        operations.post(call_at(tags=dict.fromkeys(tags, "1")), call_id=hold_id, cost=cost, now=NOON)
        self.books.holds[hold_id] = {"state": "settled", "amount": Decimal(0), "cost": cost, "tags": tags}
        return hold_id

    @rule(name=st.sampled_from("abc"), amount=st.integers(0, 5).map(Decimal), hard=st.booleans())
    def change_the_limit(self, name, amount, hard):
        limit = BudgetLimit.objects.get(target=f"{name}=1")
        limit.amount, limit.pause_on_exceed = amount, hard
        limit.save()
        self.books.limits[name], self.books.hard[name] = amount, hard

    @rule(hold_id=consumes(holds), data=st.data())
    def recorder_settles(self, hold_id, data):
        """What the ledger says goes, whatever was said before; then corrections add up."""
        hold = self.books.holds[hold_id]
        call = call_at(tags=dict.fromkeys(hold["tags"], "1"))
        cost, more = data.draw(AMOUNTS), data.draw(AMOUNTS)
        settle_many(
            [SettleItem(hold_id, cost, "ledger", call), SettleItem(hold_id, more, "correction", call)], now=NOON
        )
        hold.update(state="settled", cost=cost + more)

    @rule()
    def an_unknown_hold(self):
        with pytest.raises(HoldNotFound):
            operations.settle(uuid.uuid4(), cost=Decimal(1), now=NOON)

    @invariant()
    def the_windows_say_what_the_books_say(self):
        for window in BudgetWindow.objects.select_related("limit"):
            name = window.limit.target[0]
            assert (window.spent, window.held) == (self.books.spent(name), self.books.held(name))
            assert window.limit_amount == self.books.limits[name]

    @invariant()
    def the_audit_is_clean(self):
        assert audit_budgets(at=NOON, ledger=False).is_clean
        assert Hold.objects.count() == len(self.books.holds)


@pytest.mark.database
def test_the_operations_keep_the_same_books_as_the_model(own_db, at_once):
    settings_ = settings(
        max_examples=12, stateful_step_count=15, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Budgets, settings=settings_)


@pytest.mark.slow
@pytest.mark.database
def test_the_operations_keep_the_same_books_for_long(own_db, at_once):
    settings_ = settings(
        max_examples=60, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
    run_state_machine_as_test(Budgets, settings=settings_)


@pytest.mark.parametrize(
    "state, cost, known, verb, value, after",
    [
        ("open", 0, True, "ledger", None, ("settled", 50, False)),  # it has no price: its hold stands in for it
        ("settled", 50, False, "correction", 7, ("settled", 7, True)),  # and is replaced when it gets one
        ("settled", 20, True, "correction", -5, ("settled", 15, True)),
        ("settled", 20, True, "ledger", 21, ("settled", 21, True)),  # the ledger is what counts
        ("settled", 20, True, "ledger", None, ("settled", 20, True)),
        ("expired", 50, False, "correction", -30, ("settled", 20, True)),  # its row stood at the hold
        ("expired", 50, False, "ledger", 20, ("settled", 20, True)),
        ("expired", 50, False, "void", None, ("void", 0, True)),
        ("void", 0, True, "ledger", 9, ("settled", 9, True)),  # it was billed after all
        ("void", 0, True, "ledger", 0, ("void", 0, True)),
    ],
)
def test_the_truth_takes_the_place_of_what_was_assumed(state, cost, known, verb, value, after):
    result = resolve(state=state, amount=50, cost=cost, cost_known=known, verb=verb, value=value)
    assert (result.state, result.cost, result.cost_known) == after
    assert result.spent == result.cost - cost
    assert result.held == (-50 if state == "open" else 0)
