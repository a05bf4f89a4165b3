"""What tests of budgets share: limits made in a line, calls at a given time, and processes that really die."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.contrib.auth import get_user_model
from django.db import connection

from budgets import connections, operations
from budgets.calls import Call
from budgets.models import BudgetLimit, BudgetWindow

_BUDGETS = (
    "refusalcount limitchange crossing holdleg hold budgetwindow budgetincrease budgetlimit limitbook budgetconfig"
)
_ROLLUPS = (
    "hourlymodel dailymodel dailykey dailyfeature dailyuser dailyuserfeature dailyusermodel analysis "
    "spanmodel spankey spanfeature spanuser spanuserfeature spanusermodel"
)
_ALERTS = "trialcount delivery alertread alertmute costalert channel alertpreference forgotten"
_TABLES = [
    *(f"alerts_{name}" for name in _ALERTS.split()),
    *(f"budgets_{name}" for name in _BUDGETS.split()),
    *(f"tracking_{name}rollup" for name in _ROLLUPS.split()),
    "tracking_summedspan",
    "tracking_apiusagelog",
    "tracking_recordedevent",
    "tracking_resultkey",
    "tracking_analysis",
    "accounts_user_groups",
    "accounts_user",
    "auth_group",
]
NOON = datetime(2026, 5, 13, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def nothing_remembered():
    """No test sees limits or windows that another test's process memory kept."""
    operations.forget()
    yield
    operations.forget()


@pytest.fixture
def own_db(django_db_setup, django_db_blocker):
    """The database without a transaction around the test: several connections see it, and it is emptied afterwards.

    (Far quicker than flushing every table of the project.)
    """
    with django_db_blocker.unblock():
        yield
        connections.shut_down()
        empty_tables()
        connection.close()


def empty_tables(prefix: str = "") -> None:
    with connection.cursor() as cursor:
        for table in _TABLES:
            if table.startswith(prefix):
                cursor.execute(f"DELETE FROM {table}")


def _person(email):
    @pytest.fixture
    def person(own_db, django_user_model):
        return django_user_model.objects.create_user(email=email, password="correct horse")

    return person


@pytest.fixture
def django_user_model():
    return get_user_model()


owner, member, staff = _person("alice@example.com"), _person("bob@example.com"), _person("dora@example.com")


@pytest.fixture
def at_once(monkeypatch):
    """Limits are looked up at every call, so that a test need not wait for a second."""
    monkeypatch.setattr("budgets.book.MAX_AGE_S", -1)


def make_limit(amount="1", *, scope="everyone", period="day", **fields) -> BudgetLimit:
    limit = BudgetLimit(scope=scope, period=period, amount=Decimal(amount), time_zone="UTC", **fields)
    limit.full_clean()
    limit.save()
    return limit


def call_at(at=NOON, **fields) -> Call:
    return Call(at=at, **fields)


def new_id() -> uuid.UUID:
    return uuid.uuid4()


def the_window() -> BudgetWindow:
    return BudgetWindow.objects.get()


def money(window: BudgetWindow) -> tuple[str, str]:
    """Spent and held, as short text."""
    window.refresh_from_db()
    return (f"{window.spent.normalize():f}", f"{window.held.normalize():f}")
