"""Calls whose price is not known: each model once, then a count; over when they are priced."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db.models import Min, Q, Sum

from alerts.detect.episodes import Episodes, about
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.wording import cut
from tracking.models import HourlyModelRollup

#: Calls older than this are not looked at any more, in days.
LOOK_BACK_DAYS = 30
#: So many models are told of, those with most calls first.
MOST_MODELS = 50


def find(at: datetime) -> Iterator[Finding]:
    """One for each model that has calls without a price within the last 30 days."""
    rows = HourlyModelRollup.objects.filter(hour__gte=at - timedelta(days=LOOK_BACK_DAYS), hour__lte=at)
    rows = rows.order_by().values("provider", "model")
    rows = rows.annotate(open=Sum("unpriced"), all=Sum("calls"), first=Min("hour", filter=Q(unpriced__gt=0)))
    episodes = Episodes(Type.UNPRICED)
    for row in rows.filter(open__gt=0).order_by("-open", "provider", "model")[:MOST_MODELS]:
        name = cut(f"{row['provider']} {row['model'] or 'without a model'}")
        count, since = row["open"], row["first"].astimezone(UTC)
        calls = f"{count:,} call{'s' if count > 1 else ''}"
        yield Finding(
            type=Type.UNPRICED,
            severity=Severity.WARNING,
            dedupe_key=episodes.key(about(Type.UNPRICED, row["provider"], row["model"]), at=at),
            title=f"No price for calls of {name}",
            text=f"{calls} of {name} could not be priced: sums leave them out, and say so. Add the missing rate in the "
            "administration (Rates), or upgrade Costwatch and run manage.py import_prices; calls are priced within the "
            "hour then. manage.py monitor_ai_costs says why a call has no price.",
            at=at,
            subject=f"model:{row['provider']}/{row['model']}",
            facts=(
                ("Model", name),
                ("Calls without a price", f"{count:,}"),
                ("Of all its calls within 30 days", f"{row['all']:,}"),
                ("Since", f"{since:%Y-%m-%d %H}:00 UTC"),
            ),
            details={"provider": row["provider"], "model": row["model"], "calls": count, "since": since.isoformat()},
            count=count,
        )
