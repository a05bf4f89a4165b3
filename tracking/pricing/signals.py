"""What fills the price book when a database is made, and what makes this process look at it again."""

from __future__ import annotations

import functools
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections


def fill_price_book(*, using: str = DEFAULT_DB_ALIAS, verbosity: int = 1, **kwargs: Any) -> None:
    """After `migrate`: bring the price book up to date with the installed catalogue."""
    from tracking.models import PricedModel, Rate

    tables = connections[using].introspection.table_names() if using == DEFAULT_DB_ALIAS else ()
    if not {Rate._meta.db_table, PricedModel._meta.db_table} <= set(tables):
        return  # another database, or migrated back to before there were prices
    from tracking.pricing.importer import import_price_list

    done = import_price_list(_price_list())
    if verbosity >= 1 and done.changes:
        print(f"  Price book: {len(done.changes)} rates recorded, {done.unchanged} unchanged")  # noqa: T201


@functools.cache
def _price_list():
    from tracking.pricing.catalogue import wanted

    return wanted()


def forget_price_book(**kwargs: Any) -> None:
    """A rate was entered or a rule changed in this process: it counts at once."""
    from tracking.pricing import book

    book.forget()
