"""Rates that changed, of models in use: old and new, and what it means for a month like the last 30 days.

A change counts from the moment on which it is both known and in force: a price that the catalogue announced for a day
to come changes on that day. What was looked at is the price book of 30 days ago, as it was known then, and every
change since: so a run that is late misses nothing, and one more finds the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal

from django.db.models import Q, Sum

from alerts.detect.episodes import about
from alerts.findings import Finding
from alerts.kinds import Severity, Type
from alerts.wording import cut, money, percent
from tracking.models import HourlyModelRollup, Rate
from tracking.pricing import book

#: How long after its day a change is still told, and over which time use is looked at, in days.
LOOK_BACK_DAYS = 30
#: So many models are looked at, those that cost most first.
MOST_MODELS = 200
#: Quantities that rollups keep, by the meter that prices them; audio by its seconds.
_MEASURED = ("input_tokens", "cache_read_tokens", "output_tokens", "characters", "audio_seconds")
_IN_FULL = "standard"


@dataclass(frozen=True, slots=True)
class Change:
    """One rate that another took the place of. Amounts in USD per `per` units."""

    meter: str
    tier: str
    variant: str
    above_context_tokens: int
    old: Decimal
    new: Decimal
    per: int
    at: datetime

    @property
    def text(self) -> str:
        """`input tokens: $2.50 → $3.00 per million (+20 %)`"""
        kind = " ".join(
            part
            for part in (
                self.meter.replace("_", " "),
                self.tier if self.tier != _IN_FULL else "",
                self.variant,
                f"above {self.above_context_tokens:,} tokens of context" if self.above_context_tokens else "",
            )
            if part
        )
        per = {1: "each", 1_000: "per thousand", 1_000_000: "per million"}.get(self.per, f"per {self.per:,}")
        share = f" ({_signed(self.new / self.old - 1)})" if self.old else ""
        return f"{kind}: {money(self.old)} → {money(self.new)} {per}{share}"


def find(at: datetime) -> Iterator[Finding]:
    """One for each model in use and each day within the last 30 on which rates of it changed."""
    since = at - timedelta(days=LOOK_BACK_DAYS)
    for (provider, model), use in _in_use(since, at).items():
        days = defaultdict(list)
        for change in changes_of(provider, model, since=since, at=at):
            days[change.at.astimezone(UTC).date()].append(change)
        for _, changes in sorted(days.items()):
            yield say(provider, model, changes, use)


def _in_use(since: datetime, at: datetime) -> dict[tuple[str, str], dict[str, Decimal]]:
    """What was used of each of the models that cost most: quantities by meter, and what they cost."""
    names = ("cost", "input_tokens", "cache_read_tokens", "output_tokens", "characters", "audio_ms")
    rows = HourlyModelRollup.objects.filter(hour__gte=since, hour__lte=at).exclude(model="")
    rows = rows.order_by().values("provider", "model").annotate(**{f"sum_{name}": Sum(name) for name in names})
    found = {}
    for row in rows.order_by("-sum_cost", "provider", "model")[:MOST_MODELS]:
        use = {name: Decimal(row[f"sum_{name}"]) for name in names}
        use["input_tokens"] -= use["cache_read_tokens"]
        use["audio_seconds"] = use.pop("audio_ms") / 1000
        found[row["provider"], row["model"]] = use
    return found


def changes_of(provider: str, model: str, *, since: datetime, at: datetime) -> list[Change]:
    """The rates of a model that changed after `since`, up to `at`, against what was in force and known before."""
    rule = book.current().resolve(provider, model)
    names = Q(provider=provider, model=model, own=True)
    if rule is not None:
        names |= Q(provider=rule.provider, model=rule.model)
    rows = Rate.objects.filter(names, recorded_at__lte=at).order_by("own", "pk")
    by_key = defaultdict(list)
    for row in rows:
        by_key[row.meter, row.tier, row.region, row.variant, row.above_context_tokens].append(row)
    found = [change for (*_, region, _, _), same in by_key.items() if not region for change in _steps(same, since, at)]
    return sorted(found, key=lambda change: (change.at, change.meter, change.tier, change.above_context_tokens))


def _steps(rows: Sequence[Rate], since: datetime, at: datetime) -> Iterator[Change]:
    """What took whose place, and when. `rows` of one meter, those that win last."""
    times = {row.recorded_at for row in rows}
    times |= {time for row in rows for time in (row.valid_from, row.valid_to) if time is not None}
    before = _in_force(rows, since)
    for time in sorted(time for time in times if since < time <= at):
        now = _in_force(rows, time)
        if before is not None and now is not None and before.amount * now.per != now.amount * before.per:
            old = before.amount * now.per / before.per
            yield Change(
                now.meter, now.tier, now.variant, now.above_context_tokens, old, now.amount, now.per, time
            )  # fmt: skip
        before = now or before


def _in_force(rows: Sequence[Rate], at: datetime) -> Rate | None:
    """The row that counted at a moment, as known then."""
    known = (row for row in rows if row.recorded_at <= at)
    valid = [
        row
        for row in known
        if (row.valid_from is None or row.valid_from <= at) and (row.valid_to is None or at < row.valid_to)
    ]
    for own in (True, False):  # one's own price that is withdrawn hides none
        last = next((row for row in reversed(valid) if row.own is own), None)
        if last is not None and last.amount is not None:
            return last
    return None


def say(provider: str, model: str, changes: Sequence[Change], use: dict[str, Decimal]) -> Finding:
    name = cut(f"{provider} {model}")
    at = changes[0].at
    known = [c for c in changes if c.tier == _IN_FULL and not c.variant and not c.above_context_tokens]
    effect = sum(((c.new - c.old) / c.per * use.get(c.meter, Decimal(0)) for c in known), Decimal(0))
    facts = [("Model", name), *(("Rate", change.text) for change in changes[:12])]
    text = f"From {at:%Y-%m-%d} on, {name} costs: {'; '.join(change.text for change in changes[:4])}"
    text += f"; and {len(changes) - 4} more." if len(changes) > 4 else "."
    if effect:
        share = f", {_signed(effect / use['cost'])} of its cost" if use["cost"] else ""
        facts.append(("For the use of the last 30 days", f"{_signed_money(effect)}{share}"))
        text += f" For what was used in the last 30 days that is {_signed_money(effect)}{share}."
    dearer = any(change.new > change.old for change in changes)
    return Finding(
        type=Type.RATE_CHANGED,
        severity=Severity.WARNING if dearer else Severity.INFO,
        dedupe_key=f"{about(Type.RATE_CHANGED, provider, model)}:{at.astimezone(UTC):%Y-%m-%d}",
        title=f"{'Dearer' if dearer else 'Cheaper'} since {at:%Y-%m-%d}: {name}",
        text=text,
        at=at,
        subject=f"model:{provider}/{model}",
        facts=tuple(facts),
        details={
            "provider": provider,
            "model": model,
            "rates": [
                {"meter": c.meter, "tier": c.tier, "old": f"{c.old:f}", "new": f"{c.new:f}", "per": c.per}
                for c in changes
            ],
            "effect_usd": f"{effect:f}",
        },
    )


def _signed(share: Decimal) -> str:
    return f"{'+' if share > 0 else ''}{percent(share)}"


def _signed_money(amount: Decimal) -> str:
    return f"{'+' if amount > 0 else '-'}{money(abs(amount))}"
