"""The words of bounds: what an attempt could be billed at most, before it is sent. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Quantity:
    """At most so many units, billed under one of `meters`: the dearest counts.

    The first meter must have a price; of the others only those count that have one (cache writes, image tokens).
    """

    meters: tuple[str, ...]
    amount: int | Decimal
    variant: str = ""


@dataclass(frozen=True, slots=True)
class Output:
    """The tokens an attempt can put out. `field` is the member of the request that would cap them, "" for none."""

    tokens: int  # of one answer
    answers: int = 1
    given: bool = False  # the caller set a maximum
    field: str = ""
    meters: tuple[str, ...] = ("output_tokens",)

    @property
    def total(self) -> int:
        return self.tokens * self.answers


@dataclass(frozen=True, slots=True)
class Bound:
    """The most that an attempt can use, or why nothing bounds it (`problem`, in words).

    It costs at most the dearest of `ways` (several: it is not known which one is billed) in the dearest of `tiers` and
    `regions`, plus its output, plus its `parts`, which have models of their own. `tracking.bounds.cost` says how much.
    """

    provider: str
    model: str
    ways: tuple[tuple[Quantity, ...], ...] = ((),)
    output: Output | None = None
    context_tokens: int = 0  # the most input of one request, for prices that depend on it
    tiers: tuple[str, ...] = ("standard",)
    regions: tuple[str, ...] = ("",)
    parts: tuple[Bound, ...] = ()
    problem: str = ""
    #: what the bound rests on beside the request itself: "context_window", "size_of_file", "tool_calls"
    rests_on: tuple[str, ...] = field(default=())

    def without(self, problem: str) -> Bound:
        """The same attempt, said to have no bound."""
        return replace(self, problem=problem)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a model can take in and put out, in tokens; None where it is not known."""

    context: int | None = None
    output: int | None = None
    image_tokens: int = 0  # of one image, at most; 0: not known
