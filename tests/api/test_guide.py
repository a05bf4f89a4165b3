"""The guide's curl lines and Python run as they stand, against a running server; the reference is that of the code."""

import contextlib
import io
import re
import subprocess
from decimal import Decimal
from pathlib import Path

import pytest

from budgets import operations
from budgets.models import BudgetLimit
from costwatch.api.reference import reference

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "docs/guides/api.md").read_text()


def blocks(language: str) -> str:
    return "\n".join(re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.S | re.M))


@pytest.fixture
def at_work(transactional_db, ledger, owner):
    ledger.call(owner, feature="pitch", tags={"team": "blue"})
    ledger.call(owner, feature="critique", analysis="track-1")
    BudgetLimit.objects.create(scope="each_user", period="month", amount=Decimal(50), time_zone="UTC")
    operations.forget()


@pytest.mark.skipif(not all(Path(f"/usr/bin/{name}").exists() for name in ("curl", "jq")), reason="needs curl and jq")
def test_the_curl_lines(live_server, at_work):
    script = blocks("bash").replace("http://localhost:8000", live_server.url)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0:2] == ["0.0009", "0.0009"]
    assert '"ledger"' in lines and '"total_usd": "0.00045",' in done.stdout.replace("  ", "")
    assert '"dailyLimit": 10' in done.stdout and "today, week, month" in lines[-2]
    assert "null" not in (lines[0], lines[1])


def test_the_python_lines(live_server, at_work, owner, monkeypatch):
    from tests.api.conftest import login_of

    monkeypatch.setenv("COSTWATCH", live_server.url)
    monkeypatch.setenv("TOKEN", login_of(owner).token)
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(compile(blocks("python"), "api.md", "exec"), {"__name__": "__docs__"})
    lines = said.getvalue().splitlines()
    assert lines[:2] == ["critique 0.00045 1", "pitch 0.00045 1"]
    assert [line.split()[1:] for line in lines[2:4]] == [["gpt-4o-mini", "0.00045"]] * 2
    assert lines[4:] == ["each_user month 0.0009 of 50 ok", "asked"]


def test_the_reference_is_that_of_the_code():
    assert (ROOT / "docs/reference/api.md").read_text() == reference(), (
        "run: .venv/bin/python -m costwatch.api.reference > docs/reference/api.md"
    )
