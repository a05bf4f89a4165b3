"""Models as they are priced: the names that calls asked for and that answered, under the one model that they mean.

A call that failed is recorded under the name that was asked for, one that was answered under the name of the version
that answered. How often a model fails is told by both together.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from tracking.model_spend import ModelSpend
from tracking.pricing.past import known_as
from tracking.queries import Totals
from tracking.rollups import MEASURES
from tracking.unpriced import QUANTITIES, Reasons, Why

ZERO = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """The names of one provider that are priced as one model, dearest first, and what they add up to."""

    provider: str
    model: str  # as the price book has it; the only name where there is one
    totals: Totals
    before: Decimal
    calls_before: int
    unpriced_before: int
    versions: Sequence[ModelSpend]
    why: Why  # there are calls without a price


def families(lines: Iterable[ModelSpend], reasons: Reasons) -> list[Family]:
    """The models, dearest first."""
    found: dict[tuple[str, str, str], list[ModelSpend]] = {}
    for line in lines:
        known = known_as(line.provider, line.model) if line.model else None
        key = (line.provider, known.provider, known.model) if known else (line.provider, "", line.model)
        found.setdefault(key, []).append(line)
    grouped = [_family(key, versions, reasons) for key, versions in found.items()]
    return sorted(grouped, key=lambda one: (-one.totals.cost, -one.totals.calls, one.provider, one.model))


def _family(key: tuple[str, str, str], versions: list[ModelSpend], reasons: Reasons) -> Family:
    return Family(
        provider=key[0],
        model=key[2] if len(versions) > 1 else versions[0].model,
        totals=Totals(**{name: sum((getattr(one.totals, name) for one in versions), 0) for name in MEASURES}),
        before=sum((one.before for one in versions), ZERO),
        calls_before=sum(one.calls_before for one in versions),
        unpriced_before=sum(one.unpriced_before for one in versions),
        versions=versions,
        why=_together([reasons.of(one.provider, one.model) for one in versions]),
    )


def _together(several: list[Why]) -> Why:
    return Why(
        priceable=sum(why.priceable for why in several),
        unknown=sum(why.unknown for why in several),
        reason=next((why.reason for why in several if why.reason), ""),
        used={name: sum(why.used.get(name, 0) for why in several) for name in QUANTITIES},
    )
