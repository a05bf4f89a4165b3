"""Is the process alive, and can it do its work: for load balancers and supervisors."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable

from django.db import DatabaseError, connections

from costwatch import diagnosis
from costwatch.diagnosis import Finding

logger = logging.getLogger(__name__)

#: An answer is given again for so long, in seconds: whoever asks, the checks are made once.
FRESH_S = 1.0
_lock = threading.Lock()
_cached: tuple[float, dict[str, bool]] = (float("-inf"), {})
_migrated = False


def readiness() -> dict[str, bool]:
    """What the process needs, and whether it has it: database, migrations, spool, broker. Raises nothing."""
    global _cached
    with _lock:
        if time.monotonic() - _cached[0] > FRESH_S:
            _cached = (time.monotonic(), _look())
        return _cached[1]


def forget() -> None:
    """Look again at the next question."""
    global _cached, _migrated
    _cached, _migrated = (float("-inf"), {}), False


def _look() -> dict[str, bool]:
    database = _is_well("database", lambda: [diagnosis.check_database()])
    return {
        "database": database,
        "migrations": database and _is_migrated(),
        "spool": _is_well("spool", diagnosis.check_spool),
        "broker": _is_well("broker", lambda: [diagnosis.check_broker()]),
    }


def _is_migrated() -> bool:
    """Once they are applied they stay so: not looked at again by this process."""
    global _migrated
    _migrated = _migrated or _is_well("migrations", lambda: [diagnosis.check_migrations()])
    return _migrated


def _is_well(name: str, look: Callable[[], Iterable[Finding]]) -> bool:
    """What is wrong goes to the log: it may name hosts and folders, and whoever asks need not know them."""
    try:
        problems = [finding.text for finding in look() if finding.level == "problem"]
    except Exception as error:
        problems = [type(error).__name__]
        if isinstance(error, DatabaseError):
            connections["default"].close()
    if problems:
        logger.warning("Not ready (%s): %s", name, " ".join(problems))
    return not problems
