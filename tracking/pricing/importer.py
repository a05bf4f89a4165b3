"""Brings the price book up to date with a price list. Adds rows, never edits one; does nothing when nothing changed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal

from django.db import connection, transaction

from tracking.models import PricedModel, Rate
from tracking.pricing import book
from tracking.pricing.catalogue import PriceList, RateKey, Span

_IMPORT_LOCK = 0x636F737477617463  # "costwatc": a number of our own among the locks of the database
_KEY_FIELDS = ("provider", "model", "meter", "tier", "region", "variant", "above_context_tokens")


@dataclass(frozen=True, slots=True)
class Change:
    """A price during [start, end) that the book did not have."""

    key: RateKey
    before: Decimal | None
    span: Span

    def __str__(self) -> str:
        key, span = self.key, self.span
        name = " ".join(filter(None, (key.provider, key.model, key.meter, key.variant, key.region)))
        tier = "" if key.tier == "standard" else f" [{key.tier}]"
        above = f" above {key.above_context_tokens} tokens" if key.above_context_tokens else ""
        since = f" from {span.start:%Y-%m-%d}" if span.start else ""
        until = f" until {span.end:%Y-%m-%d}" if span.end else ""
        sign = "+" if self.before is None else "-" if span.amount is None else "~"
        price = " -> ".join("none" if a is None else f"${a}" for a in dict.fromkeys((self.before, span.amount)))
        return f"{sign} {name}{tier}{above}: {price} per {span.per}{since}{until}"


@dataclass(slots=True)
class Imported:
    """What an import did, or would do."""

    changes: list[Change] = field(default_factory=list)
    rules: list[str] = field(default_factory=list)  # match rules added, changed or removed
    unchanged: int = 0  # rates that were right already


def import_price_list(prices: PriceList, *, dry_run: bool = False) -> Imported:
    """Make the price book say what `prices` says, for the providers in it.

    Prices that `prices` no longer has are withdrawn by rows without an amount. Rates entered by an admin are left
    alone. Everything happens in one transaction; with `dry_run` nothing is written.
    """
    providers = sorted({rule.provider for rule in prices.rules} | {key.provider for key in prices.spans})
    with transaction.atomic():
        _wait_for_other_imports()
        done = Imported(rules=_sync_rules(prices, providers, dry_run))
        existing = _existing(providers)
        for key in sorted(existing.keys() | prices.spans.keys()):
            changes = _changes(key, existing.get(key, []), prices.spans.get(key, []))
            done.changes += changes
            done.unchanged += not changes
        if not dry_run:
            _write(done.changes)
    if not dry_run and (done.changes or done.rules):
        book.forget()
    return done


def _wait_for_other_imports() -> None:
    """Two imports at once would both add what is missing. SQLite lets one write at a time anyway."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [_IMPORT_LOCK])


def _existing(providers: Iterable[str]) -> dict[RateKey, list[Span]]:
    """The catalogue's rows as spans in the order they were recorded."""
    rows: dict[RateKey, list[Span]] = {}
    found = Rate.objects.filter(own=False, provider__in=providers).order_by("id")
    for *key, start, end, amount, per in found.values_list(*_KEY_FIELDS, "valid_from", "valid_to", "amount", "per"):
        rows.setdefault(RateKey(*key), []).append(Span(start, end, amount, per))
    return rows


def _changes(key: RateKey, recorded: list[Span], target: list[Span]) -> list[Change]:
    """What must be recorded so that the price of `key` is `target` at every time."""
    if len(recorded) == len(target) and all(
        (a.start, a.end, a.amount, a.per) == (b.start, b.end, b.amount, b.per)
        for a, b in zip(recorded, target, strict=True)
    ):
        return []
    times = sorted({t for span in (*recorded, *target) for t in (span.start, span.end) if t is not None})
    edges: list[datetime | None] = [None, *times]
    changes: list[Change] = []
    for index, start in enumerate(edges):
        end = edges[index + 1] if index + 1 < len(edges) else None
        now, want = _last(recorded, start), _last(target, start)
        before = now.amount if now else None
        after = want.amount if want else None
        if (before, before is not None and now.per) == (after, after is not None and want.per):
            continue
        span = Span(start, end, after, (want or now).per, want.source if want else "withdrawn: no longer listed")
        last = changes[-1] if changes else None
        same = last and (last.before, last.span.amount, last.span.per) == (before, after, span.per)
        if same and last.span.end == start:
            changes[-1] = Change(key, before, Span(last.span.start, end, after, span.per, span.source))
        else:
            changes.append(Change(key, before, span))
    return changes


def _last(spans: list[Span], at: datetime | None) -> Span | None:
    """The span recorded last among those that hold at a time (None: the beginning of time)."""
    for span in reversed(spans):
        begun = span.start is None or (at is not None and span.start <= at)
        if begun and (span.end is None or at is None or at < span.end):
            return span
    return None


def _write(changes: Iterable[Change]) -> None:
    Rate.objects.bulk_create(
        (
            Rate(
                **{name: getattr(change.key, name) for name in _KEY_FIELDS},
                amount=change.span.amount,
                per=change.span.per,
                valid_from=change.span.start,
                valid_to=change.span.end,
                source=change.span.source,
            )
            for change in changes
        ),
        batch_size=2000,
    )


def _sync_rules(prices: PriceList, providers: list[str], dry_run: bool) -> list[str]:
    """Make the match rules those of the list. Returns what changed, in words."""
    fields = ("position", "match", "name", "context_window", "deprecated")
    kept = {(row.provider, row.model): row for row in PricedModel.objects.filter(provider__in=providers).order_by("id")}
    create, update, said = [], [], []
    for position, rule in enumerate(prices.rules):
        row = kept.pop((rule.provider, rule.model), None)
        said_now = (position, dict(rule.match), rule.name, rule.context_window, rule.deprecated)
        values = dict(zip(fields, said_now, strict=True))
        if row is None:
            create.append(PricedModel(provider=rule.provider, model=rule.model, **values))
            said.append(f"+ rule {rule.provider} {rule.model}")
        elif any(getattr(row, name) != value for name, value in values.items()):
            if row.match != values["match"]:
                said.append(f"~ rule {rule.provider} {rule.model}")
            for name, value in values.items():
                setattr(row, name, value)
            update.append(row)
    said += [f"- rule {provider} {model}" for provider, model in kept]
    if not dry_run:
        PricedModel.objects.filter(pk__in=[row.pk for row in kept.values()]).delete()
        PricedModel.objects.bulk_create(create, batch_size=2000)
        PricedModel.objects.bulk_update(update, fields, batch_size=500)
    return said
