"""The same thing, noticed again and again while it holds, is one alert; when it comes back later, it is another."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from alerts.kinds import Type
from alerts.models import CostAlert
from tracking.periods import day_of


class Episodes:
    """The alerts of a type that hold now. Their keys are what they are about, and the day on which they began.

    What comes back on the same day is the same alert once more; with `anew_after`, only what comes back sooner than
    that after it was over. Then the keys of a day are numbered (`2026-11-22.2`): whoever looks at the same moment finds
    the same number.
    """

    def __init__(self, type_: Type, *, prefix: str = "", anew_after: timedelta | None = None) -> None:
        rows = CostAlert.objects.filter(type=type_, resolved_at=None, dedupe_key__startswith=prefix or f"{type_}:")
        self.open: dict[str, CostAlert] = {row.dedupe_key.rpartition(":")[0]: row for row in rows.order_by("pk")}
        self.type, self.anew_after = type_, anew_after

    def key(self, about: str, *, at: datetime) -> str:
        """The key of what is the case now: that of the alert that holds, else one of its own for this day."""
        known = self.open.get(about)
        if known is not None:
            return known.dedupe_key
        key = f"{about}:{day_of(at):%Y-%m-%d}"
        return key if self.anew_after is None else self._numbered(about, key, at=at)

    def _numbered(self, about: str, key: str, *, at: datetime) -> str:
        rows = CostAlert.objects.filter(type=self.type, dedupe_key__startswith=f"{about}:")
        last = rows.order_by("-pk").values_list("dedupe_key", "resolved_at").first()
        if last is None:
            return key
        before, over_at = last
        if over_at is None or at - over_at < self.anew_after:
            return before
        if before != key and not before.startswith(f"{key}."):
            return key
        return f"{key}.{int(before.removeprefix(key).removeprefix('.') or 1) + 1}"

    def details(self, about: str) -> dict[str, Any]:
        """What the alert that holds has kept for programs; {} without one."""
        known = self.open.get(about)
        return known.details if known is not None else {}


def about(type_: Type, *names: object) -> str:
    """What an alert is about, as the beginning of its key. Colons in names do not matter: the day stands last."""
    return ":".join([str(type_), *(str(name) for name in names)])[:480]
