"""A database that a benchmark has to itself, and that is gone when it ends."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def own_database(server_url: str) -> Iterator[Path]:
    """Point the settings at an empty database and a folder for data; yields the folder.

    With the URL of a PostgreSQL server a database is created there, and dropped at the end; without one it is SQLite in
    the folder. Django must be set up inside, not before.
    """
    with tempfile.TemporaryDirectory(prefix="costwatch-bench-") as folder:
        os.environ |= {"DATA_DIR": folder, "SPOOL_DIR": f"{folder}/spool"}
        if not server_url:
            os.environ["DATABASE_URL"] = f"sqlite:///{folder}/bench.sqlite3"
            yield Path(folder)
            return
        import psycopg

        server, name = server_url.rpartition("/")[0], f"costwatch_bench_{os.getpid()}"
        with psycopg.connect(f"{server}/postgres", autocommit=True) as admin:
            admin.execute(f'CREATE DATABASE "{name}"')
            try:
                os.environ["DATABASE_URL"] = f"{server}/{name}"
                yield Path(folder)
            finally:
                from django.db import connections

                connections.close_all()
                admin.execute(f'DROP DATABASE "{name}" WITH (FORCE)')
