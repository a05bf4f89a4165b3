"""How many calls a second leave as a file, and how much memory grows meanwhile. One JSON line per format.

python benchmarks/export.py                               # on SQLite
python benchmarks/export.py --database-url postgres://... # in a database of its own on that server
"""

import argparse
import json
import resource
import sys
import time
import uuid
from datetime import UTC, datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from own_database import own_database  # noqa: E402
from recorder import make_events, set_up  # noqa: E402


def fill(rows: int) -> None:
    """A ledger of `rows` calls: 5,000 different ones, again and again, a little later each time."""
    from tracking import ledger
    from tracking.rows import COLUMNS, current_pricing, row_of, row_values

    pricing, now = current_pricing(), datetime.now(UTC)
    made = [row_of(event, now=now, user_id=event.user, pricing=pricing) for event in make_events(5_000, 1)]
    start = datetime(2026, 10, 2)
    ledger.ensure_months({"2026-10"})
    for first in range(0, rows, 5_000):
        for index, row in enumerate(made[: rows - first]):
            row.id = uuid.uuid4().hex
            row.occurred_at = str(start + timedelta(milliseconds=300 * (first + index)))
        ledger.insert_rows(COLUMNS, [row_values(row) for row in made[: rows - first]])


def memory_mb() -> float:
    """The memory this process uses now, in megabytes."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 2**20


def run(rows: int) -> None:
    from django.core.management import call_command
    from django.db import connection

    from tracking.exports import FORMATS, Wanted, export

    call_command("migrate", verbosity=0)
    fill(rows)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE tracking_apiusagelog")
    month = Wanted(start=datetime(2026, 10, 1, tzinfo=UTC), end=datetime(2026, 11, 1, tzinfo=UTC))
    short = Wanted(start=month.start, end=datetime(2026, 10, 2, 0, 10, tzinfo=UTC))
    for format in FORMATS:
        sum(len(piece) for piece in export(short, format=format).pieces)  # warm
        before, most, size = memory_mb(), 0.0, 0
        began = time.perf_counter()
        for number, piece in enumerate(export(month, format=format).pieces):
            size += len(piece)
            if number % 20 == 0:
                most = max(most, memory_mb())
        took = time.perf_counter() - began
        line = {"benchmark": "export", "database": connection.vendor, "format": format, "rows": rows}
        line |= {"rows_per_s": round(rows / took), "megabytes": round(size / 2**20)}
        print(json.dumps({**line, "memory_growth_mb": round(max(most - before, 0), 1)}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", default="", help="a PostgreSQL server; SQLite in a temporary file without")
    parser.add_argument("--rows", type=int, default=100_000)
    options = parser.parse_args()
    with own_database(options.database_url):
        set_up()
        run(options.rows)


if __name__ == "__main__":
    main()
