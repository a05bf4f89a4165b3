"""Amounts, quantities and durations as people read them; the same in pages and on the command line. Pure."""

import re
from datetime import timedelta
from decimal import ROUND_HALF_EVEN, Decimal

_UNITS = ((86_400, "day"), (3_600, "hour"), (60, "minute"))
_CENT = Decimal("0.01")
_HUNDREDTH_OF_A_CENT = Decimal("0.0001")
_LEAST = Decimal("0.000001")
_UNIT = re.compile(r"(?<=\d) (?=(?:%|k|M|G|ms|s|min)(?!\w))")


def usd(amount: Decimal | None, *, missing: str = "unpriced", column: bool = False) -> str:
    """An amount in USD with as many digits as it needs: $1,234.50, $0.1235, $0.0042, $0.0000042.

    From a dollar on it is rounded to the cent, below that to four decimals, below a cent to three significant
    digits; so that a small cost never reads as nothing. Below a dollar it has four decimals or more, so that amounts
    stand below each other, unless it is of whole cents; in a `column` even then. `missing` stands for an amount that
    is not known.
    """
    if amount is None:
        return missing
    size, sign = abs(Decimal(amount)), "-" if amount < 0 else ""  # fields that were never set hold a 0
    if 0 < size < _LEAST:
        return f"{'> -' if sign else '< '}${_LEAST:f}"
    if size >= 1 or not size:
        text = f"{size.quantize(_CENT, ROUND_HALF_EVEN):,f}"
    else:
        places = _HUNDREDTH_OF_A_CENT if size >= _CENT else Decimal((0, (1,), size.adjusted() - 2))
        text = _trim(size.quantize(places, ROUND_HALF_EVEN))
        if column or len(text) > len("0.00"):
            text = text.ljust(len("0.0000"), "0")
    return f"{sign}${text}"


def usd_column(amount: Decimal | None) -> str:
    """An amount in a column of amounts."""
    return usd(amount, column=True)


def usd_exact(amount: Decimal | None, *, missing: str = "unpriced") -> str:
    """An amount in USD with every digit it has."""
    if amount is None:
        return missing
    return f"{'-' if amount < 0 else ''}${_trim(abs(amount))}"


def quantity(value: int | Decimal) -> str:
    """A count or a measured quantity, with thousands separated and nothing rounded."""
    text = f"{Decimal(value):,f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def duration(milliseconds: int | None) -> str:
    """A duration: "840 ms", "2.4 s", "3 min 20 s", or "" where it is not known."""
    if milliseconds is None:
        return ""
    if milliseconds < 1000:
        return f"{milliseconds} ms"
    seconds = Decimal(milliseconds) / 1000
    if seconds < 60:
        return f"{seconds.quantize(Decimal('0.1'))} s"
    return f"{int(seconds // 60)} min {int(seconds % 60)} s"


def span(length: timedelta) -> str:
    """A length of time in the largest unit of which it has two, to the nearest: "8 days", "31 hours", "1 minute"."""
    seconds = max(0, round(length.total_seconds()))
    size, unit = next(((size, unit) for size, unit in _UNITS if seconds >= 2 * size), _UNITS[-1])
    count = max(1, round(seconds / size))
    return f"{count} {unit}{'' if count == 1 else 's'}"


def one_line(text: str) -> str:
    """A name that someone else chose, made safe for a terminal: what is not printable becomes a question mark."""
    return "".join(c if c.isprintable() else "?" for c in text)


def _trim(size: Decimal) -> str:
    """Without trailing zeros, yet with two decimals at least."""
    whole, _, fraction = f"{size:,f}".partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


def percent(share: Decimal | float | None) -> str:
    """A share of 1 as a percentage, below ten with a decimal: 0.4 %, 2.0 %, 12 %, 100 %; "–" where it is not known."""
    if share is None:
        return "–"
    value = Decimal(str(share)) * 100
    if value == 0:
        return "0 %"
    if abs(value) < Decimal("0.1"):
        return "< 0.1 %" if value > 0 else "> -0.1 %"
    digits = Decimal("0.1") if abs(value) < Decimal("9.95") else Decimal(1)
    return f"{value.quantize(digits, ROUND_HALF_EVEN):,f} %"


def tied(text: str) -> str:
    """A text in which no line breaks between a number and its unit."""
    return _UNIT.sub("\u00a0", text)


def compact(value: int | Decimal) -> str:
    """A count in a narrow place: 950, 12.3 k, 4.56 M, 1.2 G."""
    size = abs(Decimal(value))
    for unit, power in (("G", 9), ("M", 6), ("k", 3)):
        if size.quantize(Decimal((0, (1,), power - 3))) >= Decimal(10) ** power:
            scaled = size.scaleb(-power)
            digits = Decimal("0.01") if scaled < 10 else Decimal("0.1") if scaled < 100 else Decimal(1)
            text = f"{scaled.quantize(digits):f}"
            text = text.rstrip("0").rstrip(".") if "." in text else text
            return f"{'-' if value < 0 else ''}{text} {unit}"
    return quantity(value)


def change(now: Decimal, before: Decimal | None) -> dict | None:
    """How an amount stands to the one before: {"direction": up | down | same, "text": "+12 %"}.

    None where it cannot be said: nothing to compare with, or nothing before.
    """
    if before is None or before <= 0:
        return None
    share = (now - before) / before
    if abs(share) < Decimal("0.001"):
        return {"direction": "same", "text": "0 %"}
    text = percent(abs(share)) if share < 10 else f"{quantity(Decimal(round(now / before)))} times"
    sign = "" if share >= 10 else "+" if share > 0 else "−"
    return {"direction": "up" if share > 0 else "down", "text": f"{sign}{text}"}
