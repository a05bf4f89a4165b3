"""What can stand in the way of a call, as typed answers that say what to do next."""

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from budgets.formats import in_words, usd


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was not admitted: the first limit that lacks room for it. Money in USD."""

    limit_id: int
    name: str  # the limit, in words
    scope: str
    subject: str  # "user:7", "analysis:track-42", or ""
    period: str
    window_id: int
    window_start: datetime
    limit: Decimal  # with temporary increases
    spent: Decimal
    held: Decimal
    asked: Decimal  # the most that the call could have cost
    resets_at: datetime | None  # None: never
    retry_after_s: int | None  # set where only holds in flight stand in the way
    own: bool = False  # the user's own limit

    @property
    def remaining(self) -> Decimal:
        """What is neither spent nor held; never negative."""
        return max(Decimal(0), self.limit - self.spent - self.held)

    @property
    def message(self) -> str:
        """The refusal in one sentence each: what, how much, and what to do next."""
        parts = [
            f"Budget limit exceeded: {self.name} has {usd(self.remaining)} of {usd(self.limit)} left "
            f"({usd(self.spent)} spent, {usd(self.held)} held for calls in flight), "
            f"and this call could cost {usd(self.asked)}."
        ]
        if self.retry_after_s is not None:
            parts.append("Calls in flight may leave room: try again shortly.")
        elif self.resets_at is not None:
            parts.append(f"It resets at {in_words(self.resets_at)}; until then, increase the budget.")
        else:
            parts.append("It does not reset: increase the budget.")
        return " ".join(parts)


class BudgetExceeded(Exception):
    """A hard limit has no room for the call. Nothing was held, and nothing may be sent."""

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(refusal.message)
        self.refusal = refusal

    def __reduce__(self):
        return (BudgetExceeded, (self.refusal,))


class BudgetUnavailable(Exception):
    """A hard limit applies and the database cannot say whether the call fits. Nothing is known to be held."""


class HoldNotFound(Exception):
    """There is no hold of this id, and nothing that says whose call it would be."""
