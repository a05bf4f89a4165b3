"""What models, features and users spend by hours and days: those worth a look now, each with its past.

Models: hours from their rollup. Features and users: days from theirs, hours from `alerts.detect.hours`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

from django.db.models import Sum

from alerts.detect import hours
from alerts.detect.hours import HOUR, hour_of
from tracking.models import DailyFeatureRollup, DailyUserRollup, HourlyModelRollup
from tracking.periods import day_of, site_zone

DIMENSIONS = ("model", "feature", "user")
HOURS_BACK, DAYS_BACK = 8 * 168, 56
#: So many names of a dimension are looked at, those that spent most first.
MOST_NAMES = 200
_ZERO = Decimal(0)


@dataclass(frozen=True, slots=True)
class Series:
    """One name's spending, in USD: by hours of UTC, the running one included, and by days of the site's zone."""

    dimension: str
    name: str
    hours: Mapping[datetime, Decimal]
    days: Mapping[date, Decimal]
    hours_since: datetime  # before, hours are not known; after, those left out are 0

    def spent(self, start: datetime, count: int) -> Decimal:
        """What was spent in so many hours from `start` on."""
        return sum((self.hours.get(start + n * HOUR, _ZERO) for n in range(count)), _ZERO)

    def hours_before(self, start: datetime) -> list[float]:
        """The hours before `start`, as clocks on the wall show them, the oldest first."""
        zone = site_zone()
        wall = start.astimezone(zone).replace(tzinfo=None)
        slots = [0.0] * HOURS_BACK
        for hour, cost in self.hours.items():
            back = round((wall - hour.astimezone(zone).replace(tzinfo=None)) / HOUR)
            if hour < start and 0 < back <= HOURS_BACK:
                slots[-back] += float(cost)
        known = max(0, int((start - self.hours_since) / HOUR))
        return slots[HOURS_BACK - min(known, HOURS_BACK) :]

    def days_before(self, day: date) -> list[float]:
        """The days before `day`, the oldest first."""
        return [float(self.days.get(day - timedelta(days=back), _ZERO)) for back in range(DAYS_BACK, 0, -1)]


@dataclass(slots=True)
class _Now:
    """What each name of a dimension spent lately: in the running hour, and in today's."""

    running: Mapping[str, Decimal] = field(default_factory=dict)
    today: Mapping[str, Decimal] = field(default_factory=dict)


def worth_a_look(*, at: datetime, least_usd: Decimal, also: Mapping[str, set[str]]) -> Iterable[Series]:
    """Those that spent as much today or in the last hours, and those in `also`, by dimension."""
    yield from _models(at, least_usd, also.get("model", set()))
    late = hours.running(at=at)
    since = hours.known_since(at=at)
    for dimension, rollup, column in (("feature", DailyFeatureRollup, "feature"), ("user", DailyUserRollup, "user_id")):
        days = _days(rollup, column, at)
        now = _Now(
            (late or {}).get(dimension, {}), {name: by_day.get(day_of(at), _ZERO) for name, by_day in days.items()}
        )
        recent = hours.most_of_late(dimension, at=at, hours=3)
        names = _most(least_usd, also.get(dimension, set()), now.today, now.running, recent)
        known = hours.spent_by_hour(dimension, names, at=at)
        for name in sorted(names):
            by_hour = {**known[name], hour_of(at): now.running.get(name, _ZERO)}
            # Without the running hour nothing is known of the hours at all.
            yield Series(dimension, name, by_hour, days.get(name, {}), since if late is not None else at)


def _models(at: datetime, least_usd: Decimal, also: set[str]) -> Iterable[Series]:
    begin = hour_of(at) - hours.KEPT
    rows = HourlyModelRollup.objects.filter(hour__gte=begin, hour__lte=at).order_by()
    late = rows.filter(hour__gte=hour_of(at) - 24 * HOUR).values_list("provider", "model").annotate(total=Sum("cost"))
    names = _most(least_usd, also, {f"{provider}/{model}": total for provider, model, total in late})
    by_hour: dict[str, dict[datetime, Decimal]] = {name: defaultdict(Decimal) for name in names}
    by_day: dict[str, dict[date, Decimal]] = {name: defaultdict(Decimal) for name in names}
    models = {name.partition("/")[2] for name in names}
    found = rows.filter(model__in=models).values_list("provider", "model", "hour").annotate(total=Sum("cost"))
    for provider, model, hour, total in found:
        name = f"{provider}/{model}"
        if name in names:
            by_hour[name][hour.astimezone(UTC)] += total
            by_day[name][day_of(hour)] += total
    for name in sorted(names):
        yield Series("model", name, by_hour[name], by_day[name], begin)


def _days(rollup, column: str, at: datetime) -> dict[str, dict[date, Decimal]]:
    today = day_of(at)
    rows = rollup.objects.filter(day__gte=today - timedelta(days=DAYS_BACK), day__lte=today).order_by()
    found: dict[str, dict[date, Decimal]] = defaultdict(dict)
    for name, day, total in rows.values_list(column, "day").annotate(total=Sum("cost")):
        found[str(name)][day] = total
    return found


def _most(least_usd: Decimal, also: set[str], *sums: Mapping[str, Decimal]) -> set[str]:
    """The names with the largest sums of those that reach the least, and those in `also`."""
    top: dict[str, Decimal] = {}
    for one in sums:
        for name, total in one.items():
            if total >= least_usd:
                top[name] = max(total, top.get(name, _ZERO))
    return set(sorted(top, key=lambda name: (-top[name], name))[:MOST_NAMES]) | also
