"""The geometry of a bar chart that the server draws: numbers for an SVG of fixed units. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal

HEIGHT = 100  # SVG units; a day is 10 units wide
DAY_WIDTH = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Day:
    """What happened on one day: net cost in USD, calls, and how many of them have no price yet."""

    day: date
    cost: Decimal
    calls: int
    unpriced: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """A day and where its bar stands. A day whose corrections outweigh its calls has a bar of no height."""

    day: Day
    left: int
    x: int
    y: float
    height: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Bars under a scale that starts at zero and ends at `top` (USD)."""

    bars: tuple[Bar, ...]
    top: Decimal
    width: int

    @property
    def middle(self) -> Decimal:
        return self.top / 2

    @property
    def labels(self) -> list[date]:
        """The first, the last, and three days between, at even distances."""
        last = len(self.bars) - 1
        return [self.bars[last * i // 4].day.day for i in range(5)] if last >= 4 else [b.day.day for b in self.bars]


def bar_chart(days: Sequence[Day]) -> Chart:
    """Lay out one bar for each day."""
    top = round_up(max((d.cost for d in days), default=Decimal(0)))
    bars = []
    for index, day in enumerate(days):
        share = float(max(day.cost, Decimal(0)) / top)  # a length on the screen, not money
        height = max(round(share * HEIGHT, 2), 0.75) if day.cost > 0 else 0.0
        left = index * DAY_WIDTH
        bars.append(Bar(day=day, left=left, x=left + 1, y=HEIGHT - height, height=height))
    return Chart(bars=tuple(bars), top=top, width=max(len(days), 1) * DAY_WIDTH)


def round_up(amount: Decimal) -> Decimal:
    """The next amount that reads well at the top of a scale: 1, 2, 4, 5 or 8 times a power of ten."""
    if amount <= 0:
        return Decimal(1)
    power = Decimal(1).scaleb(amount.adjusted())
    return next(step * power for step in (1, 2, 4, 5, 8, 10) if step * power >= amount)
