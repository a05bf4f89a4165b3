"""The overview: what is spent, on what, against the time before, and what is left."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import NoReverseMatch, reverse
from django.utils import timezone
from django.views.decorators.http import require_safe

from alerts.queries import unread_alerts
from budgets.queries import EACH, Standing
from budgets.subjects import names_of, users_of
from costwatch import overview
from costwatch.formatting import change, percent, quantity, usd
from costwatch.overview import Figure, Figures, Spending
from costwatch.pages import budget, colours, tables
from costwatch.pages.asked import BY, NONE, Asked
from costwatch.pages.charts import AT, MOST_SERIES, OTHER, Chart, Line, Series
from costwatch.pages.presentation import known_cost, rows_of, width_of
from costwatch.pages.without import Without, compared, without
from tracking import calls, lists
from tracking.overview import Breakdown, Part, Stack, mark_of
from tracking.periods import Period, day_of, site_zone
from tracking.unpriced import reasons
from tracking.users import emails_of

LATEST, MOST_ALERTS, FULLEST = 10, 4, 5
#: Lines of each table of shares.
MOST_LINES = 8
#: Names that the filter proposes of each dimension.
MOST_CHOICES = 50
#: From so many days on, one that is not over yet hardly counts in a comparison.
_LONG_DAYS = 7
_TITLES = {"today": "Today", "week": "This week", "month": "This month"}
_BEFORE = {"today": "yesterday", "week": "last week", "month": "last month"}
_ALL = ("service", "model", "feature", "user", "provider")


@login_required
@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Spending of a period and how it is made up. `?part=live` answers with what changes at every call, alone."""
    asked = Asked.of(request)
    filters = filters_of(asked)
    known = "analysis" not in filters and "status" not in filters  # the others stand in rollups
    figures = overview.figures(at=asked.now, filters=filters) if known else None
    latest = _latest(asked, filters)
    if request.GET.get("part") == "live":
        emails = emails_of(call.user_id for call in latest) if asked.everyone else {}
        return render(request, "costwatch/overview_live.html", _live(asked, figures, latest, emails))
    spending = None
    if known:
        spending = overview.spending(
            period=asked.period, before=asked.previous, by=asked.by, dimensions=_dimensions(asked), filters=filters,
            by_hour=asked.is_hourly, most=MOST_SERIES,
        )  # fmt: skip
    if tables.is_wanted(request) and spending is not None:
        return _file(asked, spending)
    lines = _standings(asked, filters, figures)
    emails = _emails(asked, latest, spending, lines)
    context = {
        **_live(asked, figures, latest, emails),
        "spending": spending,
        "not_kept": spending is None,
        "fields": _choices(asked, spending, emails),
        "hidden": {name: value for name, value in asked.query.items() if name not in BY},
        "tabs": [(BY[name], asked.link(by=name), name == asked.by) for name in BY if name in _dimensions(asked)],
        **_alerts(request),
        "alerts_link": _address("alerts"),
        "budget_lines": [budget.line_of(line, whose=_whose(line, emails)) for line in lines],
        "budgets_of_everyone": asked.everyone,
    }
    if spending is not None:
        colours.dearest(asked.by, at=asked.now)  # for the colours of the chart
        context |= {
            "chart": chart_of(asked, spending, filters, emails),
            "days": days_of(asked),
            "file": tables.link(asked),
            "shares": shares_of(asked, spending, emails),
            "total": total_of(asked, spending),
            "without": without_of(asked, spending, filters, request.user),
            "unpriced_link": _address("calls") and asked.link_to("calls", price="unpriced"),
        }
    return render(request, "costwatch/overview.html", context)


def _latest(asked: Asked, filters: dict[str, str]) -> list[calls.Call]:
    """The latest calls; with filters those of the period that match."""
    if set(filters) <= {"user"} and filters.get("user") != "0":
        return calls.latest_calls(user_id=asked.user_id, limit=LATEST).calls
    more = {name: value for name, value in filters.items() if name != "user"}
    until, period = asked.period.ends_at, asked.period
    return lists.newest(
        lists.Where(since=period.starts_at, until=until, user_id=asked.user_id, filters=more), limit=LATEST
    ).calls


def _choices(asked: Asked, spending: Spending | None, emails: dict[int, str]) -> list[dict[str, Any]]:
    """The fields of the filter: what each dimension may be, as far as the page knows."""
    parts = spending.parts if spending is not None else {}
    fields = []
    for dimension in _dimensions(asked):
        names = [part.name for part in parts[dimension].parts[:MOST_CHOICES]] if parts.get(dimension) else []
        shown = [(n or NONE, _named(dimension, n, emails)) for n in names if dimension != "user" or int(n) in emails]
        fields.append({
            "name": dimension, "title": BY[dimension], "value": asked.query.get(dimension, ""), "choices": shown,
        })  # fmt: skip
    return fields


def _file(asked: Asked, spending: Spending) -> HttpResponse:
    """The sums that are shown, all of their names, as a file."""
    parts = {dimension: found.parts for dimension, found in spending.parts.items() if found is not None}
    users = [int(part.name) for part in parts.get("user", ())]
    emails = emails_of(users) if users else {}
    header = ("by", "name", "calls", "failed", "unpriced", "cost_usd", "cost_before_usd")
    rows = [
        (dimension, _named(dimension, part.name, emails), part.now.calls, part.now.errors, part.now.unpriced,
         part.now.cost, part.before)
        for dimension, found in parts.items() for part in found
    ]  # fmt: skip
    total = spending.total
    last = ("all", "", total.calls, total.errors, total.unpriced, total.cost, spending.before)
    return tables.answer(asked, "overview", header, [*rows, last])


def filters_of(asked: Asked) -> dict[str, str]:
    """The filters as sums are kept: a reader who sees only his own calls is one."""
    return {**asked.filters, **({"user": str(asked.user_id)} if asked.user_id is not None else {})}


def _live(asked: Asked, figures: Figures | None, latest: list[calls.Call], emails: dict[int, str]) -> dict[str, Any]:
    """What changes with every call: the figures so far, and the latest calls where no other filter hides them."""
    whole = figures is not None and not asked.filters
    return {
        "asked": asked,
        # Of filtered sums there is no mark: the first question of the page brings one.
        "mark": mark_of(figures.line, at=asked.now) if whole else "",
        "stats": _stats(asked, figures) if figures else [],
        "live_link": asked.link(part="live"),
        "call_rows": rows_of(latest, with_users=asked.everyone, emails=emails if asked.everyone else {}),
        "everyone": asked.everyone,
        "empty": not (latest or asked.filters),
        "calls_link": _address("calls") and asked.link_to("calls", by=None),
        "filtered": bool(set(asked.filters) - {"user"}),
    }


def _alerts(request: HttpRequest) -> dict[str, Any]:
    """The latest alerts that are not read. Where these are all, the bell need not count them again."""
    found = unread_alerts(request.user, most=MOST_ALERTS + 1)
    shown = {"alerts": found[:MOST_ALERTS]}
    return shown if len(found) > MOST_ALERTS else {**shown, "unread": len(found)}


def _standings(asked: Asked, filters: dict[str, str], figures: Figures | None) -> list[Standing]:
    """The budgets of whose calls are shown; none beside other filters, which say nothing of them."""
    if set(filters) - {"user"}:
        return []
    if asked.user_id is not None:
        alone = figures if set(filters) == {"user"} else None
        return overview.standings_of(asked.user_id, at=asked.now, figures=alone)
    return overview.fullest_standings(at=asked.now, most=FULLEST, figures=figures if not filters else None)


def _whose(line: Standing, emails: dict[int, str]) -> str:
    """Of a limit for each of many: whose window it is; "" where its name says it."""
    return names_of([line.subject], emails)[line.subject] if line.scope in EACH else ""


def _emails(asked: Asked, latest: list[calls.Call], spending: Spending | None, lines: list[Standing]) -> dict[int, str]:
    """The addresses of all who are named on the page, looked up once."""
    if not asked.everyone:
        return {asked.reader_id: ""} if not asked.sees_all else emails_of(users_of(line.subject for line in lines))
    users = spending.parts.get("user") if spending is not None else None
    named = [int(part.name) for part in users.parts[: max(MOST_SERIES, MOST_LINES)]] if users else []
    return emails_of([*named, *(call.user_id for call in latest), *users_of(line.subject for line in lines)])


def _dimensions(asked: Asked) -> list[str]:
    return [name for name in _ALL if name != "user" or asked.everyone]


def _stats(asked: Asked, figures: Figures) -> list[dict[str, Any]]:
    stats = [_stat(asked, figure) for figure in figures.spans]
    expected = figures.forecast
    if expected is None or expected.expected is None or expected.low is None:  # no range: it is a guess
        return [*stats, {"title": "Forecast for the month", "value": "–", "note": "too early to tell"}]
    ends = f"{usd(expected.low)} to {usd(expected.high)}"
    last = figures.last_month
    stats.append({
        "title": "Forecast for the month", "value": usd(expected.expected), "range": ends,
        "change": change(expected.expected, last), "before": f"{usd(last)} last month",
    })  # fmt: skip
    return stats


def _title(name: str) -> str:
    """Today is not the same day everywhere: to a reader of another zone its zone is said."""
    return f"Today in {site_zone().key}" if name == "today" and _is_abroad() else _TITLES[name]


def _stat(asked: Asked, figure: Figure) -> dict[str, Any]:
    """A figure against the span before up to the same moment."""
    before = _BEFORE[figure.name]
    words = f"{'' if figure.is_exact else 'about '}{usd(figure.before)} {before} by now"
    moved = change(figure.now.cost, figure.before)
    link = asked.link(period=figure.name)
    if figure.name == "week":
        monday = figure.before_period.start + timedelta(days=7)
        link = asked.link(period="custom", since=monday, until=day_of(asked.now))
    return {
        "title": _title(figure.name), "value": usd(figure.now.cost), "change": moved,
        "before": words, "unpriced": figure.now.unpriced, "link": link,
        "note": f"{quantity(figure.now.calls)} call{'' if figure.now.calls == 1 else 's'}",
    }  # fmt: skip


def total_of(asked: Asked, spending: Spending) -> dict[str, Any]:
    """The sums of the period, and those of the span before."""
    first, last = asked.previous.start, asked.previous.end - timedelta(days=1)
    then = f"{first:%-d %b}" if first == last else f"{first:%-d %b} to {last:%-d %b}"
    said = f"{usd(spending.before)} from {then}" if first != last else f"{usd(spending.before)} on {then}"
    moved, why_not = compared(
        spending.total, spending.before, calls_before=spending.calls_before, unpriced_before=spending.unpriced_before
    )
    return {
        "cost": spending.total.cost,
        "calls": spending.total.calls,
        "errors": spending.total.errors,
        "unpriced": spending.total.unpriced,
        "change": moved if _is_comparable(asked) else None,
        "before": said + (f", {why_not}" if why_not.startswith("unpriced") else ""),
    }


def without_of(asked: Asked, spending: Spending, filters: dict[str, str], user: Any) -> Without | None:
    """What is said of the calls of the period that have no price."""
    unpriced = spending.total.unpriced
    if not unpriced:
        return None
    why = reasons(since=asked.period.starts_at, until=asked.period.ends_at, filters=filters)
    return without(unpriced, why, user)


def _is_comparable(asked: Asked) -> bool:
    """Whether the span is over, or so long that a day that is not over hardly counts."""
    return asked.period.ends_at <= asked.now or (asked.name != "month" and asked.period.length >= _LONG_DAYS)


def _named(dimension: str, name: str, emails: dict[int, str]) -> str:
    if dimension == "user":
        return emails.get(int(name)) or (f"account {name}" if name != "0" else "nobody’s")
    return name or f"no {dimension}"


def chart_of(asked: Asked, spending: Spending, filters: dict[str, str], emails: dict[int, str]) -> Chart | None:
    """The stacks of a period by day or hour; None where none are kept."""
    if spending.stacks is None:
        return None
    moments = _hours(asked.period) if spending.by_hour else asked.period.days
    named = [stack.name for stack in spending.stacks if stack.name is not None]
    painted = colours.colours_of(named, colours.known(asked.by, at=asked.now))
    series = [
        Series(
            name=OTHER if stack.name is None else _named(asked.by, stack.name, emails),
            values=[stack.costs.get(moment, Decimal(0)) for moment in moments],
            link=_link(asked, stack, by_hour=spending.by_hour),
            muted=stack.name is None,
            colour=painted.get(stack.name, 0),
        )
        for stack in spending.stacks
    ]
    bound = overview.bound_of(at=asked.now, filters=filters, by_hour=spending.by_hour)
    return Chart(
        id="spend",
        title=f"Spend by {'hour' if spending.by_hour else 'day'} and {BY[asked.by].lower()}, {asked.title.lower()}",
        labels=[_label(moment, asked) for moment in moments],
        titles=[_long_label(moment) for moment in moments],
        keys=[] if spending.by_hour else [day.isoformat() for day in moments],
        series=series,
        lines=[Line(name=bound.name, value=bound.amount, per=f"a {bound.per}")] if bound else [],
        first_column=f"Hour in {timezone.get_current_timezone_name()}" if spending.by_hour else "Day",
    )


def days_of(asked: Asked) -> str:
    """From when to when the days of a short period are for a reader of another zone; "" for all others."""
    if not asked.is_hourly or not _is_abroad():
        return ""
    first, last = timezone.localtime(asked.period.starts_at), timezone.localtime(asked.period.ends_at)
    day = "The day is that" if asked.period.length == 1 else "The days are those"
    here = timezone.get_current_timezone_name()
    return f"Hours in {here}. {day} of {site_zone().key}: from {first:%-d %b, %H:%M} to {last:%-d %b, %H:%M} there."


def _is_abroad() -> bool:
    return timezone.get_current_timezone_name() != site_zone().key


def _link(asked: Asked, stack: Stack, *, by_hour: bool) -> str:
    """Where a click on a bar leads: the same view of that day, and of that name."""
    chosen = {} if stack.name is None else {asked.by: stack.name}
    if by_hour:
        return asked.link(**chosen) if chosen else ""
    return asked.link(period="custom", since=AT, until=AT, **chosen)


def _hours(period: Period) -> list[datetime]:
    hours = int((period.ends_at - period.starts_at).total_seconds() // 3600)
    return [period.starts_at + timedelta(hours=number) for number in range(hours)]


def _label(moment: Any, asked: Asked) -> str:
    if isinstance(moment, datetime):
        return f"{timezone.localtime(moment):%H:%M}"
    return f"{moment:%-d %b}" if asked.period.length <= 400 else f"{moment:%-d %b %Y}"


def _long_label(moment: Any) -> str:
    if isinstance(moment, datetime):
        return f"{timezone.localtime(moment):%a %-d %b, %H:%M}"
    return f"{moment:%a %-d %b %Y}"


def shares_of(asked: Asked, spending: Spending, emails: dict[int, str]) -> list[dict[str, Any]]:
    """A table for each dimension: what each name cost, its share, and how that stands to the span before."""
    tables = []
    for dimension, found in spending.parts.items():
        is_shown = dimension not in asked.filters and (dimension != "provider" or not asked.everyone)
        if is_shown and found is not None and found.parts:
            tables.append(_table(asked, dimension, found, spending.total.cost, emails))
    return tables


def _table(asked: Asked, dimension: str, found: Breakdown, total: Decimal, emails: dict[int, str]) -> dict[str, Any]:
    shown = [part for part in found.parts if part.now.calls or part.now.cost][:MOST_LINES]
    lines = [_line(asked, dimension, part, total, emails) for part in shown]
    rest = total - sum((part.now.cost for part in shown), Decimal(0))
    more = len([part for part in found.parts if part.now.calls or part.now.cost]) - len(shown)
    share = percent(rest / total if total > 0 else None)
    others = {"cost": rest, "share": share, "count": more, "many": not found.complete}
    return {
        "dimension": dimension, "title": f"By {BY[dimension].lower()}", "lines": lines,
        "with_changes": _is_comparable(asked), "others": others if more > 0 else None,
        "link": _all_of(asked, dimension),
    }  # fmt: skip


_PAGES = {"model": "models", "user": "users"}


def _all_of(asked: Asked, dimension: str) -> str:
    """The page of all names of a dimension, in the same period; "" where there is none, or it cannot filter so."""
    page = _address(_PAGES.get(dimension, ""))
    kept = ("user",) if dimension == "model" else ()
    return asked.link_to(page, by=None) if page and set(asked.filters) <= set(kept) else ""


def _line(asked: Asked, dimension: str, part: Part, total: Decimal, emails: dict[int, str]) -> dict[str, Any]:
    share = part.now.cost / total if total > 0 else None
    moved, why_not = compared(
        part.now, part.before, calls_before=part.calls_before, unpriced_before=part.unpriced_before
    )
    return {
        "name": _named(dimension, part.name, emails),
        "is_none": part.name in ("", "0") and dimension != "provider",
        "link": asked.link(**{dimension: part.name}),
        "cost": part.now.cost,
        "unpriced": part.now.unpriced,
        "all_unpriced": known_cost(part.now) is None,
        "share": percent(share),
        "width": width_of(share),
        "change": (moved or _no_share(why_not)) if _is_comparable(asked) else None,
        "is_new": not part.before and _is_comparable(asked),
        "before": usd(part.before),
    }


def _no_share(why_not: str) -> dict[str, str] | None:
    """In the place of a change that would mislead."""
    return {"text": why_not} if why_not.startswith("unpriced") else None


def _address(route: str) -> str:
    try:
        return reverse(route)
    except NoReverseMatch:
        return ""
