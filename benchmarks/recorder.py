"""How many events a second become ledger rows, rollups and analyses. One JSON line per way of recording.

python benchmarks/recorder.py                               # on SQLite
python benchmarks/recorder.py --database-url postgres://... # in a database of its own on that server
python benchmarks/recorder.py --limits                      # with budgets that count every call
python benchmarks/recorder.py --profile                     # where record() spends its time

Every line has the ratio to bare inserts of the same rows in the same run: what pricing, de-duplication, rollups and
receipts cost beside the writing itself. `python_us` and `server_us` are processor time per event, here and in
PostgreSQL's own process (0 where that is not on this machine): unlike events per second they hardly depend on what
else the machine does. Of record() they are those of the quietest batches.
"""

import argparse
import cProfile
import json
import multiprocessing
import os
import pstats
import random
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks")]

from own_database import own_database  # noqa: E402

BATCH = 500
MODELS = (
    *(("openai", "gpt-4o-2024-08-06"), ("openai", "gpt-4o-mini-2024-07-18"), ("openai", "gpt-4.1-2025-04-14")),
    *(("anthropic", "claude-sonnet-4-5-20250929"), ("anthropic", "claude-haiku-4-5-20251001")),
)


def make_events(count: int, seed: int) -> list:
    """Calls of 50 users for 12 features and 200 analyses, over the last three hours."""
    import uuid_utils

    from tracking.events import CallEvent

    chance = random.Random(seed)
    now_us = int(time.time() * 1e6)
    events = []
    for _ in range(count):
        provider, model = chance.choice(MODELS)
        read, written, cached = chance.randrange(50, 9000), chance.randrange(10, 900), chance.randrange(0, 50)
        if provider == "openai":
            endpoint = "/v1/chat/completions"
            usage = {
                "prompt_tokens": read,
                "completion_tokens": written,
                "total_tokens": read + written,
                "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
                "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
            }
        else:
            endpoint = "/v1/messages"
            usage = {"input_tokens": read, "output_tokens": written, "cache_read_input_tokens": cached}
        events.append(
            CallEvent(
                id=str(uuid_utils.uuid7()),
                at_us=now_us - chance.randrange(3 * 3600 * 1_000_000),
                provider=provider,
                operation="chat",
                endpoint=endpoint,
                model_asked=model,
                model_served=model,
                user=chance.randrange(1, 51),
                feature=f"feature-{chance.randrange(12)}",
                analysis=f"analysis-{chance.randrange(200)}",
                request_id=f"req_{chance.getrandbits(64):x}",
                response_id=f"chatcmpl-{chance.getrandbits(64):x}",
                http_status=200,
                quality="exact",
                stream=True,
                latency_us=chance.randrange(100_000, 9_000_000),
                ttft_us=chance.randrange(50_000, 900_000),
                usage=usage,
            )
        )
    return events


def batches(items: list) -> list[list]:
    return [items[first : first + BATCH] for first in range(0, len(items), BATCH)]


def time_bare_inserts(events: list) -> float:
    """Seconds to insert the same rows, with one commit per batch, and nothing else."""
    from django.db import transaction

    from tracking import ledger
    from tracking.rows import COLUMNS, current_pricing, row_of, row_values

    pricing, now = current_pricing(), datetime.now(UTC)
    rows = [row_values(row_of(event, now=now, user_id=1, pricing=pricing)) for event in events]
    ledger.ensure_months({row[1][:7] for row in rows})
    began = time.perf_counter()
    for batch in batches(rows):
        with transaction.atomic():
            ledger.insert_rows(COLUMNS, batch)
    return time.perf_counter() - began


def server_cpu_s() -> float:
    """Processor time of this connection's PostgreSQL process so far; 0 on SQLite and for another machine's server."""
    from django.db import connection

    if connection.vendor != "postgresql":
        return 0.0
    connection.ensure_connection()
    try:
        stat = Path(f"/proc/{connection.connection.info.backend_pid}/stat").read_text()
    except OSError:
        return 0.0
    name, times = stat.partition("(")[2].rpartition(")")[::2]
    return sum(map(int, times.split()[11:13])) / os.sysconf("SC_CLK_TCK") if "postgres" in name else 0.0


def time_record(events: list) -> tuple[float, dict[str, float]]:
    """Seconds in record(), batches of 500; and processor time per event in microseconds."""
    from tracking.recording import record

    began, server, python = time.perf_counter(), server_cpu_s(), []
    for batch in batches(events):
        started = time.process_time()
        record(batch, now=datetime.now(UTC))
        python.append((time.process_time() - started) / len(batch) * 1e6)
    took = time.perf_counter() - began
    quiet = sorted(python)[: len(python) // 4 + 1]
    spent = {
        "python_us": round(sum(quiet) / len(quiet), 1),
        "server_us": round((server_cpu_s() - server) / len(events) * 1e6, 1),
    }
    return took, spent


def time_end_to_end(events: list, folder: Path) -> tuple[float, float]:
    """Seconds to emit the events into a spool, and from there to have read and recorded them."""
    from tracking import segments, spool
    from tracking.recorder import drain_folder

    writer = spool.Spool(folder, max_bytes=2**30)
    began = time.perf_counter()
    for event in events:
        writer.append(spool._line(event))
    emitted = time.perf_counter()
    writer.close(join_s=0)
    drained = drain_folder(folder, batch_size=BATCH)
    assert drained.recorded == len(events) and not segments.segments(folder), drained
    return emitted - began, time.perf_counter() - emitted


def write_as_one_of_several(seed: int, count: int, start, out) -> None:
    """A writer process: waits for the others, records, and tells how many deadlocks were broken off."""
    set_up()
    import logging

    retries = []
    handler = logging.Handler()
    handler.emit = lambda record: retries.append(record) if "tried again" in record.getMessage() else None
    logging.getLogger("costwatch.recorder").addHandler(handler)
    events = make_events(count, seed)
    time_record(make_events(BATCH, seed + 1000))  # warm
    start.wait()
    out.put((len(retries), time_record(events)[1]))


def time_writers(writers: int, count: int) -> tuple[float, dict[str, float]]:
    """Seconds for several processes to record `count` events each at once; deadlocks, and processor time per event."""
    context = multiprocessing.get_context("spawn")
    start, out = context.Barrier(writers + 1), context.Queue()
    processes = [
        context.Process(target=write_as_one_of_several, args=(100 + n, count, start, out)) for n in range(writers)
    ]
    for process in processes:
        process.start()
    start.wait()
    began = time.perf_counter()
    answers = [out.get() for _ in processes]
    took = time.perf_counter() - began
    for process in processes:
        process.join()
    spent = {name: round(sum(each[name] for _, each in answers) / writers, 1) for name in answers[0][1]}
    return took, {"deadlocks": sum(retries for retries, _ in answers), **spent}


def set_up() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")
    import django

    django.setup()


def empty_tables() -> None:
    from django.core.management.color import no_style
    from django.db import connection

    tables = [
        name
        for name in connection.introspection.django_table_names(only_existing=True, include_views=False)
        if name.startswith("tracking_") and name not in ("tracking_rate", "tracking_pricedmodel")
    ]
    connection.ops.execute_sql_flush(connection.ops.sql_flush(no_style(), tables))


def make_limits() -> None:
    """One for everyone and one for each user, both hard and far away, so that every call counts in two windows."""
    from budgets.models import BudgetLimit

    for scope, period in (("everyone", "month"), ("each_user", "day")):
        BudgetLimit(scope=scope, period=period, amount=1_000_000).save()


def run(options: argparse.Namespace, folder: Path) -> None:
    from django.core.management import call_command
    from django.db import connection

    from tracking.audit import audit

    count = options.events
    call_command("migrate", verbosity=0)
    if options.limits:
        make_limits()
    time_record(make_events(BATCH, 1))  # warm: caches, partitions, statements
    if options.profile:
        profiler = cProfile.Profile()
        profiler.runcall(time_record, make_events(count, 2))
        pstats.Stats(profiler).sort_stats("tottime").print_stats(30)
        return
    empty_tables()
    bare_s = time_bare_inserts(make_events(count, 2))
    bare = count / bare_s
    empty_tables()

    def report(name: str, events: int, seconds: float, **more) -> None:
        rate = events / seconds
        line = {"benchmark": "recorder", "database": connection.vendor, "way": name, "limits": options.limits}
        line |= {"events": events, "batch": BATCH, "events_per_s": round(rate), "bare_inserts_per_s": round(bare)}
        print(json.dumps({**line, "ratio_to_bare": round(rate / bare, 3), **more}))

    report("bare inserts", count, bare_s)
    took, spent = time_record(make_events(count, 3))
    report("record()", count, took, **spent)
    emit_s, drain_s = time_end_to_end(make_events(count, 4), folder)
    report("spool to ledger", count, drain_s, emit_us=round(emit_s / count * 1e6, 1))
    for writers in options.writers:
        each = count // writers
        took, more = time_writers(writers, each)
        report(f"record(), {writers} writers", each * writers, took, **more)
    if not options.limits:  # emptying the ledger under open windows is no way to audit them
        assert audit().ok, audit()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database-url", default="", help="a PostgreSQL server; SQLite in a temporary file without")
    parser.add_argument("--events", type=int, default=20_000)
    parser.add_argument("--writers", type=int, nargs="*", default=[2, 4], help="numbers of processes at once")
    parser.add_argument("--limits", action="store_true")
    parser.add_argument("--profile", action="store_true")
    options = parser.parse_args()
    with own_database(options.database_url) as folder:
        set_up()
        run(options, folder / "spool")


if __name__ == "__main__":
    main()
