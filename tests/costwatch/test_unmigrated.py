"""Before the first `manage.py migrate`, commands say so in a sentence."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FILE = "tests/data/imports/litellm_spend_logs.csv"


@pytest.mark.parametrize(
    "line",
    [
        "audit",
        "estimate --provider openai --model gpt-4o --input-tokens 1000",
        pytest.param("monitor_ai_costs", marks=pytest.mark.slow),
        pytest.param("export -", marks=pytest.mark.slow),
        pytest.param(f"import_usage {FILE}", marks=pytest.mark.slow),
        pytest.param("recommend_budgets", marks=pytest.mark.slow),
    ],
)
def test_a_database_without_tables(line, tmp_path):
    environment = {**os.environ, "ENV_FILE": "", "DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    ran = subprocess.run(
        [sys.executable, "manage.py", *line.split()],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.strip() == "CommandError: The database lacks tables: run manage.py migrate."


def test_the_doctor_says_so_too(tmp_path):
    environment = {**os.environ, "ENV_FILE": "", "DATA_DIR": str(tmp_path), "DATABASE_URL": ""}
    environment.pop("DJANGO_SETTINGS_MODULE", None)
    ran = subprocess.run(
        [sys.executable, "manage.py", "doctor"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60
    )
    assert ran.returncode == 1 and "Traceback" not in ran.stderr and "migrate" in ran.stdout
