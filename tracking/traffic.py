"""The newest calls of a period, added up by what a price depends on: what the search for savings looks at.

Rollups keep neither tiers nor failures nor sizes of single prompts, so this reads the ledger: at most `most` calls,
the newest of the period, along the index by time. Money is `Decimal` USD; sums are net of corrections.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Case, F, IntegerField, Q, QuerySet, Sum, Value, When
from django.db.models.functions import Coalesce

from tracking.models import ApiUsageLog
from tracking.periods import Period
from tracking.pricing.rates import RateBook
from tracking.rows import ERROR_STATUSES

#: So many calls are looked at: some tens of milliseconds.
MOST = 25_000
#: Prompts from this size on can be cached: https://platform.openai.com/docs/guides/prompt-caching (Anthropic's models
#: begin between 1,024 and 4,096: https://docs.claude.com/en/docs/build-with-claude/prompt-caching).
CACHEABLE_TOKENS = 1024
#: Providers with prices that depend on the size of the prompt.
_BY_SIZE = ("openai", "anthropic", "google")
_BY = ("feature", "provider", "model", "service", "tier", "stream")
_SUMS = ("calls", "unpriced", "input_tokens", "cache_read_tokens", "cache_write_tokens", "output_tokens")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Calls alike in what their price depends on. `context_tokens` stands for their sizes: all lie above the same
    thresholds of long context. Costs in USD."""

    feature: str
    provider: str
    model: str
    service: str
    tier: str
    stream: bool
    context_tokens: int
    text_only: bool  # no audio and no images, so that the sums below say all that is billed by tokens
    calls: int
    unpriced: int
    cost: Decimal
    input_tokens: int  # cached ones included
    cache_read_tokens: int
    cache_write_tokens: int
    output_tokens: int
    cacheable_tokens: int  # input that was neither read from nor written to the cache, of prompts that are long enough
    failed_calls: int  # that were billed all the same
    failed_cost: Decimal
    cancelled_calls: int  # abandoned by the caller, and billed
    cancelled_cost: Decimal
    retried_calls: int  # attempts after the first
    retried_cost: Decimal

    @property
    def fresh_tokens(self) -> int:
        """Input that was neither read from nor written to the cache."""
        return max(0, self.input_tokens - self.cache_read_tokens - self.cache_write_tokens)

    @property
    def meters(self) -> dict[str, int]:
        """The disjoint quantities that a price is made of."""
        return {
            "input_tokens": self.fresh_tokens,
            "cache_read_tokens": self.cache_read_tokens,
            "cache_write_tokens": self.cache_write_tokens,
            "output_tokens": self.output_tokens,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class DearCall:
    """One of the calls that cost most. USD."""

    id: UUID
    occurred_at: datetime
    provider: str
    model: str
    feature: str
    user_id: int | None
    input_tokens: int
    output_tokens: int
    cost: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Traffic:
    """What was looked at. `since` is the moment from which on every call was; None: all of the period were."""

    groups: list[Group]
    since: datetime | None

    @property
    def calls(self) -> int:
        """How many calls were looked at."""
        return sum(group.calls for group in self.groups)

    @property
    def cost(self) -> Decimal:
        """What they cost, in USD."""
        return sum((group.cost for group in self.groups), Decimal(0))


def traffic(
    *,
    period: Period,
    rates: RateBook,
    user_id: int | None = None,
    filters: Mapping[str, Any] | None = None,
    most: int = MOST,
) -> Traffic:
    """The newest calls of the period, at most `most`, added up: of one account (0: of none), or of all.

    `filters` are by column of the ledger; `rates` says which sizes of prompts are to be told apart.
    """
    rows = _rows(period, user_id, filters)
    last = rows.order_by("-occurred_at", "-id").values_list("occurred_at", flat=True)[most : most + 1]
    since = next(iter(last), None)
    if since is not None:
        rows = _rows(period, user_id, filters, since=since)
    above = sorted(frozenset().union(*(rates.thresholds(provider) for provider in _BY_SIZE)))
    found = rows.order_by().values(*_BY, size=_size(above), text_only=_text_only()).annotate(**_sums())
    return Traffic(groups=[_group(row) for row in found], since=since)


def dearest_calls(
    *,
    period: Period,
    since: datetime | None,
    user_id: int | None = None,
    filters: Mapping[str, Any] | None = None,
    limit: int = 10,
) -> list[DearCall]:
    """The dearest calls of those that `traffic` looked at (`since` as it says), corrections apart."""
    rows = _rows(period, user_id, filters, since=since).filter(cost__gt=0, corrects=None)
    names = list(DearCall.__dataclass_fields__)
    return [DearCall(**row) for row in rows.order_by("-cost", "-occurred_at", "-id").values(*names)[: min(limit, 100)]]


def _rows(
    period: Period, user_id: int | None, filters: Mapping[str, Any] | None, *, since: datetime | None = None
) -> QuerySet:
    # One lower bound: of two, SQLite takes the first for its index, and reads the whole period.
    begins = {"occurred_at__gte": period.starts_at} if since is None else {"occurred_at__gt": since}
    rows = ApiUsageLog.objects.filter(**begins, occurred_at__lt=period.ends_at, **(filters or {}))
    return rows if user_id is None else rows.filter(user_id=user_id or None)


def _size(above: list[int]) -> Case:
    """A size that is above the same thresholds as the prompt's."""
    steps = [When(input_tokens__gt=tokens, then=Value(tokens + 1)) for tokens in reversed(above)]
    return Case(*steps, default=Value(0), output_field=IntegerField())


def _text_only() -> Case:
    return Case(When(audio_tokens=0, images=0, then=Value(1)), default=Value(0), output_field=IntegerField())


def _sums() -> dict[str, Any]:
    billed = Q(cost__gt=0)
    kinds = {
        "failed": billed & Q(status__in=ERROR_STATUSES),
        "cancelled": billed & Q(status="cancelled"),
        "retried": Q(attempt__gt=1),
    }
    sums: dict[str, Any] = {f"sum_{name}": Sum(name) for name in (*_SUMS, "cost")}
    for name, kind in kinds.items():
        sums[f"{name}_calls"] = Coalesce(Sum("calls", filter=kind), 0)
        sums[f"{name}_cost"] = Sum("cost", filter=kind)
    fresh = F("input_tokens") - F("cache_read_tokens") - F("cache_write_tokens")
    sums["cacheable"] = Coalesce(Sum(fresh, filter=Q(input_tokens__gte=CACHEABLE_TOKENS)), 0)
    return sums


def _group(row: dict[str, Any]) -> Group:
    zero = Decimal(0)
    return Group(
        **{name: row[name] for name in _BY},
        **{name: row[f"sum_{name}"] or 0 for name in _SUMS},
        context_tokens=row["size"],
        text_only=bool(row["text_only"]),
        cost=row["sum_cost"] or zero,
        cacheable_tokens=max(0, row["cacheable"]),
        **{f"{kind}_calls": row[f"{kind}_calls"] for kind in ("failed", "cancelled", "retried")},
        **{f"{kind}_cost": row[f"{kind}_cost"] or zero for kind in ("failed", "cancelled", "retried")},
    )
