"""The guide of each task of the API runs as it stands: its curl lines in bash, its Python, against a real server."""

import contextlib
import io
import os
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from budgets import operations
from budgets.models import BudgetLimit
from tests.api.conftest import key_for, login_of
from tracking.audit import audit
from tracking.models import ApiUsageLog

GUIDES = Path(__file__).resolve().parents[2] / "docs/guides"


def blocks(page: str, language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", (GUIDES / page).read_text(), re.S | re.M))


@pytest.fixture
def run(transactional_db, live_server, owner, tmp_path, monkeypatch):
    """What the curl lines of a page print, and what its Python prints."""
    operations.forget()
    told = {
        "COSTWATCH": live_server.url,
        "TOKEN": login_of(owner).token,
        "KEY": key_for(owner, "read", "ingest", "call"),
    }
    for name, value in told.items():
        monkeypatch.setenv(name, value)
    monkeypatch.chdir(tmp_path)

    def both(page: str) -> tuple[list[str], list[str]]:
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", blocks(page, "bash")],
            env=os.environ, capture_output=True, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 0, done
        said = io.StringIO()
        with contextlib.redirect_stdout(said):
            exec(compile(blocks(page, "python"), page, "exec"), {"__name__": "__docs__"})
        assert audit().ok
        return done.stdout.splitlines(), said.getvalue().splitlines()

    return both


def test_keys(run):
    curl, python = run("api-keys.md")
    assert curl == ['["nightly summaries","20",true]'] and python == ["month"]


def test_calls_that_are_planned(run, owner):
    limit = BudgetLimit.objects.create(scope="each_user", period="month", amount=Decimal(50), time_zone="UTC")
    operations.forget()
    curl, python = run("api-calls.md")
    assert curl == ["[true,500]", "settled", "0.0075", "0.00045"]
    assert python == ["True", "void", "gpt-4o 0.0075", "gpt-4o-mini 0.00045"]
    row, window = ApiUsageLog.objects.get(user_id=owner.pk), limit.windows.get()
    assert (row.model, row.feature, window.spent, window.held) == ("gpt-4o-mini", "summary", row.cost, 0)


def test_alerts(run, mailoutbox):
    curl, python = run("api-alerts.md")
    assert curl == ["true"] and "0" in python[-1]
    assert [mail.to for mail in mailoutbox] == [["alice@example.com"]]


def test_exports(run, owner, ledger):
    ledger.call(owner, feature="pitch")
    curl, python = run("export.md")
    assert curl == ["2"] and python == ["0.00045"]
