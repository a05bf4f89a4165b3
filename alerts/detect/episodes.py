"""The same thing, noticed again and again while it holds, is one alert; when it comes back another day, another."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from alerts.kinds import Type
from alerts.models import CostAlert
from tracking.periods import day_of


class Episodes:
    """The alerts of a type that hold now. Their keys are what they are about, and the day on which they began."""

    def __init__(self, type_: Type, *, prefix: str = "") -> None:
        rows = CostAlert.objects.filter(type=type_, resolved_at=None, dedupe_key__startswith=prefix or f"{type_}:")
        self.open: dict[str, CostAlert] = {row.dedupe_key.rpartition(":")[0]: row for row in rows.order_by("pk")}

    def key(self, about: str, *, at: datetime) -> str:
        """The key of what is the case now: that of the alert that holds, else one of its own for this day."""
        known = self.open.get(about)
        return known.dedupe_key if known is not None else f"{about}:{day_of(at):%Y-%m-%d}"

    def details(self, about: str) -> dict[str, Any]:
        """What the alert that holds has kept for programs; {} without one."""
        known = self.open.get(about)
        return known.details if known is not None else {}


def about(type_: Type, *names: object) -> str:
    """What an alert is about, as the beginning of its key. Colons in names do not matter: the day stands last."""
    return ":".join([str(type_), *(str(name) for name in names)])[:480]
