# ruff: noqa: E402  (Django is set up before what needs it is imported)
"""What a budget adds to a call: guarded against unguarded, in one run. Prints one line of JSON.

Needs a database of its own (`DATABASE_URL`); makes a limit in it and ends it afterwards. Bound: 3 ms on PostgreSQL,
idle; and, where limits exist but none applies, 20 us. `--check` fails when they are exceeded.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")
os.environ["SPOOL_DIR"] = tempfile.mkdtemp(prefix="costwatch-guarded-")

import django

django.setup()

import httpx2
import openai
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from benchmarks.metering import ANSWER
from budgets import operations
from budgets.changes import end_limit
from budgets.gate import BudgetGate
from budgets.models import BudgetLimit
from tracking.gate import OPEN
from tracking.instrument import instrument

CALLS = 400
GUARDED_MS, FREE_US = 3.0, 20.0
MESSAGES = [{"role": "user", "content": "What did we spend? " * 20}]


def client(gate) -> openai.OpenAI:
    """A metered client whose provider answers at once, and whose events go nowhere."""

    def handler(request):
        return httpx2.Response(200, headers={"content-type": "application/json"}, content=ANSWER)

    made = openai.OpenAI(api_key="local", http_client=httpx2.Client(transport=httpx2.MockTransport(handler)))
    return instrument(made, sink=lambda event: None, gate=gate)


def medians_us(clients: dict) -> dict[str, float]:
    """The median of a call of each client, taken in turns."""
    times = {name: [] for name in clients}
    for number in range(CALLS + 20):
        for name, one in clients.items():
            start = time.perf_counter_ns()
            one.chat.completions.create(model="gpt-4o", messages=MESSAGES, max_completion_tokens=200)
            if number >= 20:
                times[name].append((time.perf_counter_ns() - start) / 1000)
    return {name: statistics.median(found) for name, found in times.items()}


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is exceeded")
    check = parser.parse_args().check
    call_command("migrate", verbosity=0)
    limits = [BudgetLimit(name="benchmark, another feature", scope="feature", target="other", period="day", amount=1)]
    limits[0].save()
    operations.forget()
    gate = BudgetGate()
    try:
        free = medians_us({"open": client(OPEN), "none_applies": client(gate)})
        limits.append(BudgetLimit(name="benchmark", scope="everyone", period="day", amount=1_000_000))
        limits[1].save()
        operations.forget()
        held = medians_us({"open": client(OPEN), "guarded": client(gate)})
    finally:
        for limit in limits:
            end_limit(limit, at=timezone.now(), why="the benchmark is over")
    result = {
        "benchmark": "guarded_call",
        "database": connection.vendor,
        "call_us": round(held["open"], 1),
        "guarded_adds_ms": round((held["guarded"] - held["open"]) / 1000, 3),
        "none_applies_adds_us": round(free["none_applies"] - free["open"], 1),
        "bounds": {"guarded_ms": GUARDED_MS, "none_applies_us": FREE_US},
    }
    result["ok"] = result["guarded_adds_ms"] <= GUARDED_MS and result["none_applies_adds_us"] <= FREE_US
    print(json.dumps(result))
    return 0 if result["ok"] or not check else 1


if __name__ == "__main__":
    sys.exit(main())
