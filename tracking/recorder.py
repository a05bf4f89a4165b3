"""Records what stands in the spool: a background thread in every process that emits, or a command that drains a folder.

The thread has a database connection of its own, so that a caller's transaction cannot undo what it writes.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tracking import segments
from tracking.django_setup import ensure_django
from tracking.events import CallEvent

if TYPE_CHECKING:
    from tracking.spool import Spool

logger = logging.getLogger("costwatch.recorder")

#: How often a recorder looks for segments that dead processes left, in seconds.
TAKEOVER_INTERVAL_S = 2.0
BACKOFF_FIRST_S, BACKOFF_MAX_S = 0.1, 3.0
LOG_INTERVAL_S = 10.0
#: How long a fork waits for the recorder to come out of the database, in seconds.
FORK_WAIT_S = 2.0


#: Held while this process's recorder is inside a database library. A fork waits for it: a child that is made while
#: another thread holds one of SQLite's or libpq's own locks finds that lock taken for ever.
database_work = threading.RLock()


class DatabaseAway(Exception):
    """The database cannot take events now: they stay in the spool, and are tried again."""


class Stopped(Exception):
    """The recorder was told to stop: the transaction at hand is rolled back and its events stay in the spool."""


@dataclass(slots=True)
class Drained:
    """What a drain did: numbers of events."""

    recorded: int = 0
    duplicates: int = 0
    conflicts: int = 0
    rejected: int = 0
    damaged: int = 0

    def add(self, other: Drained) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


def _before_fork() -> None:
    global _waited_for
    _waited_for = database_work if database_work.acquire(timeout=FORK_WAIT_S) else None


def _after_fork_in_parent() -> None:
    if _waited_for is not None:
        _waited_for.release()


def _after_fork_in_child() -> None:
    global database_work
    database_work = threading.RLock()


_waited_for: threading.RLock | None = None
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)


def drain_segment(path: Path, *, batch_size: int, keep_going: Callable[[], bool] = lambda: True) -> Drained:
    """Record the segment from its offset on, and remove it at the end if its writer is gone.

    Nothing is done where another process drains it. Raises `DatabaseAway`, `Stopped`, and `OSError` for the files.
    """
    total = Drained()
    with segments.open_for_draining(path) as draining:
        if draining is None:
            return total
        while (chunk := draining.read()) is not None:
            _drain_chunk(draining, chunk, total, batch_size=batch_size, keep_going=keep_going)
        torn = draining.finish()
        if torn:
            reject(path.parent, torn, reason="torn: its writer died before the end of the line", damaged=True)
            total.damaged += 1
    _count(path.parent, total)
    return total


def _drain_chunk(draining, chunk, total: Drained, *, batch_size: int, keep_going: Callable[[], bool]) -> None:
    """Record the lines of a chunk in batches; the offset moves on after each committed batch."""
    position = chunk.start
    lines = chunk.lines
    for first in range(0, len(lines), batch_size):
        if not keep_going():
            raise Stopped
        batch = lines[first : first + batch_size]
        events: list[tuple[CallEvent, bytes]] = []
        for line in batch:
            position += len(line) + 1
            payload = segments.unframe(line)
            try:
                if payload is None:
                    raise ValueError("damaged: the checksum does not match")
                events.append((CallEvent.from_json(payload), line))
            except (ValueError, RecursionError) as error:
                if line.strip():
                    reject(draining.path.parent, line, reason=str(error), damaged=True)
                    total.damaged += 1
        total.add(record_or_reject(draining.path.parent, events, keep_going=keep_going))
        draining.save(min(position, chunk.end))


def record_or_reject(
    folder: Path, events: list[tuple[CallEvent, bytes]], *, keep_going: Callable[[], bool] = lambda: True
) -> Drained:
    """Record the events; those that cannot be recorded, whatever the database's state, are moved to `rejected/`.

    Raises `DatabaseAway` where the database cannot take any.
    """
    if not events:
        return Drained()
    try:
        return _record([event for event, _ in events], keep_going)
    except (DatabaseAway, Stopped):
        raise
    except Exception as error:
        if len(events) == 1:
            reject(folder, events[0][1], reason=f"{type(error).__name__}: {error}"[:500], damaged=False)
            logger.exception("An event cannot be recorded and was moved to %s/rejected.", folder)
            return Drained(rejected=1)
    # One of them spoils the batch: halve it until it stands alone.
    middle = len(events) // 2
    total = record_or_reject(folder, events[:middle], keep_going=keep_going)
    total.add(record_or_reject(folder, events[middle:], keep_going=keep_going))
    return total


def _record(events: list[CallEvent], keep_going: Callable[[], bool]) -> Drained:
    from django.db import DatabaseError, DataError, IntegrityError, InterfaceError, connection
    from django.db.utils import ConnectionDoesNotExist

    from tracking.recording import record

    def stop_if_told() -> None:
        if not keep_going():
            raise Stopped

    with database_work:
        try:
            connection.ensure_connection()
        except Exception as error:
            connection.close()
            raise DatabaseAway(str(error)) from error
        try:
            done = record(events, now=datetime.now(UTC), on_begin=stop_if_told)
        except (DataError, IntegrityError):
            raise
        except (DatabaseError, InterfaceError, ConnectionDoesNotExist) as error:
            # Locked, gone, full, read-only, not migrated yet: nothing that one event is to blame for.
            connection.close()
            raise DatabaseAway(str(error)) from error
    return Drained(recorded=done.recorded, duplicates=done.duplicates, conflicts=len(done.conflicts))


def reject(folder: Path, line: bytes, *, reason: str, damaged: bool) -> None:
    """Keep a line that cannot be recorded, with the reason, in `rejected/events.jsonl`. Raises `OSError`."""
    (folder / "rejected").mkdir(parents=True, exist_ok=True)
    entry = {
        "at": datetime.now(UTC).isoformat(),
        "reason": reason,
        "damaged": damaged,
        "line": line[: segments.MAX_LINE_BYTES * 2].decode("latin-1"),
    }
    fd = os.open(folder / "rejected" / "events.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    try:
        os.write(fd, json.dumps(entry).encode() + b"\n")
    finally:
        os.close(fd)


def requeue_rejected(folder: Path) -> int:
    """Put rejected events back into the spool as they came; lines that were damaged stay. Returns their number.

    A process killed in between leaves some in both places: recording them twice changes nothing. Raises `OSError`.
    """
    source, claimed = folder / "rejected" / "events.jsonl", folder / "rejected" / f"{time.time_ns()}.retry"
    with contextlib.suppress(FileNotFoundError):
        source.rename(claimed)
    again = 0
    for path in sorted((folder / "rejected").glob("*.retry")):
        _, fd = segments.create_segment(folder)
        try:
            for text in path.read_text().splitlines():
                entry = json.loads(text)
                line = entry["line"].encode("latin-1")
                if entry["damaged"]:
                    reject(folder, line, reason=entry["reason"], damaged=True)
                else:
                    os.write(fd, line + b"\n")
                    again += 1
        finally:
            segments.unlock(fd)
        path.unlink()
    return again


def _count(folder: Path, drained: Drained) -> None:
    changes = {name: count for name in Drained.__slots__ if (count := getattr(drained, name))}
    for _ in range(20 if changes else 0):
        try:
            segments.add_counters(folder, **changes)
            return
        except BlockingIOError:
            time.sleep(0.002)
        except OSError:
            break
    if changes:
        logger.warning("The counters of %s could not be written; missing: %s", folder, changes)


def drain_folder(
    folder: Path,
    *,
    batch_size: int,
    only_abandoned: bool = False,
    skip: set[Path] = frozenset(),
    keep_going: Callable[[], bool] = lambda: True,
) -> Drained:
    """Record every segment of the folder that nobody else is draining, of living processes too unless told otherwise.

    Raises `DatabaseAway`, `Stopped`, `OSError`.
    """
    total = Drained()
    for path in segments.segments(folder):
        if path not in skip and (not only_abandoned or segments.is_abandoned(path)):
            total.add(drain_segment(path, batch_size=batch_size, keep_going=keep_going))
    segments.sweep(folder)
    return total


class Recorder:
    """The background thread of one process. Started by the first event; started again should it ever end."""

    def __init__(self, spool: Spool) -> None:
        self.spool = spool
        self.running = True
        self.hurry = threading.Event()  # someone waits for the events: neither gather nor back off
        self.passed = threading.Event()  # set after each pass over the segments
        self.last_error = ""
        self.failures = 0
        self.connection = None  # kept for the child of a fork, which must not finalize it
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="costwatch-recorder", daemon=True)
        self._next_takeover = 0.0
        self._logged_at = 0.0

    @classmethod
    def start(cls, spool: Spool) -> Recorder:
        """A running recorder, or one that is not running where no thread can be started (the interpreter is ending)."""
        recorder = cls(spool)
        try:
            recorder._thread.start()
        except RuntimeError:
            recorder.running = False
        return recorder

    def stop(self, *, join_s: float) -> None:
        """Tell the thread to end; a transaction at hand that is not written yet is rolled back."""
        self._stopping = True
        self.spool.wake.set()
        self.hurry.set()
        if join_s and self._thread is not threading.current_thread():
            self._thread.join(join_s)

    def _keep_going(self) -> bool:
        return not self._stopping

    def _run(self) -> None:
        try:
            self._loop()
        except BaseException:
            logger.exception("The recorder ended; the next event starts it again.")
            raise
        finally:
            self.running = False
            self.passed.set()
            self._close_connections()

    def _loop(self) -> None:
        batch_size, interval_s = self._set_up()
        while not self._stopping:
            if not self.spool.wake.wait(TAKEOVER_INTERVAL_S):
                # Idle: what dead processes left is looked for all the same.
                self._pass(batch_size)
                continue
            self.hurry.wait(interval_s)
            self.spool.wake.clear()
            self.hurry.clear()
            self._pass(batch_size)

    def _set_up(self) -> tuple[int, float]:
        """Wait until Django can be used: it may be setting itself up, or be misconfigured until someone mends it."""
        while True:
            try:
                from django.conf import settings

                ensure_django()
                return max(1, settings.RECORDER_BATCH_SIZE), max(0.0, settings.RECORDER_INTERVAL_S)
            except Exception as error:
                self._failed(error)
                if self._stopping:
                    return 1, 0.0

    def _pass(self, batch_size: int) -> None:
        """Record everything that can be recorded now. Whatever goes wrong is counted, logged and tried again."""
        try:
            from django.db import connections

            self.connection = connections["default"]
            self._drain_own(batch_size)
            if time.monotonic() >= self._next_takeover:
                self._next_takeover = time.monotonic() + TAKEOVER_INTERVAL_S * random.uniform(1, 1.5)  # noqa: S311
                drain_folder(
                    self.spool.folder,
                    batch_size=batch_size,
                    only_abandoned=True,
                    skip=self.spool.own,
                    keep_going=self._keep_going,
                )
            self.failures, self.last_error = 0, ""
            self.spool.save_counts()
        except Stopped:
            pass
        except Exception as error:
            self.spool.wake.set()
            self._failed(error)
        finally:
            self.passed.set()
            with contextlib.suppress(Exception):
                from django.db import close_old_connections

                with database_work:
                    close_old_connections()

    def _drain_own(self, batch_size: int) -> None:
        for path in sorted(self.spool.own):
            drain_segment(path, batch_size=batch_size, keep_going=self._keep_going)
            if not path.exists():
                self.spool.drop(path)
            else:
                self.spool.release_recorded(path, path.stat().st_size - segments.backlog_bytes(path))

    def _failed(self, error: Exception) -> None:
        """Note the failure and wait, longer each time, up to `BACKOFF_MAX_S`."""
        self.last_error = f"{type(error).__name__}: {error}"[:500]
        self.failures += 1
        now = time.monotonic()
        if now - self._logged_at > LOG_INTERVAL_S or not self._logged_at:
            self._logged_at = now
            logger.warning("Events cannot be recorded now and wait in %s: %s", self.spool.folder, self.last_error)
        pause_s = min(BACKOFF_MAX_S, BACKOFF_FIRST_S * 2 ** min(self.failures, 10)) * random.uniform(0.5, 1)  # noqa: S311
        until = now + pause_s
        while not self._stopping and (left := until - time.monotonic()) > 0:
            if self.hurry.wait(min(left, 0.5)):
                # Someone waits: try again soon, yet do not spin.
                self.hurry.clear()
                time.sleep(min(left, 0.05))
                return

    def _close_connections(self) -> None:
        with contextlib.suppress(Exception):
            from django.db import connections

            with database_work:
                connections.close_all()
