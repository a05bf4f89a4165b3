"""Figures that people choose for a budget: 10, 12.50, 15, 20, 25, ... Pure."""

from collections.abc import Iterator
from decimal import Decimal

_STEPS = tuple(Decimal(step) for step in ("1", "1.25", "1.5", "2", "2.5", "3", "4", "5", "6", "7.5", "8", "10"))
#: In the middle between 20 and 25 %. After rounding, at least 5 % are left of it.
BUFFER = Decimal("1.225")
#: The least budget that is ever proposed, in USD.
LEAST = Decimal("0.01")


def recommended(total: Decimal) -> Decimal:
    """A budget for what usually costs `total` USD: 20 to 25 % more, rounded to the nearest tidy figure.

    8.50 gives 10, 101.60 gives 125, and 1013 gives 1250; nothing gives 0.
    """
    return nearest(total * BUFFER) if total > 0 else Decimal(0)


def nearest(amount: Decimal) -> Decimal:
    """The tidy figure that is nearest to a positive amount."""
    return max(LEAST, min(_around(amount), key=lambda figure: (abs(figure - amount), figure)))


def above(amount: Decimal) -> Decimal:
    """The first tidy figure over an amount."""
    if amount < LEAST:
        return LEAST
    return next(figure for figure in _around(amount) if figure > amount)


def below(amount: Decimal) -> Decimal | None:
    """The last tidy figure under an amount; None where that would be less than a cent."""
    figures = [figure for figure in _around(amount) if LEAST <= figure < amount] if amount > LEAST else []
    return figures[-1] if figures else None


def _around(amount: Decimal) -> Iterator[Decimal]:
    power = amount.adjusted()
    for exponent in (power - 1, power, power + 1):
        for step in _STEPS[:-1]:
            yield _plain(step.scaleb(exponent))


def _plain(figure: Decimal) -> Decimal:
    """Without an exponent: 1.25E+3 becomes 1250."""
    return figure.quantize(Decimal(1)) if figure == figure.to_integral_value() else figure.normalize()
