"""How a limit is drawn and told, wherever that is: its status, and the lengths of what is spent and held. Pure."""

from decimal import Decimal
from typing import Literal

Status = Literal["ok", "warning", "exceeded", "paused"]
#: From this share of a limit on, what is spent is near it.
NEAR = Decimal("0.8")


def status_of(*, spent: Decimal, limit: Decimal, refuses: bool, expected: Decimal | None = None) -> Status:
    """How a window stands. `paused`: calls that cost something are refused; `exceeded`: the same of a soft limit.

    `warning`: `NEAR` its limit, or `expected` to be above it at its end.
    """
    if spent >= limit:
        return "paused" if refuses else "exceeded"
    return "warning" if spent >= NEAR * limit or (expected is not None and expected > limit) else "ok"


def in_words(status: str, *, near: bool = True) -> str:
    """A status as people read it; `near`: that of a warning is what is spent, not what is expected."""
    if status == "warning":
        return "near the limit" if near else "forecast above the limit"
    return status


class Bar:
    """For whatever has `limit`, `spent` and `held` in USD. A limit of 0 is drawn as used up."""

    __slots__ = ()

    limit: Decimal
    spent: Decimal
    held: Decimal

    @property
    def is_near(self) -> bool:
        """Whether what is spent is near the limit, or above it."""
        return self.spent >= NEAR * self.limit

    @property
    def spent_width(self) -> Decimal:
        """The length of what is spent; at most 100."""
        return self._percent(self.spent) if self.limit else Decimal(100)

    @property
    def held_width(self) -> Decimal:
        """The length of what is held, behind what is spent; both together are at most 100."""
        return min(self._percent(self.held), 100 - self.spent_width) if self.limit else Decimal(0)

    def _percent(self, amount: Decimal) -> Decimal:
        return round(min(max(amount, Decimal(0)) / self.limit, Decimal(1)) * 100, 2)
