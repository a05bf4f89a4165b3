"""Where windows will end: the past of each limit's subject from the rollups, handed to `budgets.forecast`.

Days are those of the site's TIME_ZONE, as the rollups keep them. Windows of a day and less go by hours where a rollup
keeps hours (limits of everyone, of a provider, of models); of a user or a feature only days are kept, and the rest of a
day counts as much as it usually has for everybody. Analyses, keys and tags have no rollup by time: their windows are
forecast by their own pace.
"""

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.core.cache import cache

from budgets import book
from budgets.book import Limit, Snapshot, model_matches
from budgets.forecast import Ahead, Forecast, Past, forecast
from budgets.models import Scope
from budgets.queries import Standing
from tracking.history import daily_costs, hourly_costs
from tracking.periods import Period, day_of, last_days, start_of

#: How far back the pattern is looked for.
PAST_DAYS = 56
PAST_HOURS_DAYS = 14
#: How far ahead the end of a budget without a window's end is looked for, in days.
AHEAD_DAYS = 366
_HOUR = timedelta(hours=1)
_BY_HOUR = (Scope.EVERYONE, Scope.PROVIDER, Scope.MODEL)
_ONE = Decimal(1)
_REMEMBERED_S = 60


@dataclass(frozen=True, slots=True)
class Known:
    """What a caller has read already of the last `PAST_DAYS` days: of everybody, or of one user. USD."""

    user_id: int | None
    days: Mapping[date, Decimal]
    hours: Mapping[datetime, Decimal] | None  # of everybody, by the hour of UTC


def with_forecasts(
    lines: Iterable[Standing], *, at: datetime, known: Known | None = None, remember: bool = False
) -> list[Standing]:
    """The same lines, each with the forecast of its window.

    With `remember`, the days that are over are read once a minute, and what a caller knows is remembered for the
    others: for pages that are looked at all day, so that all of them tell the same of a limit.
    """
    history = _History(at, known, remember=remember)
    return [replace(line, forecast=history.forecast(line)) for line in lines]


@dataclass(frozen=True, slots=True)
class _Key:
    """Whose past is looked at: lines that share it share a query."""

    scope: str
    users: tuple[int, ...] = ()
    target: str = ""


class _History:
    """The past as of one moment, read once for each dimension that a line asks for."""

    def __init__(self, at: datetime, known: Known | None = None, *, remember: bool = False) -> None:
        self.at = at
        self.known = known
        self.remember = remember
        self.snapshot: Snapshot = book.current()
        self.days: dict[_Key, list[Past]] = {}
        self.hours: dict[tuple[_Key, str], list[Past]] = {}
        self._profile: list[Decimal] | None = None

    def forecast(self, line: Standing) -> Forecast | None:
        """The forecast of a window as it stands."""
        limit = self.snapshot.by_id.get(line.limit_id)
        if limit is None:
            return None
        key = _key(limit, line.subject, self.snapshot)
        zone = limit.rule.time_zone
        if limit.rule.period in ("hour", "day") and limit.scope in _BY_HOUR:
            past, ahead = self._past_hours(key, zone), _hours_ahead(self.at, line.resets_at, zone)
        else:
            past = self._past_days(key) if key is not None else []
            ahead = self._days_ahead(line.resets_at)
        return forecast(
            spent=line.spent,
            limit=line.limit,
            started_at=line.window_start,
            now=self.at,
            ends_at=line.resets_at,
            past=past,
            ahead=ahead,
        )

    def _past_days(self, key: _Key) -> list[Past]:
        if key not in self.days:
            until = day_of(self.at)
            period = Period(until - timedelta(days=PAST_DAYS), until)  # today is not over
            costs = self._known_days(key)
            if costs is None:
                costs = self._read(("days", key, until), lambda: daily_costs(period=period, **_filters(key)))
            elif self.remember:
                cache.set(
                    _name(("days", key, until)), {day: costs[day] for day in period.days if day in costs}, _REMEMBERED_S
                )
            self.days[key] = [Past(day.weekday(), costs.get(day, Decimal(0))) for day in period.days]
        return self.days[key]

    def _past_hours(self, key: _Key, zone: str) -> list[Past]:
        if (key, zone) not in self.hours:
            end = _hour_of(self.at)
            start = end - timedelta(days=PAST_HOURS_DAYS)
            costs = self._known_hours(key)
            if costs is None:
                costs = self._read(("hours", key, end), lambda: hourly_costs(start=start, end=end, **_filters(key)))
            moments = [start + n * _HOUR for n in range(PAST_HOURS_DAYS * 24)]
            local = ZoneInfo(zone)
            self.hours[(key, zone)] = [Past(m.astimezone(local).hour, costs.get(m, Decimal(0))) for m in moments]
        return self.hours[(key, zone)]

    def _known_days(self, key: _Key) -> Mapping[date, Decimal] | None:
        known = self.known
        if known is None:
            return None
        whose = _Key(Scope.EVERYONE) if known.user_id is None else _Key(Scope.USER, users=(known.user_id,))
        return known.days if key == whose else None

    def _known_hours(self, key: _Key) -> Mapping[datetime, Decimal] | None:
        return self.known.hours if self.known is not None and key == _Key(Scope.EVERYONE) else None

    def _read(self, what: tuple, read: Callable[[], dict]) -> dict:
        if not self.remember:
            return read()
        return cache.get_or_set(_name(what), read, _REMEMBERED_S)

    def _days_ahead(self, ends_at: datetime | None) -> list[Ahead]:
        """The rest of today and the days until the window ends, the last of them in part."""
        end = ends_at or self.at + timedelta(days=AHEAD_DAYS)
        slots, start = [], self.at
        while start < end:
            day = day_of(start)
            stop = min(start_of(day + timedelta(days=1)), end)
            slots.append(Ahead(day.weekday(), self._share(day, start, stop), start, stop))
            start = stop
        return slots

    def _share(self, day: date, start: datetime, stop: datetime) -> Decimal:
        """Which part of a day's spending usually falls between two moments of it."""
        begin, end = start_of(day), start_of(day + timedelta(days=1))
        if start <= begin and stop >= end:
            return _ONE
        profile = self._hour_profile()
        share, moment = Decimal(0), start
        while moment < stop:
            upto = min(_hour_of(moment) + _HOUR, stop)
            part = Decimal(int((upto - moment).total_seconds())) / 3600
            share += profile[int((moment - begin).total_seconds() // 3600) % 24] * part
            moment = upto
        return min(share, _ONE)

    def _hour_profile(self) -> list[Decimal]:
        """How a day's spending falls on its 24 hours, for everybody together; even where nothing is known."""
        if self._profile is None:
            period = last_days(self.at, PAST_HOURS_DAYS + 1)
            start, end = period.starts_at, start_of(day_of(self.at))
            costs = self._known_hours(_Key(Scope.EVERYONE))
            if costs is None:
                costs = self._read(("profile", end), lambda: hourly_costs(start=start, end=end))
            elif self.remember:
                cache.set(_name(("profile", end)), dict(costs), _REMEMBERED_S)
            costs = {hour: cost for hour, cost in costs.items() if start <= hour < end}
            sums = [Decimal(0)] * 24
            for hour, cost in costs.items():
                sums[int((hour - start_of(day_of(hour))).total_seconds() // 3600) % 24] += max(cost, Decimal(0))
            total = sum(sums, Decimal(0))
            # An hour in which nothing happened so far is not impossible: a tenth of an even day is mixed in.
            even = _ONE / 24
            self._profile = [even] * 24 if total <= 0 else [s / total * 9 / 10 + even / 10 for s in sums]
        return self._profile


def _name(what: tuple) -> str:
    return "outlook:" + hashlib.sha256(repr(what).encode()).hexdigest()


def _hours_ahead(at: datetime, ends_at: datetime | None, zone: str) -> list[Ahead]:
    slots, start, local = [], at, ZoneInfo(zone)
    while ends_at is not None and start < ends_at:
        stop = min(_hour_of(start) + _HOUR, ends_at)
        share = Decimal(int((stop - start).total_seconds())) / 3600
        slots.append(Ahead(start.astimezone(local).hour, share, start, stop))
        start = stop
    return slots


def _hour_of(at: datetime) -> datetime:
    return at.astimezone(UTC).replace(minute=0, second=0, microsecond=0)


def _key(limit: Limit, subject: str, snapshot: Snapshot) -> _Key | None:
    """Whose past tells something about a limit's window; None where no rollup has it."""
    match limit.scope:
        case Scope.EVERYONE:
            return _Key(Scope.EVERYONE)
        case Scope.EACH_USER | Scope.USER:
            return _Key(Scope.USER, users=(int(subject.partition(":")[2] or limit.user_id or 0),))
        case Scope.GROUP:
            members = (user for user, groups in snapshot.groups.items() if limit.group_id in groups)
            return _Key(Scope.USER, users=tuple(sorted(members)))
        case Scope.FEATURE | Scope.PROVIDER | Scope.MODEL:
            return _Key(limit.scope, target=limit.target)
    return None


def history_filters(line: Standing) -> dict[str, object] | None:
    """What `tracking.history` is asked for to see a line's past; None where no rollup keeps it by time."""
    snapshot = book.current()
    limit = snapshot.by_id.get(line.limit_id)
    key = _key(limit, line.subject, snapshot) if limit is not None else None
    return None if key is None else _filters(key)


def has_hours(line: Standing) -> bool:
    """Whether a rollup keeps a line's past by the hour."""
    return line.scope in _BY_HOUR


def _filters(key: _Key) -> dict[str, object]:
    match key.scope:
        case Scope.USER:
            return {"user_ids": key.users}
        case Scope.FEATURE:
            return {"feature": key.target}
        case Scope.PROVIDER:
            return {"provider": key.target}
        case Scope.MODEL:
            return {"model": lambda provider, name: model_matches(key.target, (name,), provider)}
    return {}
