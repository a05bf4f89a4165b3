"""How many calls a second a budget can hold money for and settle, and how long one waits. Prints one line of JSON.

On PostgreSQL (TEST_POSTGRES_URL; skipped where none answers) with synchronous commit: 16 clients on one budget, 16
clients on three of twenty budgets each time, and one idle client. On SQLite: 8 writers on one budget. Beside each hot
budget stands its physical limit in the same run: as many clients that only add to one row and commit, twice a pair.

Bounds: PostgreSQL one budget 200/s with p99 under 300 ms, twenty budgets 250/s; SQLite 150/s without an error; idle
3 ms for reserving. `--check` fails when they are exceeded.
"""

import argparse
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/costwatch")
SECONDS = 4.0
WARM_UP_S = 0.5
NOON = datetime(2026, 5, 13, 12, tzinfo=UTC)
fork = multiprocessing.get_context("fork")


def clients(number: int, work: Callable[[int], Callable[[], tuple[float, float]]]) -> dict:
    """Run `work(n)()` in so many processes for a while; it returns the seconds of reserving and of settling."""
    from django.db import connections

    from budgets import connections as apart
    from budgets import operations

    apart.shut_down()
    connections.close_all()
    answers = fork.Queue()
    begins = time.monotonic() + 0.3

    def run(n: int) -> None:
        operations.forget()
        one, times, errors, failures = work(n), [], 0, set()
        time.sleep(max(0, begins - time.monotonic()))
        while (now := time.monotonic()) < begins + WARM_UP_S + SECONDS:
            try:
                took = one()
            except Exception as error:
                errors += 1
                failures.add(repr(error)[:200])
                continue
            if now > begins + WARM_UP_S:
                times.append(took)
        answers.put((times, errors, sorted(failures)))

    children = [fork.Process(target=run, args=(n,)) for n in range(number)]
    for child in children:
        child.start()
    results = [answers.get() for _ in children]
    for child in children:
        child.join()
    times = [took for found, _, _ in results for took in found]
    both = sorted(sum(took) for took in times)
    return {
        "clients": number,
        "pairs_s": round(len(times) / SECONDS),
        "p50_ms": round(both[len(both) // 2] * 1000, 2),
        "p99_ms": round(both[int(len(both) * 0.99)] * 1000, 2),
        "reserve_p50_ms": round(statistics.median(took[0] for took in times) * 1000, 2),
        "errors": sum(errors for _, errors, _ in results),
        **({"failures": failures} if (failures := sorted({f for _, _, found in results for f in found})) else {}),
    }


def pairs(tags: Callable[[random.Random], dict[str, str]]) -> Callable[[int], Callable[[], tuple[float, float]]]:
    """Reserve and settle a call with the tags that `tags` chooses."""
    from budgets.calls import Call
    from budgets.operations import reserve, settle

    def of_client(n: int) -> Callable[[], tuple[float, float]]:
        chance = random.Random(n)

        def one() -> tuple[float, float]:
            hold_id, call = uuid.uuid4(), Call(at=NOON, tags=tags(chance))
            start = time.perf_counter()
            reserve(call, hold_id=hold_id, amount=Decimal("0.01"))
            held = time.perf_counter()
            settle(hold_id, cost=Decimal("0.004"), now=NOON)
            return held - start, time.perf_counter() - held

        return one

    return of_client


def bare(window_id: int) -> Callable[[int], Callable[[], tuple[float, float]]]:
    """The physical limit: two transactions that each add to the one hot row, and nothing else."""
    from django.db import connection, transaction

    def add() -> float:
        start = time.perf_counter()
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("UPDATE budgets_budgetwindow SET held = held + 1 WHERE id = %s", [window_id])
        return time.perf_counter() - start

    return lambda n: lambda: (add(), add())


def limit(name: str, amount: str = "1000000"):
    from budgets.models import BudgetLimit

    made = BudgetLimit(scope="tag", target=f"{name}=1", period="day", amount=Decimal(amount), time_zone="UTC")
    made.save()
    return made


def measure() -> dict:
    """Everything on the database that the environment names."""
    sys.path.insert(0, str(ROOT))
    os.environ["DJANGO_SETTINGS_MODULE"] = "costwatch.settings"
    import django

    django.setup()
    from django.db import connection
    from django.test.utils import setup_databases, teardown_databases

    connection.settings_dict["TEST"]["NAME"] = os.environ["BENCHMARK_NAME"]
    made = setup_databases(verbosity=0, interactive=False, aliases={"default"})
    try:
        return postgres() if connection.vendor == "postgresql" else sqlite()
    finally:
        teardown_databases(made, verbosity=0)


def postgres() -> dict:
    from django.db import connection

    from budgets.models import BudgetWindow

    with connection.cursor() as cursor:
        cursor.execute("SHOW synchronous_commit")
        commit = cursor.fetchone()[0]
    for n in range(20):
        limit(f"t{n}")
    idle = clients(1, pairs(lambda chance: {"t0": "1"}))
    hot = clients(16, pairs(lambda chance: {"t0": "1"}))
    spread = clients(16, pairs(lambda chance: dict.fromkeys((f"t{n}" for n in chance.sample(range(20), 3)), "1")))
    window = BudgetWindow.objects.order_by("id")[0].pk
    physical = clients(16, bare(window))
    return {
        "synchronous_commit": commit,
        "idle": idle,
        "one_budget": hot,
        "one_row_twice": physical,
        "twenty_budgets": spread,
        "of_physical": round(hot["pairs_s"] / physical["pairs_s"], 2),
        "ok": hot["pairs_s"] >= 200
        and hot["p99_ms"] < 300
        and spread["pairs_s"] >= 250
        and not hot["errors"] + spread["errors"]
        and idle["reserve_p50_ms"] <= 3,
    }


def sqlite() -> dict:
    from budgets.models import BudgetWindow

    limit("t0")
    hot = clients(8, pairs(lambda chance: {"t0": "1"}))
    physical = clients(8, bare(BudgetWindow.objects.get().pk))
    return {
        "one_budget": hot,
        "one_row_twice": physical,
        "of_physical": round(hot["pairs_s"] / physical["pairs_s"], 2),
        "ok": hot["pairs_s"] >= 150 and not hot["errors"],
    }


def main() -> int:
    """Measure, print, and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound is exceeded")
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.here:
        print(json.dumps(measure()))
        return 0
    result: dict = {"benchmark": "reserve_settle"}
    with tempfile.TemporaryDirectory() as folder:
        for name, url in (("sqlite", ""), ("postgres", POSTGRES_URL)):
            if url and not answers(url):
                result[name] = "skipped: none answers at TEST_POSTGRES_URL"
                continue
            database = f"{folder}/benchmark.sqlite3" if not url else f"costwatch_benchmark_{os.getpid()}"
            environment = {**os.environ, "DATABASE_URL": url, "DATA_DIR": folder, "ENV_FILE": ""}
            environment |= {"BENCHMARK_NAME": database, "COSTWATCH_ENV": "development"}
            command = [sys.executable, __file__, "--here"]
            done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
            if done.returncode:
                print(done.stderr, file=sys.stderr)
                return 1
            result[name] = json.loads(done.stdout)
    result["ok"] = all(part["ok"] for part in result.values() if isinstance(part, dict))
    print(json.dumps(result))
    return 0 if result["ok"] or not arguments.check else 1


def answers(url: str) -> bool:
    """Whether a PostgreSQL answers there; the database itself need not exist."""
    import psycopg

    try:
        psycopg.connect(url.rpartition("/")[0] + "/postgres", connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
