"""The page that helps to spend less: what is dear, what was for nothing, and what the same would cost otherwise."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from tracking import queries, savings
from tracking.calls import MAX_LIMIT
from tracking.periods import Period
from tracking.pricing.rates import RateBook
from tracking.savings import ZERO, Caching, Elsewhere, Talkative, Waiting, Wasted
from tracking.traffic import DearCall, Group, Traffic, dearest_calls, traffic

#: Providers whose models traffic is compared with.
COMPARED = ("openai", "anthropic")
#: Names of models that are no substitute for a model of chat: other interfaces, tools of their own, one customer's.
_OTHERS = re.compile(r"^ft:|:ft|instruct|search|research|image|safeguard|^(ada|babbage|curie|davinci)\b")
#: Features that are shown.
MOST_LINES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything the page shows. Sums in USD, of all lines, also of those that are not shown."""

    looked_at: Traffic
    features: list[queries.NamedTotals]  # of the whole period, from its sums; none where filters are set
    total: Decimal  # of the period and account, whatever the filters
    calls: list[DearCall]
    caching: list[Caching]
    waiting: list[Waiting]
    wasted: list[Wasted]
    talkative: list[Talkative]

    @property
    def hit_rate(self) -> Decimal:
        """The share of input that was read from a cache, over all calls that could have, 0 to 1."""
        tokens = sum(line.input_tokens for line in self.caching)
        return Decimal(sum(line.cache_read_tokens for line in self.caching)) / tokens if tokens else ZERO

    @property
    def cache_saved(self) -> Decimal:
        return sum((line.saved for line in self.caching), ZERO)

    @property
    def cache_could_save(self) -> Decimal:
        return sum((line.could_save for line in self.caching), ZERO)

    @property
    def waiting_saves(self) -> Decimal:
        return sum((line.saving for line in self.waiting), ZERO)

    @property
    def lost(self) -> Decimal:
        return sum((line.lost for line in self.wasted), ZERO)

    @property
    def retried_calls(self) -> int:
        return sum(line.retried_calls for line in self.wasted)

    @property
    def answers_cost(self) -> Decimal:
        return sum((line.output_cost for line in self.talkative), ZERO)


def findings(
    *,
    period: Period,
    user_id: int | None,
    filters: Mapping[str, Any],
    share: Decimal,
    rates: RateBook,
    at: datetime,
) -> Findings:
    """What can be found, for everyone or one user. `share`: see `savings.caching`."""
    looked_at = traffic(period=period, rates=rates, user_id=user_id, filters=filters)
    groups = looked_at.groups
    features = queries.by_feature(period=period, user_id=user_id, limit=MAX_LIMIT)
    return Findings(
        looked_at=looked_at,
        features=[] if filters else features[:MOST_LINES],
        total=sum((one.totals.cost for one in features), ZERO),
        calls=dearest_calls(period=period, since=looked_at.since, user_id=user_id, filters=filters),
        caching=savings.caching(groups, rates=rates, at=at, share=share),
        waiting=savings.waiting(groups, rates=rates, at=at),
        wasted=savings.wasted(groups),
        talkative=savings.talkative(groups, rates=rates, at=at),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Used:
    """A model whose calls were looked at. USD."""

    provider: str
    model: str
    calls: int
    cost: Decimal


@dataclass(frozen=True, slots=True)
class Alternative:
    """The same traffic on another model. `more` is what it would cost more (less, where negative)."""

    on: Elsewhere
    context_window: int | None
    more: Decimal
    part: Decimal | None  # of what it costs now


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """One model's traffic, at the prices of `at`, on the others. USD."""

    used: Used
    calls: int  # that are compared: text alone
    now: Elsewhere  # the same tokens at today's prices of the model itself
    cheaper: list[Alternative]  # cheapest first
    dearer: list[Alternative]  # cheapest first


def models_used(looked_at: Traffic) -> list[Used]:
    """The models of text whose calls were looked at, dearest first."""
    sums: dict[tuple[str, str], tuple[int, Decimal]] = {}
    for group in _of_text(looked_at.groups):
        calls, cost = sums.get((group.provider, group.model), (0, ZERO))
        sums[group.provider, group.model] = (calls + group.calls, cost + group.cost)
    found = [Used(provider=p, model=m, calls=calls, cost=cost) for (p, m), (calls, cost) in sums.items()]
    return sorted(found, key=lambda one: (-one.cost, -one.calls, one.model))


def compare(looked_at: Traffic, used: Used, *, rates: RateBook, at: datetime) -> Comparison:
    """What the calls of one model would have cost on the others. See `savings.elsewhere` for what is assumed."""
    mine = (used.provider, used.model)
    groups = [group for group in _of_text(looked_at.groups) if (group.provider, group.model) == mine]
    windows = _comparable(groups, rates)
    [now] = savings.elsewhere(groups, [mine], rates=rates, at=at)
    others = savings.elsewhere(groups, [name for name in windows if name != mine], rates=rates, at=at)
    found = [_against(now, other, windows) for other in others if other.cost is not None and now.cost is not None]
    return Comparison(
        used=used,
        calls=sum(group.calls for group in groups),
        now=now,
        cheaper=[one for one in found if one.more < 0],
        dearer=[one for one in found if one.more >= 0],
    )


def _of_text(groups: list[Group]) -> list[Group]:
    return [group for group in groups if group.service in ("chat", "embeddings") and group.text_only]


def _comparable(groups: list[Group], rates: RateBook) -> dict[tuple[str, str], int | None]:
    """The models that answer what these groups asked for, with their context windows."""
    answers = any(group.output_tokens for group in groups)
    found = {}
    for rule in (rule for provider in COMPARED for rule in rates.rules(provider)):
        if rule.deprecated or _OTHERS.search(rule.model):
            continue
        book = rates.model(rule.provider, rule.model)
        if book is None or any("audio" in meter or "image" in meter for meter in book.meters):
            continue
        if "input_tokens" in book.meters and ("output_tokens" in book.meters) == answers:
            found[rule.provider, rule.model] = rule.context_window
    return found


def _against(now: Elsewhere, other: Elsewhere, windows: Mapping[tuple[str, str], int | None]) -> Alternative:
    more = other.cost - now.cost
    part = more / now.cost if now.cost else None
    return Alternative(other, windows[other.provider, other.model], more, part)
