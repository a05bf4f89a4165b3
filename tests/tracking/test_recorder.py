"""From the spool into the ledger: every event once, whatever is killed, locked, away, or done twice."""

import contextlib
import json
import os
import random
import sqlite3
import subprocess
import sys
import threading
import time
from decimal import Decimal

import pytest

from tests.tracking.making import ROOT, an_event, database_url, environment, run_python
from tracking import segments, spool
from tracking.audit import audit
from tracking.recorder import drain_folder

pytestmark = pytest.mark.usefixtures("transactional_db")


@pytest.fixture
def folder(settings):
    return settings.SPOOL_DIR


def recorded() -> list:
    from tracking.models import ApiUsageLog

    return list(ApiUsageLog.objects.order_by("feature"))


def write_segment(folder, *lines: bytes) -> None:
    """A segment as a process left it that died."""
    path, fd = segments.create_segment(folder)
    os.write(fd, b"".join(lines))
    segments.unlock(fd)


def line(**changes) -> bytes:
    return spool._line(an_event(**changes))


@contextlib.contextmanager
def database_away():
    """Nobody can write: a stranger holds SQLite's lock; PostgreSQL throws everybody out and lets nobody in."""
    from django.db import connection

    settings = connection.settings_dict
    if connection.vendor == "sqlite":
        timeout_s, settings["OPTIONS"]["timeout"] = settings["OPTIONS"]["timeout"], 0.05
        connection.close()
        stranger = sqlite3.connect(settings["NAME"], isolation_level=None)
        stranger.execute("BEGIN EXCLUSIVE")
        try:
            yield
        finally:
            stranger.execute("ROLLBACK")
            stranger.close()
            settings["OPTIONS"]["timeout"] = timeout_s
        return
    import psycopg

    admin = psycopg.connect(host=settings["HOST"], port=settings["PORT"], user=settings["USER"], dbname="postgres")
    admin.autocommit = True
    connection.close()
    admin.execute(f'ALTER DATABASE "{settings["NAME"]}" ALLOW_CONNECTIONS false')
    admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [settings["NAME"]])
    try:
        yield
    finally:
        admin.execute(f'ALTER DATABASE "{settings["NAME"]}" ALLOW_CONNECTIONS true')
        admin.close()


# --- The thread -----------------------------------------------------------------------------------------------------


def test_a_moment_later_the_call_stands_in_the_ledger(folder):
    spool.emit(an_event(analysis="a1", user=7))
    assert spool.flush(10)
    (row,) = recorded()
    assert (row.cost, row.price_status, row.user_id) == (Decimal("0.0075"), "priced", 7)
    stats = spool.stats()
    assert (stats.recorded, stats.backlog_bytes, stats.refused, stats.last_error) == (1, 0, 0, "")
    assert stats.recorder_alive
    assert audit().ok


def test_without_flush_it_is_there_within_the_interval():
    spool.emit(an_event())
    until = time.monotonic() + 5
    while not recorded() and time.monotonic() < until:
        time.sleep(0.02)
    assert recorded()


def test_a_callers_rollback_does_not_take_the_event_back():
    from django.db import transaction

    with contextlib.suppress(ZeroDivisionError), transaction.atomic():
        spool.emit(an_event())
        raise ZeroDivisionError
    assert spool.flush(10)
    assert len(recorded()) == 1


def test_a_caller_that_holds_the_write_lock_only_delays_the_event():
    """On SQLite the caller's transaction keeps the recorder waiting; neither blocks the other's own thread."""
    from django.db import connection, transaction

    with transaction.atomic():
        started = time.monotonic()
        spool.emit(an_event())
        assert time.monotonic() - started < 0.1, "emit does not wait for the database"
        if connection.vendor == "sqlite":
            assert spool.flush(0.3) is False
    assert spool.flush(10)
    assert len(recorded()) == 1


def test_a_database_that_is_away_delays_and_loses_nothing():
    spool.emit(an_event(feature="before"))
    assert spool.flush(10)
    with database_away():
        for number in range(20):
            spool.emit(an_event(feature=f"during {number}"))
        assert spool.flush(0.8) is False
        assert "DatabaseAway" in spool.stats().last_error
        assert spool.stats().backlog_bytes > 0
    assert spool.flush(20)
    assert len(recorded()) == 21
    assert (spool.stats().rejected, spool.stats().last_error) == (0, "")


@pytest.mark.slow
def test_an_outage_of_thirty_seconds_loses_nothing():
    with database_away():
        until = time.monotonic() + 30
        emitted = 0
        while time.monotonic() < until:
            spool.emit(an_event())
            emitted += 1
            time.sleep(0.01)
    began = time.monotonic()
    while len(recorded()) < emitted and time.monotonic() - began < 20:
        time.sleep(0.1)
    assert len(recorded()) == emitted
    assert audit().ok


def test_an_event_that_cannot_be_recorded_is_set_aside_and_spoils_no_other(folder):
    for number in range(7):
        spool.emit(an_event(feature=str(number), flags=5 if number == 3 else []))
    assert spool.flush(10)
    assert [row.feature for row in recorded()] == ["0", "1", "2", "4", "5", "6"]
    (entry,) = [json.loads(text) for text in (folder / "rejected" / "events.jsonl").read_text().splitlines()]
    assert "TypeError" in entry["reason"]
    assert spool.stats().rejected == 1


def test_rejected_events_can_be_recorded_later(folder, monkeypatch):
    from django.core.management import call_command

    def broken(*args, **kwargs):
        raise ValueError("a fault of ours")

    with monkeypatch.context() as patch:
        patch.setattr("tracking.recording.record", broken)
        spool.emit(an_event())
        assert spool.flush(10)
        assert spool.stats().rejected == 1
    assert recorded() == []
    call_command("record_spool", rejected=True)
    assert len(recorded()) == 1
    assert not list((folder / "rejected").iterdir())


def test_the_thread_survives_its_own_faults(monkeypatch):
    spool.emit(an_event())
    assert spool.flush(10)
    time.sleep(0.1)  # it looks once more whether the segment has grown, and must not find the next event there
    with monkeypatch.context() as patch:
        patch.setattr("tracking.recorder.drain_segment", lambda *args, **kwargs: 1 / 0)
        spool.emit(an_event())
        assert spool.flush(0.3) is False
        assert "ZeroDivisionError" in spool.stats().last_error
    assert spool.flush(10)
    assert len(recorded()) == 2


def test_recorded_segments_of_a_living_process_are_deleted(folder, settings):
    settings.SPOOL_MAX_MB = 1
    for _ in range(3):
        for _ in range(400):
            spool.emit(an_event())
        assert spool.flush(20)
    assert len(recorded()) == 1200
    assert spool.stats().refused == 0
    assert spool.stats().folder_bytes < 200_000


def test_recorders_of_several_threads_and_processes_never_record_twice(folder):
    """Five dead segments, two commands and this process's own drain at once."""
    for number in range(5):
        write_segment(folder, *[line(feature=f"{number}-{n}") for n in range(300)])
    command = [sys.executable, "manage.py", "record_spool"]
    started = [
        subprocess.Popen(command, cwd=ROOT, env=environment(folder, database_url()), stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    drain_folder(folder, batch_size=50)
    for process in started:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert len(recorded()) == 1500
    assert segments.segments(folder) == []
    assert segments.read_counters(folder)["recorded"] == 1500
    assert audit().ok


def test_what_a_dead_process_left_is_taken_over_by_a_living_one(folder):
    write_segment(folder, line(feature="left behind"))
    spool.emit(an_event(feature="own"))
    until = time.monotonic() + 10
    while len(recorded()) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    assert [row.feature for row in recorded()] == ["left behind", "own"]


# --- Damaged files --------------------------------------------------------------------------------------------------


def test_torn_and_garbled_lines_are_set_aside_and_the_others_recorded(folder):
    garbled = line(feature="garbled").replace(b"gpt-4o", b"gpt-5o")
    write_segment(
        folder, line(feature="a"), garbled, b"\x00\xff nonsense\n", line(feature="b"), line(feature="torn")[:50]
    )
    drained = drain_folder(folder, batch_size=500)
    assert (drained.recorded, drained.damaged) == (2, 3)
    assert [row.feature for row in recorded()] == ["a", "b"]
    reasons = [json.loads(text)["reason"] for text in (folder / "rejected" / "events.jsonl").read_text().splitlines()]
    assert [reason.split(":")[0] for reason in reasons] == ["damaged", "damaged", "torn"]
    assert segments.read_counters(folder)["damaged"] == 3
    assert segments.segments(folder) == []


def test_a_file_without_any_newline_is_skipped(folder):
    write_segment(folder, b"x" * 3_000_000, b"\n", line())
    assert drain_folder(folder, batch_size=500).recorded == 1
    assert segments.segments(folder) == []


def test_leftovers_of_processes_killed_between_two_steps_are_swept(folder):
    folder.mkdir(parents=True)
    for name in ("1-1-a.new", "1-1-b.off", "1-1-c.off"):
        (folder / name).write_text("0")
    os.utime(folder / "1-1-a.new", (0, 0))
    os.utime(folder / "1-1-b.off", (0, 0))
    drain_folder(folder, batch_size=500)
    assert [path.name for path in folder.iterdir()] == ["1-1-c.off"], "what is young may be at work"


# --- kill -9 at every step ------------------------------------------------------------------------------------------

KILL = "import signal; os.kill(os.getpid(), signal.SIGKILL)"
STEPS = {
    "after the event is appended": (0, f"spool.emit(an_event(id=ID)); {KILL}"),
    "inside the transaction": (0, "dying('tracking.recording.add_to_rollups')"),
    "at the end of the transaction": (0, "dying('tracking.recording.write_rows', after=True)"),
    "after the commit, before the offset is saved": (1, "dying('tracking.segments.Draining.save')"),
    "after the offset, before the segment is deleted": (1, "dying('tracking.segments.Draining.finish')"),
    "between deleting the segment and its offset": (1, "dying('os.unlink', after=True)"),
}
DYING = f"""
import importlib, django
django.setup()
from pathlib import Path
from tracking import recorder, segments, spool
ID = "0199c0de-0000-7000-8000-00000000000f"

def dying(name, after=False):
    place, attribute = name.rsplit(".", 1)
    try:
        owner = importlib.import_module(place)
    except ImportError:
        module, cls = place.rsplit(".", 1)
        owner = getattr(importlib.import_module(module), cls)
    original = getattr(owner, attribute)
    def die(*args, **kwargs):
        if after:
            original(*args, **kwargs)
        {KILL}
    folder = Path(os.environ["SPOOL_DIR"])
    path, fd = segments.create_segment(folder)
    os.write(fd, spool._line(an_event(id=ID)))
    segments.unlock(fd)
    setattr(owner, attribute, die)
    recorder.drain_folder(folder, batch_size=500)
"""


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_any_step_the_event_is_there_once(step, folder):
    rows_when_killed, script = STEPS[step]
    done = run_python(DYING + script, spool_dir=folder, url=database_url())
    assert done.returncode == -9, done.stderr
    assert len(recorded()) == rows_when_killed

    drain_folder(folder, batch_size=500)
    (row,) = recorded()
    assert row.id.hex.endswith("f")
    assert audit().ok
    assert segments.segments(folder) == []


def test_a_process_records_its_events_before_it_ends(folder):
    done = run_python("from tracking import spool; spool.emit(an_event())", spool_dir=folder, url=database_url())
    assert done.returncode == 0, done.stderr
    assert len(recorded()) == 1


def test_a_process_that_cannot_record_ends_in_time_and_leaves_its_events(folder):
    began = time.monotonic()
    done = run_python(
        "from tracking import spool; spool.emit(an_event())",
        spool_dir=folder,
        url="postgres://nobody@127.0.0.1:1/nothing",
    )
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 6
    assert drain_folder(folder, batch_size=500).recorded == 1


def test_forked_workers_record_their_own_events(folder):
    """As Celery's and gunicorn's: the parent has emitted, its recorder runs, and then it forks."""
    from django.db import connections

    spool.emit(an_event(feature="parent"))
    assert spool.flush(10)
    connections.close_all()
    pids = []
    for number in range(3):
        pid = os.fork()
        if not pid:
            try:
                spool.emit(an_event(feature=f"worker {number}"))
                os._exit(0 if spool.flush(20) else 1)
            finally:
                os._exit(2)
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0, 0]
    spool.emit(an_event(feature="parent again"))
    assert spool.flush(10)
    assert [row.feature for row in recorded()] == ["parent", "parent again", "worker 0", "worker 1", "worker 2"]
    assert audit().ok


# --- Writers at once ------------------------------------------------------------------------------------------------


def test_four_writers_of_the_same_rows_wait_for_each_other_and_never_deadlock(caplog):
    from datetime import UTC, datetime

    from django.db import connections

    from tracking.recording import record

    events = [
        an_event(
            feature=f"f{n % 5}", analysis=f"a{n % 7}", user=n % 3 + 1, model_served=("gpt-4o", "gpt-4o-mini")[n % 2]
        )
        for n in range(400)
    ]
    failures = []

    def write(seed: int) -> None:
        mine = events[:]
        random.Random(seed).shuffle(mine)
        try:
            for first in range(0, len(mine), 40):
                record(mine[first : first + 40], now=datetime.now(UTC))
        except Exception as error:
            failures.append(error)
        finally:
            connections.close_all()

    writers = [threading.Thread(target=write, args=(seed,)) for seed in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert failures == []
    assert len(recorded()) == 400
    assert "tried again" not in caplog.text, "no deadlock was broken off"
    assert audit().ok
