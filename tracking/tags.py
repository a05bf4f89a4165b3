"""Calls by their tags: the one way in which lists, reports and exports filter by them."""

from __future__ import annotations

from collections.abc import Mapping

from django.db.models import QuerySet, TextField
from django.db.models.fields.json import KeyTextTransform
from django.db.models.functions import Cast

#: The tag that tells with which key a call was reported.
API_KEY = "api_key"
MAX_NAME = 64


def is_name(name: str) -> bool:
    """Whether calls can be filtered by a tag of this name. SQLite's paths into JSON have no way to write two signs."""
    return 0 < len(name) <= MAX_NAME and not set('"\\') & set(name)


def with_tags(rows: QuerySet, tags: Mapping[str, str], *, api_key: str = "") -> QuerySet:
    """The rows of the ledger that have all of these tags, and were reported with this key where one is given."""
    for number, (name, value) in enumerate({**tags, **({API_KEY: api_key} if api_key else {})}.items()):
        rows = rows.alias(**{f"tagged_{number}": value_of(name)}).filter(**{f"tagged_{number}": value})
    return rows


def value_of(name: str) -> Cast:
    """The text of a tag, in a query; null where there is none."""
    transform = KeyTextTransform("", "tags")
    transform.key_name = _Key(name)
    return Cast(transform, TextField())


class _Key(str):
    """The name of a tag, also where it looks like a number: Django would take that for the place in a list."""

    def __int__(self) -> int:
        raise ValueError("the name of a tag is no number")
