"""The catalogue's own rules by which a name matches a model. Pure.

A rule is JSON: {"equals": x}, {"starts_with": x}, {"ends_with": x}, {"contains": x}, {"regex": x}, {"or": [...]} or
{"and": [...]}. Names are compared in lower case.
"""

import re
from collections.abc import Callable, Mapping
from datetime import date
from typing import Any

Matcher = Callable[[str], bool]

_COMPACT_DATE = re.compile(r"(-)(20\d{2})(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])(?=-|:|$)")


def compile_rule(rule: Mapping[str, Any]) -> Matcher:
    """A function that tells whether a name in lower case matches. Raises `ValueError` for an unknown kind of rule."""
    if len(rule) != 1:
        raise ValueError(f"{rule!r} is not a match rule: it must have exactly one key.")
    ((kind, value),) = rule.items()
    if kind in ("or", "and"):
        matchers = [compile_rule(clause) for clause in value]
        combine = any if kind == "or" else all
        return lambda name: combine(matcher(name) for matcher in matchers)
    if kind == "regex":
        return lambda name, search=re.compile(value).search: search(name) is not None
    text = str(value).lower()
    if kind == "equals":
        return lambda name: name == text
    if kind == "starts_with":
        return lambda name: name.startswith(text)
    if kind == "ends_with":
        return lambda name: name.endswith(text)
    if kind == "contains":
        return lambda name: text in name
    raise ValueError(f"{kind!r} is not a kind of match rule.")


def spread_compact_date(name: str) -> str:
    """`gpt-5.2-20251211` as `gpt-5.2-2025-12-11`: gateways write dates without dashes."""

    def spread(found: re.Match[str]) -> str:
        year, month, day = (int(found.group(index)) for index in (2, 3, 4))
        try:
            date(year, month, day)
        except ValueError:
            return found.group(0)
        return f"{found.group(1)}{year:04d}-{month:02d}-{day:02d}"

    return _COMPACT_DATE.sub(spread, name)
