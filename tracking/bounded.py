"""A bound of time for reading: what takes longer is broken off by the database itself."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from django.db import OperationalError, connections, transaction

from tracking.ledger import ledger_alias

#: How many of its instructions SQLite works off between two looks at the clock.
_INSTRUCTIONS = 20_000
_QUERY_CANCELED = "57014"


class TookTooLong(Exception):
    """The statements were broken off: they took longer than they may."""


@contextlib.contextmanager
def reading_for(seconds: float) -> Iterator[None]:
    """Break the ledger's statements off after so many seconds, each on PostgreSQL and all together on SQLite.

    Raises `TookTooLong`. For reading only: what is broken off is rolled back on PostgreSQL.
    """
    connection = connections[ledger_alias()]
    bound = _in_postgres if connection.vendor == "postgresql" else _in_sqlite
    with bound(connection, seconds):
        yield


@contextlib.contextmanager
def _in_postgres(connection, seconds: float) -> Iterator[None]:
    try:
        with transaction.atomic(using=connection.alias):
            with connection.cursor() as cursor:
                cursor.execute("SELECT current_setting('statement_timeout')")
                [before] = cursor.fetchone()
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [str(int(seconds * 1000))])
            yield
            with connection.cursor() as cursor:  # the transaction may be the caller's
                cursor.execute("SELECT set_config('statement_timeout', %s, true)", [before])
    except OperationalError as error:
        if getattr(error.__cause__, "sqlstate", None) == _QUERY_CANCELED:
            raise TookTooLong from error
        raise


@contextlib.contextmanager
def _in_sqlite(connection, seconds: float) -> Iterator[None]:
    connection.ensure_connection()
    until = time.monotonic() + seconds
    raw = connection.connection
    raw.set_progress_handler(lambda: time.monotonic() > until, _INSTRUCTIONS)
    try:
        yield
    except OperationalError as error:
        if "interrupted" in str(error):
            raise TookTooLong from error
        raise
    finally:
        raw.set_progress_handler(None, 0)
