"""How much is held for a call: its bound, what the budget affords, or what such calls are expected to cost.

| the caller set a maximum | policy | held                                                    | promise |
|--------------------------|--------|---------------------------------------------------------|---------|
| yes                      | any    | the most it can cost                                    | hard    |
| no                       | bound  | the most it can cost with the model's own limit         | hard    |
| no                       | cap    | what a maximum costs that is written into the request   | hard    |
| no                       | expect | what 99 of 100 such calls have cost                     | soft    |
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from django.conf import settings

from budgets import operations
from budgets.book import Match
from budgets.calls import Call
from budgets.expectation import expected
from budgets.models import NoMaximum
from tracking.bounds import Ask, Bound, Worst, affordable, bound, worst
from tracking.pricing import book as prices
from tracking.pricing.rates import RateBook

_MILLION = 1_000_000


class NotBounded(Exception):
    """A hard limit applies and nothing bounds what the call could cost. `code`, and what to do next in words."""

    def __init__(self, code: str, reason: str, remedy: str) -> None:
        super().__init__(reason)
        self.code, self.reason, self.remedy = code, reason, remedy


@dataclass(frozen=True, slots=True)
class Amount:
    """What to hold, in USD. `max_tokens`: with this maximum of output written into `field` of the request."""

    usd: Decimal
    field: str = ""
    max_tokens: int | None = None
    flags: tuple[str, ...] = ()


#: Nothing to hold: free, or admitted without a price.
NOTHING = Amount(Decimal(0))


class Question:
    """What a call could cost, for the limits that apply to it."""

    def __init__(self, ask: Ask | Bound, call: Call, hard: Sequence[Match]) -> None:
        self.call, self.hard = call, hard
        self.rates: RateBook = prices.current()
        self.at: datetime = call.at
        if isinstance(ask, Ask):
            ask.window_of = self._window_of
            ask = bound(ask)
        self.bound: Bound = ask
        self.worst: Worst = worst(self.bound, at=self.at, rates=self.rates)

    @property
    def policy(self) -> str:
        """How to go on without a maximum: the most careful of what the hard limits say."""
        said = {match.limit.no_maximum or settings.NO_MAXIMUM_POLICY for match in self.hard}
        return next((p for p in (NoMaximum.BOUND, NoMaximum.CAP) if p in said), NoMaximum.EXPECT)

    @property
    def is_open(self) -> bool:
        """Whether the caller left the output to the model."""
        output = self.bound.output
        return output is not None and not output.given

    def amount(self) -> Amount:
        """What to hold first. Raises `NotBounded`."""
        if self.worst.cost is None:
            return self._without_bound() if self.bound.problem else self._unpriced()
        if self.hard and self.is_open and self.worst.cost > 0:
            if self.policy == NoMaximum.CAP and self.bound.output.field:
                return self._capped(operations.room_for(self.call))
            if self.policy == NoMaximum.EXPECT:
                return self._expected() or Amount(self.worst.cost)
        return Amount(self.worst.cost)

    def again(self) -> Amount | None:
        """What to hold when there was no room for it after all, as others were quicker; None to give up."""
        if self.policy != NoMaximum.CAP or not self.is_open or self.worst.cost is None or not self.bound.output.field:
            return None
        return self._capped(operations.room_for(self.call))

    def _capped(self, room: Decimal | None) -> Amount:
        if room is None:
            return Amount(self.worst.cost)
        least = min(settings.MIN_CAPPED_TOKENS, self.bound.output.tokens)
        tokens = affordable(self.bound, room=room, at=self.at, rates=self.rates)
        if tokens is None or tokens >= self.bound.output.tokens:
            return Amount(self.worst.cost)
        # Below the floor nothing is afforded: the floor is asked for, and refused.
        tokens = max(tokens, least)
        cost = worst(self.bound, at=self.at, rates=self.rates, output_tokens=tokens).cost
        return Amount(cost, self.bound.output.field, tokens, ("output_capped",))

    def _expected(self) -> Amount | None:
        usual = expected(feature=self.call.feature, model=self.call.model)
        if usual is None:
            return None
        most = self.worst.cost
        return Amount(usual if most is None else min(usual, most), flags=("held_as_expected",))

    def _without_bound(self) -> Amount:
        if not self.hard:
            return NOTHING
        if self.policy == NoMaximum.EXPECT and (usual := self._expected()):
            return usual
        raise NotBounded(
            "no_upper_bound",
            f"nothing bounds what this call could cost: {self.bound.problem}",
            "Bound it in the request, or let the limit go by what such calls are expected to cost.",
        )

    def _unpriced(self) -> Amount:
        if not self.hard or settings.UNPRICED_MODELS == "allow":
            return replace(NOTHING, flags=("admitted_unpriced",))
        if settings.UNPRICED_MODELS == "assume" and (cost := self._assumed()) is not None:
            return Amount(cost, flags=("held_at_assumed_price",))
        raise NotBounded(
            "unpriced_model",
            f"what this call costs is not known: {self.worst.reason}",
            "Enter its price, or admit calls without one (UNPRICED_MODELS).",
        )

    def _assumed(self) -> Decimal | None:
        """By the prices that the settings assume; None where something is billed that is not counted in tokens."""
        total = Decimal(0)
        usage = self.worst.usage
        for one in (usage, *usage.parts) if usage is not None else ():
            for meter, quantity in one.meters.items():
                if not meter.endswith("_tokens"):
                    return None
                per = settings.ASSUMED_OUTPUT_USD if meter.startswith("output") else settings.ASSUMED_INPUT_USD
                total += quantity * per / _MILLION
        return total.quantize(Decimal("1e-9"), rounding="ROUND_UP") if usage is not None else None

    def _window_of(self, model: str) -> int | None:
        rule = self.rates.resolve(self.call.provider, model)
        return rule.context_window if rule is not None else None
