"""Limits: what may be one, the first document's functions, the defaults of the settings, and where they stand."""

import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.core.exceptions import ValidationError
from django.db import OperationalError, connection

from budgets import book, operations
from budgets.changes import ask_increase
from budgets.defaults import set_default_limits
from budgets.errors import BudgetExceeded, BudgetUnavailable
from budgets.limits import can_make_api_call, get_budget_status, update_budget_config
from budgets.models import BudgetLimit, BudgetWindow, LimitChange
from budgets.operations import post, reserve
from budgets.queries import standings, standings_for, standings_of_user
from tests.budgets.conftest import NOON, call_at, make_limit, new_id
from tests.budgets.test_ledger import spend
from tracking.users import emails_of

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]


def spent_by(user, amount):
    post(call_at(user=user.pk), call_id=new_id(), cost=Decimal(amount), now=NOON)


# --- The first document's functions


def test_a_user_sets_a_budget_and_sees_where_it_stands(owner):
    update_budget_config(
        owner, daily_limit=Decimal("10.00"), monthly_limit="200", alert_threshold="0.5", pause_on_exceed=True, at=NOON
    )
    spent_by(owner, "4")
    status = get_budget_status(owner, at=NOON)
    assert (status.daily_limit, status.daily_spent, status.daily_remaining) == (10, 4, 6)
    assert (status.monthly_limit, status.monthly_spent, status.monthly_remaining) == (200, 4, 196)
    assert status.resets_at["daily"] == NOON.replace(hour=0) + timedelta(days=1)
    assert status.resets_at["monthly"] == NOON.replace(month=6, day=1, hour=0)
    assert not status.paused and can_make_api_call(owner, at=NOON)
    assert not can_make_api_call(owner, amount=Decimal("6.01"), at=NOON)
    spent_by(owner, "6")
    assert get_budget_status(owner, at=NOON).paused
    assert not can_make_api_call(owner, at=NOON)
    assert can_make_api_call(owner, at=NOON + timedelta(days=1)), "a new day"


def test_a_budget_that_is_set_by_several_requests_at_once_is_set_once(owner):
    def change(amount: int) -> None:
        try:
            update_budget_config(owner, daily_limit=amount)
        finally:
            connection.close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(1, 5)))
    assert BudgetLimit.objects.filter(owner=owner).count() == 1
    assert update_budget_config(owner, daily_limit=None).own_daily_limit is None


def test_without_limits_the_status_still_says_what_was_spent(owner):
    spend("0.3", user=owner.pk)
    status = get_budget_status(owner, at=NOON)
    assert (status.daily_limit, status.daily_remaining, status.daily_spent) == (None, None, Decimal("0.3"))
    assert status.monthly_spent == Decimal("0.3") and not status.paused
    assert can_make_api_call(owner, at=NOON)
    assert not BudgetWindow.objects.exists(), "reading opens nothing"


def test_lifting_ones_own_limit_never_lifts_one_of_staff(owner):
    make_limit("5", scope="each_user")
    status = update_budget_config(owner, daily_limit=100, at=NOON)
    assert (status.daily_limit, status.own_daily_limit) == (5, 100), "the one with less left counts"
    update_budget_config(owner, daily_limit=3, at=NOON)
    spent_by(owner, "3")
    assert not can_make_api_call(owner, at=NOON)
    status = update_budget_config(owner, daily_limit=None, at=NOON)
    assert (status.daily_limit, status.own_daily_limit, status.daily_spent) == (5, None, 3)
    assert can_make_api_call(owner, at=NOON)
    assert BudgetLimit.objects.get(owner=owner).changes.count() == 3, "and the history is kept"


def test_what_a_user_prefers_applies_to_the_limit_he_sets_later(owner):
    update_budget_config(owner, alert_threshold="0.6", pause_on_exceed=False, alerts_enabled=False, at=NOON)
    update_budget_config(owner, daily_limit=1, at=NOON)
    limit = BudgetLimit.objects.get()
    assert (limit.thresholds, limit.pause_on_exceed, limit.alerts_enabled) == (["0.6", "1.0"], False, False)
    spent_by(owner, "2")
    assert can_make_api_call(owner, at=NOON), "a soft limit refuses nothing"
    update_budget_config(owner, pause_on_exceed=True, alert_threshold=1, at=NOON)
    assert BudgetLimit.objects.get().thresholds == ["1"]
    assert not can_make_api_call(owner, at=NOON)


@pytest.mark.parametrize(
    "wrong, field",
    [
        ({"daily_limit": "-1"}, "daily_limit"),
        ({"daily_limit": "NaN"}, "daily_limit"),
        ({"monthly_limit": "1e999"}, "monthly_limit"),
        ({"monthly_limit": True}, "monthly_limit"),
        ({"daily_limit": "0.0000000001"}, "daily_limit"),
        ({"alert_threshold": "0"}, "alert_threshold"),
        ({"alert_threshold": "1.1"}, "alert_threshold"),
        ({"pause_on_exceed": "yes"}, "pause_on_exceed"),
    ],
)
def test_a_wrong_value_is_named_and_nothing_changes(owner, wrong, field):
    with pytest.raises(ValidationError) as error:
        update_budget_config(owner, **{"daily_limit": 5, "alerts_enabled": False, **wrong}, at=NOON)
    assert set(error.value.message_dict) == {field}
    assert not BudgetLimit.objects.exists()
    assert get_budget_status(owner, at=NOON).alerts_enabled


def test_a_users_day_is_his_own(owner):
    owner.time_zone = "Pacific/Auckland"
    owner.save()
    status = update_budget_config(owner, daily_limit=1, at=NOON)
    assert status.resets_at["daily"].astimezone(UTC).hour == 12


# --- What may be a limit


@pytest.mark.parametrize(
    "fields, field, words",
    [
        ({"amount": Decimal(-1)}, "amount", "cannot be negative"),
        ({"amount": Decimal("0.0000000001")}, "amount", "nine decimal places"),
        ({"scope": "feature"}, "target", "the name of a feature"),
        ({"scope": "tag", "target": "team"}, "target", "team=search"),
        ({"scope": "everyone", "target": "x"}, "target", "names no target"),
        ({"scope": "user"}, "user", "which user"),
        ({"scope": "group"}, "group", "which group"),
        ({"time_zone": "Mars/Olympus"}, "time_zone", "Europe/Vienna"),
        ({"month_start": 32}, "month_start", "1 to 31"),
        ({"thresholds": [0.8, 0]}, "thresholds", "share of the limit"),
        ({"thresholds": ["0.8", "0.80"]}, "thresholds", "twice"),
        ({"thresholds": "0.8"}, "thresholds", "list"),
        ({"active_from": NOON, "active_until": NOON - timedelta(days=1)}, "active_until", "before it begins"),
        ({"active_until": datetime.max.replace(tzinfo=UTC)}, "active_until", "before the year 3000"),
        ({"period": "decade"}, "period", "not a valid choice"),
    ],
)
def test_validation_says_what_is_wrong_in_words(fields, field, words):
    limit = BudgetLimit(**{"scope": "everyone", "period": "day", "amount": Decimal(1), **fields})
    with pytest.raises(ValidationError) as error:
        limit.full_clean()
    assert words in " ".join(error.value.message_dict[field])


def test_an_own_limit_can_only_be_for_oneself(owner, member):
    with pytest.raises(ValidationError, match="only be for that user"):
        make_limit("1", scope="user", user=owner, owner=member)


def test_floats_and_strings_are_thresholds(owner):
    make_limit("1", thresholds=[0.5, "0.9", 1])
    assert book.current().limits[0].thresholds == (Decimal("0.5"), Decimal("0.9"), Decimal(1))


# --- The settings


def test_limits_of_the_settings_hold_for_each_user_and_analysis(settings, owner, member):
    settings.USER_DAILY_MAX_USD, settings.ANALYSIS_MAX_USD = Decimal("0.5"), Decimal("0.2")
    operations.forget()
    assert reserve(call_at(user=owner.pk), hold_id=new_id(), amount=Decimal("0.5"))
    with pytest.raises(BudgetExceeded, match="Daily limit of each user"):
        reserve(call_at(user=owner.pk), hold_id=new_id(), amount=Decimal("0.1"))
    post(call_at(user=member.pk, analysis="a"), call_id=new_id(), cost=Decimal("0.2"), now=NOON)
    with pytest.raises(BudgetExceeded, match="Limit of each analysis") as refused:
        reserve(call_at(user=member.pk, analysis="a"), hold_id=new_id(), amount=Decimal("0.1"))
    assert refused.value.refusal.resets_at is None
    assert "does not reset" in refused.value.refusal.message


def test_a_changed_setting_changes_its_limit_and_an_empty_one_ends_it(settings, owner):
    settings.USER_DAILY_MAX_USD = Decimal(1)
    set_default_limits()
    set_default_limits()
    settings.USER_DAILY_MAX_USD = Decimal(2)
    set_default_limits()
    limit = BudgetLimit.objects.get()
    assert (limit.amount, limit.pause_on_exceed, limit.scope) == (2, True, "each_user")
    settings.USER_DAILY_MAX_USD = None
    set_default_limits()
    limit.refresh_from_db()
    assert limit.active_until is not None
    settings.USER_DAILY_MAX_USD = Decimal(2)
    set_default_limits()
    limit.refresh_from_db()
    assert limit.active_until is None
    assert LimitChange.objects.filter(limit=limit).count() == 4


# --- Where they stand


def test_standings_say_what_is_left_and_how_it_looks(owner, member):
    make_limit("10", name="All")
    make_limit("1", scope="each_user", name="Each")
    make_limit("0.5", scope="user", user=member, period="month", pause_on_exceed=False, name="Bob")
    spent_by(owner, "0.85")
    spent_by(member, "1.2")
    reserve(call_at(user=owner.pk), hold_id=new_id(), amount=Decimal("0.1"))
    lines = {(line.name, line.subject): line for line in standings(at=NOON)}
    assert {key: (line.status, str(line.percent)) for key, line in lines.items()} == {
        ("All", ""): ("ok", "20.5"),
        ("Each", f"user:{owner.pk}"): ("warning", "85.0"),
        ("Each", f"user:{member.pk}"): ("paused", "120.0"),
        ("Bob", f"user:{member.pk}"): ("exceeded", "240.0"),
    }
    of_owner = lines["Each", f"user:{owner.pk}"]
    assert (of_owner.held, of_owner.remaining) == (Decimal("0.1"), Decimal("0.05"))
    assert lines["Each", f"user:{member.pk}"].overrun == Decimal("0.2")
    assert {line.name for line in standings_of_user(owner.pk, at=NOON)} == {"All", "Each"}
    assert {line.name for line in standings_for(call_at())} == {"All"}


def test_a_limit_that_nobody_has_touched_stands_at_what_the_ledger_says():
    spend("0.5")
    make_limit("1")
    [line] = standings(at=NOON)
    assert (line.window_id, line.spent, line.remaining) == (None, Decimal("0.5"), Decimal("0.5"))


# --- When the database is away


class Away:
    """Every statement fails as if the server had gone."""

    def __call__(self, execute, sql, params, many, context):
        raise OperationalError("server closed the connection unexpectedly")


def test_a_hard_limit_refuses_within_a_second_while_the_database_is_away():
    make_limit("1")
    book.current()
    start = time.monotonic()
    with connection.execute_wrapper(Away()), pytest.raises(BudgetUnavailable):
        reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1"))
    assert time.monotonic() - start < 1


def test_a_soft_limit_lets_calls_pass_while_the_database_is_away():
    make_limit("1", pause_on_exceed=False)
    book.current()
    with connection.execute_wrapper(Away()):
        assert reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1")) is None


def test_a_process_that_never_saw_the_limits_refuses_while_the_database_is_away(owner):
    operations.forget()
    with connection.execute_wrapper(Away()):
        with pytest.raises(BudgetUnavailable):
            reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1"))
        assert can_make_api_call(owner, at=NOON) is False


def test_a_connection_that_was_cut_is_opened_again():
    if connection.vendor != "postgresql":
        pytest.skip("SQLite has no server that could cut a connection")
    make_limit("1")
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        [pid] = cursor.fetchone()
    other = connection.copy()
    with other.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s)", [pid])
    other.close()
    assert reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1")).state == "open"


def test_looking_limits_up_does_not_wait_for_a_writer():
    """On SQLite a transaction takes the write lock, which another process may hold for seconds."""
    make_limit("1", scope="feature", target="x")
    other = connection.copy()
    other.set_autocommit(False)
    with other.cursor() as cursor:
        cursor.execute("BEGIN IMMEDIATE" if connection.vendor == "sqlite" else "SELECT 1")
        cursor.execute("UPDATE budgets_limitbook SET id = 1")
        start = time.monotonic()
        assert reserve(call_at(), hold_id=new_id(), amount=Decimal("0.1")) is None
        assert time.monotonic() - start < 1
    other.rollback()
    other.close()


@pytest.mark.parametrize(
    ("target", "model", "counts"),
    [
        ("gpt-4o", "gpt-4o", True),
        ("gpt-4o", "gpt-4o-2024-08-06", True),
        ("openai/gpt-4o", "gpt-4o-2024-08-06", True),
        ("claude-haiku-4-5", "claude-haiku-4-5-20251001", True),
        ("gpt-4o", "gpt-4o-mini", False),
        ("gpt-4o", "gpt-4o-mini-2024-07-18", False),
        ("gpt-4o-2024-08-06", "gpt-4o", False),
        ("gpt-4o*", "gpt-4o-mini", True),
    ],
)
def test_a_model_counts_its_dated_versions(target, model, counts):
    make_limit("0", scope="model", target=target)
    call = call_at(model=model, provider="openai")
    assert (operations.check(call, amount=Decimal("0.01")) is not None) == counts


def test_a_provider_is_the_same_however_it_is_written():
    assert make_limit("0", scope="provider", target="OpenAI").target == "openai"
    with pytest.raises(BudgetExceeded):
        reserve(call_at(provider="openai"), hold_id=new_id(), amount=Decimal(1))


def test_more_than_a_thousand_limits_stand_side_by_side():
    BudgetLimit.objects.bulk_create(
        BudgetLimit(scope="feature", target=f"feature {n}", period=period, amount=Decimal(1), time_zone="UTC")
        for n in range(600) for period in ("day", "month")
    )  # fmt: skip
    post(call_at(feature="feature 7"), call_id=new_id(), cost=Decimal("0.25"), now=NOON)
    operations.forget()
    lines = standings(at=NOON)
    assert len(lines) == 1200
    assert [line.name for line in lines if line.spent] == [
        "$1.00 per day for feature feature 7",
        "$1.00 per month for feature feature 7",
    ]


def test_an_increase_that_would_last_for_ever_is_none(owner):
    limit = make_limit("1")
    for until, words in ((NOON, "ended already"), (datetime.max.replace(tzinfo=UTC), "a year at most")):
        with pytest.raises(ValidationError, match=words):
            ask_increase(limit, amount=Decimal(1), until=until, why="a launch", by=owner, at=NOON)


@pytest.mark.parametrize("user", [10**30, -1, 0])
def test_a_number_that_is_nobodys_has_no_window(user):
    make_limit("0", scope="each_user")
    assert reserve(call_at(user=user), hold_id=new_id(), amount=Decimal(1)) is None
    assert emails_of([user]) == {}


def test_a_user_who_has_moved_gets_days_of_his_new_zone_when_he_sets_his_budget_again(owner):
    update_budget_config(owner, daily_limit=5, at=NOON)
    owner.time_zone = "Asia/Tokyo"
    owner.save()
    status = update_budget_config(owner, daily_limit=6, at=NOON)
    assert status.resets_at["daily"] == NOON.replace(hour=15)
