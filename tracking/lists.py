"""Lists of calls with any filter, each page at a bounded cost however large the ledger is.

Only time, users, analyses and the provider's ids have indexes; what else is filtered by is looked for row by row. The
sums say in which days or hours there is something to find, so that the others are not read at all, and of the rest at
most `MOST_ROWS` rows are read for one page: where that was not enough the page says how far back it looked, and its
cursor goes on from there. Money is `Decimal` USD; lists are net of corrections.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

from django.db.models import Q, QuerySet, Sum

from tracking import calls as single
from tracking.calls import UNSHOWN, Call, _call, _corrections_of, _cursor, _read_cursor, bounded_limit
from tracking.models import (
    ApiUsageLog,
    DailyFeatureRollup,
    DailyUserFeatureRollup,
    DailyUserModelRollup,
    DailyUserRollup,
    HourlyModelRollup,
)
from tracking.money import from_nanousd, to_nanousd
from tracking.periods import day_of, start_of
from tracking.tags import with_tags

#: Rows of the ledger that are read for one page at most.
MOST_ROWS = 4_000
#: Stretches of time that one query reads at most.
MOST_SLOTS = 40
_COLUMNS = {"analysis": "analysis_id"}
_BY_HOUR = frozenset({"provider", "model", "service"})
#: After these nobody tries again.
_ENDED_WELL = ("ok", "pending")
_NOWHERE = uuid.UUID(int=0)
_HOUR, _TICK = timedelta(hours=1), timedelta(microseconds=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Where:
    """Which calls: those that began in `[since, until)` and match everything that is given.

    `filters` by provider, model, service, feature, analysis, status, price_status; "" asks for calls without one.
    `user_id` 0: calls without a user. `api_key` is the public id of a key.
    """

    since: datetime
    until: datetime
    user_id: int | None = None
    filters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    api_key: str = ""

    def rows(self) -> QuerySet:
        """The rows that can match; what a correction may have changed is looked at by `matches`."""
        rows = ApiUsageLog.objects.filter(corrects=None).defer(*UNSHOWN)
        if self.user_id is not None:
            rows = rows.filter(user_id=self.user_id or None)
        for name, value in self.filters.items():
            if name == "status":
                rows = rows.filter(status__in=(value, "pending"))
            elif name == "price_status":
                rows = rows.filter(price_status__in={value, "unpriced"})
            else:
                rows = rows.filter(**{_COLUMNS.get(name, name): value})
        if self.filters.get("analysis"):
            rows = rows.exclude(analysis_id="")  # said again, so that both databases use the index without them
        if self.filters.get("price_status") == "unpriced":
            rows = rows.filter(price_status="unpriced")
        return with_tags(rows, self.tags, api_key=self.api_key)

    def matches(self, call: Call) -> bool:
        """Whether a call, its corrections included, is one of them."""
        return all(self.filters.get(name, known) == known for name, known in _known(call).items())

    @property
    def is_walked(self) -> bool:
        """Whether something is filtered by that no index and no sum leads to."""
        led = {"analysis"} if self.filters.get("analysis") else set()
        if self.filters.get("price_status") == "unpriced":
            led.add("price_status")
        return bool(self.tags or self.api_key or set(self.filters) - led)


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A page of calls and the cursor of the next one (None at the end).

    `looked_back_to`: so many rows had to be read that nothing before that moment was looked at.
    `bounded`: of a list by cost, only the newest `MOST_ROWS` rows were compared.
    """

    calls: list[Call]
    next: str | None = None
    looked_back_to: datetime | None = None
    bounded: bool = False


class _Slot(NamedTuple):
    """A stretch of time in which there may be calls, and the rows that reading it costs."""

    start: datetime
    end: datetime
    rows: int


def newest(where: Where, *, limit: int = 50, before: str | None = None) -> Found:
    """Calls, newest first; `before` is the cursor of the page before. Raises `ValueError` for one that is none."""
    limit = bounded_limit(limit)
    rows, until = where.rows(), where.until
    if before:
        at, row_id = _read_cursor(before)
        rows = rows.filter(Q(occurred_at__lt=at) | Q(occurred_at=at, id__lt=row_id), occurred_at__lte=at)
        until = min(until, at + _TICK)
    slots, floor = _reading(where, until, by_time=True)
    found = list(_within(rows, slots).order_by("-occurred_at", "-id")[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    calls = [call for call in _net(found) if where.matches(call)]
    if more:
        return Found(calls=calls, next=_cursor(found[-1]))
    if floor is None:
        return Found(calls=calls)
    return Found(calls=calls, next=_cursor(ApiUsageLog(occurred_at=floor, id=_NOWHERE)), looked_back_to=floor)


def dearest(where: Where, *, limit: int = 100, after: str | None = None) -> Found:
    """The calls that cost most of the newest `MOST_ROWS`, dearest first. Calls without a price are left out.

    `after` is the cursor of the page before: the pages go through what is compared, by (cost, time, id). Raises
    `ValueError` for one that is none.
    """
    limit = bounded_limit(limit)
    slots, floor = _reading(where, where.until, by_time=False)
    rows = _within(where.rows(), slots).filter(cost__isnull=False)
    if after:
        cost, at, row_id = _read_place(after)
        same = Q(cost=cost) & (Q(occurred_at__lt=at) | Q(occurred_at=at, id__lt=row_id))
        rows = rows.filter(Q(cost__lt=cost) | same)
    found = list(rows.order_by("-cost", "-occurred_at", "-id")[: limit + 1])
    more, found = len(found) > limit, found[:limit]
    calls = [call for call in _net(found) if where.matches(call)]
    calls.sort(key=lambda call: -(call.cost or 0))
    return Found(calls=calls, next=_place(found[-1]) if more else None, looked_back_to=floor, bounded=floor is not None)


def _place(row: ApiUsageLog) -> str:
    """Where the next page by cost begins."""
    return f"{to_nanousd(row.cost)}-{_cursor(row)}"


def _read_place(text: str) -> tuple[Decimal, datetime, uuid.UUID]:
    parts = text.rsplit("-", 2)
    if len(parts) != 3 or not parts[0].removeprefix("-").isdecimal() or len(parts[0]) > 20:
        raise ValueError(f"{text!r} is not a cursor of this list.")
    return from_nanousd(int(parts[0])), *_read_cursor(f"{parts[1]}-{parts[2]}")


def latest_rows(where: Where, *, limit: int) -> list[ApiUsageLog]:
    """The newest rows that match, as they were recorded, of those that one page of a list would read."""
    slots, _ = _reading(where, where.until, by_time=True)
    return list(_within(where.rows().defer(None), slots).order_by("-occurred_at", "-id")[: bounded_limit(limit)])


def named(name: str, *, user_id: int | None = None, limit: int = 50) -> list[Call]:
    """The calls that an id names: ours, or the provider's of the request or of the result; newest first."""
    text, most = name.strip()[:200], bounded_limit(limit)
    if not text or "\0" in text:
        return []
    detail = single.call(text, user_id=user_id)
    if detail is not None:
        return [detail.call]
    places: set[tuple[datetime, uuid.UUID]] = set()
    for column in ("request_id", "response_id"):
        # A result that came later has its names in a correction: the call is the row that it corrects.
        rows = ApiUsageLog.objects.filter(**{column: text}).exclude(**{column: ""}).order_by("-occurred_at")
        hits = rows.values_list("occurred_at", "id", "corrects")[:most]
        places |= {(at, corrects or row_id) for at, row_id, corrects in hits}
    if not places:
        return []
    found = ApiUsageLog.objects.filter(
        corrects=None, occurred_at__in={at for at, _ in places}, id__in={row_id for _, row_id in places}
    )
    if user_id is not None:
        found = found.filter(user_id=user_id or None)
    return _net(list(found.order_by("-occurred_at", "-id")[:most]))


def tries(row: ApiUsageLog, *, within: timedelta = timedelta(minutes=5), most: int = 200) -> list[Call]:
    """The tries of the same call, in the order of time, this one among them; it alone where nothing was tried again.

    Every try is a call of its own in the ledger, and providers give them no name in common: tries are told by whose,
    what for, which model and address, and by their numbers following each other within some minutes.
    """
    names = ("user_id", "provider", "model_asked", "operation", "endpoint", "feature", "analysis_id")
    near = ApiUsageLog.objects.filter(corrects=None, **{name: getattr(row, name) for name in names})
    if row.attempt > 1:
        earlier = near.filter(occurred_at__gte=row.occurred_at - within, occurred_at__lte=row.occurred_at)
        before = list(earlier.order_by("-occurred_at", "-id")[:most])
    else:
        before = []
    chain = [row]
    for one in before:
        if one.attempt == chain[0].attempt - 1 and one.status not in _ENDED_WELL:
            chain.insert(0, one)
    if row.status not in _ENDED_WELL:
        later = near.filter(occurred_at__gt=row.occurred_at, occurred_at__lte=row.occurred_at + within, attempt__gt=1)
        for one in later.order_by("occurred_at", "id")[:most]:
            if chain[-1].status not in _ENDED_WELL and one.attempt == chain[-1].attempt + 1:
                chain.append(one)
    return _net(chain)


def _known(call: Call) -> dict[str, str]:
    return {"status": call.status, "price_status": call.price_status}


def _net(rows: Sequence[ApiUsageLog]) -> list[Call]:
    corrections = _corrections_of(rows)
    return [_call(row, corrections.get(row.id, ())) for row in rows]


# --- What to read ---------------------------------------------------------------------------------------------------


def _within(rows: QuerySet, slots: Sequence[_Slot]) -> QuerySet:
    """The rows of some stretches of time; those that touch are one."""
    spans: list[list[datetime]] = []
    for slot in slots:  # newest first
        if spans and spans[-1][0] == slot.end:
            spans[-1][0] = slot.start
        else:
            spans.append([slot.start, slot.end])
    if not spans:
        return rows.none()
    wanted = Q()
    for start, end in spans:
        wanted |= Q(occurred_at__gte=start, occurred_at__lt=end)
    # Said once more as one range: the months of the ledger that it does not touch are not looked at.
    return rows.filter(wanted, occurred_at__gte=spans[-1][0], occurred_at__lt=spans[0][1])


def _reading(where: Where, until: datetime, *, by_time: bool) -> tuple[list[_Slot], datetime | None]:
    """What to read for a page, newest first, and where that ends short of the period's beginning (else None).

    `by_time`: the list is cut to a page in the order of time, so that an index may lead through all of it.
    """
    whole = _Slot(where.since, max(until, where.since), 0)
    found = _slots(where, whole) if where.filters.keys() & {*_BY_HOUR, "feature"} else None
    if found is None:
        if by_time and not where.is_walked:
            return [whole], None  # an index leads to what matches
        return _cut([whole], where)
    slots, floor = found
    taken: list[_Slot] = []
    cost = 0
    for slot in slots:
        if taken and (cost + slot.rows > MOST_ROWS or len(taken) >= MOST_SLOTS):
            return taken, taken[-1].start
        taken.append(slot)
        cost += slot.rows
    if cost > MOST_ROWS:
        taken, cut = _cut(taken, where)
        floor = cut or floor
    return taken, floor


def _cut(slots: list[_Slot], where: Where) -> tuple[list[_Slot], datetime | None]:
    """One stretch cut to its newest `MOST_ROWS` rows."""
    (slot,) = slots[:1]
    rows = ApiUsageLog.objects.filter(occurred_at__gte=slot.start, occurred_at__lt=slot.end)
    if where.user_id is not None:
        rows = rows.filter(user_id=where.user_id or None)
    if analysis := where.filters.get("analysis"):
        rows = rows.filter(analysis_id=analysis).exclude(analysis_id="")
    floor = (
        rows.order_by("-occurred_at", "-id").values_list("occurred_at", flat=True)[MOST_ROWS : MOST_ROWS + 1].first()
    )
    if floor is None:
        return [slot], None
    return [slot._replace(start=floor)], floor


def _slots(where: Where, span: _Slot) -> tuple[list[_Slot], datetime | None] | None:
    """The stretches in which the sums know calls that match, newest first, and how far back they were looked for
    (None: to the beginning). None where they need not be asked.
    """
    if where.filters.get("analysis"):
        return None  # its index is narrower than any of them
    if where.user_id is not None:
        return _days_of_user(where, span), None
    if "feature" not in where.filters:
        return _hours(where, span, None), None
    days = _days_of_feature(where, span)
    if not where.filters.keys() & _BY_HOUR:
        return days, None
    return _hours(where, span, days), days[-1].start if len(days) > MOST_SLOTS else None


def _days_of_user(where: Where, span: _Slot) -> list[_Slot]:
    user = where.user_id or 0
    days: set | None = None
    for rollup, names in ((DailyUserFeatureRollup, {"feature"}), (DailyUserModelRollup, _BY_HOUR)):
        asked = {name: where.filters[name] for name in names if name in where.filters}
        if asked:
            rows = _of_days(rollup, span).filter(user_id=user, **asked)
            found = set(rows.values_list("day", flat=True).distinct())
            days = found if days is None else days & found
    newest_days = sorted(days or (), reverse=True)[: MOST_SLOTS + 1]
    costs = DailyUserRollup.objects.filter(user_id=user, day__in=newest_days).values_list("day", "calls")
    return _day_slots(newest_days, dict(costs), span)


def _days_of_feature(where: Where, span: _Slot) -> list[_Slot]:
    asked = {name: where.filters[name] for name in ("feature", "model") if name in where.filters}
    rows = _of_days(DailyFeatureRollup, span).filter(**asked)
    days = rows.values("day").distinct().order_by("-day")[: MOST_SLOTS + 1]
    costs = DailyFeatureRollup.objects.filter(day__in=days).order_by().values_list("day").annotate(rows=Sum("calls"))
    rows_on = dict(costs)
    return _day_slots(sorted(rows_on, reverse=True), rows_on, span)


def _of_days(rollup: type, span: _Slot) -> QuerySet:
    last = day_of(span.end - _TICK) if span.end > span.start else day_of(span.start)
    return rollup.objects.filter(day__gte=day_of(span.start), day__lte=last).order_by()


def _day_slots(days: Sequence, costs: Mapping, span: _Slot) -> list[_Slot]:
    slots = []
    for day in days:
        start, end = max(start_of(day), span.start), min(start_of(day + timedelta(days=1)), span.end)
        if start < end:
            slots.append(_Slot(start, end, costs.get(day, 0)))
    return slots


def _hours(where: Where, span: _Slot, days: list[_Slot] | None) -> list[_Slot]:
    """Hours with calls of a provider, model or service; within days, where those are known."""
    asked = {name: where.filters[name] for name in _BY_HOUR if name in where.filters}
    if days is not None:
        span = span._replace(start=days[-1].start, end=days[0].end) if days else span._replace(start=span.end)
    rows = HourlyModelRollup.objects.filter(hour__gt=span.start - _HOUR, hour__lt=span.end)
    hours = rows.filter(**asked).order_by("-hour").values_list("hour", flat=True).distinct()
    if days is not None:
        known = {day_of(slot.start) for slot in days}
        hours = [hour for hour in hours if day_of(hour) in known or day_of(hour + _HOUR - _TICK) in known]
    newest = hours[: MOST_SLOTS + 1]
    costs = dict(rows.filter(hour__in=newest).order_by().values_list("hour").annotate(rows=Sum("calls")))
    found = sorted(costs, reverse=True)
    slots = [_Slot(max(hour, span.start), min(hour + _HOUR, span.end), costs[hour]) for hour in found]
    return [slot for slot in slots if slot.start < slot.end]
