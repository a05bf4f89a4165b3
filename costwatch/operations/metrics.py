"""What Prometheus scrapes. Read from sums and from the spool's folder at each scrape: the same in every process.

Labels are bounded: providers are those of the price book (else `other`), limits the first `MAX_LIMITS`. Nothing here
sums the ledger.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import Error as DatabaseError
from django.db.models import Count, Q, Sum
from django.utils import timezone
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric

from budgets.models import BudgetLimit, Hold
from budgets.overview import overviews
from costwatch.operations import alert_metrics
from costwatch.operations.alert_metrics import of_alerts
from tracking import spool
from tracking.models import ApiUsageLog, PricedModel
from tracking.otlp import counts
from tracking.taken_back import recorded_and_taken_back

logger = logging.getLogger(__name__)

MAX_LIMITS = 100
#: Sums are read again when they are older than this, in seconds.
FRESH_S = 5.0
#: Refused calls are counted over this time, and up to this number.
REFUSED_OVER, MAX_REFUSED = timedelta(minutes=5), 10_000

NAMES = (
    *("costwatch_calls_total", "costwatch_errors_total", "costwatch_unpriced_calls", "costwatch_cost_usd_total"),
    *("costwatch_tokens_total", "costwatch_refused_calls", "costwatch_open_holds", "costwatch_held_usd"),
    *("costwatch_taken_back_calls_total", "costwatch_taken_back_cost_usd_total", "costwatch_taken_back_tokens_total"),
    *("costwatch_budget_limit_usd", "costwatch_budget_spent_usd", "costwatch_budget_held_usd"),
    *("costwatch_budget_remaining_usd", "costwatch_spool_bytes", "costwatch_spool_max_bytes"),
    *("costwatch_spool_backlog_bytes", "costwatch_recorder_lag_seconds", "costwatch_spool_events_total"),
    *("costwatch_database_up", "costwatch_otlp_spans_total", "costwatch_otlp_data_points_total"),
    *alert_metrics.NAMES,
)

_lock = threading.Lock()
_cached: tuple[float, list[Metric]] = (float("-inf"), [])


def exposition() -> bytes:
    """All metrics in Prometheus' text format. Raises nothing where the database is away: it says so."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector())
    return generate_latest(registry)


def forget() -> None:
    """Read everything again at the next scrape."""
    global _cached
    _cached = (float("-inf"), [])


class _Collector:
    def collect(self) -> Iterator[Metric]:
        yield from _of_spool()
        yield from _of_otlp()
        up = GaugeMetricFamily("costwatch_database_up", "1: the database answers; 0: what is read from it is missing")
        try:
            found = _of_database()
            up.add_metric([], 1)
            yield from found
        except DatabaseError as error:
            logger.warning("The database cannot be read for metrics: %s", type(error).__name__)
            up.add_metric([], 0)
        yield up


def _of_spool() -> Iterator[Metric]:
    state = spool.stats()
    for name, text, value in (
        ("costwatch_spool_bytes", "Size of the spool's folder, in bytes", state.folder_bytes),
        ("costwatch_spool_max_bytes", "Size at which new calls are refused (SPOOL_MAX_MB), in bytes", state.max_bytes),
        ("costwatch_spool_backlog_bytes", "Calls that wait for their recording, in bytes", state.backlog_bytes),
        ("costwatch_recorder_lag_seconds", "Age of the oldest file with calls that wait", state.oldest_backlog_s),
    ):
        yield GaugeMetricFamily(name, text, value=value)
    events = CounterMetricFamily(
        "costwatch_spool_events", "Calls handed over, by what became of them", labels=["outcome"]
    )
    for outcome in ("recorded", "duplicates", "conflicts", "refused", "damaged", "rejected"):
        events.add_metric([outcome], getattr(state, outcome))
    yield events


def _of_otlp() -> Iterator[Metric]:
    found = counts.read()
    spans = CounterMetricFamily(
        "costwatch_otlp_spans", "Spans that came over OTLP, by what became of them", labels=["outcome"]
    )
    for outcome in counts.SPANS:
        spans.add_metric([outcome], found.get(outcome, 0))
    yield spans
    points = found.get(counts.DATA_POINTS, 0)
    yield CounterMetricFamily("costwatch_otlp_data_points", "Data points that came over OTLP; none is billed", points)


def _of_database() -> list[Metric]:
    global _cached
    with _lock:
        if time.monotonic() - _cached[0] > FRESH_S:
            now = timezone.now()
            _cached = (time.monotonic(), [*_of_calls(now), *_of_refusals(now), *_of_budgets(now), *of_alerts(now)])
        return _cached[1]


def _of_calls(now: datetime) -> Iterator[Metric]:
    known = set(PricedModel.objects.order_by().values_list("provider", flat=True).distinct())
    net: dict[tuple[str, str], dict] = {}
    back: dict[tuple[str, str], dict] = {}
    for row in recorded_and_taken_back(now=now):
        key = (row["provider"] if row["provider"] in known else "other", row["service"])
        into = (back if row["back"] else net).setdefault(key, dict.fromkeys(_SUMMED, 0))
        for name in _SUMMED:
            into[name] += row[f"sum_{name}"] or 0
    nothing = dict.fromkeys(_SUMMED, 0)
    # The sums are net of what was taken back: together they only ever grow, as counters must.
    gross = {
        key: {name: net.get(key, nothing)[name] + back.get(key, nothing)[name] for name in _SUMMED}
        for key in net.keys() | back.keys()
    }
    yield from _counters("", "", gross)
    yield from _counters("taken_back_", "; taken back by corrections", back)
    by = ["provider", "service"]
    errors = CounterMetricFamily("costwatch_errors", "Calls that failed", labels=by)
    unpriced = GaugeMetricFamily("costwatch_unpriced_calls", "Calls whose price is not known", labels=by)
    for key in sorted(gross):
        errors.add_metric(key, gross[key]["errors"])
        unpriced.add_metric(key, net.get(key, nothing)["unpriced"])
    yield from (errors, unpriced)


_SUMMED = ("calls", "errors", "unpriced", "cost", "input_tokens", "cache_read_tokens", "output_tokens")


def _counters(prefix: str, which: str, sums: dict[tuple[str, str], dict]) -> Iterator[Metric]:
    """Calls, cost and tokens as counters."""
    by = ["provider", "service"]
    calls = CounterMetricFamily(f"costwatch_{prefix}calls", f"Calls{which}", labels=by)
    cost = CounterMetricFamily(f"costwatch_{prefix}cost_usd", f"USD{which}", labels=by)
    tokens = CounterMetricFamily(
        f"costwatch_{prefix}tokens", f"Tokens{which}; cache_read is a part of input", labels=[*by, "kind"]
    )
    for key, values in sorted(sums.items()):
        calls.add_metric(key, values["calls"])
        cost.add_metric(key, _number(values["cost"]))
        for kind in ("input", "cache_read", "output"):
            tokens.add_metric([*key, kind], values[f"{kind}_tokens"])
    yield from (calls, cost, tokens)


def _of_refusals(now: datetime) -> Iterator[Metric]:
    rows = ApiUsageLog.objects.filter(occurred_at__gt=now - REFUSED_OVER, status="refused").values("pk")[:MAX_REFUSED]
    yield GaugeMetricFamily(
        "costwatch_refused_calls", "Calls refused by a budget within the last five minutes", value=rows.count()
    )


def _of_budgets(now: datetime) -> Iterator[Metric]:
    held = Hold.objects.filter(state=Hold.State.OPEN).aggregate(count=Count("pk"), amount=Sum("amount"))
    yield GaugeMetricFamily("costwatch_open_holds", "Calls for which money is set aside", value=held["count"])
    yield GaugeMetricFamily("costwatch_held_usd", "What is set aside, in USD", value=_number(held["amount"] or 0))
    ended = Q(active_until__isnull=False, active_until__lte=now)
    limits = list(BudgetLimit.objects.exclude(ended).order_by("pk")[:MAX_LIMITS])
    shown = overviews(limits, at=now)
    by = ["limit", "scope", "period"]
    families = {
        name: GaugeMetricFamily(f"costwatch_budget_{name}_usd", text, labels=by)
        for name, text in (
            ("limit", "The limit with temporary increases, in USD; of the fullest window where there are several"),
            ("spent", "What was spent of it, in USD"),
            ("held", "What is set aside of it, in USD"),
            ("remaining", "What is neither spent nor held, in USD; never negative"),
        )
    }
    for limit in limits:
        if one := shown.get(limit.pk):
            labels = [str(limit.pk), limit.scope, limit.period]
            values = {"limit": one.limit, "spent": one.spent, "held": one.held}
            values["remaining"] = max(Decimal(0), one.limit - one.spent - one.held)
            for name, value in values.items():
                families[name].add_metric(labels, _number(value))
    yield from families.values()


def _number(amount: Decimal | int) -> float:
    # The last step before it is written: Prometheus knows floats only, and nothing is computed with it here.
    return float(amount)
