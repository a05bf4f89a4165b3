"""What stands in the cells of a file, as it is meant. Pure."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

#: Calls of LiteLLM and Langfuse have ids of their own: one file is the same calls, whoever imports it for whom.
_CALLS = uuid.UUID("b7f6f1b0-62a3-5f0e-9b59-0f6d7c3e8a11")


def id_of(system: str, name: Any) -> str:
    """The id of a call that another system keeps under `name`."""
    return str(uuid.uuid5(_CALLS, f"{system}:{name}"))


def short(key: str) -> str:
    """The key, or its hash where it is longer than an id may be."""
    return key if len(key) <= 200 else hashlib.sha256(key.encode()).hexdigest()


def email(value: Any) -> str | None:
    """The text where it is an email address."""
    return value if isinstance(value, str) and "@" in value and " " not in value and len(value) <= 254 else None


def number(value: Any) -> Any:
    """A number as it is meant; what is none stays as it is, and is refused by its name later."""
    if isinstance(value, str):
        try:
            return int(value) if value.strip().lstrip("-").isdigit() else float(value)
        except ValueError:
            return 0 if not value.strip() else value
    return value


def count(value: Any) -> int:
    """A whole number, zero or more; 0 for what is none."""
    found = number(value)
    if found.__class__ is float and found.is_integer():
        found = int(found)
    return found if found.__class__ is int and found > 0 else 0


def loaded(value: Any) -> Any:
    """JSON that stands in a cell as text; anything else, and what is no JSON, as it is."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return value


def members(value: Any) -> Mapping[str, Any]:
    """The object in a cell, as text or as itself; an empty one where there is none."""
    found = loaded(value)
    return found if isinstance(found, Mapping) else {}


def moment(value: Any) -> Any:
    """Times without an offset are taken for UTC: that is what such files mean."""
    if isinstance(value, str):
        if value.isdigit():
            return int(value)
        try:
            at = datetime.fromisoformat(value.strip().replace(" UTC", "+00:00"))
        except ValueError:
            return value
        return (at if at.tzinfo else at.replace(tzinfo=UTC)).isoformat()
    return value


def milliseconds(start: Any, end: Any) -> float | None:
    """From one time to another; None where they do not tell."""
    try:
        passed = datetime.fromisoformat(moment(end)) - datetime.fromisoformat(moment(start))
    except (TypeError, ValueError):
        return None
    found = passed.total_seconds() * 1000
    return found if 0 <= found <= 2**31 else None


def amount(value: Any) -> str | None:
    """USD above zero as decimal text. Others write 0 where they know no price: that tells nothing."""
    try:
        usd = Decimal(str(value)) if value.__class__ in (str, int, float) else Decimal(0)
    except InvalidOperation:
        return None
    return format(usd, "f") if usd.is_finite() and 0 < usd <= 1_000_000 else None


def tags_of(told: Mapping[str, Any]) -> dict[str, str]:
    """Tags of what is told, each cut to what a tag may hold."""
    return {name: str(value)[:500] for name, value in told.items() if value not in (None, "", [], {})}
