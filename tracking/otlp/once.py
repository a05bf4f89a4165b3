"""The same call told by several spans is billed once.

Inside one export everything is seen. Between exports, and between senders at the same moment, ids decide that are
written down next to those of calls (`RecordedEvent`, without a row of their own): that of a billed span's parent, which
is no call of its own when it comes; and one for the provider's id of the answer, which belongs to the span that told
it first.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from tracking.items import EPOCH
from tracking.models import ApiUsageLog, RecordedEvent
from tracking.otlp import conventions as names
from tracking.otlp.calls import MIN_RESPONSE_ID, Call, many_calls
from tracking.otlp.spans import Key, Span
from tracking.recording import claim_ids

#: Two reporters may use the same ids: each has names of its own.
_NAMESPACE = uuid.UUID("2e0e5f0c-9a54-5d8e-8c0b-6b1f6d7a5f33")
#: How far apart the spans and the rows of one call may begin.
_APART = timedelta(hours=25)
_AT_ONCE = 500
#: Spans around a call that are looked at.
MAX_DEPTH = 64
_YEARS = range(1971, 9000)


@dataclass(slots=True)
class Sorted:
    """The calls of an export: what is billed, and what is left out because it is billed by another name."""

    billed: list[Call] = field(default_factory=list)
    nested: int = 0  # around or beside the span of the same call
    known: int = 0  # came before
    metered: int = 0  # stand in the ledger already: recorded by a metered client, or sent by other means


class Ids:
    """The ids that spans and answers have for one reporter."""

    def __init__(self, reporter: str) -> None:
        self._reporter = reporter
        self._of_spans: dict[Key, uuid.UUID] = {}  # each is asked for several times

    def of_span(self, key: Key) -> uuid.UUID:
        found = self._of_spans.get(key)
        if found is None:
            found = self._of_spans[key] = uuid.uuid5(_NAMESPACE, f"{self._reporter}:{key[0]}:{key[1]}")
        return found

    def of_answer(self, call: Call) -> uuid.UUID | None:
        """None where the answer has no id, or one that is not random enough."""
        if len(call.response_id) < MIN_RESPONSE_ID:
            return None
        return uuid.uuid5(_NAMESPACE, f"{self._reporter}:{call.provider}:{call.response_id}")


def sort_out(spans: Sequence[Span], calls: Sequence[Call], *, ids: Ids, now: datetime) -> Sorted:
    """Leave out what would be billed twice. Writes ids down, and raises `django.db.Error` where that fails."""
    around = _Around(spans)
    marked = [span for span in spans if span.get(*names.CALL_ID) is not None]
    sources = [*(call.span for call in calls if call.tells_use), *marked]
    for span in sources:
        around.add(span)
    before = _written_before(spans, ids)
    for span in spans:
        # A span of an earlier export, inside of this one, was billed: what is around this one is covered too.
        if span.key in before and before[span.key] is None:
            around.covered.add(span.key)
            around.add(span)
            sources.append(span)
    billed_before = {key for key, at in before.items() if at is not None}
    found = Sorted(known=sum(call.span.key in billed_before for call in calls))
    own = {span.key for span in marked}
    rest = [call for call in calls if call.span.key not in billed_before and call.span.key not in own]
    found.metered = sum(call.span.key in own for call in calls)
    kept = _not_inside([call for call in rest if call.span.key not in around.covered], around, billed_before)
    kept = _one_for_each_answer(kept)
    found.nested = len(rest) - len(kept)
    metered = _in_the_ledger(kept)
    found.metered += len(metered)
    kept = [call for call in kept if call.span.key not in metered]
    parents = {span.key: parent for span in sources if (parent := around.outside(span))}
    parts = [call.span.key for call in rest if call.span.key in around.covered]
    found.billed = _claimed(kept, parents, parts, ids=ids, now=now)
    found.nested += len(kept) - len(found.billed)
    return found


def _written_before(spans: Sequence[Span], ids: Ids) -> dict[Key, datetime | None]:
    """The spans whose ids earlier exports wrote down, with the time of their row; None for those without one."""
    asked = {ids.of_span(span.key): span.key for span in spans if not many_calls(span)}
    return {asked[one]: at for one, (at, _) in _rows(asked).items()}


def _not_inside(calls: Sequence[Call], around: _Around, billed_before: set[Key]) -> list[Call]:
    """Leave out calls inside a span that was billed before, and those that do not tell their use inside one that does.

    The others learn from the spans around them who and what for.
    """
    telling = {call.span.key for call in calls if call.tells_use}
    kept = []
    for call in calls:
        outer = list(around.up(call.span))
        silent = not call.tells_use and not call.span.failed
        if billed_before.isdisjoint(outer) and not (silent and not telling.isdisjoint(outer)):
            call.inherit(span for key in outer if (span := around.of(key)) and not many_calls(span))
            kept.append(call)
    return kept


_NEW = object()


class _Around:
    """The spans around calls, which are no calls themselves. A span of an agent, tool or server ends the way up."""

    def __init__(self, spans: Iterable[Span]) -> None:
        self._by_key = {span.key: span for span in spans}
        self.covered: set[Key] = set()

    def up(self, span: Span) -> Iterator[Key]:
        """The keys of the spans around a span, the nearest first; the last one may be that of another export."""
        at: Span | None = span
        seen = {span.key}
        while at is not None and not many_calls(at) and (parent := at.parent) and parent not in seen:
            if len(seen) > MAX_DEPTH:
                return
            seen.add(parent)
            yield parent
            at = self._by_key.get(parent)

    def of(self, key: Key) -> Span | None:
        """The span of this key, where it is in this export."""
        return self._by_key.get(key)

    def add(self, span: Span) -> None:
        """A span inside of which there is no other call: cover what is around it."""
        for key in self.up(span):
            if key in self.covered:
                return
            self.covered.add(key)

    def outside(self, span: Span) -> Key | None:
        """The span of another export around a span; None where everything around it is here."""
        last = None
        for last in self.up(span):  # noqa: B007 - the last one
            pass
        return None if last is None or last in self._by_key else last


def _one_for_each_answer(calls: Sequence[Call]) -> list[Call]:
    """Of the spans that tell of one answer the innermost: the one that began last."""
    same: dict[object, list[Call]] = {}
    for call in calls:
        known = len(call.response_id) >= MIN_RESPONSE_ID
        same.setdefault((call.provider, call.response_id) if known else call.span.key, []).append(call)
    chosen = []
    for told in same.values():
        *others, best = sorted(told, key=lambda call: (call.tells_use, call.span.start_ns))
        best.inherit(call.span for call in reversed(others))
        chosen.append(best)
    return chosen


def _in_the_ledger(calls: Sequence[Call]) -> set[Key]:
    """The spans of calls that stand in the ledger already by other means: their answers have the same id."""
    asked = {call.response_id: call for call in calls if len(call.response_id) >= MIN_RESPONSE_ID}
    moments = [at for call in asked.values() if (at := _moment(call.span.start_ns)) is not None]
    if not moments:
        return set()
    logs = (
        ApiUsageLog.objects.filter(occurred_at__gte=min(moments) - _APART, occurred_at__lte=max(moments) + _APART)
        .exclude(response_id="")
        .exclude(source__in=("otel", "correction"))
        .order_by()
    )
    rows = set()
    for part in _parts(sorted(asked)):
        rows |= set(logs.filter(response_id__in=part).values_list("provider", "response_id"))
    return {call.span.key for call in calls if (call.provider, call.response_id) in rows}


def _moment(ns: int) -> datetime | None:
    try:
        at = EPOCH + timedelta(microseconds=ns // 1000)
    except OverflowError:
        return None
    return at if at.year in _YEARS else None


def _claimed(
    calls: Sequence[Call], parents: dict[Key, Key], parts: Sequence[Key], *, ids: Ids, now: datetime
) -> list[Call]:
    """The calls that nobody else bills. What is written down first counts, for everybody and at any moment.

    `parents`: the span of another export around each span here; `parts`: spans that are billed by one inside of them.
    """
    of_parents = {ids.of_span(parent): ids.of_span(child) for child, parent in parents.items()}
    of_parents.update((ids.of_span(key), ids.of_span(key)) for key in parts)
    of_answers: dict[uuid.UUID, uuid.UUID] = {}
    for call in calls:
        if answer := ids.of_answer(call):
            of_answers[answer] = ids.of_span(call.span.key)
    entries = sorted((one.hex, of.hex, None) for one, of in {**of_parents, **of_answers}.items())
    claim_ids(entries, now=now)
    rows = _rows([*of_parents, *of_answers, *(ids.of_span(call.span.key) for call in calls)])
    billed = []
    for call in calls:
        own, answer = ids.of_span(call.span.key), ids.of_answer(call)
        parent = parents.get(call.span.key)
        told_at, _ = rows.get(own, (_NEW, b""))
        if told_at is None:
            continue  # a span inside of it was billed
        if told_at is _NEW:
            if answer and rows.get(answer, (None, own.bytes))[1] != own.bytes:
                continue  # another span told of the same answer
            if parent and rows.get(ids.of_span(parent), (None, b""))[0] is not None:
                continue  # the span around it was billed, before anything was heard of this one
        billed.append(call)
    return billed


def _rows(ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, tuple[datetime | None, bytes]]:
    """Of the ids that are written down: the time of their row (None without one), and what was written with them."""
    found: dict[uuid.UUID, tuple[datetime | None, bytes]] = {}
    for part in _parts(sorted(set(ids))):
        rows = RecordedEvent.objects.filter(id__in=part).values_list("id", "occurred_at", "content_hash")
        found.update((one, (at, bytes(content))) for one, at, content in rows)
    return found


def _parts(ids: Sequence) -> Iterable[Sequence]:
    return (ids[first : first + _AT_ONCE] for first in range(0, len(ids), _AT_ONCE))
