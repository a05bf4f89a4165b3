"""What a call's page shows of budgets, and the standing that lists of users and analyses show."""

from datetime import timedelta
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from budgets.counted import fullest_of_analyses, fullest_of_users, windows_of_call, windows_of_user
from budgets.operations import post, reserve, settle
from tests.budgets.conftest import NOON, call_at, make_limit, new_id

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]


def test_a_call_tells_what_was_held_for_it_and_what_it_added_in_each_window(owner):
    make_limit("100", period="month", name="Everyone's month")
    make_limit("5", scope="each_user", period="day", name="A day of each")
    call_id = new_id()
    reserve(call_at(user=owner.pk), hold_id=call_id, amount=Decimal("2"))
    held = windows_of_call(call_id)
    assert [(one.name, one.whose, one.state, one.held, one.cost) for one in held] == [
        ("A day of each", f"user:{owner.pk}", "open", Decimal(2), Decimal(0)),
        ("Everyone's month", "", "open", Decimal(2), Decimal(0)),
    ]
    settle(call_id, cost=Decimal("2.5"), now=NOON + timedelta(seconds=3))
    day, month = windows_of_call(call_id)
    assert (day.state, day.cost, day.spent, day.limit, day.overrun) == (
        "settled",
        Decimal("2.5"),
        Decimal("2.5"),
        5,
        True,
    )
    assert day.ends_at - day.starts_at == timedelta(days=1) and month.ends_at.month == 6
    assert windows_of_call(new_id()) == []


def test_users_stand_at_their_fullest_window(owner, member):
    make_limit("10", scope="each_user", period="day")
    make_limit("4", scope="user", user=member, period="month", name="Bob's month")
    make_limit("1", scope="everyone")
    post(call_at(user=owner.pk), call_id=new_id(), cost=Decimal("3"), now=NOON)
    post(call_at(user=member.pk), call_id=new_id(), cost=Decimal("2"), now=NOON)
    with CaptureQueriesContext(
        connection,
    ) as queries:
        found = fullest_of_users([owner.pk, member.pk, 999], at=NOON)
    assert found[owner.pk].share == Decimal("0.3") and not found[owner.pk].alone
    assert (found[member.pk].name, found[member.pk].share, found[member.pk].alone) == (
        "Bob's month",
        Decimal("0.5"),
        True,
    )
    assert [(one.share, one.alone) for one in windows_of_user(member.pk, at=NOON)] == [
        (Decimal("0.5"), True),
        (Decimal("0.2"), False),
    ]
    assert found[999].share == 0, "a limit counts him, and he has spent nothing"
    assert len(queries) <= 2, "however many users and windows"


def test_an_analysis_stands_at_its_own_cap_or_at_that_of_each():
    make_limit("2", scope="each_analysis", period="total")
    make_limit("8", scope="analysis", target="big", period="total")
    for name in ("big", "small"):
        post(call_at(analysis=name), call_id=new_id(), cost=Decimal("1"), now=NOON)
    found = fullest_of_analyses({"big": Decimal(1), "small": Decimal(1), "old": Decimal("1.5")}, at=NOON)
    assert {name: (one.one.limit, one.one.spent, one.alone) for name, one in found.items()} == {
        "big": (Decimal(8), Decimal(1), True),
        "small": (Decimal(2), Decimal(1), False),
        "old": (Decimal(2), Decimal("1.5"), False),
    }
    assert fullest_of_analyses({}, at=NOON) == {}
