"""The services that tests use where they answer: PostgreSQL and Redis."""

import os
import time
from collections.abc import Callable

POSTGRES_URL = os.environ.get("TEST_POSTGRES_URL", "postgres://postgres@127.0.0.1:5432/costwatch")
REDIS_URL = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/15")


def postgres_answers(url: str) -> bool:
    """Whether a server answers there; the database named in the URL need not exist yet."""
    import psycopg

    try:
        psycopg.connect(_maintenance_database(url), connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def redis_answers(url: str) -> bool:
    import redis

    try:
        with redis.Redis.from_url(url, socket_connect_timeout=2, socket_timeout=2) as client:
            return bool(client.ping())
    except redis.RedisError:
        return False


def wait_for(answers: Callable[[str], bool], url: str, *, timeout_s: float) -> bool:
    """Ask until it answers, for at most `timeout_s`; always at least once."""
    deadline = time.monotonic() + timeout_s
    while not answers(url):
        if time.monotonic() >= deadline:
            return False
        time.sleep(0.5)
    return True


def _maintenance_database(url: str) -> str:
    head, _, _ = url.rpartition("/")
    return head + "/postgres"
