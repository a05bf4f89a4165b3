"""How long a page of calls takes at the newest, the middle and the oldest end of the ledger, by what is filtered by.

    python benchmarks/cursor.py --database-url postgres://.../big

The database is read as it is (fill.py makes one), a page of 50 calls of the year by `tracking.lists.newest`, from a
cursor at that place. One JSON line for each filter and place, and one for each filter with the ratio of the oldest page
to the newest. `unit` says what was measured: `cpu_ms` is the processor's time of this process alone (the database's is
left out, but it does not count others' load), `wall_ms` everything until the page is there.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

LIMIT = 50
#: Where the pages begin, as a part of the way from the newest call to the oldest: the oldest page is a whole one.
PLACES = {"newest": 0.0, "middle": 0.5, "oldest": 0.99}
UNITS = {"wall_ms": time.perf_counter, "cpu_ms": time.process_time}


def filters() -> dict[str, dict]:
    """What is filtered by: nothing, and what people filter by, each with something that is there."""
    from django.db.models import Sum

    from tracking.models import DailyFeatureRollup, DailyModelRollup, DailyUserRollup

    def by_calls(rollup, column: str):
        named = rollup.objects.exclude(**{column: 0 if column == "user_id" else ""})
        return list(named.order_by().values_list(column).annotate(all=Sum("calls")).order_by("-all", column))

    models = by_calls(DailyModelRollup, "model")
    return {
        "none": {},
        "user": {"user_id": by_calls(DailyUserRollup, "user_id")[0][0]},
        "model": {"filters": {"model": models[0][0]}},
        "feature": {"filters": {"feature": by_calls(DailyFeatureRollup, "feature")[0][0]}},
        "rare_model": {"filters": {"model": models[-1][0]}},
    }


def page_at(at: datetime, *, since: datetime, until: datetime, asked: dict):
    """What reads the page whose first call began at or before a moment."""
    from tracking.calls import _cursor
    from tracking.lists import _NOWHERE, Where, newest
    from tracking.models import ApiUsageLog

    where = Where(since=since, until=until, **asked)
    before = _cursor(ApiUsageLog(occurred_at=at, id=_NOWHERE))
    return lambda: newest(where, limit=LIMIT, before=before)


def measure(read, rounds: int) -> dict[str, float]:
    """The medians of some rounds after one that is not counted, in ms by unit."""
    read()
    took: dict[str, list[float]] = {unit: [] for unit in UNITS}
    for _ in range(rounds):
        began = {unit: clock() for unit, clock in UNITS.items()}
        read()
        for unit, clock in UNITS.items():
            took[unit].append((clock() - began[unit]) * 1000)
    return {unit: round(statistics.median(values), 2) for unit, values in took.items()}


def run(rounds: int) -> None:
    from django.db import connection

    from tracking.models import ApiUsageLog

    calls = ApiUsageLog.objects.filter(corrects=None)
    times = calls.order_by("occurred_at", "id").values_list("occurred_at", flat=True)
    first, last = times[:1].get(), times.reverse()[:1].get()
    span = {"since": first - timedelta(days=1), "until": max(last, datetime.now(UTC)) + timedelta(seconds=1)}
    base = {"benchmark": "cursor", "database": connection.vendor, "limit": LIMIT, "n": rounds}
    for name, asked in filters().items():
        found: dict[str, dict[str, float]] = {}
        for place, part in PLACES.items():
            read = page_at(last - (last - first) * part + timedelta(microseconds=1), asked=asked, **span)
            found[place] = measure(read, rounds)
            page = read()
            for unit, median in found[place].items():
                line = {"filter": name, "page": place, "median": median, "unit": unit, "calls": len(page.calls)}
                print(json.dumps({**base, **line}), flush=True)
        for unit in UNITS:
            ratio = round(found["oldest"][unit] / found["newest"][unit], 2)
            print(json.dumps({**base, "filter": name, "oldest_to_newest": ratio, "unit": unit}), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--rounds", type=int, default=21)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="costwatch-bench-") as folder:
        os.environ |= {"DATA_DIR": folder, "DATABASE_URL": options.database_url, "ENV_FILE": "", "TIME_ZONE": "UTC"}
        os.environ["DJANGO_SETTINGS_MODULE"] = "costwatch.settings"
        import django

        django.setup()
        run(options.rounds)


if __name__ == "__main__":
    main()
