"""What the price book says of a model over time: the steps of each meter's price, as they are known now."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db.models import Q

from tracking.models import Rate
from tracking.money import EXACT
from tracking.pricing import book
from tracking.pricing.meters import METERS

_MILLION = 1_000_000


@dataclass(frozen=True, slots=True)
class Step:
    """A price from a moment on (None: since ever), in USD for `per` units; no amount: none is known."""

    since: datetime | None
    amount: Decimal | None
    per: int
    source: str
    own: bool

    @property
    def per_million(self) -> Decimal | None:
        """USD per million units."""
        return None if self.amount is None else EXACT.divide(self.amount * _MILLION, Decimal(self.per))


@dataclass(frozen=True, slots=True)
class MeterPast:
    """The steps of the price of one meter, oldest first: standard tier, everywhere, in the shortest context."""

    meter: str
    steps: Sequence[Step]

    @property
    def is_tokens(self) -> bool:
        """Whether the price is of tokens."""
        return self.meter in METERS and METERS[self.meter].is_tokens

    def at(self, moment: datetime | None) -> Step | None:
        """The step in force at a moment (None: since ever)."""
        found = None
        for step in self.steps:
            if step.since is None or (moment is not None and step.since <= moment):
                found = step
        return found


@dataclass(frozen=True, slots=True)
class Known:
    """How the price book knows a model: whose prices count for it, under which name. Empty where it does not."""

    provider: str
    model: str

    def __bool__(self) -> bool:
        return bool(self.model)


def known_as(provider: str, model: str) -> Known:
    """The catalogue's model that a name means."""
    rule = book.current().resolve(provider, model)
    return Known(rule.provider, rule.model) if rule else Known("", "")


def past_of(provider: str, model: str, known: Known) -> list[MeterPast]:
    """The past of every meter's price of a model, by meter; prices of one's own before the catalogue's. One query."""
    names = {model.lower(), known.model.lower()} - {""}
    own = Q(own=True, provider=provider)
    listed = Q(own=False, provider=known.provider, model=known.model)
    rows = Rate.objects.filter(own | listed if known else own, tier="standard", region="", variant="")
    found: dict[str, list[Rate]] = {}
    for row in rows.filter(above_context_tokens=0).order_by("pk"):
        if not row.own or row.model.lower() in names:
            found.setdefault(row.meter, []).append(row)
    order = list(METERS)
    ranked = sorted(found, key=lambda meter: order.index(meter) if meter in order else len(order))
    return [MeterPast(meter, _steps(found[meter])) for meter in ranked]


def _steps(rows: Sequence[Rate]) -> list[Step]:
    edges = sorted({at for row in rows for at in (row.valid_from, row.valid_to) if at is not None})
    steps: list[Step] = []
    for since in (None, *edges):
        row = _last([row for row in rows if row.own], since) or _last([row for row in rows if not row.own], since)
        step = Step(since, row.amount, row.per, row.source, row.own) if row else Step(since, None, 1, "", False)
        last = steps[-1] if steps else None
        if last is None or (last.amount, last.per, last.own) != (step.amount, step.per, step.own):
            steps.append(step)
    return steps[1:] if steps and steps[0].amount is None and len(steps) > 1 else steps


def _last(rows: Sequence[Rate], at: datetime | None) -> Rate | None:
    """The rate recorded last that holds at a moment; None also where it withdraws."""
    for row in reversed(rows):
        begun = row.valid_from is None or (at is not None and row.valid_from <= at)
        if begun and (row.valid_to is None or at is None or at < row.valid_to):
            return row if row.amount is not None else None
    return None
