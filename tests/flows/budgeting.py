"""What stories about budgets share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

QUESTION = [{"role": "user", "content": "What did we spend?"}]


def limit_of(amount: str, *, scope: str = "everyone", period: str = "month", **fields: Any):
    """A hard limit that counts from now on in this process."""
    from budgets import operations
    from budgets.models import BudgetLimit

    limit = BudgetLimit(
        scope=scope, period=period, amount=Decimal(amount), **{"time_zone": "UTC", "name": "The team's month", **fields}
    )
    limit.full_clean()
    limit.save()
    operations.forget()
    return limit


def ask(client: Any, model: str = "gpt-4o", **more: Any) -> Any:
    """One small question."""
    return client.chat.completions.create(model=model, messages=QUESTION, **{"max_completion_tokens": 100, **more})


def standing() -> tuple[Decimal, Decimal]:
    """Spent and held of the only window."""
    from budgets.models import BudgetWindow

    window = BudgetWindow.objects.get()
    return window.spent, window.held


def assert_budgets_agree(ledger: Any) -> None:
    """Windows, holds and ledger say the same, and nothing is left open."""
    from budgets.audit import audit_budgets
    from budgets.models import Hold

    ledger.settle()
    audit = audit_budgets(at=datetime.now(UTC))
    assert audit.is_clean, audit.differences
    assert not Hold.objects.filter(state="open").exists()


@contextmanager
def counted_queries() -> Iterator[list[str]]:
    """The statements of this thread's connection."""
    from django.db import connection

    statements: list[str] = []

    def note(execute, sql, params, many, context):
        statements.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(note):
        yield statements
