"""Money: whole nano-USD in the database, `Decimal` dollars in Python, and the one place that rounds."""

from decimal import ROUND_HALF_EVEN, Context, Decimal

NANOUSD_PER_USD = 1_000_000_000
MAX_NANOUSD = 2**63 - 1

#: Exact for every product of a quantity and a rate that Costwatch accepts; independent of the caller's own context.
EXACT = Context(prec=60, rounding=ROUND_HALF_EVEN)


def to_nanousd(usd: Decimal) -> int:
    """Round an amount in USD half-even to whole nano-USD.

    The only rounding of money in Costwatch. Raises `ValueError` for what is not a finite amount, and
    `OverflowError` for one that does not fit in 63 bits (about 9.2 billion USD).
    """
    if not isinstance(usd, Decimal) or not usd.is_finite():
        raise ValueError(f"{usd!r} is not an amount of money.")
    if usd and usd.adjusted() > 12:  # before anything is computed with it: 1e999999999 is a Decimal too
        raise OverflowError(f"{usd:.3e} USD is more than the ledger can hold.")
    digits = len(usd.as_tuple().digits)
    exact = EXACT if digits <= 50 else Context(prec=digits + 10, rounding=ROUND_HALF_EVEN)
    nanousd = int(exact.multiply(usd, NANOUSD_PER_USD).to_integral_value(ROUND_HALF_EVEN, exact))
    if abs(nanousd) > MAX_NANOUSD:
        raise OverflowError(f"{usd} USD is more than the ledger can hold.")
    return nanousd


def round_half_even(num: int, den: int) -> int:
    """The whole number nearest to num / den, ties to the even one. `den` is positive."""
    whole, rest = divmod(num, den)
    if 2 * rest > den or (2 * rest == den and whole % 2):
        whole += 1
    return whole


def from_nanousd(nanousd: int) -> Decimal:
    """The amount in USD, exactly."""
    return EXACT.divide(Decimal(nanousd), NANOUSD_PER_USD)
