"""Where the money operations run: in a short transaction of their own, and never on an event loop.

- A caller outside a transaction: on his thread's own connection.
- A caller inside one, PostgreSQL: on a thread of a small pool, which has a connection of its own. A rollback of the
  caller cannot take back a hold for a call that was sent.
- A caller inside one, SQLite: in a savepoint on the caller's connection. A second connection would wait for the write
  lock that the caller himself holds. If the caller rolls back, the hold is gone with it, and settling the call counts
  its cost all the same.
- A caller on an event loop: a coroutine awaits the pool (`in_pool`); one who calls without awaiting waits for it.
"""

import asyncio
import contextlib
import functools
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from django.conf import settings
from django.db import InterfaceError, OperationalError, ProgrammingError, connections, transaction

from budgets.errors import BudgetUnavailable

logger = logging.getLogger(__name__)
T = TypeVar("T")
ALIAS = "default"
#: How long PostgreSQL may wait for a row that another transaction holds.
LOCK_TIMEOUT_MS = 5_000
_TRIES = 4
#: serialization failure, deadlock: PostgreSQL undid everything, and trying again is the remedy
_TRY_AGAIN = ("40001", "40P01")

#: (PostgreSQL calls a table that was not migrated yet a programming error.)
_UNAVAILABLE = (OperationalError, InterfaceError, ProgrammingError)

_pool: ThreadPoolExecutor | None = None
_pool_lock = threading.Lock()
_threads = 0


def run_apart(work: Callable[[], T]) -> T:
    """Run `work` in a transaction of its own (see the module) and return its result.

    `work` may run again after a lost connection or a deadlock, so it must be idempotent; and it must not call this in
    turn, as the pool could run out of threads that wait for each other. Raises `BudgetUnavailable` where the database
    cannot be reached or did not answer in time; and whatever `work` raises, rolled back.
    """
    return _run(work, _transaction)


def read_apart(work: Callable[[], T]) -> T:
    """Like `run_apart`, for queries that need no transaction: on SQLite that would take the write lock."""
    return _run(work, _no_transaction)


def _run(work: Callable[[], T], way: Callable[[Callable[[], T]], T]) -> T:
    if _on_event_loop():
        return _start(functools.partial(way, work)).result()
    connection = connections[ALIAS]
    if connection.in_atomic_block or (not connection.autocommit and connection.connection is not None):
        if connection.vendor == "sqlite":
            return _savepoint(work)
        return _start(functools.partial(way, work)).result()
    return way(work)


async def in_pool(work: Callable[[], T]) -> T:
    """Run `work`, which calls `run_apart` itself, on the pool: waits without blocking the event loop."""
    return await asyncio.wrap_future(_start(work))


def submit(work: Callable[[], T]) -> Future[T]:
    """Run `work`, which calls `run_apart` itself, on the pool; returns at once."""
    return _start(work)


def shares_transaction() -> bool:
    """Whether what is written now goes with the caller's own transaction."""
    connection = connections[ALIAS]
    return not _on_event_loop() and connection.vendor == "sqlite" and connection.in_atomic_block


def shut_down() -> None:
    """Close the pool's connections and end its threads. The next use starts another pool."""
    global _pool, _threads
    with _pool_lock:
        pool, threads = _pool, _threads
        _pool, _threads = None, 0
    if pool is None:
        return
    everyone = threading.Barrier(
        max(threads, 1)
    )  # each thread takes one of the jobs, as none is done before the others
    for _ in range(threads):
        pool.submit(_close_connection, everyone)
    pool.shutdown(wait=True)


def _close_connection(everyone: threading.Barrier) -> None:
    with contextlib.suppress(threading.BrokenBarrierError):
        everyone.wait(timeout=5)
    connections[ALIAS].close()


def _start(work: Callable[[], T]):
    global _pool
    with _pool_lock:
        if _pool is None:
            _pool = ThreadPoolExecutor(
                settings.BUDGET_THREADS, thread_name_prefix="costwatch-budgets", initializer=_count_thread
            )
        return _pool.submit(functools.partial(_in_pool, work))


def _count_thread() -> None:
    global _threads
    with _pool_lock:
        _threads += 1


def _in_pool(work: Callable[[], T]) -> T:
    try:
        return work()
    finally:
        connections[ALIAS].close_if_unusable_or_obsolete()


def _forget_pool() -> None:
    """A forked child has none of its parent's threads."""
    global _pool, _pool_lock, _threads
    _pool, _pool_lock, _threads = None, threading.Lock(), 0


os.register_at_fork(after_in_child=_forget_pool)


def _savepoint(work: Callable[[], T]) -> T:
    try:
        with transaction.atomic(using=ALIAS):
            return work()
    except _UNAVAILABLE as error:
        raise _unavailable(error) from error


def _transaction(work: Callable[[], T]) -> T:
    connection = connections[ALIAS]

    def in_transaction() -> T:
        with transaction.atomic(using=ALIAS):
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute(f"SET LOCAL lock_timeout = {LOCK_TIMEOUT_MS}")
            return work()

    return _no_transaction(in_transaction)


def _no_transaction(work: Callable[[], T]) -> T:
    connection = connections[ALIAS]
    for remaining in reversed(range(_TRIES)):
        was_open = connection.connection is not None
        try:
            return work()
        except _UNAVAILABLE as error:
            if not remaining or not _worth_another_try(connection, error, was_open):
                raise _unavailable(error) from error
    raise AssertionError("unreachable")


def _unavailable(error: Exception) -> BudgetUnavailable:
    """What the caller is told; the log has the cause, which may name hosts."""
    logger.error("The budget database failed: %s: %s", type(error).__name__, error)
    return BudgetUnavailable("The budget cannot be checked: the database did not answer.")


def _worth_another_try(connection, error: Exception, was_open: bool) -> bool:
    """After a deadlock; and once where a connection that had been open turns out to be dead."""
    if getattr(error.__cause__, "sqlstate", None) in _TRY_AGAIN:
        return True
    if connection.vendor == "postgresql" and was_open and not (connection.connection and connection.is_usable()):
        connection.close()
        return True
    return False


def _on_event_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
