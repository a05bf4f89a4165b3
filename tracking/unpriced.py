"""Why calls have no price: their price is missing, or nobody knows what they used, and no price can help them.

Sums count both as unpriced; which is which stands in the receipts. At most `MOST_READ` rows are read, the newest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Exists, OuterRef
from django.db.models.functions import Coalesce

from tracking.models import ApiUsageLog

MOST_READ = 1_000
#: Quantities that a unit price is made of.
QUANTITIES = ("input_tokens", "output_tokens", "audio_ms", "characters")
_NAMES = ("provider", "model", "service", "feature", "user_id", "analysis_id")
_COLUMNS = {"user": "user_id", "analysis": "analysis_id"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Why:
    """Of some calls without a price: how many lack one, of how many the usage is not known, and the newest reason."""

    priceable: int = 0
    unknown: int = 0
    reason: str = ""  # of the newest that a price would help
    used: Mapping[str, int] = field(default_factory=dict)  # what they used, by QUANTITIES

    @property
    def calls(self) -> int:
        return self.priceable + self.unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class Reasons:
    """Why the calls of a time have no price, by provider and model. `complete` unless there were more than are read."""

    models: Mapping[tuple[str, str], Why]
    complete: bool

    @property
    def priceable(self) -> int:
        return sum(why.priceable for why in self.models.values())

    @property
    def unknown(self) -> int:
        return sum(why.unknown for why in self.models.values())

    def of(self, provider: str, model: str) -> Why:
        """Why the calls of one model have none; nothing where none was found."""
        return self.models.get((provider, model)) or Why()


NOTHING = Reasons(models={}, complete=True)


def reasons(
    *,
    since: datetime,
    until: datetime,
    user_id: int | None = None,
    filters: Mapping[str, Any] | None = None,
) -> Reasons:
    """Of the calls that began in `[since, until)` and have no price by now; of one user where given (0: of nobody).

    `filters` by provider, model, service, feature, analysis and user. One query, along the index of rows without a
    price: filters are looked at afterwards, so that it ends however few match.
    """
    rows = ApiUsageLog.objects.filter(price_status="unpriced", occurred_at__gte=since, occurred_at__lt=until)
    settled = ApiUsageLog.objects.filter(
        occurred_at=OuterRef("occurred_at"), corrects=Coalesce(OuterRef("corrects"), OuterRef("id")), unpriced__lt=0
    )
    found = list(
        rows.annotate(settled=Exists(settled))
        .order_by("-occurred_at", "-id")
        .values("id", "corrects", "receipt", "settled", *_NAMES, *QUANTITIES)[:MOST_READ]
    )
    wanted = {_COLUMNS.get(name, name): value for name, value in (filters or {}).items()}
    if user_id is not None:
        wanted["user_id"] = user_id
    calls: dict[Any, list[dict[str, Any]]] = {}
    for row in found:
        if not row["settled"] and all(_is(row[name], value) for name, value in wanted.items() if name in _NAMES):
            calls.setdefault(row["corrects"] or row["id"], []).append(row)
    models: dict[tuple[str, str], Why] = {}
    for some in calls.values():
        key = (some[0]["provider"], some[0]["model"])
        models[key] = _with(models.get(key, Why()), some)
    return Reasons(models=models, complete=len(found) < MOST_READ)


def _is(known: Any, value: Any) -> bool:
    """Whether a row has what is asked for; users are asked for by number or its text, 0 for those without one."""
    return known == value or (not isinstance(known, str) and str(known or 0) == str(value))


def _with(why: Why, rows: list[dict[str, Any]]) -> Why:
    """One call more, by the rows that it has: what a result told counts for what it was told of."""
    told = next((row["receipt"] for row in rows if row["receipt"].get("lines")), None)
    used = {name: why.used.get(name, 0) + sum(row[name] for row in rows) for name in QUANTITIES}
    if told is None:
        return Why(priceable=why.priceable, unknown=why.unknown + 1, reason=why.reason, used=used)
    reason = why.reason or told.get("reason", "")
    return Why(priceable=why.priceable + 1, unknown=why.unknown, reason=reason, used=used)
