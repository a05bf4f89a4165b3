"""Many processes at one budget, and processes that are killed: what is admitted and what is left behind."""

import random
import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection

from budgets.audit import audit_budgets
from budgets.errors import BudgetExceeded
from budgets.models import BudgetWindow, Crossing, Hold, HoldLeg
from budgets.operations import expire, expired_holds, post, reserve, settle, void
from tests.budgets.conftest import NOON, call_at, make_limit, money, the_window
from tests.budgets.processes import KillAt, in_processes, start, wait

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db"), pytest.mark.timeout(600)]
LATER = NOON + timedelta(seconds=5)


@pytest.fixture(autouse=True)
def patient_writers(monkeypatch):
    """Dozens of writers on two cores wait longer for SQLite's lock than users would."""
    monkeypatch.setitem(
        connection.settings_dict["OPTIONS"], *(("timeout", 60) if _sqlite() else ("connect_timeout", 5))
    )


def _sqlite() -> bool:
    return connection.vendor == "sqlite"


def clean_audit():
    audit = audit_budgets(at=LATER, ledger=False)
    assert audit.is_clean, audit.differences


def rush(processes: int, tries: int, fit: int) -> None:
    """So many processes try so often at a budget into which `fit` calls fit."""
    make_limit(Decimal(fit) / 100)

    def work(_):
        for _ in range(tries // processes):
            try:
                reserve(call_at(), hold_id=uuid.uuid4(), amount=Decimal("0.01"))
            except BudgetExceeded:
                continue

    assert set(in_processes(processes, work)) == {0}
    assert Hold.objects.filter(state="open").count() == fit
    assert the_window().held == Decimal(fit) / 100
    clean_audit()


def test_many_processes_admit_exactly_the_calls_that_fit():
    rush(processes=6, tries=90, fit=50)


@pytest.mark.slow
def test_thirty_two_processes_with_3200_tries_admit_exactly_1000():
    rush(processes=32, tries=3200, fit=1000)


def three_of_five(processes: int, rounds: int) -> None:
    """Processes take three of five limits each time, in random order, and settle or void at once."""
    for name in "abcde":
        make_limit("0.05", scope="tag", target=f"{name}=1")
        make_limit("1000", scope="tag", target=f"{name}=1", period="hour")

    def work(seed):
        chance = random.Random(seed)
        for _ in range(rounds):
            tags = dict.fromkeys(chance.sample("abcde", 3), "1")
            hold_id = uuid.uuid4()
            try:
                reserve(call_at(tags=tags), hold_id=hold_id, amount=Decimal("0.01"))
            except BudgetExceeded:
                continue
            if chance.random() < 0.3:
                settle(hold_id, cost=Decimal("0.001"), now=LATER)
            elif chance.random() < 0.9:
                void(hold_id, now=LATER)

    assert set(in_processes(processes, work)) == {0}, "no deadlock was reported to a caller"
    for hold in Hold.objects.all():
        assert HoldLeg.objects.filter(hold=hold).count() == 6, "a hold stands in all of its windows"
    assert all(w.held >= 0 and w.spent + w.held <= w.limit_amount for w in BudgetWindow.objects.all())
    clean_audit()


def test_several_limits_at_once_neither_deadlock_nor_hold_a_part():
    three_of_five(processes=5, rounds=12)


@pytest.mark.slow
def test_sixteen_processes_on_three_of_five_limits():
    three_of_five(processes=16, rounds=60)


def replay(clients: int, holds: int) -> None:
    """Clients reserve, settle and void the same ids at the same time, each in an order of its own."""
    make_limit("100000")
    make_limit("100000", period="hour")
    ids = [uuid.UUID(int=n + 1) for n in range(holds)]

    def work(client):
        chance = random.Random(client)
        for hold_id in chance.sample(ids, len(ids)):
            reserve(call_at(), hold_id=hold_id, amount=Decimal(2))
            if chance.random() < 0.5:
                settle(hold_id, cost=Decimal(client + 1), now=LATER)
            else:
                void(hold_id, now=LATER)

    assert set(in_processes(clients, work)) == {0}
    assert Hold.objects.count() == holds
    assert not Hold.objects.filter(state="open").exists(), "each has one outcome"
    total = sum(hold.cost for hold in Hold.objects.all())
    assert {(w.spent, w.held) for w in BudgetWindow.objects.all()} == {(total, 0)}
    clean_audit()


def test_replayed_holds_have_one_outcome_each():
    replay(clients=4, holds=15)


@pytest.mark.slow
def test_eight_clients_replaying_300_holds():
    replay(clients=8, holds=300)


def test_the_first_calls_of_a_period_open_its_window_once():
    make_limit("1", period="hour")
    make_limit("1", period="day", thresholds=["0.5"])

    def work(n):
        for k in range(4):
            post(call_at(), call_id=uuid.uuid5(uuid.NAMESPACE_OID, f"{n}-{k}"), cost=Decimal("0.03"), now=LATER)

    assert set(in_processes(5, work)) == {0}
    assert [money(w)[0] for w in BudgetWindow.objects.all()] == ["0.6", "0.6"]
    assert Crossing.objects.filter(threshold="0.5").count() == 1
    clean_audit()


@pytest.mark.parametrize("verb", ["reserve", "settle", "void"])
def test_killed_between_any_two_steps_the_audit_is_clean_after_the_sweeper(verb):
    """`kill -9` before the first, second, third ... statement, until the verb gets through."""
    make_limit("1000", thresholds=["0.0001"])
    make_limit("1000", period="hour")
    deaths = 0
    for step in range(40):
        hold_id = uuid.uuid4()
        if verb != "reserve":
            reserve(call_at(), hold_id=hold_id, amount=Decimal(1))

        def work(hold_id=hold_id, step=step):
            with connection.execute_wrapper(KillAt(step)):
                if verb == "reserve":
                    reserve(call_at(), hold_id=hold_id, amount=Decimal(1))
                elif verb == "settle":
                    settle(hold_id, cost=Decimal("0.5"), now=LATER)
                else:
                    void(hold_id, now=LATER)

        [code] = wait([start(work)])
        clean_audit()
        if code == 0:
            break
        assert code == -9
        deaths += 1
    assert deaths >= 5, "it was killed at several steps"
    later = NOON + timedelta(hours=1)
    for hold_id, _, _ in expired_holds(now=later):
        expire(hold_id, now=later)
    assert not Hold.objects.filter(state="open").exists()
    assert {w.held for w in BudgetWindow.objects.all()} == {Decimal(0)}
    clean_audit()
