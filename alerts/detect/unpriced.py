"""Calls without a price, each model once, then a count: those whose price is missing, over when they are priced; and
models of which many calls told no usage, which no price can help.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from django.db.models import Min, Q, QuerySet, Sum

from alerts.detect.episodes import Episodes, about
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.wording import cut
from tracking.models import HourlyModelRollup
from tracking.unpriced import NOTHING, Why, reasons

#: Calls older than this are not looked at any more, in days.
LOOK_BACK_DAYS = 30
#: So many models are told of, those with most calls first.
MOST_MODELS = 50
#: So many more, of those that were told of, are looked at until they are priced.
MOST_TOLD = 500
#: From this share of a model's calls on, those that told no usage are told of: single ones time out everywhere.
MANY_WITHOUT_USAGE = 0.05


def find(at: datetime) -> Iterator[Finding]:
    """What each model lacks that has calls without a price within the last 30 days."""
    begin = at - timedelta(days=LOOK_BACK_DAYS)
    rows = HourlyModelRollup.objects.filter(hour__gte=begin, hour__lte=at)
    rows = rows.order_by().values("provider", "model")
    rows = rows.annotate(open=Sum("unpriced"), all=Sum("calls"), first=Min("hour", filter=Q(unpriced__gt=0)))
    rows = rows.filter(open__gt=0)
    found = list(rows.order_by("-open", "provider", "model")[:MOST_MODELS])
    episodes = Episodes(Type.UNPRICED)
    found += _told_of(episodes, rows, but=found)
    why = reasons(since=begin, until=at + timedelta(seconds=1)) if found else NOTHING
    for row in found:
        own = why.of(row["provider"], row["model"])
        unknown = min(own.unknown, row["open"])
        if row["open"] > unknown:
            yield say_without_price(row, row["open"] - unknown, own, key=_key(episodes, row, at), at=at)
        if unknown and unknown >= row["all"] * MANY_WITHOUT_USAGE:
            yield _without_usage(episodes, row, unknown, at)


def _told_of(episodes: Episodes, rows: QuerySet, *, but: list[dict]) -> list[dict]:
    """Models that were told of and are no longer among those with most calls: they have no price all the same."""
    known = {(alert.details.get("provider"), alert.details.get("model")) for alert in episodes.open.values()}
    known -= {(row["provider"], row["model"]) for row in but}
    models = sorted({model for _, model in known if model is not None})[:MOST_TOLD]
    return [row for row in rows.filter(model__in=models) if (row["provider"], row["model"]) in known]


def _key(episodes: Episodes, row: dict, at: datetime) -> str:
    return episodes.key(about(Type.UNPRICED, row["provider"], row["model"]), at=at)


def say_without_price(row: dict, count: int, why: Why, *, key: str, at: datetime) -> Finding:
    """How many calls of a model have no price, why, and what to do."""
    name = _name(row)
    reason = f"Of the newest: {cut(why.reason)}. " if why.reason else ""
    return _finding(
        row, count, at,
        key=key,
        severity=Severity.WARNING,
        title=f"No price for calls of {name}",
        text=f"{_calls(count)} of {name} could not be priced: sums leave them out, and say so. {reason}"
        "Enter the price on the page Models, by “Price it”, or upgrade Costwatch and run manage.py import_prices; "
        "calls are priced within the hour then.",
        label="Calls without a price",
    )  # fmt: skip


def _without_usage(episodes: Episodes, row: dict, count: int, at: datetime) -> Finding:
    name = _name(row)
    return _finding(
        row, count, at,
        key=episodes.key(about(Type.UNPRICED, "usage", row["provider"], row["model"]), at=at),
        severity=Severity.INFO,
        title=f"Usage unknown: calls of {name}",
        text=f"{_calls(count)} of {name} told no usage, as calls do that time out or break off. What they cost is not "
        "known, and no price would help: sums leave them out, and say so.",
        label="Calls without usage",
    )  # fmt: skip


def _finding(
    row: dict, count: int, at: datetime, *, key: str, severity: Severity, title: str, text: str, label: str
) -> Finding:
    since = row["first"].astimezone(UTC)
    return Finding(
        type=Type.UNPRICED,
        severity=severity,
        dedupe_key=key,
        title=title,
        text=text,
        at=at,
        subject=f"model:{row['provider']}/{row['model']}",
        facts=(
            ("Model", _name(row)),
            (label, f"{count:,}"),
            ("Of all its calls within 30 days", f"{row['all']:,}"),
            ("Since", f"{since:%Y-%m-%d %H}:00 UTC"),
        ),
        details={
            "provider": row["provider"], "model": row["model"], "calls": count, "since": since.isoformat(),
            "lacks": "usage" if severity == Severity.INFO else "price",
        },
        count=count,
    )  # fmt: skip


def _name(row: dict) -> str:
    return cut(f"{row['provider']} {row['model'] or 'without a model'}")


def _calls(count: int) -> str:
    return f"{count:,} call{'s' if count > 1 else ''}"
