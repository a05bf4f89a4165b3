"""Calls of which nothing was ever heard: counted at what was held, and corrected when the truth arrives."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command

from budgets import operations, tasks
from budgets.audit import audit_budgets
from budgets.models import BudgetWindow, Hold
from budgets.sweeping import sweep_holds
from tests.budgets.conftest import NOON, call_at, make_limit, money, new_id, the_window
from tracking.audit import audit
from tracking.events import CallEvent
from tracking.models import ApiUsageLog
from tracking.recording import record

pytestmark = [pytest.mark.database, pytest.mark.usefixtures("own_db", "at_once")]
LATER = NOON + timedelta(hours=1)


@pytest.fixture
def silent(member) -> uuid.UUID:
    """A call that held 40 cents and was never heard of again."""
    make_limit("1", scope="each_user")
    hold = new_id()
    call = call_at(
        user=member.pk, provider="openai", model="gpt-4o", operation="chat", feature="mail", tags={"team": "a"}
    )
    operations.reserve(call, hold_id=hold, amount=Decimal("0.40"))
    return hold


def assert_all_agrees() -> None:
    found = audit_budgets(at=LATER)
    assert found.is_clean, found.differences
    assert audit().differences == []


def test_it_waits_until_the_hold_has_expired(silent):
    assert sweep_holds(now=NOON + timedelta(minutes=14)) == 0
    assert money(the_window()) == ("0", "0.4")


def test_the_ledger_gets_a_row_of_the_calls_own_id_and_the_window_counts_it(silent, member):
    assert sweep_holds(now=LATER) == 1
    row = ApiUsageLog.objects.get()
    assert (row.id, row.status, row.cost, row.quality) == (silent, "unknown", Decimal("0.4"), "estimated")
    assert (row.user_id, row.feature, row.model, row.tags) == (member.pk, "mail", "gpt-4o", {"team": "a"})
    assert row.occurred_at == NOON
    assert money(the_window()) == ("0.4", "0")
    assert Hold.objects.get().state == "expired"
    assert_all_agrees()


def test_sweeping_twice_writes_and_counts_once(silent):
    assert [sweep_holds(now=LATER), sweep_holds(now=LATER)] == [1, 0]
    assert ApiUsageLog.objects.count() == 1
    assert money(the_window()) == ("0.4", "0")


def test_a_sweeper_that_died_between_its_two_steps_is_finished_by_the_next(silent, monkeypatch):
    def die(*_args, **_kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(operations, "expire", die)
        with pytest.raises(KeyboardInterrupt):
            sweep_holds(now=LATER)
    sweep_holds(now=LATER)
    assert ApiUsageLog.objects.count() == 1
    assert money(the_window()) == ("0.4", "0")
    assert_all_agrees()


def test_the_truth_that_arrives_late_corrects_ledger_and_window(silent, member):
    sweep_holds(now=LATER)
    truth = CallEvent(
        id=str(silent), at_us=int(NOON.timestamp()) * 1_000_000, provider="openai", operation="chat", endpoint="",
        model_asked="gpt-4o", user=member.pk, feature="mail", tags={"team": "a"}, quality="exact", cost_usd="0.03",
    )  # fmt: skip
    for _ in range(2):
        record([truth], now=LATER)
    assert sum(row.cost for row in ApiUsageLog.objects.all()) == Decimal("0.03")
    assert money(the_window()) == ("0.03", "0")
    assert_all_agrees()


def test_a_background_answer_that_never_came_is_counted_at_its_hold_and_set_right_when_it_comes(silent, member):
    creation = {
        "at_us": int(NOON.timestamp()) * 1_000_000, "provider": "openai", "operation": "chat", "endpoint": "",
        "model_asked": "gpt-4o", "user": member.pk, "result_key": "openai:resp_1",
    }  # fmt: skip
    record([CallEvent(id=str(silent), kind="pending", status="pending", **creation)], now=NOON)
    assert money(the_window()) == ("0", "0.4")  # it is still running
    assert sweep_holds(now=LATER) == 0  # and may do so for long

    Hold.objects.update(expires_at=LATER)
    assert sweep_holds(now=LATER) == 1
    assert money(the_window()) == ("0.4", "0")
    assert ApiUsageLog.objects.count() == 1, "it has its row already"
    assert sweep_holds(now=LATER) == 0

    usage = {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500}
    came = CallEvent(id=str(new_id()), kind="result", quality="exact", usage=usage, **creation)
    record([came], now=LATER)
    assert money(the_window()) == ("0.0075", "0")
    assert_all_agrees()


def test_the_task_sweeps_as_of_now(silent):
    assert tasks.sweep_expired_holds() == 1
    assert tasks.sweep_expired_holds() == 0


def test_the_audit_command_says_what_is_wrong_and_repairs_it(silent, capsys):
    sweep_holds(now=LATER)
    call_command("audit", budgets=True)
    assert "Everything adds up." in capsys.readouterr().out
    BudgetWindow.objects.update(spent=Decimal("0.9"), held=Decimal("0.000000001"))

    with pytest.raises(CommandError, match="differences"):
        call_command("audit", budgets=True)
    said = capsys.readouterr().out
    assert "should have 0.4 USD spent; it is 0.9" in said
    assert "should have 0 USD held; it is 0.000000001" in said

    call_command("audit", budgets=True, fix=True)
    said = capsys.readouterr().out
    assert "it was 0.9, and is set right" in said
    assert money(the_window()) == ("0.4", "0")
    assert_all_agrees()


def test_a_hold_that_differs_from_the_ledger_is_repaired_with_its_window(silent, capsys):
    operations.settle(silent, cost=Decimal("0.05"), now=LATER)
    truth = CallEvent(
        id=str(silent), at_us=int(NOON.timestamp()) * 1_000_000, provider="openai", operation="chat", endpoint="",
        model_asked="gpt-4o", user=the_window().subject.partition(":")[2], quality="exact", cost_usd="0.05",
    )  # fmt: skip
    record([truth], now=LATER)
    Hold.objects.update(cost=Decimal("0.07"))
    BudgetWindow.objects.update(spent=Decimal("0.07"))

    call_command("audit", budgets=True, fix=True)

    assert "should have 0.05 USD cost; it was 0.07, and is set right" in capsys.readouterr().out
    assert money(the_window()) == ("0.05", "0")
    assert_all_agrees()


def test_repairing_needs_to_be_told_what():
    with pytest.raises(CommandError, match="use it with --budgets"):
        call_command("audit", fix=True)
