"""Durable hand-over from the caller to the recorder: `emit` appends one line to a file of this process, and returns.

An event survives the death of the process from the moment `emit` returns (not a power cut: nothing is synced). A
background thread of the process records its lines in the database (`tracking.recorder`); what a dead process left is
recorded by any other one that shares the folder. Importable, and usable, without Django being set up.
"""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import logging
import os
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tracking import segments
from tracking.events import CallEvent

if TYPE_CHECKING:
    from tracking.recorder import Recorder

logger = logging.getLogger("costwatch.spool")

#: A segment is sealed at this size, so that what is recorded can be deleted while the process lives.
SEGMENT_BYTES = 4 * 1024 * 1024
#: How long the folder is not measured again once it was found full, in seconds.
FULL_RECHECK_S = 0.05
#: How long the process waits at its end for its events to be recorded, in seconds. The rest stays in the folder.
EXIT_FLUSH_S = 2.0
LOG_INTERVAL_S = 10.0


class SpoolFull(Exception):
    """The folder holds as much as SPOOL_MAX_MB allows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stats:
    """The state of a spool folder. Counts are over all processes since the folder was made, except `emitted`."""

    folder: Path
    emitted: int  # by this process
    refused: int  # events lost because the folder was full or could not be written
    damaged: int  # torn or garbled lines, kept in rejected/
    rejected: int  # events that could not be recorded, kept in rejected/
    recorded: int
    duplicates: int  # events that came again and changed nothing
    conflicts: int  # an id that came again with other content, and was not recorded twice
    backlog_bytes: int  # not recorded yet
    oldest_backlog_s: float  # age of the oldest segment with such bytes, in seconds; 0 without
    folder_bytes: int
    max_bytes: int
    segments: int
    recorder_alive: bool  # the thread of this process; it starts with the first event
    last_error: str  # of this process's recorder or writer; "" if the last attempt succeeded


class Spool:
    """The writing side of one folder in one process."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes
        self.segment_bytes = max(64 * 1024, min(SEGMENT_BYTES, max_bytes // 8))
        self.pid = os.getpid()
        self.own: set[Path] = set()  # segments made by this process
        self.emitted = 0
        self.uncounted: dict[str, int] = {}  # refusals that could not be written to `counters` yet
        self.last_error = ""
        self.wake = threading.Event()  # there is something to record
        self.recorder: Recorder | None = None
        self._lock = threading.Lock()
        self._owner: int | None = None
        self._late: deque[bytes] = deque()
        self._path: Path | None = None
        self._fd = -1
        self._size = 0
        self._allowance = 0
        self._full_until = 0.0
        self._logged_at = 0.0

    def append(self, line: bytes) -> None:
        """Write one framed line. Raises nothing: what cannot be written is counted and logged."""
        me = threading.get_ident()
        if self._owner == me:
            # A finalizer of an abandoned stream (or a signal handler) ran inside this very method: the lock is ours.
            self._late.append(line)
            return
        with self._lock:
            self._owner = me
            try:
                self._write_or_refuse(line)
            finally:
                self._owner = None
        while self._late:
            with contextlib.suppress(IndexError):
                self.append(self._late.popleft())

    def _write_or_refuse(self, line: bytes) -> None:
        try:
            if self._path is None or self._size + len(line) > self.segment_bytes:
                self._next_segment(len(line))
            elif len(line) > self._allowance:
                self._measure(len(line))
            written = os.write(self._fd, line)
            if written != len(line):
                os.ftruncate(self._fd, self._size)  # readers wait for the newline: none has seen the part
                raise OSError("the disk is full")
            self._size += written
            self._allowance -= written
            self.emitted += 1
        except SpoolFull:
            self.refuse("refused_full", f"The spool holds {self.max_bytes} bytes (SPOOL_MAX_MB)")
        except OSError as error:
            self.refuse("refused_failed", f"The spool cannot be written: {error}")

    def _next_segment(self, needed: int) -> None:
        self._measure(needed)
        self._seal()
        self._path, self._fd = segments.create_segment(self.folder)
        self._size = 0
        self.own.add(self._path)

    def _seal(self) -> None:
        if self._path is not None:
            segments.unlock(self._fd)
            self._path, self._fd = None, -1

    def _measure(self, needed: int) -> None:
        now = time.monotonic()
        if now < self._full_until:
            raise SpoolFull
        room = self.max_bytes - segments.folder_bytes(self.folder)
        if room < needed:
            self._full_until = now + FULL_RECHECK_S
            raise SpoolFull
        # Part of the room only: other processes write into the same folder.
        self._allowance = max(needed, min(room // 8, SEGMENT_BYTES))

    def refuse(self, counter: str, reason: str) -> None:
        """Count and log an event that is not taken. Raises nothing."""
        self.uncounted[counter] = self.uncounted.get(counter, 0) + 1
        self.last_error = reason
        self.save_counts()
        now = time.monotonic()
        if now - self._logged_at > LOG_INTERVAL_S or not self._logged_at:
            self._logged_at = now
            logger.error("%s: the event is not recorded. Folder: %s", reason, self.folder)

    def save_counts(self) -> None:
        """Write the refusals of this process to the folder's counters, now or, if that fails, at the next occasion."""
        if not self.uncounted:
            return
        changes, self.uncounted = self.uncounted, {}
        try:
            segments.add_counters(self.folder, **changes)
        except OSError:
            for name, change in changes.items():
                self.uncounted[name] = self.uncounted.get(name, 0) + change

    def release_recorded(self, path: Path, offset: int) -> None:
        """Seal the live segment once all of it is recorded and it is worth deleting."""
        with self._lock:
            self._owner = threading.get_ident()
            try:
                if path == self._path and offset == self._size and self._size > self.segment_bytes // 4:
                    self._seal()
            finally:
                self._owner = None

    def drop(self, path: Path) -> None:
        """The segment is gone: recorded and deleted, or removed by someone. Never append to it again."""
        with self._lock:
            self._owner = threading.get_ident()
            try:
                self.own.discard(path)
                if path == self._path:
                    self._seal()
            finally:
                self._owner = None

    def marks(self) -> list[tuple[Path, int]]:
        """The segments of this process and how far each is written."""
        with self._lock:
            live = self._path, self._size
            own = list(self.own)
        return [(path, live[1] if path == live[0] else 2**63) for path in own]

    def close(self, *, join_s: float) -> None:
        """Stop the recorder thread and give the segments to whoever drains the folder next."""
        if self.recorder is not None:
            self.recorder.stop(join_s=join_s)
        with self._lock:
            self._seal()
        self.save_counts()


_spool: Spool | None = None
_configured: object = None  # the SPOOL_DIR that `_spool` was made for
_open_lock = threading.RLock()
_inherited: list[Spool] = []  # of the parent: kept, so that nothing of its connection is finalized in a child
_last_failure_at = 0.0
_emit_failures = 0


def emit(event: CallEvent) -> None:
    """Hand an event to the recorder: durable when this returns. Never raises and never waits for the database."""
    try:
        spool = _current()
        spool.append(_line(event))
    except Exception as error:
        _failed(error)
        return
    if not spool.wake.is_set():
        spool.wake.set()
    recorder = spool.recorder
    if recorder is None or not recorder.running:
        with contextlib.suppress(Exception):  # the event is safe; the next one tries again
            _start_recorder(spool)


def flush(timeout_s: float = 10) -> bool:
    """Wait until everything this process emitted so far is in the ledger: False if it is not after `timeout_s` seconds.

    Inside a transaction of the caller that holds SQLite's write lock it cannot succeed: call it afterwards.
    """
    spool = _spool
    if spool is None or spool.pid != os.getpid():
        return True
    waiting = [mark for mark in spool.marks() if not _is_recorded(*mark)]
    if not waiting:
        return True
    _start_recorder(spool)
    until = time.monotonic() + timeout_s
    recorder = spool.recorder
    while recorder is not None:
        recorder.hurry.set()
        spool.wake.set()
        recorder.passed.wait(0.02)
        recorder.passed.clear()
        waiting = [mark for mark in waiting if not _is_recorded(*mark)]
        if not waiting:
            return True
        if time.monotonic() > until:
            return False
        if not recorder.running:
            _start_recorder(spool)
            recorder = spool.recorder
    return False


def stats() -> Stats:
    """The state of the spool folder, measured now. Works in processes that emit nothing themselves."""
    spool = _current()
    spool.save_counts()
    counters = segments.read_counters(spool.folder)
    waiting = {path: size for path in segments.segments(spool.folder) if (size := segments.backlog_bytes(path))}
    oldest = min((int(path.name.split("-")[0]) for path in waiting), default=0)
    recorder = spool.recorder
    return Stats(
        folder=spool.folder,
        emitted=spool.emitted,
        refused=counters["refused_full"] + counters["refused_failed"] + sum(spool.uncounted.values()) + _emit_failures,
        damaged=counters["damaged"],
        rejected=counters["rejected"],
        recorded=counters["recorded"],
        duplicates=counters["duplicates"],
        conflicts=counters["conflicts"],
        backlog_bytes=sum(waiting.values()),
        oldest_backlog_s=max(0.0, (time.time_ns() - oldest) / 1e9) if oldest else 0.0,
        folder_bytes=segments.folder_bytes(spool.folder),
        max_bytes=spool.max_bytes,
        segments=len(segments.segments(spool.folder)),
        recorder_alive=recorder is not None and recorder.running,
        last_error=(recorder.last_error if recorder is not None else "") or spool.last_error,
    )


def close(*, join_s: float = 5.0) -> None:
    """Stop this process's recorder thread, waiting at most `join_s` seconds. The next `emit` starts anew."""
    global _spool
    with _open_lock:
        spool, _spool = _spool, None
    if spool is not None and spool.pid == os.getpid():
        spool.close(join_s=join_s)


def _is_recorded(path: Path, end: int) -> bool:
    try:
        written = path.stat().st_size
    except FileNotFoundError:
        return True
    return written - segments.backlog_bytes(path) >= min(end, written)


def _line(event: CallEvent) -> bytes:
    try:
        payload = event.to_json()
    except Exception:
        payload = b""
    if not payload or len(payload) > segments.MAX_LINE_BYTES:
        flag = "usage_too_large" if payload else "usage_unreadable"
        bare = dataclasses.replace(event, usage=None, facts={}, flags=[*event.flags[:20], flag])
        payload = bare.to_json()
        if len(payload) > segments.MAX_LINE_BYTES:
            payload = dataclasses.replace(bare, tags={}, error=bare.error[:200], flags=[flag]).to_json()
    return segments.frame(payload)


def _settings():
    from django.conf import settings

    if not settings.configured:
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costwatch.settings")
    return settings


def _current() -> Spool:
    """The spool of SPOOL_DIR in this process, made anew after a fork and when the setting changes."""
    global _spool, _configured
    settings = settings_of()
    spool = _spool
    if spool is not None and settings.SPOOL_DIR is _configured:
        return spool
    with _open_lock:
        if _spool is None or settings.SPOOL_DIR is not _configured:
            old, _configured = _spool, settings.SPOOL_DIR
            _spool = Spool(Path(settings.SPOOL_DIR), max_bytes=int(settings.SPOOL_MAX_MB * 1024 * 1024))
            if old is not None:
                old.close(join_s=0)
        return _spool


_lazy_settings = None


def settings_of():
    """Django's settings, also in a process that has not set Django up. Raises what keeps them from being read."""
    return _lazy_settings or _load_settings()


def _load_settings():
    global _lazy_settings
    _lazy_settings = _settings()
    return _lazy_settings


def _start_recorder(spool: Spool) -> None:
    from tracking.recorder import Recorder

    with _open_lock:
        if spool.recorder is None or not spool.recorder.running:
            spool.recorder = Recorder.start(spool)


def _failed(error: Exception) -> None:
    """What keeps even a spool from being opened (settings that cannot be read): counted and logged, now and then."""
    global _emit_failures, _last_failure_at
    _emit_failures += 1
    now = time.monotonic()
    if now - _last_failure_at > LOG_INTERVAL_S or not _last_failure_at:
        _last_failure_at = now
        logger.error("An event could not be handed to the recorder: %s: %s", type(error).__name__, error)


def _after_fork_in_child() -> None:
    """A child writes segments of its own, through a recorder of its own; the parent keeps everything it has."""
    global _spool, _open_lock
    segments.forget_locks_after_fork()
    _open_lock = threading.RLock()
    if _spool is not None:
        _inherited.append(_spool)
    _spool = None


def _at_exit() -> None:
    with contextlib.suppress(Exception):
        flush(EXIT_FLUSH_S)
        close(join_s=0.2)


os.register_at_fork(after_in_child=_after_fork_in_child)
atexit.register(_at_exit)
