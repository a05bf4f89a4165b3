"""Spans -> calls in the ledger, by the same path as every report: `tracking.ingestion`."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

from tracking.ingestion import MAX_ITEMS, Reporter, ingest
from tracking.otlp import conventions as names
from tracking.otlp.calls import Call, call_of, item_of
from tracking.otlp.once import Ids, sort_out
from tracking.otlp.spans import Span
from tracking.pricing import book
from tracking.users import ids_of

logger = logging.getLogger("costwatch.ingestion")

SOURCE = "otel"
#: Reasons that an answer names; of the others it gives the number.
MAX_REASONS = 5


@dataclass(slots=True)
class Taken:
    """What became of an export, in numbers of spans."""

    recorded: int = 0
    known: int = 0  # came before
    nested: int = 0  # around or beside the span that is billed for the same call
    metered: int = 0  # their call stands in the ledger by other means
    other: int = 0  # no calls of a provider
    rejected: int = 0
    reasons: Counter = field(default_factory=Counter)  # why, with the number of spans

    @property
    def message(self) -> str:
        """Why spans were rejected; "" where none was."""
        told = [f"{text} ({count})" for text, count in self.reasons.most_common(MAX_REASONS)]
        return f"Not recorded: {'; '.join(told)}"[:1000] if told else ""

    def reject(self, reason: str) -> None:
        self.rejected += 1
        self.reasons[reason] += 1


def take_in(spans: Sequence[Span], *, reporter: Reporter, now: datetime) -> Taken:
    """Record the calls among the spans; the same spans again change nothing. `now` is an aware time.

    Raises `django.db.Error` where the database cannot be reached: send the same again then.
    """
    taken = Taken()
    rates = book.current()

    def resolves(provider: str, model: str) -> bool:
        return rates.model(provider, model) is not None

    calls: list[Call] = []
    valid = [span for span in spans if span.trace_id and span.span_id]
    for _ in range(len(spans) - len(valid)):
        taken.reject("a span without a valid trace id and span id")
    for span in valid:
        if call := call_of(span, resolves):
            calls.append(call)
    taken.other = len(valid) - len(calls)
    if not calls and not any(span.get(*names.CALL_ID) is not None for span in valid):
        return taken
    ids = Ids(str(reporter.user_id or reporter.source))
    found = sort_out(valid, calls, ids=ids, now=now)
    taken.known, taken.nested, taken.metered = found.known, found.nested, found.metered
    emails = _known_emails(found.billed, reporter)
    for first in range(0, len(found.billed), MAX_ITEMS):
        part = found.billed[first : first + MAX_ITEMS]
        items = [
            item_of(
                call,
                id=str(ids.of_span(call.span.key)),
                known_email=lambda email: email.strip().lower() in emails,
                priced=resolves(call.provider, call.model),
            )
            for call in part
        ]
        _count(taken, ingest(items, reporter=reporter, now=now))
    return taken


def _count(taken: Taken, results: Sequence) -> None:
    for result in results:
        if result.status == "recorded":
            taken.recorded += 1
        elif result.status == "invalid":
            taken.reject("; ".join(f"{name} {text}" for name, text in sorted(result.errors.items())))
        else:  # the same span, perhaps with attributes that a collector added on another way
            taken.known += 1


def _known_emails(calls: Sequence[Call], reporter: Reporter) -> set[str]:
    """Of the addresses that spans name as their users, those of accounts that the reporter may book calls for."""
    told = {
        value.strip().lower()
        for call in calls
        for name in names.USER_ELSE
        if (value := call.about.get(name)).__class__ is str and "@" in value and len(value) <= 254
    }
    if not told:
        return set()
    if not reporter.may_attribute:
        return told & {reporter.email.lower()}
    return {str(email) for email in ids_of(told)}
