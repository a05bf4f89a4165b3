"""Reading numbers out of a provider's report, one known field at a time. Pure; never raises on bad input."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from tracking.money import EXACT

#: More than any call can use: larger numbers are mistakes, and would not fit the ledger's columns.
MAX_TOKENS = 10**12
MAX_COUNT = 10**9


class Findings:
    """What was found wrong in one report. The first problem is the one told."""

    __slots__ = ("assumed", "flags", "problem")

    def __init__(self) -> None:
        self.flags: list[str] = []
        self.problem = ""
        self.assumed = ""

    def wrong(self, flag: str, problem: str) -> None:
        """The report cannot be priced."""
        if flag not in self.flags:
            self.flags.append(flag)
        self.problem = self.problem or problem

    def assume(self, flag: str, assumption: str) -> None:
        """The report can be read only in one likely way."""
        if flag not in self.flags:
            self.flags.append(flag)
        self.assumed = self.assumed or assumption


class Fields:
    """One JSON object of a report. Remembers what was read, so that `finish` can tell what was not known."""

    __slots__ = ("data", "found", "path", "seen")

    def __init__(self, data: Any, found: Findings, path: str = ""):
        self.found = found
        self.path = path
        self.seen: set[str] = set()
        if data is not None and not isinstance(data, Mapping):
            found.wrong(f"not_an_object:{path or 'usage'}", f"{path or 'usage'} is not an object")
            data = None
        self.data: Mapping[str, Any] = data or {}

    def _name(self, key: str) -> str:
        return f"{self.path}.{key}" if self.path else str(key)

    def has(self, key: str) -> bool:
        """Whether a value is reported at all. Null counts as absent."""
        return self.data.get(key) is not None

    def first(self, *keys: str) -> str:
        """The first of several names for the same field that is reported, else the first name."""
        return next((key for key in keys if self.has(key)), keys[0])

    def tokens(self, key: str) -> int:
        """A whole number of tokens; 0 when absent or, with a flag, when it is not such a number."""
        return self._whole(key, MAX_TOKENS)

    def count(self, key: str) -> int:
        """A whole number of things that are not tokens."""
        return self._whole(key, MAX_COUNT)

    def _whole(self, key: str, limit: int) -> int:
        self.seen.add(key)
        value = self.data.get(key)
        if type(value) is int and 0 <= value <= limit:
            return value
        return 0 if value is None else whole(value, self._name(key), self.found, limit)

    def seconds(self, key: str) -> Decimal:
        """A duration in seconds, exactly as written."""
        self.seen.add(key)
        return duration(self.data.get(key), self._name(key), self.found)

    def text(self, key: str) -> str:
        """A short text; "" when absent."""
        self.seen.add(key)
        value = self.data.get(key)
        return value if isinstance(value, str) else ""

    def child(self, *keys: str) -> Fields:
        """A nested object, under the first of its names that is reported."""
        key = self.first(*keys)
        self.seen.add(key)
        return Fields(self.data.get(key), self.found, self._name(key))

    def items(self, key: str) -> list[Any]:
        """A nested list."""
        self.seen.add(key)
        value = self.data.get(key)
        if value is not None and not isinstance(value, list | tuple):
            self.found.wrong(f"not_a_list:{self._name(key)}", f"{self._name(key)} is not a list")
            return []
        return list(value or ())

    def ignore(self, *keys: str) -> None:
        """Fields that are known to be information only."""
        self.seen.update(keys)

    def finish(self) -> None:
        """Flag every quantity that no one asked for: it may be billed, so the call cannot be priced."""
        for key, value in self.data.items():
            if key not in self.seen:
                _unknown(value, self._name(key), self.found)


def _unknown(value: Any, name: str, found: Findings) -> None:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            _unknown(inner, f"{name}.{key}", found)
    elif isinstance(value, Iterable) and not isinstance(value, str | bytes):
        for inner in value:
            _unknown(inner, f"{name}[]", found)
    elif isinstance(value, int | float | Decimal) and not isinstance(value, bool) and value != 0:
        found.wrong(f"unknown_field:{name}"[:200], f"usage field {name} is not known, so its price is not either")


def whole(value: Any, name: str, found: Findings, limit: int = MAX_COUNT) -> int:
    """`value` as a whole number that is not negative; else 0, with a flag."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal):
        found.wrong(f"not_a_number:{name}", f"{name} is not a number")
        return 0
    number = Decimal(str(value)) if isinstance(value, float) else value
    if isinstance(number, Decimal):
        if not number.is_finite():
            found.wrong(f"not_finite:{name}", f"{name} is not a finite number")
            return 0
        if number.copy_abs() <= limit and number != int(number):
            found.wrong(f"not_whole:{name}", f"{name} is not a whole number")
            return 0
    if number < 0:
        found.wrong(f"negative:{name}", f"{name} is negative")
        return 0
    if number > limit:
        found.wrong(f"absurd:{name}", f"{name} is larger than any call can be")
        return 0
    return int(number)


def duration(value: Any, name: str, found: Findings) -> Decimal:
    """`value` in seconds, exactly as written (also from a numeric text: videos report one); else 0, with a flag."""
    if value is None:
        return Decimal(0)
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal | str):
        found.wrong(f"not_a_number:{name}", f"{name} is not a number")
        return Decimal(0)
    try:
        number = Decimal(str(value))
    except InvalidOperation:
        found.wrong(f"not_a_number:{name}", f"{name} is not a number")
        return Decimal(0)
    if not number.is_finite():
        found.wrong(f"not_finite:{name}", f"{name} is not a finite number")
    elif number < 0:
        found.wrong(f"negative:{name}", f"{name} is negative")
    elif number > MAX_COUNT:
        found.wrong(f"absurd:{name}", f"{name} is larger than any call can be")
    else:
        # No more digits than a clock has: a longer fraction is noise, and would not stay exact in 60 digits.
        return number if number.as_tuple().exponent >= -12 else number.quantize(Decimal("1e-12"), context=EXACT)
    return Decimal(0)
