"""What a page is asked for: a period, filters, a dimension. Read from the address, so that every view can be shared.

What cannot be meant is said on the page (`problems`) and left out; an address never makes an error page.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

from django.http import HttpRequest
from django.urls import NoReverseMatch, reverse
from django.utils import timezone

from tracking.api.access import sees_all
from tracking.periods import Period, last_days, month, site_zone, today

#: Name in the address -> how it reads. `custom` is asked for by its days.
PERIODS = {
    "today": "Today",
    "7d": "7 days",
    "30d": "30 days",
    "90d": "90 days",
    "month": "This month",
    "custom": "Custom",
}
DEFAULT_PERIOD = "30d"
#: The longest period that a page shows: four years with a leap day.
MAX_DAYS = 1461
#: Up to so many days a chart shows hours.
HOURLY_DAYS = 2
#: What pages filter by -> how it reads.
FILTERS = {
    "service": "Service",
    "model": "Model",
    "provider": "Provider",
    "feature": "Feature",
    "user": "User",
    "analysis": "Analysis",
    "status": "Status",
}
BY = {"model": "Model", "service": "Service", "feature": "Feature", "user": "User", "provider": "Provider"}
#: Formats of exports -> how they read.
EXPORTS = {"csv": "CSV", "json": "JSON", "ndjson": "JSON lines", "focus": "FOCUS 1.3 (CSV)"}
#: The value of a filter that asks for calls without a value; an empty field of a form asks for nothing.
NONE = "(none)"
_MAX_LENGTH = 200
_DAYS = {"7d": 7, "30d": 30, "90d": 90}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What one request asks for. `user_id` is whose calls are shown: None for everybody's, which staff alone see.

    `filters` holds the filters that are set, by name, values as text; a user is a filter of staff's by the id of the
    account, and "0" stands for calls without one. A value of "" asks for calls without a value: `(none)` in addresses.
    """

    now: datetime
    path: str
    name: str
    period: Period
    filters: Mapping[str, str] = field(default_factory=dict)
    by: str = "model"
    reader_id: int
    sees_all: bool
    problems: tuple[str, ...] = ()
    query: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, request: HttpRequest, *, default: str = DEFAULT_PERIOD, by: str = "model") -> Asked:
        """What this request asks for. `default` and `by` count where it says nothing."""
        now, problems = timezone.now(), []
        everything = sees_all(request.user)
        given = {name: value.strip("\x00 ") for name, value in request.GET.items()}
        name, period = _period(given, now, default, problems)
        filters = _filters(given, everything, problems)
        wanted = given.get("by") or by
        if wanted not in BY or (wanted == "user" and not everything):
            problems.append(f"Spending cannot be split by “{wanted[:40]}” here.")
            wanted = by
        asked = {"period": name} if name != default else {}
        if name == "custom":
            asked |= {"since": period.start.isoformat(), "until": (period.end - timedelta(days=1)).isoformat()}
        return cls(
            now=now, path=request.path, name=name, period=period, filters=filters, by=wanted,
            reader_id=request.user.pk, sees_all=everything, problems=tuple(problems),
            query={**asked, **{n: v or NONE for n, v in filters.items()}, **({"by": wanted} if wanted != by else {})},
        )  # fmt: skip

    @property
    def user_id(self) -> int | None:
        """Whose calls are shown; None: everybody's."""
        if not self.sees_all:
            return self.reader_id
        return int(self.filters["user"]) if "user" in self.filters else None

    @property
    def everyone(self) -> bool:
        """Whether the calls of more than one account are shown, so that each line says whose it is."""
        return self.user_id is None

    @cached_property
    def previous(self) -> Period:
        """The span of the same length just before; of a month, the month before."""
        if self.name == "month":
            end = self.period.start
            return Period((end - timedelta(days=1)).replace(day=1), end)
        length = self.period.end - self.period.start
        return Period(self.period.start - length, self.period.start)

    @property
    def is_hourly(self) -> bool:
        """Whether a chart of the period shows hours."""
        return self.period.length <= HOURLY_DAYS

    @property
    def title(self) -> str:
        """The period in words."""
        if self.name != "custom":
            return {"7d": "Last 7 days", "30d": "Last 30 days", "90d": "Last 90 days"}.get(
                self.name, PERIODS[self.name]
            )
        first, last = self.period.start, self.period.end - timedelta(days=1)
        return f"{first:%-d %b %Y}" if first == last else f"{first:%-d %b %Y} to {last:%-d %b %Y}"

    @property
    def last_day(self) -> date:
        """The last day of the period."""
        return self.period.end - timedelta(days=1)

    def link(self, **changes: Any) -> str:
        """The address of this view with changes: `link(period="7d")`; None takes a parameter away, "" means without."""
        return self.link_to(self.path, **changes)

    def link_to(self, path: str, **changes: Any) -> str:
        """The address of another page (a path, or the name of a route) with the same period and filters."""
        target = path if path.startswith("/") else reverse(path)
        query = {**self.query, **{name: _text(value) for name, value in changes.items()}}
        if changes.get("period", "custom") != "custom":
            query = {name: value for name, value in query.items() if name not in ("since", "until")}
        query = {name: value for name, value in query.items() if value is not None}
        return f"{target}?{urlencode(query)}" if query else target

    @property
    def picks(self) -> list[tuple[str, str, str, bool]]:
        """For the period picker: name, title, address, whether it is chosen."""
        return [(name, title, self.link(period=name), name == self.name) for name, title in PERIODS.items()]

    @property
    def chips(self) -> list[tuple[str, str, str]]:
        """For the filter bar: what is filtered by, its value, the address without it."""
        return [(FILTERS[name], value or NONE, self.link(**{name: None})) for name, value in self.filters.items()]

    @property
    def exports(self) -> list[tuple[str, str]]:
        """What is shown, as files: title and address of each. Empty where exports have no such filter."""
        if "" in self.filters.values() or self.filters.get("user") == "0":
            return []
        query = {**self.filters, "since": self.period.starts_at.isoformat(), "until": self.period.ends_at.isoformat()}
        query.setdefault("user", "all" if self.sees_all else str(self.reader_id))
        try:
            address = reverse("api-export")
        except NoReverseMatch:  # the pages are part of a project without the API
            return []
        return [(title, f"{address}?{urlencode({**query, 'format': form})}") for form, title in EXPORTS.items()]


def _text(value: Any) -> str | None:
    return None if value is None else str(value) or NONE


def _period(given: Mapping[str, str], now: datetime, default: str, problems: list[str]) -> tuple[str, Period]:
    name = given.get("period") or ("custom" if given.get("since") or given.get("until") else default)
    if name == "custom":
        period = _custom(given, now, problems)
        if period is not None:
            return name, period
        name = default
    elif name not in PERIODS:
        problems.append(f"“{name[:40]}” is no period; shown is the usual one.")
        name = default
    if name in _DAYS:
        return name, last_days(now, _DAYS[name])
    return name, month(now) if name == "month" else today(now)


def _custom(given: Mapping[str, str], now: datetime, problems: list[str]) -> Period | None:
    """Days from `since` to `until`, both of them counted; a side that is missing is `until` today, or thirty days."""
    tomorrow = today(now).end
    try:
        last = date.fromisoformat(given["until"][:10]) if given.get("until") else tomorrow - timedelta(days=1)
        first = date.fromisoformat(given["since"][:10]) if given.get("since") else last - timedelta(days=29)
    except (ValueError, OverflowError):
        problems.append("A day is written as 2026-05-31; shown is the usual period.")
        return None
    if not date(2000, 1, 1) <= first <= date(2200, 1, 1) or not date(2000, 1, 1) <= last <= date(2200, 1, 1):
        problems.append("Days lie between the years 2000 and 2200; shown is the usual period.")
        return None
    if last < first:
        first, last = last, first
    if (last - first).days >= MAX_DAYS:
        first = last - timedelta(days=MAX_DAYS - 1)
        problems.append(f"At most {MAX_DAYS} days are shown at once: the last of those asked for.")
    return Period(first, last + timedelta(days=1))


def _filters(given: Mapping[str, str], everything: bool, problems: list[str]) -> dict[str, str]:
    found = {}
    for name in FILTERS:
        value = given.get(name, "")[:_MAX_LENGTH]
        if not value:
            continue
        if name == "user":
            if not everything or value == "all":
                continue
            if not (value.isascii() and value.isdigit() and len(value) < 19):
                problems.append("A user is given by the number of the account.")
                continue
        found[name] = "" if value == NONE and name != "status" else value
    return found


def zones(request: HttpRequest) -> dict[str, str]:
    """The zones that a page must name: whose days it counts, and in which its times are shown."""
    return {"site_zone": site_zone().key, "reader_zone": timezone.get_current_timezone_name()}
