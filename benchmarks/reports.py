"""How long grouped sums take, by every combination that rollups have, over 30 and 90 days and the year.

    python benchmarks/reports.py --database-url postgres://.../big --small postgres://.../small

The databases are read as they are (fill.py makes them). Each combination is asked of the domain function and, with
`--http`, of the endpoint; a page of 100 groups. One JSON line for the median and the worst of each period, and with
`--each` one for each combination. `--small` runs the same on another database, and tells the ratio.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

DAYS = (30, 90, 365)
LIMIT = 100


def asked() -> list[tuple[str, ...]]:
    """Every one or two dimensions that some rollup has together."""
    from tracking.reports import _SOURCES, TIMES

    found: set[tuple[str, ...]] = {(time,) for time in TIMES}
    for source in _SOURCES:
        names = sorted(source.has)
        times = TIMES if source.by == "hour" else TIMES[1:]
        found |= {(name,) for name in names} | set(combinations(names, 2))
        found |= {(time, name) for time in times for name in names}
    return sorted(found)


def timed(call, rounds: int) -> float:
    call()
    took = []
    for _ in range(rounds):
        began = time.perf_counter()
        call()
        took.append((time.perf_counter() - began) * 1000)
    return statistics.median(took)


def calls_of(http: bool):
    """From a combination and its days to the function that asks for it."""
    from tracking.reports import Ask, report

    end = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    if not http:
        return lambda group_by, days: (
            lambda: report(Ask(group_by=group_by, start=end - timedelta(days=days), end=end), max_rows=0, limit=LIMIT)
        )
    from django.test import Client

    from costwatch.accounts.keys import create_key
    from costwatch.accounts.models import User

    dora = User.objects.get(email="dora@example.com")
    _, secret = create_key(dora, name="benchmark", scopes=["read"], now=datetime.now(UTC))
    client = Client(headers={"Authorization": f"Bearer {secret}"})

    def ask(group_by: tuple[str, ...], days: int):
        since = (end - timedelta(days=days)).date()
        address = f"/api/v1/reports?user=all&group_by={','.join(group_by)}&since={since}&until={end.date()}"

        def get() -> None:
            response = client.get(address)
            assert response.status_code == 200, response.content[:500]

        return get

    return ask


def run(options: argparse.Namespace) -> None:
    from django.db import connection

    from tracking.models import ApiUsageLog

    ask = calls_of(options.http)
    base = {"benchmark": "reports", "database": connection.vendor, "way": "http" if options.http else "domain"}
    base |= {"ledger_to_nearest": _about(ApiUsageLog), "limit": LIMIT}
    for days in DAYS:
        took = {}
        for group_by in asked():
            took[group_by] = timed(ask(group_by, days), options.rounds)
            if options.each:
                line = {"days": days, "group_by": ",".join(group_by), "median_ms": round(took[group_by], 1)}
                print(json.dumps({**base, **line}), flush=True)
        slowest = sorted(took, key=took.get)[-3:]
        summary = {"days": days, "combinations": len(took), "n": options.rounds}
        summary |= {"median_ms": round(statistics.median(took.values()), 1), "worst_ms": round(max(took.values()), 1)}
        summary["slowest"] = {",".join(one): round(took[one], 1) for one in reversed(slowest)}
        print(json.dumps({**base, **summary}), flush=True)


def _about(model) -> int:
    """The size of the ledger, to two digits, without counting it: by the sums."""
    from django.db.models import Sum

    from tracking.models import DailyModelRollup

    count = DailyModelRollup.objects.aggregate(all=Sum("calls"))["all"] or 0
    return int(float(f"{count:.1e}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--small", default="", help="a database with fewer calls, to compare with")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--http", action="store_true")
    parser.add_argument("--each", action="store_true")
    options = parser.parse_args()
    if options.small:
        compare(options)
        return
    with tempfile.TemporaryDirectory(prefix="costwatch-bench-") as folder:
        os.environ |= {"DATA_DIR": folder, "DATABASE_URL": options.database_url, "ENV_FILE": "", "TIME_ZONE": "UTC"}
        os.environ |= {"ALLOWED_HOSTS": "testserver", "HTTPS_ONLY": "0", "DJANGO_SETTINGS_MODULE": "costwatch.settings"}
        os.environ["API_REQUESTS_PER_MINUTE"] = "1000000"
        import django

        django.setup()
        run(options)


def compare(options: argparse.Namespace) -> None:
    """Run both, one after the other in processes of their own, and divide."""
    found = []
    for url in (options.database_url, options.small):
        command = [sys.executable, __file__, "--database-url", url, "--rounds", str(options.rounds)]
        command += ["--http"] if options.http else []
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        print(output, end="", flush=True)
        found.append([json.loads(line) for line in output.splitlines()])
    for big, small in zip(*found, strict=True):
        ratio = {name: round(big[name] / small[name], 2) for name in ("median_ms", "worst_ms")}
        print(json.dumps({"benchmark": "reports", "days": big["days"], "way": big["way"], "ratio": ratio}))


if __name__ == "__main__":
    main()
