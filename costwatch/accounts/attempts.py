"""What is tried without being allowed: logins, for an account and from an address, and requests that are refused, from
an address. Counted by the minute, by all processes together.

In Redis where there is one. Without it each process has a cache of its own, and so many workers would let so many times
as many guesses pass: there a row of the database is counted up instead. Both are few; requests that are answered are
not, and are counted by each process for itself (`costwatch.api.throttles`).
"""

from __future__ import annotations

import hashlib
import logging
import time
from typing import Any

from django.conf import settings
from django.core.cache import cache
from django.db import DatabaseError, connection, transaction
from rest_framework.throttling import BaseThrottle

from costwatch.accounts.models import LoginCount

logger = logging.getLogger(__name__)

MINUTE_S = 60
#: Rows of so many minutes ago are deleted.
_KEPT_MINUTES = 10


def too_many(request: Any, email: str) -> bool:
    """Whether one login more is one too many, for its account or its address. Counts it. `request` is Django's."""
    address = BaseThrottle().get_ident(request) or "?"
    counted = [  # both, whichever is reached first
        count("login-address", address) > settings.LOGINS_PER_MINUTE_AND_ADDRESS,
        bool(email) and count("login-account", email.strip().lower()) > settings.LOGINS_PER_MINUTE,
    ]
    return any(counted)


def too_many_refused(request: Any) -> bool:
    """Whether a request that is refused (401, 403) is one too many from its address. Counts it.

    Each process remembers for the rest of the minute that there are too many: then nothing is written any more.
    """
    address = BaseThrottle().get_ident(request) or "?"
    known = f"throttle:refused:{_hashed(address)}:{int(time.time() // MINUTE_S)}"
    try:
        if cache.get(known):
            return True
        over = count("refused-address", address) > settings.API_REQUESTS_PER_MINUTE
        if over:
            cache.set(known, True, MINUTE_S)
    except Exception as error:  # whatever a Redis client raises
        logger.warning("Refused requests are not counted: %s", type(error).__name__)
        return False
    return over


def count(kind: str, who: str) -> int:
    """Count one login or refused request; returns how many there were in this minute. 0 where that cannot be told."""
    key, minute = f"{kind}:{_hashed(who)}", int(time.time() // MINUTE_S)
    try:
        if settings.REDIS_URL:
            cache.add(f"throttle:{key}:{minute}", 0, 2 * MINUTE_S)
            return cache.incr(f"throttle:{key}:{minute}")
        with transaction.atomic():
            return _count_row(key, minute)
    except (DatabaseError, OSError) as error:
        logger.warning("Attempts are not counted: %s", type(error).__name__)
    except Exception as error:  # whatever a Redis client raises
        logger.warning("Attempts are not counted: %s", type(error).__name__)
    return 0


def _hashed(who: str) -> str:
    return hashlib.sha256(who.encode()).hexdigest()[:32]


def _count_row(key: str, minute: int) -> int:
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO accounts_logincount (key, minute, count) VALUES (%s, %s, 1) ON CONFLICT (key) DO UPDATE SET"
            " count = CASE WHEN accounts_logincount.minute = excluded.minute THEN accounts_logincount.count + 1"
            " ELSE 1 END, minute = excluded.minute RETURNING count",
            [key, minute],
        )
        found = cursor.fetchone()[0]
    if found == 1:
        LoginCount.objects.filter(minute__lt=minute - _KEPT_MINUTES).delete()
    return found
