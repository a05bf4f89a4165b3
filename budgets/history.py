"""The history of a limit in words."""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from budgets.formats import usd
from budgets.models import BudgetLimit

_NAMES = {"user_id": "user", "group_id": "group", "owner_id": "set by", "pause_on_exceed": "hard"}


def changes_in_words(changes: Mapping[str, Any]) -> list[str]:
    """A line for each field that was changed: what it was, and what it became."""
    if "increase" in changes:
        return [f"{usd(Decimal(changes['amount']))} more until {changes['until'][:16].replace('T', ' ')}"]
    lines = []
    for name, values in changes.items():
        before, after = (_text(name, value) for value in values)
        if before == after:
            continue
        field = _NAMES.get(name, name.replace("_", " "))
        lines.append(f"{field}: {after}" if before == "–" else f"{field}: {before} → {after}")
    return lines


def _text(name: str, value: Any) -> str:
    if value in (None, "", []):
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if name == "amount":
        return _usd(value)
    if name == "thresholds":
        return ", ".join(_percent(share) for share in value)
    if name in ("scope", "period", "week_start", "no_maximum"):
        return str(dict(BudgetLimit._meta.get_field(name).choices).get(value, value)).lower()
    return str(value)


def _usd(value: Any) -> str:
    try:
        return usd(Decimal(str(value)))
    except InvalidOperation:
        return str(value)


def _percent(share: Any) -> str:
    return f"{(Decimal(str(share)) * 100).normalize():f} %"
