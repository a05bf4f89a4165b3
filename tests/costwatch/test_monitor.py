"""`manage.py monitor_ai_costs`: the second document's look at costs on the command line."""

import json
import os
import signal
import subprocess
import sys
import time
from decimal import Decimal
from io import StringIO

import pytest
from django.core.management import CommandError, call_command

from tests.costwatch.test_settings import ROOT


def monitor(**options) -> str:
    said = StringIO()
    call_command("monitor_ai_costs", stdout=said, **options)
    return said.getvalue()


def test_it_shows_all_that_the_document_lists(workspace, owner, member):
    workspace.call(user=owner, feature="pitch_generation")
    workspace.call(user=owner, feature="lyric_critique", model="gpt-4o", days_ago=2)
    workspace.call(user=member, feature="lyric_critique", model="house-model")
    said = monitor()
    for title in (
        "AI costs: 30 days",
        "Cost by feature",
        "Cost by model",
        "Top users",
        "Last 7 days",
        "Unpriced calls",
    ):
        assert title in said
    for name in ("pitch_generation", "lyric_critique", "gpt-4o", owner.email, member.email, "openai house-model"):
        assert name in said
    assert "█" in said
    assert "\x1b" not in said, "plain when piped"


def test_the_json_is_exact_and_complete(workspace, owner):
    workspace.call(user=owner, feature="a")
    workspace.call(user=owner, feature="a", model="house-model")
    report = json.loads(monitor(json=True))
    assert Decimal(report["totals"]["cost_usd"]) == Decimal("0.00045")
    assert (report["totals"]["calls"], report["totals"]["unpriced"]) == (2, 1)
    assert report["by_feature"][0]["feature"] == "a"
    assert report["top_users"][0]["email"] == owner.email
    assert len(report["last_7_days"]) == 7
    assert report["unpriced_calls"][0]["model"] == "house-model"


def test_one_users_costs_are_found_by_email_whatever_its_case(workspace, owner, member):
    workspace.call(user=owner, feature="hers")
    workspace.call(user=member, feature="his")
    said = monitor(user="ALICE@example.com")
    assert "hers" in said and "his" not in said.replace("this", "")
    assert "Top users" not in said


def test_the_days_are_bounded_and_counted_with_today(workspace, owner):
    workspace.call(user=owner)
    workspace.call(user=owner, days_ago=1.5)
    assert json.loads(monitor(days=1, json=True))["totals"]["calls"] == 1
    assert json.loads(monitor(days=3, json=True))["totals"]["calls"] == 2


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"days": 0}, "from 1 to 3660"),
        ({"days": -3}, "from 1 to 3660"),
        ({"interval": float("nan")}, "0.1 to 86400"),
        ({"user": "nobody@example.com"}, "no account"),
    ],
)
def test_what_makes_no_sense_is_refused_in_words(db, options, says):
    with pytest.raises(CommandError, match=says):
        monitor(**options)


def test_an_empty_workspace_has_a_report_too(db):
    said = monitor()
    assert "no calls" in said and "$0.00" in said


def test_names_cannot_write_to_the_terminal(workspace, owner):
    workspace.call(user=owner, feature="\x1b[2Jevil[bold red]", model="m\nx")
    said = monitor()
    assert "\x1b" not in said
    assert "?[2Jevil[bold red]" in said, "not read as markup either"


@pytest.mark.slow
def test_watching_shows_it_again_until_ctrl_c(tmp_path):
    environment = {**os.environ, "DATA_DIR": str(tmp_path), "ENV_FILE": "", "DATABASE_URL": "", "PYTHONUNBUFFERED": "1"}
    environment["DJANGO_SETTINGS_MODULE"] = "costwatch.settings"
    manage = [sys.executable, "manage.py"]
    subprocess.run([*manage, "migrate", "-v0"], env=environment, cwd=ROOT, check=True)
    watching = subprocess.Popen(
        [*manage, "monitor_ai_costs", "--watch", "--json", "--interval", "0.2"],
        env=environment, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a suite run in the background ignores it
    )  # fmt: skip
    lines = [watching.stdout.readline() for _ in range(3)]
    time.sleep(0.05)
    watching.send_signal(signal.SIGINT)
    _, errors = watching.communicate(timeout=20)
    assert len({json.loads(line)["at"] for line in lines}) == 3
    assert (watching.returncode, errors) == (0, "")
