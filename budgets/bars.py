"""How a limit is drawn: the lengths of what is spent and what is held, in percent of the limit. Pure."""

from decimal import Decimal


class Bar:
    """For whatever has `limit`, `spent` and `held` in USD. A limit of 0 is drawn as used up."""

    __slots__ = ()

    limit: Decimal
    spent: Decimal
    held: Decimal

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
