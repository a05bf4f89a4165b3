"""What calls of a feature and model have cost in 99 of 100 cases: for limits that go by expectation (a soft promise).

Looked up off the call's path: a call reads what this process knows, and a thread looks again when that is old.
"""

import logging
import threading
import time
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db import close_old_connections

from tracking.models import ApiUsageLog

logger = logging.getLogger(__name__)

#: How old what is known may be before a thread looks again, in seconds.
MAX_AGE_S = 600.0
#: So many of the latest calls, of at most so long ago, tell; fewer than so many of a feature and model tell nothing.
LATEST_CALLS, LOOK_BACK, FEWEST = 20_000, timedelta(days=30), 20

Key = tuple[str, str]  # feature, model asked

_lock = threading.Lock()
_known: dict[Key, Decimal] = {}
_looked_at = float("-inf")
_looking = False


def expected(*, feature: str, model: str) -> Decimal | None:
    """The cost in USD that 99 of 100 such calls stayed within; None where too few are known. Never waits."""
    if time.monotonic() - _looked_at > MAX_AGE_S:
        _look_soon()
    return _known.get((feature, model))


def refresh(*, now: datetime) -> int:
    """Look at the latest calls; returns for how many features and models something is known."""
    global _known, _looked_at
    rows = ApiUsageLog.objects.filter(occurred_at__gte=now - LOOK_BACK, status="ok", calls=1, cost__isnull=False)
    latest = rows.order_by("-occurred_at", "-id").values_list("feature", "model_asked", "cost")[:LATEST_CALLS]
    costs: dict[Key, list[Decimal]] = defaultdict(list)
    for feature, model, cost in latest.iterator(2000):
        costs[(feature, model)].append(cost)
    _known = {key: percentile_99(found) for key, found in costs.items() if len(found) >= FEWEST}
    _looked_at = time.monotonic()
    return len(_known)


def percentile_99(costs: list[Decimal]) -> Decimal:
    """The least of the costs that at least 99 of 100 do not exceed."""
    ordered = sorted(costs)
    return ordered[-(-len(ordered) * 99 // 100) - 1]


def forget() -> None:
    """Know nothing, and look again at the next question."""
    global _known, _looked_at
    _known, _looked_at = {}, float("-inf")


def _look_soon() -> None:
    global _looking
    with _lock:
        if _looking:
            return
        _looking = True
    try:
        threading.Thread(target=_look, name="costwatch-expectation", daemon=True).start()
    except RuntimeError:  # the interpreter is ending
        _looking = False


def _look() -> None:
    global _looking, _looked_at
    try:
        refresh(now=datetime.now(UTC))
    except Exception as error:
        _looked_at = time.monotonic()  # not at every call
        logger.warning("What calls are expected to cost could not be looked up: %s", type(error).__name__)
    finally:
        _looking = False
        close_old_connections()
        from django.db import connections

        connections.close_all()
