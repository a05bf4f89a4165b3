"""Fill an empty database with millions of calls, as if Costwatch had recorded them over a year.

    python benchmarks/fill.py --rows 10000000 --database-url postgres://...
    python benchmarks/fill.py --rows 10000000 --database-url sqlite:////path/costwatch.sqlite3

Ledger, ids, rollups, analyses, people, keys, limits and windows agree with each other (`manage.py audit` says so). Of
ten calls one is made here, priced as the recorder would, and the database copies it to other minutes of its hour; the
recorder itself writes the last calls. The database must be there, and empty.
Log in as dora@example.com (may do everything), alice@example.com or bob@example.com: `correct horse`.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import sys
import tempfile
import time
from bisect import bisect
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from pathlib import Path

sys.path[:0] = [str(Path(__file__).parents[1]), str(Path(__file__).parent)]

PASSWORD = "correct horse"  # noqa: S105 - of a database for benchmarks
USERS, ANALYSES, KEYS, DAYS = 300, 20_000, 60, 365
LIVE_CALLS = 400
COPIES = 10  # rows that the database makes of one
UNPRICED_CORRECTED = 50  # one of so many unpriced calls is priced by a correction
#: Imported before anything is written: it takes an hour, and the files may be others by its end.
NEEDED = (
    *("limits", "traffic", "budgets.operations", "budgets.settling", "costwatch.accounts.keys", "tracking.corrections"),
    *("tracking.ledger", "tracking.pricing.book", "tracking.recording", "tracking.rollups", "tracking.rows"),
    "tracking.summing",
)


def set_up() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")
    import django

    django.setup()
    for name in NEEDED:
        importlib.import_module(name)


def make_people() -> tuple[list[int], dict[int, list[str]]]:
    """The ids of the users, the busiest first, and the public ids of their keys."""
    from django.contrib.auth import get_user_model
    from django.contrib.auth.hashers import make_password
    from django.utils import timezone

    from costwatch.accounts.keys import create_key

    model = get_user_model()
    password = make_password(PASSWORD)
    names = ["alice", "bob", *(f"person{n:03}" for n in range(3, USERS + 1))]
    users = [model(email=f"{name}@example.com", first_name=name.capitalize(), password=password) for name in names]
    dora = model(email="dora@example.com", first_name="Dora", password=password, is_staff=True, is_superuser=True)
    model.objects.bulk_create([*users, dora])
    by_email = {user.email: user for user in model.objects.all()}
    ordered = [by_email[user.email] for user in users]
    keys: dict[int, list[str]] = {}
    for number, user in enumerate(ordered[:KEYS]):
        for name, environment in (("service", "production"), ("tests", "staging"))[: 1 + (number < KEYS // 3)]:
            key, _ = create_key(user, name=name, scopes=["ingest"], now=timezone.now(), environment=environment)
            keys.setdefault(user.pk, []).append(key.public_id)
    return [user.pk for user in ordered], keys


@dataclass(slots=True)
class Past:
    """What the days have in common, and what they leave behind."""

    company: object
    tags: dict[int, list[str]]
    now: datetime
    chance: random.Random = field(default_factory=lambda: random.Random(7))
    analyses: dict[str, int] = field(default_factory=dict)  # key: its user

    def analyses_of(self, number: int) -> dict[int, list[str]]:
        """The analyses that are worked on, on the `number`th day, by user: those of the day and of the day before."""
        found: dict[int, list[str]] = {}
        per_day = ANALYSES // DAYS + 1
        for day in (number - 1, number):
            chance = random.Random(f"analyses {day}")
            users = chance.choices(self.company.users, self.company.shares, k=per_day if day >= 0 else 0)
            for index, user in enumerate(users):
                name = f"track-{day * per_day + index + 1:05}"
                self.analyses[name] = user
                found.setdefault(user, []).append(name)
        return found


def tags_of(users: list[int], keys: dict[int, list[str]]) -> dict[int, list[str]]:
    """What the calls of each user are tagged with, as JSON text; calls without a key come from the clients."""
    teams = ("growth", "core", "support", "research", "audio")
    found = {}
    for user in users:
        tags = [{}, {"team": teams[user % len(teams)], "environment": "production"}]
        tags += [{"api_key": key, "team": teams[user % len(teams)]} for key in keys.get(user, [])]
        found[user] = [json.dumps(one, separators=(",", ":")) for one in tags]
    return found


def rows_of_day(past: Past, day: date, number: int, count: int) -> list[tuple]:
    """Ledger rows of one day, oldest first, as `tracking.ledger.insert_rows` takes them."""
    from traffic import FEATURES, templates_of_day

    from tracking.rows import current_pricing, row_of, row_values

    pricing = current_pricing()
    by_feature: dict[str, list[tuple]] = {}
    for template in templates_of_day(day, number):
        values = row_values(row_of(template.event, now=past.now, user_id=1, pricing=pricing))
        by_feature.setdefault(template.feature, []).append((values, template.weight))
    analysed = {name for name, _, _, belongs in FEATURES if belongs}
    mine = past.analyses_of(number)
    pairs, weights = [], []
    for user, share in zip(past.company.users, past.company.shares, strict=True):
        features = past.company.features[user]
        total = sum(part for _, part in features)
        for feature, part in features:
            found = by_feature[feature]
            all_of_feature = sum(weight for _, weight in found)
            names = mine.get(user, [""]) if feature in analysed else [""]
            for values, weight in found:
                pairs.append((user, values, past.tags[user], names))
                weights.append(share * part / total * weight / all_of_feature)
    return _drawn(past.chance, day, pairs, list(accumulate(weights)), times_of_day(past, day, count))


def times_of_day(past: Past, day: date, count: int) -> list[float]:
    """So many moments of a day, in seconds from its beginning and in order; none in an hour that is not over."""
    from traffic import HOURS

    chance, sums = past.chance.random, list(accumulate(HOURS))
    times = [(bisect(sums, chance() * sums[-1]) + chance()) * 3600 for _ in range(count)]
    begins = datetime(day.year, day.month, day.day, tzinfo=UTC)
    end = (past.now.replace(minute=0, second=0, microsecond=0) - begins).total_seconds()
    return sorted(at for at in times if at < end)


def _drawn(chance: random.Random, day: date, pairs: list, sums: list[float], times: list[float]) -> list[tuple]:
    began_ms = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp() * 1000)
    minutes = [f"{day} {minute // 60:02}:{minute % 60:02}" for minute in range(1440)] + [f"{day} 23:59"]
    rows, total, draw, bits = [], sums[-1], chance.random, chance.getrandbits
    for number, at in enumerate(times):
        user, t, tags, names = pairs[bisect(sums, draw() * total)]
        random_bits = f"{0x8000000000000000 | bits(62):016x}"
        row_id = f"{began_ms + int(at * 1000):012x}7{number & 0xFFF:03x}{random_bits}"
        minute = int(at) // 60
        moment = f"{minutes[minute]}:{min(at - minute * 60, 59.999):09.6f}"
        recorded = minutes[minute + 1] + ":01" if minute < 1439 else moment
        name, tag = names[int(draw() * len(names))], tags[int(draw() * len(tags))]
        asked, answered = "req_" + random_bits, "" if t[19] != "ok" else "resp_" + row_id[4:]
        rows.append(
            (row_id, moment, recorded, *t[3:12], user, t[13], name, tag, asked, answered, *t[18:])  # fmt: skip
        )
    return rows


def corrections_of(rows: list[tuple], now: datetime) -> list[tuple]:
    """Rows that price some of the unpriced calls afterwards."""
    from tracking.corrections import price_row
    from tracking.rows import COLUMNS, SUMS, Row, plain_receipt, row_values

    place = COLUMNS.index("unpriced")
    found = []
    for values in [row for row in rows if row[place]][::UNPRICED_CORRECTED]:
        row = Row(**dict(zip(COLUMNS, values, strict=True)))
        cost = 1_500_000 + row.input_tokens * 400
        text = format(Decimal(cost).scaleb(-9).normalize(), "f")
        receipt = plain_receipt("priced", text, "priced by the provider's invoice")
        priced = replace(row, cost=cost, unpriced=0, price_status="priced", receipt=receipt)
        found.append(row_values(price_row(row, priced, {name: getattr(row, name) for name in SUMS}, now=now)))
    return found


def write_day(day: date, rows: list[tuple], now: datetime) -> int:
    """The rows and their copies, their ids, and what they add to the rollups, in one transaction; how many they are."""
    from django.db import connection, transaction

    from tracking import ledger
    from tracking.rollups import SPECS
    from tracking.rows import COLUMNS

    postgres = connection.vendor == "postgresql"
    ledger.ensure_months([f"{day:%Y-%m}"])
    span = [f"{day} 00:00:00", f"{day + timedelta(days=1)} 00:00:00"]
    content = "uuid_send(id)" if postgres else "randomblob(16)"
    with transaction.atomic():
        ledger.insert_rows(COLUMNS, rows)
        with connection.cursor() as cursor:
            for spec in SPECS[1:]:  # copies stay in the hour of their row
                cursor.execute(rollup_sql(spec, day, times=COPIES, postgres=postgres), span)
            cursor.execute(copies_sql(postgres=postgres), span)
            cursor.execute(rollup_sql(SPECS[0], day, times=1, postgres=postgres), span)
            cursor.execute(
                "INSERT INTO tracking_recordedevent (id, content_hash, recorded_at, occurred_at) "  # noqa: S608
                f"SELECT id, {content}, recorded_at, occurred_at FROM tracking_apiusagelog "
                "WHERE occurred_at >= %s AND occurred_at < %s",
                span,
            )
        corrections = corrections_of(rows, now)
        write_corrections(corrections, now)
    return len(rows) * COPIES + len(corrections)


def copies_sql(*, postgres: bool) -> str:
    """The statement that copies the rows of a day to other minutes of their hour, under ids of their own."""
    from tracking.rows import COLUMNS

    if postgres:
        later = "occurred_at + k * interval '6 minutes'"
        at = f"{later} - CASE WHEN date_trunc('hour', {later}) > occurred_at THEN interval '1 hour' ELSE '0' END"
        digits, ks = "substr(md5(id::text || k), 1, 12)", f"generate_series(1, {COPIES - 1}) AS k"
        changed = {"id": f"(substr(id::text, 1, 24) || {digits})::uuid"}
    else:
        minute = "(CAST(substr(occurred_at, 15, 2) AS integer) + 6 * k) %% 60"
        at = f"substr(occurred_at, 1, 14) || printf('%%02d', {minute}) || substr(occurred_at, 17)"
        digits = "lower(hex(randomblob(6)))"
        ks = f"(WITH RECURSIVE n(k) AS (SELECT 1 UNION ALL SELECT k + 1 FROM n WHERE k < {COPIES - 1}) SELECT k FROM n)"
        changed = {"id": f"substr(id, 1, 20) || {digits}"}
    changed |= {"occurred_at": at, "recorded_at": at}
    changed |= {"request_id": f"substr(request_id, 1, 8) || {digits}"}
    changed |= {"response_id": f"CASE WHEN response_id = '' THEN '' ELSE substr(response_id, 1, 21) || {digits} END"}
    values = ", ".join(changed.get(name, f'"{name}"') for name in COLUMNS)
    names = ", ".join(f'"{name}"' for name in COLUMNS)
    return (
        f"INSERT INTO tracking_apiusagelog ({names}) SELECT {values} FROM tracking_apiusagelog, {ks} "  # noqa: S608
        "WHERE occurred_at >= %s AND occurred_at < %s"
    )


def write_corrections(values: list[tuple], now: datetime) -> None:
    """Corrections, as the recorder writes them."""
    from tracking import ledger
    from tracking.recording import claim_ids
    from tracking.rollups import add_to_rollups
    from tracking.rows import COLUMNS, Row

    ledger.insert_rows(COLUMNS, values)
    rows = [Row(**dict(zip(COLUMNS, one, strict=True))) for one in values]
    claim_ids(sorted((row.id, row.id, row.occurred_at) for row in rows), now=now)
    add_to_rollups(rows)


def rollup_sql(spec, day: date, *, times: int, postgres: bool) -> str:
    """The statement that adds a day's rows, counted `times` times each, to a rollup."""
    from tracking.models import AnalysisRollup
    from tracking.rollups import MEASURES
    from tracking.rows import ERROR_STATUSES

    keys = {name: name for name in spec.key}
    if "day" in keys:
        keys["day"] = f"date '{day}'" if postgres else f"'{day}'"
    if "hour" in keys:
        keys["hour"] = (
            "date_trunc('hour', occurred_at)" if postgres else "strftime('%%Y-%%m-%%d %%H:00:00', occurred_at)"
        )
    if "api_key" in keys:
        keys["api_key"] = (
            "coalesce(tags ->> 'api_key', '')" if postgres else "coalesce(json_extract(tags, '$.api_key'), '')"
        )
    sums = {name: f"{times} * sum({name})" for name in MEASURES}
    statuses = ", ".join(f"'{status}'" for status in sorted(ERROR_STATUSES))
    sums["errors"] = f"{times} * sum(CASE WHEN status IN ({statuses}) THEN 1 ELSE 0 END)"
    sums["cost"] = f"{times} * sum(coalesce(cost, 0))"
    changes = ", ".join(f"{name} = {spec.table}.{name} + excluded.{name}" for name in MEASURES)
    extra = found = where = ""
    if spec.model is AnalysisRollup:
        extra, found = ", first_call_at, last_call_at", ", min(occurred_at), max(occurred_at)"
        changes += ", last_call_at = excluded.last_call_at"  # days come in order
        where = " AND analysis_id <> ''"
    groups = ", ".join(value for name, value in keys.items() if name != "day")
    return (
        f"INSERT INTO {spec.table} ({', '.join([*spec.key, *MEASURES])}{extra}) "  # noqa: S608 - names of our own
        f"SELECT {', '.join([*keys.values(), *sums.values()])}{found} FROM tracking_apiusagelog "
        f"WHERE occurred_at >= %s AND occurred_at < %s{where} GROUP BY {groups} "
        f"ON CONFLICT ({', '.join(spec.key)}) DO UPDATE SET {changes}"
    )


def make_analyses(owners: dict[str, int], now: datetime) -> None:
    """A row for each analysis that has calls; most have a title, and the older ones are closed."""
    from django.db.models import Min

    from tracking.models import Analysis, AnalysisRollup

    found = AnalysisRollup.objects.values_list("analysis_id").annotate(first=Min("first_call_at"))
    rows = []
    for number, (name, first) in enumerate(found.order_by("analysis_id")):
        title = f"Track {name[6:].lstrip('0')}" if number % 3 else ""
        closed = first + timedelta(days=2) if number % 2 and first < now - timedelta(days=3) else None
        rows.append(Analysis(id=name, title=title, user_id=owners[name], created_at=first, closed_at=closed))
    Analysis.objects.bulk_create(rows, batch_size=1000)


def prepare(cursor, vendor: str) -> None:
    """Speed before safety: what is broken off is filled again from the beginning."""
    if vendor == "postgresql":
        cursor.execute("SET synchronous_commit = off")
        return
    for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "cache_size = -1000000", "temp_store = MEMORY"):
        cursor.execute(f"PRAGMA {pragma}")


def tidy(cursor, vendor: str) -> None:
    """Statistics, as a database that has been in use has them."""
    if vendor == "postgresql":
        cursor.execute("VACUUM (ANALYZE)")
        return
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "analysis_limit = 2000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.execute("ANALYZE")


def run(options: argparse.Namespace) -> None:
    from django.conf import settings
    from django.core.management import call_command
    from django.db import connection
    from limits import make_limits, record_live
    from traffic import Company, calls_of_day, days_before

    from tracking.models import ApiUsageLog
    from tracking.summing import sum_spans

    call_command("migrate", verbosity=0)
    assert settings.TIME_ZONE == "UTC", "The days of the rollups are made for UTC."
    assert not ApiUsageLog.objects.exists(), "The database holds calls already."
    now, began = datetime.now(UTC), time.perf_counter()
    with connection.cursor() as cursor:
        prepare(cursor, connection.vendor)
    users, keys = make_people()
    past = Past(company=Company.of(users), tags=tags_of(users, keys), now=now)
    days = days_before(now, DAYS)
    counts = [calls_of_day(day, number, average=1.0e6) for number, day in enumerate(days)]
    written = 0
    for number, day in enumerate(days):
        rows = rows_of_day(past, day, number, round(counts[number] * options.rows / sum(counts) / COPIES))
        if rows:
            written += write_day(day, rows, now)
        if number % 10 == 9:
            rate = written / (time.perf_counter() - began)
            print(
                json.dumps({"day": str(day), "rows": written, "rows_per_s": round(rate)}), file=sys.stderr, flush=True
            )
    make_analyses(past.analyses, now)
    make_limits(users, keys, days, now)
    record_live(users, LIVE_CALLS, datetime.now(UTC))
    sum_spans(now=datetime.now(UTC))
    with connection.cursor() as cursor:
        tidy(cursor, connection.vendor)
    seconds = round(time.perf_counter() - began)
    print(json.dumps({"benchmark": "fill", "database": connection.vendor, "rows": written, "seconds": seconds}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", required=True)
    parser.add_argument("--rows", type=int, default=10_000_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="costwatch-fill-") as folder:
        os.environ |= {"DATA_DIR": folder, "DATABASE_URL": options.database_url, "ENV_FILE": "", "TIME_ZONE": "UTC"}
        set_up()
        run(options)


if __name__ == "__main__":
    main()
