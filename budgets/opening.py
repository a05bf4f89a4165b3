"""What a window had already spent when it was opened: read from the ledger, once.

Most windows are opened by the first call of their period, and there is next to nothing to read. A limit that is made in
the middle of a long window reads whole days (or hours) from the rollups, where one has its dimension, and only the
edges from the ledger; the others (model patterns, tags, keys) read the ledger over the time of one window.
"""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from django.conf import settings
from django.db.models import Q, QuerySet, Sum

from budgets.book import Limit, Snapshot, model_matches
from budgets.calendar import EPOCH, WindowSpan
from budgets.models import Scope
from tracking.models import (
    AnalysisRollup,
    ApiUsageLog,
    DailyFeatureRollup,
    DailyUserRollup,
    HourlyModelRollup,
    Rollup,
)
from tracking.tags import with_tags

#: Windows shorter than this are read from the ledger alone.
_ROLLUP_FROM = timedelta(days=2)


def spent_in(limit: Limit, subject: str, span: WindowSpan, *, book: Snapshot) -> Decimal:
    """What the ledger holds for the subject of a limit in a window, in USD. Runs on the caller's transaction."""
    if limit.scope in (Scope.EACH_ANALYSIS, Scope.ANALYSIS) and span.ends_at is None and span.starts_at == EPOCH:
        return _total(AnalysisRollup.objects.filter(analysis_id=_name(limit, subject)))
    condition = ledger_condition(limit, subject, book=book)
    if limit.scope == Scope.API_KEY and limit.owner_id and limit.active_from and limit.active_from > span.starts_at:
        # The budget was made with the key, which has spent nothing before: no need to look through the calls of others.
        return _from_ledger(limit, condition, limit.active_from, span.ends_at)
    is_long = span.ends_at is None or span.ends_at - span.starts_at >= _ROLLUP_FROM
    if is_long and (rollup := _rollup(limit)):
        return _from_rollup(*rollup, condition, span)
    return _from_ledger(limit, condition, span.starts_at, span.ends_at)


def spent_by_user(user_id: int, span: WindowSpan) -> Decimal:
    """What the ledger holds for one user's calls in a window, in USD, whatever limits count them."""
    return _from_rollup(DailyUserRollup, "day", Q(user_id=user_id), span)


def ledger_condition(limit: Limit, subject: str, *, book: Snapshot) -> Q:
    """Which rows of the ledger a limit counts; for a model pattern, all: `_from_ledger` looks at their names."""
    match limit.scope:
        case Scope.EACH_USER | Scope.USER:
            return Q(user_id=int(_name(limit, subject)))
        case Scope.GROUP:
            return Q(user_id__in=sorted(user for user, groups in book.groups.items() if limit.group_id in groups))
        case Scope.EACH_ANALYSIS | Scope.ANALYSIS:
            return Q(analysis_id=_name(limit, subject))
        case Scope.FEATURE:
            return Q(feature=limit.target)
        case Scope.PROVIDER:
            return Q(provider=limit.target)
    return Q()


def _name(limit: Limit, subject: str) -> str:
    return subject.partition(":")[2] or limit.target


def _rollup(limit: Limit) -> tuple[type[Rollup], str] | None:
    """The rollup that has the dimension of this limit, and its column of time."""
    match limit.scope:
        case Scope.EVERYONE | Scope.PROVIDER:
            return HourlyModelRollup, "hour"
        case Scope.EACH_USER | Scope.USER | Scope.GROUP:
            return DailyUserRollup, "day"
        case Scope.FEATURE:
            return DailyFeatureRollup, "day"
    return None


def _from_rollup(rollup: type[Rollup], column: str, condition: Q, span: WindowSpan) -> Decimal:
    """Whole hours or days from the rollup, the edges of the window from the ledger."""
    ceiling, key = (_next_hour, lambda at: at) if column == "hour" else (_next_day, _site_date)
    first = ceiling(span.starts_at)
    rows = rollup.objects.filter(condition, **{f"{column}__gte": key(first)})
    total = Decimal(0)
    if span.ends_at is not None:
        last = ceiling(span.ends_at)
        if last != span.ends_at:  # the window ends inside an hour or day: that one comes from the ledger
            last = _floor(span.ends_at, column)
        rows = rows.filter(**{f"{column}__lt": key(last)})
        total += _total(_ledger(condition, last, span.ends_at))
    return total + _total(rows) + _total(_ledger(condition, span.starts_at, first))


def _from_ledger(limit: Limit, condition: Q, start: datetime, end: datetime | None) -> Decimal:
    rows = _ledger(condition, start, end)
    if limit.scope == Scope.TAG:
        name, _, value = limit.target.partition("=")
        rows = with_tags(rows, {name: value})
    elif limit.scope == Scope.API_KEY:
        rows = with_tags(rows, {}, api_key=limit.target)
    elif limit.scope == Scope.MODEL:
        names = ("provider", "model", "model_asked", "model_served")
        groups = rows.order_by().values(*names).annotate(total=Sum("cost"))
        return sum(
            (
                group["total"] or Decimal(0)
                for group in groups
                if model_matches(limit.target, tuple(group[n] for n in names[1:] if group[n]), group["provider"])
            ),
            Decimal(0),
        )
    return _total(rows)


def _ledger(condition: Q, start: datetime, end: datetime | None) -> QuerySet:
    if end is not None and end <= start:  # an edge that is none
        return ApiUsageLog.objects.none()
    rows = ApiUsageLog.objects.filter(condition, occurred_at__gte=start)
    return rows.filter(occurred_at__lt=end) if end is not None else rows


def _total(rows: QuerySet) -> Decimal:
    return rows.order_by().aggregate(total=Sum("cost"))["total"] or Decimal(0)


def _next_hour(at: datetime) -> datetime:
    floor = at.replace(minute=0, second=0, microsecond=0)
    return floor if floor == at else floor + timedelta(hours=1)


def _site_date(at: datetime):
    return at.astimezone(ZoneInfo(settings.TIME_ZONE)).date()


def _day_start(day) -> datetime:
    return datetime.combine(day, time(), tzinfo=ZoneInfo(settings.TIME_ZONE)).astimezone(UTC)


def _next_day(at: datetime) -> datetime:
    """The first beginning of a site's day at or after the moment."""
    start = _day_start(_site_date(at))
    return start if start == at else _day_start(_site_date(at) + timedelta(days=1))


def _floor(at: datetime, column: str) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0) if column == "hour" else _day_start(_site_date(at))
