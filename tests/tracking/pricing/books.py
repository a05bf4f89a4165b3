"""Price books for tests: the real catalogue without a database, and small ones written by hand."""

import functools
from datetime import UTC, datetime
from decimal import Decimal
from itertools import count

from tracking.pricing import ModelRule, RateBook, RateRow
from tracking.pricing.catalogue import PriceList, wanted

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def day(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@functools.cache
def price_list() -> PriceList:
    return wanted(providers=("openai", "anthropic", "azure", "deepseek", "x-ai", "moonshotai"))


@functools.cache
def catalogue_book() -> RateBook:
    """What an import of the catalogue puts into the price book."""
    return price_list().book()


_ids = count(1)


def row(meter: str, amount: str | None, **more) -> RateRow:
    """A rate of the model `acme m` per million."""
    values = {"provider": "acme", "model": "m", "per": 1_000_000} | more
    return RateRow(id=next(_ids), meter=meter, amount=None if amount is None else Decimal(amount), **values)


def book(*rows: RateRow, rules=({"equals": "m"},)) -> RateBook:
    """A book of these rows, in the order they were recorded; the rules match the model `acme m`."""
    return RateBook.of(rows, [ModelRule("acme", "m", rule) for rule in rules])
