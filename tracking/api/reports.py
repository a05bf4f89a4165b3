"""`/api/v1/reports`: sums of calls, grouped."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone
from rest_framework import serializers

from tracking import reports
from tracking.api.access import whose
from tracking.api.fields import Choice, Page, Text, UsdText, When, Zone, offset_of
from tracking.api.names import Provider, Tagged
from tracking.api.usage import SERVICES
from tracking.api.views import ApiView, endpoint
from tracking.events import STATUSES
from tracking.periods import site_zone
from tracking.queries import Totals
from tracking.reports import NAMES, TAG, TIMES, Ask, Group

DEFAULT_DAYS = 30
_VALID = f"{', '.join([*TIMES, *NAMES])}, {TAG}<name>"


class ReportQuery(Tagged, Page):
    """What is summed, and how it is grouped. `tag:<name>=<value>` filters by a tag."""

    group_by = Text(default="day", help_text=f"one or two of {_VALID}, separated by a comma")
    since = When(default=None, help_text="from this day (of `tz`) or moment on; without it: the last 30 days")
    until = When(
        default=None, help_text="up to this day or moment, which is not part of it; without it: to the end of today"
    )
    tz = Zone(default="", help_text="days of this time zone; for sums by provider, model and service only")
    user = Text(
        default="", max_length=20, help_text="staff only: the id of an account, or `all`; without it, the caller's own"
    )
    provider = Provider(help_text="calls of this provider only")
    model = Text(default="", help_text="calls of this model only")
    service = Choice(SERVICES, default="", help_text="calls of this product line only")
    feature = Text(default=None, allow_blank=True, help_text="calls of this feature only; empty: those without one")
    analysis = Text(default="", help_text="calls of this analysis only")
    api_key = Text(default="", help_text="calls by this API key only: its public id")
    status = Choice(STATUSES, default="", help_text="calls that ended so, as it is known by now")

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Days, and moments without an offset, are those of the zone that is asked for."""
        values = super().to_internal_value(data)
        for name in ("since", "until"):
            if values["tz"] and values[name] is not None:
                values[name] = _in_zone(str(data[name]), values[name], ZoneInfo(values["tz"]))
        return values

    def validate_group_by(self, value: str) -> tuple[str, ...]:
        names = tuple(name.strip() for name in value.split(","))
        wrong = [name for name in names if not reports.is_dimension(name)]
        if wrong:
            raise serializers.ValidationError(f'"{wrong[0]}" is not a dimension. Use one or two of: {_VALID}.')
        if len(names) > 2 or len(set(names)) != len(names) or len(set(names) & set(TIMES)) > 1:
            raise serializers.ValidationError("Group by one or two different dimensions, of which one may be a time.")
        return names


class GroupAnswer(serializers.Serializer):
    """One group and its sums."""

    group = serializers.DictField(help_text='the value of each dimension, by its name; "" or null: calls without one')
    user_email = serializers.CharField(required=False, help_text="where users are a dimension: the email address")
    cost = UsdText(help_text="USD; without the calls that have no price yet")
    calls = serializers.IntegerField(help_text="calls")
    errors = serializers.IntegerField(help_text="calls that failed")
    unpriced_calls = serializers.IntegerField(help_text="calls that have no price yet")
    input_tokens = serializers.IntegerField(help_text="tokens in, cached ones included")
    cache_read_tokens = serializers.IntegerField(help_text="tokens in that were read from a cache")
    output_tokens = serializers.IntegerField(help_text="tokens out, reasoning included")
    audio_ms = serializers.IntegerField(help_text="milliseconds of sound billed by duration")
    characters = serializers.IntegerField(help_text="characters spoken")


_SHOWN = tuple(name for name in GroupAnswer().fields if name in Totals.__dataclass_fields__)


class ReportAnswer(serializers.Serializer):
    """A page of groups: in the order of time where time is a dimension, then the dearest first."""

    group_by = serializers.ListField(child=serializers.CharField(), help_text="the dimensions")
    start = serializers.CharField(help_text="when the period begins")
    end = serializers.CharField(help_text="when it is over; not part of it")
    time_zone = serializers.CharField(help_text="whose days these are")
    source = serializers.CharField(help_text="the sums it comes from, or `ledger`")
    rows_read = serializers.IntegerField(allow_null=True, help_text="rows of the ledger that were read; null: none")
    groups = GroupAnswer(many=True, help_text="the groups")
    next = serializers.CharField(allow_null=True, help_text="the cursor of the next page; null: this is the last")


class ReportView(ApiView):
    """Sums of calls."""

    @endpoint("Grouped sums", query=ReportQuery, answer=ReportAnswer, problems=(404,))
    def get(self, request: Any, query: dict) -> dict:
        """Sums over any period by one or two dimensions.

        What no rollup has (tags, statuses, analyses, hours of one user, ...) is read from the ledger, for at most
        `REPORT_MAX_ROWS` calls and `REPORT_MAX_SECONDS`; `source` says so.
        """
        ask = _ask(request, query)
        first = offset_of(query["cursor"])
        bounds = {"max_rows": settings.REPORT_MAX_ROWS, "max_seconds": settings.REPORT_MAX_SECONDS}
        try:
            found = reports.report(ask, **bounds, first=first, limit=query["limit"])
        except reports.ReportRefused as refused:
            raise serializers.ValidationError({refused.field: str(refused)}) from None
        emails = reports.with_emails(found.groups)
        return {
            "group_by": ask.group_by,
            "start": ask.start.astimezone(ask.zone).isoformat(),
            "end": ask.end.astimezone(ask.zone).isoformat(),
            "time_zone": ask.zone.key,
            "source": found.source,
            "rows_read": found.rows_read,
            "groups": [_group(group, emails) for group in found.groups],
            "next": str(first + len(found.groups)) if found.more else None,
        }


def _ask(request: Any, query: dict[str, Any]) -> Ask:
    user_id = whose(request, query["user"])
    names = ("provider", "model", "service", "analysis", "api_key", "status")
    filters = {name: query[name] for name in names if query[name]} | {
        TAG + name: value for name, value in query["tags"].items()
    }
    if query["feature"] is not None:
        filters["feature"] = query["feature"]
    if user_id is not None:
        filters["user"] = user_id
    zone = ZoneInfo(query["tz"]) if query["tz"] else site_zone()
    end = query["until"] or _start_of(timezone.now().astimezone(zone).date() + timedelta(days=1), zone)
    last = (end - timedelta(seconds=1)).astimezone(zone).date()
    start = query["since"] or _start_of(last - timedelta(days=DEFAULT_DAYS - 1), zone)
    if start >= end:
        raise serializers.ValidationError({"until": "It must come after since."})
    return Ask(group_by=query["group_by"], start=start, end=end, filters=filters, zone=zone)


def _in_zone(text: str, moment: datetime, zone: ZoneInfo) -> datetime:
    """The moment that was read from a text, which may have named none: then it is one of the zone."""
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return moment
    return moment if told.tzinfo else told.replace(tzinfo=zone).astimezone(UTC)


def _start_of(day: date, zone: ZoneInfo) -> datetime:
    return datetime.combine(day, time.min, tzinfo=zone).astimezone(UTC)


def _group(group: Group, emails: dict[int, str]) -> dict[str, Any]:
    totals = group.totals
    shown: dict[str, Any] = {
        "group": {name: _value(name, value) for name, value in group.values.items()},
        "unpriced_calls": totals.unpriced,
        **{name: getattr(totals, name) for name in _SHOWN},
    }
    if "user" in group.values:
        shown["user_email"] = emails.get(group.values["user"], "")
    return shown


def _value(name: str, value: Any) -> Any:
    if name in TIMES:
        return value.isoformat()
    return (value or None) if name == "user" else value
