"""The ledger's table: how it is made on each database, its months on PostgreSQL, and the one way rows get into it."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from django.conf import settings
from django.db import connections, migrations, transaction

logger = logging.getLogger("costwatch.ledger")

TABLE = "tracking_apiusagelog"
DEFAULT_PARTITION = f"{TABLE}_default"
#: Taken while a month is made, so that two processes do not make it at once (any constant will do).
_PARTITION_LOCK = 0x0C057_0001
#: How long a month that was seen is believed to be there, in seconds.
_SEEN_S = 60.0

_seen: dict[tuple[str, str], float] = {}
_seen_lock = threading.Lock()


class CreateLedger(migrations.CreateModel):
    """CreateModel for the ledger: an ordinary table on SQLite, one partitioned by month on PostgreSQL.

    The state that Django keeps is the same. On PostgreSQL the primary key is (id, occurred_at), because a partitioned
    table cannot make `id` unique by itself; `RecordedEvent` does.
    """

    def database_forwards(self, app_label, schema_editor, from_state, to_state):
        model = to_state.apps.get_model(app_label, self.name)
        if not self.allow_migrate_model(schema_editor.connection.alias, model):
            return
        if schema_editor.connection.vendor != "postgresql":
            super().database_forwards(app_label, schema_editor, from_state, to_state)
            return
        sql, params = schema_editor.table_sql(model)
        head, primary_key, tail = sql.partition(" PRIMARY KEY")
        if not primary_key or not tail.endswith(")"):
            raise ValueError(f"The table of {model._meta.label} cannot be partitioned: {sql}")
        sql = f'{head}{tail[:-1]}, PRIMARY KEY ("id", "occurred_at")) PARTITION BY RANGE ("occurred_at")'
        schema_editor.execute(sql, params or None)
        schema_editor.deferred_sql.extend(schema_editor._model_indexes_sql(model))
        schema_editor.execute(f'CREATE TABLE "{DEFAULT_PARTITION}" PARTITION OF "{TABLE}" DEFAULT')
        # The rest is made ahead by a scheduled task, and by whoever records a row of a month that is missing.
        for month in months_ahead(now=datetime.now(UTC)):
            first, end = _month_bounds(month)
            schema_editor.execute(
                f'CREATE TABLE "{partition_of(month)}" PARTITION OF "{TABLE}" '
                f"FOR VALUES FROM ('{first}') TO ('{end}')"
            )

    def describe(self):
        return f"{super().describe()}, partitioned by month on PostgreSQL"


def ledger_alias() -> str:
    """The database alias of the ledger."""
    return settings.LEDGER_DATABASE


def _month_bounds(month: str) -> tuple[str, str]:
    year, number = int(month[:4]), int(month[5:])
    following = f"{year + number // 12:04d}-{number % 12 + 1:02d}"
    return f"{month}-01 00:00:00+00", f"{following}-01 00:00:00+00"


def partition_of(month: str) -> str:
    """The name of the table that holds a month ("2026-11")."""
    return f"{TABLE}_y{month[:4]}m{month[5:]}"


def ensure_months(months: Iterable[str]) -> list[str]:
    """Make the partitions of these UTC months ("2026-11") where they are missing; returns those made.

    Does nothing on SQLite. A month whose rows already stand in the default partition cannot be made: that is logged,
    and `default_partition_rows` tells it to the audit. Raises `django.db.Error` where the database cannot be reached.
    """
    alias = ledger_alias()
    connection = connections[alias]
    if connection.vendor != "postgresql":
        return []
    now = time.monotonic()
    database = str(connection.settings_dict["NAME"])
    wanted = sorted(month for month in set(months) if _seen.get((database, month), 0.0) < now)
    made = [month for month in wanted if _make_month(alias, month)]
    if connection.in_atomic_block:
        return made  # a month made here goes away if the caller rolls back: it is looked for again
    with _seen_lock:
        _seen.update({(database, month): now + _SEEN_S for month in wanted})
    return made


def _make_month(alias: str, month: str) -> bool:
    from django.db import IntegrityError

    name = partition_of(month)
    with connections[alias].cursor() as cursor:
        cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
        if cursor.fetchone()[0]:
            return False
    first, end = _month_bounds(month)
    try:
        with transaction.atomic(using=alias), connections[alias].cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_PARTITION_LOCK])
            cursor.execute("SELECT to_regclass(%s) IS NOT NULL", [name])
            if cursor.fetchone()[0]:
                return False
            # Attached rather than made in place: that does not stop the writers of other months.
            cursor.execute("SET LOCAL lock_timeout = '5s'")
            cursor.execute(f'CREATE TABLE "{name}" (LIKE "{TABLE}" INCLUDING DEFAULTS INCLUDING CONSTRAINTS)')
            cursor.execute(
                f'ALTER TABLE "{TABLE}" ATTACH PARTITION "{name}" FOR VALUES FROM (%s) TO (%s)',
                [first, end],
            )
    except IntegrityError:
        logger.exception("The partition of %s cannot be made: the default partition holds rows of that month.", month)
        return False
    return True


def months_ahead(*, now: datetime, ahead: int = 3) -> list[str]:
    """This UTC month and the `ahead` months after it, as "2026-11"."""
    count = now.astimezone(UTC).year * 12 + now.astimezone(UTC).month - 1
    return [f"{index // 12:04d}-{index % 12 + 1:02d}" for index in range(count, count + ahead + 1)]


def default_partition_rows(*, at_most: int = 1000) -> int:
    """Rows in the default partition, counted up to `at_most`. Anything but 0 is an alarm; always 0 on SQLite."""
    connection = connections[ledger_alias()]
    if connection.vendor != "postgresql":
        return 0
    with connection.cursor() as cursor:
        cursor.execute(f'SELECT count(*) FROM (SELECT 1 FROM "{DEFAULT_PARTITION}" LIMIT %s) rows', [at_most])  # noqa: S608
        return cursor.fetchone()[0]


#: What COPY's text format writes for characters that separate values and rows.
_COPY_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def _copy_text(rows: Sequence[tuple]) -> str:
    """Rows in COPY's text format."""
    width = len(rows[0])
    line = "\t".join(["%s"] * width) + "\n"
    text = "".join([line % tuple(["\\N" if value is None else value for value in row]) for row in rows])
    # Nearly no batch holds a character that must be escaped: look at the whole text before looking at each value.
    separated = text.count("\t") == len(rows) * (width - 1) and text.count("\n") == len(rows) and "\r" not in text
    if separated and text.count("\\") == sum([row.count(None) for row in rows]):
        return text
    return "".join(map(_escaped_line, rows))


def _escaped_line(row: tuple) -> str:
    escaped = ["\\N" if value is None else str(value).translate(_COPY_ESCAPES) for value in row]
    return "\t".join(escaped) + "\n"


def int_array(values: Iterable[int]) -> str:
    """A PostgreSQL array of numbers as text, for `%s::bigint[]`."""
    return f"{{{str(list(values))[1:-1]}}}"


def array_literal(values: Sequence[str | int | None]) -> str:
    """A PostgreSQL array as text, for `%s::type[]`: a third of the work of letting the driver build it."""
    try:
        text = '","'.join(values)
        if "\\" not in text and text.count('"') == 2 * len(values) - 2:
            return f'{{"{text}"}}'
    except TypeError:  # not all of them are texts
        pass
    items = [
        str(value)
        if value.__class__ is int
        else "NULL"
        if value is None
        else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
        for value in values
    ]
    return "{" + ",".join(items) + "}"


def insert_rows(columns: Sequence[str], rows: Sequence[tuple]) -> None:
    """Write rows of database values (str, int, None): COPY on PostgreSQL, one prepared INSERT on SQLite.

    Times are "YYYY-MM-DD HH:MM:SS[.ffffff]" in UTC, as Django keeps them on SQLite.
    """
    if not rows:
        return
    connection = connections[ledger_alias()]
    names = ", ".join(f'"{name}"' for name in columns)
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor, cursor.copy(f'COPY "{TABLE}" ({names}) FROM STDIN') as copy:
            copy.write(_copy_text(rows))
        return
    marks = ", ".join(["%s"] * len(columns))
    with connection.cursor() as cursor:
        cursor.executemany(f'INSERT INTO "{TABLE}" ({names}) VALUES ({marks})', rows)  # noqa: S608
