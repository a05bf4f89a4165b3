"""The files of the spool: framed lines in segment files, their offsets and locks, and counters that outlive a process.

A folder holds, for every segment,

* `<name>.seg`: one line per event, `crc32 json`. Its writer keeps an exclusive flock on it while it may append;
* `<name>.off`: how far it has been recorded. Whoever drains the segment keeps an exclusive flock on this file.

and beside them `counters`, `rejected/` and `id`. Locks are flocks, so the kernel releases them however a process ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
import struct
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

#: The longest line a spool takes, in bytes; `tracking.spool` drops an event's usage rather than exceed it.
MAX_LINE_BYTES = 256 * 1024
#: What a drainer reads at once, in bytes. A damaged file that holds no newline is skipped in pieces of this size.
CHUNK_BYTES = 1024 * 1024

#: Counters of a folder, in the order in which they stand in the file. Append only: the position is the format.
COUNTERS = ("refused_full", "refused_failed", "damaged", "rejected", "recorded", "duplicates", "conflicts")

#: Descriptors that hold a flock: a forked child shares the lock through its copies and closes them at once.
held_locks: set[int] = set()


def frame(payload: bytes) -> bytes:
    """A line of a segment: checksum, blank, payload without newline, newline."""
    return b"%08x %s\n" % (zlib.crc32(payload), payload)


def unframe(line: bytes) -> bytes | None:
    """The payload of a line without its newline, or None if the line is damaged."""
    payload = line[9:]
    try:
        intact = line[8:9] == b" " and int(line[:8], 16) == zlib.crc32(payload)
    except ValueError:
        return None
    return payload if intact else None


def try_lock(path: Path, flags: int = os.O_RDWR) -> int | None:
    """Open `path` and take an exclusive flock: the descriptor, or None where another holds it or the file is gone.

    Raises `OSError` for what is neither (permissions, a full disk).
    """
    try:
        fd = os.open(path, flags, 0o600)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # The file may have been drained and removed between opening and locking it.
        if os.fstat(fd).st_nlink:
            held_locks.add(fd)
            return fd
    except BlockingIOError:
        pass
    os.close(fd)
    return None


def unlock(fd: int) -> None:
    """Give the lock back, for copies of the descriptor in forked children too."""
    held_locks.discard(fd)
    with contextlib.suppress(OSError):
        fcntl.flock(fd, fcntl.LOCK_UN)
    os.close(fd)


def forget_locks_after_fork() -> None:
    """In a forked child: close the copies of the parent's descriptors, so that only the parent holds its locks."""
    for fd in held_locks:
        with contextlib.suppress(OSError):
            os.close(fd)
    held_locks.clear()


def create_segment(folder: Path) -> tuple[Path, int]:
    """A new empty segment, locked by this process: its path, and a descriptor that appends. Raises `OSError`."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"{time.time_ns():020d}-{os.getpid()}-{os.urandom(4).hex()}"
    unborn, path = folder / f"{name}.new", folder / f"{name}.seg"
    fd = os.open(unborn, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o600)
    try:
        # Locked before it gets the name that drainers look for: none can find it without its writer.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.rename(unborn, path)
    except OSError:
        os.close(fd)
        with contextlib.suppress(OSError):
            os.unlink(unborn)
        raise
    held_locks.add(fd)
    return path, fd


@dataclass(slots=True)
class Chunk:
    """Whole lines of a segment, from `start` to `end` (bytes)."""

    start: int
    end: int
    lines: list[bytes]


class Draining:
    """A segment under this process's drain lock. Use `open_for_draining`."""

    def __init__(self, path: Path, offset_fd: int, segment_fd: int) -> None:
        self.path = path
        self._offset_fd = offset_fd
        self._segment_fd = segment_fd
        raw = os.pread(offset_fd, 32, 0)
        self.offset = int(raw) if raw.strip().isdigit() else 0

    def read(self) -> Chunk | None:
        """The next whole lines, at most `CHUNK_BYTES`; None at the end of what has been written so far."""
        data = os.pread(self._segment_fd, CHUNK_BYTES, self.offset)
        end = data.rfind(b"\n") + 1
        if not end:
            if len(data) < CHUNK_BYTES:
                return None
            end = len(data)  # no line is that long: damaged
        return Chunk(self.offset, self.offset + end, data[:end].removesuffix(b"\n").split(b"\n"))

    def save(self, offset: int) -> None:
        """Everything before `offset` is recorded. Not synced: a replay after a power cut changes nothing."""
        os.pwrite(self._offset_fd, b"%020d\n" % offset, 0)
        self.offset = offset

    def finish(self) -> bytes | None:
        """Remove the segment if it is recorded to its end and nobody writes it any more.

        Returns None where it stays (its writer lives, or lines came in), else the torn last line, b"" if there is none.
        """
        writer = try_lock(self.path)
        if writer is None:
            return None
        try:
            rest = os.pread(self._segment_fd, CHUNK_BYTES, self.offset)
            if b"\n" in rest:
                return None
            os.unlink(self.path)
            os.unlink(self.path.with_suffix(".off"))
            return rest
        finally:
            unlock(writer)

    def close(self) -> None:
        os.close(self._segment_fd)
        unlock(self._offset_fd)


@contextlib.contextmanager
def open_for_draining(path: Path) -> Iterator[Draining | None]:
    """The segment with the drain lock taken; None where another drains it or it is gone. Raises `OSError`."""
    offset_fd = try_lock(path.with_suffix(".off"), os.O_RDWR | os.O_CREAT)
    if offset_fd is None:
        yield None
        return
    try:
        segment_fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path.with_suffix(".off"))
        unlock(offset_fd)
        yield None
        return
    draining = Draining(path, offset_fd, segment_fd)
    try:
        yield draining
    finally:
        draining.close()


def segments(folder: Path) -> list[Path]:
    """Every segment of the folder, oldest first; none where the folder does not exist."""
    try:
        return sorted(folder / entry.name for entry in os.scandir(folder) if entry.name.endswith(".seg"))
    except (FileNotFoundError, NotADirectoryError):
        return []


def backlog_bytes(path: Path) -> int:
    """Bytes of the segment that are not recorded yet; 0 where it is gone."""
    try:
        size = path.stat().st_size
    except FileNotFoundError:
        return 0
    try:
        raw = path.with_suffix(".off").read_bytes().strip()
    except FileNotFoundError:
        raw = b""
    return max(0, size - (int(raw) if raw.isdigit() else 0))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files in the folder and in `rejected/`."""
    total = 0
    for place in (folder, folder / "rejected"):
        with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(place) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    if entry.is_file():
                        total += entry.stat().st_size
    return total


def is_abandoned(path: Path) -> bool:
    """True where no living process writes the segment."""
    fd = try_lock(path)
    if fd is None:
        return False
    unlock(fd)
    return True


def sweep(folder: Path, *, older_than_s: float = 60.0) -> None:
    """Remove what a process killed between two steps left: segments never named, offsets without a segment."""
    border = time.time() - older_than_s
    with contextlib.suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
        for entry in entries:
            leftover = entry.name.endswith(".new") or (
                entry.name.endswith(".off") and not os.path.exists(f"{entry.path[:-4]}.seg")
            )
            with contextlib.suppress(FileNotFoundError):
                if leftover and entry.stat().st_mtime < border:
                    os.unlink(entry.path)


_COUNTER_FORMAT = struct.Struct(f"<{len(COUNTERS)}Q")


def folder_id(folder: Path) -> str:
    """What the folder is called for good, whatever its host is called: made once. "" where it cannot be written."""
    path = folder / "id"
    with contextlib.suppress(OSError, ValueError):
        if known := path.read_text("ascii").strip():
            return known[:40]
    made = folder / f"id.{secrets.token_hex(8)}"
    try:
        made.write_text(secrets.token_hex(8), "ascii")
        with contextlib.suppress(FileExistsError):  # another process was first
            os.link(made, path)
        return path.read_text("ascii").strip()[:40]
    except (OSError, ValueError):
        return ""
    finally:
        made.unlink(missing_ok=True)


def _counters_path(folder: Path) -> Path:
    return folder / "counters"


def read_counters(folder: Path) -> dict[str, int]:
    """How often what happened in this folder since it exists, over all processes."""
    try:
        raw = _counters_path(folder).read_bytes()[: _COUNTER_FORMAT.size]
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        raw = b""
    return dict(zip(COUNTERS, _COUNTER_FORMAT.unpack(raw.ljust(_COUNTER_FORMAT.size, b"\0")), strict=True))


def add_counters(folder: Path, **changes: int) -> None:
    """Add to the counters. The file is made once with its full size, so that counting needs no room on a full disk.

    Raises `OSError` where the file cannot be written, `BlockingIOError` where another process is counting right now.
    """
    fd = os.open(_counters_path(folder), os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        raw = os.pread(fd, _COUNTER_FORMAT.size, 0).ljust(_COUNTER_FORMAT.size, b"\0")
        values = dict(zip(COUNTERS, _COUNTER_FORMAT.unpack(raw), strict=True))
        for name, change in changes.items():
            values[name] += change
        os.pwrite(fd, _COUNTER_FORMAT.pack(*values.values()), 0)
    finally:
        # Unlocked in words: a child forked meanwhile shares the lock through its copy of the descriptor.
        with contextlib.suppress(OSError):
            fcntl.flock(fd, fcntl.LOCK_UN)
        os.close(fd)
